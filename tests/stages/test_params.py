"""params.yaml: whatever cannot be used is an InputError with the dotted key, what came, and what is allowed."""

import pytest
import yaml
from test_recipes import compose

from sparsify import data, models
from sparsify.bayes.priors import INDICATORS, KINDS, KL_WEIGHTS
from sparsify.compaction import ORDERS
from sparsify.compress.magnitude import SCOPES
from sparsify.settings import InputError
from sparsify.training import OPTIMIZERS
from stages import params


@pytest.fixture
def path(tmp_path):
    compose(tmp_path / "params.yaml", "recipe=smoke")
    return tmp_path / "params.yaml"


def put(path, dotted, *value):
    """Sets one key of the file, which may be new; without a value, takes it out."""
    content = yaml.safe_load(path.read_text())
    *sections, key = dotted.split(".")
    place = content
    for section in sections:
        place = place[section]
    if value:
        place[key], = value
    else:
        del place[key]
    path.write_text(yaml.safe_dump(content))


def message(path):
    with pytest.raises(InputError) as caught:
        params.load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("key", "value", "allowed"), [
    ("prior.kind", "mixtur", KINDS),
    ("prior.indicator", "neurons", INDICATORS),
    ("prior.kl_weight", "bytes", KL_WEIGHTS),
    ("prune.order", "alpha", ORDERS),
    ("data.name", "mnist5k", data.NAMES),
    ("model.name", "lenet", models.NAMES),
    ("baseline.optimizer", "adam", OPTIMIZERS),
    ("bayesian.train.optimizer", "SGD", OPTIMIZERS),
    ("sweep.weight_scope", "model", SCOPES),
])
def test_unknown_choice_is_answered_with_every_choice(key, value, allowed, path):
    put(path, key, value)
    said = message(path)
    assert said.startswith(f"{key} is {value!r}; ")
    assert ", ".join(allowed) in said


def test_an_order_that_the_prior_has_no_scores_of_is_refused_before_anything_trains(path):
    put(path, "prune.order", "evidence")
    params.load(path)
    put(path, "prior.kind", "log_uniform")
    assert message(path).startswith("prune.order is evidence, but the prior log_uniform has none")


@pytest.mark.parametrize("key", ["prior.kind", "data.name", "model.name", "baseline.optimizer"])
def test_every_choice_that_is_named_is_accepted(key, path):
    allowed = {"prior.kind": KINDS, "data.name": data.NAMES, "model.name": models.NAMES, "baseline.optimizer": OPTIMIZERS}[key]
    section, name = key.split(".")
    for choice in allowed:
        put(path, key, choice)
        assert getattr(getattr(params.load(path), section), name) == choice


@pytest.mark.parametrize(("key", "value", "allowed"), [
    ("seed", -1, "a whole number"),
    ("seed", True, "a whole number"),
    ("seed", 2**64, "a whole number"),  # torch.manual_seed takes 64 bits
    ("recipe_name", 3, "text"),
    ("data.validation", 0, ">= 1"),
    ("data.validation", False, "a whole number"),
    ("data.split_seed", 1.5, "a whole number"),
    ("model.width", 0, "from 0.001 to 100"),
    ("model.width", 1000, "from 0.001 to 100"),
    ("baseline.epochs", -3, "from 0 to 1,000,000"),
    ("baseline.epochs", 10**9, "from 0 to 1,000,000"),
    ("baseline.batch_size", 10**400, "at most 10**9"),
    ("recipe_name", "$\\frac{$", "without $"),
    ("data.path", "a\0b", "zero byte"),
    ("data.size", 10**5, "from 1 to 8,192"),
    ("baseline.epochs", True, "a whole number"),
    ("baseline.batch_size", 0, ">= 1"),
    ("baseline.lr", "1e-3 ", "a number"),
    ("baseline.lr", float("nan"), "number"),
    ("baseline.lr", float("inf"), "number"),
    ("baseline.label_smoothing", 1.0, "not including, 1"),
    ("baseline.flip", 1, "true or false"),
    ("baseline.shift", -1, "from 0 to 100"),
    ("prior.beta", -1.0, ">= 0"),
    ("prior.beta", float("inf"), "number"),
    ("prior.initial_alpha", 0.0, "> 0"),
    ("bayesian.from_baseline", "yes", "true or false"),
    ("bayesian.train.lr", 0.0, "> 0"),
    ("bayesian.train", None, "batch_size, optimizer"),
    ("prune.threshold", "none", "a number"),
    ("prune.threshold", float("nan"), "number"),
    ("prune.max_accuracy_drop", -1, ">= 0"),
    ("finetune.distill", 1.5, "not including, 1"),
    ("finetune.temperature", 0, "from 0.01"),
    ("bayesian.temperature", 1e308, "to 1,000"),
    ("prior.beta", 1e308, "at most 1e30"),
    ("prior.initial_alpha", 1e-320, "from 1e-30"),
    ("finetune.train.weight_decay", -0.1, ">= 0"),
    ("benchmark.batch_sizes", 16, "a list"),
    ("benchmark.threads", 1, "a list"),
    ("benchmark.threads", [], "at least one value"),
    ("benchmark.batch_sizes", [1, 1], "none twice"),
    ("benchmark.engines", "eager", "a list"),
    ("export.calibration", 0, ">= 1"),
    ("sweep.shares", [], "at least one value"),
    ("sweep.shares", [0, 0, 0], "none twice"),
    ("sweep.seeds", 3, "a list"),
    ("sweep.weight_steps", -1, "from 0"),
    ("sweep.unit_steps", 1.5, "a whole number"),
    ("sweep.max_accuracy_drop", -0.1, ">= 0"),
    ("sweep.timing_repeats", 0, "from 1"),
    ("sweep.train.lr", 0.0, "> 0"),
])
def test_bad_value_is_named_with_its_key_and_what_is_allowed(key, value, allowed, path):
    put(path, key, value)
    said = message(path)
    assert said.startswith(f"{key} is ")
    assert (repr(value)[:97] if value == value else "nan") in said
    assert len(said) < 400
    assert allowed in said


def test_controls_may_be_left_out(path):
    put(path, "controls.methods", [])
    assert params.load(path).controls.methods == ()


@pytest.mark.parametrize("share", [100, -1])
def test_a_share_that_leaves_nothing_or_adds_is_refused(share, path):
    put(path, "sweep.shares", [0, share])
    assert message(path) == f"sweep.shares[1] is {share}; it has to be a number from 0 up to, but not including, 100"


def test_numbers_are_read_as_dvc_records_them(path):
    path.write_text(path.read_text().replace("initial_alpha: ", "initial_alpha: 1e-3 #", 1).replace("seed: 1\n", "seed: 010\n", 1))
    assert params.load(path).prior.initial_alpha == 1e-3
    assert params.load(path).seed == 10


@pytest.mark.parametrize(("key", "known"), [("prior.knd", "kind, beta"), ("sed", "recipe_name, seed"),
                                            ("bayesian.train.learning_rate", "batch_size, optimizer, lr")])
def test_unknown_key_is_answered_with_the_keys_of_its_section(key, known, path):
    put(path, key, 1)
    said = message(path)
    assert said.startswith(f"{key} is not a key")
    assert known in said


@pytest.mark.parametrize("key", ["seed", "prior", "finetune.train.epochs"])
def test_missing_key_is_named(key, path):
    put(path, key)
    assert message(path).startswith(f"{key} is missing")


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"seed: [1\n", b"seed: 1\n  lr: 2\n", b"recipe_name: caf\xe9\n"],
                         ids=["empty", "list", "bracket", "indentation", "not utf-8"])
def test_file_that_is_not_a_mapping_in_yaml_is_one_line(content, path):
    path.write_bytes(content)
    assert message(path)


def test_missing_file_is_named(tmp_path):
    assert "params.yaml does not exist" in message(tmp_path / "params.yaml")
