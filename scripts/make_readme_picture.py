"""Renders docs/astronaut.jpg: the packaged portrait at rest and in six other moments, side by side.

    python scripts/make_readme_picture.py [--out docs/astronaut.jpg]

Each tile comes from `gioconda.edit`, watermark included.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import gioconda
from gioconda.assets import asset_path

ROOT = Path(__file__).resolve().parents[1]
SIDE = 240  # pixels a tile
MOMENTS: tuple[dict[str, Any], ...] = (
    {},
    {"yaw": 18, "gaze_x": 0.3},
    {"yaw": -18, "pitch": 5},
    {"coefficients": {"eyeBlinkLeft": 1, "eyeBlinkRight": 1}},
    {"coefficients": {"jawOpen": 0.7}},
    {"roll": 10, "coefficients": {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "jawOpen": 0.2}},
    {
        "coefficients": {
            "browInnerUp": 1,
            "browOuterUpLeft": 1,
            "browOuterUpRight": 1,
            "eyeWideLeft": 0.6,
            "eyeWideRight": 0.6,
        }
    },
)


def main() -> None:
    """Read the options and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "astronaut.jpg")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    tiles = [gioconda.edit(asset_path("astronaut.jpg"), crop=True, size=SIDE, **moment) for moment in MOMENTS]
    picture = cv2.cvtColor(np.hstack(tiles), cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(options.out), picture, [cv2.IMWRITE_JPEG_QUALITY, 88]):
        raise SystemExit(f"cannot write {options.out}")
    print(f"{options.out}: {picture.shape[1]}x{picture.shape[0]}")


if __name__ == "__main__":
    main()
