"""What containers grant, read from control groups as Linux writes them, and the number of workers that follows."""

import pytest

from gioconda.runtime import cores
from gioconda.runtime.cgroups import core_limit, memory_limit

GIB = 2**30


@pytest.fixture
def groups(tmp_path):
    """Writes a process's membership and the files of its groups; the arguments that read them."""

    def write(membership, **files):
        for name, text in files.items():
            path = tmp_path / "groups" / name.replace("__", "/").replace("_max", ".max")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        (tmp_path / "membership").write_text(membership)
        return tmp_path / "membership", tmp_path / "groups"

    return write


def test_a_container_of_version_2_sees_its_own_group_at_the_root(groups):
    where = groups("0::/\n", memory_max=2 * GIB, cpu_max="150000 100000")
    assert memory_limit(*where) == 2 * GIB
    assert core_limit(*where) == 1.5


def test_the_tightest_group_around_the_process_counts(groups):
    where = groups(
        "0::/system/gioconda.service\n",
        system__memory_max=3 * GIB,
        **{"system__gioconda.service__memory_max": "max", "system__gioconda.service__cpu_max": "max 100000"},
    )
    assert memory_limit(*where) == 3 * GIB
    assert core_limit(*where) is None


def test_version_1_has_a_tree_for_each_controller_and_a_number_for_no_limit(groups):
    files = {
        "memory__memory.limit_in_bytes": 9223372036854771712,
        "memory__job__memory.limit_in_bytes": GIB,
        "cpu__job__cpu.cfs_quota_us": 400000,
        "cpu__job__cpu.cfs_period_us": 100000,
        "cpu__cpu.cfs_quota_us": -1,
        "cpu__cpu.cfs_period_us": 100000,
    }
    membership, root = groups("5:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/job\n", **files)
    assert memory_limit(membership, root) == GIB
    assert core_limit(membership, root) == 4


def test_no_groups_no_limits(tmp_path):
    assert memory_limit(tmp_path / "none", tmp_path) is None
    assert core_limit(tmp_path / "none", tmp_path) is None


def test_cores_follow_the_container(monkeypatch):
    monkeypatch.setattr(cores, "core_limit", lambda: 0.5)
    assert cores.machine_cores() == 1


@pytest.mark.parametrize(
    ("count", "memory", "workers"),
    [(2, 24 * GIB, 2), (16, 4 * GIB, 4), (4, GIB // 2, 1), (200, 500 * GIB, 64)],
)
def test_workers_are_as_many_as_cores_and_memory_allow(count, memory, workers):
    pytest.importorskip("psutil")
    from gioconda.web.capacity import Capacity

    assert Capacity(count, memory).workers == workers
