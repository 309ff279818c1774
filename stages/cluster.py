"""Many experiments on the machines of a Ray cluster: what `dvc exp run --queue` is on one machine.

    ray start --head                                   on the first machine; `ray start --address FIRST:6379` on the others
    python -m stages.cluster -S prior.kind=gaussian,mixture -S prior.beta=0.05,0.1 --gpus 1
    dvc exp pull origin NAME...                        as it says at its end

Each experiment has a clone of the git remote at the present commit, takes what is done already in that commit's dvc.lock from the DVC
remote, and pushes what it made. One whose machine or worker is lost is run again; what has arrived is not, also by a second start.
Without a cluster, Ray uses this machine. Every machine needs git, Python with Ray, DVC and torch, and access to both remotes."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sparsify import artifacts
from sparsify.settings import InputError
from stages import grid, trial
from stages.program import program

LOGS = Path("scratch/cluster")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use over the internet, unless it finds this when it is imported


def run(experiments: Sequence[grid.Experiment], at: grid.Start, cores: int, gpus: float, again: int) -> dict[str, str]:
    """The last line of each that failed, by name. Ray is connected.  again: how often a lost one is run again"""
    import ray
    from ray.exceptions import RayError, RayTaskError

    ray.cloudpickle.register_pickle_by_value(trial)  # machines have nothing to import it from
    send = ray.remote(trial.run).options(num_cpus=cores, num_gpus=gpus, scheduling_strategy="SPREAD", num_returns="streaming",
                                         max_retries=0)  # Ray's own would go unsaid

    def begin(experiment: grid.Experiment) -> Any:
        return send.remote(experiment.name, experiment.overrides, experiment.targets, at.url, at.commit, cores)

    running: dict[Any, grid.Experiment] = {begin(experiment): experiment for experiment in experiments}
    losses = dict.fromkeys((experiment.name for experiment in experiments), 0)
    failed: dict[str, str] = {}
    while running:
        news: Any = ray.wait(list(running))[0][0]
        experiment = running[news]
        name = experiment.name
        said: Any  # a stage that begins, a loss, or how it ended
        try:
            said = ray.get(next(news))
        except RayTaskError as error:
            said = error.cause
        except RayError as error:
            said = error
        if isinstance(said, str):
            print(f"{name}: {said}", flush=True)
            continue
        del running[news]
        if isinstance(said, RayError) and losses[name] < again:
            losses[name] += 1
            running[begin(experiment)] = experiment
            print(f"{name}: lost ({type(said).__name__}), is run again", flush=True)
            continue
        if isinstance(said, Exception):
            failed[name] = f"{type(said).__name__}: {' '.join(str(said).split())}"[:200]
        elif not said["arrived"]:
            failed[name] = said["line"]
            artifacts.write_bytes(LOGS / f"{name}.txt", said["log"].encode())
        how = f"failed: {failed[name]}" if name in failed else f"arrived from {said['machine']} after {said['seconds']:.0f} s"
        print(f"[{len(experiments) - len(running)}/{len(experiments)}] {name}: {how}", flush=True)
    return failed


def sweep(grids: Sequence[str], targets: Sequence[str], remote: str, connect: Callable[[], None], cores: int, gpus: float,
          again: int) -> bool:
    """Whether all have arrived. Raises InputError."""
    at = grid.start(remote)
    experiments = grid.experiments(grids, targets, at.commit)
    there = grid.arrived(at)
    left = [experiment for experiment in experiments if experiment.name not in there]
    print(f"{len(experiments)} experiments from {at.commit[:7]}, {len(experiments) - len(left)} of them have arrived before", flush=True)
    failed = {}
    if left:
        connect()
        _warn_if_no_machine_fits(cores, gpus)
        failed = run(left, at, cores, gpus, again)
    there = grid.arrived(at)
    come = [experiment.name for experiment in experiments if experiment.name in there]
    print(f"{len(come)} of {len(experiments)} are on {remote}" + (f"; fetch them: dvc exp pull {remote} {' '.join(come)}" if come else ""))
    for name, line in failed.items():
        print(f"failed: {name}: {line}" + (f" ({LOGS / name}.txt)" if (LOGS / f"{name}.txt").is_file() else ""))
    return len(come) == len(experiments)


def _connect(address: str | None) -> None:
    import ray
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise InputError(f"no Ray cluster answers: {' '.join(str(error).split())}") from None


def _warn_if_no_machine_fits(cores: int, gpus: float) -> None:
    import ray
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(has.get("CPU", 0) >= cores and has.get("GPU", 0) >= gpus for has in machines):
        print(f"no machine has {cores} cores and {gpus:g} GPUs to give; waiting for one to join", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", help="stages to run, with those that they read from; all if none is named")
    parser.add_argument("-S", metavar="KEY=VALUE,...", dest="grids", action="append", default=[], help="as for dvc exp run --queue")
    parser.add_argument("--cores", metavar="N", type=int, default=1, help="for each experiment")
    parser.add_argument("--gpus", metavar="N", type=float, default=0, help="for each experiment: 0, 1, or a share such as 0.5")
    parser.add_argument("--again", metavar="N", type=int, default=3, help="how often a lost one is run again")
    parser.add_argument("--remote", default="origin", help="git's, from which to clone and to which to push")
    parser.add_argument("--address", help="of the Ray cluster; the one on this machine, or one of this machine alone")
    chosen = parser.parse_args()
    if not 0 <= chosen.gpus <= 1 or chosen.cores < 1:
        parser.error("--gpus has to be 0 to 1, as an experiment trains in one process, and --cores 1 or more")
    with program():
        try:
            connect = partial(_connect, chosen.address)
            arrived = sweep(chosen.grids, chosen.stages, chosen.remote, connect, chosen.cores, chosen.gpus, chosen.again)
        except ImportError as error:
            raise InputError(f"{error.name} is not installed; a sweep over machines needs Ray and DVC, here and there: pip install ray "
                             "dvc") from None
    sys.exit(not arrived)


if __name__ == "__main__":
    main()
