"""What a user asks for: on the command line, in Python, and in the project's pyproject.toml."""

import pytest

from model_envelope.dependencies.own_rules import Asked, idle, read_wishes, with_shipped
from model_envelope.foundation.errors import InvalidInput


@pytest.fixture
def project(tmp_path):
    """A project; called with the text of its pyproject.toml it gives a folder deep inside."""
    folder = tmp_path / "project" / "models" / "deep"
    folder.mkdir(parents=True)

    def write(text):
        (tmp_path / "project" / "pyproject.toml").write_text(text)
        return folder

    return write


def wishes(asked=None, *folders):
    return [(wish.action, wish.name, wish.instead + wish.specifier, wish.reason) for wish in _read(asked, *folders)]


def _read(asked=None, *folders):
    return read_wishes(asked or Asked(), folders)


def test_options_say_what_to_do(tmp_path):
    asked = Asked(("Py_Arrow",), ("ipython",), (("opencv-python", "Opencv_Python.Headless ==4.10"),))
    assert wishes(asked, tmp_path) == [
        ("keep", "py-arrow", "", "asked for: --keep"),
        ("drop", "ipython", "", "asked for: --drop"),
        ("replace", "opencv-python", "opencv-python-headless==4.10", "asked for: --replace"),
    ]


def test_arguments_of_python_are_told_as_such(tmp_path):
    (wish,) = _read(Asked(drop=("ipython",), spelled="{}="), tmp_path)
    assert (str(wish), wish.reason) == ("drop=ipython", "asked for: drop")


def test_the_project_says_it_in_its_file(project):
    folder = project(
        """
        [tool.envelope]
        base-image = "python:3.12"
        keep = ["pyarrow", { name = "lightgbm", reason = "loaded by\\n its name" }]
        drop = [{ name = "nvidia-nccl-cu12", reason = "see https://bob:hunter22@wiki/x" }]

        [tool.envelope.replace]
        opencv-python = "opencv-python-headless"
        xgboost = { with = "xgboost-cpu>=3", reason = "no GPU" }
        """
    )
    assert wishes(None, folder) == [
        ("keep", "pyarrow", "", "asked for: keep in pyproject.toml"),
        ("keep", "lightgbm", "", "asked for: keep in pyproject.toml (loaded by its name)"),
        ("drop", "nvidia-nccl-cu12", "", "asked for: drop in pyproject.toml (see https://****@wiki/x)"),
        ("replace", "opencv-python", "opencv-python-headless", "asked for: replace in pyproject.toml"),
        ("replace", "xgboost", "xgboost-cpu>=3", "asked for: replace in pyproject.toml (no GPU)"),
    ]


def test_the_nearest_file_with_the_section_counts(project, tmp_path):
    folder = project("[tool.envelope]\ndrop = ['far']\n")
    (folder / "pyproject.toml").write_text("[tool.black]\nline-length = 100\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "pyproject.toml").write_text("[tool.envelope]\ndrop = ['other']\n")
    assert [wish[1] for wish in wishes(None, folder, tmp_path / "elsewhere")] == ["far"]
    assert [wish[1] for wish in wishes(None, tmp_path / "nowhere", tmp_path / "elsewhere")] == ["other"]
    (folder.parent / "pyproject.toml").write_text("[tool.envelope]\ndrop = ['near']\n")
    assert [wish[1] for wish in wishes(None, folder)] == ["near"]


def test_the_command_wins_over_the_file(project):
    folder = project(
        "[tool.envelope]\nkeep = ['a', 'b']\ndrop = ['new']\nreplace = { c = 'c-headless', d = 'd-cpu', e = 'e-cpu' }\n"
    )
    asked = Asked(keep=("c", "d-cpu"), drop=("a", "e-cpu"), replace=(("old", "new"),))
    assert [wish[:3] for wish in wishes(asked, folder)] == [
        ("keep", "c", ""),
        ("keep", "d-cpu", ""),
        ("drop", "a", ""),
        ("drop", "e-cpu", ""),
        ("replace", "old", "new"),
        ("keep", "b", ""),
        ("replace", "d", "d-cpu"),
    ]


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("keeep = ['a']", "settings.unknown-key", "[tool.envelope] keeep: found an unknown key"),
        ("keeep = ['a']", "settings.unknown-key", "did you mean `keep`?"),
        ("keep = 'a'", "rules.malformed", "keep: found 'a', expected a list of"),
        ("replace = ['a']", "rules.malformed", "replace: found ['a'], expected a table of"),
        ("drop = [3]", "rules.malformed", "drop: found 3, expected"),
        ("drop = [{ name = 'a', why = 'b' }]", "rules.malformed", "drop: found {'name': 'a', 'why': 'b'}, expected"),
        ("drop = [{ reason = 'b' }]", "rules.malformed", "drop: found {'reason': 'b'}, expected"),
        ("drop = ['a b']", "rules.malformed", "drop: found `a b`, expected the name of a distribution"),
        ("replace = { a = { reason = 'b' } }", "rules.malformed", "replace a: found {'reason': 'b'}, expected"),
        ("replace = { a = '==1' }", "rules.malformed", "replace a: found `==1`, expected the name"),
        ("replace = { '' = 'b' }", "rules.malformed", "replace: found ``, expected the name"),
        ("keep = ['a']\ndrop = ['A']", "rules.contradiction", "drop a`, expected one of them"),
        ("x", "settings.malformed", "cannot be read"),
    ],
)
def test_what_the_file_gets_wrong_is_told_with_its_path(project, text, code, said):
    folder = project(f"[tool.envelope]\n{text}\n")
    with pytest.raises(InvalidInput) as caught:
        _read(None, folder)
    assert caught.value.code == code
    assert said in str(caught.value)
    if code != "rules.contradiction":
        assert str(folder.parent.parent / "pyproject.toml") in str(caught.value)
    assert caught.value.hint


def test_a_section_that_is_no_table_is_told(project):
    folder = project("[tool]\nenvelope = 3\n")
    with pytest.raises(InvalidInput, match="is no table"):
        _read(None, folder)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(("a==1",)), "--keep: found `a==1`, expected the name of a distribution, without a version"),
        (Asked(replace=(("a", "b[x]"),)), "--replace a: found `b[x]`"),
        (Asked(replace=(("a", "b @ https://me:hunter22@host/b.whl"),)), "found `b @ https://****@host/b.whl`"),
        (Asked(replace=(("a", "A"),)), "--replace a: found the same again, expected another distribution"),
    ],
)
def test_names_that_are_none_are_told(tmp_path, asked, said):
    with pytest.raises(InvalidInput) as caught:
        _read(asked, tmp_path)
    assert caught.value.code == "rules.malformed"
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(("a",), ("A",)), "a: found `--keep a` and `--drop a`"),
        (Asked(("a",), replace=(("a", "b"),)), "a: found `--keep a` and `--replace a=b`"),
        (Asked(replace=(("a", "b"), ("a", "c==1"))), "a: found `--replace a=b` and `--replace a=c==1`"),
        (Asked(drop=("b",), replace=(("a", "b"),)), "a: found `--drop b` and `--replace a=b`"),
        (Asked(replace=(("a", "b"), ("b", "c"))), "a: found `--replace b=c` and `--replace a=b`"),
    ],
)
def test_wishes_against_each_other_are_told(tmp_path, asked, said):
    with pytest.raises(InvalidInput) as caught:
        _read(asked, tmp_path)
    assert caught.value.code == "rules.contradiction"
    assert said in str(caught.value)


def test_the_same_twice_is_no_contradiction(tmp_path):
    assert len(_read(Asked(("a", "a"), replace=(("b", "a"),)), tmp_path)) == 2


def test_what_is_to_be_kept_has_to_be_installed(environment, tmp_path):
    environment.install("pyarrow")
    checkout = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
    environment.install("ours", files={}, direct_url=checkout)
    with pytest.raises(InvalidInput) as caught:
        with_shipped(_read(Asked(("pyarow", "ours", "pyarrow")), tmp_path), environment.read())
    assert caught.value.code == "rules.not-installed"
    assert [problem.path for problem in caught.value.problems] == ["--keep pyarow", "--keep ours"]
    assert "did you mean `pyarrow`?" in str(caught.value)
    assert "editable" in str(caught.value)


def test_own_rules_stand_before_the_shipped_ones(environment, tmp_path):
    rules = with_shipped(_read(Asked(drop=("opencv-python",)), tmp_path), environment.read())
    assert rules.replacing("opencv-python") is None
    assert rules.dropping("opencv-python").asked
    assert rules.replacing("psycopg2")


def test_a_slip_of_the_pen_is_told(environment, project):
    environment.install("scipy")
    folder = project("[tool.envelope]\ndrop = ['not-here']\n")
    read = _read(Asked(drop=("scippy", "scipy"), replace=(("nothing", "numpy"),)), folder)
    assert idle(read, environment.read()) == (
        "`--drop scippy`: no scippy is installed; did you mean `scipy`?",
        "`--replace nothing=numpy`: no nothing is installed",
    )
