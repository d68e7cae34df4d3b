"""Helpers answer as this process would, whatever happens to them, and none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, suppress
from functools import partial

import numpy as np
import psutil
import pytest

from gioconda.errors import InputError
from gioconda.runtime import helpers as module
from gioconda.runtime.helpers import Helpers, start_helpers
from gioconda.runtime.prefetch import map_ahead
from programs import running, wait_for

pytestmark = pytest.mark.skipif(os.name != "posix", reason="helpers exist on POSIX systems only")


def whereabouts(base, item):
    """The process, and what an item adds to an array."""
    return os.getpid(), base + item


def fails_at_five(item):
    if item == 5:
        raise InputError("five is too many")
    if item == 6:
        raise ZeroDivisionError("six")
    return item


def dies_at_five(parent, item):
    """The first process that gets a five, other than the parent, dies."""
    if item == 5 and os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


@pytest.fixture
def two():
    # A helper finds this module where its parent does.
    helpers = Helpers(2, [__name__])
    with closing(helpers):
        wait_for(lambda: helpers.ready == 2, 120)
        yield helpers


def alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def children():
    """The helpers of this process."""
    found = [one for one in psutil.Process().children(recursive=True) if alive(one)]
    return [one for one in found if "gioconda.runtime.helpers" in " ".join(one.cmdline())]


def test_both_helpers_answer_in_order_with_what_this_process_would_say(two):
    base = np.arange(6, dtype=np.float32)
    answers = list(map_ahead(partial(whereabouts, base), range(200), 2, two))
    assert all(np.array_equal(sum_, base + item) for item, (_, sum_) in enumerate(answers))
    assert {pid for pid, _ in answers} == {one.pid for one in children()}


def test_threads_answer_until_helpers_are_ready():
    with closing(Helpers(1, [__name__])) as slow:
        pids = [pid for pid, _ in map_ahead(partial(whereabouts, 0), range(2), 2, slow)]
        assert pids == [os.getpid()] * 2
        wait_for(lambda: slow.ready == 1, 120)
        assert next(map_ahead(partial(whereabouts, 0), range(2), 2, slow))[0] != os.getpid()
    assert children() == []
    assert list(map_ahead(partial(whereabouts, 0), range(2), 2, slow)) == [(os.getpid(), 0), (os.getpid(), 1)]


def test_errors_come_where_their_results_would(two):
    seen = []
    with pytest.raises(InputError, match="five is too many"):
        seen.extend(map_ahead(fails_at_five, range(10), 2, two))
    assert seen == [0, 1, 2, 3, 4]
    with pytest.raises(RuntimeError, match="ZeroDivisionError: six"):
        list(map_ahead(fails_at_five, [6], 2, two))
    assert list(map_ahead(fails_at_five, range(3), 2, two)) == [0, 1, 2]


def test_what_a_lost_helper_had_to_do_is_done_all_the_same(two):
    numbers = [*range(40), 5, 5, 5, *range(40)]
    assert list(map_ahead(partial(dies_at_five, os.getpid()), numbers, 2, two)) == [n * n for n in numbers]
    assert two.ready == 0


def test_a_consumer_that_stops_early_leaves_no_process():
    with closing(Helpers(2, [__name__])) as helpers:
        wait_for(lambda: helpers.ready == 2, 120)
        with closing(map_ahead(partial(whereabouts, 0), iter(int, 1), 2, helpers)) as answers:
            assert next(answers)[0] != os.getpid()
    assert children() == []


def test_helpers_that_nobody_closes_end_with_the_object():
    kept = [Helpers(1, [__name__])]
    wait_for(lambda: kept[0].ready == 1, 120)
    assert len(children()) == 1
    kept.clear()
    assert children() == []


SCRIPT = """
import sys, time
from gioconda.runtime.helpers import Helpers
print("the script runs", flush=True)
helpers = Helpers(2, ["gioconda.errors"])
while helpers.ready < 2:
    time.sleep(0.01)
print("ready", flush=True)
if sys.argv[1] == "stay":
    time.sleep(600)
"""


@pytest.mark.parametrize("end", ["end", signal.SIGINT, signal.SIGKILL])
def test_helpers_end_with_their_parent_and_do_not_run_its_script(tmp_path, end):
    script = tmp_path / "user.py"
    script.write_text(SCRIPT)
    stay = "end" if end == "end" else "stay"
    with running(
        [sys.executable, str(script), stay],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert [parent.stdout.readline() for _ in range(2)] == ["the script runs\n", "ready\n"]
        if end == signal.SIGINT:
            # A terminal sends Ctrl-C to the helpers too.
            os.killpg(parent.pid, end)
        elif end != "end":
            parent.send_signal(end)
        out, err = parent.communicate(timeout=120)
        assert out == ""
        assert err.count("Traceback") == (1 if end == signal.SIGINT else 0)
    wait_for(lambda: not of_group(parent.pid))


def of_group(group):
    """The processes of a group."""
    found = []
    for one in psutil.process_iter():
        # Others may end meanwhile.
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(one.pid) == group and alive(one):
                found.append(one)
    return found


def test_helpers_are_started_only_where_they_pay_off(monkeypatch):
    monkeypatch.setattr(module, "cores", lambda: 2)
    assert start_helpers([]) is None
    monkeypatch.setattr(module, "cores", lambda: 8)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert start_helpers([]) is None
    monkeypatch.undo()
    monkeypatch.setattr(module, "cores", lambda: 8)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert start_helpers([]) is None
    monkeypatch.setattr(sys, "frozen", False)
    monkeypatch.setattr(module, "_none", [True])
    assert start_helpers([]) is None
    monkeypatch.setattr(module, "_none", [])
    begun = start_helpers([])
    try:
        assert len(children()) == module.COUNT
    finally:
        begun.close()


def test_a_helper_that_cannot_start_costs_nothing():
    with closing(Helpers(1, ["gioconda.no_such_module"])) as helpers:
        wait_for(lambda: not children(), 120)
        assert helpers.ready == 0
        assert list(map_ahead(fails_at_five, range(3), 2, helpers)) == [0, 1, 2]
