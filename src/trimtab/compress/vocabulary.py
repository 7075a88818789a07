"""Vocabulary trimming: the tokens that the rows use, and a smaller tokenizer and smaller embeddings to go with them.

Half of a small text network is its table of tokens: 12 of MiniLM's 23 million numbers, and 192 of XLM-RoBERTa's 278.
What is left answers as before (Abdaoui et al. 2020, arXiv:2010.05609, do it for a language; here rows say what stays).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trimtab.columns import InputColumn, Ragged, Worded, ragged
from trimtab.columns.text import TextColumn
from trimtab.compress import Skip, _tokenizers
from trimtab.compress._tokenizers import Tokens
from trimtab.nets.fitted import FittedNetwork, built
from trimtab.nets.network import EncoderEntry
from trimtab.values import parse

# Kinds of RoBERTa count positions from behind the padding token, which is one of their first: where it is among as
# many first ids, it stays where it is, and everything before it.
_FIRST_IDS = 16
# Of the tokens that the rows use: how many commonest tokens that they do not. On held-out rows of sst2, 2.6% of tokens
# are not among those of the other rows and the single characters; with a tenth more 2.1%, a quarter 1.8%, a half 1.3%.
# On ag_news 1.4%, 1.0%, 0.7%, 0.3%: each further token is worth less, and all of them cost the same.
_MARGIN = 0.25
_ROWS, _LONGEST = 8, 64  # rows that the new network is compared on, and their most tokens
_TOLERANCE = 1e-4  # of states
_PORTION = 10_000  # texts handed to the tokenizer at a time: bounds the memory of its results


@dataclass(frozen=True)
class _Texts:
    """The texts that one encoder reads by one table."""

    entry: EncoderEntry
    columns: tuple[TextColumn, ...]


def trim(
    trained: FittedNetwork, values: Mapping[str, Sequence[Any]], tokens: int | None = None, least: int = 0
) -> FittedNetwork | Skip:
    """The network with the tokens alone that matter to rows like these; `values` has the raw values of each column.

    Kept are special tokens, what the rows use, single characters for words to fall apart into and, for unseen text,
    commonest tokens of the rest. Texts all of whose tokens are kept are answered as before. With `tokens`, at most that
    many for each encoder of texts (without, at least `least`), but never fewer than special tokens, bytes and the
    characters of the rows: the most
    frequent stay, rarer words fall apart. Encoders that read several texts have one set of tokens for all of them.
    """
    texts = [column for column in trained.inputs if isinstance(column, TextColumn)]
    own = [(entry, tuple(c for c in texts if c.key in entry.reads)) for entry in trained.architecture.encoders]
    groups = [_Texts(entry, columns) for entry, columns in own if columns]
    if not groups:
        return Skip("no input is a text")
    found: list[FittedNetwork | Skip] = []
    for group in groups:
        result = _trimmed(
            trained, group, values, (tokens, least), "" if len(groups) == 1 else f"{_names(group.columns)}: "
        )
        found.append(result)
        trained = trained if isinstance(result, Skip) else result
    skipped = [result.reason for result in found if isinstance(result, Skip)]
    return Skip("; ".join(skipped)) if len(skipped) == len(groups) else trained


@dataclass(frozen=True)
class Cut:
    """A tokenizer with the tokens alone that matter, and the configuration of an encoder whose table has just those."""

    kept: tuple[int, ...]  # the old ids, in order
    definition: str
    config: Mapping[str, Any]
    pad_id: int


def cut(config: Mapping[str, Any], definition: str, pad_id: int, texts: Sequence[str]) -> Cut | Skip:
    """The tokens that matter to texts like these, before there is a network: those that `trim` keeps."""
    tokens = _tokenizers.read(definition)
    if isinstance(tokens, Skip):
        return tokens
    counts: Counter[int] = Counter()
    for start in range(0, len(texts), _PORTION):
        for encoding in tokens.tokenizer.encode_batch_fast(list(texts[start : start + _PORTION])):
            counts.update(encoding.ids)
    kept = sorted(_kept(tokens, counts, {*_pinned(config), pad_id}, None, 0))
    smaller = tokens.cut(kept)
    if isinstance(smaller, Skip):
        return smaller
    return Cut(tuple(kept), smaller, _config(config, kept), kept.index(pad_id))


def _names(columns: Sequence[TextColumn]) -> str:
    return ", ".join(column.name for column in columns)


def _trimmed(
    trained: FittedNetwork,
    group: _Texts,
    values: Mapping[str, Sequence[Any]],
    bounds: tuple[int | None, int],
    prefix: str,
) -> FittedNetwork | Skip:
    if "prompt" in group.entry.config:
        return Skip(f"{_names(group.columns)}: the words of a prompt, and of answers, are tokens too")
    read = _read(trained, group)
    if isinstance(read, Skip):
        return read
    kept = _chosen(read[0], group.columns, group.entry.config, _counts(group.columns, values), bounds)
    if isinstance(kept, Skip):
        return kept
    columns = _columns(group, read, kept)
    if isinstance(columns, Skip):
        return columns
    made = _rebuilt(trained, group, columns, kept)
    return made if isinstance(made, Skip) else made.noted(f"{prefix}{len(kept):,} of {len(read[0].pieces):,} tokens")


def _read(trained: FittedNetwork, group: _Texts) -> Sequence[Tokens] | Skip:
    """The tokens of each text of the group, which are the same; their tokenizers may differ in how they cut words."""
    for other in trained.architecture.encoders:
        if other is not group.entry and set(other.reads) & {column.key for column in group.columns}:
            return Skip(f"{_names(group.columns)}: read by the encoders {group.entry.name} and {other.name}")
    found = []
    for column in group.columns:
        tokens = _tokenizers.read(column.definition)
        if isinstance(tokens, Skip):
            return Skip(f"{column.name}: {tokens.reason}")
        if column.pad_id not in tokens.pieces:
            return Skip(f"{column.name}: its padding is no token of its tokenizer")
        found.append(tokens)
    if any(tokens.pieces != found[0].pieces for tokens in found):
        return Skip(f"{_names(group.columns)}: read by one encoder, but with tokenizers of their own")
    return found


def _chosen(
    tokens: Tokens,
    columns: Sequence[TextColumn],
    config: Mapping[str, Any],
    counts: Counter[int],
    bounds: tuple[int | None, int],
) -> Sequence[int] | Skip:
    """The ids to keep, in order, of those that occur as often as `counts` says."""
    if not counts:
        return Skip(f"{_names(columns)}: no row holds a text")
    kept = _kept(tokens, counts, _pinned(config, columns), *bounds)
    if len(kept) == len(tokens.pieces):
        return Skip(f"{_names(columns)}: every one of its {len(kept):,} tokens is kept")
    return sorted(kept)


def _counts(columns: Sequence[TextColumn], values: Mapping[str, Sequence[Any]]) -> Counter[int]:
    """How often each id stands in the rows, as far as the network reads them."""
    counts: Counter[int] = Counter()
    for column in columns:
        texts = [value for value in values.get(column.name, ()) if not parse.is_missing(value, text=True)]
        ids, times = np.unique(column.encode(texts).values, return_counts=True)
        counts.update(dict(zip(ids.tolist(), times.tolist(), strict=True)))
    return counts


def _pinned(config: Mapping[str, Any], columns: Sequence[TextColumn] = ()) -> set[int]:
    """The ids that columns and the encoder's configuration name."""
    padding = config.get("pad_token_id")
    before = range(padding) if isinstance(padding, int) and padding < _FIRST_IDS else ()
    named = {token for key in config for token in _token_ids(config, key)}
    return named.union(before, *((column.pad_id, *column.opening) for column in columns))


def _token_ids(config: Mapping[str, Any], key: str) -> list[int]:
    """`pad_token_id: 0`, `eos_token_id: [2, 3]`; nothing for what is no id."""
    value = config[key] if key.endswith("_token_id") else None
    return [token for token in (value if isinstance(value, list | tuple) else [value]) if isinstance(token, int)]


def _kept(tokens: Tokens, counts: Counter[int], pinned: Collection[int], most: int | None, least: int) -> set[int]:
    """What the rows use, single characters and the commonest rest; of them `most`, in this order.

    Characters that the rows never hold come behind the words that they do: each of them is as large as a word.
    """
    position = {token: number for number, token in enumerate(tokens.ranks)}
    used = sorted(counts, key=lambda token: (-counts[token], position.get(token, len(position))))
    seen = {character for token in used for character in tokens.pieces[token]}
    characters = [token for token in tokens.ranks if token in tokens.characters]
    needed = [token for token in characters if tokens.characters[token] in seen]
    fixed = [token for token in (*tokens.fixed, *pinned, *needed) if token in tokens.pieces]
    kept = _grown(tokens, _grown(tokens, (), fixed, None), used, most)
    kept = _grown(tokens, kept, characters, most)
    rest = (token for token in tokens.ranks if token not in kept and tokens.occurs(token))
    margin = max(len(kept) + round(_MARGIN * len(used)), least)
    return _grown(tokens, kept, rest, margin if most is None else most)


def _grown(tokens: Tokens, kept: Collection[int], order: Iterable[int], most: int | None) -> set[int]:
    """The set with tokens of `order`, and what they need, as long as there are no more than `most`."""
    found = set(kept)
    for token in order:
        if most is not None and len(found) >= most:
            break
        new = {token, *tokens.parts(token)} - found
        if most is None or len(found) + len(new) <= most:
            found |= new
    return found


def _columns(group: _Texts, read: Sequence[Tokens], kept: Sequence[int]) -> tuple[TextColumn, ...] | Skip:
    """The columns with the kept tokens alone."""
    number = {token: position for position, token in enumerate(kept)}
    found = []
    for column, tokens in zip(group.columns, read, strict=True):
        definition = tokens.cut(kept)
        if isinstance(definition, Skip):
            return Skip(f"{column.name}: {definition.reason}")
        opening = tuple(number[token] for token in column.opening)
        found.append(replace(column, definition=definition, pad_id=number[column.pad_id], opening=opening))
    return tuple(found)


def _rebuilt(
    trained: FittedNetwork, group: _Texts, columns: Sequence[TextColumn], kept: Sequence[int]
) -> FittedNetwork | Skip:
    """The network for the new columns, with the weights of the old one."""
    entry = group.entry.model_copy(update={"config": _config(group.entry.config, kept)})
    encoders = tuple(entry if other is group.entry else other for other in trained.architecture.encoders)
    new = {column.key: column for column in columns}
    inputs = [new.get(column.key, column) for column in trained.inputs]
    foreign = Skip(f"{_names(group.columns)}: the encoder {entry.name} reads tokens in a way of its own")
    try:
        made = built(trained.architecture.model_copy(update={"encoders": encoders}), inputs, trained.output)
        weights = _weights(trained.network, made.network, np.array(kept), group.columns[0].vocabulary)
        made.network.load_state_dict(weights)
        same = _agree(trained, made, group, kept)
    except Exception:  # the encoder may be the user's own: whatever it raises, it is left as it was
        return foreign
    return replace(made, made=trained.made) if same else foreign


def _config(old: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """The encoder's configuration with the new number of tokens and the new ids, where it has any."""
    number = {token: position for position, token in enumerate(kept)}
    config = dict(old)
    if "vocab_size" in config:
        config["vocab_size"] = len(kept)
    for key in config:
        ids = [number.get(token, token) for token in _token_ids(config, key)]
        if ids:
            config[key] = ids if isinstance(config[key], list | tuple) else ids[0]
    return config


def _weights(old: nn.Module, new: nn.Module, kept: np.ndarray, tokens: int) -> dict[str, Tensor]:
    """The old weights for the new network: tables of tokens, which have become shorter, without the rows that are gone.

    What stands behind the rows of the tokenizer's tokens is kept, as far as the new table has room for it.
    """
    wanted, found = new.state_dict(), old.state_dict()
    for name, weight in found.items():
        rows = wanted[name].shape[0] if weight.ndim else 0
        if weight.shape != wanted[name].shape:
            behind = np.arange(tokens, tokens + rows - len(kept))
            found[name] = weight[torch.from_numpy(np.concatenate([kept, behind]))]
    return found


@torch.no_grad()
def _agree(trained: FittedNetwork, made: FittedNetwork, group: _Texts, kept: Sequence[int]) -> bool:
    """Whether the encoders give the same states to rows of kept tokens, the old and the new ids.

    It is asked and not reasoned, for the encoder may have been written by anyone.
    """
    name = group.entry.key
    old, new = (
        network.encoders[name]({key: torch.from_numpy(part) for key, part in _rows(inputs, group.entry, ids).items()})
        for network, inputs, ids in (
            (trained.network, trained.inputs, np.array(kept)),
            (made.network, made.inputs, np.arange(len(kept))),
        )
    )
    close = torch.allclose(old.values[old.mask], new.values[new.mask], rtol=_TOLERANCE, atol=_TOLERANCE)
    return bool(torch.equal(old.mask, new.mask)) and close


def _rows(inputs: Sequence[InputColumn], entry: EncoderEntry, ids: np.ndarray) -> dict[str, np.ndarray]:
    """The tensors of a few rows that hold tokens from everywhere in the table; other inputs have no value."""
    tensors: dict[str, np.ndarray] = {}
    for column in inputs:
        if column.key in entry.reads:
            encoded = _spread(column, ids) if isinstance(column, TextColumn) else column.encode([None] * _ROWS)
            tensors |= column.batch(encoded, np.arange(_ROWS))
    return tensors


def _spread(column: TextColumn, ids: np.ndarray) -> Ragged:
    """Rows of different lengths; each token is a word where values are lists of words."""
    longest = min(column.max_tokens, _LONGEST)
    spread = ids[np.linspace(0, len(ids) - 1, _ROWS * longest).astype(int)].reshape(longest, _ROWS).T
    rows = ragged([row[: max(1, longest - number)] for number, row in enumerate(spread)], ids[:0])
    if not column.words:
        return rows
    return Worded(rows.values, rows.offsets, ragged([np.arange(length) for length in rows.lengths], ids[:0]))
