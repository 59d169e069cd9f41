"""What the tool says a model needs, against what the model turns out to need; `make test-corpus`.

The truth is what the oracle found last (`make bench-dependencies` finds it anew). Each case is trained in the crowded
environment and packed there; then its list is locked, and a clean room is made of that alone, in which every method has
to answer the same: all cases are proven, none is excused.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from corpus.oracle import Crowded
from corpus.running import PYTHON, Case, Failed, Packed, cases, crowded, pack, prove, train, truth
from model_envelope.runtime.reading import read_envelope

PRECISION = 0.95
TRUTH = truth()

pytestmark = pytest.mark.network


@pytest.fixture(scope="session")
def environment() -> Crowded:
    python = crowded()
    if python is None:
        pytest.fail(f"{PYTHON} names no interpreter: `make test-corpus` makes the environment and names it")
    return Crowded(python)


@pytest.fixture(scope="session")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield pool
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def packed(
    environment: Crowded, pool: ThreadPoolExecutor, request: pytest.FixtureRequest, tmp_path_factory
) -> Mapping[str, Future[Packed]]:
    """All cases that are asked for: their programs run side by side, while the tests wait for them in turn."""
    folder = tmp_path_factory.mktemp("cases")

    def prepare(case: Case) -> Packed:
        return pack(train(case, environment.python, folder / case.name), folder / case.name)

    chosen = {item.callspec.params["case"].name for item in request.session.items if hasattr(item, "callspec")}
    return {case.name: pool.submit(prepare, case) for case in cases() if case.name in chosen}


@pytest.fixture(scope="session")
def proven(packed: Mapping[str, Future[Packed]], pool: ThreadPoolExecutor) -> Mapping[str, Future[Path]]:
    """The same cases, locked and proven in clean rooms, after they were packed."""

    def install(future: Future[Packed]) -> Path:
        case = future.result()
        return prove(case, case.trained.home.parent)

    return {name: pool.submit(install, future) for name, future in packed.items()}


def test_the_corpus_and_its_truth_are_of_the_same_cases():
    assert {case.name for case in cases()} == TRUTH.keys(), "`make bench-dependencies` finds the truth anew"
    assert len(TRUTH) >= 30


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_the_list_of_a_model_is_enough(case, environment, packed, proven):
    kept = packed[case.name].result().kept
    missing = environment.judge(kept, TRUTH[case.name]["needed"]).missing
    assert not missing, f"{case.name} keeps {_and(kept)}, and {_and(missing)} does not come along"
    envelope = read_envelope(proven[case.name].result())
    assert {sample.method for sample in envelope.samples} == set(envelope.signature.methods)


def test_the_lists_hold_hardly_anything_that_is_not_needed(environment, packed):
    verdicts = {}
    for name, future in packed.items():
        try:
            verdicts[name] = environment.judge(future.result().kept, TRUTH[name]["needed"])
        except Failed:
            continue
    right, listed = (sum(getattr(found, what) for found in verdicts.values()) for what in ("right", "listed"))
    told = "; ".join(f"{name}: {_and(found.needless)}" for name, found in verdicts.items() if found.needless)
    assert right >= PRECISION * listed, f"{right} of {listed} listed distributions are needed; not so {told}"


def _and(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"
