"""numpy's BLAS on one thread: its waiting costs other stages, and its sums depend on how many threads there are."""

from __future__ import annotations

from threadpoolctl import threadpool_limits


def hold_blas() -> None:
    """From now on, for the process: let go between jobs, one at once with another would be summed otherwise."""
    threadpool_limits(1, user_api="blas")
