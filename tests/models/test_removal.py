"""From dense to small, proven, on every network that is not a chain: by a prior, by magnitude, and out to a graph."""

import pytest
import torch
from torch.nn.functional import cross_entropy

import sparsify
from sparsify.compress import magnitude
from sparsify.compress.cut import cut_of, sliced
from sparsify.compress.masks import drawn_anew
from sparsify.models import Architecture
from sparsify.structure import analyse

CASES = {"resnet20": Architecture("resnet20", (3, 16, 16), 5, 0.5), "vit": Architecture("vit", (1, 16, 16), 5, 0.125),
         "resnet18": Architecture("torchvision:resnet18", (1, 32, 32), 5)}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    architecture = CASES[request.param]
    model, example = architecture.build().eval(), torch.randn(4, *architecture.input_shape)
    return architecture, model, example, analyse(model, example)


def exported(model, example):
    return torch.export.export(model, (example,), dynamic_shapes=({0: torch.export.Dim("n")},), strict=False).module()


@pytest.mark.parametrize("kind", ["gate", "gaussian", "log_uniform"])
def test_a_twin_trains_and_its_most_noisy_units_leave(case, kind):
    _, model, example, structure = case
    twin = sparsify.bayesianize(model, example, kind, structure=structure).train()
    assert all(row.reason is None for row in sparsify.coverage(twin).expected())
    loss = cross_entropy(twin(example), torch.arange(4)) + sparsify.kl(twin) / 100
    loss.backward()
    torch.optim.SGD(twin.parameters(), 1e-4).step()
    scores = sparsify.log_alphas(twin.eval())
    keep = {name: score <= score.median() for name, score in scores.units.items()}
    weights = {name: score <= score.median() for name, score in scores.weights.items()}
    _, report = sparsify.compact(twin, example, keep=keep, weights=weights, structure=structure)
    assert not report.kept and report.gap < 1e-9
    assert all(report.after[name] < report.before[name] for name, kept in keep.items() if not kept.all())
    assert kind != "log_uniform" or report.zeros > 0.4 * report.parameters[0]


def test_the_smallest_units_leave_and_what_is_left_is_a_graph_and_starts_again(case, tmp_path):
    architecture, model, example, structure = case
    keep = magnitude.smallest_removed(magnitude.unit_scores(model, structure), 50, "layer")
    assert keep.keys() == structure.shrinkable().keys()
    small, report = sparsify.remove(model, example, keep, structure=structure)
    assert not report.kept and report.gap < 1e-9 and report.parameters[1] < 0.4 * report.parameters[0]
    with torch.no_grad():
        torch.testing.assert_close(exported(small, example)(example[:3]), small(example[:3]), rtol=1e-4, atol=1e-5)
    sparsify.save(small, tmp_path / "small.safetensors", architecture=architecture)
    assert torch.equal(sparsify.load(tmp_path / "small.safetensors")(example), small.eval()(example))
    fresh = drawn_anew(small, sliced(architecture.build(), cut_of(small)))
    alike = [name for name, parameter in fresh.named_parameters() if torch.equal(parameter, small.get_parameter(name))]
    assert all(small.get_parameter(name).ndim == 1 for name in alike)  # norms, and biases that start at zero
