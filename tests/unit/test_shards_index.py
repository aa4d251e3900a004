"""The index of a shardset says again what was put in, builds nothing per sample, and shows damage."""

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.errors import Corrupt, Invalid
from filmroom.ids import Digest
from filmroom.shards.index import ArrayEntry, IndexEntry, decode_index, encode_index
from filmroom.shards.layout import ArrayLayout, plan

RECIPE = Digest.of(b"recipe")
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


def entry(number: int, array: int = 0, position: int = 0, **labels: str) -> IndexEntry:
    return IndexEntry(f"{number:064x}", array, position, "train", labels, ((f"1.2.{number}", 1),))


def small() -> bytes:
    arrays = [
        ArrayEntry(0, "P-1", plan(2, (4, 4), "int16", volume=False), (100,)),
        ArrayEntry(1, "P-2", plan(1, (4, 5), "uint8", volume=False), (90,)),
    ]
    entries = [entry(0, 0, 0, finding="yes"), entry(1, 0, 1), entry(2, 1, 0, age="31", finding="no")]
    return encode_index(arrays, entries, recipe=RECIPE, snapshot="sha256:ab")


def test_what_was_put_in_comes_out() -> None:
    index = decode_index(small())
    assert (len(index), index.recipe, index.snapshot) == (3, str(RECIPE), "sha256:ab")
    assert index.labels(2) == {"age": "31", "finding": "no"}
    assert index.labels(1) == {"age": None, "finding": None}
    assert index.sources(2) == (("1.2.2", 1),)
    last, middle = index.spots(np.array([2, 1]))
    assert (middle.position, middle.key, last.key) == (1, f"{1:064x}", f"{2:064x}")
    shard = index.shard(middle.array, middle.shard)
    assert (shard.name, shard.plain_size) == ("a/00000/c/0/0/0", 100)
    assert shard.layout == plan(2, (4, 4), "int16", volume=False)
    assert index.subjects[last.subject] == index.subjects[index.shard(last.array, last.shard).subject] == "P-2"


def test_a_sample_behind_the_first_shard_of_its_array_is_found_in_its_own_shard() -> None:
    layout = plan(5, (2, 2), "uint8", volume=False)
    arrays = [
        ArrayEntry(0, "P-1", layout, (7,)),
        ArrayEntry(1, "P-2", ArrayLayout((5, 2, 2), layout.chunk, (2, 2, 2), "uint8"), (11, 12, 13)),
    ]
    document = encode_index(arrays, [entry(at, 1, at) for at in range(5)], recipe=RECIPE, snapshot="s")
    index = decode_index(document)
    spots = index.spots(np.arange(5))
    assert [(spot.object, spot.shard, spot.position) for spot in spots] == [
        (1, 0, 0), (1, 0, 1), (2, 1, 0), (2, 1, 1), (3, 2, 0),
    ]  # fmt: skip
    assert [index.shard(spot.array, spot.shard).plain_size for spot in spots] == [11, 11, 12, 12, 13]


@given(st.lists(st.tuples(TEXT, st.dictionaries(TEXT, TEXT, max_size=3), st.lists(TEXT, max_size=3)), max_size=6))
def test_any_texts_survive(samples: list[tuple[str, dict[str, str], list[str]]]) -> None:
    array = ArrayEntry(0, "P", plan(6, (2, 2), "uint8", volume=False), (9,))
    entries = [
        IndexEntry(f"{at:064x}", 0, at, split, labels, tuple((uid, at + 1) for uid in uids))
        for at, (split, labels, uids) in enumerate(samples)
    ]
    index = decode_index(encode_index([array], entries, recipe=RECIPE, snapshot="s"))
    for at, wanted in enumerate(entries):
        assert index.sources(at) == wanted.sources
        assert {name: value for name, value in index.labels(at).items() if value is not None} == wanted.labels
        assert index.splits[index.samples["split"][at]] == wanted.split


def test_every_flipped_byte_and_every_cut_is_noticed() -> None:
    document = small()
    for at in range(len(document)):
        damaged = bytearray(document)
        damaged[at] ^= 0x10
        with pytest.raises(Corrupt):
            decode_index(bytes(damaged))
        with pytest.raises(Corrupt):
            decode_index(document[:at])


@given(st.binary(max_size=300))
def test_noise_is_no_index(noise: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_index(noise)


@pytest.mark.parametrize("wrong", [entry(0, 0, 2), IndexEntry("k" * 64, 0, -0 + 5, "t", {}, ())])
def test_a_sample_outside_its_array_is_refused(wrong: IndexEntry) -> None:
    array = ArrayEntry(0, "P", plan(2, (2, 2), "uint8", volume=False), (9,))
    with pytest.raises(Corrupt):
        decode_index(encode_index([array], [wrong], recipe=RECIPE, snapshot="s"))


def test_a_shard_without_a_size_is_refused() -> None:
    array = ArrayEntry(0, "P", plan(2, (2, 2), "uint8", volume=False), ())
    with pytest.raises(Corrupt):
        decode_index(encode_index([array], [entry(0)], recipe=RECIPE, snapshot="s"))


def test_arrays_with_a_gap_are_refused() -> None:
    with pytest.raises(Invalid):
        encode_index(
            [ArrayEntry(1, "P", plan(1, (2, 2), "uint8", volume=False), (9,))], [], recipe=RECIPE, snapshot="s"
        )


def test_opening_builds_no_object_per_sample() -> None:
    count = 20_000
    array = ArrayEntry(0, "P", plan(count, (1, 1), "uint8", volume=False), (9,))
    document = encode_index([array], [entry(at, 0, at) for at in range(count)], recipe=RECIPE, snapshot="s")
    gc.collect()
    before = len(gc.get_objects())
    index = decode_index(document)
    gc.collect()
    assert len(gc.get_objects()) - before < 500
    assert not index.samples.flags.owndata
    assert np.array_equal(index.samples["position"], np.arange(count))
