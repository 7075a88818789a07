"""Numbers become scaled features, and come back in the user's units when they are the output."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from trimtab import part_options
from trimtab.columns import (
    Encoded,
    InputColumn,
    OutputColumn,
    Outputs,
    Reading,
    Targets,
    _rewritten,
    _schemas,
    certain,
    dense,
)
from trimtab.columns._assurance import NO_ASSURANCE, Assurance, of_numbers
from trimtab.columns._scales import (
    Scale,
    bin_edges,
    chosen_scale,
    deviation,
    normal_scores,
    piecewise_linear,
    signed_log,
    typical_size,
)
from trimtab.errors import problem
from trimtab.metrics import Amounts, Kind
from trimtab.values import many, parse
from trimtab.values.problems import Problem, written

Outliers = Literal["keep", "clip", "iqr", "drop"]
SAME = 0.1  # standard deviations of the answers learnt: two answers that differ by less are one
FIRST_GATE = 'r2: ">= 0.3"  # share of the variance that is explained; always answering the mean gets 0'

_DIGITS = 5  # an answer is rounded to the decimals that are 1e-5 of the output's standard deviation


class Options(part_options.Options):
    """What may be set on a number column."""

    missing: Literal["mean", "median", "mode", "constant"] = Field(
        "median", description="What stands for a missing number: mean, median, mode, or constant (with `fill`)."
    )
    fill: Any = Field(None, description="The number that `missing: constant` puts in.")
    outliers: Outliers = Field("clip", description="Numbers far outside: keep, clip, iqr or drop.")
    scale: Literal["auto", Scale] = Field(
        "auto", description="auto, standard, log, quantile or none. `auto`: log when a column is skewed and that helps."
    )
    bins: int | None = Field(
        None,
        ge=0,
        le=256,
        description="Quantile bins for piecewise-linear features, 0 to 256; 0: none. Default: rows / 100, at most 48.",
    )


@dataclass(frozen=True)
class NumberColumn(InputColumn, OutputColumn):
    """One number per row; tensor `<key>_values`, (rows, features) float32.

    Features: the scaled value; 1 where the value was missing (only if training rows lacked some); then the bins,
    piecewise-linear between quantiles (Gorishniy et al. 2022, arXiv:2203.05556).
    """

    type: ClassVar[str] = "number"
    holds_values: ClassVar[bool] = True
    sliced: ClassVar[Literal["names", "ranges", "lengths"] | None] = "ranges"
    in_grid: ClassVar[bool] = True
    holds_numbers: ClassVar[bool] = True
    baselines: ClassVar[str | None] = "amounts"
    constant: ClassVar[str] = "mean"
    single: ClassVar[bool] = True
    score_word: ClassVar[str] = ""
    mixes: ClassVar[bool] = True
    given_away: ClassVar[Literal["classes", "amounts"] | None] = "amounts"
    allowed: ClassVar[str] = "a number, or text that is one"
    scored: ClassVar[bool] = True
    answers: ClassVar[Kind] = Amounts
    headline: ClassVar[str] = "r2"
    tie_break: ClassVar[str | None] = "rmse"
    strata: ClassVar[Literal["classes", "quantiles", "none"]] = "quantiles"
    promises: ClassVar[tuple[Literal["answers", "coverage"], ...]] = ("coverage",)
    name: str
    key: str
    decimal: str
    fill: float  # stands for a missing number, in the user's units
    low: float | None  # fences: a number outside is moved to them
    high: float | None
    flagged: bool  # training rows lacked values, so that the network can learn what a missing one means
    scale: Scale
    unit: float  # `log`: the number that log1p takes for 1
    center: float  # subtracted after the scale's function
    spread: float  # divided by
    landmarks: tuple[float, ...]  # `quantile`: numbers and the normal scores that they become
    scores: tuple[float, ...]
    edges: tuple[float, ...]  # of the bins, bins + 1 of them
    mean: float  # of the training rows, unclipped: how targets are standardised
    std: float
    least: float | None = None  # of the training rows; None: not known
    most: float | None = None
    assurance: Assurance = NO_ASSURANCE  # of an output

    @classmethod
    def figures(cls, values: Sequence[Any]) -> dict[str, float]:
        """Range, middle and outliers; nothing where no value is a number."""
        found = many.numbers(values, parse.decimal_mark(values))
        known = found[~np.isnan(found)]
        if not len(known):
            return {}
        fences = fence(known, "iqr")
        outside = int(((known < fences[0]) | (known > fences[1])).sum()) if fences else 0
        figures = {"min": known.min(), "median": np.median(known), "mean": known.mean(), "max": known.max()}
        return {name: float(f"{figure:.6g}") for name, figure in figures.items()} | {"outliers": outside}

    @classmethod
    def in_words(cls, figures: Mapping[str, float]) -> str:
        """`1 to 9, median 4, 2 outliers`."""
        if not figures:
            return ""
        outside = f", {figures['outliers']:,.0f} outliers" if figures["outliers"] else ""
        return f"{figures['min']:g} to {figures['max']:g}, median {figures['median']:g}{outside}"

    @classmethod
    def cleaned(cls, missing: str, outliers: str) -> dict[str, Any]:
        """The median stands for a missing number where a category would have one of its own."""
        repaired = {"impute": "median", "category": "median", "drop": "median"}
        return {"missing": repaired.get(missing, missing), "outliers": "iqr" if outliers == "drop" else outliers}

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`. Raises TrimtabError when fewer than half of the values present are numbers."""
        chosen = part_options.check(Options, f"column {name!r} ({cls.type})", options)
        decimal = parse.decimal_mark(values)
        found = many.numbers(values, decimal)
        _check_numbers(name, values, found)
        known = found[~np.isnan(found)]
        fences = fence(known, chosen.outliers)
        inside = np.clip(known, *fences) if fences else known
        scale = chosen_scale(inside) if chosen.scale == "auto" else chosen.scale
        landmarks, scores = normal_scores(inside) if scale == "quantile" else ((), ())
        plain = cls(
            name=name,
            key=key,
            decimal=decimal,
            fill=_fill(name, chosen, inside, decimal),
            low=fences[0] if fences else None,
            high=fences[1] if fences else None,
            flagged=len(known) < len(found),
            scale=scale,
            unit=typical_size(inside),
            center=0.0,
            spread=1.0,
            landmarks=landmarks,
            scores=scores,
            edges=bin_edges(inside, chosen.bins),
            mean=float(known.mean()),
            std=deviation(known),
            least=float(known.min()),
            most=float(known.max()),
        )
        return plain._centered(inside) if scale in ("standard", "log") else plain

    def _centered(self, inside: np.ndarray) -> Self:
        curved = _CURVES[self.scale](self, inside)
        return replace(self, center=float(curved.mean()), spread=deviation(curved))

    @property
    def features(self) -> int:
        """Numbers that each row becomes."""
        return 1 + self.flagged + max(0, len(self.edges) - 1)

    def invented(self, random: np.random.Generator) -> float:
        """A number by chance, about as large as those of training."""
        return float(np.format_float_positional(random.normal(self.mean, self.std), 3, fractional=False))

    def value_schema(self) -> dict[str, Any]:
        """See `InputColumn.value_schema`."""
        return {"description": self.allowed, **_schemas.SCALAR}

    def encode(self, values: Sequence[Any]) -> np.ndarray:
        """Features, (rows, features) float32. What is not a number counts as missing."""
        return self.featured(self._read(values)[0])

    def read(self, values: Sequence[Any]) -> Reading:
        """See `InputColumn.read`; also numbers that lie further outside of training's range than that is wide."""
        numbers, problems = self._read(values)
        return Reading(self.featured(numbers), (*problems, *self._outside(numbers)))

    def read_narrow(self, values: Sequence[Any]) -> Reading:
        """The numbers themselves, (rows,) float64, NaN for a missing one: their features are made batch by batch."""
        numbers, problems = self._read(values)
        return Reading(numbers, (*problems, *self._outside(numbers)))

    def widened(self, encoded: Encoded) -> np.ndarray:
        """Features, (rows, features) float32, of what `read` or `read_narrow` gave."""
        found = _array(encoded)
        return found if found.ndim == 2 else self.featured(found)

    def cell(self, values: Sequence[Any]) -> np.ndarray:
        """The scaled number, NaN where it is missing."""
        encoded = self.encode(values)
        absent = encoded[:, 1] > 0 if self.flagged else np.zeros(len(encoded), bool)
        return np.where(absent, np.nan, encoded[:, 0]).astype(np.float64)

    def _read(self, values: Sequence[Any]) -> tuple[np.ndarray, list[Problem]]:
        """Parsed values, (rows,) float64, NaN for what is missing or no number; and what is wrong with them."""
        numbers = many.numbers(values, self.decimal)
        absent = np.isnan(numbers)
        if not absent.any():
            return numbers, []
        rows = np.flatnonzero(absent & ~many.missing(values)).tolist()
        if not rows:
            return numbers, []
        found = [_rewritten.number(values[row], self.decimal, self.least, self.most) for row in rows]
        rewritten = {row: one for row, one in zip(rows, found, strict=True) if one}
        if any(one.mark for one in rewritten.values()):
            rewritten |= _rewritten.others(values, self.decimal)
        problems = []
        for row in sorted({*rows, *rewritten}):
            quoted = written(values[row])
            if row in rewritten:
                numbers[row] = rewritten[row].number
                told = f"{quoted} is read as {numbers[row]:.12g}, {rewritten[row].how}"
                problems.append(Problem(self.name, row, "rewritten", told, lost=0.0))
            else:
                never = not isinstance(values[row], str) and not parse.is_scalar(values[row])
                problems.append(Problem(self.name, row, "unreadable", f"{quoted} is not a number", never=never))
        return numbers, problems

    def _outside(self, numbers: np.ndarray) -> Iterator[Problem]:
        if self.least is None or self.most is None or self.least == self.most:
            return
        middle, reach = (self.least + self.most) / 2, 1.5 * (self.most - self.least)
        far = np.abs(numbers - middle) > reach  # NaN is not
        for row in np.flatnonzero(far).tolist() if far.any() else ():
            told = f"{numbers[row]:.12g}, where training had {self.least:.6g} to {self.most:.6g}"
            yield Problem(self.name, row, "outside", told, lost=0.0)

    def featured(self, numbers: np.ndarray) -> np.ndarray:
        """The features of parsed numbers, (rows,) with NaN for what is missing: (rows, features) float32."""
        absent = np.isnan(numbers)
        filled = np.where(absent, self.fill, numbers)
        if self.low is not None:
            filled = np.clip(filled, self.low, self.high)
        parts = [((_CURVES[self.scale](self, filled) - self.center) / self.spread)[:, None]]
        parts += [absent[:, None]] if self.flagged else []
        parts += [piecewise_linear(filled, self.edges)] if self.edges else []
        return np.concatenate(parts, axis=1).astype(np.float32)

    def sketched(self, values: Sequence[Any], encoded: Encoded) -> dict[str, np.ndarray]:
        """The number in the user's units, NaN where there is none."""
        return {"value": self._read(values)[0]}

    def steps(self, encoded: Encoded) -> np.ndarray:
        """One state per row."""
        return np.ones(len(_array(encoded)), np.int64)

    def batch(self, encoded: Encoded, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The features of the given rows."""
        return {f"{self.key}_values": self.widened(_array(encoded)[rows])}

    @property
    def width(self) -> int:
        """One output per row."""
        return 1

    def usable(self, value: Any) -> str | None:
        """None for a finite number, else the reason."""
        try:
            return "no value" if parse.number(value, self.decimal) is None else None
        except ValueError:
            return f"{value!r} is not a number"

    def targets(self, values: Sequence[Any]) -> np.ndarray:
        """Standardised numbers, (rows,) float32; never clipped. Raises ValueError for what is not a number."""
        found = many.numbers(values, self.decimal)
        for row in np.flatnonzero(np.isnan(found)).tolist():
            parse.number(values[row], self.decimal)  # says what is wrong with it
            raise ValueError(f"{self.name}: no value")
        return ((found - self.mean) / self.std).astype(np.float32)

    def in_units(self, standardised: np.ndarray) -> np.ndarray:
        """Standardised numbers, (rows,) or (rows, 1), in the user's units, rounded to what a network can tell apart."""
        found = np.asarray(standardised, np.float64).reshape(-1) * self.std + self.mean
        return np.round(found, self._decimals)

    @property
    def _decimals(self) -> int:
        return max(0, _DIGITS - math.floor(math.log10(self.std)))

    def _rounded(self, numbers: Sequence[float | None]) -> list[float | None]:
        return [None if one is None else round(one, self._decimals) for one in numbers]

    def additive_scores(self, outputs: Outputs) -> np.ndarray:
        """The number in the user's units, not rounded."""
        return certain(dense(outputs)).astype(np.float64) * self.std + self.mean

    def strengths(self, outputs: Outputs) -> np.ndarray:
        """The numbers in their units."""
        return self.in_units(dense(outputs))[:, None]

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        """Numbers in the user's units, rounded to what the network can tell apart; None for what is none."""
        numbers = answers(self.in_units(dense(outputs)))
        ends = of_numbers(self.name, numbers, self.assurance)
        return {self.name: numbers, **{name: self._rounded(found) for name, found in ends.items()}}

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """See `OutputColumn.answer_schema`."""
        number = {"type": ["number", "null"]}
        ends = () if self.assurance.coverage is None else (f"{self.name}_low", f"{self.name}_high")
        return dict.fromkeys([self.name, *ends], number)

    def assured(self, assurance: Assurance) -> Self:
        """The column that promises this of its answers."""
        return replace(self, assurance=assurance)

    def agrees(self, one: Outputs, other: Outputs) -> np.ndarray:
        """Whether two answers differ by no more than a tenth of the standard deviation of those learnt, (rows,)."""
        return np.asarray(np.abs(dense(one) - dense(other)).reshape(-1) <= SAME)

    def alike(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether two numbers differ by no more than a tenth of the standard deviation of those learnt."""
        first, second = one[self.name], other.get(self.name)
        same = first == second if first is None or second is None else abs(first - second) <= SAME * self.std
        return bool(same)

    def answered(self, targets: Targets, outputs: Outputs) -> Amounts:
        """The numbers of the network beside the true ones."""
        return Amounts(self.in_units(dense(targets)), self.in_units(dense(outputs)))

    def answered_simply(self, targets: Targets, predicted: np.ndarray) -> Amounts:
        """Standardised numbers, (rows,), beside the true ones."""
        return Amounts(self.in_units(dense(targets)), self.in_units(predicted))

    def balance(self, values: Sequence[Any]) -> dict[str, float]:
        """Mean, spread and range."""
        known = many.numbers(values, self.decimal)
        figures = {"mean": known.mean(), "std": known.std(), "min": known.min(), "max": known.max()}
        return {name: float(f"{figure:.6g}") for name, figure in figures.items()}

    @classmethod
    def first_gate(cls, counts: Mapping[str, float]) -> str:
        """A third of the variance."""
        return FIRST_GATE

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        self.write(folder, {f.name: getattr(self, f.name) for f in fields(self) if f.name != "assurance"})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        values: dict[str, Any] = {
            f.name: state[f.name] for f in fields(cls) if f.name in state and f.name != "assurance"
        }
        lists: dict[str, Any] = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**values | lists)


def answers(numbers: np.ndarray) -> list[float | None]:
    """Numbers, (rows,), as answers; None where the network gave NaN or an infinity."""
    return [number if math.isfinite(number) else None for number in numbers.tolist()]


def fence(numbers: np.ndarray, outliers: Outliers) -> tuple[float, float] | None:
    """Where outliers begin among numbers (no NaN); None where nothing counts as one.

    `clip`: the 0.1% and 99.9% quantiles; `iqr` and `drop`: 3 interquartile ranges beyond the quartiles, unless the
    range between the quartiles is empty.
    """
    if outliers == "keep" or not len(numbers):
        return None
    if outliers == "clip":
        low, high = np.quantile(numbers, [0.001, 0.999])
        return float(low), float(high)
    first, third = np.quantile(numbers, [0.25, 0.75])
    reach = 3 * (third - first)
    return (float(first - reach), float(third + reach)) if reach > 0 else None


def _check_numbers(name: str, values: Sequence[Any], found: np.ndarray) -> None:
    where = f"column {name!r} (number)"
    present = ~many.missing(values)
    count, known = int(present.sum()), int((~np.isnan(found)).sum())
    if not count:
        raise problem(where, "no training row has a value", do=f"leave the column out: inputs: {{{name}: ignore}}")
    if 2 * known < count:
        example = values[int(np.flatnonzero(present & np.isnan(found))[0])]
        said = f"{count - known} of {count} values are not numbers, such as {example!r}"
        raise problem(where, said, do="type the column as text or category")


def _fill(name: str, chosen: Options, inside: np.ndarray, decimal: str) -> float:
    """The number that stands for a missing one."""
    if chosen.missing == "mean":
        return float(inside.mean())
    if chosen.missing == "median":
        return float(np.median(inside))
    if chosen.missing == "mode":
        distinct, counts = np.unique(inside, return_counts=True)
        return float(distinct[counts.argmax()])
    constant = float(many.numbers([chosen.fill], decimal)[0])
    if math.isnan(constant):
        raise problem(f"column {name!r} (number): fill", f"found {chosen.fill!r}", "a number, for `missing: constant`")
    return constant


# How each scale bends a number before it is centered.
_CURVES: dict[str, Callable[[NumberColumn, np.ndarray], np.ndarray]] = {
    "standard": lambda column, numbers: numbers,
    "log": lambda column, numbers: signed_log(numbers, column.unit),
    "quantile": lambda column, numbers: np.asarray(np.interp(numbers, column.landmarks, column.scores)),
    "none": lambda column, numbers: numbers,
}


def _array(encoded: Encoded) -> np.ndarray:
    assert isinstance(encoded, np.ndarray)
    return encoded
