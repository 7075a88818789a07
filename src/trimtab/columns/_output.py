"""What an output is: a column that is decoded from what the network answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from trimtab import metrics
from trimtab.columns._assurance import NO_ASSURANCE, Assurance
from trimtab.columns._column import Column
from trimtab.columns._containers import (
    OUTPUTS,
    Outputs,
    OutputTensor,
    Ragged,
    Targets,
    dense,
    no_outputs,
)
from trimtab.columns._input import InputColumn, InputPolicy
from trimtab.metrics import Answers, Kind, Statistics

_NEVER = -1e4  # a logit, or a score, that no other one is below
_LISTS = ("classes", "levels", "tags")  # options that name every answer there is


class _Measured:
    """`OutputColumn.metrics`: the metrics that its kind of answers has, the headline first; `ndcg@10`, `recall`."""

    def __get__(self, instance: OutputColumn | None, owner: type[OutputColumn]) -> tuple[str, ...]:
        return metrics.measured_on(owner.answers, owner.headline)


class _MeasuredOfParts:
    """`OutputColumn.metrics_of_parts`: those that it has of each of `parts`: `recall.<class>`."""

    def __get__(self, instance: OutputColumn | None, owner: type[OutputColumn]) -> tuple[str, ...]:
        return metrics.parts_measured_on(owner.answers)


class OutputColumn(Column):
    """A column that the network answers."""

    answers: ClassVar[Kind]  # of which kind they are, which says how they are measured
    metrics = _Measured()
    metrics_of_parts = _MeasuredOfParts()
    headline: ClassVar[str]  # the metric that chooses the checkpoint, and that the card shows first
    tie_break: ClassVar[str | None] = None  # a metric, less is better, that decides between equal headlines
    chooses: ClassVar[str | None] = None  # the metric that chooses the checkpoint, where the headline costs too much
    per_position: ClassVar[bool] = (
        False  # whether there is an answer for each position of the input, not one for each row
    )
    strata: ClassVar[Literal["classes", "quantiles", "none"]] = "none"  # what a cut keeps in proportion
    reads: ClassVar[str | None] = None  # the type of the one input that it is told from; None: any inputs
    # The type that answers have where there is nothing to read; it `reads` their beginnings. None: something must be.
    alone: ClassVar[str | None] = None
    verbatim: ClassVar[bool] = False  # whether white space at either end of a text belongs to it
    is_text: ClassVar[bool] = False  # whether an answer is a text: NA is a word of it
    several_right: ClassVar[bool] = False  # whether equal rows may have different answers, all of them right
    has_names: ClassVar[bool] = False  # whether a word for "no value" may be an answer: see `words_kept`
    familiarity_word: ClassVar[str] = ""  # what `familiarity` is: energy; empty: there is none
    score_word: ClassVar[str] = "score"  # what `additive_scores` are: log-odds; empty: numbers in the user's units
    baselines: ClassVar[str | None] = None  # how simple models learn it (`audit/baselines/`); None: no baseline
    constant: ClassVar[str] = "majority"  # what the simplest of these is called, which answers all rows alike
    one_class: ClassVar[bool] = False  # each row is of one class: classes can be weighed, balanced, smoothed
    part_word: ClassVar[str] = "class"  # what one of `parts` is called
    single: ClassVar[bool] = False  # an answer is a single cell, compared by what it says
    scored: ClassVar[bool] = False  # an answer says how strongly it is given: see `strengths`
    several: ClassVar[bool] = False  # an answer holds several: classes, numbers, tags
    from_files: ClassVar[bool] = False  # whether a value may be the path of a file
    # Equal inputs may have several right answers: rows are copies where these are equal, too.
    open_ended: ClassVar[bool] = False
    # Answers are entries of a gallery, which a part of the network reads (`learnt_as`): the option `of` says what they
    # are, as an input is described.
    gallery: ClassVar[bool] = False
    kept_together: ClassVar[bool] = False  # rows with the same answer never sit in two splits
    rows_together: ClassVar[int] = 0  # rows that a batch should hold at least: they are told apart from each other
    aligned: ClassVar[bool] = False  # each part of an answer lies where it lies in the input, which is not moved then
    file_ending: ClassVar[str | None] = None  # an answer is the content of a file that ends so: see `content`
    mixes: ClassVar[bool] = False  # the loss of a mixture of two rows is the mixture of their losses
    recipe: ClassVar[str | None] = None  # how long it learns (`train.settings`), whatever the inputs; None: by these
    given_away: ClassVar[Literal["classes", "amounts"] | None] = None  # how a column that tells it is looked for
    # What can be promised of single answers, by the keys of the spec: to withhold unsure ones (`answers`), a set or an
    # interval beside each (`coverage`).
    promises: ClassVar[tuple[Literal["answers", "coverage"], ...]] = ()
    assurance: Assurance = NO_ASSURANCE  # what is promised, fitted to the validation rows
    classes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()  # the columns of the data that make it up; none: the one that is called like it
    user: str | None = None  # the column of the data that says whose a row is, where one user may have several

    def gathered(self, row: Mapping[str, Any]) -> Any:
        """The answer that stands in a row of the data: a cell, or a mapping of the cells of `sources`."""
        return gathered(self.name, self.sources, row)

    @classmethod
    def words_kept(cls, values: Sequence[Any], options: Mapping[str, Any]) -> tuple[str, ...]:
        """Words for "no value" (`parse.NO_VALUE`) that are names among these answers: see the option `not_missing`."""
        return ()

    @classmethod
    def input_options(cls) -> Mapping[str, Any]:
        """What the columns of the inputs have to know of this type of output."""
        return {}

    @classmethod
    def digest(cls, value: Any) -> str:
        """What makes two answers the same, where it is not how they are written: the content of a file."""
        return str(value)

    @classmethod
    def located(cls, value: Any, folder: Path) -> Any:
        """The answer, as it stands in a file of `folder`, such that it can be read from anywhere."""
        return value

    @classmethod
    def values_type(cls, options: Mapping[str, Any]) -> str:
        """The type whose values right answers are, as these stand in the data: by default its own."""
        return cls.type

    @property
    def values_kind(self) -> type[Any]:
        """The class whose values right answers are: it says how they are opened and compared."""
        return type(self)

    @property
    def learnt_as(self) -> InputColumn | None:
        """The column by which the network reads right answers while it learns; by default it reads none."""
        return None

    def in_gallery(
        self, values: Sequence[Any], vectors: np.ndarray, names: Sequence[Any] | None = None, add: bool = False
    ) -> Self:
        """The column that answers with these entries, by their vectors, (entries, width). See `gallery`.

        Of equal entries the first one stays. `names` is what answers call them; by default what they say of themselves.
        With `add`, those that it answers with already stay, and stand before them.
        """
        raise NotImplementedError(f"{self.type}: answers are no entries of a gallery")

    def accepting(self, policy: InputPolicy) -> Self:
        """The column, holding right answers that it is told to a policy, as an input does with its values."""
        return self

    @classmethod
    def encoder_of(cls, kind: Any, rows: int) -> tuple[dict[str, Any], str] | None:
        """The encoder, as a spec writes it, that suits these answers best where inputs of a type name none, and why.

        `kind` is the class of the inputs, `rows` are learnt from. By default None: what the type of the input says.
        """
        return None

    def joined_with(self, values: Sequence[Any], texts: Mapping[str, Sequence[Any]]) -> Self:
        """The column, fitted to the raw `values`, with one vocabulary for its answers and these texts, by key.

        The texts are those of inputs that are read from scratch. By default itself: answers have no vocabulary.
        """
        return self

    @property
    def shared_tokenizer(self) -> str | None:
        """The text of the tokenizer.json that the inputs of `joined_with` are read by; None for one of their own."""
        return None

    @property
    def shared_options(self) -> Mapping[str, Any]:
        """What the inputs that `shared_tokenizer` is for have to know beside it."""
        return {}

    @property
    def answer_names(self) -> tuple[str, ...]:
        """What each number that the head gives is of; empty where these are no names."""
        return self.classes

    def widened_from(self, before: Self, outputs: Outputs) -> Outputs:
        """Outputs of a network that answers `before` as this column, `extended` from it, reads them.

        What was not known then is never answered.
        """
        if self.answer_names == before.answer_names:
            return outputs
        known = {name: place for place, name in enumerate(before.answer_names)}
        fills = self.unknown_outputs(before)
        part = outputs.values if isinstance(outputs, Ragged) else dense(outputs)
        own = [
            part[:, known[n]] if n in known else np.full(len(part), f)
            for n, f in zip(self.answer_names, fills, strict=True)
        ]
        wide = np.stack(own, axis=1).astype(np.float32)
        return replace(outputs, values=wide) if isinstance(outputs, Ragged) else wide

    def unknown_outputs(self, before: Self) -> tuple[float, ...]:
        """For each of `answer_names` the output that stands for "never", where `before` does not know it."""
        return (_NEVER,) * len(self.answer_names)

    def open_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What a spec says of the column, without the lists that would make a mistake of what is new in more rows."""
        return {name: value for name, value in options.items() if name not in _LISTS}

    @property
    def parts(self) -> tuple[str, ...]:
        """What some metrics are measured of one by one: `recall.<class>`, `r2.<column>`."""
        return self.classes or self.sources

    @abstractmethod
    def targets(self, values: Sequence[Any]) -> Targets:
        """Raw values -> training targets. Raises ValueError for a value that is not usable as an answer."""

    @abstractmethod
    def usable(self, value: Any) -> str | None:
        """None when `targets` takes the value, else the reason why it does not."""

    def target_steps(self, targets: Targets) -> np.ndarray | None:
        """Steps that the right answers add to what learning from each row costs, (rows,); None where they add none."""
        return None

    def ids_of(self, targets: Targets) -> Ragged:
        """The tokens of right answers, (tokens,) int64, with those that end them. Only of answers that are written."""
        raise NotImplementedError(f"{self.type}: answers are not written token by token")

    def judged(self, outputs: Outputs, given: Ragged) -> Outputs:
        """Outputs with the log-probability of each token of the right answers, (tokens, 1). Only as for `ids_of`."""
        raise NotImplementedError(f"{self.type}: answers are not written token by token")

    def spelt(self, text: str) -> list[int]:
        """The tokens of a text, without the one that ends it. Only as for `ids_of`."""
        raise NotImplementedError(f"{self.type}: answers are not written token by token")

    def text(self, ids: Sequence[int]) -> str:
        """What the tokens of an answer say. Only as for `ids_of`."""
        raise NotImplementedError(f"{self.type}: answers are not written token by token")

    def misfit(self, value: Any, inputs: Sequence[Any]) -> str | None:
        """Why a usable answer cannot be the one to these raw values of the inputs; None when it can."""
        return None

    def remarks(self, values: Sequence[Any]) -> list[str]:
        """What the user should know of how these answers, those of the training rows, are read."""
        return []

    def says_nothing(self, metric: str) -> str | None:
        """Why a metric of this type must not be a gate for this column; None where it may."""
        return None

    @property
    def way_out(self) -> str:
        """What else may be done where a metric `says_nothing`, to stand behind "gate another metric"."""
        return ""

    def calibrated(self, targets: Targets, outputs: Outputs) -> Self:
        """The column with what decoding needs fitted to the validation rows, such as thresholds."""
        return self

    def assured(self, assurance: Assurance) -> Self:
        """The column that promises this of its answers. Only of a type with `promises`."""
        raise NotImplementedError(f"{self.type}: nothing is promised of its answers")

    def write(self, folder: Path, fields: Mapping[str, Any]) -> None:
        """As `Column.write`, with what is promised, where anything is."""
        super().write(folder, {**fields, **self.assurance.fields})

    def counts(self, values: Sequence[Any]) -> dict[str, float]:
        """How often each answer, or part of one, occurs in raw values that are usable; nothing if that says nothing."""
        return {}

    @abstractmethod
    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        """The network's outputs -> answer columns, such as {"sentiment": [...], "confidence": [...]}.

        With `top` above 1, types that rank their answers add `<name>_top`: the best answers of each row, in order.
        """

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """The names that `decode` gives, those of a `top` above 1 too, and of each the JSON schema of one answer."""
        return {name: {} for name in self.decode(no_outputs(self.tensors), 2)}

    def agrees(self, one: Outputs, other: Outputs) -> np.ndarray:
        """Whether two outputs of each row mean the same answer, however sure, (rows,) bool."""
        first, second = self.decode(one), self.decode(other)
        names = [name for name in (self.name, *self.sources) if name in first]
        same = [[a == b for a, b in zip(first[name], second[name], strict=True)] for name in names]
        return np.asarray(np.logical_and.reduce(np.array(same, bool)))

    def alike(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether two answers as `decode` gives them, of bundles that may differ, mean the same, however sure."""
        names = [name for name in (self.name, *self.sources) if name in one]
        return all(one[name] == other.get(name) for name in names)

    @property
    def score_names(self) -> tuple[str, ...]:
        """What `additive_scores` are of: the classes, the columns of several numbers, or the answer itself."""
        return self.parts or (self.name,)

    def additive_scores(self, outputs: Outputs) -> np.ndarray:
        """Each of `score_names` on a scale on which effects can add up, (rows, names) float64; explanations say why.

        Log-odds of classes, numbers in the user's units; by default what the network gives.
        """
        return dense(outputs).astype(np.float64)

    def strengths(self, outputs: Outputs) -> np.ndarray:
        """How likely each class is, (rows, classes), or the number that is answered, (rows, 1); see `scored`."""
        raise NotImplementedError(f"{self.type}: an answer says nothing of how strongly it is given")

    def familiarity(self, outputs: Outputs) -> np.ndarray:
        """How much a row is like those of training, by its outputs alone, (rows,) float64: more is more like them."""
        raise NotImplementedError(f"{self.type}: outputs say nothing of how familiar a row is")

    def unsure(self, outputs: Outputs) -> np.ndarray:
        """How unsure each answer is, (rows,) from 0 to 1: how near the second best comes to the best.

        By default by the chances of classes; 0 where outputs say nothing of it.
        """
        if not self.scored or not self.classes:
            return np.zeros(len(outputs))
        chances = np.sort(self.strengths(outputs), axis=1)
        return np.asarray(1 - (chances[:, -1] - chances[:, -2])) if chances.shape[1] > 1 else np.zeros(len(outputs))

    @abstractmethod
    def answered(self, targets: Targets, outputs: Outputs) -> Answers:
        """The answers of the network beside what is right, in the user's units, of the kind `answers`."""

    def answered_simply(self, targets: Targets, predicted: np.ndarray) -> Answers:
        """What a model of `baselines` predicts, chances of classes or numbers like targets, as `answered`."""
        raise NotImplementedError(f"{self.type}: what its baselines predict is not known to be an answer")

    def balance(self, values: Sequence[Any]) -> dict[str, float]:
        """What is told of the answers of a split: how often each occurs; of numbers, their range."""
        return self.counts(values)

    @classmethod
    def first_gate(cls, counts: Mapping[str, float]) -> str:
        """The gate that `trimtab init` writes, a line of YAML; `counts` are the rows of each class where there are any.

        A type that knows no bound to begin with has a comment.
        """
        return f"# {cls.headline}: set a bound"

    def statistics(self, targets: Targets, outputs: Outputs) -> Statistics:
        """Every metric of these answers."""
        return metrics.statistics(self.answered(targets, outputs), self.headline)

    def evidence(self, targets: Targets, outputs: Outputs, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the card and the plots show of these rows beside their metrics, as plain JSON: see `Answers.evidence`.

        `inputs` holds each row's input values, shown shortened beside the hardest mistakes.
        """
        return self.answered(targets, outputs).evidence(inputs)

    def content(self, answer: Any) -> bytes:
        """The file that an answer, as `decode` gives it, is the content of. Only of a type with a `file_ending`."""
        raise NotImplementedError(f"{self.type}: an answer is no file")

    def logged(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a log of answers keeps of those of a row; by default all."""
        return answer

    def looks(self, outputs: Outputs) -> dict[str, np.ndarray]:
        """What is kept of each answer to tell later whether answers have moved, (rows,) float64 each.

        Nothing where the answers themselves say it: names and numbers.
        """
        return {}

    @property
    def drawn_shape(self) -> tuple[int, int, int] | None:
        """(channels, height, width) of the pictures that are answered; None where it is none."""
        return None

    @property
    def read_as(self) -> InputColumn | None:
        """The column that reads such answers where they are an input; None where nothing does."""
        return None

    @property
    def answer_cost(self) -> int:
        """What an answer costs in a batch beside its row, as `InputColumn.cost` counts."""
        return 0

    @property
    @abstractmethod
    def width(self) -> int:
        """Numbers that the head gives for each answer: the classes of a label, 1 for a number."""

    @property
    def tensors(self) -> tuple[OutputTensor, ...]:
        """The tensors that the head gives; by default one.

        With one, `targets`, `decode` and `answered` take an array or a `Ragged`; with several, a `Named`.
        """
        return (OutputTensor(OUTPUTS, self.width, "position" if self.per_position else "row"),)

    @property
    def taught(self) -> tuple[OutputTensor, ...]:
        """The tensors that a head gives which is told the right answers (`nets.heads`); by default the answers'."""
        return self.tensors

    def follows(self, inputs: Sequence[InputColumn]) -> int:
        """The position of the input whose places are answered, where there is an answer per position.

        That of the type which the answers are told from (`reads`), else the first whose rows differ in length.
        """
        told_from = [position for position, column in enumerate(inputs) if column.type == self.reads]
        of_lengths = [position for position, column in enumerate(inputs) if column.padded]
        return next(iter([*told_from, *of_lengths]), 0)


def gathered(name: str, sources: Sequence[str], row: Mapping[str, Any]) -> Any:
    """The cell called `name`, or a mapping of several cells."""
    return {source: row.get(source) for source in sources} if sources else row.get(name)
