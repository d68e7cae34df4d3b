"""Curves by which values rise and fall smoothly."""

from __future__ import annotations

from typing import Any

EASINGS = ("smooth", "ease", "linear")
"""How the face moves to a keyframe. Smooth: by monotone cubics, through the keyframe without a rest and without
overshoot; ease: it starts slowly and arrives slowly; linear: at one speed."""


def eased(share: Any) -> Any:
    """Smoothstep of numbers or arrays of any shape in 0..1, of the same dtype: slope 0 at both ends."""
    return share * share * (3 - 2 * share)
