"""What kind of answers a column holds when it is the output, told by looking at them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from trimtab import columns
from trimtab.data.infer import ENOUGH, FEW, LEADING_ZERO, Inferred, Look, number_of, told_by
from trimtab.values import letters, list_cells, name_words
from trimtab.values.schemes import scheme_of


def answers(name: str, values: Sequence[Any]) -> Look:
    """A column as it is seen when it is the output: a frequent word for "no value" is a name."""
    return Look(name, values, name_words.frequent(values))


def output_type(name: str, values: Sequence[Any]) -> Inferred:
    """label or number; labels, numbers or tags for lists. Numbers are a label when there are few different ones."""
    look = answers(name, values)
    if found := told_by(columns.OutputColumn)(look) or _lists_of(look) or _marked_names(look):
        return found
    if len(look.numbers) < ENOUGH * len(look.sample) or not look.sample or look.share(LEADING_ZERO) > 0:
        mark = next((mark for mark in (*_SEVERAL_MARKS, ",") if _parts_names(look, mark)), None)
        key = f"; {mark!r} stands in some: write {{{name}: labels}} if it parts several" if mark else ""
        return Inferred("label", f"{look.distinct:,} different names{key}")
    if {text.casefold() for text in look.texts} <= {"true", "false"}:
        return Inferred("label", "true or false")
    if look.distinct <= FEW:
        return Inferred("label", f"only {look.distinct} different numbers; write {{{name}: number}} to predict amounts")
    kind = "whole numbers" if all(value.is_integer() for value in look.numbers) else "numbers"
    return Inferred("number", f"{look.distinct:,} different {kind}; write {{{name}: label}} if they are classes")


def proposed_type(name: str, values: Sequence[Any]) -> Inferred:
    """As `output_type`, for a spec to be looked at: answers in words of their own are texts that are to be written."""
    found, look = output_type(name, values), answers(name, values)
    names = columns.kind(found.type, "output").one_class
    if not names or look.present <= FEW or look.distinct_share <= _WRITTEN or look.words < _PHRASE:
        return found
    why = f"{look.distinct:,} different texts, {look.words:.1f} words on average"
    return Inferred(columns.answered("text", name), why)


_WRITTEN, _PHRASE = 0.5, 2.0  # share of the answers that are different, and their words: these are no names of classes
_SEVERAL_MARKS = ("|", ";")  # a comma stands in texts too
_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});")  # of HTML, such as &amp;


def _lists_of(look: Look) -> Inferred | None:
    """What lists hold: tags, numbers or names; tags may also stand in a text, a white space between them."""
    lists = [list_cells.listed(value) for value in look.sample]
    found = [items for items in lists if items is not None]
    if len(found) < ENOUGH * len(look.sample) or not found:
        return _tags(look, [text.split() for text in look.texts])
    if tags := _tags(look, found):
        return tags
    if places := list_cells.vector(found):
        return Inferred("labels", f"every value is a vector of {places} zeros and ones: a class for each place")
    items = [item for row in found for item in row]
    if (
        items
        and all(number_of(item, ".") is not None for item in items)
        and len({len(row) for row in found if row}) == 1
    ):
        return Inferred("numbers", f"every value is a list of {max(map(len, found))} numbers")
    return Inferred("labels", f"every value is a list, of {len(set(map(str, items))):,} different names")


def _tags(look: Look, rows: Sequence[Sequence[Any]]) -> Inferred | None:
    tags = [str(tag) for row in rows for tag in row]
    scheme = scheme_of(tags) if len(tags) > len(rows) else None
    if scheme is None or not any(scheme.read(tag).border in ("B", "S") for tag in set(tags)):
        return None
    return Inferred("tags", f"every value is a list of tags ({scheme.name}), {len(set(tags)):,} different ones")


def _marked_names(look: Look) -> Inferred | None:
    """Few different names in many combinations, a mark between them; a path (Home|Kitchen) is one name."""
    for mark in _SEVERAL_MARKS:
        if _parts_names(look, mark) and _combine_freely(_cells(look, mark)):
            cells = _cells(look, mark)
            names = len({name for cell in cells for name in cell})
            share = f"{sum(len(cell) > 1 for cell in cells) / len(cells):.0%} of the values hold several"
            key = f"write {{{look.name}: label}} if each value is one name"
            return Inferred("labels", f"{names:,} different names; {share}, {mark} between them; {key}")
    return None


def _cells(look: Look, mark: str) -> list[list[str]]:
    """The parts of each value."""
    return [[name.strip() for name in _ENTITY.sub("&", text).split(mark)] for text in look.texts]


def _parts_names(look: Look, mark: str) -> bool:
    """Whether a mark stands between few different short names in more than a twentieth of the values."""
    cells = _cells(look, mark)
    names = [name for cell in cells for name in cell]
    short = sum(letters.words(name) for name in names) <= 3 * len(names)
    return (
        short
        and sum(len(cell) > 1 for cell in cells) > len(cells) / 20
        and len(set(names)) <= max(FEW, len(cells) / 20)
    )


def _combine_freely(cells: Sequence[Sequence[str]]) -> bool:
    """Whether parts of cells come and go: they stand alone too, or lead in one combination and follow in another."""
    combined = {tuple(cell) for cell in cells if len(cell) > 1}
    alone = {cell[0] for cell in cells if len(cell) == 1}
    leading = {cell[0] for cell in combined} | alone
    following = {name for cell in combined for name in cell[1:]}
    names = following | {cell[0] for cell in combined}
    return names <= alone or (len(combined) >= 2 and len(following & leading) >= len(following) / 2)
