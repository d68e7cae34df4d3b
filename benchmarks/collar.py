"""Do collar and necklace stand still against the chest while the head turns, nods and tilts?

Pictures that show neck and shoulders, moved by a head that turns, nods and tilts and has no expression; dense
optical flow between rest and each extreme, at points of the collar: beside the neck and before it. The chest's own
flow, farther down, is taken off. Figures are in hundredths of the inter-ocular distance; beside them how far the
chin goes. To compare with another tree, run it with that tree's `src` on PYTHONPATH.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from common import arguments, markdown, say, two_cores, write_results
from gioconda.engines.warp.engine import WarpEngine
from gioconda.engines.warp.frame import warp_frame
from gioconda.inputs.portrait import load_portraits
from gioconda.motion.edit import still_motion
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.types import Portrait

PORTRAITS = "photo_actor_8 half_body painting_lady_in_chair"
SIZE = 1024  # pixels of a picture's longest side
# Yaw, pitch and roll in degrees.
MOVES = ((22, 0, 0), (-22, 0, 0), (0, 16, 0), (0, -16, 0), (0, 0, 16), (0, 0, -16))
# Across and below the chin, along the face's own axes, inter-ocular units.
COLLAR = {
    "beside the neck": ((-0.7, 0.25), (0.7, 0.25), (-0.6, 0.4), (0.6, 0.4)),
    "before it": ((-0.3, 0.6), (0.0, 0.7), (0.3, 0.6)),
}
CHEST = ((-0.4, 1.0), (0.0, 1.0), (0.4, 1.0))
WINDOW = 5  # pixels around a point whose median flow counts


def flows(portrait: Portrait) -> tuple[float, dict[str, float]]:
    """Way of the chin and of each part of the collar against the chest, means over the moves, hundredths of a unit."""
    who = WarpEngine().prepare(portrait)
    corner = np.array(who.background_warp.box[:2])
    unit, points = who.background_warp.unit, portrait.face.landmarks
    down = (points[152, :2] - points[168, :2]) / np.linalg.norm(points[152, :2] - points[168, :2])
    across = np.array([-down[1], down[0]])
    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def grey(*angles: float) -> tuple[np.ndarray, np.ndarray]:
        shot = RetargetedMotion(still_motion(*angles, 0, 0, {}), portrait, Style()).target(0)
        return cv2.cvtColor(warp_frame(who, shot).image, cv2.COLOR_RGB2GRAY), shot.landmarks[152, :2]

    rest, chin = grey(0, 0, 0)

    def at(flow: np.ndarray, places: tuple[tuple[float, float], ...]) -> np.ndarray:
        found = []
        for x, y in places:
            column, row = (points[152, :2] + unit * (x * across + y * down) - corner).astype(int)
            part = flow[
                max(row - WINDOW, 0) : row + WINDOW + 1, max(column - WINDOW, 0) : column + WINDOW + 1
            ]
            if part.size:
                found.append(np.median(part.reshape(-1, 2), axis=0))
        return np.array(found)

    ways, parts = [], {name: [] for name in COLLAR}
    for move in MOVES:
        image, there = grey(*move)
        flow = solver.calc(rest, image, None)
        chest = at(flow, CHEST)
        still = chest.mean(0) if len(chest) else np.zeros(2)
        ways.append(np.linalg.norm(there - chin))
        for name, places in COLLAR.items():
            parts[name].append(np.linalg.norm(at(flow, places) - still, axis=1).mean())
    share = 100 / unit
    return share * float(np.mean(ways)), {k: share * float(np.mean(v)) for k, v in parts.items()}


def main() -> None:
    """Read the command line, measure, and write the table."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--portraits", default=PORTRAITS, help="names without .jpg, by spaces")
    options = parser.parse_args()
    two_cores()
    rows, results = [], {}
    for name in options.portraits.split():
        path = Path(options.data) / "portraits" / f"{name}.jpg"
        portrait = load_portraits(path, chosen=0, crop=False, size=SIZE).portraits[0]
        chin, parts = flows(portrait)
        rows.append([name, chin, *parts.values()])
        results[name] = {"chin": chin, **parts}
        say(f"{name}: " + ", ".join(f"{key} {value:.2f}" for key, value in parts.items()))
    text = "Hundredths of the inter-ocular distance, means over turns, nods and tilts.\n\n"
    write_results(options.out, "collar", results, text + markdown(("", "chin", *COLLAR), rows))


if __name__ == "__main__":
    main()
