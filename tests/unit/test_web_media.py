"""Content-Type and Accept headers, quotes and all."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.errors import Invalid
from filmroom.web.media import choose, parse_accept, parse_media


def test_quotes_keep_commas_semicolons_and_quotes_together() -> None:
    found = parse_media('Multipart/Related; type="application/dicom"; boundary="a;b,\\"c\\"\\\\"; x=1')
    assert found.name == "multipart/related"
    assert found.parameters == {"type": "application/dicom", "boundary": 'a;b,"c"\\', "x": "1"}
    assert found.part.name == "application/dicom"


def test_the_most_wanted_comes_first_and_q_0_never() -> None:
    accepted = parse_accept('image/png;q=0.1, multipart/related; type="image/jpeg";q=0.9, text/html;q=0, */*;q=0.01')
    assert [media.name for media in accepted] == ["multipart/related", "image/png", "*/*"]
    assert choose(accepted, ["image/png", "image/jpeg"]) == "image/png"
    assert choose(parse_accept("image/*"), ["text/plain", "image/jpeg"]) == "image/jpeg"
    assert choose(parse_accept("text/html"), ["image/jpeg"]) is None
    assert choose(parse_accept(""), ["image/jpeg", "image/png"]) == "image/jpeg"


@pytest.mark.parametrize(
    "text", ["", "application", "a/b, c/d", 'a/b; x="1', "a/b; x", 'a/b; x="1"2', "a b/c", "x" * 9000]
)
def test_what_is_no_media_type_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_media(text)


@given(st.text(max_size=80))
def test_any_header_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(Invalid):
        parse_accept(text)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40))
def test_a_quoted_boundary_comes_back_as_it_was(boundary: str) -> None:
    quoted = boundary.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_media(f'multipart/related; boundary="{quoted}"').parameters["boundary"] == boundary
