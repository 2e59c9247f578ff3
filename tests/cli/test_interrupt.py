import signal

import pytest

from autokd_edge.cli.interrupt import interruptible


class Finaliser:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)  # the KeyboardInterrupt is raised in here, where Python only prints it


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_a_finaliser_swallowed_ends_the_next_step():
    with interruptible() as check:
        check()
        thing = Finaliser()
        del thing
        with pytest.raises(KeyboardInterrupt):
            check()


def test_an_interrupt_elsewhere_is_raised_at_once_and_the_old_handler_comes_back():
    before = signal.getsignal(signal.SIGINT)
    with interruptible(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
