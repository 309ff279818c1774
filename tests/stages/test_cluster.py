"""A sweep on a Ray cluster of two machines, which are processes here, with git's and DVC's remotes in folders: one machine is lost in the
middle, then a worker of another, and every experiment arrives once."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml
from test_pipeline import Clone, working_tree

from stages import cluster, grid

SWEEP = ("-m", "stages.cluster", "train_bayesian", "-S", "recipe=smoke", "-S", "prior.kind=gaussian,mixture,gate")
LIMIT = 200  # seconds


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A clone whose remotes have all that it has, the data and the dense network among them."""
    folder = tmp_path_factory.mktemp("cluster")
    home = working_tree(folder / "home")
    subprocess.run(["git", "clone", "--quiet", "--bare", home.root, folder / "git"], check=True)
    home.run("git", "remote", "set-url", "origin", str(folder / "git"))
    home.run(sys.executable, "-m", "dvc", "remote", "add", "--default", "store", str(folder / "store"))
    home.commit("a place for data")
    home.run(sys.executable, "-m", "dvc", "repro", "train_baseline")
    home.commit("the dense network")
    home.run("git", "push", "--quiet", "origin", "HEAD")
    home.run(sys.executable, "-m", "dvc", "push", "--run-cache", "--with-deps", "train_baseline")
    return home


@pytest.fixture(scope="module")
def machines():
    """A cluster of one machine, the folder where its experiments have their clones, and a function that adds a machine."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs ray (pip install ray)")
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        clones = Path(folder) / "clones"
        clones.mkdir()
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # so that it keeps to the loopback address
        patch.setenv("RAY_TMPDIR", folder)  # a short one: it has sockets
        patch.setenv("TMPDIR", str(clones))
        from ray.cluster_utils import Cluster
        ray_cluster = Cluster(shutdown_at_exit=False)
        shared = {"num_cpus": 1, "object_store_memory": 80 << 20, "node_ip_address": "127.0.0.1", "include_dashboard": False}
        try:
            ray_cluster.add_node(**shared)
            yield ray_cluster, clones, lambda: ray_cluster.add_node(**shared)
        finally:
            for node in ray_cluster.list_all_nodes()[::-1]:
                ray_cluster.remove_node(node, allow_graceful=False)


class Sweep:
    """The command, and what it has said so far."""

    def __init__(self, home: Clone, address: str, log: Path):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "DVC_", "SPARSIFY_"))}
        self.log = log
        self.program = subprocess.Popen([sys.executable, *SWEEP, "--address", address], cwd=home.root, env=environment,
                                        stdout=log.open("w"), stderr=subprocess.STDOUT)

    def said(self) -> str:
        return self.log.read_text()

    def wait(self, until) -> None:
        """until: a function of what it has said"""
        start = time.monotonic()
        while not until(self.said()):
            assert self.program.poll() is None and time.monotonic() - start < LIMIT, self.said()
            time.sleep(0.1)


def training(said: str) -> set[str]:
    """The experiments that are known to train and have not ended."""
    ended = set(re.findall(r"\] (\S+): (?:arrived|failed)", said))
    running = set()
    for name, event in re.findall(r"(?m)(\S+): (train_bayesian$|lost)", said):
        (running.add if event == "train_bayesian" else running.discard)(name)
    return running - ended


def worker_of(node) -> int | None:
    """The process id of the Ray worker that has an experiment on a machine, if any has."""
    raylet = node.all_processes["raylet"][0].process.pid
    for child in Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split():
        if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"ray::run"):
            return int(child)
    return None


def test_a_missing_ray_is_one_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cluster", "-S", "recipe=smoke"])
    monkeypatch.setattr(grid, "start", lambda remote: grid.Start(remote, "", "0" * 40))
    monkeypatch.setattr(grid, "arrived", lambda at: set())
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit, match=r"error: ray is not installed; .*pip install ray dvc"):
        cluster.main()


def test_every_experiment_arrives_once_though_a_machine_and_a_worker_are_lost(machines, home, tmp_path):
    ray_cluster, clones, add_machine = machines
    doomed = add_machine()
    sweep = Sweep(home, ray_cluster.address, tmp_path / "said")
    sweep.wait(lambda said: len(training(said)) == 2)
    ray_cluster.remove_node(doomed, allow_graceful=False)
    sweep.wait(lambda said: said.count(": lost (") == 1)
    begun = sweep.said().count(": train_bayesian\n")
    add_machine()  # which may take as long as an experiment: the next to begin may be on the machine that was there
    sweep.wait(lambda said: said.count(": train_bayesian\n") > begun and worker_of(ray_cluster.head_node))
    os.kill(worker_of(ray_cluster.head_node), signal.SIGKILL)
    sweep.wait(lambda said: said.count(": lost (") == 2)
    assert sweep.program.wait(LIMIT) == 0, sweep.said()

    said = sweep.said()
    names = re.findall(r"\] (\S+): arrived", said)
    assert len(set(names)) == len(names) == 3
    assert "3 of 3 are on origin; fetch them: dvc exp pull origin " in said
    assert not re.search(r": (download|train_baseline)$", said, re.MULTILINE)  # their results came from DVC's remote
    refs = home.run("git", "ls-remote", "origin", "refs/exps/*").stdout.split()[1::2]
    assert sorted(ref.rsplit("/", 1)[1] for ref in refs) == sorted(names)
    assert not list(clones.glob("recipe-*"))  # those of the lost ones too

    again = home.run(sys.executable, *SWEEP).stdout
    assert "3 of them have arrived before" in again
    assert ": train_bayesian" not in again

    shutil.rmtree(home.root / ".dvc" / "cache")
    home.run(sys.executable, "-m", "dvc", "exp", "pull", "origin", *names)
    for ref in refs:
        def show(file, ref=ref):
            return home.run("git", "show", f"{ref}:{file}").stdout
        assert json.loads(show("metrics/bayesian.json"))["bayesian"]["prior"] in ref
        outs = yaml.safe_load(show("dvc.lock"))["stages"]["train_bayesian"]["outs"]
        [digest] = [out["md5"] for out in outs if out["path"] == "models/bayesian.safetensors"]
        assert (home.root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]).stat().st_size
