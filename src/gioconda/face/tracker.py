"""Follow one face from frame to frame."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple

from gioconda.face.mesh import PRESENT, find_landmarks
from gioconda.face.region import Region, angle_between, around_landmarks
from gioconda.face.stills import detect_faces
from gioconda.types import Face, FloatArray, Image

# How far a face may move, in sides of the crop, before the crop follows. Rotation in radians and relative growth may be
# twice as much. Landmarks depend a little on the position of the crop, so that a crop at rest makes them steadier.
HOLD = 0.04


class _Expected(NamedTuple):
    """A frame whose landmarks a thread looks for before it is its turn, and the crop in which it does."""

    image: Image
    crop: Region
    found: Future[tuple[FloatArray, float]]


class FaceTracker:
    """Tracks the landmarks of one face of a video; cheap while it can follow the face."""

    def __init__(self, hold: float = HOLD) -> None:
        """Start without a face; `hold` replaces HOLD."""
        self._hold = hold
        self._crop: Region | None = None
        self._missed = 0
        self._pool: ThreadPoolExecutor | None = None
        self._expected: _Expected | None = None

    def __enter__(self) -> FaceTracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()
        if self._pool is not None:
            self._pool.shutdown()

    def process(self, image: Image) -> list[Face]:
        """Find the tracked face in the next frame; after a loss, the largest one.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            The face, whose score is its presence, or an empty list.
        """
        face = self.follow(image)
        if face is None and (faces := self.search(image)):
            face = self.start(image, faces[0])
        return [face] if face is not None else []

    def follow(self, image: Image, following: Image | None = None) -> Face | None:
        """The face in the crop of the last frame; moves the crop along, or drops it without a face.

        Args:
            image: (H, W, 3) uint8 RGB.
            following: The frame after it, if it is known: a thread already looks for the same face there, while the
                caller judges the one that is returned. The result is the same. Use the tracker as a context then.
        """
        if self._crop is None:
            return None
        points, presence = self._landmarks(image, self._crop)
        if presence <= PRESENT:
            self.drop()
            return None
        crop = around_landmarks(points)
        if not _near(crop, self._crop, self._hold):
            self._crop = crop
        if following is not None:
            self._expect(following, self._crop)
        return Face(points, min(1.0, presence))

    def search(self, image: Image) -> list[Face]:
        """All faces, largest first. After 1, 2, 4, 8 ... searches without `start`, the search is thorough."""
        self._missed += 1
        return detect_faces(image, thorough=self._missed & (self._missed - 1) == 0)

    def start(self, image: Image, face: Face) -> Face | None:
        """Follow a face that `search` found in the same picture from now on, and find it as in later frames."""
        self._crop, self._missed = around_landmarks(face.landmarks), 0
        return self.follow(image)

    def drop(self) -> None:
        """Stop following."""
        self._crop = self._expected = None

    def _landmarks(self, image: Image, crop: Region) -> tuple[FloatArray, float]:
        """Landmarks and presence in a crop, from the thread if it was asked for just them."""
        expected, self._expected = self._expected, None
        if expected is not None and expected.image is image and expected.crop is crop:
            return expected.found.result()
        return find_landmarks(image, crop)

    def _expect(self, image: Image, crop: Region) -> None:
        """Look for landmarks in a thread."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "gioconda-landmarks")
        self._expected = _Expected(image, crop, self._pool.submit(find_landmarks, image, crop))


def _near(a: Region, b: Region, share: float) -> bool:
    """Whether two crops differ by less than a share of their side, and by twice that in size and angle."""
    return (
        abs(a.x - b.x) < share * b.width
        and abs(a.y - b.y) < share * b.width
        and abs(a.width / b.width - 1) < 2 * share
        and abs(angle_between(a.angle, b.angle)) < 2 * share
    )
