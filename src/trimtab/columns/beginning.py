"""The beginning of a text that is written on: what may be said where rows themselves are learnt, and nothing is read.

It is optional: the data need not have it, and a row without one begins as the rows of training did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field
from tokenizers import Tokenizer

from trimtab import files, part_options
from trimtab.columns import Encoded, InputColumn, InputPolicy, Ragged, Reading, _schemas, ragged
from trimtab.columns._token_ids import padded_ids
from trimtab.columns._tokenizer import read_definition
from trimtab.errors import problem
from trimtab.values import parse
from trimtab.values.problems import Problem, written

_CHARACTERS = 64  # of a token, at most: of a far longer text only the end is looked at
_SHARE_ASKED, _MOST_ASKED = 0.25, 200  # of a text that is known: a share of its letters, and how many at most


class Options(part_options.Options):
    """What may be set on a beginning."""

    tokenizer: str | Path | None = Field(
        None, description="Path of the tokenizer.json that texts are written by. Filled in."
    )
    pad_id: int = Field(0, ge=0, description="Token that fills up a batch. Filled in.")
    limit: int = Field(512, ge=1, description="Most tokens of a beginning. Filled in: half of what is seen.")
    max_tokens: int | None = Field(None, ge=1, description="Tokens that are read of a beginning, its last ones.")


@dataclass(frozen=True)
class BeginningColumn(InputColumn):
    """Token ids of what an answer goes on from; tensors `<key>_ids` and `<key>_mask`, both (rows, tokens) int64.

    Of a text that is too long the end is read.
    """

    type: ClassVar[str] = "beginning"
    begins: ClassVar[bool] = True
    based_as: ClassVar[str | None] = "text"
    copied: ClassVar[bool] = True
    silent: ClassVar[Literal["words", "empty", "never"]] = "never"
    allowed: ClassVar[str] = "a text that is written on, or nothing"
    padded: ClassVar[tuple[tuple[str, ...], ...]] = (("ids", "mask"),)
    name: str
    key: str
    max_tokens: int
    pad_id: int
    definition: str = field(repr=False)  # the text of tokenizer.json
    most_characters: float = float("inf")

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`. Raises TrimtabError where nothing is written on."""
        chosen = part_options.check(Options, f"column {name!r} ({cls.type})", options)
        if chosen.tokenizer is None:
            found = "a beginning, but the output is no text that is learnt by itself"
            raise problem(f"inputs.{name}", found, do="inputs: {}, and output: {column: text}")
        most = min(chosen.limit, chosen.max_tokens or chosen.limit)
        return cls(name, key, most, chosen.pad_id, read_definition(Path(chosen.tokenizer), name))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer; what is spelt like one of its special tokens is text like any other."""
        tokenizer = Tokenizer.from_str(self.definition)
        tokenizer.encode_special_tokens = True
        return tokenizer

    def as_asked(self, value: Any, answer: Any) -> Any:
        """See `InputColumn.as_asked`: the first words of the text that is known, where the data have no beginnings."""
        if not parse.is_missing(value) or answer is None:
            return value
        text = _text(answer)
        most = min(_MOST_ASKED, round(_SHARE_ASKED * len(text)))
        return text[: max(text.rfind(" ", 0, most), 0)]

    def accepting(self, policy: InputPolicy) -> Self:
        """The column, reading no text that is longer than a policy lets in."""
        same = policy.characters == self.most_characters
        return self if same else replace(self, most_characters=policy.characters)

    def value_schema(self) -> dict[str, Any]:
        """See `InputColumn.value_schema`."""
        return {"description": self.allowed, **_schemas.SCALAR}

    def encode(self, values: Sequence[Any]) -> Ragged:
        """The last tokens of each text; none of a missing one."""
        texts = [_text(value)[-_CHARACTERS * self.max_tokens :] for value in values]
        found = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return ragged([np.array(one.ids[-self.max_tokens :], np.int64) for one in found], np.zeros(0, np.int64))

    def read(self, values: Sequence[Any]) -> Reading:
        """See `InputColumn.read`: what is no text, and texts that a policy does not let in, or that are cut."""
        problems, kept = [], list(values)
        for row, value in enumerate(values):
            if isinstance(value, (list, tuple, dict)):
                problems.append(Problem(self.name, row, "unreadable", f"{written(value)} is no text", never=True))
                kept[row] = None
            elif len(_text(value)) > self.most_characters:
                told = f"{len(_text(value)):,} characters: more than {self.most_characters:,.0f}"
                problems.append(Problem(self.name, row, "unreadable", told))
                kept[row] = None
        encoded = self.encode(kept)
        for row in np.flatnonzero(encoded.lengths == self.max_tokens).tolist():
            tokens = len(self.tokenizer.encode(_text(kept[row]), add_special_tokens=False).ids)
            if tokens > self.max_tokens:
                told = f"{tokens:,} tokens, of which the last {self.max_tokens:,} are read"
                problems.append(Problem(self.name, row, "cut", told, lost=1 - self.max_tokens / tokens))
        return Reading(encoded, tuple(problems))

    def steps(self, encoded: Encoded) -> np.ndarray:
        """Tokens of each row and the one before them, (rows,)."""
        assert isinstance(encoded, Ragged)
        return encoded.lengths + 1

    def sketched(self, values: Sequence[Any], encoded: Encoded) -> dict[str, np.ndarray]:
        """Nothing: rows of training have no beginnings to hold others against."""
        return {}

    def batch(self, encoded: Encoded, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Ids and mask of the given rows, padded on the right to the longest of them, one token at least."""
        assert isinstance(encoded, Ragged)
        ids, mask = padded_ids(encoded, rows, self.pad_id)
        return {f"{self.key}_ids": ids, f"{self.key}_mask": mask.astype(np.int64)}

    def save(self, folder: Path) -> None:
        """Write `<key>.json` and `<key>.tokenizer.json`."""
        self.write(folder, {"max_tokens": self.max_tokens, "pad_id": self.pad_id})
        files.write(folder / f"{self.key}.tokenizer.json", self.definition)

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        definition = (folder / f"{state['key']}.tokenizer.json").read_text(encoding="utf-8")
        return cls(state["name"], state["key"], state["max_tokens"], state["pad_id"], definition)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else parse.text(value)  # white space may begin a text, too
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
