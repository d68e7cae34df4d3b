"""The readers of live streams: messages -> moments of the driver. The registry lists them."""

from __future__ import annotations

import struct
from typing import Any, Protocol

import numpy as np

from gioconda import face
from gioconda.errors import InputError
from gioconda.landmarks import is_facelike
from gioconda.motion.moments import DriverCalibration, Moment
from gioconda.types import LANDMARKS, Face, FloatArray, Image
from gioconda.web.live import wire
from gioconda.web.live.follower import Follower

# Seconds, width and height before the landmarks.
_HEAD = struct.Struct("<dff")
# The time that may stand before a camera's picture, and how a picture begins.
_TIME, _JPEG = struct.Struct("<d"), b"\xff\xd8\xff"
# Magnitude of the largest int16.
_FULL_SCALE = 32768
# Bounds of the sides of a camera's picture in pixels.
_SIDES = (16.0, 8192.0)
# Bytes of 478 points of x, y and z as float32.
_POINTS_BYTES = LANDMARKS * 3 * 4


class Reader(Protocol):
    """What reads the messages of a stream that drives a portrait.

    Attributes:
        calibrated: Whether the driver's neutral face is known.
    """

    calibrated: bool

    def read(self, payload: bytes, arrived: float) -> tuple[Moment, DriverCalibration] | None:
        """Read a message.

        Args:
            payload: The message without its first byte.
            arrived: Seconds at which it arrived; they increase.

        Returns:
            The moment, and the calibration, which is the same object until it changes; None without a face.

        Raises:
            InputError: The message is not valid.
        """

    def calibrate(self) -> None:
        """Take what comes next as the neutral face."""


class SoundReader(Protocol):
    """What reads the messages of a stream with which a portrait speaks."""

    def read(self, payload: bytes, arrived: float) -> FloatArray:
        """Read a message; arguments and errors as of `Reader.read`.

        Returns:
            The next samples (n,) float32, -1 to 1, mono, at 16 kHz.
        """


class VoiceReader:
    """Reads samples."""

    def read(self, payload: bytes, arrived: float) -> FloatArray:
        """Read int16 samples; as `SoundReader.read`."""
        if not payload or len(payload) % 2:
            raise InputError("send the samples of the voice as int16, two bytes each")
        return np.frombuffer(payload, "<i2").astype(np.float32) / np.float32(_FULL_SCALE)


class _FollowingReader:
    """A reader whose messages show a face."""

    def __init__(self) -> None:
        self._follower = Follower()

    @property
    def calibrated(self) -> bool:
        """Whether the neutral face is known."""
        return self._follower.at_rest

    def calibrate(self) -> None:
        """Take the next second as the neutral face."""
        self._follower.calibrate()


class LandmarkReader(_FollowingReader):
    """Reads landmarks that the client has tracked."""

    def read(self, payload: bytes, arrived: float) -> tuple[Moment, DriverCalibration] | None:
        """Read landmarks; as `Reader.read`. Their own time counts."""
        if len(payload) not in (_HEAD.size, _HEAD.size + _POINTS_BYTES):
            raise InputError(
                f"landmarks have {_HEAD.size + _POINTS_BYTES} bytes, or {_HEAD.size} without a face, not {len(payload)}"
            )
        time, width, height = _HEAD.unpack_from(payload)
        if not (np.isfinite(time) and all(_SIDES[0] <= side <= _SIDES[1] for side in (width, height))):
            raise InputError("the time, or the size of the camera's picture, is out of range")
        if len(payload) == _HEAD.size:
            return None
        points = np.frombuffer(payload, "<f4", offset=_HEAD.size).reshape(LANDMARKS, 3).astype(np.float32)
        if not is_facelike(points) or not np.isfinite(points).all():
            return None
        tracked = Face(points)
        if not face.shows_both_eyes(tracked, (int(height), int(width))):
            return None
        return self._follower.follow(tracked, time)


class CameraReader(_FollowingReader):
    """Tracks the face in the pictures of a camera."""

    def __init__(self) -> None:
        super().__init__()
        self._tracker = face.FaceTracker()

    def read(self, payload: bytes, arrived: float) -> tuple[Moment, DriverCalibration] | None:
        """Track the face in a JPEG, before which its own time in seconds may stand; as `Reader.read`."""
        time, jpeg = arrived, payload
        if payload[_TIME.size :].startswith(_JPEG):
            (time,), jpeg = _TIME.unpack_from(payload), payload[_TIME.size :]
        if not np.isfinite(time):
            raise InputError("the time of the picture is not a number")
        image = decoded(jpeg)
        faces = self._tracker.process(image)
        if not faces or not face.shows_both_eyes(faces[0], image.shape):
            return None
        return self._follower.follow(faces[0], time)


def decoded(jpeg: bytes) -> Image:
    """Decode a webcam picture.

    Returns:
        The picture (H, W, 3) uint8 RGB.

    Raises:
        InputError: The picture is not a JPEG, or is damaged.
        LimitError: It has too many bytes or pixels.
    """
    import cv2

    wire.check_jpeg(jpeg)
    image: Any = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None or max(image.shape[:2]) > wire.FRAME_SIDE:
        raise InputError("the JPEG picture is damaged; send another")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
