"""Whether 95% intervals hold the truth in 95% of cases: `python -m benchmarks.intervals --rows 200 1000 --draws 500`.

Rows are drawn from a distribution that is known, its metrics are measured with their intervals as the audit measures
them, and the truth is that of very many rows. Printed is the share of the draws whose interval holds it; of 500 draws
that share is itself known to 2 points.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from trimtab import metrics
from trimtab.audit import conformal, quality, selective
from trimtab.columns import Assurance
from trimtab.metrics import Amounts, Answers, AnyOf, Levels, OneOf, Statistic

TRUTH_ROWS = 1_000_000
LOW, HIGH = 0.93, 0.97  # where the share that holds the truth should lie
PROMISED = Assurance(answered_from=0.8, coverage=0.9, reach=0.15)
Random = np.random.Generator


class Case(NamedTuple):
    """Rows of a known distribution, and what is measured of them."""

    drawn: Callable[[Random, int], Answers]
    names: tuple[str, ...]


def classes(draw: Random, rows: int, count: int = 2, sure: float = 1.0) -> OneOf:
    """One of some classes; what is said of them is `sure` times too sure, in logits."""
    logits = 1.5 * draw.normal(size=(rows, count))
    logits[:, 0] += 0.5
    chances = _softmax(logits)
    true = (draw.random((rows, 1)) > np.cumsum(chances, axis=1)[:, :-1]).sum(axis=1)
    return OneOf(tuple(map(str, range(count))), true, _softmax(sure * logits))


def _softmax(logits: np.ndarray) -> np.ndarray:
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def rare(draw: Random, rows: int) -> OneOf:
    """One row in ten is of the second class."""
    positive = (draw.random(rows) < 0.1).astype(np.int64)
    score = 1 / (1 + np.exp(2.5 - 1.5 * positive - draw.normal(size=rows)))
    return OneOf(("no", "yes"), positive, np.stack([1 - score, score], axis=1))


def levels(draw: Random, rows: int) -> Levels:
    """Five levels, most answers right or one off."""
    true = draw.integers(0, 5, rows)
    chosen = np.clip(true + np.round(0.8 * draw.normal(size=rows)).astype(np.int64), 0, 4)
    return Levels(tuple("12345"), true, np.eye(5)[chosen] * 0.8 + 0.04, answered=chosen, units=np.arange(5.0))


def sets(draw: Random, rows: int) -> AnyOf:
    """Three classes, of which any may be there."""
    chances = 1 / (1 + np.exp(np.array([0.0, 1.0, 2.0]) - 1.5 * draw.normal(size=(rows, 3))))
    return AnyOf(("p", "q", "r"), (draw.random((rows, 3)) < chances).astype(np.float64), chances, chances > 0.5)


def amounts(draw: Random, rows: int) -> Amounts:
    """Skewed numbers; the larger, the larger the error."""
    true = draw.lognormal(sigma=0.5, size=rows)
    return Amounts(true, true + 0.3 * true * draw.normal(size=rows))


_OF_CLASSES = ("accuracy", "macro_f1", "auc", "average_precision", "log_loss", "recall.1", "calibration_error")
_OF_SELECTION = (
    "selective.aurc",
    "selective.accuracy",
    "selective.answered",
    "conformal.coverage",
    "conformal.set_size",
)
CASES = {
    "two classes": Case(classes, (*_OF_CLASSES, *_OF_SELECTION)),
    "three classes, too sure": Case(lambda draw, rows: classes(draw, rows, 3, 1.5), (*_OF_CLASSES, *_OF_SELECTION)),
    "ten classes": Case(lambda draw, rows: classes(draw, rows, 10, 1.15), ("macro_f1", _OF_CLASSES[-1])),
    "a rare class": Case(rare, ("macro_f1", "auc", "average_precision", "recall.yes")),
    "levels": Case(levels, ("quadratic_kappa",)),
    "labels": Case(sets, ("micro_f1", "macro_f1", "exact_match", "auc")),
    "numbers": Case(amounts, ("rmse", "mae", "r2")),
}  # fmt: skip


def statistics(answers: Answers, names: Sequence[str]) -> Mapping[str, Callable[[], Statistic]]:
    """What the audit measures of answers, of these names."""
    promised = {**selective.statistics(answers, PROMISED), **conformal.statistics(answers, PROMISED)}
    made = {**metrics.statistics(answers), **promised}
    return {name: made[name] for name in names}


def truths(case: Case, seed: int) -> dict[str, float]:
    """Of a million rows."""
    answers = case.drawn(np.random.default_rng([seed, 0]), TRUTH_ROWS)
    ones = np.ones((TRUTH_ROWS, 1))
    return {name: float(make()(ones)[0]) for name, make in statistics(answers, case.names).items()}


def held(
    case: Case, truth: Mapping[str, float], rows: int, draws: int, seed: int
) -> Iterator[tuple[str, float, float]]:
    """Each metric, the share of the draws whose interval holds the truth, and the share that has an interval."""
    inside: dict[str, list[bool]] = {name: [] for name in case.names}
    for number in range(draws):
        answers = case.drawn(np.random.default_rng([seed, 1, number]), rows)
        found = quality.intervals(statistics(answers, case.names), rows, 1, number, quality.RESAMPLES)
        for name in case.names:
            one = found.get(name)
            if one is not None and one.low is not None and one.high is not None:
                inside[name].append(one.low <= truth[name] <= one.high)
    for name, those in inside.items():
        yield name, float(np.mean(those)) if those else float("nan"), len(those) / draws


def main() -> int:
    """Print a line for each metric; 1 where one lies outside."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    outside = 0
    print(
        "| rows drawn of | metric | truth | rows | intervals that hold it | draws with one |\n|---|---|---|---|---|---|"
    )
    for title in asked.cases:
        truth = truths(CASES[title], asked.seed)
        for rows in asked.rows:
            for name, share, having in held(CASES[title], truth, rows, asked.draws, asked.seed):
                outside += not LOW <= share <= HIGH
                mark = "" if LOW <= share <= HIGH else " !"
                print(
                    f"| {title} | {name} | {truth[name]:.4f} | {rows} | {share:.3f}{mark} | {having:.2f} |", flush=True
                )
    return int(outside > 0)


if __name__ == "__main__":
    sys.exit(main())
