"""The tracker in a real Chromium against `gioconda.face.FaceTracker`, on clips.

Example: python benchmarks/browser_tracking.py --frames 40
For landmarks: distances in percent of that between the outer corners of the eyes. For the motions made of them:
differences of expression coefficients in percent of their range, and of the head's rotation in degrees. For
comparison, the same for pictures that travel to the server as small JPEGs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from common import arguments, markdown, read_images, say, write_results
from gioconda.face import FaceTracker
from gioconda.landmarks import inter_ocular
from gioconda.motion.from_faces import faces_to_motion
from gioconda.types import Face, FloatArray, Image
from tracking_world import track_in, tracking_page

CLIPS: tuple[str, ...] = (
    "driving/d11.mp4",
    "driving/d14.mp4",
    "driving/d7.mp4",
    "driving/tps.mp4",
    "driving/body_s18.mp4",
)
CLIPS += ("driving/fomm_10.mp4", "talk/virtual_5.mp4", "talk/retalking_1.mp4", "grid_s1/bbaf2n.mp4")
RATE = 25.0
CAMERA_SIDE = 640  # longest side of the pictures, pixels
JPEG_SIDE, JPEG_QUALITY = 384, 85  # as the page sends them where the browser does not track
WARM = 10  # frames after which the browser's times count: it has compiled the networks by then

Tracks = list[FloatArray | None]


def shrunk(image: Image, longest: int) -> Image:
    """A picture whose longer side has at most so many pixels."""
    scale = min(1.0, longest / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def as_jpeg(image: Image) -> Image:
    """A picture after its way to the server."""
    _, content = cv2.imencode(".jpg", shrunk(image, JPEG_SIDE), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return np.ascontiguousarray(cv2.imdecode(content, cv2.IMREAD_COLOR))


def on_server(images: Sequence[Image]) -> Tracks:
    """Landmarks of each picture."""
    with FaceTracker() as tracker:
        found = [tracker.process(image) for image in images]
    return [faces[0].landmarks if faces else None for faces in found]


def by_jpeg(images: Sequence[Image]) -> Tracks:
    """Landmarks of each picture, tracked in JPEGs, in pixels of the picture."""
    small = [as_jpeg(image) for image in images]
    scale = images[0].shape[1] / small[0].shape[1]
    return [None if points is None else points * np.float32(scale) for points in on_server(small)]


def compared(found: Tracks, expected: Tracks, image: Image) -> dict[str, Any]:
    """Distances of the landmarks, and differences of the motions."""
    pairs = [(a, b) for a, b in zip(found, expected, strict=True) if a is not None and b is not None]
    away = [100 * np.linalg.norm((a - b)[:, :2], axis=1) / inter_ocular(b) for a, b in pairs]
    size = (image.shape[1], image.shape[0])
    times = np.arange(len(found)) / RATE
    one, other = (
        faces_to_motion([None if t is None else Face(t) for t in tracks], times, size)
        for tracks in (found, expected)
    )
    cosine = (np.einsum("tij,tij->t", one.rotation, other.rotation) - 1) / 2
    return {
        "alike": sum((a is None) == (b is None) for a, b in zip(found, expected, strict=True)),
        "away": np.concatenate(away),
        "pixels": max(float(np.linalg.norm((a - b)[:, :2], axis=1).max()) for a, b in pairs),
        "expression": 100 * np.abs(one.expression - other.expression).ravel(),
        "step": 100 * np.abs(np.diff(other.expression, axis=0)).ravel(),
        "degrees": np.degrees(np.arccos(np.clip(cosine, -1, 1))),
    }


def row(name: str, parts: Sequence[dict[str, Any]]) -> list[Any]:
    """A row of the table, for one clip or several."""
    away, expression, step, degrees = (
        np.concatenate([part[key] for part in parts]) for key in ("away", "expression", "step", "degrees")
    )
    percentile: Callable[..., Any] = np.percentile
    return [
        name,
        *(float(value) for value in percentile(away, (50, 95, 100))),
        max(part["pixels"] for part in parts),
        float(expression.mean()),
        *(float(value) for value in percentile(expression, (95, 100))),
        float(step.mean()),
        float(degrees.max()),
    ]


def main() -> None:
    """Read the command line, track, and write the table."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--frames", type=int, default=40, help="of each clip")
    options = parser.parse_args()
    browser, jpeg, times, rows = [], [], [], []
    with tracking_page() as page:
        for name in CLIPS:
            images = [shrunk(i, CAMERA_SIDE) for i in read_images(options.data / name, options.frames)]
            expected, answer = on_server(images), track_in(page, images)
            found = [face and face["landmarks"] for face in answer["faces"]]
            times += [face["milliseconds"] for face in answer["faces"][WARM:] if face]
            browser.append(compared(found, expected, images[0]))
            jpeg.append(compared(by_jpeg(images), expected, images[0]))
            rows.append(row(name, browser[-1:]))
            say(name)
    rows += [row("all", browser), row("JPEGs, all", jpeg)]
    header = ["clip", "median, %", "p95, %", "largest, %", "largest, px"]
    header += [
        "expression, mean, %",
        "p95, %",
        "largest, %",
        "from frame to frame, mean, %",
        "rotation, degrees",
    ]
    text = markdown(header, rows)
    quickest, median = float(np.min(times)), float(np.median(times))
    text += f"\n\n{quickest:.0f} ms a frame at best, {median:.0f} ms at the median"
    alike = sum(part["alike"] for part in browser)
    text += f"; {alike} of {len(CLIPS) * options.frames} frames agree on whether there is a face"
    write_results(options.out, "browser_tracking", {"rows": rows, "milliseconds": [quickest, median]}, text)


if __name__ == "__main__":
    main()
