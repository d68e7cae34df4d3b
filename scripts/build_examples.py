"""Writes the pictures and the film that the page's first screen shows, into web/app/public/examples.

    python scripts/build_examples.py FOLDER

FOLDER holds faithful reproductions of three paintings in the public domain: mona_lisa.jpg (Leonardo da Vinci),
girl_with_a_pearl_earring.jpg (Vermeer) and painting_lady_in_chair.jpg (Sargent). The drawing is made here, out of the
last. The astronaut is the packaged public-domain photograph.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import gioconda
from gioconda.assets import asset_path

OUT = Path(__file__).parents[1] / "web" / "app" / "public" / "examples"
# Longer side of a picture in pixels, and its WebP quality of 100.
SIDE, QUALITY = 640, 74
# Side of the film in pixels; it plays in a frame of at most this size.
FILM_SIDE = 448
# Box (left, top, right, bottom) of each painting, in pixels of its reproduction.
BOXES = {
    "mona_lisa": (60, 40, 700, 840),
    "girl_with_a_pearl_earring": (120, 60, 972, 1125),
    "painting_lady_in_chair": (170, 0, 434, 330),
}
NAMES = {"mona_lisa": "mona-lisa", "girl_with_a_pearl_earring": "pearl", "painting_lady_in_chair": "drawing"}
# Colours (RGB) of the drawing's paper and of its pencil.
PAPER, PENCIL = np.array([246, 238, 224], np.float32), np.array([58, 44, 36], np.float32)
# Width in pixels of the light that a stroke borrows from, and how strongly lines and tones are drawn.
SPREAD, LINES, TONES = 14.0, 2.2, 0.38


def drawn(picture: np.ndarray) -> np.ndarray:
    """A pencil drawing of a picture (H, W, 3) uint8 RGB: what is darker than its surroundings, and some tone."""
    grey = cv2.bilateralFilter(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), 7, 18, 5)
    around = np.maximum(cv2.GaussianBlur(grey, (0, 0), SPREAD), 1)
    lines = np.clip(grey / around, 0, 1) ** LINES
    tones = 1 - TONES + TONES * np.clip((grey / 255 - 0.1) / 0.6, 0, 1)
    return (PENCIL + (PAPER - PENCIL) * (lines * tones)[..., None]).astype(np.uint8)


def main() -> None:
    folder = Path(sys.argv[1])
    OUT.mkdir(parents=True, exist_ok=True)
    for name, box in BOXES.items():
        picture = Image.open(folder / f"{name}.jpg").convert("RGB").crop(box)
        scale = SIDE / max(picture.size)
        picture = picture.resize([round(scale * side) for side in picture.size], Image.Resampling.LANCZOS)
        if NAMES[name] == "drawing":
            picture = Image.fromarray(drawn(np.asarray(picture)))
        picture.save(OUT / f"{NAMES[name]}.webp", quality=QUALITY, method=6)
    astronaut = Image.open(asset_path("astronaut.jpg"))
    astronaut.save(OUT / "astronaut.webp", quality=QUALITY, method=6)
    right = "The painting is in the public domain, and nobody living is shown"
    gioconda.animate(
        OUT / "mona-lisa.webp", "smile", OUT / "mona-lisa-smiles.webm", size=FILM_SIDE, rights=right
    )


if __name__ == "__main__":
    main()
