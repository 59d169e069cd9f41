"""What fitted models know, by the libraries' own classes."""

import sys

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from model_envelope.inference.examining import Examined
from model_envelope.inference.knowledge import Knowledge, described, knowledge_of, narrowed, objections
from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.errors import InvalidSignature, ModelFailed

FRAME = pd.DataFrame(
    {
        "origin": ["EWR", "JFK", "LGA"] * 10,
        "carrier": ["UA", "AA"] * 15,
        "hour": [6, 12, 18] * 10,
        "delay": np.linspace(-5, 60, 30),
    }
)
LATE = np.array(["no", "yes"] * 15)
TEXTS = ["origin", "carrier"]
ORIGINS, CARRIERS = ("EWR", "JFK", "LGA"), ("AA", "UA")


class Lower(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X.assign(origin=X["origin"].str.lower())


class OwnEncoder(OneHotEncoder):
    def transform(self, X):
        return super().transform(X.where(X.isin(ORIGINS), "EWR"))


class Wrapper(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.feature_names_in_ = np.array(X.columns)
        self.n_features_in_ = X.shape[1]
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: list[str]):
        return np.array(["no"] * len(X))


def fitted(*steps, frame=FRAME, last=None):
    return make_pipeline(*steps, last or LogisticRegression()).fit(frame, LATE[: len(frame)])


def accepted(model):
    return dict(knowledge_of(model, model.predict).accepted)


def one_hot(columns, **options):
    return make_column_transformer((OneHotEncoder(**options), columns))


def test_names_number_and_classes():
    model = LogisticRegression().fit(FRAME[["hour", "delay"]], LATE)
    found = knowledge_of(model, model.predict)
    assert (found.features, found.count, found.classes) == (("hour", "delay"), 2, ("no", "yes"))
    assert (found.needed, found.exact) == (("hour", "delay"), True)
    assert found.to_document() == {"features": ["hour", "delay"], "feature_count": 2, "classes": ["no", "yes"]}
    unnamed = LogisticRegression().fit(FRAME[["hour", "delay"]].to_numpy(), np.array([0, 1] * 15))
    assert knowledge_of(unnamed, unnamed.predict).to_document() == {"feature_count": 2, "classes": [0, 1]}


def test_models_of_others_and_unfitted_ones_know_nothing():
    assert knowledge_of(object(), print) == Knowledge()
    model = make_pipeline(StandardScaler(), LogisticRegression())
    assert knowledge_of(model, model.predict).to_document() == {}


@pytest.mark.parametrize(
    "columns",
    [
        TEXTS, [0, 1], [-4, -3], slice(0, 2), slice("origin", "carrier"), slice(None, "carrier"),
        [True, True, False, False], np.array(TEXTS), np.array([0, 1]), lambda frame: TEXTS,
    ],
    ids=["names", "positions", "from the end", "slice", "slice of names", "open slice", "mask", "array", "numbers",
         "callable"],
)  # fmt: skip
def test_a_column_that_reaches_an_encoder(columns):
    assert accepted(fitted(one_hot(columns))) == {"origin": ORIGINS, "carrier": CARRIERS}


def test_one_column_by_its_name_alone():
    model = fitted(ColumnTransformer([("a", make_pipeline(OneHotEncoder()), ["origin"]), ("b", "drop", "carrier"),
                                      ("c", "passthrough", ["hour"])]))  # fmt: skip
    assert accepted(model) == {"origin": ORIGINS}
    assert knowledge_of(model, model.predict).needed == ("origin", "hour")


@pytest.mark.parametrize(
    "model",
    [
        lambda: fitted(FunctionTransformer(), one_hot(["origin"])),
        lambda: fitted("passthrough", one_hot(["origin"])),
        lambda: fitted(one_hot(["origin"]), StandardScaler(with_mean=False)),
        lambda: fitted(make_pipeline(one_hot(["origin"]))),
        lambda: fitted(make_union(one_hot(["origin"]), make_column_transformer((StandardScaler(), ["delay"])))),
        lambda: fitted(FeatureUnion([("a", "drop"), ("b", one_hot(["origin"]))])),
        lambda: fitted(make_column_transformer((make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
                                                ["origin"]))),
        lambda: fitted(make_column_transformer((OrdinalEncoder(), ["origin"]))),
        lambda: GridSearchCV(fitted(one_hot(["origin"])), {"logisticregression__C": [1.0]}, cv=2).fit(FRAME, LATE),
        lambda: VotingClassifier([("a", fitted(one_hot(["origin"])))]).fit(FRAME, LATE),
        lambda: fitted(make_column_transformer((FrozenEstimator(OneHotEncoder().fit(FRAME[["origin"]])), ["origin"]))),
    ],
    ids=["identity", "passthrough", "scaled later", "nested", "union", "union with a hole", "imputed", "ordinal",
         "search", "voting", "frozen"],
)  # fmt: skip
def test_untouched_ways_to_an_encoder(model):
    assert accepted(model()) == {"origin": ORIGINS}


def test_a_regression_of_a_transformed_target():
    inner = make_pipeline(one_hot(["origin"]), LinearRegression())
    model = TransformedTargetRegressor(inner).fit(FRAME, FRAME["delay"])
    assert accepted(model) == {"origin": ORIGINS}


@pytest.mark.parametrize(
    "model",
    [
        lambda: fitted(FunctionTransformer(lambda frame: frame.assign(origin=frame["origin"].str.lower())),
                       one_hot(["origin"])),
        lambda: fitted(Lower(), one_hot(["origin"])),
        lambda: fitted(make_column_transformer((OwnEncoder(), ["origin"]))),
        lambda: fitted(one_hot(["origin"], handle_unknown="ignore")),
        lambda: fitted(make_column_transformer((OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
                                                ["origin"]))),
        lambda: fitted(make_column_transformer((make_pipeline(SimpleImputer(missing_values="LGA", strategy="constant",
                                                                            fill_value="EWR"), OneHotEncoder()),
                                                ["origin"]))),
        lambda: fitted(make_column_transformer((make_pipeline(SimpleImputer(strategy="constant", add_indicator=True),
                                                              OneHotEncoder()), ["origin"])),
                       frame=FRAME.assign(origin=FRAME["origin"].where(FRAME["hour"] > 6))),
        lambda: fitted(make_column_transformer((StandardScaler(), ["delay"]), ("passthrough", ["hour"])),
                       OneHotEncoder(sparse_output=False)),
    ],
    ids=["derived", "own step", "own encoder", "ignored", "a value for unknowns", "an imputer of values",
         "an indicator beside it", "after a column transformer"],
)  # fmt: skip
def test_a_column_that_something_touches_stays_free(model):
    assert accepted(model()) == {}


def test_two_encoders_of_one_column_accept_what_both_do():
    narrow = OrdinalEncoder(categories=[["EWR", "JFK"]])
    some = FRAME[FRAME["origin"] != "LGA"].reset_index(drop=True)
    model = fitted(make_column_transformer((OneHotEncoder(categories=[["EWR", "JFK", "LGA"]]), ["origin"]),
                                           (narrow, ["origin"])), frame=some)  # fmt: skip
    assert accepted(model) == {"origin": ("EWR", "JFK")}


def test_nulls_and_infinities_are_no_categories():
    frame = FRAME.assign(origin=FRAME["origin"].where(FRAME["hour"] > 6), delay=[np.inf, 1.0, 2.0] * 10)
    model = fitted(make_column_transformer((OneHotEncoder(), ["origin"]), (OneHotEncoder(categories=[[1.0, 2.0]],
                   handle_unknown="ignore"), ["hour"])), frame=frame)  # fmt: skip
    assert accepted(model) == {"origin": ("JFK", "LGA")}


def columns_of(model, frame=FRAME):
    found = narrowed(type_of(frame), knowledge_of(model, model.predict))
    return {column.name: column.type for column in found.columns}


def test_a_column_becomes_a_choice_of_what_the_encoder_accepts():
    model = fitted(make_column_transformer((OneHotEncoder(), ["origin", "hour"]), (OneHotEncoder(), ["delay"])))
    found = columns_of(model)
    assert found["origin"] == s.Choice(ORIGINS)
    assert found["hour"] == s.Choice((6, 12, 18))
    assert found["delay"] == s.Scalar("float64")  # JSON writes 1.0 as 1
    assert found["carrier"] == s.Scalar("string")
    wide = FRAME.assign(origin=pd.Categorical(FRAME["origin"], categories=["SFO", "LGA", "JFK", "EWR"]))
    assert columns_of(model, wide)["origin"].values == ("LGA", "JFK", "EWR")


def test_types_without_columns_are_left_alone():
    model = fitted(one_hot(["origin"]))
    known = knowledge_of(model, model.predict)
    assert narrowed(s.List(s.Any()), known) == s.List(s.Any())
    assert objections(s.List(s.Any()), known, "$.X") == []


def problems(model, frame):
    found = objections(type_of(frame), knowledge_of(model, model.predict), "$.X")
    return [str(problem) for problem in found]


def test_a_model_of_exact_columns():
    model = RandomForestClassifier(2).fit(FRAME[["hour", "delay"]], LATE)
    assert problems(model, FRAME[["hour", "delay"]]) == []
    assert problems(model, FRAME[["hour"]].assign(noon=1)) == [
        "$.X.delay: found no such column in the samples, expected a column that the model was fitted with",
        (
            "$.X.noon: found a column in the samples, "
            "expected one of those that the model was fitted with: 'hour', 'delay'"
        ),
    ]
    assert problems(model, FRAME[["delay", "hour"]]) == [
        (
            "$.X: found the columns delay, hour in the samples, "
            "expected the order that the model was fitted with: hour, delay"
        )
    ]
    array = RandomForestClassifier(2).fit(FRAME[["hour", "delay"]].to_numpy(), LATE)
    assert problems(array, np.zeros((2, 3))) == [
        "$.X: found 3 features in the samples, expected 2, as the model was fitted with"
    ]
    assert problems(array, pd.DataFrame(np.zeros((2, 3)))) == [
        "$.X: found 3 columns in the samples, expected 2, as the model was fitted with"
    ]
    assert problems(array, np.zeros((2, 2))) == problems(array, pd.DataFrame(np.zeros((2, 2)))) == []


def test_a_model_that_picks_its_columns():
    model = fitted(one_hot(["origin"]))
    assert problems(model, FRAME[["carrier", "origin"]].assign(noon=1)) == []
    assert problems(model, FRAME[["carrier"]]) == [
        "$.X.origin: found no such column in the samples, expected a column that the model was fitted with"
    ]
    assert problems(model, FRAME.assign(origin=7)) == [
        (
            "$.X.origin: found int64 in the samples, "
            "expected one of those that the model's encoder was fitted with: 'EWR', 'JFK', 'LGA'"
        )
    ]
    loose = fitted(FunctionTransformer(lambda frame: frame[["delay"]]), StandardScaler())
    assert problems(loose, FRAME[["delay"]]) == []
    search = GridSearchCV(model, {"logisticregression__C": [1.0]}, cv=2).fit(FRAME, LATE)
    assert problems(search, FRAME[["origin"]]) == []


def test_xgboost_knows_names_and_types():
    numbers = FRAME[["hour", "delay"]]
    model = xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(numbers, LATE == "yes")
    found = knowledge_of(model, model.predict)
    assert (found.features, found.types, found.exact) == (("hour", "delay"), {"hour": "int", "delay": "float"}, True)
    booster = knowledge_of(model.get_booster(), model.get_booster().predict)
    assert (booster.features, booster.count) == (("hour", "delay"), 2)
    assert booster.types == {"hour": "int", "delay": "float"}


def test_lightgbm_knows_names_as_it_spells_them():
    numbers = FRAME[["hour", "delay"]].rename(columns={"delay": "delay in minutes"})
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1, min_child_samples=1).fit(numbers, LATE)
    assert knowledge_of(model, model.predict).features == ("hour", "delay_in_minutes")
    assert problems(model, numbers) == []
    assert problems(model, numbers[["delay in minutes", "hour"]]) != []
    booster = model.booster_
    assert knowledge_of(booster, booster.predict).features == ("hour", "delay_in_minutes")
    plain = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(numbers.to_numpy(), LATE == "yes"), 1)
    assert knowledge_of(plain, plain.predict).features == ()


def examined(model, value, name="predict"):
    found = Examined(name, model, getattr(model, name), value, is_json=False)
    found.examine(None)
    return found


def test_what_the_model_knows_is_sealed_with_the_method():
    found = examined(fitted(one_hot(["origin"])), FRAME[["origin", "delay"]])
    assert found.method.parameters[0].type.columns[0].type == s.Choice(ORIGINS)
    assert (found.method.row_wise, found.method.deterministic) == (s.Answer.YES, s.Answer.YES)
    assert found.observed["model"]["accepted"] == {"origin": list(ORIGINS)}
    assert found.observed["model"]["classes"] == ["no", "yes"]
    body, answer = found.seal(2)
    assert [row["origin"] for row in body["X"]] == ["EWR", "JFK"]
    assert len(answer) == 2


def test_a_sample_that_the_encoder_refuses_is_named():
    with pytest.raises(InvalidSignature) as caught:
        examined(fitted(one_hot(["origin"])), FRAME.assign(origin=["SFO", "EWR", "SEA"] * 10))
    assert caught.value.code == "signature.disagreement"
    assert [str(problem) for problem in caught.value.problems] == [
        (
            "$.X[*].origin: found 'SEA', 'SFO' in the samples, "
            "expected one of those that the model's encoder was fitted with: 'EWR', 'JFK', 'LGA'"
        )
    ]


def test_a_column_that_is_missing_is_named_before_the_model_is_asked():
    with pytest.raises(InvalidSignature, match="the samples and the fitted model disagree about `predict`") as caught:
        examined(fitted(one_hot(TEXTS)), FRAME[["delay"]])
    assert [problem.path for problem in caught.value.problems] == ["$.X.origin", "$.X.carrier"]


def test_a_value_that_the_model_answers_all_the_same_leaves_the_column_free(monkeypatch):
    model = fitted(one_hot(["origin"], handle_unknown="ignore"))
    model.named_steps["columntransformer"].named_transformers_["onehotencoder"].handle_unknown = "error"
    encoder = model.named_steps["columntransformer"].named_transformers_["onehotencoder"]
    monkeypatch.setattr(type(encoder), "transform", lambda self, X: np.zeros((len(X), 3)))
    found = examined(model, FRAME.assign(origin=["SFO", "EWR", "LGA"] * 10))
    assert found.method.parameters[0].type.columns[0].type == s.Scalar("string")


def test_a_model_that_fails_for_another_reason_says_its_own():
    model = fitted(one_hot(["origin"]))
    model.named_steps["logisticregression"].coef_ = None
    with pytest.raises(ModelFailed):
        examined(model, FRAME)


def test_annotation_sample_and_model_in_one_error():
    model = Wrapper().fit(FRAME[["hour", "delay"]], LATE)
    with pytest.raises(InvalidSignature) as caught:
        examined(model, FRAME[["hour"]])
    assert caught.value.code == "signature.disagreement"
    assert "the annotation, the samples and the fitted model disagree" in caught.value.message
    said = "\n".join(map(str, caught.value.problems))
    assert "by the annotation" in said
    assert "$.X.delay: found no such column in the samples, expected a column that the model was fitted with" in said


def test_annotation_and_sample_without_a_model_that_knows_better():
    class Plain:
        def predict(self, x: list[int]):
            return x

    with pytest.raises(InvalidSignature) as caught:
        examined(Plain(), ["a"])
    assert "annotation" in caught.value.message
    assert "fitted" not in caught.value.message


def test_samples_without_rows():
    with pytest.raises(InvalidSignature) as caught:
        examined(fitted(one_hot(["origin"])), FRAME[:0])
    assert caught.value.code in {"samples.empty", "signature.empty-column"}


def test_a_torch_module_is_described_by_its_forward(monkeypatch):
    module = type("Module", (), {"__module__": "torch.nn.modules.module", "__qualname__": "Module"})

    class Net(module):
        def __call__(self, *args, **kwargs):
            return self.forward(*args, **kwargs)

        def forward(self, x: float, k: int = 2) -> float:
            return x * k

    net = Net()
    assert described(net) == net.forward
    assert described(print) is print
    found = Examined("predict", net, net, {"x": 1.5}, is_json=True)
    assert [(item.name, item.required) for item in found.parameters] == [("x", True), ("k", False)]
    assert found.examine(None).returns == s.Scalar("float64")


def test_nothing_is_imported_to_look_for_knowledge():
    assert "torch" not in sys.modules


def test_a_pipeline_without_steps_that_do_anything():
    model = Pipeline([("nothing", "passthrough"), ("last", LogisticRegression())]).fit(FRAME[["delay"]], LATE)
    assert problems(model, FRAME[["hour"]]) != []
