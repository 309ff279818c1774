"""Files that run without the project: they answer as the network does, at any batch size, and what cannot be made is one line."""

import io
import json

import pytest
import torch
from torch import nn

from sparsify import export, models
from sparsify.compress.remove import remove
from sparsify.measure.accuracy import largest_gap
from sparsify.settings import InputError
from sparsify.structure import analyse

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
IMAGES = torch.randn(9, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def small():
    """LeNet-5 with a third of its units, and some of its pixels unread."""
    torch.manual_seed(0)
    network = models.build("lenet5", (1, 28, 28), 10, 0.3)
    streams = analyse(network, IMAGES[:2]).shrinkable()
    small, report = remove(network, IMAGES[:2], {name: torch.arange(stream.size) % 3 == 0 for name, stream in streams.items()})
    assert not report.kept
    return small.eval()


@pytest.fixture(scope="module")
def files(small):
    graph = export.program(small, IMAGES)
    plain = export.onnx(graph, {"classes": ["Möwe"]})
    return {"pt2": export.pt2(graph, {"classes": ["Möwe"]}), "onnx": plain, "int8": export.int8(plain, IMAGES.split(4))}


def run(files, kind):
    return export.run_pt2(files[kind]) if kind == "pt2" else export.OnnxRuntime(files[kind], 1)


@pytest.mark.parametrize(("kind", "gap"), [("pt2", 1e-6), ("onnx", 1e-5), ("int8", 0.05)])
@pytest.mark.parametrize("sizes", [[9], [1, 8], [4, 3, 2]])
def test_a_file_answers_as_the_network_at_any_batch_size(kind, gap, sizes, small, files):
    expected, found = export.logits(small, [IMAGES]), export.logits(run(files, kind), IMAGES.split(sizes))
    assert found.shape == (9, 10) and largest_gap(expected, found) < gap
    assert kind != "int8" or not torch.equal(expected, found)


def test_int8_weights_take_a_quarter_of_the_bytes(files):
    import onnx
    weights = {kind: sum(len(tensor.raw_data) for tensor in onnx.load_model_from_string(files[kind]).graph.initializer if tensor.dims)
               for kind in ("onnx", "int8")}
    assert 0.24 < weights["int8"] / weights["onnx"] < 0.4  # biases stay, and every channel has a scale


def test_files_say_what_they_take_and_nothing_of_where_they_were_made(files):
    import onnx
    for kind in ("onnx", "int8"):
        said = {each.key: each.value for each in onnx.load_model_from_string(files[kind]).metadata_props}
        assert json.loads(said["sparsify"]) == {"classes": ["Möwe"]}
    extra = {"sparsify.json": ""}
    torch.export.load(io.BytesIO(files["pt2"]), extra_files=extra)
    assert json.loads(extra["sparsify.json"]) == {"classes": ["Möwe"]}
    assert not [kind for kind, content in files.items() if b".py" in content.replace(b".pyx", b"")]


def test_equal_networks_give_equal_bytes_whatever_the_example(small, files):
    graph = export.program(small, IMAGES[:3] + 1)
    plain = export.onnx(graph, {"classes": ["Möwe"]})
    again = {"pt2": export.pt2(graph, {"classes": ["Möwe"]}), "onnx": plain, "int8": export.int8(plain, IMAGES.split(4))}
    assert [kind for kind in files if again[kind] != files[kind]] == []


@pytest.mark.parametrize(("shape", "dtype", "unit"), [((3, 28, 28), torch.uint8, 255.0), ((7,), torch.float32, 1.0)])
def test_normalisation_inside_is_that_outside(shape, dtype, unit):
    stored = (255 * torch.rand(5, *shape)).to(dtype)
    mean, std = torch.rand(shape[0]), torch.rand(shape[0]) + 0.5
    network = nn.Sequential(nn.Flatten(), nn.Linear(stored[0].numel(), 4)).eval()
    spread = [-1, *[1] * (len(shape) - 1)]
    expected = network((stored.float() / unit - mean.reshape(spread)) / std.reshape(spread))
    inside = export.Normalised(network, mean, std, unit)
    torch.testing.assert_close(inside(stored), expected)
    found = export.OnnxRuntime(export.onnx(export.program(inside, stored), {}), 1)(stored)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


class Decides(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Fixed(nn.Module):
    def forward(self, x):
        return x.reshape(2, -1)


@pytest.mark.parametrize("network", [Decides(), Fixed()], ids=["by its data", "one batch size"])
def test_a_network_that_cannot_be_followed_is_one_line(network, capfd):
    with pytest.raises(InputError, match=f"{type(network).__name__} cannot be followed by torch.export") as raised:
        export.program(network, torch.randn(2, 3))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400 and capfd.readouterr() == ("", "")


def test_exporting_says_nothing(small, capfd):
    plain = export.onnx(export.program(small, IMAGES), {})
    export.int8(plain, [IMAGES])
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_no_onnx_is_one_line():
    with pytest.raises(InputError, match="OnnxRuntime cannot be made of this file") as raised:
        export.OnnxRuntime(b"not a model", 1)
    assert "\n" not in str(raised.value)


def test_missing_packages_are_named(monkeypatch):
    assert export.missing() == []
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxscript" else 1)
    assert export.missing() == ["onnxscript"]
