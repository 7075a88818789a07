"""Text: any Hugging Face encoder, given by its configuration (BERT, DistilBERT, RoBERTa, XLM-R, MiniLM, ModernBERT)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from trimtab.columns.text import TextColumn
from trimtab.nets.pretrained import PretrainedEncoder
from trimtab.nets.states import States

# A block's number in a parameter's name: bert `encoder.layer.3.`, distilbert `transformer.layer.3.`, modernbert
# `layers.3.`.
_BLOCK = re.compile(r"(?:^|\.)(?:layer|layers|block|blocks|h)\.(\d+)\.")


class TextEncoder(PretrainedEncoder):
    """Token ids -> one state per token."""

    def __init__(self, column: TextColumn, width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.key = column.key
        settings = dict(config)
        shape = AutoConfig.for_model(settings.pop("model_type"), **settings)
        model: Any = AutoModel.from_config(shape, attn_implementation="sdpa")
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # heads read the states themselves; the pooler would only cost time and bytes
        self.model = model
        self.blocks = int(shape.num_hidden_layers)
        hidden = int(shape.hidden_size)
        self.project: nn.Module = nn.Identity() if hidden == width else nn.Linear(hidden, width)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_ids` and `<key>_mask`, both (rows, steps) -> states (rows, steps, width)."""
        ids, mask = tensors[f"{self.key}_ids"], tensors[f"{self.key}_mask"]
        hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
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
