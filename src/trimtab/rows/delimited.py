"""csv and tsv: cells with a delimiter between them. The first line that is not blank names the columns."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, BinaryIO

from trimtab.errors import problem
from trimtab.rows import Block, Note, Reject, Rejected, Row, in_blocks, plain, text_stream, unknown_columns
from trimtab.rows._dialects import DELIMITERS, SEP, Dialect, sniff
from trimtab.rows._opening import Opened, head_lines, lines

MOST_LINES = 10_000  # of one record: a quote that is still open then was never meant to be one
MOST_CHARACTERS = 1 << 26  # of one record, for the same reason
_PEEKED = 100  # records that tell whether the header lacks the name of the first column
_LINES = 4096  # that are parsed together
MOST_TEXT = 10_000  # characters of a rejected row that are kept


class _Runaway(Exception):
    """A record that does not end."""


_TOO_LONG = "field larger than field limit"  # what the parser says of a cell that its limit forbids


class _Feed:
    """Physical lines for the parser; remembers those of the record being read, so that they can be read again."""

    def __init__(self, source: Iterator[str]) -> None:
        self._source = source
        self._again: deque[str] = deque()
        self.record: list[str] = []
        self.characters = 0  # in the record
        self.number = 0  # of the last line handed out

    def begin(self) -> None:
        """The next line is the first of a record."""
        self.record, self.characters = [], 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._source)
        if len(self.record) >= MOST_LINES or self.characters > MOST_CHARACTERS:
            self._again.appendleft(line)
            raise _Runaway
        self.record.append(line)
        self.characters += len(line)
        self.number += 1
        return line

    @property
    def is_behind(self) -> bool:
        """Whether lines were given back that are still to be read."""
        return bool(self._again)

    def many(self, most: int) -> list[str]:
        """Lines, none of which belongs to the record being read."""
        found = list(islice(self._source, most))
        self.number += len(found)
        return found

    def give_back(self, found: Sequence[str]) -> None:
        """Take lines back, to be read again."""
        self._again.extendleft(reversed(found))
        self.number -= len(found)

    def keep_first(self) -> str:
        """Give all lines of the record but its first back, to be read again; returns the first."""
        first, rest = self.record[0], self.record[1:]
        self._again.extendleft(reversed(rest))
        self.number -= len(rest)
        self.record = [first]
        return first


def read(file: Opened, format: str, reject: Reject, note: Note) -> tuple[tuple[str, ...], Iterator[Row]]:
    """The column names and the rows of a csv or tsv file."""
    dialect = sniff(head_lines(file), DELIMITERS[format])
    feed = _Feed(lines(file, note))
    records = _records(feed, dialect)
    header = next(((line, cells) for line, _, cells in records if not _is_sep(line, cells)), None)
    if header is None:
        raise problem(file.name, "the file is empty", "a header and rows")
    first = list(islice(records, _PEEKED))
    row_names = _has_row_names(len(header[1]), [cells for _, _, cells in first])
    names = _names(file.name, ["", *header[1]] if row_names else header[1], note)
    return names, _Delimited(file.name, names, _Records(feed, dialect, chain(first, records), len(first)), reject)


@dataclass
class _Records:
    """Records one by one, the first of which were read already; and where they come from."""

    feed: _Feed
    dialect: Dialect
    each: Iterator[tuple[int, list[str], list[str]]]
    ahead: int

    @property
    def is_behind(self) -> bool:
        """Whether something was read already that is still to be handed out."""
        return self.ahead > 0 or self.feed.is_behind

    def plain(self) -> tuple[list[str], list[list[str]]] | None:
        """Many lines, and the record that each of them is; None where one may be of several, or rows are left."""
        if self.is_behind:
            return None
        found = self.feed.many(_LINES)
        with contextlib.suppress(csv.Error):
            records = list(self.dialect.reader(iter(found)))
            closed = not found or '"' not in found[-1] or list(self.dialect.reader(iter(found[-1:]), strict=True))
            if len(records) == len(found) and closed and not self._goes_on(found):
                return found, records
        self.feed.give_back(found)
        return None

    def _goes_on(self, found: Sequence[str]) -> bool:
        """Whether an escaped end of a line may join the last line to the next."""
        return self.dialect.escape is not None and bool(found) and self.dialect.escape in found[-1]

    def one(self) -> tuple[int, list[str], list[str]] | None:
        """The next record; None behind the last."""
        self.ahead = max(0, self.ahead - 1)
        return next(self.each, None)


class _Delimited(Iterator[Row]):
    """The rows of a csv or tsv file."""

    def __init__(self, file: str, names: tuple[str, ...], records: _Records, reject: Reject) -> None:
        self._file, self._names, self._records, self._reject = file, names, records, reject
        self._rows = _rows(file, names, iter(records.one, None), reject)

    def __next__(self) -> Row:
        return next(self._rows)

    def blocks(self) -> Iterator[Block]:
        """See `rows.InBlocks`: lines that are rows by themselves are parsed together, all others one by one."""
        while True:
            number = self._records.feed.number
            plain = self._records.plain()
            if plain is None:
                yield from in_blocks(self._one_by_one())
            elif not plain[0]:
                return
            else:
                yield from self._together(number, *plain)

    def _one_by_one(self) -> Iterator[Row]:
        """Rows until no line is left of those that were given back."""
        for row in self._rows:
            yield row
            if not self._records.is_behind:
                return

    def _together(self, number: int, lines: list[str], records: list[list[str]]) -> Iterator[Block]:
        """Records of a line each; `number` is that of the line before."""
        numbers = range(number + 1, number + 1 + len(lines))
        if len(self._names) > 1 and set(map(len, records)) == {len(self._names)} and "\0" not in "".join(lines):
            yield Block(dict(zip(self._names, zip(*records, strict=True), strict=True)), numbers)
            return
        several = zip(numbers, ([line] for line in lines), records, strict=True)
        full = (own for own in several if not _is_blank(own[1], own[2]))
        yield from in_blocks(_rows(self._file, self._names, full, self._reject))


def _is_blank(lines: Sequence[str], cells: Sequence[str]) -> bool:
    """Whether a record holds nothing; a quoted nothing is a cell."""
    return len(cells) < 2 and not any(line.strip() for line in lines)


def _has_row_names(width: int, records: Sequence[Sequence[str]]) -> bool:
    """Whether the header names all columns but the first, as R writes a table with the names of its rows."""
    wider = all(len(cells) == width + 1 for cells in records) and any(cells[-1].strip() for cells in records)
    return len(records) > 1 and wider and len({cells[0] for cells in records}) == len(records)


def _is_sep(line: int, cells: list[str]) -> bool:
    return line == 1 and (SEP.match(",".join(cells)) is not None or (len(cells) == 2 and cells[0].lower() == "sep="))


def _names(file: str, cells: Sequence[str], note: Note) -> tuple[str, ...]:
    """Header cells without the spaces around them; a nameless column is called after its position."""
    names = [cell.strip() or f"column_{position}" for position, cell in enumerate(cells, 1)]
    for position, (name, cell) in enumerate(zip(names, cells, strict=True), 1):
        if name in names[: position - 1]:
            first = names.index(name) + 1
            raise problem(
                file, f"two columns are named {name!r} (columns {first} and {position})", do="rename one of them"
            )
        if not cell.strip():
            note(f"{file}: column {position} has no name; it is called {name!r}")
    return tuple(names)


def _records(feed: _Feed, dialect: Dialect) -> Iterator[tuple[int, list[str], list[str]]]:
    """First line, physical lines and cells of each record; a quote that was not meant as one costs only its line."""
    parser = dialect.reader(feed)
    width = 0
    while True:
        feed.begin()
        try:
            cells = next(parser)
            stray = len(feed.record) > 1 and _is_stray(feed.record, cells, dialect, width)
        except StopIteration:
            return
        except _Runaway:
            cells, stray = [], True
        except csv.Error as error:
            cells, stray = _long_cells(feed, dialect) if _TOO_LONG in str(error) else [], False
            stray = not cells
            parser = dialect.reader(feed)
        if stray:
            cells = feed.keep_first().rstrip("\r\n").split(dialect.delimiter)
            parser = dialect.reader(feed)
        if _is_blank(feed.record, cells):
            continue
        width = width or len(cells)
        yield feed.number - len(feed.record) + 1, feed.record, cells


def _long_cells(feed: _Feed, dialect: Dialect) -> list[str]:
    """The cells of a record that has one beyond the parser's limit, which cannot be raised for one file alone.

    Read as the parser reads them; [] where a quote never closes.
    """
    text, at, quoted = "".join(feed.record), 0, False
    cells: list[str] = []
    parts = [""]
    escape = re.escape(dialect.escape or "")
    ends, marks = re.compile(f"[{re.escape(dialect.delimiter)}{escape}\r\n]"), re.compile(f'["{escape}]')
    try:
        while True:
            if not quoted and parts == [""]:
                at += len(text[at:]) - len(text[at:].lstrip(" ")) if dialect.spaced else 0
                quoted = text[at : at + 1] == '"'
                at += quoted
            found = (marks if quoted else ends).search(text, at)
            parts.append(text[at : found.start() if found else len(text)])
            mark, at = (found[0], found.end()) if found else ("", len(text))
            if mark and mark == dialect.escape:
                parts.append(text[at : at + 1])
                at += 1
            elif quoted and not mark:
                text, at = next(feed), 0
            elif quoted and text[at : at + 1] == '"':
                parts.append('"')
                at += 1
            elif quoted:
                quoted = False
            else:
                cells.append("".join(parts))
                parts = [""]
                if mark != dialect.delimiter:
                    return cells
    except (StopIteration, _Runaway):
        return []


def _is_stray(record: Sequence[str], cells: Sequence[str], dialect: Dialect, width: int) -> bool:
    """Whether the quote that made one record of several lines was an ordinary character.

    It was when it never closes; and in a tab-separated file also when each line is a whole row by itself, unless every
    cell of the record is quoted.
    """
    all_quoted = "".join(record).rstrip("\r\n") == dialect.delimiter.join(map(_quoted, cells))
    lines = [line.count("\t") == width - 1 for line in record]
    if dialect.delimiter == "\t" and width > 1 and all(lines) and not all_quoted:
        return True
    try:
        list(dialect.reader(iter(record), strict=True))
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False


def _rows(
    file: str,
    names: tuple[str, ...],
    records: Iterable[tuple[int, list[str], list[str]]],
    reject: Reject,
) -> Iterator[Row]:
    width = len(names)
    for line, record, cells in records:
        if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
            cells = cells[:width]
        reason = _fault(record, cells, width)
        if reason:
            reject(Rejected(file, line, reason, "".join(record).rstrip("\r\n")[:MOST_TEXT]))
        else:
            yield Row(dict(zip(names, cells, strict=True)), line)


def _fault(record: Sequence[str], cells: Sequence[str], width: int) -> str | None:
    if len(cells) != width:
        return f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'}, the header has {width}"
    if any("\0" in line for line in record):
        return "holds a NUL byte"
    return None


# What must stand in quotes in a header, by which delimiters are told, beside what the standard library's writer quotes.
_TOLD_BY = re.compile("[;\t|\ufeff]|^\\s|\\s$")


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


class _Lines:
    """What the standard library's writer writes to: its CR LF, without which it leaves a lone CR bare, becomes LF."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text

    def write(self, line: str) -> int:
        return self._text.write(line[:-2] + "\n")


class Writer:
    """Comma or tab between cells, quotes where they are needed, UTF-8, one header line.

    Whatever a cell holds, it is read back as it was, here and by Excel, pandas and the standard library.
    """

    def __init__(self, stream: BinaryIO, format: str, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._text = text_stream(stream)
        self._is_tsv = format == "tsv"
        self._plain, self._all_quoted = (
            csv.writer(_Lines(self._text), delimiter="\t" if self._is_tsv else ",", quoting=quoting)
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        (self._all_quoted if any(map(_TOLD_BY.search, self._names)) else self._plain).writerow(self._names)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows; raises TrimtabError for a row with a column that the header lacks."""
        known = set(self._names)
        for row in rows:
            if not known.issuperset(row):
                raise unknown_columns(self._names, row)
            self._write([str(plain(row.get(name))) for name in self._names])
        self._text.flush()

    def _write(self, cells: Sequence[str]) -> None:
        """In quotes also what would be a blank line, and tabs beside ends of lines, which read as rows of their own."""
        blank = len(cells) == 1 and not cells[0].strip()
        odd = self._is_tsv and any("\t" in cell and ("\n" in cell or "\r" in cell) for cell in cells)
        (self._all_quoted if blank or odd else self._plain).writerow(cells)

    def close(self) -> None:
        """Flush, and leave the byte stream to its owner."""
        self._text.flush()
        self._text.detach()
