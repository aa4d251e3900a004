"""FHIR R4 bundles: what reports say of studies in codes, and what else is told of patients in codes and numbers.

A report finds its study by the Study Instance UID of its ImagingStudy, in the bundle or as the reference's identifier. Text is
not read. Sources: hl7.org/fhir/R4 DiagnosticReport, ImagingStudy, Observation, references; PS3.16 Table 8-1.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, TypedDict

from filmroom.canon import Json
from filmroom.errors import Invalid
from filmroom.records import PRESENT, FactKind, Level, Statement, Told, Unmatched

SCHEMES = {
    "http://snomed.info/sct": "SCT",
    "http://loinc.org": "LN",
    "http://radlex.org": "RADLEX",
    "http://www.radlex.org": "RADLEX",
    "http://dicom.nema.org/resources/ontology/DCM": "DCM",
    "http://hl7.org/fhir/sid/icd-9-cm": "I9C",
    "http://hl7.org/fhir/sid/icd-10": "I10",
    "http://hl7.org/fhir/sid/icd-10-cm": "I10C",
    "http://terminology.hl7.org/CodeSystem/icd-o-3": "ICDO3",
}
"""Coding scheme designators of DICOM by the system that FHIR calls them by."""

_FINAL = frozenset({"final", "amended", "corrected", "appended"})
_VOID = frozenset({"entered-in-error", "cancelled"})

_Object: TypeAlias = Mapping[str, Json]


def read(document: _Object) -> list[Statement | Unmatched]:
    """Return what a bundle's reports say; places count the bundle's entries from 1. Raises Invalid for what is none."""
    there, resources = _bundle(document)
    found: list[Statement | Unmatched] = []
    for number, entry in enumerate(there, start=1):
        report = _object(entry.get("resource"))
        if report.get("resourceType") == "DiagnosticReport":
            found += _of_report(report, resources, f"entry {number}")
    return found or [Unmatched("bundle", "no-report")]


def read_facts(document: _Object) -> list[Told | Unmatched]:
    """Return the results and conditions of a bundle's patients, with places as `read` has them. Raises Invalid."""
    found: list[Told | Unmatched] = []
    there, resources = _bundle(document)
    for number, entry in enumerate(there, start=1):
        resource, place = _object(entry.get("resource")), f"entry {number}"
        match resource.get("resourceType"):
            case "Observation":
                found.append(_result(resource, resources, place))
            case "Condition":
                found.append(_condition(resource, resources, place))
            case "DiagnosticReport":
                found.append(Unmatched(place, "text-not-kept"))
            case _:
                continue  # patients and whoever else the others refer to
    return found


def _result(observation: _Object, resources: Mapping[str, _Object], place: str) -> Told | Unmatched:
    status = observation.get("status")
    if status not in _FINAL | _VOID:
        return Unmatched(place, "not-final")
    value, unit = _value(observation)
    if not value and observation.get("valueString"):
        return Unmatched(place, "text-not-kept")
    code, meaning = _coded(_object(observation.get("code")))
    period = _object(observation.get("effectivePeriod"))
    return Told(
        place=place,
        **_whose(observation, resources),
        kind=FactKind.RESULT,
        code=code or "",
        value=None if status in _VOID else value,
        unit=unit,
        meaning=meaning,
        at=_text(observation.get("effectiveDateTime") or period.get("start") or observation.get("issued")),
    )


def _condition(condition: _Object, resources: Mapping[str, _Object], place: str) -> Told | Unmatched:
    verified = {_text(each.get("code")) for each in _list(_object(condition.get("verificationStatus")).get("coding"))}
    if verified & {"unconfirmed", "provisional", "differential"}:
        return Unmatched(place, "not-final")
    code, meaning = _coded(_object(condition.get("code")))
    return Told(
        place=place,
        **_whose(condition, resources),
        kind=FactKind.CODE,
        code=code or "",
        value=None if verified & {"refuted", "entered-in-error"} else PRESENT,
        meaning=meaning,
        at=_text(condition.get("onsetDateTime") or condition.get("recordedDate")),
    )


class _Whose(TypedDict):
    patient_id: str
    issuer: str | None
    name: str


def _whose(resource: _Object, resources: Mapping[str, _Object]) -> _Whose:
    """Return the patient's medical record number, or first identifier, and what the resource is called."""
    subject = _object(resource.get("subject"))
    numbers = [_object(subject.get("identifier")), *_list(_resolved(subject, resources).get("identifier"))]
    numbers = [each for each in numbers if each.get("value")]
    record = [
        each
        for each in numbers
        if "MR" in {_text(c.get("code")) for c in _list(_object(each.get("type")).get("coding"))}
    ]
    number = next(iter(record or numbers), {})
    called = _text(resource.get("id"))
    return {
        "patient_id": _text(number.get("value")),
        "issuer": _text(_object(number.get("assigner")).get("display")) or None,
        "name": f"{resource.get('resourceType')}/{called}" if called else "",
    }


def _bundle(document: _Object) -> tuple[list[_Object], dict[str, _Object]]:
    """Return a bundle's entries, and its resources by what they may be referred to. Raises Invalid for what is none."""
    entries = document.get("entry", [])
    if document.get("resourceType") != "Bundle" or not isinstance(entries, list):
        raise Invalid("the file is no FHIR bundle", "give a resource of the type Bundle, of FHIR R4")
    there = [_object(entry) for entry in entries]
    return there, {name: resource for entry in there for name, resource in _named(entry)}


def _named(entry: _Object) -> Iterator[tuple[str, _Object]]:
    """Yield what a resource of the bundle may be referred to by."""
    resource = _object(entry.get("resource"))
    if url := _text(entry.get("fullUrl")):
        yield url, resource
    yield f"{resource.get('resourceType')}/{resource.get('id')}", resource


@dataclass(frozen=True, slots=True)
class _Said:
    """What a report says at a place in it; `reason` is why that makes no statement, "" where it does."""

    place: str
    finding: str | None = None
    meaning: str | None = None
    value: str = PRESENT
    unit: str | None = None
    reason: str = ""


def _of_report(report: _Object, resources: Mapping[str, _Object], place: str) -> Iterator[Statement | Unmatched]:
    studies = list(dict.fromkeys(_studies(report, resources)))
    said = [*_conclusions(report), *_results(report, resources)]
    if not studies or not said:
        yield Unmatched(place, "finding-missing" if studies else "no-source-image")
    status = report.get("status")
    for each in said if studies else ():
        where = f"{place}, {each.place}"
        reason = "" if status in _FINAL | _VOID else "not-final"
        if reason or each.reason or each.finding is None:
            yield Unmatched(where, reason or each.reason or "scheme-unknown")
            continue
        for study in studies:
            yield Statement(
                place=where,
                level=Level.STUDY,
                target=study,
                finding=each.finding,
                meaning=each.meaning,
                value=None if status in _VOID else each.value,
                unit=each.unit,
                by=_author(report, resources),
                said_at=_moment(report),
            )


def _conclusions(report: _Object) -> Iterator[_Said]:
    for number, concept in enumerate(_list(report.get("conclusionCode")), start=1):
        yield _Said(f"conclusion {number}", *_coded(concept))


def _results(report: _Object, resources: Mapping[str, _Object]) -> Iterator[_Said]:
    for number, reference in enumerate(_list(report.get("result")), start=1):
        place, observation = f"result {number}", _resolved(reference, resources)
        if observation.get("status") not in _FINAL:
            yield _Said(place, reason="not-final" if observation else "not-in-bundle")
            continue
        value, unit = _value(observation)
        yield _Said(place, *_coded(_object(observation.get("code"))), value, unit)


def _value(observation: _Object) -> tuple[str, str | None]:
    """Return a coded or measured value, "" for another, and its UCUM unit."""
    quantity = _object(observation.get("valueQuantity"))
    if quantity:
        is_ucum = quantity.get("system") == "http://unitsofmeasure.org"
        return _text(quantity.get("value")), (_text(quantity.get("code")) if is_ucum else "") or None
    return _coded(_object(observation.get("valueCodeableConcept")))[0] or "", None


def _coded(concept: _Object) -> tuple[str | None, str | None]:
    """Return SCHEME:CODE of the first coding whose scheme is known, and what it displays."""
    for coding in _list(concept.get("coding")):
        scheme, code = SCHEMES.get(_text(coding.get("system"))), _text(coding.get("code"))
        if scheme and code:
            return f"{scheme}:{code}", _text(coding.get("display"))[:64] or None
    return None, None


def _studies(report: _Object, resources: Mapping[str, _Object]) -> Iterator[str]:
    for reference in _list(report.get("imagingStudy")):
        study = _resolved(reference, resources)
        for identifier in (*_list(study.get("identifier")), _object(reference.get("identifier"))):
            if identifier.get("system") == "urn:dicom:uid":
                yield _text(identifier.get("value")).removeprefix("urn:oid:")


def _author(report: _Object, resources: Mapping[str, _Object]) -> str | None:
    """Return who interpreted, else who performed, as the reference or the resource displays the name."""
    for reference in (*_list(report.get("resultsInterpreter")), *_list(report.get("performer"))):
        who = _resolved(reference, resources)
        name = next(iter(_list(who.get("name"))), {})
        given = " ".join(str(each) for each in _any(name.get("given")))
        written = (
            _text(reference.get("display")) or _text(name.get("text")) or f"{given} {_text(name.get('family'))}".strip()
        )
        if written:
            return written
    return None


def _moment(report: _Object) -> str | None:
    for name in ("issued", "effectiveDateTime"):
        try:
            return datetime.fromisoformat(_text(report.get(name))).isoformat()
        except ValueError:
            continue
    return None


def _resolved(reference: _Object, resources: Mapping[str, _Object]) -> _Object:
    url = _text(reference.get("reference"))
    return resources.get(url) or resources.get("/".join(url.split("/")[-2:]), {})


def _object(value: Json) -> _Object:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> Sequence[_Object]:
    return [_object(each) for each in _any(value)]


def _any(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else []


def _text(value: Json) -> str:
    return "" if value is None or isinstance(value, dict | list) else str(value)
