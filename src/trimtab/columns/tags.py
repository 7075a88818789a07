"""A tag for each word: named entities as spans of words (BIO), or any other class of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from trimtab import part_options
from trimtab.columns import OutputColumn, Outputs, Ragged, Targets, _schemas, certain, ragged
from trimtab.columns._lookup import begun
from trimtab.columns._spans import Borders, agree, row_counts
from trimtab.errors import nearest, problem
from trimtab.metrics import EPSILON, HARDEST, Kind, Tagged, scores, shortened
from trimtab.values import list_cells, parse
from trimtab.values.schemes import OUTSIDE, complete, scheme_of

_MOST_TAGS = 1000
_DECIMALS = 4  # of a confidence


class Options(part_options.Options):
    """What may be set on a column of tags."""

    tags: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="The tags; where rows hold their numbers, in the order of these: [O, B-person, I-person]. "
        "Default: those of the training rows, with all borders of every type.",
    )


@dataclass(frozen=True)
class TagsColumn(OutputColumn):
    """A tag for each word of a text; the network gives logits, (places, tags), for each row.

    What they say of spans: see `Borders`.
    """

    type: ClassVar[str] = "tags"
    holds_values: ClassVar[bool] = True
    baselines: ClassVar[str | None] = "words"
    several: ClassVar[bool] = True
    answers: ClassVar[Kind] = Tagged
    headline: ClassVar[str] = "span_f1"
    tie_break: ClassVar[str | None] = "log_loss"
    per_position: ClassVar[bool] = True
    reads: ClassVar[str | None] = "text"
    name: str
    key: str
    tags: tuple[str, ...] = (OUTSIDE,)  # that of a word of no span is the first
    numbered: tuple[str, ...] = ()  # rows hold numbers: the tag of each, from 0 on
    has_outside: bool = True  # whether some words are outside of all spans

    @classmethod
    def input_options(cls) -> Mapping[str, Any]:
        """The text is a list of words."""
        return {"words": True}

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`. Raises TrimtabError where no word has a tag, and for what are no tags but sentences."""
        chosen = part_options.check(Options, f"column {name!r} ({cls.type})", options)
        where = f"column {name!r} (tags)"
        rows = [_tags(value) for value in values]
        if pieces := [piece for piece in map(list_cells.broken, rows) if piece]:
            said = f"{pieces[0]!r}, in {len(pieces):,} of {len(rows):,} rows, is {list_cells.UNREADABLE}"
            raise problem(where, said, '["O", "B-person"]; or tags with white space between them')
        found = set(chain.from_iterable(rows)) - {""}
        named = chosen.tags or ()
        numbered = named if _are_numbers(found, len(named)) and not _are_numbers(named, len(named)) else ()
        found = set(numbered) or found
        known = {*(named or found)} - {OUTSIDE}
        tags = complete(sorted(known), scheme_of(known))
        if unknown := sorted(found - {*tags, OUTSIDE}):
            raise problem(f"{where}: tags", f"training rows hold {unknown[0]!r}", nearest(unknown[0], tags))
        if not found - {OUTSIDE}:
            raise problem(where, f"no word of a training row has another tag than {OUTSIDE}", "tags such as B-person")
        if len(tags) > _MOST_TAGS:
            raise problem(where, f"{len(tags):,} different tags", f"at most {_MOST_TAGS}, such as B-person", "see type")
        return cls(name, key, (OUTSIDE, *tags), numbered, OUTSIDE in {*found, *named})

    @property
    def answer_names(self) -> tuple[str, ...]:
        """The tags."""
        return self.tags

    def extended(self, values: Sequence[Any], first: Sequence[str] = ()) -> Self:
        """See `Column.extended`: new types of spans with all their borders; nothing where rows hold numbers of tags."""
        found = {*self.tags, *chain.from_iterable(_tags(value) for value in values)} - {"", OUTSIDE}
        if self.numbered or found <= {*self.tags} or scheme_of(found) != self.borders.scheme:
            return self
        new = [tag for tag in complete(sorted(found), self.borders.scheme) if tag not in self.tags]
        return replace(self, tags=(*self.tags, *new))

    def open_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """See `OutputColumn.open_options`; the names of tags that rows hold the numbers of stay."""
        return dict(options) if self.numbered else super().open_options(options)

    def places(self, before: Self) -> tuple[tuple[int, ...], ...]:
        """See `Column.places`: a new tag begins as the mean of those with its border, or of all but O."""
        others = range(1, before.width)
        alike = {border: [at for at in others if before.borders.marks[at].border == border] for border in "BIESLU"}
        found = begun(self.tags, before.tags, ())
        return tuple(
            own or tuple(alike.get(mark.border) or others) for own, mark in zip(found, self.borders.marks, strict=True)
        )

    def unsure(self, outputs: Outputs) -> np.ndarray:
        """See `OutputColumn.unsure`: by the word that is the least sure of its tag."""
        assert isinstance(outputs, Ragged)
        chances = np.sort(_softmax(certain(outputs.values)), axis=1)
        words = 1 - (chances[:, -1] - chances[:, -2])
        return np.array([words[start:end].max(initial=0.0) for start, end in pairwise(outputs.offsets)])

    @property
    def width(self) -> int:
        """One logit per tag."""
        return len(self.tags)

    @cached_property
    def borders(self) -> Borders:
        """What the tags say of spans."""
        return Borders(self.tags)

    @cached_property
    def _positions(self) -> dict[str, int]:
        positions = {tag: position for position, tag in enumerate(self.tags)}
        return positions | {str(number): positions[tag] for number, tag in enumerate(self.numbered)}

    def usable(self, value: Any) -> str | None:
        """None for a list of known tags, else the reason."""
        tags = _tags(value)
        if not tags:
            return parse.no_value(value)
        if piece := list_cells.broken(tags):
            return f"{piece!r} is {list_cells.UNREADABLE}"
        unknown = next((tag for tag in tags if tag not in self._positions), None)
        return None if unknown is None else f"no tag named {unknown!r} in training"

    def misfit(self, value: Any, inputs: Sequence[Any]) -> str | None:
        """A row has to have as many tags as words."""
        words, tags = len(list_cells.words(inputs[0])), len(list_cells.words(value))
        return None if words == tags else f"as many tags as words are needed: {words} words, {tags} tags"

    def targets(self, values: Sequence[Any]) -> Ragged:
        """The number of each word's tag, (all words,) int64. Raises ValueError for what is not usable."""
        for value in values:
            if reason := self.usable(value):
                raise ValueError(f"{self.name}: {reason}")
        rows = [np.array([self._positions[tag] for tag in list_cells.words(value)], np.int64) for value in values]
        return ragged(rows, np.zeros(0, np.int64))

    def chosen(self, outputs: Ragged) -> np.ndarray:
        """The likeliest tag of each place, (all places,); an I- that begins a span becomes a B-, and the like."""
        return self.borders.valid(np.asarray(outputs.values.argmax(axis=1), np.int64), outputs.offsets)

    def remarks(self, values: Sequence[Any]) -> list[str]:
        """Which scheme the tags are of; and what is measured where they have none."""
        if self.borders.scheme:
            named = ", ".join(self.borders.types[1:][:10])
            return [f"{self.name}: tags with borders ({self.borders.scheme.name}) of {named}"]
        said = f"{self.name}: the tags have no borders (such as B- and I-): each word with a tag is a span of its own"
        way = "" if self.has_outside else f"; no word is {OUTSIDE}, so that a span F1 says nothing{self.way_out}"
        return [said + way]

    @property
    def way_out(self) -> str:
        """What else may be done where a metric says nothing."""
        numbers = all(tag.isdecimal() for tag in self.tags if tag != OUTSIDE)
        return "; or name the numbers in their order, tags: [O, B-person, I-person]" if numbers else ""

    def says_nothing(self, metric: str) -> str | None:
        """A span F1 is no more than accuracy where all words are spans of their own."""
        if self.borders.scheme or self.has_outside or not metric.startswith("span_"):
            return None
        return f"the tags have no borders, and no word is {OUTSIDE}: each word would be a span"

    def counts(self, values: Sequence[Any]) -> dict[str, float]:
        """Spans of each type."""
        found = self.targets(values)
        counted = Counter(self.borders.spans(found.values, found.offsets).type.tolist())
        return {name: counted[number] for number, name in enumerate(self.borders.types) if number}

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        """The tag of every word, and the spans: type, first word, the word after the last, mean probability."""
        assert isinstance(outputs, Ragged)
        outputs = Ragged(certain(outputs.values), outputs.offsets)
        tags, offsets = self.chosen(outputs), outputs.offsets
        found = self.borders.spans(tags, offsets)
        share = _softmax(outputs.values).max(axis=1, initial=0.0)
        spans: list[list[dict[str, Any]]] = [[] for _ in range(len(outputs))]
        rows = np.searchsorted(offsets, found.start, side="right") - 1
        for row, start, end, kind in zip(rows, *found, strict=True):
            first = int(offsets[row])
            confidence = round(float(share[start:end].mean()), _DECIMALS)
            placed = {"start": int(start) - first, "end": int(end) - first}
            spans[row].append({"type": self.borders.types[kind], **placed, "confidence": confidence})
        names = [[self.tags[tag] for tag in tags[a:b]] for a, b in pairwise(offsets)]
        return {self.name: names, f"{self.name}_spans": spans}

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """See `OutputColumn.answer_schema`."""
        place = {"type": "integer", "minimum": 0}
        kind = _schemas.one_of(self.borders.types[1:])
        parts = {"type": kind, "start": place, "end": place, "confidence": _schemas.SHARE}
        span = {"type": "object", "properties": parts, "required": list(parts)}
        return {self.name: _schemas.several_of(self.tags), f"{self.name}_spans": {"type": "array", "items": span}}

    def answered(self, targets: Targets, outputs: Outputs) -> Tagged:
        """The likeliest tags beside the right ones: counts of spans and of places, and the losses, of each row."""
        assert isinstance(targets, Ragged)
        assert isinstance(outputs, Ragged)
        share = _softmax(outputs.values)[np.arange(len(outputs.values)), targets.values]
        losses = _row_sums(-np.log(np.clip(share, EPSILON, 1.0)), targets.offsets)
        return self.tagged(targets, self.chosen(outputs), losses)

    def tagged(self, targets: Ragged, chosen: np.ndarray, losses: np.ndarray | None = None) -> Tagged:
        """Tags that were answered, (all places,), beside the right ones."""
        offsets = targets.offsets
        true, found = self.borders.spans(targets.values, offsets), self.borders.spans(chosen, offsets)
        return Tagged(
            true_spans=row_counts(true.start, offsets),
            found_spans=row_counts(found.start, offsets),
            right_spans=row_counts(found.start[agree(found, true)], offsets),
            positions=targets.lengths,
            right_positions=_row_sums((chosen == targets.values).astype(np.float64), offsets),
            losses=losses,
        )

    def evidence(self, targets: Targets, outputs: Outputs, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """A line for each type of span, and the sentences with the most spans that are wrong or not found."""
        assert isinstance(targets, Ragged)
        assert isinstance(outputs, Ragged)
        chosen = self.chosen(outputs)
        true, found = (self.borders.by_row(tags, targets.offsets) for tags in (targets.values, chosen))
        wrong = np.array([len(a ^ b) for a, b in zip(true, found, strict=True)])
        worst = [row for row in np.argsort(-wrong, kind="stable")[:HARDEST] if wrong[row]]
        sentences = [{name: " ".join(list_cells.words(value)) for name, value in inputs[row].items()} for row in worst]
        return {
            "parts": [
                {"type": one["type"], **scores(one["true"], one["answered"], one["right"])}
                for one in self.per_type(targets, chosen)
            ],
            "hardest": [
                {
                    "inputs": shortened(sentence),
                    "true": _spans_text(true[row], inputs[row]),
                    "predicted": _spans_text(found[row], inputs[row]),
                    "error": int(wrong[row]),
                }
                for row, sentence in zip(worst, sentences, strict=True)
            ],
        }

    def per_type(self, targets: Ragged, chosen: np.ndarray) -> list[dict[str, Any]]:
        """Of each type of span: how many there are, were answered, and were answered rightly."""
        true, found = self.borders.spans(targets.values, targets.offsets), self.borders.spans(chosen, targets.offsets)
        right = found.type[agree(found, true)]
        counted = [np.bincount(types, minlength=len(self.borders.types)) for types in (true.type, found.type, right)]
        rows = zip(self.borders.types, *(counts.tolist() for counts in counted), strict=True)
        return [{"type": name, "true": a, "answered": b, "right": c} for name, a, b, c in rows if name != OUTSIDE]

    @classmethod
    def first_gate(cls, counts: Mapping[str, float]) -> str:
        """Half of the spans."""
        return 'span_f1: ">= 0.5"  # of whole spans: type and borders must be right'

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        fields = ("tags", "numbered", "has_outside")
        self.write(folder, {name: getattr(self, name) for name in fields})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        rest = (tuple(state.get("numbered", ())), state.get("has_outside", True))  # not asked of older bundles
        return cls(state["name"], state["key"], tuple(state["tags"]), *rest)


def _spans_text(spans: set[tuple[int, int, str]], row: Mapping[str, Any]) -> str:
    (value,) = row.values()
    words = list_cells.words(value)
    return "; ".join(f"{' '.join(words[start:end])} ({kind})" for start, end, kind in sorted(spans)) or "none"


def _tags(value: Any) -> list[str]:
    """The tags of a row; nothing where there is no value."""
    return [] if parse.is_missing(value) else list_cells.words(value)


def _are_numbers(tags: Iterable[str], count: int) -> bool:
    """Whether all tags are numbers below a count."""
    return all(tag.isdecimal() and tag.isascii() and len(tag) < 9 and int(tag) < count for tag in tags)


def _row_sums(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The sum of each row's values, (rows,)."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(sums[offsets[1:]] - sums[offsets[:-1]])


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.asarray(logits, np.float64)
    odds = np.exp(shifted - shifted.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
