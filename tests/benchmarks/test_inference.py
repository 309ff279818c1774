"""The roofline, worked out by hand, and contenders that answer as the network they stand for."""

import pytest
import torch

from benchmarks import contenders, inference, inference_tables, roofline
from sparsify import export, models
from sparsify.compress import store
from sparsify.compress.exact import PickingLinear


def lenet():
    return models.build("lenet-300-100", (1, 28, 28), 10).eval()


def test_bound_is_the_larger_of_arithmetic_and_traffic():
    assert roofline.bound_ms(roofline.Work(macs=600, bytes=100), macs_per_ms=200, bytes_per_ms=100) == 3
    assert roofline.bound_ms(roofline.Work(macs=600, bytes=500), macs_per_ms=200, bytes_per_ms=100) == 5


def test_work_of_lenet_300_100():
    weights, biases = 784 * 300 + 300 * 100 + 100 * 10, 300 + 100 + 10
    assert roofline.work(lenet(), (1, 28, 28), 64) == roofline.Work(64 * weights, 4 * (weights + biases) + 64 * 4 * (784 + 10))


def test_work_of_lenet5():
    weights, biases = 500 + 25_000 + 400_000 + 5_000, 20 + 50 + 500 + 10
    macs = 24 * 24 * 500 + 8 * 8 * 25_000 + 400_000 + 5_000
    found = roofline.work(models.build("lenet5", (1, 28, 28), 10), (1, 28, 28), 3)
    assert found == roofline.Work(3 * macs, 4 * (weights + biases) + 3 * 4 * (784 + 10))


def test_picked_features_are_read_by_whole_cache_lines():
    picking = PickingLinear(torch.nn.Linear(784, 2), torch.tensor([0, 15, 16]))  # 16 float32 a line
    assert roofline.input_bytes(torch.nn.Sequential(torch.nn.Flatten(), picking), (1, 28, 28)) == 2 * 64


@pytest.mark.parametrize("label", ["lenet-300-100 784-56-24", "lenet-300-100 97-71-33", "lenet5 5-10-16", "mlp 100-100-50-20"])
@torch.no_grad()
def test_built_in_networks_shrink_to_their_widths(label):
    network = inference.NETWORKS[label]
    dense, small, zeroed = inference.pair(network)
    weights = [layer.weight for layer in contenders.weighted(small).values()]
    assert [len(weight) for weight in weights] == [*network.units, 10]
    assert network.pixels is None or weights[0].shape[1] == network.pixels
    images = torch.rand(5, *network.shape)
    torch.testing.assert_close(small(images), zeroed(images), rtol=1e-4, atol=1e-5)
    assert [layer.weight.shape for layer in contenders.weighted(zeroed).values()] == [
        layer.weight.shape for layer in contenders.weighted(dense).values()]


def test_files_of_the_stages_are_contenders(tmp_path):
    network = inference.NETWORKS["lenet-300-100 97-71-33"]
    dense, small, _ = inference.pair(network)
    architecture = models.Architecture(network.architecture, network.shape, 10)
    for name, model in (("dense", dense), ("small", small)):
        store.save(model, tmp_path / f"{name}.safetensors", architecture=architecture)
    again, loaded, zeroed, shape = inference._from_files(tmp_path / "dense.safetensors", tmp_path / "small.safetensors")
    images = torch.rand(5, *shape)
    assert shape == network.shape and torch.equal(again(images), dense(images)) and torch.equal(loaded(images), small(images))
    torch.testing.assert_close(zeroed(images), small(images))


def test_contenders_answer_as_their_network():
    images = torch.rand(5, 1, 28, 28)
    _, _, zeroed = inference.pair(inference.NETWORKS["lenet-300-100 784-56-24"])
    expected = zeroed(images)
    for way in (contenders.reparametrised(zeroed), contenders.sparse(zeroed, 0.0), contenders.InParts(zeroed, 2)):
        torch.testing.assert_close(way.eval()(images), expected)


def test_onnxruntime_answers_as_its_network():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    _, small, _ = inference.pair(inference.NETWORKS["lenet-300-100 97-71-33"])
    images = torch.rand(5, 1, 28, 28)
    files = contenders.onnx_files({"compact": small}, images)
    torch.testing.assert_close(export.OnnxRuntime(files["onnxruntime compact"], 1)(images), small(images), atol=1e-5, rtol=1e-4)
    for kind in ("int8", "static int8"):
        assert (export.OnnxRuntime(files[f"onnxruntime {kind} compact"], 1)(images) - small(images)).abs().max() < 0.1


def test_tables_take_each_network_at_its_own_batches():
    def row(network, batch, contender, speedup, threads=1):
        compact = contender != "dense"
        return {"network": network, "batch": batch, "threads": threads, "contender": contender, "ms": 2.0, "speed-up": speedup,
                "by MACs": 8.0 if compact else None, "by roofline": 6.0 if compact else None,
                "over its dense": speedup / 2 if compact else None, "share of bound %": 50.0}

    rows = [row(network, batch, contender, speedup * batch) for network, batch in (("a", 1), ("a", 64), ("b", 1))
            for contender, speedup in (("dense", 1), ("compact", 4))]
    rows += [row("a", 64, "compact in 32s", 5), *(row("a", 64, contender, 9, threads=2) for contender in ("dense", "compact"))]
    large, single, hardware = inference_tables.all_of(rows)
    assert large == [{"contender": "dense", "a": "2 ms, 64x", "b": "2 ms, 1x"},
                     {"contender": "compact", "a": "2 ms, 256x", "b": "2 ms, 4x"},
                     {"contender": "compact in 32s", "a": "2 ms, 5x", "b": None}]
    assert [line["a"] for line in single] == ["2 ms, 1x", "2 ms, 4x"]
    shown = ("network", "threads", "batch", "torch", "torch in parts", "onnxruntime")
    assert [tuple(line[key] for key in shown) for line in hardware] == [
        ("a", 1, 1, 2.0, None, None), ("a", 1, 64, 128.0, 2.5, None), ("b", 1, 1, 2.0, None, None), ("a", 2, 64, 4.5, None, None)]
