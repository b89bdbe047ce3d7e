import os
import signal
import threading

import pytest

from byheart.cli.interrupt import Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_the_loop_runs_the_first_asks_and_the_second_leaves(number):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert not interruption()
        os.kill(os.getpid(), number)
        assert interruption.is_requested
        assert interruption()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_where_no_loop_runs_the_first_leaves():
    with Interruption() as interruption:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert not interruption()
        interruption.loop_ended()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_request_that_the_loop_no_longer_saw_is_done_when_it_ends():
    with Interruption() as interruption:
        assert not interruption()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interruption.loop_ended()


def test_outside_the_main_thread_handlers_stay():
    before = signal.getsignal(signal.SIGINT)

    def work() -> None:
        with Interruption() as interruption:
            interruption()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before
