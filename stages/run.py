"""The pipeline of dvc.yaml on a machine without DVC, a rented GPU say: what is done is skipped, and a folder can be taken home.

    python -m stages.run                                    all stages, on params.yaml as it is
    python -m stages.run controls benchmark --into DIR      these and what they read from; DIR gets params.yaml, metrics/, plots/, run.yaml
    python -m stages.run -S recipe=NAME -S seed=2 ...       composes params.yaml first
    python -m stages.run --processes 4 ...                  trains in four processes, on four GPUs if they are there

`python -m experiments.collect --runs DIR` takes such folders into a table. Stages work in this checkout, so that two runs at
once need two checkouts."""

import argparse
import fcntl
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sparsify import artifacts
from sparsify.settings import InputError
from stages import compose, pipeline, processes, reading
from stages.pipeline import Stage
from stages.program import program

PARAMS, NOTE = Path("params.yaml"), Path("scratch/run.yaml")


def run(names: Iterable[str] = (), overrides: Iterable[str] = (), into: Path | None = None, count: int = 1) -> None:
    """count: of the processes that train together.

    Raises InputError, or SystemExit with the status of a stage that failed; what was done before it is in `into`."""
    NOTE.parent.mkdir(exist_ok=True)
    with NOTE.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError("another stages.run is at work in this checkout; wait for it, or use a second checkout") from None
        params = compose.composed(*overrides) if overrides else reading.section(PARAMS)
        known = pipeline.stages(params)
        wanted = pipeline.needed(known, names or known)
        if into and (into / PARAMS).is_file() and reading.section(into / PARAMS) != params:
            raise InputError(f"{into} holds a run with other parameters; name another folder")
        if overrides:
            artifacts.write_bytes(PARAMS, reading.written(params).encode())
        for stage in wanted:
            note = pipeline.read_note(NOTE)
            if pipeline.done(stage, params, note):
                print(f"{stage.name}: is done", flush=True)
            else:
                _run(stage, params, note, count)
            if into:  # after each: a machine that is taken away in the middle leaves what was done
                leave(into, known.values(), params)


def leave(folder: Path, stages: Iterable[Stage], params: Mapping[str, Any]) -> None:
    """Copies the reports of all stages that are done with these parameters to `folder`, and the note on them. Others stay behind."""
    note = pipeline.read_note(NOTE)
    finished = [stage for stage in stages if pipeline.done(stage, params, note)]
    for path in (path for stage in finished for path in stage.reports):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path)
    artifacts.write_bytes(folder / PARAMS, PARAMS.read_bytes())
    kept = {stage.name: note["stages"][stage.name] for stage in finished}
    artifacts.write_bytes(folder / NOTE.name, reading.written({"commit": commit(), "stages": kept}).encode())


def commit() -> str:
    """Of the code, with -dirty behind it if that was changed since; nothing where there is no git."""
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()
    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "sparsify", "stages", "dvc.yaml")
        return git("rev-parse", "--short", "HEAD") + "-dirty" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return ""


def _run(stage: Stage, params: Mapping[str, Any], note: dict[str, Any], count: int) -> None:
    planned = pipeline.entry(stage, params)
    print(f"{stage.name}: {stage.cmd}", flush=True)
    for path in map(Path, stage.outs):  # as DVC does, so that nothing old can pass for new
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
    program, _, rest = stage.cmd.partition(" ")
    if program == "python":  # this one, whatever is first on the PATH
        program = shlex.quote(sys.executable)
        if count > 1 and stage.name in processes.SEVERAL:
            program += f" -m torch.distributed.run --standalone --nproc-per-node {count}"
    status = subprocess.run(f"{program} {rest}", shell=True).returncode
    if status:
        print(f"{stage.name} failed with status {status}; give the same command again once that is mended", file=sys.stderr)
        sys.exit(status if status > 0 else 1)
    missing = [path for path in stage.outs if not Path(path).exists()]
    if missing:
        raise InputError(f"the stage {stage.name} did not write {', '.join(missing)}")
    note["stages"][stage.name] = planned | {"outs": pipeline.entry(stage, params)["outs"]}
    artifacts.write_bytes(NOTE, reading.written(note).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", help="stages to run, with those that they read from; all if none is named")
    parser.add_argument("-S", metavar="KEY=VALUE", dest="overrides", action="append", default=[], help="as for dvc exp run")
    parser.add_argument("--processes", metavar="N", type=int, default=1, help="that train together, one a GPU, say")
    parser.add_argument("--into", metavar="DIR", type=Path, help="where the run's folder goes")
    chosen = parser.parse_args()
    with program():
        run(chosen.stages, chosen.overrides, chosen.into, chosen.processes)


if __name__ == "__main__":
    main()
