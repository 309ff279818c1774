"""bayesian.noise_lr_factor, through the stage."""

import pytest
import torch
from test_recipes import compose

from sparsify import data, tensorfile
from stages import params, runtime, train_baseline, train_bayesian


@pytest.mark.parametrize("kind", ["gate", "gaussian"])
def test_noise_stays_where_it_starts_if_its_rate_is_next_to_none(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    images, labels = torch.randint(0, 256, (120, 1, 28, 28), dtype=torch.uint8), torch.arange(120) % 10
    data.save(runtime.DATASET, data.Raw(images, labels), data.Raw(images, labels), 20, 0)
    compose(tmp_path / "params.yaml", "recipe=smoke")
    train_baseline.train_baseline(params.load())

    def spread(factor):
        """Of the noise of the second layer, which starts the same along each row."""
        compose(tmp_path / "params.yaml", "recipe=smoke", f"prior.kind={kind}", f"bayesian.noise_lr_factor={factor}")
        train_bayesian.train_bayesian(params.load())
        _, state = tensorfile.read(runtime.BAYESIAN)
        return state["fc2.gate.log_var" if kind == "gate" else "fc2.log_var"].std(-1).max()
    assert spread(1.0) > 1e-5 > spread(1e-9)
