"""Text becomes token ids, by the tokenizer of the pretrained encoder that reads them.

Without one, a tokenizer is learnt from the training rows.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from pydantic import Field
from tokenizers import Encoding, Tokenizer

from trimtab import files, part_options
from trimtab.columns import (
    Encoded,
    InputColumn,
    InputPolicy,
    Ragged,
    Reading,
    Worded,
    _schemas,
    _sketches,
    _wordpieces,
    ragged,
)
from trimtab.columns._token_ids import end_to_end, first_tokens, padded_ids
from trimtab.columns._tokenizer import opening_behind, padding_id, read_definition, with_spaces
from trimtab.columns._wordwise import Wordwise
from trimtab.errors import problem
from trimtab.values import letters, list_cells, many, parse
from trimtab.values.problems import Problem, written
from trimtab.values.unknown import unknown_id

# No tokenizer needs this many characters for a token of real text: what lies beyond could only be cut off anyway, and
# would make one absurdly long value cost seconds.
_MOST_CHARACTERS_PER_TOKEN = 64
_FIT_ROWS = 20_000  # rows whose lengths are looked at
_LEARN_ROWS = 100_000  # rows that a tokenizer is learnt from
_LEAST_VOCABULARY, _VOCABULARY, _MOST_VOCABULARY = 100, 8_000, 200_000
_MOST_CHARACTERS_PER_WORD = 512  # of a list of words: the rest of a longer one is not read
_ENCODE_ROWS = 10_000  # rows handed to the tokenizer at a time: bounds the memory of its results

Row = TypeVar("Row")


class Options(part_options.Options):
    """What may be set on a text column."""

    tokenizer: str | Path | None = Field(
        None, description="Path of the encoder's tokenizer.json. Default: one is learnt from the training rows."
    )
    vocabulary: int | None = Field(
        None,
        ge=_LEAST_VOCABULARY,
        le=_MOST_VOCABULARY,
        description="Most tokens that a tokenizer learns, 100 to 200,000. Default: 8,000, or as many as the rows give.",
    )
    max_tokens: int | None = Field(
        None, ge=1, description="A whole number: tokens kept of each row, special tokens counted. Default: by the data."
    )
    limit: int = Field(512, ge=1, description="The longest input that the encoder takes.")
    pad_id: int | None = Field(None, ge=0, description="Token that fills up a batch. Default: the tokenizer's own.")
    words: bool = Field(False, description="Whether a value is a list of words. Default: where the output is tags.")
    follows: bool = Field(False, description="Whether it is read behind another text. Filled in for texts of one row.")


_SCRIPT_ROWS, _SCRIPT_CHARACTERS = 1000, 400  # texts whose letters are looked at, and characters of each


@dataclass(frozen=True)
class TextColumn(InputColumn):
    """Token ids of a text; tensors `<key>_ids` and `<key>_mask`, both (rows, steps) int64.

    Of lists of words also `<key>_words`, the step of each word's first token, and `<key>_word_mask`, 0 for a word that
    has none because it stands behind the cut: both (rows, words) int64.
    """

    type: ClassVar[str] = "text"
    copied: ClassVar[bool] = True
    holds_values: ClassVar[bool] = True
    sliced: ClassVar[Literal["names", "ranges", "lengths"] | None] = "lengths"
    simply: ClassVar[str | None] = "tf-idf"
    allowed: ClassVar[str] = "a text"
    imputes: ClassVar[bool] = False
    is_text: ClassVar[bool] = True
    answered_as: ClassVar[str | None] = "written_text"
    silent: ClassVar[Literal["words", "empty", "never"]] = "empty"
    sequence: ClassVar[Literal["ids", "frames"] | None] = "ids"
    padded: ClassVar[tuple[tuple[str, ...], ...]] = (("ids", "mask"), ("words", "word_mask"))
    name: str
    key: str
    max_tokens: int
    pad_id: int
    definition: str = field(repr=False)  # the text of tokenizer.json, padding and truncation off
    words: bool = False  # whether a value is a list of words, each of which becomes one state
    dropped: int = 0  # special tokens at the beginning that a text read behind another one does not have
    opening: tuple[int, ...] = ()  # and those that it has in their place
    most_characters: float = math.inf  # of a value that is read: see `InputPolicy`

    @classmethod
    def figures(cls, values: Sequence[Any]) -> dict[str, float]:
        """How many words the values have, and of which share of their letters an English encoder knows little."""
        counts = np.array([letters.words(parse.text(value)) for value in values])
        figures = {"mean": counts.mean(), "p95": np.quantile(counts, 0.95), "most": counts.max()}
        foreign = letters.foreign_share(parse.text(value)[:_SCRIPT_CHARACTERS] for value in values[:_SCRIPT_ROWS])
        told = {"letters_not_latin": round(foreign, 2)}
        return {f"words_{name}": round(float(figure), 1) for name, figure in figures.items()} | told

    @classmethod
    def in_words(cls, figures: Mapping[str, float]) -> str:
        """`95% have at most 40, the longest 112`: words."""
        return f"95% have at most {figures['words_p95']:g}, the longest {figures['words_most']:g}"

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`; the default `max_tokens` covers 99.5% of the rows without cutting them."""
        chosen = part_options.check(Options, f"column {name!r} ({cls.type})", options)
        if chosen.tokenizer:
            tokenizer = read_definition(Path(chosen.tokenizer), name)
        else:
            sample = _whole_texts(values, chosen.words, chosen.limit)
            tokenizer = _wordpieces.train(sample, chosen.vocabulary or _VOCABULARY)
        if chosen.tokenizer and chosen.vocabulary:
            found = f"found {chosen.vocabulary}, but the tokenizer of a pretrained encoder is used"
            raise problem(f"column {name!r} (text): vocabulary", found, do="leave it out")
        if chosen.words:
            tokenizer = with_spaces(tokenizer)
        opening = opening_behind(tokenizer) if chosen.follows else (0, ())
        widest = cls(name, key, chosen.limit, padding_id(tokenizer, chosen.pad_id), tokenizer, chosen.words, *opening)
        special = widest.tokenizer.num_special_tokens_to_add(is_pair=False)
        if chosen.max_tokens is not None and not special < chosen.max_tokens <= chosen.limit:
            where, allowed = f"column {name!r} (text): max_tokens", f"{special + 1} to {chosen.limit}"
            raise problem(where, f"found {chosen.max_tokens}", f"{allowed} ({special} go to special tokens)")
        most = chosen.max_tokens or _covering_length(widest, values, chosen.limit)
        return replace(widest, max_tokens=most)

    def extended(self, values: Sequence[Any], first: Sequence[str] = ()) -> Self:
        """See `Column.extended`: words and letters that a tokenizer which was learnt from rows does not know."""
        if not _wordpieces.is_learnt(self.definition):
            return self
        definition = _wordpieces.extended(self.definition, _whole_texts(values, self.words, self.max_tokens))
        return self if definition == self.definition else replace(self, definition=definition)

    def places(self, before: Self) -> tuple[tuple[int, ...], ...]:
        """See `Column.places`: a new token begins as the mean of those that it was read as."""
        known = before.vocabulary
        texts = [
            _wordpieces.text_of(self.tokenizer.id_to_token(token) or "") for token in range(known, self.vocabulary)
        ]
        read = before.tokenizer.encode_batch(texts, add_special_tokens=False)
        unknown = (before._unknown_id or 0,)
        return (*((token,) for token in range(known)), *(tuple(one.ids) or unknown for one in read))

    @property
    def step_size(self) -> int:
        """Number of ids."""
        return self.vocabulary

    @property
    def longest(self) -> int:
        """The tokens that are kept."""
        return self.max_tokens

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, set to cut at `max_tokens`; special tokens are kept."""
        tokenizer = Tokenizer.from_str(self.definition)
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer

    @cached_property
    def _wordwise(self) -> Wordwise | None:
        return Wordwise.of(self.definition, self.tokenizer, self.max_tokens, self.dropped, self.opening)

    @property
    def vocabulary(self) -> int:
        """Number of token ids, added tokens counted."""
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    def surroundings(self) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The special tokens before and behind every text; None where the tokenizer does not tell."""
        encoding = self.tokenizer.encode(" ".join(string.ascii_lowercase))
        own = [position for position, part in enumerate(encoding.sequence_ids) if part is not None]
        if not own:
            return None
        return (*self.opening, *encoding.ids[self.dropped : own[0]]), tuple(encoding.ids[own[-1] + 1 :])

    def invented(self, random: np.random.Generator) -> Any:
        """Tokens by chance, of those that the vocabulary has."""
        tokens = [self.tokenizer.id_to_token(int(token)) for token in random.integers(0, self.vocabulary, 12)]
        return tokens if self.words else " ".join(filter(None, tokens))

    def accepting(self, policy: InputPolicy) -> Self:
        """The column, reading no text that is longer than a policy lets in."""
        # The column itself where nothing changes: it keeps its tokenizer.
        same = policy.characters == self.most_characters
        return self if same else replace(self, most_characters=policy.characters)

    def value_schema(self) -> dict[str, Any]:
        """See `InputColumn.value_schema`."""
        if self.words:
            words = {"type": "array", "items": _schemas.SCALAR}
            return {"description": "a list of words", "anyOf": [words, _schemas.SCALAR]}
        texts = ["string", "number", "boolean", "null", "array", "object"]
        return {"description": f"{self.allowed}; anything else is read as it is written", "type": texts}

    def encode(self, values: Sequence[Any]) -> Ragged:
        """Token ids of each row; a row always has at least one. `Worded` for lists of words."""
        return self._encode(self._let_in(values)[0])

    def beginning(self, value: Any) -> str:
        """The text of a value as far as any of it could be read, lone surrogates replaced."""
        return _writable(parse.text(value)[: self.max_tokens * _MOST_CHARACTERS_PER_TOKEN])

    def _let_in(self, values: Sequence[Any]) -> tuple[Sequence[Any], list[Problem]]:
        """The values, those that are too long left out, and which these were."""
        if math.isinf(self.most_characters):
            return values, []
        lengths = list(map(_characters, values))
        kept = [v if length <= self.most_characters else None for v, length in zip(values, lengths, strict=True)]
        said = [f"{length:,} characters: more than {self.most_characters:,.0f}" for length in lengths]
        too_long = [row for row, length in enumerate(lengths) if length > self.most_characters]
        return kept, [Problem(self.name, row, "unreadable", said[row]) for row in too_long]

    def _encode(self, values: Sequence[Any]) -> Ragged:
        if self.words:
            return self._encode_words([list_cells.words(value) for value in values])
        most = self.max_tokens * _MOST_CHARACTERS_PER_TOKEN
        texts = [_writable(text[:most]) for text in many.read_as_text(values)]
        if self._wordwise:
            return Ragged(*self._wordwise.encode(texts, self.pad_id))
        parts = [self._ids(self.tokenizer.encode_batch_fast(part)) for part in _portions(texts)]
        return end_to_end(parts)

    def read(self, values: Sequence[Any]) -> Reading:
        """See `InputColumn.read`; also texts that are cut, and those of mostly unknown tokens."""
        values, problems = self._let_in(values)
        encoded = self._encode(values)
        lengths = encoded.lengths
        strange = [row for row, value in enumerate(values) if type(value) is not str and value is not None]
        problems += self._no_texts(values, strange)
        if lengths.max(initial=0) >= self.max_tokens:
            problems += self._cut(values, lengths)
        if self._unknown_id is not None and (encoded.values == self._unknown_id).any():
            problems += self._unknown(values, encoded, lengths)
        return Reading(encoded, tuple(problems))

    def read_narrow(self, values: Sequence[Any]) -> Reading:
        """See `InputColumn.read_narrow`."""
        reading = self.read(values)
        encoded = _ragged(reading.encoded)
        return replace(reading, encoded=replace(encoded, values=encoded.values.astype(np.int32)))

    def _no_texts(self, values: Sequence[Any], rows: Sequence[int]) -> Iterator[Problem]:
        lists = (list, tuple, np.ndarray) if self.words else (list, tuple, dict)
        for row in rows:
            value = values[row]
            if parse.is_scalar(value) or isinstance(value, lists):
                continue
            if not isinstance(value, (bytes, bytearray)):
                if not parse.is_missing(value):
                    yield Problem(self.name, row, "unreadable", f"{written(value)} is no text", never=True)
            elif "\N{REPLACEMENT CHARACTER}" in parse.text(value):
                yield Problem(self.name, row, "rewritten", "bytes that are not all UTF-8", lost=0.0)

    def _cut(self, values: Sequence[Any], lengths: np.ndarray) -> Iterator[Problem]:
        """Rows as long as a row can be are counted again, without an end."""
        longest = np.flatnonzero(lengths >= self.max_tokens).tolist()
        for row, tokens in zip(longest, self._counted([values[row] for row in longest]), strict=True):
            if tokens > self.max_tokens:
                told = f"{tokens:,} tokens, of which {self.max_tokens:,} are read"
                yield Problem(self.name, row, "cut", told, lost=1 - self.max_tokens / tokens)

    def _counted(self, values: Sequence[Any]) -> list[int]:
        """How many tokens values have; of what is far too long the beginning is counted."""
        if self.words:
            rows: list[Any] = [list_cells.words(value) for value in values]
            heads: list[Any] = [
                [_writable(word[:_MOST_CHARACTERS_PER_WORD]) for word in row[: self.max_tokens]] for row in rows
            ]
        else:
            rows = [parse.text(value) for value in values]
            heads = [_writable(text[: self.max_tokens * _MOST_CHARACTERS_PER_TOKEN]) for text in rows]
        if self._wordwise and not self.words:
            found = [self._wordwise.length(head) for head in heads]
        else:
            encodings = self.tokenizer.encode_batch(heads, is_pretokenized=self.words)
            found = [self._whole(encoding) for encoding in encodings]
        return [round(count * len(row) / len(head)) for count, row, head in zip(found, rows, heads, strict=True)]

    def _whole(self, encoding: Encoding) -> int:
        """The tokens of a text with those that were cut off."""
        special = self.tokenizer.num_special_tokens_to_add(is_pair=False)
        kept = len(self.opening) - self.dropped + len(encoding.ids)
        return kept + sum(len(rest.ids) - special for rest in encoding.overflowing)

    def _unknown(self, values: Sequence[Any], encoded: Ragged, lengths: np.ndarray) -> Iterator[Problem]:
        """Rows of which at least half of the tokens, those that frame every text aside, are the unknown one."""
        unknown = encoded.values == self._unknown_id
        counts = np.add.reduceat(unknown, encoded.offsets[:-1], dtype=np.int64)
        own = lengths - self._frame
        for row in np.flatnonzero((counts > 0) & (2 * counts >= own)).tolist():
            told = f"{counts[row]} of {own[row]} tokens are unknown in {written(values[row])}"
            yield Problem(self.name, row, "unknown", told, lost=counts[row] / max(1, own[row]))

    @cached_property
    def _unknown_id(self) -> int | None:
        return unknown_id(self.tokenizer)

    @cached_property
    def _frame(self) -> int:
        """Special tokens of every row."""
        return sum(map(len, self.surroundings() or ()))

    def _encode_words(self, rows: Sequence[list[str]]) -> Worded:
        """Words behind the first `max_tokens`, of which none could be kept, are not even looked at."""
        looked_at = [[_writable(word[:_MOST_CHARACTERS_PER_WORD]) for word in row[: self.max_tokens]] for row in rows]
        ids, firsts = [], []
        for part in _portions(looked_at):
            encodings = self.tokenizer.encode_batch(part, is_pretokenized=True)
            ids.append(self._ids(encodings))
            firsts += [encoding.word_ids for encoding in encodings]
        words = [first_tokens(found, len(row)) for found, row in zip(firsts, rows, strict=True)]
        tokens = end_to_end(ids)
        return Worded(tokens.values, tokens.offsets, ragged(words, np.zeros(0, np.int64)))

    def _ids(self, encodings: Sequence[Encoding]) -> Ragged:
        begin, opening = self.dropped, list(self.opening)
        rows = [opening + encoding.ids[begin:] or [self.pad_id] for encoding in encodings]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        ids = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))
        return Ragged(ids, np.concatenate([[0], np.cumsum(lengths)]))

    def sketched(self, values: Sequence[Any], encoded: Encoded) -> dict[str, np.ndarray]:
        """Length, counts of tokens, and the share of tokens that are unknown, those that frame every text aside."""
        rows = _ragged(encoded)
        found = _sketches.sketched(rows)
        if self._unknown_id is None:
            return found
        unknown = _sketches.row_sums(rows.values == self._unknown_id, rows)
        return {**found, "unknown": unknown / np.maximum(rows.lengths - self._frame, 1)}

    def sketch_word(self, id: int) -> str:
        """The token."""
        return str(self.tokenizer.id_to_token(id))

    def steps(self, encoded: Encoded) -> np.ndarray:
        """Tokens of each row, (rows,)."""
        return _ragged(encoded).lengths

    def positions(self, encoded: Encoded) -> np.ndarray:
        """Words of each row, (rows,), where a value is a list of them; else tokens."""
        return encoded.words.lengths if isinstance(encoded, Worded) else self.steps(encoded)

    def batch(self, encoded: Encoded, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Ids and mask of the given rows, padded on the right to the longest of them."""
        ids, mask = padded_ids(_ragged(encoded), rows, self.pad_id)
        tensors = {f"{self.key}_ids": ids, f"{self.key}_mask": mask.astype(np.int64)}
        if not isinstance(encoded, Worded):
            return tensors
        words, _ = padded_ids(encoded.words, rows, -1)
        read = {f"{self.key}_words": words.clip(min=0), f"{self.key}_word_mask": (words >= 0).astype(np.int64)}
        return tensors | read

    def save(self, folder: Path) -> None:
        """Write `<key>.json` and `<key>.tokenizer.json`."""
        kept = ("max_tokens", "pad_id", "words", "dropped", "opening")
        self.write(folder, {part: getattr(self, part) for part in kept})
        files.write(folder / f"{self.key}.tokenizer.json", self.definition)

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        definition = (folder / f"{state['key']}.tokenizer.json").read_text(encoding="utf-8")
        return cls(
            state["name"],
            state["key"],
            state["max_tokens"],
            state["pad_id"],
            definition,
            state.get("words", False),
            state.get("dropped", 0),
            tuple(state.get("opening", ())),
        )


def _whole_texts(values: Sequence[Any], words: bool, tokens: int) -> list[str]:
    """The texts of a spread sample of rows, none much longer than so many tokens; lists of words are joined."""
    most = tokens * _MOST_CHARACTERS_PER_TOKEN
    sample = values[:: -(-len(values) // _LEARN_ROWS) or 1]
    whole = (" ".join(list_cells.words(value)) if words else parse.text(value) for value in sample)
    return [_writable(text[:most]) for text in whole]


def _characters(value: Any) -> int:
    """Of a text, or of all words of a list; anything else is short."""
    if isinstance(value, (list, tuple)):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, (str, bytes, bytearray)) else 0


def _covering_length(widest: TextColumn, values: Sequence[Any], limit: int) -> int:
    """The 99.5% quantile of the lengths, rounded up to a multiple of 8."""
    looked_at = values[:: max(1, len(values) // _FIT_ROWS)]
    lengths = widest.encode(looked_at).lengths
    if not len(lengths):
        return limit
    covering = int(np.quantile(lengths, 0.995, method="higher"))
    return min(limit, max(8, -(-covering // 8) * 8))


def _writable(text: str) -> str:
    """The text with lone surrogates (possible in JSON, impossible in UTF-8) replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _portions(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    return (rows[start : start + _ENCODE_ROWS] for start in range(0, len(rows), _ENCODE_ROWS))


def _ragged(encoded: Encoded) -> Ragged:
    assert isinstance(encoded, Ragged)
    return encoded
