"""What the warp engine keeps of a person."""

from __future__ import annotations

from dataclasses import dataclass

from gioconda.engines.warp.background import Layers
from gioconda.engines.warp.background_warp import BackgroundWarp
from gioconda.engines.warp.borders import Side
from gioconda.engines.warp.eyes import Eye
from gioconda.engines.warp.lips import Lips
from gioconda.engines.warp.mirror import Mirror
from gioconda.engines.warp.mouth import MouthAppearance
from gioconda.engines.warp.refiner import Reference
from gioconda.engines.warp.views import Views
from gioconda.engines.warp.wrinkles import WrinkleTarget
from gioconda.types import FloatArray, Image


@dataclass(frozen=True)
class WarpIdentity:
    """What the warp engine keeps of a person: the picture, and all that does not change between frames.

    Attributes:
        image: (H, W, 3) uint8 RGB; (H, W, 4) with the person's matte where there are layers, or with the alpha of a
            transparent portrait.
        points: (468 + 2 K, 3) float32, the mesh, the outline and the rim, in pixels of the picture.
        background_warp: The field that moves what surrounds the face.
        sides: The sides of the stage at which the picture itself ends.
        eyes: The eyeballs, the viewer's left first.
        mouth: The inside of the mouth.
        lips: The inner lips, or None where the portrait's lips meet.
        wrinkle_target: The face that takes the driver's wrinkles, or None.
        weight: (h, w) float32, 0 to 1, for the stage: where patches differ from the still picture.
        grid: x (w,) and y (h, 1) of the half-resolution stage's pixel centres, in pixels of the picture.
        layers: Person and background apart, or None where the background bends with the head.
        references: Crops of the person that the refiner compares with.
        mirror: The side of the face that the portrait hides, or None.
        limit: The largest turn towards the hidden side, in degrees.
        views: The portrait and further photos of its view; None without such photos.
    """

    image: Image
    points: FloatArray
    background_warp: BackgroundWarp
    sides: tuple[Side, ...]
    eyes: tuple[Eye, Eye]
    mouth: MouthAppearance
    lips: Lips | None
    wrinkle_target: WrinkleTarget | None
    weight: FloatArray
    grid: tuple[FloatArray, FloatArray]
    layers: Layers | None = None
    references: tuple[Reference, ...] = ()
    mirror: Mirror | None = None
    limit: float = float("inf")
    views: Views[WarpIdentity] | None = None
