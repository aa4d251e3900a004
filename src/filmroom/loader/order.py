"""In which order samples are seen, and which of them a rank sees.

The order is a function of (snapshot id, seed, epoch) and the number of samples, and of nothing else: not of the world size,
not of threads, not of what was read before. So a job resumes at any sample, in another world size too.
Rules: only Philox's raw numbers are used, which do not change between NumPy versions; equal numbers keep their order.
Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
"""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from filmroom.errors import Invalid


def philox(*parts: "str | int") -> np.random.Philox:
    """Return a generator of raw 64-bit numbers whose key is drawn from `parts`."""
    text = "\n".join(("filmroom/v1/order", *map(str, parts)))
    return np.random.Philox(key=int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little"))


def order(count: int, *, seed: int, epoch: int, shuffle: bool = True, snapshot: str) -> NDArray[np.int64]:
    """Return the numbers 0 to `count` - 1 in this epoch's order; in their own order without `shuffle`."""
    if count < 0 or epoch < 0:
        raise Invalid("a count or an epoch below 0 has no order", "count epochs from 0")
    if not shuffle:
        return np.arange(count, dtype=np.int64)
    draws = np.asarray(philox(snapshot, seed, epoch).random_raw(count), dtype=np.uint64)
    return np.argsort(draws, kind="stable").astype(np.int64)


def share(
    order: NDArray[np.int64], batch: int, rank: int, world: int, *, start: int = 0, drop_last: bool = False
) -> Iterator[NDArray[np.int64]]:
    """Yield this rank's part of each global batch from global index `start` on.

    `batch` is the size of the global batch, that is over all ranks, and a multiple of `world`; rank r takes every
    `world`-th sample of it from the r-th. Every rank gets the same number of batches. The last global batch may be
    short, and a rank's part of it then one shorter than another's, even empty; `drop_last` leaves it out.
    Raises Invalid at once for sizes that do not fit.
    """
    if world < 1 or not 0 <= rank < world:
        raise Invalid("a rank lies between 0 and the world size", "count ranks from 0")
    if batch < 1 or batch % world:
        raise Invalid(
            f"a global batch of {batch} does not divide among {world} ranks", "give a multiple of the world size"
        )
    if not 0 <= start <= len(order):
        raise Invalid("the start lies outside the epoch", "resume with the shardset and split that the state is of")
    end = len(order) - (len(order) - start) % batch if drop_last else len(order)
    return (order[at : min(at + batch, end)][rank::world] for at in range(start, end, batch))
