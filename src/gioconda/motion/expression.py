"""ARKit coefficients <-> offsets of the landmarks, by the basis read off ICT-FaceKit's expressions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gioconda.errors import WeightsError
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES, LANDMARKS, FloatArray
from gioconda.weights import asset_path

Floats: TypeAlias = npt.NDArray[np.floating[Any]]

EYES = [
    *[33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246],
    *[263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466],
]  # fmt: skip
LIPS = [
    *[61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409],
    *[78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415],
]  # fmt: skip
BROWS = [70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276]
OUTLINE = [
    *[10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152],
    *[148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109],
]  # fmt: skip
IRISES = list(range(468, LANDMARKS))

# What opens the mouth or narrows the eyes a little in ways that the landmarks cannot tell from a jaw or a lid.
OPENERS = (
    *("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthRollLower"),
    *("mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthFunnel", "mouthClose", "jawForward"),
)  # fmt: skip
NARROWERS = ("eyeSquintLeft", "eyeSquintRight", "cheekSquintLeft", "cheekSquintRight")
LIP_GAPS = (
    (191, 95),
    (80, 88),
    (81, 178),
    (82, 87),
    (13, 14),
    (312, 317),
    (311, 402),
    (310, 318),
    (415, 324),
)
LID_GAPS = (
    *((161, 163), (160, 144), (159, 145), (158, 153), (157, 154)),
    *((388, 390), (387, 373), (386, 374), (385, 380), (384, 381)),
)
LIP_WEIGHT, LID_WEIGHT = 50.0, 30.0  # of a gap's height, beside single landmarks

CHUNK = 512  # frames solved together: 52 x 512 floats stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Basis:
    """How ARKit's blendshapes move the landmarks, in the canonical head frame (`gioconda.types`).

    neutral: (478, 3), a mean face at rest. offsets: (52, 478, 3), what each of `names` adds at 1.
    identity: (40, 478, 3) float16, principal modes of face shape, weights of unit variance.
    """

    neutral: FloatArray
    offsets: FloatArray
    identity: npt.NDArray[np.float16]
    names: tuple[str, ...] = ARKIT_NAMES


@lru_cache(maxsize=1)
def load_basis() -> Basis:
    """The packaged basis, read once; WeightsError if it is absent or damaged."""
    path = asset_path("expression_basis.npz")
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {key: data[key] for key in ("neutral", "basis", "identity", "names")}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise WeightsError(f"{path.name} is damaged; reinstall gioconda") from error
    if tuple(arrays["names"]) != ARKIT_NAMES or arrays["basis"].shape != (len(ARKIT_NAMES), LANDMARKS, 3):
        raise WeightsError(f"{path.name} belongs to another version; reinstall gioconda")
    basis = Basis(arrays["neutral"], arrays["basis"].astype(np.float32), arrays["identity"])
    for array in (basis.neutral, basis.offsets, basis.identity):
        array.setflags(write=False)
    return basis


def offsets(coefficients: Floats) -> FloatArray:
    """Landmark offsets (T, 478, 3) of coefficients (T, 52), in inter-ocular units."""
    flat = load_basis().offsets.reshape(len(ARKIT_NAMES), -1)
    moved: FloatArray = np.asarray(coefficients, np.float32) @ flat
    return moved.reshape(-1, LANDMARKS, 3)


def solve(
    offsets: Floats,
    *,
    ridge: float = 2e-3,
    sparsity: float = 0.02,
    steps: int = 400,
    tolerance: float = 2e-5,
) -> FloatArray:
    """Coefficients (T, 52) in 0..1 whose offsets come nearest to `offsets` (T, 478, 3); each frame alone.

    Weighted least squares with box bounds; eyes, lips and brows weigh more than cheeks, depth less than
    the picture plane, and the heights of the gaps between lips and lids most. An open mouth is put down to
    the jaw, a narrow eye to its lid, before anything subtler. ridge and sparsity (L2 and L1 penalties,
    relative to the blendshapes' strength) hold down those that the landmarks cannot tell apart and those
    that the tracker's noise suggests. It stops when no coefficient moves by more than `tolerance` in a
    step, or after so many steps. tongueOut moves no landmark: it stays 0.
    """
    normal, project, strength = _normal_matrix(ridge)
    penalty = (sparsity * np.sqrt(strength * strength.mean())).astype(np.float32)[:, None]
    penalty[[ARKIT_INDEX[name] for name in OPENERS]] *= 15
    result = np.empty((len(offsets), len(ARKIT_NAMES)), np.float32)
    for start in range(0, len(offsets), CHUNK):
        part = np.asarray(offsets[start : start + CHUNK], np.float32).reshape(-1, LANDMARKS * 3)
        target = (part @ project).T - penalty
        result[start : start + CHUNK] = _bounded(normal, target, steps, tolerance).T
    return result


def _bounded(normal: FloatArray, target: FloatArray, steps: int, tolerance: float) -> FloatArray:
    """Minimise x'Nx/2 - t'x over 0 <= x <= 1 for each column of `target` (52, T).

    FISTA (Beck and Teboulle 2009) with restarts (O'Donoghue and Candes 2015), each coordinate scaled by N's
    diagonal: box bounds survive that scaling, and it takes a tenth of the condition number away.
    """
    scale = np.diag(normal)
    root = np.sqrt(scale)
    largest = np.float32(np.linalg.eigvalsh(normal / np.outer(root, root))[-1])
    rate = (1 / (largest * scale))[:, None]
    pull, push = np.eye(len(normal), dtype=np.float32) - normal * rate, target * rate
    found = np.clip(np.linalg.solve(normal, target), 0, 1)
    ahead, pace = found, np.ones((1, target.shape[1]), np.float32)
    for step in range(steps):
        new = np.clip(pull @ ahead + push, 0, 1)
        move = new - found
        if step % 10 == 9 and np.abs(move).max(initial=0) < tolerance:
            return new
        overshot = ((ahead - new) * move * scale[:, None]).sum(axis=0, keepdims=True) > 0
        pace = np.where(overshot, np.float32(1), pace)
        faster = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
        ahead = new + (pace - 1) / faster * move
        found, pace = new, faster
    return found


@lru_cache(maxsize=4)
def _normal_matrix(ridge: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """B'WB plus ridge (52, 52), WB (1434, 52) for weights W of landmarks and gaps, and each column's strength."""
    basis = load_basis().offsets.reshape(len(ARKIT_NAMES), -1).astype(np.float64)
    weighted = basis * _weights().ravel()
    strength = np.einsum("ij,ij->i", weighted, basis)
    mean = strength.mean()
    for pairs, weight in ((LIP_GAPS, LIP_WEIGHT), (LID_GAPS, LID_WEIGHT)):
        for above, below in pairs:
            height = basis[:, 3 * below + 1] - basis[:, 3 * above + 1]
            weighted[:, 3 * below + 1] += weight * height
            weighted[:, 3 * above + 1] -= weight * height
    hold = np.full(len(basis), ridge * mean)
    hold[[ARKIT_INDEX[name] for name in NARROWERS]] += 20 * ridge * mean
    normal = weighted @ basis.T + np.diag(hold)
    return (
        normal.astype(np.float32),
        np.ascontiguousarray(weighted.T, np.float32),
        (strength + ridge * mean).astype(np.float32),
    )


def _weights() -> npt.NDArray[np.float64]:
    """Weight (478, 3) of each landmark's coordinates in the fit."""
    weights = np.ones((LANDMARKS, 3))
    weights[EYES], weights[LIPS], weights[BROWS], weights[IRISES] = 6.0, 3.0, 2.0, 16.0
    weights[OUTLINE] = 0.1  # the outline slides along the silhouette as the head turns
    weights[:, 2] *= 0.05  # the tracker guesses depth
    weights[IRISES, 2] = 0  # and gives the irises that of the lids
    return weights


def gaze_from_coefficients(coefficients: Floats) -> FloatArray:
    """Gaze (T, 2) of coefficients (T, 52): the mean of both eyes, -1..1, x to the viewer's right, y up."""
    x = _signed(coefficients, ("LookOutLeft", "LookInRight"), ("LookInLeft", "LookOutRight"))
    y = _signed(coefficients, ("LookUpLeft", "LookUpRight"), ("LookDownLeft", "LookDownRight"))
    return np.clip(np.stack([x, y], axis=1), -1, 1).astype(np.float32)


def coefficients_from_gaze(gaze: Floats) -> FloatArray:
    """Coefficients (T, 52), all 0 but the eyes' looks, for a gaze (T, 2) that both eyes share."""
    out = np.zeros((len(gaze), len(ARKIT_NAMES)), np.float32)
    right, up = np.clip(np.asarray(gaze, np.float32), -1, 1).T
    for names, value in (
        (("LookOutLeft", "LookInRight"), right),
        (("LookInLeft", "LookOutRight"), -right),
        (("LookUpLeft", "LookUpRight"), up),
        (("LookDownLeft", "LookDownRight"), -up),
    ):
        out[:, _columns(names)] = np.maximum(value, 0)[:, None]
    return out


def _columns(names: Iterable[str]) -> list[int]:
    return [ARKIT_INDEX[f"eye{name}"] for name in names]


def _signed(coefficients: Floats, plus: Iterable[str], minus: Iterable[str]) -> Floats:
    both: Floats = coefficients[:, _columns(plus)] - coefficients[:, _columns(minus)]
    return np.asarray(both.mean(axis=1))
