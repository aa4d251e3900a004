"""Whatever comes, received = stored + duplicate + conflict + quarantined + ignored, and nothing is lost."""

import hashlib
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO

import pytest

from filmroom.dicom.directory import MAX_BYTES
from filmroom.errors import NotFound, Refused
from filmroom.flow.reception import GROUP_OBJECTS, Arrived, Delivery, Reception
from filmroom.flow.sealed import SealedZone
from filmroom.ids import Digest, Zone
from filmroom.ports import Catalog, Objects, Transaction
from filmroom.records import CaseState, InstanceState, Outcome
from filmroom.wiring import Room


def test_every_object_has_one_outcome(world, make_ct) -> None:
    image = make_ct("P1", 1, 1)
    world.deliver("a/image", image)
    world.deliver("a/the same again", image)
    world.deliver("a/other", make_ct("P1", 1, 2))
    world.deliver("b/changed", make_ct("P1", 1, 1, change=7))
    world.deliver("b/cut", image[: len(image) - 100])
    world.deliver("b/notes.txt", b"nothing for a film room")
    receipt = world.room.receive([world.inbox], "ct-1")
    counts = (receipt.stored, receipt.duplicate, receipt.conflict, receipt.quarantined, receipt.ignored)
    assert counts == (2, 1, 1, 1, 1)
    assert receipt.received == sum(counts) == 6
    ledger = world.room.show_batch(receipt.batch.id).ledger
    assert [row.position for row in ledger] == [1, 2, 3, 4, 5, 6]
    assert all(row.reasons for row in ledger if row.outcome not in (Outcome.STORED, Outcome.DUPLICATE))


def test_what_was_stored_comes_back_byte_for_byte_and_lies_sealed(world, make_ct) -> None:
    image = make_ct("P1", 1, 1)
    world.deliver("image", image)
    world.room.receive([world.inbox], "ct-1")
    sealed = world.read_all(Zone.CLINICAL)
    assert len(sealed) == 1
    ((name, data),) = sealed.items()
    assert b"Planted" not in data and Digest.of(image).hex not in name
    with world.ports.catalog.read() as tx:
        stored = tx.instances.get(Digest.of(image))
    assert SealedZone(world.ports, Zone.CLINICAL).get_content(stored.digest, stored.subject) == image


def test_delivered_again_it_is_all_duplicates_and_no_key_is_made_anew(world, make_ct) -> None:
    for number in range(1, 4):
        world.deliver(f"{number}", make_ct("P1", 1, number))
    assert world.room.receive([world.inbox], "ct-1").stored == 3
    before = world.read_all(Zone.CLINICAL)
    again = world.room.receive([world.inbox], "ct-1")
    assert (again.stored, again.duplicate) == (0, 3)
    assert world.read_all(Zone.CLINICAL) == before


@dataclass
class Counted:
    """A store that writes down what it is asked for."""

    store: Objects
    asked: list[str] = field(default_factory=list)

    def put(self, name: str, data: bytes | bytearray | memoryview) -> None:
        self.asked.append("put")
        self.store.put(name, data)

    def get(self, name: str) -> bytes:
        self.asked.append("get")
        return self.store.get(name)

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)


@dataclass
class StopsAfter:
    """Progress that is interrupted from the keyboard after so many objects."""

    left: int

    @contextmanager
    def task(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        yield self.advance

    def advance(self, done: int) -> None:
        self.left -= done
        if self.left <= 0:
            raise KeyboardInterrupt


def test_an_interrupted_import_run_again_writes_only_what_is_not_there_yet(world, make_ct) -> None:
    count = 3 * GROUP_OBJECTS
    for number in range(1, count + 1):
        world.deliver(f"{number:04}", make_ct("P1", 1, number))
    store = Counted(world.ports.objects[Zone.CLINICAL])
    ports = replace(world.ports, objects={**world.ports.objects, Zone.CLINICAL: store})
    with pytest.raises(KeyboardInterrupt):
        Room(replace(ports, progress=StopsAfter(GROUP_OBJECTS))).receive([world.inbox], "ct-1")
    cataloged = world.room.query(level="instance").count
    assert GROUP_OBJECTS <= cataloged < count
    (stopped,) = world.room.batches()
    assert (stopped.batch.closed_at, stopped.received) == (None, cataloged)

    store.asked.clear()
    again = Room(ports).receive([world.inbox], "ct-1")
    assert (again.stored, again.duplicate) == (count - cataloged, cataloged)
    assert store.asked == ["put"] * (count - cataloged)

    store.asked.clear()
    assert Room(ports).receive([world.inbox], "ct-1").duplicate == count
    assert store.asked == []
    assert world.room.doctor().ok


def test_an_archive_is_taken_member_by_member(world, make_ct) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../etc/passwd", make_ct("P1", 1, 1))
        archive.writestr("series/2", make_ct("P1", 1, 2))
    world.deliver("study.zip", packed.getvalue())
    receipt = world.room.receive([world.inbox], "disc")
    assert (receipt.received, receipt.stored) == (2, 2)


def test_fewer_than_announced_is_said(world, make_ct, tmp_path) -> None:
    image, missing = make_ct("P1", 1, 1), make_ct("P1", 1, 2)
    world.deliver("1", image)
    manifest = tmp_path / "SHA256SUMS"
    manifest.write_text(f"{Digest.of(image).hex}  1\n{Digest.of(missing).hex}  2\n")
    receipt = world.room.receive([world.inbox], "ct-1", expect=2, manifest=manifest)
    assert not receipt.is_complete
    assert receipt.missing == (Digest.of(missing),)
    assert receipt.short == 1


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_a_manifest_of_any_usual_checksum_tells_what_is_missing_and_what_is_other(
    world, make_ct, tmp_path, algorithm
) -> None:
    good, sent, came = make_ct("P1", 1, 1), make_ct("P1", 1, 2), make_ct("P1", 1, 2, change=1)
    world.deliver("1", good)
    world.deliver("2", came)
    manifest = tmp_path / "sums"
    announced = {"1": good, "2": sent, "3": b"never came"}
    lines = [f"{hashlib.new(algorithm, data).hexdigest()} *./{name}" for name, data in announced.items()]
    manifest.write_text("\n".join(lines) + "\n")
    receipt = world.room.receive([world.inbox], "ct-1", manifest=manifest)
    assert (receipt.stored, receipt.quarantined) == (1, 1)
    assert [(each.code, each.name) for each in receipt.discrepancies] == [
        ("manifest-mismatch", "2"),
        ("manifest-missing", "3"),
    ]
    assert not receipt.is_complete
    (case,) = world.room.quarantine()
    assert [reason.code for reason in case.reasons] == ["checksum-mismatch"]
    assert world.room.verify_audit().ok


def test_a_directory_that_is_too_large_is_said_to_be_broken(world, pydicom_files) -> None:
    listing = (pydicom_files / "test_files" / "dicomdirtests" / "DICOMDIR").read_bytes()
    world.deliver("disc/DICOMDIR", listing + bytes(MAX_BYTES))
    receipt = world.room.receive([world.inbox], "disc")
    assert receipt.reasons == {"dicomdir": 1}
    assert [each.code for each in receipt.discrepancies] == ["dicomdir-broken"]


def test_a_manifest_may_begin_as_windows_begins_a_text(world, make_ct, tmp_path) -> None:
    image = make_ct("P1", 1, 1)
    world.deliver("1", image)
    manifest = tmp_path / "sums"
    manifest.write_text(f"{Digest.of(image).hex}  1\n", "utf-8-sig")
    assert world.room.receive([world.inbox], "ct-1", manifest=manifest).is_complete


def test_a_disc_is_compared_with_its_directory(world, pydicom_files) -> None:
    disc = world.inbox / "disc"
    shutil.copytree(pydicom_files / "test_files" / "dicomdirtests", disc, ignore=shutil.ignore_patterns("*-*", "TINY*"))
    (disc / "77654033" / "CR1" / "6154").unlink()
    shutil.copy(disc / "77654033" / "CR3" / "6278", disc / "77654033" / "CR2" / "6247")
    receipt = world.room.receive([disc], "disc")
    assert [(each.code, each.name) for each in receipt.discrepancies] == [
        ("dicomdir-missing", "disc/77654033/CR1/6154"),
        ("dicomdir-uid", "disc/77654033/CR2/6247"),
    ]
    assert not receipt.is_complete
    assert receipt.received == receipt.stored + receipt.duplicate + receipt.ignored
    assert b'"dicomdir-missing":1' in list(_leaves(world))[-1]


def _leaves(world):
    with world.ports.catalog.read() as tx:
        return list(tx.log.leaves())


def test_a_path_that_is_not_there_takes_nothing_in(world) -> None:
    with pytest.raises(NotFound):
        world.room.receive([world.inbox / "nowhere"], "ct-1")
    assert world.room.batches() == []


def test_a_released_case_is_in_with_its_faults_on_record(world, make_ct) -> None:
    image = make_ct("P1", 1, 1)
    world.deliver("cut", image[: len(image) - 100])
    world.room.receive([world.inbox], "ct-1")
    (case,) = world.room.quarantine()
    assert case.instance is not None and case.reasons
    released = world.room.release_case(case.id, why="the scanner's last row is always missing")
    assert released.state is CaseState.RELEASED
    assert world.room.query(level="instance").count == 1
    assert world.room.quarantine() == []
    again = world.room.receive([world.inbox], "ct-1")
    assert again.duplicate == 1


def test_a_rejected_case_stays_out(world) -> None:
    world.deliver("broken", b"\0" * 128 + b"DICM" + b"\x08\x00")
    world.room.receive([world.inbox], "ct-1")
    (case,) = world.room.quarantine()
    world.room.reject_case(case.id, why="not an image")
    assert world.room.query(level="instance").count == 0
    assert world.room.show_case(case.id).state is CaseState.REJECTED


def test_a_resent_changed_image_is_a_conflict_until_somebody_decides(world, make_ct) -> None:
    old, new = make_ct("P1", 1, 1), make_ct("P1", 1, 1, change=5)
    world.deliver("old", old)
    world.room.receive([world.inbox / "old"], "ct-1")
    world.deliver("new", new)
    assert world.room.receive([world.inbox / "new"], "ct-1").conflict == 1
    rows = world.room.query(level="instance", select=["digest"]).rows
    assert [row["digest"] for row in rows] == [str(Digest.of(old))]
    (case,) = world.room.quarantine()
    world.room.release_case(case.id, why="re-read by the technologist")
    rows = world.room.query(level="instance", select=["digest"]).rows
    assert [row["digest"] for row in rows] == [str(Digest.of(new))]
    with world.ports.catalog.read() as tx:
        assert tx.instances.get(Digest.of(old)).state is InstanceState.SUPERSEDED


def test_a_file_that_does_not_fit_into_memory_comes_in_piece_by_piece(world, make_ct) -> None:
    frames = 33 * 2**20 // 512
    data = make_ct("P1", 1, 1, NumberOfFrames=frames, PixelData=bytes(512 * frames))
    world.deliver("large", data)
    receipt = world.room.receive([world.inbox], "folder")
    assert (receipt.stored, receipt.bytes) == (1, len(data))
    with world.ports.catalog.read() as tx:
        stored = tx.instances.get(Digest.of(data))
    assert SealedZone(world.ports, Zone.CLINICAL).get_content(stored.digest, stored.subject) == data
    assert world.room.receive([world.inbox], "folder").duplicate == 1


class Held:
    """A catalog whose first writer waits until it is let go."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.go = threading.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._catalog, name)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        self.go.wait(20)
        with self._catalog.write() as tx:
            yield tx


@pytest.mark.parametrize("flaw", ["refused", "mistake"])
def test_what_one_sender_brings_cannot_keep_out_what_others_bring_at_the_same_time(world, make_ct, flaw: str) -> None:
    catalog = Held(world.ports.catalog)
    with Reception(replace(world.ports, catalog=catalog)) as reception:
        catalog.go.set()
        good, bad = reception.open("good"), reception.open("bad")
        reception.take(bad, Arrived("first", b"text"))
        if flaw == "refused":
            bad.position = 0  # the ledger has this place already
        else:
            bad.permit = None  # type: ignore[assignment]
        outcomes: dict[str, object] = {}

        def bring(delivery: Delivery, name: str, data: bytes) -> None:
            try:
                outcomes[name] = reception.take(delivery, Arrived(name, data)).row.outcome
            except (Refused, AttributeError) as error:
                outcomes[name] = type(error)

        catalog.go.clear()
        senders = [
            threading.Thread(target=bring, args=(delivery, f"{number}", b"text %d" % number))
            for number, delivery in enumerate([good, bad, good, good])
        ]
        for sender in senders:
            sender.start()
        time.sleep(0.3)  # so that those who come after the first wait together
        catalog.go.set()
        for sender in senders:
            sender.join()
    expected = Refused if flaw == "refused" else AttributeError
    assert outcomes == {"0": Outcome.IGNORED, "1": expected, "2": Outcome.IGNORED, "3": Outcome.IGNORED}
