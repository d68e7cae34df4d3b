"""The WebSocket of a session: messages that drive the portrait in, pictures out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import struct
import time
from collections import deque
from functools import partial
from typing import Any, NamedTuple

from pydantic import ValidationError
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from gioconda.errors import GiocondaError, InputError
from gioconda.registry import StreamEntry, streams
from gioconda.web.live.controls import CONTROL, SPEECH, Calibrate, Control, Record
from gioconda.web.live.sessions import EndedError, Session, Sessions
from gioconda.web.validation import body_refusal

LOG = logging.getLogger("gioconda.web")

PROTOCOL = "gioconda.v1"
"""The subprotocol that clients may offer."""
# Most messages in a second; a stream that receives more ends.
MOST_A_SECOND = 240
# Most bytes of a control.
_CONTROL_BYTES = 64 * 2**10
# Kind and time of what is sent: the first byte, then float64 seconds.
_HEAD = struct.Struct("<Bd")
PICTURE, SOUND = 1, 2
"""Kinds of messages: a picture as JPEG, and int16 samples, mono, at RATE."""
FPS, RATE = 25.0, 16000
"""Frames and samples a second of a portrait that speaks."""
AHEAD_SECONDS = 0.16
"""Seconds by which pictures are sent before they are due."""
# Frames by which a picture of a voice may be late; the sound is sent farther ahead.
_MOST_SKIPPED = 8
# Seconds between looks at whether the session still runs.
_LOOK_SECONDS = 2.0
# Codes with which the server closes.
ENDED, FLOODED, REPLACED = 4404, 4429, 4409


class _Waiting(NamedTuple):
    """A message that waits to be drawn: its kind, its bytes without the first, and the seconds at which it came."""

    entry: StreamEntry
    payload: bytes
    arrived: float


async def serve_stream(socket: WebSocket, sessions: Sessions, name: str) -> None:
    """Serve the WebSocket of a session until either side closes it or the session ends.

    A newer stream of the same session replaces it, so that a client whose network failed can connect again.
    """
    session = sessions.get(name)
    offered = socket.scope.get("subprotocols", [])
    # A browser gives up if it offers names and the server chooses none.
    chosen = (
        PROTOCOL if PROTOCOL in offered else next((o for o in offered if o.startswith("gioconda.")), None)
    )
    await socket.accept(subprotocol=chosen)
    kind = SpeakingStream if session.request.use == "voice" else Stream
    stream = kind(socket, sessions, session)
    former, session.stream = session.stream, stream
    if isinstance(former, Stream):
        former.close(REPLACED, "another connection has taken over this session")
    LOG.info("stream opened", extra={"session": name[:8], "kind": session.request.use})
    try:
        await stream.serve(sessions.state(name).model_dump())
    except (WebSocketDisconnect, RuntimeError):
        # Starlette raises RuntimeError if the client leaves while it sends.
        pass
    finally:
        if session.stream is stream:
            session.stream = None
        LOG.info("stream closed", extra={"session": name[:8], **stream.counts})


class Stream:
    """One connection, whose messages are drawn as they come.

    Attributes:
        most_waiting: Controls, and pieces of sound, that may wait.
        counts: Messages received, dropped because newer ones came, and pictures sent.
    """

    most_waiting = 32

    def __init__(self, socket: WebSocket, sessions: Sessions, session: Session) -> None:
        self.counts = {"received": 0, "dropped": 0, "pictures": 0}
        self._socket, self._sessions, self._session = socket, sessions, session
        self._latest: _Waiting | None = None
        self._waiting: deque[Control | _Waiting] = deque()
        self._wake = asyncio.Event()
        self._sending = asyncio.Lock()
        self._closing: tuple[int, str] | None = None
        self._second = (0, 0)

    async def serve(self, state: dict[str, Any]) -> None:
        """Say what the session is, then receive and draw until the end."""
        kinds = [
            {"number": entry.number, "name": entry.name}
            for entry in streams().values()
            if entry.use == self._session.request.use
        ]
        await self._tell({"type": "state", "session": state, "streams": kinds, **self._about()})
        receiving = asyncio.create_task(self._receive())
        receiving.add_done_callback(lambda _: self._wake.set())
        try:
            while self._closing is None and not receiving.done():
                await self._work()
        finally:
            receiving.cancel()
        if self._closing is not None:
            await self._socket.close(*self._closing)

    def _about(self) -> dict[str, Any]:
        """What the first message says beside the session's state."""
        return {"recording": False}

    def close(self, code: int, reason: str) -> None:
        """Let the connection end."""
        self._closing = self._closing or (code, reason)
        self._wake.set()

    async def _receive(self) -> None:
        """Take messages until the client closes or sends too many."""
        while True:
            message = await self._socket.receive()
            if message["type"] != "websocket.receive":
                return
            self._session.touch()
            self.counts["received"] += 1
            if self._too_many():
                await self._tell_error(f"more than {MOST_A_SECOND} messages came within a second")
                self.close(FLOODED, "too many messages")
                return
            try:
                self._take(message)
            except InputError as error:
                await self._tell_error(str(error))

    def _too_many(self) -> bool:
        """Whether more messages than allowed came in this second."""
        second = int(time.monotonic())
        count = self._second[1] + 1 if self._second[0] == second else 1
        self._second = second, count
        return count > MOST_A_SECOND

    def _take(self, message: Message) -> None:
        """Keep a message until its turn; InputError if it is not valid."""
        text, data = message.get("text"), message.get("bytes")
        if text is not None:
            self._wait(_control(text))
        elif data:
            entry = streams().get(data[0])
            if entry is None or entry.use != self._session.request.use:
                raise InputError(f"messages of kind {data[0]} do not drive this session")
            if len(data) > entry.most_bytes:
                raise InputError(f"the message has {len(data):,} bytes, the limit is {entry.most_bytes:,}")
            self._keep(_Waiting(entry, data[1:], time.monotonic()))
        self._wake.set()

    def _wait(self, message: Control | _Waiting) -> None:
        """Keep a message for its turn; InputError if too many wait."""
        if len(self._waiting) >= self.most_waiting:
            raise InputError("messages come faster than they can be carried out; this one is dropped")
        self._waiting.append(message)

    def _keep(self, message: _Waiting) -> None:
        """Keep a message until it is drawn; only the latest counts, since a driver must not lag behind."""
        self.counts["dropped"] += self._latest is not None
        self._latest = message

    async def _work(self) -> None:
        """Wait for a message, carry out controls, and draw what drives the portrait."""
        try:
            await asyncio.wait_for(self._wake.wait(), _LOOK_SECONDS)
        except asyncio.TimeoutError:
            if not self._session.alive:
                self.close(ENDED, "the session has ended")
            return
        self._wake.clear()
        try:
            await self._carry_out()
        except EndedError as error:
            await self._tell_error(str(error))
            self.close(ENDED, "the session has ended")
        except GiocondaError as error:
            await self._tell_error(str(error))

    async def _carry_out(self) -> None:
        """Carry out the controls that wait, then draw the latest message."""
        while self._waiting:
            await self._control(self._waiting.popleft())
        latest, self._latest = self._latest, None
        if latest is not None:
            await self._draw(latest)

    async def _control(self, control: Control | _Waiting) -> None:
        """Carry out one control."""
        if isinstance(control, Calibrate):
            await self._ask({"calibrate": True})
            await self._tell({"type": "state", "calibrated": False})
        elif isinstance(control, Record):
            answer, _ = await self._ask({"record": control.on})
            await self._tell({"type": "state", **answer})
        elif not isinstance(control, _Waiting):
            raise InputError(f"{control.type!r} is for sessions with the use 'voice'")

    async def _draw(self, latest: _Waiting) -> None:
        """Draw a message, and send what was found in it and the picture."""
        header = {"stream": latest.entry.number, "arrived": latest.arrived}
        answer, picture = await self._ask(header, latest.payload)
        found, shown = answer.pop("face"), answer.pop("time")
        await self._tell({"type": "face", "found": found, **answer, "dropped": self.counts["dropped"]})
        if picture:
            await self._send(PICTURE, shown, picture)

    async def _ask(
        self, header: dict[str, Any], payload: bytes = b"", *, touches: bool = True
    ) -> tuple[dict[str, Any], bytes]:
        """Ask the session's process in one of the sessions' threads; `touches` is that of `Session.ask`."""
        loop, ask = asyncio.get_running_loop(), partial(self._session.ask, patient=True, touches=touches)
        return await loop.run_in_executor(self._sessions.pool, ask, header, payload)

    async def _send(self, kind: int, seconds: float, payload: bytes) -> None:
        """Send a binary message; waits while the client does not read."""
        self.counts["pictures"] += kind == PICTURE
        async with self._sending:
            await self._socket.send_bytes(_HEAD.pack(kind, seconds) + payload)

    async def _tell(self, message: dict[str, Any]) -> None:
        """Send a text message."""
        async with self._sending:
            await self._socket.send_text(json.dumps(message))

    async def _tell_error(self, error: str) -> None:
        """Send what is wrong."""
        await self._tell({"type": "error", "error": error})


class SpeakingStream(Stream):
    """One connection of a portrait that speaks: pictures and sound come on a clock of their own."""

    most_waiting = 512

    def __init__(self, socket: WebSocket, sessions: Sessions, session: Session) -> None:
        super().__init__(socket, sessions, session)
        # A newer connection goes on where the last one ended.
        self._frame = session.frame
        self._origin = time.monotonic() - self._frame / FPS
        self._speaking = False

    def _about(self) -> dict[str, Any]:
        """What the first message says beside the session's state."""
        return {"rate": RATE, "frames_per_second": FPS, "speaking": False}

    def _keep(self, message: _Waiting) -> None:
        """Keep sound for its turn."""
        self._wait(message)

    async def _work(self) -> None:
        """Carry out controls, pass sound on, and draw the next frame when it is due."""
        self._wake.clear()
        try:
            await self._carry_out()
            await self._draw_due()
        except EndedError as error:
            await self._tell_error(str(error))
            self.close(ENDED, "the session has ended")
        except GiocondaError as error:
            await self._tell_error(str(error))

    async def _carry_out(self) -> None:
        """Carry out what waits, in order."""
        while self._waiting:
            await self._control(self._waiting.popleft())

    async def _control(self, control: Control | _Waiting) -> None:
        """Carry out one control, or pass sound on."""
        if isinstance(control, _Waiting):
            await self._ask({"stream": control.entry.number, "arrived": control.arrived}, control.payload)
            return
        if not isinstance(control, SPEECH):
            raise InputError(f"{control.type!r} is for sessions with the use 'live'")
        await self._ask({"speech": control.model_dump()})
        if control.type == "interrupt":
            # What the client has not played yet, it drops: the clock begins again here.
            self._origin = time.monotonic() - self._frame / FPS
            await self._tell({"type": "interrupted", "time": self._frame / FPS})

    async def _draw_due(self) -> None:
        """Draw the next frame once it is due; frames that would come too late are left out."""
        late = int((time.monotonic() - self._origin) * FPS)
        frame = max(self._frame + 1, min(late, self._frame + _MOST_SKIPPED))
        if late > frame:
            # A machine that stood still makes all that follows late, instead of dropping words.
            self._origin += (late - frame) / FPS
        wait = self._origin + frame / FPS - AHEAD_SECONDS - time.monotonic()
        if wait > 0:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait)
                return
        answer, payload = await self._ask({"frame": frame}, touches=False)
        self._frame = self._session.frame = frame
        for event in answer["events"]:
            await self._tell(event)
        if answer["speaking"] != self._speaking:
            self._speaking = answer["speaking"]
            await self._tell({"type": "state", "speaking": self._speaking})
        at = 0
        for seconds, length in answer["sounds"]:
            await self._send(SOUND, seconds, payload[at : at + length])
            at += length
        await self._send(PICTURE, answer["time"], payload[at:])


def _control(text: str) -> Control:
    """Parse a control; InputError if it is not valid."""
    if len(text) > _CONTROL_BYTES:
        raise InputError(f"the message has {len(text):,} characters, the limit is {_CONTROL_BYTES:,}")
    try:
        return CONTROL.validate_json(text)
    except ValidationError as error:
        raise body_refusal(error) from None
