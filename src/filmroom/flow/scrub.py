"""scrub: de-identified copies of the files of a folder, without a room.

The same engine and the same independent verifier as `deidentify`; only what passes is written. There is no catalog, no log and
nobody to review: what needs eyes is counted and left out. Of a scanner's series samples are read for text, as there.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path

from filmroom.deid import eyes, ocr, survey, verify
from filmroom.deid import profile as profiles
from filmroom.deid.apply import NotApplied
from filmroom.deid.eyes import Extent
from filmroom.deid.judge import judge
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom import identity
from filmroom.flow.deidentify import in_words
from filmroom.ids import Digest
from filmroom.ingest import nifti, sources
from filmroom.ingest.sniff import kind
from filmroom.ports import Clock, Objects, Progress
from filmroom.records import Finding, Reason

_CLASH = Reason("uid-conflict", "another file has this SOP Instance UID with other content; its copy was written")
_STAYS = {
    "nifti": "a volume can show a face, its header and name can tell whose, and nothing here cleans them yet",
    "text": "nothing here cleans what stands beside images, such as a sidecar or a table",
    "dicomdir": "it lists the patients of a medium; its objects come by themselves",
    "pdf": "it is a document, which nothing here looks into",
}
_NO_BYTES = Reason("unreadable", "the file did not give its bytes")


class Outcome(StrEnum):
    CLEAN = "clean"
    REVIEW = "review"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one file. `source` may be a patient's name."""

    source: str = field(repr=False)
    output: str
    outcome: Outcome
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrub:
    """What came of a folder: files = clean + review + refused."""

    files: int
    clean: int
    review: int
    refused: int
    seconds: float
    findings: Mapping[str, int]
    rows: Sequence[Row] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """By which profile (its name or path), with which 32-byte key of pseudonyms, and whether text in pixels is read."""

    profile: str
    key: bytes = field(repr=False)
    reads_pixels: bool = True


@dataclass(frozen=True, slots=True)
class Made:
    """One copy, when it may be written, and what was found on the way."""

    outcome: Outcome
    name: str = ""
    data: bytes = field(default=b"", repr=False)
    digest: Digest | None = None
    reasons: tuple[Reason, ...] = ()
    findings: tuple[Finding, ...] = ()


def scrub(
    paths: Sequence[Path],
    target: Objects,
    how: How,
    *,
    clock: Clock,
    progress: Progress,
    executor: Executor | None = None,
    ahead: int = 0,
) -> Scrub:
    """Write a copy of each DICOM file to `target`, named by its new SOP Instance UID.

    The same files and the same `how` give the same copies. With an `executor`, `ahead` of them are made ahead. Raises
    NotFound for a path or a profile that is not there.
    """
    _loaded(how)
    started = clock.monotonic()
    rows: list[Row] = []
    findings: Counter[str] = Counter()
    written: dict[str, Digest | None] = {}
    series = _Series(paths, executor, reads=how.reads_pixels and ocr.is_installed())
    arrivals = sources.arrivals(paths, sources.Limits(leave_dicom=True))
    with progress.task("scrub", sources.count(paths)) as advance:
        for source, made in _made(arrivals, how, series, executor, ahead):
            if made.outcome is Outcome.CLEAN:
                made = _written(made, target, written)
            codes = [each.code for each in made.findings] + [each.code for each in made.reasons]
            findings.update(set(codes))  # a code counts once a file
            rows.append(Row(source, made.name, made.outcome, made.reasons))
            advance(1)
    outcomes = Counter(row.outcome.value for row in rows)
    return Scrub(
        files=len(rows),
        **{outcome.value: outcomes[outcome.value] for outcome in Outcome},
        seconds=round(clock.monotonic() - started, 3),
        findings=dict(sorted(findings.items())),
        rows=rows,
    )


def copy_of(content: bytes | Path, how: How, extent: Extent | None = None, slices: int | None = None) -> Made:
    """Make and judge one copy. Never raises for what the bytes hold.

    `extent` is what was read of its series, and `slices` how many files that has. Where they are not known, as in archives,
    every frame of a scanner's image is read, and the series taken for long enough to show a face.
    """
    try:
        data = content if isinstance(content, bytes) else content.read_bytes()
    except OSError:
        return Made(Outcome.REFUSED, reasons=(sources.FILE_UNREADABLE,))
    what = "nifti" if nifti.header_of(data) else kind(data)
    if what != "dicom":
        detail = _STAYS.get(what, "only DICOM objects are de-identified")
        return Made(Outcome.REFUSED, reasons=(Reason(f"not-dicom:{what}", detail),))
    readers = ocr.readers() if how.reads_pixels else None
    if extent is None:
        extent = Extent.FRAMES if eyes.is_reconstruction(identity.identify(data).sop_class) else Extent.NOTHING
    judged = judge(data, *_loaded(how), readers, extent, slices)
    if isinstance(judged, NotApplied):
        return Made(Outcome.REFUSED, reasons=judged.reasons)
    match judged.verdict:
        case verify.Passed() as passed:
            name = f"{judged.applied.sop_uid}.dcm"
            return Made(Outcome.CLEAN, name, judged.data, passed.digest, findings=passed.findings)
        case verify.Residue() as residue:
            outcome = Outcome.REVIEW if residue.needs_eyes_only else Outcome.REFUSED
            return Made(outcome, reasons=in_words(residue.findings), findings=residue.findings)


class _Series:
    """How long each scanner's series is, and what samples of it tell, asked for when the first of its files comes."""

    def __init__(self, paths: Sequence[Path], executor: Executor | None, *, reads: bool) -> None:
        self._reads = reads
        self._series: dict[str, list[Path]] = {}
        for path, head in sources.dicom_files(paths):
            who = identity.identify(head)
            if eyes.is_reconstruction(who.sop_class) and who.series_uid:
                self._series.setdefault(who.series_uid, []).append(path)
        self._uids = {path: uid for uid, members in self._series.items() for path in members}
        ahead = executor if reads else None
        self._begun = {uid: ahead.submit(survey_of, each) for uid, each in self._series.items()} if ahead else {}
        self._extents: dict[str, Extent] = {}

    def extent(self, path: Path) -> Extent | None:
        """Return how much is read of the series of this file, None when it is of none that is known or nothing is read."""
        uid = self._uids.get(path) if self._reads else None
        if uid is not None and uid not in self._extents:
            self._extents[uid] = self._begun[uid].result() if uid in self._begun else survey_of(self._series[uid])
        return None if uid is None else self._extents[uid]

    def slices(self, path: Path) -> int | None:
        """Return how many files are of the series of this file, None when it is of none that is known."""
        uid = self._uids.get(path)
        return None if uid is None else len(self._series[uid])


def survey_of(members: Sequence[Path]) -> Extent:
    """Have samples of the files of one series read."""
    readers = ocr.readers()
    return Extent.NOTHING if readers is None else survey.extent(members, Path.read_bytes, readers)


def _made(
    arrivals: Iterable[sources.Arrival], how: How, series: _Series, executor: Executor | None, ahead: int
) -> Iterator[tuple[str, Made]]:
    """Yield each file's name and what came of it, in order."""
    waiting: deque[tuple[str, Callable[[], Made]]] = deque()
    for arrival in arrivals:
        waiting.append((arrival.name, _begun(arrival, how, series, executor)))
        if len(waiting) > ahead:
            name, made = waiting.popleft()
            yield name, made()
    for name, made in waiting:
        yield name, made()


def _begun(arrival: sources.Arrival, how: How, series: _Series, executor: Executor | None) -> Callable[[], Made]:
    """Begin a copy; what is returned waits for it."""
    content = arrival.unread.path if arrival.unread is not None else arrival.data
    if content is None or arrival.problem is not None:
        refused = Made(Outcome.REFUSED, reasons=(arrival.problem or _NO_BYTES,))
        return lambda: refused
    known = (series.extent(content), series.slices(content)) if isinstance(content, Path) else (None, None)
    return (
        partial(copy_of, content, how, *known)
        if executor is None
        else executor.submit(copy_of, content, how, *known).result
    )


def _written(made: Made, target: Objects, written: dict[str, Digest | None]) -> Made:
    if written.setdefault(made.name, made.digest) != made.digest:
        return Made(Outcome.REFUSED, reasons=(_CLASH,), findings=made.findings)
    target.put(made.name, made.data)
    return made


@lru_cache(4)
def _loaded(how: How) -> tuple[profiles.Profile, Pseudonyms]:
    return profiles.load(how.profile), Pseudonyms(how.key)
