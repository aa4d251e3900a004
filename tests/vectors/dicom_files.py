"""Write the small DICOM files in `dicom/`, each named after its flaw: `python tests/vectors/dicom_files.py`.

Everything in them is invented. `ct_tiny.dcm` is sound; the others are that file with one thing wrong.
"""

import struct
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from filmroom.dicom.encode import encode

FOLDER = Path(__file__).parent / "dicom"
ITEM, ITEM_END, SEQUENCE_END = (struct.pack("<HHL", 0xFFFE, element, 0) for element in (0xE000, 0xE00D, 0xE0DD))


def sound(syntax: str = "1.2.840.10008.1.2.1") -> Dataset:
    """An 8 x 8 CT slice of one patient who never lived."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.SOPInstanceUID = "2.25.1001"
    dataset.StudyInstanceUID = "2.25.1"
    dataset.SeriesInstanceUID = "2.25.10"
    dataset.StudyDate = "20240229"
    dataset.Modality = "CT"
    dataset.Manufacturer = "Müller & Söhne"
    dataset.PatientName = "Nobody^Nora"
    dataset.PatientID = "TEST-1"
    dataset.PatientSex = "F"
    dataset.PatientAge = "018M"
    dataset.BodyPartExamined = "Chest"
    dataset.SliceThickness = "1.25"
    dataset.InstanceNumber = "7"
    dataset.PixelSpacing = ["0.5", "0.5"]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = 8, 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 1
    dataset.add_new("PixelData", "OW", struct.pack("<64h", *range(-32, 32)))
    return dataset


def compressed(fragments: list[bytes], frames: int) -> bytes:
    dataset = sound("1.2.840.10008.1.2.4.90")
    dataset.NumberOfFrames = str(frames)
    dataset.add_new(
        "PixelData", "OB", encapsulate(fragments, has_bot=False) if fragments else b"\xfe\xff\x00\xe0\0\0\0\0"
    )
    return encode(dataset)


def short_pixels() -> bytes:
    dataset = sound()
    dataset.add_new("PixelData", "OW", bytes(100))
    return encode(dataset)


def no_study() -> bytes:
    dataset = sound()
    del dataset.StudyInstanceUID
    return encode(dataset)


def no_rows() -> bytes:
    dataset = sound()
    dataset.Rows = 0
    return encode(dataset)


def nested(depth: int) -> bytes:
    """Content Sequences in each other, appended behind the pixel data in a private group of their own."""
    head = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + ITEM[:4] + b"\xff" * 4
    data = encode(sound())
    at = data.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    return data[:at] + head * depth + (ITEM_END + SEQUENCE_END) * depth + data[at:]


def main() -> None:
    plain = encode(sound())
    pixels = plain.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    files = {
        "ct_tiny": plain,
        "cut_in_pixels": plain[:-28],
        "length_of_4_gib": plain[: pixels + 8] + struct.pack("<L", 0xFFFFFFFE) + plain[pixels + 12 :],
        "header_names_another_instance": plain.replace(b"2.25.1001", b"2.25.1002", 1),
        "declared_implicit_is_explicit": plain.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0", 1),
        "declared_jpeg_is_native": plain.replace(
            b"\x10\0UI\x14\x001.2.840.10008.1.2.1\0", b"\x10\0UI\x16\x001.2.840.10008.1.2.4.50", 1
        ),
        "declared_jpeg_2000_is_jpeg": compressed([b"\xff\xd8\xff\xe0" + bytes(60)], 1),
        "pixels_too_short": short_pixels(),
        "no_fragments": compressed([], 1),
        "two_fragments_for_three_frames": compressed([b"\xff\x4f\xff\x51" + bytes(60)] * 2, 3),
        "no_study_uid": no_study(),
        "no_rows": no_rows(),
        "nested_100_deep": nested(100),
        "preamble_of_a_program": b"MZ" + plain[2:],
        "preamble_of_a_tiff": b"II*\0" + plain[4:],
    }
    FOLDER.mkdir(exist_ok=True)
    for name, data in files.items():
        (FOLDER / f"{name}.dcm").write_bytes(data)


if __name__ == "__main__":
    main()
