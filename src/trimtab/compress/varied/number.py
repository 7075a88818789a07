"""Numbers: some are exchanged with those of a row that is alike, and differ from them a little.

This is MUNGE (Bucila et al. 2006): the more two rows differ in a number, the more noise there is on it.
"""

from __future__ import annotations

import numpy as np

from trimtab.columns import Encoded, InputColumn
from trimtab.columns.number import NumberColumn
from trimtab.compress.varied import Draw
from trimtab.train.augment.number import moved

_EXCHANGED = 0.4  # share of the rows; drawn for each column on its own
_NOISE = 0.25  # standard deviation, as a share of the difference between the two numbers
_CODES = 20  # different numbers of a column, at most, that are taken for codes: a number between two means nothing


def vary(column: InputColumn, encoded: Encoded, draw: Draw) -> np.ndarray:
    """Features, (rows, features) -> (count, features) float32; a missing number is exchanged as such."""
    assert isinstance(column, NumberColumn)
    features = column.widened(encoded)
    exchanged = draw.random.random(len(draw.picked)) < _EXCHANGED
    found = features[np.where(exchanged, draw.partners, draw.picked)]
    scaled = features[:, 0]
    if len(np.unique(scaled)) <= _CODES:
        return np.asarray(found)
    apart = np.abs(scaled[draw.picked] - scaled[draw.partners])
    noise = _NOISE * apart * draw.random.standard_normal(len(apart))
    changed = np.flatnonzero(exchanged & (apart > 0))
    found[changed] = moved(column, found[changed], noise[changed])
    return np.asarray(found)
