"""What an audit tells: what speaks against packages, and what nobody could answer, which is never told as nothing."""

import json
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from model_envelope.foundation.files import json_bytes

HASHES = {name: f"sha256:{letter * 64}" for name, letter in (("alpha", "a"), ("beta-lib", "b"), ("gamma", "c"))}
LOCK = "".join(f"{name}==1.{at}.0 \\\n    --hash={value}\n" for at, (name, value) in enumerate(HASHES.items()))
ADVISORY = {
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-0001"],
    "summary": "Reads what it should not",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Beta_Lib"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2"}]}],
        }
    ],
}


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_PROXY", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_TIMEOUT", "5")


@pytest.fixture
def locked(sealed, seal):
    """Give an envelope a lock, and licences in its provenance."""

    def make(lock=LOCK):
        (sealed / "env" / "requirements.lock").write_text(lock)
        return seal(sealed)

    return make


@pytest.fixture
def advisories(tmp_path):
    def write(*documents):
        path = tmp_path / "advisories.json"
        path.write_text(json.dumps(list(documents)))
        return path

    return write


@pytest.fixture
def index(monkeypatch):
    """An index on this machine: pages by project, as JSON where these are lists of files, else as HTML."""
    pages = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            page = pages.get(self.path.strip("/").removeprefix("simple/"))
            if isinstance(page, int) or page is None:
                self.send_error(page or 404)
                return
            body = json.dumps({"files": page}).encode() if isinstance(page, list) else page.encode()
            kind = "application/vnd.pypi.simple.v1+json" if isinstance(page, list) else "text/html"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:secret@127.0.0.1:{server.server_port}/simple")
    for name, value in HASHES.items():
        kind, _, digest = value.partition(":")
        pages[name] = [{"filename": f"{name}.whl", "hashes": {kind: digest}, "yanked": False}]
    yield pages
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def pip_audit(tmp_path, monkeypatch):
    """Let a stand-in say what pip-audit says."""

    def say(text, code=0):
        folder = tmp_path / "stand-in"
        folder.mkdir(exist_ok=True)
        (folder / "pip_audit.py").write_text(f"import sys\nsys.stdout.write({text!r})\nsys.exit({code})\n")
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("PYTHONPATH", str(folder))

    return say


def said_of(*packages, **vulnerable):
    listed = [{"name": name, "version": "1.0", "vulns": vulnerable.get(name, [])} for name in packages]
    return json.dumps({"dependencies": listed, "fixes": []})


def test_nothing_found_where_all_was_asked(cli, locked, index, pip_audit):
    pip_audit(said_of(*HASHES))
    ran = cli("audit", locked())
    assert ran.code == 0, ran.err
    assert "vulnerabilities none found (pip-audit)\n" in ran.out
    assert "yanked          none found (index)\n" in ran.out
    assert "unhashed        none\n" in ran.out
    assert "licences           3  not known\n" in ran.out


def test_a_vulnerability_of_an_offline_file_is_a_no(cli, locked, advisories):
    ran = cli("audit", locked(), "--offline", "--advisories", advisories(ADVISORY))
    assert ran.code == 3
    assert "error[audit.found]: 1 thing speaks against the packages of doubler" in ran.err
    assert "beta-lib 1.1.0: found PYSEC-2026-1, CVE-2026-0001 (Reads what it should not); fixed in 1.2" in ran.err
    assert "vulnerabilities 1 found (advisories.json)\n" in ran.out


def test_json(cli, locked, advisories):
    ran = cli("audit", locked(), "--offline", "--advisories", advisories(ADVISORY), "--json")
    assert ran.code == 3
    assert ran.error["code"] == "audit.found"
    result = ran.document["result"]
    assert result.keys() == {"path", "name", "digest", "packages", "findings", "ignored", "asked", "offline"}
    (found,) = result["findings"]
    assert found == {
        "kind": "vulnerability",
        "package": "beta-lib",
        "version": "1.1.0",
        "id": "PYSEC-2026-1",
        "text": "Reads what it should not",
        "aliases": ["CVE-2026-0001"],
        "fixed_in": ["1.2"],
        "source": "advisories.json",
    }
    assert [item["question"] for item in result["asked"]] == ["vulnerabilities", "yanked", "licences"]
    assert result["asked"][1]["not_asked"] == dict.fromkeys(HASHES, "nobody was asked (--offline)")


@pytest.mark.parametrize("word", ["pysec-2026-1", "CVE-2026-0001", "beta-lib"])
def test_what_is_known_is_no_finding(cli, locked, advisories, word):
    ran = cli("audit", locked(), "--offline", "--advisories", advisories(ADVISORY), "--ignore", word)
    assert ran.code == 0, ran.err
    assert "ignored         beta-lib PYSEC-2026-1\n" in ran.out


def affected(**parts):
    return {**ADVISORY, "affected": [{**ADVISORY["affected"][0], "ranges": [], **parts}]}


def events(*pairs):
    return {"ranges": [{"type": "ECOSYSTEM", "events": [dict([pair]) for pair in pairs]}]}


@pytest.mark.parametrize(
    ("parts", "version", "found"),
    [
        (events(("introduced", "1.1"), ("fixed", "1.2")), "1.1.0", True),
        (events(("introduced", "1.1.1"), ("fixed", "1.2")), "1.1.0", False),
        (events(("fixed", "1.1.0"), ("introduced", "0")), "1.1.0", False),
        (events(("introduced", "0"), ("last_affected", "1.1.0")), "1.1.0", True),
        (events(("introduced", "0"), ("last_affected", "1.0.9")), "1.1.0", False),
        (events(("introduced", "0"), ("fixed", "1.0"), ("introduced", "1.1")), "1.1.0", True),
        (events(("introduced", "0"), ("fixed", "1.2")), "1.1.0+cpu", True),
        (events(("introduced", "no version")), "1.1.0", True),
        ({"versions": ["1.1"]}, "1.1.0", True),
        ({"versions": ["1.1.1"]}, "1.1.0", False),
        ({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, "1.1.0", False),
        ({"package": {"ecosystem": "npm", "name": "beta-lib"}, "versions": ["1.1.0"]}, "1.1.0", False),
    ],
)
def test_which_versions_an_advisory_is_about(cli, locked, advisories, parts, version, found):
    envelope = locked(LOCK.replace("beta-lib==1.1.0", f"beta-lib=={version}"))
    ran = cli("audit", envelope, "--offline", "--advisories", advisories(affected(**parts)))
    assert ran.code == (3 if found else 0), ran.err


def test_an_advisory_that_was_withdrawn_does_not_count(cli, locked, advisories):
    path = advisories({**ADVISORY, "withdrawn": "2026-02-01T00:00:00Z"})
    assert cli("audit", locked(), "--offline", "--advisories", path).code == 0


def test_advisories_in_a_folder_an_archive_and_lines(cli, locked, tmp_path):
    folder = tmp_path / "osv"
    (folder / "2026").mkdir(parents=True)
    (folder / "2026" / "one.json").write_bytes(json_bytes(ADVISORY))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("PYSEC-2026-1.json", json.dumps(ADVISORY))
    (tmp_path / "lines.jsonl").write_text(f"{json.dumps(ADVISORY)}\n{json.dumps({**ADVISORY, 'id': 'B'})}\n")
    for path in (folder, tmp_path / "all.zip", tmp_path / "lines.jsonl"):
        ran = cli("audit", locked(), "--offline", "--advisories", path)
        assert ran.code == 3, ran.err
        assert ran.err.count("CVE-2026-0001") == 1


@pytest.mark.parametrize("content", ["{", "[1]", '{"id": "A", "affected": [{"package": {"ecosystem": "PyPI"}}]}'])
def test_a_file_that_holds_no_advisories_is_told(cli, locked, tmp_path, content):
    (tmp_path / "bad.json").write_text(content)
    ran = cli("audit", locked(), "--offline", "--advisories", tmp_path / "bad.json")
    assert ran.code == 1
    assert "error[audit.advisories]" in ran.err
    assert "OSV format" in ran.err


@pytest.mark.parametrize("page", ["json", "html"])
def test_a_yanked_package_is_a_no_with_the_reason(cli, locked, index, pip_audit, page):
    pip_audit(said_of(*HASHES))
    digest = HASHES["alpha"].partition(":")[2]
    if page == "json":
        index["alpha"][0]["yanked"] = "breaks on Sundays"
    else:
        index["alpha"] = f'<a href="a.whl#sha256={digest}" data-yanked="breaks on Sundays">a.whl</a>'
    ran = cli("audit", locked())
    assert ran.code == 3
    assert "alpha 1.0.0: found it was yanked from the index (breaks on Sundays)" in ran.err


def test_another_file_of_the_version_that_was_yanked_does_not_count(cli, locked, index, pip_audit):
    pip_audit(said_of(*HASHES))
    index["alpha"].append({"filename": "alpha.tar.gz", "hashes": {"sha256": "f" * 64}, "yanked": True})
    assert cli("audit", locked()).code == 0


def test_an_index_in_a_folder(cli, locked, tmp_path, pip_audit, monkeypatch):
    pip_audit(said_of(*HASHES))
    for name, value in HASHES.items():
        (tmp_path / "simple" / name).mkdir(parents=True)
        link = f'<a href="{name}.whl#{value.replace(":", "=")}" data-yanked>x</a>'
        (tmp_path / "simple" / name / "index.html").write_text(link)
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri())
    ran = cli("audit", locked())
    assert ran.code == 3
    assert ran.err.count("yanked from the index (no reason is given)") == 3


def test_a_package_without_a_hash_is_a_no(cli, locked):
    ran = cli("audit", locked(LOCK + "delta==2.0\n"), "--offline")
    assert ran.code == 3
    assert "delta 2.0: found no hash" in ran.err
    assert "unhashed        1\n" in ran.out


def test_an_index_that_does_not_answer_is_no_clean_bill(cli, locked, pip_audit):
    pip_audit(said_of(*HASHES))
    ran = cli("audit", locked())
    assert ran.code == 4
    assert "error[audit.not-asked]" in ran.err
    assert "yanked          could not ask about 3: http://127.0.0.1:9/simple" in ran.out
    assert "none found (index)" not in ran.out


def test_an_index_that_refuses_is_told_without_its_password(cli, locked, index, pip_audit):
    pip_audit(said_of(*HASHES))
    index["gamma"] = 403
    ran = cli("audit", locked())
    assert ran.code == 4
    assert "yanked          none found in 2 packages (index); could not ask about 1: " in ran.out
    assert ": 403 Forbidden" in ran.out
    assert "secret" not in ran.out + ran.err


def test_services_that_did_not_answer_are_no_clean_bill(cli, locked, index, pip_audit):
    skipped = {"name": "gamma", "skip_reason": "Dependency not found on PyPI and could not be audited: gamma (1.2.0)"}
    answer = json.loads(said_of("alpha", "beta-lib"))
    pip_audit(json.dumps({**answer, "dependencies": [*answer["dependencies"], skipped]}))
    ran = cli("audit", locked())
    assert ran.code == 4
    assert (
        "vulnerabilities none found in 2 packages (pip-audit); could not ask about 1: Dependency not found" in ran.out
    )
    assert "vulnerabilities of 1 package" in ran.err


@pytest.mark.parametrize("said", ["", "Traceback: no network", '{"other": 1}'])
def test_a_program_that_fails_is_no_clean_bill(cli, locked, index, pip_audit, said):
    pip_audit(said, 1)
    ran = cli("audit", locked())
    assert ran.code == 4
    assert "vulnerabilities could not ask about 3" in ran.out


def test_without_the_extra_it_says_how_to_get_it(cli, locked, index, monkeypatch):
    monkeypatch.setitem(sys.modules, "pip_audit", None)
    monkeypatch.setattr("model_envelope.dependencies.pip_audit.has_module", lambda _: False)
    ran = cli("audit", locked())
    assert ran.code == 4
    assert "vulnerabilities could not ask about 3: pip-audit is not installed" in ran.out
    assert "pip install 'model-envelope[audit]'" in ran.out


def test_an_answer_that_nobody_needs_does_not_fail(cli, locked, index, pip_audit):
    pip_audit(said_of("alpha", "beta-lib"))
    assert cli("audit", locked()).code == 4
    assert cli("audit", locked(), "--ignore", "gamma").code == 0


def test_what_both_know_is_told_once(cli, locked, index, pip_audit, advisories):
    both = {"id": "GHSA-1", "aliases": ["CVE-2026-0001"], "fix_versions": ["1.2"], "description": "The same\nin words"}
    pip_audit(said_of(*HASHES, **{"beta-lib": [both]}), 1)
    ran = cli("audit", locked(), "--advisories", advisories(ADVISORY))
    assert ran.code == 3
    assert ran.err.count("CVE-2026-0001") == 1
    assert "vulnerabilities 1 found (advisories.json, pip-audit)" in ran.out


def test_licences_are_listed_and_may_be_denied(cli, locked, seal, tmp_path):
    from pathlib import Path

    from wheels import build_wheel, hash_of

    from model_envelope.dependencies.index import IndexSettings
    from model_envelope.dependencies.rooms import clean_room
    from model_envelope.foundation.lockfile import Lock, Pin

    wheels = [
        build_wheel(tmp_path / "wheels", "alpha", metadata={"License-Expression": "MIT"}),
        build_wheel(tmp_path / "wheels", "beta", metadata={"Classifier": "License :: OSI Approved :: AGPL v3"}),
        build_wheel(tmp_path / "wheels", "gamma"),
    ]
    lock = Lock(tuple(Pin(path.name.partition("-")[0], "1.0", (hash_of(path),)) for path in wheels))
    settings = IndexSettings(no_index=True, find_links=(str(tmp_path / "wheels"),))
    clean_room(lock, python=Path(sys.executable), index=settings)
    envelope = locked(lock.to_bytes().decode())
    ran = cli("audit", envelope, "--offline")
    assert ran.code == 0, ran.err
    assert "licences           1  AGPL v3\n                   1  MIT\n                   1  not known\n" in ran.out
    ran = cli("audit", envelope, "--offline", "--deny-licence", "agpl")
    assert ran.code == 3
    assert "beta 1.0: found the licence `AGPL v3`: `agpl` is not wanted" in ran.err
    # Of one nobody knows whether it is denied.
    unknown = cli("audit", envelope, "--offline", "--deny-licence", "sspl", "--json").document["result"]["asked"][2]
    assert list(unknown["not_asked"]) == ["gamma"]


def test_an_envelope_without_a_lock(cli, make_sealed):
    ran = cli("audit", make_sealed(lock=False))
    assert ran.code == 1
    assert "error[audit.not-locked]" in ran.err
