"""Iterators that run in threads: the same items, errors in their place, nothing left running."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from gioconda.runtime.prefetch import map_ahead, run_ahead, shared


def running():
    return [one for one in threading.enumerate() if one.name.startswith(("gioconda-ahead", "gioconda-map"))]


def counted(stop, ended, error=None):
    """0, 1, ... below `stop`, then perhaps an error; notes its own end."""
    try:
        yield from range(stop)
        if error is not None:
            raise error
    finally:
        ended.append(True)


def test_items_come_whole_and_in_order():
    ended = []
    assert list(run_ahead(counted(1000, ended), depth=3)) == list(range(1000))
    assert ended == [True]
    assert running() == []


def test_an_error_comes_after_the_items_before_it():
    ended, seen = [], []
    with pytest.raises(ValueError, match="damaged"):
        seen.extend(run_ahead(counted(5, ended, ValueError("damaged"))))
    assert seen == [0, 1, 2, 3, 4]
    assert ended == [True]
    assert running() == []


def test_a_consumer_that_leaves_ends_the_thread_and_closes_the_source():
    ended = []
    with closing(run_ahead(counted(10**9, ended), depth=2)) as items:
        assert next(items) == 0
        assert len(running()) == 1
    assert ended == [True]
    assert running() == []


def test_threads_that_share_items_get_all_of_them():
    ended = []
    with ThreadPoolExecutor(3) as pool:
        got = list(pool.map(list, shared(counted(20_000, ended), 3)))
    assert got == [list(range(20_000))] * 3
    assert ended == [True]


def test_results_of_several_threads_come_in_order():
    ended, at_once, most = [], [], []

    def slow_at_first(number):
        at_once.append(number)
        most.append(len(at_once))
        time.sleep(0.02 if number % 3 == 0 else 0.0)
        at_once.remove(number)
        return number * number

    assert list(map_ahead(slow_at_first, counted(40, ended), 3)) == [n * n for n in range(40)]
    assert 1 < max(most) <= 3
    assert ended == [True]
    assert running() == []


def test_an_error_in_a_thread_comes_in_its_place():
    def fails_at_five(number):
        if number == 5:
            raise ValueError("damaged")
        return number

    seen, ended = [], []
    with pytest.raises(ValueError, match="damaged"):
        seen.extend(map_ahead(fails_at_five, counted(100, ended), 3))
    assert seen == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="the source"):
        seen.extend(map_ahead(str, counted(2, ended, ValueError("the source")), 3))
    assert seen[5:] == ["0", "1"]
    assert ended == [True, True]
    assert running() == []


def test_a_consumer_that_leaves_ends_all_calls_and_keeps_few_results():
    ended, called = [], []
    with closing(map_ahead(called.append, counted(10**9, ended), 2)) as results:
        next(results)
        time.sleep(0.05)
        assert len(called) <= 4
    assert ended == [True]
    assert running() == []


LEFT_OPEN = """
import itertools
from gioconda.runtime.prefetch import run_ahead
def numbers():
    try:
        yield from itertools.count()
    finally:
        print("closed", flush=True)
items = run_ahead(numbers())
print(next(items), flush=True)
"""


def test_a_program_that_leaves_an_iterator_open_ends():
    done = subprocess.run(
        [sys.executable, "-c", LEFT_OPEN], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["0", "closed"]
