"""How the cells of a csv file are told apart: its delimiter and its escapes, found by looking at the first lines."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

DELIMITERS = {"csv": (",", ";", "\t", "|"), "tsv": ("\t",)}  # that are tried
SEP = re.compile(r'^"?sep=(.)"?\s*$', re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How cells are told apart. `escape` is a backslash in files that write \\" inside quotes."""

    delimiter: str = ","
    escape: str | None = None
    spaced: bool = False  # a space follows each delimiter

    def reader(self, source: Iterator[str], strict: bool = False) -> Any:
        """A parser of the standard library; its records are lists of cells."""
        return csv.reader(
            source,
            delimiter=self.delimiter,
            escapechar=self.escape,
            skipinitialspace=self.spaced,
            strict=strict,
        )


def sniff(sample: Sequence[str], delimiters: Sequence[str]) -> Dialect:
    """The dialect in which most records of the sample have as many cells as the first one."""
    told = SEP.match(sample[0]) if sample else None
    if told:
        delimiters, sample = (told[1],), sample[1:]
    header = next((line for line in sample if line.strip()), "")
    escapes = (None, "\\") if any('\\"' in line for line in sample) else (None,)
    bare = re.sub(r'"[^"]*"', '""', header)
    candidates = [  # spaced: a space follows each delimiter, those inside quotes not counted
        Dialect(delimiter, escape, spaced=bare.count(delimiter) == bare.count(delimiter + " ") > 0)
        for escape in escapes
        for delimiter in delimiters
    ]
    return max(candidates, key=lambda dialect: _fit(sample, dialect))


def _fit(sample: Sequence[str], dialect: Dialect) -> tuple[bool, float, int]:
    """How well a dialect explains the sample: several columns, share of records as wide as the header, columns."""
    widths = []
    with contextlib.suppress(csv.Error):  # the records before a cell that is too long for the parser are enough
        for cells in dialect.reader(iter(sample)):
            widths += [len(cells)] if cells else []
    width = widths[0] if widths else 0
    return width > 1, widths.count(width) / max(1, len(widths)), width
