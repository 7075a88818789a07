"""JSON: one object per line, an array of objects, or one document that holds a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from trimtab.errors import problem
from trimtab.rows import LAYOUTS, Note, Reject, Rejected, Row, _layouts, as_json, plain, text_stream
from trimtab.rows._opening import Opened, head_lines, lines

MOST_TEXT = 10_000  # characters of a rejected row that are kept
MOST_DOCUMENT = 1 << 30  # characters of a document, which is held in memory; json lines are not
_BETWEEN = " \t\r\n,"


def read(file: Opened, format: str, reject: Reject, note: Note) -> tuple[None, Iterator[Row]]:
    """The rows of a JSON file; columns are not known ahead, for each row names its own."""
    if _is_one_document(file, format):
        return None, _document(file, reject, note)
    return None, _lines(file, format, reject, note)


def _is_one_document(file: Opened, format: str) -> bool:
    """An array, or objects that are spread over lines; such a file is read as a whole."""
    shown = [line.strip() for line in head_lines(file) if line.strip()]
    first = next(iter(shown), "")
    if first.startswith("["):
        return format == "json" or not _parses(first)
    return not _parses(first) and (format == "json" or not any(map(_parses, shown)))


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return text.startswith(("{", "["))


def _lines(file: Opened, format: str, reject: Reject, note: Note) -> Iterator[Row]:
    held: tuple[int, Any, str] | None = None  # a first line that may be a whole table: it is when no other follows
    begun = False
    for number, line in enumerate(lines(file, note), 1):
        if not line.strip():
            continue
        if held:
            yield from _row(file, *held, reject)
            held = None
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reject(Rejected(file.name, number, f"not JSON: {error}", line.strip()[:MOST_TEXT]))
            begun = True
            continue
        if not begun and isinstance(value, list) and not (value and isinstance(value[0], dict)):
            raise _layouts.no_objects(file.name, value)
        if not begun and isinstance(value, dict) and any(isinstance(cell, (dict, list)) for cell in value.values()):
            held = (number, value, line)
        else:
            yield from _row(file, number, value, line, reject)
        begun = True
    if held:
        yield from _table(file, held[1], format == "json", reject, note)


def _document(file: Opened, reject: Reject, note: Note) -> Iterator[Row]:
    """Objects one after the other, with or without the brackets and commas of an array; or one that holds a table."""
    text = _whole(file, note)
    decoder = json.JSONDecoder()
    position = _after(text, 0, _BETWEEN.replace(",", ""))
    is_array = text.startswith("[", position)
    position += is_array
    line, counted, count = 1, 0, 0
    while (position := _after(text, position, _BETWEEN)) < len(text):
        if is_array and text[position] == "]":
            return
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise problem(f"{file.name}:{line}", f"not JSON from here on ({error})", LAYOUTS) from None
        count += 1
        if count == 1 and not isinstance(value, dict):
            raise _layouts.no_objects(file.name, value)
        if count == 1 and not is_array and _after(text, end, _BETWEEN) == len(text):
            yield from _table(file, value, True, reject, note)
            return
        yield from _row(file, line, value, text[position : min(end, position + MOST_TEXT)], reject)
        position = end
    if is_array:
        raise problem(file.name, "the array has no end: is the file cut off?", "an array of objects")


def _whole(file: Opened, note: Note) -> str:
    parts, count = [], 0
    for line in lines(file, note, MOST_DOCUMENT):
        parts.append(line)
        count += len(line)
        if count > MOST_DOCUMENT:
            found = f"a JSON document of more than {MOST_DOCUMENT:,} characters, which is held in memory"
            raise problem(file.name, found, do="write one object a line: json lines")
    return "".join(parts)


def _table(file: Opened, value: dict[str, Any], alone: bool, reject: Reject, note: Note) -> Iterator[Row]:
    """The rows of an object that is the whole of a file; it is a row itself where it holds no table."""
    found = _layouts.found(file.name, value, alone)
    if found is None:
        yield from _row(file, 1, value, "", reject)
        return
    note(f"{file.name}: {len(found.rows):,} rows, read from {found.layout}")
    for number, row in enumerate(found.rows, 1):
        yield from _row(file, number, row, "", reject)


def _after(text: str, position: int, skipped: str) -> int:
    while position < len(text) and text[position] in skipped:
        position += 1
    return position


def _row(file: Opened, line: int, value: Any, text: str, reject: Reject) -> Iterator[Row]:
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        for row in value:  # an array on a line
            yield from _row(file, line, row, text, reject)
        return
    reason = _fault(value, text)
    if reason:
        reject(Rejected(file.name, line, reason, (text.strip() or str(plain(value)))[:MOST_TEXT]))
    else:
        yield Row(value, line)


def _fault(value: Any, text: str) -> str | None:
    if not isinstance(value, dict):
        return f"found {json.dumps(value, default=str)[:40]}, not an object with column names"
    if "\\ud" in text.lower() or not text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return "holds half of a surrogate pair"
    return None


class Writer:
    """One object per line, UTF-8; format `json` writes an array."""

    def __init__(self, stream: BinaryIO, format: str, names: Sequence[str]) -> None:
        self._text = text_stream(stream)
        self._array = format == "json"
        self._before = "[\n" if self._array else ""
        self._names = tuple(names)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows; columns come in the order of the names, then the row's own."""
        for row in rows:
            ordered = {name: row[name] for name in self._names if name in row} | dict(row)
            self._text.write(self._before + json.dumps(ordered, ensure_ascii=False, default=as_json))
            self._before = ",\n" if self._array else "\n"
        self._text.flush()

    def close(self) -> None:
        """End the last line, and leave the byte stream to its owner."""
        empty = self._before in ("[\n", "")
        end = ("[]\n" if empty else "\n]\n") if self._array else ("" if empty else "\n")
        self._text.write(end)
        self._text.flush()
        self._text.detach()
