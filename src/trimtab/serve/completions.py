"""What clients of OpenAI send and get: requests that ask for a text, and the texts, whole or piece by piece.

https://platform.openai.com/docs/api-reference/completions and .../chat, as far as a bundle can do what they say;
what it cannot do is refused, rather than left out without a word.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from trimtab.errors import TrimtabError, brief
from trimtab.runtime import Decoding, Model, Pieces, Said
from trimtab.serve.refusals import Refused, told

_MOST_ANSWERS = 16  # to one prompt
_DONE = "data: [DONE]\n\n"
_SEEDS = 1 << 63


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StreamOptions(_Part):
    """How pieces are sent."""

    include_usage: bool = False
    include_obfuscation: bool = False  # there is none


class Asked(_Part):
    """What both kinds of requests have in common. `row` and what stands below it are Trimtab's own."""

    not_done: ClassVar[tuple[str, ...]] = ("frequency_penalty", "presence_penalty", "logit_bias")

    model: str
    temperature: float | None = Field(None, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    n: int | None = Field(None, ge=1, le=_MOST_ANSWERS)
    stop: str | tuple[str, ...] | None = None
    seed: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    user: str | None = None
    metadata: Any = None
    store: bool | None = None
    service_tier: str | None = None
    row: Mapping[str, Any] | None = None
    beams: int | None = Field(None, ge=1, le=_MOST_ANSWERS)
    length_penalty: float | None = None
    top_k: int | None = Field(None, ge=0)
    no_repeat: int | None = Field(None, ge=0)

    @property
    def most(self) -> int | None:
        """Tokens of an answer."""
        return self.max_tokens

    @property
    def texts(self) -> list[str | None]:
        """What is to be answered; None: the row says it."""
        raise NotImplementedError

    @property
    def history(self) -> list[tuple[str, str]]:
        """What was asked before, and answered."""
        return []

    @property
    def contents(self) -> list[str]:
        """Pictures and sounds that are sent along, in base64 or as data: URIs."""
        return []

    @property
    def scored(self) -> bool:
        """Whether the probabilities of tokens are asked for."""
        raise NotImplementedError


class Completion(Asked):
    """The body of `POST /v1/completions`."""

    not_done: ClassVar[tuple[str, ...]] = (*Asked.not_done, "echo", "suffix")

    prompt: str | tuple[str, ...] | None = None
    logprobs: int | None = Field(None, ge=0, le=0)  # 0: those of the tokens that are written
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = Field(None, ge=1, le=1)

    @property
    def texts(self) -> list[str | None]:
        """The prompts."""
        return list(self.prompt) if isinstance(self.prompt, tuple) else [self.prompt]

    @property
    def scored(self) -> bool:
        """See `Asked.scored`."""
        return self.logprobs is not None


class Message(BaseModel):
    """A message of a conversation."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    role: str
    content: str | tuple[Mapping[str, Any], ...] | None = None

    @property
    def parts(self) -> tuple[Mapping[str, Any], ...]:
        """What its content is made of."""
        return self.content if isinstance(self.content, tuple) else ({"text": self.content},)

    @property
    def text(self) -> str | None:
        """Parts that are texts, one behind the other."""
        told = [str(part["text"]) for part in self.parts if part.get("text") is not None]
        return "".join(told) if told else None


class Chat(Asked):
    """The body of `POST /v1/chat/completions`."""

    not_done: ClassVar[tuple[str, ...]] = (*Asked.not_done, "top_logprobs", "tools", "functions", "modalities", "audio")

    messages: tuple[Message, ...] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: Mapping[str, Any] | None = None
    tools: tuple[Any, ...] | None = None
    functions: tuple[Any, ...] | None = None
    modalities: tuple[str, ...] | None = None
    audio: Any = None

    @field_validator("messages")
    @classmethod
    def _in_turn(cls, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        roles = [message.role for message in messages]
        if roles != ["user", *["assistant", "user"] * (len(roles) // 2)]:
            said = ", ".join(roles)[:80]
            raise ValueError(
                f"found {said}; a conversation is one message of the role user, or user, assistant, user ...: what a "
                "bundle is told otherwise stands in its prompt"
            )
        return messages

    @field_validator("response_format")
    @classmethod
    def _text(cls, format: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        if format is not None and format.get("type") != "text":
            raise ValueError("an answer is a text")
        return format

    @property
    def most(self) -> int | None:
        """See `Asked.most`."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def _parts(self) -> tuple[Mapping[str, Any], ...]:
        return self.messages[-1].parts

    @property
    def history(self) -> list[tuple[str, str]]:
        """See `Asked.history`."""
        said = [message.text or "" for message in self.messages[:-1]]
        return list(zip(said[::2], said[1::2], strict=True))

    @property
    def texts(self) -> list[str | None]:
        """The content of the last message."""
        return [self.messages[-1].text]

    @property
    def contents(self) -> list[str]:
        """The other parts: `{"image_url": {"url": "data:..."}}`, `{"input_audio": {"data": "..."}}`."""
        places = (("image_url", "url"), ("input_audio", "data"))
        found = (
            part[kind].get(key) for part in self._parts for kind, key in places if isinstance(part.get(kind), dict)
        )
        return [str(one) for one in found]

    @property
    def scored(self) -> bool:
        """See `Asked.scored`."""
        return bool(self.logprobs)


Kind = TypeVar("Kind", bound=Asked)


def read(kind: type[Kind], body: Any) -> Kind:
    """A request of a kind. Raises Refused for what is none, and for what no bundle does."""
    try:
        asked = kind.model_validate(body)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else None
        raise Refused(400, brief(f"{field or 'body'}: {first['msg']}"), field=field) from None
    for name in asked.not_done:
        if getattr(asked, name):
            raise Refused(400, f"{name}: not done here", field=name)
    return asked


def rows(asked: Asked, model: Model) -> list[dict[str, Any]]:
    """The row of each prompt: a prompt is the text that the bundle reads. Raises Refused where it reads several."""
    texts = [column.name for column in model.inputs if column.is_text or column.begins]
    files = [column.name for column in model.inputs if column.from_files]
    found = []
    for text in asked.texts:
        row = dict(asked.row or {})
        for given, columns in (([] if text is None else [text], texts), (asked.contents, files)):
            if given and len(given) == len(columns) == 1:
                row[columns[0]] = given[0]
            elif given:
                said = f"the bundle reads {', '.join(column.name for column in model.inputs) or 'nothing'}"
                raise Refused(400, brief(f'prompt: {said}; say the row: {{"row": {{column: value}}}}'), field="prompt")
        if not row and not all(column.begins for column in model.inputs):
            raise Refused(400, "prompt: there is none", field="prompt")
        found.append(row)
    return found


def before(asked: Asked, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that were asked before the last one of a conversation, each otherwise as this one."""
    (name,) = row if len(row) == 1 else (None,)
    if name is None and asked.history:
        raise Refused(400, "messages: a conversation is of one column, and the row has others", field="messages")
    return [{str(name): question} for question, _ in asked.history]


def decodings(asked: Asked, model: Model, most: int) -> list[Decoding]:
    """How each answer to a prompt is written; `most` tokens at most. Raises Refused for what cannot be.

    What is drawn, or told piece by piece, is one answer that is followed, unless `beams` says otherwise.
    """
    if asked.most is not None and asked.most > most:
        raise Refused(400, f"max_tokens: found {asked.most:,}; at most {most:,}", field="max_tokens")
    stop = None if asked.stop is None else (asked.stop,) if isinstance(asked.stop, str) else asked.stop
    beams = 1 if asked.beams is None and (asked.temperature or asked.stream) else asked.beams
    same = {name: getattr(asked, name) for name in ("temperature", "top_p", "length_penalty", "top_k", "no_repeat")}
    given = {**same, "stop": stop, "beams": beams, "longest": asked.most}
    seed = model.program.options.seed if asked.seed is None else asked.seed
    try:
        options = {name: value for name, value in given.items() if value is not None}
        return [model.writing(**options, seed=(seed + one) % _SEEDS).program.options for one in range(asked.n or 1)]
    except TrimtabError as error:
        raise Refused(400, str(error)) from None


# ------------------------------------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class Tokens:
    """What was read and written, as it is paid for."""

    read: int
    written: int

    def told(self) -> dict[str, Any]:
        """As clients are told."""
        return {
            "prompt_tokens": self.read,
            "completion_tokens": self.written,
            "total_tokens": self.read + self.written,
        }


@dataclass(frozen=True)
class Wording:
    """How answers are told to who asked for completions."""

    kind: ClassVar[str] = "text_completion"
    piece: ClassVar[str] = "text_completion"

    id: str
    model: str
    created: int
    scored: bool
    usage: bool  # whether pieces are followed by the count of tokens

    @classmethod
    def of(cls, asked: Asked, id: str, model: str) -> Self:
        """Of a request."""
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        return cls(id, model, int(time.time()), asked.scored, usage)

    def whole(self, pieces: Sequence[Pieces], ends: Sequence[str], tokens: Tokens) -> dict[str, Any]:
        """All answers."""
        choices = [self._choice(place, one, end) for place, (one, end) in enumerate(zip(pieces, ends, strict=True))]
        return self._answer(self.kind, choices, tokens.told())

    async def streamed(self, said: AsyncIterator[Said], pieces: Sequence[Pieces], tokens: Any) -> AsyncIterator[str]:
        """Events that a server sends (https://html.spec.whatwg.org/multipage/server-sent-events.html).

        `tokens()` gives what was read and written, at the end.
        """
        for place in range(len(pieces)):
            if first := self._opening(place):
                yield self._event([first])
        try:
            async for one in said:
                assert isinstance(one.key, int)
                text = pieces[one.key].add(one)
                if text or one.end:
                    yield self._event([self._part(one.key, text, one.end or None)])
        except Exception as error:
            yield _event(error.told("openai") if isinstance(error, Refused) else told(500, shape="openai"))
            raise
        if self.usage:
            yield _event(self._answer(self.piece, [], tokens().told()))
        yield _DONE

    def _event(self, choices: Sequence[Mapping[str, Any]]) -> str:
        return _event(self._answer(self.piece, choices, None))

    def _answer(self, kind: str, choices: Sequence[Mapping[str, Any]], usage: Any) -> dict[str, Any]:
        found = {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}
        return found if usage is None and not self.usage else {**found, "usage": usage}

    def _choice(self, place: int, one: Pieces, end: str) -> dict[str, Any]:
        scores = None
        if self.scored:
            words = [one.text([id]) for id in one.ids]
            offsets = [len(one.text(one.ids[:count])) for count in range(len(one.ids))]
            scores = {"tokens": words, "token_logprobs": one.scores, "top_logprobs": None, "text_offset": offsets}
        return {"index": place, "text": one.told, "logprobs": scores, "finish_reason": end}

    def _opening(self, place: int) -> dict[str, Any] | None:
        return None

    def _part(self, place: int, text: str, end: str | None) -> dict[str, Any]:
        return {"index": place, "text": text, "logprobs": None, "finish_reason": end}


class ChatWording(Wording):
    """How answers are told to who asked for a message."""

    kind: ClassVar[str] = "chat.completion"
    piece: ClassVar[str] = "chat.completion.chunk"

    def _choice(self, place: int, one: Pieces, end: str) -> dict[str, Any]:
        scores = None
        if self.scored:
            pairs = [(one.text([id]), score) for id, score in zip(one.ids, one.scores, strict=True)]
            tokens = [
                {"token": text, "logprob": score, "bytes": list(text.encode("utf-8", "replace")), "top_logprobs": []}
                for text, score in pairs
            ]
            scores = {"content": tokens, "refusal": None}
        message = {"role": "assistant", "content": one.told, "refusal": None}
        return {"index": place, "message": message, "logprobs": scores, "finish_reason": end}

    def _opening(self, place: int) -> dict[str, Any] | None:
        delta = {"role": "assistant", "content": ""}
        return {"index": place, "delta": delta, "logprobs": None, "finish_reason": None}

    def _part(self, place: int, text: str, end: str | None) -> dict[str, Any]:
        return {"index": place, "delta": {"content": text} if text else {}, "logprobs": None, "finish_reason": end}


def _event(content: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(content, allow_nan=False, separators=(',', ':'))}\n\n"
