"""From a mapping to a frozen dataclass: unknown, missing, mistyped and out-of-range values are errors that name the key."""

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any


class InputError(ValueError):
    """What a user gave cannot be used; the message says what came, what is allowed and what to do."""


@dataclasses.dataclass(frozen=True)
class Check:
    """A test that a value has to pass, and the words for it."""

    allowed: str
    test: Callable[[Any], bool]


def one_of(choices: Collection) -> Check:
    return Check("one of " + ", ".join(map(str, choices)), lambda value: value in choices)


Count = Annotated[int, Check("a whole number >= 0", lambda v: v >= 0)]
Seed = Annotated[int, Check("a whole number from 0 to 2**64 - 1", lambda v: 0 <= v < 2**64)]
PositiveInt = Annotated[int, Check("a whole number >= 1", lambda v: v >= 1)]
NonNegative = Annotated[float, Check("a number >= 0", lambda v: v >= 0)]
Positive = Annotated[float, Check("a number > 0", lambda v: v > 0)]
Fraction = Annotated[float, Check("a number from 0 up to, but not including, 1", lambda v: 0 <= v < 1)]
NOT_EMPTY = Check("a list that is not empty, as in [1, 64]", bool)


def build(cls: type, mapping: Any, where: str = "") -> Any:
    """An instance of the dataclass `cls` from `mapping`, the section `where` of the configuration ("": all of it).

    Every field has to be there; a field that is a dataclass is a section of its own. Raises InputError."""
    names = [field.name for field in dataclasses.fields(cls)]
    keys = ", ".join(names)
    if not isinstance(mapping, Mapping):
        raise InputError(f"{where or 'the configuration'} is {mapping!r}; it has to be a section with the keys {keys}")
    path = f"{where}." if where else ""
    for key in mapping:
        if key not in names:
            raise InputError(f"{path}{key} is not a key; choose from {keys}")
    for name in names:
        if name not in mapping:
            raise InputError(f"{path}{name} is missing; the keys here are {keys}")
    hints = typing.get_type_hints(cls, include_extras=True)
    return cls(**{name: _value(hints[name], mapping[name], f"{path}{name}") for name in names})


def _value(hint: Any, value: Any, where: str) -> Any:
    """`value` if it fits the type hint: int, float, str, bool, a dataclass, X | None, tuple[X, ...] or Annotated[X, Check]."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        fitting = _value(arguments[0], value, where)
        for check in arguments[1:]:
            if not check.test(fitting):
                raise InputError(f"{where} is {value!r}; it has to be {check.allowed}")
        return fitting
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _value(arguments[0], value, where)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{where} is {value!r}; it has to be a list, as in [1, 64]")
        return tuple(_value(arguments[0], item, f"{where}[{number}]") for number, item in enumerate(value))
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        # PyYAML follows YAML 1.1, where a number in scientific notation needs a dot.
        hint_at_dot = "; write 1.0e-3, not 1e-3" if hint is float and isinstance(value, str) else ""
        raise InputError(f"{where} is {value!r}, {_name(type(value))}; it has to be {_name(hint)}{hint_at_dot}")
    if hint is float and not math.isfinite(value):
        raise InputError(f"{where} is {value}; it has to be a finite number")
    return value


def _name(kind: type) -> str:
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false",
            type(None): "empty", list: "a list", dict: "a section"}.get(kind, kind.__name__)
