"""The words that a descriptor or a code string may keep, read from the files beside this module.

It holds no rule: what is done with the words is `actions.clean_descriptor`'s business.
"""

from functools import cache
from importlib import resources


@cache
def words() -> frozenset[str]:
    """Return the radiology words, lower case, eponyms not included."""
    return _read("lexicon.txt")


@cache
def code_words() -> frozenset[str]:
    """Return the words of defined terms that code strings use, lower case."""
    return _read("codestrings.txt")


@cache
def eponyms() -> frozenset[str]:
    """Return the surnames that are also medical words, lower case."""
    return _read("eponyms.txt")


def _read(name: str) -> frozenset[str]:
    text = resources.files("filmroom.deid").joinpath(name).read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())
