"""JSON: one object per line, or an array of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from trimtab.errors import problem
from trimtab.rows import Note, Reject, Rejected, Row, as_json, text_stream
from trimtab.rows._opening import HEAD, Opened, head_lines, lines

MOST_TEXT = 10_000  # characters of a rejected row that are kept
_BETWEEN = " \t\r\n,"


def read(file: Opened, format: str, reject: Reject, note: Note) -> tuple[None, Iterator[Row]]:
    """The rows of a JSON file; columns are not known ahead, for each row names its own."""
    if _is_one_document(file, format):
        return None, _document(file, reject, note)
    return None, _lines(file, reject, note)


def _is_one_document(file: Opened, format: str) -> bool:
    """An array, or objects that are spread over lines; such a file is read as a whole."""
    first = next((line.strip() for line in head_lines(file) if line.strip()), "")
    if first.startswith("["):
        return format == "json" or not _parses(first)
    return format == "json" and len(file.head) < HEAD and not _parses(first)


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _lines(file: Opened, reject: Reject, note: Note) -> Iterator[Row]:
    for number, line in enumerate(lines(file, note), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reject(Rejected(file.name, number, f"not JSON: {error}", line.strip()[:MOST_TEXT]))
            continue
        yield from _row(file, number, value, line, reject)


def _document(file: Opened, reject: Reject, note: Note) -> Iterator[Row]:
    """Objects one after the other, with or without the brackets and commas of an array."""
    text = "".join(lines(file, note))
    decoder = json.JSONDecoder()
    position = _after(text, 0, _BETWEEN.replace(",", ""))
    is_array = text.startswith("[", position)
    position += is_array
    line, counted = 1, 0
    while (position := _after(text, position, _BETWEEN)) < len(text):
        if is_array and text[position] == "]":
            return
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise problem(f"{file.name}:{line}", f"not JSON from here on ({error})", "an array of objects") from None
        yield from _row(file, line, value, text[position : min(end, position + MOST_TEXT)], reject)
        position = end
    if is_array:
        raise problem(file.name, "the array has no end: is the file cut off?", "an array of objects")


def _after(text: str, position: int, skipped: str) -> int:
    while position < len(text) and text[position] in skipped:
        position += 1
    return position


def _row(file: Opened, line: int, value: Any, text: str, reject: Reject) -> Iterator[Row]:
    reason = _fault(value, text)
    if reason:
        reject(Rejected(file.name, line, reason, text.strip()[:MOST_TEXT]))
    else:
        yield Row(value, line)


def _fault(value: Any, text: str) -> str | None:
    if not isinstance(value, dict):
        return f"found {json.dumps(value, default=str)[:40]}, not an object with column names"
    if "\\ud" in text.lower():
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
