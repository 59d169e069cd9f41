"""What the README promises of the command line exists, under these names."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from model_envelope.commands.verbs import VERBS

CHECKOUT = Path(__file__).parent.parent
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", README.replace("\\\n", ""), flags=re.DOTALL | re.MULTILINE)
TYPED = sorted({line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines() if line.startswith("$ ")})


def commands() -> list[list[str]]:
    """Give the words of each command, where `a && b` are two."""
    simple = (part for line in TYPED for part in line.split("&&"))
    return [shlex.split(part, comments=True) for part in simple]


COMMANDS = commands()


def test_the_table_names_every_command():
    table = re.findall(r"^\| (`envelope .+?) \|", README, flags=re.MULTILINE)
    named = [verb for row in table for verb in re.findall(r"`envelope ([a-z]+)`", row)]
    assert sorted(named) == sorted(VERBS)


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] == "envelope"], ids=shlex.join)
def test_every_option_that_is_typed_is_in_the_help(words, envelope):
    shown = envelope(words[1], "--help", env={"COLUMNS": "200", "TERM": "dumb"}).stdout
    for option in (word for word in words[2:] if word.startswith("-")):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", shown), f"`{option}` is not in the help of `{words[1]}`"


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] == "make"], ids=shlex.join)
def test_every_target_that_is_typed_is_in_the_makefile(words):
    assert re.search(rf"^{words[1]}:.*##", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_every_setting_in_the_table_is_read_somewhere():
    code = "".join(path.read_text(encoding="utf-8") for path in (CHECKOUT / "cli").rglob("*.py"))
    for setting in re.findall(r"^\| `(ENVELOPE_[A-Z_]+)", README, flags=re.MULTILINE):
        assert setting in code


def test_every_link_to_a_file_leads_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (CHECKOUT / target).exists(), target


def job_of(words: list[str]):
    from model_envelope.scoring.settings import add_options, read_job

    parser = argparse.ArgumentParser()
    add_options(parser)
    return read_job(parser.parse_args(words), {})


@pytest.mark.parametrize(
    "words",
    [words[2:] for words in COMMANDS if words[:2] == ["envelope", "batch"] and "--job" not in words],
    ids=shlex.join,
)
def test_every_table_that_is_scored_makes_sense(words):
    assert job_of(words).output.url


def test_the_job_file_makes_sense(tmp_path):
    (block,) = re.findall(r"^```yaml\n(envelope:.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    path = tmp_path / "nightly.yaml"
    path.write_text(block, encoding="utf-8")
    job = job_of(["--job", str(path)])
    assert (job.keep, job.quarantine.url) == (("carrier", "dest"), "scored.quarantine")
