"""Categories: some are exchanged with those of a row that is alike (MUNGE, Bucila et al. 2006)."""

from __future__ import annotations

import numpy as np

from trimtab.columns import Encoded, InputColumn
from trimtab.compress.varied import Draw

_EXCHANGED = 0.4  # share of the rows; drawn for each column on its own


def vary(column: InputColumn, encoded: Encoded, draw: Draw) -> np.ndarray:
    """Ids, (rows,) -> (count,)."""
    ids = np.asarray(encoded)
    exchanged = draw.random.random(len(draw.picked)) < _EXCHANGED
    return np.asarray(ids[np.where(exchanged, draw.partners, draw.picked)])
