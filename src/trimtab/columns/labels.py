"""Several labels at once: each class is there or is not, whatever the others are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from trimtab import part_options
from trimtab.columns import OutputColumn, Outputs, Targets, _schemas, certain, dense, log_odds
from trimtab.columns._lookup import Lookup, begun, lookup
from trimtab.columns.label import in_order
from trimtab.errors import nearest, problem
from trimtab.metrics import AnyOf, Kind
from trimtab.values import list_cells, name_words, parse

_DECIMALS = 4  # of a confidence
_FEWEST = 5  # validation rows with a class, and without it, from which its threshold is fitted
_TRUTH = {"true": 1.0, "yes": 1.0, "y": 1.0, "t": 1.0, "false": 0.0, "no": 0.0, "n": 0.0, "f": 0.0}
_EVEN = 0.5


class Options(part_options.Options):
    """What may be set on a column of several labels."""

    columns: tuple[str, ...] | None = Field(
        None, min_length=1, description="Columns of 0 and 1, one for each class; a missing cell is unknown."
    )
    classes: tuple[Any, ...] | None = Field(
        None,
        min_length=1,
        description="The classes, in order. Default: those of the training rows, sorted. Of vectors such as [0 1 0]: "
        "the names of their places; default 1, 2, 3.",
    )
    separator: str | None = Field(
        None, min_length=1, description="What stands between the names of a cell. Default: |, ; or ',', by looking."
    )
    empty: Literal["unknown", "none"] = Field(
        "unknown", description="unknown or none: an empty cell says nothing, or that no class is there."
    )
    not_missing: tuple[str, ...] | None = Field(None, description=name_words.OPTION)
    threshold: Literal["f1"] | float = Field(
        "f1",
        description="f1, or a share from 0 to 1: a class is answered from this probability on. `f1`: the threshold of "
        "each class that is best on the validation rows.",
    )


@dataclass(frozen=True)
class LabelsColumn(OutputColumn):
    """Any number of classes; the network gives a logit for each. A class may be unknown in a row."""

    type: ClassVar[str] = "labels"
    holds_values: ClassVar[bool] = True
    baselines: ClassVar[str | None] = "flags"
    several: ClassVar[bool] = True
    mixes: ClassVar[bool] = True
    scored: ClassVar[bool] = True
    answers: ClassVar[Kind] = AnyOf
    headline: ClassVar[str] = "average_precision"
    has_names: ClassVar[bool] = True
    familiarity_word: ClassVar[str] = "energy"
    score_word: ClassVar[str] = "log-odds"
    tie_break: ClassVar[str | None] = "log_loss"
    name: str
    key: str
    classes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()  # columns of 0 and 1; none: a cell holds the names
    separator: str = "|"
    empty: Literal["unknown", "none"] = "unknown"
    fitted: bool = True  # whether thresholds are chosen on the validation rows
    thresholds: tuple[float, ...] = ()  # of each class: the probability from which it is answered
    not_missing: tuple[str, ...] = ()  # words for "no value" that are classes
    vector: bool = False  # a cell holds a 1 or a 0 for each class, in their order

    @classmethod
    def words_kept(cls, values: Sequence[Any], options: Mapping[str, Any]) -> tuple[str, ...]:
        """Those among the classes that are given, else those that stand in lists, and frequent cells."""
        if options.get("columns"):
            return ()
        classes, asked = options.get("classes"), options.get("not_missing")
        if classes or asked is not None:
            return name_words.kept(values, classes, asked)
        mark = options.get("separator") or list_cells.separator(values)
        rows = [list_cells.items(value, mark) for value in values]
        several = (row for row, value in zip(rows, values, strict=True) if len(row) > 1 or not isinstance(value, str))
        return tuple(sorted({*name_words.among(several), *name_words.frequent(values)}))

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`. Raises TrimtabError for classes that contradict each other, and where there is none."""
        chosen = part_options.check(Options, f"column {name!r} ({cls.type})", options)
        where = f"column {name!r} (labels)"
        if chosen.threshold != "f1" and not 0 < chosen.threshold < 1:
            raise problem(f"{where}: threshold", f"found {chosen.threshold}", "f1, or a share between 0 and 1")
        sources = chosen.columns or ()
        if unknown := [source for source in sources if all(parse.is_missing(row.get(source)) for row in values if row)]:
            do = "leave it out of the columns"
            raise problem(f"{where}: columns", f"no training row has a value of {unknown[0]!r}", do=do)
        mark = chosen.separator or list_cells.separator(values)
        words = cls.words_kept(values, options)
        rows = [] if sources else [_names_of(value, mark, words) for value in values]
        rows = [row for row in rows if not list_cells.broken(row)]
        positions = (
            0
            if sources
            else list_cells.vector([list_cells.items(value, mark) for value in values if not parse.is_missing(value)])
        )
        if positions and chosen.classes and len(chosen.classes) != positions:
            said = f"{len(chosen.classes)} names for vectors of {positions} zeros and ones"
            raise problem(f"{where}: classes", said, f"{positions} names, in the order of the vectors")
        found = set() if positions else {name for row in rows for name in row}
        numbered = tuple(str(position + 1) for position in range(positions))
        classes = sources or tuple(map(parse.label, chosen.classes or ())) or numbered or tuple(in_order(found))
        if len(set(classes)) < len(classes):
            raise problem(f"{where}: classes", "a class is named twice", "each class once")
        if unknown := sorted(found - set(classes)):
            raise problem(f"{where}: classes", f"training rows hold {unknown[0]!r}", nearest(unknown[0], classes))
        if not classes:
            raise problem(where, "no training row has a class", f"names with {mark!r} between them, or a list of names")
        even = _EVEN if chosen.threshold == "f1" else float(chosen.threshold)
        fitted = chosen.threshold == "f1"
        rest = (chosen.empty, fitted, (even,) * len(classes), words, bool(positions))
        return cls(name, key, classes, sources, mark, *rest)

    def extended(self, values: Sequence[Any], first: Sequence[str] = ()) -> Self:
        """See `Column.extended`; nothing new where classes are columns, or places of a vector."""
        if self.sources or self.vector:
            return self
        rows = [_names_of(value, self.separator, self.not_missing) for value in values]
        found = {name for row in rows if not list_cells.broken(row) for name in row}
        new = in_order(name for name in found if self._known.find(name) is None)
        thresholds = (*self.thresholds, *[_EVEN] * len(new)) if self.thresholds else ()
        return replace(self, classes=(*self.classes, *new), thresholds=thresholds) if new else self

    def open_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """See `OutputColumn.open_options`; the names of the places of a vector stay."""
        return dict(options) if self.vector else super().open_options(options)

    def places(self, before: Self) -> tuple[tuple[int, ...], ...]:
        """See `Column.places`: a new class begins as the mean of all others."""
        return begun(self.classes, before.classes, range(before.width))

    def unsure(self, outputs: Outputs) -> np.ndarray:
        """See `OutputColumn.unsure`: by the class whose chance is nearest to its threshold."""
        chances, cuts = self.strengths(outputs), np.array(self.thresholds or (_EVEN,) * self.width)
        room = np.where(chances > cuts, 1 - cuts, cuts)
        return np.asarray(1 - (np.abs(chances - cuts) / np.maximum(room, 1e-9)).min(axis=1)).clip(0, 1)

    @property
    def width(self) -> int:
        """One logit per class."""
        return len(self.classes)

    @cached_property
    def _known(self) -> Lookup:
        return lookup(self.classes)

    def usable(self, value: Any) -> str | None:
        """None when every label is known and at least one cell says something, else the reason."""
        try:
            self._row(value)
        except ValueError as error:
            return str(error)
        return None

    def targets(self, values: Sequence[Any]) -> np.ndarray:
        """1, 0, or NaN where it is not known, (rows, classes) float32. Raises ValueError for a label never seen."""
        rows = [self._row(value) for value in values]
        return np.array(rows, np.float32).reshape(len(rows), self.width)

    def _row(self, value: Any) -> list[float]:
        if self.sources:
            return self._of_cells(value)
        if parse.is_missing(value, names=self.not_missing):
            if self.empty == "none":
                return [0.0] * self.width
            raise ValueError(parse.no_value(value))
        if self.vector:
            return self._of_vector(list_cells.items(value, self.separator))
        row = [0.0] * self.width
        names = _names_of(value, self.separator, self.not_missing)
        if piece := list_cells.broken(names):
            raise ValueError(f"{piece!r} is {list_cells.UNREADABLE}")
        for name in names:
            position = self._known.find(name)
            if position is None:
                raise ValueError(f"no class named {name!r} in training")
            row[position] = 1.0
        return row

    def _of_vector(self, items: Sequence[Any]) -> list[float]:
        if len(items) != self.width:
            raise ValueError(f"{len(items)} zeros and ones, not {self.width}")
        return [_truth(name, item) for name, item in zip(self.classes, items, strict=True)]

    def _of_cells(self, value: Any) -> list[float]:
        cells = value if isinstance(value, Mapping) else {}
        row = [_truth(source, cells.get(source)) for source in self.sources]
        if all(map(math.isnan, row)):
            raise ValueError("no value")
        return row

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Sigmoid of logits: (rows, classes) -> (rows, classes), float64."""
        logits = np.asarray(outputs, np.float64)
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))

    def additive_scores(self, outputs: Outputs) -> np.ndarray:
        """Log-odds of each class."""
        return log_odds(self.probabilities(certain(dense(outputs))))

    def chosen(self, probabilities: np.ndarray) -> np.ndarray:
        """Which classes are answered, (rows, classes) bool."""
        return np.asarray(probabilities >= np.array(self.thresholds))

    def calibrated(self, targets: Targets, outputs: Outputs) -> Self:
        """The thresholds with the best F1 of each class; where validation rows are few, they stay as they are."""
        if not self.fitted:
            return self
        truth, shares = dense(targets), self.probabilities(dense(outputs))
        return replace(self, thresholds=tuple(map(_best_threshold, truth.T, shares.T)))

    def remarks(self, values: Sequence[Any]) -> list[str]:
        """Where vectors are read, and where no row has several labels: perhaps something else separates them."""
        if self.vector:
            names = ", ".join(self.classes[:3])
            return [f"{self.name}: vectors of 0 and 1, of the classes {names}, ...; `classes` names their places"]
        if self.sources or self.targets(values).sum(axis=1).max() > 1:
            return []
        return [f"{self.name}: no row has more than one label, {self.separator!r} between them; see `separator`"]

    def strengths(self, outputs: Outputs) -> np.ndarray:
        """`probabilities`."""
        return self.probabilities(dense(outputs))

    def familiarity(self, outputs: Outputs) -> np.ndarray:
        """The sum of the classes' energies, with its sign turned (JointEnergy: Wang et al. 2021, arXiv:2111.14559)."""
        return np.asarray(np.logaddexp(0.0, certain(dense(outputs)).astype(np.float64)).sum(axis=1))

    def counts(self, values: Sequence[Any]) -> dict[str, float]:
        """Rows that have each class."""
        sums = np.nansum(self.targets(values), axis=0) if len(values) else np.zeros(self.width)
        return {name: int(count) for name, count in zip(self.classes, sums, strict=True)}

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        """The classes that reach their thresholds, the likeliest first, and their probabilities as `confidence`."""
        shares = self.probabilities(certain(dense(outputs)))
        picked = []
        for row, taken in zip(shares, self.chosen(shares), strict=True):
            places = np.flatnonzero(taken)
            picked.append(places[np.argsort(-row[places], kind="stable")])
        word = "probability" if self.name == "confidence" else "confidence"
        answers: dict[str, list[Any]] = {
            self.name: [[self.classes[i] for i in positions] for positions in picked],
            word: [
                [round(float(share), _DECIMALS) for share in row[positions]]
                for row, positions in zip(shares, picked, strict=True)
            ],
        }
        if top > 1:
            answers[f"{self.name}_top"] = [self._first(row, top, word) for row in shares]
        return answers

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """See `OutputColumn.answer_schema`."""
        word = "probability" if self.name == "confidence" else "confidence"
        schema = {self.name: _schemas.several_of(self.classes), word: {"type": "array", "items": _schemas.SHARE}}
        return schema | {f"{self.name}_top": _schemas.best(self.name, self.classes, word)}

    def _first(self, shares: np.ndarray, top: int, word: str) -> list[dict[str, Any]]:
        order = np.argsort(-shares, kind="stable")[:top]
        return [{self.name: self.classes[i], word: round(float(shares[i]), _DECIMALS)} for i in order]

    def answered(self, targets: Targets, outputs: Outputs) -> AnyOf:
        """The probability of each class, and which are answered, beside those that are there."""
        shares = self.probabilities(dense(outputs))
        return AnyOf(self.classes, dense(targets), shares, self.chosen(shares), self.thresholds)

    def answered_simply(self, targets: Targets, predicted: np.ndarray) -> AnyOf:
        """The chance of each class, (rows, classes), answered from a half on."""
        return AnyOf(self.classes, dense(targets), predicted, predicted >= _EVEN)

    @classmethod
    def first_gate(cls, counts: Mapping[str, float]) -> str:
        """Half of the area."""
        return 'average_precision: ">= 0.5"  # area under the precision-recall curve, the mean over the classes'

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        kept = ("classes", "sources", "separator", "empty", "fitted", "thresholds", "not_missing", "vector")
        self.write(folder, {field: getattr(self, field) for field in kept})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        return cls(
            state["name"],
            state["key"],
            tuple(state["classes"]),
            tuple(state["sources"]),
            state["separator"],
            state["empty"],
            state["fitted"],
            tuple(state["thresholds"]),
            tuple(state.get("not_missing", ())),  # bundles made before it was asked have none
            state.get("vector", False),
        )


def _best_threshold(truth: np.ndarray, shares: np.ndarray) -> float:
    """The threshold with the best F1, in the middle between two probabilities; of equal ones the nearest to 0.5."""
    known = ~np.isnan(truth) & np.isfinite(shares)
    positive, scores = truth[known] == 1, shares[known]
    if min(positive.sum(), (~positive).sum()) < _FEWEST:
        return _EVEN
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits, taken = np.cumsum(positive[order])[last_of_tie], last_of_tie + 1
    f1 = 2 * hits / (taken + positive.sum())
    below = np.append(ordered[last_of_tie[:-1] + 1], 0.0)
    cuts = (ordered[last_of_tie] + below) / 2
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(np.round(cuts[best[np.abs(cuts[best] - _EVEN).argmin()]], 6))


def _names_of(value: Any, separator: str, words: Sequence[str]) -> list[str]:
    """The names of a cell, each once; nothing where there is no value."""
    if parse.is_missing(value, names=words):
        return []
    items = list_cells.items(value, separator)
    return list(Counter(parse.label(item) for item in items if not parse.is_missing(item, names=words)))


def _truth(source: str, cell: Any) -> float:
    """1, 0, or NaN where there is no value. Raises ValueError for anything else."""
    if isinstance(cell, str) and cell.strip().casefold() in _TRUTH:
        return _TRUTH[cell.strip().casefold()]
    try:
        found = parse.number(cell)
    except ValueError:
        found = -1.0
    if found not in (None, 0.0, 1.0):
        raise ValueError(f"{source} is {cell!r}, not 0 or 1")
    return math.nan if found is None else found
