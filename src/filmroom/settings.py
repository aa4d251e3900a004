"""The only reader of the environment, and of a room's own file.

A room is a folder with a `room.toml` that says where its parts are; secrets are never in it. Passwords and access keys
come from the environment (`FILMROOM_...`), with one set for each zone where zones have credentials of their own.
"""

import getpass
import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from filmroom.errors import Invalid, NoRoom
from filmroom.ids import Zone

ROOM_FILE = "room.toml"
_FORMAT = 1
_LONGEST_QUIET = 366 * 24 * 3600


class Environment(BaseSettings):
    """What the environment says. Every name starts with FILMROOM_; docs/settings.md lists them."""

    model_config = SettingsConfigDict(env_prefix="FILMROOM_", extra="ignore")

    room: str = "room"
    """The room when none is named: a folder."""
    catalog_password: SecretStr | None = None
    """The password of the catalog's database user."""
    s3_endpoint: str = ""
    """URL of the S3 service, for example `https://s3.example.org`."""
    s3_region: str = "us-east-1"
    """Region of the S3 service."""
    s3_access_key: str = ""
    """Access key for every zone that has none of its own."""
    s3_secret_key: SecretStr = SecretStr("")
    """Secret key that goes with it."""
    clinical_s3_access_key: str = ""
    """Access key for the clinical zone only."""
    clinical_s3_secret_key: SecretStr = SecretStr("")
    """Secret key that goes with it."""
    research_s3_access_key: str = ""
    """Access key for the research zone only."""
    research_s3_secret_key: SecretStr = SecretStr("")
    """Secret key that goes with it."""
    models_s3_access_key: str = ""
    """Access key for the models zone only."""
    models_s3_secret_key: SecretStr = SecretStr("")
    """Secret key that goes with it."""

    vault_s3_access_key: str = ""
    """Access key for the vault only."""
    vault_s3_secret_key: SecretStr = SecretStr("")
    """Secret key that goes with it."""
    read_pixels: bool = True
    """Whether text in pixels is read, where the extra `[ocr]` is installed; if not, people have to look for it."""

    def s3_keys(self, zone: Zone | None) -> tuple[str, str]:
        """Return the access and secret key for a zone's store, its own where it has its own."""
        own: tuple[str, SecretStr] = ("", SecretStr(""))
        if zone is not None:
            own = (getattr(self, f"{zone}_s3_access_key"), getattr(self, f"{zone}_s3_secret_key"))
        access, secret = own if own[0] else (self.s3_access_key, self.s3_secret_key)
        return access, secret.get_secret_value()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomFile:
    """What a room's file says. Relative locations are below the room's folder."""

    name: str
    catalog: str
    zones: dict[Zone, str]
    audit: str
    keys: str
    quiet_seconds: int = 0

    def write(self, folder: Path) -> None:
        """Write the file, whole or not at all."""
        lines = [
            "# Where this room's parts are. Secrets come from the environment, never from here.",
            f"format = {_FORMAT}",
            f"name = {_quoted(self.name)}",
            "",
            "[catalog]",
            f"url = {_quoted(self.catalog)}",
            "",
            "[zones]",
            *(f"{zone} = {_quoted(location)}" for zone, location in self.zones.items()),
            "",
            "[audit]",
            f"location = {_quoted(self.audit)}",
            "",
            "[keys]",
            f"folder = {_quoted(self.keys)}",
            "",
            "[studies]",
            f"quiet_seconds = {self.quiet_seconds}",
            "",
        ]
        draft = folder / f".{ROOM_FILE}.new"
        draft.write_text("\n".join(lines), "utf-8")
        draft.replace(folder / ROOM_FILE)

    @classmethod
    def read(cls, folder: Path) -> "RoomFile":
        """Read the file. Raises NoRoom where there is none, Invalid where its file is not understood."""
        try:
            text = (folder / ROOM_FILE).read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise NoRoom(f"there is no room at {folder}", f"run: filmroom init {folder}") from None
        except (OSError, UnicodeDecodeError):
            raise NoRoom(f"{ROOM_FILE} cannot be read", "check who owns the room's folder") from None
        try:
            facts = tomllib.loads(text)
            if facts["format"] != _FORMAT:
                raise Invalid(f"{ROOM_FILE} has format {facts['format']}", "use the filmroom that wrote it, or newer")
            return cls(
                name=str(facts["name"]),
                catalog=str(facts["catalog"]["url"]),
                zones={zone: str(facts["zones"][zone]) for zone in Zone},
                audit=str(facts["audit"]["location"]),
                keys=str(facts["keys"]["folder"]),
                quiet_seconds=_seconds(facts.get("studies", {}).get("quiet_seconds", 0)),
            )
        except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise Invalid(f"{ROOM_FILE} is not understood: {error}", "compare it with docs/formats/room.md") from None


def _seconds(written: object) -> int:
    if type(written) is not int or not 0 <= written <= _LONGEST_QUIET:
        raise Invalid(f"quiet_seconds is no whole number from 0 to {_LONGEST_QUIET}", "write for example: 300")
    return written


def _quoted(text: str) -> str:
    """Return a TOML basic string; its escapes are those of JSON, and DEL. Raises Invalid for half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid("a location or URL holds half a character", "write it in whole Unicode characters") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def user() -> str:
    """Return the operating system's name for who runs this: the owner of an embedded room."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"
