"""What a user is told of a pickle without running it, held against what loading it really asks for."""

import collections
import copyreg
import datetime as dt
import decimal
import fractions
import functools
import gzip
import io
import pathlib
import pickle
import pickletools
import uuid
import zipfile
import zlib
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from model_envelope.foundation.errors import InvalidPickle
from model_envelope.inspection.frameworks import recognise
from model_envelope.inspection.pickles import Global, scan_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def scan(tmp_path, content):
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    return scan_pickle(path)


def really_asked_for(content):
    """The truth: what the standard library's unpickler looks up while it loads, under the names that it imports."""
    seen = set()

    class Recorder(pickle.Unpickler):
        def find_class(self, module, name):
            asked = (module, name)
            if self.protocol < 3:
                asked = NAME_MAPPING.get(asked, asked)
                asked = (IMPORT_MAPPING.get(asked[0], asked[0]), asked[1])
            seen.add(Global(*asked))
            return super().find_class(module, name)

    recorder = Recorder(io.BytesIO(content))
    recorder.protocol = content[1] if content[:1] == b"\x80" else 0
    recorder.load()
    return tuple(sorted(seen))


def pipeline():
    x = np.random.default_rng(0).random((40, 3))
    model = make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression())
    return model.fit(x, x[:, 0] > 0.5)


CALLABLES = st.sampled_from([len, str.upper, collections.OrderedDict, dt.datetime.fromisoformat, np.log, min])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(max_size=300),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.datetimes(),
    st.timedeltas(),
    st.uuids(),
    CALLABLES,
    st.sampled_from([int, dict, decimal.Decimal, fractions.Fraction, pathlib.PurePosixPath, uuid.UUID]),
    # Strings that look like the arguments of STACK_GLOBAL, and come back from the memo.
    st.sampled_from(["os", "system", "sklearn.pipeline", "Pipeline", "__main__", "numpy"]),
    st.builds(pathlib.PurePosixPath, st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=5)),
    st.builds(lambda: np.arange(3)),
    st.builds(functools.partial, CALLABLES, st.integers()),
)
HASHABLE = st.one_of(st.integers(), st.text(max_size=5), st.sampled_from(["os", "system"]), st.uuids())
OBJECTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=4),
        st.frozensets(HASHABLE, max_size=4),
        st.sets(HASHABLE, max_size=4),
        st.lists(inner, max_size=3).map(collections.deque),
        st.dictionaries(HASHABLE, inner, max_size=3).map(collections.OrderedDict),
        inner.map(lambda value: [value, value, (value,)]),
    ),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None)
@given(value=OBJECTS, protocol=st.sampled_from(PROTOCOLS), slow=st.booleans(), optimised=st.booleans())
def test_names_what_loading_asks_for(tmp_path_factory, value, protocol, slow, optimised):
    stream = io.BytesIO()
    # The two picklers of the standard library frame and memoize otherwise.
    (pickle._Pickler if slow else pickle.Pickler)(stream, protocol).dump(value)
    content = pickletools.optimize(stream.getvalue()) if optimised else stream.getvalue()
    found = scan(tmp_path_factory.getbasetemp(), content)
    assert found.globals == really_asked_for(content)
    assert found.hidden == 0
    assert found.size == len(content)
    assert found.opcodes == sum(1 for _ in pickletools.genops(content))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_names_what_a_fitted_pipeline_asks_for(tmp_path, protocol):
    content = pickle.dumps(pipeline(), protocol)
    found = scan(tmp_path, content)
    assert found.globals == really_asked_for(content)
    assert found.protocol == protocol
    assert found.root == Global("sklearn.pipeline", "Pipeline")
    assert recognise(found) == "scikit-learn"
    assert not found.by_value


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_bytes_give_a_scan_or_a_plain_error(tmp_path_factory, data):
    content = bytearray(
        pickle.dumps([pathlib.PurePosixPath("a"), {"b": decimal.Decimal(1)}], data.draw(st.sampled_from(PROTOCOLS)))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    told = None
    try:
        scan(tmp_path_factory.getbasetemp(), bytes(content))
    except InvalidPickle as error:
        told = error
    assert told is None or (told.code.startswith("pickle.") and told.hint)


def test_the_last_two_strings_are_not_always_what_is_imported(tmp_path):
    content = pickle.dumps(
        ["collections", "OrderedDict", collections.OrderedDict, "os", "system", collections.OrderedDict]
    )
    assert scan(tmp_path, content).globals == (Global("collections", "OrderedDict"),)


def test_reads_instances_as_python_2_wrote_them(tmp_path):
    assert scan(tmp_path, b"(icollections\nCounter\n.").globals == (Global("collections", "Counter"),)
    binary = b"(ccollections\nCounter\no."
    assert scan(tmp_path, binary).globals == really_asked_for(binary)
    renamed = b"c__builtin__\nxrange\n(K\x03tR."
    assert scan(tmp_path, renamed).globals == (Global("builtins", "range"),)


@pytest.mark.parametrize("code", [0x12, 0x1234, 0x123456])
def test_reads_registered_extensions(tmp_path, code):
    copyreg.add_extension("fractions", "Fraction", code)
    try:
        content = pickle.dumps(fractions.Fraction(1, 3), 2)
        assert scan(tmp_path, content).globals == (Global("fractions", "Fraction"),)
    finally:
        copyreg.remove_extension("fractions", "Fraction", code)
    assert scan(tmp_path, content).unknown_extensions == (code,)


def test_sees_names_that_are_made_while_loading(tmp_path):
    hidden = b"\x80\x04\x8c\x08builtins\x8c\x03str\x93\x8c\x02os\x85R\x8c\x06system\x93."
    assert really_asked_for(hidden) == (Global("builtins", "str"), Global("os", "system"))
    found = scan(tmp_path, hidden)
    assert found.hidden == 1


def test_sees_modules_that_functions_by_value_use(tmp_path):
    factor = decimal.Decimal(2)
    found = scan(tmp_path, cloudpickle.dumps(lambda x: np.log(x) * float(factor)))
    assert found.by_value
    assert found.imports == ("numpy",)
    assert ("numpy", "") in found.references
    assert ("decimal", "Decimal") in found.references


def test_tells_names_of_the_script(tmp_path):
    found = scan(tmp_path, b"\x80\x04\x8c\x08__main__\x8c\x05Scale\x93)\x81.")
    assert found.main_names == ("Scale",)
    assert found.root == Global("__main__", "Scale")
    assert recognise(found) is None


def test_nothing_is_imported_or_run(tmp_path):
    marker = tmp_path / "ran"
    attack = b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    assert scan(tmp_path, attack).globals[0].name == "system"
    assert scan(tmp_path, b"cno_such_module\nThing\n.").globals == (Global("no_such_module", "Thing"),)
    assert not marker.exists()


def test_a_large_pickle_is_read_the_same(tmp_path):
    content = pickle.dumps({"weights": bytes(17_000_000), "kind": decimal.Decimal(1)})
    assert scan(tmp_path, content).globals == (Global("decimal", "Decimal"),)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_truncation_is_told(tmp_path, protocol):
    content = pickle.dumps({"a": [1, 2.5, "text", b"bytes", decimal.Decimal("1.5")]}, protocol)
    for length in range(2, len(content)):
        with pytest.raises(InvalidPickle, match="truncated") as caught:
            scan(tmp_path, content[:length])
        assert caught.value.code == "pickle.truncated"


def archive(*names):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in names:
            file.writestr(name, b"")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", "pickle.empty", "empty"),
        (b"age,distance\n1,2\n", "pickle.not-a-pickle", "no pickle"),
        (b"import pandas\n", "pickle.not-a-pickle", "no pickle"),
        (b'{"learner": {}}', "pickle.not-a-pickle", "JSON"),
        (pickle.dumps(1) + pickle.dumps(2), "pickle.trailing-bytes", "goes on after its end"),
        (pickle.dumps([1])[:-1] + b"\xff.", "pickle.damaged", "0xff"),
        (b"\x80\x09N.", "pickle.unknown-protocol", "protocol is 9"),
        (b"\x80\x04Pname\n.", "pickle.persistent-ids", "persistent"),
        (pickle.dumps(pickle.PickleBuffer(b"x" * 9), 5, buffer_callback=[].append), "pickle.out-of-band", "buffer"),
        (gzip.compress(pickle.dumps(1)), "pickle.not-a-pickle", "gzip"),
        (zlib.compress(pickle.dumps(1)), "pickle.not-a-pickle", "joblib.dump"),
        (archive("model/data.pkl", "model/version"), "pickle.not-a-pickle", "torch.save"),
        (archive("config.json", "metadata.json", "model.weights.h5"), "pickle.not-a-pickle", "Keras"),
        (archive("schema.json"), "pickle.not-a-pickle", "skops"),
        (archive("a.npy"), "pickle.not-a-pickle", "numpy.savez"),
        (archive("a.txt"), "pickle.not-a-pickle", "zip"),
        (b"\x89HDF\r\n\x1a\n....", "pickle.not-a-pickle", "HDF5"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pickle.not-a-pickle", "Git LFS"),
        (b"tree\nversion=v4\n", "pickle.not-a-pickle", "LightGBM"),
    ],
    # Archives hold the time: names made of their bytes would differ from one test process to another.
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_tells_what_is_wrong_with_a_file(tmp_path, content, code, said):
    with pytest.raises(InvalidPickle) as caught:
        scan(tmp_path, content)
    assert caught.value.code == code
    assert said in str(caught.value)
    assert caught.value.hint
    assert "model.pkl" in caught.value.message


def test_tells_a_file_of_joblib(tmp_path):
    import joblib

    path = tmp_path / "model.pkl"
    joblib.dump(pipeline(), path)
    with pytest.raises(InvalidPickle, match=r"joblib\.dump") as caught:
        scan_pickle(path)
    assert "pickle.dump(joblib.load(path), file)" in str(caught.value.hint)


def test_tells_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(InvalidPickle, match="does not exist"):
        scan_pickle(tmp_path / "no.pkl")
    with pytest.raises(InvalidPickle, match="is a folder"):
        scan_pickle(tmp_path)


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ([("xgboost.sklearn", "XGBClassifier")], "xgboost"),
        ([("sklearn.pipeline", "Pipeline"), ("lightgbm.sklearn", "LGBMClassifier")], "lightgbm"),
        ([("statsmodels.regression.linear_model", "RegressionResultsWrapper"), ("numpy", "dtype")], "statsmodels"),
        ([("builtins", "dict")], None),
    ],
)
def test_recognises_the_framework(tmp_path, modules, expected):
    content = b"(" + b"".join(f"c{module}\n{name}\n".encode() for module, name in modules) + b"l."
    assert recognise(scan(tmp_path, content)) == expected
