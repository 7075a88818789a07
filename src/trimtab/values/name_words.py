"""Words that usually say "no value", such as NA, null or -, where they are names: of a class, a level or an item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from trimtab.values import many, parse

# A word that stands in fewer cells is taken for "no value": of 20 classes the rarest usually has more.
_SHARE = 0.05
_FEWEST = 5

OPTION = (
    "Words for `no value` that are names here, such as [NA] for Namibia; []: none. Default: those in `classes`, else "
    "those of 5% of the cells or more."
)


def kept(values: Sequence[Any], classes: Sequence[Any] | None, asked: Sequence[str] | None) -> tuple[str, ...]:
    """Words that are names among these cells: those that the user names, else those that are frequent."""
    if asked is not None:
        return tuple(sorted({str(word).strip() for word in asked}))
    if classes:
        return tuple(sorted({str(name).strip() for name in classes} & parse.NO_VALUE))
    return frequent(values)


def frequent(values: Sequence[Any]) -> tuple[str, ...]:
    """Words for "no value" that stand in many cells, beside others that are no numbers; those that are a `Name`."""
    times = [(value, count) for value, count in many.counted(values) if not parse.is_missing(value, text=True)]
    cells = [value for value, _ in times]
    written: Counter[str] = Counter()
    for value, count in times:
        if isinstance(value, str):
            written[value.strip()] += count
    words = {word: written[word] for word in parse.NO_VALUE & written.keys()}
    named = {str(value) for value in cells if type(value) is parse.Name} & parse.NO_VALUE
    has_others = written.keys() - parse.NO_VALUE or any(not isinstance(value, str) for value in cells)
    if not words or not has_others or _are_numbers(cells, written):
        return tuple(sorted(named))
    least = max(_FEWEST, _SHARE * sum(count for _, count in times))
    return tuple(sorted({word for word, count in words.items() if count >= least} | named))


def among(rows: Iterable[Sequence[Any]]) -> tuple[str, ...]:
    """Words for "no value" that stand in lists: a list has no need to write that it lacks something."""
    items = (item for row in rows for item in row if isinstance(item, str))
    return tuple(sorted({item.strip() for item in items} & parse.NO_VALUE))


def _are_numbers(cells: Sequence[Any], written: Iterable[str]) -> bool:
    """Whether all cells but words for "no value" are numbers."""
    try:
        for value in (*written, *(value for value in cells if not isinstance(value, str))):
            parse.number(value)
    except ValueError:
        return False
    return True
