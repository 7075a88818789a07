"""Which rows to label next, where few had a label: the training found them, the card names them."""

from __future__ import annotations

from collections.abc import Iterator

from trimtab.bundle.manifest import Manifest
from trimtab.checks import Context, Finding
from trimtab.errors import shortened
from trimtab.page import Section, Table, Text

PLACE = 3.2
_SHOWN = 160  # letters of a cell
_WHY = "Rows without an answer that the network is least sure of, and that are unlike each other."


def check(context: Context) -> Finding:
    """Nothing: what the training found stands in the evidence."""
    return Finding()


def sections(manifest: Manifest) -> Iterator[Section]:
    """The rows, where the bundle may quote them."""
    rows = manifest.evidence.get("to_label", [])
    if rows:
        plain = [["" if value is None else str(value) for value in row.values()] for row in rows]
        cells = tuple(tuple(shortened(cell, _SHOWN) for cell in row) for row in plain)
        yield Section("Rows to label next", (Text(_WHY), Table(tuple(rows[0]), cells)))
