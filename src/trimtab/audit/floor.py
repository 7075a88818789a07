"""The floor: what answers cost nothing. Without it nobody knows what the large model is worth.

Rivals learn from the same training rows and are measured on the same test rows by the same functions: the majority
class (the mean, for a number), a linear model on tf-idf and on the columns' own numbers, and, where a row has numbers
or categories, gradient-boosted trees on those, which are hard to beat on a table (Grinsztajn et al. 2022,
arXiv:2207.08815).
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier

from trimtab.audit.quality import RESAMPLES, intervals, label_metrics, measure, number_metrics
from trimtab.bundle.manifest import Measured
from trimtab.columns import InputColumn, OutputColumn, Ragged, Statistics, _lists, encode_rows, labels, numbers, ordinal
from trimtab.columns.category import CategoryColumn
from trimtab.columns.history import HistoryColumn
from trimtab.columns.label import LabelColumn
from trimtab.columns.labels import LabelsColumn
from trimtab.columns.number import NumberColumn
from trimtab.columns.numbers import NumbersColumn
from trimtab.columns.ordinal import OrdinalColumn
from trimtab.columns.ranking import LEFT_OUT, RankingColumn
from trimtab.columns.tags import TagsColumn
from trimtab.data.table import Table

Floor = dict[str, dict[str, Measured]]

_C = 10.0  # the better one of 1 and 10 on sst2, trec6, customer_reviews, ag_news and thucnews
_TABLE_C = 1.0
_RIDGE = 1.0
_TREES = "gradient-boosted trees"
_ITERATIONS = 100  # trees for each class, fewer where there are many classes
_MOST_TREES = 2000
_MOST_CATEGORIES = 255  # that scikit-learn splits as a set; the ids of larger columns are split as numbers
_MANY_ROWS = 10_000  # beyond which a tenth of them decides when to stop
_SIDE = 16  # of the small copy of an image
_NEIGHBOURS = 100  # of each item; the better one of 20, 100 and all on MovieLens-100k
_NEIGHBOUR_BLOCK = 1000  # items whose neighbours are looked for at a time
_LAST = 5  # items of a history; the best one of 1, 5, 10, 20 and all on MovieLens-100k
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
    if grid := _grid(inputs, train, test):
        probabilities[grid.rival] = _class_trees(grid, known, output.width, seed)
    return {name: label_metrics(output.classes, asked, given, seed) for name, given in probabilities.items()}


def _number_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: NumberColumn, seed: int) -> Floor:
    known = output.targets(train.values[output.name])
    asked = output.targets(test.values[output.name])
    seen, unseen = _features(inputs, train, test)
    predictions = {
        "mean": np.full(len(test), known.mean()),
        f"{_prefix(inputs)}ridge regression": Ridge(alpha=_RIDGE, random_state=seed).fit(seen, known).predict(unseen),
    }
    if grid := _grid(inputs, train, test):
        predictions[grid.rival] = _number_trees(grid, known, seed)
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


# ---------------------------------------------------------------------------------------------------------- trees


@dataclass(frozen=True)
class _Grid:
    """What trees can read of the rows: one feature for each number and each category."""

    rival: str  # what the rival is called
    seen: np.ndarray  # (training rows, features), NaN where a number is missing
    unseen: np.ndarray  # (test rows, features)
    sets: np.ndarray  # (features,) bool: ids that are split as a set of categories, not as numbers


def _grid(inputs: Sequence[InputColumn], train: Table, test: Table) -> _Grid | None:
    """The numbers and categories of all inputs; None where there are none."""
    read = [column for column in inputs if isinstance(column, NumberColumn | CategoryColumn)]
    if not read:
        return None
    rival = _TREES if len(read) == len(inputs) else f"{_TREES} (numbers and categories only)"
    seen, unseen = (
        np.stack([_feature(column, table.values[column.name]) for column in read], axis=1) for table in (train, test)
    )
    sets = [isinstance(column, CategoryColumn) and column.size <= _MOST_CATEGORIES for column in read]
    return _Grid(rival, seen, unseen, np.array(sets))


def _feature(column: NumberColumn | CategoryColumn, values: Sequence[Any]) -> np.ndarray:
    """One number per row, (rows,) float64."""
    encoded = column.encode(values)
    if isinstance(column, CategoryColumn):
        return encoded.astype(np.float64)
    absent = encoded[:, 1] > 0 if column.flagged else np.zeros(len(encoded), bool)
    return np.where(absent, np.nan, encoded[:, 0]).astype(np.float64)


def _class_trees(grid: _Grid, known: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Class probabilities of the test rows, (rows, classes); a class without training rows gets none."""
    counts = np.bincount(known)
    model = HistGradientBoostingClassifier(
        max_iter=min(_ITERATIONS, max(10, _MOST_TREES // classes)),
        categorical_features=grid.sets,
        early_stopping=len(known) > _MANY_ROWS and counts[counts > 0].min() > 1,
        random_state=seed,
    )
    probabilities = np.zeros((len(grid.unseen), classes))
    if np.count_nonzero(counts) < 2:
        probabilities[:, known[:1]] = 1.0
        return probabilities
    model.fit(grid.seen, known)
    probabilities[:, model.classes_] = model.predict_proba(grid.unseen)
    return probabilities


def _number_trees(grid: _Grid, known: np.ndarray, seed: int) -> np.ndarray:
    """Standardised numbers of the test rows, (rows,)."""
    model = HistGradientBoostingRegressor(
        max_iter=_ITERATIONS, categorical_features=grid.sets, early_stopping=len(known) > _MANY_ROWS, random_state=seed
    )
    return np.asarray(model.fit(grid.seen, known).predict(grid.unseen))


# ------------------------------------------------------------------------------------------------------- features


def _features(inputs: Sequence[InputColumn], train: Table, test: Table) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Features of all inputs side by side, for training and for test rows."""
    pairs = [_features_of(column)(column, train, test) for column in inputs]
    return _side_by_side([seen for seen, _ in pairs]), _side_by_side([unseen for _, unseen in pairs])


def _features_of(column: InputColumn) -> Callable[[InputColumn, Table, Table], tuple[Any, Any]]:
    return _FEATURES.get(column.type) or (_over_time if column.padded else _own_numbers)


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


def _pixels(column: InputColumn, train: Table, test: Table) -> tuple[Any, Any]:
    """Grey pixels of a small copy of each image, 0 to 1: the means of SIDE x SIDE fields."""
    return _grey(column, train), _grey(column, test)


def _grey(column: InputColumn, table: Table) -> sparse.csr_array:
    pixels = column.encode(table.values[column.name])
    assert isinstance(pixels, np.ndarray)
    cuts = [np.array_split(np.arange(side), min(side, _SIDE)) for side in pixels.shape[2:]]
    fields = [pixels[:, :, rows][:, :, :, columns].mean(axis=(1, 2, 3)) for rows, columns in product(*cuts)]
    return sparse.csr_array(np.stack(fields, axis=1) / 255.0)


def _over_time(column: InputColumn, train: Table, test: Table) -> tuple[Any, Any]:
    """Mean and spread over a row's steps of each number that a step has; of ids, how often each occurs."""
    seen, unseen = column.encode(train.values[column.name]), column.encode(test.values[column.name])
    assert isinstance(seen, Ragged)
    assert isinstance(unseen, Ragged)
    if np.issubdtype(seen.values.dtype, np.integer):
        size = 1 + int(seen.values.max(initial=0))
        return _counts(seen, size), _counts(unseen, size)
    return _spread(seen), _spread(unseen)


def _counts(rows: Ragged, size: int) -> sparse.csr_array:
    place = np.repeat(np.arange(len(rows)), rows.lengths)
    known = rows.values < size
    ones = np.ones(int(known.sum()))
    return sparse.csr_array((ones, (place[known], rows.values[known])), shape=(len(rows), size))


def _spread(rows: Ragged) -> sparse.csr_array:
    steps = (np.reshape(rows[row], (len(rows[row]), -1)) for row in range(len(rows)))
    return sparse.csr_array(np.stack([np.concatenate([part.mean(axis=0), part.std(axis=0)]) for part in steps]))


# ------------------------------------------------------------------------------------------------------- rankings


def _ranking_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: RankingColumn, seed: int) -> Floor:
    """The most popular items, and those that the same users had as the items of the history (Sarwar et al. 2001)."""
    baskets = _baskets(inputs, train, output)
    histories = _histories(inputs, test, output)
    scores = {"popularity": np.tile(np.asarray(baskets.sum(axis=0), np.float32), (len(test), 1))}
    if any(len(history) for history in histories):
        near = _neighbours(baskets)
        scores["item-kNN"] = _item_knn(histories, near)
        scores[f"item-kNN of the last {_LAST}"] = _item_knn([history[-_LAST:] for history in histories], near)
    asked = output.targets(test.values[output.name])
    for row, history in enumerate(histories if not output.repeat else ()):
        for given in scores.values():
            given[row, history] = LEFT_OUT
    return {name: measure(output, asked, given, seed) for name, given in scores.items()}


def _baskets(inputs: Sequence[InputColumn], train: Table, output: RankingColumn) -> sparse.csr_array:
    """Which items each user has in the training rows, (users, items); rows without a known user stand for one each."""
    users = train.values.get(output.user or "") or range(len(train))
    places: dict[Any, set[int]] = {}
    for user, history, answer in zip(users, _histories(inputs, train, output), train.values[output.name], strict=True):
        answers = answer if isinstance(answer, (list, tuple)) else [answer]
        own = places.setdefault(user, set())
        own.update(history)
        own.update(place for place in map(output.index, answers) if place is not None)
    pairs = np.array([(row, place) for row, own in enumerate(places.values()) for place in sorted(own)])
    shape = (len(places), output.width)
    return sparse.csr_array((np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])), shape=shape)


def _histories(inputs: Sequence[InputColumn], table: Table, output: RankingColumn) -> list[list[int]]:
    """The items that stand in the histories of each row, the oldest first."""
    found: list[list[int]] = [[] for _ in range(len(table))]
    for column in inputs:
        if isinstance(column, HistoryColumn):
            for row, value in enumerate(table.values[column.name]):
                places = map(output.index, column.portable(value))
                found[row] += [place for place in places if place is not None]
    return found


def _neighbours(baskets: sparse.csr_array) -> sparse.csr_array:
    """Cosine similarity of each item with its nearest neighbours, (items, items); zero with all others."""
    sizes = np.sqrt(np.asarray(baskets.sum(axis=0))).clip(min=1.0)
    items = sparse.csr_array((baskets / sizes).T)
    parts = []
    for start in range(0, items.shape[0], _NEIGHBOUR_BLOCK):
        block = (items[start : start + _NEIGHBOUR_BLOCK] @ items.T).toarray()
        block[np.arange(len(block)), np.arange(start, start + len(block))] = 0.0
        if block.shape[1] > _NEIGHBOURS:
            least = np.partition(block, -_NEIGHBOURS, axis=1)[:, -_NEIGHBOURS]
            block[block < least[:, None]] = 0.0
        parts.append(sparse.csr_array(block))
    return sparse.csr_array(sparse.vstack(parts).T)


def _item_knn(histories: Sequence[Sequence[int]], near: sparse.csr_array) -> np.ndarray:
    """The sum of each item's similarities with the items of a history, (rows, items)."""
    pairs = np.array([(row, place) for row, history in enumerate(histories) for place in history]).reshape(-1, 2)
    shape = (len(histories), near.shape[0])
    given = sparse.csr_array((np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])), shape=shape)
    return np.asarray((given @ near).toarray(), np.float32)


# Input type -> its features for the linear rival; any other type gives its own numbers, over time where it has steps.
_FEATURES = {"text": _tf_idf, "image": _pixels}
# -------------------------------------------------------------------------------------- answers of several parts


def _labels_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: LabelsColumn, seed: int) -> Floor:
    """How often each class occurs, and one logistic regression for each class; answered from a half on."""
    known = output.targets(train.values[output.name])
    asked = output.targets(test.values[output.name])
    features = _features(inputs, train, test)
    shares = {
        "majority": np.tile(np.nanmean(known, axis=0), (len(test), 1)),
        f"{_prefix(inputs)}logistic regressions": np.stack(
            [_one_class(features, column, seed) for column in known.T], axis=1
        ),
    }
    return {
        name: _intervals(labels.statistics(output.classes, asked, given, given >= 0.5), len(test), output, seed)
        for name, given in shares.items()
    }


def _one_class(features: tuple[Any, Any], known: np.ndarray, seed: int) -> np.ndarray:
    """The chance of one class in each test row, (rows,), from the training rows of which it is known."""
    seen, unseen = features
    rows = np.flatnonzero(~np.isnan(known))
    truth = known[rows].astype(np.int64)
    if len(np.unique(truth)) < 2:
        return np.full(unseen.shape[0], float(truth.mean()) if len(truth) else 0.0)
    return np.asarray(_logistic(_side_by_side([seen[rows]]), unseen, truth, 2, seed)[:, 1])


def _numbers_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: NumbersColumn, seed: int) -> Floor:
    known = output.targets(train.values[output.name])
    asked = output.targets(test.values[output.name])
    features = _features(inputs, train, test)
    predictions = {
        "mean": np.tile(np.nanmean(known, axis=0), (len(test), 1)),
        f"{_prefix(inputs)}ridge regression": np.stack([_ridge(features, one, seed) for one in known.T], axis=1),
    }
    if grid := _grid(inputs, train, test):
        predictions[grid.rival] = np.stack([_trees_of(grid, one, seed) for one in known.T], axis=1)
    truth = output.in_units(asked)
    return {
        name: _intervals(numbers.statistics(output.parts, truth, output.in_units(given)), len(test), output, seed)
        for name, given in predictions.items()
    }


def _trees_of(grid: _Grid, known: np.ndarray, seed: int) -> np.ndarray:
    rows = np.flatnonzero(~np.isnan(known))
    return _number_trees(replace(grid, seen=grid.seen[rows]), known[rows], seed)


def _ridge(features: tuple[Any, Any], known: np.ndarray, seed: int) -> np.ndarray:
    seen, unseen = features
    rows = np.flatnonzero(~np.isnan(known))
    found: np.ndarray = Ridge(alpha=_RIDGE, random_state=seed).fit(seen[rows], known[rows]).predict(unseen)
    return found


def _ordinal_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: OrdinalColumn, seed: int) -> Floor:
    """Rivals that know nothing of the order of the levels, and answer the likeliest one."""
    known = output.targets(train.values[output.name])
    asked = output.targets(test.values[output.name])
    levels = output.classes
    share = np.bincount(known, minlength=len(levels)) / len(known)
    probabilities = {
        "most frequent level": np.tile(share, (len(test), 1)),
        f"{_prefix(inputs)}logistic regression": _logistic(*_features(inputs, train, test), known, len(levels), seed),
    }
    if grid := _grid(inputs, train, test):
        probabilities[grid.rival] = _class_trees(grid, known, len(levels), seed)
    return {
        name: _intervals(ordinal.statistics(levels, asked, given, given.argmax(axis=1)), len(test), output, seed)
        for name, given in probabilities.items()
    }


def _tags_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: TagsColumn, seed: int) -> Floor:
    """The most frequent tag of each word that the training rows know, O for the others."""
    (column,) = inputs
    counts: dict[str, Counter[int]] = {}
    known, asked = (output.targets(table.values[output.name]) for table in (train, test))
    seen = [word for value in train.values[column.name] for word in _lists.words(value)]
    for word, tag in zip(seen, known.values.tolist(), strict=True):
        counts.setdefault(word, Counter())[tag] += 1
    best = {word: min(found, key=lambda tag: (-found[tag], tag)) for word, found in counts.items()}
    words = (word for value in test.values[column.name] for word in _lists.words(value))
    answers = np.array([best.get(word, 0) for word in words], np.int64)
    given = output.answer_statistics(asked, output.valid(answers, asked.offsets))
    return {"most frequent tag of each word": _intervals(given, len(test), output, seed)}


def _intervals(statistics: Statistics, rows: int, output: OutputColumn, seed: int) -> dict[str, Measured]:
    return intervals(statistics, rows, output.width, seed, RESAMPLES)


_FLOORS: dict[str, Callable[[Sequence[InputColumn], Table, Table, Any, int], Floor]] = {
    "label": _label_floor,
    "number": _number_floor,
    "labels": _labels_floor,
    "numbers": _numbers_floor,
    "ordinal": _ordinal_floor,
    "tags": _tags_floor,
    "ranking": _ranking_floor,
}
