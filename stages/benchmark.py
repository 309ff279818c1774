"""What the removal brought: size, work and time of the dense and the compact network, side by side."""

import torch

from sparsify import artifacts, data
from sparsify.measure.accuracy import accuracy_percent
from sparsify.measure.latency import latencies_ms, quartiles
from sparsify.measure.size import size
from sparsify.structure import analyse
from stages import networks, runtime
from stages.params import Params


def benchmark(params: Params) -> None:
    torch.set_num_threads(params.benchmark.threads)
    dataset = data.load(runtime.DATASET, runtime.device())
    architecture = networks.architecture(params, dataset)
    contenders = {name: networks.load(path, architecture)
                  for name, path in (("dense", runtime.BASELINE), ("compact", runtime.COMPACT))}
    example = networks.example(dataset)
    structure = analyse(contenders["dense"], example)
    report: dict[str, dict[str, float | dict[str, float]]] = {}
    for name, network in contenders.items():
        counted = size(network, structure, example)
        report[name] = {"accuracy": accuracy_percent(network, dataset.test), "parameters": counted.parameters,
                        "macs": counted.macs, "bytes": counted.bytes}
    speedup = {}
    for batch_size in params.benchmark.batch_sizes:
        images = _batch(dataset.test, batch_size)
        times = latencies_ms(contenders, images, params.benchmark.repeats)
        for name in contenders:
            low, median, high = quartiles(times[name])
            report[name][f"latency_ms_batch_{batch_size}"] = {"median": median, "q25": low, "q75": high}
        ratios = [dense / compact for dense, compact in zip(times["dense"], times["compact"], strict=True)]
        low, median, high = quartiles(ratios)
        speedup[f"batch_{batch_size}"] = {"median": median, "q25": low, "q75": high}
    artifacts.write_json(runtime.METRICS / "benchmark.json", {"benchmark": {
        **report, "speedup": speedup, "repeats": params.benchmark.repeats, **runtime.provenance(params.seed)}})


def _batch(split: data.Split, batch_size: int) -> torch.Tensor:
    """The first inputs, over again where there are too few.  (batch_size, C, H, W) or (batch_size, F)"""
    return split[torch.arange(batch_size, device=split.labels.device) % len(split)]


if __name__ == "__main__":
    runtime.main(benchmark)
