"""params.yaml composed without DVC is what DVC composes."""

import pytest
import yaml
from test_recipes import CONF, RECIPES
from test_recipes import compose as by_dvc

from sparsify.settings import InputError
from stages.compose import composed
from stages.reading import written

OVERRIDES = [(), ("seed=2", "prior.kind=mixture"), ("baseline.lr=1e-3", "prior.variance_floor=1.0e-6", "model.width=0.5"),
             ("controls.methods=[]", "sweep.shares=[0,50]", "prune.threshold=null"), ("prune.inputs=true", "prune.threshold=3")]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("overrides", OVERRIDES, ids=" ".join)
def test_composed_without_dvc_equals_composed_by_dvc(recipe, overrides, tmp_path):
    by_dvc(tmp_path / "params.yaml", f"recipe={recipe}", *overrides)
    ours = composed(f"recipe={recipe}", *overrides, conf=CONF)
    assert ours == yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert yaml.safe_load(written(ours)) == ours


@pytest.mark.parametrize("mirror", [None, "", "/some where/else"])
def test_a_mirror_is_composed_into_the_path_that_is_watched(mirror, tmp_path, monkeypatch):
    monkeypatch.delenv("SPARSIFY_MIRROR", raising=False)
    if mirror is not None:
        monkeypatch.setenv("SPARSIFY_MIRROR", mirror)
    by_dvc(tmp_path / "params.yaml", "recipe=mnist-mlp")
    path = yaml.safe_load((tmp_path / "params.yaml").read_text())["data"]["path"]
    assert composed("recipe=mnist-mlp", conf=CONF)["data"]["path"] == path == ("sparsify/data/named.py" if mirror is None else mirror)


def test_the_committed_params_are_those_of_no_override():
    assert written(composed(conf=CONF)) == (CONF.parent / "params.yaml").read_text()


@pytest.mark.parametrize(("override", "said"), [
    ("recipe=nonsense", "recipe is 'nonsense'; it has to be one of cifar10-"),
    ("prior.knd=gate", r"-S prior.knd=gate: prior.knd is not a key; choose from kind, beta"),
    ("sed=1", "sed is not a key; choose from recipe_name, seed"),
    ("prior=gate", "prior is a section; name one of its keys, kind, beta"),
    ("seed", "-S seed has no value; write KEY=VALUE"),
    ("seed=[1", r"the value \[1 is not YAML"),
])
def test_an_override_that_cannot_be_laid_over_is_refused_in_one_line(override, said):
    with pytest.raises(InputError, match=said) as caught:
        composed(override, conf=CONF)
    assert "\n" not in str(caught.value)
