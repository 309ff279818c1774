"""The export stage on small networks: which files it leaves, what it says of them, and what it does where something is missing."""

import json
from pathlib import Path

import pytest
import torch
from test_recipes import compose

from sparsify import data
from sparsify import export as files
from sparsify.compress import store
from sparsify.measure.accuracy import quality
from sparsify.models import Architecture
from stages import export, runtime

ARCHITECTURE = Architecture("lenet-300-100", (1, 28, 28), 10, 0.1)
ALL = {f"models/export/{network}{end}" for network in ("dense", "compact") for end in (".onnx", "-int8.onnx", ".pt2")}


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """A data set and two networks, in the working directory."""
    monkeypatch.chdir(tmp_path)
    train, test = (data.Raw(torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8), torch.arange(n) % 10) for n in (120, 30))
    data.save(runtime.DATASET, train, test, 20, seed=0)
    for path in (runtime.BASELINE, runtime.COMPACT):
        store.save(ARCHITECTURE.build(), path, architecture=ARCHITECTURE, data={"classes": list("abcdefghij")})


def run(*overrides):
    compose(Path("params.yaml"), "recipe=smoke", "model.name=lenet-300-100", "model.width=0.1", *overrides)
    runtime.main(export.export_networks)
    return json.loads(Path("metrics/export.json").read_text())["export"], {str(path) for path in runtime.EXPORT.iterdir()}


def test_files_are_worth_what_the_metrics_say(capfd):
    pytest.importorskip("onnxruntime")
    report, written = run()
    assert written == ALL and capfd.readouterr().out.startswith("6 files, the answers of those in float32 within ")
    test = data.load(runtime.DATASET).test
    for name, path in (("dense", runtime.BASELINE), ("compact", runtime.COMPACT)):
        expected = quality(store.load(path), test)
        for kind in ("onnx", "pt2", "int8"):
            figures = report[name][kind]
            assert figures["bytes"] == runtime.exported(name, kind).stat().st_size
            close = 1e-5 if kind != "int8" else 0.1
            assert figures["nll"] == pytest.approx(expected["nll"], abs=close)
            if kind != "int8":
                assert figures["accuracy"] == pytest.approx(expected["accuracy"]) and figures["largest_gap"] < export.TOLERANCE
        session = files.OnnxRuntime(runtime.exported(name, "int8"), 1)
        right = (session(test[:]).argmax(1) == test.labels).double().mean().item()
        assert 100 * right == pytest.approx(report[name]["int8"]["accuracy"])


def test_a_file_with_the_normalisation_inside_takes_the_images_as_they_are_stored():
    pytest.importorskip("onnxruntime")
    run("export.normalise=true")
    test = data.load(runtime.DATASET).test
    stored = test.inputs
    assert stored.dtype == torch.uint8
    with torch.inference_mode():
        expected = store.load(runtime.COMPACT)(test[:])
    for found in (files.OnnxRuntime(runtime.exported("compact", "onnx"), 1)(stored),
                  files.run_pt2(runtime.exported("compact", "pt2").read_bytes())(stored)):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_missing_packages_are_named_once_and_the_rest_is_written(monkeypatch, capfd):
    monkeypatch.setattr(files, "missing", lambda: ["onnx", "onnxscript"])
    runtime.EXPORT.mkdir(parents=True, exist_ok=True)
    for kind in ("onnx", "int8"):  # of a run before
        runtime.exported("dense", kind).write_text("old")
    report, written = run()
    assert written == {path for path in ALL if path.endswith(".pt2")}
    assert set(report["dense"]) == set(report["compact"]) == {"pt2"}
    [line] = [line for line in capfd.readouterr().err.splitlines() if "export:" not in line]
    assert line == "onnx, onnxscript not installed: no ONNX files; pip install onnx onnxscript adds them"


def test_a_network_that_one_exporter_cannot_take_is_one_line_and_the_others_go_on(monkeypatch, capfd):
    pytest.importorskip("onnxruntime")
    right, calls = files.onnx, []

    def onnx(graph, about):
        calls.append(about["network"])
        if about["network"] == "dense":
            raise files.InputError("the network cannot be exported as ONNX (NoRule: fft)")
        return right(graph, about)
    monkeypatch.setattr(files, "onnx", onnx)
    runtime.exported("dense", "onnx").parent.mkdir(parents=True)
    runtime.exported("dense", "onnx").write_text("of a run before")
    report, written = run()
    assert calls == ["dense", "compact"] and written == ALL - {"models/export/dense.onnx", "models/export/dense-int8.onnx"}
    assert set(report["dense"]) == {"pt2"} and set(report["compact"]) == {"pt2", "onnx", "int8"}
    said = [line for line in capfd.readouterr().err.splitlines() if "left out" in line]
    assert said == ["models/export/dense.onnx is left out: the network cannot be exported as ONNX (NoRule: fft)"]


def test_a_file_that_answers_otherwise_is_not_written(monkeypatch, capfd):
    class Off(files.OnnxRuntime):
        def forward(self, x):
            return super().forward(x) + 0.01
    monkeypatch.setattr(files, "OnnxRuntime", Off)
    report, written = run()
    assert written == {path for path in ALL if path.endswith(".pt2")} and "onnx" not in report["dense"]
    assert "its logits differ from the network's by" in capfd.readouterr().err
