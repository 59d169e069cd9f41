from .encoder import dumps, loads

__all__ = ["dumps", "loads"]
