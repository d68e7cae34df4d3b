"""Run numpy's BLAS on one thread: waiting threads slow other stages, and sums depend on the number of threads."""

from __future__ import annotations

from threadpoolctl import threadpool_limits


def hold_blas() -> None:
    """Limit BLAS to one thread for the life of the process.

    Releasing the limit between jobs would change the results of jobs that run concurrently.
    """
    threadpool_limits(1, user_api="blas")
