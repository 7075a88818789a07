"""How a language model is asked: from a template with the names of columns to token ids, and rows as examples.

Where its tokenizer has a template of conversations, a row is what a user says in one, and its answer what comes back.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from trimtab.columns import EncodedRows, Example, Prompt, Ragged
from trimtab.errors import nearest, problem
from trimtab.pretrained import Writing
from trimtab.spec import Prompting

_MOST_EXAMPLES = 1000  # rows that examples are taken from: they stand in the bundle
_MOST_CHOICES = 20  # classes that a prompt names, where the spec has no template
_BETWEEN = "\n\n"  # examples that are no turns of a conversation


@dataclass(frozen=True)
class Template:
    """The words of a prompt, around the columns; spaces before a column, or before the answer, are left to these."""

    opening: str
    text: str  # as the user wrote it, or would
    words: tuple[str, ...]  # before the first column, between two of them ..., and behind the last
    names: tuple[str, ...]  # of the columns
    between: str
    chat: bool
    columns_spaced: bool
    answers_spaced: bool

    def columns_tokenizer(self, writing: Writing) -> str:
        """The path of the tokenizer that columns are read with."""
        return writing.spaced if self.columns_spaced else writing.plain

    def answers_tokenizer(self, writing: Writing) -> str:
        """The path of the tokenizer that answers are written with."""
        return writing.answer_spaced if self.answers_spaced else writing.answer


def template(asked: Prompting, writing: Writing, names: Sequence[str], output: str, choices: Sequence[str]) -> Template:
    """What a spec's `prompt` says, or by the names of the columns. Raises TrimtabError for names that are no inputs."""
    chat = writing.chat if asked.chat is not False else None
    if asked.chat and chat is None:
        raise problem("prompt: chat", "the base's tokenizer has no template of conversations", do="leave it out")
    text = asked.template or _usual(names, output, choices, chat is not None)
    words, found = _parted(text, names)
    if chat:
        words[-1] += chat.answering
    spaced = all(part.endswith(" ") for part in words[:-1])
    if spaced:
        words[:-1] = [part[:-1] for part in words[:-1]]
    answered = words[-1].rstrip(" ")
    closed = answered.endswith(("\n", "\t")) or (chat is not None and answered.endswith(">"))
    words[-1] = answered
    opening, between = (chat.opening, chat.between) if chat else ("", _BETWEEN)
    return Template(opening, text, tuple(words), tuple(found), between, chat is not None, spaced, not closed)


def _usual(names: Sequence[str], output: str, choices: Sequence[str], chat: bool) -> str:
    lines = [f"{_title(name)}: {{{name}}}" for name in names]
    if choices and len(choices) <= _MOST_CHOICES:
        lines.append(f"{_title(output)} is one of: {', '.join(choices)}.".replace("{", "{{").replace("}", "}}"))
    return "\n".join(lines if chat and not choices else [*lines, f"{_title(output)}:"])


def _title(name: str) -> str:
    return (name[:1].upper() + name[1:]).replace("{", "{{").replace("}", "}}")


def _parted(text: str, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words and, between them, the columns that are named; every column once at least."""
    words, found = [""], []
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise problem("prompt", f"{text!r} ({error})", "names in braces: {question}; a brace itself: {{") from None
    for literal, field, rest, _ in parts:
        words[-1] += literal
        if field is None:
            continue
        name = f"{field}:{rest}" if rest else field
        if name not in names:
            raise problem("prompt", f"no input is called {name!r}", nearest(name, names))
        found.append(name)
        words.append("")
    if lacking := [name for name in names if name not in found]:
        do = f"write {{{lacking[0]}}} where it belongs, or leave the column out of `inputs`"
        raise problem("prompt", f"the column {lacking[0]!r} does not stand in it", do=do)
    return words, found


def prompt(made: Template, writing: Writing, keys: Mapping[str, str], longest: int) -> Prompt:
    """The template in token ids; `keys` are those of the columns."""
    tokenizer = Tokenizer.from_file(writing.whole)
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False).ids) if text else ()

    pieces: list[tuple[int, ...] | str] = []
    for words, name in zip(made.words, (*made.names, None), strict=True):
        pieces += [ids(words)] if words else []
        pieces += [keys[name]] if name is not None else []
    opening = ids(made.opening) if made.chat else writing.opening
    return Prompt(opening=opening, pieces=tuple(pieces), between=ids(made.between), longest=longest)


def answers(texts: Sequence[str], tokenizer: str, end: int) -> list[tuple[int, ...]]:
    """The token ids of answers, each with the one that ends it."""
    known = Tokenizer.from_file(tokenizer)
    known.encode_special_tokens = True  # what is spelt like one is text
    return [(*one.ids, end) for one in known.encode_batch(list(texts), add_special_tokens=False)]


def with_examples(plain: Prompt, rows: EncodedRows, texts: Sequence[tuple[int, ...]], most: int) -> Prompt:
    """A prompt before which training rows may stand, at most a thousand, evenly from all; `texts` are their answers."""
    picked = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_EXAMPLES)).astype(np.int64)).tolist()
    encoded = zip(rows.columns, rows.encoded, strict=True)
    columns = {column.key: part for column, part in encoded if isinstance(part, Ragged)}  # token ids, all of them
    found = []
    for row in picked:
        own = {key: columns[key][row].tolist() for key in plain.keys}
        found.append(Example(asked=tuple(plain.asked(own)), answer=texts[row][:-1]))  # `between` says that it ends
    return plain.model_copy(update={"examples": tuple(found), "most": most})
