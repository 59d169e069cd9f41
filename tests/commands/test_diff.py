import json

import pytest
from handmade import SCORER_METHODS, make_envelope

from model_envelope.runtime import signature as s

LOCK = b"numpy==2.1.0 \\\n    --hash=sha256:%s\n"


@pytest.fixture
def pair(tmp_path):
    """Two envelopes: the second wants whole numbers, and has another numpy."""
    methods = dict(SCORER_METHODS)
    _, *rest = methods["predict"].parameters
    narrower = s.Parameter("x", s.Scalar("int64"))
    changed = {**methods, "predict": s.Method((narrower, *rest), methods["predict"].returns)}
    old = make_envelope(tmp_path / "old", lock=LOCK % (b"a" * 64))
    new = make_envelope(tmp_path / "new", methods=changed, lock=(LOCK % (b"b" * 64)).replace(b"2.1.0", b"2.2.0"))
    return old, new


def test_a_breaking_change_is_shown_with_a_request_and_ends_with_3(cli, pair):
    ran = cli("diff", *pair)
    assert ran.code == 3
    assert ran.out.splitlines()[0].startswith("- scorer  ")
    assert ran.out.splitlines()[2:] == [
        "",
        "files",
        "~ env/requirements.lock",
        "~ signature.json",
        "",
        "packages (env/requirements.lock)",
        "~ numpy 2.1.0 -> 2.2.0",
        "",
        "signature: breaking",
        "! predict $.x: was float64, is int64",
        '    {"x": 0.5, "y": []}'.replace("[]", "[1]"),
    ]
    assert (
        "error[diff.breaking]: scorer cannot take the place of scorer: a change breaks who asks the old one" in ran.err
    )
    assert "predict $.x: found int64, expected float64, as before" in ran.err
    assert "\nhint: " in ran.err


def test_json(cli, pair):
    ran = cli("diff", *pair, "--json")
    assert ran.code == 3
    assert ran.document.keys() == {"format", "command", "ok", "result", "error"}
    result = ran.document["result"]
    assert result.keys() == {
        "old", "new", "old_digest", "new_digest", "identical", "files", "dependencies", "signature",
    }  # fmt: skip
    assert result["files"] == {"added": [], "removed": [], "changed": ["env/requirements.lock", "signature.json"]}
    assert result["dependencies"] == {
        "source": "env/requirements.lock",
        "added": {},
        "removed": {},
        "changed": [{"name": "numpy", "old": "2.1.0", "new": "2.2.0"}],
    }
    assert result["signature"] == {
        "verdict": "breaking",
        "changes": [
            {
                "method": "predict", "path": "$.x", "was": "float64", "now": "int64", "breaking": True,
                "payload": {"x": 0.5, "y": [1]},
            }
        ],
    }  # fmt: skip


def test_a_compatible_change_ends_with_0(cli, pair):
    ran = cli("diff", *reversed(pair))
    assert (ran.code, ran.err) == (0, "")
    assert "signature: compatible" in ran.out
    assert "  predict $.x: was int64, is float64" in ran.out


def test_one_envelope_is_identical_to_itself(cli, scorer):
    ran = cli("diff", scorer, scorer)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith("identical: one digest\n")


def test_a_long_request_is_cut_in_the_text_alone(cli, tmp_path):
    names = [f"column_{at}" for at in range(60)]

    def envelope(folder, *names):
        columns = tuple(s.Column(name, s.Scalar("float64"), "float64") for name in names)
        methods = {"predict": s.Method((s.Parameter("x", s.Table(columns)),), s.Scalar("float64"))}
        return make_envelope(tmp_path / folder, methods=methods, samples={})

    old, new = envelope("old", *names), envelope("new", *names, "more")
    assert "… (`--json` has all of it)" in cli("diff", old, new).out
    (change,) = cli("diff", old, new, "--json").document["result"]["signature"]["changes"]
    assert list(change["payload"]["x"][0]) == names
    assert len(json.dumps(change["payload"])) > 300
