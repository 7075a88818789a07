"""A file of one long text: rows are blocks of it, in order, each of so many characters."""

from __future__ import annotations

from collections.abc import Iterator

from trimtab.errors import problem
from trimtab.rows import Note, Row
from trimtab.rows._opening import Opened, lines

COLUMN = "text"
_MOST = 1 << 30  # characters of a line, which may be the whole text


def read(file: Opened, size: int, note: Note) -> tuple[tuple[str, ...], Iterator[Row]]:
    """The one column, and its rows. Ends of lines become LF; a last block that is shorter is a row too."""
    return (COLUMN,), _blocks(file, size, note)


def _blocks(file: Opened, size: int, note: Note) -> Iterator[Row]:
    held, first, number = "", 1, 1
    for line in lines(file, note, _MOST):
        held += line.replace("\r\n", "\n").replace("\r", "\n")
        if "\0" in line:
            raise problem(f"{file.name}:{number}", "a character NUL: this is no text", "a file of text")
        while len(held) >= size:
            block, held = held[:size], held[size:]
            yield Row({COLUMN: block}, first)
            first += block.count("\n")
        number += 1
    if held.strip():
        yield Row({COLUMN: held}, first)
