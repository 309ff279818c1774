"""The compact network as data that the page can run: a chain of layers and their numbers, float32, in base64."""

import base64
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

MOST_BYTES = 600_000  # of the numbers, before base64


def runnable(network: nn.Module, about: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What forward() in network.js takes, or None for a network that the page cannot run.

    about: the `data` of the network's file. It has to be a chain of Linear, Conv2d, MaxPool2d and ReLU layers on grey images."""
    size = sum(parameter.numel() * 4 for parameter in network.parameters())
    if not isinstance(network, nn.Sequential) or not about or "mean" not in about or size > MOST_BYTES:
        return None
    shape = about["input_shape"]
    if len(shape) != 3 or shape[0] != 1:
        return None
    layers, numbers = [], []
    for name, module in network.named_children():
        found = _layers(module)
        if found is None:
            return None
        for layer in found:
            numbers += [tensor.detach().float().cpu().reshape(-1) for tensor in layer.pop("tensors", ())]
            layers.append({"name": name, **layer})
    content = torch.cat(numbers).numpy().astype("<f4").tobytes()
    return {"shape": shape, "mean": about["mean"][0], "std": about["std"][0], "classes": about["classes"], "layers": layers,
            "numbers": base64.b64encode(content).decode()}


def _layers(module: nn.Module) -> list[dict[str, Any]] | None:
    """The layers of the page that do what `module` does in evaluation, or None where there are none such."""
    if isinstance(module, nn.Flatten | nn.Dropout | nn.Identity):
        return []  # tensors lie flat there
    if isinstance(module, nn.ReLU):
        return [{"kind": "relu"}]
    if isinstance(module, nn.Linear):
        rows = getattr(module, "index", None)  # of one that reads some of its features
        return [*([] if rows is None else [{"kind": "pick", "rows": rows.tolist()}]),
                {"kind": "linear", "units": module.out_features, "tensors": (module.weight, _bias(module, module.out_features))}]
    if isinstance(module, nn.MaxPool2d) and module.padding == 0 and module.dilation == 1 and not module.ceil_mode:
        return [{"kind": "pool", "size": _one(module.kernel_size), "step": _one(module.stride)}] if _square(module) else None
    if isinstance(module, nn.Conv2d) and module.groups == 1 and module.dilation == (1, 1) and module.padding_mode == "zeros" \
            and isinstance(module.padding, tuple) and _square(module):
        return [{"kind": "conv", "units": module.out_channels, "size": _one(module.kernel_size), "step": _one(module.stride),
                 "padding": _one(module.padding), "tensors": (module.weight, _bias(module, module.out_channels))}]
    return None


def _bias(module: nn.Linear | nn.Conv2d, units: int) -> torch.Tensor:
    return torch.zeros(units) if module.bias is None else module.bias


def _square(module: nn.Conv2d | nn.MaxPool2d) -> bool:
    found = (module.kernel_size, module.stride, module.padding)
    return all(not isinstance(each, tuple) or len(set(each)) == 1 for each in found)


def _one(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]
