"""The kinds of place where identity hides, each with how it is planted there.

The list is that of what leaked elsewhere: in the file around the data set, in plain attributes, nested, private, in
graphics, in content, in odd places, and in what surrounds the pixels.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID

from bench.deid.bed import Bed
from bench.deid.key import CHANGED, SHIFTED

LITTLE = frozenset("1.2.840.10008.1.2" + end for end in ("", ".1", ".1.99"))
NATIVE = LITTLE | {"1.2.840.10008.1.2.2"}
_CT = "1.2.840.10008.5.1.4.1.1.2"
_DESCRIPTORS = (
    "CT for {name}",
    "{name} AX T2",
    "CHEST PA - {last}",
    "Pt {last} DOB {born} fu",
    "per Dr. {doctor} {phone}",
    "MRN {mrn} comparison",
    "scan {day} at bedside",
    "seen {day}",
    "{mrn}_{last}_brain",
    "call {word} {street}",
    "HEAD {WORD} W CONTRAST",
    "{LAST} KNEE",
)
_COMMENTS = (
    "{name}, born {born}, lives at {street}, {phone}",
    "Daughter {word} can be reached at {mail}",
    "Referred by Dr. {doctor}; compare {day}",
    "Record {mrn}, accession {other}",
)
_TEXTS: dict[str, tuple[str, ...]] = {
    "StudyDescription": _DESCRIPTORS,
    "SeriesDescription": _DESCRIPTORS,
    "ProtocolName": _DESCRIPTORS,
    "DerivationDescription": _DESCRIPTORS,
    "AcquisitionProtocolDescription": _DESCRIPTORS,
    "RequestedProcedureDescription": _DESCRIPTORS,
    "PerformedProcedureStepDescription": _DESCRIPTORS,
    "ImageComments": _COMMENTS,
    "PatientComments": _COMMENTS,
    "AdditionalPatientHistory": _COMMENTS,
    "AcquisitionComments": _COMMENTS,
    "AdmittingDiagnosesDescription": ("{word} fracture, see {name}",),
    "ReasonForStudy": _COMMENTS,
    "MedicalAlerts": ("allergic, says {word}",),
    "Occupation": ("{word} maker",),
    "OtherPatientNames": ("{word}^Maria",),
    "PatientBirthName": ("{word}^Anna",),
    "PatientMotherBirthName": ("{word}^Ruth",),
    "OtherPatientIDs": ("{other}",),
    "PatientAddress": ("{street}, {word}ville",),
    "PatientTelephoneNumbers": ("{phone}",),
    "ReferringPhysicianName": ("{doctor}^Karl",),
    "OperatorsName": ("{doctor}^Uta",),
    "PerformingPhysicianName": ("{doctor}^Ida",),
    "NameOfPhysiciansReadingStudy": ("{doctor}^Otto",),
    "RequestingPhysician": ("{doctor}^Rolf",),
    "ResponsiblePerson": ("{word}^Hanna",),
    "InstitutionName": ("St {word} Hospital",),
    "InstitutionAddress": ("{word} Road 5",),
    "InstitutionalDepartmentName": ("Ward {word}",),
    "AccessionNumber": ("A{other}",),
    "StudyID": ("{other}",),
    "PerformedProcedureStepID": ("{other}",),
    "ManufacturerModelName": ("Scanner {last}",),
    "SoftwareVersions": ("for {mrn}",),
    "StationName": ("CT{mrn}",),
    "DeviceSerialNumber": ("{mrn}",),
    "RetrieveURL": ("https://pacs.example/{mrn}/{word}",),
    "TextString": ("{name}",),
    "DocumentTitle": ("Letter about {word}",),
    "ContainerIdentifier": ("{word}-1",),
    "BodyPartExamined": ("{WORD}",),
    "ScanOptions": ("{WORD}",),
    "SequenceName": ("*{word}",),
    "FilterType": ("{WORD}",),
    "ConvolutionKernel": ("{word}",),
    "ContrastBolusAgent": ("{word} given by {doctor}",),
    "Manufacturer": ("{word} Imaging",),
    "PositionReferenceIndicator": ("{word}",),
    "TransducerData": ("{WORD}",),
    "SeriesNumber": ("{mrn}",),
    "TriggerTime": ("{mrn}",),
    "ContentLabel": ("{WORD}",),
    "ContentDescription": ("{name}",),
    "ContentCreatorName": ("{doctor}^Eva",),
}
_NESTED: dict[tuple[str, ...], tuple[str, str]] = {
    ("RequestAttributesSequence",): ("RequestedProcedureDescription", "MR for {word}"),
    ("RequestAttributesSequence", "ScheduledProtocolCodeSequence"): ("CodeMeaning", "knee of {word}"),
    ("SourceImageSequence", "PurposeOfReferenceCodeSequence"): ("CodeMeaning", "{word}"),
    ("ProcedureCodeSequence",): ("CodeMeaning", "{name}"),
    ("AnatomicRegionSequence",): ("CodeValue", "{word}"),
    ("OriginalAttributesSequence", "ModifiedAttributesSequence"): ("PatientName", "{word}^Old"),
    ("OtherPatientIDsSequence",): ("PatientID", "{other}"),
    ("RequestingPhysicianIdentificationSequence",): ("PersonAddress", "{word} Street 3"),
    ("GraphicAnnotationSequence", "TextObjectSequence"): ("UnformattedTextValue", "{name} here"),
    ("GraphicLayerSequence",): ("GraphicLayerDescription", "layer of {word}"),
    ("SpecimenDescriptionSequence",): ("SpecimenShortDescription", "biopsy {word}"),
    ("EnergyWindowInformationSequence",): ("EnergyWindowName", "{word}"),
    ("DerivationImageSequence", "SourceImageSequence", "PurposeOfReferenceCodeSequence"): ("CodeMeaning", "{word}"),
}
_CONTENT: dict[str, dict[tuple[str, ...], tuple[str, str]]] = {
    "RTSTRUCT": {
        (): ("StructureSetLabel", "{word}"),
        ("StructureSetROISequence",): ("ROIName", "tumour {word}"),
        ("RTROIObservationsSequence",): ("ROIInterpreter", "{doctor}^Jan"),
    },
    "RTPLAN": {(): ("RTPlanName", "plan {name}"), ("BeamSequence",): ("BeamName", "{word}")},
    "SEG": {
        ("SegmentSequence",): ("SegmentLabel", "liver {word}"),
        ("SegmentSequence", "SegmentedPropertyTypeCodeSequence"): ("CodeMeaning", "{word}"),
    },
    "ECG": {("WaveformAnnotationSequence",): ("UnformattedTextValue", "{name} resting")},
    "SM": {(): ("BarcodeValue", "{word}"), ("OpticalPathSequence",): ("OpticalPathDescription", "{word}")},
}


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of place. `needs` says of a file whether it has such a place; `seldom` ones send a file to be looked at."""

    name: str
    plant: Callable[[Bed], None]
    needs: Callable[[Dataset], bool] = lambda dataset: True
    seldom: bool = False


def every() -> list[Place]:
    """Return all kinds of place but names, UIDs and dates, which every file has, and pixels."""
    return [*_texts(), *_nested(), *_content(), *_ODD]


def _texts() -> Iterator[Place]:
    for keyword, templates in _TEXTS.items():
        yield Place(f"text:{keyword}", _text(keyword, templates))


def _text(keyword: str, templates: tuple[str, ...]) -> Callable[[Bed], None]:
    return lambda bed: bed.put(f"text:{keyword}", keyword, bed.rng.choice(templates))


def _nested() -> Iterator[Place]:
    for path, (keyword, template) in _NESTED.items():
        yield Place(f"nested:{path[-1]}.{keyword}", _in_item(f"nested:{path[-1]}.{keyword}", path, keyword, template))


def _content() -> Iterator[Place]:
    for modality, places in _CONTENT.items():
        for path, (keyword, template) in places.items():
            name = f"content:{keyword}"
            yield Place(name, _in_item(name, path, keyword, template), _is(modality))


def _is(modality: str) -> Callable[[Dataset], bool]:
    return lambda dataset: bool(dataset.get("Modality") == modality)


def _in_item(name: str, path: tuple[str, ...], keyword: str, template: str) -> Callable[[Bed], None]:
    def plant(bed: Bed) -> None:
        item, at = bed.item(*path)
        bed.put(name, keyword, template, into=item, at=at)

    return plant


# -- around the data set -------------------------------------------------------------------------------------------


def _application_entity(bed: Bed) -> None:
    for keyword in ("SourceApplicationEntityTitle", "SendingApplicationEntityTitle"):
        bed.put(f"header:{keyword}", keyword, "AE{WORD}", into=bed.dataset.file_meta)


def _header_private(bed: Bed) -> None:
    text, forms = bed.fill("sent for {word}")
    bed.dataset.file_meta.PrivateInformationCreatorUID = UID("1.2.826.0.1.3680043.9.7133.1")
    bed.dataset.file_meta.PrivateInformation = _even(text.encode())
    bed.note("header:PrivateInformation", "PrivateInformation", text, forms)


def _preamble(bed: Bed) -> None:
    text, forms = bed.fill("exported for {word} {mrn}")
    bed.preamble = text.encode().ljust(128, b"\0")
    bed.note("header:preamble", "", text, forms)


# -- private and odd -----------------------------------------------------------------------------------------------


def _private(bed: Bed) -> None:
    creator, forms = bed.fill("{WORD} PRIVATE")
    block = bed.dataset.private_block(0x0009, creator, create=True)
    bed.note("private:creator", "(0009,0010)", creator, forms)
    for offset, vr, place, template in ((1, "LO", "text", "{word}"), (2, "UN", "unknown", "{name} {word}")):
        text, forms = bed.fill(template)
        block.add_new(offset, vr, _even(text.encode()) if vr == "UN" else text)
        bed.note(f"private:{place}", _path(block.get_tag(offset)), text, forms)
    born = f"{bed.patient.born:%Y%m%d}"
    block.add_new(5, "DA", born)
    bed.note("private:date", _path(block.get_tag(5)), born, (), action=SHIFTED)
    text, forms = bed.fill("{word} {native}")
    block.add_new(3, "OB", text.encode("utf-16-le"))
    bed.note("private:utf-16", _path(block.get_tag(3)), text, forms)
    item = Dataset()
    inner = item.private_block(0x0009, creator, create=True)
    text, forms = bed.fill("{word}^In")
    inner.add_new(1, "PN", text)
    block.add_new(4, "SQ", Sequence([item]))
    bed.note("private:name in sequence", f"{_path(block.get_tag(4))}[0].(0009,1001)", text, forms)
    study = str(bed.dataset.StudyInstanceUID)
    block.add_new(6, "LO", study)
    bed.note("private:uid", _path(block.get_tag(6)), study, (study,), action=CHANGED)


def _private_nested(bed: Bed) -> None:
    item, _ = bed.item("RequestAttributesSequence")
    text, forms = bed.fill("{word} deep")
    item.private_block(0x0029, "DEEP HEADER", create=True).add_new(1, "LT", text)
    bed.note("private:in standard sequence", "", text, forms)


def _csa(bed: Bed) -> None:
    text, forms = bed.fill("SV10\4\3\2\1{word}")
    bed.dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", _even(text.encode()))
    bed.note("private:vendor header", "", text, forms)


def _bytes_at(place: str, tag: int, vr: str, template: str) -> Callable[[Bed], None]:
    def plant(bed: Bed) -> None:
        text, forms = bed.fill(template)
        bed.dataset.add(DataElement(Tag(tag), vr, text if vr in ("LO", "LT", "SH") else _even(text.encode())))
        bed.note(place, _path(tag), text, forms)

    return plant


def _deep(bed: Bed) -> None:
    path = ("ContentSequence",) * 9
    item, at = bed.item(*path)
    bed.put("odd:nine levels down", "TextValue", "deep {word}", into=item, at=at)


def _signature(bed: Bed) -> None:
    item, at = bed.item("DigitalSignaturesSequence")
    text, forms = bed.fill("CN=Dr {doctor}, O=Clinic")
    item.CertificateOfSigner = _even(text.encode())
    item.Signature = bytes(16)
    bed.note("odd:digital signature", f"{at}.CertificateOfSigner", text, forms)


def _encrypted(bed: Bed) -> None:
    item, at = bed.item("EncryptedAttributesSequence")
    text, forms = bed.fill("not so secret {word}")
    item.EncryptedContent = _even(text.encode())
    item.EncryptedContentTransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    bed.note("odd:encrypted attributes", f"{at}.EncryptedContent", text, forms)


def _icon(bed: Bed) -> None:
    icon, at = bed.item("IconImageSequence")
    text, forms = bed.fill("{word} icon of {mrn}")
    icon.Rows, icon.Columns, icon.SamplesPerPixel, icon.PhotometricInterpretation = 8, 8, 1, "MONOCHROME2"
    icon.BitsAllocated, icon.BitsStored, icon.HighBit, icon.PixelRepresentation = 8, 8, 7, 0
    icon.add(DataElement(Tag("PixelData"), "OB", text.encode().ljust(64, b"\0")))
    bed.note("graphics:icon", f"{at}.PixelData", text, forms)


def _document(bed: Bed) -> None:
    text, forms = bed.fill("%PDF-1.4 (Discharge letter of {word})")
    bed.dataset.EncapsulatedDocument = _even(text.encode())
    bed.note("content:document", "EncapsulatedDocument", text, forms)


def _report(bed: Bed) -> None:
    content = bed.dataset.get("ContentSequence") or Sequence()
    at = f"ContentSequence[{len(content)}]"
    named, told, coded, linked = Dataset(), Dataset(), Dataset(), Dataset()
    named.ValueType, told.ValueType, coded.ValueType, linked.ValueType = "PNAME", "TEXT", "CODE", "UIDREF"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "121071", "DCM"
    for number, (item, keyword, template) in enumerate(
        ((named, "PersonName", "{doctor}^Emil"), (told, "TextValue", "Findings: {name}, {phone}"))
    ):
        item.ConceptNameCodeSequence = Sequence([code])
        path = at.replace(f"[{len(content)}]", f"[{len(content) + number}]")
        bed.put(f"content:{keyword}", keyword, template, into=item, at=path)
    inner = Dataset()
    inner.CodeValue, inner.CodingSchemeDesignator = "99123", "99LOCAL"
    bed.put(
        "content:code meaning",
        "CodeMeaning",
        "seen by {doctor}",
        into=inner,
        at=f"ContentSequence[{len(content) + 2}].ConceptCodeSequence[0]",
    )
    coded.ConceptNameCodeSequence, coded.ConceptCodeSequence = Sequence([code]), Sequence([inner])
    linked.UID = bed.dataset.SeriesInstanceUID
    bed.note(
        "content:uid",
        f"ContentSequence[{len(content) + 3}].UID",
        str(linked.UID),
        (str(linked.UID),),
        action=CHANGED,
    )
    bed.dataset.ContentSequence = Sequence([*content, named, told, coded, linked])


def _reference(bed: Bed) -> None:
    item, at = bed.item("SourceImageSequence")
    uid = f"{bed.dataset.StudyInstanceUID}.88"
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = UID(_CT), UID(uid)
    bed.note("uid:reference", f"{at}.ReferencedSOPInstanceUID", uid, (uid,), action=CHANGED)


def _uid_in_text(bed: Bed) -> None:
    uid = str(bed.dataset.SOPInstanceUID)
    bed.dataset.VisitComments = f"copy of {uid}"
    bed.note("uid:in a text", "VisitComments", uid, (uid,), action=CHANGED)


# -- around the pixels ---------------------------------------------------------------------------------------------


def is_native(dataset: Dataset, syntaxes: frozenset[str] = NATIVE) -> bool:
    return "PixelData" in dataset and str(dataset.file_meta.TransferSyntaxUID) in syntaxes


def _has_free_bits(dataset: Dataset) -> bool:
    allocated, stored, signed = (dataset.get(each) for each in ("BitsAllocated", "BitsStored", "PixelRepresentation"))
    return (
        is_native(dataset, LITTLE)
        and allocated == 16
        and stored in range(8, 16)
        and not signed
        and len(dataset.PixelData) > 1024
    )


def _high_bits(bed: Bed) -> None:
    text, forms = bed.fill("hidden {word} {mrn}")
    words = np.frombuffer(bed.dataset.PixelData, dtype="<u2").copy()
    bits = np.unpackbits(np.frombuffer(text.encode(), dtype=np.uint8), bitorder="little")
    words &= np.uint16((1 << int(bed.dataset.BitsStored)) - 1)
    words[: len(bits)] |= bits.astype("<u2") << np.uint16(15)
    bed.dataset.PixelData = words.tobytes()
    bed.note("pixels:unused bits", "", text, forms)


def _tail(bed: Bed) -> None:
    text, forms = bed.fill("after the image {word}")
    bed.dataset.PixelData += _even(text.encode())
    bed.note("pixels:behind the image", "", text, forms)


def _segment(place: str, marker: int, template: str) -> Callable[[Bed], None]:
    """Put a segment into the first frame of a JPEG or JPEG-LS image, behind its start."""

    def plant(bed: Bed) -> None:
        text, forms = bed.fill(template)
        body = text.encode()
        segment = struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
        _change_frame(bed, lambda frame: frame[:2] + segment + frame[2:])
        bed.note(place, "", text, forms)

    return plant


def _codestream_comment(bed: Bed) -> None:
    text, forms = bed.fill("made for {word} {mrn}")
    body = struct.pack(">H", 1) + text.encode()
    segment = b"\xff\x64" + struct.pack(">H", len(body) + 2) + body

    def with_comment(frame: bytes) -> bytes:
        end = 4 + struct.unpack(">H", frame[4:6])[0]
        return frame[:end] + segment + frame[end:]

    _change_frame(bed, with_comment)
    bed.note("pixels:JPEG 2000 comment", "", text, forms)


def _frame_tail(bed: Bed) -> None:
    text, forms = bed.fill("behind the end {word}")
    _change_frame(bed, lambda frame: frame + text.encode())
    bed.note("pixels:behind a frame", "", text, forms)


def _change_frame(bed: Bed, change: Callable[[bytes], bytes]) -> None:
    count = int(bed.dataset.get("NumberOfFrames") or 1)
    frames = list(generate_frames(bed.dataset.PixelData, number_of_frames=count))
    bed.dataset.PixelData = encapsulate([change(frames[0]), *frames[1:]])
    bed.dataset["PixelData"].is_undefined_length = True


def _has_frames(*ends: str) -> Callable[[Dataset], bool]:
    def needs(dataset: Dataset) -> bool:
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        return "PixelData" in dataset and any(syntax.startswith("1.2.840.10008.1.2." + end) for end in ends)

    return needs


def _path(tag: int) -> str:
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


def _even(value: bytes) -> bytes:
    return value + bytes(len(value) % 2)


_ODD = [
    Place("header:application entity", _application_entity),
    Place("header:PrivateInformation", _header_private),
    Place("header:preamble", _preamble),
    Place("private:block", _private),
    Place("private:in standard sequence", _private_nested),
    Place("private:vendor header", _csa),
    Place("odd:unknown attribute", _bytes_at("odd:unknown attribute", 0x00080F0F, "LO", "{word}")),
    Place("odd:unknown UN", _bytes_at("odd:unknown UN", 0x00189FF8, "UN", "{word} {mrn}")),
    Place("odd:trailing padding", _bytes_at("odd:trailing padding", 0xFFFCFFFC, "OB", "pad {word}")),
    Place("odd:nine levels down", _deep),
    Place("odd:digital signature", _signature),
    Place("odd:encrypted attributes", _encrypted),
    Place("graphics:curve", _bytes_at("graphics:curve", 0x50003000, "OW", "curve {word}")),
    Place("graphics:curve label", _bytes_at("graphics:curve label", 0x50002500, "LO", "{word}")),
    Place("graphics:icon", _icon),
    Place("graphics:overlay", _bytes_at("graphics:overlay", 0x60003000, "OW", "overlay {word}"), seldom=True),
    Place("graphics:overlay label", _bytes_at("graphics:overlay label", 0x60001500, "LO", "{word}"), seldom=True),
    Place("graphics:overlay comments", _bytes_at("graphics:overlay comments", 0x60004000, "LT", "{name}"), seldom=True),
    Place("content:document", _document),
    Place("content:report", _report),
    Place("uid:reference", _reference),
    Place("uid:in a text", _uid_in_text),
    Place("pixels:unused bits", _high_bits, _has_free_bits),
    Place("pixels:behind the image", _tail, is_native),
    Place(
        "pixels:JPEG comment",
        _segment("pixels:JPEG comment", 0xFE, "made for {word}"),
        _has_frames("4.5", "4.7", "4.8"),
    ),
    Place(
        "pixels:JPEG application data",
        _segment("pixels:JPEG application data", 0xE1, "Exif {word} {mrn}"),
        _has_frames("4.5", "4.7", "4.8"),
    ),
    Place("pixels:JPEG 2000 comment", _codestream_comment, _has_frames("4.9")),
    Place("pixels:behind a frame", _frame_tail, _has_frames("4.", "5")),
]
