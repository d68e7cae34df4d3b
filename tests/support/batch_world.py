"""What the tests of batches share: a folder with tiny inputs, tables, and an executor that works in this process."""

from __future__ import annotations

import contextlib
import csv
import json
import re

import cv2
import psutil

from corpus import seeds
from gioconda.cluster.executor import Returned
from gioconda.motion import store

RIGHTS = "A public-domain portrait."
_UNFINISHED = re.compile(r"\.([0-9a-f]{8})[0-9a-f]{8}-[0-9a-f]{12}\.part")
TINY = {"crop": "yes", "size": "64", "refine": "no"}


def world(folder, image, frames=6):
    """A folder with a portrait and two short motions."""
    folder.mkdir(exist_ok=True)
    assert cv2.imwrite(str(folder / "eileen.png"), image[0:256, 96:352, ::-1])
    for name in ("talk.npz", "other.npz"):
        store.save(seeds.short_motion(frames), folder / name)
    return folder


def animated(out, **cells):
    """The cells of a tiny job."""
    return {"portrait": "eileen.png", "motion": "talk.npz", "out": out, "rights": RIGHTS, **TINY, **cells}


def table(folder, rows, name="jobs.csv"):
    """A table of rows of cells."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    return folder / name


def record_of(path):
    """The entries of a table's record."""
    return [json.loads(line) for line in path.with_name(path.name + ".done.jsonl").read_text().splitlines()]


def at_work(folder):
    """The processes whose unfinished files lie in a folder, by number."""
    return {int(found[1], 16) for name in scraps(folder) if (found := _UNFINISHED.search(name))}


def workers_of(node):
    """The processes that carry out tasks on a node of a Ray cluster, by number."""
    raylet = node.all_processes["raylet"][0].process
    return {child.pid for child in psutil.Process(raylet.pid).children(recursive=True)}


def cut_off(cluster, node):
    """End a node and its workers at once, as a power cut does: workers alone would still finish a short job."""
    working = [psutil.Process(pid) for pid in workers_of(node)]
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    for process in [raylet, *working]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    cluster.remove_node(node, allow_graceful=False)


def scraps(folder):
    """Files that no job should leave."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


class Here:
    """An executor of one that works in this process, and remembers what it was given."""

    place = "here"

    def __init__(self):
        self.tasks, self.ended = [], []

    def size(self):
        return 1

    def submit(self, number, function, item):
        self.tasks.append(item)
        self.ended.append((number, Returned(function(item))))

    def finished(self, _seconds):
        ended, self.ended = self.ended, []
        return ended

    def close(self):
        pass

    @contextlib.contextmanager
    def open(self, *_):
        yield self
