"""A job of its own process, slow enough to be killed: ``python killing.py ENVELOPE INPUT OUTPUT QUARANTINE``."""

import json
import sys
import time
from pathlib import Path

from model_envelope.scoring import engine
from model_envelope.scoring.job import Job
from model_envelope.scoring.location import read_location


def main() -> None:
    envelope, source, output, aside, pause = sys.argv[1:]
    job = Job(
        envelope=Path(envelope),
        input=read_location(source),
        output=read_location(output),
        keep=("id",),
        batch_rows=2_000,
        workers=1,
        on_bad_row="quarantine",
        quarantine=read_location(aside),
    )

    def slow(event):
        if event["event"] == "progress":
            time.sleep(float(pause))

    print("ready", flush=True)
    print(json.dumps(engine.score(job, report=slow).summary()), flush=True)


if __name__ == "__main__":
    main()
