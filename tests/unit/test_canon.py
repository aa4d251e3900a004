"""One record, one spelling: RFC 8785 as far as signed documents need it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.canon import canonical, digest_of, parse_rfc3339, plain, rfc3339
from filmroom.errors import Invalid
from filmroom.ids import Digest, Versioned, Zone

WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | WHOLE | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)
MOMENTS = st.datetimes(
    min_value=datetime(1000, 1, 3),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


@dataclass(frozen=True, slots=True)
class Thing:
    zone: Zone
    ref: Versioned
    digest: Digest
    at: datetime
    parts: tuple[int, ...]


def test_keys_are_in_the_order_of_their_utf_16_code_units() -> None:
    # The example of RFC 8785, 3.2.3: U+1F600 (surrogates D83D DE00) comes before U+FB33, although its code point is larger.
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\xf6"]
    expected = ["\r", "1", "\x80", "\xf6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical(dict.fromkeys(keys, 0)))) == expected


def test_text_is_escaped_as_the_rfc_says() -> None:
    assert canonical('\u20ac$\x0f\nA\'B"\\\\"/\x7f') == '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\x7f"'.encode()
    assert canonical("\b\t\n\f\r\x00") == b'"\\b\\t\\n\\f\\r\\u0000"'


def test_there_is_no_space_and_nothing_is_left_out() -> None:
    assert canonical({"b": [True, False, None, 0, -1], "a": {}}) == b'{"a":{},"b":[true,false,null,0,-1]}'


@given(DOCUMENTS)
def test_what_is_written_reads_back_and_writes_the_same(document: object) -> None:
    data = canonical(document)
    assert json.loads(data) == document
    assert canonical(json.loads(data)) == data


@given(st.dictionaries(TEXT, WHOLE, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_equal_records_have_equal_bytes_whatever_order_they_were_made_in(
    record: dict[str, int], chance: Random
) -> None:
    items = list(record.items())
    chance.shuffle(items)
    assert canonical(dict(items)) == canonical(record)
    assert digest_of(dict(items)) == digest_of(record)


@given(DOCUMENTS, DOCUMENTS)
def test_different_documents_have_different_bytes(one: object, other: object) -> None:
    def typed(value: object) -> object:  # in Python True == 1
        match value:
            case list():
                return [typed(item) for item in value]
            case dict():
                return {key: typed(item) for key, item in value.items()}
            case _:
                return (type(value), value)

    assert (canonical(one) == canonical(other)) == (typed(one) == typed(other))


@given(st.floats() | st.floats().map(lambda number: [number]) | st.floats().map(lambda number: {"a": number}))
def test_no_float_is_signed(value: object) -> None:
    with pytest.raises(Invalid, match="float"):
        canonical(value)


@given(st.integers(min_value=2**53) | st.integers(max_value=-(2**53)))
def test_no_integer_is_signed_that_other_readers_would_round(value: int) -> None:
    with pytest.raises(Invalid, match="2\\^53"):
        canonical({"n": value})


def test_the_largest_integers_are_signed() -> None:
    assert canonical([2**53 - 1, -(2**53) + 1]) == b"[9007199254740991,-9007199254740991]"


@pytest.mark.parametrize("document", ["\ud800", {"\udc00": 1}, {"a": ["x\udfff"]}], ids=["text", "key", "inside"])
def test_half_a_character_is_refused_in_words_of_ours(document: object) -> None:
    with pytest.raises(Invalid, match="half a character"):
        canonical(document)


def test_records_become_their_fields() -> None:
    moment = datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    thing = Thing(Zone.CLINICAL, Versioned("lung", 3), Digest("a" * 64), moment, (2, 1))
    assert plain(thing) == {
        "zone": "clinical",
        "ref": "lung@3",
        "digest": f"sha256:{'a' * 64}",
        "at": "2026-03-01T12:00:00.000000Z",
        "parts": [2, 1],
    }
    assert json.loads(canonical(thing)) == plain(thing)


def test_sets_are_put_in_order() -> None:
    assert canonical(frozenset({"b", "a", "c"})) == canonical({"c", "b", "a"}) == b'["a","b","c"]'


@pytest.mark.parametrize("value", [b"bytes", object(), Thing, 1j], ids=["bytes", "object", "class", "complex"])
def test_what_has_no_form_is_a_mistake_of_the_program(value: object) -> None:
    with pytest.raises(TypeError):
        plain(value)


@given(MOMENTS)
def test_times_read_back(moment: datetime) -> None:
    assert parse_rfc3339(rfc3339(moment)) == moment
    assert rfc3339(moment).endswith("Z")


@given(MOMENTS, MOMENTS)
def test_the_order_of_texts_is_the_order_of_times(one: datetime, other: datetime) -> None:
    assert (rfc3339(one) < rfc3339(other)) == (one < other)


def test_a_whole_second_has_its_microseconds() -> None:
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05.000000Z"
