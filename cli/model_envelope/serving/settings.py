from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    max_body: int = 64_000_000
    max_rows: int = 1_000_000
    time_limit: float = 60.0
    body_timeout: float = 30.0
    queue: int = 1024
    batch_rows: int = 4096
    batching: bool = True
    check_every: int = 1000
    show_values: bool = False
    extra_columns: str = "refuse"
    workers: int = 1
    grace: float = 25.0
    drain_delay: float = 0.0
    log_format: str = "json"
