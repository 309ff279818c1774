"""What shrink does at the edges: a budget that nothing keeps, layers that have to stay, a network that was pruned before."""

import pytest
import torch
from test_shrinking import X, Y, model, shrink  # noqa: F401

import sparsify
from sparsify.measure.size import counted


def test_where_nothing_smaller_keeps_the_budget_the_dense_network_is_given_back(model, capsys):  # noqa: F811
    wild = sparsify.RecoverySettings(train=sparsify.TrainSettings(epochs=1, batch_size=16, lr=30.0))
    small, report = shrink(model, max_drop=0, recovery=wild)
    assert report.trials and all(trial.accuracy < report.score_dense for trial in report.trials)
    assert "nothing smaller keeps" in capsys.readouterr().err and "the budget of 0 is kept" in str(report)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in small.state_dict().items())
    assert report.score == report.score_dense and report.after == report.before and report.curves["recovery"] == []


def test_a_search_leads_to_a_share_of_what_can_leave(model):  # noqa: F811
    """The first layer has more than a tenth of all, which is where a search would lead otherwise: the gates would never come to rest."""
    with pytest.warns(UserWarning, match="protected"):
        _, report = shrink(model, max_drop=20, protect=["0"])
    assert 30 * 12 < report.after.macs < 0.7 * report.before.macs and len(report.trials) > 1


def test_a_target_below_what_stays_is_refused_before_training(model, tmp_path):  # noqa: F811
    least = 30 * 12 + 30 + 3
    with pytest.raises(sparsify.InputError, match=f"{least} stay at least"), pytest.warns(UserWarning, match="protected"):
        shrink(model, target={"macs": 0.2}, protect=["0"], state=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["call.json"]
    shrink(model, target={"macs": 0.5}, state=tmp_path)  # a call that was refused leaves nothing in the way


@pytest.mark.parametrize("target", [{"nonzeros": 0.5}, {"units": 0.6}])
def test_what_was_pruned_before_does_not_grow(model, target):  # noqa: F811
    once, first = shrink(model, target={"nonzeros": 0.4})
    again, second = shrink(once, target=target)
    assert second.before == first.after
    (by, share), = target.items()
    assert counted(second.after, by) <= share * counted(second.before, by)
    assert counted(second.after, "nonzeros") <= counted(second.before, "nonzeros")
    assert second.score == 100 * (again(X[160:]).argmax(1) == Y[160:]).double().mean().item()
