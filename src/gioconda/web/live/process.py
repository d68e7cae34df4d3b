"""A session's process: prepares a portrait, then answers requests on standard input until the server closes it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gioconda.errors import GiocondaError, InputError
from gioconda.registry import streams
from gioconda.runtime.onnx import use_device
from gioconda.web.live import slider_values, wire
from gioconda.web.queue.worker import restrain

if TYPE_CHECKING:
    from gioconda.motion.moments import DriverCalibration, Moment
    from gioconda.types import Image, Motion
    from gioconda.web.live.puppet import Puppet
    from gioconda.web.live.recorder import Recorder
    from gioconda.web.live.speaker import Speaker

# JPEG quality, of 100, of the pictures for the browser.
QUALITY = 88


def main() -> None:
    """Run a session. The first message has limits, device, the portrait's path, the pictures' side and the face."""
    # Only answers go through the pipe; what libraries print goes to the log.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb")
    first = wire.read_message(requests)
    if first is None:
        return
    restrain(first[0]["limits"])
    try:
        use_device(first[0]["device"])
        session = _Session(Path(first[0]["portrait"]), first[0]["side"], first[0]["face"])
        if first[0]["speaks"]:
            session.begin_to_speak()
        ready = {"ready": True, "faces": session.faces, "shown": session.shown}
        wire.write_message(answers, ready, session.picture({"look": {}}))
    except GiocondaError as error:
        wire.write_message(answers, {"failed": str(error)})
        return
    _serve(session, requests, answers)


def _serve(session: _Session, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests in order. An error other than a refusal ends the process, and with it the session."""
    while (message := wire.read_message(requests)) is not None:
        try:
            answer, picture = session.answer(*message)
        except GiocondaError as error:
            answer, picture = {"refused": str(error)}, b""
        wire.write_message(answers, answer, picture)


class _Session:
    """A portrait, the readers of what drives it, and the recording of that."""

    def __init__(self, portrait: Path, side: int, face: int) -> None:
        from gioconda.web.live.puppet import Puppet

        self._puppet: Puppet = Puppet(portrait, side, face)
        self._readers: dict[int, Any] = {}
        self._speaker: Speaker | None = None
        self._recorder: Recorder | None = None
        self._records = False
        self._keys: list[dict[str, Any]] = []
        self._motion: Motion | None = None

    @property
    def faces(self) -> tuple[tuple[float, float, float, float], ...]:
        """Left, top, width and height of each face of the portrait, as shares of the whole picture."""
        return self._puppet.faces

    @property
    def shown(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the square that is shown, as shares of the whole picture."""
        return self._puppet.shown

    def answer(self, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Answer a request with a header and a JPEG or a file; GiocondaError if that is not possible."""
        if "stream" in header:
            return self._streamed(header, payload)
        if self._speaker is not None and "frame" in header:
            return self._spoken(self._speaker, int(header["frame"]))
        if self._speaker is not None and "speech" in header:
            self._order(self._speaker, header["speech"])
            return {}, b""
        if "calibrate" in header:
            self._calibrate()
            return {}, b""
        if "record" in header:
            return self._record(on=bool(header["record"])), b""
        if "recording" in header:
            return {}, self._recorded(header["recording"])
        return {}, self.picture(header)

    def picture(self, header: Mapping[str, Any]) -> bytes:
        """Return a JPEG of a look, or of a moment of keyframes."""
        if "keys" not in header:
            return _encoded(self._look(header["look"]))
        if header["keys"] != self._keys:
            self._keys, self._motion = header["keys"], slider_values.keyframed(header["keys"])
        assert self._motion is not None
        return _encoded(self._puppet.played(self._motion, float(header["at"])))

    def _look(self, look: Mapping[str, Any]) -> Image:
        """Draw the fields of a `Look`."""
        side = look.get("side")
        if look.get("template"):
            motion = slider_values.template_motion(look["template"])
            return self._puppet.played(motion, float(look["at"]), side)
        return self._puppet.still(slider_values.slider_motion(look), side)

    def _streamed(self, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """The portrait as a message of a stream moves it; no picture where the message shows no face."""
        began = time.perf_counter()
        number, arrived = int(header["stream"]), float(header["arrived"])
        if number not in self._readers:
            self._readers[number] = streams()[number].open()
        reader = self._readers[number]
        if self._speaker is not None:
            self._speaker.hear(reader.read(payload, arrived))
            return {}, b""
        driven = reader.read(payload, arrived)
        picture = b"" if driven is None else self._drawn(*driven, calibrated=reader.calibrated)
        answer: dict[str, Any] = {"face": driven is not None, "calibrated": bool(reader.calibrated)}
        answer["time"] = arrived if driven is None else driven[0].time
        if self._records:
            assert self._recorder is not None
            answer["recorded"] = round(self._recorder.seconds, 2)
        return {**answer, "milliseconds": round(1000 * (time.perf_counter() - began), 1)}, picture

    def _drawn(self, moment: Moment, calibration: DriverCalibration, *, calibrated: bool) -> bytes:
        """A JPEG of the next moment, which is recorded if recording is on and the neutral face is known."""
        if self._records and calibrated:
            assert self._recorder is not None
            self._recorder.add(moment, calibration)
        return _encoded(self._puppet.streamed(moment, calibration))

    def begin_to_speak(self) -> None:
        """Load what a voice needs, so that the first sentence comes at once; WeightsError without the network."""
        from gioconda.web.live.speaker import Speaker

        self._speaker = Speaker()

    def _order(self, speaker: Speaker, order: Mapping[str, Any]) -> None:
        """Say a text, stop, or note the end of a sound."""
        if order["type"] == "say":
            speaker.say(order["text"], order["voice"], order["language"], order["emotion"])
        elif order["type"] == "interrupt":
            speaker.interrupt()
        else:
            speaker.end_of_speech()

    def _spoken(self, speaker: Speaker, frame: int) -> tuple[dict[str, Any], bytes]:
        """The portrait at a frame; the payload has all pieces of sound, then the picture."""
        from gioconda.motion.edit import authored_calibration

        step = speaker.step(frame)
        image = self._puppet.streamed(step.moment, authored_calibration(), shut=True)
        sounds = [(seconds, samples.astype("<i2").tobytes()) for seconds, samples in step.sounds]
        answer = {
            "time": step.moment.time,
            "speaking": step.speaking,
            "events": step.events,
            "sounds": [(seconds, len(samples)) for seconds, samples in sounds],
        }
        return answer, b"".join(samples for _, samples in sounds) + _encoded(image)

    def _calibrate(self) -> None:
        """Take what comes next as the driver's neutral face."""
        for reader in self._readers.values():
            reader.calibrate()

    def _record(self, *, on: bool) -> dict[str, Any]:
        """Begin a new recording, or end the one that goes on; returns its state."""
        if on:
            from gioconda.web.live.recorder import Recorder

            self._recorder = Recorder()
        self._records = on
        return {"recording": on, "recorded": round(self._recorder.seconds, 2) if self._recorder else 0.0}

    def _recorded(self, suffix: str) -> bytes:
        """The bytes of a motion file of the recording; InputError without one."""
        if self._recorder is None:
            raise InputError("nothing is recorded; switch recording on first")
        return self._recorder.file(suffix)


def _encoded(image: Image) -> bytes:
    """A picture as JPEG."""
    import cv2

    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return encoded.tobytes()


if __name__ == "__main__":
    main()
