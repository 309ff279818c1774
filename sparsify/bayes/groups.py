"""What a prior is laid on: a group, which knows its posterior as the two matrices that the prior sees.

    Weights   the weights of one layer
    Neurons   a stream's units, each with the rows of all the layers that write it
    Gate      a stream's units, one gate each (gates.py)

A group is a child of its first layer and refers to the others by a tuple, which registers nothing twice: a deep copy of the network
refers to the copied layers, and nn.Sequential does not run it."""

import torch
from torch import Tensor, nn

from sparsify.bayes import kernels
from sparsify.bayes.layers import Layer, log_var
from sparsify.bayes.priors import KINDS, Prior, PriorSettings
from sparsify.settings import InputError


class Group(nn.Module):
    """What all groups offer. The buffer `kl_scale`, (), multiplies the KL: what one unit or weight of the group costs."""

    prior: Prior
    kl_scale: Tensor
    layers: tuple[Layer, ...] = ()  # whose weights have its noise

    def __init__(self, name: str):
        super().__init__()
        self.name = name  # of the stream, or of the weight's tensor

    def posterior(self) -> tuple[Tensor, Tensor]:
        """Mean and log variance as the matrices that a prior sees.  -> (O, J), (O, J)"""
        raise NotImplementedError

    def rows(self) -> tuple[Tensor, Tensor]:
        """The posterior with the weights of a row in whatever order is fast, both matrices in the same.  -> (O, J), (O, J)"""
        return self.posterior()

    def noise(self) -> list[nn.Parameter]:
        """The parameters that a plain network does not have."""
        raise NotImplementedError

    def kl(self) -> Tensor:
        """KL(posterior || prior) of the group.  -> () nats"""
        return self.prior.kl_sum(*self.rows(), self.kl_scale)

    def update_prior(self) -> None:
        if self.prior.fitted:
            self.prior.update(*self.rows())

    def log_alpha(self) -> Tensor:
        """How irrelevant each unit, (U,), or weight, in its tensor's shape, is: large means irrelevant."""
        raise NotImplementedError

    def _start_prior(self, settings: PriorSettings, cost: float) -> None:
        mean, log_var = (part.detach() for part in self.posterior())
        self.prior = KINDS[settings.kind](settings, mean, log_var)
        self.register_buffer("kl_scale", torch.as_tensor(cost, dtype=mean.dtype, device=mean.device))


class Weights(Group):
    """The weights of one layer, one by one."""

    def __init__(self, name: str, layer: Layer, settings: PriorSettings, cost: float):
        super().__init__(name)
        self.layers = (layer,)
        self._start_prior(settings, cost)

    def posterior(self) -> tuple[Tensor, Tensor]:
        layer, = self.layers
        return layer.weight.flatten(1), log_var(layer).flatten(1)

    def rows(self) -> tuple[Tensor, Tensor]:
        layer, = self.layers
        order = _order(layer.weight, 0)
        return layer.weight.permute(order).flatten(1), log_var(layer).permute(order).flatten(1)

    def noise(self) -> list[nn.Parameter]:
        return [layer.get_parameter("log_var") for layer in self.layers]

    def log_alpha(self) -> Tensor:
        return self.prior.log_alpha(*self.posterior()).reshape(self.layers[0].weight.shape)


class Neurons(Group):
    """The units of one stream: all that the rows of its writers say of a unit is one neuron."""

    def __init__(self, name: str, units: int, writers: list[tuple[Layer, int, Tensor | None]], settings: PriorSettings, cost: float):
        """writers: layer, the dimension of its weight in which the units lie, and where there, (U, m); None: in order, and no more"""
        super().__init__(name)
        self.units = units
        self.layers = tuple(layer for layer, _, _ in writers)
        self.dims = tuple(dim for _, dim, _ in writers)
        for number, (layer, _, index) in enumerate(writers):
            self.register_buffer(f"rows{number}", None if index is None else index.to(layer.weight.device), persistent=False)
        self._start_prior(settings, cost)

    def posterior(self) -> tuple[Tensor, Tensor]:
        return self._matrices([(dim, *(other for other in range(layer.weight.ndim) if other != dim))
                               for layer, dim in zip(self.layers, self.dims, strict=True)])

    def rows(self) -> tuple[Tensor, Tensor]:
        return self._matrices([_order(layer.weight, dim) for layer, dim in zip(self.layers, self.dims, strict=True)])

    def _matrices(self, orders: list[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
        """orders: in which the dimensions of each layer's weight are read, the neurons' first"""
        return (self._matrix([layer.weight for layer in self.layers], orders),
                self._matrix([log_var(layer) for layer in self.layers], orders))

    def _matrix(self, tensors: list[Tensor], orders: list[tuple[int, ...]]) -> Tensor:
        """-> (U, J1 + J2 + ...), the rows of a unit side by side"""
        parts = []
        for number, (tensor, order) in enumerate(zip(tensors, orders, strict=True)):
            index: Tensor | None = getattr(self, f"rows{number}")
            rows = tensor.permute(order)
            parts.append((rows if index is None else rows.index_select(0, index.flatten())).reshape(self.units, -1))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def noise(self) -> list[nn.Parameter]:
        return [layer.get_parameter("log_var") for layer in self.layers]

    def log_alpha(self) -> Tensor:
        return self.prior.log_alpha(*self.posterior()).flatten()  # (U, 1) -> (U,)


def _order(weight: Tensor, first: int) -> tuple[int, ...]:
    """Its dimensions, `first` and then the others: on a GPU as they lie in memory, so that a matrix of rows is a view and no copy.

    On a CPU in their own order, which is that of its sums, and so of its figures' last digits."""
    others = [dim for dim in range(weight.ndim) if dim != first]
    return (first, *(sorted(others, key=weight.stride().__getitem__, reverse=True) if kernels.on_gpu(weight) else others))


def groups_of(network: nn.Module) -> list[Group]:
    """What a network's prior is laid on, in the network's order; nothing for a plain network."""
    return [module for module in network.modules() if isinstance(module, Group)]


def not_bayesian() -> InputError:
    return InputError("the network has no prior; give the twin that bayesianize(model, example) returns")
