"""Build `mouth.npz`: small pictures of upper teeth, lower teeth and tongue, for mouths that no photo shows.

    python scripts/build_mouth.py [--sheet check.png]

Each is rendered from ICT-FaceKit's mesh, straight from the front and without perspective, under soft light
from above, darker towards the throat and in the gaps. Run `build_expression_basis.py` first: its canonical
frame is used. Arrays, for NAME of upper, lower, tongue:
NAME_sprite (h, w, 4) uint8 RGBA, not premultiplied; NAME_box (4,) x0, y0, x1, y1 at rest (jaw closed),
canonical frame, inter-ocular units; NAME_depth (h, w) float16, canonical z of each pixel at rest, 0 where
nothing is; NAME_z mean depth; NAME_shift (3,) what jawOpen = 1 adds to the box's centre; NAME_turn radians
about x that jawOpen = 1 adds (positive: front goes down).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ict_head import Floats, Head, Ints, interpolate, load_head, normals, raster

ASSETS = Path(__file__).resolve().parents[1] / "src" / "gioconda" / "assets"
WIDTH, FINER = 256, 4  # pixels across a sprite, and samples a pixel in each direction
LIGHT = np.array([0.0, 0.50, 0.87])
ENAMEL, NECK_OF_TOOTH, EDGE = (226.0, 217.0, 198.0), (204.0, 184.0, 152.0), (214.0, 212.0, 206.0)
GUM, TONGUE = (176.0, 98.0, 94.0), (172.0, 92.0, 90.0)
WARM = (0.88, 1.04, 1.10)  # light that comes out of the mouth has met gums and tongue
FADE = 0.42  # of the light is lost by a centimetre into the mouth, as a rate


@dataclass(frozen=True)
class Part:
    """A sprite to make: vertex ranges of gum (or tongue) and teeth, crop in cm, and jawOpen while rendered.

    Lower teeth and tongue are seen with the jaw a little open, from where their tops show, and put back.
    """

    flesh: tuple[int, int]
    teeth: tuple[int, int] | None
    crop: tuple[float, float, float, float]  # x0, y0, x1, y1; y up, at rest
    jaw: float
    back: float  # z in cm, nothing behind it is drawn
    above: bool = False  # the teeth stand above their gum


PARTS = {
    "upper": Part((14062, 14630), (17039, 19247), (-3.1, -3.62, 3.1, -1.5), 0.0, 5.2),
    "lower": Part((14630, 15373), (19247, 21451), (-2.85, -5.05, 2.85, -2.80), 0.3, 5.2, above=True),
    "tongue": Part((16312, 17039), None, (-2.15, -4.75, 2.15, -2.75), 0.3, 5.0),
}


def triangles_in(head: Head, start: int, stop: int) -> Ints:
    """Triangles whose vertices all lie in a range."""
    return head.triangles[((head.triangles >= start) & (head.triangles < stop)).all(axis=1)]


def tooth_height(head: Head, part: Part) -> Floats:
    """How near a vertex is to the cutting edge of its tooth, 0..1 over a centimetre; 0 off the teeth."""
    height = np.zeros(len(head.neutral))
    if part.teeth is None:
        return height
    teeth = slice(*part.teeth)
    y = head.neutral[teeth, 1] * (1 if part.above else -1)
    sector = np.round(np.arctan2(head.neutral[teeth, 0], head.neutral[teeth, 2] - 4.5) * 12).astype(int)
    for one in np.unique(sector):
        inside = sector == one
        y[inside] -= y[inside].max()
    height[teeth] = np.clip(1 + y, 0, 1)
    return height


def colours_of(head: Head, part: Part) -> Floats:
    """Vertex colours (V, 3): enamel, warmer at the gum, greyer at the edge; canines a little yellower."""
    flesh = TONGUE if part.teeth is None else GUM
    colours = np.tile(np.array(flesh), (len(head.neutral), 1))
    if part.teeth is None:
        return colours
    teeth = slice(*part.teeth)
    height = tooth_height(head, part)[teeth, None]
    tint = np.where(height < 0.5, height / 0.5, 1) * (np.array(ENAMEL) - NECK_OF_TOOTH) + NECK_OF_TOOTH
    tint += np.clip((height - 0.8) / 0.2, 0, 1) * (np.array(EDGE) - ENAMEL)
    side = np.abs(head.neutral[teeth, 0])
    canine = np.exp(-(((side - 1.65) / 0.35) ** 2))[:, None]
    colours[teeth] = tint * (1 - canine * np.array([0.02, 0.05, 0.12]))
    return colours


def render(head: Head, part: Part) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Sprite (h, w, 4) RGBA and depth (h, w): mesh z in cm at rest, nan where nothing is."""
    posed = head.posed(jawOpen=part.jaw)
    x0, y0, x1, y1 = part.crop
    moved = posed_shift(head, part) * part.jaw
    scale = WIDTH * FINER / (x1 - x0)
    size = (round(WIDTH * (y1 - y0) / (x1 - x0)) * FINER, WIDTH * FINER)
    points = (posed - moved - [x0, y1, 0]) * [scale, -scale, scale]
    colours = colours_of(head, part)
    shaded, depth = np.zeros((*size, 3)), np.full(size, -np.inf)
    for span in (part.flesh, part.teeth):
        if span is None:
            continue
        triangles = triangles_in(head, *span)
        triangles = triangles[posed[triangles, 2].mean(axis=1) - moved[2] > part.back]
        index = raster(points, triangles, size)
        z = interpolate(posed[:, 2:] - moved[2], index, points, triangles)[..., 0]
        nearer = (index >= 0) & (
            z > depth
        )  # teeth and gum pass through each other: a pixel decides, not a triangle
        normal = interpolate(normals(posed, triangles), index, points, triangles)
        lit = light(interpolate(colours, index, points, triangles), normal, span is part.teeth)
        shaded[nearer], depth[nearer] = lit[nearer], z[nearer]
    covered = np.isfinite(depth)
    reached = occlusion(np.where(covered, depth, 0), covered, scale)
    shaded *= reached[..., None] ** np.array(WARM)
    return finish(shaded, depth, covered, edge_fade(part, size))


def light(colours: Floats, normal: Floats, enamel: bool) -> Floats:
    """Wrapped diffuse light from above, light that scatters within, and small highlights on what is wet."""
    normal = normal / np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-6)
    wrapped = np.clip((normal @ LIGHT + 0.5) / 1.5, 0, 1)[..., None]
    half = LIGHT + np.array([0, 0, 1])
    gloss = np.clip(normal @ (half / np.linalg.norm(half)), 0, 1)[..., None]
    diffuse = 0.34 + 0.66 * wrapped
    return colours * diffuse + (26 * gloss**60 if enamel else 16 * gloss**30)


def occlusion(depth: Floats, covered: npt.NDArray[np.bool_], scale: float) -> Floats:
    """Share of the light that reaches each pixel: less in gaps and grooves, far less towards the throat."""
    weight = covered.astype(np.float32)
    filled = np.where(covered, depth, 0).astype(np.float32)
    crevice = np.zeros_like(filled)
    for radius, strength in ((0.05, 1.6), (0.16, 0.9), (0.4, 0.35)):
        sigma = radius * scale
        mean = cv2.GaussianBlur(filled, (0, 0), sigma) / np.maximum(
            cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3
        )
        crevice += strength * np.clip(mean - filled, 0, 0.6)
    front = np.percentile(depth[covered], 99)
    inward = np.clip(front - depth - 0.5, 0, None)
    return np.exp(-crevice) * np.exp(-FADE * inward)


def edge_fade(part: Part, size: tuple[int, int]) -> Floats:
    """Opacity (h, w), soft where the crop cuts the gum: at the sides, and above or below."""
    y, x = np.linspace(0, 1, size[0])[:, None], np.linspace(-1, 1, size[1])
    last = part.above or part.teeth is None
    ends = np.clip((1 - y if last else y) / 0.15, 0, 1) * np.clip((1 - np.abs(x)) / 0.10, 0, 1)
    return np.asarray(ends**2 * (3 - 2 * ends))


def finish(
    colours: Floats, depth: Floats, covered: npt.NDArray[np.bool_], fade: Floats
) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Average FINER x FINER samples a pixel, colours by coverage; uint8 RGBA and depth."""
    size = (colours.shape[1] // FINER, colours.shape[0] // FINER)
    here = covered.astype(np.float64)

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA))

    share = np.maximum(mean(here), 1e-6)
    rgb = mean(colours * here[..., None]) / share[..., None]
    alpha = mean(here * fade)[..., None] * 255
    rgb = np.where(alpha > 0, rgb, 0)
    sprite = np.clip(np.round(np.concatenate([rgb, alpha], axis=2)), 0, 255).astype(np.uint8)
    return sprite, np.where(mean(here) > 0.01, mean(np.where(covered, depth, 0)) / share, np.nan)


def posed_shift(head: Head, part: Part) -> Floats:
    """What jawOpen = 1 adds to the part's front, (3,) cm in the mesh's axes."""
    if part.jaw == 0:
        return np.zeros(3)
    return np.asarray(front_of(head, part)[1].mean(axis=0))


def front_of(head: Head, part: Part) -> tuple[Floats, Floats]:
    """Rest positions and jawOpen offsets of the part's nearer half."""
    span = slice(*(part.teeth or part.flesh))
    rest, offset = head.neutral[span], head.expression["jawOpen"].astype(np.float64)[span]
    near = rest[:, 2] > np.median(rest[:, 2])
    return rest[near], offset[near]


def posed_turn(head: Head, part: Part) -> float:
    """Radians about x that jawOpen = 1 turns the part, front down positive; least squares over y and z."""
    rest, offset = front_of(head, part)
    a = (rest - rest.mean(axis=0))[:, 1:]
    b = (rest + offset)[:, 1:] - (rest + offset)[:, 1:].mean(axis=0)
    cross = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()  # y to z: the front goes down as z turns to -y
    return float(np.arctan2(cross, (a * b).sum()))


def build(sheet: Path | None) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of the asset."""
    head = load_head()
    with np.load(ASSETS / "expression_basis.npz", allow_pickle=False) as basis:
        origin, unit = basis["origin"].astype(np.float64), float(basis["centimetres"])
    frame = np.array([1.0, -1.0, -1.0]) / unit
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, part in PARTS.items():
        sprite, depth = render(head, part)
        x0, y0, x1, y1 = part.crop
        corners = (np.array([[x0, y1, 0], [x1, y0, 0]]) - origin) * frame
        canonical = (depth - origin[2]) * frame[2]
        arrays |= {
            f"{name}_sprite": sprite,
            f"{name}_box": corners[:, :2].ravel().astype(np.float32),
            f"{name}_depth": np.nan_to_num(canonical, nan=0.0).astype(np.float16),
            f"{name}_z": np.float32(np.nanmean(canonical)),
            f"{name}_shift": (posed_shift(head, part) * frame).astype(np.float32),
            f"{name}_turn": np.float32(posed_turn(head, part) if part.jaw else 0.0),
        }
        print(
            name, sprite.shape, *(np.round(arrays[f"{name}_{k}"], 3) for k in ("box", "z", "shift", "turn"))
        )
    if sheet is not None:
        draw(arrays, sheet)
    return arrays


def draw(arrays: dict[str, npt.NDArray[np.generic]], path: Path) -> None:
    """The sprites on grey, and put together at some openings of the jaw, to look at."""
    scale, cells = 620.0, []
    for jaw in (0.0, 0.15, 0.3, 0.5, 0.8, 1.0):
        cell = np.full((520, 560, 3), (45, 18, 18), np.float64)
        for name in ("tongue", "lower", "upper"):
            sprite = np.asarray(arrays[f"{name}_sprite"], np.float64)
            box = np.asarray(arrays[f"{name}_box"], np.float64).reshape(2, 2)
            box = box + np.asarray(arrays[f"{name}_shift"], np.float64)[:2] * jaw
            (u0, v0), (u1, v1) = np.round((box - [0, 0.78]) * scale + [280, 230]).astype(int)
            piece = cv2.resize(sprite, (u1 - u0, v1 - v0), interpolation=cv2.INTER_AREA)[: 520 - v0]
            area = cell[v0 : v0 + len(piece), u0:u1]
            area += (piece[..., :3] - area) * piece[..., 3:] / 255
        cells.append(cell)
    sheet = np.vstack([np.hstack(cells[:3]), np.hstack(cells[3:])])
    cv2.imwrite(str(path), np.clip(sheet, 0, 255).astype(np.uint8)[..., ::-1])


def main() -> None:
    """Write the asset."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sheet", type=Path, help="also draw the sprites into this picture")
    arrays = build(parser.parse_args().sheet)
    temp = ASSETS / "mouth.tmp.npz"
    np.savez_compressed(temp, **arrays)
    temp.replace(ASSETS / "mouth.npz")
    print(f"mouth.npz: {(ASSETS / 'mouth.npz').stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
