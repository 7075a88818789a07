"""The one rule for raw values, whether they stand in a csv cell or come as a JSON value. Not a column type itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sized
from decimal import Decimal
from itertools import islice
from numbers import Real
from typing import Any, Literal

import numpy as np

# What people and programs write for "no value". "None" and "Na" are words (and sodium): they stay values.
_NO_VALUE_WORDS = ("NA", "na", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "NAN", "-nan", "NULL", "null", "Null")
_NO_VALUE_SIGNS = ("?", "-", "--", "\N{EN DASH}", "\N{EM DASH}", ".", "...")
_NO_VALUE = frozenset((*_NO_VALUE_WORDS, *_NO_VALUE_SIGNS))
_TRUTH = {"true": 1.0, "false": 0.0}
_CURRENCY = "$€£¥₹₩₽"

# With the decimal mark written as a point; group marks are what may stand between thousands.
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_GROUPED = {
    ".": re.compile(r"[+-]?[1-9]\d{0,2}(?:([, '\u2019\u00a0\u202f\u2009])\d{3})(?:\1\d{3})*(?:\.\d*)?"),
    ",": re.compile(r"[+-]?[1-9]\d{0,2}(?:([. '\u2019\u00a0\u202f\u2009])\d{3})(?:\1\d{3})*(?:,\d*)?"),
}
_GROUP_MARKS = str.maketrans("", "", " '\u2019\u00a0\u202f\u2009")
_INTEGRAL = re.compile(r"-?(?:0|[1-9]\d*)\.0")


def is_missing(value: Any, text: bool = False) -> bool:
    """Whether there is no value: None, NaN, blank; and unless it is `text`, also NA, N/A, null, ?, - and the like."""
    if isinstance(value, str):
        stripped = value.strip()
        return not stripped or (not text and stripped in _NO_VALUE)
    return value is None or (isinstance(value, (float, np.floating)) and math.isnan(value)) or _is_na(value)


def _is_na(value: Any) -> bool:
    """Whether an object stands for no value: pandas.NA and NaT, a Decimal or a date of numpy that is none."""
    return not isinstance(value, (int, Sized)) and str(value) in ("<NA>", "NaT", "NaN", "sNaN")


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
    if not plain or plain in _NO_VALUE:
        return None
    if plain.lower() in _TRUTH:
        return _TRUTH[plain.lower()]
    plain = _without_unit(plain)
    if _GROUPED[decimal].fullmatch(plain):
        plain = plain.translate(_GROUP_MARKS).replace("," if decimal == "." else ".", "")
    elif decimal == "," and "." in plain:
        raise ValueError(f"{value!r} is not a number with a decimal comma")
    if decimal == ",":
        plain = plain.replace(",", ".")
    if not _PLAIN.fullmatch(plain):
        raise ValueError(f"{value!r} is not a number")
    return _finite(plain)


def _without_unit(plain: str) -> str:
    """`-$3`, `$-3`, `3 €`, `45 %` without the sign of the unit; a typographic minus becomes a hyphen."""
    sign = ""
    plain = plain.replace("\N{MINUS SIGN}", "-")
    if plain[:1] in ("-", "+") and plain[1:2] in _CURRENCY:
        sign, plain = plain[0], plain[1:]
    bare = plain.strip(_CURRENCY).strip() if plain[-1] != "%" else plain[:-1].rstrip()
    return sign + bare


def decimal_mark(values: Iterable[Any], most: int = 10_000) -> Literal[".", ","]:
    """Which decimal mark a column's numbers are written with, from its first `most` values.

    Only cells that can be read in one way count; `1,500` alone proves nothing, so a column of such cells has points.
    """
    points = commas = 0
    for value in islice(values, most):
        if isinstance(value, str) and ("," in value or "." in value):
            plain = _without_unit(value.strip() or "0")
            point = bool(_GROUPED["."].fullmatch(plain) or _PLAIN.fullmatch(plain))
            comma = bool(_GROUPED[","].fullmatch(plain) or _PLAIN.fullmatch(_comma_to_point(plain)))
            points += point and not comma
            commas += comma and not point
    return "," if commas > points else "."


def _comma_to_point(plain: str) -> str:
    """For a plain number with a decimal comma; one with a point is made unreadable."""
    return "" if "." in plain else plain.replace(",", ".")


def label(value: Any) -> str:
    """The canonical name of a class or category: 1, 1.0, "1" and "1.0" are "1"; True is "True"; "007" stays."""
    if isinstance(value, str):
        stripped = value.strip()
        return stripped[:-2] if _INTEGRAL.fullmatch(stripped) else stripped
    if isinstance(value, (float, np.floating)) and float(value).is_integer() and abs(float(value)) < 1e15:
        return str(int(value))
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    return "" if is_missing(value) else str(value)


def text(value: Any) -> str:
    """A value as text: "" when there is none; bytes are taken for UTF-8."""
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    return "" if is_missing(value, text=True) else str(value)
