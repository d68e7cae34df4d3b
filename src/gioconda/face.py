"""Find faces, track their 478 landmarks, and tell the person from the background.

The only file that knows MediaPipe (Lugaresi et al. 2019; Face Mesh with attention, Grishchenko et al. 2020).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from gioconda.errors import NoFaceError
from gioconda.limits import LIMITS
from gioconda.types import Face, FloatArray, Image
from gioconda.weights import identified

FULL_RANGE_SCORE = 0.5  # the full-range detector hardly ever fires on animals
SHORT_RANGE_SCORE = 0.8  # the short-range one does: a dog scores 0.72, paintings 0.78 and more
LARGEST_IN_TILE = 0.3  # of the longer side; a larger face shows in the whole picture, if it is one
WINDOW = 2.4  # side of the tracked window, in face widths
NETWORK_SIDE = 640  # the detectors and the person's mask see 256 px and less
MESH_SIDE = 480  # the mesh network sees 192 px of face, so a larger window only costs time

NETWORKS = (
    "face_detection/face_detection_full_range_sparse.tflite",
    "face_detection/face_detection_short_range.tflite",
    "face_landmark/face_landmark_with_attention.tflite",
    "selfie_segmentation/selfie_segmentation.tflite",
)

BLANK: Image = np.zeros((64, 64, 3), np.uint8)

Box = tuple[float, float, float, float]  # left, top, right, bottom, pixels


class _Quiet:
    """Keeps the native libraries' start-up chatter off the user's terminal; may be nested across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._saved = -1

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._mute()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0 and self._saved >= 0:
                os.dup2(self._saved, 2)
                os.close(self._saved)

    def _mute(self) -> None:
        if sys.stderr is not None:
            sys.stderr.flush()
        try:
            self._saved = os.dup(2)
        except OSError:  # services may run without any standard error
            self._saved = -1
            return
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)


_QUIET = _Quiet()


class _Solution:
    """A MediaPipe solution; its first calls, in which networks are loaded, run in silence."""

    def __init__(self, name: str, **options: Any) -> None:
        self._noisy_calls = 4
        with _QUIET:
            from mediapipe.python.solutions import face_detection, face_mesh, selfie_segmentation

            kinds = {
                "detection": face_detection.FaceDetection,
                "mesh": face_mesh.FaceMesh,
                "person": selfie_segmentation.SelfieSegmentation,
            }
            self._inner = kinds[name](**options)
            self._inner.process(BLANK)  # returns once every network is open, so that their chatter is caught

    def process(self, image: Image) -> Any:
        if self._noisy_calls == 0:
            return self._inner.process(image)
        self._noisy_calls -= 1
        with _QUIET:
            return self._inner.process(image)

    def reset(self) -> None:
        self._noisy_calls = 4
        with _QUIET:
            self._inner.reset()
            self._inner.process(BLANK)

    def close(self) -> None:
        self._inner.close()


def _square(image: Image, box: Box) -> Image:
    """The square `box` of the picture, its edge repeated outside, at most MESH_SIDE px."""
    height, width = image.shape[:2]
    left, top, right, bottom = (round(v) for v in box)
    inner = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    above, below, before, after = max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width)
    if above or below or before or after:
        padded = cv2.copyMakeBorder(inner, above, below, before, after, cv2.BORDER_REPLICATE)
        inner = np.asarray(padded, np.uint8)
    return _at_most(inner, MESH_SIDE)


def _at_most(image: Image, longest: int) -> Image:
    """The picture, contiguous, shrunk to a longest side where it is larger."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return np.ascontiguousarray(image)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _landmarks(raw: Any, side: float, origin: tuple[float, float]) -> FloatArray:
    """MediaPipe's normalised landmarks of a square window as pixels of the picture, (478, 3)."""
    points = np.array([(p.x, p.y, p.z) for p in raw.landmark], np.float32) * side
    points[:, 0] += origin[0]
    points[:, 1] += origin[1]
    return points


def _window(box: Box, factor: float) -> Box:
    """A square of `factor` box sides around the box, on whole pixels."""
    side = int(factor * max(box[2] - box[0], box[3] - box[1], 8.0))
    left, top = int((box[0] + box[2] - side) / 2), int((box[1] + box[3] - side) / 2)
    return (left, top, left + side, top + side)


def _bounds(landmarks: FloatArray) -> Box:
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    return (float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def _overlap(a: Box, b: Box) -> float:
    """Intersection over the smaller area, so that a box within a box counts as one face."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


@lru_cache(maxsize=1)
def networks() -> tuple[tuple[str, str], ...]:
    """File name and SHA-256 of the networks that find faces, their landmarks and the person."""
    modules = Path(str(find_spec("mediapipe").submodule_search_locations[0])) / "modules"  # type: ignore[union-attr, index]
    return tuple(identified(modules / name) for name in NETWORKS)


class FaceDetector:
    """Boxes of the faces in a picture, by the full-range model, with the short-range one for close-ups."""

    def __init__(self) -> None:
        self._full = _Solution("detection", model_selection=1)
        self._short = _Solution("detection", model_selection=0)

    def __enter__(self) -> FaceDetector:
        return self

    def __exit__(self, *_: object) -> None:
        self._full.close()
        self._short.close()

    def boxes(self, image: Image, *, thorough: bool = False) -> list[tuple[Box, float]]:
        """Boxes with scores of `image` (H, W, 3) RGB uint8, largest first; `thorough` also looks at tiles."""
        height, width = image.shape[:2]
        found = self._boxes_of(image, (0, 0, width, height))
        small = LARGEST_IN_TILE * max(width, height)
        for tile in _tiles(width, height) if thorough else ():
            found += [(box, score) for box, score in self._boxes_of(image, tile) if box[2] - box[0] < small]
        found.sort(key=lambda item: item[1], reverse=True)
        kept: list[tuple[Box, float]] = []
        for box, score in found:
            if all(_overlap(box, other) < 0.4 for other, _ in kept):
                kept.append((box, score))
        kept.sort(key=lambda item: item[0][2] - item[0][0], reverse=True)
        return kept[: LIMITS.faces]

    def _boxes_of(self, image: Image, region: Box) -> list[tuple[Box, float]]:
        left, top, right, bottom = (int(v) for v in region)
        tile = _at_most(image[top:bottom, left:right], NETWORK_SIDE)
        width, height, result = right - left, bottom - top, []
        for model, least in ((self._full, FULL_RANGE_SCORE), (self._short, SHORT_RANGE_SCORE)):
            for detection in model.process(tile).detections or []:
                if detection.score[0] < least:  # the models themselves let pass whatever is above 0.5
                    continue
                b = detection.location_data.relative_bounding_box
                x, y = left + b.xmin * width, top + b.ymin * height
                result.append(((x, y, x + b.width * width, y + b.height * height), detection.score[0]))
        return result


def _tiles(width: int, height: int) -> list[Box]:
    """Overlapping squares of half the longer side, in which small faces are looked for."""
    side = -(-max(width, height) // 2)
    tops = sorted({0, max(0, (height - side) // 2), max(0, height - side)})
    lefts = sorted({0, max(0, (width - side) // 2), max(0, width - side)})
    return [(x, y, min(x + side, width), min(y + side, height)) for y in tops for x in lefts]


class FaceTracker:
    """Landmarks of the largest face, frame after frame; cheap while the face is followed.

    A window around the face is tracked, so that small faces get the network's full resolution. The window
    moves only when the face nears its edge, since each move costs a new detection.
    """

    def __init__(self) -> None:
        self._mesh = _mesh(static=False)
        self._detector: FaceDetector | None = None
        self._box: Box | None = None

    def __enter__(self) -> FaceTracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mesh.close()
        if self._detector is not None:
            self._detector.__exit__()

    def process(self, image: Image) -> list[Face]:
        """The followed face of `image` (H, W, 3) RGB uint8, as a list of none or one."""
        if self._box is None and not self._find(image):
            return []
        face = self._look(image)
        if face is None:
            self._box = None
            if self._find(image):
                face = self._look(image)
        if face is None:
            self._box = None
            return []
        self._follow(face)
        return [face]

    def _find(self, image: Image) -> bool:
        if self._detector is None:
            self._detector = FaceDetector()
        found = self._detector.boxes(image)
        if not found:
            return False
        self._aim(_window(found[0][0], WINDOW))
        return True

    def _aim(self, window: Box) -> None:
        self._box = window
        self._mesh.reset()

    def _look(self, image: Image) -> Face | None:
        assert self._box is not None
        result = self._mesh.process(_square(image, self._box)).multi_face_landmarks
        if not result:
            return None
        side = self._box[2] - self._box[0]
        return Face(_landmarks(result[0], side, (self._box[0], self._box[1])))

    def _follow(self, face: Face) -> None:
        assert self._box is not None
        box, window = _bounds(face.landmarks), self._box
        side, size = window[2] - window[0], max(box[2] - box[0], box[3] - box[1])
        margin = min(box[0] - window[0], box[1] - window[1], window[2] - box[2], window[3] - box[3])
        if margin < 0.08 * side or not 0.25 < size / side < 0.7:
            self._aim(_window(box, WINDOW * 0.85))


def _mesh(*, static: bool) -> _Solution:
    return _Solution(
        "mesh",
        static_image_mode=static,
        max_num_faces=1,
        refine_landmarks=True,
        min_detection_confidence=0.3,
        min_tracking_confidence=0.5,
    )


def detect_faces(image: Image) -> list[Face]:
    """All faces of a still picture (H, W, 3) RGB uint8, largest first; landmarks are medians of looks."""
    with FaceDetector() as detector:
        boxes = detector.boxes(image) or detector.boxes(image, thorough=True)
        if boxes and boxes[0][0][2] - boxes[0][0][0] < 0.12 * max(image.shape[:2]):
            boxes = detector.boxes(image, thorough=True)
    mesh = _mesh(static=True)
    try:
        faces = [face for box, score in boxes if (face := _still_face(mesh, image, box, score)) is not None]
    finally:
        mesh.close()
    return sorted(faces, key=lambda f: float(np.ptp(f.landmarks[:, 0])), reverse=True)


def _still_face(mesh: _Solution, image: Image, box: Box, score: float) -> Face | None:
    """Average the mesh over windows of several sizes: single looks at paintings differ by a pixel or two."""
    looks = []
    for factor in (1.7, 2.0, 2.3, 2.7):
        window = _window(box, factor)
        result = mesh.process(_square(image, window)).multi_face_landmarks
        if result:
            looks.append(_landmarks(result[0], window[2] - window[0], (window[0], window[1])))
    if not looks:
        return None
    middle = np.median(np.stack(looks), axis=0).astype(np.float32)
    if not 0.5 < float(np.ptp(middle[:, 0])) / (box[2] - box[0]) < 1.6:
        return None  # mesh and detector disagree, as they do on a dog's muzzle
    return Face(middle, min(1.0, float(score)))


def choose_face(faces: Sequence[Face], index: int, name: str) -> Face:
    """Face `index` (0 = largest) or NoFaceError that says what there is in file `name`."""
    if not faces:
        raise NoFaceError(
            f"{name}: no human face found. Use a picture that shows the face, eyes and mouth visible."
        )
    if not 0 <= index < len(faces):
        last = len(faces) - 1
        raise NoFaceError(f"{name}: face {index} asked for, but {len(faces)} found; use --face 0 to {last}.")
    return faces[index]


def shows_both_eyes(face: Face, shape: tuple[int, ...]) -> bool:
    """Whether both irises lie within a picture of shape (H, W, ...); the tracker guesses beyond its edges."""
    irises = face.landmarks[[468, 473], :2]
    return bool(((irises >= 0) & (irises < (shape[1], shape[0]))).all())


class PersonMasker:
    """Tells people from the background, picture after picture."""

    def __init__(self) -> None:
        self._model = _Solution("person", model_selection=0)

    def __enter__(self) -> PersonMasker:
        return self

    def __exit__(self, *_: object) -> None:
        self._model.close()

    def mask(self, image: Image) -> FloatArray:
        """How surely each pixel belongs to a person: (H, W) float32 in 0..1 for (H, W, 3) RGB uint8."""
        mask = self._model.process(_at_most(image, NETWORK_SIDE)).segmentation_mask
        return np.asarray(cv2.resize(mask, (image.shape[1], image.shape[0])), np.float32)


def person_mask(image: Image) -> FloatArray:
    """`PersonMasker.mask` of one picture."""
    with PersonMasker() as masker:
        return masker.mask(image)
