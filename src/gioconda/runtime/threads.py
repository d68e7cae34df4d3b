"""Libraries that must not start threads of their own."""

from __future__ import annotations

import os

# What numpy's BLAS reads when it is loaded.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}


def hold_libraries() -> None:
    """Run numpy's BLAS and OpenCV on the thread that calls them, for the life of the process.

    The stages of a job share the cores already, and threads that wait actively for the next call slow them. Sums depend
    on the number of BLAS's threads, so that releasing the limit between jobs would change the results of jobs that run
    concurrently.
    """
    import cv2
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
    cv2.setNumThreads(1)


def start_no_threads() -> None:
    """Let BLAS start no threads in this process, which has not imported numpy yet, and in those that it starts.

    A limit of later comes after the threads, whose start and first wait take .5 s of processor time.
    """
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
