"""A call with a deadline, against functions that return, raise, and do not come back."""

import threading

import pytest

from gioconda.runtime import deadline
from programs import wait_for


def test_what_a_function_returns_and_raises_comes_through():
    assert deadline.within(60, divmod, 7, 2) == (3, 1)
    assert deadline.within(60, sorted, [1, 2], reverse=True) == [2, 1]
    with pytest.raises(ZeroDivisionError):
        deadline.within(60, divmod, 1, 0)
    assert not deadline.any_left()


def test_a_function_that_does_not_come_back_is_left_behind():
    free = threading.Event()
    with pytest.raises(TimeoutError):
        deadline.within(0.05, free.wait)
    assert deadline.any_left()
    free.set()
    wait_for(lambda: not deadline.any_left(), 60)
