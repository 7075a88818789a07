"""What every encoder with pretrained weights has in common, whatever it reads."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, ClassVar, Self, cast

from accelerate import init_empty_weights
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn
from transformers import PreTrainedModel

_HOLLOW: ContextVar[bool] = ContextVar("hollow", default=False)


@contextmanager
def without_weights() -> Iterator[None]:
    """Inside, models of texts are built without memory for their weights, and none are drawn: a base's are put in."""
    token = _HOLLOW.set(True)
    try:
        yield
    finally:
        _HOLLOW.reset(token)


def room() -> AbstractContextManager[Any]:
    """What the model of an encoder is built in, so that `without_weights` reaches it."""
    return init_empty_weights(include_buffers=False) if _HOLLOW.get() else nullcontext()


class PretrainedEncoder(nn.Module):
    """An encoder around `model`, whose weights come from a base; what stands beside it is new."""

    default_base: ClassVar[str | None] = None  # the pretrained model, where the user names none
    based: bool = True  # whether the weights of `model` come from a base: some shapes are also built from scratch
    rounded: bool = False  # whether those are held in fewer bits than 32 while it learns
    model: nn.Module

    def train(self, mode: bool = True) -> Self:
        """What is frozen, the model or blocks of it, drops nothing out and keeps the statistics of its batch norms."""
        super().train(mode)
        stacks = [module for module in self.model.modules() if isinstance(module, nn.ModuleList)]
        for part in (self.model, *self.model.children(), *(block for stack in stacks for block in stack)):
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    def wide(self, hidden: Tensor) -> Tensor:
        """What a model gives, in fp32 where it computes in fewer bits: what stands behind it learns in fp32."""
        return hidden.float() if self.rounded else hidden

    def depth(self, parameter: str) -> int:
        """How many blocks lie between a parameter of this module and the head: 0 for the last block."""
        raise NotImplementedError

    def tie(self) -> None:
        """Make one of the weights that are one by the model's design, where each was put in under a name of its own."""
        if isinstance(self.model, PreTrainedModel):
            self.model.tie_weights()

    def tables(self) -> Iterator[nn.Embedding]:
        """Embedding tables of which a step touches few rows."""
        return iter(())

    def adapted(self) -> str | list[str]:
        """The layers that `adapt` puts an update beside: names, or `all-linear`."""
        return "all-linear"

    def adapt(self, rank: int, alpha: int, dropout: float, dora: bool = False) -> None:
        """Freeze the pretrained weights and put a low-rank update beside each linear map (arXiv:2106.09685).

        With `dora` the length of each row of the weights learns too (arXiv:2402.09353).
        """
        config = LoraConfig(
            r=rank,
            lora_alpha=alpha,
            lora_dropout=dropout,
            target_modules=self.adapted(),
            bias="none",
            use_dora=dora,
        )
        with _without_remarks():
            self.model = cast(nn.Module, get_peft_model(self.model, config))

    def checkpoint_activations(self) -> bool:
        """Let blocks compute their activations again for the gradients; False where this model cannot."""
        model = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        if not getattr(model, "supports_gradient_checkpointing", False):
            return False
        cast(PreTrainedModel, model).activation_checkpointing_enable()
        return True

    def merge(self) -> None:
        """Add the low-rank updates, where there are any, to the weights that they update, in fp32 and on the CPU."""
        if isinstance(self.model, PeftModel):
            in_few_bits = getattr(self.model.get_base_model(), "hf_quantizer", None) is not None
            model = _widened(self.model) if in_few_bits else self.model.cpu().float()
            self.model = cast(nn.Module, model.merge_and_unload())


def hold_twins_once(module: nn.Module) -> None:
    """A file of its weights holds those once that have two names, as where the last layer is the table of tokens."""
    module.register_state_dict_post_hook(_without_twins)
    module.register_load_state_dict_pre_hook(_with_twins)


def _twins(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of weights that are known by another name before, and that name."""
    first: dict[int, str] = {}
    for name, weight in module.named_parameters(remove_duplicate=False):
        if id(weight) in first:
            yield name, first[id(weight)]
        first.setdefault(id(weight), name)


def _without_twins(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, _first in _twins(module):
        state_dict.pop(prefix + name, None)


def _with_twins(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, first in _twins(module):
        if prefix + first in state_dict:
            state_dict.setdefault(prefix + name, state_dict[prefix + first])


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Libraries warn each other of names that they are going to change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _widened(model: PeftModel) -> Any:
    """The same model with the updates that it learnt, its other weights no longer in few bits."""
    config, learnt = model.peft_config["default"], get_peft_model_state_dict(model)
    plain: Any = model.unload()
    again = get_peft_model(plain.dequantize().cpu().float(), config)
    set_peft_model_state_dict(again, learnt)
    return again
