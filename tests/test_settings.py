"""Settings are right once they are there, made in code or from a mapping; else an error names the key, what came, what is allowed."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest
import torch

from sparsify.bayes.priors import KINDS, PriorSettings
from sparsify.settings import DIFFERENT, Count, Fraction, InputError, NonNegative, Positive, PositiveInt, Settings, build, one_of
from sparsify.training import StepSettings, TrainSettings


@dataclass(frozen=True)
class Inner(Settings):
    rate: Positive
    share: Fraction = 0.5
    noise: NonNegative = 0.0


@dataclass(frozen=True)
class Outer(Settings):
    name: Annotated[str, one_of(("left", "right"))]
    steps: PositiveInt
    skipped: Count
    flag: bool
    limit: float | None
    side: PositiveInt | None
    sizes: Annotated[tuple[PositiveInt, ...], DIFFERENT]
    extras: tuple[PositiveInt, ...]
    inner: Inner


GOOD = {"name": "left", "steps": 1, "skipped": 0, "flag": False, "limit": None, "side": None, "sizes": [1, 64], "extras": [],
        "inner": {"rate": 1, "share": 0.5, "noise": 0.0}}


def changed(key: str, value: object) -> dict:
    """GOOD with another value under one key of the outer or the inner section."""
    if key.startswith("inner."):
        return GOOD | {"inner": GOOD["inner"] | {key.removeprefix("inner."): value}}
    return GOOD | {key: value}


def error(make: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def message(mapping: object, where: str = "") -> str:
    return error(lambda: build(Outer, mapping, where))


def test_good_values_arrive_as_they_are():
    settings = build(Outer, GOOD)
    assert settings == Outer("left", 1, 0, False, None, None, (1, 64), (), Inner(1.0, 0.5, 0.0))
    assert type(settings.inner.rate) is float


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        build(Outer, GOOD).steps = 2


@pytest.mark.parametrize(("key", "value", "allowed"), [
    ("name", "middle", "left, right"),
    ("name", ["left"], "text"),
    ("name", True, "text"),
    ("steps", 0, ">= 1"),
    ("steps", True, "a whole number"),
    ("steps", 1.0, "a whole number"),
    ("steps", "1", "a whole number"),
    ("steps", None, "a whole number"),
    ("side", 0, "a whole number >= 1"),
    ("skipped", -1, ">= 0"),
    ("flag", 1, "true or false"),
    ("flag", "yes", "true or false"),
    ("limit", "none", "a number"),
    ("limit", False, "a number"),
    ("sizes", [], "at least one"),
    ("sizes", [2, 2], "none twice"),
    ("sizes", 64, "a list"),
    ("sizes", "64", "a list"),
    ("inner", 3, "rate, share, noise"),
    ("inner", [1.0], "rate, share, noise"),
    ("inner", None, "rate, share, noise"),
    ("inner.rate", 0, "> 0"),
    ("inner.rate", -0.1, "> 0"),
    ("inner.rate", "1e-3", "a number"),
    ("inner.rate", True, "a number"),
    ("inner.rate", None, "a number"),
    ("inner.rate", [1.0], "a number"),
    ("inner.share", 1.0, "1"),
    ("inner.share", -0.1, "from 0"),
    ("inner.noise", -1e-9, ">= 0"),
])
def test_bad_value_is_named_with_its_key_and_what_is_allowed_wherever_it_comes_from(key, value, allowed):
    """The three ways say the same, but for the key: code names the class in place of the section."""
    said = message(changed(key, value))
    assert said.startswith(f"{key} is ")
    assert repr(value) in said
    assert allowed in said.split(repr(value), 1)[1]
    good = build(Outer, GOOD)
    settings, field, name = (good.inner, key.removeprefix("inner."), "Inner") if "." in key else (good, key, "Outer")
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    in_code = f"{name}.{field}" + said.removeprefix(key)
    assert error(lambda: dataclasses.replace(settings, **{field: value})) == in_code
    assert error(lambda: type(settings)(**(values | {field: value}))) == in_code


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["limit", "inner.rate", "inner.share", "inner.noise"])
def test_number_that_is_not_finite_is_refused(key, value):
    assert message(changed(key, value)) == f"{key} is {value}; it has to be a finite number"


def test_a_message_is_one_line_whatever_it_quotes():
    assert str(InputError("a\nb\x1b[31m\u2028\ud800é")) == "a\\nb\\x1b[31m\\u2028\\ud800é"
    assert message(GOOD | {"a\nb": 1}).startswith("a\\nb is not a key")
    assert len(message(changed("inner.rate", "x" * 10_000))) < 300
    assert "a number without end" in message(changed("skipped", 10**5000))


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_no_file_could_be_called_is_refused(text):
    assert "without a zero byte" in message(changed("name", text))


def test_number_too_large_for_a_float_is_refused():
    assert message(changed("inner.rate", 10**400)) == "inner.rate is inf; it has to be a finite number"


def test_defaults_serve_code_and_are_checked_too():
    assert Inner(2) == Inner(rate=2.0, share=0.5, noise=0.0)

    @dataclass(frozen=True)
    class Wrong(Settings):
        share: Fraction = 1.0

    assert error(Wrong) == "Wrong.share is 1.0; it has to be a number from 0 up to, but not including, 1"


def test_a_keyword_that_is_no_field_is_pythons_own_error():
    with pytest.raises(TypeError, match="rte"):
        Inner(rate=1.0, rte=1.0)


def test_settings_that_extend_others_check_the_fields_of_both():
    @dataclass(frozen=True)
    class More(Inner):
        steps: Count = 0

    assert error(lambda: More(rate=-1.0)) == "More.rate is -1.0; it has to be a number > 0, from 1e-30 to 1e30"
    assert error(lambda: More(rate=1.0, steps=-1)) == "More.steps is -1; it has to be a whole number >= 0, at most 10**9"


def test_numbers_of_numpy_become_pythons_own():
    settings = Inner(rate=np.float32(0.5), share=np.int64(0))
    assert (settings.rate, settings.share) == (0.5, 0.0)
    assert type(settings.rate) is type(settings.share) is float


def test_lists_and_mappings_in_code_become_what_the_hints_say():
    settings = dataclasses.replace(build(Outer, GOOD), sizes=[2], inner=GOOD["inner"])
    assert settings == dataclasses.replace(build(Outer, GOOD), sizes=(2,))
    hash(settings)  # which a list would not let pass


def test_bad_item_of_a_list_is_named_with_its_place():
    said = message(GOOD | {"sizes": [1, 0]})
    assert "sizes[1] is 0;" in said
    assert ">= 1" in said


def test_a_key_with_a_default_may_not_be_missing_from_a_mapping():
    assert message(GOOD | {"inner": {"rate": 1, "noise": 0.0}}) == "inner.share is missing; the keys here are rate, share, noise"


@pytest.mark.parametrize("key", GOOD)
def test_missing_key_is_named_with_all_keys(key):
    said = message({other: value for other, value in GOOD.items() if other != key})
    assert said.startswith(f"{key} is missing")
    assert ", ".join(GOOD) in said


@pytest.mark.parametrize(("mapping", "key", "keys"), [
    (GOOD | {"step": 1}, "step", ", ".join(GOOD)),
    (GOOD | {1: 1}, "1", ", ".join(GOOD)),
    (changed("inner.rte", 1.0), "inner.rte", "rate, share, noise"),
])
def test_unknown_key_is_named_with_the_keys_of_its_section(mapping, key, keys):
    said = message(mapping)
    assert said.startswith(f"{key} is not a key")
    assert keys in said


def test_section_named_by_the_caller_leads_the_dotted_key():
    assert message(changed("inner.rate", 0), "file: settings").startswith("file: settings.inner.rate is 0")


@pytest.mark.parametrize("mapping", [None, [], "text", 3])
def test_what_is_not_a_mapping_is_refused_with_the_keys(mapping):
    said = message(mapping)
    assert repr(mapping) in said
    assert ", ".join(GOOD) in said


@pytest.mark.parametrize(("make", "said"), [
    (lambda: PriorSettings(kind="gausian"),
     "PriorSettings.kind is 'gausian'; it has to be one of log_uniform, gaussian, mixture, ard, gate"),
    (lambda: PriorSettings(kind="gate", initial_alpha=-1),
     "PriorSettings.initial_alpha is -1; it has to be a number > 0, from 1e-30 to 1e30"),
    (lambda: TrainSettings(lr=-1), "TrainSettings.lr is -1; it has to be a number > 0, from 1e-30 to 1e30"),
    (lambda: TrainSettings(epochs=2.5), "TrainSettings.epochs is 2.5, a number; it has to be a whole number"),
    (lambda: StepSettings(optimizer="adam"), "StepSettings.optimizer is 'adam'; it has to be one of adamw, sgd"),
])
def test_the_librarys_own_settings_are_checked_when_they_are_made(make, said):
    assert error(make) == said


@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_needs_no_more_than_its_kind(kind):
    mean, settings = torch.randn(3, 4), PriorSettings(kind)
    log_var = mean.square().mul(settings.initial_alpha).log()
    assert KINDS[kind](settings, mean, log_var).kl(mean, log_var).isfinite().all()
