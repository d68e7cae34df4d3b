"""Contact sheets: each person's shots, the truth, and every method's rendering of some held-out frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np

from gioconda import composite, media
from gioconda.output import Output
from gioconda.provenance import Ingredient, job_payload
from gioconda.render import Still
from gioconda.training.evaluate.methods import COPY, FEED_FORWARD, ReportRow
from gioconda.training.evaluate.portraits import copied
from gioconda.training.evaluate.protocol import Person
from gioconda.types import Image

# Side of a picture in a sheet, in pixels
TILE = 128
COLUMNS = 8
# Width of the column with the rows' names, in pixels
MARGIN = 132


@dataclass(frozen=True, eq=False)
class Sheet:
    """The content of one person's sheet: rows of pictures (TILE, TILE, 3), and the clips that they come from."""

    name: str
    shots: list[Image]
    truth: list[Image]
    outputs: dict[ReportRow, list[Image]]
    inputs: tuple[Ingredient, ...]


def first_shots(person: Person, size: int) -> list[Image]:
    """Squares of the first shots, (TILE, TILE, 3) each."""
    return [_tile(copied(portrait, size)) for portrait in person.shots[:COLUMNS]]


def moments(pictures: Sequence[Sequence[Image]]) -> list[Image]:
    """Up to COLUMNS of the held-out frames, evenly spread, (TILE, TILE, 3) each."""
    flat = [picture for stretch in pictures for picture in stretch]
    places = np.linspace(0, len(flat) - 1, min(COLUMNS, len(flat))).round().astype(int)
    return [_tile(flat[k]) for k in places]


def drawn(sheet: Sheet) -> Image:
    """Draw the sheet as one picture, RGB uint8; rows of generated pictures are labelled as such."""
    rows = [(["shots"], sheet.shots), (["truth"], sheet.truth)]
    for row, tiles in sheet.outputs.items():
        if row.engine == COPY:
            rows.append((["copy"], tiles))
        else:
            mode = row.mode if row.mode == FEED_FORWARD else "fine-tuned"
            rows.append(([f"{row.engine}, T = {row.shots}", mode, composite.LABEL], tiles))
    columns = max(len(tiles) for _, tiles in rows)
    return np.concatenate([_strip(words, tiles, columns) for words, tiles in rows])


def write(out: Path, sheet: Sheet, engines: Sequence[str]) -> Path:
    """Write the sheet as a watermarked and signed PNG into the folder and return its path; OutputError if it fails."""
    target = out / f"{quote(sheet.name, safe='')}.png"
    engine = "+".join(engines)
    payload = job_payload(engine, *(item.sha256 for item in sheet.inputs), sheet.name)
    still = Still(drawn(sheet), engine, sheet.inputs, payload)
    return Output.checked(target, media.PICTURE_SUFFIXES).picture(still).path


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
