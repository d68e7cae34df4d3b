"""Kept watermarking libraries beside our own mark, on the same frames: would one do?

    pip install --no-deps --target LIBRARIES invisible-watermark PyWavelets blind-watermark
    PYTHONPATH=LIBRARIES python benchmarks/watermark_libraries.py

They mark single pictures, so that every frame is marked, and the frames' bits vote. They do not tell whether there is
a mark: a payload counts as found when all 32 bits are right. They get what a reader would not have: the size before
resizing, to which pictures are brought back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from attacks import ATTACKS
from common import arguments, every, markdown, read_clips, read_images, say, write_results
from gioconda.provenance import Watermarker, job_payload, read_watermark

BITS = 32
FRAMES = 10
TRIED = ("H.264, crf 28", "resized to 50%", "cropped by 10%")

Images = list[np.ndarray]


@dataclass(frozen=True)
class Method:
    """A way to mark one frame with 32 bits, and to read them (32,) off frames of a size (width, height)."""

    name: str
    mark: Callable[[np.ndarray, np.ndarray], np.ndarray]
    read: Callable[[Images, tuple[int, int]], np.ndarray | None]


def invisible(name: str) -> Method:
    """One of invisible-watermark's methods; it works in BGR."""
    from imwatermark import WatermarkDecoder, WatermarkEncoder

    if name == "rivaGan":
        WatermarkEncoder.loadModel()
        WatermarkDecoder.loadModel()

    def mark(image: np.ndarray, bits: np.ndarray) -> np.ndarray:
        encoder = WatermarkEncoder()
        encoder.set_watermark("bits", bits.tolist())
        marked = encoder.encode(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), name)
        return cv2.cvtColor(np.clip(np.rint(marked), 0, 255).astype(np.uint8), cv2.COLOR_BGR2RGB)

    def read(image: np.ndarray) -> Any:
        return WatermarkDecoder("bits", BITS).decode(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), name)

    return Method(f"invisible-watermark, {name}", mark, voting(read))


def blind() -> Method:
    """blind-watermark, its defaults; it works in BGR."""
    import blind_watermark
    from blind_watermark import WaterMark

    blind_watermark.bw_notes.close()

    def mark(image: np.ndarray, bits: np.ndarray) -> np.ndarray:
        one = WaterMark(password_img=1, password_wm=1)
        one.read_img(img=cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        one.read_wm(bits.astype(bool).tolist(), mode="bit")
        marked = one.embed()
        return cv2.cvtColor(np.clip(np.rint(marked), 0, 255).astype(np.uint8), cv2.COLOR_BGR2RGB)

    def read(image: np.ndarray) -> Any:
        one = WaterMark(password_img=1, password_wm=1)
        return one.extract(embed_img=cv2.cvtColor(image, cv2.COLOR_RGB2BGR), wm_shape=BITS, mode="bit")

    return Method("blind-watermark", mark, voting(read))


def voting(read: Callable[[np.ndarray], Any]) -> Callable[[Images, tuple[int, int]], np.ndarray]:
    """The bits that most frames give; every third is asked."""

    def voted(images: Images, size: tuple[int, int]) -> np.ndarray:
        asked = [i if i.shape[1::-1] == size else cv2.resize(i, size) for i in images[::3]]
        return np.mean([np.asarray(read(image), float) > 0.5 for image in asked], axis=0) > 0.5

    return voted


def ours() -> Method:
    """Gioconda's own; it finds the size by itself."""
    marks: dict[tuple[int, int, int], Watermarker] = {}

    def mark(image: np.ndarray, bits: np.ndarray) -> np.ndarray:
        payload = int("".join(map(str, bits)), 2)
        key = (*image.shape[1::-1], payload)
        if key not in marks:
            marks[key] = Watermarker(image.shape[1::-1], payload)
        return marks[key].apply(image)

    def read(images: Images, _size: tuple[int, int]) -> np.ndarray | None:
        found = read_watermark(images).payload
        return None if found is None else np.array(list(f"{found:032b}")) == "1"

    return Method("Gioconda", mark, read)


def tried(method: Method, clips: list[Images]) -> list[Any]:
    """A row of the table: PSNR, processor milliseconds a frame, and the share of clips read after each attack."""
    right: dict[str, list[bool]] = {name: [] for name in TRIED}
    square, seconds, frames = 0.0, 0.0, 0
    for k, images in enumerate(clips):
        bits = np.array(list(f"{job_payload('warp', str(k)):032b}"), int)
        start = time.process_time()
        marked = [method.mark(image, bits) for image in images]
        seconds, frames = seconds + time.process_time() - start, frames + len(images)
        square += sum(
            float(np.mean((a.astype(np.float32) - b) ** 2)) for a, b in zip(marked, images, strict=True)
        )
        for name in TRIED:
            read = method.read(ATTACKS[name](marked), images[0].shape[1::-1])
            right[name].append(read is not None and bool((read == (bits == 1)).all()))
    say(f"{method.name}: {right}")
    rates = [100 * float(np.mean(right[name])) for name in TRIED]
    return [method.name, 10 * float(np.log10(255**2 * frames / square)), 1000 * seconds / frames, *rates]


def squares(data: Path, count: int) -> list[Images]:
    """The first frames of some clips, at 256, 384 and 512 pixels in turn."""
    kept, found = [clip for clip in read_clips(data) if clip.seconds >= 1], []
    for k, clip in enumerate(every(kept, count)):
        side, images = (256, 384, 512)[k % 3], list(read_images(clip.path, FRAMES))
        shorter = min(images[0].shape[:2])
        cut = [image[:shorter, :shorter] for image in images]
        found.append([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in cut])
    return found


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--ours", action="store_true", help="Gioconda's own mark alone")
    args = parser.parse_args()
    clips = squares(args.data, args.clips)
    rows = [tried(ours(), clips)]
    if not args.ours:
        rows += [tried(invisible(name), clips) for name in ("dwtDct", "dwtDctSvd", "rivaGan")]
        rows.append(tried(blind(), clips))
    header = ("library, method", "PSNR, dB", "processor ms a frame", *(f"{name}, %" for name in TRIED))
    write_results(args.out, "watermark_libraries", {"rows": rows}, markdown(header, rows))


if __name__ == "__main__":
    main()
