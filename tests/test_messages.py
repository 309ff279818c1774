"""What a newcomer does wrong: each is an InputError of one line, that says what came and what is allowed."""

import re

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import sparsify
from sparsify.compress.masks import EmptyLayer

HALF = torch.arange(16) < 8


class TwoLayers(nn.Module):
    """(N, 8) -> (N, 3)"""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.second(self.first(x).relu())


class Branching(TwoLayers):
    def forward(self, x):
        x = self.first(x).relu()
        if x.sum() > 0:
            x = x + 1
        return self.second(x)


class OutOfTorch(TwoLayers):
    def forward(self, x):
        return self.second(torch.from_numpy(self.first(x).detach().numpy()))


class Mistaken(TwoLayers):
    def forward(self, x):
        return self.second(x)


class Noisy(TwoLayers):
    def forward(self, x):
        return self.second(self.first(x) + torch.randn(1))


class Recurrent(nn.Module):
    """(N, T, 8) -> (N, 3)"""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


def pruned():
    network = TwoLayers()
    prune.l1_unstructured(network.first, "weight", 0.5)
    return network


def remove(**given):
    return sparsify.remove(TwoLayers(), torch.randn(4, 8), **given)


def streams(network, example=None):
    return sparsify.streams(network, torch.randn(4, 8) if example is None else example)


def compact(**given):
    example = torch.randn(4, 8)
    return sparsify.compact(sparsify.bayesianize(TwoLayers(), example), example, **given)


WRONG = {
    "a class": (lambda: streams(TwoLayers), "the network is a type; it has to be an nn.Module"),
    "a state": (lambda: streams(TwoLayers().state_dict()), "the network is a OrderedDict; it has to be an nn.Module"),
    "no tensor": (lambda: streams(TwoLayers(), {"x": torch.randn(4, 8)}), "example is a dict; it has to be .* a tensor"),
    "no examples": (lambda: streams(TwoLayers(), torch.randn(0, 8)), r"example has the shape \(0, 8\).*at least one"),
    "another width": (lambda: streams(TwoLayers(), torch.randn(4, 9)), r"does not run with .* float32 \(4, 9\): .*4x9 and 8x16"),
    "a mistake": (lambda: streams(Mistaken()), r"Mistaken does not run .*line \d+ of test_messages.py, `return self.second\(x\)`"),
    "if on data": (lambda: streams(Branching()), r"line \d+ of test_messages.py, `if x.sum\(\) > 0:`: it decides by what the data are"),
    "out of torch": (lambda: streams(OutOfTorch()), "OutOfTorch cannot be followed: .*numpy.*write that part in operations of torch"),
    "lazy": (lambda: streams(nn.LazyLinear(3)), "weight has no shape yet; call the network once"),
    "torch's pruning": (lambda: streams(pruned()), r"first.weight is computed .*torch.nn.utils.prune.remove"),
    "keep is one mask": (lambda: remove(keep=HALF), "keep is a Tensor; it has to be a dict"),
    "keep names a tensor": (lambda: remove(keep={"first.weight": HALF}), "is no stream; choose from input, first, second"),
    "keep is short": (lambda: remove(keep={"first": HALF[:8]}), r"shape \(8,\); it has to be bool of shape \(16,\)"),
    "keep is a list": (lambda: remove(keep={"first": HALF.tolist()}), r"is a list; it has to be a bool tensor of shape \(16,\)"),
    "keep cuts the output": (lambda: remove(keep={"second": torch.arange(3) < 2}), "'second'.* have to stay: network output"),
    "weights names a layer": (lambda: remove(weights={"first": HALF}), "is no tensor of the network; choose from first.weight"),
    "weights is wide": (lambda: remove(weights={"first.weight": torch.ones(3, 3)}), r"shape \(3, 3\); it has to broadcast .*\(16, 8\)"),
    "weights is a list": (lambda: remove(weights={"first.weight": [1]}), "is a list; it has to be a tensor"),
    "protects a text": (lambda: remove(protect="first"), r"protect is the text 'first'; give a list of names, as in \['first'\]"),
    "protects nobody": (lambda: remove(protect=["third"]), "is neither a stream nor a module.*choose from input, first"),
    "multiple of 0": (lambda: remove(multiple_of=0), "multiple_of is 0; it has to be a whole number >= 1"),
    "multiple of 2.5": (lambda: remove(multiple_of=2.5), "multiple_of is 2.5; it has to be a whole number >= 1"),
    "random in evaluation": (lambda: sparsify.remove(Noisy(), torch.randn(4, 8)), "not give the same outputs twice"),
    "threshold of text": (lambda: compact(threshold="0"), "threshold is '0'; it has to be a number"),
    "threshold nan": (lambda: compact(threshold=float("nan")), "threshold is nan; it has to be a number"),
    "prior of a dict": (lambda: sparsify.bayesianize(TwoLayers(), torch.randn(4, 8), {"kind": "gate"}), "prior is .*; it has to be one of"),
    "protects unknown": (lambda: sparsify.bayesianize(TwoLayers(), torch.randn(4, 8), protect=["third"]), "'third', which is neither"),
    "recurrent": (lambda: sparsify.bayesianize(Recurrent(), torch.randn(2, 5, 8)), "nothing to act on: .*lstm is an operation without"),
    "no twin": (lambda: sparsify.compact(TwoLayers(), torch.randn(4, 8)), "has no prior; give the twin that bayesianize"),
    "no twin to update": (lambda: sparsify.update_priors(TwoLayers()), "has no prior; give the twin that bayesianize"),
}


@pytest.mark.parametrize("case", WRONG)
def test_is_told_in_one_line(case, capfd):
    wrong, message = WRONG[case]
    with pytest.raises(sparsify.InputError, match=message) as raised:
        wrong()
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")  # nor does torch say more


def test_threshold_that_empties_a_layer_names_the_lowest_that_does_not():
    with pytest.raises(EmptyLayer, match="leaves nothing of first; the lowest that leaves a unit of each stream is ") as raised:
        compact(threshold=-100.0)
    lowest = float(re.search(r"stream is (\S+)", str(raised.value))[1])
    small, _ = compact(threshold=lowest)
    assert small.first.out_features >= 1


def test_a_file_is_loaded_into_its_own_class_alone(tmp_path):
    path = tmp_path / "small.safetensors"
    sparsify.save(remove(keep={"first": HALF})[0], path)
    with pytest.raises(sparsify.InputError, match=r"holds a TwoLayers; give load one at full size.*: load\(path, TwoLayers\(\.\.\.\)\)"):
        sparsify.load(path)
    with pytest.raises(sparsify.InputError, match=r"load is given <class .*TwoLayers'>; give it a network at full size"):
        sparsify.load(path, TwoLayers)
    with pytest.raises(sparsify.InputError, match=r"holds a TwoLayers that does not fit the Recurrent at hand"):
        sparsify.load(path, Recurrent())


def test_a_module_is_protected_with_all_that_it_writes():
    network, example = nn.Sequential(TwoLayers(), nn.ReLU(), nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2)), torch.randn(4, 8)
    small, report = sparsify.remove(network, example, {"0.first": HALF, "2": HALF}, protect=["0"])
    assert (small[0].first.out_features, small[2].out_features) == (16, 8)
    assert report.kept == {"0.first": "protected"}
    with pytest.warns(UserWarning, match="0.first: protected; 0.second: protected"):
        twin = sparsify.bayesianize(network, example, protect=["0"])
    assert sparsify.coverage(twin).chosen() == ["2"]


def test_an_example_may_come_without_a_batch():
    network, example = TwoLayers(), torch.randn(8)
    small, _ = sparsify.remove(network, example, {"first": HALF})
    torch.testing.assert_close(small(example), sparsify.mask(network, example, {"first": HALF})(example))


def test_infinite_scores_that_agree_are_no_difference():
    class Masked(TwoLayers):
        def forward(self, x):
            return super().forward(x).masked_fill(torch.tensor([True, False, False]), float("-inf"))
    small, report = sparsify.remove(Masked(), torch.randn(4, 8), {"first": HALF})
    assert (small.first.out_features, report.gap < 1e-9) == (8, True)
