"""The order depends on snapshot, seed and epoch only, and ranks share it without gap or overlap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.errors import Invalid
from filmroom.loader.order import order, share

GOLDEN = [
    [5, 7, 8, 9, 6, 2, 1, 0, 4, 3],
    [9, 7, 1, 8, 4, 6, 3, 5, 2, 0],
    [2, 3, 9, 8, 4, 5, 6, 7, 0, 1],
    [5, 2, 3, 4, 8, 6, 0, 7, 1, 9],
]


def test_golden_orders() -> None:
    """These numbers may never change: an order is part of what a training run was."""
    assert order(10, seed=0, epoch=0, snapshot="sha256:00").tolist() == GOLDEN[0]
    assert order(10, seed=0, epoch=1, snapshot="sha256:00").tolist() == GOLDEN[1]
    assert order(10, seed=7, epoch=0, snapshot="sha256:00").tolist() == GOLDEN[2]
    assert order(10, seed=0, epoch=0, snapshot="sha256:01").tolist() == GOLDEN[3]


def test_unshuffled_is_as_stored() -> None:
    assert order(4, seed=1, epoch=2, shuffle=False, snapshot="s").tolist() == [0, 1, 2, 3]


@given(count=st.integers(0, 300), seed=st.integers(0, 2**40), epoch=st.integers(0, 99))
def test_an_order_is_a_permutation(count: int, seed: int, epoch: int) -> None:
    drawn = order(count, seed=seed, epoch=epoch, snapshot="s")
    assert sorted(drawn.tolist()) == list(range(count))


@given(
    count=st.integers(0, 200), world=st.sampled_from([1, 2, 3, 8]), each=st.integers(1, 5), start=st.integers(0, 200)
)
def test_ranks_together_see_every_sample_once_in_step(count: int, world: int, each: int, start: int) -> None:
    start = min(start, count)
    drawn = order(count, seed=1, epoch=0, snapshot="s")
    ranks = [list(share(drawn, each * world, rank, world, start=start)) for rank in range(world)]
    assert len({len(batches) for batches in ranks}) == 1
    seen = np.concatenate([np.empty(0, np.int64), *(batch for batches in ranks for batch in batches)])
    assert sorted(seen.tolist()) == sorted(drawn[start:].tolist())
    assert all(len(batch) == each for batches in ranks for batch in batches[:-1])


@given(count=st.integers(0, 100), world=st.sampled_from([1, 2, 3, 8]), each=st.integers(1, 5))
def test_dropping_the_last_leaves_only_full_batches(count: int, world: int, each: int) -> None:
    drawn = order(count, seed=1, epoch=0, snapshot="s")
    for rank in range(world):
        batches = list(share(drawn, each * world, rank, world, drop_last=True))
        assert [len(batch) for batch in batches] == [each] * (count // (each * world))


@given(first=st.sampled_from([1, 2, 3]), then=st.sampled_from([1, 2, 3]), steps=st.integers(0, 8))
def test_another_world_size_goes_on_where_the_first_stopped(first: int, then: int, steps: int) -> None:
    drawn = order(50, seed=3, epoch=4, snapshot="s")
    seen = [list(share(drawn, 6, rank, first))[:steps] for rank in range(first)]
    rest = [list(share(drawn, 6, rank, then, start=min(6 * steps, 50))) for rank in range(then)]
    both = [number for part in (*seen, *rest) for batch in part for number in batch.tolist()]
    assert sorted(both) == list(range(50))


@pytest.mark.parametrize(("batch", "rank", "world", "start"), [(5, 0, 2, 0), (0, 0, 1, 0), (4, 2, 2, 0), (4, 0, 2, 11)])
def test_sizes_that_do_not_fit_are_refused_at_once(batch: int, rank: int, world: int, start: int) -> None:
    with pytest.raises(Invalid):
        share(np.arange(10, dtype=np.int64), batch, rank, world, start=start)
