"""The moment between two frames, where a frame is shown twice."""

from __future__ import annotations

import cv2
import numpy as np

from gioconda.types import Image


def halfway(first: Image, second: Image) -> Image:
    """The picture between two (H, W, 3) uint8: both moved half of the way along dense optical flow, and mixed."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    grey = [np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) for image in (first, second)]
    still = np.zeros((*grey[0].shape, 2), np.float32)
    move = np.asarray(flow.calc(grey[0], grey[1], still), np.float32)
    height, width = grey[0].shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    # the flow of the first frame stands in for that of the moment between: moves between frames are small
    sides = [
        cv2.remap(
            image,
            x + s * move[..., 0],
            y + s * move[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for image, s in ((first, -0.5), (second, 0.5))
    ]
    return np.asarray(cv2.addWeighted(sides[0], 0.5, sides[1], 0.5, 0), np.uint8)
