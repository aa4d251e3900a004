"""deid-table: what another edition of the standard asks for. No room is needed."""

from pathlib import Path
from typing import Annotated

import typer

from filmroom.cli.session import Session
from filmroom.deid import docbook, table
from filmroom.deid import profile as profiles
from filmroom.errors import NotFound


def add_to(app: typer.Typer) -> None:
    app.command("deid-table")(deid_table)


def deid_table(
    context: typer.Context,
    part15: Annotated[Path, typer.Argument(metavar="PART15.XML", help="PS3.15 in DocBook, as NEMA publishes it.")],
    profile: Annotated[
        list[str] | None, typer.Option(help="Hold this profile to the edition too; may be repeated.")
    ] = None,
    to: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write the tables into this folder.")] = None,
) -> None:
    """Read the tables of PS3.15 Annex E of another edition: what is new in it, and which rules of a profile it forbids."""
    session: Session = context.obj
    newer, ours = _read(part15), table.shipped()
    if to is not None:
        to.mkdir(parents=True, exist_ok=True)
        for name, text in table.write(newer).items():
            (to / name).write_text(text, "utf-8")
    session.answer(
        {
            "edition": newer.edition,
            "sha256": newer.sha256,
            "attributes": len(newer.attributes),
            "content_items": len(newer.content_items),
            "compared_with": ours.edition,
            "changes": table.changes(ours, newer),
            "forbidden": [each for name in profile or () for each in _forbidden(profiles.load(name), newer)],
        }
    )


def _forbidden(profile: profiles.Profile, newer: table.Tables) -> list[dict[str, str]]:
    found = profiles.breaches(profile.rules, profile.options, newer)
    return [
        {"profile": profile.name, "attribute": rule.keyword, "action": rule.action, "asked": asked}
        for rule, asked in found
    ]


def _read(path: Path) -> table.Tables:
    try:
        return docbook.tables(path.read_bytes())
    except OSError:
        raise NotFound(f"there is no file {path} that can be read", "name the standard's part15.xml") from None
