"""A frame before the refiner sees it: the portrait warped to a target pose, with the insides of eyes and mouth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gioconda.engines.warp.background import composite_layers
from gioconda.engines.warp.eyes import paint_eye, shut_eye
from gioconda.engines.warp.identity import WarpIdentity
from gioconda.engines.warp.lips import seal_lips
from gioconda.engines.warp.maps import target_maps
from gioconda.engines.warp.mirror import face_outline
from gioconda.engines.warp.mouth import Fill, paint_mouth
from gioconda.engines.warp.opacity import with_steady_edges
from gioconda.engines.warp.reveal import composite_mirrored_side
from gioconda.engines.warp.wrinkles import transfer_wrinkles
from gioconda.types import RGBA, FloatArray, Image, TargetPose


@dataclass(frozen=True)
class WarpedFrame:
    """A frame before the refiner sees it.

    Attributes:
        image: (h, w, 3) uint8 RGB, the stage.
        map_x: (h, w), x of each pixel's source in the portrait.
        map_y: (h, w), y of each pixel's source.
        fill: The painted inside of the mouth, or None.
        hold: (h, w) uint8, 255 where the refiner must not change the frame; or None.
        alpha: (h, w) uint8, of a transparent portrait; else None.
    """

    image: Image
    map_x: FloatArray
    map_y: FloatArray
    fill: Fill | None
    hold: Image | None = None
    alpha: Image | None = None


def warp_frame(identity: WarpIdentity, target_pose: TargetPose) -> WarpedFrame:
    """Warp the portrait to a target pose, then paint the insides of eyes and mouth."""
    box = identity.background_warp.box
    map_x, map_y, revealed = target_maps(identity, target_pose)
    picture = transfer_wrinkles(
        identity.image, identity.wrinkle_target, target_pose.mouth, target_pose.creases
    )
    image = np.asarray(
        cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
    if identity.layers is not None:
        image = composite_layers(image, identity.layers.back)
    alpha = None
    if image.shape[2] == RGBA:
        ring = face_outline(target_pose.landmarks, identity.mirror)[:, :2] - box[:2]
        alpha = with_steady_edges(np.ascontiguousarray(image[..., 3]), map_x, map_y, ring)
        image = np.ascontiguousarray(image[..., :3])
    corner = np.array(box[:2], np.float32)
    for eye in identity.eyes:
        shut_eye(image, eye, target_pose.landmarks[:, :2] - corner, map_x, map_y)
        paint_eye(image, eye, target_pose.landmarks[:, :2] - corner)
    seal_lips(image, identity.lips, target_pose.landmarks[:, :2] - corner, target_pose.grow, (map_x, map_y))
    hold = None
    if identity.mirror is not None and revealed is not None:
        hold = composite_mirrored_side(image, identity.mirror, revealed, target_pose, box[:2], alpha)
    fill = paint_mouth(image, identity.mouth, target_pose, corner)
    return WarpedFrame(image, map_x, map_y, fill, hold, alpha)
