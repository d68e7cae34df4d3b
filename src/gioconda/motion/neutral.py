"""Which frame of a clip shows the face at rest: identity is taken off first, so that what remains is expression."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gioconda.motion.expression import load_basis, offsets, solve
from gioconda.types import ARKIT_NAMES, FloatArray

SAMPLE = 64  # frames that tell the identity
IDENTITY_RIDGE = 0.1  # the modes have unit variance; a strong smile must not become a wide face

# Pairs (above, below) whose distance tells how far lips and lids are apart.
LIP_PAIRS = np.array([[13, 14], [82, 87], [312, 317], [81, 178], [311, 402]])
BROW_PAIRS = np.array([[105, 159], [66, 158], [107, 133], [334, 386], [296, 385], [336, 362]])
EARLY = 1.0  # performances begin at rest more often than they end there
LID_PAIRS = np.array([[159, 145], [158, 153], [160, 144], [386, 374], [385, 380], [387, 373]])


def fit_identity(canonical: FloatArray) -> FloatArray:
    """The shape (478, 3) of a face at rest that, with some expression in each, explains frames (T, 478, 3).

    Alternates a ridge fit of ICT-FaceKit's identity modes, shared by all frames, with each frame's expression.
    """
    basis = load_basis()
    sample = canonical[np.linspace(0, len(canonical) - 1, min(len(canonical), SAMPLE)).astype(int)]
    modes = basis.identity.reshape(len(basis.identity), -1).astype(np.float64)
    normal = modes @ modes.T
    normal += IDENTITY_RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))
    shape = basis.neutral.astype(np.float32)
    for _ in range(3):
        left = (sample - offsets(solve(sample - shape))).mean(0) - basis.neutral
        weights = np.linalg.solve(normal, modes @ left.ravel().astype(np.float64))
        shape = (basis.neutral + (weights @ modes).reshape(-1, 3)).astype(np.float32)
    return shape


def most_neutral(canonical: FloatArray, angles: FloatArray) -> npt.NDArray[np.intp]:
    """Frames from most to least neutral: no expression, lips together, lids as mostly, eyes and head straight.

    canonical: (T, 478, 3). angles: (T, 3) yaw, pitch, roll in degrees. The lids' median counts, not their
    maximum: a wide-eyed reference makes every other frame squint. Brows are judged by the clip's calm frames,
    since how high they lie tells the person more than the mood.
    """
    expression = solve(canonical - fit_identity(canonical))
    mouth = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("jaw", "mouth"))]
    looks = [i for i, name in enumerate(ARKIT_NAMES) if "Look" in name]
    opening, brows = gaps(canonical, LID_PAIRS), gaps(canonical, BROW_PAIRS)
    apart = gaps(canonical, LIP_PAIRS)
    calm = apart <= np.percentile(apart, 40)
    straight = np.clip(np.median(angles, axis=0), -12, 12)
    score = (
        expression[:, mouth].sum(1)
        + 0.7 * expression[:, looks].sum(1)
        + 25.0 * apart
        + 12.0 * np.abs(opening - np.median(opening[calm]))
        + 8.0 * np.abs(brows - np.percentile(brows[calm], 25))
        + np.abs(angles - straight).sum(1) / 30
        + EARLY * np.linspace(0, 1, len(canonical))
    )
    return np.argsort(score)


def gaps(canonical: FloatArray, pairs: npt.NDArray[np.int_]) -> FloatArray:
    """Mean distance (T,) of pairs of points, inter-ocular units."""
    apart = np.linalg.norm(canonical[:, pairs[:, 1]] - canonical[:, pairs[:, 0]], axis=2)
    return np.asarray(apart.mean(1), np.float32)
