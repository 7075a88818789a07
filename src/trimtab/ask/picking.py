"""Rows that are most worth a label: a network is unsure of them, and they are unlike each other.

By what is known cheaply: the network's answers and hashed features of the inputs. Rows are drawn as k-means++ draws its
centres (Arthur and Vassilvitskii 2007), each distance times how unsure the answer is, much as BADGE does with gradients
(Ash et al. 2020, arXiv:1906.03671).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import rows, runtime
from trimtab.bundle import reference, store
from trimtab.columns import Encoded, OutputColumn, Outputs, Ragged, encode_rows
from trimtab.data import dedup
from trimtab.data.table import Origin, Table
from trimtab.errors import problem
from trimtab.rows import Rejected
from trimtab.values import parse

_MOST = 200_000  # rows of a pool that are looked at
_WIDTH = 256  # hashed features of an input
_PROJECTED = 64  # numbers that many numbers of a row are projected on
_UNSURE = 10  # times as many of the least sure rows as are asked for are drawn from
_SURE = 1e-3  # what the surest answer counts beside the least sure one
_PRIME = 2_654_435_761  # Knuth's, that spreads ids over the features


@dataclass(frozen=True)
class Pool:
    """Rows without an answer, as they stand in a file."""

    rows: list[dict[str, Any]]
    names: list[str]  # their columns
    left_out: dict[str, int]  # reason -> rows


@dataclass(frozen=True)
class Asked:
    """The rows to label, the most unsure first."""

    rows: list[dict[str, Any]]
    names: list[str]
    answers: list[Any]  # what the bundle answers to them
    left_out: dict[str, int]
    of: int  # rows of the pool that could have been picked


def pick(model: runtime.Model, source: rows.Rows, where: str, count: int, folder: Path, seed: int = 0) -> Asked:
    """The `count` rows of a pool that are most worth a label; `folder` is what files named in rows are relative to.

    Rows that the bundle was made of, that have an answer already and that repeat are left out. Raises TrimtabError
    where none is left, and for a bundle whose answers no one can write into a cell.
    """
    check(model.output)
    pool = _read(model, source, where)
    values = runtime.gathered(model.inputs, pool.rows, folder)
    outputs = model.outputs(values)
    unsure = model.output.unsure(outputs)
    picked = spread(features(model, values, outputs), unsure, count, np.random.default_rng(seed))
    order = picked[np.argsort(-unsure[picked], kind="stable")]
    answers = model.output.decode(outputs)[model.output.name]
    chosen = order.tolist()
    return Asked(
        [pool.rows[row] for row in chosen], pool.names, [answers[row] for row in chosen], pool.left_out, len(pool.rows)
    )


def check(output: OutputColumn) -> None:
    """Raises TrimtabError for answers that are the next one of a user's events: time brings them, not a person."""
    if output.user is not None:
        found = f"answers {output.name!r}, the next of the events of each {output.user!r}"
        raise problem("the bundle", found, "answers that a person can give", "wait for more events, and adapt to them")


def _read(model: runtime.Model, source: rows.Rows, where: str) -> Pool:
    """The rows of a pool that may be picked."""
    answers = model.output.sources or (model.output.name,)
    names = list(source.names or ())
    found: list[dict[str, Any]] = []
    for row in source:
        if len(found) == _MOST:
            break
        found.append(row.values)
        names += [name for name in row.values if name not in names]
    if not found:
        raise problem(where, "holds no rows", "rows to label")
    runtime.check_names(model.inputs, names, where)
    table = Table(
        {column.name: [row.get(column.name) for row in found] for column in model.inputs},
        [Origin(where, 0)] * len(found),
    )
    keys = dedup.keys(table, {column.name: column.type for column in model.inputs})
    seen = reference.seen(model.folder / store.REFERENCE) if model.folder else {}  # the bundle learnt, or was chosen by
    known = np.isin(dedup.fingerprint(keys), np.concatenate([np.zeros(0, np.uint32), *seen.values()]))
    labelled = np.array([any(not parse.is_missing(row.get(name)) for name in answers) for row in found], bool)
    first = np.zeros(len(found), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    reasons = {"have an answer": labelled, "made the bundle": known & ~labelled, "repeat": ~first & ~labelled & ~known}
    keep = np.flatnonzero(~np.logical_or.reduce(list(reasons.values())))
    left_out = {reason: int(rows.sum()) for reason, rows in reasons.items() if rows.any()}
    if not len(keep):
        told = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise problem(where, f"no row is left to label: {told}", "rows without an answer that the bundle does not know")
    return Pool([found[row] for row in keep.tolist()], names, left_out)


def ignored(_: Rejected) -> None:
    """A row of the pool that cannot be read is not asked about."""


# -------------------------------------------------------------------------------------------------------- features


def features(model: runtime.Model, values: dict[str, list[Any]], outputs: Outputs) -> np.ndarray:
    """What rows are told apart by, (rows, features) float32: hashed inputs and chances of answers, each of length 1."""
    encoded = encode_rows(model.inputs, values)
    parts = [_of_input(part) for part in encoded.encoded]
    if model.output.scored:
        parts.append(np.asarray(model.output.strengths(outputs), np.float64))
    of_length_one = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-9) for part in parts]
    return np.concatenate(of_length_one, axis=1).astype(np.float32)


def _of_input(encoded: Encoded) -> np.ndarray:
    """Counts of hashed ids, or numbers; of many numbers per row a random projection."""
    if isinstance(encoded, Ragged):
        row = np.repeat(np.arange(len(encoded)), encoded.lengths)
        if np.issubdtype(encoded.values.dtype, np.integer):
            return _counted(row, encoded.values, len(encoded))
        frames = encoded.values.reshape(len(encoded.values), -1)
        total = np.zeros((len(encoded), frames.shape[1]))
        np.add.at(total, row, frames)
        return _projected(total / np.maximum(encoded.lengths, 1)[:, None])
    if np.issubdtype(encoded.dtype, np.integer) and encoded.ndim == 1:
        return _counted(np.arange(len(encoded)), encoded, len(encoded))
    return _projected(encoded.reshape(len(encoded), -1).astype(np.float64))


def _counted(row: np.ndarray, ids: np.ndarray, count: int) -> np.ndarray:
    found = np.zeros((count, _WIDTH))
    np.add.at(found, (row, (ids.astype(np.uint64) * np.uint64(_PRIME) >> np.uint64(7)) % np.uint64(_WIDTH)), 1.0)
    return np.asarray(np.log1p(found))


def _projected(numbers: np.ndarray) -> np.ndarray:
    centred = np.asarray(np.nan_to_num(numbers - numbers.mean(axis=0)))
    if centred.shape[1] <= _PROJECTED:
        return centred
    random = np.random.default_rng(0)
    return np.asarray(centred @ random.standard_normal((centred.shape[1], _PROJECTED)) / np.sqrt(_PROJECTED))


def spread(vectors: np.ndarray, unsure: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Rows that are unsure and far from each other, (at most count,): the most unsure one, then as k-means++ draws."""
    candidates = np.argsort(-unsure, kind="stable")[: max(count, count * _UNSURE)]
    if len(candidates) <= count:
        return candidates
    own, weight = vectors[candidates], np.maximum(unsure[candidates], _SURE)
    picked = [0]
    nearest = ((own - own[0]) ** 2).sum(1)
    while len(picked) < count:
        odds = nearest * weight**2
        odds[picked] = 0.0
        total = odds.sum()
        if not total > 0:  # all others equal one that is picked
            odds = weight.copy()
            odds[picked] = 0.0
            total = odds.sum()
        picked.append(int(random.choice(len(odds), p=odds / total)))
        nearest = np.minimum(nearest, ((own - own[picked[-1]]) ** 2).sum(1))
    return candidates[picked]
