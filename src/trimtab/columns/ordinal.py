"""Levels in an order, such as low, medium and high, or 1 to 5 stars: a near miss is better than a far one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from trimtab import part_options
from trimtab.columns import OutputColumn, Outputs, Targets, _schemas, certain, dense, log_odds
from trimtab.columns._assurance import DECIMALS, NO_ASSURANCE, Assurance, of_classes
from trimtab.columns._lookup import Lookup, lookup
from trimtab.columns.label import in_order
from trimtab.errors import nearest, problem
from trimtab.metrics import Kind, Levels
from trimtab.values import many, name_words, parse


class Options(part_options.Options):
    """What may be set on a column of levels."""

    levels: tuple[Any, ...] | None = Field(
        None, min_length=2, description="The levels, the lowest first. Default, for numbers only: by their value."
    )
    classes: tuple[Any, ...] | None = Field(None, min_length=2, description="Another word for `levels`.")
    not_missing: tuple[str, ...] | None = Field(None, description=name_words.OPTION)


@dataclass(frozen=True)
class OrdinalColumn(OutputColumn):
    """One of several levels; the network gives a logit for each but the lowest.

    Logit k is that of "above level k, if not below it" (CORN, Shi et al. 2021, arXiv:2111.08851): the chances of being
    above a level are products of these, so they can only fall from level to level.
    """

    type: ClassVar[str] = "ordinal"
    holds_values: ClassVar[bool] = True
    baselines: ClassVar[str | None] = "classes"
    constant: ClassVar[str] = "most frequent level"
    single: ClassVar[bool] = True
    mixes: ClassVar[bool] = True
    scored: ClassVar[bool] = True
    answers: ClassVar[Kind] = Levels
    headline: ClassVar[str] = "quadratic_kappa"
    has_names: ClassVar[bool] = True
    familiarity_word: ClassVar[str] = "largest chance"
    score_word: ClassVar[str] = "log-odds"
    tie_break: ClassVar[str | None] = "log_loss"
    strata: ClassVar[Literal["classes", "quantiles", "none"]] = "classes"
    promises: ClassVar[tuple[Literal["answers", "coverage"], ...]] = ("answers", "coverage")
    name: str
    key: str
    classes: tuple[str, ...] = ()  # the levels, the lowest first
    not_missing: tuple[str, ...] = ()  # words for "no value" that are levels
    assurance: Assurance = NO_ASSURANCE

    @classmethod
    def words_kept(cls, values: Sequence[Any], options: Mapping[str, Any]) -> tuple[str, ...]:
        """Those among the levels that are given; the order of others would not be known."""
        levels = options.get("levels") or options.get("classes")
        return name_words.kept((), levels, options.get("not_missing"))

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`. Raises TrimtabError for levels whose order is not known."""
        chosen = part_options.check(Options, f"column {name!r} ({cls.type})", options)
        where = f"column {name!r} (ordinal)"
        words = cls.words_kept(values, options)
        found = many.counted_labels(values, words)
        given = tuple(map(parse.label, chosen.levels or chosen.classes or ()))
        levels = given or _by_value(where, found)
        if len(set(levels)) < len(levels):
            raise problem(f"{where}: levels", "a level is named twice", "each level once")
        names = lookup(levels)
        known = [name for name in found if names.find(name) is not None]
        if 2 * sum(found[name] for name in known) < found.total():  # a few others are rows to set aside
            unknown = min(found.keys() - set(known))
            raise problem(f"{where}: levels", f"most training rows hold others: {unknown!r}", nearest(unknown, levels))
        if len(known) < 2:
            said = f"all training rows are {known[0]!r}" if known else "no training row has a value"
            raise problem(where, said, "at least two levels")
        return cls(name, key, levels, words)

    def extended(self, values: Sequence[Any], first: Sequence[str] = ()) -> Self:
        """See `Column.extended`: levels that are numbers find their place by value."""
        found = many.counted_labels(values, self.not_missing)
        new = [name for name in found if self._known.find(name) is None]
        levels = in_order([*self.classes, *new])
        if not new or [name for name in levels if name not in new] != list(self.classes) or not _are_numbers(levels):
            return self
        return replace(self, classes=tuple(levels))

    def open_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """See `OutputColumn.open_options`: levels that are named stay, for the place of another would not be known."""
        return super().open_options(options) if _are_numbers(self.classes) else dict(options)

    @property
    def answer_names(self) -> tuple[str, ...]:
        """Each level from which there is a step up."""
        return self.classes[:-1]

    def unknown_outputs(self, before: Self) -> tuple[float, ...]:
        """See `OutputColumn.unknown_outputs`: always above a level that is new, unless no known one lies above it."""
        highest = max(place for place, name in enumerate(self.classes) if name in before.classes)
        step = super().unknown_outputs(before)
        return tuple(-never if place < highest else never for place, never in enumerate(step))

    def places(self, before: Self) -> tuple[tuple[int, ...], ...]:
        """See `Column.places`: the step up from a new level begins as the nearest one below it."""
        known = {name: place for place, name in enumerate(before.classes)}
        below = np.maximum.accumulate([known.get(name, -1) for name in self.classes[:-1]])
        return tuple((min(max(int(place), 0), before.width - 1),) for place in below)

    @property
    def width(self) -> int:
        """One logit for each level but the lowest."""
        return len(self.classes) - 1

    @cached_property
    def _known(self) -> Lookup:
        return lookup(self.classes)

    def usable(self, value: Any) -> str | None:
        """None for a known level, else the reason."""
        if parse.is_missing(value, names=self.not_missing):
            return parse.no_value(value)
        name = parse.label(value)
        return f"no level named {name!r} in training" if self._known.find(name) is None else None

    def targets(self, values: Sequence[Any]) -> np.ndarray:
        """Positions of the levels, the lowest is 0, (rows,) int64. Raises ValueError for what is no known level."""
        return many.gathered(self._targets, values)

    def _targets(self, values: Sequence[Any]) -> np.ndarray:
        for value in values:
            if reason := self.usable(value):
                raise ValueError(f"{self.name}: {reason}")
        return np.array([self._known.find(parse.label(value)) for value in values], np.int64)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """The chance of each level, (rows, levels - 1) -> (rows, levels), float64."""
        above = self._above(outputs)
        edges = np.concatenate([np.ones((len(above), 1)), above, np.zeros((len(above), 1))], axis=1)
        return np.asarray(edges[:, :-1] - edges[:, 1:])

    def additive_scores(self, outputs: Outputs) -> np.ndarray:
        """Log-odds of each level against the rest."""
        return log_odds(self.probabilities(certain(dense(outputs))))

    def _above(self, outputs: np.ndarray) -> np.ndarray:
        """The chance of being above each level but the highest, (rows, levels - 1); it falls from left to right."""
        logits = np.asarray(outputs, np.float64)
        return np.asarray(np.cumprod(0.5 * (1.0 + np.tanh(0.5 * logits)), axis=1))

    def chosen(self, outputs: np.ndarray) -> np.ndarray:
        """The position of the level that is answered, (rows,): the median, above as many levels as is likely."""
        return np.asarray((self._above(outputs) > 0.5).sum(axis=1))

    def strengths(self, outputs: Outputs) -> np.ndarray:
        """`probabilities`."""
        return self.probabilities(dense(outputs))

    def familiarity(self, outputs: Outputs) -> np.ndarray:
        """The chance of the likeliest level, of which none has a logit of its own (arXiv:1610.02136)."""
        return np.asarray(self.probabilities(certain(dense(outputs))).max(axis=1))

    def counts(self, values: Sequence[Any]) -> dict[str, float]:
        """Rows of each level."""
        found = Counter(self.targets(values).tolist())
        return {name: found[position] for position, name in enumerate(self.classes)}

    def assured(self, assurance: Assurance) -> Self:
        """The column that promises this of its answers."""
        return replace(self, assurance=assurance)

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        """The level and its probability as `confidence`; see `columns._assurance` for what is promised beside."""
        settled = certain(dense(outputs))
        shares = self.probabilities(settled)
        answers = of_classes(self.name, self.classes, shares, self.chosen(settled), self.assurance)
        if top > 1:
            answers[f"{self.name}_top"] = [self._first(row, top) for row in shares]
        return answers

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """See `OutputColumn.answer_schema`."""
        return _schemas.classes(self.name, self.classes, self.assurance)

    def agrees(self, one: Outputs, other: Outputs) -> np.ndarray:
        """Whether the same level is answered, (rows,) bool."""
        return np.asarray(self.chosen(dense(one)) == self.chosen(dense(other)))

    def _first(self, shares: np.ndarray, top: int) -> list[dict[str, Any]]:
        word = "probability" if self.name == "confidence" else "confidence"
        order = np.argsort(-shares, kind="stable")[:top]
        return [{self.name: self.classes[i], word: round(float(shares[i]), DECIMALS)} for i in order]

    def answered(self, targets: Targets, outputs: Outputs) -> Levels:
        """The chance of each level, and the one that is answered, beside the right one."""
        return self.levels(dense(targets), self.probabilities(dense(outputs)), self.chosen(dense(outputs)))

    def levels(self, targets: np.ndarray, chances: np.ndarray, chosen: np.ndarray) -> Levels:
        """The chances, (rows, levels), and the level answered, (rows,), against positions, (rows,).

        Distances are counted in the levels' own units where they are numbers, else in levels.
        """
        return Levels(self.classes, targets, chances, answered=chosen, units=_units(self.classes))

    def answered_simply(self, targets: Targets, predicted: np.ndarray) -> Levels:
        """The chance of each level, (rows, levels); the likeliest one is answered."""
        return self.levels(dense(targets), predicted, predicted.argmax(axis=1))

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        self.write(folder, {"classes": self.classes, "not_missing": self.not_missing})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        return cls(state["name"], state["key"], tuple(state["classes"]), tuple(state.get("not_missing", ())))


def _units(levels: Sequence[str]) -> np.ndarray:
    try:
        found = [parse.number(name) for name in levels]
    except ValueError:
        found = []
    return np.array(found, np.float64) if found and None not in found else np.arange(len(levels), dtype=np.float64)


def _are_numbers(levels: Iterable[str]) -> bool:
    try:
        return all(parse.number(name) is not None for name in levels)
    except ValueError:
        return False


def _by_value(where: str, found: Iterable[str]) -> tuple[str, ...]:
    """Numbers, sorted. Raises TrimtabError for names: their order is not known."""
    try:
        return tuple(sorted(found, key=lambda name: (parse.number(name) or 0.0, name)))
    except ValueError:
        listed = ", ".join(sorted(found)[:8])
        raise problem(where, f"the order of {listed} is not known", do=f"name it: levels: [{listed}]") from None
