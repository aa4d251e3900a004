"""What is fuzzed: each target takes any bytes, and raises when a promise about them is broken."""

from collections.abc import Callable, Iterable

from filmroom.dicom import walk
from filmroom.dicom.parse import is_dicom, parse, read
from filmroom.errors import Invalid, Unreadable
from filmroom.web.multipart import Parser, PartBegins, PartData

_LONG_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")


def walked(data: bytes) -> None:
    """Reading never raises but Unreadable, and what has no reason against it can be read and looked through."""
    is_dicom(data)
    walk.walk(data)
    parsed = parse(data)
    try:
        dataset = read(data)
    except Unreadable:
        assert parsed.reasons or parsed.instance is None
        return
    if not parsed.reasons:
        assert parsed.instance is not None
        for _ in walk.nested(dataset):
            pass


def cut_anywhere(data: bytes) -> None:
    """A multipart body is parts or Invalid, and the same ones however it is cut."""
    body = b"--b:o-1\r\n" + data
    assert _parts([body]) == _parts(body[at : at + 1] for at in range(len(body)))
    step = 1 + (data[0] if data else 0)
    assert _parts([body]) == _parts(body[at : at + step] for at in range(0, len(body), step))


def _parts(chunks: Iterable[bytes]) -> list[tuple[dict[str, str], bytes]] | None:
    parser = Parser("b:o-1")
    found: list[tuple[dict[str, str], bytes]] = []
    try:
        for chunk in chunks:
            for event in parser.receive(chunk):
                match event:
                    case PartBegins(headers):
                        found.append((dict(headers), b""))
                    case PartData(data):
                        found[-1] = (found[-1][0], found[-1][1] + data)
                    case _:
                        pass
        parser.finish()
    except Invalid:
        return None
    return found


TARGETS: dict[str, Callable[[bytes], None]] = {"walk": walked, "multipart": cut_anywhere}
WORDS: dict[str, tuple[bytes, ...]] = {
    "walk": (
        *_LONG_VRS,
        *(
            b"DICM",
            b"\xff\xff\xff\xff",
            b"\xfe\xff\x00\xe0",
            b"\xfe\xff\x0d\xe0",
            b"\xfe\xff\xdd\xe0",
            b"\xe0\x7f\x10\x00",
        ),
        *(b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99"),
    ),
    "multipart": (b"\r\n--b:o-1\r\n", b"\r\n--b:o-1--", b"--b:o-1", b"\r\n\r\n", b"Content-Type: application/dicom"),
}
