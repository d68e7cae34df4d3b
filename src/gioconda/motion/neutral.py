"""Find the frame of a clip that shows the face at rest, after separating identity from expression."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gioconda.motion.expression import CHUNK, load_basis, offsets, solve
from gioconda.types import ARKIT_NAMES, FloatArray

# Frames in which the identity is fitted: enough for a mean over expressions.
SAMPLE = 64
# Rounds of fitting identity and expressions in turn; more change nothing.
IDENTITY_ROUNDS = 3
# Relative to the modes' mean strength; they have unit variance. A strong smile must not become a wide face.
IDENTITY_RIDGE = 0.1

# Pairs (above, below) of landmarks whose distances measure the opening of lips and lids and the height of brows.
LIP_PAIRS = np.array([[13, 14], [82, 87], [312, 317], [81, 178], [311, 402]])
BROW_PAIRS = np.array([[105, 159], [66, 158], [107, 133], [334, 386], [296, 385], [336, 362]])
LID_PAIRS = np.array([[159, 145], [158, 153], [160, 144], [386, 374], [385, 380], [387, 373]])

ROUND = ("mouthPucker", "mouthFunnel")
# Terms of a frame's score. A sum of mouth coefficients of 1 costs 1, but that of ROUND costs three times as much: one
# of them alone makes a mouth that nobody has at rest.
ROUND_COST = 3.0
# Of a sum of eyeLook coefficients of 1.
GAZE_COST = 0.7
# Per inter-ocular unit of the lips' gap, of the lids' and of the brows' deviation from rest.
LIP_COST, LID_COST, BROW_COST = 25.0, 12.0, 8.0
# Degrees away from the clip's median, summed over the angles, that cost 1.
COSTLY_DEGREES = 30
# Of the last frame over the first: performances begin at rest more often than they end there.
LATE_COST = 1.0
# Percentile of the lips' gap up to which a frame is calm, and that of the calm frames' brows which is at rest.
CALM_LIPS, CALM_BROWS = 40, 25
# Degrees; a head whose median angle is larger does not face the camera at rest.
LARGEST_MEDIAN_ANGLE = 12


def fit_identity(canonical: FloatArray) -> FloatArray:
    """Fit the neutral shape that explains all frames, each with an expression of its own.

    Alternates a ridge fit of ICT-FaceKit's identity modes, shared by all frames, with a fit of each frame's
    expression.

    Args:
        canonical: (T, 478, 3), landmarks in the canonical frame.

    Returns:
        (478, 3) float32, canonical frame.
    """
    basis = load_basis()
    sample = canonical[np.linspace(0, len(canonical) - 1, min(len(canonical), SAMPLE)).astype(int)]
    modes = basis.identity.reshape(len(basis.identity), -1).astype(np.float64)
    normal = modes @ modes.T
    normal += IDENTITY_RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))
    shape = basis.neutral.astype(np.float32)
    for _ in range(IDENTITY_ROUNDS):
        difference = (sample - offsets(solve(sample - shape))).mean(0) - basis.neutral
        weights = np.linalg.solve(normal, modes @ difference.ravel().astype(np.float64))
        shape = (basis.neutral + (weights @ modes).reshape(-1, 3)).astype(np.float32)
    return shape


def most_neutral(canonical: FloatArray, angles: FloatArray) -> npt.NDArray[np.intp]:
    """Rank frames from most to least neutral: no expression, lips together, lids as usual, eyes and head straight.

    Lids are compared with their median, not their maximum: a wide-eyed reference makes every other frame squint.
    Brows are compared with those of the clip's calm frames, because their height depends on the person more than on
    the mood.

    Args:
        canonical: (T, 478, 3), landmarks in the canonical frame.
        angles: (T, 3), yaw, pitch, roll in degrees.

    Returns:
        (T,) indices of the frames.
    """
    identity = fit_identity(canonical)
    # In chunks, since a copy of the landmarks of an hour takes as much memory as all else.
    chunks = [canonical[start : start + CHUNK] for start in range(0, len(canonical), CHUNK)]
    expression = np.concatenate([solve(chunk - identity) for chunk in chunks])
    mouth = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("jaw", "mouth"))]
    rounded = [i for i, name in enumerate(ARKIT_NAMES) if name in ROUND]
    gaze = [i for i, name in enumerate(ARKIT_NAMES) if "Look" in name]
    lids, brows = gaps(canonical, LID_PAIRS), gaps(canonical, BROW_PAIRS)
    lips = gaps(canonical, LIP_PAIRS)
    calm = lips <= np.percentile(lips, CALM_LIPS)
    straight = np.clip(np.median(angles, axis=0), -LARGEST_MEDIAN_ANGLE, LARGEST_MEDIAN_ANGLE)
    score = (
        expression[:, mouth].sum(1)
        + (ROUND_COST - 1) * expression[:, rounded].sum(1)
        + GAZE_COST * expression[:, gaze].sum(1)
        + LIP_COST * lips
        + LID_COST * np.abs(lids - np.median(lids[calm]))
        + BROW_COST * np.abs(brows - np.percentile(brows[calm], CALM_BROWS))
        + np.abs(angles - straight).sum(1) / COSTLY_DEGREES
        + LATE_COST * np.linspace(0, 1, len(canonical))
    )
    return np.argsort(score)


def gaps(canonical: FloatArray, pairs: npt.NDArray[np.int_]) -> FloatArray:
    """Mean distance between the points of each pair.

    Args:
        canonical: (T, 478, 3), landmarks in the canonical frame.
        pairs: (P, 2) indices of landmarks.

    Returns:
        (T,) float32, inter-ocular units.
    """
    distances = np.linalg.norm(canonical[:, pairs[:, 1]] - canonical[:, pairs[:, 0]], axis=2)
    return np.asarray(distances.mean(1), np.float32)
