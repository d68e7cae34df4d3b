"""A session's process: sets a portrait up, then answers requests on standard input until the server closes it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gioconda.errors import GiocondaError, InputError
from gioconda.web.live import looks, wire
from gioconda.web.worker import restrain

if TYPE_CHECKING:
    from gioconda.types import Image, Motion
    from gioconda.web.live.follower import Follower
    from gioconda.web.live.puppet import Puppet

QUALITY = 88  # of the pictures that go to the browser


def main() -> None:
    """The first message tells the limits, the portrait's file and the side of the pictures."""
    # the pipe is ours alone: whatever libraries print goes to the log
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb")
    first = wire.read_message(requests)
    if first is None:
        return
    restrain(first[0]["limits"])
    try:
        session = _Session(Path(first[0]["portrait"]), first[0]["side"])
        wire.write_message(answers, {"ready": True}, session.picture({"look": {}}))
    except GiocondaError as error:
        wire.write_message(answers, {"failed": str(error)})
        return
    _serve(session, requests, answers)


def _serve(session: _Session, requests: IO[bytes], answers: IO[bytes]) -> None:
    """One answer a request, in order. Any defect but a refusal ends the process, and with it the session."""
    while (message := wire.read_message(requests)) is not None:
        try:
            told, picture = session.answer(*message)
        except GiocondaError as error:
            told, picture = {"refused": str(error)}, b""
        wire.write_message(answers, told, picture)


class _Session:
    """What answers: the portrait, and the face before the camera once there is one."""

    def __init__(self, portrait: Path, side: int) -> None:
        from gioconda.web.live.puppet import Puppet

        self._puppet: Puppet = Puppet(portrait, side)
        self._follower: Follower | None = None
        self._keys: list[dict[str, Any]] = []
        self._motion: Motion | None = None

    def answer(self, asked: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Header and picture that answer a request; raises GiocondaError for what cannot be done."""
        if "follow" not in asked:
            return {}, self.picture(asked)
        began = time.perf_counter()
        told, image = self._followed(payload, calibrate=bool(asked.get("calibrate")))
        picture = b"" if image is None else _encoded(image)
        return {**told, "milliseconds": round(1000 * (time.perf_counter() - began), 1)}, picture

    def picture(self, asked: Mapping[str, Any]) -> bytes:
        """A JPEG of a look, or of a moment of keyframes."""
        if "keys" not in asked:
            return _encoded(self._puppet.still(looks.still_look(asked["look"])))
        if asked["keys"] != self._keys:
            self._keys, self._motion = asked["keys"], looks.keyframed(asked["keys"])
        assert self._motion is not None
        return _encoded(self._puppet.played(self._motion, float(asked["at"])))

    def _followed(self, jpeg: bytes, *, calibrate: bool) -> tuple[dict[str, Any], Image | None]:
        image = decoded(jpeg)
        if self._follower is None:
            from gioconda.web.live.follower import Follower

            self._follower = Follower()
        if calibrate:
            self._follower.calibrate()
        seen = self._follower.look(image, time.monotonic())
        if seen is None:
            return {"face": False}, None
        return {"face": True, "calibrated": self._follower.at_rest}, self._puppet.streamed(*seen)


def decoded(jpeg: bytes) -> Image:
    """RGB (H, W, 3) uint8 of a webcam picture; InputError or LimitError."""
    import cv2
    import numpy as np

    wire.check_jpeg(jpeg)
    image: Any = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None or max(image.shape[:2]) > wire.FRAME_SIDE:
        raise InputError("this JPEG picture is damaged")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _encoded(image: Image) -> bytes:
    import cv2

    told = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return told.tobytes()


if __name__ == "__main__":
    main()
