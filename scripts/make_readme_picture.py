"""Renders docs/astronaut.jpg: the packaged portrait and frames of it in motion, side by side.

    python scripts/make_readme_picture.py [--motion smile] [--frames 6] [--out docs/astronaut.jpg]

The strip is made from the frames that the public interface yields, watermark included.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

import gioconda
from gioconda.weights import asset_path

ROOT = Path(__file__).resolve().parents[1]
SIDE = 256  # pixels a tile


def strip(motion: str, count: int) -> np.ndarray:
    """The portrait and `count` - 1 frames, evenly spread over the motion, (SIDE, SIDE * count, 3) RGB."""
    frames = [
        frame.image for frame in gioconda.animate(asset_path("astronaut.jpg"), motion, crop=True, size=SIDE)
    ]
    chosen = np.linspace(0, len(frames) - 1, count).round().astype(int)
    return np.hstack([frames[i] for i in chosen])


def main() -> None:
    """Read the options and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--motion", default="smile")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "astronaut.jpg")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    picture = cv2.cvtColor(strip(options.motion, options.frames), cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(options.out), picture, [cv2.IMWRITE_JPEG_QUALITY, 88]):
        raise SystemExit(f"cannot write {options.out}")
    print(f"{options.out}: {picture.shape[1]}x{picture.shape[0]}")


if __name__ == "__main__":
    main()
