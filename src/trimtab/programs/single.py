"""One network answers every row."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from trimtab.columns import EncodedRows
from trimtab.programs import Graphs, Program, Ran

MODEL = "model"


class SingleProgram(Program):
    """One network answers every row."""

    graphs: ClassVar[tuple[str, ...]] = (MODEL,)

    def run(self, graphs: Graphs, rows: EncodedRows) -> Ran:
        """All rows through the network."""
        return Ran(graphs[MODEL].outputs(rows, np.arange(len(rows))))
