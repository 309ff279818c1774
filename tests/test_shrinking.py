"""One call: what is left, that an interruption changes nothing, and what is refused."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

import sparsify
from sparsify import RecoverySettings, TrainSettings, VariationalSettings, losses, shrinking, training
from sparsify.data import Loaded, Split, loaded

TRAIN = TrainSettings(epochs=10, batch_size=16, lr=0.01)
SHORT = {"bayesian": VariationalSettings(train=replace(TRAIN, epochs=20)), "recovery": RecoverySettings(train=TRAIN)}
X = torch.randn(260, 12, generator=torch.Generator().manual_seed(0))
Y = X[:, :3].argmax(1)


class Shifted(Dataset):
    """Examples that are another each time they are asked for."""

    def __len__(self):
        return 160

    def __getitem__(self, number):
        return X[number] + 0.05 * torch.randn(12), int(Y[number])


VALIDATION = DataLoader(TensorDataset(X[160:], Y[160:]), batch_size=50)
PLAIN = DataLoader(TensorDataset(X[:160], Y[:160]), batch_size=32, shuffle=True)


def augmented():
    return DataLoader(Shifted(), batch_size=32, shuffle=True, generator=torch.Generator())


@pytest.fixture(scope="module")
def model():
    """A network that has learnt the classes."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 3))
    settings = replace(TRAIN, epochs=20)
    training.fit(network, Split(X[:160], Y[:160]), losses.cross_entropy(network, settings), settings, dict, "dense")
    return network


def shrink(model, loader=PLAIN, **options):
    return sparsify.shrink(model, loader, VALIDATION, **{**SHORT, **options})


@pytest.mark.parametrize(("target", "loader"), [
    ({"macs": 0.3}, PLAIN), ({"units": 0.4}, augmented()), ({"weights": 300}, PLAIN), ({"nonzeros": 0.2}, PLAIN)],
    ids=lambda value: str(value) if isinstance(value, dict) else None)
def test_what_is_left_is_the_target_and_the_network_is_right(model, target, loader):
    before = copy.deepcopy(model.state_dict())
    drawn = torch.get_rng_state()
    small, report = shrink(model, loader, target=target)
    (by, value), = target.items()
    most = value if value > 1 else value * sparsify.shrink_report.counted(report.before, by)
    left = sparsify.shrink_report.counted(report.after, by)
    assert 0.7 * most <= left <= most  # networks of 50 units have few sizes
    assert report.score == 100 * (small(X[160:]).argmax(1) == Y[160:]).double().mean().item() > report.score_dense - 15 > 70
    assert type(small) is nn.Sequential and not small.training and report.gap < 1e-9
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert torch.equal(torch.get_rng_state(), drawn)
    said = str(report)
    assert f"{by} {value:.4g}" in said and f"{report.after.macs:,}" in said and "accuracy" in said and len(said.splitlines()) == 11


def test_a_drop_of_accuracy_is_searched_for(model, capsys):
    small, report = shrink(model, max_drop=10.0)
    assert report.score_dense - report.score <= 10 and report.after.macs < report.before.macs and report.trials
    assert "the budget of 10 is kept" in str(report) and "at most" in capsys.readouterr().err
    assert (small(X[160:]).argmax(1) == Y[160:]).double().mean() * 100 == report.score


def test_another_network_may_teach(model):
    """One that is always wrong, and whose answers alone are learnt: so is the small one then."""
    class Wrong(nn.Module):
        def forward(self, inputs):
            return 20 * nn.functional.one_hot((inputs[:, :3].argmax(1) + 1) % 3, 3).float()
    recovery = RecoverySettings(distill=0.99, train=replace(TRAIN, epochs=40))
    scores = [shrink(model, target={"units": 0.5}, recovery=recovery, teacher=teacher)[1].score for teacher in (None, model, Wrong())]
    assert scores[0] == scores[1] > 80 and scores[2] < 20


def test_another_task_has_its_loss_and_its_metric():
    torch.manual_seed(0)
    targets = torch.stack([X[:, 0] * X[:, 1], X[:, 2]], 1)
    network = nn.Sequential(nn.Linear(12, 40), nn.Tanh(), nn.Linear(40, 2))
    loaders = (DataLoader(TensorDataset(X[:160], targets[:160]), batch_size=32, shuffle=True),
               DataLoader(TensorDataset(X[160:], targets[160:]), batch_size=50))
    small, report = sparsify.shrink(network, *loaders, target={"units": 0.5}, loss=nn.functional.mse_loss, **SHORT)
    assert report.measure == "-loss" and report.after.hidden == {"0": 20}
    assert report.score == pytest.approx(-nn.functional.mse_loss(small(X[160:]), targets[160:]).item(), rel=1e-5)
    assert report.score > report.score_dense  # the dense one was not trained

    def explained(outputs, targets):
        return 1 - (outputs - targets).square().sum() / (targets - targets.mean(0)).square().sum()
    _, report = sparsify.shrink(network, *loaders, max_drop=0.3, loss=nn.functional.mse_loss, metric=explained, **SHORT)
    assert report.measure == "explained" and "validation_explained" in report.curves["recovery"][-1]
    assert report.score_dense - report.score <= 0.3


@pytest.mark.parametrize("loader", [lambda: PLAIN, augmented], ids=["tensors", "augmented"])
@pytest.mark.parametrize("wish", [{"target": {"macs": 0.3}}, {"max_drop": 10.0}], ids=["size", "accuracy"])
def test_an_interrupted_call_goes_on_and_ends_with_the_same_network(model, loader, wish, tmp_path, monkeypatch):
    whole, report = shrink(model, loader(), **wish)
    steps, descend = 0, training.descend

    def interrupted(*given, **options):
        nonlocal steps
        steps += 1
        if steps in (43, 128, 145):  # in the Bayesian training, in what follows it, and again
            raise KeyboardInterrupt
        return descend(*given, **options)
    monkeypatch.setattr(training, "descend", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            shrink(model, loader(), state=tmp_path / "state", **wish)
    again, resumed = shrink(model, loader(), state=tmp_path / "state", **wish)
    assert (resumed.threshold, resumed.score, resumed.trials) == (report.threshold, report.score, report.trials)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())
    taken = steps
    shrink(model, loader(), state=tmp_path / "state", **wish)
    assert steps == taken  # all of it was there


def test_a_state_of_another_call_is_refused(model, tmp_path):
    shrink(model, target={"macs": 0.5}, state=tmp_path)
    with pytest.raises(sparsify.InputError, match=r"is of another call: wish, prior differ; give another folder, or delete it"):
        shrink(model, target={"macs": 0.4}, state=tmp_path)
    with pytest.raises(sparsify.InputError, match="call: model differ"):
        shrink(nn.Sequential(nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 3)), target={"macs": 0.5}, state=tmp_path)
    with pytest.raises(sparsify.InputError, match=r"call\.json, a file; it has to be a folder"):
        shrink(model, target={"macs": 0.5}, state=tmp_path / "call.json")


def test_a_damaged_state_says_what_to_do(model, tmp_path):
    shrink(model, target={"macs": 0.5}, state=tmp_path)
    (tmp_path / "recovery.pt").write_bytes((tmp_path / "recovery.pt").read_bytes()[:-100])
    with pytest.raises(sparsify.InputError, match=r"recovery\.pt cannot be read .*; delete that file, and its training begins anew"):
        shrink(model, target={"macs": 0.5}, state=tmp_path)
    (tmp_path / "recovery.pt").unlink()
    shrink(model, target={"macs": 0.5}, state=tmp_path)


class Empty(Dataset):
    def __len__(self):
        return 0


WRONG = {
    "both": ({"target": {"macs": 0.3}, "max_drop": 1}, "both target and max_drop are given; give one"),
    "none": ({}, "neither target nor max_drop is given; give one"),
    "teacher": ({"max_drop": 1, "teacher": "resnet152"}, "teacher is 'resnet152'; it has to be a torch.nn.Module that was trained"),
    "teacher and loss": ({"max_drop": 1, "teacher": nn.Linear(12, 3), "loss": nn.functional.mse_loss}, "both teacher and loss are given"),
    "other answers": ({"max_drop": 1, "teacher": nn.Linear(12, 5)}, "the teacher answers with (5,) to an input, and the model with (3,)"),
    "other inputs": ({"max_drop": 1, "teacher": nn.Linear(9, 3)}, "the teacher cannot answer about the training inputs ("),
    "size": ({"target": {"flops": 0.3}}, "target is {'flops': 0.3}; it has to be one of units, weights, nonzeros, macs"),
    "two": ({"target": {"macs": 0.3, "units": 3}}, "it has to be one of units"),
    "nothing": ({"target": {}}, "it has to be one of units"),
    "zero": ({"target": {"macs": 0}}, "Target.macs is 0; it has to be a number > 0"),
    "text": ({"target": {"macs": "a third"}}, "Target.macs is 'a third'"),
    "much": ({"target": {"macs": 10**9}}, "it has to be a share between 0 and 1, or a smaller count"),
    "drop": ({"max_drop": -1}, "max_drop is -1; it has to be a number >= 0"),
    "epochs": ({"max_drop": 1, "trial_epochs": 0}, "trial_epochs is 0"),
    "prior": ({"max_drop": 1, "prior": "laplace"}, "one of log_uniform, gaussian, mixture, ard, gate"),
    "single": ({"target": {"macs": 0.3}, "prior": "log_uniform"}, "give nonzeros, or a prior on units"),
    "empty": ({"max_drop": 1, "loader": DataLoader(Empty(), batch_size=4)}, "train_loader is empty"),
    "dropped": ({"max_drop": 1, "loader": DataLoader(TensorDataset(X, Y), batch_size=999, drop_last=True)}, "drop_last leaves out"),
    "tensor": ({"max_drop": 1, "loader": X}, "train_loader is a Tensor; it has to be a torch.utils.data.DataLoader"),
    "alone": ({"max_drop": 1, "loader": DataLoader(TensorDataset(X))}, "batches of (Tensor); they have to be (inputs, targets)"),
    "float": ({"max_drop": 1, "loader": DataLoader(TensorDataset(X, X))}, "give the loss of your task"),
    "class": ({"max_drop": 1, "loader": DataLoader(TensorDataset(X, Y + 1))}, "a target 3, and the network puts out 3 logits"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_used_is_one_line(model, name, monkeypatch):
    options, said = WRONG[name]
    monkeypatch.setattr(training, "descend", lambda *_: pytest.fail("it trained"))
    with pytest.raises(sparsify.InputError) as caught:
        shrink(model, **options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_network_is_refused():
    with pytest.raises(sparsify.InputError, match=r"model is 'resnet18'; it has to be a torch.nn.Module"):
        shrink("resnet18", max_drop=1)


@pytest.mark.parametrize(("loader", "kind"), [
    (PLAIN, Split), (DataLoader(random_split(TensorDataset(X, Y), [100, 160])[1], batch_size=32, shuffle=True), Split),
    (augmented(), Loaded), (DataLoader(TensorDataset(X, Y), sampler=torch.utils.data.WeightedRandomSampler([1.0] * 260, 160)), Loaded),
    (DataLoader(TensorDataset(X, Y), batch_size=32, collate_fn=lambda pairs: (X[:5], Y[:5])), Loaded)])
def test_tensors_that_are_only_shuffled_lie_on_the_device(loader, kind):
    part, batch_size = loaded(loader, "cpu", "loader")
    assert type(part) is kind and batch_size == loader.batch_size
    if kind is Split:
        subset = loader.dataset
        assert len(part) == 160 and torch.equal(part[0:1][0], subset[0][0]) and part.labels[159] == subset[159][1]


def test_each_epoch_asks_the_loader_anew(model, train_settings):
    seen, part = [], Loaded(augmented(), "cpu", "loader")
    network = copy.deepcopy(model)
    network.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    training.fit(network, part, losses.cross_entropy(network, TRAIN), train_settings(epochs=2), dict, "test")
    assert len(part) == 160 and [len(batch) for batch in seen] == 10 * [32]
    assert not torch.equal(torch.cat(seen[:5]).sort(0)[0], torch.cat(seen[5:]).sort(0)[0])


def test_a_loader_that_gives_less_than_it_says_is_told(model, train_settings):
    class Short(torch.utils.data.IterableDataset):
        def __len__(self):
            return 96

        def __iter__(self):
            return iter([(X[n], int(Y[n])) for n in range(40)])
    part = Loaded(DataLoader(Short(), batch_size=32), "cpu", "train_loader")
    with pytest.raises(sparsify.InputError, match="train_loader gave 2 batches, and its length is 3"):
        training.fit(copy.deepcopy(model), part, losses.cross_entropy(model, TRAIN), train_settings(), dict, "test")


def test_defaults_are_those_that_the_text_tells():
    assert shrinking._prior(None, shrinking.Target(nonzeros=9))[0].kind == "log_uniform"
    assert shrinking._prior(None, shrinking.Target())[0].target.given() == {"macs": 0.1}
