"""The Frechet distance of two sets of features, each taken for a Gaussian.

Heusel et al., *GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium*, NeurIPS 2017.
It is called FID only with the features of their Inception network; whoever prints it names the network.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def frechet(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Squared Frechet distance of features (N, D) and (M, D): |m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    Covariances are the unbiased ones; fewer samples than features are allowed, but push the distance up.
    ValueError for fewer than two samples.
    """
    a, b = (np.asarray(features, np.float64) for features in (first, second))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"features of shapes {a.shape} and {b.shape} cannot be compared")
    root_a, root_b = _root(a), _root(b)
    # C1 = A'A and C2 = B'B, so the eigenvalues of C1 C2 are the squared singular values of AB'
    shared = float(np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum())
    apart = float(np.square(a.mean(0) - b.mean(0)).sum())
    return max(0.0, apart + float(np.square(root_a).sum() + np.square(root_b).sum()) - 2 * shared)


def _root(features: Array) -> Array:
    """A matrix A (at most D rows, D) with A'A the covariance of features (N, D)."""
    centred = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    if len(centred) <= centred.shape[1]:
        return np.asarray(centred, np.float64)
    return np.asarray(np.linalg.qr(centred, mode="r"), np.float64)
