"""The curve by which values rise and fall smoothly."""

from __future__ import annotations

from typing import Any


def eased(share: Any) -> Any:
    """Smoothstep of numbers or arrays of any shape in 0..1, of the same dtype: slope 0 at both ends."""
    return share * share * (3 - 2 * share)
