"""What every encoder with pretrained weights has in common, whatever it reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn


class PretrainedEncoder(nn.Module):
    """An encoder around `model`, whose weights come from a base; what stands beside it is new."""

    model: nn.Module

    def depth(self, parameter: str) -> int:
        """How many blocks lie between a parameter of this module and the head: 0 for the last block."""
        raise NotImplementedError

    def tables(self) -> Iterator[nn.Embedding]:
        """Embedding tables of which a step touches few rows."""
        return iter(())

    def adapt(self, rank: int, alpha: int, dropout: float) -> None:
        """Freeze the pretrained weights and put a low-rank update beside each linear map (arXiv:2106.09685)."""
        config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules="all-linear", bias="none")
        self.model = cast(nn.Module, get_peft_model(self.model, config))

    def merge(self) -> None:
        """Add the low-rank updates, where there are any, to the weights that they update."""
        if isinstance(self.model, PeftModel):
            self.model = cast(nn.Module, self.model.merge_and_unload())
