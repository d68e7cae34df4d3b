"""The tracker's landmarks: how exact the converted networks are, how steady, how quick.

Against MediaPipe's own (tests/golden/landmarks.npz); the spread over several first crops, the network's bias to the
right, and how far both passes disagree where faces stand upright and upside down; in clips, the jitter with the
crop held and with one that follows each frame, and processor time. Distances are in percent of that between
the irises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import arguments, markdown, read_images, say, two_cores, write_results
from gioconda.face import FaceTracker, blazeface, detect_faces, mesh
from gioconda.face.detector import find_everywhere
from gioconda.face.region import Region, around_landmarks
from gioconda.face.stills import SECOND_PASS
from gioconda.face.tracker import HOLD

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden" / "landmarks.npz"
GOLDEN_SIDE = 320  # longest side of the pictures there, pixels
# Changes of the first crop: to the right and down in sides, scale, degrees.
CHANGES = [(0.05, 0, 0.9, 7), (-0.05, 0, 1.12, -7), (0, 0.05, 1, 0), (0, -0.05, 0.95, 5)]
CHANGES += [
    (0.035, 0.035, 1.05, -5),
    (-0.035, 0.035, 1.1, 3),
    (0.035, -0.035, 0.92, -3),
    (-0.035, -0.035, 1, 0),
]
CLIPS = ("driving/d10.mp4", "driving/d12.mp4", "driving/d6.mp4", "talk/virtual_17.mp4")
CLIPS += ("lrw_ar/id02/07058.mp4", "lrw_ar/id10/04062.mp4")
FRAMES = 120


def percent(found: np.ndarray, expected: np.ndarray) -> float:
    """Mean distance of landmarks (..., 478, 3) in percent of the distance between the irises."""
    irises = np.linalg.norm(expected[..., 468, :2] - expected[..., 473, :2], axis=-1)
    return 100 * float((np.linalg.norm((found - expected)[..., :2], axis=-1).mean(axis=-1) / irises).mean())


def shrunk(image: np.ndarray) -> np.ndarray:
    """A picture as the goldens were made of it."""
    scale = min(1.0, GOLDEN_SIDE / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def pictures(data: Path) -> dict[str, np.ndarray]:
    """The portraits, RGB."""
    paths = sorted((data / "portraits").glob("*.jpg"))
    return {p.name: np.ascontiguousarray(cv2.imread(str(p))[:, :, ::-1]) for p in paths}


def against_mediapipe(images: dict[str, np.ndarray]) -> list[float]:
    """Percent for each still, crop and all found by our own code."""
    candidates, golden = replace(blazeface.SHORT, score=0.3), np.load(GOLDEN)
    rows = []
    for name, image in images.items():
        picture = shrunk(image)
        height, width = picture.shape[:2]
        whole = Region(width / 2, height / 2, max(height, width), max(height, width))
        best, *_ = blazeface.detect(candidates, picture, whole)
        rows.append(percent(mesh.find_landmarks(picture, best.crop)[0], golden[f"still/{name}"]))
    return rows


def refined(image: np.ndarray, crop: Region) -> np.ndarray:
    """What stills do: a first look, and the mean of several from there."""
    again = around_landmarks(mesh.find_landmarks(image, crop)[0])
    regions = [
        replace(again.scaled(s), angle=again.angle + np.radians(a)) for s, a in SECOND_PASS for _ in (0, 1)
    ]
    return mesh.find_landmarks_in(image, regions, [k % 2 == 1 for k in range(len(regions))])[0].mean(axis=0)


def spread(images: dict[str, np.ndarray], find: Callable[[np.ndarray, Region], np.ndarray]) -> float:
    """Mean distance from the mean over changes of the first crop, percent."""
    rows = []
    for image in images.values():
        crop = find_everywhere(image)[0].crop
        crops = [
            replace(
                crop.scaled(s),
                x=crop.x + dx * crop.width,
                y=crop.y + dy * crop.width,
                angle=crop.angle + np.radians(a),
            )
            for dx, dy, s, a in CHANGES
        ]
        seen = np.stack([find(image, changed) for changed in crops])
        rows.append(percent(seen, np.broadcast_to(seen.mean(axis=0), seen.shape)))
    return float(np.mean(rows))


def bias(images: dict[str, np.ndarray]) -> tuple[float, float]:
    """How far to the right points are placed, in pixels of the crop: mean and its standard error."""
    rows = []
    for image in images.values():
        crop = around_landmarks(detect_faces(image)[0].landmarks)
        (straight, mirrored), _ = mesh.find_landmarks_in(image, [crop, crop], [False, True])
        apart = ((straight - mirrored)[:, :2] @ crop.axes[:, 0]).mean() / crop.width * mesh.CROP_SIDE
        rows.append(apart / 2 + mesh.BIAS)
    return float(np.mean(rows)), float(np.std(rows) / np.sqrt(len(rows)))


def disagreements(images: dict[str, np.ndarray], *, turned: bool) -> np.ndarray:
    """Percent between both passes for the detector's first idea of each face, sorted."""
    rows = []
    for image in images.values():
        picture = np.ascontiguousarray(image[::-1, ::-1]) if turned else image
        found = find_everywhere(picture)
        upright = [d for d in found if abs(d.crop.angle) < np.pi / 2]
        if upright and mesh.find_landmarks(picture, upright[0].crop)[1] > mesh.PRESENT:
            after = refined(picture, upright[0].crop)
            rows.append(percent(mesh.find_landmarks(picture, upright[0].crop)[0], after))
    return np.sort(rows)


def followed(images: list[np.ndarray], tracker: FaceTracker) -> Iterator[np.ndarray]:
    """Landmarks of each frame with a face."""
    for image in images:
        yield from (face.landmarks for face in tracker.process(image))


def clip(data: Path, name: str) -> dict[str, Any]:
    """Jitter, percent, and milliseconds of processor a frame, with the crop held and not."""
    images = list(read_images(data / name, FRAMES))
    row: dict[str, Any] = {"clip": name, "size": images[0].shape[1]}
    for label, hold in (("held", HOLD), ("not held", 0.0)):
        start = time.process_time()
        points = np.stack(list(followed(images, FaceTracker(hold))))
        row[f"ms {label}"] = 1000 * (time.process_time() - start) / len(images)
        second = (points[2:] - 2 * points[1:-1] + points[:-2])[..., :2]
        irises = np.linalg.norm(points[:, 468, :2] - points[:, 473, :2], axis=1).mean()
        row[f"jitter {label}"] = 100 * float(np.median(np.sqrt((second**2).sum(-1).mean(-1) / 6)) / irises)
        row[f"lost {label}"] = len(images) - len(points)
    return row


def main() -> None:
    """Read the command line, measure, and write the tables."""
    options = arguments(__doc__ or "").parse_args()
    two_cores()
    images = pictures(options.data)
    exact = against_mediapipe(images)
    say("stills compared")
    right, error = bias(images)
    upright, turned = disagreements(images, turned=False), disagreements(images, turned=True)
    rows = [
        ["against MediaPipe, mean over pictures, %", float(np.mean(exact))],
        ["against MediaPipe, worst picture, %", max(exact)],
        [
            "spread of a single look, %",
            spread(images, lambda image, crop: mesh.find_landmarks(image, crop)[0]),
        ],
        ["spread of what stills do, %", spread(images, refined)],
        ["bias to the right, px of 192", right],
        ["its standard error", error],
        ["disagreement of passes, upright: median, %", float(np.median(upright))],
        ["disagreement of passes, upright: largest, %", float(upright[-1])],
        ["disagreement, upside down but taken for upright: smallest, %", float(turned[0])],
        ["disagreement, upside down but taken for upright: median, %", float(np.median(turned))],
    ]
    say("stills measured")
    clips = [clip(options.data, name) for name in CLIPS]
    text = "\n\n".join(
        (
            markdown(("stills", "value"), rows),
            markdown(tuple(clips[0]), [list(row.values()) for row in clips]),
        )
    )
    write_results(options.out, "landmarks", {"stills": dict(rows), "clips": clips}, text)


if __name__ == "__main__":
    main()
