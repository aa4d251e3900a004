"""Plants a folder: real files become those of people who do not exist, with an answer key beside them.

The same seed, files and count give the same folder and key, byte for byte.
"""

import random
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from bench.deid import burned, places, sources, views
from bench.deid.bed import Bed
from bench.deid.key import CHANGED, EQUAL, MOVED, PRESENT, REMOVED, SHIFTED, WORDS, AnswerKey, FileKey, Kept, Plant
from bench.deid.people import CODECS, Patient, Words, patients
from bench.deid.pixels import has_more_than_pixels
from filmroom.deid import profile as profiles
from filmroom.deid.profile import Action, Rule
from filmroom.dicom.walk import FAILURES

PROFILE = "research"
ROOT = "1.2.826.0.1.3680043.9.7133"
_OLDEST = 89
_SELDOM = 0.12
_PER_FILE = 34
_BURNED = 0.6  # of the series
_IN_ONE = 0.1  # of the images of other series
_BENIGN = tuple(
    """AX T2 FLAIR|SAG T1 MPRAGE 1.0mm iso|CT CHEST W CONTRAST|XR CHEST AP PORTABLE|DWI b1000 ADC|LIVER 3 PHASE
|RT Hand PA/LAT|Localizer|Dose Report|TOF MRA Circle of Willis|Hashimoto thyroiditis follow up|Baker cyst popliteal
|Parkinson disease protocol|Cobb angle scoliosis|Murphy sign positive|Couinaud segment IV|STIR COR|Topogram 0.6 T20f
|WB PET CTAC|Thorax^01_LungLowDose (Adult)|Recon 3: LUNG|AbdPelvis 5.0 B40f|KEY IMAGES|Fleischner follow-up
|Bosniak II cyst|Le Fort II fracture|Schmorl node L4|Salter-Harris II|Chiari malformation|Ewing sarcoma
|Wilson disease liver|Crohn enterography|Meckel scan|Neck^NeckRoutine (Adult)|MAMMO SCREENING BILAT TOMO
|4.6 COLONOSCOPY (ACRIN)|Harris-Benedict|ep2d_diff_mddw_20_p2|P4^P101^S108^I0, Gated, 0.0%""".replace("\n", "").split(
        "|"
    )
)
_ISSUERS = ("IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence")
_WITH_TEXT = frozenset({"US"})
"""Modalities whose real files have text of their own in the pixels: what is blanked of it is no fault."""
_PIXEL_FORM = frozenset(
    """PhotometricInterpretation SamplesPerPixel PlanarConfiguration RedPaletteColorLookupTableDescriptor
    GreenPaletteColorLookupTableDescriptor BluePaletteColorLookupTableDescriptor""".split()
)
"""What follows from how pixels are written, and may change when some are blanked."""
_WORD = re.compile(r"[^\W_]{3,}")
_DESCRIBING = ("StudyDescription", "SeriesDescription", "ProtocolName")


def plant(folder: Path, count: int, seed: int, chosen: Sequence[Path] | None = None) -> AnswerKey:
    """Write the planted files into `folder`, and `key.json` beside it; return the key."""
    rules = profiles.load(PROFILE).rules
    people, words = patients(seed), Words(seed)
    files: list[FileKey] = []
    plants: list[Plant] = []
    owners: dict[str, Patient] = {}
    series: dict[str, list[burned.Mark]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, path in enumerate(chosen if chosen is not None else sources.choose(count)):
            dataset = sources.read(path)
            study = str(dataset.get("StudyInstanceUID") or number)
            person = owners.setdefault(study, people[len(owners) % len(people)])
            visits = [each for each, owner in owners.items() if owner is person]
            made = _make(dataset, person, words, number=number, visit=visits.index(study), seed=seed, series=series)
            if made is None:
                continue
            bed, data = made
            file = _file_key(bed, data, rules.get(str(dataset.SOPClassUID), {}))
            target = folder / bed.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            files.append(file)
            plants += [each for each in bed.plants if each.action != SHIFTED or each.attribute in file.dates]
    key = AnswerKey(seed, tuple(files), tuple(plants))
    key.write(folder.with_name(f"{folder.name}.key.json"))
    return key


def _make(
    dataset: FileDataset,
    person: Patient,
    words: Words,
    *,
    number: int,
    visit: int,
    seed: int,
    series: dict[str, list[burned.Mark]],
) -> tuple[Bed, bytes] | None:
    """Return the planted file, None where its own values cannot be written again."""
    rng = random.Random(f"file {seed} {number}")
    name = f"{person.family.replace(' ', '')}/{person.family}_{person.given.split(' ')[0]}_{person.mrn}_{number:03}.dcm"
    seen = person.study_date(visit) if visit < 4 else person.study_date(3) + timedelta(days=31 * visit)
    bed = Bed(dataset, person, words, rng, file=name, seen=seen)
    _identify(bed, number, visit)
    taken = set(_benign(bed))
    if burned.fits(dataset):
        _burn(bed, series)
    every = [place for place in places.every() if place.needs(dataset)]
    rng.shuffle(every)
    for place in [each for each in every if not each.seldom or rng.random() < _SELDOM][:_PER_FILE]:
        if place.name.removeprefix("text:") not in taken:
            place.plant(bed)
    try:
        stream = BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        data = bed.preamble + stream.getvalue()[128:]
        pydicom.dcmread(BytesIO(data)).decode()
    except FAILURES:
        return None
    return bed, data


def _burn(bed: Bed, series: dict[str, list[burned.Mark]]) -> None:
    """Burn the texts of its series into the file, or in some series other ones into some of the files."""
    uid = str(bed.dataset.SeriesInstanceUID)
    if uid not in series:
        series[uid] = burned.marks(bed) if bed.rng.random() < _BURNED else []
    chosen = series[uid]
    if not chosen and bed.rng.random() < _IN_ONE:
        chosen = burned.marks(bed)
    if chosen:
        burned.burn(bed, chosen)


def _identify(bed: Bed, number: int, visit: int) -> None:
    """Give the file its patient, study, dates and UIDs, which are plants too."""
    dataset, person = bed.dataset, bed.patient
    dataset.remove_private_tags()
    for keyword in _ISSUERS:  # one patient is one patient, whichever collection the file is of
        if keyword in dataset:
            delattr(dataset, keyword)
    _write_charset(bed)
    latin = person.name if bed.charset == person.charset else views.fold(person.name.split("=")[0]).title()
    dataset.PatientName, dataset.PatientID = latin, person.mrn
    dataset.PatientBirthDate = f"{person.born:%Y%m%d}"
    dataset.PatientAge = f"{person.years:03}Y"
    bed.note("name", "PatientName", latin, (person.family, person.native))
    bed.note("patient id", "PatientID", person.mrn, (person.mrn,))
    bed.note("birth date", "PatientBirthDate", dataset.PatientBirthDate, (), action=SHIFTED)
    if person.years > _OLDEST:
        bed.note("age above 89", "PatientAge", dataset.PatientAge, (dataset.PatientAge,))
    bed.note("file name", "", bed.file, (person.family, person.mrn))
    for keyword, days in (("StudyDate", 0), ("SeriesDate", 0), ("AcquisitionDate", 1), ("ContentDate", 1)):
        _date(bed, keyword, bed.seen + timedelta(days=days))
    if "AcquisitionDateTime" in dataset:
        dataset.AcquisitionDateTime = f"{bed.seen:%Y%m%d}101112.5"
    study = f"{ROOT}.{bed.seen:%Y%m%d}.{person.mrn}.{visit}"
    old_series = str(dataset.get("SeriesInstanceUID") or number)
    series = zlib.crc32(old_series.encode())
    uids = {
        "StudyInstanceUID": study,
        "SeriesInstanceUID": f"{study}.{series}",
        "SOPInstanceUID": f"{study}.{series}.{number + 1}",
    }
    if "FrameOfReferenceUID" in dataset:
        uids["FrameOfReferenceUID"] = f"{study}.{series}.0"
    for keyword, uid in uids.items():
        setattr(dataset, keyword, UID(uid))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    for keyword, uid in uids.items():
        bed.note(f"uid:{keyword}", keyword, uid, (uid,), action=CHANGED)


def _write_charset(bed: Bed) -> None:
    """Let the file have its patient's character set where its other texts fit into that, else Unicode."""
    dataset, wanted = bed.dataset, bed.patient.charset
    texts = " ".join(
        element.text for _, element in views.flat(dataset) if element.vr in ("PN", "LO", "SH", "LT", "ST", "UT", "UC")
    )
    try:
        texts.encode(CODECS[wanted])
    except UnicodeEncodeError:
        wanted = "ISO_IR 192"
    bed.charset = wanted
    dataset.SpecificCharacterSet = wanted.split("\\") if wanted else None
    if not wanted:
        del dataset.SpecificCharacterSet


def _date(bed: Bed, keyword: str, day: date) -> None:
    setattr(bed.dataset, keyword, f"{day:%Y%m%d}")
    bed.note(f"date:{keyword}", keyword, f"{day:%Y%m%d}", (), action=SHIFTED)


def _benign(bed: Bed) -> dict[str, str]:
    """Give the file one or two descriptors that have to survive; return them by keyword."""
    chosen = {keyword: bed.rng.choice(_BENIGN) for keyword in bed.rng.sample(_DESCRIBING, bed.rng.randrange(1, 3))}
    for keyword, text in chosen.items():
        setattr(bed.dataset, keyword, text)
    bed.benign = chosen
    return chosen


def _file_key(bed: Bed, data: bytes, rules: Mapping[int, Rule]) -> FileKey:
    dataset = pydicom.dcmread(BytesIO(data))
    elements = dict(views.flat(dataset))
    pixels = _pixels(bed)
    planted = {each.attribute for each in bed.plants if each.action in (REMOVED, CHANGED)}
    if pixels in ("none", "outside"):
        planted |= _PIXEL_FORM
    return FileKey(
        file=bed.file,
        sop_uid=str(dataset.SOPInstanceUID),
        sop_class=str(dataset.SOPClassUID),
        modality=str(dataset.Modality),
        patient=bed.patient.number,
        patient_id=bed.patient.mrn,
        uids={
            f"{path}": element.text
            for path, element in elements.items()
            if element.vr == "UI" and element.text and element.text not in UID_dictionary
        },
        dates={
            path: element.text
            for path, element in elements.items()
            if element.vr in ("DA", "DT") and len(element.text) >= 8 and element.text[:8].isdecimal()
        },
        kept=tuple(_kept(dataset, rules, planted, bed.benign, names=_names(elements.values()))),
        pixels=pixels,
    )


def _kept(
    dataset: Dataset,
    rules: Mapping[int, Rule],
    planted: set[str],
    benign: Mapping[str, str],
    *,
    names: frozenset[str],
    at: str = "",
) -> Iterator[Kept]:
    """Yield what the profile says a copy has of this data set: of sequences that it keeps, the first item."""
    for tag in sorted(dataset.keys()):
        rule, element = rules.get(int(tag)), dataset[tag]
        if rule is None or element.is_empty or element.keyword == "PixelData":
            continue
        path, text = f"{at}{rule.keyword}", views.text_of(element)
        if path in planted:
            continue
        if element.VR == "SQ" and (rule.action is not Action.KEEP or rule.keyword == "ContentSequence"):
            continue  # empty, or a tree of which items may go, so that those that stay have other numbers
        if element.VR == "SQ":
            yield from _kept(element.value[0], rules, planted, {}, names=names, at=f"{path}[0].")
        elif rule.action is Action.RETAIN and not names.isdisjoint(_WORD.findall(views.fold(text))):
            continue  # of a device, yet with a word of somebody's name in it
        elif _stays(rule, element.VR, text):
            yield Kept(attribute=path, value=text, how=EQUAL)
        elif rule.action is Action.SHIFT_DATE and text[:8].isdecimal():
            yield Kept(attribute=path, value=text, how=MOVED)
        elif rule.action in (Action.EMPTY, Action.PSEUDONYM, Action.UID):
            yield Kept(attribute=path, value="", how=PRESENT)
        elif rule.keyword in benign:
            yield Kept(attribute=path, value=benign[rule.keyword], how=WORDS)


def _names(elements: Iterable[views.Element]) -> frozenset[str]:
    """Return the words of all names of people, without case and accents."""
    texts = (views.fold(element.text) for element in elements if element.vr == "PN")
    return frozenset(word for text in texts for word in _WORD.findall(text))


def _stays(rule: Rule, vr: str, text: str) -> bool:
    """Say whether the profile keeps a value as it is: no UID that the standard does not define, no age above 89."""
    if rule.action is Action.AGE:
        return text[:3] <= f"{_OLDEST:03}"
    if vr in ("OB", "OW", "SQ") or (vr == "UI" and text not in UID_dictionary):
        return False
    return rule.action in (Action.KEEP, Action.RETAIN)


def _pixels(bed: Bed) -> str:
    if "PixelData" not in bed.dataset or bed.dataset.Modality in _WITH_TEXT:
        return "none"
    names = {each.place for each in bed.plants}
    if any(name.startswith("burned") for name in names):
        return "outside"
    hidden = any(name.startswith("pixels") for name in names) or has_more_than_pixels(bed.dataset)
    return "frames" if hidden else "bytes"
