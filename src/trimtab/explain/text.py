"""The words of a text, each left out with the white space behind it; only of what the network reads."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.columns import InputColumn
from trimtab.columns.text import TextColumn
from trimtab.explain import Parts, Path, Unit, grouped, whole
from trimtab.values.typing_errors import WORDS


def parts(column: InputColumn, value: Any, most: int, seen: Mapping[str, np.ndarray]) -> Parts:
    """A unit for each word, or for some neighbouring words of a long text; none of an empty one."""
    assert isinstance(column, TextColumn)
    if column.words:
        return whole(column, value, None)
    text = column.beginning(value)
    read = [end for _, end in column.tokenizer.encode(text).offsets]
    if len(read) >= column.max_tokens:  # else a word that is left out would bring another one in
        text = text[: max(read, default=0)]
    spans = [found.span() for found in WORDS.finditer(text) if not found.group().isspace()]
    groups = [(spans[first][0], spans[last][1]) for first, last in grouped(len(spans), most)]
    ends = [*(start for start, _ in groups[1:]), len(text)]
    pieces = [text[start:end] for (start, _), end in zip(groups, ends, strict=True)] if groups else []
    units = []
    for start, end in groups:
        words = " ".join(text[start:end].split())
        plain = text[start:end].strip(string.punctuation).casefold()
        units.append(Unit(column.name, words, (start, end), "" if any(map(str.isspace, plain)) else plain))

    def of(kept: np.ndarray) -> str:
        return "".join(piece for piece, stays in zip(pieces, kept, strict=True) if stays).strip()

    return Parts(tuple(units), of)


def path(column: InputColumn, value: Any, parts: Parts) -> Path:
    """The vectors of its tokens, from that of padding; what frames every text stays."""
    assert isinstance(column, TextColumn)
    ids = column.encode([value])[0]
    ends = [end for _, end in column.tokenizer.encode(column.beginning(value)).offsets]
    own = np.array([*[0] * len(column.opening), *ends[column.dropped :]])
    starts = np.array([unit.place[0] for unit in parts.units])
    number = np.where(own > 0, np.searchsorted(starts, own - 1, side="right") - 1, -1)
    return Path("ids", number, np.where(number < 0, ids, column.pad_id))
