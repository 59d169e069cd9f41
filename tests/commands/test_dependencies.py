"""What `envelope dependencies` says of an envelope: with all that was noted when it was sealed, and with less."""

import hashlib
import json

import pytest

from model_envelope.foundation.files import json_bytes
from model_envelope.store.ledger import LedgerWriter

DIGESTS = "--hash=sha256:" + "0" * 64

WITNESS = {
    "format": 1,
    "tool": {"name": "model-envelope", "version": "0.1.0"},
    "kept": [
        {"name": "alpha", "version": "1.0", "reasons": ["pickle: alpha.A", "pickle: alpha.B", "signature: alpha"]},
        {"name": "beta", "version": "2.0", "reasons": ["asked for: --keep"]},
    ],
    "dropped": [
        {"name": "gamma", "version": "1.0", "reason": "comes with alpha"},
        {"name": "sphinx", "version": "8.0", "reason": "asked for: --drop, though alpha requires it"},
        *({"name": f"unused-{n:03}", "version": "1.0", "reason": "not used by the model"} for n in range(200)),
    ],
    "packages": [
        {"name": "alpha", "version": "1.0", "requires": ["gamma"], "size": 1_500_000},
        {"name": "beta", "version": "2.0", "requires": ["delta", "gamma"], "size": 500},
        {"name": "delta", "version": "4.0", "requires": ["epsilon"], "size": None},
        {"name": "epsilon", "version": "5.0", "requires": ["alpha"], "size": 2_000},
        {"name": "gamma", "version": "3.0", "requires": [], "size": 1_000},
    ],
}
LOCK = "".join(
    f"{name} {DIGESTS}\n"
    for name in ("alpha==1.0", "beta==2.0", "delta==4.0", "epsilon==5.0", "gamma==3.0", "zeta==6.0")
)


@pytest.fixture
def packed(sealed, seal):
    """Write an envelope that was sealed with these facts."""

    def write(witness=WITNESS, lock=LOCK, requirements="alpha==1.0\nbeta==2.0\n"):
        (sealed / "env" / "requirements.in").write_text(requirements)
        if lock is None:
            (sealed / "env" / "requirements.lock").unlink()
        else:
            (sealed / "env" / "requirements.lock").write_text(lock)
        seal(sealed)
        content = json_bytes(witness)
        name = hashlib.sha256(content).hexdigest()
        (sealed / "provenance").mkdir()
        (sealed / "provenance" / f"{name}.json").write_bytes(content)
        LedgerWriter(sealed).append("sealed", digest="0" * 64, provenance=name)
        return sealed

    return write


def without(*keys):
    return {key: value for key, value in WITNESS.items() if key not in keys}


def test_a_tree_for_people(cli, packed):
    ran = cli("dependencies", packed())
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.partition("\n")[2] == (
        "2 direct needs, 6 packages with all that comes along, at least 1.5 MB\n"
        "\n"
        "alpha 1.0  1.5 MB\n"
        "├── pickle: alpha.A and 1 more\n"
        "├── signature: alpha\n"
        "└── gamma 3.0  1.0 kB\n"
        "beta 2.0  500 B\n"
        "├── asked for: --keep\n"
        "└── delta 4.0\n"
        "    └── epsilon 5.0  2.0 kB\n"
        "through whom is not known\n"
        "└── zeta 6.0\n"
        "\n"
        "code          doubling\n"
        "\n"
        "not known     the size of delta, zeta: not installed in that version when it was packed, or without a record\n"
        "\n"
        "left out: 201 packages (`--all` names each)\n"
        "  asked for: --drop, though alpha requires it\n"
        "    sphinx\n"
        "  not used by the model\n"
        "    unused-000, unused-001, unused-002, unused-003, unused-004 and 195 more\n"
    )


def test_all_of_it(cli, packed):
    out = cli("dependencies", packed(), "--all").out
    assert "├── pickle: alpha.B\n" in out
    assert "    sphinx 8.0\n" in out
    assert out.count("    unused-") == 200


def test_the_default_fits_a_terminal_of_eighty_columns(cli, packed, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert max(map(len, cli("dependencies", packed(lock=None)).out.splitlines())) <= 80


def test_json(cli, packed):
    result = cli("dependencies", packed(), "--json").result
    assert result.keys() == {
        "path", "name", "digest", "source", "locked", "packages", "local", "left_out", "size", "unknown",
    }  # fmt: skip
    assert (result["source"], result["locked"], result["size"]) == ("env/requirements.lock", True, 1_503_500)
    found = {item["name"]: item for item in result["packages"]}
    assert found["epsilon"] == {
        "name": "epsilon", "version": "5.0", "direct": False, "reasons": [],
        "chain": ["beta", "delta", "epsilon"], "required_by": ["delta"], "size": 2000,
    }  # fmt: skip
    assert found["gamma"]["required_by"] == ["alpha", "beta"]
    assert found["alpha"]["reasons"] == ["pickle: alpha.A", "pickle: alpha.B", "signature: alpha"]
    assert len(result["left_out"]) == 201


def test_an_envelope_without_a_lock_shows_what_would_come_along(cli, packed):
    envelope = packed(lock=None)
    out = cli("dependencies", envelope).out
    assert "not locked: `envelope lock` does it" in out
    assert "└── gamma 3.0" in out
    assert "zeta" not in out


def test_without_provenance_the_requirements_alone_are_told(cli, packed):
    envelope = packed()
    for path in (envelope / "provenance").iterdir():
        path.unlink()
    out = cli("dependencies", envelope).out
    assert (
        "2 direct needs, 6 packages with all that comes along\n\nalpha 1.0\nbeta 2.0\nthrough whom is not known\n"
        in out
    )
    assert "the provenance did not travel with the envelope" in out
    assert "left out" not in out.replace("was left out", "")


def test_what_an_older_version_did_not_note_is_said(cli, packed):
    out = cli("dependencies", packed(without("packages", "left_out"))).out
    assert "├── pickle: alpha.A and 1 more\n" in out
    assert "sizes, and through whom packages come along: model-envelope 0.1.0 did not note it" in out
    # In the lock, so not left out, whatever the reason says.
    assert "comes with alpha" not in out


def test_another_version_than_the_one_that_was_noted_has_no_size(cli, packed):
    lock = LOCK.replace("alpha==1.0", "alpha==1.1").replace("gamma==3.0", "gamma==3.0 ; python_version > '3'")
    found = {item["name"]: item for item in cli("dependencies", packed(lock=lock), "--json").result["packages"]}
    assert (found["alpha"]["version"], found["alpha"]["size"]) == ("1.1", None)
    assert found["gamma"]["size"] == 1000


def test_a_model_that_needs_nothing(cli, sealed):
    assert "no packages: Python alone is enough" in cli("dependencies", sealed).out


def test_provenance_that_was_changed_is_refused(cli, packed):
    envelope = packed()
    (path,) = (envelope / "provenance").iterdir()
    path.write_text(json.dumps(without("dropped")))
    ran = cli("dependencies", envelope, "--json")
    assert ran.code == 1
    assert ran.error["code"] == "provenance.changed"


def test_credentials_in_addresses_are_not_shown(cli, packed):
    envelope = packed(
        lock=f"alpha @ https://me:hunter22@host/alpha-1.0-py3-none-any.whl {DIGESTS}\n",
        requirements="alpha @ https://me:hunter22@host/alpha-1.0-py3-none-any.whl\n",
    )
    for words in ([], ["--all"], ["--json"]):
        ran = cli("dependencies", envelope, *words)
        assert "hunter22" not in ran.out + ran.err
        assert "https://****@host/alpha-1.0-py3-none-any.whl" in ran.out
