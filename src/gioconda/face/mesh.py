"""The mesh network: regions of a picture -> landmarks of the faces in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gioconda.face.models import LANDMARKS, run
from gioconda.face.region import Region
from gioconda.landmarks import mirror_table
from gioconda.types import FloatArray, Image

# Pixels; side of the network's input.
CROP_SIDE = 192
# Crops in one run of the network; each takes some 10 MB meanwhile.
BATCH = 8
# Least presence of a face, 0 to 1.
PRESENT = 0.5
# The network places points this far to the right, in pixels of the crop (benchmarks/landmarks.py). Landmarks of
# mirrored crops get the same error, so that those of stills and of videos agree.
BIAS = 0.3


def find_landmarks(image: Image, region: Region) -> tuple[FloatArray, float]:
    """Landmarks of the face in a region of a picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        region: Around the face.

    Returns:
        Landmarks (478, 3) float32 in pixels of the picture, and presence of a face, 0 to 1.
    """
    points, presence = run(LANDMARKS, region.crop(image, CROP_SIDE, antialias=True)[None])
    return region.points(points[0] / np.float32(CROP_SIDE)), float(presence[0])


def find_landmarks_in(
    image: Image, regions: Sequence[Region], mirrored: Sequence[bool]
) -> tuple[FloatArray, FloatArray]:
    """Landmarks of the faces in N regions of a picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        regions: Around the faces.
        mirrored: Whether the network gets the mirror image of each region.

    Returns:
        Landmarks (N, 478, 3) float32 in pixels of the picture, not mirrored, and presence (N,), 0 to 1.
    """
    crops = [region.crop(image, CROP_SIDE, antialias=True) for region in regions]
    crops = [crop[:, ::-1] if m else crop for crop, m in zip(crops, mirrored, strict=True)]
    batches = [run(LANDMARKS, np.stack(crops[k : k + BATCH])) for k in range(0, len(crops), BATCH)]
    points = np.concatenate([b[0] for b in batches]) / np.float32(CROP_SIDE)
    landmarks = [r.points(_mirror(p) if m else p) for r, p, m in zip(regions, points, mirrored, strict=True)]
    return np.stack(landmarks), np.concatenate([b[1] for b in batches])


def _mirror(points: FloatArray) -> FloatArray:
    """Landmarks (478, 3) of a mirrored crop, moved to the crop itself; unit square."""
    # Pixel k of a crop of side S is at k / S, and its mirror image at (S - 1 - k) / S.
    unmirrored = points[mirror_table()]
    unmirrored[:, 0] = (CROP_SIDE - 1 + 2 * BIAS) / CROP_SIDE - unmirrored[:, 0]
    return unmirrored
