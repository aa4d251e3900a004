"""Every sample file through every door: what became of it depends on its bytes, and not on the way that it came.

The rooms are in memory: what is kept, and how durably, is other tests' business.
"""

import http.client
import json
import socket
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.e2e import raw_dimse

from filmroom.adapters.keys import FileKeys
from filmroom.adapters.objects import open_objects
from filmroom.adapters.spool import FileSpools
from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.adapters.system import SilentProgress, SystemClock, SystemEntropy
from filmroom.dicom import identity
from filmroom.dicom.parse import parse
from filmroom.dicom.part10 import header, split
from filmroom.dimse.config import Endpoint, Network
from filmroom.dimse.serve import Door
from filmroom.flow.reception import Reception
from filmroom.govern.policy import Policies, every_role
from filmroom.ids import Digest, Zone
from filmroom.ingest.accept import accept
from filmroom.ingest.sniff import kind
from filmroom.ports import Ports
from filmroom.records import Actor, Ignored, Level, Outcome, Reason
from filmroom.web.server import Address
from filmroom.web.server import Door as WebDoor
from filmroom.wiring import Room

pytestmark = pytest.mark.slow
IS_IN = (Outcome.STORED, Outcome.DUPLICATE, Outcome.CONFLICT)
CONFLICT = Reason(
    "uid-conflict", "the room has this SOP Instance UID with other bytes; both are kept until somebody decides"
)
EXPECTED_STATUS = {
    Outcome.STORED: 0x0000,
    Outcome.DUPLICATE: 0x0000,
    Outcome.CONFLICT: 0x0000,
    Outcome.QUARANTINED: 0xB007,
    Outcome.IGNORED: 0xA900,
}


@dataclass(frozen=True)
class Became:
    """What a ledger says of one object, but for its name."""

    outcome: Outcome
    reasons: tuple[Reason, ...]
    digest: Digest
    size: int


@dataclass(frozen=True)
class Sendable:
    """What a C-STORE request is made of."""

    path: Path
    sop_class: str
    sop_uid: str
    syntax: str
    body: bytes

    @property
    def file(self) -> bytes:
        """The file that the door makes of it."""
        return header(sop_class=self.sop_class, sop_uid=self.sop_uid, syntax=self.syntax) + self.body


def sendable(path: Path) -> Sendable | str:
    """Return what is sent of a file, or what the protocol wants and the file does not have (PS3.7 9.1.1)."""
    data = path.read_bytes()
    who, parts = identity.identify(data), split(data)
    if not who.sop_class:
        return "no SOP Class UID"
    if not who.sop_uid:
        return "no SOP Instance UID"
    syntax = parts.syntax
    if not syntax and (found := parse(data).instance):
        syntax = found.transfer_syntax
    if not syntax:
        return "no transfer syntax"
    return Sendable(path, who.sop_class, who.sop_uid, syntax, data[parts.start :])


@contextmanager
def new_room(folder: Path) -> Iterator[Room]:
    entropy = SystemEntropy()
    catalog = SqlCatalog("sqlite://")
    catalog.create()
    with closing(catalog):
        yield Room(
            Ports(
                room="corpus",
                actor=Actor("olga"),
                code={"filmroom": "test"},
                catalog=catalog,
                objects={zone: open_objects("memory://") for zone in Zone},
                audit=open_objects("memory://"),
                keys=FileKeys.create(folder, entropy),
                authorizer=Policies.shipped(every_role),
                clock=SystemClock(),
                entropy=entropy,
                progress=SilentProgress(),
                spools=FileSpools(entropy),
            )
        )


def ledger(room: Room) -> list[Became]:
    """What became of the objects of a room's only delivery, in their order."""
    [batch] = room.batches()
    rows = room.show_batch(batch.batch.id).ledger
    return [Became(row.outcome, row.reasons, row.digest, row.size_bytes) for row in rows]


@pytest.fixture(scope="module")
def files(corpus: Path) -> list[Path]:
    """Every file, in the order in which a folder is read."""
    folders = sorted((path for path in [corpus, *corpus.rglob("*")] if path.is_dir()), key=lambda path: path.parts)
    return [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]


@pytest.fixture(scope="module")
def by_folder(files: list[Path], corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Became]:
    with new_room(tmp_path_factory.mktemp("folder") / "room") as room:
        room.receive([corpus], "folder")
        [batch] = room.batches()
        names = [row.name for row in room.show_batch(batch.batch.id).ledger]
        assert sorted(names) == sorted(path.relative_to(corpus.parent).as_posix() for path in files)
        return dict(zip([corpus.parent / name for name in names], ledger(room), strict=True))


def for_dicom_only(path: Path, became: Became) -> Became:
    """What has to become of a file at a door for DICOM objects: image files of other kinds, and what lies beside them,
    are for folders and archives.
    """
    data = path.read_bytes()
    if kind(data) in ("dicom", "dicomdir"):
        return became
    decision = accept(data, became.digest, is_here=False)
    assert isinstance(decision, Ignored) and decision.reason.code.startswith("not-dicom:")
    return replace(became, outcome=Outcome.IGNORED, reasons=(decision.reason,))


@contextmanager
def http_door(room: Room) -> Iterator[Callable[[Sequence[Path]], dict[str, list[object]]]]:
    """Opens DICOMweb, and hands out what sends files in one request and returns the answer's lists."""
    ports = room.serve("http")
    with Reception(ports) as reception, socket.create_server(("127.0.0.1", 0)) as listener:
        door = WebDoor(ports, reception, Address("127.0.0.1", 0))
        door.start(listener)
        caller = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=300)

        def post(files: Sequence[Path]) -> dict[str, list[object]]:
            body = b"".join(
                b"--a:b\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % file.read_bytes() for file in files
            )
            media = 'multipart/related; type="application/dicom"; boundary="a:b"'
            caller.request("POST", "/studies", body + b"--a:b--\r\n", {"Content-Type": media})
            answer = caller.getresponse()
            said = json.loads(answer.read())
            assert answer.status in (200, 202, 409)
            return {name: said[tag]["Value"] for name, tag in LISTS.items() if tag in said}

        yield post
        caller.close()
        door.stop()


LISTS = {"stored": "00081199", "failed": "00081198", "others": "0008119A"}


def store(port: int, objects: Sequence[Sendable]) -> list[int]:
    """Send objects over as few associations as there can be, and return the statuses."""
    statuses: list[int] = []
    for start in range(0, len(objects), 100):
        some = objects[start : start + 100]
        contexts = sorted({(each.sop_class, each.syntax) for each in some})
        calling = raw_dimse.call(port, contexts)
        for each in some:
            context = 2 * contexts.index((each.sop_class, each.syntax)) + 1
            asked = raw_dimse.command(1, uid=each.sop_uid, sop_class=each.sop_class)
            calling.send(raw_dimse.pdu(raw_dimse.pdv(asked, command=True, last=True, context=context)))
            parts = raw_dimse.pieces(each.body, 16_000)
            for number, part in enumerate(parts, 1):
                calling.send(raw_dimse.pdu(raw_dimse.pdv(part, last=number == len(parts), context=context)))
            statuses.append(calling.answer())
        calling.send(raw_dimse.RELEASE)
        assert calling.is_over()
        calling.wire.close()
    return statuses


def test_a_zip_archive_ends_as_the_folder_does(by_folder, corpus, tmp_path):
    with zipfile.ZipFile(tmp_path / "corpus.zip", "w") as archive:
        for path in by_folder:
            archive.write(path, path.relative_to(corpus))
    with new_room(tmp_path / "room") as room:
        room.receive([tmp_path / "corpus.zip"], "zip")
        assert ledger(room) == list(by_folder.values())


def test_dicomweb_requests_of_one_part_end_as_the_folder_does(by_folder, tmp_path):
    expected = [for_dicom_only(path, became) for path, became in by_folder.items()]
    with new_room(tmp_path / "room") as room:
        with http_door(room) as post:
            answers = [post([path]) for path in by_folder]
        assert ledger(room) == expected
    for answer, became in zip(answers, expected, strict=True):
        is_in = became.outcome in IS_IN
        assert list(answer) == ["stored"] if is_in else list(answer) in (["failed"], ["others"])


def test_one_dicomweb_request_with_many_files_ends_as_the_folder_does(by_folder, tmp_path):
    """Parts are decided about side by side, so that of two objects with one UID either may be the first."""
    uid_of = {became.digest: identity.identify(path.read_bytes()).sop_uid for path, became in by_folder.items()}
    files_of = Counter(uid_of[each.digest] for each in by_folder.values())
    # every UID that several files have, with all of them, and some others
    chosen = {uid for uid, count in files_of.items() if count > 1 or sum(uid.encode()) % 8 == 0}
    some = {path: each for path, each in by_folder.items() if uid_of[each.digest] in chosen}
    with new_room(tmp_path / "room") as room:
        with http_door(room) as post:
            answer = post(list(some))
        found = ledger(room)
    assert Counter(each.digest for each in found) == Counter(each.digest for each in some.values())

    def by_uid(rows: Sequence[Became]) -> dict[str, Counter[tuple[object, ...]]]:
        grouped: dict[str, Counter[tuple[object, ...]]] = defaultdict(Counter)
        for row in rows:
            is_in = row.outcome in IS_IN
            what = () if is_in else (row.digest, row.reasons)
            grouped[uid_of[row.digest]][row.outcome, *what] += 1
        return grouped

    assert by_uid(found) == by_uid([for_dicom_only(path, became) for path, became in some.items()])
    assert {Outcome.STORED, Outcome.CONFLICT} <= {each.outcome for each in found}
    assert sum(map(len, answer.values())) == len(some)


def test_over_the_dicom_network_only_the_header_makes_a_difference(by_folder, tmp_path):
    """The sender's header does not travel, so neither do its contradictions, and what differs in it alone is the same."""
    objects = [each for path in by_folder if isinstance(each := sendable(path), Sendable)]
    with new_room(tmp_path / "room") as room:
        ports = room.serve("dimse")
        with Reception(ports) as reception:
            door = Door(ports, reception, Network(), Endpoint("FILMROOM", "127.0.0.1", 0))
            statuses = store(door.start().port, objects)
            door.stop()
        rows = [row for batch in room.batches() for row in room.show_batch(batch.batch.id).ledger]
        found = [Became(row.outcome, row.reasons, row.digest, row.size_bytes) for row in rows]
        assert [row.name for row in rows] == [each.sop_uid for each in objects]
        assert statuses == [EXPECTED_STATUS[each.outcome] for each in found]
        sent = {Digest.of(each.file): each.body for each in objects}
        with room.retrieve([each.sop_uid for each in objects], level=Level.INSTANCE, to="test") as retrieval:
            assert len(retrieval.objects) == sum(each.outcome is Outcome.STORED for each in found)
            for stored in retrieval.objects:
                data = retrieval.content(stored)
                assert data[split(data).start :] == sent[stored.digest]

    # what was decided about is the file that the door made
    assert [(each.digest, each.size) for each in found] == [(Digest.of(each.file), len(each.file)) for each in objects]
    assert [(each.outcome, each.reasons) for each in found] == list(without_headers(objects, by_folder))
    changes = {
        (before.outcome, codes_of(before) - codes_of(became), became.outcome)
        for before, became in zip([by_folder[each.path] for each in objects], found, strict=True)
        if (before.outcome, before.reasons) != (became.outcome, became.reasons)
    }
    assert changes == WITHOUT_HEADER


def test_what_no_c_store_request_can_be_made_of_is_let_in_by_no_door_for_dicom(by_folder):
    """No image is lost that way: it lacks what every DICOM object has."""
    left = [for_dicom_only(path, became) for path, became in by_folder.items() if isinstance(sendable(path), str)]
    assert {became.outcome for became in left} == {Outcome.QUARANTINED, Outcome.IGNORED}
    codes = {code for became in left for code in codes_of(became)}
    assert codes & UNSENDABLE
    assert not [became for became in left if not codes_of(became) & UNSENDABLE]


def test_what_differs_between_doors_is_in_the_documents():
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "deliveries.md").read_text("utf-8")
    section = text.partition("## The same object through another door")[2]
    codes = {code for _, gone, _ in WITHOUT_HEADER for code in gone} | UNSENDABLE
    assert {code for code in codes if f"`{code}`" not in section} == set()


def codes_of(became: Became) -> frozenset[str]:
    return frozenset(reason.code for reason in became.reasons)


# the outcome from the folder, the reasons that fall away with the sender's header, and the outcome over the network
WITHOUT_HEADER = {
    (Outcome.QUARANTINED, frozenset({"meta-contradicts"}), Outcome.STORED),
    (Outcome.QUARANTINED, frozenset({"meta-contradicts"}), Outcome.CONFLICT),
    (Outcome.QUARANTINED, frozenset({"meta-contradicts"}), Outcome.QUARANTINED),
    (Outcome.CONFLICT, frozenset({"uid-conflict"}), Outcome.DUPLICATE),
    (Outcome.STORED, frozenset[str](), Outcome.CONFLICT),
}
UNSENDABLE = {
    *("uid-missing", "uid-malformed", "dicomdir", "not-dicom:nrrd", "not-dicom:text", "not-dicom:unknown"),
    *("not-dicom:nifti", "not-dicom:gzip", "not-dicom:tiff"),
}


def without_headers(
    objects: Sequence[Sendable], by_folder: dict[Path, Became]
) -> Iterator[tuple[Outcome, tuple[Reason, ...]]]:
    """Yield what has to become of objects whose header, as it was in the folder, does not count."""
    files: set[bytes] = set()
    uids: set[str] = set()
    for each in objects:
        before = by_folder[each.path]
        reasons = tuple(reason for reason in before.reasons if reason.code not in ("meta-contradicts", "uid-conflict"))
        if reasons:
            yield before.outcome, reasons
        elif each.file in files:
            yield Outcome.DUPLICATE, ()
        elif each.sop_uid in uids:
            yield Outcome.CONFLICT, (CONFLICT,)
        else:
            yield Outcome.STORED, ()
        if not reasons:
            files.add(each.file)
            uids.add(each.sop_uid)
