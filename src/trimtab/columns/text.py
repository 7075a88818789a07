"""Text becomes token ids, by the tokenizer of the pretrained encoder that reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field
from tokenizers import Encoding, Tokenizer

from trimtab.columns import Encoded, InputColumn, Ragged, _options, _state, parse
from trimtab.errors import problem

_PAD_TOKENS = ("[PAD]", "<pad>", "<|padding|>", "<|endoftext|>")
# No tokenizer needs this many characters for a token of real text: what lies beyond could only be cut off anyway, and
# would make one absurdly long value cost seconds.
_MOST_CHARACTERS_PER_TOKEN = 64
_FIT_ROWS = 20_000  # rows whose lengths are looked at
_ENCODE_ROWS = 10_000  # rows handed to the tokenizer at a time: bounds the memory of its results


class Options(_options.Options):
    """What may be set on a text column."""

    tokenizer: str | Path = Field(description="Path of the encoder's tokenizer.json.")
    max_tokens: int | None = Field(
        None, ge=1, description="A whole number: tokens kept of each row, special tokens counted. Default: by the data."
    )
    limit: int = Field(512, ge=1, description="The longest input that the encoder takes.")
    pad_id: int | None = Field(None, ge=0, description="Token that fills up a batch. Default: the tokenizer's own.")


@dataclass(frozen=True)
class TextColumn(InputColumn):
    """Token ids of a text; tensors `<key>_ids` and `<key>_mask`, both (rows, steps) int64."""

    type: ClassVar[str] = "text"
    imputes: ClassVar[bool] = False
    padded: ClassVar[tuple[tuple[str, ...], ...]] = (("ids", "mask"), ("words", "word_mask"))
    name: str
    key: str
    max_tokens: int
    pad_id: int
    definition: str = field(repr=False)  # the text of tokenizer.json, padding and truncation off
    words: bool = False  # whether a value is a list of words, each of which becomes one state

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`; the default `max_tokens` covers 99.5% of the rows without cutting them."""
        chosen = _options.check(Options, name, cls.type, options)
        tokenizer = _read_tokenizer(Path(chosen.tokenizer), name)
        widest = cls(name, key, chosen.limit, _pad_id(tokenizer, chosen.pad_id), tokenizer)
        special = widest.tokenizer.num_special_tokens_to_add(is_pair=False)
        if chosen.max_tokens is not None and not special < chosen.max_tokens <= chosen.limit:
            where, allowed = f"column {name!r} (text): max_tokens", f"{special + 1} to {chosen.limit}"
            raise problem(where, f"found {chosen.max_tokens}", f"{allowed} ({special} go to special tokens)")
        most = chosen.max_tokens or _covering_length(widest, values, chosen.limit)
        return cls(name, key, most, widest.pad_id, tokenizer)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, set to cut at `max_tokens`; special tokens are kept."""
        tokenizer = Tokenizer.from_str(self.definition)
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer

    @property
    def vocabulary(self) -> int:
        """Number of token ids, added tokens counted."""
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(self, values: Sequence[Any]) -> Ragged:
        """Token ids of each row; a row always has at least one."""
        most = self.max_tokens * _MOST_CHARACTERS_PER_TOKEN
        texts = [_writable(parse.text(value)[:most]) for value in values]
        starts = range(0, len(texts), _ENCODE_ROWS)
        parts = [self._ids(self.tokenizer.encode_batch_fast(texts[start : start + _ENCODE_ROWS])) for start in starts]
        lengths = np.concatenate([[0], *(part.lengths for part in parts)])
        ids = np.concatenate([np.empty(0, np.int64), *(part.values for part in parts)])
        return Ragged(ids, np.cumsum(lengths, dtype=np.int64))

    def _ids(self, encodings: Sequence[Encoding]) -> Ragged:
        rows = [encoding.ids or [self.pad_id] for encoding in encodings]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        ids = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))
        return Ragged(ids, np.concatenate([[0], np.cumsum(lengths)]))

    def steps(self, encoded: Encoded) -> np.ndarray:
        """Tokens of each row, (rows,)."""
        return _ragged(encoded).lengths

    def batch(self, encoded: Encoded, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Ids and mask of the given rows, padded on the right to the longest of them."""
        ragged = _ragged(encoded)
        lengths = ragged.lengths[rows]
        position = np.arange(int(lengths.max(initial=1)))
        mask = position < lengths[:, None]
        source = np.where(mask, ragged.offsets[:-1][rows][:, None] + position, 0)
        ids = np.where(mask, ragged.values[source], self.pad_id) if len(rows) else np.empty(mask.shape, np.int64)
        return {f"{self.key}_ids": ids, f"{self.key}_mask": mask.astype(np.int64)}

    def save(self, folder: Path) -> None:
        """Write `<key>.json` and `<key>.tokenizer.json`."""
        _state.write(folder, self, {"max_tokens": self.max_tokens, "pad_id": self.pad_id})
        (folder / f"{self.key}.tokenizer.json").write_text(self.definition, encoding="utf-8", newline="\n")

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        definition = (folder / f"{state['key']}.tokenizer.json").read_text(encoding="utf-8")
        return cls(state["name"], state["key"], state["max_tokens"], state["pad_id"], definition)


def _read_tokenizer(path: Path, column: str) -> str:
    """The definition of a tokenizer that works, padding and truncation off."""
    where = f"column {column!r} (text): tokenizer"
    allowed = "a tokenizer.json as the tokenizers library writes it"
    try:
        definition = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise problem(where, f"no such file: {path}", allowed) from None
    except (OSError, ValueError) as error:
        raise problem(where, f"{path} cannot be read ({error})", allowed) from None
    text = json.dumps({**definition, "padding": None, "truncation": None}, ensure_ascii=False)
    try:
        Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception
        raise problem(where, f"{path} is not a tokenizer ({error})", allowed) from None
    return text


def _pad_id(definition: str, chosen: int | None) -> int:
    if chosen is not None:
        return chosen
    tokenizer = Tokenizer.from_str(definition)
    known = (tokenizer.token_to_id(token) for token in _PAD_TOKENS)
    return next((token for token in known if token is not None), 0)


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


def _ragged(encoded: Encoded) -> Ragged:
    assert isinstance(encoded, Ragged)
    return encoded
