"""One gate a unit of a stream, multiplied at the inputs of all the layers that read it: y = f(x * z), z ~ N(mean, exp(log_var)).

In training a gate is drawn once for an example and a pass of the network, by the first reader that comes; the others take the same
draw, so that the noise is that of the unit (arXiv:1802.10399). In evaluation the unit is multiplied by the mean, but within `sampling`."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsify.bayes import kernels
from sparsify.bayes.groups import Group
from sparsify.bayes.layers import Layer, draws, input_dim
from sparsify.bayes.priors import PriorSettings


class Pass:
    """What has been drawn in the pass that the network is in. The one thing that is kept between layers: it opens when the network's
    root is called and is forgotten at the end, by an error too. A layer that is called outside of a pass draws for itself."""

    def __init__(self) -> None:
        self.drawn: dict[tuple[nn.Module, int], Tensor] | None = None

    def watch(self, root: nn.Module) -> None:
        root.register_forward_pre_hook(self.open, prepend=True)
        root.register_forward_hook(self.close, always_call=True)

    def open(self, root: nn.Module, args: Any) -> None:
        self.drawn = {}

    def close(self, root: nn.Module, args: Any, output: Any) -> None:
        self.drawn = None


class Gate(Group):
    """The gates of one stream, (U,)."""

    def __init__(self, name: str, units: int, current: Pass, like: Tensor, settings: PriorSettings, cost: float):
        """like: any tensor of the dtype and on the device wanted"""
        super().__init__(name)
        self.current = current
        self.mean = nn.Parameter(like.new_ones(units))
        self.log_var = nn.Parameter(like.new_full((units,), settings.initial_alpha).log())
        self._start_prior(settings, cost)

    def posterior(self) -> tuple[Tensor, Tensor]:
        return self.mean[None], self.log_var[None]

    def noise(self) -> list[nn.Parameter]:
        return [self.mean, self.log_var]

    def log_alpha(self) -> Tensor:
        return self.prior.log_alpha(*self.posterior()).flatten()

    def values(self, examples: int) -> Tensor:
        """-> (N, U) where they are drawn, (1, U) where they are the means

        A reader that sees another number of examples than the rest, windows of an image say, has draws of its own."""
        if not draws(self):
            return self.mean[None]
        drawn = self.current.drawn
        if drawn is None:
            return self._draw(examples)
        if (self, examples) not in drawn:
            drawn[self, examples] = self._draw(examples)
        return drawn[self, examples]

    def _draw(self, examples: int) -> Tensor:
        noise = torch.randn(examples, len(self.mean), device=self.mean.device).to(self.mean.dtype)
        return torch.addcmul(self.mean, (0.5 * self.log_var).exp(), noise)


def joins(gate: Gate) -> bool:
    """Whether the KL of a gate is taken together with that of others: on a GPU, where each operation is a launch."""
    return kernels.on_gpu(gate.mean) and not gate.prior.fitted


def joint_kl(gates: list[Gate]) -> Tensor:
    """The sum of their kl().  -> () nats

    Forward and backward are 238 operations in place of 703 for VGG-16, 1,616 in place of 6,003 for DenseNet-121. A CPU has nothing of it
    beside the rest of a step."""
    first = gates[0]
    mean, log_var = (torch.cat([part.flatten().to(first.mean) for part in parts])
                     for parts in zip(*(gate.posterior() for gate in gates), strict=True))
    scale = torch.cat([gate.kl_scale.to(first.mean).expand(len(gate.mean)) for gate in gates])
    return first.prior.kl_sum(mean[None], log_var[None], scale[None])


class GatedInput(nn.Module):
    """Multiplies what one layer reads by the gates of the streams that it reads: a hook before its forward."""

    index: Tensor | None

    def __init__(self, layer: Layer, gates: list[Gate], features: Tensor):
        """features, (F,): which gate each feature that the layer reads has, counted through all `gates`; -1: none"""
        super().__init__()
        self.layers, self.gates = (layer,), tuple(gates)  # tuples, which register nothing
        n_gates, n = sum(len(gate.mean) for gate in gates), len(features)
        self.some_free = bool((features < 0).any())
        self.spread = n // n_gates  # how many features lie side by side for each gate
        in_order = torch.equal(features, torch.arange(n_gates).repeat_interleave(max(1, self.spread)))
        index = None
        if not in_order:  # a gate of one, put behind all others, for what has none
            self.spread, index = 1, features.where(features >= 0, n_gates).to(layer.weight.device)
        self.register_buffer("index", index, persistent=False)
        layer.register_forward_pre_hook(self.multiply, with_kwargs=True)

    def multiply(self, layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A forward pre-hook.  the layer's input: (N, *, F) for a linear layer, (N, F, *) for a convolution"""
        x: Tensor = args[0] if args else kwargs["input"]
        places = layer.weight.ndim - 2  # dimensions behind the features: 0 for a linear layer
        alone = x.ndim == places + 1  # one example, without a batch dimension
        z = self.factors(1 if alone else len(x))  # (N, F)
        shape = z.shape[1:] if alone else (len(z), *[1] * (x.ndim - 2 - places), z.shape[1])
        gated = x * z.reshape(*shape, *[1] * places).to(x)  # not `x.to(z)`: in mixed precision x is the large one, and short
        return ((gated, *args[1:]), kwargs) if args else (args, kwargs | {"input": gated})

    def into_weight(self) -> None:
        """Multiplies the layer's weight, in place, by the means that its input is multiplied by."""
        layer, = self.layers
        dim = input_dim(layer)
        means = torch.cat([gate.mean for gate in self.gates])
        z = self._spread(means[None])[0, :layer.weight.shape[dim]]  # the groups of a convolution have the same
        layer.weight.mul_(z.reshape(-1, *[1] * (layer.weight.ndim - 1 - dim)))

    def factors(self, examples: int) -> Tensor:
        """-> (N, F) where gates are drawn, (1, F) where they are the means"""
        values = [gate.values(examples) for gate in self.gates]
        return self._spread(values[0] if len(values) == 1 else torch.cat(values, 1))

    def _spread(self, z: Tensor) -> Tensor:
        """From gates to features.  (N, gates) -> (N, F)"""
        if self.some_free:
            z = F.pad(z, (0, 1), value=1.0)
        if self.spread > 1:
            z = z[:, :, None].expand(-1, -1, self.spread).flatten(1)
        return z if self.index is None else z.index_select(1, self.index)


@torch.no_grad()
def end_gates(module: nn.Module) -> None:
    """Takes the hooks of gates from a module; a layer's weight takes the means."""
    for hooks in (module._forward_pre_hooks, module._forward_hooks):
        for key, hook in list(hooks.items()):
            owner = getattr(hook, "__self__", None)
            if isinstance(owner, GatedInput):
                owner.into_weight()
            if isinstance(owner, GatedInput | Pass):
                del hooks[key]
                module._forward_pre_hooks_with_kwargs.pop(key, None)
                module._forward_hooks_always_called.pop(key, None)
