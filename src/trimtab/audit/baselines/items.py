"""Recommendations without a network: popularity, and items that the same users had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from trimtab.columns import InputColumn
from trimtab.columns.ranking import LEFT_OUT, RankingColumn
from trimtab.data.table import Table
from trimtab.metrics import Answers

_NEIGHBOURS = 100  # of each item; the better one of 20, 100 and all on MovieLens-100k
_NEIGHBOUR_BLOCK = 1000  # items whose neighbours are looked for at a time
_LAST = 5  # items of a history; the best one of 1, 5, 10, 20 and all on MovieLens-100k


def answers(
    inputs: Sequence[InputColumn], train: Table, test: Table, output: RankingColumn, seed: int
) -> dict[str, Answers]:
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
    return {name: output.answered(asked, given) for name, given in scores.items()}


def _baskets(inputs: Sequence[InputColumn], train: Table, output: RankingColumn) -> sparse.csr_array:
    """Which items each user has in the training rows, (users, items); rows without a known user stand for one each."""
    users = train.values.get(output.user or "") or range(len(train))
    positions: dict[Any, set[int]] = {}
    for user, history, answer in zip(users, _histories(inputs, train, output), train.values[output.name], strict=True):
        answers = answer if isinstance(answer, (list, tuple)) else [answer]
        own = positions.setdefault(user, set())
        own.update(history)
        own.update(position for position in map(output.index, answers) if position is not None)
    pairs = np.array([(row, position) for row, own in enumerate(positions.values()) for position in sorted(own)])
    shape = (len(positions), output.width)
    return sparse.csr_array((np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])), shape=shape)


def _histories(inputs: Sequence[InputColumn], table: Table, output: RankingColumn) -> list[list[int]]:
    """The items that stand in the histories of each row, the oldest first."""
    found: list[list[int]] = [[] for _ in range(len(table))]
    for column in inputs:
        if column.holds_items:
            for row, value in enumerate(table.values[column.name]):
                positions = map(output.index, column.portable(value))
                found[row] += [position for position in positions if position is not None]
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
    pairs = np.array([(row, position) for row, history in enumerate(histories) for position in history]).reshape(-1, 2)
    shape = (len(histories), near.shape[0])
    given = sparse.csr_array((np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])), shape=shape)
    return np.asarray((given @ near).toarray(), np.float32)
