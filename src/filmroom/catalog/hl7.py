"""Results in HL7 v2 messages (ORU^R01): what OBX segments tell of a patient in codes and numbers.

Only the segments MSH, PID, OBR and OBX are read, and of them what makes a fact. Sources: HL7 v2.5.1 chapters 2 (delimiters,
escapes, data types CX, CE, SN, TS) and 7 (OBR, OBX, table 0085); table 0396 names coding schemes as DICOM does.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from filmroom.dicom import values
from filmroom.errors import Invalid
from filmroom.records import FactKind, Told, Unmatched

_FINAL, _VOID = frozenset("FCU"), frozenset("DW")
_CODED, _NUMBERS, _WORDS = frozenset({"CE", "CWE", "CNE"}), frozenset({"NM", "SN"}), frozenset({"ST", "IS", "ID"})
_ESCAPES = {"F": "|", "S": "^", "R": "~", "T": "&", "E": "\\"}
_TIME = re.compile(r"([0-9]{8})([0-9]{2}(?:[0-9]{2}){0,2}(?:\.[0-9]{1,4})?)?([+-][0-9]{4})?\Z")


@dataclass(frozen=True, slots=True)
class _Segment:
    """A segment's fields; field 1 of MSH is the field separator itself."""

    fields: Sequence[str] = field(repr=False)
    delimiters: str

    def text(self, number: int, component: int = 1) -> str:
        """Return a component of a field's first repetition, without its subcomponents after the first."""
        return self.parts(self.raw(number))[component - 1]

    def raw(self, number: int) -> str:
        return self.fields[number] if number < len(self.fields) else ""

    def repetitions(self, number: int) -> list[str]:
        return self.raw(number).split(self.delimiters[1])

    def parts(self, value: str) -> list[str]:
        """Return the components of a field's value, at least ten, escapes resolved."""
        first = value.split(self.delimiters[1])[0]
        whole = [part.split(self.delimiters[3])[0] for part in first.split(self.delimiters[0])]
        return [_unescaped(part, self.delimiters[2]).strip() for part in whole] + [""] * 10


def read(text: str) -> list[Told | Unmatched]:
    """Read one message or several, counted from 1, each with its results. Raises Invalid for what is none."""
    lines = [line.strip("\x0b\x1c ") for line in re.split(r"[\r\n]+", text)]
    starts = [number for number, line in enumerate(lines) if line.startswith("MSH") and len(line) > 8]
    if not starts:
        raise Invalid("there is no HL7 message in the file", "give ORU^R01 messages, each from MSH on")
    found: list[Told | Unmatched] = []
    for count, (start, stop) in enumerate(zip(starts, [*starts[1:], len(lines)], strict=True), start=1):
        found += _message(lines[start:stop], f"message {count}")
    return found


def _message(lines: Sequence[str], place: str) -> Iterator[Told | Unmatched]:
    separator, delimiters = lines[0][3], lines[0][4:8]
    if separator in delimiters:
        yield Unmatched(place, "message-unknown")
        return
    split = [line.split(separator) for line in lines if line]
    segments = [
        (fields[0], _Segment([separator, *fields] if fields[0] == "MSH" else fields, delimiters)) for fields in split
    ]
    if segments[0][1].text(9) != "ORU":
        yield Unmatched(place, "message-unknown")
        return
    patient = order = _Segment([], delimiters)
    number = 0
    for name, segment in segments:
        match name:
            case "PID":
                patient = segment
            case "OBR":
                order = segment
            case "OBX":
                number += 1
                yield _result(segment, patient, order, f"{place}, result {number}")
            case _:
                continue


def _result(result: _Segment, patient: _Segment, order: _Segment, place: str) -> Told | Unmatched:
    status, kind = result.text(11), result.text(2)
    if status not in _FINAL | _VOID:
        return Unmatched(place, "not-final")
    if kind not in _CODED | _NUMBERS | _WORDS:
        return Unmatched(place, "text-not-kept")
    code, meaning = _coded(result, result.raw(3))
    number = order.text(3) or order.text(2)
    patient_id, issuer = _patient(patient)
    return Told(
        place=place,
        patient_id=patient_id,
        issuer=issuer or None,
        name=":".join(filter(None, (number, code, result.text(4)))) if number else "",
        kind=FactKind.RESULT,
        code=code,
        value=None if status in _VOID else _value(result, kind),
        unit=result.text(6) or None,
        meaning=meaning[:64] or None,
        at=_moment(result.text(14) or order.text(7)),
    )


def _patient(patient: _Segment) -> tuple[str, str]:
    """Return the medical record number, or the first identifier, and who assigned it."""
    identifiers = [patient.parts(each) for each in patient.repetitions(3)]
    number, _, _, issuer, *_ = next((each for each in identifiers if each[4] == "MR"), identifiers[0])
    return number, issuer


def _coded(segment: _Segment, value: str) -> tuple[str, str]:
    """Return SCHEME:CODE and what it means; a code of the house's own only where there is no other."""
    parts = segment.parts(value)
    triples = [triple for triple in (parts[:3], parts[3:6]) if triple[0]]
    public = [triple for triple in triples if triple[2] and triple[2] != "L" and not triple[2].startswith("99")]
    code, meaning, scheme = next(iter(public or triples), ["", "", ""])
    return (f"{scheme}:{code}" if scheme else code), meaning


def _value(result: _Segment, kind: str) -> str:
    if kind in _CODED:
        return _coded(result, result.raw(5))[0]
    parts = result.parts(result.raw(5))
    return "".join(parts[:4]) if kind == "SN" else parts[0]


def _moment(written: str) -> str:
    found = _TIME.match(written)
    if found is None:
        return ""
    day, time, zone = found.groups("")
    return values.moment(day, time, zone) if time else values.day(day) or ""


def _unescaped(text: str, escape: str) -> str:
    mark = re.escape(escape)
    return re.sub(f"{mark}([FSRTE]){mark}", lambda found: _ESCAPES[found[1]], text)
