"""How text is written: what a bundle says of it, and what a call may say otherwise."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from trimtab import part_options
from trimtab.columns import Prompt


class Decoding(part_options.Options):
    """How the next token is chosen, and when an answer ends; each may be set for one call."""

    longest: int = Field(128, ge=1, description="the most tokens of an answer")
    beams: int = Field(1, ge=1, le=64, description="answers that are followed at once; the likeliest is given")
    length_penalty: float = Field(
        1.0, description="with beams: log-probabilities are divided by the length to this power; more favours long ones"
    )
    temperature: float = Field(
        0.0, ge=0, description="0: the likeliest token; above: drawn, the more evenly the higher"
    )
    top_k: int = Field(0, ge=0, description="drawn among this many of the likeliest tokens; 0: among all")
    top_p: float = Field(
        1.0, gt=0, le=1, description="drawn among the likeliest tokens that together have this probability"
    )
    seed: int = Field(0, ge=0, description="of what is drawn; a row's answer is the same whatever stands beside it")
    no_repeat: int = Field(
        0, ge=0, description="no run of this many tokens is written twice in an answer; 0: any may be"
    )
    stop: tuple[str, ...] = Field((), description="an answer ends before the first of these texts")

    @field_validator("temperature")
    @classmethod
    def _one_way(cls, temperature: float, known: ValidationInfo) -> float:
        if temperature > 0 and known.data.get("beams", 1) > 1:
            raise ValueError("with beams the likeliest answers are followed, and nothing is drawn")
        return temperature


class Options(Decoding):
    """What a bundle says of its networks, and how they are asked where a call says nothing."""

    layers: int = Field(ge=1, description="of the decoder: `past_k_0`, `past_v_0`, ...")
    kv_heads: int = Field(ge=1, description="heads of the keys and values that are kept")
    head_size: int = Field(ge=1, description="numbers of each")
    bos: int = Field(ge=0, description="the id that an answer begins after, where there is an encoder")
    eos: tuple[int, ...] = Field(min_length=1, description="ids that end an answer")
    first: int | None = Field(None, ge=0, description="the id that every answer begins with")
    never: tuple[int, ...] = Field((), description="ids that are never written")
    pad: int = Field(0, ge=0, description="the id that fills rows up")
    context: int | None = Field(None, ge=1, description="tokens of prompt and answer that the network can see")
    rolls: bool = Field(
        False, description="whether a text goes on beyond that, by what opens a prompt and the last third, read anew"
    )
    prompt: Prompt | None = Field(
        None, description="without an encoder: what the prompt is made of, ids and keys of input columns; or its pieces"
    )
    choices: tuple[tuple[int, ...], ...] = Field(
        (), description="nothing is written: the ids of the names that a row is answered with one of"
    )
    choices_per_token: bool = Field(False, description="whether a choice counts by its mean log-probability")

    @field_validator("prompt", mode="before")
    @classmethod
    def _pieces_alone(cls, given: Any) -> Any:
        return {"pieces": given} if isinstance(given, (list, tuple)) and given else given or None
