"""Photos of one person -> samples for the refiner: one photo as the source, another expression as the truth.

Two photos differ in position and light, and slightly in pose. A rotation, scale and translation align the truth to the
source's picture, and a gain per colour matches its skin to the source's. Photos have no frame before. It is a short way
back from the truth to the source, and its truth is the true photo, warped that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from gioconda import face, media
from gioconda.engines import affine
from gioconda.engines.warp import aligned
from gioconda.engines.warp.frame import warp_frame
from gioconda.engines.warp.mesh import load_topology
from gioconda.errors import GiocondaError, InputError
from gioconda.motion.from_faces import faces_to_motion, own_head
from gioconda.motion.pose import euler_from_rotation, fit_own_poses
from gioconda.training.refiner.pairs import Row, Source, crop_of, sample_row, scaled_down, source_of
from gioconda.types import Face, FloatArray, Image, Motion

# Degrees of yaw, pitch or roll between two photos; beyond that, another side of the head shows
MOST_TURN = 12.0
# Frames for which a face is held, so that smoothing over time does not change the middle one
HOLD = 9
# Indices of the frame before and of the truth in the motion of `way`
BEFORE, NOW = HOLD + HOLD // 2, 2 * HOLD + HOLD // 2
# Range of the share of the way back to the source at which the frame before is
STEP = (0.04, 0.25)
# Range of the gain per colour that matches one photo's light to another's
GAIN = (0.6, 1.6)
# Pixels of the crop around lips and lids that do not count for the skin's colour
APART = 9


@dataclass(frozen=True)
class Photo:
    """A picture (H, W, 3) RGB uint8 and the face in it."""

    image: Image
    face: Face


def photo_rows(paths: Sequence[Path], most: int, targets: int, seed: int) -> tuple[list[Row], float]:
    """Make the samples of one person's photos.

    Args:
        paths: The photos.
        most: The most ordered pairs of photos.
        targets: Samples per pair.
        seed: The seed of all draws.

    Returns:
        The samples, and the photos' median inter-ocular distance in pixels.

    Raises:
        InputError: No two photos can be a pair.
    """
    photos = readable(paths)
    random = np.random.default_rng(seed)
    landmarks = np.stack([p.face.landmarks for p in photos])
    rotation, scale, _ = fit_own_poses(landmarks, own_head(landmarks))
    angles = np.stack(euler_from_rotation(rotation), -1)
    alike = [(a, b) for a, b in permutations(range(len(photos)), 2) if _are_alike(angles, a, b)]
    if not alike:
        raise InputError("its photos show the head from different sides")
    chosen = random.permutation(len(alike))[:most]
    rows = []
    for source, target in (alike[int(k)] for k in sorted(chosen)):
        others = [p for k, p in enumerate(photos) if k not in (source, target)]
        rows += _of_pair(photos[source], photos[target], others, targets, random)
    return rows, float(np.median(scale))


def _are_alike(angles: FloatArray, first: int, second: int) -> bool:
    return bool(np.abs(angles[first] - angles[second]).max() <= MOST_TURN)


def readable(paths: Sequence[Path]) -> list[Photo]:
    """Read the photos that show a face; InputError if there are fewer than two."""
    photos = []
    for path in paths:
        try:
            image = scaled_down(media.read_picture(path)[0])
        except GiocondaError:
            continue
        faces = face.detect_faces(image)
        if faces:
            photos.append(Photo(image, faces[0]))
    if len(photos) < 2:
        raise InputError("needs two or more photos that show the person's face")
    return photos


def _of_pair(
    first: Photo, second: Photo, others: Sequence[Photo], count: int, random: np.random.Generator
) -> list[Row]:
    """Samples with the first photo as source and the second as truth."""
    second = brought(first, second)
    source, truth = (source_of(p.image, p.face) for p in (first, second))
    nearest = _nearest(second, others)
    rows = []
    for share in random.uniform(*STEP, count):
        motion = way(first, second, float(share))
        moments = [(BEFORE, _moved(truth, motion, BEFORE)), (NOW, second.image)]
        rows.append(sample_row(source, motion, moments, source.crop if nearest is None else nearest, random))
    return rows


def brought(first: Photo, second: Photo) -> Photo:
    """Align the second photo to the first, and match its light."""
    return _in_light_of(first, _in_place_of(first, second))


def _in_place_of(first: Photo, second: Photo) -> Photo:
    """Rotate, scale and translate the second photo so that its face is where the first one's is."""
    there, other = (aligned.alignment(p.face.landmarks) for p in (second, first))
    back = np.asarray(cv2.invertAffineTransform(other), np.float32)
    matrix = np.hstack([back[:, :2] @ there[:, :2], back[:, :2] @ there[:, 2:] + back[:, 2:]])
    height, width = first.image.shape[:2]
    image = affine.cut(second.image, matrix, (width, height))
    landmarks = second.face.landmarks.copy()
    landmarks[:, :2] = affine.apply(matrix, landmarks)
    landmarks[:, 2] *= np.float32(np.hypot(*matrix[:, 0]))
    return Photo(image, Face(landmarks, second.face.score))


def _in_light_of(first: Photo, second: Photo) -> Photo:
    """Give the second photo the mean skin colour of the first."""
    means = [_skin(p) for p in (first, second)]
    gain = np.clip(means[0] / np.maximum(means[1], 1), *GAIN)
    lit = np.clip(second.image * gain.astype(np.float32) + 0.5, 0, 255)
    return Photo(lit.astype(np.uint8), second.face)


def _skin(photo: Photo) -> npt.NDArray[np.float64]:
    """Mean colour (3,) of the face without eyes and mouth, RGB in 0..255."""
    topology = load_topology()
    matrix = aligned.alignment(photo.face.landmarks)
    points = affine.apply(matrix, photo.face.landmarks)
    mask = np.zeros((aligned.HEIGHT, aligned.WIDTH), np.uint8)
    cv2.fillPoly(mask, [np.rint(points[topology.oval]).astype(np.int32)], (255,))
    for ring in (topology.outer_lips, topology.right_eye, topology.left_eye):
        hull = cv2.convexHull(np.rint(points[ring]).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, (0,))
        cv2.polylines(mask, [hull], True, (0,), 2 * APART)
    return np.asarray(cv2.mean(aligned.cut(photo.image, matrix), mask)[:3])


def _nearest(target: Photo, others: Sequence[Photo]) -> Image | None:
    """The crop of the photo whose lips and lids are most like the target's; None without other photos."""
    if not others:
        return None
    shape = _shape(target.face)
    distances = [float(np.abs(_shape(p.face) - shape).mean()) for p in others]
    best = others[int(np.argmin(distances))]
    return crop_of(best.image, best.face)


def _shape(detected: Face) -> FloatArray:
    """Landmarks of lips and lids (N, 2), in pixels of the crop."""
    topology = load_topology()
    rings = (topology.inner_lips, topology.outer_lips, topology.right_eye, topology.left_eye)
    return affine.apply(aligned.alignment(detected.landmarks), detected.landmarks)[np.concatenate(rings)]


def way(first: Photo, second: Photo, share: float) -> Motion:
    """A motion of three held faces: the first photo's, one a share of the way from second to first, the second's."""
    height, width = first.image.shape[:2]
    start, end = first.face.landmarks, second.face.landmarks
    between = Face(np.asarray(end + share * (start - end), np.float32))
    faces = [keyframe for keyframe in (first.face, between, second.face) for _ in range(HOLD)]
    return faces_to_motion(faces, np.arange(len(faces)) / 25.0, (width, height))


def _moved(source: Source, motion: Motion, index: int) -> Image:
    """Warp the whole picture of a source to a frame of the motion."""
    image = source.portrait.image.copy()
    left, top, right, bottom = source.identity.background_warp.box
    image[top:bottom, left:right] = warp_frame(source.identity, source.retargeted(motion).target(index)).image
    return image
