import signal
import threading

import pytest

from model_envelope.foundation.interrupts import held_back


def held(*actions):
    with held_back():
        for action in actions:
            action()


def interrupt():
    signal.raise_signal(signal.SIGINT)


def fail():
    raise ValueError


def test_an_interrupt_comes_when_the_block_has_ended():
    done = []
    with pytest.raises(KeyboardInterrupt):
        held(interrupt, interrupt, lambda: done.append("all of it"))
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_comes_when_an_error_ended_the_block_too():
    with pytest.raises(KeyboardInterrupt) as caught:
        held(interrupt, fail)
    assert isinstance(caught.value.__context__, ValueError)


def test_blocks_in_blocks_wait_for_the_outermost():
    done = []
    with pytest.raises(KeyboardInterrupt):
        held(lambda: held(interrupt), lambda: done.append("goes on"))
    assert done == ["goes on"]


def test_sigterm_is_held_back_for_whoever_handles_it():
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        held(lambda: signal.raise_signal(signal.SIGTERM), lambda: came.append("first"))
        assert came == ["first", signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_nothing_is_done_in_another_thread():
    seen = []
    thread = threading.Thread(target=held, args=[lambda: seen.append(signal.getsignal(signal.SIGINT))])
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_without_an_interrupt_nothing_happens():
    held()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
