"""Batches and evaluation on a real Ray cluster of two nodes; one is killed midway."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

import psutil
import pytest

import gioconda
from batch_world import animated, at_work, cut_off, record_of, scraps, table, workers_of, world
from gioconda.cli import run
from gioconda.training.evaluate.evaluate import evaluate
from gioconda.training.evaluate.methods import Methods
from gioconda.training.evaluate.protocol import EvaluationPlan
from programs import running

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("cluster")]

JOBS = 8
SECONDS = 300.0


@contextlib.contextmanager
def a_cluster():
    """A cluster of two nodes with a processor each: the cluster, and the second node. Nothing of it is left over."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    session = cluster.head_node.get_session_dir_path()
    yield cluster, second
    cluster.shutdown()
    until = time.monotonic() + 20
    while (left := [one for one in psutil.process_iter() if session in command_of(one)]) and (
        time.monotonic() < until
    ):
        time.sleep(0.1)
    assert left == []


@pytest.fixture(scope="module")
def nodes():
    with a_cluster() as both:
        yield both


def command_of(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def made(path):
    try:
        return len(record_of(path))
    except FileNotFoundError:
        return 0


def comparable(folder):
    told = json.loads((folder / "report.json").read_text())
    return {name: value for name, value in told.items() if name != "seconds"}


def test_people_measured_on_a_cluster_have_the_figures_of_the_serial_run(nodes, talking_astronaut, tmp_path):
    people = tmp_path / "people"
    for name in ("eileen", "frank"):
        (people / name).mkdir(parents=True)
        shutil.copy(talking_astronaut, people / name / "talk.mp4")
    (people / "nobody").mkdir()
    (people / "nobody" / "text.mp4").write_text("no video")
    evaluate(people, tmp_path / "serial", EvaluationPlan((1,), 4, 64), Methods())
    words = f"evaluate {people} --shots 1 --frames 4 --size 64 --ray {nodes[0].address} -o {tmp_path / 'ray'}"
    assert run(words.split()) == 0
    assert comparable(tmp_path / "ray") == comparable(tmp_path / "serial")
    assert len(comparable(tmp_path / "ray")["people"]) == 2
    assert sorted(p.name for p in (tmp_path / "ray").iterdir()) == sorted(
        p.name for p in (tmp_path / "serial").iterdir()
    )


def test_a_node_killed_midway_costs_tries_and_no_job(nodes, astronaut_image, tmp_path):
    cluster, second = nodes
    folder = world(tmp_path / "work", astronaut_image, frames=60)
    path, report = table(folder, [animated(f"{k}.mp4") for k in range(JOBS)]), folder / "summary.json"
    command = [sys.executable, "-m", "gioconda", "batch", str(path), "--report", str(report)]
    command += ["--ray", cluster.address, "--workers", "2"]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + SECONDS
        while made(path) < 2 or not at_work(folder) & workers_of(second):
            assert time.monotonic() < until
            assert process.poll() is None, process.communicate(timeout=SECONDS)
            time.sleep(0.02)
        cut_off(cluster, second)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (0, "")
    assert f"{JOBS} done, 0 skipped, 0 failed" in out
    told = json.loads(report.read_text())
    assert told["lost"] == 1
    assert len(record_of(path)) == JOBS
    verdicts = [gioconda.verify(folder / f"{k}.mp4") for k in range(JOBS)]
    assert {verdict.status for verdict in verdicts} == {"ours"}
    assert all(one["frames"] == 60 for one in told["done"])
    assert scraps(folder) == []
    assert run(["batch", str(path), "--ray", cluster.address]) == 0  # the record holds: nothing is left to do


def test_the_heads_death_is_told_and_the_batch_goes_on_elsewhere(nodes, astronaut_image, tmp_path):
    """The last of this cluster: nothing is left of it."""
    cluster, _ = nodes
    folder = world(tmp_path / "work", astronaut_image, frames=60)
    path = table(folder, [animated(f"{k}.mp4") for k in range(4)])
    lose_the_head(cluster, path, lambda: cut_off(cluster, cluster.head_node))
    assert run(["batch", str(path), "--ray", "off"]) == 0
    assert {gioconda.verify(folder / f"{k}.mp4").status for k in range(4)} == {"ours"}
    assert scraps(folder) == []


def test_a_head_that_hangs_is_told_as_one_that_died(astronaut_image, tmp_path):
    """It still accepts connections, as a machine does that swaps."""
    path = table(world(tmp_path / "work", astronaut_image), [animated(f"{k}.mp4") for k in range(40)])
    with a_cluster() as (cluster, _):
        head = psutil.Process(cluster.head_node.all_processes["gcs_server"][0].process.pid)
        try:
            lose_the_head(cluster, path, head.suspend)
        finally:
            head.resume()


def lose_the_head(cluster, path, lose):
    """Run a batch on a cluster, lose the head after the first job, and check that the batch says so and ends."""
    command = [sys.executable, "-m", "gioconda", "batch", str(path), "--ray", cluster.address]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + SECONDS
        while made(path) < 1:
            assert time.monotonic() < until
            assert process.poll() is None, process.communicate(timeout=SECONDS)
            time.sleep(0.02)
        lose()
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "no longer answers" in err
    assert "Traceback" not in err
    done, jobs = made(path), len(path.read_text().splitlines()) - 1
    assert f"{done} done, 0 skipped, 0 failed, {jobs - done} left" in out
