"""A plain `nn.Sequential` as a chain of links: which unit of one weighted layer feeds which input feature of the next.

Between two weighted layers stand layers that pass units on one by one and keep zero at zero, so that a silent unit (weights,
bias and normalisation all zero) stays exactly zero up to the next weighted layer. Any other layer is refused."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sparsify.models import Select, weighted_layers
from sparsify.settings import InputError

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.ELU)
_ZERO_KEEPING = (*ACTIVATIONS, nn.Identity, nn.Dropout, nn.Dropout2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
                 nn.AdaptiveMaxPool2d, nn.Flatten)


@dataclass
class Link:
    """From the units of `producer` (None: the network's input) to the features of `consumer` (None: the logits)."""

    producer: str | None
    consumer: str | None
    between: list[str] = field(default_factory=list)  # the layers that pass its units on, in order
    norms: list[str] = field(default_factory=list)  # those of them that normalise
    select: str | None = None
    n_units: int = 0  # of the producer
    unit: Tensor = None  # (I,) the unit that feeds each feature of the consumer
    place: Tensor = None  # (I,) the place of each feature among the flattened outputs of its unit
    places: int = 1  # flattened outputs a unit


def links(model: nn.Sequential) -> list[Link]:
    """The chain, from the input to the logits. Raises InputError for layers that it cannot see through."""
    layers = weighted_layers(model)
    if not layers:
        raise InputError("the network has no linear and no convolutional layer; there is nothing to remove")
    chain = [Link(None, None)]
    for name, layer in model.named_children():
        if name in layers:
            if isinstance(layer, nn.Conv2d) and layer.groups != 1:
                raise InputError(f"layer {name} is a grouped convolution; only groups=1 is supported")
            producer = layers.get(chain[-1].producer)
            flat = any(type(model.get_submodule(other)) is nn.Flatten for other in chain[-1].between)
            if isinstance(layer, nn.Linear) and isinstance(producer, nn.Conv2d) and not flat:
                raise InputError(f"layer {name} is linear, and would act on the width of the images of {chain[-1].producer}; "
                                 "put a Flatten before it")
            chain[-1].consumer = name
            chain.append(Link(name, None))
            continue
        if chain[-1].select is not None:
            raise InputError(f"layer {name} stands after {chain[-1].select}, a Select, which has to be the last before a linear layer")
        chain[-1].between.append(name)
        if type(layer) in NORMS:
            chain[-1].norms.append(name)
        elif type(layer) is Select:
            chain[-1].select = name
        elif type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) != (1, -1):
            raise InputError(f"layer {name} flattens dimensions {layer.start_dim} to {layer.end_dim}; only 1 to -1 is supported")
        elif type(layer) not in _ZERO_KEEPING:
            raise InputError(f"layer {name} is a {type(layer).__name__}, which may mix units or move zero; between weighted layers "
                             f"only these can stand: {', '.join(kind.__name__ for kind in (*_ZERO_KEEPING, *NORMS, Select))}")
    for link in chain[:-1]:
        _trace(link, model, layers)
    return chain


def _trace(link: Link, model: nn.Sequential, layers: dict[str, nn.Linear | nn.Conv2d]) -> None:
    n_features = layers[link.consumer].weight.shape[1]
    index = torch.arange(n_features)
    flattened = n_features
    if link.select is not None:
        select = model.get_submodule(link.select)
        index, flattened = select.index.cpu(), select.in_features
    link.n_units = flattened if link.producer is None else layers[link.producer].weight.shape[0]
    if flattened % link.n_units:
        raise InputError(f"{link.consumer} reads {flattened} features of the {link.n_units} units of {link.producer}; "
                         "the same number of each unit was expected")
    link.places = flattened // link.n_units
    link.unit, link.place = index // link.places, index % link.places
    for name in link.norms:
        norm = model.get_submodule(name)
        if norm.running_mean is None or (link.producer is not None and norm.num_features != link.n_units):
            raise InputError(f"layer {name} has to keep running statistics and to normalise the {link.n_units} units of {link.producer}; "
                             f"it has {norm.num_features} features")
