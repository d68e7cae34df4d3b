"""Files of the package (networks, bases, pictures): their paths, contents and checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gioconda.errors import WeightsError

_FOLDER = Path(__file__).parent / "assets"

ASSETS: dict[str, str] = {
    "astronaut.jpg": "9de5c39dfaeb3423b4b3af1fee0f22f0b71c4609a9b265c3aa043becee53a156",
    "expression_basis.npz": "b82d07364df82d3748816806b1c97299390601dece090d377adb3b21d34442de",
    "face_full_range.onnx": "d6045974658ba33d44ffed3fbf7c824ee2143b9dc008e0f66f98e1bb2ddd3fdc",
    "face_landmarks.onnx": "6979a66a4d8181aec887be0adaf751ea680941fbbd3b551357617ad49388b5a0",
    "face_mesh.npz": "dceec808eb70367284e7c6e2cd0da02630a86240eb57f0d9fd2cf9a754f1b7fd",
    "face_shapes.npz": "155fed56ebe08144dd0bb94ad1c52093d6e95d969fcd78be102f82ef03e4c741",
    "face_short_range.onnx": "d704d21eddc2f4677c235fe1475f87c95d27977d24dd34e496beb0310ced10db",
    "mouth.npz": "423779e178b01ce89258b98ce3663514d7c569ef6fcff61c7d2567acc4497976",
    "person_mask.onnx": "b6ee118018e0a27bdd626f0afd0980eee9f53ff97e73aedc984a73e32a166a05",
    "pose_correction.npz": "52e45b4dca595f5a847c97c7aba7cd7377cd0c7e11abf1f7a0fea36e7cd71b91",
    "refiner.onnx": "9f5d97707171f4a3d58557f590771a8c18a2691ea066c7ed824aedf4926c4318",
    "refiner.safetensors": "55efff7e1336210cff4041714c4b4939f0c920587bbfa34f8f751af8acbcb53c",
    "speech.onnx": "a2e65b09aac122f193ae18a5375ea60a62f6daebcb306420b55e3220c9c613a8",
    "tracking_errors.npz": "a5f2edf87c7b75784e846cfdb1eca3c8dad2b077ca113d879bc89b78f033f766",
}
"""Packaged file name -> SHA-256 in hex, for the files whose content is fixed."""

SHOWN_DIGITS = 12
"""Hexadecimal digits of a hash in messages."""


def asset_path(name: str) -> Path:
    """Path of the packaged file `name`; WeightsError if the installation lacks it."""
    path = _FOLDER / name
    if not path.is_file():
        raise WeightsError(f"{name} is missing from the installation; reinstall gioconda")
    return path


def asset_array(name: str, key: str, shape: tuple[int | None, ...]) -> npt.NDArray[np.float32]:
    """Read one array of a packaged `.npz`.

    Args:
        name: Of the file.
        key: Of the array in the file.
        shape: Expected shape; None stands for any length.

    Returns:
        The array, float32 and read-only.

    Raises:
        WeightsError: The file is absent, damaged, or of another version.
    """
    path = asset_path(name)
    try:
        with np.load(path, allow_pickle=False) as data:
            array: npt.NDArray[np.float32] = data[key].astype(np.float32)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise WeightsError(f"{name} is damaged; reinstall gioconda") from error
    fits = len(array.shape) == len(shape) and all(
        expected in (None, length) for expected, length in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise WeightsError(f"{name} belongs to another version; reinstall gioconda")
    array.setflags(write=False)
    return array


def name_and_digest(path: Path) -> tuple[str, str]:
    """Name and SHA-256 in hex of a network's file, for manifests; WeightsError if it cannot be read."""
    try:
        return path.name, hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from None


def asset_names() -> list[str]:
    """Names of all packaged files, and of those in ASSETS that are missing, sorted."""
    present = {p.relative_to(_FOLDER).as_posix() for p in _FOLDER.rglob("*") if p.is_file()}
    return sorted(present | set(ASSETS))


def check_asset(name: str) -> str:
    """SHA-256 in hex of the packaged file `name`; WeightsError if it is absent, or not as published."""
    _, digest = name_and_digest(asset_path(name))
    expected = ASSETS.get(name, digest)
    if digest != expected:
        raise WeightsError(
            f"{name} is damaged (SHA-256 {digest[:SHOWN_DIGITS]}, not {expected[:SHOWN_DIGITS]}); reinstall gioconda"
        )
    return digest
