"""The forward pass of a sparsified network in every form, against its dense parent and against the hardware.

    python -m benchmarks.inference                        all built-in networks, with random weights
    python -m benchmarks.inference --dense models/baseline.safetensors --compact models/compact.safetensors

Wanted: at the largest batch on one thread a compact MNIST network has at least half of the speed-up that its multiply-accumulates promise.
Time hardly depends on the values of weights, but for max pooling, which is faster where neighbours are equal."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks import contenders, inference_tables, report, roofline
from sparsify import export, models
from sparsify.compress import cut, store
from sparsify.compress.masks import mask
from sparsify.compress.remove import remove
from sparsify.measure.latency import latencies_ms, quartiles
from sparsify.settings import InputError
from sparsify.structure import analyse
from stages import runtime, style
from stages.program import program

MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
BATCHES = {MNIST: (1, 64, 10_000), CIFAR: (1, 64, 256)}
CSR_ZEROS = 0.98
ROUND_MS = 5.0  # long enough for the caches that the contender before left behind not to matter
PART = 128  # images at a time, for those contenders that divide a batch


@dataclass(frozen=True)
class Network:
    """An architecture, and what is kept of it: units by hidden layer, and pixels, if not all of them are read."""

    architecture: str
    shape: tuple[int, int, int]
    units: Sequence[int]
    pixels: int | None = None
    width: float = 1.0


NETWORKS = {
    "lenet-300-100 784-56-24": Network("lenet-300-100", MNIST, (56, 24)),
    "lenet-300-100 97-71-33": Network("lenet-300-100", MNIST, (71, 33), pixels=97),
    "lenet5 5-10-16": Network("lenet5", MNIST, (5, 10, 16)),
    "mlp 100-100-50-20": Network("mlp", MNIST, (100, 100, 50, 20)),
    "vgg16/4 half": Network("vgg16", CIFAR, (8, 8, 16, 16, 32, 32, 32, *[64] * 7), width=0.25),
    "vgg16 half": Network("vgg16", CIFAR, (32, 32, 64, 64, 128, 128, 128, *[256] * 7)),
}


def pair(network: Network) -> tuple[nn.Module, nn.Module, nn.Module]:
    """The dense network with random weights, what is left of it, and itself with zeros in place of the rest: random units go, as time
    only depends on how many."""
    dense = models.build(network.architecture, network.shape, 10, network.width).eval()
    images = torch.rand(2, *network.shape)
    structure = analyse(dense, images)
    hidden = {name: stream.size for name, stream in structure.shrinkable().items()}
    keep = {name: _some(size, count) for (name, size), count in zip(hidden.items(), network.units, strict=True)}
    if network.pixels is not None:
        keep["input"] = _some(structure.streams["input"].size, network.pixels)
    small, _ = remove(dense, images, keep, structure=structure)
    return dense, small.eval(), mask(dense, images, keep, structure=structure)


def _some(size: int, count: int) -> Tensor:
    """True at `count` places, drawn at random.  -> (size,) bool"""
    return torch.randperm(size) < count


def rows_of(label: str, dense: nn.Module, small: nn.Module, zeroed: nn.Module, shape: Sequence[int], batches: Sequence[int],
            threads: Sequence[int], repeats: int) -> list[report.Row]:
    """One row for each contender at each batch size and number of threads."""
    plain = {"dense": dense, "compact": small}
    files = contenders.onnx_files(plain, torch.rand(64, *shape))
    with_csr = sum(isinstance(layer, nn.Linear) for layer in contenders.weighted(dense).values()) > 2 or shape == MNIST
    ways = {**plain, "masked dense": zeroed, "torch prune": contenders.reparametrised(zeroed),
            **({f"CSR, {CSR_ZEROS:.0%} zeros": contenders.sparse(dense, CSR_ZEROS)} if with_csr else {}),
            **{f"torch int8 {name}": contenders.int8(model) for name, model in plain.items()}}
    rows = []
    for n_threads in threads:
        torch.set_num_threads(n_threads)
        ways |= {name: export.OnnxRuntime(content, n_threads) for name, content in files.items()}
        for batch_size in batches:
            parts = {f"{name} in {PART}s": contenders.InParts(model, PART) for name, model in plain.items() if batch_size > PART}
            works = {name: roofline.work(model, shape, batch_size) for name, model in plain.items()}
            products = {"BLAS": roofline.MatrixProducts(False), "convolution": roofline.MatrixProducts(True)}
            rates = {**products, **{f"copy {name}": roofline.Copy(work.bytes) for name, work in works.items()}}
            times = latencies_ms({**rates, **ways, **parts}, torch.rand(batch_size, *shape), repeats, ROUND_MS)
            medians = {name: quartiles(values)[1] for name, values in times.items()}
            macs_per_ms = max(product.macs / medians[name] for name, product in products.items())
            bounds = {name: roofline.bound_ms(work, macs_per_ms, rates[f"copy {name}"].bytes / medians[f"copy {name}"])
                      for name, work in works.items()}

            def speedup(slow: str, fast: str, times: Mapping[str, list[float]] = times) -> float:
                return report.spread([s / f for s, f in zip(times[slow], times[fast], strict=True)], 3)["median"]

            for name in (*ways, *parts):
                kind = "compact" if "compact" in name else "dense"
                time, small_work = report.spread(times[name]), kind == "compact"
                rows.append({
                    "network": label, "batch": batch_size, "threads": n_threads, "contender": name,
                    "ms": time["median"], "q25": time["q25"], "q75": time["q75"], "speed-up": speedup("dense", name),
                    "over its dense": speedup(name.replace("compact", "dense"), name) if small_work else None,
                    "by MACs": _round(works["dense"].macs / works["compact"].macs) if small_work else None,
                    "by roofline": _round(bounds["dense"] / bounds["compact"]) if small_work else None,
                    "bound ms": _round(bounds[kind]) if "CSR" not in name else None,
                    "share of bound %": _round(100 * bounds[kind] / time["median"]) if "CSR" not in name else None})
    return rows


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def _from_files(dense_path: Path | str, compact_path: Path | str) -> tuple[nn.Module, nn.Module, nn.Module, tuple[int, int, int]]:
    """As `pair`, of what the stages wrote; and the shape of one image."""
    architecture = store.architecture_of(dense_path, store.header(dense_path))
    if architecture is None:
        raise InputError(f"{dense_path} holds a network of a class of its own; this takes built-in ones")
    channels, height, width = architecture.input_shape
    dense, small = store.load(dense_path), store.load(compact_path)
    images = torch.rand(2, channels, height, width)
    structure = analyse(dense, images)
    keep = {name: units for name, units in cut.alive_in(structure, small).items() if not units.all()}
    return dense, small, mask(dense, images, keep, structure=structure), (channels, height, width)


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dense", help="model file; with --compact, in place of the built-in networks")
    parser.add_argument("--compact", help="model file")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    if (arguments.dense is None) != (arguments.compact is None):
        parser.error("--dense and --compact go together")
    runtime.keep_freed_memory()  # as the stages do; else page faults are most of the time at the largest batch
    torch.manual_seed(0)
    about = report.provenance("onnxruntime", n=arguments.repeats, interleaved=True)
    rows = []
    if arguments.dense:
        dense, small, zeroed, shape = _from_files(arguments.dense, arguments.compact)
        batches = BATCHES.get(shape, BATCHES[CIFAR])
        rows = rows_of(arguments.compact, dense, small, zeroed, shape, batches, arguments.threads, arguments.repeats)
    for label in [] if arguments.dense else arguments.networks:
        print(f"{label} ...", file=sys.stderr, flush=True)
        network = NETWORKS[label]
        rows += rows_of(label, *pair(network), network.shape, BATCHES[network.shape], arguments.threads, arguments.repeats)
    print(about, *map(report.table, inference_tables.all_of(rows)), sep="\n\n")
    name = "inference_files" if arguments.dense else "inference" if arguments.networks == list(NETWORKS) else "inference_some"
    report.write(name, about, rows)
    if name == "inference":
        style.save(report.RESULTS / "inference.png", inference_tables.picture(rows))


if __name__ == "__main__":
    main()
