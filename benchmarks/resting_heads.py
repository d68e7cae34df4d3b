"""Windows of real clips in which the head rests, found without the face's landmarks over time.

What the face does cannot move the hair, the ears and the top of the forehead. Corners there, inside the person's mask
and outside the face's outline, are followed by optical flow (Lucas and Kanade 1981, forwards and back) from the middle
frame of a window on; a similarity fitted to them says how the skull shifts, tilts and grows in the picture, whatever
the tracker of the face believes. The landmarks of that one frame alone say where to look. A nod by a degree about the
neck shifts the hair by some 4 % of the inter-ocular distance, a turn likewise, so that hair within `STILL` of its
straight path (a slow drift is taken off) leaves less than a quarter of a degree for the head.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from common import Clip, read_clips, read_images

SECONDS = 3.0  # of a window, at most; GRID's clips are as long, those of newsreaders 1.2 s
STILL = 0.008  # root mean square shift of the hair in inter-ocular distances, trend taken off
LEAST = 12  # corners that a frame needs, else the window is left out
CORNERS = {"maxCorners": 150, "qualityLevel": 0.01, "minDistance": 4}
FLOW = {"winSize": (15, 15), "maxLevel": 3}
RETURN = 0.5  # pixels by which a corner may miss its start when followed back


@dataclass(frozen=True)
class Window:
    """landmarks: (T, 478, 3) pixels of successive frames. fps. hair: (T, 4) of the skull in the picture: shift
    in inter-ocular distances, tilt in degrees, growth. still: RMS of the shift, its trend taken off.
    """

    name: str
    identity: str
    fps: float
    size: tuple[int, int]
    landmarks: np.ndarray
    hair: np.ndarray
    still: float


def detrended(values: np.ndarray) -> np.ndarray:
    """Series (T, ...) less their straight lines."""
    x = np.stack([np.ones(len(values)), np.linspace(-1, 1, len(values))], 1)
    flat = values.reshape(len(values), -1)
    return (flat - x @ np.linalg.lstsq(x, flat, rcond=None)[0]).reshape(values.shape)


def chosen(data: Path, half: str, each: int) -> list[Clip]:
    """Dev clips of half the people, at most `each` a person; GRID's one man has a half of his clips in each."""
    clips = [c for c in read_clips(data, "dev") if "body_" not in c.name]
    people = sorted({c.identity for c in clips} - {"grid_s1"})
    mine = set(people[0 if half == "tune" else 1 :: 2])
    grid = [c for c in clips if c.identity == "grid_s1"][0 if half == "tune" else 1 :: 2]
    found = [*grid[: 2 * each]]
    for person in sorted(mine):
        own = [c for c in clips if c.identity == person]
        found += own[:: max(1, len(own) // each)][:each]
    return found


def windows(clips: list[Clip], kept: Path) -> Iterator[Window]:
    """The windows of clips, resting or not; what was tracked is kept in the folder `kept`."""
    kept.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        path = kept / f"{clip.name.replace('/', '_')}.npz"
        if not path.is_file():
            np.savez(path, **_followed(clip))
        with np.load(path, allow_pickle=False) as data:
            size = tuple(int(v) for v in data["size"])
            for number in range(int(data["count"])):
                seen, hair = data[f"seen{number}"], data[f"hair{number}"]
                still = float(np.sqrt((detrended(hair[:, :2]) ** 2).sum(1).mean()))
                yield Window(f"{clip.path.stem}:{number}", clip.identity, clip.fps, size, seen, hair, still)


def _followed(clip: Clip) -> dict[str, np.ndarray]:
    """Landmarks and the hair's way of each window of a clip."""
    from gioconda.face import FaceTracker, person_mask

    images = list(read_images(clip.path))
    with FaceTracker() as tracker:
        faces = [tracker.process(image) for image in images]
    count = max(1, round(len(images) / (SECONDS * clip.fps)))
    out: dict[str, np.ndarray] = {"size": np.array(images[0].shape[1::-1])}
    used = 0
    for part in np.array_split(np.arange(len(images)), count):
        if not all(faces[i] for i in part):
            continue
        seen = np.stack([faces[i][0].landmarks for i in part])
        middle = len(part) // 2
        mask = person_mask(images[part[middle]])
        hair = _hair([cv2.cvtColor(images[i], cv2.COLOR_RGB2GRAY) for i in part], seen[middle], mask)
        if hair is not None:
            out |= {f"seen{used}": seen, f"hair{used}": hair}
            used += 1
    return {**out, "count": np.array(used)}


def _region(landmarks: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Where hair, ears and the top of the forehead lie, (H, W) uint8."""
    from gioconda.motion.expression import OUTLINE

    outline = landmarks[OUTLINE, :2]
    eyes = landmarks[[33, 263], :2].mean(0)
    unit = float(np.linalg.norm(landmarks[263, :2] - landmarks[33, :2]))
    down = landmarks[152, :2] - landmarks[10, :2]
    down /= np.linalg.norm(down)
    near, far = np.zeros(person.shape, np.uint8), np.zeros(person.shape, np.uint8)
    cv2.fillConvexPoly(far, np.int32(eyes + 1.7 * (outline - eyes)), 255)
    cv2.fillConvexPoly(near, np.int32(eyes + 1.06 * (outline - eyes)), 255)
    inside = cv2.erode(np.uint8(person > 0.9) * 255, np.ones((5, 5), np.uint8))
    y, x = np.indices(person.shape)
    above = (np.stack([x, y], -1) - eyes) @ down < 0.35 * unit  # no lower than the ears' middle: no collar
    return np.where((near == 0) & (far > 0) & above, inside, 0).astype(np.uint8)


def _hair(grey: list[np.ndarray], landmarks: np.ndarray, person: np.ndarray) -> np.ndarray | None:
    """How the skull moves from the middle frame on: (T, 4) shift (2), tilt, growth; None if too little is seen."""
    middle = len(grey) // 2
    points = cv2.goodFeaturesToTrack(grey[middle], mask=_region(landmarks, person), **CORNERS)
    if points is None or len(points) < LEAST:
        return None
    unit = float(np.linalg.norm(landmarks[263, :2] - landmarks[33, :2]))
    ways = np.empty((len(grey), 4))
    centre = points[:, 0].mean(0)
    for way in (range(middle, len(grey)), range(middle, -1, -1)):
        now = points
        for index in way:
            ahead, _, _ = cv2.calcOpticalFlowPyrLK(grey[middle], grey[index], points, now.copy(), **FLOW,
                                                   flags=cv2.OPTFLOW_USE_INITIAL_FLOW)  # fmt: skip
            back, _, _ = cv2.calcOpticalFlowPyrLK(grey[index], grey[middle], ahead, None, **FLOW)
            good = np.linalg.norm(back - points, axis=2)[:, 0] < RETURN
            if good.sum() < LEAST:
                return None
            fit, _ = cv2.estimateAffinePartial2D(points[good], ahead[good], ransacReprojThreshold=1.0)
            if fit is None:
                return None
            shift = (fit[:, :2] @ centre + fit[:, 2] - centre) / unit
            tilt = np.degrees(np.arctan2(fit[1, 0], fit[0, 0]))
            ways[index] = [*shift, tilt, np.hypot(fit[0, 0], fit[1, 0])]
            now = ahead
    return ways


if __name__ == "__main__":
    for window in windows(chosen(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])), Path(sys.argv[4])):
        print(
            window.name,
            window.identity,
            len(window.hair),
            round(window.still, 4),
            window.hair.std(0).round(4),
        )
