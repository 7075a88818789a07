"""The log of answers: append-only, written by any number of processes, read by `trimtab watch`.

A log is named by a URL: a path or `sqlite:///path` is a file of SQLite, `postgresql://user@host/database` a PostgreSQL
server. One file per kind lies in `logs/`.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from trimtab import registry
from trimtab.errors import nearest, problem, visible

_LOGS = "trimtab.watch.logs"
_SCHEME = re.compile(r"([a-z][a-z0-9]*)(?:\+[a-z0-9]+)?://")  # postgresql+psycopg:// is how SQLAlchemy writes it
_ALIASES = {"postgres": "postgresql"}
_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)
_LONGEST_ERROR = 500  # characters
_PORTION = 2000  # entries read at a time


class LogError(Exception):
    """The log cannot be written or read just now: the disk is full, it is locked, the server is away."""


@dataclass(frozen=True)
class Entry:
    """One answered row, or one that could not be answered (`error`)."""

    bundle: str  # hash of the bundle that answered
    milliseconds: float = 0.0  # from request to answer
    answer: Any = None  # what the user was told, as JSON: {"sentiment": "positive"}
    confidence: float | None = None
    sketch: Mapping[str, Any] = field(default_factory=dict)  # what drift is told by: see `watch.sketch`
    input: Any = None  # the row itself, as JSON, where it is to be kept; else None
    error: str | None = None  # why there is no answer
    id: str = field(default_factory=lambda: new_id())
    time: float = field(default_factory=time.time)  # seconds since 1970


@dataclass(frozen=True)
class Label:
    """What was right, said later: the value of a column of the answer."""

    id: str  # of the entry
    column: str
    value: Any
    time: float = field(default_factory=time.time)


class Kept(NamedTuple):
    """An entry as it stands in the log, with the last label that it was given of the asked column."""

    place: int  # grows in the order of writing, whatever the clocks say
    entry: Entry
    label: Any
    labelled: bool


class Seen(NamedTuple):
    """The entries of one bundle in a log."""

    bundle: str
    entries: int
    first: float
    last: float


class Log(ABC):
    """A log that is open. The class in `logs/<kind>.py` is called `<Kind>Log`."""

    sql: ClassVar[Sql]
    where: str  # its URL without a password, for messages

    @classmethod
    @abstractmethod
    def opened(cls, url: str, create: bool) -> Self:
        """Open the log, or make it. Raises TrimtabError where it is not there and not to be made, or is no log."""

    @abstractmethod
    def append(self, entries: Sequence[Entry], labels: Sequence[Label] = ()) -> None:
        """Write all or nothing; an entry whose id is there already is left out. Raises LogError."""

    @abstractmethod
    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """What a statement of `sql` finds. Raises LogError."""

    def read(self, bundle: str | None = None, column: str | None = None, after: int = 0) -> Iterator[Kept]:
        """Entries in the order of writing, those behind the place `after`; labels are those of `column`."""
        while True:
            rows = self.rows(self.sql.read, (column or "", after, bundle or "", bundle or "", _PORTION))
            yield from map(kept, rows)
            if len(rows) < _PORTION:
                return
            after = rows[-1][0]

    def labelled(self, bundle: str, column: str, after: int = 0) -> Iterator[tuple[int, Kept]]:
        """Labels of one column in the order in which they came, each with its place and its entry."""
        while True:
            rows = self.rows(self.sql.labelled, (after, column, bundle, _PORTION))
            yield from ((row[-1], kept(row[:-1])) for row in rows)
            if len(rows) < _PORTION:
                return
            after = rows[-1][-1]

    def seen(self) -> list[Seen]:
        """The bundles that wrote to it, the last one first."""
        return [Seen(*row) for row in self.rows(self.sql.seen)]

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_log(url: str, create: bool = False) -> Log:
    """The log that a URL names; with `create` it is made where it is not there.

    Raises TrimtabError for a kind of log that is not known, or that lacks a package, and for what is no log.
    """
    found = _SCHEME.match(url)
    name = _ALIASES.get(found[1], found[1]) if found else "sqlite"
    if name not in registry.names(_LOGS):
        allowed = f"a path, or a URL that begins with {nearest(name, registry.names(_LOGS))}"
        raise problem("log", f"no kind of log named {name!r}", allowed)
    kind: type[Log] = registry.load(_LOGS, name, f"{registry.camel(name)}Log", f"log {name}")
    return kind.opened(url if found is None else f"{name}://{url[found.end() :]}", create)


def beside(bundle: Path) -> Path:
    """Where the log of a bundle lies when nobody names a place: `answers.db` in the same folder as the bundle."""
    return bundle.resolve().parent / "answers.db"


def new_id() -> str:
    """An id that no other entry has; later ones sort behind earlier ones, which keeps an index small."""
    return f"{time.time_ns():016x}{secrets.token_hex(6)}"


def checked_label(id: Any, column: Any, value: Any, allowed: Sequence[str] = ()) -> Label:
    """A label as users send it. Raises TrimtabError for what can be no id, column or value."""
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise problem("feedback: id", f"found {id!r:.80}", "the id that came with the answer")
    if not isinstance(column, str) or (allowed and column not in allowed):
        raise problem("feedback: column", f"found {column!r:.80}", nearest(str(column), allowed) if allowed else "text")
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise problem("feedback: value", f"found {value!r}", "the right answer")
    return Label(id, column, value)


# ---------------------------------------------------------------------------------------------------- rows of tables

ENTRY_COLUMNS: tuple[tuple[str, str], ...] = (
    ("id", "TEXT NOT NULL UNIQUE"),
    ("time", "DOUBLE PRECISION NOT NULL"),
    ("bundle", "TEXT NOT NULL"),
    ("milliseconds", "DOUBLE PRECISION NOT NULL"),
    ("answer", "TEXT"),
    ("confidence", "DOUBLE PRECISION"),
    ("sketch", "TEXT"),
    ("input", "TEXT"),
    ("error", "TEXT"),
)
LABEL_COLUMNS: tuple[tuple[str, str], ...] = (
    ("id", "TEXT NOT NULL"),
    ("time", "DOUBLE PRECISION NOT NULL"),
    ("col", "TEXT NOT NULL"),
    ("value", "TEXT NOT NULL"),
)
ENTRIES, LABELS = "trimtab_entries", "trimtab_labels"


class Sql:
    """The statements that both kinds of log are made of; `mark` is how a parameter is written."""

    def __init__(self, mark: str, place: str) -> None:
        self.tables = [_table(ENTRIES, place, ENTRY_COLUMNS), _table(LABELS, place, LABEL_COLUMNS)]
        self.indices = [
            f"CREATE INDEX IF NOT EXISTS {ENTRIES}_bundle ON {ENTRIES} (bundle, place)",
            f"CREATE INDEX IF NOT EXISTS {LABELS}_id ON {LABELS} (id)",
        ]
        self.entry = _insert(ENTRIES, ENTRY_COLUMNS, mark) + " ON CONFLICT (id) DO NOTHING"
        self.label = _insert(LABELS, LABEL_COLUMNS, mark)
        names = ", ".join(name for name, _ in ENTRY_COLUMNS)
        last = f"SELECT value FROM {LABELS} l WHERE l.id = e.id AND l.col = {mark} ORDER BY l.place DESC LIMIT 1"
        self.read = (
            f"SELECT place, {names}, ({last}) FROM {ENTRIES} e "
            f"WHERE place > {mark} AND ({mark} = '' OR bundle = {mark}) ORDER BY place LIMIT {mark}"
        )
        self.labelled = (
            f"SELECT e.place, {', '.join(f'e.{name}' for name, _ in ENTRY_COLUMNS)}, l.value, l.place FROM {LABELS} l "
            f"JOIN {ENTRIES} e ON e.id = l.id WHERE l.place > {mark} AND l.col = {mark} AND e.bundle = {mark} "
            f"ORDER BY l.place LIMIT {mark}"
        )
        self.seen = (
            f"SELECT bundle, COUNT(*), MIN(time), MAX(time) FROM {ENTRIES} GROUP BY bundle ORDER BY MAX(place) DESC"
        )


def _table(name: str, place: str, columns: Iterable[tuple[str, str]]) -> str:
    return f"CREATE TABLE IF NOT EXISTS {name} (place {place}, {', '.join(map(' '.join, columns))})"


def _insert(table: str, columns: Sequence[tuple[str, str]], mark: str) -> str:
    names = ", ".join(name for name, _ in columns)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join([mark] * len(columns))})"


def entry_row(entry: Entry) -> tuple[Any, ...]:
    """An entry as its table holds it."""
    confidence = None if entry.confidence is None else _finite(entry.confidence)
    parts = (as_json(entry.answer), confidence, as_json(entry.sketch), as_json(entry.input))
    error = None if entry.error is None else visible(entry.error)[:_LONGEST_ERROR]
    return (entry.id, float(entry.time), entry.bundle, _finite(entry.milliseconds) or 0.0, *parts, error)


def label_row(label: Label) -> tuple[Any, ...]:
    """A label as its table holds it."""
    return (label.id, float(label.time), label.column, as_json(label.value))


def kept(row: Sequence[Any]) -> Kept:
    """What a row of the statement `read` says."""
    place, id, moment, bundle, milliseconds, answer, confidence, sketch, input, error, label = row
    parts = [None if part is None else json.loads(part) for part in (answer, sketch, input, label)]
    entry = Entry(bundle, milliseconds, parts[0], confidence, parts[1] or {}, parts[2], error, id, moment)
    return Kept(place, entry, parts[3], label is not None)


def as_json(value: Any) -> str | None:
    """A value as ASCII JSON, None for None; what JSON cannot hold becomes null or its text, for nothing may be lost."""
    if value is None:
        return None
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):
        return json.dumps(_held(value), separators=(",", ":"))


def _held(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _held(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_held(part) for part in value]
    if hasattr(value, "tolist"):  # numpy
        return _held(value.tolist())
    if isinstance(value, float):
        return _finite(value)
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
