"""How many CPUs a process has, and what the libraries of a model are told."""

import os

import pytest

from model_envelope.serving import threads


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def machine(root, groups, files):
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_control_groups_it_is_what_the_process_may_run_on(tmp_path):
    assert threads.cpus(tmp_path) == 8


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "3200000 100000\n"}, 8),
        # The outer group has less than the inner one.
        ("0::/pod/app\n", {"pod/app/cpu.max": "400000 100000\n", "pod/cpu.max": "200000 100000\n"}, 2),
        # The host's path, of which a container sees only the end.
        ("0::/kubepods/pod1/c1\n", {"cpu.max": "300000 100000\n"}, 3),
        (
            "5:memory:/x\n4:cpu,cpuacct:/app\n",
            {"cpu/app/cpu.cfs_quota_us": "250000\n", "cpu/app/cpu.cfs_period_us": "100000\n"},
            2.5,
        ),
        ("4:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 8),
        ("0::/../other\n", {"cpu.max": "100000 100000\n"}, 1),
    ],
)
def test_the_time_that_a_control_group_has_of_the_cpus(tmp_path, groups, files, expected):
    assert threads.cpus(machine(tmp_path, groups, files)) == expected


@pytest.mark.parametrize(("quota", "workers", "share"), [(8.0, 1, 8), (8.0, 3, 2), (1.5, 1, 1), (0.5, 4, 1)])
def test_each_worker_gets_its_share(monkeypatch, quota, workers, share):
    monkeypatch.setattr(threads, "cpus", lambda: quota)
    environment = {}
    assert threads.limit_threads(workers, environment) == share
    assert set(environment) == {threads.OPENMP, *threads.FOLLOW_OPENMP, *threads.OTHERS}
    assert set(environment.values()) == {str(share)}


def test_what_the_user_set_stays_also_for_those_that_follow_it():
    environment = {"OMP_NUM_THREADS": "3", "POLARS_MAX_THREADS": "5"}
    threads.limit_threads(1, environment)
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["POLARS_MAX_THREADS"] == "5"
    assert "OPENBLAS_NUM_THREADS" not in environment
    assert environment["RAYON_NUM_THREADS"] == "8"
