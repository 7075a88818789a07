"""The floor: what answers cost nothing. Without it nobody knows what the large model is worth.

Two rivals learn from the same training rows and are measured on the same test rows by the same functions: the majority
class (the mean, for a number), and a linear model on tf-idf and on the columns' own numbers.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier

from trimtab.audit.quality import label_metrics, number_metrics
from trimtab.bundle.manifest import Measured
from trimtab.columns import InputColumn, OutputColumn, encode_rows
from trimtab.columns.label import LabelColumn
from trimtab.columns.number import NumberColumn
from trimtab.data.table import Table

Floor = dict[str, dict[str, Measured]]

_C = 10.0  # the better one of 1 and 10 on sst2, trec6, customer_reviews, ag_news and thucnews
_TABLE_C = 1.0
_RIDGE = 1.0
_PROBE_ROWS = 500  # texts looked at to see whether words have spaces between them
_WORDS: dict[str, str | None] = {"analyzer": "word", "token_pattern": r"(?u)\b\w+\b"}
_CHARACTERS: dict[str, str | None] = {"analyzer": "char", "token_pattern": None}
# Scripts that are written without spaces: Thai, Lao, Burmese, Khmer, Japanese, Chinese.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]"
)


def floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: OutputColumn, seed: int) -> Floor:
    """Name of each rival -> its metrics on the test rows, as `quality.measure` gives them for the network."""
    rivals = _FLOORS.get(output.type)
    return rivals(inputs, train, test, output, seed) if rivals else {}


def _label_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: LabelColumn, seed: int) -> Floor:
    known = output.targets(train.values[output.name])
    asked = output.targets(test.values[output.name])
    share = np.bincount(known, minlength=output.width) / len(known)
    probabilities = {
        "majority": np.tile(share, (len(test), 1)),
        f"{_prefix(inputs)}logistic regression": _logistic(*_features(inputs, train, test), known, output.width, seed),
    }
    return {name: label_metrics(output.classes, asked, given, seed) for name, given in probabilities.items()}


def _number_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: NumberColumn, seed: int) -> Floor:
    known = output.targets(train.values[output.name])
    asked = output.targets(test.values[output.name])
    seen, unseen = _features(inputs, train, test)
    predictions = {
        "mean": np.full(len(test), known.mean()),
        f"{_prefix(inputs)}ridge regression": Ridge(alpha=_RIDGE, random_state=seed).fit(seen, known).predict(unseen),
    }
    truth = output.in_units(asked)
    return {name: number_metrics(truth, output.in_units(given), seed) for name, given in predictions.items()}


def _prefix(inputs: Sequence[InputColumn]) -> str:
    return "tf-idf + " if any(column.type == "text" for column in inputs) else ""


def _logistic(
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


# ------------------------------------------------------------------------------------------------------- features


def _features(inputs: Sequence[InputColumn], train: Table, test: Table) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Features of all inputs side by side, for training and for test rows."""
    pairs = [_FEATURES.get(column.type, _own_numbers)(column, train, test) for column in inputs]
    return _side_by_side([seen for seen, _ in pairs]), _side_by_side([unseen for _, unseen in pairs])


def _side_by_side(parts: Sequence[Any]) -> sparse.csr_array:
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
    return _side_by_side([pair[0] for pair in pairs]), _side_by_side([pair[1] for pair in pairs])


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


_FEATURES = {"text": _tf_idf}
_FLOORS: dict[str, Callable[[Sequence[InputColumn], Table, Table, Any, int], Floor]] = {
    "label": _label_floor,
    "number": _number_floor,
}
