"""The DICOM door as other people's programs see it: DCMTK's tools and Orthanc, both ways, on loopback."""

import gc
import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage
from pynetdicom import AE, evt
from pynetdicom.dsutils import encode

from filmroom import wiring
from filmroom.dicom.part10 import split
from filmroom.dimse.config import Endpoint, Network, Peer, Service, Tls
from filmroom.dimse.pull import Wanted, Window, pull
from filmroom.dimse.serve import Door
from filmroom.dimse.tls import calling
from filmroom.errors import Unavailable
from filmroom.flow.reception import Reception
from filmroom.ids import Digest
from filmroom.records import Outcome

# pynetdicom as a client leaves the socket of a rejected association to the garbage collector; see `swept`.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """What a test's own client left behind is found here, and not in another test."""
    yield
    gc.collect()


EVERYTHING = frozenset(Service)


@dataclass
class Listening:
    """A room with its door open."""

    room: wiring.Room
    port: int
    peers: dict[str, Peer]
    reception: Reception
    network: Network
    dcmtk: Callable[..., str]

    def call(self, tool: str, *arguments: object, called: str = "FILMROOM", status: int | None = 0) -> str:
        """Call the room with one of DCMTK's tools, and return what it prints."""
        return self.call_as("SCU", tool, *arguments, called=called, status=status)

    def call_as(
        self, title: str, tool: str, *arguments: object, called: str = "FILMROOM", status: int | None = 0
    ) -> str:
        who = ("-aet", title, "-aec", called, "127.0.0.1", self.port)
        return self.dcmtk(tool, *who, *arguments, status=status)

    @property
    def ports(self):
        return self.room.serve("dimse")

    def outcomes(self) -> dict[str, Outcome]:
        """Every ledger line by the name that the sender gave."""
        return {
            row.name: row.outcome
            for batch in self.room.batches()
            for row in self.room.show_batch(batch.batch.id).ledger
        }

    def add(self, title: str, port: int) -> None:
        endpoint = Endpoint(title, "127.0.0.1", port)
        self.peers[title] = Peer(title=title, source=title.lower(), may=EVERYTHING, endpoint=endpoint)


@pytest.fixture
def listening(tmp_path: Path, dcmtk: Callable[..., str]) -> Iterator[Listening]:
    peers = {title: Peer(title=title, source=title.lower(), may=EVERYTHING) for title in ("SCU", "OTHER", "PULLER")}
    peers["WRITER"] = Peer(title="WRITER", source="writer")
    network = Network(peers=peers, max_object=3 * 2**20)
    with wiring.open_room(wiring.init(tmp_path / "room")) as room, Reception(room.serve("dimse")) as reception:
        door = Door(room.serve("dimse"), reception, network, Endpoint("FILMROOM", "127.0.0.1", 0))
        ready = door.start()
        try:
            yield Listening(room, ready.port, peers, reception, network, dcmtk)
        finally:
            door.stop(grace=2)


def until(what: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def body(data: bytes) -> bytes:
    return data[split(data).start :]


def stored(here: Listening, uid: str) -> bytes:
    """The current bytes of a SOP Instance UID."""
    from filmroom.flow.retrieve import retrieve
    from filmroom.records import Level

    found = retrieve(here.ports, Level.INSTANCE, [uid], to="test")
    return found.content(found.objects[0])


def test_echo_answers_and_strangers_and_wrong_names_are_turned_away(listening):
    listening.call("echoscu")
    assert "Called AE" in listening.call("echoscu", called="NOBODY", status=None)
    assert "Calling AE" in listening.call_as("ANON", "echoscu", status=None)
    assert listening.room.batches() == []


def test_callers_that_go_without_a_word_lock_nobody_out(listening):
    """A port scan, a health check, and somebody who takes this for a web server: far more than there may be associations."""
    for word in [b"", b"", b"GET / HTTP/1.0\r\n\r\n"] * listening.network.max_associations:
        with socket.create_connection(("127.0.0.1", listening.port)) as probe:
            probe.sendall(word)
    until(lambda: not listening.call("echoscu", status=None), seconds=10)


def test_what_is_stored_is_what_was_sent(listening, planted):
    files = sorted(planted.glob("p0-*"))
    listening.call("storescu", *files)
    until(lambda: listening.room.batches()[0].batch.closed_at)
    [summary] = listening.room.batches()
    assert summary.batch.source == "scu" and summary.counts[Outcome.STORED] == len(files)
    for file in files:
        sent = file.read_bytes()
        assert body(stored(listening, pydicom.dcmread(file).SOPInstanceUID)) == body(sent)


def test_the_same_object_again_or_from_a_folder_is_a_duplicate_and_other_content_a_conflict(
    listening, planted, tmp_path
):
    file = planted / "p1-1-1"
    listening.room.receive([file], "folder")
    listening.call("storescu", file)
    listening.call_as("OTHER", "storescu", file)
    changed = pydicom.dcmread(file)
    changed.SeriesDescription = "changed"
    changed.save_as(tmp_path / "changed")
    said = listening.call("storescu", "-v", tmp_path / "changed")
    assert "Success" in said
    outcomes = [
        row.outcome for batch in listening.room.batches() for row in listening.room.show_batch(batch.batch.id).ledger
    ]
    assert outcomes == [Outcome.STORED, Outcome.DUPLICATE, Outcome.DUPLICATE, Outcome.CONFLICT]


def test_what_cannot_be_trusted_is_kept_with_a_warning_and_what_is_too_large_is_refused(listening, planted, tmp_path):
    short = pydicom.dcmread(planted / "p0-1-1")
    short.PixelData = bytes(100)
    short.save_as(tmp_path / "short")
    said = listening.call("storescu", "-v", tmp_path / "short")
    assert "Warning" in said or "b007" in said.casefold()
    [case] = listening.room.quarantine()
    assert [reason.code for reason in case.reasons]
    large = pydicom.dcmread(planted / "p0-1-2")
    large.Rows = large.Columns = 2048
    large.PixelData = bytes(2048 * 2048 * 2)
    large.save_as(tmp_path / "large")
    said = listening.call("storescu", "-v", tmp_path / "large", planted / "p0-1-3", status=None)
    assert "Error: CannotUnderstand" in said
    assert set(listening.outcomes().values()) >= {Outcome.QUARANTINED}
    assert large.SOPInstanceUID not in listening.outcomes()


@pytest.mark.parametrize(
    ("sop_class", "syntax"),
    [("1.2.826.0.1.3680043.9.9999.1", "1.2.840.10008.1.2.1"), (CTImageStorage, "1.2.826.0.1.3680043.9.9999.2")],
    ids=["a private class", "a private transfer syntax"],
)
def test_private_classes_and_unknown_transfer_syntaxes_are_taken(listening, make_ct_dataset, sop_class, syntax):
    dataset = make_ct_dataset("1.2.3.4.5.6.7")
    dataset.SOPClassUID = sop_class
    sent = encode(dataset, False, True)
    assert sent is not None
    assert send(listening.port, sop_class, "1.2.3.4.5.6.7", syntax, sent) == 0x0000
    until(lambda: listening.outcomes() == {"1.2.3.4.5.6.7": Outcome.STORED})
    kept = stored(listening, "1.2.3.4.5.6.7")
    assert body(kept) == sent and split(kept).syntax == syntax


def test_a_writer_cannot_ask(listening):
    said = listening.call_as(
        "WRITER", "findscu", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID", status=None
    )
    assert "No Acceptable Presentation Contexts" in said


def test_queries_match_dates_wild_cards_and_lists_and_a_name_finds_nothing(listening, planted):
    listening.room.receive([planted], "folder")

    def count(*keys: str) -> int:
        arguments = [word for key in keys for word in ("-k", key)]
        said: str = listening.call("findscu", "-S", *arguments)
        return said.count("(Pending")

    study, series, image = (f"QueryRetrieveLevel={level}" for level in ("STUDY", "SERIES", "IMAGE"))
    assert count(study, "StudyInstanceUID") == 5
    assert count(study, "StudyInstanceUID", "PatientID=MRN-7719204") == 1
    assert count(study, "StudyInstanceUID", "PatientID=MRN-*4*") == 3
    assert count(study, "StudyInstanceUID", "PatientID=MRN-771920?") == 1
    assert count(study, "StudyInstanceUID", "StudyDate=20240101-20241231") == 5
    assert count(study, "StudyInstanceUID", "StudyDate=-20240304") == 0
    assert count(study, "StudyInstanceUID", "ModalitiesInStudy=MR") == 0
    assert count(study, "StudyInstanceUID", "PatientName=Zebulon*") == 0
    assert count(series, "SeriesInstanceUID", "PatientID=MRN-7719204") == 2
    assert count(image, "SOPInstanceUID", "PatientID=MRN-7719204") == 6
    assert count(study, "StudyInstanceUID", "PatientID=o'clock") == 0


def test_getscu_gets_the_stored_bytes(listening, planted, tmp_path):
    listening.room.receive([planted / "p2-1-1"], "folder")
    sent = pydicom.dcmread(planted / "p2-1-1")
    listening.call(
        "getscu",
        "-S",
        "+B",
        "-od",
        tmp_path,
        "-k",
        "QueryRetrieveLevel=SERIES",
        "-k",
        f"StudyInstanceUID={sent.StudyInstanceUID}",
        "-k",
        f"SeriesInstanceUID={sent.SeriesInstanceUID}",
    )
    [file] = [path for path in tmp_path.iterdir() if path.is_file()]
    assert body(file.read_bytes()) == body((planted / "p2-1-1").read_bytes())


def test_an_implicit_only_destination_gets_the_same_pixels(listening, planted):
    file = planted / "p2-1-2"
    listening.room.receive([file], "folder")
    got: list[Dataset] = []

    def keep(event: evt.Event) -> int:
        got.append(event.dataset)
        return 0x0000

    sink = AE("SINK")
    sink.add_supported_context(CTImageStorage, "1.2.840.10008.1.2")
    server = sink.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    assert server is not None
    listening.add("SINK", server.server_address[1])
    want = pydicom.dcmread(file)
    try:
        listening.call(
            "movescu",
            "-S",
            "-aem",
            "SINK",
            "-k",
            "QueryRetrieveLevel=IMAGE",
            "-k",
            f"SOPInstanceUID={want.SOPInstanceUID}",
        )
    finally:
        server.shutdown()
        server.server_close()
    assert got[0].PixelData == want.PixelData


def test_movescu_moves_to_storescp_and_the_log_says_so(listening, planted, tmp_path, free_ports):
    listening.room.receive([planted], "folder")
    listening.dcmtk("storescp", "--version")
    (port,) = free_ports(1)
    scp = subprocess.Popen(["storescp", "+B", "-od", str(tmp_path), "-aet", "SINK", str(port)])
    try:
        until(lambda: not listening.dcmtk("echoscu", "-aec", "SINK", "127.0.0.1", port, status=None))
        listening.add("SINK", port)
        study = pydicom.dcmread(planted / "p3-1-1").StudyInstanceUID
        listening.call(
            "movescu", "-S", "-aem", "SINK", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"
        )
        assert (
            "MOVEDESTINATIONUNKNOWN"
            in listening.call(
                "movescu",
                "-v",
                "-S",
                "-aem",
                "NOWHERE",
                "-k",
                "QueryRetrieveLevel=STUDY",
                "-k",
                f"StudyInstanceUID={study}",
                status=None,
            ).upper()
        )
    finally:
        scp.terminate()
        scp.wait(10)
    sent = {Digest.of(body(file.read_bytes())) for file in planted.glob("p3-*")}
    assert {Digest.of(body(file.read_bytes())) for file in tmp_path.glob("CT*")} == sent
    leaves = [line.entry for line in listening.room.audit()]
    outcomes = [leaf["outcome"] for leaf in leaves if leaf["what"].get("kind") == "retrieval"]
    assert [outcome["state"] for outcome in outcomes] == ["opened", "closed"]
    assert outcomes[-1]["sent"] == 6 and outcomes[-1]["failed"] == 0


@contextmanager
def commitment(here: Listening, *uids: str) -> Iterator[list[tuple[int | None, Dataset]]]:
    """Ask for the room's commitment to these objects; yields the reports that come while the association is open."""
    reports: list[tuple[int | None, Dataset]] = []

    def report(event: evt.Event) -> tuple[int, None]:
        reports.append((event.event_type, event.event_information))
        return 0x0000, None

    wish = Dataset()
    wish.TransactionUID = "1.2.3.4"
    wish.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, uid
        wish.ReferencedSOPSequence.append(item)
    ae = AE("SCU")
    ae.add_requested_context("1.2.840.10008.1.20.1")
    association = ae.associate(
        "127.0.0.1", here.port, ae_title="FILMROOM", evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)]
    )
    answer, _ = association.send_n_action(wish, 1, "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1")
    assert answer.Status == 0
    yield reports
    association.release()


def test_storage_commitment_tells_what_is_there_from_what_is_not(listening, planted):
    listening.room.receive([planted / "p4-1-1"], "folder")
    here = pydicom.dcmread(planted / "p4-1-1")
    with commitment(listening, here.SOPInstanceUID) as reports:
        until(lambda: reports)
    assert reports[0][0] == 1 and reports[0][1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == here.SOPInstanceUID
    with commitment(listening, here.SOPInstanceUID, "1.2.3") as reports:
        until(lambda: reports)
    assert reports[0][0] == 2 and reports[0][1].FailedSOPSequence[0].FailureReason == 0x0112


def test_two_senders_at_once_have_a_delivery_each(listening, planted):
    files = [sorted(planted.glob("p0-*")), sorted(planted.glob("p1-*"))]
    with ThreadPoolExecutor(2) as both:
        sent = [
            both.submit(listening.call_as, title, "storescu", *some)
            for title, some in zip(("SCU", "OTHER"), files, strict=True)
        ]
        assert [each.result() for each in sent] == ["", ""]
    until(lambda: all(each.batch.closed_at for each in listening.room.batches()))
    assert {each.batch.source: each.counts[Outcome.STORED] for each in listening.room.batches()} == {
        "scu": 6,
        "other": 6,
    }


def test_a_sender_that_dies_in_the_middle_of_an_object_loses_no_acknowledged_one(listening, planted):
    first = pydicom.dcmread(planted / "p0-2-1")
    ae = AE("SCU")
    ae.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
    association = ae.associate("127.0.0.1", listening.port, ae_title="FILMROOM")
    assert association.send_c_store(first).Status == 0
    wrapper = association.dul.socket
    assert wrapper is not None and wrapper.socket is not None
    wrapper.socket.sendall(b"\x04\x00\x00\x10\x00\x00" + bytes(1000))
    wrapper.socket.shutdown(socket.SHUT_RDWR)
    until(lambda: listening.room.batches() and listening.room.batches()[0].batch.closed_at)
    assert listening.outcomes() == {first.SOPInstanceUID: Outcome.STORED}
    association.kill()


def send(port: int, sop_class: str, uid: str, syntax: str, data: bytes) -> int:
    """A C-STORE of these very bytes."""
    from io import BytesIO

    from pynetdicom.dimse_primitives import C_STORE

    ae = AE("SCU")
    ae.add_requested_context(sop_class, syntax)
    association = ae.associate("127.0.0.1", port, ae_title="FILMROOM")
    assert association.is_established
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class, uid
    request.DataSet = BytesIO(data)
    association._reactor_checkpoint.clear()
    while not association._is_paused:
        time.sleep(0.0001)
    context = association.accepted_contexts[0].context_id
    assert context is not None
    association.dimse.send_msg(request, context)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    association.release()
    assert isinstance(answer, C_STORE) and answer.Status is not None
    return answer.Status


@pytest.fixture
def archive(orthanc, listening: Listening):
    """An Orthanc that knows the room, and that the room knows."""
    modality = {"AET": "FILMROOM", "Host": "127.0.0.1", "Port": listening.port, "AllowNEventReport": True}
    puller = {"AET": "PULLER", "Host": "127.0.0.1", "Port": 1}
    started = orthanc(
        DicomAet="ORTHANC", DicomModalities={"room": modality, "puller": puller}, DicomAlwaysAllowGet=True
    )
    listening.add("ORTHANC", started.dimse)
    return started


def test_orthanc_pushes_to_the_room_gets_it_back_and_is_pulled_from(listening, archive, planted):
    files = sorted(planted.glob("p0-*"))
    ids = [archive("/instances", file.read_bytes())["ID"] for file in files]
    answer = archive("/modalities/room/store", json.dumps({"Resources": ids, "StorageCommitment": True}).encode())
    assert answer["FailedInstancesCount"] == 0
    until(lambda: len(listening.outcomes()) == len(files))
    transaction = answer["StorageCommitmentTransactionUID"]
    until(lambda: archive(f"/storage-commitment/{transaction}")["Status"] != "Pending")
    assert archive(f"/storage-commitment/{transaction}")["Status"] == "Success"

    more = sorted(planted.glob("p1-*"))
    listening.room.receive(more, "folder")
    study = pydicom.dcmread(more[0]).StudyInstanceUID
    listening.call(
        "movescu", "-S", "-aem", "ORTHANC", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"
    )
    assert archive("/statistics")["CountInstances"] == len(files) + len(more)

    for file in planted.glob("p2-*"):
        archive("/instances", file.read_bytes())
    endpoint = Endpoint("ORTHANC", "127.0.0.1", archive.dimse)
    wanted = Wanted(keys={"PatientID": "MRN-9035577"}, title="PULLER")
    pulled = pull(listening.ports, listening.reception, listening.network, endpoint, wanted)
    assert (pulled.complete, pulled.received, pulled.is_complete) == (2, 6, True)
    again = pull(listening.ports, listening.reception, listening.network, endpoint, wanted)
    assert (again.complete, again.received) == (2, 0)


@contextmanager
def small_archive(
    images: Sequence[Dataset], refused: Callable[[str, Dataset], int] = lambda verb, asked: 0
) -> Iterator[tuple[Endpoint, Callable[[], None]]]:
    """Another archive with these images, and how to make it go away.

    `refused` says with which status it does not do what it is asked, 0 when it does.
    """

    def find(event: evt.Event):
        asked = event.identifier
        if refused("find", asked):
            yield refused("find", asked), None
            return
        seen = set()
        for image in images:
            answer = Dataset()
            for element in asked:
                if element.keyword == "NumberOfSeriesRelatedInstances":
                    answer.NumberOfSeriesRelatedInstances = 3
                elif element.keyword in image:
                    answer[element.keyword] = image[element.keyword]
            answer.QueryRetrieveLevel = asked.QueryRetrieveLevel
            keys = ("StudyInstanceUID", "SeriesInstanceUID")
            is_asked_for = all(asked.get(key) in (None, "", image[key].value) for key in keys)
            if str(answer) not in seen and is_asked_for:
                seen.add(str(answer))
                yield 0xFF00, answer

    def get(event: evt.Event):
        wanted = event.identifier
        if refused("get", wanted):
            yield 1
            yield refused("get", wanted), None
            return
        chosen = [image for image in images if image.SeriesInstanceUID == wanted.SeriesInstanceUID]
        yield len(chosen)
        for image in chosen:
            yield 0xFF00, image

    ae = AE("BROKEN")
    for model in ("1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"):
        ae.add_supported_context(model)
    ae.add_supported_context(CTImageStorage, scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get)])
    assert server is not None
    with ExitStack() as open_door:
        open_door.callback(server.shutdown)
        yield Endpoint("BROKEN", "127.0.0.1", server.server_address[1]), open_door.close


def test_a_dead_series_or_study_stops_no_other_and_what_did_not_come_is_named(listening, planted):
    """An archive that can send one of its two series only, and cannot list those of another study; then it is repaired."""
    images = {file.name: pydicom.dcmread(file) for file in sorted(planted.glob("p[34]-*"))}
    dead, silent = images["p3-1-1"].SeriesInstanceUID, images["p4-1-1"].StudyInstanceUID
    is_broken = [True]

    def refused(verb: str, asked: Dataset) -> int:
        if not is_broken[0]:
            return 0
        if verb == "find":
            return 0xA700 if asked.QueryRetrieveLevel == "SERIES" and asked.StudyInstanceUID == silent else 0
        return 0xC001 if asked.SeriesInstanceUID == dead else 0

    with small_archive(list(images.values()), refused) as (endpoint, _):
        wanted = Wanted(keys={"PatientID": "*"})
        pulled = pull(listening.ports, listening.reception, listening.network, endpoint, wanted)
        assert (pulled.complete, pulled.failed, pulled.received) == (1, 2, 3)
        failed = {(each.study_uid, each.series_uid): each for each in pulled.series if each.state == "failed"}
        left = failed[images["p3-1-1"].StudyInstanceUID, dead]
        assert (left.expected, left.missing, left.reason) == (3, 3, "get-C001")
        assert failed[silent, ""].reason == "find-A700"
        is_broken[0] = False
        again = pull(listening.ports, listening.reception, listening.network, endpoint, wanted)
        assert (again.complete, again.received, again.is_complete) == (4, 9, True)


@dataclass
class Watch:
    """A clock that somebody sets, and that does something whenever it is looked at."""

    time: datetime = field(default_factory=lambda: datetime(2024, 1, 1, 5, 30).astimezone())
    looked: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        self.looked()
        return self.time

    def monotonic(self) -> float:
        return 0.0


def test_a_long_list_of_studies_is_not_asked_for_outside_the_window(listening, planted):
    """The morning comes after the first question; whoever waits then is let on in the evening."""
    watch, asked_at, waits = Watch(), [], []

    def refused(verb: str, asked: Dataset) -> int:
        asked_at.append(watch.time.hour)
        watch.time = watch.time.replace(hour=7)
        return 0

    def wait(seconds: float) -> None:
        waits.append(seconds)
        watch.time = watch.time.replace(hour=23)

    images = [pydicom.dcmread(file) for file in sorted(planted.glob("p[12]-*"))]
    wanted = Wanted(keys={"PatientID": "*"}, window=Window.parse("22:00-06:00"))
    with small_archive(images, refused) as (endpoint, _):
        ports = replace(listening.ports, clock=watch)
        listed = pull(ports, listening.reception, listening.network, endpoint, wanted, wait=wait)
    assert listed.is_complete and waits
    assert asked_at[:3] == [5, 23, 23]  # which studies, and the series of either


def test_an_archive_that_is_gone_ends_the_pull_with_a_word(listening, planted):
    images = [pydicom.dcmread(file) for file in sorted(planted.glob("p*-1-1"))]
    with small_archive(images) as (endpoint, go_away):
        watch = Watch()
        looks: list[int] = []

        def looked() -> None:
            looks.append(1)
            if len(looks) == 3:  # once for the studies, once for the first of five
                go_away()

        watch.looked = looked
        wanted = Wanted(keys={"PatientID": "*"}, window=Window.parse("00:00-23:59"))
        ports = replace(listening.ports, clock=watch)
        with pytest.raises(Unavailable, match="does not answer any more"):
            pull(ports, listening.reception, listening.network, endpoint, wanted)
    assert len(looks) == 5


def test_an_object_over_the_limit_is_not_pulled_and_the_others_are(listening, planted):
    images = [pydicom.dcmread(file) for file in sorted(planted.glob("p0-1-*"))]
    images[1].Rows = images[1].Columns = 1024
    images[1].PixelData = bytes(2 * 1024 * 1024)
    with small_archive(images) as (endpoint, _):
        network = replace(listening.network, max_object=2**20)
        pulled = pull(listening.ports, listening.reception, network, endpoint, Wanted(keys={"PatientID": "*"}))
    [series] = pulled.series
    assert (series.state, series.here, series.missing) == ("incomplete", 2, 1)
    assert set(listening.outcomes()) == {images[0].SOPInstanceUID, images[2].SOPInstanceUID}
    [incomplete] = listening.room.incomplete()
    assert [(reason.code, reason.detail) for reason in incomplete.lacks if reason.code == "series-short"] == [
        ("series-short", "2 of 3 announced instances of the series are here")
    ]


def retrievals(here: Listening):
    """What the audit log says of retrievals."""
    leaves = json.loads(json.dumps([line.entry for line in here.room.audit()]))
    return [leaf["outcome"] for leaf in leaves if leaf["what"].get("kind") == "retrieval"]


def test_a_retrieval_that_finds_nothing_or_reaches_nobody_is_closed_in_the_log(
    listening, planted, tmp_path, free_ports
):
    listening.room.receive(sorted(planted.glob("p0-*")), "folder")
    listening.add("GONE", *free_ports(1))
    study = pydicom.dcmread(planted / "p0-1-1").StudyInstanceUID
    call = ("-S", "-aet", "SCU", "-aec", "FILMROOM", "127.0.0.1", listening.port, "-k", "QueryRetrieveLevel=STUDY")
    listening.dcmtk("getscu", *call, "-od", tmp_path, "-k", "StudyInstanceUID=1.2.3", status=None)
    until(lambda: len(retrievals(listening)) == 2)
    listening.dcmtk("movescu", *call, "-aem", "GONE", "-k", f"StudyInstanceUID={study}", status=None)
    until(lambda: len(retrievals(listening)) == 4)
    nothing, reached = retrievals(listening)[1::2]
    assert (nothing["state"], nothing["sent"], nothing["failed"]) == ("closed", 0, 0)
    assert (reached["state"], reached["sent"], reached["failed"]) == ("closed", 0, 6)


def test_a_retrieval_by_hand_is_closed_in_the_log_when_it_fails(listening, planted):
    listening.room.receive([planted / "p0-1-1"], "folder")
    study = pydicom.dcmread(planted / "p0-1-1").StudyInstanceUID
    with pytest.raises(OSError, match="disk"), listening.room.retrieve([study], to="files"):
        raise OSError("the disk is full")
    assert [each["state"] for each in retrievals(listening)] == ["opened", "closed"]


def test_a_peer_that_wants_tls_is_not_called_in_plain_text(listening, planted):
    """Neither with objects nor with a report, which comes over the association that asked for it instead."""
    here = pydicom.dcmread(planted / "p0-1-1")
    listening.room.receive([planted / "p0-1-1"], "folder")
    with socket.create_server(("127.0.0.1", 0)) as trap:
        endpoint = Endpoint("SCU", "127.0.0.1", trap.getsockname()[1])
        listening.peers["SCU"] = Peer(title="SCU", source="scu", may=EVERYTHING, endpoint=endpoint, tls=True)
        call = ("-S", "-aet", "SCU", "-aec", "FILMROOM", "127.0.0.1", listening.port, "-k", "QueryRetrieveLevel=STUDY")
        listening.dcmtk("movescu", *call, "-aem", "SCU", "-k", f"StudyInstanceUID={here.StudyInstanceUID}", status=None)
        with commitment(listening, here.SOPInstanceUID) as reports:
            until(lambda: reports)
        trap.setblocking(False)
        with pytest.raises(BlockingIOError):
            trap.accept()
    assert reports[0][0] == 1


def test_a_request_for_commitment_is_answered_before_anything_is_looked_up(listening, planted):
    """While nobody can write down what becomes of it, the answer comes all the same, and the report later."""
    listening.room.receive([planted / "p4-1-1"], "folder")
    with ExitStack() as stack:
        with listening.ports.catalog.write():
            uid = pydicom.dcmread(planted / "p4-1-1").SOPInstanceUID
            reports = stack.enter_context(commitment(listening, uid))
            assert not reports
        until(lambda: reports)
    assert reports[0][0] == 1


def test_over_tls_only_who_has_the_authority_s_certificate_gets_in(tmp_path, planted):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")

    def openssl(*arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=tmp_path)

    for name in ("ours", "theirs"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem",
                "-subj", f"/CN={name}", "-days", 2)  # fmt: skip
    ours = Tls(certificate=tmp_path / "ours.pem", key=tmp_path / "ours.key", authority=tmp_path / "ours.pem")
    theirs = Tls(certificate=tmp_path / "theirs.pem", key=tmp_path / "theirs.key", authority=tmp_path / "ours.pem")
    with wiring.open_room(wiring.init(tmp_path / "room")) as room, Reception(room.serve("dimse")) as reception:
        door = Door(room.serve("dimse"), reception, Network(tls=ours), Endpoint("FILMROOM", "127.0.0.1", 0))
        port = door.start().port
        try:
            with socket.create_connection(("127.0.0.1", port)):  # one that never shakes hands keeps nobody out
                ae = AE("SCU")
                ae.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
                association = ae.associate(
                    "127.0.0.1",
                    port,
                    ae_title="FILMROOM",
                    tls_args=(calling(ours), None),  # type: ignore[arg-type]
                )
                assert association.is_established
                for file in sorted(planted.glob("p0-*")):
                    assert association.send_c_store(pydicom.dcmread(file)).Status == 0
                association.release()
            without = ssl.create_default_context(cafile=ours.certificate)  # it trusts the room, and shows nothing
            without.check_hostname = False
            for context, alert in ((without, "certificate required"), (calling(theirs), "unknown ca")):
                with (
                    pytest.raises(ssl.SSLError, match=f"alert {alert}"),
                    socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
                    context.wrap_socket(plain, server_hostname="room") as wrapped,
                ):
                    assert wrapped.recv(1) == b"never"
        finally:
            door.stop(grace=1)


@pytest.fixture
def make_ct_dataset(planted: Path) -> Callable[[str], Dataset]:
    def make(uid: str) -> Dataset:
        dataset = pydicom.dcmread(planted / "p0-1-1")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(uid)
        return dataset

    return make
