"""A part of a representation is what a slice of it is, or the whole is given, or nothing is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.web.errors import HttpError
from filmroom.web.ranges import Asked, answer

DATA = bytes(range(100))


def got(header: str, if_range: str = "") -> tuple[int, bytes, str]:
    asked = Asked(header, if_range)
    response = answer(asked, "application/dicom", len(DATA), '"tag"', lambda start, stop: DATA[start:stop])
    assert response.headers["accept-ranges"] == "bytes" and response.headers["etag"] == '"tag"'
    return response.status_code, bytes(response.body), response.headers.get("content-range", "")


@pytest.mark.parametrize(
    ("header", "part", "said"),
    [
        ("bytes=0-9", DATA[:10], "bytes 0-9/100"),
        ("bytes=90-", DATA[90:], "bytes 90-99/100"),
        ("bytes=90-500", DATA[90:], "bytes 90-99/100"),
        ("bytes=-10", DATA[-10:], "bytes 90-99/100"),
        ("bytes=-1000", DATA, "bytes 0-99/100"),
        ("Bytes=5-5", DATA[5:6], "bytes 5-5/100"),
    ],
)
def test_one_range_is_given(header: str, part: bytes, said: str) -> None:
    assert got(header) == (206, part, said)
    assert got(header, '"tag"') == (206, part, said)


@pytest.mark.parametrize(
    "header", ["", "bytes=", "bytes=-", "bytes=1-0", "bytes=0-1,5-6", "lines=0-1", "bytes=a-b", "bytes=٣-٤", "0-1"]
)
def test_what_is_not_one_range_is_answered_with_the_whole(header: str) -> None:
    assert got(header) == (200, DATA, "")


def test_a_download_that_was_of_another_version_begins_anew() -> None:
    assert got("bytes=50-", '"other"') == (200, DATA, "")


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_what_lies_behind_the_end_is_refused_with_the_size(header: str) -> None:
    with pytest.raises(HttpError) as refusal:
        got(header)
    assert refusal.value.status == 416 and refusal.value.headers == {"Content-Range": "bytes */100"}


@given(st.text(max_size=30))
def test_any_header_is_answered_or_refused(text: str) -> None:
    try:
        status, body, _ = got(text)
    except HttpError:
        return
    assert body == DATA or status == 206


def test_of_nothing_everything_is_given() -> None:
    response = answer(Asked("bytes=0-5"), "application/dicom", 0, '"tag"', lambda start, stop: b"")
    assert response.status_code == 200
