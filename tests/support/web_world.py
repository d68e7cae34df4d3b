"""What the tests of the server share: tiny files, tiny jobs, a server of their own with a worker or without."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager

import cv2

from corpus import seeds
from gioconda.motion import store
from gioconda.web.queue.jobs import JobQueue
from gioconda.web.requests import JOB
from gioconda.web.settings import ServerSettings
from programs import wait_for

HERE = "http://127.0.0.1"
# No job has this id.
NOBODY = "x" * 22
RIGHTS = "A public-domain portrait."
ANIMATE = {"kind": "animate", "rights": RIGHTS, "crop": True, "size": 64, "refine": False}
EDIT = {"kind": "edit", "rights": RIGHTS, "yaw": 8, "crop": True, "size": 64, "refine": False}
# Takes seconds on a fast machine.
LONG = {**ANIMATE, "template": "idle", "size": 1280}


def small_portrait(image, folder):
    """The astronaut's head, 256x256."""
    path = folder / "astronaut secret name.png"
    assert cv2.imwrite(str(path), image[0:256, 96:352, ::-1])
    return path


def short_motion(folder, frames=10):
    """A saved motion."""
    path = folder / "motion.npz"
    store.save(seeds.short_motion(frames), path)
    return path


def settings(folder, **changes):
    """Of a server for tests."""
    return ServerSettings(**{"data": folder, "workers": 1, "nice": 0, "reserve_bytes": 0, **changes})


@contextmanager
def queue_of(folder, **changes):
    """An open queue."""
    queue = JobQueue(settings(folder, **changes))
    try:
        yield queue
    finally:
        queue.close()


def request(**fields):
    """A request, from the fields of its JSON."""
    return JOB.validate_python(fields)


def rendering(queue, job):
    """Wait until a job has made a frame."""
    wait_for(lambda: (p := queue.state(job).progress) is not None and p.stage == "render" and p.done > 0)


def files_below(folder):
    """Names of all files and folders of jobs."""
    found = (path for part in ("jobs", "incoming") for path in (folder / part).rglob("*"))
    return sorted(path.relative_to(folder).as_posix() for path in found)


def post(client, job, *, name="../../etc/passwd", **files):
    """Hand in a job; the files' own names are hostile."""
    field = job if isinstance(job, str) else json.dumps(job)
    parts = [("job", (None, field)), *((role, (name, content)) for role, content in files.items())]
    return client.post("/v1/jobs", files=parts)


def serve_command(folder, *options, port="0"):
    """`gioconda serve` on a port, by default a free one, its data in `folder`/data."""
    words = [sys.executable, "-m", "gioconda", "serve", "--port", port]
    return [*words, "--data", str(folder / "data"), *options]
