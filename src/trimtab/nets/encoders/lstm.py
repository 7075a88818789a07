"""Long short-term memory over the steps of a text, a history or a sound (Hochreiter and Schmidhuber 1997)."""

from __future__ import annotations

from typing import ClassVar

from trimtab.nets.recurrent import RecurrentEncoder


class LstmEncoder(RecurrentEncoder):
    """Each state knows the steps up to its own: (rows, steps) -> (rows, steps, width)."""

    cell: ClassVar[str] = "LSTM"
