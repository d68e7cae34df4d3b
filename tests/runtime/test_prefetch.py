"""Iterators that run in threads: the same items, errors in their place, nothing left running."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from gioconda.runtime.prefetch import run_ahead, shared


def running():
    return [one for one in threading.enumerate() if one.name == "gioconda-ahead"]


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
