"""Numbers as Python's libraries hold them, without importing these: arrays of numpy, tensors on any device."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class _Tensor(Protocol):
    """A tensor of PyTorch."""

    def detach(self) -> Any:
        """The numbers without their gradient."""

    def cpu(self) -> Any:
        """The numbers in ordinary memory."""


@runtime_checkable
class _Array(Protocol):
    """What numpy can make an array of: an array of JAX, TensorFlow or pandas."""

    def __array__(self) -> np.ndarray:
        """The numbers."""


def array(value: Any) -> np.ndarray | None:
    """The numbers of an array or a tensor; None for anything else."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, _Tensor):
        value = value.detach().cpu()
    return np.asarray(value) if isinstance(value, _Array) and not isinstance(value, np.generic) else None
