"""ARKit coefficients <-> landmark offsets, by a linear basis measured on ICT-FaceKit's expressions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gioconda.assets import asset_array, asset_path
from gioconda.errors import WeightsError
from gioconda.motion.lips import open_rounded
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES, LANDMARKS, FloatArray

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Doubles: TypeAlias = npt.NDArray[np.float64]
NormalEquations: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]
"""Of a fit of the coefficients: matrix (52, 52), map from landmark offsets to its right side (1434, 52), and each
coefficient's strength (52,)."""

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

# Coefficients that open the mouth a little; the landmarks hardly distinguish them from jawOpen.
OPENERS = (
    *("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthRollLower"),
    *("mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthFunnel", "mouthClose", "jawForward"),
)  # fmt: skip
# Coefficients that narrow the eyes a little; the landmarks hardly distinguish them from a blink.
NARROWERS = ("eyeSquintLeft", "eyeSquintRight", "cheekSquintLeft", "cheekSquintRight")
BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")
# Factors on the L1 penalty of these coefficients. They make the fit prefer a jaw or a blink to its subtler rivals.
SPARSITY_FACTORS = {OPENERS: 3.0, NARROWERS: 5.0, BLINKS: 0.3}
# Ridge of NARROWERS beyond the common one, as a multiple of it: the landmarks hardly show them.
NARROWER_RIDGE = 20.0
# Pairs (above, below) of landmarks: inner edges of the lips, edges of the lids.
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
# Weights of the gaps' heights, relative to a landmark of weight 1.
LIP_WEIGHT, LID_WEIGHT = 50.0, 30.0
# Weights of landmarks by region: viewers notice eyes and lips more than cheeks, and the irises carry the gaze.
EYE_WEIGHT, MOUTH_WEIGHT, BROW_WEIGHT, IRIS_WEIGHT = 6.0, 3.0, 2.0, 16.0
# The outline slides along the silhouette as the head turns.
OUTLINE_WEIGHT = 0.1
# Factor on the weight of depth, which the tracker only estimates.
DEPTH_WEIGHT = 0.05
# Standard deviation of the tracker's random error, in inter-ocular units, for a landmark of weight 1. Its systematic
# errors are those of `load_tracking_errors`.
NOISE = 0.02

# Frames solved together: 52 x 512 floats fit into the processor's cache.
CHUNK = 512
# Steps of the solver between two tests for convergence.
TEST_STEPS = 10


@dataclass(frozen=True, eq=False)
class Basis:
    """How ARKit's blendshapes move the landmarks, in the canonical head frame (`gioconda.types`).

    Attributes:
        neutral: (478, 3) float32, a mean face at rest.
        offsets: (52, 478, 3) float32, what each of `names` adds at coefficient 1.
        identity: (40, 478, 3) float16, principal modes of face shape, scaled so that their weights have unit variance.
        names: The 52 ARKit names, in the order of `offsets`.
    """

    neutral: FloatArray
    offsets: FloatArray
    identity: npt.NDArray[np.float16]
    names: tuple[str, ...] = ARKIT_NAMES


@lru_cache(maxsize=1)
def load_basis() -> Basis:
    """Return the packaged basis, which is read once in a process; its arrays are read-only.

    Raises:
        WeightsError: The file is absent, damaged, or of another version.
    """
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
    """Landmark offsets (T, 478, 3) float32 of coefficients (T, 52), canonical frame, inter-ocular units."""
    flat = load_basis().offsets.reshape(len(ARKIT_NAMES), -1)
    summed: FloatArray = np.asarray(coefficients, np.float32) @ flat
    return summed.reshape(-1, LANDMARKS, 3)


def solve(moved: Floats, *, steps: int = 400, tolerance: float = 2e-5) -> FloatArray:
    """Fit coefficients to landmark offsets, each frame alone.

    The result is that of `least_squares`, with jaw and lips corrected so that the lips are as far apart as the
    landmarks have them.

    Args:
        moved: (T, 478, 3), offsets from the neutral face, canonical frame, inter-ocular units.
        steps: As for `least_squares`.
        tolerance: As for `least_squares`.

    Returns:
        (T, 52) float32, 0 to 1.
    """
    result = least_squares(moved, steps=steps, tolerance=tolerance)
    for start in range(0, len(moved), CHUNK):
        part = slice(start, start + CHUNK)
        result[part] = _match_lip_gap(result[part], np.asarray(moved[part], np.float32))
    return result


def least_squares(
    offsets: Floats,
    *,
    ridge: float = 2e-3,
    sparsity: float = 0.02,
    steps: int = 400,
    tolerance: float = 2e-5,
) -> FloatArray:
    """Fit coefficients to landmark offsets by generalised least squares with box bounds, each frame alone.

    Eyes, lips and brows weigh more than cheeks, depth weighs less than the picture plane, and the heights of the gaps
    between lips and between lids weigh most. Changes of the whole face that the tracker adds to an expression
    (`load_tracking_errors`) weigh next to nothing. The penalties attribute a slightly open mouth to the jaw, and a
    narrow eye to its lid, before any subtler coefficient. tongueOut moves no landmark and stays 0.

    Args:
        offsets: (T, 478, 3), canonical frame, inter-ocular units.
        ridge: L2 penalty relative to the blendshapes' mean strength; separates coefficients with similar offsets.
        sparsity: L1 penalty relative to the blendshapes' strength; suppresses coefficients that only fit noise.
        steps: The most steps of the solver.
        tolerance: The solver stops once no coefficient changes by more in a step.

    Returns:
        (T, 52) float32, 0 to 1.
    """
    return fit_coefficients(
        _normal_equations(ridge), offsets, sparsity=sparsity, steps=steps, tolerance=tolerance
    )


def fit_coefficients(
    equations: NormalEquations, offsets: Floats, *, sparsity: float, steps: int = 400, tolerance: float = 2e-5
) -> FloatArray:
    """Solve normal equations for each frame alone, with an L1 penalty and within bounds.

    Args:
        equations: Of `normal_equations`.
        offsets: (T, 478, 3), canonical frame, inter-ocular units.
        sparsity: As for `least_squares`.
        steps: As for `least_squares`.
        tolerance: As for `least_squares`.

    Returns:
        (T, 52) float32, 0 to 1.
    """
    normal, project, strength = equations
    penalty = (sparsity * np.sqrt(strength * strength.mean())).astype(np.float32)[:, None]
    for names, factor in SPARSITY_FACTORS.items():
        penalty[[ARKIT_INDEX[name] for name in names]] *= factor
    result = np.empty((len(offsets), len(ARKIT_NAMES)), np.float32)
    for start in range(0, len(offsets), CHUNK):
        part = np.asarray(offsets[start : start + CHUNK], np.float32).reshape(-1, LANDMARKS * 3)
        target = (part @ project).T - penalty
        result[start : start + CHUNK] = _bounded(normal, target, steps, tolerance).T
    return result


def _match_lip_gap(coefficients: FloatArray, moved: FloatArray) -> FloatArray:
    """Set jawOpen, and mouthClose where the jaw is shut, so that the lips part as far as the landmarks' do.

    The fit attributes some of an opening to the tracker's errors, and viewers notice whether a mouth opens.

    Args:
        coefficients: (T, 52), as solved.
        moved: (T, 478, 3), offsets of the landmarks.

    Returns:
        (T, 52), a corrected copy.
    """
    missing = _opened_gap_change(moved) - _opened_gap_change(offsets(coefficients))
    return part_lips(coefficients, missing)


def part_lips(coefficients: FloatArray, missing: FloatArray) -> FloatArray:
    """Change jawOpen, and mouthClose where the jaw is shut, so that the lips part farther.

    Args:
        coefficients: (T, 52), 0 to 1.
        missing: (T,), by how much farther, inter-ocular units; negative brings the lips closer.

    Returns:
        (T, 52) float32, 0 to 1, a changed copy.
    """
    jaw, close = ARKIT_INDEX["jawOpen"], ARKIT_INDEX["mouthClose"]
    gap_of_jaw, gap_of_close = (float(_gaps_of_coefficients()[index]) for index in (jaw, close))
    changed = coefficients.copy()
    changed[:, jaw] = np.clip(coefficients[:, jaw] + missing / gap_of_jaw, 0, 1)
    missing = missing - (changed[:, jaw] - coefficients[:, jaw]) * gap_of_jaw
    changed[:, close] = np.clip(coefficients[:, close] + np.minimum(missing, 0) / gap_of_close, 0, 1)
    return changed


def lips_gap(coefficients: FloatArray) -> FloatArray:
    """By how much coefficients (T, 52) part the lips beyond rest, (T,) float32, inter-ocular units."""
    gaps: FloatArray = coefficients @ _gaps_of_coefficients()
    return gaps


@lru_cache(maxsize=1)
def _gaps_of_coefficients() -> FloatArray:
    """By how much each coefficient parts the lips at 1, (52,) inter-ocular units."""
    return _gap_change(load_basis().offsets)


def _opened_gap_change(moved: FloatArray) -> FloatArray:
    """As `_gap_change`, after rounded lips of `moved` (T, 478, 3) are opened."""
    opened = moved.copy()
    open_rounded(opened, load_basis().neutral)
    return _gap_change(opened)


def _gap_change(moved: FloatArray) -> FloatArray:
    """Change of the lips' mean gap against rest, (T,) inter-ocular units, for offsets (T, 478, 3)."""
    above, below = np.array(LIP_GAPS).T
    return np.asarray((moved[:, below, 1] - moved[:, above, 1]).mean(1), np.float32)


def _bounded(normal: FloatArray, target: FloatArray, steps: int, tolerance: float) -> FloatArray:
    """Minimise x'Nx/2 - t'x over 0 <= x <= 1 for each column of `target` (52, T).

    FISTA (Beck and Teboulle 2009) with adaptive restarts (O'Donoghue and Candes 2015). Each coordinate is scaled by
    N's diagonal, which preserves the box bounds and divides the condition number by ten.
    """
    scale = np.diag(normal)
    root = np.sqrt(scale)
    largest = np.float32(np.linalg.eigvalsh(normal / np.outer(root, root))[-1])
    rate = (1 / (largest * scale))[:, None]
    step_matrix, step_offset = np.eye(len(normal), dtype=np.float32) - normal * rate, target * rate
    solution = np.asarray(np.clip(np.linalg.solve(normal, target), 0, 1), np.float32)
    extrapolated: FloatArray = solution
    momentum: FloatArray = np.ones((1, target.shape[1]), np.float32)
    for step in range(steps):
        improved = np.asarray(np.clip(step_matrix @ extrapolated + step_offset, 0, 1), np.float32)
        change = improved - solution
        if step % TEST_STEPS == TEST_STEPS - 1 and np.abs(change).max(initial=0) < tolerance:
            return improved
        overshot = ((extrapolated - improved) * change * scale[:, None]).sum(axis=0, keepdims=True) > 0
        momentum = np.where(overshot, np.float32(1), momentum)
        next_momentum = np.asarray((1 + np.sqrt(1 + 4 * momentum * momentum)) / 2, np.float32)
        extrapolated = np.asarray(improved + (momentum - 1) / next_momentum * change, np.float32)
        solution, momentum = improved, next_momentum
    return solution


@lru_cache(maxsize=1)
def load_tracking_errors() -> FloatArray:
    """Return the packaged systematic errors of the tracker, which are read once in a process.

    When a face makes an expression, the tracker's landmarks move differently from the true ones. These are the
    principal components of that difference, each as long as its standard deviation.

    Returns:
        (K, 478 * 3) float32, read-only, canonical frame, inter-ocular units.

    Raises:
        WeightsError: The file is absent or damaged.
    """
    return asset_array("tracking_errors.npz", "errors", (None, LANDMARKS * 3))


@lru_cache(maxsize=4)
def _normal_equations(ridge: float) -> NormalEquations:
    """The normal equations of `least_squares`."""
    return normal_equations(load_tracking_errors(), ridge)


def normal_equations(errors: FloatArray, ridge: float, precision: Doubles | None = None) -> NormalEquations:
    """B'WB plus ridge, WB, and each coefficient's strength, for weights W and the basis B.

    W weighs landmarks and gaps by the inverse of a covariance: that of the tracker's noise, and of `errors`.

    Args:
        errors: (K, 478 * 3), changes of landmarks that are no expression, each as long as its standard deviation,
            inter-ocular units.
        ridge: As for `least_squares`.
        precision: (52, 52), inverse of the coefficients' own covariance; None if unknown.
    """
    basis = load_basis().offsets.reshape(len(ARKIT_NAMES), -1).astype(np.float64)
    features = weighted_features(basis)
    scaled = weighted_features(errors.astype(np.float64)) / NOISE
    # The inverse of the errors' covariance, by Woodbury's identity.
    shared = np.linalg.solve(np.eye(len(scaled)) + scaled @ scaled.T, scaled @ features.T)
    whitened = features - shared.T @ scaled
    plain = np.einsum("ij,ij->i", basis * _weights().ravel(), basis)
    strength = np.minimum(plain, np.einsum("ij,ij->i", whitened, features))
    mean = strength.mean()
    diagonal = np.full(len(basis), ridge * mean)
    diagonal[[ARKIT_INDEX[name] for name in NARROWERS]] += NARROWER_RIDGE * ridge * mean
    normal = whitened @ features.T + np.diag(diagonal)
    if precision is not None:
        normal += NOISE**2 * precision
    project = _onto_landmarks(whitened).T
    return (
        normal.astype(np.float32),
        np.ascontiguousarray(project, np.float32),
        (strength + ridge * mean).astype(np.float32),
    )


def weighted_features(moved: Doubles) -> Doubles:
    """Features whose squared length is the weighted error of the fit.

    Args:
        moved: (N, 478 * 3), landmark offsets in inter-ocular units.

    Returns:
        (N, 478 * 3 + 19): the offsets, then the changes of the gaps' heights, each times the root of its weight.
    """
    above, below, roots = _gaps()
    heights = roots * (moved[:, 3 * below + 1] - moved[:, 3 * above + 1])
    return np.hstack([moved * np.sqrt(_weights().ravel()), heights])


def _onto_landmarks(features: Doubles) -> Doubles:
    """The transpose of `weighted_features`: features (N, 478 * 3 + 19) to landmarks, (N, 478 * 3)."""
    above, below, roots = _gaps()
    moved, heights = features[:, : LANDMARKS * 3] * np.sqrt(_weights().ravel()), features[:, LANDMARKS * 3 :]
    for gap in range(len(roots)):
        moved[:, 3 * below[gap] + 1] += roots[gap] * heights[:, gap]
        moved[:, 3 * above[gap] + 1] -= roots[gap] * heights[:, gap]
    return moved


def _gaps() -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Doubles]:
    """The landmarks above and below each gap of lips and lids, and the root of its weight in the fit, (19,) each."""
    above, below = np.array([*LIP_GAPS, *LID_GAPS], np.intp).T
    roots = np.sqrt([LIP_WEIGHT] * len(LIP_GAPS) + [LID_WEIGHT] * len(LID_GAPS))
    return above, below, np.asarray(roots, np.float64)


def _weights() -> npt.NDArray[np.float64]:
    """Weight (478, 3) of each landmark's coordinates in the fit."""
    weights = np.ones((LANDMARKS, 3))
    weights[EYES], weights[LIPS] = EYE_WEIGHT, MOUTH_WEIGHT
    weights[BROWS], weights[IRISES] = BROW_WEIGHT, IRIS_WEIGHT
    weights[OUTLINE] = OUTLINE_WEIGHT
    weights[:, 2] *= DEPTH_WEIGHT
    # The tracker gives the irises the depth of the lids.
    weights[IRISES, 2] = 0
    return weights


def gaze_from_coefficients(coefficients: Floats) -> FloatArray:
    """Gaze (T, 2) float32 of coefficients (T, 52): the mean of both eyes, -1..1, x to the viewer's right, y up."""
    x = _signed(coefficients, ("LookOutLeft", "LookInRight"), ("LookInLeft", "LookOutRight"))
    y = _signed(coefficients, ("LookUpLeft", "LookUpRight"), ("LookDownLeft", "LookDownRight"))
    return np.asarray(np.clip(np.stack([x, y], axis=1), -1, 1), np.float32)


def coefficients_from_gaze(gaze: Floats) -> FloatArray:
    """Coefficients (T, 52) float32 of a gaze (T, 2) that both eyes share; all but the eyeLook ones are 0.

    Args:
        gaze: -1 to 1, x to the viewer's right, y up; values beyond are clipped.
    """
    coefficients = np.zeros((len(gaze), len(ARKIT_NAMES)), np.float32)
    right, up = np.clip(np.asarray(gaze, np.float32), -1, 1).T
    for names, value in (
        (("LookOutLeft", "LookInRight"), right),
        (("LookInLeft", "LookOutRight"), -right),
        (("LookUpLeft", "LookUpRight"), up),
        (("LookDownLeft", "LookDownRight"), -up),
    ):
        coefficients[:, _columns(names)] = np.maximum(value, 0)[:, None]
    return coefficients


def _columns(names: Iterable[str]) -> list[int]:
    """Indices of eye coefficients by their ARKit names without "eye"."""
    return [ARKIT_INDEX[f"eye{name}"] for name in names]


def _signed(coefficients: Floats, plus: Iterable[str], minus: Iterable[str]) -> Floats:
    """Mean over both eyes, (T,), of the coefficients `plus` less those of `minus`."""
    both: Floats = coefficients[:, _columns(plus)] - coefficients[:, _columns(minus)]
    return np.asarray(both.mean(axis=1))
