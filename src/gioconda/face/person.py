"""Segment people from the background."""

from __future__ import annotations

import cv2
import numpy as np

from gioconda.face.models import PERSON, run
from gioconda.face.region import Region
from gioconda.types import FloatArray, Image

# Pixels; side of the network's input, to which a picture of any shape is scaled.
SIDE = 256


def person_mask(image: Image) -> FloatArray:
    """Probability that each pixel belongs to a person: (H, W) float32 in 0..1, for a picture (H, W, 3) uint8 RGB."""
    height, width = image.shape[:2]
    whole = Region(width / 2, height / 2, width, height)
    (mask,) = run(PERSON, whole.crop(image, SIDE, antialias=True)[None])
    return np.asarray(cv2.resize(mask[0], (width, height)), np.float32)
