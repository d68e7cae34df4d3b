"""A worker process: takes one job at a time from standard input and reports in lines of JSON on standard output."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TextIO

from gioconda.errors import GiocondaError, lacks_memory
from gioconda.runtime.helpers import use_no_helpers
from gioconda.runtime.onnx import use_device
from gioconda.web.files import PREVIEW

if TYPE_CHECKING:
    from gioconda.types import Image

# Most reports of progress per second, and most previews.
REPORTS_A_SECOND = 5.0
PREVIEWS_A_SECOND = 2.0
# Longer side of a preview in pixels, and its JPEG quality of 100.
PREVIEW_SIDE = 360
PREVIEW_QUALITY = 80
# Bytes: a process that fails this near to its limit has failed for lack of memory.
MEMORY_RESERVE = 32 * 2**20


class _CancelledError(Exception):
    """The job was cancelled; the progress callback raises this."""


class _Commands:
    """The commands of the server. When the server ends, its end of the pipe closes, and this process exits."""

    def __init__(self, stream: TextIO) -> None:
        self.jobs: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.cancelled = threading.Event()
        self._stream = stream
        threading.Thread(target=self._read, name="gioconda-orders", daemon=True).start()

    def _read(self) -> None:
        """Read commands until the pipe closes, then exit."""
        for line in self._stream:
            command = json.loads(line)
            if "cancel" in command:
                self.cancelled.set()
            else:
                self.cancelled.clear()
                self.jobs.put(command)
        os._exit(0)


class _Reports:
    """Sends lines of JSON to the server."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def send(self, **message: Any) -> None:
        self._stream.write(json.dumps(message) + "\n")
        self._stream.flush()


def main() -> None:
    """Run jobs until the server closes the pipe. The first line on standard input has limits and device."""
    # Only reports go through the pipe; what libraries print goes to the log.
    reports = _Reports(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    stream = os.fdopen(os.dup(0), encoding="utf-8")
    setting = json.loads(stream.readline())
    restrain(setting["limits"])
    use_device(setting["device"])
    # The limits hold for this process alone.
    use_no_helpers()
    commands = _Commands(stream)
    # Otherwise the first job would wait for the import.
    from gioconda import pipeline  # noqa: F401

    reports.send(ready=os.getpid())
    while True:
        command = commands.jobs.get()
        reports.send(**_run_job(command, commands.cancelled, reports))


def restrain(limits: dict[str, Any]) -> None:
    """Lower this process's priority, forbid core dumps, which would hold faces, and limit memory and file size.

    Args:
        limits: `nice`, `memory_bytes` and `file_bytes`.
    """
    import faulthandler

    faulthandler.enable()
    if sys.platform == "win32":
        return
    import resource

    os.nice(limits["nice"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits["file_bytes"],) * 2)
    if sys.platform == "linux":
        # The server checks resident memory a few times per second; this stops what grows faster.
        resource.setrlimit(resource.RLIMIT_DATA, (2 * limits["memory_bytes"],) * 2)


def _run_job(command: dict[str, Any], cancelled: threading.Event, reports: _Reports) -> dict[str, Any]:
    """Run a job and return the last report about it: done, cancelled, or failed with a message for people."""
    home = Path.cwd()
    try:
        return {"done": _run_in_folder(command, cancelled, reports)}
    except _CancelledError:
        return {"cancelled": True}
    except GiocondaError as error:
        return {"failed": str(error)}
    # Any other error is a bug in gioconda; the server reports it and goes on.
    except Exception as error:
        if lacks_memory(error) or _memory_left() < MEMORY_RESERVE:
            return {"failed": "the job needs more memory than the server allows; choose a smaller size"}
        import traceback

        traceback.print_exc()
        return {"failed": f"a bug in gioconda ({type(error).__name__}); please report it"}
    finally:
        os.chdir(home)


def _memory_left() -> float:
    """Bytes that this process may still take before it reaches its own limit; inf without a limit."""
    if sys.platform != "linux":
        return math.inf
    import resource

    import psutil

    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return math.inf if limit == resource.RLIM_INFINITY else limit - psutil.Process().memory_info().data


class _ProgressReporter:
    """The progress callback of a job; it also writes previews of finished frames."""

    def __init__(self, cancelled: threading.Event, reports: _Reports) -> None:
        self._cancelled, self._reports = cancelled, reports
        self._stage, self._sent, self._shown = "", 0.0, 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report progress; raise _CancelledError if the job was cancelled."""
        if self._cancelled.is_set():
            raise _CancelledError
        now = time.monotonic()
        if stage != self._stage or done == total or now - self._sent >= 1 / REPORTS_A_SECOND:
            self._stage, self._sent = stage, now
            self._reports.send(progress=[stage, done, total])

    def preview(self, image: Image) -> None:
        """Write a preview of a finished frame (H, W, 3) uint8 RGB or (H, W, 4) RGBA, if the last one is old enough."""
        now = time.monotonic()
        if now - self._shown >= 1 / PREVIEWS_A_SECOND:
            self._shown = now
            write_preview(image)


def write_preview(image: Image) -> None:
    """Write a small JPEG of a frame into the working folder, at once, since the last one may be read meanwhile.

    Args:
        image: The frame (H, W, 3) uint8 RGB, or (H, W, 4) RGBA, which is shown over white.
    """
    import cv2
    import numpy as np

    scale = PREVIEW_SIDE / max(*image.shape[:2], PREVIEW_SIDE)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    colours, alpha = small[..., :3], small[..., 3:] / np.float32(255)
    if alpha.size:
        colours = np.rint(colours * alpha + 255 * (1 - alpha)).astype(np.uint8)
    done, data = cv2.imencode(".jpg", colours[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, PREVIEW_QUALITY])
    if done:
        part = Path(f"{PREVIEW}.part")
        part.write_bytes(data.tobytes())
        part.replace(PREVIEW)


def _run_in_folder(command: dict[str, Any], cancelled: threading.Event, reports: _Reports) -> dict[str, Any]:
    """Run a job in its own folder, so that messages and manifests have bare names and temporary files stay there."""
    from gioconda.web.queue import perform

    folder = Path(command["folder"])
    os.chdir(folder)
    scraps = folder / ".scraps"
    scraps.mkdir(exist_ok=True)
    tempfile.tempdir = os.environ["GIOCONDA_CACHE"] = str(scraps)
    request = perform.read_request(command["request"])
    perform.check_length(command["media_seconds"])
    try:
        return perform.perform(
            request, _ProgressReporter(cancelled, reports), *command["signer"]
        ).model_dump()
    finally:
        with contextlib.suppress(OSError):
            scraps.rmdir()


if __name__ == "__main__":
    main()
