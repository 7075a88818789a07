"""Cells that hold several values: lists, lists in text as JSON, Python or numpy write them, names with a separator."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from trimtab.values import parse

SEPARATORS = ("|", ";", ",")  # that are looked for, in this order
_LOOKED_AT = 10_000

# What one item of a list may look like in Python's and in numpy's writing; np.str_('a') is 'a'.
_QUOTED = r"""[bu]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_BARE = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|-?inf|nan|NaN|NaT|None|True|False|null|true|false|<NA>"
_ITEM = rf"(?:{_QUOTED}|{_BARE})"
_WRAPPED = re.compile(rf"\b[A-Za-z_][\w.]*\(\s*({_ITEM})\s*\)")
_CALLED = re.compile(
    r"(?:(?:np|numpy|torch|pd|collections)\.)?(?:array|tensor|Index|set|frozenset|list|tuple|deque)"
    r"\((.*?)(?:,\s*(?:dtype|name|device|length|maxlen)=[^\[\]'\"{}]*(?:'[^']*'|\"[^\"]*\")?[^\[\]'\"{}]*)?\)",
    re.S,
)
_COMMAS = re.compile(rf"\s*({_ITEM})\s*(?:,|$)", re.S)
_SPACES = re.compile(rf"\s*({_ITEM})(?:\s+|$)", re.S)
_CLOSES = {"[": "]", "(": ")", "{": "}"}
_WORDS = {"True": True, "true": True, "False": False, "false": False}
_BITS = frozenset({"0", "1", "True", "False", "true", "false"})
_NOTHING = frozenset({"None", "null", "nan", "NaN", "NaT", "<NA>"})
# A part of a list that could not be read, or one of which numpy left the middle out; a smiley is none.
_PIECE = re.compile(
    r"""\[\s*['"]?\w[^\]]*|[^\[]*\w['"]?,?\s*\]|[({]\s*['"][^)}]*|[^({]*['"],?\s*[)}]|\[.*\s\.\.\.\s.*\]""", re.S
)
UNREADABLE = "a piece of a list that cannot be read: write it as JSON does"


def items(value: Any, separator: str | None = None) -> list[Any]:
    """The values of a cell; text is cut at the separator, or at white space where there is none."""
    found = listed(value)
    if found is not None:
        return found
    if not isinstance(value, str):
        return [] if value is None else [value]
    text = value.strip()
    if separator == "," and text[:1] in _CLOSES and text[-1:] == _CLOSES[text[:1]]:
        text = text[1:-1]  # [a, b]
    return [part for part in map(str.strip, text.split(separator)) if part]


def listed(value: Any) -> list[Any] | None:
    """The values of a list, a tuple, a set, an array, or of one that is written as text; None for anything else."""
    if isinstance(value, str):
        return _parsed(value.strip())
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return list(value) if isinstance(value, (list, tuple)) else None


def _parsed(text: str) -> list[Any] | None:
    """The items of a list as JSON, Python or numpy write it: ["a"], ['a', None], ('a',), [0 1 0], array([1., 2.])."""
    if text[-1:] not in ("]", ")", "}"):
        return None
    if text.startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list):
            return found
    called = _CALLED.fullmatch(text)
    text = called[1].strip() if called else text
    if called and not text:
        return []
    if len(text) < 2 or _CLOSES.get(text[0]) != text[-1]:
        return None
    inside = _WRAPPED.sub(r"\1", text[1:-1]).strip()
    if (text[0] == "(" and "," not in inside) or (text[0] == "{" and not inside):  # a remark in brackets, an object
        return None
    found = _cut(inside, _COMMAS)
    return found if found is not None or text[0] != "[" else _cut(inside, _SPACES)


def _cut(inside: str, item: re.Pattern[str]) -> list[Any] | None:
    """The items, one after the other; None where something else stands between them."""
    found, position = [], 0
    while position < len(inside):
        match = item.match(inside, position)
        if not match:
            return None
        found.append(_item(match[1]))
        position = match.end()
    return found


def _item(written: str) -> Any:
    """One item: a string, a number, a truth, or None."""
    if written in _NOTHING:
        return None
    if written in _WORDS:
        return _WORDS[written]
    if written[-1] in "'\"":
        try:
            found = ast.literal_eval(written)
        except (ValueError, SyntaxError):  # an escape that Python does not know
            found = written[1:-1]
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else found
    return float(written) if any(mark in written for mark in ".eEn") else int(written[:400])


def words(value: Any) -> list[str]:
    """The words of a list, or of a text that is cut at white space; a word that is missing is empty, and counts."""
    return ["" if word is None else str(word) for word in items(value)]


def broken(names: Iterable[Any]) -> str | None:
    """A name that is a piece of a list which could not be read, such as `['a'`; None where there is none."""
    return next((name for name in names if isinstance(name, str) and _PIECE.fullmatch(name)), None)


def text(value: Any) -> str:
    """A cell of texts as one text: the words of a list with spaces between them."""
    return " ".join(words(value)) if isinstance(value, list | tuple | np.ndarray) else parse.text(value)


def separator(values: Iterable[Any]) -> str:
    """The separator that most of the texts hold, the first of `SEPARATORS` on a tie; a line break where none does."""
    looked_at = islice((value for value in values if isinstance(value, str)), _LOOKED_AT)
    texts = [value for value in looked_at if listed(value) is None]
    counts = {mark: sum(mark in text for text in texts) for mark in SEPARATORS}
    best = max(SEPARATORS, key=lambda mark: counts[mark])
    return best if counts[best] else "\n"


def same_length(rows: Sequence[Sequence[Any]]) -> int:
    """The most frequent length, the smaller one on a tie; 0 without rows."""
    lengths = np.bincount([len(row) for row in rows]) if rows else np.zeros(1)
    return int(lengths.argmax())


def vector(rows: Sequence[Sequence[Any]]) -> int:
    """How many zeros and ones each row has, where rows are nothing else and as many in each; 0 for other lists."""
    if not rows or len(rows[0]) < 2 or any(len(row) != len(rows[0]) for row in rows):
        return 0
    cells = {cell if isinstance(cell, str) else str(cell) for row in rows for cell in row}
    return len(rows[0]) if {parse.label(cell) for cell in cells} <= _BITS else 0
