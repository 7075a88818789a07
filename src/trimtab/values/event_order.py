"""Times of events: how moments may be written, and the order that they make. What histories are made of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from trimtab.errors import problem
from trimtab.values import parse

Spelling = Literal["number", "y-m-d", "d/m/y", "m/d/y"]
# How times are written -> what messages call it.
SPELLINGS: dict[str, str] = {
    "number": "numbers",
    "y-m-d": "dates such as 2026-01-31 12:00",
    "d/m/y": "day/month/year",
    "m/d/y": "month/day/year",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ZONES = {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}  # of RFC 2822, hours
_REST = r"(?:[T ,:]+(?P<clock>.*))?"
_YEAR_FIRST = re.compile(rf"(?P<y>\d{{4}})[-/.](?P<m>\d{{1,2}})[-/.](?P<d>\d{{1,2}}){_REST}")
_IN_DIGITS = re.compile(rf"(?P<one>\d{{1,2}})[-/.](?P<two>\d{{1,2}})[-/.](?P<y>\d{{4}}|\d{{2}}){_REST}")
_IN_WORDS = (
    re.compile(rf"(?P<d>\d{{1,2}})[-/ .]+(?P<m>[A-Za-z]{{3,9}})[-/ .,]+(?P<y>\d{{4}}|\d{{2}}){_REST}"),
    re.compile(rf"(?P<m>[A-Za-z]{{3,9}})\.? +(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,? +(?P<y>\d{{4}}){_REST}"),
    re.compile(r"(?P<m>[A-Za-z]{3}) +(?P<d>\d{1,2}) +(?P<clock>\d{1,2}:\d{2}\S*(?: +[A-Z+-]\S*)?) +(?P<y>\d{4})"),
)
_WEEKDAY = re.compile(r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? +", re.IGNORECASE)
_CLOCK = re.compile(
    r"(?P<h>\d{1,2}):(?P<min>\d{2})(?::(?P<s>\d{2})(?:[.,](?P<part>\d{1,9})\d*)?)?"
    r"\s*(?P<half>[ap]\.?m\.?)?\s*(?P<zone>z|utc|gmt|[a-z]{3})?\s*(?:(?P<sign>[+-])(?P<zh>\d{1,2}):?(?P<zm>\d{2})?)?"
    r"\s*(?:\[[\w/+-]+\])?",
    re.IGNORECASE,
)


# --------------------------------------------------------------------------------------------------------- moments


def moment(value: Any, spelling: str) -> int | float:
    """When an event was, to compare: a number as it is, a date as nanoseconds since 1970, exactly.

    A date without a zone is taken for UTC. Raises ValueError for what is not written so.
    """
    if spelling == "number":
        return _number(value)
    if isinstance(value, datetime):
        return _nanoseconds(value if value.tzinfo else value.replace(tzinfo=UTC), 0)
    text = _WEEKDAY.sub("", " ".join((value.isoformat() if isinstance(value, date) else str(value)).split()), count=1)
    if found := _YEAR_FIRST.fullmatch(text):
        return _moment(found, int(found["m"]), int(found["d"]))
    if found := _IN_DIGITS.fullmatch(text):
        one, two = int(found["one"]), int(found["two"])
        if spelling not in ("d/m/y", "m/d/y"):
            raise ValueError("day and month cannot be told apart")
        return _moment(found, *((two, one) if spelling == "d/m/y" else (one, two)))
    for pattern in _IN_WORDS:
        if (found := pattern.fullmatch(text)) and found["m"][:3].lower() in _MONTHS:
            return _moment(found, 1 + _MONTHS.index(found["m"][:3].lower()), int(found["d"]))
    if text.isdecimal():
        raise ValueError("a number")
    found_iso = datetime.fromisoformat(text)
    return _nanoseconds(found_iso if found_iso.tzinfo else found_iso.replace(tzinfo=UTC), 0)


def _number(value: Any) -> int | float:
    """Whole numbers exactly: nanoseconds since 1970 have more digits than a float."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = parse.number(value)
    if found is None:
        raise ValueError("no value")
    return found


def _moment(found: re.Match[str], month: int, day: int) -> int:
    year = int(found["y"])
    year += 0 if year > 99 else 2000 if year < 69 else 1900
    clock = _CLOCK.fullmatch(found["clock"] or "0:00")
    if not clock:
        raise ValueError(f"{found['clock']!r} is no time of day")
    hour = int(clock["h"])
    if clock["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(f"{hour} is no hour of half a day")
        hour = hour % 12 + 12 * (clock["half"][0] in "pP")
    zone = (clock["zone"] or "utc").lower()
    if zone not in ("z", "utc", "gmt", *_ZONES):
        raise ValueError(f"{clock['zone']!r} is no known zone")
    offset = timedelta(hours=_ZONES.get(zone, 0))
    if clock["sign"]:
        offset = timedelta(hours=int(clock["zh"]), minutes=int(clock["zm"] or 0)) * (-1 if clock["sign"] == "-" else 1)
    at = datetime(year, month, day, hour, int(clock["min"]), int(clock["s"] or 0), tzinfo=timezone(offset))
    return _nanoseconds(at, int((clock["part"] or "").ljust(9, "0") or 0))


def _nanoseconds(at: datetime, part: int) -> int:
    since = at - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000 + part


# -------------------------------------------------------------------------------------------------------- spelling


@dataclass(frozen=True)
class Told:
    """How the times of a whole column are written, and a remark where that could be doubted."""

    spelling: str
    remark: str = ""
    certain: bool = True  # False: every date could be read in two ways


def spelling(name: str, values: Sequence[Any], kept: str | None = None) -> Told:
    """How a column's times are written; `kept` is how those of training were, or what the user named.

    Dates in digits such as 03/04/2026 are read as all of them can be; where all can be read both ways, such that they
    lie nearer together, which is told.
    """
    present = [value for value in values if not parse.is_missing(value)]
    numbers = sum(_reads(value, "number") for value in present)
    if numbers * 2 >= len(present):
        return Told("number")
    both = [
        value
        for value in present
        if isinstance(value, str) and _IN_DIGITS.fullmatch(_WEEKDAY.sub("", " ".join(value.split()), count=1))
    ]
    if not both:
        return Told("y-m-d")
    if kept in ("d/m/y", "m/d/y"):
        return Told(kept)
    counts = {order: sum(_reads(value, order) for value in both) for order in ("d/m/y", "m/d/y")}
    if counts["d/m/y"] != counts["m/d/y"]:
        order = max(counts, key=lambda order: counts[order])
        share = "all" if counts[order] == len(both) else f"{counts[order] / len(both):.0%}"
        return Told(
            order, f"{name}: dates such as {str(both[0])[:40]!r} are {SPELLINGS[order]}: {share} can be read so"
        )
    spans = {}  # how far the dates lie apart, read in this order
    for order in ("d/m/y", "m/d/y"):
        moments = [moment(value, order) for value in both if _reads(value, order)]
        spans[order] = max(moments) - min(moments) if moments else float("inf")
    order = min(spans, key=lambda order: spans[order])
    remark = f"{name}: {str(both[0])[:40]!r} could be day/month/year or month/day/year; read as {SPELLINGS[order]}"
    return Told(
        order, f"{remark}: `times: {'m/d/y' if order == 'd/m/y' else 'd/m/y'}` at the output says otherwise", False
    )


def _reads(value: Any, order: str) -> bool:
    try:
        moment(value, order)
    except (ValueError, OverflowError):
        return False
    return True


# ----------------------------------------------------------------------------------------------------------- users


@dataclass(frozen=True)
class Names:
    """The columns of events, and the words for "no value" that are items."""

    user: str
    item: str
    time: str | None
    items: Container[str] = ()


@dataclass(frozen=True)
class Grouped:
    """Events of each user, the first to the last: places in the table, users in the order in which they appear."""

    users: dict[str, list[int]]
    when: np.ndarray  # (events,) the rank of each event's time among all; NaN where it has none
    lacking: dict[int, str]  # place -> the column without a value
    unreadable: dict[int, str]  # place -> the time that is not written as the others are
    repeated: int  # events left out that repeat one of the same user, item and time
    equal: int  # events that share their time with another one of their user


def grouped(events: Mapping[str, Sequence[Any]], names: Names, times: str | None, distinct: bool) -> Grouped:
    """Order events by user and time; events of one moment stay in the order of the file.

    `times` is how they are written. Every event needs a user and a time; whether it needs an item is for the caller.
    """
    owners = events[names.user]
    lacking = {position: names.user for position, owner in enumerate(owners) if parse.is_missing(owner)}
    unreadable: dict[int, str] = {}
    moments: list[int | float] = []
    for position, value in enumerate(events[names.time] if names.time else range(len(owners))):
        try:
            if names.time and parse.is_missing(value):
                lacking.setdefault(position, names.time)
            else:
                moments.append(moment(value, times or "number"))
                continue
        except (ValueError, OverflowError):
            unreadable.setdefault(position, str(value))
        moments.append(0)
    out = lacking.keys() | unreadable.keys()
    ranks = {found: float(rank) for rank, found in enumerate(sorted(set(moments)))}
    when = np.array([np.nan if position in out else ranks[found] for position, found in enumerate(moments)])
    users: dict[str, list[int]] = {}
    seen: set[tuple[str, str, float]] = set()
    repeated = 0
    for position, owner in enumerate(owners):
        if position in out:
            continue
        user, item = parse.label(owner), events[names.item][position]
        key = (user, "" if parse.is_missing(item, names=names.items) else parse.label(item), when[position])
        if distinct and key in seen:
            repeated += 1
            continue
        seen.add(key)
        users.setdefault(user, []).append(position)
    ordered = {user: sorted(positions, key=lambda position: float(when[position])) for user, positions in users.items()}
    equal = sum(when[one] == when[other] for positions in ordered.values() for one, other in pairwise(positions))
    return Grouped(ordered, when, lacking, unreadable, repeated, int(equal) if names.time else 0)


def not_read(name: str, found: Mapping[int, str], times: str) -> str:
    """What is said of times that are not written as the others are."""
    examples = ", ".join(repr(text[:40]) for text, _ in Counter(found.values()).most_common(3))
    return f"{len(found):,} of the values of {name!r} cannot be read as times ({SPELLINGS[times]}), such as {examples}"


def check_times(name: str, values: Sequence[Any], kept: str | None) -> str:
    """How the times of new events are written. Raises TrimtabError where day and month cannot be told apart."""
    told = spelling(name, values, kept)
    if not told.certain:
        found = f"{str(next(filter(None, values)))[:40]!r} could be day/month/year or month/day/year"
        raise problem(f"column {name!r}", f"{found}, and the bundle was made from other times", SPELLINGS["y-m-d"])
    return told.spelling
