"""The proof that a file of a small network carries, checked: `python -m sparsify.verify models/compact.safetensors`.

The checksum says that the file is as it was written. Its tensors also say which entries of the full-size network they are: put back among
zeros they are the masked twin, and the two have to give the same outputs, in float64, on random inputs."""

import argparse
import copy
import sys
from pathlib import Path

import torch
from torch import nn

from sparsify import models, tensorfile
from sparsify.compress import store
from sparsify.compress.cut import cut_of
from sparsify.compress.proof import Proof
from sparsify.settings import InputError
from sparsify.structure.export import Example


@torch.no_grad()
def masked_twin(small: nn.Module, full: nn.Module) -> nn.Module:
    """A copy of `full`, of full size, with the tensors of `small`, and zeros where entries were removed. Statistics of batch
    normalisation that were removed stay those of `full`: they act on zeros."""
    cut, tensors = cut_of(small), small.state_dict()
    twin = copy.deepcopy(full).eval()
    for name, wide in twin.state_dict().items():
        kept, narrow = dict(cut.keep.get(name, {})), tensors[name].to(wide.dtype)
        path, _, kind = name.rpartition(".")
        if kind == "weight" and path in cut.picks:
            kept[1] = cut.picks[path]
        if not kept:
            wide.copy_(narrow)
            continue
        index = torch.meshgrid(*(kept.get(dim, torch.arange(size)) for dim, size in enumerate(wide.shape)), indexing="ij")
        if kind not in ("running_mean", "running_var"):
            wide.zero_()
        wide[index] = narrow
    return twin


def verify(path: Path | str, full: nn.Module | None = None, example: Example | None = None) -> float:
    """The largest gap of the outputs of the network in `path` and its masked twin, as a share of the largest output.

    full, example: a network of the class at full size, and what it is called with; a built-in network needs neither.
    Raises FileError for a damaged file, InputError where the gap is larger than sums in another order make."""
    small = store.load(path, full)
    content = store.header(path)
    if full is None or example is None:
        architecture = store.architecture_of(path, content)
        if architecture is None:
            raise InputError(f"{path} holds a {content['class']}; give one at full size and an example: verify(path, full, example)")
        full, example = full or architecture.build(), torch.randn(2, *architecture.input_shape) if example is None else example
    proof = Proof(masked_twin(small, full), example)
    gap = proof.gap(small)
    if not gap <= proof.allowed:
        raise InputError(f"{path} differs from its masked twin by {gap:.1e} of the largest output; {proof.allowed:.0e} is allowed")
    return gap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    path = parser.parse_args().file
    try:
        tensorfile.read(path)
        said, content = "its checksum is right", store.header(path)
        noted = content["provenance"].get("gap")
        if noted is not None:
            said += f"; at the removal it differed from its masked twin by {noted:.1e} of the largest output"
        architecture = store.architecture_of(path, content)
        if isinstance(architecture, models.Architecture) and architecture.known:
            said += f"; now by {verify(path):.1e}"
        else:
            said += f"; for the gap now, give sparsify.verify.verify a {content['class']} at full size"
        print(f"{path}: {said}")
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
