"""Writes the reference pages that say what the code's own tables say: `python docs/generate.py`, or `make docs`.

With `--check` it writes nothing and fails when a page is not up to date. What a table cannot say (what to do about
an error) is written here, next to what it is about; a code without words fails the run.
"""

import enum
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TypeAlias

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

import filmroom
from filmroom import errors
from filmroom.catalog import columnar, quality
from filmroom.catalog.language import FUNCTIONS
from filmroom.cli.main import app
from filmroom.cli.session import FAILED, INTERRUPTED, NOT_PERMITTED, UNAVAILABLE, USAGE, exit_code
from filmroom.deid import profile as profiles
from filmroom.deid.describe import in_words
from filmroom.dicom.attributes import BY_NAME, COLUMNS
from filmroom.dicom.required import EMPTY, MISSING
from filmroom.flow.export_catalog import kept_by
from filmroom.ingest.accept import _WORDS as NOT_DICOM
from filmroom.prepare.recipe import OPS, Op, Parameter
from filmroom.records import ColumnType, Level
from filmroom.settings import Environment
from filmroom.snapshot import gates
from filmroom.verbs import VERBS, Role, Verb

DOCS = Path(__file__).resolve().parent
SOURCE = Path(filmroom.__file__).resolve().parent
NOTE = "<!-- Made by docs/generate.py from the code's own tables. Do not edit; run `make docs`. -->"

ONLY_IN_PYTHON = ("load",)
"""Verbs without a command: what they give is arrays."""

GROUPS = {
    "The front door": "import serve batches quarantine incomplete normalize",
    "The catalog": "query quality export-catalog retrieve columns labels facts",
    "The boundary": "project deidentify review reidentify countersign",
    "Datasets": "cohort freeze snapshots show diff build verify reproduce",
    "Who may use them": "request approve deny grants revoke lease load model",
    "Evidence": "trace audit doctor",
}

OTHER_COMMANDS = ("init", "pull", "scrub", "deid-table", "demo", "version")

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

_TYPES = {
    ColumnType.TEXT: "text",
    ColumnType.INTEGER: "whole number",
    ColumnType.REAL: "number",
    ColumnType.DATE: "date",
}


def columns() -> str:
    """The query vocabulary: every column."""
    lines = [
        "# Columns",
        "",
        "What a condition can name, and a query select. [how-to/query.md](how-to/query.md) says what a condition is.",
        "",
        "A name carries its unit. Columns marked as identifying are the clinical zone's: they never leave with a snapshot.",
        "",
        *_table(("function", "what it says"), [_function(each) for each in FUNCTIONS.values()]),
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


# -- quality.md ----------------------------------------------------------------------------------------------------


def quality_measures() -> str:
    """What the quality report measures, of which columns, and between which bounds."""
    asked = [(f"`{each.column}`", ", ".join(sorted(each.modalities)) or "all") for each in quality.ASKED.values()]
    ranges = [
        (f"`{name}`", *(f"{bound:g}" for bound in each.bounds or ()), BY_NAME[name].unit)
        for name, each in quality.PLAUSIBLE.items()
    ]
    spelled = [(f"`{name}`", f"`{received}`") for name, received in quality.SPELLED.items()]
    return _page(
        [
            "# Figures about quality",
            "",
            (
                "What `filmroom quality` measures. [how-to/quality.md](how-to/quality.md) says how to read it. Something from a "
                f"header is only told where it is a term of the tables or at least {quality.SMALLEST} patients have it in the "
                f"same group; the rest is added up as `{quality.RARE}`."
            ),
            "",
            *_table(("measure", "what is counted"), [(f"`{name}`", words) for name, words in quality.MEASURES.items()]),
            "",
            "## Gates",
            "",
            "What `MEASURE >= SHARE` can ask of what is to be frozen; the share is from 0 to 1.",
            "",
            *_table(
                ("measure", "of a column", "what is counted"),
                [
                    (f"`{name}`", "yes" if name in gates.COLUMNS_OF else "", words)
                    for name, words in gates.MEASURES.items()
                ],
            ),
            "",
            "## Completeness",
            "",
            "The columns, and the modalities that they are asked of.",
            "",
            *_table(("column", "modalities"), asked),
            "",
            "## Plausible ranges",
            "",
            "Both ends are included.",
            "",
            *_table(("column", "from", "to", "unit"), ranges),
            "",
            "## Words",
            "",
            "The columns of normalised words, and where the words as received stand.",
            "",
            *_table(("column", "as received"), spelled),
        ]
    )


# -- catalog-export.md ---------------------------------------------------------------------------------------------


def catalog_export() -> str:
    """Every table of the columnar export with its columns, and which of them the de-identified form has."""
    kept = kept_by(profiles.load(profiles.DEFAULT))
    lines = [
        "# The catalog as Parquet",
        "",
        (
            "What `filmroom export-catalog` writes: `TABLE/KEY=VALUE/data.parquet`, and `export.json` with the digest and the number "
            "of rows of every partition. The key is `month` (of receipt) or `modality`; `labels` have `set`, and in the clinical form "
            "`month` (in which they were written down). A column that is the key stands in the path only. "
            "[how-to/export.md](how-to/export.md) shows how to read it."
        ),
        "",
        (
            "The last column says whether the de-identified form has it under the profile "
            f"`{profiles.DEFAULT}`. Its values are those of the copies: dates are moved, UIDs and the subject are the project's."
        ),
    ]
    for table, words in columnar.TABLES.items():
        reduced = {} if table == "files" else dict(columnar.deidentified(table, kept))
        rows = [
            (f"`{name}`", _TYPES[kind], *columnar.words(name), "yes" if name in reduced else "")
            for name, kind in {**dict(columnar.clinical(table)), **reduced}.items()
        ]
        lines += ["", f"## {table}", "", _sentence(words), ""]
        lines += _table(("column", "type", "unit", "what it is", "de-identified"), rows)
    return _page(lines)


def _function(words: str) -> tuple[str, str]:
    written, _, says = words.partition("): ")
    return f"`{written})`", says


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
    """Every shipped profile in its own words."""
    lines = [
        "# De-identification profiles",
        "",
        (
            "A profile is an allow-list. `filmroom scrub --describe NAME` prints what is below, and says the same of a profile "
            "of your own: `--describe FILE`. What the attributes of a profile may be is held to Table E.1-1 of PS3.15; "
            "[how-to/profiles.md](how-to/profiles.md) tells how to write one."
        ),
        "",
        f"A project uses `{profiles.DEFAULT}` unless it names another.",
    ]
    for name in profiles.shipped():
        lines += ["", *in_words(profiles.load(name))]
    return _page(lines)


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


def settings() -> str:
    """Every environment variable."""
    said = dict(re.findall(r'^    (\w+): .+\n    """(.+)"""$', inspect.getsource(Environment), re.MULTILINE))
    rows = []
    for name, field in Environment.model_fields.items():
        if name not in said:
            raise SystemExit(f"the setting {name} has no words: give it a docstring of one line")
        default = getattr(field.default, "get_secret_value", lambda value=field.default: value)()
        shown = "" if default in (None, "") else f"`{default}`"
        rows.append((f"`FILMROOM_{name.upper()}`", said[name], shown))
    return _page(
        [
            "# Settings",
            "",
            (
                "Secrets come from the environment. Where a room's parts are stands in its own `room.toml` "
                "([formats/room.md](formats/room.md)), who may call over DICOM in `dimse.toml` beside it "
                "([how-to/dimse.md](how-to/dimse.md)). No other settings are read."
            ),
            "",
            *_table(("variable", "what it is", "default"), rows),
            "",
            "A zone with an access key of its own uses that pair; the others, and the audit location, use the common one.",
        ]
    )


# -- errors.md -----------------------------------------------------------------------------------------------------

_TO_DO = {
    "error": "Report it: an error that has no better name is a mistake of the program.",
    "invalid": "Correct what was asked; the message says which part.",
    "not-found": "Check the name; `filmroom batches`, `filmroom snapshots` or `filmroom grants` list what there is.",
    "refused": "Read the reason. It is a decision, not a fault: trying again gives the same answer.",
    "gate-closed": "The message has the figures. Mend the data, narrow the condition, or change the gates openly.",
    "leak": "Leave one side out by the cohort, or give `--allow-leak` a reason; see [how-to/cohorts.md](how-to/cohorts.md).",
    "denied": "Ask somebody with the role, or for a grant; see [permissions.md](permissions.md).",
    "lease-ended": "Ask for a new lease; when the grant is over, make a new request.",
    "corrupt": "Run `filmroom doctor`, `filmroom verify` and `filmroom audit verify`; restore the object from a copy.",
    "unreadable": "Get the object from its source again.",
    "key-gone": "What was sealed under the key cannot be read. When that is a surprise, restore the keys folder.",
    "unavailable": "Check that the catalog and the stores answer (`filmroom doctor`), then try again.",
    "no-room": "Name the room with `--room` or `FILMROOM_ROOM`, or make one with `filmroom init`.",
}
_OTHER_ERRORS = (
    ("usage", str(USAGE), "The command line is not understood.", "See [commands.md](commands.md)."),
    ("defect", str(FAILED), "A mistake of the program.", "Report it, with the output of `--debug`."),
    ("interrupted", str(INTERRUPTED), "Somebody stopped it.", "Run it again to go on."),
    (
        "http",
        "",
        "Only over HTTP: the request is not as HTTP or DICOMweb want it.",
        "Read the message; it says what is.",
    ),
    (
        "method",
        "",
        "Only over HTTP: the resource does not have this method.",
        "See [how-to/dicomweb.md](how-to/dicomweb.md).",
    ),
)

_STATUS = {
    0: "done",
    FAILED: "failed, or a check found something: `verify`, `reproduce`, `audit verify`, `doctor`, an incomplete `import`, a "
    "`build` with failures",
    USAGE: "the command line is not understood, or what it asks for makes no sense",
    NOT_PERMITTED: "not permitted",
    UNAVAILABLE: "a part of the room does not answer; trying again may work",
    INTERRUPTED: "interrupted; run it again to go on",
}

_REASONS = {
    "archive-bomb": ("ignored", "the archive unpacks to far more than its size; the rest of it was left alone"),
    "archive-broken": ("ignored", "the archive is damaged or ends early; what came before was taken"),
    "archive-encrypted": ("ignored", "the member is encrypted"),
    "archive-member-broken": ("ignored", "the member cannot be unpacked whole, or its checksum differs"),
    "archive-members": ("ignored", "more members than are taken; the first ones were"),
    "archive-special": ("ignored", "a link, device or sparse file in an archive"),
    "checksum-mismatch": (
        "ignored, quarantined",
        "not the bytes that the manifest announced under this name (quarantined), or that Content-MD5 says (ignored)",
    ),
    "dicomdir": ("ignored", "a directory listing of a medium; the objects come by themselves"),
    "dimensions-impossible": (
        "quarantined",
        "Rows, Columns, Samples per Pixel, Number of Frames, Bits Allocated or Bits Stored is missing or no image can have it",
    ),
    "file-unreadable": ("ignored", "the file is not there, may not be read, or cannot be read to its end"),
    "folder-unreadable": ("ignored", "the folder cannot be listed"),
    "gzip-broken": ("quarantined", "it cannot be inflated to its end, or its checksum differs"),
    "header-broken": ("quarantined", "the directories of a slide's TIFF cannot be read"),
    "header-impossible": ("quarantined", "a NIfTI volume or slide of a form that none can have"),
    "link-outside": ("ignored", "a link that leads out of the folder"),
    "meta-contradicts": ("quarantined", "an identifier differs between header and data set"),
    "needs-extra:wsi": ("ignored", "a slide or a TIFF picture; `pip install 'filmroom[wsi]'` to tell"),
    "nesting-deep": ("quarantined", "sequences nest too deep"),
    "nifti-pair": ("ignored", "the header of a NIfTI pair; only single files are taken"),
    "not-a-file": ("ignored", "neither a file nor a folder"),
    "not-dicom:": ("ignored", "; ".join(f"`{kind}`: {words}" for kind, words in NOT_DICOM.items())),
    "not-dicom:part": ("ignored", "over DICOMweb: the part says that it is no application/dicom"),
    "other-study": ("ignored", "over DICOMweb: of another study than the request says"),
    "patient-erased": ("quarantined", "this patient's keys were destroyed; nothing of theirs is taken in again"),
    "pixels-broken": ("quarantined", "the fragments of the pixel data cannot be told apart"),
    "pixels-missing": ("quarantined", "it is an image, but there is no Pixel Data"),
    "pixels-short": ("quarantined", "Pixel Data has fewer bytes or fragments than the image needs"),
    "sequence-broken": ("quarantined", "a sequence cannot be read, or ends in the middle of an element"),
    "sidecar": (
        "ignored",
        "describes the volume beside it, which has its fields in the catalog if it was new to the room",
    ),
    "too-large": (
        "ignored, quarantined",
        "more bytes or elements than are taken, or than a deflated data set may inflate to",
    ),
    "transfer-syntax-wrong": (
        "quarantined",
        "the declared transfer syntax is no UID, or not that of the data set or its pixels",
    ),
    "truncated": ("quarantined", "it ends early; the detail says where"),
    "uid-conflict": (
        "conflict",
        "the room has this SOP Instance UID with other bytes; both are kept until somebody decides",
    ),
    "uid-malformed": ("quarantined", "a UID is not at most 64 digits and dots"),
    "uid-missing": ("quarantined", "a UID is missing or empty"),
    "unreadable": ("ignored, quarantined", "the source did not give its bytes, or they are no data elements"),
    "volume-short": ("quarantined", "a volume with fewer voxels than its header says"),
}
"""Reasons of the front door: what becomes of the object, and what it means."""

_FINDINGS = {
    "charset-unknown": "Specific Character Set names one that does not exist; its texts are read as far as they are ASCII",
    "element-repeated": "an attribute comes twice; the first counts",
    "elements-unordered": "attributes are not in the order of their tags",
    "findings-left-out": "there are more findings than are kept",
    "group-misplaced": "an attribute of the file's header lies in the data set",
    "meta-missing": "the file has no header (group 0002)",
    "sidecar-unreadable": "the JSON beside a volume is no JSON object, or too large",
    "units-unknown": "a volume does not say in which unit it counts; millimetres are taken",
    "volume-long": "a volume has more bytes than its header says",
    "volume-not-counted": "a compressed volume was not inflated to count its voxels: it would be too large",
    "offset-table-wrong": "an offset table of compressed pixels does not lead from frame to frame",
    "pixels-long": "Pixel Data is longer than the image",
    "preamble-missing": "the file does not begin as PS3.10 says",
    "preamble-polyglot": "the first bytes make the file something else to another program",
    "preamble-used": "the first 128 bytes are not empty",
    "text-undecodable": "a text has bytes that its character set does not have",
    "trailing-zeros": "zeros follow the data set",
    "transfer-syntax-missing": "the header does not say how the data set is encoded; it was recognised",
    "transfer-syntax-unknown": "the transfer syntax is none of the standard's",
    MISSING: "an attribute that every object of the SOP class must have (type 1) is not there",
    EMPTY: "an attribute that every object of the SOP class must have a value for (type 1) is empty",
    "uid-invalid": "a UID breaks the rules for UIDs in a harmless way",
    "value-broken": "a value has a length that its kind cannot have",
    "value-missing": "there is no Patient ID",
    "value-odd": "a value breaks the rules of its kind",
    "value-unreadable": "a value that the catalog keeps cannot be read; its column stays empty",
    "vr-unknown": "a value of a kind that DICOM does not have",
}
"""What the front door notes about an object that it lets in all the same."""

RAISED = r'^    code: ClassVar\[str\] = "(.+)"|^    code = "(.+)"|_complain\(\s*"([\w-]+)"|^    \d+: \("([\w-]+)"'
"""How the code spells error codes: classes, the command line's last words, HTTP's."""

_FRONT_DOOR = ("ingest/*.py", "dicom/walk.py", "dicom/parse.py", "flow/rece*.py", "web/*.py", "dimse/*.py")


def error_codes() -> str:
    """Codes, exit statuses, and the front door's reasons."""
    kinds = {each.code: each for each in (errors.FilmroomError, *_below(errors.FilmroomError))}
    rows = [
        (code, str(exit_code(kinds[code](""))), inspect.cleandoc(kinds[code].__doc__ or "").split("\n")[0], to_do)
        for code, to_do in _TO_DO.items()
    ]
    rows[0] = (*rows[0][:2], "None of the others.", rows[0][3])
    rows += _OTHER_ERRORS
    _check_all("error code", {row[0] for row in rows}, _found(RAISED, "**/*.py"))
    spelled = r'\b(?:Reason|refuse)\(\s*f?"([\w:-]+)|^UID_CONFLICT = "(.+)"'
    _check_all("reason", _REASONS.keys(), _found(spelled, *_FRONT_DOOR))
    # `code` is one of two that are spelled out elsewhere; another name would hide a code from the line above.
    _check_all(
        "reason by name", {"code", "UID_CONFLICT"}, _found(r"\b(?:Reason|\.refuse)\(\s*([A-Za-z_.]+)\b,", *_FRONT_DOOR)
    )
    elsewhere = {MISSING, EMPTY, "uid-invalid", "value-broken", "value-odd", "vr-unknown"}
    noted = _found(r'\b(?:Finding|note)\(\s*"([\w-]+)"', "dicom/walk.py", "dicom/parse.py", "ingest/*.py")
    _check_all("finding", _FINDINGS.keys(), noted | elsewhere)
    return _page(
        [
            "# Errors and reasons",
            "",
            (
                "An error is one line on stderr, `error[code]: what happened; what to do next`. Codes stay. No error carries a "
                "patient's value."
            ),
            "",
            *_table(
                ("code", "exit status", "what it means", "what to do"), [(f"`{code}`", *rest) for code, *rest in rows]
            ),
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
            *_table(
                ("code", "what becomes of it", "in words"),
                [(f"`{code}{'...' * code.endswith(':')}`", *rest) for code, rest in _REASONS.items()],
            ),
            "",
            "## Findings of the front door",
            "",
            "What is noted about an object that is let in all the same: the code, and which attribute. Never its value.",
            "",
            *_table(("code", "in words"), [(f"`{code}`", words) for code, words in sorted(_FINDINGS.items())]),
        ]
    )


def _below(kind: type[errors.FilmroomError]) -> Iterator[type[errors.FilmroomError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _found(pattern: str, *places: str) -> set[str]:
    """Return what a pattern's groups match in the program's text."""
    texts = (path.read_text("utf-8") for place in places for path in SOURCE.glob(place))
    return {"".join(found) for text in texts for found in re.findall(pattern, text, re.MULTILINE)}


def _check_all(what: str, told: AbstractSet[str], used: AbstractSet[str]) -> None:
    if told != used:
        raise SystemExit(
            f"docs/errors.md: {what}: {', '.join(sorted(told ^ used))}: in the code and not here, or here only"
        )


# -- pages ---------------------------------------------------------------------------------------------------------

PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "columns.md": columns,
    "quality.md": quality_measures,
    "catalog-export.md": catalog_export,
    "recipes.md": recipes,
    "profiles.md": deidentification,
    "permissions.md": permissions,
    "settings.md": settings,
    "errors.md": error_codes,
}


def main(arguments: Sequence[str], folder: Path = DOCS) -> int:
    stale = [
        name
        for name, make in PAGES.items()
        if not (folder / name).exists() or (folder / name).read_text("utf-8") != make()
    ]
    for name in stale:
        if "--check" in arguments:
            sys.stderr.write(f"docs/{name} is not up to date; run: make docs\n")
        else:
            (folder / name).write_text(PAGES[name](), "utf-8")
    return 1 if stale and "--check" in arguments else 0


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
