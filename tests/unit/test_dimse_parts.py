"""The parts of the DICOM door that need no network: configuration, headers, identifiers, windows."""

import struct
from datetime import time
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pynetdicom.dsutils import decode, encode

from filmroom.catalog.query import compile_where
from filmroom.dicom.part10 import header, split
from filmroom.dimse.config import Endpoint, Network, Peer, Service, Tls, read_network
from filmroom.dimse.find import answers, question, uids
from filmroom.dimse.pull import Window, keys_of
from filmroom.dimse.send import contexts_for
from filmroom.dimse.serve import call_options, is_storage
from filmroom.errors import Invalid
from filmroom.flow.gather import IN_MEMORY
from filmroom.flow.search import Page
from filmroom.ids import Digest
from filmroom.records import InstanceState, Level, StoredInstance, Value


def received(identifier: Dataset) -> Dataset:
    """The identifier as it comes over the network: nothing of it decoded."""
    encoded = encode(identifier, False, True)
    assert encoded is not None
    return decode(BytesIO(encoded), False, True)


UID = st.from_regex(r"[0-9]{1,8}(\.[0-9]{1,8}){1,5}", fullmatch=True)


@given(st.binary(max_size=300), UID, UID, UID)
def test_a_wrapped_data_set_is_found_again_whatever_its_bytes(
    body: bytes, sop_class: str, uid: str, syntax: str
) -> None:
    body = b"\x08\x00" + body
    data = header(sop_class=sop_class, sop_uid=uid, syntax=syntax) + body
    found = split(data)
    assert data[found.start :] == body and found.syntax == syntax
    meta = pydicom.dcmread(BytesIO(data[: found.start]), force=True).file_meta
    assert meta.MediaStorageSOPInstanceUID == uid and meta.MediaStorageSOPClassUID == sop_class


@given(st.binary(max_size=400))
def test_no_bytes_break_the_search_for_a_data_set(data: bytes) -> None:
    for each in (data, bytes(128) + b"DICM" + data, bytes(128) + b"DICM\x02\x00" + data):
        assert 0 <= split(each).start <= len(each)


def test_a_room_without_a_file_lets_only_this_machine_in(tmp_path: Path) -> None:
    network = read_network(tmp_path)
    assert (
        network.admit("ANY", "127.0.0.1") and network.admit("ANY", "::1") and network.admit("ANY", "::ffff:127.0.0.1")
    )
    assert network.admit("ANY", "10.0.0.1") is None and network.admit("ANY", "") is None


def test_a_peer_may_store_only_unless_more_is_said_and_calls_from_its_own_addresses(tmp_path: Path) -> None:
    (tmp_path / "dimse.toml").write_text(
        """
        [dimse]
        max_associations = 3
        max_object_mib = 2
        [dimse.tls]
        certificate = "a.pem"
        key = "a.key"
        [dimse.peers.CT1]
        [dimse.peers.PACS]
        source = "pacs"
        may = ["store", "query", "retrieve"]
        from = ["10.0.0.5"]
        address = "10.0.0.5:104"
        """
    )
    network = read_network(tmp_path)
    assert network.peers["CT1"] == Peer(title="CT1", source="dimse:CT1")
    assert network.peers["CT1"].may == {Service.STORE}
    assert network.peers["PACS"].endpoint == Endpoint("PACS", "10.0.0.5", 104)
    assert network.tls == Tls(certificate=tmp_path / "a.pem", key=tmp_path / "a.key")
    assert (network.max_associations, network.max_object) == (3, 2 * 2**20)
    assert network.admit("PACS", "10.0.0.5") and network.admit("CT1", "10.9.9.9")
    assert network.admit("PACS", "10.0.0.6") is None and network.admit("OTHER", "127.0.0.1") is None


@pytest.mark.parametrize(
    "text",
    [
        "[dims]",
        "[dimse]\nmax_pdu = -1",
        "[dimse]\nmax_pdu = true",
        "[dimse.peers.'A\\B']",
        "[dimse.peers.A]\nmay = ['everything']",
        "[dimse.peers.A]\nfrom = ['somewhere']",
        "[dimse.peers.A]\naddress = 'nowhere'",
        "[dimse.peers.A]\nmay = 'store'",
        "[dimse.tls]\nkey = 'a'",
        "[dimse]\npeers = 1",
        "[dimse.peers.A]\naddress = '10.0.0.5:104'\ntls = true",
        "=",
    ],
)
def test_a_file_that_is_not_understood_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dimse.toml").write_text(text)
    with pytest.raises(Invalid):
        read_network(tmp_path)


@pytest.mark.parametrize("text", ["A@h:104", "A B@[::1]:11112", "a@b@host:1"])
def test_an_endpoint_is_read_and_printed_alike(text: str) -> None:
    assert str(Endpoint.parse(text)) == text


@pytest.mark.parametrize("text", ["", "A@h", "@h:1", "A@:1", "A@h:x", "A@h:99999", "SEVENTEENLETTERSX@h:1", "Ä@h:1"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Endpoint.parse(text)


@given(st.text(max_size=60), st.sampled_from(["PatientID", "StudyDate", "StudyDescription", "StudyInstanceUID"]))
def test_every_key_makes_a_condition_that_the_query_language_takes(text: str, keyword: str) -> None:
    value, tag = text.encode("utf-8", "replace"), Tag(keyword)
    head = Dataset()
    head.SpecificCharacterSet, head.QueryRetrieveLevel = "ISO_IR 192", "STUDY"
    key = struct.pack("<HH2sHL", tag.group, tag.element, b"UN", 0, len(value)) + value
    asked = question(decode(BytesIO((encode(head, False, True) or b"") + key), False, True))
    assert asked.level is Level.STUDY
    compile_where(asked.where, asked.level)


def test_what_like_cannot_say_of_several_values_is_looked_at_again_in_the_rows() -> None:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.ImageType = "AX*L"
    asked = question(received(identifier))
    rows: tuple[dict[str, Value], ...] = tuple(
        {"image_type": text, "sop_uid": "1"} for text in ("DERIVED\\AXIAL", "AX\\SAGITTAL", "AXIAL")
    )
    page = Page(level=Level.INSTANCE, rows=rows, is_last=True, series={}, instances={}, modalities={})
    assert [
        "\\".join(each.ImageType) if not isinstance(each.ImageType, str) else each.ImageType
        for each in answers(asked, page, "AE")
    ] == ["DERIVED\\AXIAL", "AXIAL"]


def test_a_name_makes_a_search_hopeless_and_an_unknown_key_incomplete() -> None:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.PatientName = "Doe*"
    assert question(received(identifier)).is_hopeless
    identifier.PatientName = "*"
    identifier.StudyTime = "1200"
    asked = question(received(identifier))
    assert not asked.is_hopeless and not asked.is_complete


@pytest.mark.parametrize("level", ["", "PATIENT", "FRAME"])
def test_other_levels_are_refused(level: str) -> None:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for ask in (question, uids):
        with pytest.raises(Invalid):
            ask(received(identifier))


def test_a_retrieval_names_its_level_s_keys() -> None:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.SOPInstanceUID = ["1.2", "1.3"]
    assert uids(received(identifier)) == (Level.INSTANCE, ["1.2", "1.3"])
    identifier.QueryRetrieveLevel = "SERIES"
    with pytest.raises(Invalid):
        uids(received(identifier))


def test_a_list_of_a_hundred_long_uids_is_read_whole_and_a_key_too_long_to_read_is_refused() -> None:
    listed = [f"1.2.3.{'9' * 50}.{number}" for number in range(100)]
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.SOPInstanceUID = listed
    assert uids(received(identifier)) == (Level.INSTANCE, listed)
    compile_where(question(received(identifier)).where, Level.INSTANCE)
    identifier.SOPInstanceUID = [f"{uid}.{more}" for uid in listed for more in range(30)]
    for read in (question, uids):
        with pytest.raises(Invalid):
            read(received(identifier))


def test_a_peer_that_wants_tls_is_never_called_without(tmp_path: Path) -> None:
    peer = Peer(title="PACS", source="pacs", tls=True)
    missing = Tls(certificate=tmp_path / "none.pem", key=tmp_path / "none.key")
    for network in (Network(), Network(tls=missing)):
        with pytest.raises(Invalid):
            call_options(network, peer)
    assert "tls_args" not in call_options(Network(), Peer(title="PACS", source="pacs"))


def test_storage_is_every_image_class_and_every_private_one_but_no_other_service() -> None:
    assert is_storage("1.2.840.10008.5.1.4.1.1.2") and is_storage("1.2.840.113619.4.27")
    assert is_storage("1.2.840.10008.5.1.4.1.1.999.1")
    for service in ("1.2.840.10008.1.1", "1.2.840.10008.5.1.4.31", "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.9.9"):
        assert not is_storage(service)


def test_a_destination_is_offered_each_syntax_apart_and_at_most_128_contexts() -> None:
    objects = [
        StoredInstance(
            digest=Digest("0" * 64),
            size_bytes=1,
            subject="s",
            study_uid="1.4",
            series_uid="1.5",
            sop_uid=f"1.3.{number}",
            sop_class=f"1.2.{number}",
            transfer_syntax="1.2.840.10008.1.2.1",
            modality="",
            state=InstanceState.CURRENT,
        )
        for number in range(100)
    ]
    contexts = contexts_for(objects)
    assert len(contexts) == 128 and all(len(context.transfer_syntax) == 1 for context in contexts)


def test_a_window_may_span_midnight() -> None:
    night = Window.parse("22:00-06:00")
    assert (
        night.is_open(time(23))
        and night.is_open(time(5, 59))
        and not night.is_open(time(6))
        and not night.is_open(time(12))
    )
    assert Window.parse("08:00-09:00").is_open(time(8, 30))
    with pytest.raises(Invalid):
        Window.parse("night")


def test_conditions_name_attributes_of_studies_and_series() -> None:
    assert keys_of(["Modality=CT", "StudyDate=20240101-"]) == {"Modality": "CT", "StudyDate": "20240101-"}
    for wrong in ("CT", "NoSuchWord=1", "SOPInstanceUID=1", "ReferencedSeriesSequence=1"):
        with pytest.raises(Invalid):
            keys_of([wrong])


def test_the_defaults_bound_what_a_stranger_can_cost() -> None:
    network = Network()
    assert network.max_associations * (IN_MEMORY + network.max_pdu) <= 2**29  # memory
    assert network.max_associations * network.max_object <= 2**35  # disk
