"""Batches as torch tensors. The only module that imports torch, and only when it is imported itself.

It adds no threads and no copies: a tensor shares the memory of the batch buffer that it came in. Rules: order, resume
and leases are `loader.data`'s.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from filmroom.loader.data import Batch, Data


@dataclass(frozen=True, slots=True)
class TensorBatch:
    """`loader.data.Batch` with tensors: numeric labels as float64 tensors, text labels and keys as lists."""

    image: torch.Tensor
    labels: Mapping[str, torch.Tensor | list[str]]
    keys: list[str]


class Loader:
    """An iterable over the epochs of `data`, one epoch an iteration, counted on from `epoch` or the loaded state.

    `size` is the global batch. The image tensor of a batch is overwritten when the next batch is asked for, unless
    `copy`. Use it without `torch.utils.data.DataLoader` workers: it has threads of its own.
    """

    def __init__(
        self,
        data: Data,
        size: int,
        *,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
        copy: bool = False,
        drop_last: bool = False,
    ) -> None:
        self._data = data
        self._size = size
        self._seed = seed
        self._rank = rank
        self._world = world
        self._shuffle = shuffle
        self._copy = copy
        self._drop_last = drop_last
        self.epoch = epoch

    def __iter__(self) -> Iterator[TensorBatch]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        batches = self._data.batches(
            self._size,
            seed=self._seed,
            epoch=epoch,
            rank=self._rank,
            world=self._world,
            shuffle=self._shuffle,
            copy=self._copy,
            drop_last=self._drop_last,
        )
        return map(tensors, batches)

    def state_dict(self) -> dict[str, int | str | bool | None]:
        return self._data.state_dict()

    def load_state_dict(self, state: Mapping[str, int | str | bool | None]) -> None:
        """Continue in the state's epoch at the next sample. Raises Invalid for a state of other data."""
        self._data.load_state_dict(state)
        self.epoch = int(state["epoch"] or 0)


def tensors(batch: Batch) -> TensorBatch:
    """Return the batch with tensors that share its memory."""
    labels = {
        name: torch.from_numpy(values) if values.dtype.kind == "f" else [str(value) for value in values]
        for name, values in batch.labels.items()
    }
    return TensorBatch(torch.from_numpy(np.asarray(batch.image)), labels, batch.keys.tolist())
