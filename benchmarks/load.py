"""`gioconda serve` under load: many clients, one worker killed midway: waits, losses, memory over time.

Example: python benchmarks/load.py --jobs 50 --clients 8 --workers 2
"""

from __future__ import annotations

import argparse
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from common import machine, markdown, say, write_results
from corpus import seeds
from gioconda.assets import asset_path
from gioconda.motion import store

LONGEST = 600.0  # seconds that a job may take, waiting included


@dataclass
class Load:
    """What is to be done, what was seen."""

    address: str
    files: dict[str, bytes]
    size: int
    left: queue.SimpleQueue[int]
    waited: list[float] = field(default_factory=list)  # seconds from handing in to the end
    attempts: list[int] = field(default_factory=list)
    refused: int = 0
    lost: list[str] = field(default_factory=list)

    def client(self) -> None:
        """One client: job after job, each listened to until its end, its result fetched."""
        with httpx.Client(base_url=self.address, timeout=LONGEST) as http:
            while True:
                try:
                    self.left.get_nowait()
                except queue.Empty:
                    return
                try:
                    self._one(http)
                except (httpx.HTTPError, KeyError, AssertionError) as error:
                    self.lost.append(f"{type(error).__name__}: {error}")

    def _one(self, http: httpx.Client) -> None:
        asked = f'{{"kind": "animate", "rights": "Public domain.", "crop": true, "size": {self.size}, "audio": false}}'
        files = {name: (name, content) for name, content in self.files.items()} | {"job": (None, asked)}
        began = time.perf_counter()
        while (answer := http.post("/v1/jobs", files=files)).status_code == 429:
            self.refused += 1
            time.sleep(float(answer.headers["retry-after"]))
        job = answer.raise_for_status().json()["id"]
        http.get(f"/v1/jobs/{job}/events").raise_for_status()  # ends with the job
        state = http.get(f"/v1/jobs/{job}").json()
        self.waited.append(time.perf_counter() - began)
        self.attempts.append(state["attempts"])
        assert state["state"] == "done", state["error"]
        result = http.get(f"/v1/jobs/{job}/result").raise_for_status().content
        assert result[4:8] == b"ftyp", "the result is no mp4"
        http.delete(f"/v1/jobs/{job}").raise_for_status()


def short_motion(frames: int) -> bytes:
    """The first frames of a template, as a saved motion."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "short.npz"
        store.save(seeds.short_motion(frames), path)
        return path.read_bytes()


@contextmanager
def server(workers: int, data: Path, recycle_log: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A real server on a free port: its address and process."""
    command = [sys.executable, "-m", "gioconda", "serve", "--port", "0", "--workers", str(workers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with recycle_log.open("w") as log:
        process = subprocess.Popen([*command, "--data", str(data)], stderr=log, env=environment)
        try:
            address = ""
            while not address:
                time.sleep(0.1)
                first = recycle_log.read_text().splitlines()[:1]
                address = first[0].split()[1] if first and first[0].startswith("serving") else ""
                if process.poll() is not None:
                    sys.exit(recycle_log.read_text())
            while httpx.get(f"{address}/healthz").status_code != 200:
                time.sleep(0.2)
            yield address, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)


def watch(load: Load, process: psutil.Process, kill_at: int, stop: threading.Event) -> dict[str, Any]:
    """Look at memory once a second, and kill a worker that has a job once `kill_at` jobs are done."""
    seen: list[tuple[int, int, int]] = []  # jobs done, bytes of the server, bytes of its workers
    killed = 0
    while not stop.wait(1.0):
        workers = process.children()
        memory = [_resident(one) for one in workers]
        seen.append((len(load.waited), _resident(process), max(memory, default=0)))
        if not killed and len(load.waited) >= kill_at and workers:
            busiest = max(workers, key=lambda one: sum(one.cpu_times()[:2]))
            busiest.kill()
            killed = busiest.pid
            say(f"killed worker {killed} after {len(load.waited)} jobs")
    return {"seen": seen, "killed": killed}


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def memory_row(seen: list[tuple[int, int, int]], jobs: int, which: int) -> list[float]:
    """Mean MB while the first, second, third and last quarter of the jobs were done."""
    quarters: list[list[int]] = [[], [], [], []]
    for moment in seen:
        quarters[min(3, 4 * moment[0] // jobs)].append(moment[which])
    return [float(np.mean(one)) / 1e6 if one else float("nan") for one in quarters]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--frames", type=int, default=15)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("-o", "--out", type=Path, default=Path("out"), help="where results go")
    options = parser.parse_args()
    left: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(options.jobs):
        left.put(number)
    files = {"portrait": asset_path("astronaut.jpg").read_bytes(), "motion": short_motion(options.frames)}
    with (
        tempfile.TemporaryDirectory() as folder,
        server(options.workers, Path(folder) / "data", Path(folder) / "log") as (address, process),
    ):
        load = Load(address, files, options.size, left)
        stop, found = threading.Event(), {}
        watcher = threading.Thread(target=lambda: found.update(watch(load, process, options.jobs // 2, stop)))
        watcher.start()
        began = time.perf_counter()
        clients = [threading.Thread(target=load.client) for _ in range(options.clients)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
        seconds = time.perf_counter() - began
        stop.set()
        watcher.join()
        files_left = [path.name for path in (Path(folder) / "data" / "jobs").iterdir()]
    report(options, load, found, seconds, len(files_left))
    sys.exit(1 if load.lost or not found["killed"] else 0)


def report(
    options: argparse.Namespace, load: Load, found: dict[str, Any], seconds: float, files_left: int
) -> None:
    """Print the tables and write them to the folder of results."""
    p50, p95 = (float(np.percentile(load.waited, q)) for q in (50, 95))
    rows = [
        ("jobs done", len(load.waited) - len(load.lost)),
        ("jobs lost", len(load.lost)),
        ("jobs begun twice, their worker killed", sum(n > 1 for n in load.attempts)),
        ("answers of a full queue (429)", load.refused),
        ("folders left behind", files_left),
        ("seconds in all", seconds),
        ("jobs a minute", 60 * len(load.waited) / seconds),
        ("wait and work, p50, s", p50),
        ("wait and work, p95, s", p95),
    ]
    memory = [
        (name, *memory_row(found["seen"], options.jobs, which))
        for name, which in (("server", 1), ("largest worker", 2))
    ]
    head = (
        f"{options.jobs} jobs of {options.frames} frames at {options.size} px, {options.clients} clients, "
        f"{options.workers} workers, one killed midway."
    )
    quarters = ("MB while done", "1st quarter", "2nd", "3rd", "last")
    text = "\n\n".join([head, markdown(("", "value"), rows), markdown(quarters, memory)])
    for lost in load.lost:
        say(f"lost: {lost}")
    values = {"rows": dict(rows), "memory": memory, "seen": found["seen"], "machine": machine()}
    write_results(options.out, "load", values, text)


if __name__ == "__main__":
    main()
