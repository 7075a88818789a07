"""A network for columns that know more than those that it was made for: see `Column.extended`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trimtab.columns import Column, InputColumn, OutputColumn
from trimtab.nets import fitted
from trimtab.nets.fitted import FittedNetwork

_Places = tuple[tuple[int, ...], ...]


def grown(before: FittedNetwork, inputs: Sequence[InputColumn], output: OutputColumn) -> FittedNetwork:
    """The network with these columns, which `extended` made of its own; it gives what it gave for what it knew.

    What is new (an item's vector, the logit of a class) begins as `Column.places` says.
    """
    made = fitted.built(before.architecture, inputs, output)
    own = before.network.state_dict()
    places = _places(before, inputs, output)
    weights = {name: _begun(name, own[name], fresh, places) for name, fresh in made.network.state_dict().items()}
    return fitted.built(before.architecture, inputs, output, weights)


def _places(
    before: FittedNetwork, inputs: Sequence[InputColumn], output: OutputColumn
) -> list[tuple[str, tuple[int, int], _Places]]:
    """Of each column that has changed: where its weights lie, how many places it had and has, and how these begin."""
    pairs: list[tuple[str, Column, Column]] = [("head.", before.output, output)]
    olds = {column.key: column for column in before.inputs}
    news = {column.key: column for column in inputs}
    for entry in before.architecture.encoders:
        pairs += [(f"encoders.{entry.key}.", olds[key], news[key]) for key in entry.reads]
    found = []
    for prefix, old, new in pairs:
        if new != old:
            places = new.places(old)
            width = old.width if isinstance(old, OutputColumn) else 0
            had = width or 1 + max((place for own in places for place in own), default=0)
            found.append((prefix, (had, len(places)), places))
    return found


def _begun(name: str, own: Tensor, fresh: Tensor, places: list[tuple[str, tuple[int, int], _Places]]) -> Tensor:
    """Weights of the new shape: what was learnt, and for each new row the mean of those that it begins as."""
    if own.shape == fresh.shape:
        return own
    for prefix, (had, has), starts in places:
        if name.startswith(prefix) and own.shape == (had, *fresh.shape[1:]) and len(fresh) == has:
            return torch.stack([own[list(rows)].mean(0) if rows else torch.zeros_like(own[0]) for rows in starts])
    raise ValueError(f"{name}: {tuple(own.shape)} cannot become {tuple(fresh.shape)}")
