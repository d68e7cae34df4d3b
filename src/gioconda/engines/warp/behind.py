"""What further photos of a view show of the background that the person hides in one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gioconda.engines.affine import Box
from gioconda.engines.warp.matte import grown, push_pull
from gioconda.types import FloatArray, Portrait

# Share of the person up to which a pixel shows the background, and inter-ocular units by which the person is widened:
# hair and light spill over the mask's edge.
CLEAR, WIDER = 0.02, 0.12


@dataclass(frozen=True)
class Behind:
    """The background of a view.

    Attributes:
        colours: (H, W, 3) float32, 0 to 255, the mean of the photos that show it, in the light of the first.
        seen: (H, W) bool, where any photo shows it.
    """

    colours: FloatArray
    seen: npt.NDArray[np.bool_]

    def fill(
        self, picture: FloatArray, hole: npt.NDArray[np.bool_], box: Box
    ) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Fill a hole in a photo of the view, in the photo's own light.

        Args:
            picture: (h, w, 3) float32, 0 to 255, the part of the photo in `box`.
            hole: (h, w), what the person hides.
            box: Left, top, right and bottom in pixels.

        Returns:
            The part with known pixels in the hole, (h, w, 3) float32, and the hole that remains, (h, w).
        """
        part = (slice(box[1], box[3]), slice(box[0], box[2]))
        colours, seen = self.colours[part], self.seen[part]
        both = np.asarray(seen & ~hole, np.float32)
        # The difference at the hole's edge, continued inwards, lets no seam show where cameras or lamps have moved.
        light = push_pull(picture - colours, both) if both.any() else np.float32(0)
        known = hole & seen
        filled = np.where(known[..., None], np.clip(colours + light, 0, 255), picture)
        return np.asarray(filled, np.float32), np.asarray(hole & ~seen)


def build_behind(photos: Sequence[Portrait], unit: float) -> Behind:
    """Collect the background of a view.

    Args:
        photos: Photos of one view with their persons' masks, the portrait first.
        unit: The inter-ocular distance in pixels.
    """
    total = np.zeros(photos[0].image.shape, np.float32)
    count = np.zeros(photos[0].image.shape[:2], np.float32)
    for photo in photos:
        image, clear = photo.image.astype(np.float32), _clear(photo, unit)
        both = clear & (count > 0)
        # Cameras adapt to the light from one picture to the next.
        light = (total[both] / count[both][:, None] - image[both]).mean(0) if both.any() else np.float32(0)
        np.add(total, image + light, out=total, where=clear[..., None])
        count += clear
    seen = count > 0
    return Behind(np.asarray(total / np.maximum(count, 1)[..., None], np.float32), np.asarray(seen))


def _clear(photo: Portrait, unit: float) -> npt.NDArray[np.bool_]:
    """Where a photo surely shows the background, (H, W)."""
    assert photo.person is not None
    return ~grown(photo.person > CLEAR, WIDER * unit)
