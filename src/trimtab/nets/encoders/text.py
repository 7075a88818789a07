"""Text: any Hugging Face encoder, given by its configuration (BERT, DistilBERT, RoBERTa, XLM-R, MiniLM, ModernBERT).

Several texts of a row (a title and its body, a question and its answer) are read as one sequence of segments, so that
each word sees those of the other texts (the pairs of Devlin et al. 2019, arXiv:1810.04805).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from trimtab.columns.text import TextColumn
from trimtab.nets import steps
from trimtab.nets.pretrained import PretrainedEncoder, room
from trimtab.nets.states import States

# A block's number in a parameter's name: bert `encoder.layer.3.`, distilbert `transformer.layer.3.`, modernbert
# `layers.3.`.
_BLOCK = re.compile(r"(?:^|\.)(?:layer|layers|block|blocks|h)\.(\d+)\.")


class TextEncoder(PretrainedEncoder):
    """Token ids -> one state per token; or per word, where the column marks words."""

    types: ClassVar[frozenset[str]] = frozenset({"text"})
    joins: ClassVar[bool] = True  # several columns are read as one sequence
    states_width: ClassVar[int] = 384
    default_base: ClassVar[str | None] = "minilm"

    def __init__(self, columns: Sequence[TextColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.keys = [column.key for column in columns]
        self.words = columns[0].words
        settings = dict(config)
        shape = AutoConfig.for_model(settings.pop("model_type"), **settings)
        with room():
            model: Any = AutoModel.from_config(shape, attn_implementation="sdpa")
        self.positions = "position_ids" in inspect.signature(model.forward).parameters
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # heads read the states themselves; the pooler would only cost time and bytes
        self.model = model
        self.blocks = int(shape.num_hidden_layers)
        # RoBERTa kinds do not tell segments apart, and count positions from behind the padding id.
        is_roberta = "roberta" in str(shape.model_type)
        self.segments = 0 if is_roberta else int(getattr(shape, "type_vocab_size", 0) or 0)
        self.first_position = int(shape.pad_token_id or 0) + 1 if is_roberta else 0
        hidden = int(shape.hidden_size)
        self.project: nn.Module = nn.Identity() if hidden == width else nn.Linear(hidden, width)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_ids` and `<key>_mask`, both (rows, steps) -> states (rows, steps, width)."""
        if len(self.keys) > 1:
            return self._together(tensors)
        key = self.keys[0]
        ids, mask = tensors[f"{key}_ids"], tensors[f"{key}_mask"]
        hidden = self.project(self.wide(self.model(input_ids=ids, attention_mask=mask).last_hidden_state))
        if not self.words:
            return States(hidden, mask.bool(), torch.zeros_like(ids[0]))
        first, real = tensors[f"{key}_words"], tensors[f"{key}_word_mask"]
        picked = hidden.gather(1, first.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
        return States(picked, real.bool(), torch.zeros_like(first[0]))

    def _together(self, tensors: Mapping[str, Tensor]) -> States:
        """All texts in one sequence, each right behind the one before, as the base was trained on pairs."""
        parts = [tensors[f"{key}_ids"] for key in self.keys]
        masks = [tensors[f"{key}_mask"] for key in self.keys]
        source, mask = steps.without_gaps(masks)
        ids = torch.cat(parts, dim=1).gather(1, source)
        extra: dict[str, Tensor] = {}
        if self.segments:
            kinds = [torch.full_like(part, min(number, self.segments - 1)) for number, part in enumerate(parts)]
            extra["token_type_ids"] = torch.cat(kinds, dim=1).gather(1, source)
        if self.positions:
            extra["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0) + self.first_position
        hidden = self.wide(self.model(input_ids=ids, attention_mask=mask, **extra).last_hidden_state)
        return States(self.project(hidden), mask.bool(), torch.zeros_like(ids[0]))

    def depth(self, parameter: str) -> int:
        """How many blocks lie between a parameter of this module and the head: 0 for the last block."""
        if parameter.startswith("project"):
            return 0
        match = _BLOCK.search(parameter)
        if match:
            return self.blocks - 1 - int(match.group(1))
        return self.blocks if "embed" in parameter else 0

    def tables(self) -> Iterator[nn.Embedding]:
        """The word table: a step touches a few hundred of its 30,000 rows."""
        table = self.model.get_input_embeddings()  # type: ignore[operator]
        if isinstance(table, nn.Embedding):
            yield table
