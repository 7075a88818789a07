"""The definition of a tokenizer: read from a file, and what it says of padding and of a text behind another one."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer

from trimtab.errors import problem

_PAD_TOKENS = ("[PAD]", "<pad>", "<|padding|>", "<|endoftext|>")


def read_definition(path: Path, column: str) -> str:
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


def with_spaces(definition: str) -> str:
    """The tokenizer such that each word of a list is read like one with a space before it: byte-level ones differ."""
    tokenizer = json.loads(definition)
    first = tokenizer.get("pre_tokenizer") or {}
    for part in (first, *first.get("pretokenizers", ())):
        if part.get("type") == "ByteLevel":
            part["add_prefix_space"] = True
    return json.dumps(tokenizer, ensure_ascii=False)


def opening_behind(definition: str) -> tuple[int, tuple[int, ...]]:
    """How a text begins behind another one, by the tokenizer's own rule for pairs.

    How many special tokens it loses at its beginning, and those that come in their place: BERT's [CLS] goes, and
    RoBERTa's <s> becomes </s>.
    """
    tokenizer = Tokenizer.from_str(definition)
    alone, pair = tokenizer.encode("a"), tokenizer.encode("a", "a")
    own = [position for position, part in enumerate(alone.sequence_ids) if part is not None]
    first, second = ([position for position, part in enumerate(pair.sequence_ids) if part == text] for text in (0, 1))
    if not own or not first or not second:
        return 0, ()
    closing = len(alone.ids) - own[-1] - 1
    return own[0], tuple(pair.ids[first[-1] + 1 + closing : second[0]])


def padding_id(definition: str, chosen: int | None) -> int:
    if chosen is not None:
        return chosen
    tokenizer = Tokenizer.from_str(definition)
    known = (tokenizer.token_to_id(token) for token in _PAD_TOKENS)
    return next((token for token in known if token is not None), 0)
