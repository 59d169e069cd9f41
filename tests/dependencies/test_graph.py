"""Who requires whom, and how much room each takes."""

from model_envelope.dependencies.graph import Package, brought_along, closure, packages


def test_follows_requirements_with_their_extras_and_markers(environment):
    environment.install("server", requires=["fast[loop]>=1", "winfast; sys_platform == 'nowhere'", "not a line"])
    environment.install("fast", requires=["loops; extra == 'loop'", "server", "gone"])
    environment.install("loops")
    environment.install("winfast")
    found = closure(["server"], environment.read())
    assert found == {"server": {"fast"}, "fast": {"loops", "server", "gone"}, "loops": set()}
    assert brought_along(["server"], environment.read()) == {"fast": "server", "loops": "server"}


def test_what_is_left_out_is_not_followed(environment):
    environment.install("server", requires=["fast", "plain"])
    environment.install("fast", requires=["loops"])
    environment.install("loops")
    environment.install("plain")
    assert brought_along(["server"], environment.read(), without={"fast"}) == {"plain": "server"}


def test_what_is_not_installed_may_have_a_stand_in(environment):
    environment.install("fast", requires=["loops"])
    environment.install("loops")
    assert brought_along(["faster"], environment.read()) == {}
    assert brought_along(["faster"], environment.read(), as_of={"faster": "fast"}) == {"loops": "faster"}


def test_describes_the_packages_of_a_lock(environment, tmp_path):
    environment.install("server", "2.0-beta1", requires=["fast[loop]", "plain", "gone"])
    environment.install("fast", requires=["loops; extra == 'loop'"])
    environment.install("loops", "3.0", record=False)
    environment.install("plain", "1.0", requires=["loops"])
    room = type(environment)(tmp_path / "room")
    room.install("plain", "1.1", files={"plain/__init__.py": "x" * 7})
    versions = {"server": "2.0b1", "fast": "1.0", "loops": "3.0", "plain": "1.1", "elsewhere": "1"}
    found = {item.name: item for item in packages(versions, ["server"], [environment.read(), room.read()])}
    assert list(found) == sorted(versions)
    assert found["server"].requires == ("fast", "plain")
    assert found["fast"].requires == ("loops",)
    assert found["fast"].size > 0
    assert found["loops"] == Package("loops", "3.0", (), None)
    assert found["plain"].requires == ()
    assert found["elsewhere"] == Package("elsewhere", "1", None, None)
