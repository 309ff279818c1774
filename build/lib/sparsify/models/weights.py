"""Dense weights from a local file, checked against the network that they are for."""

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sparsify.settings import InputError

_WRAPPERS = ("state_dict", "model")  # keys under which trainers keep the weights, beside other things
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel, and of torch.compile
AT_MOST = 10  # names in a message


def load(model: nn.Module, path: Path, n_classes: int) -> list[str]:
    """Fills `model` with the weights in `path`: .safetensors, or a state_dict that torch.save wrote. No code in the file is run.

    The last layer, told by its rows, may be that of other classes: it keeps the fresh weights that it has.
    -> the names of the tensors that were left fresh, none as a rule. Raises InputError, in one line that names what does not fit."""
    found, wanted = read(path), model.state_dict()
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]  # which old files lack
    odd = [name for name in found if name not in wanted]
    shapes = {name: (tuple(found[name].shape), tuple(wanted[name].shape)) for name in wanted if name in found}
    other = [name for name, (came, needed) in shapes.items() if came != needed]
    fresh = other if _of_other_classes({name: shapes[name] for name in other}, n_classes) else []
    parts = [f"it lacks {_listed(missing)}"] if missing else []
    parts += [f"it has {_listed(odd)}, which the network has not"] if odd else []
    if other != fresh:
        parts.append("of other shapes are " + _listed([f"{name} {shapes[name][0]} in place of {shapes[name][1]}" for name in other]))
    if parts:
        raise InputError(f"{path} holds weights of another network than the {type(model).__name__}: {'; '.join(parts)}")
    try:
        model.load_state_dict({name: tensor for name, tensor in found.items() if name not in fresh}, strict=False)
    except RuntimeError:  # of sparse, quantised or meta tensors
        kinds = sorted({str(tensor.layout if tensor.layout != torch.strided else tensor.dtype) for tensor in found.values()})
        raise InputError(f"{path} holds tensors that cannot be copied into the network ({', '.join(kinds)}); save them as dense floats, as "
                         "tensor.to_dense() gives them") from None
    return fresh


def read(path: Path) -> dict[str, Tensor]:
    """The tensors in a file, by name, on the CPU. Raises InputError."""
    content: object
    if path.exists() and not path.is_file():  # a pipe would never end
        raise InputError(f"{path} is not a file; name a file of weights, .safetensors or a state_dict")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; name a file of weights, .safetensors or a state_dict") from None
    except ImportError:
        raise InputError(f"{path} needs safetensors, which is not installed; pip install safetensors") from None
    except Exception as error:  # a damaged zip, a refused pickle, a short read, a header that is none
        said = (str(error).splitlines() or [""])[0].partition(" In PyTorch 2.6")[0]  # torch goes on with advice to run its code
        said = said.split(" This file can still be loaded")[0]
        raise InputError(f"{path} cannot be read ({type(error).__name__}: {said}); it has to be a whole .safetensors file, or a state_dict "
                         "as torch.save(model.state_dict(), path) writes it") from None
    if isinstance(content, Mapping):
        wrapped = [key for key in _WRAPPERS if isinstance(content.get(key), Mapping)]
        content = content[wrapped[0]] if len(wrapped) == 1 else content
    if not isinstance(content, Mapping) or not content or not all(isinstance(each, Tensor) for each in content.values()):
        raise InputError(f"{path} holds no tensors by name; it has to hold a state_dict")
    tensors = {str(name): tensor for name, tensor in content.items()}
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _of_other_classes(shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]], n_classes: int) -> bool:
    """Whether tensors that do not fit are those of one layer, whose rows are classes.  shapes: that of the file, and that of the network"""
    layers = {name.rpartition(".")[0] for name in shapes}
    counts = {came[:1] for came, _ in shapes.values()}
    return len(layers) == len(counts) == 1 and all(
        needed[:1] == (n_classes,) and len(came) == len(needed) and came[1:] == needed[1:] for came, needed in shapes.values())


def _listed(names: Collection[str]) -> str:
    more = f" and {len(names) - AT_MOST} more" if len(names) > AT_MOST else ""
    return ", ".join(list(names)[:AT_MOST]) + more
