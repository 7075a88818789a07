"""The classes of a label: indices to learn from, names and confidence to answer with."""

from __future__ import annotations

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
from trimtab.columns._lookup import Lookup, begun, lookup
from trimtab.columns._temperature import fit_temperature
from trimtab.errors import nearest, problem
from trimtab.metrics import Kind, OneOf
from trimtab.values import list_cells, many, name_words, parse

_SHOWN = 20  # letters of a class's name that a gate's comment shows
_UNEVEN = 0.75  # share of one class from which accuracy says little


class Options(part_options.Options):
    """What may be set on a label column."""

    classes: tuple[Any, ...] | None = Field(
        None, min_length=2, description="The classes, in order. Default: those of the training rows, sorted."
    )
    not_missing: tuple[str, ...] | None = Field(None, description=name_words.OPTION)


@dataclass(frozen=True)
class LabelColumn(OutputColumn):
    """One of several classes; the network gives a logit for each."""

    type: ClassVar[str] = "label"
    holds_values: ClassVar[bool] = True
    baselines: ClassVar[str | None] = "classes"
    one_class: ClassVar[bool] = True
    single: ClassVar[bool] = True
    mixes: ClassVar[bool] = True
    given_away: ClassVar[Literal["classes", "amounts"] | None] = "classes"
    scored: ClassVar[bool] = True
    answers: ClassVar[Kind] = OneOf
    headline: ClassVar[str] = "accuracy"
    has_names: ClassVar[bool] = True
    familiarity_word: ClassVar[str] = "energy"
    score_word: ClassVar[str] = "log-odds"
    tie_break: ClassVar[str | None] = "log_loss"
    strata: ClassVar[Literal["classes", "quantiles", "none"]] = "classes"
    promises: ClassVar[tuple[Literal["answers", "coverage"], ...]] = ("answers", "coverage")
    name: str
    key: str
    classes: tuple[str, ...] = ()
    temperature: float = 1.0  # fitted on validation rows (Guo et al. 2017, arXiv:1706.04599)
    not_missing: tuple[str, ...] = ()  # words for "no value" that are classes
    exact: bool = False  # the classes are names of folders: 1.0 is another one than 1
    assurance: Assurance = NO_ASSURANCE

    @classmethod
    def words_kept(cls, values: Sequence[Any], options: Mapping[str, Any]) -> tuple[str, ...]:
        """Those among the classes that are given, else frequent ones."""
        return name_words.kept(values, options.get("classes"), options.get("not_missing"))

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`; classes that are numbers are sorted by value. Raises TrimtabError for a single class."""
        chosen = part_options.check(Options, f"column {name!r} ({cls.type})", options)
        words = cls.words_kept(values, options)
        exact = any(type(value) is parse.Name for value, _ in many.counted(values))
        found = set(many.counted_labels(values, words))
        given = [parse.Name(one) if exact and isinstance(one, str) else one for one in chosen.classes or ()]
        classes = tuple(map(parse.label, given)) or tuple(in_order(found))
        where = f"column {name!r} (label)"
        if len(set(classes)) < len(classes):
            raise problem(f"{where}: classes", "a class is named twice", "each class once")
        if unknown := sorted(found - set(classes)):
            found_one = f"training rows hold {unknown[0]!r}"
            read_by_yaml = any(isinstance(name, bool) or name is None for name in chosen.classes or ())
            do = "put names in quotes that YAML reads as true, false or null: NO, yes, null" if read_by_yaml else ""
            raise problem(f"{where}: classes", found_one, nearest(unknown[0], classes), do)
        if len(classes) < 2 or len(found) == 1:
            said = f"all training rows are {min(found)!r}" if found else "no training row has a value"
            raise problem(where, said, "at least two classes")
        return cls(name, key, classes, not_missing=words, exact=exact)

    def extended(self, values: Sequence[Any], first: Sequence[str] = ()) -> Self:
        """See `Column.extended`: new classes stand behind those that were known."""
        found = many.counted_labels(values, self.not_missing)
        new = in_order(name for name in found if self._index(name) is None)
        return replace(self, classes=(*self.classes, *new)) if new else self

    def places(self, before: Self) -> tuple[tuple[int, ...], ...]:
        """See `Column.places`: a new class begins as the mean of all others."""
        return begun(self.classes, before.classes, range(before.width))

    @property
    def width(self) -> int:
        """One logit per class."""
        return len(self.classes)

    @cached_property
    def _known(self) -> Lookup:
        return lookup(self.classes)

    def _index(self, value: Any) -> int | None:
        return self._known.find(value.strip() if self.exact and isinstance(value, str) else parse.label(value))

    def usable(self, value: Any) -> str | None:
        """None for a known class, else the reason."""
        if parse.is_missing(value, names=self.not_missing):
            return parse.no_value(value)
        return f"no class named {parse.label(value)!r} in training" if self._index(value) is None else None

    def remarks(self, values: Sequence[Any]) -> list[str]:
        """Where each combination of a list is taken for one class."""
        lists = sum(list_cells.listed(name) is not None for name in self.classes)
        if 2 * lists < len(self.classes):
            return []
        return [f"{self.name}: the cells are lists, and each combination is a class; write {{{self.name}: labels}}"]

    def targets(self, values: Sequence[Any]) -> np.ndarray:
        """Class indices, (rows,) int64. Raises ValueError for a value that is no known class."""
        return many.gathered(self._targets, values)

    def _targets(self, values: Sequence[Any]) -> np.ndarray:
        for value in values:
            if reason := self.usable(value):
                raise ValueError(f"{self.name}: {reason}")
        return np.array([self._index(value) for value in values], np.int64)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Softmax of logits / temperature: (rows, classes) -> (rows, classes), float64."""
        logits = np.asarray(outputs, np.float64) / self.temperature
        odds = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def additive_scores(self, outputs: Outputs) -> np.ndarray:
        """Log-odds of each class against the rest, at the temperature."""
        return log_odds(self.probabilities(certain(dense(outputs))))

    def calibrated(self, targets: Targets, outputs: Outputs) -> Self:
        """The column with the temperature that makes the given rows likeliest; no answer changes."""
        return replace(self, temperature=fit_temperature(dense(outputs), dense(targets)))

    def strengths(self, outputs: Outputs) -> np.ndarray:
        """`probabilities`."""
        return self.probabilities(dense(outputs))

    def familiarity(self, outputs: Outputs) -> np.ndarray:
        """The energy of the logits, at a temperature of 1, with its sign turned (Liu et al. 2020, arXiv:2010.03759)."""
        return np.asarray(np.logaddexp.reduce(certain(dense(outputs)).astype(np.float64), axis=1))

    def counts(self, values: Sequence[Any]) -> dict[str, float]:
        """Rows of each class."""
        found = np.bincount(self.targets(values), minlength=self.width)
        return dict(zip(self.classes, found.tolist(), strict=True))

    def assured(self, assurance: Assurance) -> Self:
        """The column that promises this of its answers."""
        return replace(self, assurance=assurance)

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        """The likeliest class and its probability as `confidence` (`probability` if the label itself is so called).

        See `columns._assurance` for what is promised beside.
        """
        shares = self.probabilities(certain(dense(outputs)))
        answers = of_classes(self.name, self.classes, shares, shares.argmax(axis=1), self.assurance)
        if top > 1:
            answers[f"{self.name}_top"] = [self._first(row, top) for row in shares]
        return answers

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """See `OutputColumn.answer_schema`."""
        return _schemas.classes(self.name, self.classes, self.assurance)

    def agrees(self, one: Outputs, other: Outputs) -> np.ndarray:
        """Whether the same class is the likeliest, (rows,) bool."""
        return np.asarray(dense(one).argmax(axis=1) == dense(other).argmax(axis=1))

    def _first(self, shares: np.ndarray, top: int) -> list[dict[str, Any]]:
        word = "probability" if self.name == "confidence" else "confidence"
        order = np.argsort(-shares, kind="stable")[:top]
        return [{self.name: self.classes[i], word: round(float(shares[i]), DECIMALS)} for i in order]

    def answered(self, targets: Targets, outputs: Outputs) -> OneOf:
        """The probability of each class beside the right one."""
        return OneOf(self.classes, dense(targets), self.probabilities(dense(outputs)), self.temperature)

    def answered_simply(self, targets: Targets, predicted: np.ndarray) -> OneOf:
        """Chances of the classes, (rows, classes), beside the right one."""
        return OneOf(self.classes, dense(targets), predicted)

    @classmethod
    def first_gate(cls, counts: Mapping[str, float]) -> str:
        """A little more than half of the way from guessing to perfect; the user knows better."""
        name, count = next(iter(counts.items()))
        share = count / sum(counts.values())
        said = f"always answering {name if len(name) <= _SHOWN else name[: _SHOWN - 3] + '...'!r} would get {share:.2f}"
        if share > _UNEVEN:
            return f'macro_f1: ">= 0.8"  # not accuracy: {said} of that'
        return f'accuracy: ">= {share + 0.6 * (1 - share):.2f}"  # {said}'

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        fields = ("classes", "temperature", "not_missing", "exact")
        self.write(folder, {name: getattr(self, name) for name in fields})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        words = tuple(state.get("not_missing", ()))  # bundles made before it was asked have none
        kept = (state["temperature"], words, state.get("exact", False))
        return cls(state["name"], state["key"], tuple(state["classes"]), *kept)


def in_order(classes: Iterable[str]) -> list[str]:
    """Sorted by value when all are numbers, else alphabetically."""
    names = sorted(classes)
    try:
        return sorted(names, key=lambda name: parse.number(name) or 0.0)
    except ValueError:
        return names
