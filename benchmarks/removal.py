"""The time of a physical removal against the number of parameters, 1 to 100 million, beside torch-pruning's of the same units.

    python -m benchmarks.removal

Half of the units of every hidden layer go. Ours is masks.apply and compact; torch-pruning's is a copy, its dependency graph, and one
group a layer, as neither may change the network it is given. Both results have equal widths; so their latency is compared too."""

import argparse
import copy
import time
from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from sparsify.compress.compact import compact
from torch import Tensor, nn

from benchmarks import report
from sparsify import artifacts, models
from sparsify.compress import masks
from sparsify.measure.latency import latencies_ms
from stages import runtime

SHAPES = {"mlp": (1, 28, 28), "vgg16": (3, 32, 32)}
WIDTHS = {"mlp": (0.58, 1.15, 2.25, 4.25, 7.7), "vgg16": (0.26, 0.45, 0.82, 1.5, 2.6)}  # about 1, 3, 10, 32 and 100 million parameters
LATENCY_BATCH = 16

Dead = dict[str, list[int]]  # by hidden layer, the units that go


def ours(model: nn.Sequential, dead: Dead, _: Tensor) -> nn.Sequential:
    layers = models.weighted_layers(model)
    kept = {}
    for name, units in dead.items():
        kept[name] = torch.ones(len(layers[name].weight), *[1] * (layers[name].weight.ndim - 1), dtype=torch.bool)
        kept[name][units] = False
    return compact(masks.apply(model, kept))


def torch_pruning(model: nn.Sequential, dead: Dead, images: Tensor) -> nn.Sequential:
    import torch_pruning as tp

    small = copy.deepcopy(model)
    graph = tp.DependencyGraph().build_dependency(small, images)
    for name, units in dead.items():
        layer = small.get_submodule(name)
        prune = tp.prune_linear_out_channels if isinstance(layer, nn.Linear) else tp.prune_conv_out_channels
        graph.get_pruning_group(layer, prune, units).prune()
    return small


def rows_of(kind: str, width: float, ways: dict[str, Callable], repeats: int) -> list[report.Row]:
    """One row a way: the time of the removal, and the latency of what it leaves, interleaved."""
    model = models.build(kind, SHAPES[kind], 10, width).eval()
    dead = {name: torch.randperm(len(layer.weight))[:len(layer.weight) // 2].sort().values.tolist()
            for name, layer in list(models.weighted_layers(model).items())[:-1]}
    images = torch.rand(LATENCY_BATCH, *SHAPES[kind])
    small = {way: remove(model, dead, images[:1]).eval() for way, remove in ways.items()}  # the warm-up too
    gap = max((each(images) - small["ours"](images)).abs().max().item() for each in small.values())
    if gap > 1e-3:
        raise RuntimeError(f"the ways disagree by {gap:.2g} in the logits of {kind} at width {width}")
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, remove in ways.items():
            start = time.perf_counter()
            remove(model, dead, images[:1])
            seconds[way].append(time.perf_counter() - start)
    latency = latencies_ms({"before": model, **small}, images, repeats)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    rows = []
    for way in ways:
        removal, passes = report.spread([1e3 * each for each in seconds[way]], 3), report.spread(latency[way], 3)
        rows.append({"network": kind, "parameters": parameters, "way": way, "removal ms": removal["median"], "q25": removal["q25"],
                     "q75": removal["q75"], f"latency ms, batch {LATENCY_BATCH}": passes["median"],
                     "latency q25": passes["q25"], "latency q75": passes["q75"],
                     "latency before": report.spread(latency["before"], 3)["median"]})
    return rows


def exponents(rows: list[report.Row]) -> dict[str, float]:
    """By network and way, the slope of the removal's time against parameters in logarithms."""
    fitted = {}
    for kind, way in dict.fromkeys((row["network"], row["way"]) for row in rows):
        points = [(row["parameters"], row["removal ms"]) for row in rows if (row["network"], row["way"]) == (kind, way)]
        if len(points) > 1:
            fitted[f"{kind}, {way}"] = round(report.exponent(*zip(*points, strict=True)), 2)
    return fitted


def plot(rows: list[report.Row], fitted: dict[str, float]) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for label, slope in fitted.items():
        points = [row for row in rows if f"{row['network']}, {row['way']}" == label]
        axes.errorbar([row["parameters"] for row in points], [row["removal ms"] for row in points], fmt=".-",
                      yerr=[[row["removal ms"] - row["q25"] for row in points], [row["q75"] - row["removal ms"] for row in points]],
                      label=f"{label}: exponent {slope:.2f}")
    axes.set(xscale="log", yscale="log", xlabel="parameters before", ylabel="removal (ms)", title="half of the hidden units removed")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", default=list(WIDTHS), choices=WIDTHS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    runtime.keep_freed_memory()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    ways = {"ours": ours} | ({"torch-pruning": torch_pruning} if report.optional("torch_pruning") else {})
    about = report.provenance("torch-pruning", n=arguments.repeats, interleaved=True)
    rows = [row for kind in arguments.networks for width in WIDTHS[kind] for row in rows_of(kind, width, ways, arguments.repeats)]
    about["exponents"] = exponents(rows)
    print(about, report.table(rows), sep="\n")
    report.write("removal", about, rows)
    artifacts.write_picture(report.RESULTS / "removal.png", plot(rows, about["exponents"]))


if __name__ == "__main__":
    main()
