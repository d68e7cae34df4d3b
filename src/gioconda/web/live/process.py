"""A session's process: prepares a portrait, then answers requests on standard input until the server closes it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gioconda.errors import GiocondaError, InputError
from gioconda.web.live import slider_values, wire
from gioconda.web.queue.worker import restrain

if TYPE_CHECKING:
    from gioconda.types import Image, Motion
    from gioconda.web.live.follower import Follower
    from gioconda.web.live.puppet import Puppet

# JPEG quality, of 100, of the pictures for the browser.
QUALITY = 88


def main() -> None:
    """Run a session. The first message has the limits, the portrait's path, the side of the pictures and the face."""
    # Only answers go through the pipe; what libraries print goes to the log.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb")
    first = wire.read_message(requests)
    if first is None:
        return
    restrain(first[0]["limits"])
    try:
        session = _Session(Path(first[0]["portrait"]), first[0]["side"], first[0]["face"])
        wire.write_message(answers, {"ready": True, "faces": session.faces}, session.picture({"look": {}}))
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
    """A portrait, and the face before the camera once there is one."""

    def __init__(self, portrait: Path, side: int, face: int) -> None:
        from gioconda.web.live.puppet import Puppet

        self._puppet: Puppet = Puppet(portrait, side, face)
        self._follower: Follower | None = None
        self._keys: list[dict[str, Any]] = []
        self._motion: Motion | None = None

    @property
    def faces(self) -> tuple[tuple[float, float, float, float], ...]:
        """Left, top, width and height of each face of the portrait, as shares of the whole picture."""
        return self._puppet.faces

    def answer(self, header: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Answer a request with a header and a JPEG; GiocondaError if that is not possible."""
        if "follow" not in header:
            return {}, self.picture(header)
        began = time.perf_counter()
        answer, image = self._followed(payload, calibrate=bool(header.get("calibrate")))
        picture = b"" if image is None else _encoded(image)
        return {**answer, "milliseconds": round(1000 * (time.perf_counter() - began), 1)}, picture

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

    def _followed(self, jpeg: bytes, *, calibrate: bool) -> tuple[dict[str, Any], Image | None]:
        """The portrait that moves as the face of a webcam picture does; None where that shows no face."""
        image = decoded(jpeg)
        if self._follower is None:
            from gioconda.web.live.follower import Follower

            self._follower = Follower()
        if calibrate:
            self._follower.calibrate()
        tracked = self._follower.look(image, time.monotonic())
        if tracked is None:
            return {"face": False}, None
        return {"face": True, "calibrated": self._follower.at_rest}, self._puppet.streamed(*tracked)


def decoded(jpeg: bytes) -> Image:
    """Decode a webcam picture.

    Returns:
        The picture (H, W, 3) uint8 RGB.

    Raises:
        InputError: The picture is not a JPEG, or is damaged.
        LimitError: It has too many bytes or pixels.
    """
    import cv2
    import numpy as np

    wire.check_jpeg(jpeg)
    image: Any = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None or max(image.shape[:2]) > wire.FRAME_SIDE:
        raise InputError("the JPEG picture is damaged; send another")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _encoded(image: Image) -> bytes:
    """A picture as JPEG."""
    import cv2

    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return encoded.tobytes()


if __name__ == "__main__":
    main()
