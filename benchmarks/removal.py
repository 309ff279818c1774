"""The time of a physical removal against the number of parameters, 1 to 100 million, and the networks on which it is right at all.

    python -m benchmarks.removal                    both
    python -m benchmarks.removal --scaling mlp      the times alone, of these networks
    python -m benchmarks.removal --networks unet    the table of networks alone, of these (removal_networks.py); of all where none is named

Both stand beside torch-pruning's. For the times half of the units of every hidden layer go, and it is asked for the same ones. Analysis:
ours finds the streams, torch-pruning its dependency graph. Removal: ours slices a copy (`draft`), torch-pruning copies, as neither may
change the network that it is given, and prunes one group a layer. Proven: ours once more, with the masked network and the comparison
(`remove`), for which the other has nothing. Both results have equal widths; so their latency is compared too."""

import argparse
import copy
import time
from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchmarks import removal_networks, report
from sparsify import models, structure
from sparsify.compress.remove import draft, remove
from sparsify.measure.latency import latencies_ms
from stages import runtime, style

SHAPES = {"mlp": (1, 28, 28), "vgg16": (3, 32, 32)}
WIDTHS = {"mlp": (0.58, 1.15, 2.25, 4.25, 7.7), "vgg16": (0.26, 0.45, 0.82, 1.5, 2.6)}  # about 1, 3, 10, 32 and 100 million parameters
LATENCY_BATCH = 16
COLORS = {"mlp": style.BLUE, "vgg16": style.VERMILION}
LINES = {"ours": ("-", "o"), "torch-pruning": ("--", "s")}

Keep = dict[str, Tensor]  # by stream, here one a hidden layer, which units stay
Done = tuple[nn.Module, float, float, float]  # what is left; the seconds of the analysis, of the removal without, and with its proof


def ours(model: nn.Module, keep: Keep, images: Tensor) -> Done:
    start = time.perf_counter()
    found = structure.analyse(model, images)
    analysed = time.perf_counter()
    draft(model, found, keep, {})
    drafted = time.perf_counter()
    small, _ = remove(model, images, keep, structure=found)
    return small, analysed - start, drafted - analysed, time.perf_counter() - drafted


def torch_pruning(model: nn.Module, keep: Keep, images: Tensor) -> Done:
    import torch_pruning as tp

    start = time.perf_counter()
    small = copy.deepcopy(model)
    copied = time.perf_counter()
    graph = tp.DependencyGraph().build_dependency(small, images)
    analysed = time.perf_counter()
    for name, units in keep.items():
        layer = small.get_submodule(name)
        prune = tp.prune_linear_out_channels if isinstance(layer, nn.Linear) else tp.prune_conv_out_channels
        graph.get_pruning_group(layer, prune, (~units).nonzero().flatten().tolist()).prune()
    return small, analysed - copied, time.perf_counter() - analysed + copied - start, 0.0


def rows_of(kind: str, width: float, ways: dict[str, Callable[..., Done]], repeats: int) -> list[report.Row]:
    """One row a way: the time of the removal, and the latency of what it leaves, interleaved."""
    model = models.build(kind, SHAPES[kind], 10, width).eval()
    images = torch.rand(LATENCY_BATCH, *SHAPES[kind])
    keep = {name: torch.randperm(stream.size) >= stream.size // 2
            for name, stream in structure.streams(model, images[:1]).items() if stream.fixed is None}
    small = {way: remove_by(model, keep, images[:1])[0].eval() for way, remove_by in ways.items()}  # the warm-up too
    gap = max((each(images) - small["ours"](images)).abs().max().item() for each in small.values())
    if gap > 1e-3:
        raise RuntimeError(f"the ways disagree by {gap:.2g} in the logits of {kind} at width {width}")
    seconds: dict[str, list[tuple[float, ...]]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, remove_by in ways.items():
            seconds[way].append(remove_by(model, keep, images[:1])[1:])
    latency = latencies_ms({"before": model, **small}, images, repeats)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    rows = []
    for way in ways:
        analysis, removal, proven = (report.spread([1e3 * each for each in times], 3) for times in zip(*seconds[way], strict=True))
        passes = report.spread(latency[way], 3)
        rows.append({"network": kind, "parameters": parameters, "way": way, "analysis ms": analysis["median"],
                     "removal ms": removal["median"], "q25": removal["q25"], "q75": removal["q75"], "proven ms": proven["median"] or None,
                     f"latency ms, batch {LATENCY_BATCH}": passes["median"], "latency q25": passes["q25"], "latency q75": passes["q75"],
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
    """Median and quartiles by network and way."""
    figure = style.figure(3.8, "A removal of half of the hidden units")
    axes, labels = figure.subplots(), []
    for label, slope in fitted.items():
        points = [row for row in rows if f"{row['network']}, {row['way']}" == label]
        network, way = label.split(", ")
        color, line, marker = COLORS[network], *LINES[way]
        axes.errorbar([row["parameters"] for row in points], [row["removal ms"] for row in points], linestyle=line, marker=marker,
                      color=color, yerr=[[row["removal ms"] - row["q25"] for row in points],
                                         [row["q75"] - row["removal ms"] for row in points]])
        labels.append(style.Label(f"{label}:\nexponent {slope:.2f}", points[-1]["parameters"], points[-1]["removal ms"], color))
    axes.set(xscale="log", yscale="log", xlabel="parameters before", ylabel="removal (ms)")
    style.log_ticks(axes.xaxis)
    style.log_ticks(axes.yaxis)
    style.label_ends(axes, labels)
    return figure


def scaling(kinds: list[str], repeats: int) -> None:
    ways = {"ours": ours} | ({"torch-pruning": torch_pruning} if report.optional("torch_pruning") else {})
    about = report.provenance("torch-pruning", n=repeats, interleaved=True)
    rows = [row for kind in kinds for width in WIDTHS[kind] for row in rows_of(kind, width, ways, repeats)]
    about["exponents"] = exponents(rows)
    print(about, report.table(rows), sep="\n")
    report.write("removal", about, rows)
    style.save(report.RESULTS / "removal.png", plot(rows, about["exponents"]))


def compare(names: list[str]) -> None:
    about = report.provenance("torch-pruning", "torchvision", n=1)
    rows = removal_networks.rows(names, with_peer=report.optional("torch_pruning") is not None)
    about["networks"] = removal_networks.counts(rows)
    print(about, report.table(rows), sep="\n")
    report.write("removal_networks", about, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scaling", nargs="*", choices=WIDTHS, help="the times against parameters; of all networks where none is named")
    parser.add_argument("--networks", nargs="*", choices=removal_networks.NETWORKS, metavar="NETWORK", help="the table of networks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    runtime.keep_freed_memory()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    both = arguments.scaling is None and arguments.networks is None
    if both or arguments.scaling is not None:
        scaling(arguments.scaling or list(WIDTHS), arguments.repeats)
    if both or arguments.networks is not None:
        compare(arguments.networks or list(removal_networks.NETWORKS))


if __name__ == "__main__":
    main()
