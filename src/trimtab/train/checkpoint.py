"""Checkpoints that a kill at any moment cannot spoil: written beside, flushed, then renamed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

_MARGIN_BYTES = 1_000_000


@dataclass(frozen=True)
class Position:
    """How far training has come."""

    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    step: int = 0  # optimizer steps that are done
    best: float = float("-inf")
    stale: int = 0  # evaluations since the best one
    halvings: int = 0  # times that a batch did not fit into memory
    loss: float = float("nan")
    rows: int = 0  # learnt from so far
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    finished: bool = False


def write(folder: Path, name: str, tensors: Mapping[str, Tensor], states: Any, position: Position) -> None:
    """Write a checkpoint so that `read` sees either the old one or the new one, whole."""
    try:
        _write(folder, name, tensors, states, position)
    except (OSError, RuntimeError, SafetensorError) as error:
        # The libraries that write tensors wrap a full disk in errors of their own.
        if shutil.disk_usage(folder).free > _MARGIN_BYTES and "No space" not in str(error):
            raise
        raise OSError(errno.ENOSPC, "No space left on device", str(folder)) from error


def _write(folder: Path, name: str, tensors: Mapping[str, Tensor], states: Any, position: Position) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    staging, final, old = folder / f"{name}.new", folder / name, folder / f"{name}.old"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, staging / "weights.safetensors")
    if states is not None:
        torch.save(states, staging / "states.pt")
    (staging / "position.json").write_text(json.dumps(asdict(position)), encoding="utf-8")
    for path in staging.iterdir():
        _flush(path)
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    staging.rename(final)
    _flush(folder)
    shutil.rmtree(old, ignore_errors=True)


def read(folder: Path, name: str) -> tuple[dict[str, Tensor], Any, Position] | None:
    """The last whole checkpoint of that name, on the CPU, or None."""
    for candidate in (folder / name, folder / f"{name}.old"):
        if (candidate / "position.json").is_file():
            states = candidate / "states.pt"
            return (
                load_file(candidate / "weights.safetensors"),
                torch.load(states, map_location="cpu", weights_only=True) if states.is_file() else None,
                Position(**json.loads((candidate / "position.json").read_text(encoding="utf-8"))),
            )
    return None


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
