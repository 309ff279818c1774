"""On which networks a structural removal is right: ours beside torch-pruning, on the zoo of the tests and on networks at full size.

A quarter of every stream goes, at random. torch-pruning is asked twice: for the same units, layer by layer, by its dependency graph; and
for a quarter of its own random choice, by its own pruner, which knows heads and groups. The reference of each tool is the network it was
given with all entries at zero that the tool took away. What torch-pruning took away is found without its bookkeeping: it is given a copy
whose every entry holds its own number, and the numbers that are left say which entries stay.

equal: logits to 1e-9 of the largest in float64. differs: by the share that is named. Each tool runs in a process of its own."""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from benchmarks import apart, report
from sparsify import models
from sparsify.compress import remove as removal
from sparsify.compress.proof import Proof
from sparsify.settings import InputError
from sparsify.structure import Stream, analyse
from tests.structure.masking import masked_by_hand, outputs, quarter
from tests.structure.zoo import CASES, Case, cast, hostile
from tests.structure.zoo.case import images

EXACT = 1e-9
FULL = {**{f"{name}, 224": Case(lambda name=name: get_model(name, weights=None), images(3, 224, 224))
           for name in ("resnet50", "vit_b_16", "shufflenet_v2_x0_5")},
        **{name: Case(lambda name=name, shape=shape: models.build(name, shape, 10), images(*shape))
           for name, shape in {"lenet-300-100": (1, 28, 28), "lenet5": (1, 28, 28), "mlp": (1, 28, 28), "vgg16": (3, 32, 32)}.items()}}
NETWORKS = {**FULL, **CASES}
LIMIT = 120  # seconds a tool and network
Found = apart.Found


def hidden(streams: Mapping[str, Stream]) -> dict[str, Stream]:
    """What a removal could take away: neither the network's input nor its output, which is what nothing reads and the graph names last."""
    last = list(streams)[-1:]
    return {name: stream for name, stream in streams.items()
            if stream.writers and (stream.readers or not (stream.fixed == "network output" or name in last))}


def prepared(name: str) -> tuple[nn.Module, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The network with every number at random, an example of two, and inputs of three for the comparison."""
    case = NETWORKS[name]
    torch.manual_seed(0)
    return hostile(case.build(), case.inputs(4)), cast(case.inputs(2), torch.float64), cast(case.inputs(3), torch.float64)


def verdict(small: nn.Module, masked: nn.Module, inputs: tuple[Tensor, ...], full: int) -> Found:
    left = sum(parameter.numel() for parameter in small.parameters()) / full
    if left == 1:
        return {"verdict": "removes nothing", "left": 1.0}
    found, expected = outputs(small.eval(), inputs), outputs(masked.eval(), inputs)
    gap = ((found - expected).abs().max() / expected.abs().max().clamp_min(1)).item() if found.shape == expected.shape else float("inf")
    return {"verdict": "equal" if gap <= EXACT else f"differs by {gap:.1g}", "left": round(left, 3)}


@contextmanager
def timed(owner: Any, name: str) -> Iterator[list[float]]:
    """The seconds that a function of `owner` takes, call by call."""
    seconds: list[float] = []
    plain = getattr(owner, name)

    def measured(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return plain(*args, **kwargs)
        finally:
            seconds.append(time.perf_counter() - start)
    setattr(owner, name, measured)
    try:
        yield seconds
    finally:
        setattr(owner, name, plain)


def ours(name: str) -> Found:
    model, example, inputs = prepared(name)
    full = sum(parameter.numel() for parameter in model.parameters())
    start = time.perf_counter()
    structure = analyse(model.float(), cast(example, torch.float32))
    analysis = time.perf_counter() - start
    model.double()
    torch.manual_seed(0)
    keep = quarter(structure.streams)
    with timed(Proof, "__init__") as asked, timed(Proof, "gap") as compared:
        start = time.perf_counter()
        try:
            small, about = removal.remove(model, example, keep, structure=structure)
        except InputError as error:
            return {"verdict": f"refuses: {error}"[:90]}
        whole, proof = time.perf_counter() - start, sum(asked) + sum(compared)
    reasons = [about.kept.get(each, stream.fixed) for each, stream in hidden(structure.streams).items()]
    kept = [reason for reason in reasons if reason]
    return {**verdict(small, masked_by_hand(model, structure.streams, keep), inputs, full),
            "cut": f"{len(reasons) - len(kept)} of {len(reasons)}", "because": kept[0] if kept else None, "parameters": full,
            "analysis s": round(analysis, 2), "slicing s": round(whole - proof, 2), "proof s": round(proof, 2)}


@torch.no_grad()
def numbered(model: nn.Module) -> nn.Module:
    """A copy whose every parameter and statistic holds the positions of its entries."""
    copied = copy.deepcopy(model)
    for tensor in (*copied.parameters(), *copied.buffers()):
        if tensor.is_floating_point():
            tensor.copy_(torch.arange(tensor.numel(), dtype=tensor.dtype).reshape(tensor.shape))
    return copied


@torch.no_grad()
def filled(cut: nn.Module, model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """From the numbers that are left in `cut`: the small network with the values of `model`, and `model` with the rest at zero."""
    masked = copy.deepcopy(model)
    values = dict(model.named_parameters()) | dict(model.named_buffers())
    zeroed = dict(masked.named_parameters())
    for name, tensor in (*cut.named_parameters(), *cut.named_buffers()):
        if tensor.is_floating_point():
            positions = tensor.detach().long().reshape(-1)
            tensor.copy_(values[name].reshape(-1)[positions].reshape(tensor.shape))
            if name in zeroed:
                zeroed[name].mul_(torch.zeros(values[name].numel()).index_fill_(0, positions, 1).reshape(values[name].shape))
    return cut, masked


def same_units(name: str) -> Found:
    """torch-pruning, asked for the units that ours is asked for, and for those of the streams that ours keeps."""
    import torch_pruning as tp

    model, example, inputs = prepared(name)
    structure = analyse(model, example)
    torch.manual_seed(0)
    keep = quarter(structure.streams)
    cut = numbered(model)
    graph = tp.DependencyGraph().build_dependency(cut, example)
    for each, stream in hidden(structure.streams).items():
        slot = stream.writers[0]
        if slot.module is None or stream.size < 2:
            continue
        units = ~keep[each] if each in keep else torch.randperm(stream.size) < max(1, stream.size // 4)
        layer = cut.get_submodule(slot.module)
        if layer not in graph.module2node:  # a head that runs in training alone
            continue
        places = torch.unravel_index(layer.weight.detach().long(), model.get_submodule(slot.module).weight.shape)[slot.dim]
        now = places.movedim(slot.dim, 0).flatten(1)[:, 0]  # which row of the whole layer stands where, after the removals so far
        gone = torch.isin(now, slot.index[units].reshape(-1)).nonzero().flatten().tolist()
        if 0 < len(gone) < len(now):
            graph.get_pruning_group(layer, graph.get_pruner_of_module(layer).prune_out_channels, gone).prune()
    return verdict(*filled(cut, model), inputs, sum(parameter.numel() for parameter in model.parameters()))


def own_choice(name: str) -> Found:
    """torch-pruning's own pruner, with a quarter of all channels, and with the heads of attention named as its manual says."""
    import torch_pruning as tp

    model, example, inputs = prepared(name)
    streams = analyse(model, example).streams
    cut = numbered(model)
    ends = [cut.get_submodule(slot.module) for each in streams.keys() - hidden(streams) for slot in streams[each].writers if slot.module]
    heads = {getattr(module, "qkv", module): module.num_heads for module in cut.modules()
             if hasattr(module, "num_heads") and (hasattr(module, "qkv") or isinstance(module, nn.MultiheadAttention))}
    tp.pruner.BasePruner(cut, example, importance=tp.importance.RandomImportance(), pruning_ratio=0.25, ignored_layers=ends,
                         num_heads=heads).step()
    return verdict(*filled(cut, model), inputs, sum(parameter.numel() for parameter in model.parameters()))


def rows(names: Sequence[str], with_peer: bool) -> list[report.Row]:
    analyse(nn.Linear(2, 2), torch.randn(2, 2))  # torch loads its exporter at the first call, once
    table = []
    for name in names:
        found = apart.answer(ours, name, LIMIT)
        ways = {"torch-pruning, same units": same_units, "torch-pruning, own choice": own_choice} if with_peer else {}
        peers = {way: apart.answer(tool, name, LIMIT) for way, tool in ways.items()}
        table.append({"network": name, "parameters": found.get("parameters"), "ours": found["verdict"], "streams cut": found.get("cut"),
                      "parameters left": found.get("left"), **{way: peer["verdict"] for way, peer in peers.items()},
                      **{f"left, {way.split(', ')[1]}": peer.get("left") for way, peer in peers.items()},
                      **{key: found.get(key) for key in ("analysis s", "slicing s", "proof s")}, "kept because": found.get("because")})
    return table


def counts(table: list[report.Row]) -> dict[str, dict[str, int]]:
    """By tool, on how many networks it is equal, differs, crashes or removes nothing."""
    tools = [key for key in table[0] if key == "ours" or key.startswith("torch-pruning")]
    said = {tool: [str(row[tool]).split(":")[0].split(" by")[0] for row in table] for tool in tools}
    return {tool: {word: words.count(word) for word in dict.fromkeys(sorted(words))} for tool, words in said.items()}
