"""The sessions of a server: portraits that answer at once, each in a process of its own, bounded and let go in time."""

from __future__ import annotations

import logging
import queue
import secrets
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeAlias

from gioconda.errors import GiocondaError, InputError
from gioconda.web import files
from gioconda.web.child import Child
from gioconda.web.live import wire
from gioconda.web.refusals import ClosingError, QueueFullError, UnknownJobError
from gioconda.web.settings import Settings

LOG = logging.getLogger("gioconda.web")

Use: TypeAlias = Literal["edit", "live"]

SIDES: dict[Use, int] = {"edit": 512, "live": 384}  # of the pictures, pixels
MOST: dict[Use, int] = {"edit": 4, "live": 2}  # sessions at a time
IDLE_SECONDS: dict[Use, float] = {"edit": 900.0, "live": 20.0}  # without a request, after which one is let go
START_SECONDS = 90.0
ANSWER_SECONDS = 10.0
WAITING = 2  # requests that a session holds, the one that is worked on included
FLOOD = 120  # refusals within a second, after which a session is ended
_TICK = 1.0


class EndedError(UnknownJobError):
    """A session that is not there, or no longer."""

    def __init__(self, why: str = "this session has ended; start a new one") -> None:
        InputError.__init__(self, why)


class Session:
    """One portrait's process. Requests are answered one after the other."""

    def __init__(self, use: Use, settings: Settings, log: Path) -> None:
        self.use: Use = use
        self.ready, self.asked = False, time.monotonic()
        self._lock, self._room = threading.Lock(), threading.BoundedSemaphore(WAITING)
        self._refused: tuple[int, int] = 0, 0
        with log.open("ab") as errors:
            self._child = Child("gioconda.web.live.process", settings.data, errors, wire.messages)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.alive

    def begin(self, portrait: Path, limits: dict[str, int]) -> bytes:
        """Set the portrait up; a JPEG of it as it is. Raises InputError for one that cannot be used."""
        told, picture = self._exchange(
            {"limits": limits, "portrait": str(portrait), "side": SIDES[self.use]}, b"", START_SECONDS
        )
        if "failed" in told:
            raise InputError(str(told["failed"]))
        self.ready, self.asked = True, time.monotonic()
        return picture

    def ask(self, header: dict[str, Any], payload: bytes = b"") -> wire.Message:
        """The answer to a request. QueueFullError while others wait, EndedError, or InputError for a bad request."""
        self.asked = time.monotonic()
        if not self._room.acquire(blocking=False):
            self._count_refusal()
            raise QueueFullError("too many pictures at once; wait for the answer to the last", 1)
        try:
            with self._lock:
                told, picture = self._exchange(header, payload, ANSWER_SECONDS)
        finally:
            self._room.release()
            self.asked = time.monotonic()
        if "refused" in told:
            raise InputError(str(told["refused"]))
        return told, picture

    def _count_refusal(self) -> None:
        second = int(time.monotonic())
        count = self._refused[1] + 1 if self._refused[0] == second else 1
        self._refused = second, count
        if count > FLOOD:
            self.end()
            raise EndedError("the session was ended: too many pictures a second")

    def _exchange(self, header: dict[str, Any], payload: bytes, seconds: float) -> wire.Message:
        try:
            wire.write_message(self._child.stdin, header, payload)
            answer = self._child.messages.get(timeout=seconds)
        except (OSError, ValueError):
            answer = None
        except queue.Empty:
            self.end()
            raise EndedError("the session was ended: it took too long to answer; start again") from None
        if answer is None:
            raise EndedError("the session has ended unexpectedly; start it again")
        return answer

    def memory(self) -> int:
        """Resident bytes; 0 if it has ended."""
        return self._child.memory()

    def end(self) -> None:
        """End the process at once."""
        self._child.end()


class Sessions:
    """All sessions of a server, by ids that nobody can guess. Methods may be called from any thread."""

    def __init__(self, settings: Settings, *, idle_seconds: dict[Use, float] | None = None) -> None:
        """idle_seconds: after which a session of each use is let go."""
        self._settings = settings
        self._idle = idle_seconds or IDLE_SECONDS
        self._folder = settings.data / "live"
        shutil.rmtree(self._folder, ignore_errors=True)  # left by a server that was killed
        self._folder.mkdir(mode=0o700, parents=True)
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        # each waits for a process most of the time: the event loop's own few threads are for others
        self.pool = ThreadPoolExecutor(WAITING * sum(MOST.values()) + 2, "gioconda-live")
        threading.Thread(target=self._sweep, name="gioconda-live-sweeper", daemon=True).start()

    def open(self, use: Use, portrait: Path, rights: str) -> tuple[str, bytes]:
        """Set a portrait up; the session's id, and a JPEG of the portrait. Takes some seconds.

        portrait: a file on this machine, of which a copy is read and deleted at once. rights: what entitles to the
        likeness. Raises InputError (no rights, no face), QueueFullError (all sessions taken) or LimitError.
        """
        if self._stopping.is_set():
            raise ClosingError
        if len(rights.strip()) < 3:
            raise InputError("first declare what entitles you to use this likeness")
        name = secrets.token_urlsafe(16)
        folder = self._folder / name
        try:
            folder.mkdir(mode=0o700)
            files.adopt(folder, {"portrait": [portrait]}, self._settings.upload_bytes)
            with self._lock:
                self._make_room(use)
                session = self._open[name] = Session(use, self._settings, self._folder / "live.log")
            picture = session.begin(next(folder.iterdir()), self._limits())
        except BaseException as error:
            self.close(name)
            if isinstance(error, GiocondaError):
                raise
            raise EndedError("the session could not be started; try again") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        LOG.info("session begun", extra={"session": name[:8], "kind": use})
        return name, picture

    def _limits(self) -> dict[str, int]:
        return {"nice": 0, "memory_bytes": self._settings.memory_bytes, "file_bytes": 2**20}

    def _make_room(self, use: Use) -> None:
        """Let the longest unused session of sliders go where all are taken; refuse one more before a camera."""
        same = [(session.asked, name) for name, session in self._open.items() if session.use == use]
        if len(same) < MOST[use]:
            return
        if use == "live":
            raise QueueFullError(
                f"{len(same)} cameras drive portraits here already, which is the limit; try again later", 20
            )
        self._drop(min(same)[1])

    def get(self, name: str) -> Session:
        """A session; EndedError if there is none."""
        session = self._open.get(name)
        if session is None or not session.alive:
            self.close(name)
            raise EndedError
        return session

    def close(self, name: str) -> None:
        """End a session; nothing happens if it has ended."""
        with self._lock:
            self._drop(name)

    def _drop(self, name: str) -> None:
        session = self._open.pop(name, None)
        if session is not None:
            session.end()
            LOG.info("session ended", extra={"session": name[:8], "kind": session.use})

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    def memory(self) -> dict[Use, list[int]]:
        """Resident bytes of each open session by its use."""
        held: dict[Use, list[int]] = {use: [] for use in MOST}
        for session in list(self._open.values()):
            held[session.use].append(session.memory())
        return held

    def stop(self) -> None:
        """End all."""
        self._stopping.set()
        for name in list(self._open):
            self.close(name)
        self.pool.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Let go what is idle, has ended, or takes too much memory."""
        while not self._stopping.wait(_TICK):
            for name, session in list(self._open.items()):
                if self._over(session):
                    self.close(name)

    def _over(self, session: Session) -> bool:
        idle = session.ready and time.monotonic() - session.asked > self._idle[session.use]
        return idle or not session.alive or session.memory() > self._settings.memory_bytes
