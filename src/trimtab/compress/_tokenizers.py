"""Tokenizers as the tokenizers library writes them, with fewer tokens.

A text all of whose tokens are kept is cut into the same pieces as before, for each kind of model has this much left:
WordPiece takes the longest piece that fits, and the longest of all is still there; the best path of a Unigram model is
still there and no path is new; of byte-pair encoding, every merge on the way to a kept token is kept (`Tokens.parts`).
Only a word that was unknown because its longest pieces led nowhere may become known by shorter ones.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from trimtab.compress import Skip

Model = Mapping[str, Any]  # the part `model` of a tokenizer.json
Merge = tuple[str, str]

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # the pieces that a character falls apart into where it has none of its own
# What a piece within a word is tried behind, to see whether any text can hold it.
_BEFORE = ("a", "0")


@dataclass(frozen=True)
class Tokens:
    """The tokens of a tokenizer, and what has to be known of them to leave some out."""

    definition: Mapping[str, Any]
    tokenizer: Tokenizer
    pieces: Mapping[int, str]  # id -> token, added tokens too

    @property
    def model(self) -> Model:
        """The part that cuts words into pieces."""
        found: Model = self.definition["model"]
        return found

    @cached_property
    def fixed(self) -> frozenset[int]:
        """Ids that are always kept: special and added tokens, bytes, the characters of ASCII."""
        added = {int(token["id"]) for token in self.definition.get("added_tokens") or ()}
        named = (self.tokenizer.token_to_id(name) for name in _named(self.definition.get("post_processor")))
        own = _KINDS[self.model["type"]].fixed(self)
        plain = (token for token, character in self.characters.items() if character in string.printable)
        return frozenset({*added, *(token for token in named if token is not None), *own, *plain})

    @cached_property
    def characters(self) -> Mapping[int, str]:
        """The pieces of a single character, which words fall apart into: id -> character. Whole words do not."""
        if self.model["type"] == "WordLevel":
            return {}
        prefix = self.model.get("continuing_subword_prefix") or ""
        short = {token: piece.removeprefix(prefix) or piece for token, piece in self.pieces.items()}
        return {token: c for token, c in short.items() if len(c) == 1 and self.occurs(token)}

    @cached_property
    def ranks(self) -> Sequence[int]:
        """All ids, the commonest first, as far as the tokenizer knows.

        Ids are given by frequency in WordPiece and in byte-pair encoding; a Unigram model says how likely each is.
        """
        return _KINDS[self.model["type"]].ranks(self)

    def occurs(self, token: int) -> bool:
        """Whether any text can hold the token. [unused7] and ##好 in BERT's vocabularies stand for nothing."""
        return _KINDS[self.model["type"]].occurs(self, self.pieces[token])

    def parts(self, token: int) -> Sequence[int]:
        """The ids that the token needs beside its own."""
        return _KINDS[self.model["type"]].parts(self, token)

    @cached_property
    def merges(self) -> Mapping[Merge, int]:
        """The pairs that byte-pair encoding joins -> their ranks."""
        return {_pair(merge): rank for rank, merge in enumerate(self.model["merges"])}

    @cached_property
    def ids(self) -> Mapping[str, int]:
        """Token -> id."""
        return {piece: token for token, piece in self.pieces.items()}

    def cut(self, kept: Sequence[int]) -> str | Skip:
        """The definition with the kept ids alone, numbered from 0 in their order."""
        numbers = {token: number for number, token in enumerate(kept)}
        definition = {
            **self.definition,
            "added_tokens": [{**t, "id": numbers[t["id"]]} for t in self.definition.get("added_tokens") or ()],
            "post_processor": _renumbered(self.definition.get("post_processor"), numbers),
            "model": {**self.model, **_KINDS[self.model["type"]].cut(self, numbers)},
        }
        text = json.dumps(definition, ensure_ascii=False)
        found = Tokenizer.from_str(text).get_vocab(with_added_tokens=True)
        wanted = {self.pieces[token]: number for token, number in numbers.items()}
        return text if found == wanted else Skip("its tokenizer does not number its added tokens in order")


def read(definition: str) -> Tokens | Skip:
    """The tokens of a tokenizer.json; `Skip` for a kind of model that is not known."""
    parsed = json.loads(definition)
    reason = _refused(parsed["model"])
    if reason:
        return Skip(reason)
    tokenizer = Tokenizer.from_str(definition)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    return Tokens(parsed, tokenizer, {token: piece for piece, token in sorted(vocabulary.items(), key=lambda t: t[1])})


def _refused(model: Model) -> str | None:
    if model.get("type") not in _KINDS:
        return f"its tokenizer is a {model.get('type')}; {', '.join(_KINDS)} can be trimmed"
    marks = [mark for mark in ("continuing_subword_prefix", "end_of_word_suffix") if model.get(mark)]
    if model["type"] == "BPE" and marks:
        return f"its tokenizer is a BPE with {marks[0].replace('_', ' ')}"
    return None


class _Kind(NamedTuple):
    """How a kind of model is trimmed."""

    cut: Callable[[Tokens, Mapping[int, int]], dict[str, Any]]  # what changes in the model when ids are renumbered
    fixed: Callable[[Tokens], set[int]]
    ranks: Callable[[Tokens], Sequence[int]]
    occurs: Callable[[Tokens, str], bool]
    parts: Callable[[Tokens, int], Sequence[int]]


def _cut_table(tokens: Tokens, numbers: Mapping[int, int]) -> dict[str, Any]:
    vocabulary = sorted((token, piece) for piece, token in tokens.model["vocab"].items() if token in numbers)
    return {"vocab": {piece: numbers[token] for token, piece in vocabulary}}


def _cut_merges(tokens: Tokens, numbers: Mapping[int, int]) -> dict[str, Any]:
    kept = {tokens.pieces[token] for token in numbers}
    merges = [pair for pair in map(_pair, tokens.model["merges"]) if kept.issuperset((*pair, "".join(pair)))]
    return {**_cut_table(tokens, numbers), "merges": [list(pair) for pair in merges]}


def _cut_list(tokens: Tokens, numbers: Mapping[int, int]) -> dict[str, Any]:
    unknown = tokens.model.get("unk_id")
    vocabulary = [entry for token, entry in enumerate(tokens.model["vocab"]) if token in numbers]
    return {"vocab": vocabulary, "unk_id": None if unknown is None else numbers[unknown]}


def _unknown(tokens: Tokens) -> set[int]:
    found = tokens.ids.get(str(tokens.model.get("unk_token")))
    return set() if found is None else {found}


def _bytes(tokens: Tokens) -> set[int]:
    """The alphabet that any text can be written in, where there is one."""
    alphabet = tokens.characters if "ByteLevel" in _types(tokens.definition) else ()
    return {*alphabet, *(token for token, piece in tokens.pieces.items() if _BYTE.fullmatch(piece)), *_unknown(tokens)}


def _unigram_fixed(tokens: Tokens) -> set[int]:
    """Also the least likely piece: what an unknown character costs is counted from it."""
    scores, unknown = [score for _, score in tokens.model["vocab"]], tokens.model.get("unk_id")
    return {*_bytes(tokens), scores.index(min(scores)), *(() if unknown is None else (unknown,))}


def _by_id(tokens: Tokens) -> Sequence[int]:
    return sorted(tokens.pieces)


def _by_score(tokens: Tokens) -> Sequence[int]:
    scores = [score for _, score in tokens.model["vocab"]]
    return sorted(range(len(scores)), key=lambda token: (-scores[token], token))


def _always(tokens: Tokens, piece: str) -> bool:
    return True


def _occurs(tokens: Tokens, piece: str) -> bool:
    """Whether a text is normalised and split such that the piece can stand in it."""
    prefix = str(tokens.model["continuing_subword_prefix"])
    inner = piece.removeprefix(prefix)
    if inner == piece or not inner:
        return _one_word(tokens.tokenizer, piece)
    return any(_one_word(tokens.tokenizer, before + inner) for before in (*_BEFORE, inner[0]))


def _one_word(tokenizer: Tokenizer, text: str) -> bool:
    normal = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    splits = tokenizer.pre_tokenizer.pre_tokenize_str(normal) if tokenizer.pre_tokenizer else [(normal, (0, 0))]
    return [word for word, _ in splits] == [text]


def _alone(tokens: Tokens, token: int) -> Sequence[int]:
    return ()


def _merged(tokens: Tokens, token: int) -> Sequence[int]:
    """All that is joined on the way to the token, characters first.

    Whatever stands beside a token in a text, its own characters are joined in the order in which they would be without
    it, or it would not become that token: so there is one way to each.
    """
    symbols = list(tokens.pieces[token])
    met = list(symbols)
    while len(symbols) > 1:
        pairs = [(tokens.merges.get(pair), at) for at, pair in enumerate(pairwise(symbols))]
        first = min(((rank, at) for rank, at in pairs if rank is not None), default=None)
        if first is None:
            break
        at = first[1]
        symbols[at : at + 2] = ["".join(symbols[at : at + 2])]
        met.append(symbols[at])
    return [tokens.ids[symbol] for symbol in met if symbol in tokens.ids]


_KINDS = {
    "WordPiece": _Kind(_cut_table, _unknown, _by_id, _occurs, _alone),
    "WordLevel": _Kind(_cut_table, _unknown, _by_id, _always, _alone),
    "BPE": _Kind(_cut_merges, _bytes, _by_id, _always, _merged),
    "Unigram": _Kind(_cut_list, _unigram_fixed, _by_score, _always, _alone),
}


def _pair(merge: str | Sequence[str]) -> Merge:
    """A merge, as older files and newer ones write it: `a b`, `["a", "b"]`."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _types(part: Any) -> set[str]:
    """The values of every `type` within a definition."""
    inner: Iterable[Any] = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    if isinstance(part, dict) and part.get("type") in _KINDS:
        return set()  # not among its thousands of tokens
    own = {part["type"]} if isinstance(part, dict) and isinstance(part.get("type"), str) else set()
    return own.union(*map(_types, inner))


def _named(post: Any) -> list[str]:
    """The special tokens that a post-processor puts around a text."""
    if not post:
        return []
    template = [name for token in (post.get("special_tokens") or {}).values() for name in token["tokens"]]
    around = [post[place][0] for place in ("cls", "sep") if place in post]
    return [*template, *around, *(name for part in post.get("processors") or () for name in _named(part))]


def _renumbered(post: Any, numbers: Mapping[int, int]) -> Any:
    """The post-processor (template, BERT's, RoBERTa's, or several of them) with the new ids."""
    if not post:
        return post
    found = dict(post)
    if "special_tokens" in post:
        found["special_tokens"] = {
            name: {**token, "ids": [numbers[old] for old in token["ids"]]}
            for name, token in post["special_tokens"].items()
        }
    for place in ("cls", "sep"):
        if place in post:
            found[place] = [post[place][0], numbers[post[place][1]]]
    if "processors" in post:
        found["processors"] = [_renumbered(part, numbers) for part in post["processors"]]
    return found
