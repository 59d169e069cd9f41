"""One method examined: tolerances, given answers, shapes, and the sealed sample."""

import numpy as np
import pandas as pd
import pytest

from model_envelope.inference.examining import (
    CLOSE,
    NARROW,
    Examined,
    compare_with_given,
    encoded,
    tolerance_of,
)
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import AnswersDiffer, InvalidSignature, ModelFailed

FLOAT, INT, TEXT = s.Scalar("float64"), s.Scalar("int64"), s.Scalar("string")
EXACT = s.Tolerance()


def examined(function, samples, *, is_json=False, expected=None):
    found = Examined("predict", None, function, samples, is_json=is_json)
    found.examine(expected)
    return found


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [
        (INT, EXACT),
        (FLOAT, CLOSE),
        (s.Scalar("float32"), NARROW),
        (s.Tensor("float32", (None,)), NARROW),
        (s.List(FLOAT), CLOSE),
        (s.Set(INT), EXACT),
        (s.Tuple((INT, FLOAT)), CLOSE),
        (s.Map(TEXT, FLOAT), CLOSE),
        (s.Record((s.Field("a", FLOAT),)), CLOSE),
        (s.Union((TEXT, FLOAT)), CLOSE),
        (s.Table((s.Column("a", FLOAT, "float64"),)), CLOSE),
        (s.Series(FLOAT, "float64"), CLOSE),
        (s.Any(), CLOSE),
        (s.Choice((1,)), EXACT),
    ],
)
def test_the_tolerance_of_an_answer_is_that_of_its_dtypes(kind, tolerance):
    assert tolerance_of(kind) == tolerance


def test_what_is_found_out_is_sealed_with_the_method():
    found = examined(lambda x: x * 2, np.arange(6.0))
    assert found.method == s.Method(
        (s.Parameter("x", s.Tensor("float64", (None,), batch=0)),),
        s.Tensor("float64", (None,), batch=0),
        row_wise=s.Answer.YES,
        deterministic=s.Answer.YES,
        tolerance=CLOSE,
    )
    assert found.seal(2) == ({"x": [0.0, 1.0]}, [0.0, 2.0])
    assert found.seal(None)[0] == {"x": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]}


def test_a_random_method_is_sealed_as_one():
    generator = np.random.default_rng(1)
    found = examined(lambda x: generator.normal(size=len(x)), np.arange(6.0))
    assert found.method.deterministic is s.Answer.NO
    assert found.method.tolerance == s.Tolerance(s.Closeness.SHAPE)


def test_an_answer_that_is_not_one_a_row_has_its_own_shape():
    found = examined(lambda x: np.cumsum(x.mean(axis=0)), np.ones((6, 3)))
    assert found.method.parameters[0].type == s.Tensor("float64", (None, 3), batch=0)
    assert found.method.returns == s.Tensor("float64", (3,))
    assert found.method.row_wise is s.Answer.NO


WEIGHTS = np.array([1.0, -2.0, 0.5])
CUBE = np.arange(4.0 * 5 * 3).reshape(4, 5, 3) % 7


def of_features_by_samples(x):
    return WEIGHTS @ x


def of_fields_by_samples(x):
    return {"sum": (WEIGHTS @ x).tolist(), "first": x[0].tolist()}


def of_time_by_batch_by_feature(x):
    return np.cumsum(x, axis=0)[-1] @ np.ones((3, 2))


def at_each_time(x):
    return np.cumsum(x, axis=0) @ np.ones((3, 2))


@pytest.mark.parametrize(
    ("function", "samples", "taken", "given"),
    [
        (of_features_by_samples, CUBE[:3, :, 0], ((3, None), 1), ((None,), 0)),
        (lambda x: np.stack([WEIGHTS @ x, x[0]]), CUBE[:3, :, 0], ((3, None), 1), ((2, None), 1)),
        (lambda x: np.linalg.norm(x, axis=0), CUBE[:3, :, 0], ((None, None), 1), ((None,), 0)),
        (of_time_by_batch_by_feature, CUBE, ((None, None, 3), 1), ((None, 2), 0)),
        (at_each_time, CUBE, ((None, 5, 3), 0), ((None, 5, 2), 0)),
    ],
    ids=["features by samples", "both so", "any features by samples", "time by batch by feature", "at each time"],
)
def test_the_axis_of_the_rows_is_found_by_asking(function, samples, taken, given):
    found = examined(function, samples)
    kind, returns = found.method.parameters[0].type, found.method.returns
    assert ((kind.shape, kind.batch), (returns.shape, returns.batch)) == (taken, given)
    assert found.method.row_wise is (s.Answer.YES if kind.batch or returns.batch else s.Answer.NO)


def test_the_rows_that_are_sealed_are_along_their_axis():
    found = examined(of_features_by_samples, CUBE[:3, :, 0])
    body, answer = found.seal(2)
    assert body == {"x": CUBE[:3, :2, 0].tolist()}
    assert answer == (WEIGHTS @ CUBE[:3, :2, 0]).tolist()
    fields = examined(of_fields_by_samples, CUBE[:3, :, 0])
    assert fields.method.parameters[0].type.batch == 1
    assert fields.method.row_wise is s.Answer.YES


def test_two_arrays_of_features_by_samples_go_together():
    def score(x: np.ndarray, y: np.ndarray, scale: float):
        return (WEIGHTS @ x + y.sum(axis=0)) * scale

    x, y = CUBE[:3, :, 0], CUBE[1:4, :, 1]
    found = examined(score, {"x": x, "y": y, "scale": 2.0})
    assert [parameter.type.batch for parameter in found.method.parameters[:2]] == [1, 1]
    assert found.seal(1)[0] == {"x": x[:, :1].tolist(), "y": y[:, :1].tolist(), "scale": 2.0}


def test_rows_of_the_first_axis_that_depend_on_each_other_stay_there():
    found = examined(lambda x: x - x.mean(axis=0), CUBE[:, :, 0])
    assert found.method.parameters[0].type == s.Tensor("float64", (None, 5), batch=0)
    assert found.method.row_wise is s.Answer.NO


def test_an_async_method_is_run_to_its_end():
    async def predict(x: float) -> float:
        return x + 1

    found = examined(predict, {"x": 1.5}, is_json=True)
    assert found.method.is_async
    assert found.seal(5) == ({"x": 1.5}, 2.5)


def test_lists_of_an_argument_are_sealed_whole():
    found = examined(lambda items: [len(item) for item in items], {"items": ["a", "bb", "ccc"]})
    assert found.method.row_wise is s.Answer.YES
    assert found.seal(1) == ({"items": ["a", "bb", "ccc"]}, [1, 2, 3])


def test_what_is_observed_goes_by_parameter():
    found = examined(lambda x, k: x["a"] * k, {"x": pd.DataFrame({"a": [1.0, 3.0]}), "k": 2})
    assert found.observed["inputs"]["x"]["columns"]["a"]["mean"] == 2.0
    assert found.observed["inputs"]["k"]["columns"]["value"]["max"] == 2
    assert found.observed["answers"]["columns"]["value"]["mean"] == 4.0
    assert "model" not in found.observed
    assert examined(lambda x: {"a": [{"b": 1}]}, 1.5).observed.keys() == {"inputs"}


def test_rows_that_are_not_looked_at_are_noted():
    found = examined(lambda x: x + 1, np.arange(5000.0))
    assert found.notes == ("`predict`: whether rows are independent was tried on 1,000 of the 5,000 sample rows",)


def test_answers_that_were_given_are_held_against_the_models():
    examined(lambda x: x * 2, np.arange(3.0), expected=np.array([0.0, 2.0, 4.0]))
    examined(lambda x: x * 2, np.arange(3.0), expected=pd.DataFrame({"y": [0.0, 2.0, 4.0]}))
    with pytest.raises(AnswersDiffer) as caught:
        examined(lambda x: x * 2, np.arange(3.0), expected=np.array([0.0, 2.0, 5.0]))
    assert [problem.path for problem in caught.value.problems] == ["$[2]"]
    with pytest.raises(AnswersDiffer):
        compare_with_given("predict", [1, 2], [1, 3], EXACT)


def test_an_answer_that_json_cannot_say():
    with pytest.raises(InvalidSignature) as caught:
        encoded(INT, "text")
    assert caught.value.code == "signature.answer"


@pytest.mark.parametrize("samples", [np.zeros((0, 2)), []])
def test_no_rows(samples):
    with pytest.raises(InvalidSignature) as caught:
        Examined("predict", None, lambda x: x, samples, is_json=False)
    assert caught.value.code == "samples.empty"


def test_what_the_model_raises_is_told_with_its_own_lines():
    def predict(x):
        raise ValueError("no such thing")

    with pytest.raises(ModelFailed, match="no such thing") as caught:
        examined(predict, 1.5)
    assert 'raise ValueError("no such thing")' in caught.value.detail
    assert caught.value.hint


def test_memory_errors_are_not_the_models_fault():
    def predict(x):
        raise MemoryError

    with pytest.raises(MemoryError):
        examined(predict, 1.5)


def test_a_method_without_parameters_that_samples_are_for():
    with pytest.raises(InvalidSignature) as caught:
        Examined("predict", None, lambda: 1, 1.5, is_json=False)
    assert caught.value.code == "signature.no-parameters"
