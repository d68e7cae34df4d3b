"""Do the eyes of a result squint? Irises found in the warped pictures, without the tracker, beside what was asked for.

The tracker that `cross.py` re-reads results with is a poor judge of squints: of one eye it sees half of a painted
iris's way, of the other three quarters, and of some drivers it reads a vergence that no eyes have. Here the portrait's
own iris is searched by normalised correlation, in the eye's own frame (its corners are known exactly, for the warp has
put them there), around where it was asked to be. An iris counts where it is told from its surroundings in the portrait
itself: where the patch, shifted by an iris's radius, no longer looks like itself; and where both eyes are open.

    python benchmarks/gaze.py --frames 30 --portraits photo
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import cross
from common import Bar, Clock, arguments, bars_table, markdown, read_clips, say, write_results
from gioconda.motion.gaze import CORNERS, EYEBALL
from gioconda.types import Face, Motion, Portrait

CENTRES = (468, 473)  # of the viewer's left iris, and of the right one
UNIT = 250.0  # pixels an inter-ocular distance: the portrait's size
HALF = 1.3  # radii of the iris that the patch reaches
AROUND = 1.2  # radii around the place that was asked for, to search
ALIKE = 0.5  # correlation of the patch with itself, a radius aside, from which an iris is not told apart
OPEN = 0.7  # of the opening at rest
APART = np.array([-1.0, 1.0])


@dataclass(frozen=True)
class Iris:
    """One iris of the portrait: patch (n, n) float32, centre (2,), radius and the eye's corners (2, 2) in pixels."""

    patch: np.ndarray
    centre: np.ndarray
    radius: float
    corners: np.ndarray

    @classmethod
    def of(cls, grey: np.ndarray, landmarks: np.ndarray, eye: int) -> Iris:
        """The iris of one eye of a grey portrait."""
        point = CENTRES[eye]
        centre = landmarks[point, :2]
        radius = float(np.linalg.norm(landmarks[point + 1 : point + 5, :2] - centre, axis=1).mean())
        half = round(HALF * radius)
        patch = cv2.getRectSubPix(grey, (2 * half + 1, 2 * half + 1), tuple(map(float, centre)))
        return cls(patch, centre, radius, landmarks[CORNERS[eye], :2])

    def found(self, grey: np.ndarray, around: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the patch lies near `around` (2,) in a picture, and the correlation over the places searched."""
        reach = round(AROUND * self.radius) + 2
        side = 2 * reach + len(self.patch)
        area = cv2.getRectSubPix(grey, (side, side), tuple(map(float, around)))
        score = cv2.matchTemplate(area, self.patch, cv2.TM_CCOEFF_NORMED)
        row, column = np.unravel_index(int(score.argmax()), score.shape)
        place = (column + _peak(score[row], column), row + _peak(score[:, column], row))
        return around + place - reach, score

    def told_apart(self, grey: np.ndarray) -> bool:
        """Whether the patch, shifted sideways by a radius, is unlike itself."""
        _, score = self.found(grey, self.centre)
        middle, aside = len(score) // 2, round(self.radius)
        return bool(max(score[middle, middle - aside], score[middle, middle + aside]) < ALIKE)

    def upright(
        self, grey: np.ndarray, corners: np.ndarray, point: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """A picture whose eye has its `corners` (2, 2) elsewhere, laid like the portrait; and `point` (2,) there."""
        here, there = (c[:, 0] + 1j * c[:, 1] for c in (self.corners, corners))
        turn = (here[1] - here[0]) / (there[1] - there[0])
        shift = here[0] - turn * there[0]
        matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
        low = self.corners.mean(0) - 3 * HALF * self.radius
        matrix[:, 2] -= low
        side = round(6 * HALF * self.radius)
        laid = cv2.warpAffine(grey, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
        return laid, matrix[:, :2] @ point + matrix[:, 2]


def _peak(values: np.ndarray, at: int) -> float:
    """How far the top of a parabola lies from the largest of some values, which is at `at`."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, top, after = map(float, values[at - 1 : at + 2])
    return 0.5 * (before - after) / min(before - 2 * top + after, -1e-9)


def looks(path: Path, motion: Motion) -> dict[str, Any] | None:
    """Turns of both eyes since the portrait, (T, 2) degrees, asked for and found; None if no iris is told apart."""
    from gioconda.engines.warp.engine import WarpEngine
    from gioconda.face import choose_face, detect_faces
    from gioconda.media import read_picture
    from gioconda.motion.retarget import RetargetedMotion, Style, landmark_offsets, lid_ratio

    image, _ = read_picture(path)
    landmarks = choose_face(detect_faces(image), 0, path.name).landmarks
    scale = UNIT / float(np.linalg.norm(landmarks[263] - landmarks[33]))
    image = cv2.resize(
        image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    portrait = Portrait(image, Face((scale * landmarks).astype(np.float32)))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    irises = [Iris.of(grey, portrait.face.landmarks, eye) for eye in range(2)]
    if not all(iris.told_apart(grey) for iris in irises):
        return None
    retargeter, engine = RetargetedMotion(motion, portrait, Style()), WarpEngine()
    shots = [retargeter.target(i) for i in range(len(motion))]
    rows = []
    for shot, patch in zip(shots, engine.render(engine.prepare(portrait), shots), strict=True):
        points = shot.landmarks[:, :2] - patch.corner
        rows.append([_turns(iris, patch.image, points, eye) for eye, iris in enumerate(irises)])
    neutral = (
        retargeter.rest.to_canonical(portrait.face.landmarks) if motion.neutral is None else motion.neutral
    )
    lids = [lid_ratio(neutral, landmark_offsets(motion, i)).min() for i in range(len(motion))]
    asked, found = np.degrees(np.arcsin(np.clip(np.array(rows) / UNIT / EYEBALL, -1, 1))).transpose(2, 0, 1)
    seen = np.array(lids) > OPEN
    return {"asked": asked[seen], "found": found[seen]}


def _turns(iris: Iris, image: np.ndarray, points: np.ndarray, eye: int) -> tuple[float, float]:
    """How far right the iris of one eye was asked to go, and how far it is found to have gone, pixels."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    laid, asked = iris.upright(grey, points[CORNERS[eye]], points[CENTRES[eye]])
    start = iris.centre - (iris.corners.mean(0) - 3 * HALF * iris.radius)
    found, _ = iris.found(laid, asked)
    return float((asked - start)[0]), float((found - start)[0])


def row_of(name: str, driver: cross.Driver, turns: dict[str, Any]) -> list[Any]:
    """Spread of the gaze, gain of the found one, and vergence: the driver's as tracked, asked for, off it as found."""
    asked, found = turns["asked"], turns["found"]
    read = cross.vergence(driver.motion, driver.motion.reference)
    gain = float(np.polyfit(asked.mean(1), found.mean(1), 1)[0])
    off = float(np.abs((found - asked) @ APART).mean())
    return [
        name,
        driver.name,
        float(asked.mean(1).std()),
        gain,
        float(read.std()),
        float((asked @ APART).std()),
        off,
    ]


def main() -> None:
    """Measure, and write gaze.json and .md."""
    parser = arguments((__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=30, help="of each driver, where it moves most")
    parser.add_argument("--portraits", default="", help="names that contain this")
    options = parser.parse_args()
    clips = [c for c in read_clips(options.data, "dev") if c.name.startswith(cross.DRIVERS)]
    paths = sorted(p for p in (options.data / "portraits").iterdir() if options.portraits in p.stem)
    clock, rows, left_out = Clock(), [], set[str]()
    with tempfile.TemporaryDirectory() as folder:
        drivers = [cross.make_driver(clip, options.frames, Path(folder)) for clip in clips]
        for path in paths:
            for driver in drivers:
                turns = looks(path, driver.motion)
                if turns is None:
                    left_out.add(path.stem)
                    break
                if len(turns["asked"]) > 4:
                    rows.append(row_of(path.stem, driver, turns))
            say(f"{clock}: {path.stem}")
    missing = ", ".join(sorted(left_out)) or "none"
    lead = f"Eyes in the warped pictures, degrees; no iris is told apart in: {missing}."
    write(options.out, lead, rows)


def write(out: Path, lead: str, rows: list[list[Any]]) -> None:
    """Write the rows, their mean and the bars."""
    mean = np.array([row[2:] for row in rows]).mean(0)
    bars = [
        Bar("vergence that is asked for, spread in degrees", float(mean[3]), 3.0, at_most=True),
        Bar(
            "vergence as found in the pictures off what is asked for, degrees",
            float(mean[4]),
            3.0,
            at_most=True,
        ),
        Bar("gain of the gaze as found in the pictures", float(mean[1]), 0.85),
    ]
    header = (
        "portrait",
        "driver",
        "gaze, spread",
        "gain",
        "driver's vergence as tracked",
        "asked for",
        "found off asked",
    )
    table = markdown(header, [*rows, ["mean", "", *map(float, mean)]])
    write_results(out, "gaze", {"bars": bars, "rows": rows}, "\n\n".join((lead, table, bars_table(bars))))


if __name__ == "__main__":
    main()
