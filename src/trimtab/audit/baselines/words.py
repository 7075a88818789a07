"""A tag for each word: the most frequent one of each word that the training rows know, no span for the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from trimtab.columns import InputColumn
from trimtab.data.table import Table
from trimtab.metrics import Answers
from trimtab.values import list_cells


def answers(inputs: Sequence[InputColumn], train: Table, test: Table, output: Any, seed: int) -> dict[str, Answers]:
    """The tags of a word that was never seen are the first of the column's, which is that of no span."""
    (column,) = inputs
    counts: dict[str, Counter[int]] = {}
    known, asked = (output.targets(table.values[output.name]) for table in (train, test))
    seen = [word for value in train.values[column.name] for word in list_cells.words(value)]
    for word, tag in zip(seen, known.values.tolist(), strict=True):
        counts.setdefault(word, Counter())[tag] += 1
    best = {word: min(found, key=lambda tag: (-found[tag], tag)) for word, found in counts.items()}
    words = (word for value in test.values[column.name] for word in list_cells.words(value))
    given = np.array([best.get(word, 0) for word in words], np.int64)
    return {"most frequent tag of each word": output.tagged(asked, output.borders.valid(given, asked.offsets))}
