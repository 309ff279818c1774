"""The page's own forward pass against torch's: the page's script is taken out of the page and run by node."""

import json
import shutil
import subprocess

import pytest
import torch
from torch import nn

import sparsify
from sparsify.models import Architecture
from stages.page import network as runnable_network
from stages.page import render

ABOUT = {"mean": [0.13], "std": [0.31], "unit": 255.0, "input_shape": [1, 28, 28], "classes": [str(digit) for digit in range(10)]}
HARNESS = """
const { content, images } = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(images.map((image) => forward(content, decoded(content.numbers), image))));
"""


def told_by_the_page(content, images):
    """What forward() in network.js says of images (N, 28, 28) from 0 to 1."""
    if not shutil.which("node"):
        pytest.skip("needs node, to run the page's script")
    given = json.dumps({"content": content, "images": images.flatten(1).tolist()})
    done = subprocess.run(["node", "-e", render.text("network.js") + HARNESS], input=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def lenet5():
    model, example = Architecture("lenet5", (1, 28, 28), 10).build(), torch.randn(2, 1, 28, 28)
    keep = {"conv1": torch.arange(20) % 3 > 0, "conv2": torch.arange(50) % 4 > 0, "fc1": torch.arange(500) % 9 == 0}
    return sparsify.remove(model, example, keep)[0]


def without_some_pixels():
    model, example = Architecture("lenet-300-100", (1, 28, 28), 10).build(), torch.randn(2, 1, 28, 28)
    keep = {"input": torch.rand(784) > 0.5, "fc1": torch.arange(300) % 9 == 0}
    return sparsify.remove(model, example, keep, inputs=True)[0]


def padded():
    return nn.Sequential(nn.Conv2d(1, 3, 3, stride=2, padding=1, bias=False),
                         nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(), nn.Linear(108, 10))


@pytest.mark.parametrize("make", [lenet5, without_some_pixels, padded])
@torch.no_grad()
def test_the_page_says_what_torch_says(make):
    network, images = make().eval(), torch.rand(20, 28, 28)
    expected = network(((images - 0.13) / 0.31)[:, None])
    found = told_by_the_page(runnable_network.runnable(network, ABOUT), images)
    torch.testing.assert_close(torch.tensor([each["logits"] for each in found]), expected, atol=1e-4, rtol=1e-4)
    widths = [next(iter(module.weight.shape)) for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    assert [layer["units"] for layer in found[0]["seen"]] == widths
    assert [len(layer["values"]) for layer in found[0]["seen"]] == widths


def test_what_does_not_fit_a_page_is_not_in_it():
    chain = padded()
    assert runnable_network.runnable(chain, ABOUT) is not None
    assert runnable_network.runnable(chain, {**ABOUT, "input_shape": [3, 32, 32]}) is None  # in colour
    assert runnable_network.runnable(chain, None) is None
    assert runnable_network.runnable(nn.Sequential(nn.Flatten(), nn.Linear(784, 300)), ABOUT) is None  # large
    assert runnable_network.runnable(nn.Sequential(nn.Conv2d(1, 3, 3, dilation=2), nn.ReLU()), ABOUT) is None
    assert runnable_network.runnable(nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.GELU()), ABOUT) is None
