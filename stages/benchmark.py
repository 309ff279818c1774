"""What the removal brought: size, work and time of the dense and the compact network, side by side, in every engine that is there.

metrics/benchmark.json has torch's own times with the first of `benchmark.threads`, and for each batch size the fastest way that loses no
more than `benchmark.max_accuracy_drop`; plots/latency.csv has every engine, batch size and number of threads, with memory and file."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from sparsify import artifacts, data, export
from sparsify.artifacts import FileError
from sparsify.measure.accuracy import accuracy_percent
from sparsify.measure.footprint import peaks
from sparsify.measure.latency import latencies_ms, quartiles
from sparsify.measure.size import size
from sparsify.models import Architecture
from sparsify.settings import InputError
from sparsify.structure import analyse
from stages import engines, networks, reports, runtime
from stages.engines import EAGER, MODELS, Way
from stages.params import Params

Row = dict[str, Any]


def benchmark(params: Params) -> None:
    dataset = data.load(runtime.DATASET, runtime.device())
    architecture, example = networks.architecture(params, dataset), networks.example(dataset)
    plain = {name: networks.load(path, architecture) for name, path in MODELS.items()}
    structure = analyse(plain["dense"], example)
    report: dict[str, Any] = {}
    for name, network in plain.items():
        counted = size(network, structure, example)
        report[name] = {"accuracy": accuracy_percent(network, dataset.test), "parameters": counted.parameters,
                        "macs": counted.macs, "bytes": counted.bytes}
    _check_fits(max(params.benchmark.batch_sizes), dataset)
    inputs = _Inputs(dataset.test, params.export.normalise)
    ways = _there(params.benchmark.engines, architecture, inputs)
    accuracy = _accuracies(ways, {name: accuracy_percent(network, dataset.validation) for name, network in plain.items()})
    threads = list(dict.fromkeys(runtime.threads(count) for count in params.benchmark.threads))
    rows = _rows(ways, architecture, inputs, threads, params)
    for row in rows:
        if row["engine"] == EAGER and row["threads"] == threads[0]:
            report[row["network"]][f"latency_ms_batch_{row['batch']}"] = {key: row[key] for key in ("median", "q25", "q75")}
    speedup = {f"batch_{row['batch']}": row.pop("speedup") for row in rows if "speedup" in row}
    least = accuracy[EAGER, "compact"] - params.benchmark.max_accuracy_drop
    torch.set_num_threads(threads[0])  # as the figures of the metrics have it
    artifacts.write_csv(runtime.PLOTS / "latency.csv", rows)
    artifacts.write_json(runtime.METRICS / "benchmark.json", {"benchmark": {
        **report, "speedup": speedup, "recommended": _recommended([row for row in rows if accuracy[_way(row)] >= least], accuracy),
        "repeats": params.benchmark.repeats, **runtime.provenance(params.seed)}})


def _check_fits(batch_size: int, dataset: data.Dataset) -> None:
    """Raises InputError where the largest batch, as it is stored, as floats and as the first layer's output, say, is more than is free."""
    needed, free = 3 * 4 * batch_size * math.prod(dataset.input_shape), data.memory.free(runtime.device())
    if needed > free:
        raise InputError(f"benchmark.batch_sizes has {batch_size:,}, which takes {needed / 1e9:.3g} GB; {free / 1e9:.3g} are free: "
                         "lower it")


class _Inputs:
    """Batches of inputs as an engine takes them: the first of `split`, over again where there are too few."""

    def __init__(self, split: data.Split, stored: bool):
        """stored: as files with the normalisation inside take them"""
        self.plain, self.stored = split, replace(split, scaling=None) if stored else split

    def __call__(self, engine: str, batch_size: int) -> Tensor:
        """On the CPU for files, else on the device.  (batch_size, C, H, W) or (batch_size, F)"""
        rows = torch.arange(batch_size, device=self.plain.labels.device) % len(self.plain)
        return self.stored[rows].cpu() if engine in engines.FILES else self.plain[rows]


def _there(chosen: Sequence[str], architecture: Architecture, inputs: _Inputs) -> list[Way]:
    """The engines that can run, each for both networks; one line says which cannot."""
    ways = []
    absent = [engine for engine in chosen if engine in engines.FILES] and export.missing()
    if absent:
        print(f"{', '.join(absent)} not installed: no rows of {', '.join(engines.FILES)}; pip install {' '.join(absent)} adds them",
              file=sys.stderr)
    for way in [(engine, name) for engine in dict.fromkeys((EAGER, *chosen)) for name in MODELS]:
        if absent and way[0] in engines.FILES:
            continue
        try:
            if not engines.file_of(*way).is_file():
                raise InputError(f"{engines.file_of(*way)} was not written by the stage export")
            engines.tried(*way, architecture, inputs(way[0], 2))
        except InputError as error:
            print(f"no rows of {' '.join(way)}: {error}", file=sys.stderr)
        else:
            ways.append(way)
    return ways


def _accuracies(ways: Sequence[Way], plain: Mapping[str, float]) -> dict[Way, float]:
    """On the validation set, which chooses; of files as the export measured it. plain: of the networks in torch"""
    path = runtime.METRICS / "export.json"
    try:
        exported = reports.figures(path, "export") if any(engine in engines.FILES for engine, _ in ways) else {}
        return {(engine, name): exported[name][engines.FILES[engine]]["validation_accuracy"] if engine in engines.FILES else plain[name]
                for engine, name in ways}
    except (KeyError, TypeError):
        raise FileError(f"{path} does not say what the files in {runtime.EXPORT} are worth") from None


def _rows(ways: Sequence[Way], architecture: Architecture, inputs: _Inputs, threads: Sequence[int], params: Params) -> list[Row]:
    """All contenders take turns; the eager compact one at the first number of threads carries the `speedup` too."""
    sizes = sorted(params.benchmark.batch_sizes)
    jobs = {way: (engines.passes, (*way, architecture, threads[0], [inputs(way[0], batch_size) for batch_size in sizes]))
            for way in ways if way[0] != engines.COMPILE}  # whose peak is the compiler's
    memory = {way: (found or [])[1:] for way, found in peaks(jobs, at_once=min(2, runtime.threads(0))).items()}
    rows: list[Row] = []
    with tqdm(total=len(threads) * len(sizes), desc="benchmark", unit=" settings", disable=None) as bar:
        for count in threads:
            torch.set_num_threads(count)
            made = {way: engines.made(*way, architecture, count) for way in ways}
            for batch_size in sizes:
                batches = {engine: inputs(engine, batch_size) for engine, _ in ways}
                fed = {" ".join(way): engines.Fed(network, batches[way[0]]) for way, network in made.items()}
                times = latencies_ms(fed, batches[EAGER], params.benchmark.repeats)
                for way in ways:
                    peak = dict(zip(sizes, memory.get(way, []), strict=False)).get(batch_size, "")
                    rows.append({"engine": way[0], "network": way[1], "batch": batch_size, "threads": count,
                                 **_spread(times[" ".join(way)]), "peak_memory_bytes": peak,
                                 "file_bytes": engines.file_of(*way).stat().st_size})
                    if way == (EAGER, "compact") and count == threads[0]:
                        both = zip(times[f"{EAGER} dense"], times[f"{EAGER} compact"], strict=True)
                        rows[-1]["speedup"] = _spread([dense / compact for dense, compact in both])
                bar.update()
    return rows


def _recommended(rows: Sequence[Row], accuracy: dict[Way, float]) -> dict[str, Row]:
    """By batch size, the fastest of the rows."""
    found = {}
    for batch_size in sorted({row["batch"] for row in rows}):
        best = min((row for row in rows if row["batch"] == batch_size), key=lambda row: row["median"])
        found[f"batch_{batch_size}"] = {"choice": f"{best['network']}, {best['engine']}, threads: {best['threads']}",
                                        "latency_ms": best["median"], "validation_accuracy": accuracy[_way(best)]}
    return found


def _way(row: Row) -> Way:
    return row["engine"], row["network"]


def _spread(values: list[float]) -> dict[str, float]:
    low, median, high = quartiles(values)
    return {"median": median, "q25": low, "q75": high}


if __name__ == "__main__":
    runtime.main(benchmark)
