"""How good answers are: one file for each small family of metrics; the folder is the registry.

A file holds `METRICS`, each declared once: what it is called, what it means, which side is better, and how it is
computed of each kind of answers (`OneOf`, `AnyOf`, `Amounts`, ...). A type of output says of which kind its answers
are, and has every metric that knows that kind. All names are written `family@places(column, column).part`, of which a
family takes what it declares: `accuracy`, `ndcg@10`, `recall.spam`, `fairness.equalized_odds_gap(gender)`,
`worst_slice.accuracy`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, Literal, NamedTuple

from trimtab import registry
from trimtab.metrics._answers import (
    Amounts,
    Answers,
    AnyOf,
    Continued,
    Drawn,
    Levels,
    OneOf,
    Ranked,
    Retrieved,
    SeveralAmounts,
    Tagged,
    Texts,
    Written,
    first,
    ranks,
)
from trimtab.metrics._evidence import HARDEST, scores, shortened
from trimtab.metrics._statistics import (
    EPSILON,
    Statistic,
    SumOfSizes,
    among,
    auc,
    f1,
    mean,
    mean_of_defined,
    mean_over,
    ratio,
    share,
    undefined,
)
from trimtab.metrics._texts import LONG, copies

__all__ = [
    "EPSILON", "HARDEST", "LONG", "Amounts", "Answers", "AnyOf", "Continued", "Drawn", "Kind", "Levels", "Metric",
    "Name", "OneOf", "Ranked", "Retrieved", "SeveralAmounts", "Statistic", "Statistics", "SumOfSizes", "Tagged",
    "Texts", "Written", "among", "asked", "auc", "canonical", "copies", "every", "f1", "first", "mean",
    "mean_of_defined", "mean_over",
    "measured_on", "named", "parsed", "parts_measured_on", "ranks", "ratio", "scores", "share", "shortened",
    "statistic", "statistics", "undefined",
]  # fmt: skip

Kind = type[Answers]
_REST = r"(?:@([1-9]\d*))?(?:\(([^()]+)\))?(?:\.(.+))?"


@dataclass(frozen=True)
class Metric:
    """A number that can be measured on a bundle, with all that is said of it."""

    name: str  # of the family, as gates write it
    label: str  # as the card calls it
    meaning: str
    better: Literal["higher", "lower"]
    unit: Literal["", "MB", "ms", "rows/s", "per million", "Wh per million"] = ""
    of: Mapping[Kind, Callable[..., Statistic]] = field(default_factory=dict)  # (answers), with `at` (answers, k)
    of_parts: Mapping[Kind, Callable[[Any, int], Statistic]] = field(default_factory=dict)  # (answers, place of a part)
    at: int | None = None  # it is cut after k places, `ndcg@k`: the k that is measured where none is asked for
    gate: bool = True  # can be one
    tile: bool = False  # stands at the top of the card
    share: bool = False  # lies between 0 and 1
    best: float = 1.0  # what a perfect network has, where more is better
    selects: bool = False  # fit to choose a checkpoint: no answers but good ones are best by it
    resamples: bool = True  # what rows drawn again say of it is right: not of what is biased by drawing rows twice
    of_rows: bool = False  # a mean over rows, to which a wrong answer adds nothing
    checked: bool = False  # measured by a check of its own: of `kinds` of answers, or whatever the output
    kinds: tuple[Kind, ...] = ()
    part_of_check: str = ""  # what a check measures it of, one by one: the perturbations of `robustness.<perturbation>`
    by_column: bool = False  # may be asked by protected columns: `family(gender, race)`
    of_class: bool = False  # a check measures it of each class too: `family.<class>`
    of_metric: bool = False  # its part is another metric, whose unit and good side it has: `worst_slice.accuracy`
    needs: str = ""  # the key of the spec without which there is nothing to measure
    apart: bool = False  # its check shows it on the card, in a section of its own
    compared: bool = False  # with the uncompressed network on the same rows
    of_making: bool = False  # needs what a bundle was made of: its training rows, the network before a search
    gain: str = ""  # what the card says where the network is better than the best baseline: {gone}, {name}

    @property
    def higher_is_better(self) -> bool:
        """Whether more of it is better."""
        return self.better == "higher"

    @property
    def of_every_output(self) -> bool:
        """Whether it can be measured whatever the output is."""
        return bool(self.unit) or self.compared or self.checked

    @property
    def parts(self) -> bool:
        """Whether it may be asked of one class, one column, or whatever its check measures it of."""
        return bool(self.of_parts or self.part_of_check or self.of_class or self.of_metric)

    @property
    def part_word(self) -> str:
        """What one of its parts is called where a gate is explained."""
        return self.part_of_check or ("metric" if self.of_metric else "class")

    @property
    def whole(self) -> bool:
        """Whether it may be asked without a part."""
        return bool(self.of) or (self.of_every_output and not self.part_of_check and not self.of_metric)

    def measured_of(self, kind: Kind) -> bool:
        """Whether it is measured of answers of a kind at all."""
        if self.checked and self.kinds:
            return issubclass(kind, self.kinds)
        return self.of_every_output or bool(_of(self.of, kind) or _of(self.of_parts, kind))

    def lost(self, before: float, after: float) -> float:
        """Quality lost from `before` to `after`, both on the same rows; below 0 where quality was gained.

        In parts of the best value of a metric that has one (0.01 of accuracy, of R²) and of a share; as a part of
        `before` for an error in units of its own (RMSE, MAE, log loss).
        """
        if self.higher_is_better:
            return (before - after) / self.best
        if self.share:
            return after - before
        return (after - before) / before if before else float(after > before)

    @property
    def written(self) -> str:
        """How a gate on it is written: `ndcg@k`, `recall.<class>`, `fairness.equalized_odds_gap(<column>)`."""
        brackets = "(<column>)" if self.by_column else ""
        part = "" if self.whole else f".<{self.part_word}>"
        return f"{self.name}{'' if self.at is None else '@k'}{brackets}{part}"

    @property
    def default(self) -> str:
        """The name under which it is measured where nothing is asked."""
        return self.name if self.at is None else f"{self.name}@{self.at}"


class Name(NamedTuple):
    """A metric's name in its parts: `recall.spam`, `ndcg@5`, `fairness.equalized_odds_gap(gender, race)`."""

    family: str
    at: int | None
    part: str
    columns: tuple[str, ...] = ()


def parsed(name: str) -> Name:
    """The parts of a name; the whole of it is the family where it is not written like one."""
    known = [one for one in every() if re.fullmatch(re.escape(one) + _REST, name, re.DOTALL)]
    head = re.escape(max(known, key=len)) if known else r"\w+"
    found = re.fullmatch(f"({head}){_REST}", name, re.DOTALL)
    if not found:
        return Name(name, None, "")
    family, at, columns, part = found.groups()
    listed = tuple(column.strip() for column in columns.split(",")) if columns else ()
    return Name(family, int(at) if at else None, part or "", listed)


def canonical(name: str) -> str:
    """The one way in which a name is written: `gap( a,b )` -> `gap(a, b)`."""
    family, at, part, columns = parsed(name)
    brackets = f"({', '.join(columns)})" if columns else ""
    return f"{family}{'' if at is None else f'@{at}'}{brackets}{f'.{part}' if part else ''}"


def every() -> Mapping[str, Metric]:
    """Every metric by the name of its family, those of answers first."""
    return _every(tuple(registry.names(__name__)))


@cache
def _every(files: tuple[str, ...]) -> Mapping[str, Metric]:
    found = [metric for file in files for metric in registry.load(__name__, file, "METRICS", f"metrics/{file}.py")]
    return {metric.name: metric for metric in sorted(found, key=lambda metric: metric.of_every_output)}


def named(name: str) -> Metric:
    """The metric that a name such as `recall.spam` or `ndcg@5` is one of. Raises KeyError where there is none.

    One whose part is a metric has the unit and the good side of that: `worst_slice.rmse`.
    """
    family, _, part, _ = parsed(name)
    metric = every()[family]
    if not metric.of_metric or not part:
        return metric
    inner = named(part)
    return replace(metric, better=inner.better, unit=inner.unit, share=inner.share, resamples=inner.resamples)


def measured_on(kind: Kind, headline: str = "") -> tuple[str, ...]:
    """The names of the metrics of a kind of answers, without parts; the headline comes first."""
    found = [metric.default for metric in every().values() if _of(metric.of, kind) or _of(metric.of_parts, kind)]
    return tuple(sorted(found, key=lambda name: name != headline))


def parts_measured_on(kind: Kind) -> tuple[str, ...]:
    """The families that are measured of each part of a kind of answers."""
    return tuple(metric.name for metric in every().values() if _of(metric.of_parts, kind))


def _of(table: Mapping[Kind, Callable[..., Statistic]], kind: Kind) -> Callable[..., Statistic] | None:
    return next((table[one] for one in kind.__mro__ if one in table), None)


class Statistics(dict[str, Callable[[], Statistic]]):
    """The statistic of each metric of some answers, made when it is asked for; also `ndcg@5`, beside `ndcg@10`."""

    def __init__(self, answers: Answers, made: Mapping[str, Callable[[], Statistic]]) -> None:
        super().__init__(made)
        self.answers = answers

    def __missing__(self, name: str) -> Callable[[], Statistic]:
        family, at, part, _ = parsed(name)
        metric = every().get(family)
        make = _of(metric.of, type(self.answers)) if metric else None
        if metric is None or make is None or metric.at is None or at is None or part:
            raise KeyError(name)
        return partial(make, self.answers, at)


def statistics(answers: Answers, headline: str = "") -> Statistics:
    """Every metric that these answers have, those of their parts too; the headline comes first."""
    made: dict[str, Callable[[], Statistic]] = {}
    for name in measured_on(type(answers), headline):
        metric = named(name)
        if make := _of(metric.of, type(answers)):
            made[name] = partial(make, answers) if metric.at is None else partial(make, answers, metric.at)
        if one := _of(metric.of_parts, type(answers)):
            made |= {f"{metric.name}.{part}": partial(one, answers, i) for i, part in enumerate(answers.parts)}
    return Statistics(answers, made)


def statistic(answers: Answers, name: str) -> Statistic:
    """One metric of some answers. Raises KeyError where they have none of that name."""
    family, at, part, _ = parsed(name)
    metric = every()[family]
    if part:
        return _made(metric.of_parts, answers)(answers, list(answers.parts).index(part))
    make = _made(metric.of, answers)
    return make(answers) if metric.at is None else make(answers, at or metric.at)


def _made(table: Mapping[Kind, Callable[..., Statistic]], answers: Answers) -> Callable[..., Statistic]:
    make = _of(table, type(answers))
    if make is None:
        raise KeyError(type(answers).__name__)
    return make


def asked(found: Mapping[str, Callable[[], Statistic]], names: Sequence[str]) -> dict[str, Callable[[], Statistic]]:
    """The statistics, and those that gates name beside them: `ndcg@5`."""
    more = {}
    for name in names:
        try:
            more[name] = found[name]
        except KeyError:
            continue
    return {**found, **more}
