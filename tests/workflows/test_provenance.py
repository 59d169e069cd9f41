"""What is noted of the surroundings, and that no secret of theirs gets into an envelope."""

import hashlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from handmade_elf import install

from model_envelope.foundation.progress import Note
from model_envelope.runtime.errors import InvalidEnvelope
from model_envelope.runtime.reading import read_envelope
from model_envelope.store.draft import Draft
from model_envelope.workflows.checkout import read_checkout, read_commit
from model_envelope.workflows.job import JOBS, job_identity
from model_envelope.workflows.pack import Label, SampleFile, pack
from model_envelope.workflows.provenance import keep_difference, read_provenance

sys.path.insert(0, str(Path(__file__).parent))
from models import shop

COMMAND = Path(sys.executable).with_name("envelope")


def packed(model, into, **options):
    samples = SampleFile(model.with_name("samples.json"), "samples.json")
    return pack(model, samples=samples, into=into, **{"lock": False, "label": Label("shop"), **options}).path


def witness(path):
    return read_provenance(read_envelope(path))


def git(folder, *words):
    names = {f"GIT_{who}_{what}": "me@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "HOME": str(folder)}
    done = subprocess.run(
        ["git", "-C", folder, *words], env={**os.environ, **names, **alone}, capture_output=True, check=True
    )
    return done.stdout


@pytest.fixture
def repository(tmp_path):
    """A checkout with the model of a shop, everything committed, on the branch `trunk`."""
    folder = tmp_path / "repository"
    shop(folder / "pricing")
    (folder / ".gitignore").write_text("__pycache__/\nout/\n")
    git(folder, "init", "--quiet", "--initial-branch", "trunk")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Start")
    return folder


def test_the_python_is_noted_whole(tmp_path):
    python = witness(packed(shop(tmp_path / "src"), tmp_path / "out"))["python"]
    assert python["version_info"] == list(sys.version_info)
    assert python["version"] == ".".join(map(str, sys.version_info[:3]))
    assert python["implementation"] == sys.implementation.name
    assert python["platform"].startswith("linux-")
    assert python["libc"].startswith("glibc 2.")


def test_the_environment_is_noted_as_pip_freezes_it(tmp_path):
    environment = witness(packed(shop(tmp_path / "src"), tmp_path / "out"))["environment"]
    lines = environment["pip_freeze"]
    assert any(line.startswith("pytest==") for line in lines)
    assert not [line for line in lines if line.startswith("model-envelope==")], "it is a checkout here"
    assert environment.keys() == {"pip_freeze"}


def test_a_clean_checkout_is_its_commit_branch_and_remote(repository):
    assert read_checkout(repository / "pricing").to_document() == {
        "commit": git(repository, "rev-parse", "HEAD").decode().strip(),
        "branch": "trunk",
    }
    git(repository, "remote", "add", "upstream", "https://host/other.git")
    git(repository, "remote", "add", "origin", "git@host:me/shop.git")
    commit = read_commit(repository / "pricing")
    assert commit.remote == "git@host:me/shop.git"
    assert commit.reference("shop") == f"git+ssh://git@host/me/shop.git@{commit.id}#egg=shop&subdirectory=pricing"


def test_a_commit_without_a_branch_has_none(repository):
    git(repository, "checkout", "--quiet", "--detach")
    assert "branch" not in read_checkout(repository).to_document()


def test_the_digest_of_the_difference_is_that_of_git(repository):
    (repository / "pricing" / "prices.py").write_text("def base(item):\n    return 1.0\n")
    (repository / "pricing" / "samples.json").write_bytes(b"caf\xe9 \x00\xff")
    (repository / "notes.txt").write_text("")
    (repository / "scratch").mkdir()
    (repository / "scratch" / "a.txt").write_text("")
    # A user's settings must not decide the digest.
    git(repository, "config", "diff.noprefix", "true")
    git(repository, "config", "color.ui", "always")
    facts = read_checkout(repository / "pricing").to_document()
    git(repository, "config", "--unset", "diff.noprefix")
    git(repository, "config", "--unset", "color.ui")
    assert facts["dirty"] == "sha256:" + hashlib.sha256(git(repository, "diff", "--binary", "HEAD")).hexdigest()
    assert facts["untracked"] == ["notes.txt", "scratch/"]


def test_only_so_many_untracked_files_are_named(repository):
    for number in range(130):
        (repository / f"n{number:03}").write_text("")
    facts = read_checkout(repository).to_document()
    assert (len(facts["untracked"]), facts["untracked_more"]) == (100, 30)


def test_a_folder_in_no_checkout_and_one_without_a_commit(tmp_path):
    assert read_checkout(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert read_checkout(tmp_path) is None


def test_without_git_nothing_is_known(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_checkout(repository) is None


def test_the_difference_itself_is_kept_only_when_asked_for(repository, tmp_path):
    model = repository / "pricing" / "model.pkl"
    (repository / "pricing" / "prices.py").write_text("def base(item):\n    return 1.0\n")
    without = packed(model, tmp_path / "without")
    noted = witness(without)["git"]
    assert noted["dirty"].startswith("sha256:")
    assert "diff" not in noted
    assert len(list((without / "provenance").iterdir())) == 1
    asked = packed(model, tmp_path / "with", with_diff=True)
    noted = witness(asked)["git"]
    kept = (asked / "provenance" / noted["diff"]).read_bytes()
    assert kept == git(repository, "diff", "--binary", "HEAD")
    assert noted["dirty"] == f"sha256:{hashlib.sha256(kept).hexdigest()}"
    assert read_envelope(asked).digest == read_envelope(without).digest


def test_a_kept_difference_goes_along_when_an_envelope_is_locked(repository, tmp_path):
    (repository / "pricing" / "prices.py").write_text("def base(item):\n    return 1.0\n")
    path = packed(repository / "pricing" / "model.pkl", tmp_path / "out", with_diff=True)
    done = subprocess.run(
        [COMMAND, "lock", path, "-o", tmp_path / "locked"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    locked = Path(done.stdout.strip())
    name = witness(locked)["git"]["diff"]
    assert (locked / "provenance" / name).read_bytes() == (path / "provenance" / name).read_bytes()
    changed = path / "provenance" / name
    changed.chmod(0o644)
    changed.write_text("something else")
    with pytest.raises(InvalidEnvelope, match="was changed"):
        keep_difference(read_envelope(path), witness(path), Draft(tmp_path))


def test_where_there_is_no_checkout_a_difference_cannot_be_kept(tmp_path):
    said = []
    path = packed(shop(tmp_path / "src"), tmp_path / "out", with_diff=True, report=said.append)
    assert witness(path)["git"] == {}
    assert [event.text for event in said if isinstance(event, Note) and "in no git checkout" in event.text]


def test_a_model_saved_by_a_script_is_noted_with_the_script_s_checkout(repository, tmp_path):
    (repository / "etl.py").write_text(
        "import sys\nimport model_envelope as me\n\n\nclass Model:\n    def predict(self, x: float) -> float:\n"
        "        return x\n\n\nenvelope = me.save_model(model=Model(), instance_name='m', api_input={'x': 1.0},\n"
        "    lock=False, into=sys.argv[1], with_diff=True)\nprint(envelope.path)\n"
    )
    git(repository, "add", "etl.py")
    words = [sys.executable, repository / "etl.py", tmp_path / "out"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    noted = witness(path)["git"]
    assert noted["branch"] == "trunk"
    assert b"class Model" in (path / "provenance" / noted["diff"]).read_bytes()


@pytest.mark.parametrize("system", JOBS)
def test_a_job_is_named_by_its_system_s_variables(system):
    variables = {name: f"value of {name}" for name in (*JOBS[system], system)}
    found = job_identity({**variables, "PATH": "/bin", "SOME_TOKEN": "x"})
    assert {name: variables[name] for name in JOBS[system]}.items() <= found.items()
    assert not found.keys() - {name for names in JOBS.values() for name in names}


def test_no_variable_of_a_job_holds_a_secret_by_its_name():
    from model_envelope.foundation.secrets import secret_values

    assert not secret_values({name: "a-value-of-it" for names in JOBS.values() for name in names})


def test_outside_of_jobs_there_is_none():
    assert job_identity({"BUILD_NUMBER": "7", "CI": "true"}) == {}


def test_a_pip_configuration_that_cannot_be_read_stops_nothing_that_needs_none(tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text("no section")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert packed(shop(tmp_path / "src"), tmp_path / "out").is_dir()


SECRETS = {
    "index": "ind3x-passw0rd",
    "extra": "3xtra-tok3n",
    "conf": "c0nf-passw0rd",
    "direct": "d1rect-tok3n",
    "query": "qu3ry-tok3n",
    "remote": "r3mote-passw0rd",
    "diff": "glpat-0123456789abcdefghij",
    "aws": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "hugging": "hf_abcdefghijklmnopqrstuvwx",
    "database": "datab4se-passw0rd",
    "conda": "tk-c0nda-tok3n",
    "jenkins": "j3nkins-tok3n",
    "branch": "br4nch-t0ken-value",
    "proxy": "pr0xy-passw0rd",
}


@pytest.fixture
def surroundings(tmp_path, repository, monkeypatch):
    """Secrets in every place that packing looks at; gives the interpreter of the environment."""
    s = SECRETS
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    site = next((environment / "lib").glob("python*")) / "site-packages"
    direct = {"url": f"https://x-access:{s['direct']}@host/a.git", "vcs_info": {"vcs": "git", "commit_id": "0a1b"}}
    archive = {"url": f"https://host/b-1.0.zip?access_token={s['query']}", "archive_info": {}}
    install(site, "from-git", "1.0", {}, more={"direct_url.json": json.dumps(direct)})
    install(site, "from-archive", "1.0", {}, more={"direct_url.json": json.dumps(archive)})
    checkout = {"url": repository.as_uri(), "dir_info": {"editable": True}}
    install(site, "mine", "1.0", {}, more={"direct_url.json": json.dumps(checkout)})
    meta = environment / "conda-meta"
    meta.mkdir()
    (meta / "history").write_text("")
    record = {"name": "x", "version": "1", "build": "0", "subdir": "linux-64"}
    url = f"https://host/t/{s['conda']}/channel/linux-64/x-1-0.conda"
    (meta / "x-1-0.json").write_text(json.dumps({**record, "url": url}))
    git(repository, "remote", "add", "origin", f"https://me:{s['remote']}@host/shop.git")
    git(repository, "checkout", "--quiet", "-b", f"try/{s['branch']}")
    (repository / "pricing" / "prices.py").write_text(
        f"# {s['database']} {s['diff']}\n\n\ndef base(item):\n    return float(len(item))\n"
    )
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "Secrets")
    (repository / "pricing" / "prices.py").write_text("def base(item):\n    return float(len(item))\n")
    conf = tmp_path / "pip.conf"
    conf.write_text(f"[global]\ntrusted-host = h\nextra-index-url = https://me:{s['conf']}@more/simple\n")
    (repository / "pyproject.toml").write_text(
        f'[tool.envelope]\nkeep = [{{ name = "from-git", reason = "see https://me:{s["direct"]}@host/why" }}]\n'
    )
    for name, value in {
        "PIP_CONFIG_FILE": str(conf),
        "PIP_INDEX_URL": f"https://me:{s['index']}@index/simple",
        "UV_EXTRA_INDEX_URL": f"https://{s['extra']}@extra/simple",
        "AWS_SECRET_ACCESS_KEY": s["aws"],
        "HF_TOKEN": s["hugging"],
        "DATABASE_URL": f"postgresql://me:{s['database']}@host/db",
        "BRANCH_TOKEN": s["branch"],
        "HTTPS_PROXY": f"http://me:{s['proxy']}@proxy:3128",
        "JENKINS_URL": f"https://me:{s['jenkins']}@jenkins/",
        "BUILD_URL": f"https://jenkins/job/7/?token={s['jenkins']}",
        "JOB_NAME": f"pack {s['aws']} {s['hugging']}",
    }.items():
        monkeypatch.setenv(name, value)
    return environment / "bin" / "python"


def test_no_secret_of_the_surroundings_gets_into_an_envelope(surroundings, repository, tmp_path):
    path = packed(
        repository / "pricing" / "model.pkl", tmp_path / "out", python=str(surroundings), with_diff=True, prove=False
    )
    for file in path.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        for name, secret in SECRETS.items():
            assert secret.encode() not in content, f"{name} is in {file.relative_to(path)}"
    noted = witness(path)
    assert "-e git+https://****@host/shop.git@" in "\n".join(noted["environment"]["pip_freeze"])
    assert "from-git @ git+https://****@host/a.git@0a1b" in noted["environment"]["pip_freeze"]
    assert "from-archive @ https://host/b-1.0.zip?access_token=****" in noted["environment"]["pip_freeze"]
    assert noted["environment"]["conda_list_explicit"][-1] == "https://host/t/****/channel/linux-64/x-1-0.conda"
    assert noted["environment"]["conda_list_export"][1:] == [
        *(f"{name}=1.0=pypi_0" for name in ("from-archive", "from-git", "mine")),
        "x=1=0",
    ]
    assert noted["git"]["remote"] == "https://****@host/shop.git"
    assert noted["job"]["BUILD_URL"] == "https://jenkins/job/7/?token=****"
    kept = (path / "provenance" / noted["git"]["diff"]).read_text()
    assert "+def base(item):" in kept or " def base(item):" in kept
    assert "-# **** ****\n" in kept
    # It is no longer what git gives, and says so by its name.
    assert noted["git"]["diff"] != noted["git"]["dirty"].removeprefix("sha256:") + ".diff"
