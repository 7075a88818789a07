"""Text: a pretrained model that reads with an encoder and writes with a decoder (Marian, BART, T5).

A head that writes answers lets its decoder write them; nothing else reads its states.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForSeq2SeqLM, DynamicCache, EncoderDecoderCache

from trimtab.columns.text import TextColumn
from trimtab.errors import problem
from trimtab.nets.graphs import NamedGraph
from trimtab.nets.pretrained import PretrainedEncoder, hold_twins_once
from trimtab.nets.states import States

_BLOCK = re.compile(r"(?:^|\.)(?:layers|block)\.(\d+)\.")


class EncoderDecoderEncoder(PretrainedEncoder):
    """Token ids -> states of the encoder; `following` and `graphs` are the decoder behind them."""

    types: ClassVar[frozenset[str]] = frozenset({"text"})
    states_width: ClassVar[int] = 512

    def __init__(self, columns: Sequence[TextColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        settings = dict(config)
        if "model_type" not in settings:
            raise problem("encoder: encoder_decoder", "it does not start from nothing", do="name a base")
        (column,) = columns
        self.key = column.key
        shape: Any = AutoConfig.for_model(settings.pop("model_type"), **settings)
        # Fused attention does not come through the exporter with the relative places of T5.
        self.model = AutoModelForSeq2SeqLM.from_config(shape, attn_implementation="eager")
        self.width = int(shape.d_model)
        self.blocks = int(getattr(shape, "num_decoder_layers", None) or shape.decoder_layers)
        self.heads = int(getattr(shape, "decoder_attention_heads", None) or shape.num_heads)
        self.head_size = int(getattr(shape, "d_kv", None) or self.width // self.heads)
        # Tokens of an answer where places stand in a table.
        self.context: int | None = getattr(shape, "max_position_embeddings", None)
        hold_twins_once(self)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_ids` and `<key>_mask`, both (rows, steps) -> states (rows, steps, width)."""
        ids, mask = tensors[f"{self.key}_ids"], tensors[f"{self.key}_mask"]
        encoder = self._whole.get_encoder()
        hidden = encoder(input_ids=ids, attention_mask=_added(mask)).last_hidden_state
        return States(hidden, mask.bool(), torch.zeros_like(ids[0]))

    def following(self, tensors: Mapping[str, Tensor], before: Tensor) -> Tensor:
        """The logits behind each of the tokens `before` of answers, (rows, tokens) -> (rows, tokens, vocabulary)."""
        found = self.model(
            input_ids=tensors[f"{self.key}_ids"],
            attention_mask=tensors[f"{self.key}_mask"],
            decoder_input_ids=before,
            use_cache=False,
        )
        logits: Tensor = found.logits
        return logits

    @property
    def program_options(self) -> dict[str, Any]:
        """What `programs.stepwise` has to know of the graphs."""
        shape = {"layers": self.blocks, "kv_heads": self.heads, "head_size": self.head_size}
        return {**shape, **({} if self.context is None else {"context": int(self.context)})}

    def graphs(self, example: Mapping[str, Tensor], moving: Mapping[str, tuple[int, ...]]) -> Iterator[NamedGraph]:
        """The graphs that `programs.stepwise` names; `example` are the tensors of some rows."""
        kept = [f"{part}_{number}" for number in range(self.blocks) for part in ("k", "v")]
        cross, past = [f"cross_{name}" for name in kept], [f"past_{name}" for name in kept]
        names = [f"{self.key}_ids", f"{self.key}_mask"]
        own = {name: example[name] for name in names}
        yield NamedGraph("encode", _Encode(self), own, {n: moving[n] for n in names}, ("memory_mask", *cross))
        rows, places, before, steps = 2, 3, 5, 6  # all different and above 1: the exporter takes equal ones for one
        given = {
            "ids": torch.ones(rows, places, dtype=torch.long),
            "positions": torch.arange(places).expand(rows, -1).contiguous(),
            "mask": torch.zeros(rows, 1, places, before + places),
            "picked": torch.tensor([[0, 2]] * rows),
            **{name: torch.zeros(rows, self.heads, before, self.head_size) for name in past},
            "memory_mask": torch.zeros(rows, 1, 1, steps),
            **{name: torch.zeros(rows, self.heads, steps, self.head_size) for name in cross},
        }
        differ = {"ids": (0, 1), "positions": (0, 1), "mask": (0, 2, 3), "picked": (0, 1), "memory_mask": (0, 3)}
        differ |= dict.fromkeys((*past, *cross), (0, 2))
        gives = ("logits", *(f"present_{name}" for name in kept))
        yield NamedGraph("step", _Step(self), given, differ, gives)

    @property
    def _whole(self) -> Any:
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    def remembered(self, hidden: Tensor) -> Iterator[Tensor]:
        """Keys and values of the encoder's states, of one layer of the decoder after the other."""
        decoder = self._whole.get_decoder()
        for layer in decoder.block if hasattr(decoder, "block") else decoder.layers:
            own = layer.layer[1].EncDecAttention if hasattr(layer, "layer") else layer.encoder_attn
            for project in (own.k, own.v) if hasattr(own, "k") else (own.k_proj, own.v_proj):
                yield project(hidden).unflatten(2, (self.heads, self.head_size)).transpose(1, 2)

    def stepped(self, given: Mapping[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The tensors of a step -> logits of the picked places, and the keys and values of all places so far."""
        model = self._whole
        own, crossed = DynamicCache(), DynamicCache()
        for number in range(self.blocks):
            own.update(given[f"past_k_{number}"], given[f"past_v_{number}"], number)
            crossed.update(given[f"cross_k_{number}"], given[f"cross_v_{number}"], number)
        both = EncoderDecoderCache(own, crossed)
        both.is_updated = dict.fromkeys(range(self.blocks), True)
        picked, memory = given["picked"], given["memory_mask"]

        def of_picked(module: nn.Module, tensors: tuple[Tensor, ...]) -> Tensor:
            return tensors[0].gather(1, picked.unsqueeze(-1).expand(-1, -1, tensors[0].shape[-1]))

        # What the encoder gave is not read again, but how long it is.
        states = memory.new_zeros(memory.shape[0], memory.shape[3], self.width)
        with _placed(model, given["positions"]), _hooked(model.get_output_embeddings(), of_picked):
            found = model(
                encoder_outputs=(states,),
                attention_mask=memory,
                decoder_input_ids=given["ids"],
                decoder_attention_mask=given["mask"],
                past_key_values=both,
                use_cache=True,
            )
        layers: Any = own.layers
        return found.logits, [part for layer in layers for part in (layer.keys, layer.values)]

    def depth(self, parameter: str) -> int:
        """How many blocks lie between a parameter of this module and the head: 0 for the last one of both halves."""
        match = _BLOCK.search(parameter)
        if match:
            return max(0, self.blocks - 1 - int(match.group(1)))
        return self.blocks if re.search(r"embed|shared", parameter) else 0


class _Encode(nn.Module):
    """The tensors of the inputs -> what every step sees of them."""

    def __init__(self, encoder: EncoderDecoderEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        (ids, mask), key = tensors, self.encoder.key
        hidden = self.encoder({f"{key}_ids": ids, f"{key}_mask": mask}).values
        return _added(mask), *self.encoder.remembered(hidden)


class _Step(nn.Module):
    """Tokens, and what earlier steps and the inputs left -> logits of the picked places, and what later steps need."""

    def __init__(self, encoder: EncoderDecoderEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        kept = [f"{part}_{number}" for number in range(encoder.blocks) for part in ("k", "v")]
        past, cross = [f"past_{name}" for name in kept], [f"cross_{name}" for name in kept]
        self.names = ["ids", "positions", "mask", "picked", *past, "memory_mask", *cross]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        logits, kept = self.encoder.stepped(dict(zip(self.names, tensors, strict=True)))
        return logits, *kept


def _added(mask: Tensor) -> Tensor:
    """What is added to scores where a mask (rows, steps) hides a step, (rows, 1, 1, steps)."""
    return ((1 - mask) * torch.finfo(torch.float32).min).unsqueeze(1).unsqueeze(1)


@contextmanager
def _hooked(module: nn.Module, before: Callable[[nn.Module, tuple[Tensor, ...]], Tensor]) -> Iterator[None]:
    hook = module.register_forward_pre_hook(before)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _placed(model: Any, positions: Tensor) -> Iterator[None]:
    """Inside, the decoder's table of places, where it has one, is read at each row's own: rows begin at any time."""
    table = getattr(model.get_decoder(), "embed_positions", None)
    if table is None:
        yield
        return
    places = positions + int(getattr(table, "offset", 0))
    hook = table.register_forward_hook(lambda *_: functional.embedding(places, table.weight))
    try:
        yield
    finally:
        hook.remove()
