"""Batches for training: rows of like length together, filled to a token budget, in an order that a seed fixes."""

from __future__ import annotations

import numpy as np

from trimtab.columns import IGNORED, Ragged, Targets, length_batches


def epoch_batches(
    steps: np.ndarray, budget: int, most_rows: int, seed: int, epoch: int, classes: np.ndarray | None = None
) -> list[np.ndarray]:
    """The batches of one epoch, each an array of row numbers; every row is in exactly one.

    With `classes`, the class of each row (rows,), as many rows are drawn such that every class is equally frequent:
    see `balanced`. Lengths are blurred by a tenth before they are sorted, so that the rows that meet change from epoch
    to epoch.
    """
    random = np.random.default_rng([seed, epoch])
    rows = np.arange(len(steps)) if classes is None else balanced(classes, random)
    blurred = steps[rows] * random.uniform(0.9, 1.1, len(rows))
    order = rows[np.argsort(blurred, kind="stable")]
    batches = [order[batch] for batch in _consecutive(steps[order], budget, most_rows)]
    return [batches[position] for position in random.permutation(len(batches))]


def balanced(classes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """As many rows as there are, in a random order, every class that occurs equally often (up to one row).

    Of a frequent class some rows are left out, those of a rare one come again, all of them before any comes once more.
    """
    members = [np.flatnonzero(classes == one) for one in np.unique(classes)]
    quotas = np.full(len(members), len(classes) // len(members))
    quotas[random.permutation(len(members))[: len(classes) % len(members)]] += 1
    drawn = [_repeated(rows, int(quota), random) for rows, quota in zip(members, quotas, strict=True)]
    return random.permutation(np.concatenate(drawn))


def _repeated(rows: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    whole, rest = divmod(count, len(rows))
    return np.concatenate([*[rows] * whole, random.permutation(rows)[:rest]])


def _consecutive(steps: np.ndarray, budget: int, most_rows: int) -> list[np.ndarray]:
    """Cut rows as they stand: the running longest row times the rows stays within the budget."""
    longest = np.maximum.accumulate(steps)
    return length_batches(longest, budget, most_rows)


def halve(batch: np.ndarray) -> list[np.ndarray]:
    """A batch in two parts, for a device whose memory it did not fit."""
    middle = len(batch) // 2
    return [batch[:middle], batch[middle:]]


def targets_of(targets: Targets, rows: np.ndarray) -> np.ndarray:
    """The targets of the given rows; those of rows with several places are padded with `IGNORED`."""
    if not isinstance(targets, Ragged):
        return np.asarray(targets[rows])
    lengths = targets.lengths[rows]
    position = np.arange(int(lengths.max(initial=1)))
    real = position < lengths[:, None]
    source = np.where(real, targets.offsets[:-1][rows][:, None] + position, 0)
    values = targets.values[source]  # (rows, places), or (rows, places, width)
    found: np.ndarray = np.where(
        real.reshape(*real.shape, *[1] * (values.ndim - 2)), values, values.dtype.type(IGNORED)
    )
    return found
