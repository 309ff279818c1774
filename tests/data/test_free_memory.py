"""Free memory, whichever limit is the tightest, against files that say so."""

import resource
import sys

import pytest
import torch

from sparsify.data import memory

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """machine(name=text, ...) writes what the system would tell; a missing file is one that it does not have."""
    monkeypatch.setattr(memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("0", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return write


def test_a_system_that_tells_nothing_limits_nothing(machine):
    assert memory.free("cpu") == sys.maxsize


def test_the_machines_own_memory(machine):
    machine(proc__meminfo=f"MemTotal:  {9 << 20} kB\nMemAvailable:  {3 << 20} kB\nHugePages_Total: 0\n")
    assert memory.free("cpu") == 3 * GIB


def test_the_tightest_control_group_counts_and_pages_of_files_are_free(machine):
    machine(proc__meminfo=f"MemAvailable: {9 << 20} kB\n", proc__self__cgroup="0::/outer/inner\n",
            cgroup__outer__inner__memory0max="max\n", cgroup__outer__inner__memory0current=f"{GIB}\n",
            cgroup__outer__memory0max=f"{4 * GIB}\n", cgroup__outer__memory0current=f"{3 * GIB}\n",
            cgroup__outer__memory0stat=f"anon 1\ninactive_file {GIB}\n")
    assert memory.free("cpu") == 2 * GIB


def test_control_groups_of_version_1(machine):
    machine(proc__self__cgroup="5:cpu:/a\n4:memory:/a\n", cgroup__memory__a__memory0limit_in_bytes=f"{2 * GIB}\n",
            cgroup__memory__a__memory0usage_in_bytes=f"{GIB}\n")
    assert memory.free("cpu") == GIB


@pytest.mark.parametrize(("kind", "key"), [(resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")])
def test_the_limits_of_the_process(machine, monkeypatch, kind, key):
    machine(proc__self__status=f"Name:\tpython\n{key}:\t{1 << 20} kB\n")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (3 * GIB, 4 * GIB) if which == kind else (resource.RLIM_INFINITY,) * 2)
    assert memory.free("cpu") == 2 * GIB
    machine(proc__self__status=f"{key}:\t{4 << 20} kB\n")
    assert memory.free("cpu") == 0


def test_this_machine_tells_something():
    assert 0 < memory.free("cpu") < sys.maxsize


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpus_memory_is_its_own():
    before = memory.free("cuda")
    taken = torch.empty(GIB, dtype=torch.uint8, device="cuda")
    assert before - memory.free("cuda") >= len(taken)
