"""Every object gets exactly one decision, from its bytes and from what is here, and a quarantined one keeps its reasons."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filmroom.ids import Digest
from filmroom.ingest.accept import accept
from filmroom.ingest.sniff import kind
from filmroom.ingest.sources import arrivals
from filmroom.records import Accepted, Decision, Duplicate, Ignored, Quarantined

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "dicom"
TINY = (VECTORS / "ct_tiny.dcm").read_bytes()
CUT = (VECTORS / "cut_in_pixels.dcm").read_bytes()


def decide(data: bytes, *, is_here: bool = False) -> Decision:
    return accept(data, Digest.of(data), is_here=is_here)


def test_a_new_instance_is_accepted() -> None:
    decision = decide(TINY)
    assert isinstance(decision, Accepted)
    assert decision.instance.sop_uid == "2.25.1001"


@pytest.mark.parametrize("data", [TINY, CUT])
def test_bytes_that_are_here_already_are_a_duplicate_whatever_they_are(data: bytes) -> None:
    assert decide(data, is_here=True) == Duplicate(Digest.of(data))


def test_what_is_cut_short_is_quarantined_with_what_could_be_read() -> None:
    decision = decide(CUT)
    assert isinstance(decision, Quarantined)
    assert [reason.detail for reason in decision.reasons] == ["ends in the middle of Pixel Data: 100 of 128 bytes"]
    assert decision.instance is not None


def test_every_reason_is_told() -> None:
    broken = (VECTORS / "no_study_uid.dcm").read_bytes()[:-28]
    decision = decide(broken)
    assert isinstance(decision, Quarantined)
    assert {reason.code for reason in decision.reasons} == {"truncated", "uid-missing"}
    assert decision.instance is None


KINDS = {
    "empty": b"",
    "text": "Liebe Grüße\n".encode(),
    "zip": b"PK\x03\x04" + bytes(30),
    "gzip": b"\x1f\x8b\x08" + bytes(30),
    "tar": bytes(257) + b"ustar\x0000" + bytes(250),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(30),
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(30),
    "tiff": b"II*\x00" + bytes(30),
    "pdf": b"%PDF-1.7\n\x00",
    "nrrd": b"NRRD0004\n",
    "nifti": b"\x5c\x01\x00\x00" + bytes(340) + b"n+1\x00",
    "unknown": b"\x00\x01\x02\x03\x04",
}


@pytest.mark.parametrize("what", KINDS)
def test_what_is_not_dicom_is_ignored_and_named(what: str) -> None:
    assert kind(KINDS[what]) == what
    decision = decide(KINDS[what])
    assert isinstance(decision, Ignored)
    assert decision.reason.code == f"not-dicom:{what}"


def test_a_text_cut_within_a_character_is_still_text() -> None:
    assert kind(("ü" * 5000).encode()[:4097]) == "text"


@settings(deadline=None)
@given(st.binary(max_size=800))
def test_noise_is_ignored_or_quarantined_never_accepted(data: bytes) -> None:
    assert isinstance(decide(data), Ignored | Quarantined)


def _decisions(folder: Path) -> dict[str, Decision]:
    seen: dict[str, Decision] = {}
    for arrival in arrivals([folder]):
        assert arrival.data is not None, arrival
        seen[arrival.name] = decide(arrival.data)
    return seen


def test_on_pydicoms_samples_the_sound_are_accepted_and_the_cut_quarantined(pydicom_files: Path) -> None:
    seen = {Path(name).name: decision for name, decision in _decisions(pydicom_files / "test_files").items()}
    sound = [
        "CT_small.dcm",
        "MR_small.dcm",
        "MR_small_bigendian.dcm",
        "JPEG2000.dcm",
        "JPGExtended.dcm",
        "rtstruct.dcm",
    ]
    assert {name: type(seen[name]).__name__ for name in sound} == dict.fromkeys(sound, "Accepted")
    for name in ("MR_truncated.dcm", "rtplan_truncated.dcm"):
        decision = seen[name]
        assert isinstance(decision, Quarantined)
        assert "truncated" in {reason.code for reason in decision.reasons}
    dicomdir = seen["DICOMDIR"]
    assert isinstance(dicomdir, Ignored)
    assert dicomdir.reason.code == "dicomdir"


def test_on_the_corpus_every_file_gets_one_decision(corpus: Path) -> None:
    counts = Counter(type(decision).__name__ for decision in _decisions(corpus).values())
    assert sum(counts.values()) == sum(1 for path in corpus.rglob("*") if path.is_file())
    assert counts["Accepted"] > 600
    assert counts["Quarantined"] > 50
    assert counts["Ignored"] > 50
