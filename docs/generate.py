"""Writes the reference pages that say what the code's own tables say: `python docs/generate.py`, or `make docs`.

With `--check` it writes nothing and fails when a page is not up to date. What a table cannot say (the grammar of WHERE,
what to do about an error) is written here, next to what it is about; a code without words fails the run.
"""

import ast
import enum
import inspect
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import typer
from pydicom.uid import UID
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

import filmroom
from filmroom import errors
from filmroom.cli.main import app
from filmroom.cli.session import FAILED, INTERRUPTED, NOT_PERMITTED, UNAVAILABLE, USAGE, exit_code
from filmroom.deid import profile as profiles
from filmroom.dicom.attributes import COLUMNS
from filmroom.ingest.accept import _WORDS as NOT_DICOM
from filmroom.prepare.recipe import OPS, Op, Parameter
from filmroom.records import ColumnType, Level
from filmroom.settings import Environment
from filmroom.verbs import VERBS, Role, Verb

DOCS = Path(__file__).resolve().parent
SOURCE = Path(filmroom.__file__).resolve().parent
NOTE = "<!-- Made by docs/generate.py from the code's own tables. Do not edit; run `make docs`. -->"

ONLY_IN_PYTHON = ("load",)
"""Verbs without a command: what they give is arrays."""

GROUPS = {
    "The front door": "import serve batches quarantine",
    "The catalog": "query retrieve columns labels",
    "The boundary": "project deidentify review",
    "Datasets": "freeze snapshots show diff build verify reproduce",
    "Who may use them": "request approve deny grants revoke lease load model",
    "Evidence": "trace audit doctor",
}

OTHER_COMMANDS = ("init", "pull", "demo", "version")

Command: TypeAlias = TyperCommand | TyperGroup


# -- commands.md ---------------------------------------------------------------------------------------------------


def commands() -> str:
    """Every command with its arguments and options, one heading a verb, in the order of the flow."""
    tree = typer.main.get_command(app)
    assert isinstance(tree, TyperGroup)
    lines = [
        "# Commands",
        "",
        (
            "A command is a verb: the same name stands in the [permissions](permissions.md), in the audit log, and as a method "
            "of `Room` in Python."
        ),
        "",
        "Every command takes these options, before or after its name:",
        "",
        *_table(("option", "what it does"), [(f"`{_name(each)}`", each.help or "") for each in _parameters(tree)]),
        "",
        (
            "With `--json` exactly one JSON document goes to stdout; progress and errors go to stderr. "
            "[errors.md](errors.md) lists the exit statuses."
        ),
    ]
    for title, names in GROUPS.items():
        lines += ["", f"## {title}"]
        for name in names.split():
            lines += ["", *_verb(VERBS[name], tree)]
    lines += [
        "",
        "## Around the verbs",
        "",
        "These are no verbs. What `pull` and `demo` do is asked and logged under the verbs that they use.",
    ]
    for name in OTHER_COMMANDS:
        lines += ["", f"### {name}", "", *_command(f"filmroom {name}", _child(tree, name))]
    return _page(lines)


def _verb(verb: Verb, tree: TyperGroup) -> Iterator[str]:
    yield from (f"### {verb.name}", "", f"{_sentence(verb.summary)} In Python: `Room.{verb.method}`.")
    if verb.name in ONLY_IN_PYTHON:
        yield from ("", 'Only in Python: `filmroom.load("lung@1", room="room", lease=token)`.')
        return
    yield ""
    command = _child(tree, verb.name)
    if not isinstance(command, TyperGroup):
        yield from _command(f"filmroom {verb.name}", command)
        return
    if command.invoke_without_command:
        yield from (*_command(f"filmroom {verb.name}", command), "")
    parts = [
        line
        for name in command.commands
        for line in (*_command(f"filmroom {verb.name} {name}", _child(command, name)), "")
    ]
    yield from parts[:-1]


def _child(tree: TyperGroup, name: str) -> Command:
    found = tree.commands[name]
    assert isinstance(found, Command)
    return found


def _command(name: str, command: Command) -> Iterator[str]:
    parameters = _parameters(command)
    words = [name]
    for each in parameters:
        shown = _name(each)
        optional = not each.required and not shown.startswith("[")
        words.append(f"[{shown}]" if optional else shown)
    yield from ("```", *textwrap.wrap(" ".join(words), 110, subsequent_indent="    "), "```", "")
    yield _sentence(inspect.cleandoc(command.help or ""))
    rows = [(f"`{_name(each)}`", each.help, _default(each)) for each in parameters if each.help]
    if rows:
        yield from ("", *_table(("argument or option", "what it is", "default"), rows))


def _parameters(command: Command) -> list[TyperArgument | TyperOption]:
    found = [each for each in command.params if isinstance(each, TyperArgument | TyperOption) and each.name != "help"]
    return sorted(found, key=lambda each: isinstance(each, TyperOption) and not each.required)


def _name(each: TyperArgument | TyperOption) -> str:
    if isinstance(each, TyperArgument):
        return each.metavar or str(each.name).upper()
    kind = each.type_descriptor.annotation
    if kind is bool:
        return "/".join((*each.opts, *(other for other in each.secondary_opts if not other.startswith("--no-"))))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        value = "|".join(str(member.value) for member in kind)
    else:
        value = each.metavar or {int: "N", Path: "FILE"}.get(kind, "TEXT")
    return f"{each.opts[0]} {value}" + (" ..." if each.multiple else "")


def _default(each: TyperArgument | TyperOption) -> str:
    if each.required:
        return "required"
    value = each.default
    if value in (None, "", False) or callable(value):
        return ""
    return f"`{value.value if isinstance(value, enum.Enum) else value}`"


# -- columns.md ----------------------------------------------------------------------------------------------------

_GRAMMAR = """
## What a condition is

A condition is SQL's `WHERE` over the columns below, and nothing else. It can hold columns, `'text'`, numbers,
parentheses and:

| form | example |
|---|---|
| `=` `<>` `!=` `<` `<=` `>` `>=` | `slice_thickness_mm <= 1.5` |
| `IN (...)` | `modality IN ('CT', 'MR')` |
| `BETWEEN ... AND ...`, both ends included | `study_date BETWEEN '2023-01-01' AND '2023-12-31'` |
| `LIKE`, with regard to case | `kernel LIKE 'B%'` |
| `ILIKE`, without regard to case | `series_description ILIKE '%lung%'` |
| `IS NULL`, `IS NOT NULL` | `contrast_agent IS NULL` |
| `NOT`, `AND`, `OR`, in this order of binding | `NOT (sex = 'M' OR sex IS NULL) AND age_years >= 18` |
| a column against a column | `rows = columns` |

There are no functions, no arithmetic, no subqueries, no comments and no semicolons. A refusal names the place in the
text and never the text, which may be a patient's.

## What it means

- The meaning is the same on SQLite and on PostgreSQL.
- An entity of the asked level is found when **at least one of its current instances** satisfies the whole condition.
  `modality = 'CT' AND rows = 512` at level `study` finds studies with one instance that is both.
- Current are the instances that were let in and neither wait as a conflict nor were superseded or rejected.
- Text compares by code point and with regard to case. In `LIKE` and `ILIKE`, `%` stands for any characters and `_` for
  one; there is no escape.
- Numbers compare with numbers, text with text. A date is text of the form `'2024-05-31'`.
- A comparison with a column that has no value is neither true nor false, so neither it nor its `NOT` finds anything:
  `sex <> 'M'` does not find patients without a sex. Use `IS NULL`.
- An empty condition finds everything.
- The columns of a row are those of its level and the levels above; a condition can use all of them at every level.
- Rows come in the order of `--order`, rows without a value last; then by subject, study, series and SOP Instance UID.
- Bounds: 100,000 characters, nested 40 deep, 300 times `AND` and `OR`, 10,000 values.
"""

_TYPES = {
    ColumnType.TEXT: "text",
    ColumnType.INTEGER: "whole number",
    ColumnType.REAL: "number",
    ColumnType.DATE: "date",
}


def columns() -> str:
    """The query vocabulary: what a condition is, what it means, and every column."""
    lines = [
        "# Columns and conditions",
        "",
        (
            "What `filmroom query`, `filmroom deidentify --where` and `filmroom freeze --where` understand. "
            "[how-to/query.md](how-to/query.md) shows it at work."
        ),
        _GRAMMAR.rstrip(),
        "",
        "## Columns",
        "",
        "A name carries its unit. Columns marked as identifying are the clinical zone's: they never leave with a snapshot.",
    ]
    for level in Level:
        lines += ["", f"### {level}", ""]
        rows = [
            (
                f"`{each.name}`",
                _TYPES[each.type],
                each.unit,
                each.description,
                each.dicom,
            )
            for each in COLUMNS
            if each.level is level
        ]
        lines += _table(("column", "type", "unit", "what it is", "DICOM attribute"), rows)
    return _page(lines)


# -- recipes.md ----------------------------------------------------------------------------------------------------


def recipes() -> str:
    """Every op of the recipe vocabulary, and the recipes that come with filmroom."""
    lines = [
        "# Recipe vocabulary",
        "",
        (
            "A recipe says how instances become samples. It is TOML, and these are all its words. "
            "[how-to/recipe.md](how-to/recipe.md) shows how to write one."
        ),
        "",
        *_table(
            ("key", "what it is"),
            [
                ("`name`", "what the recipe is called: 1 to 63 lower-case letters, digits, dots, dashes, underscores"),
                ("`version`", "a whole number from 1; yours to raise; default 1"),
                ("`kind`", '`"image"`: every frame is a sample; `"volume"`: every series is one'),
                ("`frames`", '`"all"` (default) or, for images, `"middle"`: only the middle frame of each instance'),
                ("`[[step]]`", "a table a step, in order; each has an `op` of those below, and its parameters"),
            ],
        ),
        "",
        "The digest of a recipe covers what it means: defaults and the version of every op too, comments and spacing not.",
    ]
    for name, op in OPS.items():
        lines += ["", f"## {name}", "", *_op(op)]
    lines += ["", "## Recipes that come with filmroom", ""]
    shipped = sorted((SOURCE / "prepare" / "recipes").glob("*.toml"))
    rows = [
        (
            f"[{path.name}](../src/filmroom/prepare/recipes/{path.name})",
            path.read_text("utf-8").split("\n")[0].lstrip("# "),
        )
        for path in shipped
    ]
    return _page([*lines, *_table(("file", "what it makes"), rows)])


def _op(op: Op) -> Iterator[str]:
    yield _sentence(op.summary)
    yield ""
    kinds = " and ".join(op.kinds)
    place = (
        " In a volume it works on single frames, so it comes before the steps on the whole." if op.frame_wise else ""
    )
    yield f"For {kinds}; version {op.version}.{place}"
    if op.parameters:
        rows = [(f"`{name}`", *_parameter(each)) for name, each in op.parameters.items()]
        yield from ("", *_table(("parameter", "type", "what it is", "default"), rows))


def _parameter(each: Parameter) -> tuple[str, str, str]:
    if each.choices:
        kind = "one of " + ", ".join(f"`{choice}`" for choice in each.choices)
    elif each.type == "switch":
        kind = "`true` or `false`"
    else:
        kind = each.type
        if (each.low, each.high) != (-1e9, 1e9):
            high = f" to {each.high:g}" if each.high != 1e9 else ""
            kind += f", {'from ' if not high else ''}{each.low:g}{high}"
    default = "required" if each.default is None else f"`{str(each.default).lower()}`"
    return kind, each.summary, default


# -- profiles.md ---------------------------------------------------------------------------------------------------


def deidentification() -> str:
    """Every shipped profile: which SOP classes it lets through, and what happens to which attribute of which group."""
    lines = [
        "# De-identification profiles",
        "",
        (
            "A profile is an allow-list. An attribute that is not below is removed, at every depth; a SOP class that is not "
            f"below is refused. Every copy also says that it was de-identified, and how ({', '.join(profiles.STAMPED)})."
        ),
    ]
    for name in profiles.shipped():
        profile = profiles.load(name)
        lines += ["", f"## {name}", ""]
        if name == profiles.DEFAULT:
            lines += ["What a project uses unless it names another.", ""]
        lines += [f"Digest: `{profile.digest}`.", "", "### SOP classes", "", *_classes(profile)]
        lines += ["", "### Attributes, by group", "", *_groups(profile)]
    return _page(lines)


def _classes(profile: profiles.Profile) -> list[str]:
    named = tomllib.loads(profile.text)["classes"]
    rows = [
        (
            UID(uid).name,
            ", ".join(named[UID(uid).name].split()),
            ", ".join(code for code, _ in profiles.codes(profile, uid)),
        )
        for uid in profile.rules
    ]
    return _table(("SOP class", "groups", "CID 7050 codes of what is done"), rows)


def _groups(profile: profiles.Profile) -> list[str]:
    survivors = {keyword for keyword, _ in profiles.describe(profile)}
    told: set[str] = set()
    rows = []
    for group, actions in tomllib.loads(profile.text)["groups"].items():
        for action, words in actions.items():
            keywords = [word for word in words.split() if word in survivors]
            told.update(keywords)
            rows.append((group, profiles.SENTENCES[profiles.Action(action)], ", ".join(keywords)))
            group = ""
    if told != survivors:
        raise SystemExit(f"profile {profile.name}: some attributes are in no group")
    return _table(("group", "what happens", "attributes"), rows)


# -- permissions.md ------------------------------------------------------------------------------------------------


def permissions() -> str:
    """The matrix of roles and verbs."""
    roles = list(Role)
    rows = [
        (
            f"[{verb.name}](commands.md#{verb.name})",
            *("yes" if role in verb.roles else "" for role in roles),
            ", ".join(sorted(verb.zones)),
        )
        for verb in VERBS.values()
    ]
    return _page(
        [
            "# Permissions",
            "",
            (
                "Which role may do what, and which zones a verb touches. What is not permitted is denied. The policy itself is "
                "[room.cedar](../src/filmroom/govern/policies/room.cedar); a test holds it to this table."
            ),
            "",
            *_table(("verb", *roles, "zones"), rows),
            "",
            (
                "Beside the roles: nobody decides a request of their own; a lease or a read needs a grant that the actor holds, "
                "that has not expired and that was not revoked."
            ),
            "",
            "In an embedded room (a folder) every identity holds every role; see [security.md](security.md).",
        ]
    )


# -- settings.md ---------------------------------------------------------------------------------------------------

_SETTINGS = {
    "s3_endpoint": "URL of the S3 service, for example `https://s3.example.org`.",
    "s3_region": "Region of the S3 service.",
    "s3_access_key": "Access key for every zone that has none of its own.",
    "s3_secret_key": "Secret key that goes with it.",
    "clinical_s3_access_key": "Access key for the clinical zone only.",
    "clinical_s3_secret_key": "Secret key that goes with it.",
    "research_s3_access_key": "Access key for the research zone only.",
    "research_s3_secret_key": "Secret key that goes with it.",
    "models_s3_access_key": "Access key for the models zone only.",
    "models_s3_secret_key": "Secret key that goes with it.",
}

_ROOM_FILE = """
## room.toml

`filmroom init` writes this file into the room's folder, last of all: a folder that has it is a whole room. It holds no
secret. Relative locations are below the folder.

```toml
format = 1
name = "room-..."                  # drawn at random; the audit log and leases carry it

[catalog]
url = "sqlite:///catalog.db"       # an SQLAlchemy URL: SQLite, or postgresql+psycopg://user@host/database

[zones]
clinical = "zones/clinical"        # a folder, or s3://bucket/prefix
research = "zones/research"
models = "zones/models"

[audit]
location = "audit"                 # where the newest signed checkpoint is kept: a folder, or s3://bucket/prefix

[keys]
folder = "keys"                    # five files; whoever can read them can read the room
```

[formats/room.md](formats/room.md) says what else lies in the folder.
"""


def settings() -> str:
    """Every environment variable, and the room's own file."""
    said = _docstrings_of(Environment)
    rows = []
    for name, field in Environment.model_fields.items():
        words = said.get(name) or _SETTINGS.get(name)
        if not words:
            raise SystemExit(f"the setting {name} has no words: give it a docstring")
        default = getattr(field.default, "get_secret_value", lambda value=field.default: value)()
        shown = "" if default in (None, "") else f"`{default}`"
        rows.append((f"`FILMROOM_{name.upper()}`", words, shown))
    return _page(
        [
            "# Settings",
            "",
            "Secrets come from the environment; where a room's parts are stands in its own file, `room.toml`; who may call over DICOM "
            "stands in `dimse.toml` beside it ([how-to/dimse.md](how-to/dimse.md)). No other settings are read.",
            "",
            "## Environment",
            "",
            *_table(("variable", "what it is", "default"), rows),
            "",
            "A zone with an access key of its own uses that pair; the others, and the audit location, use the common one.",
            _ROOM_FILE.rstrip(),
        ]
    )


def _docstrings_of(owner: type) -> dict[str, str]:
    """Return the texts that stand below the fields of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    assert isinstance(body, ast.ClassDef)
    said = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            said[field.target.id] = str(text.value.value)
    return said


# -- errors.md -----------------------------------------------------------------------------------------------------

_TO_DO = {
    "error": "Report it: an error that has no better name is a mistake of the program.",
    "invalid": "Correct what was asked; the message says which part.",
    "not-found": "Check the name; `filmroom batches`, `filmroom snapshots` or `filmroom grants` list what there is.",
    "refused": "Read the reason. It is a decision, not a fault: trying again gives the same answer.",
    "denied": "Ask somebody with the role, or for a grant; see [permissions.md](permissions.md).",
    "lease-ended": "Ask for a new lease; when the grant is over, make a new request.",
    "corrupt": "Run `filmroom doctor`, `filmroom verify` and `filmroom audit verify`; restore the object from a copy.",
    "unreadable": "Get the object from its source again.",
    "key-gone": "What was sealed under the key cannot be read. When that is a surprise, restore the keys folder.",
    "no-room": "Name the room with `--room` or `FILMROOM_ROOM`, or make one with `filmroom init`.",
    "unavailable": "Check that the catalog and the stores answer (`filmroom doctor`), then try again.",
}

_STATUS = {
    0: "done",
    FAILED: "failed, or a check found something: `verify`, `reproduce`, `audit verify`, `doctor`, an incomplete `import`, a "
    "`build` with failures",
    USAGE: "the command line is not understood, or what it asks for makes no sense",
    NOT_PERMITTED: "not permitted",
    UNAVAILABLE: "a part of the room does not answer; trying again may work",
    INTERRUPTED: "interrupted; run it again to go on",
}

_ALSO = {
    "dimensions-impossible": {
        "Rows, Columns, Samples per Pixel, Number of Frames, Bits Allocated or Bits Stored is missing or no image can have it"
    },
    "sequence-broken": {"a sequence cannot be read"},
    "uid-conflict": {"the room has this SOP Instance UID with other bytes; both are kept until somebody decides"},
    "not-dicom:...": {f"`{kind}`: {words}" for kind, words in NOT_DICOM.items()},
}
"""Reason codes and words that the code puts together from variables."""

_IGNORED = {"dicomdir", "not-dicom:..."}


def error_codes() -> str:
    """Codes, exit statuses, and the front door's reasons."""
    kinds: list[type[errors.FilmroomError]] = [errors.FilmroomError, *_below(errors.FilmroomError)]
    rows = []
    for kind in kinds:
        if kind.code not in _TO_DO:
            raise SystemExit(f"the error code {kind.code} has no words")
        doc = inspect.cleandoc(kind.__doc__ or "").split("\n")[0]
        if kind is errors.FilmroomError:
            doc = "None of the others."
        rows.append((f"`{kind.code}`", str(exit_code(kind(""))), doc, _TO_DO[kind.code]))
    rows.append(("`usage`", str(USAGE), "The command line is not understood.", "See [commands.md](commands.md)."))
    rows.append(("`defect`", str(FAILED), "A mistake of the program.", "Report it, with the output of `--debug`."))
    rows.append(("`interrupted`", str(INTERRUPTED), "Somebody stopped it.", "Run it again to go on."))
    return _page(
        [
            "# Errors and reasons",
            "",
            (
                "An error is one line on stderr, `error[code]: what happened; what to do next`. Codes stay. No error carries a "
                "patient's value."
            ),
            "",
            *_table(("code", "exit status", "what it means", "what to do"), rows),
            "",
            "## Exit statuses",
            "",
            *_table(("status", "meaning"), [(str(status), words) for status, words in _STATUS.items()]),
            "",
            "## Reasons of the front door",
            "",
            (
                "Why an object was not simply stored. An object has all the reasons that apply. What to do about them: "
                "[how-to/quarantine.md](how-to/quarantine.md)."
            ),
            "",
            *_table(("code", "what becomes of it", "in words"), list(_reasons())),
        ]
    )


def _below(kind: type[errors.FilmroomError]) -> Iterator[type[errors.FilmroomError]]:
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield each
            yield from _below(each)


def _reasons() -> Iterator[tuple[str, str, str]]:
    """Yield code, outcome and words of every reason that the front door's code gives."""
    source = {path.stem: _stated(path) for path in (SOURCE / "ingest").glob("*.py")}
    parsed = [_stated(SOURCE / "dicom" / f"{name}.py") for name in ("walk", "parse")]
    ignored = _merged(source.values())
    quarantined = _merged(parsed)
    known = _ALSO.keys() | ignored.keys() | quarantined.keys()
    for code in sorted(known):
        outcomes = [
            outcome
            for outcome, among in (
                ("ignored", code in ignored or code in _IGNORED),
                ("quarantined", code in quarantined),
                ("conflict", code == "uid-conflict"),
            )
            if among
        ]
        words = ignored.get(code, set()) | quarantined.get(code, set()) | _ALSO.get(code, set())
        yield f"`{code}`", ", ".join(outcomes), "; ".join(sorted(words))


def _stated(path: Path) -> dict[str, set[str]]:
    """Return the codes and words of the reasons in a module: calls of `Reason` and `refuse` with both spelled out."""
    said: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call) or len(node.args) != 2:
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        code, words = node.args
        if name in ("Reason", "refuse") and isinstance(code, ast.Constant):
            said.setdefault(str(code.value), set()).update({_text(words)} - {""})
    return said


def _text(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) for part in parts)
        case ast.Call():
            return "ends in the middle of an element, or has fewer bytes than it states"
        case ast.FormattedValue():
            return "..."
        case _:
            return ""


def _merged(many: Iterable[dict[str, set[str]]]) -> dict[str, set[str]]:
    merged: dict[str, set[str]] = {}
    for said in many:
        for code, words in said.items():
            merged.setdefault(code, set()).update(words)
    return merged


# -- pages ---------------------------------------------------------------------------------------------------------

PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "columns.md": columns,
    "recipes.md": recipes,
    "profiles.md": deidentification,
    "permissions.md": permissions,
    "settings.md": settings,
    "errors.md": error_codes,
}


def stale() -> list[str]:
    """Return the names of the pages that are not what this program would write."""
    return [name for name, make in PAGES.items() if _read(DOCS / name) != make()]


def main(arguments: Sequence[str]) -> int:
    if "--check" in arguments:
        for name in (found := stale()):
            sys.stderr.write(f"docs/{name} is not up to date; run: make docs\n")
        return 1 if found else 0
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), "utf-8")
    return 0


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def _page(lines: Sequence[str]) -> str:
    first, *rest = lines
    return "\n".join([first, "", NOTE, *rest]) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(head), "|" + "---|" * len(head), *map(line, rows)]


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", "!", "?")) else ".")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
