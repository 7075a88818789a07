"""Long short-term memory in both directions (Graves and Schmidhuber 2005, doi:10.1016/j.neunet.2005.06.042)."""

from __future__ import annotations

from typing import ClassVar

from trimtab.nets.recurrent import RecurrentEncoder


class BilstmEncoder(RecurrentEncoder):
    """Each state knows all steps of its row: (rows, steps) -> (rows, steps, width)."""

    cell: ClassVar[str] = "LSTM"
    backward: ClassVar[bool] = True
