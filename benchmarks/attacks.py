"""What happens to pictures on their way through the world: encoders, sizes, crops, filters, a phone's camera.

Each attack takes the frames of a clip, (H, W, 3) uint8 RGB, and returns what a reader would see of it. Attacks that
change pixels are followed by H.264 at crf 23, since files get stored again.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

from common import read_images
from gioconda.media import open_writer

Images = Sequence[np.ndarray]
CODECS = {
    "libx264": {"preset": "medium"},
    "libx265": {"preset": "medium", "x265-params": "log-level=none"},
    "libvpx-vp9": {"deadline": "good", "cpu-used": "5", "b": "0"},
}


def recode(images: Images, codec: str = "libx264", crf: int = 23, fps: int = 25) -> list[np.ndarray]:
    """The frames after an encoder; odd last columns and rows are cut off."""
    buffer = io.BytesIO()
    kind = "webm" if codec == "libvpx-vp9" else "mp4"
    height, width = (side // 2 * 2 for side in images[0].shape[:2])
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=fps, options={**CODECS[codec], "crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in images:
            even = np.ascontiguousarray(image[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def resize(images: Images, share: float) -> list[np.ndarray]:
    """Fewer pixels, areas averaged."""
    size = tuple(max(2, round(side * share / 2) * 2) for side in images[0].shape[1::-1])
    return recode([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images])


def crop(images: Images, share: float) -> list[np.ndarray]:
    """Both sides shorter by `share`, a third of it taken from the left and top."""
    height, width = images[0].shape[:2]
    left, top = round(width * share / 3), round(height * share / 3)
    right, bottom = left + round(width * (1 - share)), top + round(height * (1 - share))
    return recode([image[top:bottom, left:right] for image in images])


def rotate(images: Images, degrees: float) -> list[np.ndarray]:
    """Turned about the middle, black where nothing is, of the same size."""
    height, width = images[0].shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return recode([cv2.warpAffine(image, turn, (width, height)) for image in images])


def tone(images: Images, gain: float, pivot: float) -> list[np.ndarray]:
    """Brightness (pivot 0) or contrast (pivot 128) changed by a factor."""
    levels = np.clip(np.rint(np.arange(256) * gain + pivot * (1 - gain)), 0, 255).astype(np.uint8)
    return recode([levels[image] for image in images])


def blur(images: Images, sigma: float) -> list[np.ndarray]:
    """A Gaussian of so many pixels."""
    return recode([cv2.GaussianBlur(image, (0, 0), sigma) for image in images])


def noise(images: Images, sigma: float) -> list[np.ndarray]:
    """Gaussian noise of so many grey levels, other in each frame and channel."""
    random = np.random.default_rng(1)
    return recode([_noisy(image, sigma, random) for image in images])


def _noisy(image: np.ndarray, sigma: float, random: np.random.Generator) -> np.ndarray:
    grains = random.normal(0, sigma, image.shape).astype(np.float32)
    return np.clip(np.rint(image + grains), 0, 255).astype(np.uint8)


def every_second(images: Images) -> list[np.ndarray]:
    """Half of the frames dropped."""
    return recode(images[::2], fps=12)


def gif(images: Images) -> list[np.ndarray]:
    """An animated GIF, one palette for all."""
    with tempfile.TemporaryDirectory() as folder:
        height, width = images[0].shape[:2]
        path = Path(folder) / "clip.gif"
        times = [k / 25 for k in range(len(images))]
        with open_writer(path, (width, height), times=times) as writer:
            for image, time in zip(images, times, strict=True):
                writer.write(image, time)
        return list(read_images(writer.temp))


def screenshot(images: Images) -> list[np.ndarray]:
    """One frame, as a JPEG of quality 85."""
    middle = cv2.cvtColor(images[len(images) // 2], cv2.COLOR_RGB2BGR)
    stored = cv2.imencode(".jpg", middle, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return [cv2.cvtColor(cv2.imdecode(stored, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)]


def recapture(images: Images) -> list[np.ndarray]:
    """A screen filmed by a phone: perspective, the screen's grid, blur, gamma, grain, H.264 at crf 28."""
    height, width = images[0].shape[:2]
    random = np.random.default_rng(width * 7 + int(images[0][0, 0].sum()))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    jitter = random.uniform(-0.025, 0.025, (4, 2)) * (width, height)
    seen = cv2.getPerspectiveTransform(corners, (corners + jitter).astype(np.float32))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, period = random.uniform(0.02, 0.2), random.uniform(3.1, 5.3)
    grid = 5 * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    curve = (255 * (np.arange(256) / 255) ** random.choice([0.8, 1.25])).astype(np.float32)
    filmed = []
    for image in images:
        view = cv2.GaussianBlur(cv2.warpPerspective(image, seen, (width, height)), (0, 0), 0.7)
        filmed.append(_noisy(curve[view] + grid[..., None], 2.0, random))
    return recode(filmed, crf=28)


ATTACKS: dict[str, Callable[[Images], list[np.ndarray]]] = {
    "as written": list,
    "H.264, crf 23": recode,
    "H.264, crf 28": partial(recode, crf=28),
    "H.264, crf 33": partial(recode, crf=33),
    "H.265, crf 28": partial(recode, codec="libx265", crf=28),
    "VP9, crf 33": partial(recode, codec="libvpx-vp9", crf=33),
    "resized to 75%": partial(resize, share=0.75),
    "resized to 50%": partial(resize, share=0.5),
    "resized to 33%": partial(resize, share=1 / 3),
    "cropped by 10%": partial(crop, share=0.10),
    "cropped by 25%": partial(crop, share=0.25),
    "rotated by 2 degrees": partial(rotate, degrees=2),
    "brightness -20%": partial(tone, gain=0.8, pivot=0),
    "brightness +20%": partial(tone, gain=1.2, pivot=0),
    "contrast -20%": partial(tone, gain=0.8, pivot=128),
    "contrast +20%": partial(tone, gain=1.2, pivot=128),
    "blur, sigma 1 px": partial(blur, sigma=1.0),
    "noise, sigma 5": partial(noise, sigma=5.0),
    "every second frame": every_second,
    "GIF": gif,
    "one frame, JPEG 85": screenshot,
    "filmed off a screen": recapture,
}
