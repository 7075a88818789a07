"""An answer that is written: token by token, by a vocabulary that is learnt from the training rows.

A spec calls it `text`, as it does the input. What the network gives is what `programs.stepwise` wrote; what a row is
learnt from, and measured against, is the text as it stands in the data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field
from tokenizers import Tokenizer

from trimtab import files, part_options
from trimtab.columns import (
    DECIMALS,
    Named,
    OutputColumn,
    Outputs,
    OutputTensor,
    Ragged,
    Targets,
    _answer_tokens,
    _schemas,
    named,
    ragged,
)
from trimtab.columns._tokenizer import read_definition
from trimtab.errors import problem
from trimtab.metrics import Kind, Texts, Written
from trimtab.values import letters, parse

IDS, SCORES, KEPT, GIVEN, TEXT = "ids", "scores", "kept", "given", "text"  # parts of outputs and of targets
_LIMIT = 512  # tokens of an answer, where the spec says nothing
_COVERED = 0.999  # share of the training answers that are learnt whole
_LEARN_ROWS = 100_000  # that a vocabulary is learnt from
_MOST = 8_000  # tokens of a vocabulary, where the spec says nothing
_TOKENS = 10  # times the root of the words of the training rows: 8,000 for 29,000 pairs, 1,500 for 1,000
_MOST_ROWS_READ = 20_000  # whose words are counted
_BEAMS = 4


class Options(part_options.Options):
    """What may be set on a text that is answered."""

    tokens: Literal["pieces", "characters"] = Field(
        "pieces", description="What an answer is written in: pieces of words, or single characters."
    )
    vocabulary: int | None = Field(
        None,
        ge=_answer_tokens.FEWEST_PIECES,
        le=200_000,
        description="Most tokens that are learnt, 300 to 200,000. Default: by the rows, 300 to 8,000.",
    )
    joint: bool = Field(
        True, description="Whether texts that are read from scratch are read in the tokens that answers are written in."
    )
    tokenizer: str | Path | None = Field(
        None, description="Path of a tokenizer.json. Filled in by a pretrained decoder. Default: one is learnt."
    )
    start_id: int | None = Field(None, ge=0, description="Of a given tokenizer: the token that answers begin after.")
    end_id: int | None = Field(None, ge=0, description="Of a given tokenizer: the token that ends an answer.")
    pad_id: int | None = Field(None, ge=0, description="Of a given tokenizer: the token that fills up a batch.")
    first_id: int | None = Field(
        None, ge=0, description="Of a given tokenizer: the token that every answer begins with. Default: none."
    )
    max_tokens: int | None = Field(
        None, ge=2, description="Most tokens of an answer, its end counted. Default: as many as 99.9% of the rows need."
    )
    beams: int = Field(_BEAMS, ge=1, le=64, description="Answers that are followed at once; the likeliest is given.")
    length_penalty: float = Field(
        1.0,
        description="With beams: log-probabilities are divided by the length to this power; more favours long ones.",
    )
    no_repeat: int = Field(0, ge=0, description="No run of this many tokens is written twice in an answer; 0: any may.")
    decoder: dict[str, Any] = Field(
        {}, description="The part that writes: layers, width, heads, feed_forward and dropout. Default: by the rows."
    )
    stop: tuple[str, ...] = Field((), description="An answer ends before the first of these texts.")


@dataclass(frozen=True)
class WrittenTextColumn(OutputColumn):
    """A text, written token by token.

    Targets are `Named`: `ids`, the tokens with the one that ends them, and `text`, the UTF-8 bytes of the text itself.
    Outputs are `ids` and `scores`, what was written and the log-probability of each token; `given`, the log-probability
    of each token of the right answer, where that is known. While it is learnt, `given` is all there is.
    """

    type: ClassVar[str] = "written_text"
    answers: ClassVar[Kind] = Written
    headline: ClassVar[str] = "chrf"
    chooses: ClassVar[str | None] = "perplexity"
    baselines: ClassVar[str | None] = "texts"
    constant: ClassVar[str] = "commonest answer"
    recipe: ClassVar[str | None] = "texts"
    is_text: ClassVar[bool] = True
    several_right: ClassVar[bool] = True
    alone: ClassVar[str | None] = "continued_text"
    takes: ClassVar[Any] = Options
    limit: ClassVar[int] = _LIMIT  # tokens of an answer, where the spec says nothing
    kept: ClassVar[tuple[str, ...]] = (
        "max_tokens", "start", "end", "pad", "beside", "asked", "decoding", "mean_tokens",
    )  # fmt: skip
    name: str
    key: str
    definition: str = field(repr=False)  # the text of tokenizer.json
    max_tokens: int
    start: int
    end: int
    pad: int
    beside: tuple[str, ...] = ()  # keys of inputs that are read in the same tokens
    asked: Mapping[str, Any] = field(default_factory=dict)  # of a tokenizer that is learnt: what the spec says of it
    decoding: Mapping[str, Any] = field(default_factory=dict)  # how it is written, as `programs.stepwise` takes it
    mean_tokens: float = 1.0  # of the training answers
    first: int | None = None  # the token that every answer begins with

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`. Raises TrimtabError for a tokenizer that does not say how an answer ends."""
        chosen: Any = part_options.check(cls.takes, f"column {name!r} (text)", options)
        texts = [text for value in values if (text := cls.said(value))]
        decoding = cls.way(chosen) | ({"stop": list(chosen.stop)} if chosen.stop else {})
        if chosen.tokenizer:
            definition, ends = read_definition(Path(chosen.tokenizer), name), _ends(name, chosen)
            found = cls(name, key, definition, cls.limit, *ends, decoding=decoding, first=chosen.first_id)
            return found._covering(texts, chosen.max_tokens)
        asked = {part: getattr(chosen, part) for part in ("tokens", "vocabulary", "max_tokens", "joint")}
        plain = cls(name, key, "", cls.limit, *_OWN_ENDS, (), asked, decoding)
        return replace(plain, definition=plain._learnt(texts))._covering(texts, chosen.max_tokens)

    @classmethod
    def way(cls, chosen: Any) -> dict[str, Any]:
        """What is said of how tokens are chosen, of the options, as `programs.stepwise` takes it."""
        return {part: getattr(chosen, part) for part in ("beams", "length_penalty", "no_repeat")}

    def joined_with(self, values: Sequence[Any], texts: Mapping[str, Sequence[Any]]) -> Self:
        """See `OutputColumn.joined_with`."""
        if not self.asked.get("joint") or not texts:
            return self
        own = [text for value in values if (text := self.said(value))]
        read = (self.said(value) for column in texts.values() for value in column)
        found = replace(self, definition=self._learnt([*own, *read]), beside=tuple(texts))
        return found._covering(own, self.asked["max_tokens"])

    @classmethod
    def said(cls, value: Any) -> str:
        """The text of a raw value; empty where there is none."""
        text = parse.text(value)
        text = text if cls.verbatim else text.strip()
        return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")

    def _learnt(self, texts: Sequence[str]) -> str:
        """A tokenizer of a spread sample of texts."""
        sample, size = texts[:: -(-len(texts) // _LEARN_ROWS) or 1], self.asked["vocabulary"]
        if self.asked["tokens"] == "characters":
            return _answer_tokens.characters(sample, size or _MOST)
        return _answer_tokens.pieces(sample, size or _size(sample), spaced=not self.verbatim)

    def _covering(self, texts: Sequence[str], asked: int | None) -> Self:
        """With as many tokens as all but the longest answers have, where it is not asked how many."""
        lengths = [len(encoding.ids) + 1 + (self.first is not None) for encoding in self._encoded(texts)]
        covering = int(np.quantile(lengths, _COVERED, method="higher")) if lengths else self.limit
        most = asked or min(self.limit, max(8, -(-covering // 8) * 8))
        mean = float(np.minimum(lengths, most).mean()) if lengths else 1.0
        return replace(self, max_tokens=most, mean_tokens=mean)

    @classmethod
    def encoder_of(cls, kind: Any, rows: int) -> tuple[dict[str, Any], str] | None:
        """See `OutputColumn.encoder_of`: texts are read from scratch, in the tokens that answers are written in."""
        if not kind.is_text:
            return None
        layers = 2 if rows < _SMALL_ROWS else 4
        return {"name": "transformer", "layers": layers, "heads": 4}, (
            f"{layers} layers from scratch, for {rows} rows, in the tokens that answers are written in"
        )

    @property
    def shared_tokenizer(self) -> str | None:
        """See `OutputColumn.shared_tokenizer`."""
        return self.definition if self.beside else None

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer; what is spelt like one of its special tokens is text like any other."""
        tokenizer = Tokenizer.from_str(self.definition)
        tokenizer.encode_special_tokens = True
        return tokenizer

    @cached_property
    def vocabulary(self) -> int:
        """How many tokens there are to choose from."""
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    @property
    def width(self) -> int:
        """A token at each step."""
        return 1

    @property
    def tensors(self) -> tuple[OutputTensor, ...]:
        """What was written, and how likely each token of it was."""
        return OutputTensor(IDS, 1, "step"), OutputTensor(SCORES, 1, "step")

    @property
    def taught(self) -> tuple[OutputTensor, ...]:
        """See `OutputColumn.taught`: how likely each token of the right answer was."""
        return (OutputTensor(GIVEN, 1, "step"),)

    def usable(self, value: Any) -> str | None:
        """None for any text that is not empty."""
        return None if self.said(value) else parse.no_value(value)

    def targets(self, values: Sequence[Any]) -> Targets:
        """Tokens and text of each answer. Raises ValueError for one that is empty."""
        for value in values:
            if reason := self.usable(value):
                raise ValueError(f"{self.name}: {reason}")
        texts = list(map(self.said, values))
        most, first = self.max_tokens, () if self.first is None else (self.first,)
        # An answer that is cut has no end to be learnt.
        rows = [np.array([*first, *encoding.ids, self.end][:most], np.int64) for encoding in self._encoded(texts)]
        # In 16 bits, for batches are filled up with a number below 0.
        written = [np.frombuffer(text.encode(), np.uint8).astype(np.int16) for text in texts]
        parts = {IDS: ragged(rows, np.empty(0, np.int64)), TEXT: ragged(written, np.empty(0, np.int16))}
        return Named(parts)

    def target_steps(self, targets: Targets) -> np.ndarray:
        """See `OutputColumn.target_steps`: the tokens of each answer."""
        return self.ids_of(targets).lengths

    def ids_of(self, targets: Targets) -> Ragged:
        """See `OutputColumn.ids_of`."""
        return _ragged(named(targets)[IDS])

    def judged(self, outputs: Outputs, given: Ragged) -> Outputs:
        """See `OutputColumn.judged`."""
        return Named({**named(outputs), GIVEN: given})

    def _encoded(self, texts: Sequence[str]) -> Any:
        return self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)

    def spelt(self, text: str) -> list[int]:
        """See `OutputColumn.spelt`."""
        return list(self.tokenizer.encode(self.said(text), add_special_tokens=False).ids)

    def text(self, ids: Sequence[int]) -> str:
        """See `OutputColumn.text`."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _texts(self, outputs: Mapping[str, Ragged | np.ndarray]) -> list[str]:
        """What was written of each row, up to the first text that an answer is to stop before (`kept`)."""
        ids = _ragged(outputs[IDS])
        rows = [ids[row].reshape(-1).astype(np.int64).tolist() for row in range(len(ids))]
        texts = self.tokenizer.decode_batch(rows, skip_special_tokens=True)
        kept = np.asarray(outputs[KEPT]).reshape(-1).tolist() if KEPT in outputs else [-1] * len(texts)
        whole = [text if most < 0 else text[:most] for text, most in zip(texts, kept, strict=True)]
        return whole if self.verbatim else [text.strip() for text in whole]

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        """The texts, and as `confidence` the geometric mean of the probabilities of their tokens."""
        parts = named(outputs)
        scores = _ragged(parts[SCORES])
        sure = np.exp(_row_sums(scores) / np.maximum(scores.lengths, 1))
        return {self.name: self._texts(parts), self._word: [round(float(one), DECIMALS) for one in sure]}

    @property
    def _word(self) -> str:
        return "probability" if self.name == "confidence" else "confidence"

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """See `OutputColumn.answer_schema`."""
        return {self.name: {"type": "string"}, self._word: _schemas.SHARE}

    def answered(self, targets: Targets, outputs: Outputs) -> Texts:
        """What was written beside the right texts, and how likely those were, as far as outputs say it."""
        parts = outputs.parts if isinstance(outputs, Named) else {GIVEN: outputs}
        losses, tokens, wrote, stopped = None, None, None, None
        if GIVEN in parts:
            given = _ragged(parts[GIVEN])
            losses, tokens = -_row_sums(given), given.lengths
        if IDS in parts:
            wrote, stopped = self._texts(parts), _last(_ragged(parts[IDS])) == self.end
        return Written(_true(targets), wrote, losses, tokens, stopped)

    def answered_simply(self, targets: Targets, predicted: np.ndarray) -> Texts:
        """Texts, (rows,) objects, beside the right ones."""
        return Written(_true(targets), [str(text) for text in predicted.tolist()])

    def balance(self, values: Sequence[Any]) -> dict[str, float]:
        """How long the answers are, in words, and how many differ."""
        counts = np.array([letters.words(self.said(value)) for value in values])
        figures = {"words": counts.mean(), "most words": counts.max()} if len(counts) else {}
        return {name: round(float(figure), 1) for name, figure in figures.items()} | {
            "different": float(len(set(map(self.said, values))))
        }

    @classmethod
    def first_gate(cls, counts: Mapping[str, float]) -> str:
        """A bound that a poor answer misses."""
        return 'chrf: ">= 40"'

    def save(self, folder: Path) -> None:
        """Write `<key>.json` and `<key>.tokenizer.json`."""
        first = {} if self.first is None else {"first": self.first}
        self.write(folder, {part: getattr(self, part) for part in self.kept} | first)
        files.write(folder / f"{self.key}.tokenizer.json", self.definition)

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        definition = (folder / f"{state['key']}.tokenizer.json").read_text(encoding="utf-8")
        kept = {part: state[part] for part in cls.kept} | {"first": state.get("first")}  # not asked of older bundles
        return cls(state["name"], state["key"], definition, **{**kept, "beside": tuple(state["beside"])})


_SMALL_ROWS = 10_000  # below which a smaller network learns
_OWN_ENDS = (1, 2, 0)  # START, END and PAD of `_answer_tokens`


def _size(texts: Sequence[str]) -> int:
    """How many tokens are learnt well: of few rows fewer, for each should occur often."""
    some = texts[:: -(-len(texts) // _MOST_ROWS_READ) or 1]
    words = sum(map(letters.words, some)) * len(texts) / max(1, len(some))
    return int(np.clip(round(_TOKENS * math.sqrt(words) / 100) * 100, _answer_tokens.FEWEST_PIECES, _MOST))


def _ends(name: str, chosen: Options) -> tuple[int, int, int]:
    """Start, end and padding of a tokenizer that is given; without a start an answer begins after the end."""
    if chosen.end_id is None:
        raise problem(f"column {name!r} (text): tokenizer", "no end_id", "the id of the token that ends an answer")
    start = chosen.end_id if chosen.start_id is None else chosen.start_id
    return start, chosen.end_id, chosen.end_id if chosen.pad_id is None else chosen.pad_id


def _ragged(values: Any) -> Ragged:
    assert isinstance(values, Ragged)
    return values


def _true(targets: Targets) -> list[str]:
    """The right texts."""
    held = _ragged(named(targets)[TEXT])
    return [held[row].astype(np.uint8).tobytes().decode() for row in range(len(held))]


def _last(ids: Ragged) -> np.ndarray:
    """The last token of each row, (rows,); -1 of a row without any."""
    flat = np.append(ids.values.reshape(-1), -1)
    return np.where(ids.lengths > 0, flat[ids.offsets[1:] - 1], -1)


def _row_sums(scores: Ragged) -> np.ndarray:
    """(rows,) float64 sums of one number for each step."""
    row = np.repeat(np.arange(len(scores)), scores.lengths)
    return np.bincount(row, scores.values.reshape(-1).astype(np.float64), minlength=len(scores))
