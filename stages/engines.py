"""What runs a network for the benchmark: torch, eager or compiled, and onnxruntime on the files of the export; each with its inputs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from sparsify import export
from sparsify.models import Architecture
from sparsify.settings import InputError
from stages import networks, runtime
from stages.params import ENGINES

EAGER, COMPILE, ONNXRUNTIME, INT8 = ENGINES
FILES = {ONNXRUNTIME: "onnx", INT8: "int8"}  # the kind of file that an engine runs
Way = tuple[str, str]  # engine, network
MODELS = {"dense": runtime.BASELINE, "compact": runtime.COMPACT}


class Fed(nn.Module):
    """A network that is asked about inputs of its own, whatever it is given: as stored for one engine, normalised for another."""

    def __init__(self, network: nn.Module, inputs: Tensor):
        super().__init__()
        self.network, self.inputs = network, inputs

    def forward(self, _: Tensor) -> Tensor:
        return self.network(self.inputs)


def file_of(engine: str, network: str) -> Path:
    """That it runs."""
    return runtime.exported(network, FILES[engine]) if engine in FILES else MODELS[network]


def made(engine: str, network: str, architecture: Architecture, threads: int) -> nn.Module:
    """Ready to be timed, but for what the first pass does. Raises InputError where it cannot be made."""
    path = file_of(engine, network)
    if engine in FILES:
        return export.OnnxRuntime(path, threads)
    loaded = networks.load(path, architecture)
    if engine == COMPILE:
        import torch._dynamo.config

        torch._dynamo.config.recompile_limit = 256  # of all networks, batch sizes and threads together; beyond it runs eager, unasked
        loaded.compile(dynamic=False)
    return loaded


@torch.inference_mode()
def tried(engine: str, network: str, architecture: Architecture, inputs: Tensor) -> None:
    """Raises InputError where it cannot run; all but a compiler that is not there is an error of the network."""
    runs = made(engine, network, architecture, threads=1)
    if engine == COMPILE:
        try:
            runs(inputs)
        except Exception as error:
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
            raise InputError(f"torch.compile fails ({type(error).__name__}: {reason[:200]})") from None


def passes(engine: str, network: str, architecture: Architecture, threads: int, batches: Sequence[Tensor]) -> Iterator[None]:
    """The steps whose memory is measured: imports, the network ready, and a pass of each batch."""
    torch.set_num_threads(threads)
    if engine in FILES:
        import onnxruntime  # noqa: F401
    else:
        with torch.device("meta"):
            architecture.build()  # the code of the network
    yield
    runs = made(engine, network, architecture, threads)
    yield
    for batch in batches:
        with torch.inference_mode():
            runs(batch if engine in FILES else batch.to(runtime.device()))
        yield
