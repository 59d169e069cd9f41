"""Measure builds beside what uv and the engine do alone, in one run: `make bench-build`.

The model is a scikit-learn pipeline on a table. Needs a Docker Engine with BuildKit and the base image that
ENVELOPE_BASE_IMAGE names. **Empties the engine's build cache**, since a cold build is measured.

1. Size: the image of the JSON service, less its base, less the envelope's own lock as uv unpacks it (no bytecode).
2. Only the model changed: `envelope build` without the time of the proof.
3. Cold: `envelope build` without the proof, beside a Dockerfile that installs the same lock with the same uv into the
   same base and does nothing else; once as uv installs by itself, once with `--compile-bytecode`, without which a
   read-only container compiles at each start. All with the export of the image, an empty cache, and the same index.
4. Nothing changed: the whole process.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench_models import pack_flights

from model_envelope.dependencies.index import IndexSettings
from model_envelope.dependencies.programs import find_uv
from model_envelope.foundation import process
from model_envelope.foundation.progress import Done, Event, Started
from model_envelope.runtime.reading import read_envelope
from model_envelope.targets.context import merged_lock
from model_envelope.targets.engine import BuildKitClient, Engine, buildkit_client
from model_envelope.targets.target import find_target
from model_envelope.workflows.build import build
from model_envelope.workflows.render import choose_base_image

ROUNDS = 3
SETTLE = 5
"""Seconds for the engine and the disk to clear what was thrown away, before a cold build is measured."""
MEGABYTE = 1_000_000
BARE = """FROM {base}
COPY uv /usr/local/bin/uv
COPY requirements.lock /requirements.lock
RUN --mount=type=secret,id=env --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache \\
    set -a && . /run/secrets/env && set +a && export SSL_CERT_FILE=/run/secrets/ca UV_LINK_MODE=copy \\
    && python3 -m venv --without-pip /opt/venv \\
    && uv pip install --quiet --python /opt/venv/bin/python --require-hashes --no-deps {more} -r /requirements.lock
"""


class Clock:
    """Takes the time of a build, and of its proof apart."""

    def __init__(self) -> None:
        self.proof = 0.0
        self._since = 0.0

    def __call__(self, event: Event) -> None:
        """Note when a proof begins and ends."""
        if isinstance(event, Started) and event.step == "prove" and not self._since:
            self._since = time.monotonic()
        if isinstance(event, Done) and event.step == "prove":
            self.proof += time.monotonic() - self._since
            self._since = 0.0


def main() -> None:
    """Print one line a figure, with the goal."""
    engine, client, uv = Engine.connect(), buildkit_client(), find_uv()
    if client is None or uv is None:
        sys.exit("BuildKit and uv are needed: `envelope doctor` says how to get them")
    with tempfile.TemporaryDirectory(prefix="envelope-bench-") as scratch:
        folder = Path(scratch)
        os.environ["ENVELOPE_STATE_DIR"] = str(folder / "state")
        first, second = (pack_flights(folder / f"{seed}", seed=seed, locked=True)[1] for seed in (0, 1))
        images = [f"envelope-bench/{name}:1" for name in ("first", "second", "bare")]
        try:
            sizes(engine, first, images[0], folder, uv)
            model_only(second, images[1])
            unchanged(second, images[1])
            cold(engine, client, uv, first, images, folder)
        finally:
            for image in images:
                engine.forget(image)
            engine.close()


def sizes(engine: Engine, envelope: Path, image: str, folder: Path, uv: Path) -> None:
    """Say what an image holds above its base and the unpacked lock of the envelope alone."""
    result = build(envelope, image=image)
    with_arrow = build(envelope, image=f"{image}-arrow", options=["arrow"])
    engine.forget(f"{image}-arrow")
    unpacked = folder / "unpacked"
    command = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--target",
        unpacked,
        "--require-hashes",
        "--no-deps",
        "--link-mode=copy",
    ]
    environ = {**os.environ, **IndexSettings.from_environment().uv_environment()}
    process.run([*command, "-r", envelope / "env" / "requirements.lock"], env=environ)
    lock = sum(path.stat().st_size for path in unpacked.rglob("*") if path.is_file())
    base = engine.size(choose_base_image(read_envelope(envelope), None))
    added = result.size - base - lock
    print(f"base {base / MEGABYTE:.0f} MB, the envelope's lock unpacked {lock / MEGABYTE:.0f} MB, bytecode not counted")
    tell("the image above these", added / MEGABYTE, "MB", 42)
    print(f"Arrow adds {(with_arrow.size - result.size) / MEGABYTE:.0f} MB, no part of that")


def model_only(envelope: Path, image: str) -> None:
    """Build an envelope whose lock and code an image was built of before."""
    tell(
        "only the model changed, without the proof",
        timed(lambda clock: build(envelope, image=image, report=clock)),
        "s",
        2,
    )


def unchanged(envelope: Path, image: str) -> None:
    """Run the command once more for what is there."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        command = [Path(sys.executable).with_name("envelope"), "build", envelope, "--image", image]
        subprocess.run(command, capture_output=True, check=True)
        seconds.append(time.monotonic() - began)
    tell("nothing changed, the whole process", statistics.median(seconds), "s", 1)


def cold(engine: Engine, client: BuildKitClient, uv: Path, envelope: Path, images: list[str], folder: Path) -> None:
    """Build with nothing in any cache, in turns with what uv and the engine need alone."""
    base = choose_base_image(read_envelope(envelope), None)
    bare = folder / "bare"
    bare.mkdir()
    shutil.copyfile(uv, bare / "uv")
    (bare / "uv").chmod(0o755)
    (bare / "requirements.lock").write_bytes(merged_lock(read_envelope(envelope), find_target("service")))
    settings = IndexSettings.from_environment()
    reachable = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_STRATEGY", "UV_INSECURE_HOST", "HTTP_PROXY", "HTTPS_PROXY")
    known = {name: value for name, value in settings.uv_environment().items() if "file:" not in value}
    (folder / "env").write_text("".join(f"{name}='{known[name]}'\n" for name in reachable if name in known))
    authorities = settings.ca_bundle or Path("/etc/ssl/certs/ca-certificates.crt")

    def alone(more: str) -> Callable[[Clock], object]:
        def run(_: Clock) -> object:
            (bare / "Dockerfile").write_text(BARE.format(base=base, more=more))
            secrets = ["--secret", f"id=env,src={folder / 'env'}", "--secret", f"id=ca,src={authorities}"]
            command = [client.program, *client.words, *secrets, "--tag", images[2], bare]
            done = process.run(command, env=process.environment(dict(client.variables)))
            if not done.ok:
                sys.exit(done.tail())
            return done

        return run

    work = {
        "uv alone, as it is": alone(""),
        "uv alone, with bytecode": alone("--compile-bytecode"),
        "envelope build": lambda clock: build(envelope, image=images[0], report=clock),
    }
    took: dict[str, list[float]] = {name: [] for name in work}
    names = list(work)
    for turn in range(ROUNDS):
        # Each has each place once: what comes after the one that wrote most is slowed by the disk that still clears it.
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            for image in images:
                engine.forget(image)
            process.run([client.program, "builder", "prune", "--all", "--force"], env=process.environment({}))
            os.sync()
            time.sleep(SETTLE)
            took[name].append(timed(work[name]))
    means = {name: statistics.mean(values) for name, values in took.items()}
    for name, seconds in means.items():
        print(f"{name:48}{seconds:8.1f} s")
    ours = means["envelope build"]
    tell("cold, beside uv that compiles bytecode too", ours / means["uv alone, with bytecode"], "x", 1.2)
    print(f"{'cold, beside uv that leaves that to each start':48}{ours / means['uv alone, as it is']:8.2f} x")


def timed(once: Callable[[Clock], object]) -> float:
    """Give the seconds that something takes, without those of the proof in it."""
    clock = Clock()
    began = time.monotonic()
    once(clock)
    return time.monotonic() - began - clock.proof


def tell(what: str, found: float, unit: str, goal: float) -> None:
    """Print a figure beside its goal."""
    print(
        f"{what:48}{found:8.2f} {unit:3} goal {goal:g} {unit}  {'reached' if found <= goal else 'MISSED'}", flush=True
    )


if __name__ == "__main__":
    main()
