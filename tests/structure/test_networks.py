"""Every network of the zoo with a quarter of every stream masked: the small copy against a network that is masked by hand.

The reference zeroes tensors itself and compares on inputs of its own: it shares no line with the proof inside `remove`."""

import copy
import dataclasses
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

import sparsify
from sparsify.settings import InputError
from sparsify.structure import analyse
from tests.structure.masking import assert_equal_logits, masked_by_hand, outputs, quarter
from tests.structure.zoo import CASES, CONVOLUTIONS, EMPTY, TOKENS, TRAPS, UNSEEN, Case, cast, hostile


@dataclasses.dataclass(frozen=True, eq=False)
class Removed:
    case: Case
    model: nn.Module
    before: Mapping[str, Tensor]  # its state, copied before anything was done
    streams: Mapping[str, sparsify.Stream]
    keep: Mapping[str, Tensor]
    masked: nn.Module
    small: nn.Module
    report: sparsify.Report


@pytest.fixture(scope="module", params=CASES)
def removed(request):
    torch.manual_seed(0)
    case = CASES[request.param]
    model = hostile(case.build(), case.inputs(4))
    example = cast(case.inputs(2), torch.float64)
    example = example if len(example) > 1 else example[0]
    before = copy.deepcopy(model.state_dict())
    structure = analyse(model, example)
    streams, keep = structure.streams, quarter(structure.streams)
    small, report = sparsify.remove(model, example, keep=keep, structure=structure)
    return Removed(case, model, before, streams, keep, masked_by_hand(model, streams, keep), small, report)


def test_small_network_gives_the_logits_of_the_masked_one(removed):
    inputs = cast(removed.case.inputs(3), torch.float64)
    assert_equal_logits(removed.small, removed.masked, inputs, 1e-9)
    if removed.keep:
        assert not torch.allclose(outputs(removed.masked, inputs), outputs(removed.model, inputs), rtol=1e-3)
    small, masked = (copy.deepcopy(network).float() for network in (removed.small, removed.masked))
    assert_equal_logits(small, masked, cast(inputs, torch.float32), 1e-4)


def test_network_is_left_as_it_was(removed):
    after = removed.model.state_dict()
    assert after.keys() == removed.before.keys() and all(torch.equal(after[name], value) for name, value in removed.before.items())
    assert not removed.model.training and not any(module._forward_hooks for module in removed.model.modules())
    assert not {each.data_ptr() for each in removed.small.parameters()} & {each.data_ptr() for each in removed.model.parameters()}


def test_small_network_is_of_the_same_class_and_has_the_names_of_the_full_one(removed):
    assert type(removed.small) is type(removed.model)
    assert removed.small.state_dict().keys() == removed.before.keys()


def test_every_stream_shrinks_by_what_was_asked_but_for_those_that_are_named(removed):
    """To the unit where all streams can shrink. Elsewhere what has to have equal parts may keep a few more units, silent."""
    expected = {name: list(tensor.shape) for name, tensor in removed.before.items()}
    gone = {}
    for name, kept in removed.keep.items():
        for slot in () if name in removed.report.kept else removed.streams[name].slots:
            gone.setdefault((slot.tensor, slot.dim), set()).update(slot.index[~kept].flatten().tolist())
    found = {name: list(tensor.shape) for name, tensor in removed.small.state_dict().items()}
    for (name, dim), entries in gone.items():
        if name in expected:  # and not a number of heads
            expected[name][dim] -= len(entries)
    if removed.case.whole:
        assert found == expected
    else:
        assert all(full >= found[name][dim] >= least for name, shape in expected.items()
                   for dim, (least, full) in enumerate(zip(shape, removed.before[name].shape, strict=True)))


def test_streams_that_can_shrink_do(removed):
    names = removed.keep if removed.case.whole else removed.case.cut
    assert not {name: removed.report.kept.get(name, removed.streams[name].fixed) for name in names
                if removed.report.after[name] >= removed.report.before[name]}
    if removed.case.whole:
        assert not removed.report.kept
        assert not [name for name, stream in removed.streams.items() if stream.fixed and stream.writers and stream.readers]


def test_what_stays_is_named_with_its_cause(removed):
    for name, word in removed.case.kept.items():
        reason = removed.report.kept.get(name, removed.streams[name].fixed)
        assert reason is None or word in reason  # none: it was cut, exactly
    for reason in removed.report.kept.values():
        assert reason and f"kept: {reason}" in str(removed.report)
    assert all(reason in str(removed.report) for reason in removed.report.fixed.values())


def test_numbers_that_layers_keep_of_their_shapes_are_those_of_their_weights(removed):
    for layer in removed.small.modules():
        if isinstance(layer, nn.Linear):
            assert layer.weight.shape == (layer.out_features, layer.in_features)
        elif isinstance(layer, nn.modules.conv._ConvNd):
            channels = (layer.in_channels, layer.out_channels) if layer.transposed else (layer.out_channels, layer.in_channels)
            assert layer.weight.shape[:2] == (channels[0], channels[1] // layer.groups)
        elif isinstance(layer, nn.modules.batchnorm._NormBase) and layer.running_mean is not None:
            assert layer.running_mean.shape == (layer.num_features,)


def test_small_network_trains(removed):
    """Every parameter of the small network that took part in the full one's loss does so still."""
    def trained(model):
        model.zero_grad()
        out = model.train()(*cast(removed.case.inputs(4), torch.float64))
        values = out.values() if isinstance(out, dict) else out if isinstance(out, tuple) else [out]
        sum(value.square().sum() for value in values).backward()
        return {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained(copy.deepcopy(removed.small)) == trained(copy.deepcopy(removed.model))


@pytest.mark.parametrize("name", ["resnet18", *CONVOLUTIONS, *TOKENS, *TRAPS])
def test_mask_zeroes_what_a_hand_would(name):
    model, example = CASES[name].build(), CASES[name].inputs(2)
    streams = sparsify.streams(model, example)
    keep = quarter(streams)
    expected = dict(masked_by_hand(model, streams, keep).named_parameters())
    masked = sparsify.mask(model, example, keep=keep)
    assert all(torch.equal(parameter, expected[name]) for name, parameter in masked.named_parameters())


@pytest.mark.parametrize("name", TRAPS)
def test_traps_are_cut_rightly_or_kept_whichever_units_are_asked_for(name):
    torch.manual_seed(0)
    model = hostile(TRAPS[name].build(), TRAPS[name].inputs(4))
    example = cast(TRAPS[name].inputs(2), torch.float64)
    streams = sparsify.streams(model, example)
    for seed in range(4):
        torch.manual_seed(seed)
        keep = quarter(streams)
        small, _ = sparsify.remove(model, example, keep=keep)
        assert_equal_logits(small, masked_by_hand(model, streams, keep), cast(TRAPS[name].inputs(3), torch.float64), 1e-9)


@pytest.mark.parametrize("name", [*CONVOLUTIONS, *TOKENS, *TRAPS])
def test_a_small_network_can_be_saved_loaded_and_cut_again(name, tmp_path):
    case, path = CASES[name], tmp_path / "small.safetensors"
    small = hostile(case.build(), case.inputs(4))
    example, inputs = cast(case.inputs(2), torch.float64), cast(case.inputs(3), torch.float64)
    for _ in range(2):
        streams = sparsify.streams(small, example)
        keep = quarter(streams)
        masked = masked_by_hand(small, streams, keep)
        small, _ = sparsify.remove(small, example, keep=keep)
        assert_equal_logits(small, masked, inputs, 1e-9)
        sparsify.save(small, path)
        assert torch.equal(outputs(sparsify.load(path, case.build().double()).eval(), inputs), outputs(small, inputs))


@pytest.mark.parametrize("name", ["cifar_resnet", "attention_of_one_head", "layer_norm", "rms_norm"])
def test_a_float32_network_in_training_stays_so_and_loses_all_that_was_asked(name):
    model = hostile(CASES[name].build(), CASES[name].inputs(4)).float().train()
    streams = sparsify.streams(model, CASES[name].inputs(2))
    keep = quarter(streams)
    small, report = sparsify.remove(model, CASES[name].inputs(2), keep=keep)
    assert small.training and model.training and not report.kept
    assert {parameter.dtype for parameter in small.parameters()} == {torch.float32}
    assert_equal_logits(small.eval(), masked_by_hand(model, streams, keep).eval(), CASES[name].inputs(3), 1e-4)


@pytest.mark.parametrize("name", UNSEEN)
def test_a_network_that_decides_by_its_data_is_refused_with_the_line(name):
    with pytest.raises(InputError, match=r"line \d+ of refused.py, .*# the line to be named"):
        sparsify.streams(UNSEEN[name](), torch.randn(2, 4))


@pytest.mark.parametrize("name", EMPTY)
def test_a_network_with_nothing_to_remove_says_so_and_why(name):
    _, report = sparsify.remove(EMPTY[name](), torch.randn(2, 4))
    assert "nothing can be removed" in str(report) and report.parameters[0] == report.parameters[1]
    streams = sparsify.streams(EMPTY[name](), torch.randn(2, 4)).values()
    assert all(stream.fixed in ("network input", "network output") for stream in streams)
