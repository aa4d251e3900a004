"""Batches as torch tensors. The only module that imports torch, and only when it is imported itself.

It adds no threads and no copies: a tensor shares the memory of the batch buffer that it came in, unless it is to lie in
page-locked memory. Rules: order, resume and leases are `loader.data`'s.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from filmroom.errors import Invalid
from filmroom.loader.data import Batch, Data


@dataclass(frozen=True, slots=True)
class TensorBatch:
    """`loader.data.Batch` with tensors: numeric labels as float64 tensors, text labels and keys as lists."""

    image: torch.Tensor
    labels: Mapping[str, torch.Tensor | list[str]]
    keys: list[str]


class Loader:
    """An iterable over the epochs of `data`, one epoch an iteration, counted on from `epoch` or the loaded state.

    `size` is the global batch. With `patch`, a shape in voxels or pixels, a batch holds one random patch of each sample.
    The image tensor of a batch is overwritten when the next batch is asked for, unless `copy` or `pin`: `pin` puts tensors
    into page-locked memory of their own, so that `.to("cuda", non_blocking=True)` may go on meanwhile. Use it without
    `torch.utils.data.DataLoader` workers: it has threads of its own. Raises Invalid for `pin` without a CUDA device.
    """

    def __init__(
        self,
        data: Data,
        size: int,
        *,
        patch: tuple[int, ...] | None = None,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
        copy: bool = False,
        drop_last: bool = False,
        pin: bool = False,
    ) -> None:
        if pin and not torch.cuda.is_available():
            raise Invalid("memory is pinned for a CUDA device, and there is none", "leave out `pin` on this computer")
        self._data = data
        self._size = size
        self._patch = patch
        self._seed = seed
        self._rank = rank
        self._world = world
        self._shuffle = shuffle
        self._copy = copy and not pin
        self._drop_last = drop_last
        self._pin = pin
        self.epoch = epoch

    def __iter__(self) -> Iterator[TensorBatch]:
        """Return the batches of the next epoch. Raises Invalid as `Data.batches` does; the epoch then stays to be done."""
        batches = self._batches()
        self.epoch += 1
        return (tensors(batch, pin=self._pin) for batch in batches)

    def state_dict(self) -> dict[str, int | str | bool | None]:
        return self._data.state_dict()

    def load_state_dict(self, state: Mapping[str, int | str | bool | None]) -> None:
        """Continue in the state's epoch at the next sample. Raises Invalid for a state of other data."""
        self._data.load_state_dict(state)
        self.epoch = int(state["epoch"] or 0)

    def _batches(self) -> Iterator[Batch]:
        order = (self._size, self._seed, self.epoch, self._rank, self._world, self._shuffle)
        if self._patch is None:
            return self._data.batches(*order, copy=self._copy, drop_last=self._drop_last)
        return self._data.patches(self._patch, *order, copy=self._copy, drop_last=self._drop_last)


def tensors(batch: Batch, *, pin: bool = False) -> TensorBatch:
    """Return the batch with tensors that share its memory, or that lie in page-locked memory when `pin`."""

    def tensor(values: NDArray[np.generic]) -> torch.Tensor:
        shared = torch.from_numpy(values)
        return shared.pin_memory() if pin else shared

    labels = {
        name: tensor(values) if values.dtype.kind == "f" else [str(value) for value in values]
        for name, values in batch.labels.items()
    }
    return TensorBatch(tensor(np.asarray(batch.image)), labels, batch.keys.tolist())
