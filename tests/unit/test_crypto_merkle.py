"""Trees have the published roots, grow by appending, and prove exactly what is true."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.crypto.merkle import (
    consistency_proof,
    extend,
    frontier_root,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from filmroom.errors import Invalid

# The test data of the Certificate Transparency implementations: leaves, and the root after each.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
# Inclusion in the tree of eight and consistency, from the same data.
PROOFS = [
    (0, 8, (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    )),
    (5, 8, (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    )),
]  # fmt: skip
CONSISTENCY = [
    (1, 8, (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    )),
    (6, 8, (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    )),
]  # fmt: skip

leaves_of_a_tree = st.lists(st.binary(max_size=6), min_size=1, max_size=40)


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_roots(size: int) -> None:
    assert root(LEAVES[:size]) == ROOTS[size - 1]


def test_an_empty_tree_is_the_hash_of_nothing() -> None:
    assert root([]) == hashlib.sha256(b"").digest()


@pytest.mark.parametrize(("index", "size", "proof"), PROOFS)
def test_the_published_inclusion_proofs(index: int, size: int, proof: tuple[str, ...]) -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES[:size]]
    assert [node.hex() for node in inclusion_proof(hashes, index)] == list(proof)


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCY)
def test_the_published_consistency_proofs(old: int, new: int, proof: tuple[str, ...]) -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES[:new]]
    assert [node.hex() for node in consistency_proof(hashes, old)] == list(proof)


@given(leaves_of_a_tree)
def test_the_root_is_that_of_the_recursive_definition(leaves: list[bytes]) -> None:
    def defined(part: list[bytes]) -> bytes:
        if len(part) == 1:
            return leaf_hash(part[0])
        split = 1
        while split * 2 < len(part):
            split *= 2
        return node_hash(defined(part[:split]), defined(part[split:]))

    assert root(leaves) == defined(leaves)


@given(st.lists(leaves_of_a_tree, max_size=5))
def test_growing_in_parts_gives_the_root_of_the_whole(parts: list[list[bytes]]) -> None:
    size, frontier = 0, list[bytes]()
    for part in parts:
        size, frontier = extend(size, frontier, part)
    whole = [leaf for part in parts for leaf in part]
    assert size == len(whole)
    assert frontier_root(frontier) == root(whole)


def test_a_frontier_of_another_size_is_refused() -> None:
    _, frontier = extend(0, (), LEAVES[:3])
    with pytest.raises(Invalid):
        extend(4, frontier, [b"x"])
    with pytest.raises(Invalid):
        extend(-1, [], [])


@given(leaves_of_a_tree, st.data())
def test_every_leaf_can_be_shown_to_be_in_the_tree_and_no_other(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof([leaf_hash(leaf) for leaf in leaves], index)
    top, size = root(leaves), len(leaves)
    assert verify_inclusion(leaves[index], index, size, proof, top)
    assert not verify_inclusion(leaves[index] + b"x", index, size, proof, top)
    assert not verify_inclusion(leaves[index], index, size, [*proof, top], top)
    assert not verify_inclusion(leaves[index], index, size, proof, bytes(32))
    assert not verify_inclusion(leaves[index], size, size, proof, top)
    for other in range(size):
        if leaves[other] != leaves[index]:
            assert not verify_inclusion(leaves[index], other, size, proof, top)
    if proof:
        assert not verify_inclusion(leaves[index], index, size, proof[:-1], top)


@given(leaves_of_a_tree, st.data())
def test_every_older_tree_can_be_shown_to_be_a_prefix_and_no_other(leaves: list[bytes], data: st.DataObject) -> None:
    new = len(leaves)
    old = data.draw(st.integers(1, new))
    proof = consistency_proof([leaf_hash(leaf) for leaf in leaves], old)
    old_root, new_root = root(leaves[:old]), root(leaves)
    assert verify_consistency(old, new, old_root, new_root, proof)
    assert not verify_consistency(old, new, bytes(32), new_root, proof)
    assert not verify_consistency(old, new, old_root, bytes(32), proof)
    assert not verify_consistency(old, new, old_root, new_root, [*proof, bytes(32)])
    assert not verify_consistency(0, new, old_root, new_root, proof)
    assert not verify_consistency(new + 1, new, old_root, new_root, proof)
    if proof:
        assert not verify_consistency(old, new, old_root, new_root, proof[:-1])


def test_proofs_about_what_is_not_there_are_refused() -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    for index in (-1, 8):
        with pytest.raises(Invalid):
            inclusion_proof(hashes, index)
    for size in (0, 9):
        with pytest.raises(Invalid):
            consistency_proof(hashes, size)
