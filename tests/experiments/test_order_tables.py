"""Orders of removal compared: equal sizes, and what the tables say of them."""

import pytest
import torch
from torch import nn

from experiments import orders
from sparsify import data
from sparsify.bayes.convert import bayesianize
from sparsify.compaction import ORDERS
from sparsify.structure import analyse


@pytest.mark.filterwarnings("ignore:1 of")
def test_every_order_is_measured_at_every_size_and_none_leaves_more(tmp_path):
    images = torch.randint(255, (60, 1, 6, 6), dtype=torch.uint8)
    data.save(tmp_path / "data", data.Raw(images, torch.arange(60) % 3), data.Raw(images, torch.arange(60) % 3), 20, 0)
    dataset = data.load(tmp_path / "data")
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 60), nn.ReLU(), nn.Linear(60, 40), nn.ReLU(), nn.Linear(40, 3)).eval()
    twin = bayesianize(network, dataset.train[:2], "gaussian")
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    rows = list(orders.measured(twin, analyse(network, dataset.train[:2]), dataset, inputs=False))
    sizes = [(by, share) for by, shares in orders.SHARES.items() for share in shares]
    found = {(row["cut"], row["share"], row["order"]) for row in rows if row["share"]}
    assert found == {(*each, order) for each in sizes for order in ORDERS}
    for row in rows:
        if row["share"]:
            assert 0.6 * row["share"] < row[row["cut"]] <= row["share"]
    assert [row["order"] for row in rows if row["cut"] == "zero"] == list(orders.AT_ZERO)


def rows_of(accuracies):
    """by order, the accuracies of the seeds at every size"""
    return [{"prior": "gate", "cut": by, "share": share, "order": order, "accuracy": accuracy, "units": 0.2, "macs": 0.05}
            for by, shares in orders.SHARES.items() for share in shares
            for order in ORDERS for accuracy in accuracies.get(order, (90.0, 92.0))]


def test_an_order_is_bold_where_it_is_ahead_by_more_than_the_deviations():
    table = orders.at_equal_size(rows_of({"evidence": (93.0, 93.1), "signal_per_mac": (91.0, 92.0)}))
    assert [line["left"] for line in table] == ["30 % of units", "20 % of units", "10 % of units", "6 % of units",
                                                "20 % of MACs", "10 % of MACs", "5 % of MACs", "3 % of MACs"]
    assert list(table[0].values())[2:] == ["91.00 ± 1.41 (5.0)", "**93.05 ± 0.07** (5.0)", "91.50 ± 0.71 (5.0)", "91.00 ± 1.41 (5.0)"]
    assert list(table[4].values())[2] == "91.00 ± 1.41 (20.0)"


def test_what_a_threshold_of_zero_leaves_stands_beside_the_whole():
    rows = [{"prior": "gate", "cut": "uncut", "share": None, "order": "none", "accuracy": 97.0, "units": 1.0, "macs": 1.0},
            *({"prior": "gate", "cut": "zero", "share": None, "order": order, "accuracy": accuracy, "units": 0.25, "macs": 0.125}
              for order in orders.AT_ZERO for accuracy in (95.0, 96.0))]
    whole, *cut = (list(line.values()) for line in orders.at_zero(rows))
    assert whole == ["`gate`", "", "100.0", "100.0", "97.00"]
    assert cut == [["`gate`", f"`{order}`", "25.0 ± 0.0", "12.5 ± 0.0", "95.50 ± 0.71"] for order in orders.AT_ZERO]
