"""A text that is written by itself: the rows are learnt, and nothing is read but what such a text may begin with.

A spec calls it `text` and names no inputs. Rows are whole texts, or blocks of a long one, which have no end of their
own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from trimtab.columns import Named, Outputs, Ragged, Targets, named, ragged, written_text
from trimtab.columns.written_text import IDS, TEXT, WrittenTextColumn
from trimtab.metrics import Continued, Kind
from trimtab.values.unknown import unknown_id

_LIMIT = 2048  # tokens of a text, where the spec says nothing
_TEMPERATURE = 0.8


class Options(written_text.Options):
    """What may be set on a text that is learnt by itself."""

    beams: int = Field(1, ge=1, le=64, description="Texts that are followed at once; the likeliest is given.")
    ends: bool = Field(
        True, description="Whether the end of a row is learnt. Default: but for blocks of a long text, which have none."
    )
    temperature: float = Field(
        _TEMPERATURE, ge=0, description="How evenly tokens are drawn; 0: the likeliest one. Default: 0.8; with beams 0."
    )
    top_k: int = Field(0, ge=0, description="Tokens are drawn among so many of the likeliest; 0: among all.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Tokens are drawn among the likeliest that together have this probability."
    )
    seed: int = Field(0, ge=0, description="Of what is drawn.")


@dataclass(frozen=True)
class ContinuedTextColumn(WrittenTextColumn):
    """A text, written token by token behind its beginning; see `WrittenTextColumn`."""

    type: ClassVar[str] = "continued_text"
    called: ClassVar[str | None] = "text"
    answers: ClassVar[Kind] = Continued
    headline: ClassVar[str] = "bits_per_byte"
    chooses: ClassVar[str | None] = None
    reads: ClassVar[str | None] = "beginning"
    alone: ClassVar[str | None] = None
    open_ended: ClassVar[bool] = True
    verbatim: ClassVar[bool] = True
    baselines: ClassVar[str | None] = "ngrams"
    recipe: ClassVar[str | None] = "rows"
    takes: ClassVar[Any] = Options
    limit: ClassVar[int] = _LIMIT
    kept: ClassVar[tuple[str, ...]] = (*WrittenTextColumn.kept, "ends")
    ends: bool = True  # whether what ends a text is learnt

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`."""
        return replace(super().fit(name, key, values, options), ends=bool(options.get("ends", True)))

    @classmethod
    def way(cls, chosen: Any) -> dict[str, Any]:
        """See `WrittenTextColumn.way`: texts are drawn, unless several are followed."""
        drawn = {part: getattr(chosen, part) for part in ("top_k", "top_p", "seed")}
        temperature = chosen.temperature if chosen.beams == 1 else 0.0
        return super().way(chosen) | drawn | {"temperature": temperature}

    @property
    def unwritten(self) -> tuple[int, ...]:
        """Tokens that are never written: what stands for letters that are not known."""
        unknown = unknown_id(self.tokenizer)
        return () if unknown is None else (unknown,)

    def joined_with(self, values: Sequence[Any], texts: Mapping[str, Sequence[Any]]) -> Self:
        """See `OutputColumn.joined_with`: a beginning is read in the tokens of what follows."""
        return replace(self, beside=tuple(texts))

    @property
    def shared_options(self) -> Mapping[str, Any]:
        """See `OutputColumn.shared_options`: half of what is seen is left for what follows."""
        return {"limit": max(1, self.max_tokens // 2)}

    def targets(self, values: Sequence[Any]) -> Targets:
        """See `WrittenTextColumn.targets`; of a text that is too long what is read is the whole of it."""
        found = named(super().targets(values))
        ids, texts = found[IDS], found[TEXT]
        assert isinstance(ids, Ragged)
        assert isinstance(texts, Ragged)
        rows = [ids[row] for row in range(len(ids))]
        own = [texts[row] for row in range(len(texts))]
        for row, tokens in enumerate(rows):
            if tokens[-1] != self.end:
                own[row] = np.frombuffer(self.text(tokens.tolist()).encode(), np.uint8).astype(np.int16)
            elif not self.ends:
                rows[row] = tokens[:-1]
        parts = {IDS: ragged(rows, np.empty(0, np.int64)), TEXT: ragged(own, np.empty(0, np.int16))}
        return Named(parts)

    def answered(self, targets: Targets, outputs: Outputs) -> Continued:
        """How likely the texts were, as far as outputs say it; what was written has no right one beside it."""
        found = super().answered(targets, outputs)
        return Continued(found.true, None, found.losses, found.tokens)

    def answered_simply(self, targets: Targets, predicted: np.ndarray) -> Continued:
        """The losses of the right texts in nats, (rows,)."""
        return Continued(super().answered(targets, Named({})).true, None, predicted)

    @classmethod
    def first_gate(cls, counts: Mapping[str, float]) -> str:
        """A bound that a poor network misses."""
        return 'bits_per_byte: "<= 2.5"'
