"""Checkpoints that a kill at any moment cannot spoil: written beside, flushed, then renamed."""

from __future__ import annotations

import errno
import json
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trimtab import files

_MARGIN_BYTES = 1_000_000
_FORMER_NAMES = {"stale": "wait_count", "halvings": "split_depth"}  # in checkpoints of earlier versions


@dataclass(frozen=True)
class Position:
    """How far training has come."""

    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    step: int = 0  # optimizer steps that are done
    best: float = float("-inf")
    wait_count: int = 0  # evaluations since the best one: patience ends a run
    split_depth: int = 0  # times that a batch did not fit into memory: it is worked on in 2 ** split_depth parts
    loss: float = float("nan")
    rows: int = 0  # learnt from so far
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    finished: bool = False
    together: dict[str, Any] = field(default_factory=dict)  # how several processes trained: see `loop`


def learnt(network: nn.Module) -> dict[str, Tensor]:
    """The weights that learn, and what is counted; the others are as they were when the network was built.

    Of low-rank updates beside a base, the updates and the head alone.
    """
    still = [name for name, one in network.named_parameters(remove_duplicate=False) if not one.requires_grad]
    frozen = set(still)
    rounding = tuple(f"{name}." for name in still)  # what bitsandbytes notes of a weight in few bits
    return {
        name: value
        for name, value in network.state_dict().items()
        if name not in frozen and not (rounding and name.startswith(rounding))
    }


def put_back(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a network what `learnt` found in it, or all of its weights. Raises RuntimeError where some are missing."""
    lacking, unknown = network.load_state_dict(weights, strict=False)
    needed = learnt(network).keys() & set(lacking)
    if needed or unknown:
        raise RuntimeError(f"a checkpoint of another network: {sorted(needed | set(unknown))[:5]}")


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
    staging = folder / f"{name}.new"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, staging / "weights.safetensors")
    if states is not None:
        torch.save(states, staging / "states.pt")
    (staging / "position.json").write_text(json.dumps(asdict(position)), encoding="utf-8")
    files.swap(staging, folder / name)


def read(folder: Path, name: str) -> tuple[dict[str, Tensor], Any, Position] | None:
    """The last checkpoint of that name that can be read, on the CPU, or None."""
    for candidate in (folder / name, files.old(folder / name)):
        try:
            return _read(candidate)
        except (OSError, ValueError, TypeError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError):
            continue  # what cannot be read counts as not there
    return None


def _present(states: Any) -> Any:
    """The states as they are written now; once there was one process, whose generators were not in lists."""
    if not isinstance(states, dict) or not isinstance(states.get("random"), Tensor):
        return states
    each = {name: [states[name]] for name in ("random", "random_cuda")}
    return {**states, **each, "scaler": {}}


def _read(folder: Path) -> tuple[dict[str, Tensor], Any, Position]:
    said: Any = json.loads((folder / "position.json").read_text(encoding="utf-8"))
    if not isinstance(said, dict):
        raise TypeError(f"{folder}: no position")
    position = Position(**{_FORMER_NAMES.get(str(name), str(name)): value for name, value in said.items()})
    states = folder / "states.pt"
    return (
        load_file(folder / "weights.safetensors"),
        _present(torch.load(states, map_location="cpu", weights_only=True)) if states.is_file() else None,
        position,
    )
