"""What would let a model be tested with what it was trained on: the same person, the same pixels, earlier test data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from filmroom.snapshot.split import is_held_out


class LeakKind(StrEnum):
    """`same-patient`: two patients share a study, which is one person's. `same-pixels`: images of two patients have the
    same encoded pixels. `earlier-test`: a patient was held out in one of the project's snapshots, and is not any more.
    """

    SAME_PATIENT = "same-patient"
    SAME_PIXELS = "same-pixels"
    EARLIER_TEST = "earlier-test"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Leak:
    """Two patients on two sides, by pseudonym, or one and the snapshot (`earlier`) in which the patient was held out."""

    code: LeakKind
    parts: tuple[str, ...]
    patients: tuple[str, ...]
    earlier: str = ""


def leaks(
    parts: Mapping[str, str],
    same_person: Iterable[tuple[str, str]],
    pixels: Iterable[tuple[str, str | None]],
    before: Iterable[tuple[str, str, str]],
) -> list[Leak]:
    """Return what leaks between parts, in order. `parts` has the part of each patient.

    `same_person` are pairs of patients, `pixels` has the patient and the pixel digest of each image, and `before` is where
    patients were: (snapshot, part, patient).
    """
    found = set(_across(LeakKind.SAME_PATIENT, parts, same_person))
    if len(set(parts.values())) > 1:
        first: dict[str, str] = {}
        pairs = ((first.setdefault(digest, patient), patient) for patient, digest in pixels if digest is not None)
        found.update(_across(LeakKind.SAME_PIXELS, parts, ((one, other) for one, other in pairs if one != other)))
    for snapshot, part, patient in before:
        now = parts.get(patient)
        if now is not None and is_held_out(part) and not is_held_out(now):
            found.add(Leak(code=LeakKind.EARLIER_TEST, parts=(part, now), patients=(patient,), earlier=snapshot))
    return sorted(found)


def counts(found: Iterable[Leak]) -> dict[str, int]:
    """Return how many leaks there are of each kind."""
    counted: dict[str, int] = {}
    for each in found:
        counted[each.code] = counted.get(each.code, 0) + 1
    return counted


def _across(code: LeakKind, parts: Mapping[str, str], pairs: Iterable[tuple[str, str]]) -> Iterable[Leak]:
    for pair in pairs:
        one, other = sorted(pair)
        if parts[one] != parts[other]:
            yield Leak(code=code, parts=(parts[one], parts[other]), patients=(one, other))
