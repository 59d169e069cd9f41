import sysconfig

import pytest
from handmade_elf import elf, install

from model_envelope.dependencies.graph import packages
from model_envelope.dependencies.installed import Installed
from model_envelope.dependencies.system_libraries import find_libraries, lacking_library, read_known, shipped_libraries
from model_envelope.foundation.errors import InvalidInput
from model_envelope.foundation.libraries import Libraries


def found(site, *names):
    installed = Installed.read([str(site)])
    chosen = {name: installed.distributions[name].version for name in names or installed.distributions}
    return find_libraries(packages(chosen, chosen, [installed]), [installed])


def needed(site, *names):
    return {item.soname: item.package for part in found(site, *names).libraries.__dict__.values() for item in part}


def test_a_library_that_a_wheel_does_not_carry_is_found_with_who_needs_it(tmp_path):
    install(tmp_path, "boost", "1.0", {"boost/lib/libboost.so": elf("libgomp.so.1", "libm.so.6", "libc.so.6")})
    assert found(tmp_path).libraries.to_bytes().decode() == (
        '{\n  "libraries": [\n    {\n      "soname": "libgomp.so.1",\n      "package": "libgomp1",\n'
        '      "needed_by": [\n        "boost/lib/libboost.so"\n      ]\n    }\n  ]\n}\n'
    )


def test_what_every_image_and_its_host_have_is_not_listed(tmp_path):
    every = elf(
        "libc.so.6", "ld-linux-x86-64.so.2", "libstdc++.so.6", "libgcc_s.so.1", "libz.so.1", "libpython3.11.so.1.0"
    )
    install(tmp_path, "plain", "1.0", {"plain/a.so": every, "plain/cuda.so": elf("libcuda.so.1", "libnvidia-ml.so.1")})
    assert not found(tmp_path).libraries


@pytest.mark.parametrize(
    "search", ["$ORIGIN/../wheel.libs", "${ORIGIN}/../wheel.libs:/usr/lib", "/usr/lib:$ORIGIN/../x/../wheel.libs"]
)
def test_what_a_wheel_carries_is_found_where_it_says(tmp_path, search):
    files = {
        "wheel/core.so": elf("libgomp-1a2b.so.1", runpath=search),
        "wheel.libs/libgomp-1a2b.so.1": elf("libc.so.6"),
    }
    install(tmp_path, "wheel", "1.0", files)
    assert not found(tmp_path).libraries


def test_what_a_carried_library_needs_counts_too(tmp_path):
    files = {
        "wheel/core.so": elf("libQt5Gui-1.so.5", runpath="$ORIGIN/../wheel.libs"),
        "wheel.libs/libQt5Gui-1.so.5": elf("libGL.so.1"),
    }
    install(tmp_path, "wheel", "1.0", files)
    assert needed(tmp_path) == {"libGL.so.1": "libgl1"}


def test_what_a_required_distribution_carries_is_loaded_before(tmp_path):
    install(
        tmp_path,
        "torch",
        "2.0",
        {"torch/lib/libc10.so": elf("libc.so.6"), "torch/lib/libgomp.so.1": elf()},
        requires=("nv",),
    )
    install(tmp_path, "nv", "1.0", {"nvidia/cudnn/lib/libcudnn.so.9": elf("libc.so.6")})
    install(
        tmp_path,
        "vision",
        "1.0",
        {"vision/_C.so": elf("libc10.so", "libcudnn.so.9", "libgomp.so.1")},
        requires=("torch",),
    )
    assert not found(tmp_path).libraries
    # Without the one that carries it, it is nobody's.
    assert needed(tmp_path, "vision", "torch") == {"libcudnn.so.9": ""}


def test_what_an_unrelated_distribution_carries_does_not_help(tmp_path):
    install(tmp_path, "torch", "2.0", {"torch/lib/libgomp.so.1": elf()})
    install(tmp_path, "boost", "1.0", {"boost/lib.so": elf("libgomp.so.1")})
    assert needed(tmp_path) == {"libgomp.so.1": "libgomp1"}


def test_folders_of_this_machine_say_nothing(tmp_path):
    install(tmp_path, "boost", "1.0", {"boost/lib.so": elf("libgomp.so.1", runpath="/usr/lib/x86_64-linux-gnu")})
    assert needed(tmp_path) == {"libgomp.so.1": "libgomp1"}


def test_a_library_that_nobody_knows_is_not_lost(tmp_path):
    install(tmp_path, "odd", "1.0", {"odd/b.so": elf("libodd.so.7"), "odd/a.so": elf("libodd.so.7")})
    (library,) = found(tmp_path).libraries.unknown
    assert (library.soname, library.needed_by) == ("libodd.so.7", ("odd/a.so", "odd/b.so"))


def test_a_broken_file_is_named_and_the_others_are_read(tmp_path):
    install(tmp_path, "half", "1.0", {"half/a.so": elf("libgomp.so.1")[:70], "half/b.so": elf("libgomp.so.1")})
    result = found(tmp_path)
    assert list(result.broken) == ["half/a.so"]
    assert [item.needed_by for item in result.libraries.known] == [("half/b.so",)]


def test_a_file_that_the_record_lists_and_that_is_gone_is_named(tmp_path):
    install(tmp_path, "half", "1.0", {"half/a.so": elf()})
    (tmp_path / "half" / "a.so").unlink()
    assert found(tmp_path).broken == {"half/a.so": "No such file or directory"}


def test_the_same_wheels_give_the_same_file_wherever_they_are(tmp_path):
    for name in ("one", "two/deeper"):
        install(
            tmp_path / name,
            "boost",
            "1.0",
            {"boost/z.so": elf("libGL.so.1", "libgomp.so.1"), "boost/a.so": elf("libgomp.so.1")},
        )
    install(tmp_path / "two/deeper", "unrelated", "1.0", {"unrelated/a.so": elf("libX11.so.6")})
    one, two = (found(tmp_path / name, "boost").libraries.to_bytes() for name in ("one", "two/deeper"))
    assert one == two
    assert Libraries.parse(one).to_bytes() == one


def test_files_outside_the_folder_of_installation_count(tmp_path):
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    install(site, "mkl", "1.0", {"../../libmkl_rt.so.2": elf("libgomp.so.1")})
    install(site, "user", "1.0", {"user/a.so": elf("libmkl_rt.so.2", runpath="$ORIGIN/../../..")})
    assert needed(site) == {"libgomp.so.1": "libgomp1"}


def test_what_is_opened_by_name_is_told_by_data(tmp_path):
    install(tmp_path, "soundfile", "0.13", {"soundfile.py": b""})
    install(tmp_path, "psycopg", "3.2", {"psycopg/__init__.py": b""})
    assert needed(tmp_path) == {"libsndfile.so.1": "libsndfile1", "libpq.so.5": "libpq5"}
    assert found(tmp_path).libraries.known[0].needed_by == ("psycopg",)


def test_what_is_opened_by_name_and_carried_is_not_needed(tmp_path):
    install(
        tmp_path, "soundfile", "0.13", {"soundfile.py": b"", "_soundfile_data/libsndfile_x86_64.so": elf("libc.so.6")}
    )
    install(tmp_path, "psycopg", "3.2", {"psycopg/__init__.py": b""})
    install(tmp_path, "psycopg-binary", "3.2", {"psycopg_binary/a.so": elf("libc.so.6")})
    assert not found(tmp_path).libraries


@pytest.mark.parametrize(
    ("installer", "content"),
    [("conda", elf("libomp.so.5", runpath="$ORIGIN/../..")), ("pip", b"\xcf\xfa\xed\xfe" + bytes(60))],
)
def test_where_the_files_are_not_those_of_linux_wheels_data_stands_in(tmp_path, installer, content):
    install(tmp_path, "lightgbm", "4.6", {"lightgbm/lib/lib_lightgbm.so": content}, installer=installer)
    result = found(tmp_path)
    assert [(item.package, item.needed_by) for item in result.libraries.known] == [("libgomp1", ("lightgbm",))]
    assert result.unread == ("lightgbm",)


def test_what_is_not_installed_at_that_version_is_named(tmp_path):
    install(tmp_path, "boost", "1.0", {"boost/a.so": elf("libgomp.so.1")})
    installed = Installed.read([str(tmp_path)])
    result = find_libraries(packages({"boost": "2.0"}, ["boost"], [installed]), [installed])
    assert (bool(result.libraries), result.unread) == (False, ("boost",))


def test_a_distribution_without_a_record_is_searched(tmp_path):
    install(tmp_path, "boost", "1.0", {"boost/lib/a.so": elf("libgomp.so.1")})
    (tmp_path / "boost-1.0.dist-info" / "RECORD").unlink()
    assert needed(tmp_path) == {"libgomp.so.1": "libgomp1"}


def test_the_wheels_of_this_environment():
    site = sysconfig.get_path("platlib")
    assert needed(site, "lightgbm") == {"libgomp.so.1": "libgomp1"}
    assert found(site, "lightgbm").libraries.known[0].needed_by == ("lightgbm/lib/lib_lightgbm.so",)
    assert not found(site, "scikit-learn", "scipy", "numpy", "pandas", "pyarrow", "xgboost-cpu").libraries


def test_the_service_brings_nothing_that_needs_the_system():
    names = ("uvloop", "httptools", "msgspec", "uvicorn", "starlette")
    installed = Installed.read([sysconfig.get_path("platlib")])
    assert not found(
        sysconfig.get_path("platlib"), *(name for name in names if name in installed.distributions)
    ).libraries


def test_a_library_that_is_missing_here_is_said_with_its_package():
    said = "OSError: libgomp.so.1: cannot open shared object file: No such file or directory"
    assert lacking_library(said) == (
        "the library `libgomp.so.1` of the system is missing: on Debian and Ubuntu `apt-get install libgomp1` brings it"
    )
    odd = "ImportError: libodd-2.so.7: cannot open shared object file: No such file or directory"
    assert lacking_library(odd) == "the library `libodd-2.so.7` of the system is missing"
    assert lacking_library("ModuleNotFoundError: No module named 'lightgbm'") is None


@pytest.mark.parametrize(
    "text",
    [
        "not TOML",
        'base = []\nhost = []\n[packages]\n"libx.so" = "Not A Package"\n',
        'base = []\nhost = []\n[packages]\n"libx.so" = "libx-"\n',
        'base = []\nhost = []\n[packages]\n[[opens]]\ndistribution = "x"\nlibraries = ["libx.so"]\n',
        "[packages]\n",
    ],
)
def test_data_that_makes_no_sense_is_refused(text):
    with pytest.raises(InvalidInput) as caught:
        read_known(text.encode(), where="my.toml")
    assert caught.value.code == "libraries.malformed"


def test_every_shipped_name_stands_for_one_library():
    known = shipped_libraries()
    assert not [soname for soname in known.packages if known.is_there(soname)]
