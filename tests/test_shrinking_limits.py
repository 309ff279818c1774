"""What shrink does at the edges: a budget that nothing keeps, layers that have to stay, a network that was pruned before."""

import copy

import pytest
import torch
from test_shrinking import SHORT, X, Y, model, shrink  # noqa: F401
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import sparsify
from sparsify import shrinking
from sparsify.bayes.priors import Target
from sparsify.measure.size import counted

WILD = sparsify.RecoverySettings(train=sparsify.TrainSettings(epochs=1, batch_size=16, lr=30.0))  # ruins what it trains


def test_where_nothing_smaller_keeps_the_budget_the_dense_network_is_given_back(model, capsys):  # noqa: F811
    small, report = shrink(model, max_drop=0, recovery=WILD)
    assert report.trials and all(trial.accuracy < report.score_dense for trial in report.trials)
    assert "nothing smaller keeps" in capsys.readouterr().err and "the budget of 0 is kept" in str(report)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in small.state_dict().items())
    assert report.score == report.score_dense and report.after == report.before and report.curves["recovery"] == []


def test_the_dense_network_is_given_back_whole_also_with_units_that_were_dead_before(model):  # noqa: F811
    dead = copy.deepcopy(model)
    with torch.no_grad():
        dead[0].weight[3] = dead[2].weight[:, 5] = 0
    small, report = shrink(dead, max_drop=0, recovery=WILD, prior="log_uniform")
    assert all(torch.equal(value, dead.state_dict()[name]) for name, value in small.state_dict().items())
    assert report.after == report.before and report.removal.gap == 0


@pytest.mark.parametrize("wish", [{"target": {"macs": 0.3}}, {"max_drop": 1}], ids=["size", "accuracy"])
def test_the_default_prior_is_the_same_by_its_name(model, monkeypatch, wish):  # noqa: F811
    made = []
    monkeypatch.setattr(shrinking, "bayesianize", lambda network, example, prior, **more: made.append(prior) or [][0])
    for prior in (None, "gate"):
        with pytest.raises(IndexError):
            shrink(model, prior=prior, **wish)
    assert made[0] == made[1]


def test_a_target_of_the_prior_settings_is_where_a_search_leads(model, monkeypatch):  # noqa: F811
    """Also where it is the very one that a search would lead to, of what can leave, without it."""
    led = []
    monkeypatch.setattr(shrinking, "fit_posterior", lambda *given, **more: led.append(given[5].target) or [][0])
    for prior in (sparsify.PriorSettings("gate", target=Target(macs=0.1)), "gate"):
        with pytest.raises(IndexError):
            shrink(model, max_drop=20, prior=prior)
    assert led[0] == Target(macs=0.1) != led[1]


def test_the_state_of_a_search_with_a_target_of_its_own_is_another_calls(model, tmp_path):  # noqa: F811
    shrink(model, max_drop=20, prior="gate", state=tmp_path)
    with pytest.raises(sparsify.InputError, match="another call: prior differ"):
        shrink(model, max_drop=20, prior=sparsify.PriorSettings("gate", kl_weight="macs", target=Target(macs=0.1)), state=tmp_path)


def test_where_no_unit_can_leave_a_search_says_so_before_it_trains(tmp_path):
    with pytest.raises(sparsify.InputError, match="nothing of it can leave: 15 macs of 15 stay at least"):
        shrink(nn.Sequential(nn.Linear(12, 1), nn.ReLU(), nn.Linear(1, 3)), max_drop=20, prior="gate", state=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["call.json"]


class Parts(nn.Module):
    """A layer of ten units, a number that is written into slices of another, and layers that are free."""

    def __init__(self):
        super().__init__()
        self.first, self.both, self.rest, self.last = nn.Linear(12, 10), nn.Linear(10, 16), nn.Linear(6, 40), nn.Linear(40, 3)

    def forward(self, inputs):
        first = torch.relu(self.first(inputs))
        both = self.both(first)
        first = first + both[:, :10]
        return self.last(torch.relu(self.rest(torch.relu(both[:, 10:]))) + first.sum(1, keepdim=True))


@pytest.mark.parametrize("wish", [{"target": {by: 0.7}} for by in ("units", "weights", "macs")] + [{"max_drop": 100}], ids=str)
def test_layers_that_cannot_be_cut_stay_and_the_target_is_reached_all_the_same(wish):
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="stay as they are"):
        small, report = shrink(Parts(), **wish)
    assert small.first.out_features == 10 < small.both.out_features and small.rest.out_features < 40
    for by, share in wish.get("target", {}).items():
        assert 0.6 * counted(report.before, by) < counted(report.after, by) <= share * counted(report.before, by)


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


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.memory, self.hidden, self.last = nn.LSTM(3, 6, batch_first=True), nn.Linear(6, 40), nn.Linear(40, 3)

    def forward(self, inputs):
        return self.last(torch.relu(self.hidden(self.memory(inputs.view(-1, 4, 3))[0][:, -1])))


def test_a_share_is_of_all_multiply_accumulates_also_of_layers_that_stay():
    """The LSTM keeps its width, and has 864 of 1,224."""
    torch.manual_seed(0)
    loaders = (DataLoader(TensorDataset(X[:160], Y[:160]), batch_size=32), DataLoader(TensorDataset(X[160:], Y[160:]), batch_size=50))
    with pytest.warns(UserWarning, match="stay as they are"):
        _, report = sparsify.shrink(Recurrent(), *loaders, target={"macs": 0.8}, **SHORT)
    assert report.before.macs == 4 * 4 * 6 * (3 + 6) + 40 * (6 + 3)
    assert 0.75 * 1224 < report.after.macs <= 0.8 * 1224
    assert report.curves["bayesian"][-1]["expected_size_percent"] == pytest.approx(80, abs=5)


@pytest.mark.parametrize(("share", "lead"), [(0.1, 20), (0.5, 70.7)])
def test_single_weights_are_led_to_twice_as_many_and_cut(model, share, lead):  # noqa: F811
    _, report = shrink(model, target={"nonzeros": share}, bayesian=sparsify.VariationalSettings(train=sparsify.TrainSettings(
        epochs=80, batch_size=16, lr=0.01)))
    assert report.curves["bayesian"][-1]["expected_size_percent"] == pytest.approx(lead, rel=0.15)
    assert counted(report.after, "nonzeros") <= share * counted(report.before, "nonzeros")
