"""Processes and clusters that prepare the few-shot engine's data: what a crash costs."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fewshot_footage import (  # noqa: F401
    LITTLE,
    SIDE,
    actors_fixture,
    as_track,
    content,
    folder_fixture,
    frames_of,
    imitation_fixture,
    made_up,
    prepared_fixture,
    takes_of,
    threads_as_before_fixture,
)
from gioconda.cli import run
from gioconda.cluster import over_ray
from gioconda.errors import GiocondaError, InputError, MissingFileError, OutputError
from gioconda.training.fewshot import prepare as prepare_module
from gioconda.training.fewshot import workers
from gioconda.training.fewshot.prepare import Shard, make_shard
from places import SUPPORT


@dataclass(frozen=True)
class Errand:
    """A job that ends its process where it is told to."""

    folder: Path
    name: str
    deadly: tuple[int, ...] = ()
    once: bool = False
    error: bool = False
    left_out: tuple[int, ...] = ()

    def __len__(self):
        return 3

    @property
    def marker(self):
        return self.folder / f"{self.name}.at"

    def without(self, index):
        return replace(self, left_out=(*self.left_out, index))


def carry_out(errand):
    if errand.error:
        raise InputError("the disk is full")
    for index in range(len(errand)):
        errand.marker.write_text(str(index))
        if index in errand.deadly and index not in errand.left_out:
            tried = errand.folder / f"{errand.name}.tried"
            if not (errand.once and tried.exists()):
                tried.touch()
                os._exit(9)
    (errand.folder / f"{errand.name}.done").write_text(str(errand.left_out))
    errand.marker.unlink()


@pytest.mark.slow
def test_a_crash_costs_the_clip_that_caused_it_alone(tmp_path):
    errands = [
        Errand(tmp_path, "calm"),
        Errand(tmp_path, "killed", deadly=(1,), once=True),
        Errand(tmp_path, "deadly", deadly=(0, 2)),
        Errand(tmp_path, "later"),
    ]
    told = []
    workers.in_processes(errands, carry_out, 2, told.append)
    done = {p.stem: p.read_text() for p in tmp_path.glob("*.done")}
    assert done == {"calm": "()", "killed": "()", "deadly": "(0, 2)", "later": "()"}
    assert sum(told) == 12
    assert not list(tmp_path.glob("*.at"))


@pytest.mark.slow
def test_an_error_of_a_job_stops_all(tmp_path):
    with pytest.raises(InputError, match="disk is full"):
        workers.in_processes([Errand(tmp_path, "a", error=True), Errand(tmp_path, "b")], carry_out, 1, print)


@pytest.mark.slow
def test_processes_that_cannot_begin_are_told(tmp_path):
    with pytest.raises(GiocondaError, match="before they start"):
        workers.in_processes([Errand(tmp_path / "absent", "a")] * 2, end_at_once, 2, print)


def end_at_once(_errand):
    os._exit(9)


def test_a_clip_that_crashes_is_left_out_and_named(tmp_path):
    (tmp_path / "ann0.mp4").touch()
    job = Shard(tmp_path, "train-00000", "train", tuple(takes_of(1)), LITTLE, "digest").without(0)
    make_shard(job)
    told = json.loads(job.sidecar.read_text(encoding="utf-8"))
    assert told["failures"] == [["ann0.mp4", prepare_module.CRASHED]]
    assert not told["clips"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    job = Shard(tmp_path / "absent", "train-00000", "train", tuple(takes_of(1)), LITTLE, "digest")
    with pytest.raises(OutputError, match=r"train-00000\.tar cannot be written"):
        make_shard(job)


def test_without_ray_the_way_to_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(over_ray, "find_spec", lambda name: None)
    with pytest.raises(MissingFileError, match=r"pip install 'gioconda\[cluster\]'"):
        workers.over_ray([Errand(tmp_path, "a")], carry_out, "local", 1, print)


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two machines' worth of processes, one processor each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


@pytest.mark.slow
def test_a_cluster_makes_the_same_bytes(cluster, prepared, imitation, tmp_path, capsys):
    line = (
        f"prepare {imitation} -o {tmp_path / 'far'} --clips 6 --frames 5 --size 128 --ray {cluster.address}"
    )
    assert run(line.split()) == 0
    assert "6 clips of 3 people" in capsys.readouterr().out
    assert content(tmp_path / "far") == content(prepared[0])


@pytest.mark.slow
def test_a_crash_on_a_cluster_costs_one_clip_too(cluster, tmp_path):
    import ray

    tests = {"env_vars": {"PYTHONPATH": str(SUPPORT)}}
    ray.init(address=cluster.address, runtime_env=tests, log_to_driver=False, logging_level="ERROR")
    try:
        errands = [Errand(tmp_path, "calm"), Errand(tmp_path, "deadly", deadly=(1,))]
        told = []
        workers.over_ray(errands, carry_out, "auto", 1, told.append)
        assert {p.stem: p.read_text() for p in tmp_path.glob("*.done")} == {"calm": "()", "deadly": "(1,)"}
        assert sum(told) == 6
        with pytest.raises(InputError, match="disk is full"):
            workers.over_ray([Errand(tmp_path, "full", error=True)], carry_out, "auto", None, print)
    finally:
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:x"])
def test_a_cluster_that_is_not_there_is_told(tmp_path, address):
    pytest.importorskip("ray")
    with pytest.raises(InputError, match=f"{address}.*ray start --head"):
        workers.over_ray([Errand(tmp_path, "a")], carry_out, address, 1, print)
