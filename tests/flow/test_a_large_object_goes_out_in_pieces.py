"""What is handed out is as it came, and never whole in memory when it is large."""

import pytest

from filmroom.errors import Corrupt
from filmroom.flow.retrieve import PIECE
from filmroom.flow.sealed import SealedZone
from filmroom.ids import Digest, Zone
from filmroom.records import Level


@pytest.fixture
def large(world, make_ct) -> bytes:
    side = 2400
    image: bytes = make_ct("P1", 1, 1, Rows=side, Columns=side, PixelData=bytes(range(256)) * (side * side * 2 // 256))
    world.deliver("large", image)
    world.deliver("small", make_ct("P1", 1, 2))
    world.room.receive([world.inbox], "ct-1")
    return image


def retrieved(world, data: bytes):
    retrieval = world.room.retrieve([row["sop_uid"] for row in world.room.query("", level=Level.INSTANCE).rows],
                                    level=Level.INSTANCE, to="test")  # fmt: skip
    return retrieval, next(each for each in retrieval.objects if each.digest == Digest.of(data))


def test_the_pieces_are_the_object_and_so_are_those_of_a_part(world, large: bytes) -> None:
    retrieval, stored = retrieved(world, large)
    with retrieval:
        pieces = list(retrieval.pieces(stored))
        assert b"".join(pieces) == large
        assert max(map(len, pieces)) == PIECE < len(large)
        assert b"".join(retrieval.pieces(stored, 5, PIECE + 7)) == large[5 : PIECE + 7]


def test_a_large_object_that_is_damaged_in_the_middle_ends_there(world, large: bytes) -> None:
    name, store = SealedZone(world.ports, Zone.CLINICAL).name_of(Digest.of(large)), world.ports.objects[Zone.CLINICAL]
    sealed = bytearray(store.get(name))
    sealed[-100] ^= 1
    store.put(name, bytes(sealed))
    retrieval, stored = retrieved(world, large)
    with retrieval:
        pieces = retrieval.pieces(stored)
        assert next(pieces) == large[:PIECE]
        with pytest.raises(Corrupt):
            next(pieces)
