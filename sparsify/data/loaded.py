"""What a torch DataLoader gives, as something to train on: its shuffling, its augmentation and its workers go on as they are."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, Subset, TensorDataset, default_collate

from sparsify.data import memory
from sparsify.data.splits import Split
from sparsify.settings import InputError


class Loaded:
    """An epoch is one pass of the loader, each batch of (inputs, targets) moved to the device. name: how an error calls it. classes:
    whether whole numbers of any dtype are targets; they become int64

    Raises InputError for a loader that is empty, does not tell its length, or gives something else than pairs of tensors."""

    mapped = True  # batches are read while it trains

    def __init__(self, loader: DataLoader[Any], device: torch.device | str, name: str, classes: bool = False):
        self._loader, self.device, self._name, self._classes = loader, torch.device(device), name, classes
        self._steps = _length(loader, name)
        first = next(iter(self), None)
        if first is None:
            raise InputError(f"{name} gives no batch; it has to give batches of (inputs, targets)")
        self.first = first

    def __len__(self) -> int:
        """Examples in an epoch, as far as the loader tells them."""
        size = self._loader.batch_size
        return min(len(self._loader.sampler), self._steps * size) if size else self._steps * len(self.first[0])  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return tuple(self.first[0].shape[1:])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self._loader:
            if not (isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(each, Tensor) for each in batch)):
                kinds = ", ".join(type(each).__name__ for each in batch) if isinstance(batch, tuple | list) else type(batch).__name__
                raise InputError(f"{self._name} gives batches of ({kinds}); they have to be (inputs, targets), two tensors")
            inputs, targets = (each.to(self.device, non_blocking=True) for each in batch)
            yield inputs, _long(targets) if self._classes else targets

    def steps(self, batch_size: int) -> int:
        """In an epoch: the loader knows its own batches."""
        return self._steps

    def order(self, batch_size: int) -> Tensor:
        """-> (steps, 1) of -1: which examples come is the loader's to say"""
        return torch.full((self._steps, 1), -1)

    def pairs(self, order: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """As many batches as `order` has. Raises InputError where the loader has fewer."""
        given = iter(self)
        for number in range(len(order)):
            pair = next(given, None)
            if pair is None:
                raise InputError(f"{self._name} gave {number} batches, and its length is {self._steps}; let it give as many as it says")
            yield pair

    def seed(self, seed: int) -> None:
        """Of generators of the loader's own; what has none draws from torch's global random state."""
        for generator in self._generators():
            generator.manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        return {"generators": [generator.get_state() for generator in self._generators()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for generator, kept in zip(self._generators(), state["generators"], strict=True):
            generator.set_state(kept)

    def _generators(self) -> list[torch.Generator]:
        owners = (self._loader, self._loader.sampler, self._loader.batch_sampler)
        found = [getattr(owner, "generator", None) for owner in owners]
        return list({id(each): each for each in found if isinstance(each, torch.Generator)}.values())


def loaded(loader: Any, device: torch.device | str, name: str, classes: bool = False) -> tuple[Split | Loaded, int]:
    """What the loader gives, and its batch size: tensors that it only shuffles are moved to the device once, as a Split, if they fill
    no more than half of its free memory. classes: as `Loaded` takes it

    Raises InputError as `Loaded` does."""
    if not isinstance(loader, DataLoader):
        raise InputError(f"{name} is a {type(loader).__name__}; it has to be a torch.utils.data.DataLoader of (inputs, targets)")
    _length(loader, name)
    tensors = _tensors(loader.dataset) if _plain(loader) else None
    if tensors is None or sum(each.nbytes for each in tensors) > memory.free(device) // 2:
        part = Loaded(loader, device, name, classes)
        return part, loader.batch_size or len(part.first[0])
    inputs, targets = (each.to(device) for each in tensors)
    return Split(inputs, _long(targets) if classes else targets), loader.batch_size or 1


def _long(targets: Tensor) -> Tensor:
    return targets if targets.is_floating_point() or targets.is_complex() else targets.long()  # cross-entropy takes no other whole numbers


def _length(loader: DataLoader[Any], name: str) -> int:
    """In batches. Raises InputError for none."""
    try:
        steps = len(loader)
    except TypeError:
        raise InputError(f"{name} does not tell its length; give a data set with a __len__") from None
    if steps == 0:
        raise InputError(f"{name} is empty; it has to give batches of (inputs, targets)"
                         + (" (drop_last leaves out a batch that is not full)" if loader.drop_last else ""))
    return steps


def _plain(loader: DataLoader[Any]) -> bool:
    """Whether it does no more than to shuffle its examples, or not even that."""
    sampler = loader.sampler
    once = type(sampler) is SequentialSampler or (
        type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == len(sampler.data_source))
    return once and loader.batch_size is not None and loader.collate_fn is default_collate


def _tensors(dataset: Any) -> tuple[Tensor, Tensor] | None:
    """Inputs and targets of a TensorDataset, or of a Subset of one."""
    if type(dataset) is Subset and (whole := _tensors(dataset.dataset)) is not None:
        rows = torch.as_tensor(list(dataset.indices))
        return whole[0][rows], whole[1][rows]
    if type(dataset) is TensorDataset and len(dataset.tensors) == 2:
        return dataset.tensors[0], dataset.tensors[1]
    return None
