"""The language in which the catalog is asked: SQL's WHERE over the columns of `dicom.attributes`, and a few functions.

A text goes through two gates. First its tokens, here: only the columns' and functions' names, literals, parentheses and the
words of `_WORDS` may occur, so that what reaches the parser is small and harmless. Then its tree, in `catalog.query`: every
node is of a kind that is translated there, or the text is refused. Nothing of the text is ever part of a statement: columns
are looked up, and literals become bound parameters. A refusal gives the place in the text, and never the text, which may
be a patient's.
"""

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.parser import Parser
from sqlglot.tokenizer_core import Token, TokenType
from sqlglot.tokens import Tokenizer

from filmroom.catalog.types import fit, storable
from filmroom.dicom.attributes import BY_NAME
from filmroom.errors import FilmroomError, Invalid
from filmroom.ids import Versioned, check_name
from filmroom.records import Column, ColumnType, Level

FUNCTIONS = {
    "matches": "matches(COLUMN, 'words'): every word occurs in the text, in any order; nodul* stands for its beginnings",
    "has_label": "has_label('SET[@V]'[, 'finding'[, 'value']]): the label set says so of it, or of what it belongs to",
    "in_snapshot": "in_snapshot('NAME@V'): a copy of it is a member of the snapshot",
}
"""The functions, each with how it is written and what it says."""

ALLOWED = (
    "a condition is made of columns, 'text', numbers, = <> < <= > >=, IN (...), BETWEEN ... AND ..., LIKE, ILIKE, "
    f"ESCAPE, IS [NOT] NULL, AND, OR, NOT, parentheses, and {', '.join(FUNCTIONS)}"
)
MAX_CHARACTERS = 100_000
MAX_DEPTH = 40
MAX_CONDITIONS = 300
MAX_LITERALS = 10_000

_T = TokenType
_SIGNS = frozenset(
    {_T.STRING, _T.NUMBER, _T.L_PAREN, _T.R_PAREN, _T.COMMA, _T.DASH, _T.EQ, _T.NEQ, _T.LT, _T.LTE, _T.GT, _T.GTE}
)
_WORDS = frozenset({_T.AND, _T.OR, _T.NOT, _T.IN, _T.BETWEEN, _T.LIKE, _T.ILIKE, _T.ESCAPE, _T.IS, _T.NULL})
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_INTEGER = re.compile(r"\d+\Z", re.ASCII)
_MAX_INT = 2**63 - 1
_WORD = re.compile(r"[^\W_]+")
_SOUGHT = re.compile(r"([^\W_]+)(\*?)")


# -- text ----------------------------------------------------------------------------------------------------------


def fold(text: str) -> str:
    """Return `text` in lower case, a character for a character (the simple mapping of UnicodeData.txt)."""
    return "".join(character.lower()[0] for character in text)


def words_of(text: str) -> str:
    """Return the words of a text: runs of letters and digits in lower case, with blanks around each; "" for none."""
    words = " ".join(_WORD.findall(fold(text)))
    return f" {words} " if words else ""


def patterns(sought: str) -> list[str]:
    """Return what `words_of` a text must be LIKE, all of them, for the text to have the words that are sought."""
    return [f"% {word}%" if star else f"% {word} %" for word, star in _SOUGHT.findall(fold(sought))]


# -- reading -------------------------------------------------------------------------------------------------------


def read(where: str, level: Level) -> list[exp.Expression]:
    """Return the conditions that all have to be true, as trees that the second gate has not seen yet; none for "".

    Raises Invalid for what the language does not have.
    """
    if len(where) > MAX_CHARACTERS:
        raise Invalid(f"a condition of more than {MAX_CHARACTERS} characters", "make it shorter, or ask in parts")
    if not where.strip():
        return []
    try:
        tokens = Tokenizer().tokenize(where)
        _check_tokens(tokens, level)
        trees = Parser().parse_into(exp.Condition, tokens, where)
    except SqlglotError:
        raise refused("the condition cannot be read") from None
    except RecursionError:
        raise too_deep() from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Expression):
        raise refused("this is not one condition")
    return _conjuncts(trees[0])


def _conjuncts(node: exp.Expression) -> list[exp.Expression]:
    inner = node
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.And):
        return [part for each in flat(inner) for part in _conjuncts(each)]
    return [node]


def flat(node: exp.Expression) -> list[exp.Expression]:
    """Return the operands of a chain of ANDs or of ORs, which the parser hangs down to the left."""
    parts: list[exp.Expression] = []
    rest: exp.Expression = node
    while type(rest) is type(node):
        parts.append(rest.args["expression"])
        rest = rest.this
    return [rest, *reversed(parts)]


def _no_function(word: str, place: str) -> Invalid:
    near = difflib.get_close_matches(word.lower(), FUNCTIONS, n=1)
    if near:
        return Invalid(f"a function {place} that does not exist", f"did you mean {FUNCTIONS[near[0]]}?")
    return refused(f"a function {place}")


def refused(what: str) -> Invalid:
    return Invalid(what, ALLOWED)


def too_deep() -> Invalid:
    return refused("the condition is nested too deeply")


def unknown(word: str, place: str) -> Invalid:
    """Refuse a word that is no column; it is only repeated by its nearest column, for it may be a patient's."""
    near = difflib.get_close_matches(word.lower(), BY_NAME, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return Invalid(f"there is no such column {place}", f"{hint}`filmroom columns` lists them; text goes in 'quotes'")


def check_side(column: Column, level: Level) -> None:
    """Refuse a column of image files for instances, and the other way round."""
    if (column.level is Level.FILE) == (level is Level.FILE):
        return
    if level is Level.FILE:
        raise Invalid(f"{column.name} is a column of DICOM objects", "image files have columns of their own")
    raise Invalid(
        f"{column.name} is a column of image files, which are kept and listed, and not de-identified or frozen yet",
        "query them at level file",
    )


# -- first gate: tokens --------------------------------------------------------------------------------------------


def _check_tokens(tokens: Sequence[Token], level: Level) -> None:
    if not tokens:
        raise refused("a comment and nothing else")
    depth = conditions = literals = 0
    run = 0  # of NOT, minus and opening parentheses: each is a step down in the parser
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        _check_token(token, following, level)
        kind = token.token_type
        depth += (kind == _T.L_PAREN) - (kind == _T.R_PAREN)
        run = run + 1 if kind in (_T.L_PAREN, _T.NOT, _T.DASH) else 0
        conditions += kind in (_T.AND, _T.OR)
        literals += kind in (_T.STRING, _T.NUMBER)
        if max(depth, run) > MAX_DEPTH:
            raise Invalid(f"a condition nested more than {MAX_DEPTH} deep", "write it flatter")
    if conditions > MAX_CONDITIONS:
        raise Invalid(f"more than {MAX_CONDITIONS} conditions", "use IN (...) for a list of values")
    if literals > MAX_LITERALS:
        raise Invalid(f"more than {MAX_LITERALS} values", "ask in parts")


def _check_token(token: Token, following: Token | None, level: Level) -> None:
    place = f"at character {token.start + 1}"
    if token.comments:
        raise refused(f"a comment {place}")
    word = token.text
    is_word = token.token_type not in _SIGNS and bool(word) and (word[0].isalnum() or word[0] == "_")
    if token.token_type == _T.IDENTIFIER or (is_word and token.token_type not in _WORDS):
        if following is not None and following.token_type == _T.L_PAREN:
            if word.lower() in FUNCTIONS and token.token_type == _T.VAR:
                return
            raise _no_function(word, place)
        if word.lower() not in BY_NAME:
            raise unknown("" if token.token_type == _T.IDENTIFIER else word, place)
        check_side(BY_NAME[word.lower()], level)
    elif token.token_type not in _SIGNS | _WORDS:
        raise refused(f"a sign {place} that has no meaning here")


# -- values --------------------------------------------------------------------------------------------------------


def column(node: exp.Expression) -> Column:
    if not isinstance(node, exp.Column) or len(node.parts) != 1 or node.name.lower() not in BY_NAME:
        raise refused("a comparison in which a column should stand")
    return BY_NAME[node.name.lower()]


def is_number(of: Column) -> bool:
    return of.type in (ColumnType.INTEGER, ColumnType.REAL)


def literal(node: exp.Expression, of: Column) -> str | int | float:
    """Return the value of a literal that can be compared with `of`."""
    if isinstance(node, exp.Null):
        raise Invalid("nothing equals NULL", "write IS NULL or IS NOT NULL")
    sign = 1
    if isinstance(node, exp.Neg):
        sign, node = -1, node.this
    if not isinstance(node, exp.Literal):
        raise refused(f"{of.name} compared with something that is no value")
    if is_number(of):
        if node.is_string:
            raise Invalid(f"{of.name} holds numbers, and is compared with text", "leave the quotes out")
        return sign * _number(str(node.this), of)
    if not node.is_string:
        raise Invalid(f"{of.name} holds text, and is compared with a number", "write the value in 'quotes'")
    if sign < 0:
        raise refused("a text with a minus")
    text = str(fit(of, node.this))
    if of.type is ColumnType.DATE and not _is_date(text):
        raise Invalid(f"{of.name} holds dates, and is compared with no date", "write for example '2024-05-31'")
    return text


def _number(text: str, of: Column) -> int | float:
    number = int(text) if _INTEGER.match(text) and len(text) <= 19 else float(text)
    if not math.isfinite(number) or abs(number) > _MAX_INT:
        raise Invalid("a number beyond 64 bits", "no column holds one")
    if of.type is ColumnType.REAL:
        return float(number)
    if number != int(number):
        raise Invalid(f"{of.name} holds whole numbers, and is compared with a fraction", "use < or >= around it")
    return int(number)


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.match(text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def pattern(text: str, escape: str) -> str:
    """Return a pattern of the language, whose escape is `escape` or none, as one whose escape is `!`."""
    signs = iter(text)
    written = []
    for sign in signs:
        is_escaped = sign == escape
        meant = next(signs, "") if is_escaped else sign
        if is_escaped and meant not in ("%", "_", escape):
            raise Invalid("an escape that stands before none of %, _ and itself", "write it twice to mean itself")
        written.append(f"!{meant}" if meant == "!" or (is_escaped and meant != escape) else meant)
    return "".join(written)


# -- functions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Labelled:
    """What `has_label` asks for: a set up to a position of its ledger (None for all of it), and what it says."""

    name: str
    version: int | None
    finding: str | None
    value: str | None


def labelled(node: exp.Anonymous) -> Labelled:
    told = _texts(node.expressions, "has_label", range(1, 4))
    name, at, version = told[0].partition("@")
    if at and not (version.isascii() and version.isdecimal() and len(version) < 16):
        raise Invalid("a version of a label set is a number", "write for example: has_label('reads@120', 'nodule')")
    finding, value = (*told[1:], None, None)[:2]
    return Labelled(_name(name, "has_label"), int(version) if at else None, finding, value)


def label_sets(parts: Iterable[exp.Expression]) -> set[str]:
    """Return the label sets that conditions name."""
    calls = (node for part in parts for node in part.find_all(exp.Anonymous))
    return {labelled(node).name for node in calls if node.name.lower() == "has_label"}


def snapshot(node: exp.Anonymous) -> Versioned:
    (told,) = _texts(node.expressions, "in_snapshot", range(1, 2))
    try:
        return Versioned.parse(told)
    except FilmroomError:
        raise Invalid("in_snapshot takes a name and a version", f"write {FUNCTIONS['in_snapshot']}") from None


def sought(node: exp.Anonymous) -> tuple[Column, list[str]]:
    """Return the column that `matches` looks into, and the patterns for its words."""
    if len(node.expressions) != 2:
        raise Invalid("matches takes a column and words", f"write {FUNCTIONS['matches']}")
    of, (words,) = column(node.expressions[0]), _texts(node.expressions[1:], "matches", range(1, 2))
    found = patterns(str(fit(of, words)))
    if not found:
        raise Invalid("matches looks for words, and there is none", f"write {FUNCTIONS['matches']}")
    return of, found


def _texts(nodes: Sequence[exp.Expression], function: str, counts: range) -> list[str]:
    if len(nodes) not in counts or not all(isinstance(node, exp.Literal) and node.is_string for node in nodes):
        raise Invalid(f"{function} takes texts in 'quotes'", f"write {FUNCTIONS[function]}")
    return [storable(str(node.this)) for node in nodes]


def _name(text: str, function: str) -> str:
    try:
        return check_name(text)
    except FilmroomError:
        raise Invalid(f"{function} takes the name of a label set", f"write {FUNCTIONS[function]}") from None
