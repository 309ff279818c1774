"""Networks that a function of the user's makes: package.module:function, imported from wherever Python finds it."""

import importlib
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from sparsify.models import checked
from sparsify.models.checked import difficulty
from sparsify.settings import InputError

CUT = "sparsify_cut"  # the attribute of a small network that says what stayed of its full-size class
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def network(name: str, input_shape: Sequence[int], n_classes: int, width: float) -> nn.Module:
    """What `package.module:function` returns, called with those of `input_shape`, `n_classes` and `width` that its signature names.

    A network that was shrunk counts as one at full size from here on, so that it can be shrunk again.

    Raises InputError, in one line, for code that cannot be imported or called, and for what is no classifier of such examples."""
    function = _function(name)
    offered = {"input_shape": tuple(input_shape), "n_classes": n_classes, "width": width}
    given = {key: value for key, value in offered.items() if key in _arguments(name, function)}
    if width != 1 and "width" not in given:
        raise InputError(f"model.width is {width:g}; {name} takes no width, so that it has to be 1")
    try:
        made = function(**given)
    except (Exception, SystemExit) as error:
        raise InputError(f"model.name {name} fails when it is called with {', '.join(given) or 'nothing'}: {difficulty(error)}") from None
    found = checked.network(made, name, input_shape, n_classes, training=True)
    vars(found).pop(CUT, None)
    return found


def _function(name: str) -> Callable[..., Any]:
    place, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(place)
    except (Exception, SystemExit) as error:
        raise InputError(f"model.name {name}: {place} cannot be imported from here: {difficulty(error)}") from None
    if not hasattr(module, attribute):
        raise InputError(f"model.name {name}: {place} has no {attribute}{checked.close_to(attribute, dir(module))}")
    function = getattr(module, attribute)
    if not callable(function):
        raise InputError(f"model.name {name} is a {type(function).__name__}; it has to be a function, or a class, that makes the network")
    return function


def _arguments(name: str, function: Callable[..., Any]) -> list[str]:
    """The names of what it takes. Raises InputError where it wants what is not offered."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of some that are written in C
        return []
    named = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    wanted = [each.name for each in parameters if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
              and (each not in named or each.name not in ("input_shape", "n_classes", "width"))]
    if wanted:
        raise InputError(f"model.name {name} wants {', '.join(wanted)}; it is given those of input_shape, n_classes and width that it "
                         "names; give all else a default")
    return [each.name for each in named]
