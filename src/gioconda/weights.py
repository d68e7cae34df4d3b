"""Names of the files that the package carries (networks, bases, pictures), and their checks."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gioconda.errors import WeightsError

_FOLDER = Path(__file__).parent / "assets"

ASSETS: dict[str, str] = {
    "astronaut.jpg": "9de5c39dfaeb3423b4b3af1fee0f22f0b71c4609a9b265c3aa043becee53a156",
    "expression_basis.npz": "b82d07364df82d3748816806b1c97299390601dece090d377adb3b21d34442de",
    "face_mesh.npz": "9b5a4e5dd5517df74676d146f319e0c3442b63fd68ec3fc19a87117d27a3c586",
    "fewshot.safetensors": "033d58704677ea72b578310c0c8da42ac18005372904124eae7e9ec8fcb0b8e3",
    "fewshot_embedder.onnx": "69c10d4ccd91bab5e31b9634ea0296048e278134c4a21b9017ce50a310140638",
    "fewshot_generator.onnx": "f6f50a5f78d969cf95abd820ed8a6bedb6706cfe2a494a01f6bcf4734b603f27",
    "mouth.npz": "423779e178b01ce89258b98ce3663514d7c569ef6fcff61c7d2567acc4497976",
    "refiner.onnx": "71794795c3c66052d8c57d3e558b35f8bb9f08de888b5edd7c6c43342ef02bf2",
    "refiner.safetensors": "9cb554b56c1777f382d1a296f3f06a74a2597133bd7bf2879a71e6659858f4cc",
    "speech.onnx": "a2e65b09aac122f193ae18a5375ea60a62f6daebcb306420b55e3220c9c613a8",
}
"""Packaged file name -> SHA-256 in hex, for the files whose content is fixed."""


def asset_path(name: str) -> Path:
    """Path of the packaged file `name`; WeightsError if the installation lacks it."""
    path = _FOLDER / name
    if not path.is_file():
        raise WeightsError(f"{name} is missing from the installation; reinstall gioconda")
    return path


def identified(path: Path) -> tuple[str, str]:
    """Name and SHA-256 in hex of a network's file, as manifests tell them; WeightsError if it cannot be read."""
    try:
        return path.name, hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from None


def asset_names() -> list[str]:
    """Names of all packaged files, and of those that ought to be there, sorted."""
    there = {p.relative_to(_FOLDER).as_posix() for p in _FOLDER.rglob("*") if p.is_file()}
    return sorted(there | set(ASSETS))


def check_asset(name: str) -> str:
    """SHA-256 in hex of the packaged file `name`; WeightsError if absent or not as published."""
    _, digest = identified(asset_path(name))
    expected = ASSETS.get(name, digest)
    if digest != expected:
        raise WeightsError(
            f"{name} is damaged (SHA-256 {digest[:12]}, not {expected[:12]}); reinstall gioconda"
        )
    return digest
