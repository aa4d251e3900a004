"""The language in which the catalog is asked: SQL's WHERE over the columns of `dicom.attributes`, and nothing else.

A text goes through two gates. First its tokens: only the columns' names, literals, parentheses and the words of
`_WORDS` may occur, so that what reaches the parser is small and harmless. Then its tree: every node is of a kind that
is translated here, or the text is refused. Nothing of the text is ever part of a statement: columns are looked up, and
literals become bound parameters. A refusal gives the place in the text, and never the text, which may be a patient's.

The meaning is the same on both engines: text compares by code point and with regard to case, ILIKE without; in LIKE and
ILIKE `%` and `_` are the only special characters, but for the one that ESCAPE names. Comparing with NULL is neither true
nor false.
An entity of a level is found when at least one of its current instances satisfies the condition.
"""

import difflib
import math
import operator
import re
from collections.abc import Callable, Sequence
from datetime import date
from functools import reduce
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, Text, and_, bindparam, exists, not_, or_, select, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.parser import Parser
from sqlglot.tokenizer_core import Token, TokenType
from sqlglot.tokens import Tokenizer

from filmroom.catalog.schema import TABLES, instance
from filmroom.catalog.types import fit
from filmroom.dicom.attributes import BY_NAME, columns_of
from filmroom.errors import Invalid
from filmroom.records import Column, ColumnType, InstanceState, Level

ALLOWED = (
    "a condition is made of columns, 'text', numbers, = <> < <= > >=, IN (...), BETWEEN ... AND ..., LIKE, ILIKE, "
    "ESCAPE, IS [NOT] NULL, AND, OR, NOT and parentheses"
)
MAX_CHARACTERS = 100_000
MAX_DEPTH = 40
MAX_CONDITIONS = 300
MAX_LITERALS = 10_000
_MAX_PATTERN = 10_000

FOLD = "filmroom_fold"
"""The name under which `fold` must be registered with every SQLite connection."""

_T = TokenType
_SIGNS = frozenset(
    {_T.STRING, _T.NUMBER, _T.L_PAREN, _T.R_PAREN, _T.COMMA, _T.DASH, _T.EQ, _T.NEQ, _T.LT, _T.LTE, _T.GT, _T.GTE}
)
_WORDS = frozenset({_T.AND, _T.OR, _T.NOT, _T.IN, _T.BETWEEN, _T.LIKE, _T.ILIKE, _T.ESCAPE, _T.IS, _T.NULL})
_LEVELS = (Level.PATIENT, Level.STUDY, Level.SERIES, Level.INSTANCE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_INTEGER = re.compile(r"\d+\Z", re.ASCII)
_MAX_INT = 2**63 - 1

_COMPARISONS: dict[type[exp.Expression], Callable[[ColumnElement[Any], ColumnElement[Any]], ColumnElement[bool]]] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}
_OPERANDS: dict[type[exp.Expression], set[str]] = {exp.In: {"expressions"}, exp.Between: {"low", "high"}}


# -- case ----------------------------------------------------------------------------------------------------------


def fold(text: str) -> str:
    """Return `text` in lower case, a character for a character (the simple mapping of UnicodeData.txt)."""
    return "".join(character.lower()[0] for character in text)


class _Folded(FunctionElement[str]):
    """A text column as `fold` would write it."""

    type = Text()
    inherit_cache = True


@compiles(_Folded)
def _folded_by_us(element: _Folded, compiler: SQLCompiler, **options: object) -> str:
    return f"{FOLD}({compiler.process(element.clauses, **options)})"


@compiles(_Folded, "postgresql")
def _folded_by_postgresql(element: _Folded, compiler: SQLCompiler, **options: object) -> str:
    return f'lower({compiler.process(element.clauses, **options)} COLLATE "pg_c_utf8")'


# -- the condition -------------------------------------------------------------------------------------------------


def compile_where(where: str, level: Level) -> ColumnElement[bool]:
    """Return the condition for a statement over `level`'s table joined to those above it.

    It is true for an entity with at least one current instance that satisfies `where`; "" is satisfied by every
    instance. Raises Invalid for everything that the language does not have.
    """
    if level is Level.FILE:
        return _condition(where, level)
    condition = and_(instance.c.state == InstanceState.CURRENT, _condition(where, level))
    below = _LEVELS[_LEVELS.index(level) + 1 :]
    if not below:
        return condition
    above = [TABLES[each] for each in _LEVELS if each not in below]
    lower = exists().select_from(_joined(below)).where(_link(level, below[0]), condition)
    return lower.correlate(*above)


def compile_query(
    where: str,
    level: Level,
    *,
    chosen: Sequence[str] = (),
    order: str | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> Select[*tuple[Any, ...]]:
    """Return the statement for a row for each entity of `level`: columns of the level and above, in their own names.

    `order` is a column, with ` desc` behind it for the largest first; rows without a value come last. Rows that are
    equal by `order` are ordered by what names them: subject, study, series and SOP Instance UID, digest.
    """
    names = dict.fromkeys(_visible(name, level).name for name in chosen) or [each.name for each in columns_of(level)]
    statement = (
        select(*(_sql(BY_NAME[name]).label(name) for name in names))
        .select_from(_joined(_down_to(level)))
        .where(compile_where(where, level))
    )
    if order is not None:
        name, _, direction = order.strip().partition(" ")
        if direction.strip().lower() not in ("", "asc", "desc"):
            raise Invalid("an order is one column, with asc or desc behind it", "write for example: study_date desc")
        by = _sql(_visible(name, level))
        statement = statement.order_by((by.desc() if "desc" in direction.lower() else by.asc()).nulls_last())
    statement = statement.order_by(*entity_order(level))
    if (limit is not None and limit < 0) or offset < 0:
        raise Invalid("a limit or an offset cannot be negative", "leave it out for all rows")
    if offset:
        statement = statement.offset(min(offset, _MAX_INT))
    return statement if limit is None else statement.limit(min(limit, _MAX_INT))


def entity_order(level: Level) -> list[ColumnElement[str]]:
    """Return what names an entity of `level`, from the patient down, for a statement's ORDER BY."""
    names = {
        Level.PATIENT: ("subject",),
        Level.STUDY: ("study_uid",),
        Level.SERIES: ("series_uid",),
        Level.INSTANCE: ("sop_uid", "digest"),
        Level.FILE: ("file_name", "file_digest"),
    }
    return [TABLES[each].c[name] for each in _down_to(level) for name in names[each]]


def everything() -> FromClause:
    """Return the four levels' tables, joined."""
    return _joined(_LEVELS)


def _down_to(level: Level) -> Sequence[Level]:
    """Return the levels whose tables a row of `level` is made of, from the top."""
    return (level,) if level is Level.FILE else _LEVELS[: _LEVELS.index(level) + 1]


def _joined(levels: Sequence[Level]) -> FromClause:
    start: FromClause = TABLES[levels[0]]
    return reduce(lambda left, pair: left.join(TABLES[pair[1]], _link(*pair)), pairwise(levels), start)


def _link(upper: Level, lower: Level) -> ColumnElement[bool]:
    return TABLES[lower].c[f"{upper}_pk"] == TABLES[upper].c.pk


def _sql(column: Column) -> ColumnElement[Any]:
    found: ColumnElement[Any] = TABLES[column.level].c[column.name]
    return found


def _visible(name: str, level: Level) -> Column:
    column = BY_NAME.get(name.lower())
    if column is None:
        raise _unknown(name, "to select or to order by")
    _check_side(column, level)
    if level is not Level.FILE and _LEVELS.index(column.level) > _LEVELS.index(level):
        raise Invalid(
            f"{column.name} is a column of the level {column.level}, and a {level} has many of them",
            f"query at level {column.level}, or use {column.name} in the condition only",
        )
    return column


def _check_side(column: Column, level: Level) -> None:
    """Refuse a column of image files for instances, and the other way round."""
    if (column.level is Level.FILE) == (level is Level.FILE):
        return
    if level is Level.FILE:
        raise Invalid(f"{column.name} is a column of DICOM objects", "image files have columns of their own")
    raise Invalid(
        f"{column.name} is a column of image files, which are kept and listed, and not de-identified or frozen yet",
        "query them at level file",
    )


def _unknown(word: str, place: str) -> Invalid:
    """Refuse a word that is no column; it is only repeated by its nearest column, for it may be a patient's."""
    near = difflib.get_close_matches(word.lower(), BY_NAME, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return Invalid(f"there is no such column {place}", f"{hint}`filmroom columns` lists them; text goes in 'quotes'")


def _refused(what: str) -> Invalid:
    return Invalid(what, ALLOWED)


# -- first gate: tokens --------------------------------------------------------------------------------------------


def _condition(where: str, level: Level) -> ColumnElement[bool]:
    if len(where) > MAX_CHARACTERS:
        raise Invalid(f"a condition of more than {MAX_CHARACTERS} characters", "make it shorter, or ask in parts")
    if not where.strip():
        return true()
    try:
        tokens = Tokenizer().tokenize(where)
        _check_tokens(tokens, level)
        trees = Parser().parse_into(exp.Condition, tokens, where)
        if len(trees) != 1 or not isinstance(trees[0], exp.Expression):
            raise _refused("this is not one condition")
        return _translate(trees[0])
    except SqlglotError:
        raise _refused("the condition cannot be read") from None
    except RecursionError:
        raise _refused("the condition is nested too deeply") from None


def _check_tokens(tokens: Sequence[Token], level: Level) -> None:
    if not tokens:
        raise _refused("a comment and nothing else")
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
        raise _refused(f"a comment {place}")
    word = token.text
    is_word = token.token_type not in _SIGNS and bool(word) and (word[0].isalnum() or word[0] == "_")
    if token.token_type == _T.IDENTIFIER or (is_word and token.token_type not in _WORDS):
        if following is not None and following.token_type == _T.L_PAREN:
            raise _refused(f"a function {place}")
        if word.lower() not in BY_NAME:
            raise _unknown("" if token.token_type == _T.IDENTIFIER else word, place)
        _check_side(BY_NAME[word.lower()], level)
    elif token.token_type not in _SIGNS | _WORDS:
        raise _refused(f"a sign {place} that has no meaning here")


# -- second gate: the tree -----------------------------------------------------------------------------------------


def _translate(node: exp.Expression) -> ColumnElement[bool]:
    if isinstance(node, exp.Paren):
        return _translate(node.this)
    if isinstance(node, exp.Not):
        return not_(_translate(node.this))
    if isinstance(node, exp.And | exp.Or):
        parts = [_translate(part) for part in _flat(node)]
        return and_(*parts) if isinstance(node, exp.And) else or_(*parts)
    if isinstance(node, exp.Escape):
        return _escaping(node)
    known = {"this", "negate", *_OPERANDS.get(type(node), {"expression"})}
    if any(value for name, value in node.args.items() if name not in known):
        raise _refused("a form of comparison that does not exist here")
    found = _predicate(node)
    return not_(found) if node.args.get("negate") else found


def _flat(node: exp.Expression) -> list[exp.Expression]:
    """Return the operands of a chain of ANDs or of ORs, which the parser hangs down to the left."""
    parts: list[exp.Expression] = []
    rest: exp.Expression = node
    while type(rest) is type(node):
        parts.append(rest.args["expression"])
        rest = rest.this
    return [rest, *reversed(parts)]


def _predicate(node: exp.Expression) -> ColumnElement[bool]:
    if type(node) in _COMPARISONS:
        return _comparison(node)
    if isinstance(node, exp.Is):
        if not isinstance(node.expression, exp.Null):
            raise _refused("IS without NULL")
        return _sql(_column(node.this)).is_(None)
    if isinstance(node, exp.In):
        column, values = _column(node.this), node.args.get("expressions")
        if not values:
            raise _refused("IN without a list of values in parentheses")
        return _sql(column).in_([_literal(value, column) for value in values])
    if isinstance(node, exp.Between):
        column = _column(node.this)
        low, high = (_bound(node.args[side], column) for side in ("low", "high"))
        return and_(_sql(column) >= low, _sql(column) <= high)  # PostgreSQL's BETWEEN takes no COLLATE
    if isinstance(node, exp.Like | exp.ILike):
        return _like(_column(node.this), node.expression, folded=isinstance(node, exp.ILike))
    if isinstance(node, exp.Column):
        raise _refused("a column that is compared with nothing")
    raise _refused("something that is no comparison of a column")


def _comparison(node: exp.Expression) -> ColumnElement[bool]:
    compare = _COMPARISONS[type(node)]
    left, right = node.this, node.args["expression"]
    if isinstance(left, exp.Column) and isinstance(right, exp.Column):
        first, second = _column(left), _column(right)
        if _is_number(first) != _is_number(second):
            raise Invalid(f"{first.name} and {second.name} cannot be compared", "compare text with text")
        return compare(_sql(first), _sql(second))
    if isinstance(left, exp.Column):
        column = _column(left)
        return compare(_sql(column), _bound(right, column))
    column = _column(right)
    return compare(_bound(left, column), _sql(column))


def _escaping(node: exp.Escape) -> ColumnElement[bool]:
    like, sign = node.this, node.args["expression"]
    if not isinstance(like, exp.Like | exp.ILike):
        raise _refused("ESCAPE without LIKE or ILIKE")
    if not isinstance(sign, exp.Literal) or not sign.is_string or len(sign.this) != 1 or sign.this in "%_":
        raise Invalid("ESCAPE names one sign that is neither % nor _", "write for example ESCAPE '!'")
    found = _like(_column(like.this), like.expression, folded=isinstance(like, exp.ILike), escape=str(sign.this))
    return not_(found) if like.args.get("negate") else found


def _like(column: Column, node: exp.Expression, *, folded: bool, escape: str = "") -> ColumnElement[bool]:
    if _is_number(column) or not isinstance(node, exp.Literal) or not node.is_string:
        raise Invalid("LIKE and ILIKE compare a text column with 'text'", "% stands for any characters, _ for one")
    pattern = _pattern(str(fit(column, node.this)), escape)
    if len(pattern) > _MAX_PATTERN:
        raise Invalid(f"a pattern of more than {_MAX_PATTERN} characters", "make it shorter")
    if folded:
        return _Folded(_sql(column)).like(fold(pattern), escape="!")
    return _sql(column).like(pattern, escape="!")


def _pattern(text: str, escape: str) -> str:
    """Return a pattern of the language as one whose escape is `!`."""
    signs = iter(text)
    written = []
    for sign in signs:
        is_escaped = sign == escape
        literal = next(signs, "") if is_escaped else sign
        if is_escaped and literal not in ("%", "_", escape):
            raise Invalid("an escape that stands before none of %, _ and itself", "write it twice to mean itself")
        written.append(f"!{literal}" if literal == "!" or (is_escaped and literal != escape) else literal)
    return "".join(written)


def _column(node: exp.Expression) -> Column:
    if not isinstance(node, exp.Column) or len(node.parts) != 1 or node.name.lower() not in BY_NAME:
        raise _refused("a comparison in which a column should stand")
    return BY_NAME[node.name.lower()]


def _is_number(column: Column) -> bool:
    return column.type in (ColumnType.INTEGER, ColumnType.REAL)


def _bound(node: exp.Expression, column: Column) -> ColumnElement[Any]:
    return bindparam(None, _literal(node, column), type_=_sql(column).type, unique=True)


def _literal(node: exp.Expression, column: Column) -> str | int | float:
    """Return the value of a literal that can be compared with `column`."""
    if isinstance(node, exp.Null):
        raise Invalid("nothing equals NULL", "write IS NULL or IS NOT NULL")
    sign = 1
    if isinstance(node, exp.Neg):
        sign, node = -1, node.this
    if not isinstance(node, exp.Literal):
        raise _refused(f"{column.name} compared with something that is no value")
    if _is_number(column):
        if node.is_string:
            raise Invalid(f"{column.name} holds numbers, and is compared with text", "leave the quotes out")
        return sign * _number(str(node.this), column)
    if not node.is_string:
        raise Invalid(f"{column.name} holds text, and is compared with a number", "write the value in 'quotes'")
    if sign < 0:
        raise _refused("a text with a minus")
    text = str(fit(column, node.this))
    if column.type is ColumnType.DATE and not _is_date(text):
        raise Invalid(f"{column.name} holds dates, and is compared with no date", "write for example '2024-05-31'")
    return text


def _number(text: str, column: Column) -> int | float:
    number = int(text) if _INTEGER.match(text) and len(text) <= 19 else float(text)
    if not math.isfinite(number) or abs(number) > _MAX_INT:
        raise Invalid("a number beyond 64 bits", "no column holds one")
    if column.type is ColumnType.REAL:
        return float(number)
    if number != int(number):
        raise Invalid(f"{column.name} holds whole numbers, and is compared with a fraction", "use < or >= around it")
    return int(number)


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.match(text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False
