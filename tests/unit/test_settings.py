"""Where a room's parts are reads back as it was written, and secrets come from the environment only."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filmroom.errors import Invalid, NoRoom
from filmroom.ids import Zone
from filmroom.settings import ROOM_FILE, Environment, RoomFile

# What a location can be made of without harm: anything but quotes, backslashes and control characters.
PLACES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), min_size=1, max_size=20)


def room_file(place: str = "zones/x") -> RoomFile:
    return RoomFile(
        name="room-0", catalog=f"sqlite:///{place}", zones=dict.fromkeys(Zone, place), audit=place, keys=place
    )


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any of our variables."""
    for name in Environment.model_fields:
        monkeypatch.delenv(f"FILMROOM_{name.upper()}", raising=False)
    return monkeypatch


@settings(deadline=None)  # it writes files
@given(PLACES)
def test_a_room_file_reads_back(tmp_path_factory: pytest.TempPathFactory, place: str) -> None:
    folder = tmp_path_factory.mktemp("room")
    room_file(place).write(folder)
    assert RoomFile.read(folder) == room_file(place)
    assert [entry.name for entry in folder.iterdir()] == [ROOM_FILE], "no draft stays behind"


def test_how_long_a_study_must_be_quiet_is_read(tmp_path: Path) -> None:
    file = replace(room_file(), quiet_seconds=300)
    file.write(tmp_path)
    assert RoomFile.read(tmp_path) == file


def test_a_room_file_without_a_quiet_period_has_none(tmp_path: Path) -> None:
    room_file().write(tmp_path)
    place = tmp_path / ROOM_FILE
    place.write_text(place.read_text("utf-8").partition("[studies]")[0], "utf-8")
    assert RoomFile.read(tmp_path) == room_file()


@pytest.mark.parametrize("written", ["-1", "1.5", '"300"', "true", "99999999999"])
def test_a_quiet_period_that_is_none_is_refused(tmp_path: Path, written: str) -> None:
    room_file().write(tmp_path)
    place = tmp_path / ROOM_FILE
    place.write_text(place.read_text("utf-8").replace("quiet_seconds = 0", f"quiet_seconds = {written}"), "utf-8")
    with pytest.raises(Invalid):
        RoomFile.read(tmp_path)


@pytest.mark.parametrize("place", ["it's here", "größe #1", "a = [b]", "s3://bucket/pre fix", "☃/{x}"])
def test_odd_characters_are_kept(tmp_path: Path, place: str) -> None:
    room_file(place).write(tmp_path)
    assert RoomFile.read(tmp_path).zones[Zone.CLINICAL] == place


@pytest.mark.parametrize("place", ['say "x"', "back\\new", "two\nlines"], ids=["quote", "backslash", "newline"])
def test_quotes_and_backslashes_are_kept(tmp_path: Path, place: str) -> None:
    room_file(place).write(tmp_path)
    assert RoomFile.read(tmp_path) == room_file(place)


@pytest.mark.parametrize("there", ["missing", "a-file/below"])
def test_where_there_is_no_room_that_is_said(tmp_path: Path, there: str) -> None:
    (tmp_path / "a-file").write_text("x")
    with pytest.raises(NoRoom, match="there is no room"):
        RoomFile.read(tmp_path / there)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "format = 2",
        "format",
        "format = 1",
        "format = 1\ncatalog = 3",
        "format = 1\nname = 'x'\nzones = 'all'\n[catalog]\nurl=''",
    ],
)
def test_a_file_that_is_not_understood_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / ROOM_FILE).write_text(text, "utf-8")
    with pytest.raises(Invalid):
        RoomFile.read(tmp_path)


def test_a_room_without_variables_has_the_defaults(bare: pytest.MonkeyPatch) -> None:
    environment = Environment()
    assert (environment.room, environment.s3_region, environment.catalog_password) == ("room", "us-east-1", None)


def test_a_zone_with_keys_of_its_own_uses_them_and_the_others_the_common_ones(bare: pytest.MonkeyPatch) -> None:
    for name, value in {
        "S3_ACCESS_KEY": "common",
        "S3_SECRET_KEY": "common-secret",
        "CLINICAL_S3_ACCESS_KEY": "own",
        "CLINICAL_S3_SECRET_KEY": "own-secret",
    }.items():
        bare.setenv(f"FILMROOM_{name}", value)
    environment = Environment()
    assert environment.s3_keys(Zone.CLINICAL) == ("own", "own-secret")
    assert environment.s3_keys(Zone.RESEARCH) == environment.s3_keys(None) == ("common", "common-secret")


def test_no_secret_is_shown(bare: pytest.MonkeyPatch) -> None:
    secrets = [name for name in Environment.model_fields if name.endswith(("secret_key", "password"))]
    assert len(secrets) == 6
    for name in secrets:
        bare.setenv(f"FILMROOM_{name.upper()}", "planted-secret")
    assert "planted-secret" not in repr(Environment())
    assert "planted-secret" not in str(Environment())
