"""A GPU that is none: tensors are marked as lying on it, and what mixes them with others is refused as CUDA refuses it.

Every call of PyTorch passes by a mode of its own (`TorchFunctionMode`); numbers are computed on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from trimtab.train import devices

CARD = torch.device("cuda", 0)
_MOVES = {Tensor.to, Tensor.cpu, Tensor.cuda}
_OF_MODULES = {"_parse_to", "_has_compatible_shallow_copy_type"}  # by which `Module.to` finds out where to, and how
_MIXED = {Tensor.__getitem__, Tensor.__setitem__, Tensor.copy_}  # what may read one from there and one from here


class Card(TorchFunctionMode):
    """Inside, `cuda:0` is there. `seen` counts the calls that computed on it."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.seen = WeakTensorKeyDictionary(), 0

    def here(self, value: Any) -> bool:
        """Whether a tensor lies on the card."""
        return isinstance(value, Tensor) and value in self.held

    def _mark(self, value: Any, on_card: bool) -> None:
        for one in tree_leaves(value):
            if isinstance(one, Tensor):
                if on_card:
                    self.held[one] = True
                else:
                    self.held.pop(one, None)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _OF_MODULES:
            return func(*args, **kwargs)
        if func == Tensor.data.__set__:
            func(*args)
            self._mark(args[0], self.here(args[1]))
            return None
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        on_card = [one for one in given if self.here(one)]
        if func == Tensor.device.__get__:
            return CARD if on_card else func(*args)
        if func == Tensor.is_cuda.__get__:
            return bool(on_card)
        if func is Tensor.numpy and on_card:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        said = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.device)]
        named = bool(said) and said[0].type == "cuda"
        to_cpu = func is Tensor.cpu or (func is Tensor.to and bool(said) and not named)
        plain = tree_map(lambda one: torch.device("cpu") if isinstance(one, torch.device) else one, (args, kwargs))
        beside = [one for one in given if one.dim() and not self.here(one)]
        if on_card and beside and func not in _MIXED | _MOVES:
            raise RuntimeError(f"{func}: Expected all tensors to be on the same device, but found cuda:0 and cpu")
        found = func(*plain[0], **plain[1])
        if to_cpu:
            if on_card:  # another tensor, which lies elsewhere
                found = found.view_as(found)
                self._mark(found, False)
            return found
        if named or on_card:
            self.seen += bool(on_card)
            if func in _MOVES and not on_card:
                found = found.view_as(found)
            self._mark(found, True)
        return found


@contextmanager
def card(patch: pytest.MonkeyPatch) -> Iterator[Card]:
    """Inside, training and what stands around it find one GPU."""
    patch.setattr(torch.cuda, "is_available", lambda: True)
    patch.setattr(torch.cuda, "current_device", lambda: 0)
    patch.setattr(torch.cuda, "get_rng_state_all", lambda: [])
    patch.setattr(torch.cuda, "set_rng_state_all", lambda states: None)
    patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    assert devices.device() == CARD
    with Card() as found:
        yield found
