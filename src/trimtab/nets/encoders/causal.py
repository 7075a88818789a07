"""Text: a pretrained language model (GPT-2, Llama, Qwen, SmolLM, Gemma), which sees what is before a token alone.

Its states are read by fusions and heads as those of any encoder; heads that write answers, or weigh them, let it go on
behind what it was asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from trimtab.columns import Prompt
from trimtab.columns.text import TextColumn
from trimtab.errors import problem
from trimtab.nets import steps
from trimtab.nets.graphs import NamedGraph
from trimtab.nets.pretrained import PretrainedEncoder, hold_twins_once, room
from trimtab.nets.states import States

_BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")


class CausalEncoder(PretrainedEncoder):
    """Token ids between the words of a prompt -> one state per token."""

    types: ClassVar[frozenset[str]] = frozenset({"text", "beginning"})
    joins: ClassVar[bool] = True
    states_width: ClassVar[int] = 576

    def __init__(self, columns: Sequence[TextColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        settings = dict(config)
        if "model_type" not in settings:
            raise problem("encoder: causal", "a language model does not start from nothing", do="base: smollm2")
        asked = settings.pop("prompt", None) or {"pieces": [column.key for column in columns], "longest": 512}
        self.prompt = Prompt.model_validate(asked)
        shape = AutoConfig.for_model(settings.pop("model_type"), **settings)
        with room():
            self.model = AutoModelForCausalLM.from_config(shape, attn_implementation="sdpa")
        self.tie()
        self.blocks, heads = int(shape.num_hidden_layers), int(shape.num_attention_heads)
        self.kv_heads = int(getattr(shape, "num_key_value_heads", None) or heads)
        self.head_size = int(getattr(shape, "head_dim", None) or shape.hidden_size // heads)
        self.context = int(shape.max_position_embeddings)
        self.project: nn.Module = steps.projected(int(shape.hidden_size), width)
        hold_twins_once(self)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_ids` and `<key>_mask` of each column, (rows, steps) -> states (rows, steps of the prompt, width)."""
        ids, mask = self._asked(tensors)
        decoder: Any = self._language_model.base_model
        hidden = decoder(
            input_ids=ids,
            attention_mask=steps.attended(mask.bool(), causal=True),
            position_ids=steps.positions(mask),
            use_cache=False,
        ).last_hidden_state
        return States(self.project(self.wide(hidden)), mask.bool(), torch.zeros_like(ids[0]))

    def following(self, tensors: Mapping[str, Tensor], answers: Tensor, known: Tensor) -> Tensor:
        """The logits of each token of the answers behind the prompts, (rows, tokens, vocabulary).

        `answers` (rows, tokens) int64, right-padded; `known` (rows, tokens) bool, where they are no padding.
        """
        ids, mask = self.prompts(tensors) if self.prompt.most else self._asked(tensors)
        lengths = mask.sum(1, keepdim=True)
        source, whole = steps.without_gaps([mask, known.to(mask.dtype)])
        ids = torch.cat([ids, answers], dim=1).gather(1, source)
        # What stands before a token says how likely it is.
        places = lengths - 1 + torch.arange(answers.shape[1], device=ids.device)
        found = self.model(
            input_ids=ids,
            attention_mask=steps.attended(whole.bool(), causal=True),
            position_ids=steps.positions(whole),
            logits_to_keep=places.clamp(max=ids.shape[1] - 1),
            use_cache=False,
        )
        logits: Tensor = found.logits
        return logits

    def likelihoods(self, tensors: Mapping[str, Tensor], answers: Sequence[Sequence[int]]) -> Tensor:
        """The log-likelihood of each of the answers behind each prompt, (rows, answers); prompts are read once."""
        ids, mask = self.prompts(tensors) if self.prompt.most else self._asked(tensors)
        rows, lengths = len(ids), mask.sum(1, keepdim=True)
        read = self.model(
            input_ids=ids,
            attention_mask=steps.attended(mask.bool(), causal=True),
            position_ids=steps.positions(mask),
            logits_to_keep=lengths - 1,
            past_key_values=DynamicCache(),
            use_cache=True,
        )
        kept = [(layer.keys, layer.values) for layer in read.past_key_values.layers]
        first = read.logits[:, 0].float().log_softmax(-1)
        return torch.stack([self._behind(kept, mask, first, answer) for answer in answers], dim=1).reshape(rows, -1)

    def _behind(
        self, kept: Sequence[tuple[Tensor, Tensor]], mask: Tensor, first: Tensor, answer: Sequence[int]
    ) -> Tensor:
        """The log-likelihood of one answer behind prompts that were read, (rows,)."""
        total = first[:, answer[0]]
        if len(answer) == 1:
            return total
        cache = DynamicCache()
        for number, (keys, values) in enumerate(kept):
            cache.update(keys, values, number)
        ids = torch.tensor(answer[:-1], device=mask.device).expand(len(mask), -1)
        seen = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=mask.device).tril()
        before = mask.bool()[:, None, None].expand(-1, 1, ids.shape[1], -1)
        found = self.model(
            input_ids=ids,
            attention_mask=torch.cat([before, seen.expand(len(mask), 1, -1, -1)], dim=-1),
            position_ids=mask.sum(1, keepdim=True) + torch.arange(ids.shape[1], device=mask.device),
            past_key_values=cache,
            use_cache=True,
        )
        wanted = torch.tensor(answer[1:], device=mask.device).reshape(1, -1, 1).expand(len(mask), -1, 1)
        following: Tensor = found.logits.float().log_softmax(-1).gather(-1, wanted)[..., 0]
        return total + following.sum(1)

    def prompts(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Whole prompts with their examples and their mask, both (rows, steps) int64, right-padded. Not for a graph."""
        keys = self.prompt.keys
        columns = {}
        for key in keys:
            padded = zip(tensors[f"{key}_ids"], tensors[f"{key}_mask"].bool(), strict=True)
            columns[key] = [row[known].tolist() for row, known in padded]
        made = [self.prompt.of(dict(zip(keys, row, strict=True))) for row in zip(*columns.values(), strict=True)]
        device = tensors[f"{keys[0]}_ids"].device
        ids = nn.utils.rnn.pad_sequence([torch.tensor(row, device=device) for row in made], batch_first=True)
        lengths = torch.tensor([len(row) for row in made], device=device)
        return ids, (torch.arange(ids.shape[1], device=device) < lengths.unsqueeze(1)).long()

    def _asked(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Prompts without examples, as `prompts` gives them."""
        first = tensors[f"{self.prompt.keys[0]}_ids"]
        parts, masks = [], []
        for piece in (self.prompt.opening, *self.prompt.pieces):
            if isinstance(piece, str):
                parts.append(tensors[f"{piece}_ids"])
                masks.append(tensors[f"{piece}_mask"])
            elif piece:
                parts.append(torch.tensor(piece, device=first.device).expand(first.shape[0], -1))
                masks.append(torch.ones_like(parts[-1]))
        source, mask = steps.without_gaps(masks)
        return torch.cat(parts, dim=1).gather(1, source), mask

    def step(self) -> NamedGraph:
        """The graph `step` of `programs.stepwise`."""
        rows, places, before = 2, 3, 5  # all different and above 1: the exporter takes equal ones for one
        kept = [f"{part}_{number}" for number in range(self.blocks) for part in ("k", "v")]
        example = {
            "ids": torch.zeros(rows, places, dtype=torch.long),
            "positions": torch.arange(places).expand(rows, -1).contiguous(),
            "mask": torch.zeros(rows, 1, places, before + places),
            "picked": torch.tensor([[0, 2]] * rows),
            **{f"past_{name}": torch.zeros(rows, self.kv_heads, before, self.head_size) for name in kept},
        }
        moving = {"ids": (0, 1), "positions": (0, 1), "mask": (0, 2, 3), "picked": (0, 1)}
        moving |= {f"past_{name}": (0, 2) for name in kept}
        gives = ("logits", *(f"present_{name}" for name in kept))
        return NamedGraph("step", _Step(self._language_model, self.blocks), example, moving, gives)

    @property
    def program_options(self) -> dict[str, Any]:
        """What `programs.stepwise` has to know of the graph, and of how the model is asked."""
        shape = {"layers": self.blocks, "kv_heads": self.kv_heads, "head_size": self.head_size}
        return {**shape, "context": self.context, "prompt": self.prompt.model_dump(mode="json")}

    @property
    def _language_model(self) -> Any:
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    def depth(self, parameter: str) -> int:
        """How many blocks lie between a parameter of this module and the head: 0 for the last block."""
        match = _BLOCK.search(parameter)
        if match:
            return self.blocks - 1 - int(match.group(1))
        return self.blocks if re.search(r"embed|wte|wpe", parameter) else 0


class _Step(nn.Module):
    """One step: what was read before is given, and comes back with what is read now (`programs.stepwise`)."""

    def __init__(self, model: Any, layers: int) -> None:
        super().__init__()
        self.model, self.layers = model, layers

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """-> logits (rows, places, vocabulary) of the picked steps; keys and values of all steps, layer by layer."""
        ids, positions, mask, picked, *past = tensors
        cache = DynamicCache()
        for number in range(self.layers):
            cache.update(past[2 * number], past[2 * number + 1], number)

        def of_picked(module: nn.Module, given: tuple[Tensor, ...]) -> Tensor:
            return given[0].gather(1, picked.unsqueeze(-1).expand(-1, -1, given[0].shape[-1]))

        # The library's `logits_to_keep` takes the example's sizes for constants as it is exported.
        hook = self.model.get_output_embeddings().register_forward_pre_hook(of_picked)
        usual = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")  # some others do not come through the exporter
        try:
            found = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
        finally:
            hook.remove()
            self.model.set_attn_implementation(usual)
        return found.logits, *(part for layer in found.past_key_values.layers for part in (layer.keys, layer.values))
