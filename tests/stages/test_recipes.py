"""Every recipe, composed as DVC does it, is a configuration that the stages take."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
import yaml
from dvc.utils.hydra import compose_and_dump
from omegaconf import OmegaConf

from sparsify import models
from stages import params

CONF = Path(__file__).parents[2] / "conf"
RECIPES = sorted(path.stem for path in (CONF / "recipe").glob("*.yaml"))
SHAPES = {"mnist-5k": ((1, 28, 28), 10), "mnist": ((1, 28, 28), 10), "fashion-mnist": ((1, 28, 28), 10), "cifar10": ((3, 32, 32), 10),
          "folder": ((3, 64, 64), 3), "examples.table:load": ((30,), 2)}  # of one example, and how many classes


def compose(path: Path, *overrides: str) -> None:
    """Writes the composed configuration to `path`, as `dvc exp run -S OVERRIDE` does."""
    compose_and_dump(str(path), str(CONF), None, "config", "", list(overrides))


def keys(mapping: Mapping, where: str = "") -> Iterator[str]:
    for key, value in mapping.items():
        yield f"{where}{key}"
        if isinstance(value, Mapping):
            yield from keys(value, f"{where}{key}.")


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_composes_to_parameters_that_the_stages_accept(recipe, tmp_path):
    compose(tmp_path / "params.yaml", f"recipe={recipe}")
    assert params.load(tmp_path / "params.yaml").recipe_name == recipe


@pytest.mark.parametrize("recipe", RECIPES)
def test_model_of_a_recipe_takes_the_examples_of_its_data_set(recipe, tmp_path):
    compose(tmp_path / "params.yaml", f"recipe={recipe}")
    chosen = params.load(tmp_path / "params.yaml")
    shape, n_classes = SHAPES[chosen.data.name]
    network = models.Architecture(chosen.model.name, shape, n_classes, chosen.model.width).build().eval()
    assert network(torch.randn(2, *shape)).shape == (2, n_classes)


def test_committed_params_are_the_composed_default(tmp_path):
    compose(tmp_path / "params.yaml")
    assert yaml.safe_load((CONF.parent / "params.yaml").read_text()) == yaml.safe_load((tmp_path / "params.yaml").read_text())


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_has_only_keys_of_config_yaml(recipe):
    config = yaml.safe_load((CONF / "config.yaml").read_text())
    assert set(keys(yaml.safe_load((CONF / "recipe" / f"{recipe}.yaml").read_text()))) <= set(keys(config))


def test_config_yaml_alone_has_every_key(tmp_path):
    config = OmegaConf.load(CONF / "config.yaml")
    del config["defaults"]
    (tmp_path / "params.yaml").write_text(OmegaConf.to_yaml(config, resolve=True))
    assert params.load(tmp_path / "params.yaml").seed == config["seed"]
