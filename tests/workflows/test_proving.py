"""The proof at the end of packing: what the clean room lacks is added, what it can do without may be taken away."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from models import dump, write_module
from wheels import build_wheel, make_environment

from model_envelope.dependencies.room_cache import list_rooms, rooms_folder
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.progress import Note
from model_envelope.runtime.errors import AnswersDiffer, ModelFailed
from model_envelope.workflows.dependencies import dependencies
from model_envelope.workflows.pack import Asked, Label, SampleFile, pack
from model_envelope.workflows.verify import verify

# What a program asks for that the model starts, nobody sees: neither evidence nor a trial finds it.
STARTS = """
    import subprocess, sys

    class Model:
        def predict(self, x: int) -> int:
            done = subprocess.run([sys.executable, "-c", "import {module}"], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr)
            return x + 1
"""


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder of wheels that is the only index, and an own cache."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("ENVELOPE_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def packed(tmp_path, source, installed, **options):
    """Pack the class Model of a module in an environment that has some wheels."""
    python = make_environment(tmp_path / "env", installed)
    write_module(tmp_path, "model_of_test", source)
    dump(tmp_path, "model_of_test.Model()", "model.pkl", python)
    (tmp_path / "x.json").write_text('{"x": 1}')
    said = options.pop("report", lambda event: None)
    return pack(
        tmp_path / "model.pkl",
        samples=SampleFile(tmp_path / "x.json", "x.json"),
        label=Label("small"),
        python=str(python),
        into=tmp_path / "out",
        report=said,
        **options,
    )


def provenance(envelope):
    (path,) = (envelope / "provenance").glob("*.json")
    return json.loads(path.read_text())


def test_what_the_clean_room_lacks_is_added_and_told(tmp_path, wheels):
    helper = build_wheel(wheels, "helper-lib", "1.4", requires=["more-help"])
    more = build_wheel(wheels, "more-help")
    build_wheel(wheels, "helper-lib", "2.0")
    said = []
    result = packed(tmp_path, STARTS.format(module="helper_lib"), [helper, more], report=said.append)
    assert result.proven
    assert result.mended == ("helper-lib",)
    assert (result.path / "env" / "requirements.in").read_text() == "helper-lib==1.4\n"
    assert "more-help==1.0" in (result.path / "env" / "requirements.lock").read_text()
    failed = "`import helper_lib` failed in the clean room"
    assert Note(f"{failed}: helper-lib 1.4 is added from this environment") in said
    (found,) = [item for item in dependencies(result.path).packages if item.direct]
    assert found.reasons == (f"proof: {failed}",)
    assert provenance(result.path)["proof"]["mended"] == {"helper-lib": f"proof: {failed}"}


@pytest.mark.parametrize(
    "said",
    [
        "importlib.metadata.PackageNotFoundError: No package metadata was found for helper-lib",
        "pkg_resources.DistributionNotFound: The 'helper_lib>=1.0' distribution was not found and is required by x",
        "Missing optional dependency 'helper_lib'. Use pip or conda to install it.",
    ],
)
def test_other_words_for_a_package_that_is_missing(tmp_path, wheels, said):
    helper = build_wheel(wheels, "helper-lib")
    source = STARTS.format(module="helper_lib").replace("done.stderr", repr(said))
    assert packed(tmp_path, source, [helper]).mended == ("helper-lib",)


def test_one_after_the_other_is_added(tmp_path, wheels):
    names = ["alpha-lib", "beta-lib", "gamma-lib"]
    installed = [build_wheel(wheels, name) for name in names]
    source = STARTS.format(module="alpha_lib, beta_lib, gamma_lib")
    assert packed(tmp_path, source, installed).mended == ("alpha-lib", "beta-lib", "gamma-lib")


def test_what_the_user_drops_is_not_added(tmp_path, wheels):
    helper = build_wheel(wheels, "helper-lib")
    with pytest.raises(ModelFailed) as caught:
        packed(tmp_path, STARTS.format(module="helper_lib"), [helper], asked=Asked(drop=("helper-lib",)))
    assert "`helper-lib` was left out (asked for: --drop)" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_what_is_not_installed_here_either_ends_the_proof(tmp_path, wheels):
    # The environment that packs it has the module in no distribution.
    source = STARTS.format(module="nowhere_lib").replace("if done.returncode:", "if done.returncode and not packing():")
    source += """
    def packing():
        import importlib.util

        return importlib.util.find_spec("marker_lib") is not None
    """
    marker = build_wheel(wheels, "marker-lib")
    with pytest.raises(ModelFailed, match="No module named 'nowhere_lib'"):
        packed(tmp_path, source, [marker], asked=Asked(drop=("marker-lib",)))


def test_what_changes_nothing_is_taken_back(tmp_path, wheels):
    # `spare_lib` is asked for in vain as well, and the failure names neither.
    helper, spare = build_wheel(wheels, "helper-lib"), build_wheel(wheels, "spare-lib")
    source = """
        import subprocess, sys

        def has(module):
            return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode == 0

        class Model:
            def predict(self, x: int) -> int:
                if not has("helper_lib"):
                    for module in ("helper_lib", "spare_lib"):
                        try:
                            __import__(module)
                        except ImportError:
                            continue
                    raise RuntimeError("something is not as it should be")
                return x + 1
    """
    result = packed(tmp_path, source, [helper, spare])
    assert result.mended == ("helper-lib",)
    assert "spare-lib" not in (result.path / "env" / "requirements.lock").read_text()


LAZY = """
    class Model:
        def predict(self, x: int) -> int:
            return x + 1

        def explain(self):
            import {module}

            return {module}.VERSION
"""


def test_minimal_takes_away_what_the_model_answers_without(tmp_path, wheels):
    plots, other = build_wheel(wheels, "plot-lib", requires=["colour-lib"]), build_wheel(wheels, "colour-lib")
    source = LAZY.format(module="plot_lib")
    usual = packed(tmp_path, source, [plots, other])
    assert "plot-lib" in (usual.path / "env" / "requirements.lock").read_text()
    said = []
    result = packed(tmp_path / "again", source, [plots, other], minimal=True, report=said.append)
    assert (result.path / "env" / "requirements.lock").read_text() == ""
    assert Note("the model answers the same without colour-lib, plot-lib: left out") in said
    left_out = {item.name: item.reason for item in dependencies(result.path).left_out}
    assert left_out["plot-lib"] == "minimal: without it the model answers the same in the clean room"
    assert result.proven


def test_minimal_keeps_what_is_needed_and_what_the_user_keeps(tmp_path, wheels):
    needed, wanted = build_wheel(wheels, "needed-lib"), build_wheel(wheels, "wanted-lib")
    source = "    import needed_lib\n" + LAZY.format(module="wanted_lib")
    result = packed(tmp_path, source, [needed, wanted], minimal=True, asked=Asked(keep=("wanted-lib",)))
    assert (result.path / "env" / "requirements.in").read_text() == "needed-lib==1.0\nwanted-lib==1.0\n"
    # What was tried and did not do leaves no room behind.
    assert len(list_rooms()) == 1


def test_minimal_leaves_what_a_package_requires_and_drop_takes_it_on_demand(tmp_path, wheels):
    needed = build_wheel(wheels, "needed-lib", requires=["spare-lib"])
    installed, source = [needed, build_wheel(wheels, "spare-lib")], "import needed_lib\n" + textwrap.dedent(PLAIN)
    minimal = packed(tmp_path, source, installed, minimal=True)
    assert "spare-lib==1.0" in (minimal.path / "env" / "requirements.lock").read_text()
    dropped = packed(tmp_path / "again", source, installed, asked=Asked(drop=("spare-lib",)))
    assert dropped.proven
    assert "spare-lib" not in (dropped.path / "env" / "requirements.lock").read_text()


def test_minimal_without_a_proof_makes_no_sense(tmp_path, wheels):
    with pytest.raises(InvalidInput) as caught:
        packed(tmp_path, LAZY.format(module="plot_lib"), [build_wheel(wheels, "plot-lib")], minimal=True, prove=False)
    assert caught.value.code == "minimal.no-proof"


PLAIN = """
    class Model:
        def predict(self, x: int) -> int:
            return x + 1
"""
ASKS = """
    import socket

    class Model:
        def predict(self, x: int) -> int:
            with socket.create_connection(("127.0.0.1", {port})) as connection:
                return x + len(connection.recv(1))
"""


@pytest.fixture
def server():
    """A server on this machine that says one letter to whoever comes."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"a")

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="network namespaces are Linux's")
def test_the_network_is_out_of_reach_in_a_clean_room(tmp_path, wheels, server):
    leaving = "from model_envelope.runtime.isolation import leave_network; print(leave_network())"
    reason = subprocess.run([sys.executable, "-c", leaving], capture_output=True, text=True, check=True).stdout.strip()
    if reason:
        pytest.skip(f"this machine lets no process leave the network: {reason}")
    with pytest.raises(ModelFailed, match="Connection refused") as caught:
        packed(tmp_path, ASKS.format(port=server), [])
    assert "there is no network in a clean room" in caught.value.hint
    assert "--allow-network" in caught.value.hint


def test_the_network_is_left_to_the_model_where_the_user_says_so(tmp_path, wheels, server):
    result = packed(tmp_path, ASKS.format(port=server), [], network=True)
    assert result.proven
    assert provenance(result.path)["proof"]["network"] == "allowed"
    assert verify(result.path, clean=True, network=True).objection() is None


def test_a_room_that_cannot_be_isolated_is_told(tmp_path, wheels, monkeypatch):
    from model_envelope.workflows import replaying

    plain = replaying.replay_with

    def exposed(*words, **options):
        from dataclasses import replace

        return replace(plain(*words, **options), exposed="no network namespace can be made: not permitted")

    monkeypatch.setattr(replaying, "replay_with", exposed)
    said = []
    result = packed(tmp_path, LAZY.format(module="json"), [], report=said.append)
    told = "the network was not out of reach while the model answered: no network namespace can be made: not permitted"
    assert Note(told) in said
    assert result.exposed
    assert provenance(result.path)["proof"]["network"] == "no network namespace can be made: not permitted"


def test_data_in_the_home_folder_is_not_there(tmp_path, wheels, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "words.txt").write_text("one two")
    source = """
        from pathlib import Path

        class Model:
            def predict(self, x: int) -> int:
                return x + len((Path.home() / "words.txt").read_text())
    """
    with pytest.raises(ModelFailed) as caught:
        packed(tmp_path, source, [])
    assert "the home folder is empty in a clean room" in caught.value.hint


def test_a_damaged_room_is_mended_before_its_answer_counts(tmp_path, wheels):
    helper = build_wheel(wheels, "helper-lib", source="FACTOR = 3\n")
    source = """
        import helper_lib

        class Model:
            def predict(self, x: int) -> int:
                return x * helper_lib.FACTOR
    """
    result = packed(tmp_path, source, [helper])
    (module,) = rooms_folder().glob("*/*/environment/lib/*/site-packages/helper_lib.py")
    before = module.stat()
    module.write_text(module.read_text().replace("3", "4"))
    os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
    for cached in Path(module.parent, "__pycache__").glob("helper_lib*"):
        cached.unlink()
    said = []
    assert verify(result.path, clean=True, report=said.append).objection() is None
    assert any("the clean room in the cache was changed (helper_lib.py)" in getattr(e, "text", "") for e in said)


def test_a_wrong_answer_in_the_room_is_a_no(tmp_path, wheels):
    source = """
        import sys

        class Model:
            def predict(self, x: int) -> int:
                return x + ("rooms" in sys.prefix)
    """
    with pytest.raises(AnswersDiffer) as caught:
        packed(tmp_path, source, [])
    assert caught.value.code == "replay.differs"
    assert "predict: $: found 2 (1 apart, relative 1), expected 1" in str(caught.value)
