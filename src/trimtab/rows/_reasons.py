"""Why rows were set aside, told in a few lines: reasons of one kind are counted together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_PARTICULARS = re.compile(r"""(?:^|(?<=[ (]))(?:'[^']*'|"[^"]*")|\d[\d,.]*""")
_NO_VALUE = re.compile(r"no value|.* is read as no value")
_LONGEST = 60  # characters of a quoted particular; what is longer is cut in its middle
_MOST = 20  # kinds that are told; the rest is counted as one


def grouped(reasons: Iterable[str], names: Sequence[str] = ()) -> dict[str, int]:
    """A reason of each kind -> its rows, the most frequent first.

    Reasons are of one kind when they differ only in what they quote, in numbers, and behind a colon. `names` are those
    of columns, with which a reason may begin.
    """
    kinds: dict[str, Counter[str]] = {}
    for reason in reasons:
        column, told = _parts(reason, names)
        kinds.setdefault(column + _PARTICULARS.sub("...", told), Counter())[column + told] += 1
    ordered = sorted(kinds.values(), key=lambda found: -found.total())
    counted = {}
    for found in ordered[:_MOST]:
        first = _PARTICULARS.sub(lambda match: _short(match[0]), found.most_common(1)[0][0])
        others = f" (and {len(found) - 1:,} others like it)" if len(found) > 1 else ""
        counted[first + others] = found.total()
    rest = sum(found.total() for found in ordered[_MOST:])
    return {**counted, f"{len(ordered) - _MOST} other reasons": rest} if rest else counted


def _parts(reason: str, names: Sequence[str]) -> tuple[str, str]:
    """The column that a reason begins with, and what is said of it."""
    column = max((f"{name}: " for name in names if reason.startswith(f"{name}: ")), key=len, default="")
    told = reason.removeprefix(column)
    before, mark, behind = told.rpartition(": ")
    if mark and _NO_VALUE.fullmatch(behind):
        return f"{column}{before}: ", behind
    return column, told.partition(": ")[0]


def _short(quoted: str) -> str:
    """A long particular without its middle."""
    if len(quoted) <= _LONGEST:
        return quoted
    half = _LONGEST // 2 - 2
    return f"{quoted[:half]} ... {quoted[-half:]}"
