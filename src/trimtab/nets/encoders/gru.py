"""Gated recurrent units over the steps of a text, a history or a sound (Cho et al. 2014, arXiv:1406.1078)."""

from __future__ import annotations

from typing import ClassVar

from trimtab.nets.recurrent import RecurrentEncoder


class GruEncoder(RecurrentEncoder):
    """Each state knows the steps up to its own: (rows, steps) -> (rows, steps, width)."""

    cell: ClassVar[str] = "GRU"
