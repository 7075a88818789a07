"""Entries of a gallery: how often the right one is among the first, and at which place it stands in the middle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trimtab.metrics import Metric, Retrieved, Statistic, mean

# Places that are counted, in words, and whether the card begins with it.
_COUNTED = ((1, "the first", True), (5, "among the first 5", True), (10, "among the first 10", False))


def _recall(places: int) -> Callable[[Retrieved], Statistic]:
    return lambda answers: mean(answers.rank <= places)


def _median(answers: Retrieved) -> Statistic:
    """The lowest place that the right entries of half of the rows reach."""
    order = np.argsort(answers.rank, kind="stable")
    places = answers.rank[order].astype(np.float64)

    def statistic(weights: np.ndarray) -> np.ndarray:
        if not len(places):
            return np.full(weights.shape[1], np.nan)
        summed = np.cumsum(weights[order], axis=0)
        return np.asarray(places[(summed < summed[-1:] / 2).sum(axis=0).clip(max=len(places) - 1)])

    return statistic


METRICS = (
    *(
        Metric(
            f"recall@{places}", f"Recall at {places}", f"share of rows whose right entry of the gallery is {words}",
            "higher",
            of={Retrieved: _recall(places)}, share=True, selects=True, of_rows=True, tile=tile,
        )
        for places, words, tile in _COUNTED
    ),
    Metric(
        "median_rank", "Median rank", "place of the right entry in the gallery: half of the rows have it there or "
        "before", "lower", of={Retrieved: _median}, selects=True, tile=True,
    ),
)  # fmt: skip
