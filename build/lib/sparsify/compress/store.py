"""Networks as files without pickled code: tensors, which entries of the full-size class stayed, and a header that says what it is.

    class         of the network; a file is loaded into one of that class at full size, which is cut to what stayed
    architecture  all that makes a built-in network or one of torchvision's anew, so that no class is needed; else null
    widths        units that each layer writes now
    norms         by path, the full width of LayerNorms and RMSNorms that go on to compute with it
    data          what the network is to be given: mean, std, input_shape, classes; null where that was not said
    provenance    what it came from: torch's version, seed, recipe, ...

Tensors have their names in the state_dict; beside them lie `sparsify/keep/DIM/TENSOR`, the entries that stayed, and
`sparsify/picks/PATH`, the features that a linear layer still reads."""

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn

from sparsify import models, tensorfile
from sparsify.artifacts import FileError
from sparsify.compress.cut import Cut, cut_of, sliced
from sparsify.settings import InputError

_OURS, _KEEP, _PICKS = "sparsify/", "sparsify/keep/", "sparsify/picks/"
Kinds = Mapping[str, type | tuple[type, ...]]
_HEADER: Kinds = {"class": str, "architecture": (dict, NoneType), "widths": dict, "norms": dict, "data": (dict, NoneType),
                  "provenance": dict}


def save(network: nn.Module, path: Path | str, *, architecture: models.Architecture | None = None, data: Mapping[str, Any] | None = None,
         **provenance: Any) -> None:
    """Writes a network, small or not: its tensors and what of its full-size class stayed. Never half-written.

    architecture: of a network that then loads without a class. data: what it is to be given, as JSON (mean, std, input_shape, classes).
    provenance: what it came from, as JSON. Raises InputError for what cannot be written."""
    cut, state = cut_of(network), network.state_dict()
    if odd := [name for name in state if name.startswith(_OURS)]:
        raise InputError(f"{type(network).__name__} has a tensor {odd[0]}; names that begin with {_OURS} are the file's own")
    kept = {f"{_KEEP}{dim}/{name}": index for name, dims in cut.keep.items() for dim, index in dims.items()}
    picks = {f"{_PICKS}{name}": index for name, index in cut.picks.items()}
    header = {"class": type(network).__name__, "architecture": None if architecture is None else architecture.as_data(),
              "widths": _widths(network), "norms": cut.norms, "data": data, "provenance": {"torch": torch.__version__, **provenance}}
    tensorfile.write(Path(path), header, {**state, **kept, **picks})


def header(path: Path | str) -> dict[str, Any]:
    """What a file says of its network, as above; the tensors are not read. Raises FileError."""
    return checked(path, tensorfile.read_header(Path(path)), _HEADER)


def load(path: Path | str, network: nn.Module | None = None) -> nn.Module:
    """The network in `path`, on the CPU, in evaluation. Nothing that the file names is imported.

    network: one of its class at full size, as it was before the removal, with any weights; it is not changed. A built-in one and
    torchvision's need none. Raises InputError (FileError for what is wrong with the file) in one line."""
    content, tensors = tensorfile.read(Path(path))
    checked(path, content, _HEADER)
    if network is None:
        network = _built(path, content)
    if not isinstance(network, nn.Module):
        raise InputError(f"load is given {network!r}; give it a network at full size: load(path, {content['class']}(...))")
    cut = _cut(path, content, tensors)
    try:
        small = sliced(network, cut).cpu()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError):
        raise InputError(_unfit(path, content, network)) from None
    load_state(path, small, {name: tensor for name, tensor in tensors.items() if not name.startswith(_OURS)}, content, network)
    return small.eval()


def checked(path: Path | str, content: dict[str, Any], kinds: Kinds) -> dict[str, Any]:
    """`content`, the header of a file. Raises FileError where it lacks one of these keys, or has something else there."""
    if missing := [key for key in kinds if key not in content]:
        raise FileError(f"{path} is no network of this kind: it lacks {', '.join(missing)}")
    for key, kind in kinds.items():
        if not isinstance(content[key], kind):
            raise FileError(f"{path} is no network of this kind: its {key} is {str(content[key])[:60]!r}")
    return content


def architecture_of(path: Path | str, content: Mapping[str, Any]) -> models.Architecture | None:
    """Of the network at full size, where the file says it; it may be one that is not built in. Raises FileError."""
    if content["architecture"] is None:
        return None
    try:
        return models.Architecture(**content["architecture"])
    except (TypeError, InputError) as error:
        raise FileError(f"{path} describes a network that is not known here ({error})") from None


def load_state(path: Path | str, network: nn.Module, state: Mapping[str, Tensor], content: Mapping[str, Any], given: nn.Module) -> None:
    """Copies the tensors of a file into `network`, which was made from `given`. Raises InputError where they do not fit."""
    for name, tensor in network.state_dict().items():
        came = state.get(name, tensor)
        if came.dtype != tensor.dtype and not (came.is_floating_point() and tensor.is_floating_point()):
            raise FileError(f"{path} has {came.dtype} in {name}, where a {content['class']} has {tensor.dtype}".replace("torch.", ""))
    try:
        network.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError):
        raise InputError(_unfit(path, content, given)) from None


def _built(path: Path | str, content: Mapping[str, Any]) -> nn.Module:
    """The network at full size, of those whose code is not the user's."""
    architecture = architecture_of(path, content)
    if architecture is None or not architecture.known:
        raise InputError(f"{path} holds a {content['class']}; give load one at full size, which it cuts to what stayed: "
                         f"load(path, {content['class']}(...))")
    try:
        return architecture.build()
    except (InputError, RuntimeError, MemoryError, OverflowError, TypeError, ValueError) as error:  # a size without end, say
        raise FileError(f"{path} describes a network that cannot be made ({' '.join(str(error).split())[:100]})") from None


def _cut(path: Path | str, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Cut:
    keep: dict[str, dict[int, Tensor]] = {}
    picks: dict[str, Tensor] = {}
    for full_name, index in tensors.items():
        dim, _, name = full_name.removeprefix(_KEEP).partition("/")
        if full_name.startswith(_OURS) and (index.dtype != torch.int64 or index.ndim != 1):
            raise FileError(f"{path} has {index.dtype} of shape {tuple(index.shape)} in {full_name}; it has to be a list of int64")
        if full_name.startswith(_KEEP) and dim.isdecimal():
            keep.setdefault(name, {})[int(dim)] = index
        elif full_name.startswith(_PICKS):
            picks[full_name.removeprefix(_PICKS)] = index
        elif full_name.startswith(_OURS):
            raise FileError(f"{path} has a tensor {full_name}, which says nothing here")
    if odd := [name for name, width in content["norms"].items() if type(width) is not int or width < 1]:
        came = str(content["norms"][odd[0]])[:60]
        raise FileError(f"{path} has {came!r} as the full width of {odd[0]}; it has to be a whole number >= 1")
    return Cut(keep, dict(content["norms"]), picks)


def _widths(network: nn.Module) -> dict[str, int]:
    kinds = ("out_features", "out_channels", "embedding_dim")
    found = {name: [getattr(module, kind) for kind in kinds if isinstance(getattr(module, kind, None), int)]
             for name, module in network.named_modules()}
    return {name: widths[0] for name, widths in found.items() if widths}


def _unfit(path: Path | str, content: Mapping[str, Any], network: nn.Module) -> str:
    widths = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in list(network.state_dict().items())[:2])
    return (f"{path} holds a {content['class']} that does not fit the {type(network).__name__} at hand ({widths}, ...); "
            "it has to be of the same class and size as before the removal")
