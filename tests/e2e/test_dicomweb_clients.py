"""Other systems store, search and retrieve over DICOMweb, and a real client and a real archive are among them."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

web = pytest.importorskip("dicomweb_client.web", reason="no DICOMweb client: install dicomweb-client")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@contextmanager
def serving(filmroom) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    command = [sys.executable, "-m", "filmroom", "--room", str(filmroom.room), "serve", "--http", "127.0.0.1:0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **filmroom.environment}
    )
    try:
        assert process.stdout is not None
        word, url = process.stdout.readline().split()
        assert word == "http"
        yield url, process
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        assert said == ""
        assert process.returncode == 0


@pytest.fixture
def server(filmroom) -> Iterator[str]:
    with serving(filmroom) as (url, _):
        yield url


@pytest.fixture
def client(server: str):
    made = web.DICOMwebClient(server)
    made.set_http_retry_params(retry=False)
    return made


@pytest.fixture
def images(planted: Path) -> list[Path]:
    return sorted(planted.glob("p*"))


def body_of(*parts: bytes, kind: str = "application/dicom") -> bytes:
    return b"".join(b"--b\r\nContent-Type: %s\r\n\r\n%s\r\n" % (kind.encode(), part) for part in parts) + b"--b--\r\n"


def ask(url: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if data is not None:
        named.setdefault("Content-Type", 'multipart/related; type="application/dicom"; boundary=b')
    request = urllib.request.Request(url, data, named)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), {k.lower(): v for k, v in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read(), {k.lower(): v for k, v in error.headers.items()}


def test_what_a_client_stored_it_finds_and_gets_back_to_the_byte(filmroom, client, server: str, images) -> None:
    answer = client.store_instances([pydicom.dcmread(path) for path in images[:6]])
    assert len(answer.ReferencedSOPSequence) == 6 and "FailedSOPSequence" not in answer
    first = pydicom.dcmread(images[0])
    (study,) = client.search_for_studies(search_filters={"PatientID": first.PatientID})
    assert study["0020000D"]["Value"] == [first.StudyInstanceUID]
    assert study["00201208"]["Value"] == [6] and study["00080061"]["Value"] == ["CT"]
    assert len(client.search_for_series(first.StudyInstanceUID)) == 2
    assert len(client.search_for_instances(first.StudyInstanceUID, first.SeriesInstanceUID)) == 3
    assert len(client.search_for_instances(limit=2, offset=1)) == 2
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []
    back = client.retrieve_study(first.StudyInstanceUID)
    assert {each.SOPInstanceUID for each in back} == {pydicom.dcmread(path).SOPInstanceUID for path in images[:6]}
    assert len(client.retrieve_series(first.StudyInstanceUID, first.SeriesInstanceUID)) == 3
    path = (
        f"{server}/studies/{first.StudyInstanceUID}/series/{first.SeriesInstanceUID}/instances/{first.SOPInstanceUID}"
    )
    # the client writes files anew before it sends them, so the bytes are compared with a file sent as it is
    assert ask(f"{server}/studies", body_of(images[6].read_bytes()))[0] == 200
    other = pydicom.dcmread(images[6])
    url = f"{server}/studies/{other.StudyInstanceUID}/series/{other.SeriesInstanceUID}/instances/{other.SOPInstanceUID}"
    assert ask(url, Accept="application/dicom")[1] == images[6].read_bytes()
    assert ask(url.replace(other.StudyInstanceUID, first.StudyInstanceUID), Accept="*/*")[0] == 404
    assert (
        ask(path, Accept='multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90')[0]
        == 406
    )
    assert ask(path, Accept="text/html")[0] == 406


def test_metadata_frames_bulk_data_and_pictures_of_an_instance(filmroom, client, server: str, images) -> None:
    dataset = pydicom.dcmread(images[0])
    client.store_instances([dataset])
    uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
    described = client.retrieve_instance_metadata(*uids)
    assert described["00100010"]["Value"] == [{"Alphabetic": str(dataset.PatientName)}]
    assert len(client.retrieve_study_metadata(uids[0])) == 1
    # the client leaves the port out of its Host header, so the room cannot know its own address from it
    bulk = server + urlsplit(described["7FE00010"]["BulkDataURI"]).path
    assert client.retrieve_bulkdata(bulk) == [dataset.PixelData]
    assert client.retrieve_instance_frames(*uids, frame_numbers=[1]) == [dataset.PixelData]
    path = f"{server}/studies/{uids[0]}/series/{uids[1]}/instances/{uids[2]}"
    assert ask(f"{path}/frames/1", Accept="application/octet-stream")[1] == dataset.PixelData
    assert ask(f"{path}/frames/2")[0] == 404
    assert ask(f"{path}/frames/none")[0] == 400
    assert client.retrieve_instance_rendered(*uids, media_types=("image/png",))[:4] == b"\x89PNG"
    assert ask(f"{path}/rendered")[1][:2] == b"\xff\xd8"
    assert ask(f"{path}/thumbnail", Accept="image/jpeg")[2]["content-type"] == "image/jpeg"
    assert ask(f"{path}/rendered?window=100,0")[0] == 400
    assert ask(f"{path}/bulkdata/00100010")[0] == 404


NATIVE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def parts_of(body: bytes, headers: dict[str, str]) -> list[tuple[str, bytes]]:
    """The parts of a multipart body: what each says of itself, and its content."""
    boundary = headers["content-type"].rpartition("boundary=")[2].encode()
    pieces = body.split(b"--" + boundary)
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n"
    found = (piece.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n") for piece in pieces[1:-1])
    return [(head.decode(), content) for head, _, content in found]


def test_what_is_found_and_described_comes_as_xml_too(filmroom, client, server: str, images) -> None:
    """The same values as in JSON, a part for each; and the answer to what was stored is one document."""
    status, text, headers = ask(
        f"{server}/studies", body_of(*(path.read_bytes() for path in images[:3])), Accept="application/dicom+xml"
    )
    assert (status, headers["content-type"]) == (200, "application/dicom+xml")
    assert text.count(b'keyword="ReferencedSOPInstanceUID"') == 3
    first = pydicom.dcmread(images[0])
    series = f"{server}/studies/{first.StudyInstanceUID}/series/{first.SeriesInstanceUID}"
    xml = 'multipart/related; type="application/dicom+xml"'
    for url in (f"{series}/metadata", f"{series}/instances"):
        status, text, headers = ask(url, Accept=xml)
        assert status == 200 and headers["content-type"].startswith(xml)
        parts = parts_of(text, headers)
        assert {head for head, _ in parts} == {"Content-Type: application/dicom+xml"}
        listed = json.loads(ask(url)[1])
        assert len(parts) == len(listed) == 3
        for (_, document), described in zip(parts, listed, strict=True):
            roots = ElementTree.fromstring(document)
            tags = {each.attrib["tag"] for each in roots if "privateCreator" not in each.attrib}
            assert tags <= described.keys() and len(roots) == len(described)
            uid = roots.find(f"{NATIVE}DicomAttribute[@keyword='SOPInstanceUID']/{NATIVE}Value")
            assert uid is not None and [uid.text] == described["00080018"]["Value"]
    assert ask(f"{server}/studies?PatientID=nobody", Accept=xml)[0] == 204


def test_what_nobody_can_give_is_not_acceptable(filmroom, client, server: str, images) -> None:
    dataset = pydicom.dcmread(images[0])
    client.store_instances([dataset])
    study = f"{server}/studies/{dataset.StudyInstanceUID}"
    for kind in ("text/html", "application/dicom+xml", 'multipart/related; type="application/dicom+json"'):
        for url in (f"{server}/studies", f"{study}/metadata"):
            status, text, _ = ask(url, Accept=kind)
            assert status == 406 and "dicom+xml" in json.loads(text)["error"]["next"], (kind, url)
    for kind in ("*/*", "application/json", "application/*", f"text/html, {'application/dicom+json'}; q=0.1"):
        assert ask(f"{study}/metadata", Accept=kind)[2]["content-type"] == "application/dicom+json", kind
    assert ask(f"{server}/studies", body_of(images[0].read_bytes()), Accept='multipart/related; type="x/y"')[0] == 406


def test_a_download_that_broke_off_goes_on(filmroom, client, server: str, images) -> None:
    whole = images[0].read_bytes()
    assert ask(f"{server}/studies", body_of(whole))[0] == 200
    dataset = pydicom.dcmread(images[0])
    uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
    path = f"{server}/studies/{uids[0]}/series/{uids[1]}/instances/{uids[2]}"
    status, begun, headers = ask(path, Range="bytes=0-999", Accept="application/dicom")
    assert (status, begun, headers["content-range"]) == (206, whole[:1000], f"bytes 0-999/{len(whole)}")
    tag = headers["etag"]
    status, rest, headers = ask(path, Range="bytes=1000-", If_Range=tag, Accept="application/dicom")
    assert (status, begun + rest, headers["content-length"]) == (206, whole, str(len(rest)))
    assert ask(path, Range="bytes=1000-", If_Range='"another"', Accept="application/dicom")[:2] == (200, whole)
    status, _, headers = ask(path, Range=f"bytes={len(whole)}-", Accept="application/dicom")
    assert (status, headers["content-range"]) == (416, f"bytes */{len(whole)}")
    status, text, headers = ask(path, Range="bytes=0-9")
    assert status == 200 and parts_of(text, headers)[0][1] == whole

    pixels = dataset.PixelData
    for value in ("frames/1", "bulkdata/7FE00010"):
        status, text, headers = ask(f"{path}/{value}", Range="bytes=-100", Accept="application/octet-stream")
        assert (status, text) == (206, pixels[-100:]), value
        assert headers["accept-ranges"] == "bytes"
    assert client.retrieve_bulkdata(f"{path}/bulkdata/7FE00010", byte_range=(10, 19)) == [pixels[10:20]]
    status, text, headers = ask(f"{path}/bulkdata/7FE00010", Range="bytes=10-19")
    [(head, content)] = parts_of(text, headers)
    assert status == 206 and f"Content-Range: bytes 10-19/{len(pixels)}" in head and content == pixels[10:20]


def test_of_an_object_no_more_is_read_than_what_holds_the_part(filmroom, server: str, images) -> None:
    """A damaged end is no harm to the beginning, and is found by whoever asks for it."""
    dataset = pydicom.dcmread(images[0])
    dataset.Rows = dataset.Columns = 256
    dataset.PixelData = bytes(256 * 256 * 2)
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    assert ask(f"{server}/studies", body_of(out.getvalue()))[0] == 200
    [sealed] = (file for file in (filmroom.room / "zones").rglob("*") if file.is_file())
    data = bytearray(sealed.read_bytes())
    data[-1] ^= 1
    sealed.write_bytes(data)
    path = f"{server}/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"
    assert ask(path, Range="bytes=20000-39999", Accept="application/dicom")[:2] == (206, out.getvalue()[20000:40000])
    for wanted in ("bytes=-10", "bytes=0-"):
        status, text, _ = ask(path, Range=wanted, Accept="application/dicom")
        assert (status, json.loads(text)["error"]["code"]) == (500, "corrupt")


def test_each_door_is_opened_for_itself(filmroom) -> None:
    doors = ("--http", "127.0.0.1:0", "--dimse", "FILMROOM@127.0.0.1:0")
    command = [sys.executable, "-m", "filmroom", "--room", str(filmroom.room), "serve", *doors]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert {process.stdout.readline().split()[0] for _ in doors[::2]} == {"http", "dimse"}
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    log = filmroom("audit", "show", "--json").json
    assert {each["what"]["id"] for each in log if each["verb"] == "serve"} == {"http", "dimse"}


def test_whoever_asks_for_what_cannot_be_given_is_in_the_log_as_sent_nothing(filmroom, client, server: str, images):
    dataset = pydicom.dcmread(images[0])
    client.store_instances([dataset])
    path = f"{server}/studies/{dataset.StudyInstanceUID}"
    lossy = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90'
    assert ask(path, Accept=lossy)[0] == 406
    assert ask(path)[0] == 200
    log = filmroom("audit", "show", "--json").json
    outcomes = [each["outcome"] for each in log if each["verb"] == "retrieve"]
    assert [each["state"] for each in outcomes] == ["opened", "closed", "opened", "closed"]
    assert [(each["sent"], each["failed"]) for each in outcomes[1::2]] == [(0, 1), (1, 0)]


def test_compressed_frames_go_out_as_stored_or_decoded(filmroom, server: str, pydicom_files: Path) -> None:
    file = pydicom_files / "test_files" / "JPEG2000.dcm"
    dataset = pydicom.dcmread(file)
    assert ask(f"{server}/studies", body_of(file.read_bytes()))[0] in (200, 202)
    path = f"{server}/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"
    status, stored, headers = ask(f"{path}/frames/1", Accept="image/jp2")
    assert (status, headers["content-type"]) == (200, "image/jp2")
    assert stored == next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    status, decoded, headers = ask(f"{path}/frames/1", Accept="application/octet-stream")
    assert (status, len(decoded)) == (200, dataset.Rows * dataset.Columns * 2)
    little = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1'
    assert ask(path, Accept=little)[0] == 406
    assert ask(path, Accept=little.partition("; transfer")[0])[0] == 200


def test_every_part_gets_its_answer(filmroom, server: str, images, planted: Path) -> None:
    whole, changed = images[0].read_bytes(), bytearray(images[0].read_bytes())
    changed[-1] ^= 1
    assert ask(f"{server}/studies", body_of(whole))[0] == 200
    status, text, headers = ask(
        f"{server}/studies",
        body_of(whole, bytes(changed), (planted / "cut-short").read_bytes(), b"not an image", images[1].read_bytes()),
    )
    answer = json.loads(text)
    assert (status, headers["content-type"]) == (202, "application/dicom+json")
    assert len(answer["00081199"]["Value"]) == 3
    assert [each["00081196"]["Value"] for each in answer["00081199"]["Value"] if "00081196" in each] == [[0xB000]]
    assert [each["00081197"]["Value"] for each in answer["00081198"]["Value"]] == [[0xC000]]
    assert [each["00081197"]["Value"] for each in answer["0008119A"]["Value"]] == [[0xC000]]
    other = pydicom.dcmread(images[-1])
    status, text, _ = ask(f"{server}/studies/{other.StudyInstanceUID}", body_of(whole))
    assert (status, json.loads(text)["00081198"]["Value"][0]["00081197"]["Value"]) == (409, [0xA901])
    assert ask(f"{server}/studies", whole, Content_Type="application/dicom")[0] == 200
    totals = filmroom("batches", "--json").json
    assert sum(each["stored"] for each in totals) == 2
    assert sum(each["conflict"] for each in totals) == 1
    assert sum(each["quarantined"] for each in totals) == 1


HOSTILE = [
    (b"", 'multipart/related; type="application/dicom"; boundary=b', 400),
    (b"--b--", 'multipart/related; type="application/dicom"; boundary=b', 400),
    (b"--b\r\n" + b"A" * 100_000, 'multipart/related; type="application/dicom"; boundary=b', 400),
    (b"x" * 100_000, 'multipart/related; type="application/dicom"; boundary=b', 400),
    (b"--b\r\n\r\nDICM", 'multipart/related; type="application/dicom"; boundary=b', 400),
    (body_of(b"x"), 'multipart/related; type="application/dicom"', 400),
    (body_of(b"x"), 'multipart/related; type="application/dicom"; boundary="b', 400),
    (body_of(b"x"), 'multipart/related; type="application/dicom+json"; boundary=b', 415),
    (body_of(b"x"), "text/plain", 415),
    (body_of(b"x", kind="text/plain"), 'multipart/related; type="application/dicom"; boundary=b', 409),
]


def test_a_hostile_body_is_refused_in_words(filmroom, server: str) -> None:
    for data, kind, status in HOSTILE:
        found, text, _ = ask(f"{server}/studies", data, Content_Type=kind)
        assert found == status, (data[:40], kind)
        assert "error" in json.loads(text) or status == 409


def test_wrong_questions_are_refused_and_not_repeated(filmroom, server: str) -> None:
    for path, status in (
        ("studies?PatientName=Secret", 400),
        ("studies?Secret=1", 400),
        ("studies?limit=Secret", 400),
        ("studies/1.2.3", 404),
        ("nothing", 404),
        ("studies?PatientID=Secret", 204),
    ):
        found, text, _ = ask(f"{server}/{path}")
        assert found == status, path
        assert b"Secret" not in text
        assert not text or set(json.loads(text)["error"]) == {"code", "what", "next"}
    assert ask(f"{server}/studies?fuzzymatching=true")[2]["warning"].startswith("299 ")
    assert ask(f"{server}/healthz")[0] == ask(f"{server}/readyz")[0] == 200


def test_a_page_that_points_its_own_name_here_reads_nothing(filmroom, server: str) -> None:
    assert ask(f"{server}/studies", Host="rebound.example")[0] == 400
    assert ask(f"{server}/studies", Host="localhost:1")[0] in (200, 204)


def test_a_sender_that_breaks_off_leaves_what_came_whole(filmroom, server: str, images) -> None:
    where = urlsplit(server)
    connection = http.client.HTTPConnection(str(where.hostname), where.port)
    connection.putrequest("POST", "/studies")
    connection.putheader("Content-Type", 'multipart/related; type="application/dicom"; boundary=b')
    connection.putheader("Content-Length", "10000000")
    connection.endheaders()
    connection.send(body_of(images[0].read_bytes(), images[1].read_bytes())[:-5000])
    connection.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        batches = filmroom("batches", "--json").json
        if batches and batches[0]["closed_at"]:
            break
        time.sleep(0.2)
    assert (batches[0]["stored"], bool(batches[0]["closed_at"])) == (1, True)


def test_an_address_that_others_reach_needs_to_be_asked_for(filmroom) -> None:
    ran = filmroom("serve", "--http", "0.0.0.0:0", status=2)
    assert "--insecure-open" in ran.stderr


def test_objects_come_out_as_files_and_every_act_is_in_the_log(filmroom, client, images, tmp_path: Path) -> None:
    client.store_instances([pydicom.dcmread(images[0])])
    study = pydicom.dcmread(images[0]).StudyInstanceUID
    client.retrieve_study(study)
    assert filmroom("retrieve", study, "--out", tmp_path / "out", "--json").json["written"] == 1
    (file,) = (tmp_path / "out").iterdir()
    assert pydicom.dcmread(file).PatientID == pydicom.dcmread(images[0]).PatientID
    verbs = [
        each["event"]["verb"] if "event" in each else each["verb"] for each in filmroom("audit", "show", "--json").json
    ]
    assert verbs.count("retrieve") == 4 and "serve" in verbs and "import" in verbs
    filmroom("audit", "verify")
    filmroom("doctor")


@pytest.mark.slow
def test_a_long_request_needs_no_more_memory_than_a_short_one(filmroom, images) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("the system does not say how much memory a process had at most")
    dataset = pydicom.dcmread(images[0])
    dataset.Rows = dataset.Columns = 1024
    dataset.PixelData = np.zeros((1024, 1024), "<u2").tobytes()

    def parts(count: int, start: int) -> Iterator[bytes]:
        for number in range(start, start + count):
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}")
            out = BytesIO()
            dataset.save_as(out, enforce_file_format=True)
            yield b"--b\r\nContent-Type: application/dicom\r\n\r\n" + out.getvalue() + b"\r\n"
        yield b"--b--\r\n"

    with serving(filmroom) as (url, process):
        where = urlsplit(url)

        def peak(count: int, start: int) -> int:
            connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=120)
            kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
            connection.request("POST", "/studies", parts(count, start), kind, encode_chunked=True)
            answer = connection.getresponse()
            assert answer.status == 200
            assert len(json.loads(answer.read())["00081199"]["Value"]) == count
            connection.close()
            status = Path(f"/proc/{process.pid}/status").read_text()
            return int(status.partition("VmHWM:")[2].split()[0]) * 1024

        short = peak(40, 0)
        long = peak(140, 1000)
    assert long - short < 80 * 2**20


def test_orthanc_pushes_to_the_room_and_pulls_from_it(filmroom, server: str, orthanc, images) -> None:
    if not PLUGIN.exists():
        pytest.skip("Orthanc's DICOMweb plugin is not installed (Debian: orthanc-dicomweb)")
    servers = {"room": {"Url": f"{server}/", "HasDelete": False}}
    peer = orthanc(Plugins=[str(PLUGIN)], DicomWeb={"Enable": True, "Servers": servers}).url
    for path in images[:6]:
        assert ask(f"{peer}/instances", path.read_bytes(), Content_Type="application/dicom")[0] == 200
    (study,) = json.loads(ask(f"{peer}/studies")[1])
    pushed = json.dumps({"Resources": [study], "Synchronous": True}).encode()
    status, text, _ = ask(f"{peer}/dicom-web/servers/room/stow", pushed, Content_Type="application/json")
    assert status == 200, text
    assert filmroom("query", "--level", "instance", "--json").json["count"] == 6
    request = urllib.request.Request(f"{peer}/studies/{study}", method="DELETE")
    urllib.request.urlopen(request, timeout=20).close()
    pulled = json.dumps(
        {"Resources": [{"Study": pydicom.dcmread(images[0]).StudyInstanceUID}], "Synchronous": True}
    ).encode()
    status, text, _ = ask(f"{peer}/dicom-web/servers/room/retrieve", pulled, Content_Type="application/json")
    assert status == 200, text
    assert len(json.loads(ask(f"{peer}/instances")[1])) == 6
