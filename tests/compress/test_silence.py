"""What falls silent with masked weights: units without inputs or without readers, against paths and loops."""

import pytest
import torch
from chains import CHAINS, given, hidden, images, layers, pictures
from torch import nn

from sparsify.compress import masks
from sparsify.compress.masks import EmptyLayer, mask
from sparsify.structure import analyse

every_chain = pytest.mark.parametrize("name", CHAINS)


@pytest.mark.parametrize("cut", range(4))
def test_death_spreads_forwards_and_backwards(hostile, cut):
    network = hostile(nn.Sequential(*[nn.Linear(3, 3) for _ in range(4)]))
    keep = {f"{number}.weight": torch.eye(3, dtype=torch.bool) for number in range(4)}  # three separate paths
    keep[f"{cut}.weight"][0] = False  # path 0 is cut: what comes before has no readers, what comes after no inputs
    masked = mask(network, given(3), weights=keep)
    for layer in masked:
        assert torch.equal(layer.weight != 0, torch.diag(torch.tensor([False, True, True])))
    for layer in masked[:-1]:
        assert layer.bias[0] == 0 and layer.bias[1:].all()
    assert torch.equal(masked[-1].bias, network[-1].bias)


@every_chain
def test_alive_are_the_units_on_a_path_from_input_to_logits(hostile, name):
    chain = hostile(CHAINS[name][0]())
    keep = {f"{key}.weight": torch.rand(layer.weight.shape) < max(0.2, 6 / layer.weight[0].numel()) for key, layer in layers(chain).items()}
    _, alive = masks.silenced(chain, analyse(chain, images(name)), {}, keep)
    edges, before = [], None
    for key, layer in layers(chain).items():  # (units out, units in); a flattened unit is several features in a row
        edge = (layer.weight * keep[f"{key}.weight"] != 0).reshape(len(layer.weight), before or layer.weight.shape[1], -1).any(2)
        edges.append(edge.double())
        before = len(layer.weight)
    forwards, backwards = [torch.ones(edges[0].shape[1]).double()], [torch.ones(len(edges[-1])).double()]
    for edge in edges:
        forwards.append((edge @ forwards[-1] > 0).double())
    for edge in reversed(edges):
        backwards.insert(0, (edge.T @ backwards[0] > 0).double())
    for unit, forward, backward in zip(hidden(chain), forwards[1:], backwards[1:], strict=False):
        assert torch.equal(alive[unit], forward * backward > 0)


class Residual(nn.Module):
    """Three writers and four readers of one stream, which two blocks of their own stand beside.  (N, 5) -> (N, 3)"""

    def __init__(self):
        super().__init__()
        self.stem, self.fc = nn.Linear(5, 8), nn.Linear(8, 3)
        self.into, self.out = (nn.ModuleList(nn.Linear(*sizes) for _ in range(2)) for sizes in ((8, 6), (6, 8)))

    def forward(self, x):
        x = self.stem(x).relu()
        for into, out in zip(self.into, self.out, strict=True):
            x = x + out(into(x).relu())
        return self.fc(x)


@pytest.mark.parametrize("density", [0.05, 0.1, 0.2])
def test_what_falls_silent_in_a_residual_network_is_what_a_loop_over_units_finds(hostile, density):
    for seed in range(5):
        torch.manual_seed(seed)
        network = hostile(Residual())
        keep = {name: torch.rand(weight.shape) < (density if name != "stem.weight" else 0.3)
                for name, weight in network.named_parameters() if weight.ndim > 1}
        keep["fc.weight"] = torch.ones(3, 8, dtype=torch.bool)
        for name in ("into.0.weight", "into.1.weight", "out.0.weight", "out.1.weight"):
            keep[name][0, 0] = True
        w = {name: (network.get_parameter(name) * mask != 0).tolist() for name, mask in keep.items()}
        stream, blocks = [True] * 8, [[True] * 6, [True] * 6]
        for _ in range(20):
            for u in range(8):
                made = any(w["stem.weight"][u]) or any(w[f"out.{b}.weight"][u][v] and blocks[b][v] for b in (0, 1) for v in range(6))
                read = any(row[u] for row in w["fc.weight"]) or any(
                    w[f"into.{b}.weight"][v][u] and blocks[b][v] for b in (0, 1) for v in range(6))
                stream[u] = stream[u] and made and read
            for b in (0, 1):
                for v in range(6):
                    made = any(w[f"into.{b}.weight"][v][u] and stream[u] for u in range(8))
                    read = any(w[f"out.{b}.weight"][u][v] and stream[u] for u in range(8))
                    blocks[b][v] = blocks[b][v] and made and read
        structure = analyse(network, given(5))
        if not (any(stream) and all(map(any, blocks))):
            with pytest.raises(EmptyLayer):
                masks.silenced(network, structure, {}, keep)
            continue
        _, alive = masks.silenced(network, structure, {}, keep)
        assert [alive[name].tolist() for name in ("stem", "into.0", "into.1")] == [stream, *blocks]


def test_a_unit_that_a_norm_reads_goes_with_its_inputs_but_not_with_its_readers(hostile):
    network = hostile(nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 2)))
    rows, columns = torch.arange(5)[:, None] != 1, torch.arange(5)[None] != 3
    masked = mask(network, given(4), weights={"0.weight": rows, "2.weight": columns})
    assert not masked[0].bias[1] and not masked[2].weight[:, 1].any()
    assert masked[0].weight[3].all() and masked[1].weight[3] != 0


def test_features_of_the_input_fall_silent_where_that_is_asked_for(network):
    unread = torch.arange(784) % 3 == 0
    for inputs in (False, True):
        _, alive = masks.silenced(network, analyse(network, pictures()), {}, {"fc1.weight": ~unread}, inputs)
        assert torch.equal(alive["input"], ~unread if inputs else torch.ones(784, dtype=torch.bool))


@pytest.mark.parametrize(("cut", "where"), [("fc1", 0), ("fc2", 0), ("fc2", 1), ("fc3", 1)])
def test_the_first_of_the_streams_that_would_be_emptied_is_named(network, cut, where):
    keep = {f"{cut}.weight": torch.zeros(layers(network)[cut].weight.shape, dtype=torch.bool)}
    with pytest.raises(EmptyLayer, match="none of the 15 units of fc1; keep at least one"):
        mask(network, pictures(), weights=keep)
    keep[f"{cut}.weight"].select(where, 0)[:] = True  # one neuron, or one reader, is enough
    mask(network, pictures(), weights=keep)


def test_a_network_without_a_path_is_refused(hostile):
    """No layer is empty, but the only unit that the logits read has no inputs."""
    network = hostile(nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 3)))
    with pytest.raises(EmptyLayer, match="none of the 2 units of 0"):
        mask(network, given(4), weights={"0.weight": torch.tensor([[True], [False]]), "2.weight": torch.tensor([[False, True]])})
