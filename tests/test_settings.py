"""A mapping becomes a frozen dataclass, or an error that names the key, what came and what is allowed."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated

import pytest

from sparsify.settings import NOT_EMPTY, Count, Fraction, InputError, NonNegative, Positive, PositiveInt, build, one_of


@dataclass(frozen=True)
class Inner:
    rate: Positive
    share: Fraction
    noise: NonNegative


@dataclass(frozen=True)
class Outer:
    name: Annotated[str, one_of(("left", "right"))]
    steps: PositiveInt
    skipped: Count
    flag: bool
    limit: float | None
    sizes: Annotated[tuple[PositiveInt, ...], NOT_EMPTY]
    extras: tuple[PositiveInt, ...]
    inner: Inner


GOOD = {"name": "left", "steps": 1, "skipped": 0, "flag": False, "limit": None, "sizes": [1, 64], "extras": [],
        "inner": {"rate": 1, "share": 0.5, "noise": 0.0}}


def changed(key: str, value: object) -> dict:
    """GOOD with another value under one key of the outer or the inner section."""
    if key.startswith("inner."):
        return GOOD | {"inner": GOOD["inner"] | {key.removeprefix("inner."): value}}
    return GOOD | {key: value}


def message(mapping: object, where: str = "") -> str:
    with pytest.raises(InputError) as caught:
        build(Outer, mapping, where)
    return str(caught.value)


def test_good_values_arrive_as_they_are():
    settings = build(Outer, GOOD)
    assert settings == Outer("left", 1, 0, False, None, (1, 64), (), Inner(1.0, 0.5, 0.0))
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
    ("skipped", -1, ">= 0"),
    ("flag", 1, "true or false"),
    ("flag", "yes", "true or false"),
    ("limit", "none", "a number"),
    ("limit", False, "a number"),
    ("sizes", [], "not empty"),
    ("sizes", 64, "a list"),
    ("sizes", "64", "a list"),
    ("inner", 3, "rate, share, noise"),
    ("inner", None, "rate, share, noise"),
    ("inner.rate", 0, "> 0"),
    ("inner.rate", -0.1, "> 0"),
    ("inner.rate", "1e-3", "1.0e-3"),
    ("inner.rate", True, "a number"),
    ("inner.share", 1.0, "1"),
    ("inner.share", -0.1, "from 0"),
    ("inner.noise", -1e-9, ">= 0"),
])
def test_bad_value_is_named_with_its_key_and_what_is_allowed(key, value, allowed):
    said = message(changed(key, value))
    assert said.startswith(f"{key} is ")
    assert repr(value) in said
    assert allowed in said.split(repr(value), 1)[1]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["limit", "inner.rate", "inner.share", "inner.noise"])
def test_number_that_is_not_finite_is_refused(key, value):
    said = message(changed(key, value))
    assert said.startswith(f"{key} is ")
    assert str(value) in said


def test_bad_item_of_a_list_is_named_with_its_place():
    said = message(GOOD | {"sizes": [1, 0]})
    assert "sizes[1] is 0;" in said
    assert ">= 1" in said


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
