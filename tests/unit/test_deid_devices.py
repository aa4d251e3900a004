"""What known devices write into their pictures is blanked where it lies, and looked for all the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from filmroom.deid import devices, profile, verify
from filmroom.deid.devices import Box
from filmroom.deid.judge import Judged, judge
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom import encode
from filmroom.errors import Invalid
from filmroom.ports import Readers
from filmroom.records import Line

RESEARCH = profile.load("research")
PREFIX = "1.2.840.10008.5.1.4.1.1."
CT, US = PREFIX + "2", PREFIX + "6.1"
ROWS, COLUMNS = 608, 800
OWN = """
[[devices]]
modality = "CT"
manufacturer = ["maker", "other"]
model = "Mark"
software = "v7"
sop_class = "1.2.840.10008.5.1.4.1.1.2"
rows = 608
columns = 800
blank = [{ left = 10, top = 500, right = 30, bottom = 520 }, { left = 790, top = 600, right = 2000, bottom = 2000 }]
"""


@dataclass
class Says:
    """A reader that reads the same in every picture."""

    lines: Sequence[Line] = ()

    def read(self, picture: NDArray[np.uint8]) -> Sequence[Line]:
        return self.lines


BLIND = Readers(first=Says(), second=Says())


def picture(sop_class: str, **values: object) -> bytes:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = UID(sop_class), UID("1.2.3.4.5.6.1")
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.4.5.6.2", "1.2.3.4.5.6.3"
    ds.PatientName, ds.PatientID, ds.ImageType = "PLANTED^PAULA", "MRN-7719204", ["ORIGINAL", "PRIMARY"]
    ds.BodyPartExamined, ds.Rows, ds.Columns, ds.SamplesPerPixel = "ABDOMEN", ROWS, COLUMNS, 1
    ds.PhotometricInterpretation, ds.BitsAllocated, ds.BitsStored, ds.HighBit = "MONOCHROME2", 16, 12, 11
    ds.PixelRepresentation = 0
    pixels = np.arange(1, ROWS * COLUMNS + 1).reshape(ROWS, COLUMNS) % 4000 + 1
    ds.add_new("PixelData", "OW", pixels.astype("<u2").tobytes())
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return encode.encode(ds)


ESAOTE = picture(US, Modality="US", Manufacturer="Esaote S.p.A.", ManufacturerModelName="6100")
MARK = picture(
    CT, Modality="CT", Manufacturer="The Maker", ManufacturerModelName="MARK II", SoftwareVersions=["a", "V7"]
)


def judged(data: bytes, using: profile.Profile, readers: Readers | None = BLIND) -> Judged:
    found = judge(data, using, Pseudonyms(b"k" * 32), readers, slices=1)
    assert isinstance(found, Judged), found
    return found


def blanked(data: bytes, copy: bytes) -> NDArray[np.bool_]:
    before, after = (pydicom.dcmread(BytesIO(each)).pixel_array for each in (data, copy))
    return np.asarray(before != after)


@pytest.mark.parametrize("name", profile.shipped())
def test_the_banner_of_a_known_device_is_blanked_under_every_profile_and_nothing_else(name: str) -> None:
    made = judged(ESAOTE, profile.load(name))
    assert isinstance(made.verdict, verify.Passed)
    assert {"pixels-blanked", "pixels-read"} <= {finding.code for finding in made.verdict.findings}
    gone = blanked(ESAOTE, made.data)
    assert gone[:52, :790].mean() > 0.99
    assert not gone[52:].any() and not gone[:, 790:].any()


def test_a_site_s_own_rule_stands_in_its_profile_and_makes_a_scanner_s_slice_be_read() -> None:
    made = judged(MARK, profile.parse(RESEARCH.text + OWN))
    assert isinstance(made.verdict, verify.Passed)
    gone = np.nonzero(blanked(MARK, made.data))
    assert (gone[0].min(), gone[0].max(), gone[1].min(), gone[1].max()) == (500, ROWS - 1, 10, COLUMNS - 1)
    assert "pixels-read" in {finding.code for finding in made.verdict.findings}
    assert not blanked(MARK, judged(MARK, RESEARCH).data).any()


@pytest.mark.parametrize(
    "change",
    [
        {"Modality": "CTA"},
        {"Manufacturer": "somebody"},
        {"ManufacturerModelName": None},
        {"SoftwareVersions": "V8"},
        {"Rows": 304, "Columns": 1600},
    ],
)
def test_a_rule_fits_only_where_all_that_it_asks_for_is_there(change: dict[str, object]) -> None:
    source = pydicom.dcmread(BytesIO(MARK))
    rules = profile.parse(RESEARCH.text + OWN).devices
    assert devices.boxes(source, rules) == [Box(10, 500, 30, 520), Box(790, 600, 2000, 2000)]
    for keyword, value in change.items():
        setattr(source, keyword, value)
    assert devices.boxes(source, rules) == []


def test_a_rule_is_no_proof_the_second_reader_still_decides() -> None:
    text = Line(top=100, left=100, bottom=120, right=300, text="WARD 7", confidence=0.9)
    made = judged(ESAOTE, RESEARCH, Readers(first=Says(), second=Says([text])))
    assert isinstance(made.verdict, verify.Residue)
    assert "text-in-pixels" in {finding.code for finding in made.verdict.findings}


def test_without_readers_a_known_device_s_picture_waits_for_a_person() -> None:
    made = judged(ESAOTE, RESEARCH, readers=None)
    assert isinstance(made.verdict, verify.Residue)
    assert made.verdict.needs_eyes_only
    assert not blanked(ESAOTE, made.data).any()


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ('devices = "rules.toml"', "must be tables"),
        ("[[devices]]\nmodality = 'CT'\nblank = [{ left = 0, top = 0, right = 1, bottom = 1 }]", "a manufacturer or"),
        ("[[devices]]\nmodel = 'X'", "needs blank"),
        ("[[devices]]\nmodel = 'X'\nblank = []", "needs blank"),
        ("[[devices]]\nmodel = 'X'\nblank = [{ left = 0, top = 0, right = 1 }]", "a rectangle without"),
        ("[[devices]]\nmodel = 'X'\nblank = [{ left = 5, top = 0, right = 5, bottom = 1 }]", "without an inside"),
        ("[[devices]]\nmodel = 'X'\nblank = [{ left = -5, top = 0, right = 5, bottom = 1 }]", "number of pixels"),
        ("[[devices]]\nmodel = ''\nblank = [{ left = 0, top = 0, right = 1, bottom = 1 }]", "word"),
        ("[[devices]]\nmodel = []\nblank = [{ left = 0, top = 0, right = 1, bottom = 1 }]", "word"),
        ("[[devices]]\nname = 'X'\nblank = [{ left = 0, top = 0, right = 1, bottom = 1 }]", "no key of a device"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_by_its_number(rules: str, told: str) -> None:
    text = f"{rules}\n{RESEARCH.text}" if rules.startswith("devices") else f"{RESEARCH.text}\n{rules}"
    with pytest.raises(Invalid, match=told):
        profile.parse(text)
