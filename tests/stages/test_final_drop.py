"""prune.max_final_drop: a search with a recovery at each size, which goes on where it was interrupted."""

import json
from pathlib import Path

import pytest
import torch
from test_recipes import compose

from sparsify import artifacts, budget, data, load
from sparsify.settings import InputError
from stages import params, prune, runtime, train_baseline, train_bayesian


def prepare(*more):
    sizes = [f"{section}.batch_size=20" for section in ("baseline", "bayesian.train", "finetune.train")]
    compose(Path("params.yaml"), "recipe=smoke", "baseline.epochs=8", "bayesian.train.epochs=12", "finetune.train.epochs=8", *sizes,
            "bayesian.distill=0", "prior.kind=gate", "prior.target.units=0.25", "prune.max_final_drop=10", *more)
    torch.manual_seed(0)
    labels = torch.arange(300) % 10
    images = (100 * (torch.rand(10, 1, 28, 28) > 0.5)[labels] + 150 * torch.rand(300, 1, 28, 28)).to(torch.uint8)
    data.save(runtime.DATASET, data.Raw(images, labels), data.Raw(images, labels), 40, 0)
    for stage in (train_baseline.train_baseline, train_bayesian.train_bayesian):
        stage(params.load())


def test_the_search_keeps_the_budget_and_goes_on_where_it_was_interrupted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    prepare()
    capsys.readouterr()
    runtime.main(prune.prune)
    said, whole = capsys.readouterr(), json.loads((runtime.METRICS / "prune.json").read_text())["prune"]
    small = runtime.COMPACT.read_bytes()
    assert "trials of 8 epochs each" in said.err.split("after 8 epochs")[0]  # the cost is said before the first
    found = whole["budget"]
    assert found["trials"] >= 2 and whole["nonzeros_left"] < whole["weights_total"]
    assert f"the budget of 10 is {'kept' if found['final_drop'] <= 10 else 'not kept'}" in said.out
    assert not list(Path("scratch").iterdir())

    runtime.COMPACT.unlink()
    trained, recovery = [], budget.Recovery.__call__

    def interrupted(self, network, label, epochs=None, total_steps=None, state=None):
        trained.extend([label] if epochs or not total_steps else [])  # not the timing
        if len(trained) == 2 and not total_steps:
            raise KeyboardInterrupt
        return recovery(self, network, label, epochs, total_steps, state)
    monkeypatch.setattr(budget.Recovery, "__call__", interrupted)
    with pytest.raises(SystemExit):
        runtime.main(prune.prune)
    for end, seconds in ((".scan", 1000.0), (".done", 4000.0)):  # what an interrupted run took is counted
        [path] = Path("scratch").glob(f"*{end}")
        artifacts.write_tensors(path, artifacts.read_tensors(path) | {"seconds": seconds})
    runtime.main(prune.prune)
    assert 5000 < json.loads((runtime.METRICS / "prune.json").read_text())["prune"]["seconds"] < 6000
    assert len(trained) == found["trials"] + 2  # the one that was interrupted began twice, and the recovery
    assert runtime.COMPACT.read_bytes() == small


def test_where_nothing_smaller_keeps_the_budget_the_dense_network_stays(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    prepare("finetune.train.lr=30", "prune.max_final_drop=0")
    runtime.main(prune.prune)
    said, found = capsys.readouterr(), json.loads((runtime.METRICS / "prune.json").read_text())["prune"]
    assert "nothing smaller keeps" in said.err and "the budget of 0 is kept" in said.out
    assert found["budget"]["final_drop"] == 0 and found["nonzeros_left"] == found["weights_total"]
    dense, compact = (load(path) for path in (runtime.BASELINE, runtime.COMPACT))
    assert all(torch.equal(value, dense.state_dict()[name]) for name, value in compact.state_dict().items())
    assert (runtime.PLOTS / "finetune_curve.csv").read_text().startswith("epoch,nll,validation_accuracy,seconds\n0,")


@pytest.mark.parametrize(("wish", "named"), [
    ("prune.max_final_drop=1", "max_final_drop 1"), ("prune.target.units=0.3", "target.units 0.3"),
    ("prior.target.macs=0.3", "target.macs 0.3")])
def test_a_threshold_beside_another_wish_is_refused(wish, named, tmp_path):
    compose(tmp_path / "params.yaml", "recipe=smoke", "prune.threshold=1", wish)
    with pytest.raises(InputError, match=f"prune.threshold is 1 and prune.{named}; only one"):
        params.load(tmp_path / "params.yaml")
