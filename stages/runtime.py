"""What every stage shares: parameters in, one clear line for an error, the device, the seed, and where its artifacts lie."""

import argparse
import ctypes
import hashlib
import os
import platform
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

import torch

from sparsify import distributed
from sparsify.artifacts import FileError
from sparsify.precision import fast_dtype
from sparsify.settings import InputError
from stages import kept, outcome, params, pipeline, processes, reading
from stages.program import program

DATASET = Path("data/dataset")
BASELINE, BAYESIAN, COMPACT = (Path(f"models/{name}.safetensors") for name in ("baseline", "bayesian", "compact"))
EXPORT, SNAPSHOTS = Path("models/export"), Path("models/snapshots.npz")
METRICS, PLOTS, REPORT = Path("metrics"), Path("plots"), Path("report.html")


@processes.together
def main(stage: Callable[[params.Params], None]) -> None:
    """Runs a stage as a program: exit status 1 and one line for what a user can mend, 130 for an interruption, 143 for SIGTERM."""
    name = stage.__module__.rpartition(".")[2]
    if name == "__main__":  # else it is called by other code, whose arguments and signals are not meant for it
        name = Path(sys.argv[0]).stem
        _answer_help(sys.modules["__main__"].__doc__ or "", name)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # else torchrun's end
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the state of a training is written on the way out
    keep_freed_memory()
    torch.backends.cudnn.allow_tf32 = False  # convolutions in float32 are what the figures say that they are
    with program():
        try:
            with kept.outputs(name) if distributed.first() else nullcontext():
                stage(params.load())
            if distributed.first():
                print(outcome.line(name, METRICS, kept.outs(name)), flush=True)
        except FileError as error:
            raise InputError(f"{error}; delete the file if it is there, and run dvc repro, which makes it") from None
        except (MemoryError, RuntimeError) as error:
            if not _lacks_memory(error):
                raise
            said = (str(error).splitlines() or ["too little memory"])[0].rstrip(".")
            raise InputError(f"{said}. Lower the batch_size of this stage's section in params.yaml, or model.width") from None


def _lacks_memory(error: MemoryError | RuntimeError) -> bool:
    """A GPU says it by a type, numpy by Python's, torch's allocator on a CPU in words."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(said in str(error) for said in (
        "can't allocate memory", "not enough memory", "invalid buffer size", "Storage size calculation overflow"))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.exit(f"error: {message}; a stage takes its parameters from params.yaml, and no argument but --help")


def _answer_help(doc: str, name: str) -> None:
    """Ends for --help with what the stage does, reads and writes, as dvc.yaml has it, and for any other argument with one line."""
    parser = _Parser(prog=f"python -m stages.{name}", formatter_class=argparse.RawDescriptionHelpFormatter,
                     description=f"{doc.strip()}\n\nIt takes no arguments: dvc repro runs it, and so does this command.")
    if sys.argv[1:]:
        parser.epilog = _files_of(name)
    parser.parse_args()


def _files_of(name: str) -> str:
    try:
        stage = pipeline.stages(reading.section(Path("params.yaml")))[name]
    except (InputError, KeyError, OSError):
        return "What it reads and writes is in dvc.yaml, in the top directory of the project."
    read = [dep for dep in stage.deps if not dep.startswith(("sparsify/", "stages/"))]
    return "\n".join(f"{what}: {', '.join(found) or 'nothing'}" for what, found in (
        ("parameters", stage.params), ("reads", read), ("writes", stage.outs)))


def keep_freed_memory() -> None:
    """glibc gives large freed blocks back to the kernel, which then hands out fresh pages at every training step.
    This keeps them; where there is no glibc it does nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # malloc.h
        mallopt(trim_threshold, 1 << 30)
        mallopt(mmap_threshold, 1 << 30) or mallopt(mmap_threshold, 32 << 20)  # the most that an older one takes


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def threads(count: int) -> int:
    """As the parameters have it, where 0 means all cores that this process may use."""
    return count or len(os.sched_getaffinity(0))


def seed_everything(seed: int) -> None:
    torch.manual_seed(seed)


def provenance(seed: int) -> dict[str, str | int]:
    """What a figure depends on besides params.yaml; it stands beside the figures. bfloat16_hardware: whether it multiplies in that."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"seed": seed, "device": gpu or _cpu_name(), "threads": torch.get_num_threads(), "torch": torch.__version__, "dtype": "float32",
            "bfloat16_hardware": fast_dtype(device().type) is torch.bfloat16,
            **({"processes": distributed.count()} if distributed.active() else {})}


def say_unwatched(key: str, path: str, name: str) -> None:
    """One line where the code of `name`, package.module:function that has been imported, is not what `key`, a path, has DVC watch."""
    file = getattr(sys.modules.get(name.partition(":")[0]), "__file__", None)
    if file and distributed.first() and not Path(file).resolve().is_relative_to(Path(path).resolve()):
        print(f"{os.path.relpath(file)} lies outside of {key}, {path}: a change of it will not be seen; set {key} to its file or folder, "
              "or give dvc repro -f after a change")


def exported(network: str, kind: str) -> Path:
    """Of dense or compact; kind: onnx, int8 or pt2."""
    return EXPORT / (f"{network}-int8.onnx" if kind == "int8" else f"{network}.{kind}")


def training_state(stage: str, params: params.Params, *inputs: Path) -> Path:
    """Where a training keeps its state while it runs: outside of DVC's copy of the checkout, so that a later run finds it, and
    under a name that changes with anything that decides its result: parameters, input files, code."""
    code = [path for folder in ("sparsify", "stages") for path in sorted(Path(folder).rglob("*.py"))]
    digest = hashlib.sha256(repr(params).encode())
    for path in (*inputs, Path(params.model.path), *code):
        digest.update(pipeline.digest(path).encode() if path.exists() else b"")
    return Path(os.environ.get("DVC_ROOT", ".")) / "scratch" / f"{stage}-{digest.hexdigest()[:16]}.pt"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
