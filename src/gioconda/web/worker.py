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
from typing import TYPE_CHECKING, Any, TextIO

from gioconda.errors import GiocondaError
from gioconda.web.files import PREVIEW

if TYPE_CHECKING:
    from gioconda.types import Image

REPORTS_A_SECOND = 5.0
PREVIEWS_A_SECOND = 2.0
PREVIEW_SIDE = 360  # pixels of the longer side


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


class _Watch:
    """What a job tells while it runs: how far it is, and now and then the frame that it made last."""

    def __init__(self, cancelled: threading.Event, reports: _Reports) -> None:
        self._cancelled, self._reports = cancelled, reports
        self._stage, self._told, self._shown = "", 0.0, 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Raises _CancelledError for a job that is no longer wanted."""
        if self._cancelled.is_set():
            raise _CancelledError
        now = time.monotonic()
        if stage != self._stage or done == total or now - self._told >= 1 / REPORTS_A_SECOND:
            self._stage, self._told = stage, now
            self._reports.send(progress=[stage, done, total])

    def look(self, image: Image) -> None:
        """A finished frame (H, W, 3) uint8 RGB."""
        now = time.monotonic()
        if now - self._shown >= 1 / PREVIEWS_A_SECOND:
            self._shown = now
            write_preview(image)


def write_preview(image: Image) -> None:
    """Leave a frame in the present folder, small, in one piece: somebody may be reading the one before."""
    import cv2

    scale = PREVIEW_SIDE / max(*image.shape[:2], PREVIEW_SIDE)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    if done:
        part = Path(f"{PREVIEW}.part")
        part.write_bytes(data.tobytes())
        part.replace(PREVIEW)


def _carry_out(order: dict[str, Any], cancelled: threading.Event, reports: _Reports) -> dict[str, Any]:
    """Do a job in its own folder: paths in messages and manifests are bare names, and all scraps stay there."""
    from gioconda.web import perform

    folder = Path(order["folder"])
    os.chdir(folder)
    scraps = folder / ".scraps"
    scraps.mkdir(exist_ok=True)
    tempfile.tempdir = os.environ["GIOCONDA_CACHE"] = str(scraps)
    request = perform.JOB.validate_json(order["request"])
    perform.check_length(order["media_seconds"])
    try:
        return perform.perform(request, _Watch(cancelled, reports)).model_dump()
    finally:
        with contextlib.suppress(OSError):
            scraps.rmdir()


if __name__ == "__main__":
    main()
