"""The one rule for raw values, whether they stand in a csv cell or come as a JSON value. Not a column type itself."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Container, Iterable, Sized
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from numbers import Real
from pathlib import PurePath
from typing import Any, Literal
from uuid import UUID

import numpy as np

# What people and programs write for "no value". "None" and "Na" are words (and sodium): they stay values.
_NO_VALUE_WORDS = ("NA", "na", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "NAN", "-nan", "NULL", "null", "Null")
_NO_VALUE_SIGNS = ("?", "-", "--", "\N{EN DASH}", "\N{EM DASH}", ".", "...")
NO_VALUE = frozenset((*_NO_VALUE_WORDS, *_NO_VALUE_SIGNS))
_TRUTH = {"true": 1.0, "false": 0.0}

# Numbers, without sign and unit. Group marks stand between thousands; in India (1,09,900) between pairs above them.
_MARKS = " '\u2019\u02bc\u00a0\u202f\u2009"
_GROUP_MARKS = str.maketrans("", "", _MARKS)
_PLAIN = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_GROUPED = {
    ".": re.compile(
        rf"(?:[1-9]\d{{0,2}}(?:([,{_MARKS}])\d{{3}})(?:\1\d{{3}})*|[1-9]\d?(?:,\d\d)+,\d{{3}})(?:\.\d*)?", re.ASCII
    ),
    ",": re.compile(rf"[1-9]\d{{0,2}}(?:([.{_MARKS}])\d{{3}})(?:\1\d{{3}})*(?:,\d*)?", re.ASCII),
}
_SIGNED = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_BARE = re.compile(r"[\d.,]+", re.ASCII)
_INTEGRAL = re.compile(r"-?(?:0|[1-9]\d*)\.0")

_SIGNS = "$\xa2\xa3\xa4\xa5\u058f\u060b\u0e3f\u17db\ufdfc" + "".join(map(chr, range(0x20A0, 0x20D0)))
_CODES = (
    "AED|ARS|AUD|BDT|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KES|KRW|LKR|MAD|MXN|MYR|"
    "NGN|NOK|NPR|NZD|PEN|PHP|PKR|PLN|RMB|RON|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
)
_CURRENCY = rf"(?:[A-Z]{{1,2}}\$|[{_SIGNS}]|{_CODES}|R[sp]\.?|[Kk]r\.?|SFr\.?|Fr\.|z\u0142|K\u010d)"
# `-$3`, `$ -3`, `(3 EUR)`, `3-`, `45 %`, `3,-` and `3/-` (no pence); what stands between sign and unit is the number.
_WRITTEN = re.compile(
    rf"(?P<before>[+-]?)(?:{_CURRENCY}\s*)?(?P<open>\(?)\s*(?P<sign>[+-]?)(?:{_CURRENCY}\s*)?"
    rf"(?P<number>[\d.,](?:[\d.,{_MARKS}]*\d)?[.,]??(?:[eE][+-]?\d+)?)"
    rf"(?:[.,/]-|(?P<after>-))?\s*(?:{_CURRENCY}|%)?\s*(?P<close>\)?)\s*(?:{_CURRENCY}|%)?",
)
_UNIT = re.compile(rf"%|{_CURRENCY}")
# Full-width forms, other scripts' marks, and what is typed for a minus.
_AS_ASCII = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\ufe63"), "-"),
    0x066A: "%", 0x066B: ".", 0x066C: ",", 0xFFE0: "\xa2", 0xFFE1: "\xa3", 0xFFE5: "\xa5", 0xFFE6: "\u20a9",
}  # fmt: skip


class Name(str):
    """A name as it stands, such as that of a folder: never a word for "no value", and `1.0` is another one than `1`."""

    __slots__ = ()


# What pandas and numpy write for "no text"; "NA", "null" and "-" may be what somebody said.
NO_TEXT = frozenset(("<NA>", "NaN", "nan", "NaT"))


def is_missing(value: Any, text: bool = False, names: Container[str] = ()) -> bool:
    """Whether there is no value: None, NaN, blank; and unless it is `text`, also NA, N/A, null, ?, - and the like.

    Words among `names` are values: in a column of countries NA may be Namibia.
    """
    if isinstance(value, str):
        stripped = value.strip()
        return not stripped or (not text and stripped in NO_VALUE and stripped not in names and type(value) is not Name)
    if isinstance(value, (float, np.floating)):
        return math.isnan(value)
    if value is None:
        return True
    # pandas.NA and NaT, a Decimal or a date of numpy that is none
    return not isinstance(value, (int, Sized)) and str(value) in ("<NA>", "NaT", "NaN", "sNaN")


def no_value(value: Any) -> str:
    """Why a missing value is one: a word that stands for "no value" is named."""
    written = value.strip() if isinstance(value, str) else ""
    return f"{written!r} is read as no value" if written in NO_VALUE else "no value"


def number(value: Any, decimal: str = ".") -> float | None:
    """The number that is written, None when there is no value.

    `1,500`, `$3`, `45%` (45: a unit is left out), `1e3`, ` 7 `, `True` (1.0); with decimal ",": `1,5` and `1.500,0`.
    Raises ValueError for what is not a finite number.
    """
    if isinstance(value, str):
        return _written_number(value, decimal)
    if is_missing(value):
        return None
    if isinstance(value, (Real, np.bool_, Decimal)):
        return _finite(value)
    if isinstance(value, np.ndarray) and value.size == 1:
        return number(value.item(), decimal)
    raise ValueError(f"{value!r} is not a number")


def _finite(value: Any) -> float | None:
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if math.isnan(found):
        return None
    if math.isinf(found):
        raise ValueError(f"{value!r} is not a finite number")
    return found


def _written_number(value: str, decimal: str) -> float | None:
    plain = value.strip()
    if not plain or plain in NO_VALUE:
        return None
    if decimal == "." and _SIGNED.fullmatch(plain):  # most cells
        return _finite(plain)
    if plain.lower() in _TRUTH:
        return _TRUTH[plain.lower()]
    negative, found = _without_unit(plain)
    if _GROUPED[decimal].fullmatch(found):
        found = found.translate(_GROUP_MARKS).replace("," if decimal == "." else ".", "")
    elif decimal == "," and "." in found:
        raise ValueError(f"{value!r} is not a number with a decimal comma")
    if decimal == ",":
        found = found.replace(",", ".")
    if not _PLAIN.fullmatch(found):
        raise ValueError(f"{value!r} is not a number")
    size = _finite(found)
    return -size if negative and size is not None else size


def _without_unit(plain: str) -> tuple[bool, str]:
    """Whether a written number is below zero, and its digits and marks; nothing for what is no number.

    Read are `-$3`, `$-3`, `3 EUR`, `45 %`, and in the way of accountants `(3)` and `3-`.
    """
    if not plain.isascii():
        plain = "".join(map(_digit, plain.translate(_AS_ASCII)))
    match = _WRITTEN.fullmatch(plain)
    if not match:
        return False, ""
    enclosed = bool(match["open"])
    signs = [sign for sign in (match["before"], match["sign"], match["after"]) if sign]
    if enclosed != bool(match["close"]) or len(signs) + enclosed > 1:
        return False, ""
    return enclosed or signs == ["-"], match["number"]


def unit(value: Any) -> str:
    """The sign of the unit that a written number stands with, such as %, $ or EUR; nothing for other values."""
    if not isinstance(value, str):
        return ""
    plain = value.strip() if value.isascii() else value.strip().translate(_AS_ASCII)
    found = _UNIT.search(plain)
    return found[0].strip(". ") if found and _without_unit(plain)[1] else ""


def _digit(character: str) -> str:
    """A decimal digit of any script as one of ours; anything else as it is."""
    return str(unicodedata.decimal(character, character))


def decimal_mark(values: Iterable[Any], most: int = 10_000) -> Literal[".", ","]:
    """Which decimal mark a column's numbers are written with, from its first `most` values.

    Only cells that can be read in one way count; `1,500` alone proves nothing, so a column of such cells has points.
    """
    points = commas = 0
    for value in islice(values, most):
        if isinstance(value, str) and ("," in value or "." in value):
            plain = value.strip()
            if not _BARE.fullmatch(plain):
                _, plain = _without_unit(plain)
            point = bool(_GROUPED["."].fullmatch(plain) or _PLAIN.fullmatch(plain))
            to_point = "" if "." in plain else plain.replace(",", ".")  # one with a point is made unreadable
            comma = bool(_GROUPED[","].fullmatch(plain) or _PLAIN.fullmatch(to_point))
            points += point and not comma
            commas += comma and not point
    return "," if commas > points else "."


def label(value: Any) -> str:
    """The canonical name of a class or category: 1, 1.0, "1" and "1.0" are "1"; True is "True"; "007" stays."""
    if isinstance(value, str):
        stripped = value.strip()
        return stripped[:-2] if _INTEGRAL.fullmatch(stripped) and type(value) is not Name else stripped
    if isinstance(value, (float, np.floating)) and float(value).is_integer() and abs(float(value)) < 1e15:
        return str(int(value))
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    return "" if is_missing(value) else str(value)


def text(value: Any) -> str:
    """A value as text: "" when there is none, or a word that programs write for none; bytes are taken for UTF-8."""
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    return "" if is_missing(value, text=True) or (isinstance(value, str) and value in NO_TEXT) else str(value)


def is_scalar(value: Any) -> bool:
    """Whether it is one value that could stand in a cell: a text, number, date or name, and no list or file."""
    return isinstance(value, (str, Real, np.generic, Decimal, date, time, timedelta, UUID, Enum, PurePath))
