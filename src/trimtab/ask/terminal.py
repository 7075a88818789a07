"""Labels given in a terminal: a key for each class, s skips, b goes back, q stops; what was given is kept at once."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.ask.sheet import Question, Sheet

try:
    import termios
    import tty
except ModuleNotFoundError:  # Windows: a line for each answer
    termios = tty = None  # type: ignore[assignment]

SKIP, BACK, QUIT = "s", "b", "q"
_WIDTH, _SHOWN = 100, 1500  # letters of a line, and of a cell

Ask = Callable[[str], str | None]  # shows a text and gives what was typed; None at the end of all input
Tell = Callable[[str], None]


def label(sheet: Sheet, question: Question, path: Path, ask: Ask, tell: Tell) -> Sheet:
    """Ask for the answer to each row that has none, until all are answered or the user stops.

    Each answer is written to `path` before the next row is shown: a stop at any moment loses nothing.
    """
    asked: list[int] = []  # rows that were shown before, the last one behind
    left = [row for row, answer in enumerate(sheet.answers) if not answer]
    while left:
        row = left.pop(0)
        tell(_shown(sheet, row))
        said = ask(_choices(question))
        if said is None or said.strip().casefold() == QUIT:
            break
        word = said.strip().casefold()
        if word == BACK:
            left.insert(0, row)
            if asked:
                before = asked.pop()
                sheet = sheet.answered(before, "")
                sheet.save(path)
                left.insert(0, before)
            else:
                tell("this is the first one")
        elif word == SKIP:
            asked.append(row)
        else:
            answer = question.said(said)
            if answer is None:
                tell(f"{said.strip()!r} is no answer to it")
                left.insert(0, row)
                continue
            sheet = sheet.answered(row, answer)
            sheet.save(path)
            asked.append(row)
    return sheet


def _shown(sheet: Sheet, row: int) -> str:
    """A row as people read it."""
    cells = [(name, value) for name, value in sheet.rows[row].items() if value]
    lines = [f"\n{row + 1} of {len(sheet.rows)} ({sheet.done} labelled)"]
    for name, value in cells:
        shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}..."
        plain = "".join(letter if letter.isprintable() else " " for letter in shown)  # moves no cursor, colours nothing
        lines += textwrap.wrap(f"{name}: {plain}", _WIDTH, subsequent_indent="  ") or [f"{name}:"]
    return "\n".join(lines)


def _choices(question: Question) -> str:
    listed = "  ".join(f"{number} {name}" for number, name in enumerate(question.classes, 1))
    several = "several numbers with blanks between; " if question.several and question.classes else ""
    own = listed or f"{question.name} (written)"
    return f"{own}  |  {several}{SKIP} skip, {BACK} back, {QUIT} quit: "


@contextmanager
def asking(question: Question) -> Iterator[Ask]:
    """One key where that says it all and a terminal is there; else a line."""
    if not (question.by_key and termios and sys.stdin.isatty()):
        yield _line
        return
    kept = termios.tcgetattr(sys.stdin)
    try:
        yield _key
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, kept)


def _line(prompt: str) -> str | None:
    print(prompt, end="", flush=True)
    said = sys.stdin.readline()
    return said.rstrip("\n") if said else None


def _key(prompt: str) -> str | None:
    print(prompt, end="", flush=True)
    kept = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        said = sys.stdin.read(1)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, kept)
    print(said)
    return said if said and said != "\x04" else None
