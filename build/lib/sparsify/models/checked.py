"""Whether a network that was made elsewhere answers as the rest of the library needs it to; and words for what went wrong."""

import copy
import importlib
import traceback
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor, nn

from sparsify.settings import InputError

_OURS = (*(str(Path(file).parent) for file in (torch.__file__, importlib.__file__, __file__) if file), "<")  # no code of the user's


def network(made: object, name: str, input_shape: Sequence[int], n_classes: int, training: bool = False) -> nn.Module:
    """`made` itself, if it answers two examples with a logit for each class. What is drawn within changes no later draw.

    training: whether a copy is asked in training too. Raises InputError, in one line that says what came."""
    if not isinstance(made, nn.Module):
        raise InputError(f"model.name {name} gives a {_said(made)}; it has to give an nn.Module")
    mode, device = made.training, next((each.device for each in made.parameters()), torch.device("cpu"))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        examples = torch.randn(2, *input_shape, device=device)
        _answer(made.eval(), examples, name, n_classes)
        if training:
            _answer(copy.deepcopy(made).train(), examples, name, n_classes)
    return made.train(mode)


def _answer(model: nn.Module, examples: Tensor, name: str, n_classes: int) -> None:
    asked = f"two examples of shape {tuple(examples.shape[1:])}" + (" in training" if model.training else "")
    try:
        answers = model(examples)
    except (Exception, SystemExit) as error:  # whatever a network raises
        raise InputError(f"model.name {name} does not take {asked}: {difficulty(error)}") from None
    if not isinstance(answers, Tensor) or answers.shape != (2, n_classes) or not answers.is_floating_point():
        raise InputError(f"model.name {name} answers {asked} with a {_said(answers)}; it has to be a tensor of shape (2, {n_classes}), "
                         "floats: a logit for each class")


def difficulty(error: BaseException) -> str:
    """In one line: the type and the text of an error, and where in the user's code it was met."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_OURS)]
    where = f" (line {frames[-1].lineno} of {Path(frames[-1].filename).name})" if frames else ""
    said = " ".join(str(error).split())[:200].rstrip(".")
    return f"{type(error).__name__}{': ' if said else ''}{said}{where}"


def close_to(name: str, names: Collection[str], prefix: str = "") -> str:
    """For a message: those of `names` that `name` may have been meant for."""
    close = get_close_matches(name, list(names), 3, 0.5)
    return f"; close to it: {', '.join(prefix + each for each in close)}" if close else ""


def _said(value: object) -> str:
    if isinstance(value, Tensor):
        return f"tensor of shape {tuple(value.shape)}, {str(value.dtype).removeprefix('torch.')}"
    return type(value).__name__
