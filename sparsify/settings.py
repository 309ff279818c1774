"""Settings that check themselves: what cannot be used is an error of one line when it is made, in code as from a file.

A class of settings is a frozen dataclass under `Settings`, and the type hint of a field says what may stand there:

    @dataclass(frozen=True)
    class Recovery(Settings):
        epochs: Count = 10
        optimizer: Annotated[str, one_of(("adamw", "sgd"))] = "adamw"

`Recovery(epochs=-1)` and `dataclasses.replace(recovery, epochs=-1)` raise "Recovery.epochs is -1; it has to be a whole number >= 0",
`build(Recovery, {"epochs": -1, "optimizer": "sgd"}, "recovery")` the same of recovery.epochs. A keyword that is no field is Python's
TypeError; a key that is no field, or that a mapping lacks, is named by `build`.

Not pydantic: strict, it refuses a list for a tuple, and lenient, it takes text for a number; it cannot ask a file for keys that have a
default; its errors have several lines; and each start would take 0.1 s longer. What it leaves to be written is as long as this file,
for which nothing has to be installed."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints


class InputError(ValueError):
    """What a user gave cannot be used; the message says what came, what is allowed and what to do, in one line whatever it quotes."""

    def __init__(self, message: str):
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """With what cannot be printed, as a file's name may have it, written out: a newline as \\n."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def quoted(value: object) -> str:
    """As a message quotes it: its beginning, if it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out no whole number of more than 4,300 digits
        return "a number without end"
    return text if len(text) <= 100 else f"{text[:97]}..."


def amount(value: float) -> str:
    """As a message says what may be left: a share as it is, a count without a power of ten."""
    return f"{value:.4g}" if value < 1 else f"{value:,.0f}"


@dataclass(frozen=True)
class Check:
    """A test that a value has to pass, and the words for it."""

    allowed: str | Callable[[Any], str]  # which may depend on the value that came
    test: Callable[[Any], bool]  # of a value that has the type beside which the check stands

    def of(self, value: Any) -> str:
        """What is allowed in place of `value`."""
        return self.allowed if isinstance(self.allowed, str) else self.allowed(value)


def one_of(choices: Iterable[str]) -> Check:
    allowed = tuple(choices)
    return Check("one of " + ", ".join(allowed), lambda value: value in allowed)


def between(least: float, most: float) -> Check:
    """Both included. What no machine could follow, as a billion epochs, is a slip, and refused as one."""
    return Check(f"from {least:,} to {most:,}", lambda value: least <= value <= most)


Count = Annotated[int, Check("a whole number >= 0, at most 10**9", lambda v: 0 <= v <= 10**9)]
Repeats = Annotated[int, between(1, 10**6)]
Steps = Annotated[int, between(0, 10**6)]  # of a training, or epochs
Seed = Annotated[int, Check("a whole number from 0 to 2**64 - 1", lambda v: 0 <= v < 2**64)]
PositiveInt = Annotated[int, Check("a whole number >= 1, at most 10**9", lambda v: 1 <= v <= 10**9)]
# Of a size that float32 holds:
NonNegative = Annotated[float, Check("a number >= 0, at most 1e30", lambda v: 0 <= v <= 1e30)]
Positive = Annotated[float, Check("a number > 0, from 1e-30 to 1e30", lambda v: 1e-30 <= v <= 1e30)]
Fraction = Annotated[float, Check("a number from 0 up to, but not including, 1", lambda v: 0 <= v < 1)]
Percent = Annotated[float, Check("a number from 0 up to, but not including, 100", lambda v: 0 <= v < 100)]
DIFFERENT = Check("a list of at least one value and at most 1,000, none twice, as in [1, 64]",
                  lambda values: 0 < len(values) == len(set(values)) <= 1000)


@dataclass(frozen=True)
class Settings:
    """The base of all settings. A field is an int, float, str, bool, other Settings, X | None, tuple[X, ...] or Annotated[X, Check].

    A whole number may stand for a float, a list for a tuple, a mapping of all its keys for other Settings; each becomes what the hint
    says. Raises InputError for anything else."""

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():
            object.__setattr__(self, name, _fitting(hint, getattr(self, name), f"{type(self).__name__}.{name}"))


S = TypeVar("S", bound=Settings)


def build(cls: type[S], mapping: object, where: str = "") -> S:
    """An instance of `cls` from `mapping`, the section `where` of a configuration ("": all of it).

    Every key has to be there, with a default or without, and no other. Raises InputError, which names the key as in "prior.kind"."""
    hints = _hints(cls)
    keys = ", ".join(hints)
    if not isinstance(mapping, Mapping):
        raise InputError(f"{where or 'the configuration'} is {quoted(mapping)}; it has to be a section with the keys {keys}")
    path = f"{where}." if where else ""
    for key in mapping:
        if key not in hints:
            raise InputError(f"{path}{str(key)[:60]} is not a key; choose from {keys}")
    for name in hints:
        if name not in mapping:
            raise InputError(f"{path}{name} is missing; the keys here are {keys}")
    return cls(**{name: _fitting(hint, mapping[name], f"{path}{name}") for name, hint in hints.items()})


def _hints(cls: type[Settings]) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls)}


_NAMES: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "empty",
                           list: "a list", dict: "a section"}


def _fitting(hint: Any, value: object, where: str) -> Any:
    """`value` as `hint` says that it has to be."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        fitting = _fitting(arguments[0], value, where)
        for check in arguments[1:]:
            if not check.test(fitting):
                raise InputError(f"{where} is {quoted(value)}; it has to be {check.of(fitting)}")
        return fitting
    if origin in (UnionType, Union):  # of plain types, and with an Annotated among them
        return None if value is None else _fitting(arguments[0], value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{where} is {quoted(value)}; it has to be a list, as in [1, 64]")
        return tuple(_fitting(arguments[0], item, f"{where}[{number}]") for number, item in enumerate(value))
    if issubclass(hint, Settings):
        return value if isinstance(value, hint) else build(hint, value, where)
    return _scalar(hint, value, where)


def _scalar(hint: type, value: object, where: str) -> int | float | str:
    if isinstance(value, bool) == (hint is bool):  # Python takes True for 1
        if hint is float and isinstance(value, Real):
            try:
                number = float(value)
            except OverflowError:  # a whole number of more than 308 digits
                number = math.inf
            if not math.isfinite(number):
                raise InputError(f"{where} is {number}; it has to be a finite number")
            return number
        if hint is int and isinstance(value, Integral):
            return int(value)
        if hint is str and isinstance(value, str) and not _nameable(value):
            raise InputError(f"{where} is {quoted(value)}; it has to be text that a file's name can hold, without a zero byte")
        if hint in (bool, str) and isinstance(value, bool | str):
            return value
    came = _NAMES.get(type(value), type(value).__name__)
    raise InputError(f"{where} is {quoted(value)}, {came}; it has to be {_NAMES[hint]}")


def _nameable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)  # halves of a character
