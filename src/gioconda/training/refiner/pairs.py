"""One sample for the refiner: the warp of a source frame to two successive frames, with the true frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines import affine
from gioconda.engines.warp import aligned
from gioconda.engines.warp.engine import WarpEngine
from gioconda.engines.warp.frame import warp_frame
from gioconda.engines.warp.identity import WarpIdentity
from gioconda.inputs.portrait import person_around
from gioconda.motion.moments import picture_points
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.types import Face, FloatArray, Image, Motion, Mouth, Portrait

PICTURES = ("warped before", "true before", "warped", "true", "source", "nearest")
# Longest side in pixels; larger pictures are scaled down, because the crop has less resolution than that
LONGEST_SIDE = 720
FILLS = ("model", "borrowed", "none")
# Probability of each fill: a voice has no driver's mouth to borrow, so most samples borrow none
FILL_SHARES = (0.6, 0.25, 0.15)
# Value of int8 maps for 1.0
MAP_SCALE = 127.0

# Of one sample: pictures (6, H, W, 3) in the order of PICTURES, maps (2, 2, H, W), points (2, 478, 2).
Row = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8], FloatArray]


@dataclass(frozen=True)
class Source:
    """A frame as the portrait: its picture and face, and the warp's identity of it."""

    portrait: Portrait
    identity: WarpIdentity

    @property
    def crop(self) -> Image:
        """The frame's own aligned crop (H, W, 3)."""
        return crop_of(self.portrait.image, self.portrait.face)

    def retargeted(self, motion: Motion) -> RetargetedMotion:
        """Retarget the motion of this frame's own clip to it."""
        return RetargetedMotion(motion, self.portrait, Style(absolute=True))


def scaled_down(image: Image) -> Image:
    """Scale a picture (H, W, 3) down to LONGEST_SIDE, if it is larger."""
    scale = LONGEST_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def source_of(image: Image, face: Face) -> Source:
    """Prepare a picture (H, W, 3) and its face for the warp."""
    portrait = Portrait(image, face, person=person_around(image, face))
    return Source(portrait, WarpEngine().prepare(portrait))


def crop_of(image: Image, face: Face) -> Image:
    """Cut the aligned crop (HEIGHT, WIDTH, 3) of a face from a picture (H, W, 3)."""
    return aligned.cut(image, aligned.alignment(face.landmarks))


def sample_row(
    source: Source,
    motion: Motion,
    moments: Sequence[tuple[int, Image]],
    nearest: Image,
    random: np.random.Generator,
) -> Row:
    """Make the sample of two successive frames.

    Args:
        source: The portrait.
        motion: The motion of the clip.
        moments: The index in the motion and the true picture (H, W, 3) of each frame.
        nearest: The crop of a frame or photo of the person whose expression is like that of the later frame.
        random: The source of all draws.

    Returns:
        Pictures, maps and points, as `Row` describes them.
    """
    kind = str(random.choice(FILLS, p=FILL_SHARES))
    retargeted = source.retargeted(motion)
    pair = [_warped_crop(source.identity, retargeted, motion, truth, index, kind) for index, truth in moments]
    pictures = np.stack([*pair[0][0], *pair[1][0], source.crop, nearest])
    return pictures, np.stack([p[1] for p in pair]), np.stack([p[2] for p in pair])


def _warped_crop(
    identity: WarpIdentity,
    retargeted: RetargetedMotion,
    motion: Motion,
    truth: Image,
    index: int,
    kind: str,
) -> tuple[tuple[Image, Image], npt.NDArray[np.int8], FloatArray]:
    """Warped and true crop of a frame, its maps (2, H, W), its points (478, 2) in the crop."""
    mouth = _strange_light(truth, picture_points(motion, index), index) if kind == "borrowed" else None
    if kind == "none":
        identity = replace(identity, mouth=replace(identity.mouth, area=1e9))
    target_pose = replace(retargeted.target(index, mouth), creases=0.0)
    warped = warp_frame(identity, target_pose)
    matrix = aligned.alignment(target_pose.landmarks)
    stage = affine.moved(matrix, identity.background_warp.box[:2])
    maps = np.stack(
        [aligned.stretch_of(warped.map_x, warped.map_y, stage), aligned.fill_of(warped.fill, stage)]
    )
    crops = (aligned.cut(warped.image, stage), aligned.cut(truth, matrix))
    points = affine.apply(matrix, target_pose.landmarks)
    return crops, np.rint(maps * MAP_SCALE).astype(np.int8), points


def _strange_light(image: Image, points: FloatArray, seed: int) -> Mouth:
    """The true mouth as if from a driver: in other light, slightly blurred and shifted."""
    random = np.random.default_rng(seed)
    gain = random.uniform(0.6, 1.4) * random.uniform(0.9, 1.1, 3)
    changed = np.clip(image * gain + random.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(changed, (0, 0), random.uniform(0.3, 1.5))
    unit = float(np.linalg.norm(points[263, :2] - points[33, :2]))
    shift = np.array([*random.normal(0, 0.015 * unit, 2), 0], np.float32)
    return Mouth(np.asarray(blurred, np.uint8), np.asarray(points + shift, np.float32))
