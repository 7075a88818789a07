"""What a linear model reads of the rows, and the model itself: tf-idf, small pictures, means over time, ids one-hot."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from trimtab.columns import Encoded, InputColumn, Ragged, encode_rows
from trimtab.data.table import Table

_C = 10.0  # the better one of 1 and 10 on sst2, trec6, customer_reviews, ag_news and thucnews
_TABLE_C = 1.0
_BLOCK = 4096  # pictures that are looked at at a time
_SIDE = 16  # of the small copy of an image
_PROBE_ROWS = 500  # texts looked at to see whether words have spaces between them
_WORDS: dict[str, str | None] = {"analyzer": "word", "token_pattern": r"(?u)\b\w+\b"}
_CHARACTERS: dict[str, str | None] = {"analyzer": "char", "token_pattern": None}
# Scripts that are written without spaces: Thai, Lao, Burmese, Khmer, Japanese, Chinese.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]"
)


def logistic(
    seen: sparse.csr_array, unseen: sparse.csr_array, known: np.ndarray, classes: int, seed: int
) -> np.ndarray:
    """Class probabilities of the test rows, (rows, classes); a class without training rows gets none."""
    wide = seen.shape[1] > len(known)
    single = (
        LogisticRegression(C=_C, solver="liblinear", dual=True, tol=1e-2, random_state=seed)
        if wide
        else LogisticRegression(C=_TABLE_C, max_iter=300)
    )
    model = OneVsRestClassifier(single) if wide else single
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a rival that stops early is still a rival
        model.fit(seen, known)
    probabilities = np.zeros((unseen.shape[0], classes))
    probabilities[:, model.classes_] = model.predict_proba(unseen)
    return probabilities


def features(inputs: Sequence[InputColumn], train: Table, test: Table) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Features of all inputs side by side, for training and for test rows."""
    own = {column.key: _over_time if column.padded else _own_numbers for column in inputs}
    pairs = [_FEATURES.get(column.simply or "", own[column.key])(column, train, test) for column in inputs]
    return side_by_side([seen for seen, _ in pairs]), side_by_side([unseen for _, unseen in pairs])


def prefix(inputs: Sequence[InputColumn]) -> str:
    """What a linear model on these inputs is called before its own name."""
    return "tf-idf + " if any(column.simply == "tf-idf" for column in inputs) else ""


def side_by_side(parts: Sequence[Any]) -> sparse.csr_array:
    """Features of several inputs as one matrix, with narrow indices."""
    joined = sparse.csr_array(sparse.hstack(parts, format="csr"))
    # Stacking may widen the indices to 64 bits, which the solvers refuse.
    indices = joined.indices.astype(np.int32), joined.indptr.astype(np.int32)
    return sparse.csr_array((joined.data, *indices), shape=joined.shape)


def _tf_idf(column: InputColumn, train: Table, test: Table) -> tuple[Any, Any]:
    """Words and pairs of words; characters and pairs of them where words have no spaces between them."""
    seen, unseen = _texts(train.values[column.name]), _texts(test.values[column.name])
    unit = _WORDS if _words_have_spaces(seen) else _CHARACTERS
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, **unit)
    if not any(map(vectorizer.build_analyzer(), seen)):
        return sparse.csr_array((len(train), 1)), sparse.csr_array((len(test), 1))
    return vectorizer.fit_transform(seen), vectorizer.transform(unseen)


def _texts(values: Sequence[Any]) -> list[str]:
    return ["" if value is None else str(value) for value in values]


def _words_have_spaces(texts: Sequence[str]) -> bool:
    """Whether the texts hold mostly letters of scripts that put spaces between words."""
    probe = "".join(texts[:_PROBE_ROWS])
    letters = sum(map(str.isalpha, probe))
    return len(_UNSPACED.findall(probe)) <= 0.3 * letters


def _own_numbers(column: InputColumn, train: Table, test: Table) -> tuple[Any, Any]:
    """What the network itself is given: numbers as they are, ids one-hot."""
    seen, unseen = _tensors(column, train), _tensors(column, test)
    pairs = [_columns(seen[name], unseen[name]) for name in seen]
    return side_by_side([pair[0] for pair in pairs]), side_by_side([pair[1] for pair in pairs])


def _tensors(column: InputColumn, table: Table) -> dict[str, np.ndarray]:
    return encode_rows([column], {column.name: table.values[column.name]}).batch(np.arange(len(table)))


def _columns(seen: np.ndarray, unseen: np.ndarray) -> tuple[Any, Any]:
    if np.issubdtype(seen.dtype, np.integer):
        size = 1 + int(seen.max(initial=0))
        return _one_hot(seen, size), _one_hot(unseen, size)
    return sparse.csr_array(seen), sparse.csr_array(unseen)


def _one_hot(ids: np.ndarray, size: int) -> sparse.csr_array:
    """(rows,) ids -> (rows, size); an id that training rows never had becomes a row of zeros."""
    rows = np.flatnonzero(ids < size)
    return sparse.csr_array((np.ones(len(rows)), (rows, ids[rows])), shape=(len(ids), size))


def _pixels(column: InputColumn, train: Table, test: Table) -> tuple[Any, Any]:
    """Grey pixels of a small copy of each image, 0 to 1: the means of SIDE x SIDE fields."""
    return _grey(column, train), _grey(column, test)


def _grey(column: InputColumn, table: Table) -> sparse.csr_array:
    kept, values = table.encoded(column), table.values[column.name]
    parts = []
    for start in range(0, max(1, len(table)), _BLOCK):
        block = slice(start, start + _BLOCK)
        pixels = column.encode(values[block]) if kept is None else kept[block]  # type: ignore[index]
        assert isinstance(pixels, np.ndarray)
        cuts = [np.array_split(np.arange(side), min(side, _SIDE)) for side in pixels.shape[2:]]
        fields = [pixels[:, :, rows][:, :, :, columns].mean(axis=(1, 2, 3)) for rows, columns in product(*cuts)]
        parts.append(sparse.csr_array(np.stack(fields, axis=1) / 255.0))
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def _over_time(column: InputColumn, train: Table, test: Table) -> tuple[Any, Any]:
    """Mean and spread over a row's steps of each number that a step has; of ids, how often each occurs."""
    seen, unseen = _encoded(column, train), _encoded(column, test)
    assert isinstance(seen, Ragged)
    assert isinstance(unseen, Ragged)
    if np.issubdtype(seen.values.dtype, np.integer):
        size = 1 + int(seen.values.max(initial=0))
        return _counts(seen, size), _counts(unseen, size)
    return _spread(seen), _spread(unseen)


def _encoded(column: InputColumn, table: Table) -> Encoded:
    kept = table.encoded(column)
    return column.encode(table.values[column.name]) if kept is None else kept


def _counts(rows: Ragged, size: int) -> sparse.csr_array:
    position = np.repeat(np.arange(len(rows)), rows.lengths)
    known = rows.values < size
    ones = np.ones(int(known.sum()))
    return sparse.csr_array((ones, (position[known], rows.values[known])), shape=(len(rows), size))


def _spread(rows: Ragged) -> sparse.csr_array:
    steps = (np.reshape(rows[row], (len(rows[row]), -1)) for row in range(len(rows)))
    return sparse.csr_array(np.stack([np.concatenate([part.mean(axis=0), part.std(axis=0)]) for part in steps]))


# What a type calls its simple features; one that names none gives its own numbers, over time where it has steps.
_FEATURES = {"tf-idf": _tf_idf, "pixels": _pixels}
