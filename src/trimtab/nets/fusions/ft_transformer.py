"""FT-Transformer (Gorishniy et al. 2021, arXiv:2106.11959): attention between the columns of a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trimtab import part_options
from trimtab.nets.fusions._layers import each_input
from trimtab.nets.states import States


class Options(part_options.Options):
    """What may be set on it."""

    layers: int = Field(2, ge=1, le=24, description="Transformer blocks.")
    heads: int = Field(8, ge=1, description="Attention heads, at most; fewer where they do not divide the width.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout of attention weights and in feed-forward layers.")


class FtTransformerFusion(nn.Module):
    """States of `inputs` inputs and a learned [CLS] state -> the last [CLS] state, (rows, width)."""

    deep: ClassVar[bool] = True

    def __init__(self, width: int, inputs: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        chosen = part_options.check(Options, "fusion", config)
        self.inputs, self.width = inputs, width
        heads = max(count for count in range(1, chosen.heads + 1) if width % count == 0)
        self.source = nn.Parameter(torch.randn(inputs, width) * 0.1)  # tells the inputs apart
        self.cls = nn.Parameter(torch.randn(width) * 0.1)
        self.blocks = nn.ModuleList(Block(width, heads, chosen.dropout) for _ in range(chosen.layers))
        self.finish = nn.Sequential(nn.LayerNorm(width), nn.ReLU())

    def forward(self, states: States) -> Tensor:
        """(rows, steps, width) -> (rows, width)."""
        each = each_input(states, self.inputs) + self.source
        tokens = torch.cat([self.cls.expand(each.shape[0], 1, -1), each], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        vectors: Tensor = self.finish(tokens[:, 0])
        return vectors


class Block(nn.Module):
    """Attention and a ReGLU feed-forward layer, each behind a norm: (rows, tokens, width) -> the same."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.share = heads, dropout
        inner = max(8, width * 4 // 3)
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 2 * inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """One block."""
        tokens = tokens + self._attend(self.attention_norm(tokens))
        gate, value = self.widen(self.feed_norm(tokens)).chunk(2, dim=-1)
        fed: Tensor = tokens + self.narrow(self.dropout(functional.relu(gate) * value))
        return fed

    def _attend(self, tokens: Tensor) -> Tensor:
        rows, count, width = tokens.shape
        split = self.project(tokens).view(rows, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        share = self.share if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(split[0], split[1], split[2], dropout_p=share)
        merged: Tensor = self.merge(mixed.transpose(1, 2).reshape(rows, count, width))
        return merged
