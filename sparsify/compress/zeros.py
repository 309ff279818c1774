"""The weights of a network that are zero: they stay so while it trains, or some of them change places."""

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

_LAST = 0.75  # of the training: from there on all places stay (arXiv:1911.11134 sec. 4)


class Zeros(nn.Module):
    """Tensors of weights of `model` that hold zeros, biases and norms not among them; a module, so that a training's state keeps them.

    moving: the share of a layer's weights, of those that are not zero, that change places with zeros after an epoch. It is this at the
        start and falls to nothing by three quarters of the training, as a cosine (RigL, arXiv:1911.11134, Algorithm 1). Linear layers
        and convolutions without groups take part; other tensors keep their zeros where they are.
    without: names of parameters that are no weights, as those of noise."""

    def __init__(self, model: nn.Module, moving: float = 0.0, without: Collection[str] = ()):
        super().__init__()
        self.moving = moving
        self._weights = [parameter for name, parameter in model.named_parameters()
                         if name not in without and parameter.ndim > 1 and not parameter.all()]
        self._free = {id(layer.weight) for layer in model.modules()
                      if isinstance(layer, nn.Linear) or (isinstance(layer, _ConvNd) and layer.groups == 1)}
        for number, weight in enumerate(self._weights):
            self.register_buffer(str(number), (weight != 0).detach().contiguous())

    @torch.no_grad()
    def hold(self) -> None:
        """Puts them back to zero, after a training step."""
        for weight, kept in zip(self._weights, self.buffers(), strict=True):
            weight.mul_(kept)

    @torch.no_grad()
    def move(self, done: float) -> None:
        """After an epoch: the smallest weights become zeros, and as many zeros, where the gradient of the last batch was the largest,
        start to grow. No unit dies or comes to life by it: the largest weight of each output and each input of a layer stays, and where
        all are zero, none grows.

        done: the share of the training that is behind us."""
        share = self.moving / 2 * (1 + math.cos(math.pi * done / _LAST)) if done < _LAST else 0.0
        for weight, kept in zip(self._weights, self.buffers(), strict=True):
            if share and weight.grad is not None and id(weight) in self._free:
                size, pull = (values.detach().abs().contiguous() for values in (weight, weight.grad))
                largest, alive = _most(size)
                free, empty = kept & ~largest, ~kept & alive & (pull > 0)
                count = min(int(share * kept.sum()), int(free.sum()), int(empty.sum()))
                go, come = _places(-size, free, count), _places(pull, empty, count)
                kept.view(-1)[go], kept.view(-1)[come] = False, True
        self.hold()


def _most(size: Tensor) -> tuple[Tensor, Tensor]:
    """Which is the largest of its output or of its input; and for which neither has zeros alone.  (O, I, ...) -> the same shape, bool"""
    outputs, inputs = (size.amax([other for other in range(size.ndim) if other != dim], keepdim=True) for dim in (0, 1))
    return (size == outputs) | (size == inputs), (outputs > 0) & (inputs > 0)


def _places(value: Tensor, among: Tensor, count: int) -> Tensor:
    """Of the largest values.  -> (count,) indices of the flattened tensor"""
    return value.masked_fill(~among, -math.inf).flatten().topk(count).indices
