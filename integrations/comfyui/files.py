"""Files in the folders of ComfyUI, and its pictures and sounds as arrays and files."""

from __future__ import annotations

import hashlib
import wave
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from gioconda import media
from gioconda.errors import InputError

# Largest magnitude and bytes of a 16-bit sample.
_FULL_SCALE, _SAMPLE_BYTES = 32767, 2
_LEVELS = 255
# Largest denominator of a rate in frames per second, that of 30000/1001.
_RATE_DENOMINATOR = 1001


def to_arrays(images: torch.Tensor) -> list[np.ndarray]:
    """The pictures of a batch (B, H, W, C) float 0..1, each (H, W, 3) uint8 RGB."""
    levels = (images[..., :3].clamp(0, 1) * _LEVELS).round().to(torch.uint8)
    return [np.ascontiguousarray(picture) for picture in levels.cpu().numpy()]


def film_frames(path: Path) -> tuple[torch.Tensor, float]:
    """The frames of a film as a batch (B, H, W, 3) float32 0..1, and their average rate per second."""
    with media.read_frames(path) as frames:
        images = [torch.from_numpy(frame.image).float().div_(_LEVELS) for frame in frames]
        return torch.stack(images), frames.info.fps


def new_output(prefix: str, suffix: str) -> tuple[Path, dict[str, str]]:
    """A new path in ComfyUI's output folder, and how its page finds the file."""
    import folder_paths

    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        prefix, folder_paths.get_output_directory()
    )
    path = Path(folder) / f"{name}_{counter:05}_.{suffix}"
    return path, {"filename": path.name, "subfolder": subfolder, "type": "output"}


def known_file(name: str) -> Path:
    """The path of a file in one of ComfyUI's folders; InputError for others, since anyone may name them on its page."""
    import folder_paths

    folders = [
        Path(folder()).resolve()
        for folder in (
            folder_paths.get_input_directory,
            folder_paths.get_output_directory,
            folder_paths.get_temp_directory,
        )
    ]
    for folder in folders:
        path = (folder / name).resolve()
        if path.is_relative_to(folder) and path.is_file():
            return path
    raise InputError(f"{name} is not a file in ComfyUI's input, output or temp folder; put it there")


def film_of(images: torch.Tensor, rate: float) -> Path:
    """The path of a lossless video of a batch, in ComfyUI's temp folder; rate: frames per second."""
    pictures = to_arrays(images)
    digest = hashlib.sha256(f"{rate} {pictures[0].shape}".encode())
    for picture in pictures:
        digest.update(picture)
    path = _temporary(digest.hexdigest(), "mkv")
    if path.is_file():
        return path
    part = path.with_suffix(".part")
    with av.open(str(part), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=Fraction(rate).limit_denominator(_RATE_DENOMINATOR))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    part.replace(path)
    return path


def sound_of(audio: Mapping[str, Any]) -> Path:
    """The path of a WAV file of a sound of ComfyUI, in its temp folder: waveform (1, C, T) float -1..1."""
    samples = audio["waveform"][0].clamp(-1, 1).cpu().numpy()
    levels = np.rint(samples.T * _FULL_SCALE).astype("<i2")
    path = _temporary(hashlib.sha256(levels.tobytes()).hexdigest(), "wav")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(_SAMPLE_BYTES)
        file.setframerate(int(audio["sample_rate"]))
        file.writeframes(levels.tobytes())
    return path


def _temporary(name: str, suffix: str) -> Path:
    """A path in ComfyUI's temp folder, which exists."""
    import folder_paths

    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"gioconda_{name[:32]}.{suffix}"
