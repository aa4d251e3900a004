"""Merkle trees as in RFC 6962 and RFC 9162: roots, growth by appending, and proofs.

Words: a leaf is data, a hash is the 32-byte hash of a leaf or node. `root`, `extend` and `verify_inclusion` take leaves
(and hash them, so that nobody can pass a node for a leaf); `inclusion_proof` and `consistency_proof` take leaf hashes.
The frontier is the roots of the perfect subtrees at the right edge, largest first: all that is needed to grow the tree.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence

from filmroom.errors import Invalid


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the tree's root over leaf data; that of an empty tree is the SHA-256 of nothing."""
    return frontier_root(extend(0, (), leaves)[1])


def extend(size: int, frontier: Sequence[bytes], leaves: Iterable[bytes]) -> tuple[int, list[bytes]]:
    """Return size and frontier after appending leaf data. Raises Invalid when `frontier` cannot be that of `size`."""
    if size < 0 or len(frontier) != size.bit_count():
        raise Invalid("a frontier has one hash for each set bit of the tree's size", "read size and frontier together")
    stack = list(frontier)
    for leaf in leaves:
        stack.append(leaf_hash(leaf))
        full = size
        while full & 1:  # two subtrees of the same size become one
            right = stack.pop()
            stack.append(node_hash(stack.pop(), right))
            full >>= 1
        size += 1
    return size, stack


def frontier_root(frontier: Sequence[bytes]) -> bytes:
    """Return the root of the tree whose right edge is `frontier`."""
    if not frontier:
        return hashlib.sha256(b"").digest()
    top = frontier[-1]
    for left in reversed(frontier[:-1]):
        top = node_hash(left, top)
    return top


def inclusion_proof(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the sibling hashes, from the leaf upward, that tie leaf `index` to the root (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < len(hashes):
        raise Invalid(f"there is no leaf {index} in a tree of {len(hashes)}", "ask for an index below the size")
    proof: list[bytes] = []
    start, stop = 0, len(hashes)
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            proof.append(_range_root(hashes, middle, stop))
            stop = middle
        else:
            proof.append(_range_root(hashes, start, middle))
            start = middle
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], tree_root: bytes) -> bool:
    """Say whether `proof` shows leaf data at `index` in the tree of `size` and `tree_root` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, top = index, size - 1, leaf_hash(leaf)
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            top = node_hash(sibling, top)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            top = node_hash(top, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and hmac.compare_digest(top, tree_root)


def consistency_proof(hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """Return the hashes that show the tree of the first `old_size` leaves as a prefix of this (RFC 9162, 2.1.4.1)."""
    if not 0 < old_size <= len(hashes):
        raise Invalid(
            f"there is no older tree of {old_size} in one of {len(hashes)}", "ask for a size from 1 to this one"
        )
    proof: list[bytes] = []
    start, stop, is_whole = 0, len(hashes), True
    while old_size != stop:
        middle = start + _split(stop - start)
        if old_size <= middle:
            proof.append(_range_root(hashes, middle, stop))
            stop = middle
        else:
            proof.append(_range_root(hashes, start, middle))
            start, is_whole = middle, False
    if not is_whole:
        proof.append(_range_root(hashes, start, stop))
    return proof[::-1]


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Say whether `proof` shows that the older tree is a prefix of the newer (RFC 9162, 2.1.4.2)."""
    if not 0 < old_size <= new_size:
        return False
    if old_size == new_size:
        return not proof and hmac.compare_digest(old_root, new_root)
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_top = new_top = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old_top, new_top = node_hash(sibling, old_top), node_hash(sibling, new_top)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_top = node_hash(new_top, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and hmac.compare_digest(old_top, old_root) and hmac.compare_digest(new_top, new_root)


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_root(hashes: Sequence[bytes], start: int, stop: int) -> bytes:
    if stop - start == 1:
        return hashes[start]
    middle = start + _split(stop - start)
    return node_hash(_range_root(hashes, start, middle), _range_root(hashes, middle, stop))
