"""Two networks that read into one space: one reads rows, the other the entries of the gallery that answers come from.

Rows are answered by the first alone: the entries' vectors are computed once, and lie beside the output's column.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from trimtab.columns import EncodedRows, dense
from trimtab.programs import Graphs, Program, Ran
from trimtab.programs.single import MODEL

GALLERY = "gallery"


class NearestProgram(Program):
    """The vector of each row."""

    graphs: ClassVar[tuple[str, ...]] = (MODEL, GALLERY)

    def run(self, graphs: Graphs, rows: EncodedRows) -> Ran:
        """All rows through the network that reads rows."""
        return Ran(graphs[MODEL].outputs(rows, np.arange(len(rows))))

    def of_entries(self, graphs: Graphs, entries: EncodedRows) -> np.ndarray:
        """See `Program.of_entries`."""
        return dense(graphs[GALLERY].outputs(entries, np.arange(len(entries))))

    @property
    def words(self) -> str:
        """How the two work together."""
        return "one reads rows, one the entries of the gallery, and the nearest entries are answered"
