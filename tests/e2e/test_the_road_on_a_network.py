"""The same program against PostgreSQL and an S3 server, each zone with a place of its own."""

import pytest

import filmroom as package
from filmroom.adapters.objects import S3Access, open_objects
from filmroom.ids import Zone


@pytest.fixture
def networked(filmroom, tmp_path, new_database, s3_server, monkeypatch):
    """A command line whose room is spread over a database and three prefixes of a bucket."""
    secrets_of_the_room = {
        "FILMROOM_S3_ENDPOINT": s3_server["endpoint"],
        "FILMROOM_S3_REGION": s3_server["region"],
        "FILMROOM_S3_ACCESS_KEY": s3_server["access_key"],
        "FILMROOM_S3_SECRET_KEY": s3_server["secret_key"],
    }
    for key, value in secrets_of_the_room.items():
        monkeypatch.setenv(key, value)
    filmroom.room = tmp_path / "networked"
    places = {zone: f"s3://{s3_server['bucket']}/{tmp_path.name}/{zone}" for zone in Zone}
    options = [option for zone, place in places.items() for option in (f"--{zone}", place)]
    filmroom("init", filmroom.room, "--catalog", new_database(), *options)
    return filmroom


def test_a_prefix_of_a_bucket_is_taken_in_object_by_object(networked, planted, s3_server) -> None:
    access = S3Access(
        endpoint=s3_server["endpoint"],
        region=s3_server["region"],
        access_key=s3_server["access_key"],
        secret_key=s3_server["secret_key"],
        allow_http=True,
    )
    place = f"s3://{s3_server['bucket']}/outbox-{networked.room.parent.name}"
    store = open_objects(place, access)
    for file in planted.iterdir():
        store.put(f"scans/{file.name}", file.read_bytes())
    receipt = networked("import", place, "--source", "cloud", "--json").json
    assert (receipt["received"], receipt["stored"], receipt["quarantined"], receipt["ignored"]) == (33, 30, 2, 1)


def test_the_whole_road_on_postgresql_and_s3(networked, planted, recipe, tmp_path) -> None:
    receipt = networked("import", planted, "--source", "ct-1", "--json").json
    assert (receipt["stored"], receipt["quarantined"], receipt["ignored"]) == (30, 2, 1)
    assert networked("import", planted, "--source", "ct-1", "--json").json["duplicate"] == 30
    networked("project", "create", "lung", "--purpose", "find nodules")
    assert networked("deidentify", "--project", "lung", "--json").json["clean"] == 30
    networked("freeze", "lung", "--project", "lung", "--split", "train=0.5,test=0.5")
    assert networked("build", "lung@1", "--recipe", recipe, "--json").json["samples"] == 30
    asked = networked("--as", "dana", "request", "lung@1", "--purpose", "baseline", "--days", 1, "--json").json
    networked("--as", "sam", "approve", asked["request"])
    lease = networked("--as", "dana", "lease", "lung@1", "--json").json["lease"]
    data = package.load("lung@1", room=networked.room, lease=lease)
    assert len({key for batch in data.batches(7) for key in batch.keys}) == 30
    artifact = tmp_path / "weights"
    artifact.write_bytes(b"learned")
    networked("--as", "dana", "model", "register", "nodules", "--snapshot", "lung@1", "--artifact", artifact)
    assert len(networked("trace", "nodules@1", "--json").json["answers"]["studies"]) == 5
    for check in (["verify", "lung@1"], ["reproduce", "lung@1"], ["audit", "verify"], ["doctor"]):
        assert networked(*check, "--json").json["ok"]
    assert sorted(entry.name for entry in networked.room.iterdir()) == ["audit", "keys", "room.toml"]
