"""`gioconda batch`: many short jobs on one worker and on two, and on two Ray nodes of which one is killed midway.

Example: python benchmarks/batch.py --jobs 200
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import gioconda
from batch_world import at_work, cut_off, workers_of
from common import machine, markdown, say, write_results
from corpus import seeds
from gioconda.assets import asset_path
from gioconda.motion import store

Row = tuple[Any, ...]


def write_table(folder: Path, options: argparse.Namespace) -> Path:
    """A folder with the demo's portrait, a short motion, and a table of jobs that differ in strength."""
    folder.mkdir()
    shutil.copy(asset_path("astronaut.jpg"), folder / "portrait.jpg")
    store.save(seeds.short_motion(options.frames), folder / "motion.npz")
    with (folder / "jobs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("portrait", "motion", "out", "rights", "crop", "size", "strength"))
        for k in range(options.jobs):
            strength = 0.5 + k / options.jobs
            writer.writerow(
                (
                    "portrait.jpg",
                    "motion.npz",
                    f"{k:05d}.mp4",
                    "Public domain.",
                    "yes",
                    options.size,
                    strength,
                )
            )
    return folder / "jobs.csv"


def started(table: Path, *options: str) -> subprocess.Popen[str]:
    """The command on a table, with a summary beside it."""
    command = [sys.executable, "-m", "gioconda", "batch", str(table), "--report", str(summary_of(table))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, *options], env=environment, stdout=subprocess.DEVNULL)


def summary_of(table: Path) -> Path:
    return table.with_name("summary.json")


def ended(process: subprocess.Popen[str], table: Path, name: str) -> Row:
    """A row of the table, once the command has ended and every output was verified."""
    code = process.wait()
    told = json.loads(summary_of(table).read_text())
    verdicts = Counter(gioconda.verify(path).status for path in sorted(table.parent.glob("*.mp4")))
    left = sum(path.name.startswith(".") for path in table.parent.iterdir())
    if code or verdicts["ours"] != told["jobs"] or left:
        sys.exit(f"{name}: exit code {code}, {dict(verdicts)}, {left} temporary files left")
    row = (
        name,
        len(told["done"]),
        len(told["failed"]),
        verdicts["ours"],
        told["lost"],
        told["seconds"],
        told["frames_per_second"],
    )
    say(f"{row}")
    return row


def killed_midway(table: Path, jobs: int) -> Row:
    """Two Ray nodes of one processor each; the second is killed once half the jobs are done."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = nodes.add_node(num_cpus=1)
        process = started(table, "--ray", nodes.address, "--workers", "2")
        record = table.with_name("jobs.csv.done.jsonl")
        while process.poll() is None and (
            not record.exists()
            or record.read_bytes().count(b"\n") < jobs // 2
            or not at_work(table.parent) & workers_of(second)
        ):
            time.sleep(0.05)
        cut_off(nodes, second)
        return ended(process, table, "2 Ray nodes, one killed midway")
    finally:
        nodes.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--frames", type=int, default=15)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("-o", "--out", type=Path, default=Path("out"), help="where results go")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for ray, words in (("off", "plain processes"), ("local", "Ray on this machine")):
            for workers in (1, 2):
                table = write_table(folder / f"{ray}{workers}", options)
                process = started(table, "--ray", ray, "--workers", str(workers))
                rows.append(ended(process, table, f"{words}, {workers} at once"))
        rows.append(killed_midway(write_table(folder / "killed", options), options.jobs))
    report(options, rows)


def report(options: argparse.Namespace, rows: list[Row]) -> None:
    """Print the table with the speed-up over one worker of the same kind, and write it."""
    alone = [rows[0][5], rows[0][5], rows[2][5], rows[2][5], rows[2][5]]
    table = [(*row, first / row[5]) for row, first in zip(rows, alone, strict=True)]
    header = (
        "",
        "done",
        "failed",
        "verified",
        "tries lost",
        "seconds, start included",
        "frames/s",
        "speed-up",
    )
    head = f"{options.jobs} jobs of {options.frames} frames at {options.size} px, load before it {LOAD:.1f}."
    write_results(
        options.out,
        "batch",
        {"rows": table, "load": LOAD, "machine": machine()},
        f"{head}\n\n{markdown(header, table)}",
    )


LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")

if __name__ == "__main__":
    main()
