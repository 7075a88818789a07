"""Texts: the commonest answer, that of the most similar training row, and the input itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from trimtab.audit.linear import features
from trimtab.columns import InputColumn
from trimtab.data.table import Table
from trimtab.metrics import Answers
from trimtab.values import parse

_BLOCK = 256  # test rows that are compared with all training rows at a time


def answers(inputs: Sequence[InputColumn], train: Table, test: Table, output: Any, seed: int) -> dict[str, Answers]:
    """A copy of the input only where it is one text: of a translation, and of what is to be said shorter."""
    known = [parse.text(value).strip() for value in train.values[output.name]]
    counts = Counter(known)
    often = min(counts, key=lambda text: (-counts[text], text))
    given = {
        output.constant: [often] * len(test),
        "nearest training pair": [known[row] for row in nearest(*features(inputs, train, test)).tolist()],
    }
    if len(inputs) == 1 and inputs[0].is_text:
        given["copy of the input"] = [parse.text(value).strip() for value in test.values[inputs[0].name]]
    right = output.targets(test.values[output.name])
    return {name: output.answered_simply(right, np.array(texts, object)) for name, texts in given.items()}


def nearest(seen: sparse.csr_array, unseen: sparse.csr_array) -> np.ndarray:
    """The training row most like each test row by the cosine of their features, (rows,); the first of equal ones."""
    known, asked = _unit(seen).T.tocsr(), _unit(unseen)
    blocks = (asked[start : start + _BLOCK] @ known for start in range(0, max(1, asked.shape[0]), _BLOCK))
    return np.concatenate([np.asarray(block.toarray().argmax(axis=1), np.int64) for block in blocks])


def _unit(rows: sparse.csr_array) -> sparse.csr_array:
    """Rows of length 1."""
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).reshape(-1))
    return sparse.csr_array(sparse.diags_array(1 / np.maximum(lengths, 1e-12)) @ rows)
