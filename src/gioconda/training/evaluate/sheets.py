"""Contact sheets: of each person the shots, the truth, and what every method made of some held-out frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np

import gioconda
from gioconda import composite, media, provenance
from gioconda.provenance import Claim, Ingredient, Watermarker, job_payload
from gioconda.training.evaluate.methods import COPY, FEED_FORWARD, Row
from gioconda.training.evaluate.portraits import copied
from gioconda.training.evaluate.protocol import Person
from gioconda.types import Image

TILE = 128  # pixels
COLUMNS = 8
MARGIN = 132  # pixels, in which lines are named


@dataclass(frozen=True, eq=False)
class Sheet:
    """What a sheet shows of a person: rows of pictures (TILE, TILE, 3), and the clips that they come from."""

    name: str
    shots: list[Image]
    truth: list[Image]
    made: dict[Row, list[Image]]
    inputs: tuple[Ingredient, ...]


def first_shots(person: Person, size: int) -> list[Image]:
    """The squares of the first shots."""
    return [_tile(copied(portrait, size)) for portrait in person.shots[:COLUMNS]]


def moments(pictures: Sequence[Sequence[Image]]) -> list[Image]:
    """A few of the held-out frames, evenly spread."""
    flat = [picture for stretch in pictures for picture in stretch]
    places = np.linspace(0, len(flat) - 1, min(COLUMNS, len(flat))).round().astype(int)
    return [_tile(flat[k]) for k in places]


def drawn(sheet: Sheet) -> Image:
    """The sheet as one picture, RGB uint8; made rows say that they are."""
    rows = [(["shots"], sheet.shots), (["truth"], sheet.truth)]
    for row, tiles in sheet.made.items():
        if row.engine == COPY:
            rows.append((["copy"], tiles))
        else:
            mode = row.mode if row.mode == FEED_FORWARD else "fine-tuned"
            rows.append(([f"{row.engine}, T = {row.shots}", mode, composite.LABEL], tiles))
    columns = max(len(tiles) for _, tiles in rows)
    return np.concatenate([_strip(words, tiles, columns) for words, tiles in rows])


def write(out: Path, sheet: Sheet, engines: Sequence[str]) -> Path:
    """Write the sheet as a watermarked and signed PNG into the folder; its path. OutputError."""
    image = drawn(sheet)
    target = out / f"{quote(sheet.name, safe='')}.png"
    engine = "+".join(engines)
    payload = job_payload(engine, *(item.sha256 for item in sheet.inputs), sheet.name)
    image = Watermarker((image.shape[1], image.shape[0]), payload).apply(image)
    temp = media.temp_beside(target)
    try:
        media.write_picture(temp, image, final=target)
        provenance.sign(temp, target.name, Claim(engine, gioconda.__version__, sheet.inputs, payload))
        media.publish(temp, target)
    finally:
        temp.unlink(missing_ok=True)
    return target


def _tile(picture: Image) -> Image:
    return composite.resize(picture, (TILE, TILE))


def _strip(words: Sequence[str], tiles: Sequence[Image], columns: int) -> Image:
    strip = np.full((TILE, MARGIN + columns * TILE, 3), 255, np.uint8)
    for k, word in enumerate(words):
        at = (6, TILE // 2 + 16 * k - 8 * (len(words) - 1))
        cv2.putText(strip, word, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    for k, tile in enumerate(tiles):
        strip[:, MARGIN + k * TILE : MARGIN + (k + 1) * TILE] = tile
    return strip
