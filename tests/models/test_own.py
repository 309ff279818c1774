"""Networks of one's own: what a function makes, and one line for each way in which it may not."""

import sys

import pytest
import torch
from torch import nn

from sparsify.compress.remove import remove
from sparsify.compress.store import load, save
from sparsify.models import Architecture
from sparsify.settings import InputError

CODE = '''
import torch
from torch import nn
from sparsify.compress.remove import remove

class Mlp(nn.Module):
    def __init__(self, input_shape, n_classes, width=1.0):
        super().__init__()
        self.norm, self.one, self.two = nn.BatchNorm1d(input_shape[0]), nn.Linear(input_shape[0], int(8 * width)), nn.LazyLinear(n_classes)
    def forward(self, x):
        return self.two(self.one(self.norm(x)).relu())

def made(n_classes, hidden=5, **more):
    assert not more
    return nn.Sequential(nn.Flatten(), nn.Linear(6, hidden), nn.Dropout(0.5), nn.Linear(hidden, n_classes))

class Heads(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.one, self.two = nn.Linear(6, n_classes), nn.Linear(6, n_classes)
    def forward(self, x):
        return (self.one(x), self.two(x)) if self.training else self.one(x)

def words(n_classes): return "a network"
def other(n_classes): return nn.Linear(6, n_classes + 1)
def places(n_classes): return nn.Unflatten(1, (2, 3))
def wants(n_classes, depth, *, name): return nn.Linear(6, n_classes)
def fails(): raise KeyError("no such\\nfile")
def leaves(): raise SystemExit(3)
def narrow(): return nn.Linear(5, 4)
class Leaves(nn.Module):
    def forward(self, x): raise SystemExit(0)
def whole(): return nn.Sequential(nn.Linear(6, 4), nn.Threshold(0, 0), Whole())
class Whole(nn.Module):
    def forward(self, x): return x.long()
number = 4
def shrunk():
    torch.manual_seed(0)
    return remove(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)), torch.ones(2, 6), {"0": torch.arange(5) > 0})[0]
'''


@pytest.fixture(autouse=True)
def code(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/net.py").write_text(CODE)
    (tmp_path / "mine/broken.py").write_text("from torch import nn\nnn.Nothing\n")
    (tmp_path / "mine/script.py").write_text("import sys\nsys.exit('usage: script')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "mine"]:
        del sys.modules[name]


def build(name, width=1.0, shape=(6,)):
    return Architecture(name, shape, 4, width).build()


def test_a_class_is_called_with_what_it_names():
    assert [layer.out_features for layer in build("mine.net:Mlp", 0.5).children() if isinstance(layer, nn.Linear)] == [4, 4]
    assert build("mine.net:Mlp").two.in_features == 8  # lazy layers have their shapes


def test_what_a_function_does_not_name_it_is_not_given():
    torch.manual_seed(0)
    model = build("mine.net:made")
    after = torch.rand(1)
    torch.manual_seed(0)
    nn.Linear(6, 5), nn.Linear(5, 4)
    assert model[1].out_features == 5 and model.training and torch.equal(torch.rand(1), after)  # the check draws nothing


def test_a_network_that_was_shrunk_is_of_full_size_and_can_be_shrunk_again(tmp_path):
    network, x = build("mine.net:shrunk"), torch.randn(2, 6)
    again, _ = remove(network, x, {"0": torch.tensor([True, False, False, True])})
    for model, width in ((network, 4), (again, 2)):
        save(model, tmp_path / "small.safetensors")
        loaded = load(tmp_path / "small.safetensors", build("mine.net:shrunk"))
        assert loaded[0].out_features == width and torch.equal(loaded(x), model(x))


def test_an_architecture_is_plain_data_until_it_is_built():
    architecture = Architecture("mine.script:made", (6,), 4)
    assert Architecture(**architecture.as_data()) == architecture and "mine.script" not in sys.modules


@pytest.mark.parametrize(("name", "words"), [
    ("nowhere.net:made", "nowhere.net cannot be imported from here: ModuleNotFoundError: No module named 'nowhere'$"),
    ("mine.broken:made", r"mine.broken cannot be imported from here: AttributeError: .*Nothing.* \(line 2 of broken.py\)$"),
    ("mine.script:made", r"mine.script cannot be imported from here: SystemExit: usage: script \(line 2 of script.py\)$"),
    ("mine.net:mad", "mine.net has no mad; close to it: made"),
    ("mine.net:number", "mine.net:number is a int; it has to be a function, or a class, that makes the network"),
    ("mine.net:words", "gives a str; it has to give an nn.Module"),
    ("mine.net:other", r"answers two examples of shape \(6,\) with a tensor of shape \(2, 5\), float32; it has to be .* \(2, 4\)"),
    ("mine.net:places", r"with a tensor of shape \(2, 2, 3\)"),
    ("mine.net:whole", r"with a tensor of shape \(2, 4\), int64; .* floats"),
    ("mine.net:Heads", r"answers two examples of shape \(6,\) in training with a tuple"),
    ("mine.net:wants", "wants depth, name; it is given those of input_shape, n_classes and width that it names; give all else a default"),
    ("mine.net:fails", r"fails when it is called with nothing: KeyError: 'no such.*file' \(line 2\d of net.py\)$"),
    ("mine.net:leaves", "fails when it is called with nothing: SystemExit: 3"),
    ("mine.net:Leaves", r"does not take two examples of shape \(6,\): SystemExit: 0"),
    ("mine.net:narrow", r"does not take two examples of shape \(6,\): RuntimeError: .*mat1 and mat2")])
def test_what_is_wrong_is_said_in_one_line(name, words):
    with pytest.raises(InputError, match=words) as caught:
        build(name)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"model.name {name}")


def test_a_width_that_is_not_taken_is_refused():
    with pytest.raises(InputError, match=r"model.width is 0.5; mine.net:made takes no width"):
        build("mine.net:made", 0.5)
