"""A worker process: takes one job at a time on standard input, reports in lines of JSON on standard output."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from gioconda.errors import GiocondaError

REPORTS_A_SECOND = 5.0


class _CancelledError(Exception):
    """Raised out of the progress callback of a job that is no longer wanted."""


class _Orders:
    """What the server sends. Its end of the pipe closes when it ends, however it does: then this process ends too."""

    def __init__(self, stream: TextIO) -> None:
        self.jobs: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.cancelled = threading.Event()
        self._stream = stream
        threading.Thread(target=self._read, name="gioconda-orders", daemon=True).start()

    def _read(self) -> None:
        for line in self._stream:
            order = json.loads(line)
            if "cancel" in order:
                self.cancelled.set()
            else:
                self.cancelled.clear()
                self.jobs.put(order)
        os._exit(0)


class _Reports:
    """Lines of JSON to the server."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def send(self, **message: Any) -> None:
        self._stream.write(json.dumps(message) + "\n")
        self._stream.flush()


def main() -> None:
    """Work until the server closes the pipe. The first line on standard input holds the limits."""
    # the pipe is ours alone: whatever libraries print goes to the log
    reports = _Reports(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    orders_stream = os.fdopen(os.dup(0), encoding="utf-8")
    limits = json.loads(orders_stream.readline() or "{}")
    restrain(limits)
    orders = _Orders(orders_stream)
    from gioconda import speaking  # noqa: F401  (all that the first job would otherwise wait for)

    reports.send(ready=os.getpid())
    while True:
        order = orders.jobs.get()
        reports.send(**_carried_out(order, orders.cancelled, reports))


def restrain(limits: dict[str, Any]) -> None:
    """Be nice to others, leave no core dumps with faces in them, and take no more memory or disk than allowed."""
    import faulthandler

    faulthandler.enable()
    if sys.platform == "win32":
        return
    import resource

    os.nice(limits["nice"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits["file_bytes"],) * 2)
    if sys.platform == "linux":
        # the server looks at resident memory a few times a second; this stops what grows faster
        resource.setrlimit(resource.RLIMIT_DATA, (2 * limits["memory_bytes"],) * 2)


def _carried_out(order: dict[str, Any], cancelled: threading.Event, reports: _Reports) -> dict[str, Any]:
    """The last report about a job: done, cancelled, or failed with a message for people."""
    home = Path.cwd()
    try:
        return {"done": _carry_out(order, cancelled, reports)}
    except _CancelledError:
        return {"cancelled": True}
    except GiocondaError as error:
        return {"failed": str(error)}
    except MemoryError:
        return {"failed": "the job needs more memory than the server allows; choose a smaller size"}
    except Exception as error:  # the last net: the server must hear of it
        import traceback

        traceback.print_exc()
        return {"failed": f"a defect of gioconda ({type(error).__name__}); please report it"}
    finally:
        os.chdir(home)


def _carry_out(order: dict[str, Any], cancelled: threading.Event, reports: _Reports) -> dict[str, Any]:
    """Do a job in its own folder: paths in messages and manifests are bare names, and all scraps stay there."""
    from gioconda.web import perform

    folder = Path(order["folder"])
    os.chdir(folder)
    scraps = folder / ".scraps"
    scraps.mkdir(exist_ok=True)
    tempfile.tempdir = os.environ["GIOCONDA_CACHE"] = str(scraps)
    last: list[Any] = ["", 0.0]

    def report(stage: str, done: int, total: int) -> None:
        if cancelled.is_set():
            raise _CancelledError
        now = time.monotonic()
        if stage != last[0] or done == total or now - last[1] >= 1 / REPORTS_A_SECOND:
            last[:] = stage, now
            reports.send(progress=[stage, done, total])

    request = perform.JOB.validate_json(order["request"])
    perform.check_length(order["media_seconds"])
    try:
        return perform.perform(request, report).model_dump()
    finally:
        with contextlib.suppress(OSError):
            scraps.rmdir()


if __name__ == "__main__":
    main()
