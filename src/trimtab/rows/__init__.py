"""Rows from files and back: one file per format. Values stay raw; rows that cannot be read are set aside.

A csv cell stays text and a JSON value stays what it is: what a value means is decided by its column.
"""

from __future__ import annotations

import base64
import contextlib
import glob
import gzip
import io
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar, cast, runtime_checkable

from trimtab import files, registry
from trimtab.errors import TrimtabError, nearest, problem
from trimtab.rows import _written
from trimtab.rows._encodings import Reading, codec
from trimtab.rows._opening import Opened, opened
from trimtab.rows._reasons import grouped as grouped
from trimtab.rows._written import RUN_NOTE as RUN_NOTE


@dataclass(frozen=True, slots=True)
class Row:
    """Raw values by column name, and the first line that they stand on (1-based; the row's number in parquet)."""

    values: dict[str, Any]
    line: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was set aside: where it stands, why, and its text (cut after 10,000 characters)."""

    file: str
    line: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """Rows with the same columns, column by column: as many values in each as there are lines."""

    values: dict[str, Sequence[Any]]
    lines: Sequence[int]  # see `Row.line`


@dataclass(frozen=True)
class Format:
    """A format's module in this folder, and the endings of its files (before `.gz`)."""

    module: str
    endings: tuple[str, ...]


FORMATS: dict[str, Format] = {
    "csv": Format("delimited", (".csv", ".txt")),
    "tsv": Format("delimited", (".tsv", ".tab")),
    "jsonl": Format("jsonlines", (".jsonl", ".ndjson")),
    "json": Format("jsonlines", (".json",)),
    "parquet": Format("parquet", (".parquet", ".pq")),
}
FOLDER = "folder"  # of class folders with pictures or sounds: read, never written
BLOCKS = "blocks"  # of one long text: read where it is asked for, never written

# The layouts of JSON that are read, for messages.
LAYOUTS = (
    'rows: [{"column": value, ...}, ...] or one object a line; below a key: {"data": [rows]}; as pandas writes tables: '
    '{"column": {"0": value, ...}}, {"column": [values]}, {"columns": [names], "data": [[values], ...]}'
)

BLOCK = 4096  # rows of a block
HUB = "hf:"  # begins the name of a data set that `datasets` streams

Reject = Callable[[Rejected], None]
Note = Callable[[str], None]
Found = TypeVar("Found")


def _to_nobody(text: str) -> None:
    """Remarks that nobody asked for."""


@dataclass(frozen=True)
class Rows(Iterator[Row]):
    """The rows of one source, one after the other.

    `names` are the columns where the format states them ahead of the rows (csv, tsv, parquet); None for JSON.
    """

    format: str
    names: tuple[str, ...] | None
    iterator: Iterator[Row]
    in_blocks: Iterator[Block] | None = None  # the same rows, where the format has a quicker way to many of them

    def __next__(self) -> Row:
        return next(self.iterator)

    def blocks(self) -> Iterator[Block]:
        """The same rows, some thousands at a time, those of a block with the same columns. Waits for a slow pipe."""
        return in_blocks(self.iterator) if self.in_blocks is None else self.in_blocks


@runtime_checkable
class InBlocks(Protocol):
    """Rows of a format that has a quicker way to many of them."""

    def blocks(self) -> Iterator[Block]:
        """The rows that are left, some thousands at a time."""


def in_blocks(rows: Iterator[Row]) -> Iterator[Block]:
    """Rows, some thousands at a time; those of a block have the same columns."""
    for names, alike in groupby(rows, lambda row: tuple(row.values)):
        while some := list(islice(alike, BLOCK)):
            cells = zip(*(row.values.values() for row in some), strict=True)
            yield Block(dict(zip(names, cells, strict=True)), [row.line for row in some])


def read(
    source: Path | str,
    reject: Reject,
    format: str | None = None,
    note: Note = _to_nobody,
    encoding: str | None = None,
    known: str | None = None,
    told: Note = _to_nobody,
    blocks: int | None = None,
) -> Rows:
    """Read rows one by one from a file, or from stdin when `source` is "-"; only JSON arrays are held in memory.

    The format is told by the file's ending or its first bytes; a folder of class folders is a source of its own kind,
    and so is a data set of a hub (`hf:owner/name`: see `rows.hf`).
    `reject` gets each row that cannot be read, `note` each remark (a guessed encoding, a renamed column).
    Text is read in the `encoding` that the user named; what is not UTF-8 in the one that is `known` of the files of
    training, else by its look, and `told` gets which. With `blocks` a file is one long text, and rows are so many
    characters of it.
    Raises TrimtabError for a file that is missing, empty or no table.
    """
    if str(source).startswith(HUB):
        names, found = registry.load(__name__, "hf", "read", str(source))(str(source), reject, note)
        return Rows("hf", names, found, found.blocks())
    if str(source) != "-" and Path(source).is_dir():
        with reading(str(source)):
            names, iterator = registry.load(__name__, FOLDER, "read", str(source))(Path(source), reject, note)
        return Rows(FOLDER, names, iterator)
    _known(format)
    decoded = Reading(codec(encoding, "encoding"), codec(known, "encoding"), told)
    with contextlib.ExitStack() as until_read:
        file = until_read.enter_context(opened(source, decoded))
        if blocks is not None:
            columns, iterator = registry.load(__name__, BLOCKS, "read", file.name)(file, blocks, note)
            return Rows(BLOCKS, columns, _guarded(file, iterator, until_read.pop_all()))
        name = format_of(file, format)
        module = registry.load(__name__, FORMATS[name].module, "read", file.name)
        with reading(file.name):
            names, iterator = module(file, name, reject, note)
        close = until_read.pop_all()
    plain = _without_spaces(names) if names else names
    quick = _renamed_blocks(iterator.blocks()) if isinstance(iterator, InBlocks) else None
    many = None if quick is None else _guarded(file, quick, close)
    return Rows(name, plain, _guarded(file, _renamed(iterator), close), many)


def _without_spaces(names: Sequence[str]) -> tuple[str, ...]:
    """Names of columns without the spaces around them, as in csv; as they are where two would become one."""
    plain = tuple(name.strip() for name in names)
    return plain if len(set(plain)) == len(plain) and all(plain) else tuple(names)


def _renamed(rows: Iterator[Row]) -> Iterator[Row]:
    """Rows whose columns are named as `_without_spaces` has it."""
    plain: set[str] = set()
    for row in rows:
        if not row.values.keys() <= plain:
            names = _without_spaces(tuple(row.values))
            if names != tuple(row.values):
                yield Row(dict(zip(names, row.values.values(), strict=True)), row.line)
                continue
            plain |= row.values.keys()
        yield row


def _renamed_blocks(blocks: Iterator[Block]) -> Iterator[Block]:
    for block in blocks:
        names = _without_spaces(tuple(block.values))
        yield Block(dict(zip(names, block.values.values(), strict=True)), block.lines)


def _guarded(file: Opened, rows: Iterator[Found], close: contextlib.ExitStack) -> Iterator[Found]:
    with close, reading(file.name):
        yield from rows


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what goes wrong inside a file into the user's message."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise problem(name, f"damaged gzip file ({error})", do="fetch or pack the file again") from error
    except UnicodeError as error:
        raise problem(name, f"cannot be decoded ({error})", do="save it as UTF-8") from error
    except OSError as error:
        raise files.unreadable(name, error) from error


def format_of(file: Opened, given: str | None = None) -> str:
    """The format asked for, else the one of the ending, else the one that the first bytes look like."""
    if file.head.startswith(b"PAR1"):
        return "parquet"
    if given:
        return given
    name = file.name.lower().removesuffix(".gz")
    by_ending = [key for key, format in FORMATS.items() if name.endswith(format.endings)]
    if by_ending and not name.endswith(".txt"):
        return by_ending[0]
    start = file.head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return {b"[": "json", b"{": "json"}.get(start, "csv")


def _known(format: str | None) -> None:
    if format is not None and format not in FORMATS:
        raise problem("format", f"no format named {format!r}", nearest(format, FORMATS))


def find(patterns: Sequence[str], folder: Path) -> list[Path]:
    """The files and folders that names stand for, relative to `folder`, in the order given and without repetition.

    Globs stand for files only, and for none that Trimtab wrote into the folder of a run. Raises TrimtabError for a name
    without a file (with the nearest one), and for a folder in which there is no other: it holds no classes.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        with files.reading(pattern):
            for path in _matches(pattern, folder):
                found.setdefault(path)
    return list(found)


def _matches(pattern: str, folder: Path) -> list[Path]:
    if pattern.startswith(HUB):
        return [_data_set(pattern, folder)]
    path = folder / os.path.expanduser(pattern)
    with reading(str(path)):
        flat = path.is_dir() and not any(inside.is_dir() for inside in path.iterdir())
    if flat:
        allowed = f"a file, files such as {Path(pattern) / '*.csv'}, or a folder that holds one of pictures per class"
        raise problem(pattern, "is a folder without class folders", allowed)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise problem(pattern, "is a pipe or a device, and data are read more than once", "a file or a folder")
    if path.exists():
        return [path]
    found = (Path(name) for name in sorted(glob.glob(str(path), recursive=True)))
    matches = [match for match in found if not match.is_dir() and not _written.within(match, folder)]
    if not matches:
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        looked = "" if str(path) == pattern else f" (looked for {path})"
        raise problem(pattern, f"no such file{looked}", nearest(path.name, beside) if beside else "")
    return matches


def _data_set(pattern: str, folder: Path) -> Path:
    """A data set's name; of a folder with the folder's place. Its configuration and split stand behind it."""
    named, mark, split = pattern.removeprefix(HUB).partition("@")
    name, colon, configuration = named.partition(":")
    place = folder / os.path.expanduser(name)
    return Path(f"{HUB}{place if name and place.is_dir() else name}{colon}{configuration}{mark}{split}")


# ----------------------------------------------------------------------------------------------------- writing


class Writer(Protocol):
    """Takes rows as they come; `close` ends the file."""

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows; a column that a row lacks is left empty."""

    def close(self) -> None:
        """Write what is still held back."""


@contextlib.contextmanager
def writer(target: Path | str, format: str, names: Sequence[str]) -> Iterator[Writer]:
    """Write rows with the given columns, to stdout when `target` is "-".

    A file gets its name only when it is whole; when anything goes wrong, what stood there before still does.
    Raises TrimtabError for an unknown format, a missing folder and a full disk.
    """
    _known(format)
    make = registry.load(__name__, FORMATS[format].module, "Writer", f"format {format}")
    with files.writing(str(target)):
        if str(target) == "-":
            with _finished(make(sys.stdout.buffer, format, tuple(names))) as sink:
                yield sink
            sys.stdout.buffer.flush()
            return
        with whole_file(Path(target)) as stream, _finished(make(stream, format, tuple(names))) as sink:
            yield sink


@contextlib.contextmanager
def _finished(sink: Writer) -> Iterator[Writer]:
    yield sink
    sink.close()


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """A stream into a file beside `target` that takes its name at the end; devices and pipes are written straight."""
    if target.is_dir():
        raise problem(str(target), "is a folder", "a file's name")
    if not target.parent.is_dir():
        raise problem(str(target), f"no folder {str(target.parent)!r}", do=f"mkdir -p {target.parent}")
    special = target.exists() and not target.is_file()
    with contextlib.nullcontext(target) if special else files.aside(target) as place:  # noqa: SIM117
        with place.open("wb") as bytes_out, _packed(bytes_out, target.suffix) as stream:
            yield stream


@contextlib.contextmanager
def _packed(stream: BinaryIO, ending: str) -> Iterator[BinaryIO]:
    """The stream itself, or gzip into it (without a time, so that equal rows give equal bytes)."""
    if ending != ".gz":
        yield stream
        return
    with gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed:
        yield cast(BinaryIO, packed)


def text_stream(stream: BinaryIO) -> io.TextIOWrapper:
    """UTF-8 text into a byte stream, line ends as written. `detach` it: closing it would close the stream."""
    return io.TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace", newline="")


def plain(value: Any) -> Any:
    """What a cell of a csv file shows for a value: nothing for None, JSON for lists and objects."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=as_json)
    if isinstance(value, bytes):
        return as_json(value)
    return "" if value is None else value


def as_json(value: Any) -> str:
    """What JSON shows for a value that it cannot hold: base64 for bytes, which columns of files read, else its text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def unknown_columns(names: Sequence[str], row: Mapping[str, Any]) -> TrimtabError:
    """A row has a column that the header, already written, lacks."""
    extra = [name for name in row if name not in names]
    return problem(
        "writing rows",
        f"a row has the column {extra[0]!r}, the first rows had not",
        do="write json lines: --format jsonl",
    )
