"""The benchmark stage on small networks: which engines have rows, where figures of the metrics come from, and what is recommended."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_export_stage import workspace  # noqa: F401  a fixture
from test_recipes import compose

from sparsify import export as files
from sparsify.measure import latency
from stages import benchmark, engines, export, runtime

QUICK = ("recipe=smoke", "model.name=lenet-300-100", "model.width=0.1")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Without the processes of their own, which take seconds to start; tests/measure/test_footprint.py has those."""
    monkeypatch.setattr(benchmark, "peaks", lambda jobs, at_once: {way: [1, 20, 30] for way in jobs})
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run(*overrides):
    compose(Path("params.yaml"), *QUICK, "benchmark.repeats=2", *overrides)
    runtime.main(benchmark.benchmark)
    with open("plots/latency.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return json.loads(Path("metrics/benchmark.json").read_text())["benchmark"], rows


def exported(*overrides):
    pytest.importorskip("onnxruntime")
    compose(Path("params.yaml"), *QUICK, *overrides)
    runtime.main(export.export_networks)


@pytest.mark.parametrize("normalise", ["false", "true"])
def test_every_engine_has_a_row_for_each_network_batch_and_number_of_threads(normalise):
    exported(f"export.normalise={normalise}")
    report, rows = run(f"export.normalise={normalise}", "benchmark.threads=[2,1]", "benchmark.batch_sizes=[50,1]")
    settings = [(row["engine"], row["network"], row["batch"], row["threads"]) for row in rows]
    assert settings == [(engine, network, batch, threads) for threads in ("2", "1") for batch in ("1", "50")
                        for engine in ("eager", "onnxruntime", "int8") for network in ("dense", "compact")]
    for row in rows:
        assert 0 < float(row["q25"]) <= float(row["median"]) <= float(row["q75"])
        assert int(row["file_bytes"]) == engines.file_of(row["engine"], row["network"]).stat().st_size
        assert row["peak_memory_bytes"] == {"1": "20", "50": "30"}[row["batch"]]  # the first step is the network's loading
    for network in ("dense", "compact"):
        [row] = [row for row in rows if (row["engine"], row["network"], row["batch"], row["threads"]) == ("eager", network, "50", "2")]
        assert report[network]["latency_ms_batch_50"]["median"] == float(row["median"])
    assert report["threads"] == 2 and set(report["speedup"]) == {"batch_1", "batch_50"}


def test_the_fastest_that_is_accurate_enough_is_recommended():
    rows = [{"engine": engine, "network": "compact", "batch": batch, "threads": 1, "median": ms}
            for batch, times in ((1, {"eager": 3.0, "int8": 2.0}), (8, {"eager": 4.0, "int8": 5.0})) for engine, ms in times.items()]
    found = benchmark._recommended(rows, {("eager", "compact"): 90.0, ("int8", "compact"): 89.6})
    assert found == {"batch_1": {"choice": "compact, int8, threads: 1", "latency_ms": 2.0, "validation_accuracy": 89.6},
                     "batch_8": {"choice": "compact, eager, threads: 1", "latency_ms": 4.0, "validation_accuracy": 90.0}}


@pytest.mark.parametrize(("lost", "chosen"), [(0.4, "int8"), (0.6, "eager")])
def test_what_loses_more_than_is_allowed_is_not_recommended(lost, chosen, monkeypatch):
    exported("export.normalise=false")
    path = runtime.METRICS / "export.json"
    content = json.loads(path.read_text())
    accuracy = content["export"]["compact"]["pt2"]["validation_accuracy"]
    for kind in ("onnx", "int8"):
        for network in ("dense", "compact"):
            content["export"][network][kind]["validation_accuracy"] = accuracy - (lost if kind == "int8" else 50)
    path.write_text(json.dumps(content))
    monkeypatch.setattr(benchmark, "latencies_ms", lambda fed, *_: {name: [1.0 if "int8" in name else 2.0] for name in fed})
    report, _ = run()
    assert {found["choice"].split(", ")[1] for found in report["recommended"].values()} == {chosen}


def test_missing_packages_are_named_once_and_torch_is_timed(monkeypatch, capfd):
    monkeypatch.setattr(files, "missing", lambda: ["onnxruntime"])
    _, rows = run()
    assert {row["engine"] for row in rows} == {"eager"}
    said = [line for line in capfd.readouterr().err.splitlines() if "benchmark:" not in line]
    assert said == ["onnxruntime not installed: no rows of onnxruntime, int8; pip install onnxruntime adds them"]


def test_a_file_that_the_export_left_out_has_no_rows(capfd):
    exported()
    runtime.exported("dense", "int8").unlink()
    _, rows = run()
    assert {(row["engine"], row["network"]) for row in rows if row["engine"] == "int8"} == {("int8", "compact")}
    assert "no rows of int8 dense: models/export/dense-int8.onnx was not written by the stage export" in capfd.readouterr().err


def test_without_a_compiler_its_rows_are_left_out_with_one_line(monkeypatch, capfd):
    def broken(self, *_, **__):
        self.forward = lambda _: (_ for _ in ()).throw(RuntimeError("No working C++ compiler found\nin [g++]"))
    monkeypatch.setattr(torch.nn.Module, "compile", broken)
    _, rows = run("benchmark.engines=[compile]")
    assert {row["engine"] for row in rows} == {"eager"}
    said = [line for line in capfd.readouterr().err.splitlines() if "no rows" in line]
    assert said[0] == "no rows of compile dense: torch.compile fails (RuntimeError: No working C++ compiler found)"


def test_metrics_of_another_export_are_named(capfd):
    exported()
    (runtime.METRICS / "export.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"metrics/export\.json does not hold the figures of export"):
        run()


@pytest.mark.parametrize(("dense", "compact", "times"), [(0.006, 0.002, 3.0), (0.002, 0.006, 1 / 3)])
def test_the_speed_up_is_the_time_of_the_dense_network_over_that_of_the_compact_one(dense, compact, times, monkeypatch):
    """By a clock that each pass moves on by the seconds of its network."""
    clock, made = [0.0], engines.made

    def named(engine, network, *arguments, **more):
        runs = made(engine, network, *arguments, **more)
        runs.seconds = {"dense": dense, "compact": compact}[network]
        return runs

    def passed(self, _):
        clock[0] += self.network.seconds
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(engines, "made", named)
    monkeypatch.setattr(engines.Fed, "forward", passed)
    report, rows = run("benchmark.engines=[eager]", "benchmark.threads=[1]", "benchmark.batch_sizes=[1,16]")
    for batch in ("1", "16"):
        medians = {row["network"]: float(row["median"]) for row in rows if row["batch"] == batch}
        assert medians == {"dense": pytest.approx(1e3 * dense), "compact": pytest.approx(1e3 * compact)}
        assert {name: report[name][f"latency_ms_batch_{batch}"]["median"] for name in medians} == pytest.approx(medians)
        assert report["speedup"][f"batch_{batch}"]["median"] == pytest.approx(times)
        assert report["recommended"][f"batch_{batch}"]["choice"].startswith("compact" if compact < dense else "dense")
