"""A model that gives what only its own code can describe: packed, proven elsewhere, and asked."""

import json

import pytest
from models import dump, write_module

from model_envelope.runtime.predicting import Predictor
from model_envelope.workflows.pack import Label, SampleFile, pack

RATIOS = """
    import model_envelope as me

    class Ratio:
        def __init__(self, text):
            self.text = text

        @property
        def value(self):
            over, under = self.text.split("/")
            return int(over) / int(under)

    class Span:
        def __init__(self, low: float, high: float):
            self.low, self.high = low, high

    class Model:
        def predict(self, ratio: Ratio, within: Span) -> bool:
            return within.low <= ratio.value <= within.high

        def half(self, ratio: Ratio) -> Ratio:
            over, under = self.text = ratio.text.split("/")
            return Ratio(f"{over}/{2 * int(under)}")
"""
REGISTERED = """
    me.register_type(
        Ratio,
        {"over": int, "under": int},
        make=lambda over, under: Ratio(f"{over}/{under}"),
        read=lambda ratio: dict(zip(("over", "under"), map(int, ratio.text.split("/")))),
    )
"""
SAMPLE = {"ratio": {"over": 3, "under": 4}, "within": {"low": 0.5, "high": 1.0}}


def packed(folder, *, lock=False):
    write_module(folder, "ratios", RATIOS.rstrip() + "\n" + REGISTERED)
    dump(folder, "ratios.Model()", "model.pkl")
    (folder / "samples.json").write_text(json.dumps(SAMPLE))
    return pack(
        folder / "model.pkl",
        samples=SampleFile(folder / "samples.json", "samples.json"),
        into=folder,
        label=Label("ratios"),
        lock=lock,
    )


def test_registered_and_plain_classes_are_asked_for_as_objects_of_their_fields(tmp_path):
    result = packed(tmp_path)
    assert (result.kept, result.local) == ((), ("ratios",))
    method = Predictor.open(result.path).methods["predict"]
    assert method.answer(SAMPLE) is True
    assert method.answer({**SAMPLE, "ratio": {"over": 1, "under": 4}}) is False


@pytest.mark.network
def test_they_are_known_in_a_clean_room_without_this_tool(tmp_path):
    assert packed(tmp_path, lock=True).proven
