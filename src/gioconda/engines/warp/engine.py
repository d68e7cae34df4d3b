"""The warp engine: the face's mesh and a smooth field around it move the portrait's own pixels.

The stage is the part of the picture that may move.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from gioconda.engines import Ahead
from gioconda.engines.affine import Box
from gioconda.engines.warp.background import Layers, build_layers
from gioconda.engines.warp.background_warp import (
    BackgroundWarp,
    build_background_warp,
    stage_box,
    stage_size,
)
from gioconda.engines.warp.behind import Behind, build_behind
from gioconda.engines.warp.borders import sides_of
from gioconda.engines.warp.choice import LOOK_SECONDS, ONLY_PHOTO, Mix
from gioconda.engines.warp.eyes import build_eyes
from gioconda.engines.warp.frame import WarpedFrame, warp_frame
from gioconda.engines.warp.head import with_rounded_head
from gioconda.engines.warp.identity import WarpIdentity
from gioconda.engines.warp.lips import build_lips
from gioconda.engines.warp.maps import POINTS, RIM, target_maps
from gioconda.engines.warp.mesh import load_topology
from gioconda.engines.warp.mirror import Mirror, build_mirror, face_outline
from gioconda.engines.warp.mouth import Fill, build_mouth
from gioconda.engines.warp.outline import outline, outwards
from gioconda.engines.warp.refiner import (
    ONLY_PORTRAIT,
    Bases,
    Network,
    Repair,
    StageCrop,
    build_references,
    crop_stage,
)
from gioconda.engines.warp.turns import limit_rotation, turn_limit
from gioconda.engines.warp.views import Views, morphed
from gioconda.engines.warp.wrinkles import build_wrinkle_target
from gioconda.landmarks import inter_ocular
from gioconda.runtime.cores import cores
from gioconda.runtime.helpers import Helpers
from gioconda.runtime.prefetch import map_ahead
from gioconda.types import FloatArray, Image, Patch, Portrait, TargetPose

# Frames that are warped at once, at most: the refiner takes a third of a frame's time, and takes them in turn.
WARPED_AT_ONCE = 4


class WarpEngine:
    """Warps the portrait, which keeps its brush strokes; a small network repairs mouth and eyes."""

    name = "warp"

    def __init__(self, network: Network | None = None, networks: tuple[tuple[str, str], ...] = ()) -> None:
        """Open the engine.

        Args:
            network: The refiner, or None for geometry alone.
            networks: File name and SHA-256 of the refiner, for the manifest.
        """
        self._network = network
        self.networks = networks

    def prepare(self, portrait: Portrait) -> WarpIdentity:
        """Build the mesh, the field and the hidden parts of the portrait's face.

        Further photos of the same view are prepared when a frame needs them.
        """
        photos = (portrait, *(photo for photo in portrait.others if photo.same_view))
        box = _union([_stage(photo) for photo in photos])
        if len(photos) == 1:
            return self._prepared(portrait, box)
        behind = build_behind(photos, inter_ocular(portrait.face.landmarks))
        prepare = partial(self._prepared, box=box, behind=behind)
        identity = prepare(portrait)
        return replace(identity, views=Views(portrait, identity, prepare))

    def helper_modules(self, portraits: Sequence[Portrait]) -> tuple[str, ...]:
        """This module; none for portraits with further photos, each of which is prepared once, in one process."""
        alone = not any(photo.same_view for portrait in portraits for photo in portrait.others)
        return (__name__,) if alone else ()

    def _prepared(self, portrait: Portrait, box: Box, behind: Behind | None = None) -> WarpIdentity:
        """Prepare one picture.

        Args:
            portrait: The picture.
            box: The stage: left, top, right and bottom in its pixels.
            behind: What further photos show of its background, or None.
        """
        landmarks = portrait.face.landmarks
        contour = outline(landmarks)
        mirror = None if portrait.filmed else build_mirror(portrait, contour)
        contour = face_outline(landmarks, mirror)
        background_warp = with_rounded_head(build_background_warp(portrait, contour, box), portrait)
        layers = _layers(portrait, background_warp, behind)
        weight = np.clip(2 * background_warp.translation_weight * background_warp.edges[1], 0, 1)
        whole = portrait.image if portrait.cutout is None else portrait.cutout
        picture = whole if layers is None else layers.front
        mouth = build_mouth(portrait.image, landmarks, load_topology())
        identity = WarpIdentity(
            image=picture,
            points=_mesh_points(landmarks, contour, mirror),
            background_warp=background_warp,
            sides=sides_of(portrait, background_warp),
            eyes=build_eyes(portrait.image, landmarks, load_topology(), mouth.tones),
            mouth=mouth,
            lips=build_lips(portrait.image, landmarks, mouth.tones),
            wrinkle_target=build_wrinkle_target(np.ascontiguousarray(picture[..., :3]), landmarks),
            weight=stage_size(weight, box),
            grid=_half_grid(box),
            layers=layers,
            references=build_references(portrait) if self._network is not None else (),
            mirror=mirror,
        )
        if mirror is None:
            return identity
        maps = partial(target_maps, identity)
        return replace(identity, limit=turn_limit(portrait, mirror, background_warp, maps))

    def render(
        self, identity: WarpIdentity, target_poses: Iterable[TargetPose], *, ahead: Ahead = False
    ) -> Generator[Patch, None, None]:
        """Render the portrait in each target pose.

        Args:
            identity: What `prepare` returned.
            target_poses: The moments to render.
            ahead: Whether threads, or helpers, warp the next frames while this one refines the last. The result is the
                same, but where there are further photos of the view: they are chosen for the poses of the next moments
                too.

        Yields:
            One patch of the portrait's picture for each target pose, in order.
        """
        repair = (
            None
            if self._network is None
            else Repair(self._network, identity.references, identity.mouth.tones)
        )
        # Only the refiner needs the references, which helpers need not get.
        draw = partial(_draw, replace(identity, references=()), refined=repair is not None)
        moments = _with_photos(identity, target_poses, LOOK_SECONDS if ahead else 0.0)
        with closing(_all_drawn(draw, moments, ahead)) as frames:
            for frame in frames:
                if repair is not None and frame.crop is not None:
                    repair.repair(frame.image, frame.crop, frame.fill, _bases(identity, frame.mix))
                yield _patch(identity, frame)


def _all_drawn(
    draw: Callable[[_Moment], _Drawn], moments: Iterable[_Moment], ahead: Ahead
) -> Generator[_Drawn, None, None]:
    """Draw each moment when it is requested, or ahead."""
    if ahead:
        return map_ahead(draw, moments, _threads(), ahead if isinstance(ahead, Helpers) else None)
    return (draw(moment) for moment in moments)


def _threads() -> int:
    """The number of frames that are warped at once: the refiner, which takes them in turn, has a core of its own."""
    return min(max(cores() - 1, 1), WARPED_AT_ONCE)


def _stage(portrait: Portrait) -> Box:
    """The part of a picture that may move."""
    height, width = portrait.image.shape[:2]
    landmarks = portrait.face.landmarks
    return stage_box(landmarks, outline(landmarks), (width, height))


def _union(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all boxes (left, top, right, bottom)."""
    corners = np.array(boxes)
    (left, top), (right, bottom) = corners[:, :2].min(0).tolist(), corners[:, 2:].max(0).tolist()
    return left, top, right, bottom


def _half_grid(box: Box) -> tuple[FloatArray, FloatArray]:
    """Coordinates of every second pixel of a box (left, top, right, bottom): x (w,) and y (h, 1), pixels."""
    w, h = (box[2] - box[0] + 1) // 2, (box[3] - box[1] + 1) // 2
    xs = (box[0] + 2 * np.arange(w) + 0.5).astype(np.float32)
    return xs, (box[1] + 2 * np.arange(h) + 0.5).astype(np.float32)[:, None]


def _layers(portrait: Portrait, background_warp: BackgroundWarp, behind: Behind | None) -> Layers | None:
    """The portrait's layers; None if it has none, or if it is cut out already."""
    if portrait.cutout is not None:
        return None
    box = background_warp.box
    moving = stage_size(background_warp.moving, box)
    return build_layers(portrait, box, background_warp.unit, moving, behind)


@dataclass(frozen=True)
class _Drawn:
    """All of a frame that depends on no other one.

    Attributes:
        time: Seconds.
        mix: The photos that it is drawn from.
        image: (h, w, 3) uint8 RGB, the stage.
        alpha: (h, w) uint8, of a transparent portrait; else None.
        fill: The painted inside of the mouth, or None.
        crop: Its crop for the refiner, or None.
    """

    time: float
    mix: Mix
    image: Image
    alpha: Image | None
    fill: Fill | None
    crop: StageCrop | None


_Moment: TypeAlias = tuple[TargetPose, Mix]
"""A target pose, and the photos that it is drawn from."""


def _with_photos(
    identity: WarpIdentity, target_poses: Iterable[TargetPose], look_seconds: float
) -> Iterator[_Moment]:
    """Each target pose with the photos that it is drawn from; they are chosen for some seconds of poses."""
    if identity.views is not None:
        return identity.views.chosen(target_poses, look_seconds)
    return ((target_pose, ONLY_PHOTO) for target_pose in target_poses)


def _draw(identity: WarpIdentity, moment: _Moment, *, refined: bool) -> _Drawn:
    """Draw a moment from its photos; `refined`: whether the refiner repairs the frame."""
    unlimited, mix = moment
    target_pose, warped = _warped(identity, unlimited, mix.main)
    if mix.share:
        other = _warped(identity, unlimited, mix.other)[1].image
        warped = replace(warped, image=morphed(other, warped.image, max(mix.share, 1 - mix.share)))
    crop = None
    if refined:
        maps, corner = (warped.map_x, warped.map_y), identity.background_warp.box[:2]
        crop = crop_stage(warped.image, maps, warped.fill, target_pose.landmarks, corner, warped.hold)
    return _Drawn(unlimited.time, mix, warped.image, warped.alpha, warped.fill, crop)


def _warped(identity: WarpIdentity, unlimited: TargetPose, photo: int) -> tuple[TargetPose, WarpedFrame]:
    """The pose within a photo's limit, and the photo warped to it."""
    views = identity.views
    if views is not None:
        identity, unlimited = views.prepared(photo), views.pose_of(photo, unlimited)
    target_pose = limit_rotation(unlimited, identity.mirror, identity.background_warp, identity.limit)
    return target_pose, warp_frame(identity, target_pose)


def _bases(identity: WarpIdentity, mix: Mix) -> Bases:
    """The references of a frame's photos, with their shares."""
    if identity.views is None:
        return ONLY_PORTRAIT
    places = identity.views.places
    return ((places[mix.photo], 1 - mix.share), (places[mix.following], mix.share))


def _patch(identity: WarpIdentity, frame: _Drawn) -> Patch:
    """The patch of a frame: the stage, or the whole picture where it is drawn from another photo than the portrait."""
    image, corner = frame.image, identity.background_warp.box[:2]
    if identity.views is None or frame.mix == ONLY_PHOTO:
        return Patch(image, corner, frame.time, identity.weight, frame.alpha)
    whole = identity.views.picture(frame.mix).copy()
    (left, top), (height, width) = corner, image.shape[:2]
    whole[top : top + height, left : left + width] = image
    return Patch(whole, (0, 0), frame.time, np.ones(whole.shape[:2], np.float32))


def _mesh_points(landmarks: FloatArray, contour: FloatArray, mirror: Mirror | None) -> FloatArray:
    """The mesh, the outline `contour` (K, 3), pushed outwards on the hidden side, and the rim, (468 + 2 K, 3)."""
    if mirror is not None:
        contour = contour.copy()
        contour[:, :2] += outwards(contour) * mirror.push[:, None]
    return np.concatenate([landmarks[:POINTS], contour, _rim(contour, landmarks)])


def _rim(oval: FloatArray, landmarks: FloatArray) -> FloatArray:
    """Points (K, 3) outside the face's contour by the width of the rim."""
    unit = inter_ocular(landmarks)
    middle = oval.mean(0)
    out = oval - middle
    out = out / np.linalg.norm(out[:, :2], axis=1, keepdims=True) * (RIM * unit)
    out[:, 2] = 0
    return np.asarray(oval + out, np.float32)
