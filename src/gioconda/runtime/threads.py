"""Libraries that must not start threads of their own."""

from __future__ import annotations

import cv2
from threadpoolctl import threadpool_limits


def hold_libraries() -> None:
    """Run numpy's BLAS and OpenCV on the thread that calls them, for the life of the process.

    The stages of a job share the cores already, and threads that wait actively for the next call slow them. Sums depend
    on the number of BLAS's threads, so that releasing the limit between jobs would change the results of jobs that run
    concurrently.
    """
    threadpool_limits(1, user_api="blas")
    cv2.setNumThreads(1)
