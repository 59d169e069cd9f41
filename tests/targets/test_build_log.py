"""What is told of a build while it runs, and what is kept of it."""

import pytest

from model_envelope.foundation.progress import Doing, Part
from model_envelope.targets.build_log import BuildLog, Step, by_name, subject_of

BUILDKIT = """\
#1 [internal] load build definition from Dockerfile
#1 sha256:05e7df61da4271ee91b1f1feee01b747044c698c51fb5d101eb7bbdcae64276c
#1 transferring dockerfile: 2.82kB done
#1 DONE 0.3s

#3 [internal] load metadata for docker.io/library/python:3.11-slim
#3 DONE 1.1s

#4 [builder 1/4] FROM docker.io/library/python:3.11-slim
#4 sha256:f3772015a31a0f4f0f15e69a51e1c8d47a85b3cdfa733a72667d4076ef8f6065
#4 extracting sha256:f3772015a31a 1.2s done
#4 DONE 1.4s

#5 [internal] load build context
#5 transferring context: 701.77kB 0.4s done
#5 DONE 0.4s

#6 [builder 2/4] RUN --mount=type=secret,id=ca python3 -m model_envelope.assembling packages /requirements.lock
#6 0.213 envelope: environment
#6 0.244 envelope: environment: done in 0.0 s
#6 0.250 envelope: 34 packages, with uv
#6 4.191 \x1b[2mResolved\x1b[0m 34 packages

#7 [builder 3/4] ADD layers/serving.tar /serving/
#7 DONE 0.0s

#6 ...

#6 [builder 2/4] RUN --mount=type=secret,id=ca python3 -m model_envelope.assembling packages /requirements.lock
#6 5.191 envelope: 34 packages, with uv: done in 4.9 s
#6 5.200 envelope: bytecode
#6 8.621 envelope: bytecode: done in 3.4 s
#6 DONE 9.3s

#8 [builder 4/4] RUN --mount=type=bind,target=/assemble     python3 -m model_envelope.assembling code /serving
#8 CACHED

#9 [stage-1 2/6] COPY --from=builder /packages/ /
#9 DONE 0.7s

#10 [stage-1 3/6] COPY --from=builder /serving/ /
#10 CACHED

#11 [stage-1 4/6] ADD layers/code.tar /
#11 CACHED

#12 [stage-1 5/6] ADD layers/model.tar /
#12 DONE 0.2s

#13 [stage-1 6/6] WORKDIR /opt/model
#13 DONE 0.1s

#14 exporting to image
#14 exporting layers 2.1s done
#14 writing image sha256:0b6dc15acdf4208ff05768372a4c089df96e65f5c0bba9f5404aee973b981180 done
#14 DONE 2.2s
"""


def read(text, **options):
    log = BuildLog(**options)
    for line in text.splitlines():
        log.line(line)
    return log


def test_buildkits_lines_become_steps_that_a_person_knows():
    assert by_name(read(BUILDKIT).finish()) == (
        Step("base image", cached=False, seconds=2.5),
        Step("sending", cached=False, seconds=0.4),
        Step("packages", cached=False, seconds=10.0),
        Step("runtime code", cached=False, seconds=0.0),
        Step("local code", cached=True, seconds=0.0),
        Step("model", cached=False, seconds=0.2),
        Step("export", cached=False, seconds=2.2),
    )


def test_it_is_told_what_goes_on_and_what_has_ended():
    events = []
    read(BUILDKIT, report=events.append)
    doing = [event.text for event in events if isinstance(event, Doing)]
    assert doing[0] == "Building: getting the base image"
    assert "Building: installing 34 packages with uv" in doing
    assert "Building: compiling packages" in doing
    assert "Building: packages: environment" in doing
    assert doing[-4:-1] == [
        "Building: copying runtime code",
        "Building: copying local code",
        "Building: copying the model",
    ]
    assert doing[-1] == "Building: writing the image"
    assert [(event.text, event.seconds) for event in events if isinstance(event, Part)] == [
        ("base image", 1.1),
        ("base image", 1.4),
        ("sending", 0.4),
        ("packages: 34 packages, with uv", 4.9),
        ("packages: bytecode", 3.4),
        ("packages", 9.3),
        ("packages, copied", 0.7),
        ("model, copied", 0.2),
        ("export", 2.2),
    ]


def test_every_line_is_kept_as_it_may_be_shown():
    kept = []

    def keep(line):
        shown = line.replace("hunter2", "****")
        kept.append(shown)
        return shown

    log = BuildLog(keep)
    log.line("#9 [builder 2/4] RUN --mount=x python3 -m model_envelope.assembling packages /requirements.lock")
    log.line("#9 0.5 \x1b[31merror: cannot reach https://me:hunter2@index.example.com/\x1b[0m\r")
    log.line("#9 ERROR: executor failed running [/bin/sh -c python3]: exit code: 1")
    assert kept[1] == "#9 0.5 error: cannot reach https://me:****@index.example.com/"
    assert log.said == "error: cannot reach https://me:****@index.example.com/"


@pytest.mark.parametrize(
    "error",
    [
        "executor failed running [/bin/sh -c python3 -m x]: unable to find user 0: invalid argument",
        'process "/bin/sh -c python3 -m x" did not complete successfully: unable to find user 0: invalid argument',
    ],
)
def test_why_a_command_was_not_started_is_kept(error):
    log = BuildLog()
    log.line("#7 [builder 2/4] RUN python3 -m x")
    log.line(f"#7 ERROR: {error}")
    assert log.said == "unable to find user 0: invalid argument"


def test_newer_buildkits_frame_around_a_failure_is_left_out():
    log = read(
        '#0 building with "default" instance using docker driver\n\n'
        "#7 [builder 2/4] RUN python3 -m model_envelope.assembling packages /requirements.lock\n"
        "#7 0.434 ERROR: Could not find a version\n"
        "#7 0.435 ERROR: No matching distribution found for a==1\n"
        '#7 ERROR: process "/bin/sh -c python3 -m x" did not complete successfully: exit code: 1\n'
        "------\n > [builder 2/4] RUN python3 -m x:\n0.434 ERROR: Could not find a version\n"
        "0.435 ERROR: No matching distribution found for a==1\n------\n"
        "Dockerfile:12\n--------------------\n  12 | >>> RUN python3 -m x\n--------------------\n"
        'ERROR: failed to solve: process "/bin/sh -c python3 -m x" did not complete successfully: exit code: 1\n'
    )
    assert log.said == "ERROR: Could not find a version\nERROR: No matching distribution found for a==1"
    assert log.failed.startswith("RUN python3 -m model_envelope.assembling packages")


class Clock:
    """A clock that goes on by a second each time that somebody looks."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1
        return self.now


def test_the_classic_builders_events_become_the_same_steps():
    log = BuildLog(clock=Clock())
    said = (
        "Step 1/9 : ARG BASE_IMAGE=python:3.11-slim\nStep 2/9 : FROM ${BASE_IMAGE} AS builder\n ---> 181c194d7a50\n"
        "Step 3/9 : COPY assemble /assemble\n ---> Using cache\n ---> 6214ba9fe61e\n"
        "Step 4/9 : RUN PYTHONPATH=/assemble python3 -m model_envelope.assembling packages /requirements.lock\n"
        " ---> Running in f01929a82041\nenvelope: 12 packages, with pip\nRemoving intermediate container f01929a82041\n"
        "Step 5/9 : COPY --from=builder /serving/ /\n ---> 1fbe54bd2cd4\nStep 6/9 : ADD layers/code.tar /\n"
        " ---> Using cache\n ---> 1fbe54bd2cd4\nStep 7/9 : ADD layers/model.tar /\n ---> 1fbe54bd2cd4\n"
        "Step 8/9 : LABEL a=b\n ---> Running in f01929a82041\nSuccessfully built 1fbe54bd2cd4\n"
    )
    for at in range(0, len(said), 17):
        log.event({"stream": said[at : at + 17]})
    log.event({"aux": {"ID": "sha256:00"}})
    steps = by_name(log.finish())
    assert [(step.name, step.cached) for step in steps] == [
        ("base image", False),
        ("packages", False),
        ("runtime code", False),
        ("local code", True),
        ("model", False),
    ]
    assert all(step.seconds > 0 for step in steps if step.name != "local code")


def test_an_error_of_the_classic_builder_comes_with_the_words_of_its_step():
    log = BuildLog()
    log.event({"stream": "Step 1/2 : FROM a"})
    log.event({"stream": "\n ---> 1\nStep 2/2 : RUN python3 -m model_envelope.assembling system\n ---> Running in 2\n"})
    log.event({"stream": "\x1b[91mE: Unable to locate package x\n\x1b[0mRemoving intermediate container 2\n"})
    log.event({"error": "The command '/bin/sh -c python3 -m x' returned a non-zero code: 100"})
    assert log.said == "E: Unable to locate package x"
    assert subject_of(log.failed) == "system packages"


@pytest.mark.parametrize(
    ("instruction", "name"),
    [
        ("FROM docker.io/library/python:3.11-slim@sha256:00", "base image"),
        ("RUN --mount=type=bind,target=/assemble python3 -m m.assembling system", "system packages"),
        ("COPY --from=system /system/ / ", "system packages"),
        ("COPY wheelhouse /wheelhouse", "packages"),
        ("RUN micromamba create --prefix /opt/venv", "packages"),
        ("COPY /packages/ / ", "packages"),
        ("COPY /serving/ / ", "runtime code"),
        ("ADD layers/serving.tar /serving/", "runtime code"),
        ("ADD layers/code.tar / ", "local code"),
        ("ADD layers/model.tar / ", "model"),
        ("RUN make   the \t tea", "RUN make the tea"),
    ],
)
def test_instructions_are_called_by_what_they_make(instruction, name):
    assert subject_of(instruction) == name
