"""Small files of rows, looked at as a launch looks at them before it trains."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.data.prepare import Prepared, prepare
from trimtab.progress import Progress, Quiet
from trimtab.spec import parse


def table(path: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """A csv file with these rows."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


class Notes(Quiet):
    """Keeps what a user is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        """Keep a line."""
        self.told.append(text)


def looked_at(path: Path, output: Any, notes: Progress | None = None, **spec: Any) -> Prepared:
    """The rows of a file, cut and typed for this output."""
    return prepare(parse({"data": path.name, "output": output, **spec}), path.parent, notes or Quiet())


def of_classes(classes: Sequence[Any], count: int = 60, start: int = 0) -> list[dict[str, Any]]:
    """Rows of these classes in turn, all different."""
    numbers = range(start, start + count)
    return [{"text": f"row {n} says {n % 7}", "size": n, "label": classes[n % len(classes)]} for n in numbers]
