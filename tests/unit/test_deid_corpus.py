"""Every sample file gets a verdict, and no copy has its source's UIDs."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from filmroom.deid import profile, verify
from filmroom.deid.apply import Applied, apply
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom import parse, walk

RESEARCH, PSEUDONYMS = profile.load("research"), Pseudonyms(b"k" * 32)
EVERY = 4  # a quarter of the corpus keeps this test fast


def samples(corpus: Path) -> Iterator[bytes]:
    files = sorted(path for path in corpus.rglob("*") if path.is_file() and path.stat().st_size < 1 << 20)
    return (path.read_bytes() for path in files[::EVERY])


def test_every_file_gets_a_verdict_and_no_copy_has_a_uid_of_its_source(corpus: Path) -> None:
    verdicts: Counter[str] = Counter()
    for data in samples(corpus):
        copy = apply(data, RESEARCH, PSEUDONYMS)
        if not isinstance(copy, Applied):
            assert copy.reasons
            verdicts["refused"] += 1
            continue
        source = parse.read(data)
        for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
            uid = walk.raw_value(source.get_item(keyword)).strip(b" \0")
            assert len(uid) < 10 or uid not in copy.data
        verdict = verify.verify(copy.data, verify.identifiers(data, 1), RESEARCH)
        if isinstance(verdict, verify.Passed):
            verdicts["clean"] += 1
        else:
            verdicts["review" if verdict.needs_eyes_only else "residue"] += 1
    assert verdicts["clean"] > 20 and verdicts["review"] > 5
    assert verdicts["residue"] <= verdicts["clean"] // 20, verdicts
