"""The sessions of a server: prepared portraits, each in a process of its own, limited in number and idle time."""

from __future__ import annotations

import logging
import queue
import secrets
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gioconda.errors import GiocondaError, InputError
from gioconda.web import files
from gioconda.web.errors import ClosingError, QueueFullError, UnknownJobError
from gioconda.web.live import wire
from gioconda.web.live.models import Box, SessionRequest, SessionState, Use
from gioconda.web.queue.child import Child
from gioconda.web.settings import ServerSettings

LOG = logging.getLogger("gioconda.web")

# Sessions at a time.
MOST: dict[Use, int] = {"edit": 4, "live": 2, "voice": 2}
# Seconds without a request after which a session ends.
IDLE_SECONDS: dict[Use, float] = {"edit": 900.0, "live": 60.0, "voice": 300.0}
# Seconds in which a session has to start, and to answer a request.
START_SECONDS = 90.0
ANSWER_SECONDS = 10.0
# Seconds in which it has to write a recording.
FILE_SECONDS = 60.0
# Requests that a session holds, including the one that it answers.
WAITING = 2
# Refusals within a second after which a session ends.
FLOOD = 120
# Seconds after which a client should try again: for a picture, and for a session.
_PICTURE_RETRY_SECONDS = 1
_SESSION_RETRY_SECONDS = 20
# Largest file in bytes that a session may write: the recording of a motion.
_FILE_BYTES = 128 * 2**20
# Seconds between searches for sessions to end, while there are any: their memory has to be looked up.
_TICK = 1.0


class EndedError(UnknownJobError):
    """The session does not exist, or has ended."""

    def __init__(self, message: str = "this session has ended; start a new one") -> None:
        InputError.__init__(self, message)


class Session:
    """One portrait's process, which answers requests one after the other.

    Attributes:
        request: What the session is for.
        faces: The faces of the portrait, once it is prepared.
        shown: The square of the portrait that the session's pictures show.
        rest: A JPEG of the portrait in its own pose, once it is prepared.
        ready: Whether the portrait is prepared.
        asked: The monotonic time of the last request, in seconds.
        stream: The connection that drives the portrait, or None.
        frame: The last frame that was drawn of a portrait that speaks.
    """

    def __init__(self, request: SessionRequest, settings: ServerSettings, log: Path) -> None:
        self.request = request
        self._device = settings.device
        self.faces: list[Box] = []
        self.shown = Box(x=0, y=0, width=1, height=1)
        self.rest = b""
        self.stream: object = None
        self.frame = 0
        self.ready, self.asked = False, time.monotonic()
        self._lock, self._room = threading.Lock(), threading.BoundedSemaphore(WAITING)
        self._refused: tuple[int, int] = 0, 0
        with log.open("ab") as errors:
            self._child = Child("gioconda.web.live.process", settings.data, errors, wire.messages)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.alive

    def begin(self, portrait: Path, limits: dict[str, int]) -> None:
        """Prepare the portrait.

        Args:
            portrait: The portrait's file.
            limits: As for `gioconda.web.queue.worker.restrain`.

        Raises:
            InputError: The portrait cannot be used.
            EndedError: The process has died, or takes too long.
        """
        request = self.request
        about = {
            "limits": limits,
            "device": self._device,
            "portrait": str(portrait),
            "side": request.pixels,
            "face": request.face,
            "speaks": request.use == "voice",
        }
        answer, self.rest = self._exchange(about, b"", START_SECONDS)
        if "failed" in answer:
            raise InputError(str(answer["failed"]))
        self.faces = [Box.of(place) for place in answer["faces"]]
        self.shown = Box.of(answer["shown"])
        self.ready, self.asked = True, time.monotonic()

    def ask(
        self,
        header: dict[str, Any],
        payload: bytes = b"",
        seconds: float = ANSWER_SECONDS,
        *,
        patient: bool = False,
        touches: bool = True,
    ) -> wire.Message:
        """Send a request and return the answer: a header, and the bytes of a JPEG, a file or none.

        Args:
            header: The request.
            payload: Its bytes.
            seconds: What the answer may take; then the session ends.
            patient: Whether to wait for a place, instead of raising QueueFullError, if other requests wait.
            touches: Whether the session counts as in use.

        Raises:
            QueueFullError: Other requests wait.
            InputError: The request is not valid.
            EndedError: The session has ended.
        """
        if touches:
            self.touch()
        if not self._room.acquire(blocking=patient, timeout=ANSWER_SECONDS if patient else None):
            self._count_refusal()
            raise QueueFullError(
                "too many requests at once; wait for the previous answer", _PICTURE_RETRY_SECONDS
            )
        try:
            with self._lock:
                answer, picture = self._exchange(header, payload, seconds)
        finally:
            self._room.release()
            if touches:
                self.touch()
        if "refused" in answer:
            raise InputError(str(answer["refused"]))
        return answer, picture

    def touch(self) -> None:
        """Note that the session is in use."""
        self.asked = time.monotonic()

    def _count_refusal(self) -> None:
        """End the session after too many refusals within a second."""
        second = int(time.monotonic())
        count = self._refused[1] + 1 if self._refused[0] == second else 1
        self._refused = second, count
        if count > FLOOD:
            self.end()
            raise EndedError(
                "the session has ended: it received too many requests per second; start a new one"
            )

    def _exchange(self, header: dict[str, Any], payload: bytes, seconds: float) -> wire.Message:
        """Send a message and wait for the answer."""
        try:
            wire.write_message(self._child.stdin, header, payload)
            answer = self._child.messages.get(timeout=seconds)
        except (OSError, ValueError):
            answer = None
        except queue.Empty:
            self.end()
            raise EndedError("the session has ended: it took too long to answer; start a new one") from None
        if answer is None:
            raise EndedError("the session ended unexpectedly; start a new one")
        return answer

    def memory(self) -> int:
        """Return the process's resident bytes; 0 if it has ended."""
        return self._child.memory()

    def end(self) -> None:
        """Kill the process."""
        self._child.end()


class Sessions:
    """All sessions of a server, by unguessable ids. Methods may be called from any thread.

    Attributes:
        pool: Threads for calls that wait for a session.
    """

    def __init__(self, settings: ServerSettings, *, idle_seconds: dict[Use, float] | None = None) -> None:
        """Prepare an empty folder for portraits.

        Args:
            settings: The server's settings.
            idle_seconds: Seconds without a request after which a session ends, by use.
        """
        self._settings = settings
        self._idle = idle_seconds or IDLE_SECONDS
        self._folder = settings.data / "live"
        # A server that was killed may have left it.
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True)
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        # Set while sessions are open, and at the end.
        self._busy = threading.Event()
        # These threads mostly wait for a process; the event loop's own few threads stay free for others.
        self.pool = ThreadPoolExecutor(WAITING * sum(MOST.values()) + 2, "gioconda-live")
        threading.Thread(target=self._sweep, name="gioconda-live-sweeper", daemon=True).start()

    def open(self, use: Use, portrait: Path, rights: str) -> tuple[str, bytes]:
        """Start a session with a copy of a file of this machine; arguments and errors as of `start`.

        Returns:
            The session's id, and a JPEG of the portrait.
        """
        try:
            request = SessionRequest(use=use, rights=rights.strip())
        except ValidationError:
            raise InputError("declare first what entitles you to use this likeness") from None
        name, folder = self.fresh()
        try:
            files.adopt(folder, {"portrait": [portrait]}, self._settings.upload_bytes)
        except BaseException:
            self.discard(folder)
            raise
        self.start(name, request)
        return name, self.get(name).rest

    def fresh(self) -> tuple[str, Path]:
        """Return a new unguessable id, and an empty folder for the portrait; ClosingError at the server's end."""
        if self._stopping.is_set():
            raise ClosingError
        name = secrets.token_urlsafe(16)
        folder = self._folder / name
        folder.mkdir(mode=0o700)
        return name, folder

    def discard(self, folder: Path) -> None:
        """Delete a folder of `fresh` whose session does not start."""
        shutil.rmtree(folder, ignore_errors=True)

    def start(self, name: str, request: SessionRequest) -> SessionState:
        """Start a session, which takes some seconds. The portrait's file is deleted once it is read.

        Args:
            name: An id of `fresh`, whose folder has the portrait.
            request: What the session is for.

        Raises:
            InputError: The portrait has no face or cannot be read.
            LimitError: The portrait is too large.
            QueueFullError: All sessions with a camera are in use.
            EndedError: The session cannot be started.
        """
        folder = self._folder / name
        try:
            with self._lock:
                self._make_room(request.use)
                session = self._open[name] = Session(request, self._settings, self._folder / "live.log")
                self._busy.set()
            session.begin(next(folder.iterdir()), self._limits())
        except BaseException as error:
            self.close(name)
            if isinstance(error, GiocondaError):
                raise
            raise EndedError("the session could not be started; try again") from error
        finally:
            self.discard(folder)
        LOG.info("session started", extra={"session": name[:8], "kind": request.use})
        return self.state(name)

    def state(self, name: str) -> SessionState:
        """Return the state of a session; EndedError if it does not exist or has ended."""
        session = self.get(name)
        request = session.request
        return SessionState(
            id=name,
            use=request.use,
            width=request.pixels,
            height=request.pixels,
            face=request.face,
            faces=session.faces,
            shown=session.shown,
            seconds_idle=self._idle[request.use],
        )

    def _limits(self) -> dict[str, int]:
        """The limits of a session's process."""
        return {"nice": 0, "memory_bytes": self._settings.memory_bytes, "file_bytes": _FILE_BYTES}

    def _make_room(self, use: Use) -> None:
        """Where all sessions are in use, end the one with sliders that is idle longest; refuse one more of others."""
        same = [(session.asked, name) for name, session in self._open.items() if session.request.use == use]
        if len(same) < MOST[use]:
            return
        if use != "edit":
            raise QueueFullError(
                f"{len(same)} sessions for {use!r} are open already, the limit of this server; try again later",
                _SESSION_RETRY_SECONDS,
            )
        self._drop(min(same)[1])

    def get(self, name: str) -> Session:
        """Return a session; EndedError if it does not exist or has ended."""
        session = self._open.get(name)
        if session is None or not session.alive:
            self.close(name)
            raise EndedError
        return session

    def close(self, name: str) -> None:
        """End a session, unless it has ended."""
        with self._lock:
            self._drop(name)

    def _drop(self, name: str) -> None:
        """End a session; the caller holds the lock."""
        session = self._open.pop(name, None)
        if session is not None:
            session.end()
            LOG.info("session ended", extra={"session": name[:8], "kind": session.request.use})

    @property
    def count(self) -> int:
        """The number of open sessions."""
        return len(self._open)

    def memory(self) -> dict[Use, list[int]]:
        """Return the resident bytes of each open session, by use."""
        held: dict[Use, list[int]] = {use: [] for use in MOST}
        for session in list(self._open.values()):
            held[session.request.use].append(session.memory())
        return held

    @property
    def stopping(self) -> bool:
        """Whether no more sessions are accepted."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End all sessions and accept no more."""
        self._stopping.set()
        self._busy.set()
        for name in list(self._open):
            self.close(name)
        self.pool.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _sweep(self) -> None:
        """End sessions that are idle, have died or use too much memory."""
        while self._busy.wait() and not self._stopping.wait(_TICK):
            for name, session in list(self._open.items()):
                if self._must_end(session):
                    self.close(name)
            with self._lock:
                if not self._open and not self._stopping.is_set():
                    self._busy.clear()

    def _must_end(self, session: Session) -> bool:
        """Whether a session has to end."""
        idle = session.ready and time.monotonic() - session.asked > self._idle[session.request.use]
        return idle or not session.alive or session.memory() > self._settings.memory_bytes
