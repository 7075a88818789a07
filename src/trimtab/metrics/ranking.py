"""Places of the right item among all: counted up to the k-th one.

With one right item the recall at k is the hit rate, and the ideal gain of the NDCG is 1 (Järvelin & Kekäläinen 2002,
doi:10.1145/582415.582418).
"""

from __future__ import annotations

import numpy as np

from trimtab.metrics import Metric, Ranked, Retrieved, Statistic, first, mean
from trimtab.metrics._statistics import coverage

_PLACES = 10  # that are measured where no other number is asked for


def _ndcg(answers: Ranked, places: int) -> Statistic:
    return mean((answers.rank <= places) / np.log2(answers.rank + 1.0))


def _hits(answers: Ranked, places: int) -> Statistic:
    return mean(answers.rank <= places)


def _reciprocal_rank(answers: Ranked | Retrieved, places: int) -> Statistic:
    return mean((answers.rank <= places) / answers.rank)


def _coverage(answers: Ranked, places: int) -> Statistic:
    return coverage(first(answers.scores, places), answers.scores.shape[1])


METRICS = (
    Metric(
        "ndcg", "NDCG", "how high the right item stands among the first k (normalised discounted cumulative gain)",
        "higher", of={Ranked: _ndcg}, at=_PLACES, share=True, selects=True, of_rows=True, tile=True,
    ),
    Metric(
        "hit", "Hit rate", "share of rows whose item is among the first k (recall@k for one right item)", "higher",
        of={Ranked: _hits}, at=_PLACES, share=True, selects=True, of_rows=True, tile=True,
    ),
    Metric(
        "mrr", "MRR", "mean of 1 / place of the right item, 0 beyond the first k", "higher",
        of={Ranked: _reciprocal_rank, Retrieved: _reciprocal_rank}, at=_PLACES, share=True, selects=True, of_rows=True,
    ),
    Metric(
        "coverage", "Coverage", "share of all items that are among the first k of some row", "higher",
        of={Ranked: _coverage}, at=_PLACES, share=True, resamples=False,
    ),
)  # fmt: skip
