import json
import multiprocessing

import pytest

from model_envelope.foundation.errors import InvalidInput
from model_envelope.runtime.errors import InvalidEnvelope
from model_envelope.store.ledger import append_metrics, append_tags, read_ledger


def test_the_latest_is_shown_and_the_history_kept(tmp_path):
    append_metrics(tmp_path, {"auc": 0.7})
    append_metrics(tmp_path, {"auc": 0.72, "brier": 0.1})
    ledger = read_ledger(tmp_path)
    assert ledger.metrics == {"auc": 0.72, "brier": 0.1}
    assert [(entry.name, entry.value) for entry in ledger.history] == [("auc", 0.7), ("auc", 0.72), ("brier", 0.1)]


def test_an_empty_tag_is_taken_away(tmp_path):
    append_tags(tmp_path, {"stage": "canary", "team": "air"})
    append_tags(tmp_path, {"stage": ""})
    assert read_ledger(tmp_path).tags == {"team": "air"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.7", True, None])
def test_a_metric_is_a_finite_number(tmp_path, value):
    with pytest.raises(InvalidInput) as caught:
        append_metrics(tmp_path, {"auc": value})
    assert caught.value.code == "metric.not-a-number"
    assert not (tmp_path / "ledger.jsonl").exists()


def test_a_line_that_was_changed_shows(tmp_path):
    append_tags(tmp_path, {"stage": "canary"})
    append_tags(tmp_path, {"stage": "production"})
    path = tmp_path / "ledger.jsonl"
    path.write_text(path.read_text().replace("canary", "nothing"))
    with pytest.raises(InvalidEnvelope, match="line 2"):
        read_ledger(tmp_path)


def test_a_line_that_was_taken_out_shows(tmp_path):
    for stage in ("a", "b", "c"):
        append_tags(tmp_path, {"stage": stage})
    path = tmp_path / "ledger.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[2])
    with pytest.raises(InvalidEnvelope, match="ledger"):
        read_ledger(tmp_path)


def _append(folder, who):
    for number in range(20):
        append_tags(folder, {f"{who}-{number}": "x"})


def test_two_writers_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append, args=(tmp_path, who)) for who in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(read_ledger(tmp_path).tags) == 40


def test_a_line_names_who_and_when(tmp_path):
    append_tags(tmp_path, {"stage": "canary"})
    line = json.loads((tmp_path / "ledger.jsonl").read_text())
    assert line["author"]
    assert line["time"].endswith("Z")
    assert line["previous"] is None
