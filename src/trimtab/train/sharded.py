"""Weights in parts: each process holds some rows of every weight, of its gradient and of what the optimizer remembers.

PyTorch's `fully_shard` (FSDP2; Rajbhandari et al. 2020, arXiv:1910.02054): a block's weights are gathered when it
computes, and let go. Checkpoints are written by all processes, each its own parts (`torch.distributed.checkpoint`), and
read by as many processes or others.
"""

from __future__ import annotations

import copy
import ctypes
import json
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from trimtab import files
from trimtab.nets.network import Network
from trimtab.nets.pretrained import PretrainedEncoder
from trimtab.train.checkpoint import Position
from trimtab.train.devices import Devices
from trimtab.train.method import Run

_PARTS = ".metadata"  # what a checkpoint in parts holds beside them
_MMAP_THRESHOLD = -3  # of malloc.h
_SMALL, _USUAL = 256 * 1024, 32 * 1024 * 1024  # bytes; what it grows to by itself
_STATES = "states.pt"  # of generators of random numbers, one for each process


def shard(network: Network, devices: Devices) -> Network:
    """The same network with its weights in parts; the given one is left without any, until `restore`.

    Every process is to hold the same weights before.
    """
    parameters = {id(one): one for one in network.parameters()}
    twin: Network = copy.deepcopy(network, {**parameters, id(network.output): network.output})
    _empty(network)
    del parameters
    mesh = init_device_mesh(devices.device.type, (devices.processes,))
    for module in [*_blocks(twin), twin]:
        sharded = fully_shard(module, mesh=mesh)
        assert isinstance(sharded, FSDPModule)
        # Losses are divided by the rows of all processes already; gloo knows no means.
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)
        sharded.set_unshard_in_backward(not isinstance(module, nn.Embedding))  # whose gradient needs no weights
    _give_back(_SMALL)
    whole = [name for name, parameter in twin.named_parameters() if not isinstance(parameter, DTensor)]
    assert not whole, f"not in parts: {whole}"
    return twin


def _blocks(network: Network) -> Iterator[nn.Module]:
    """What is gathered by itself: each block of an encoder, and its word table where nothing else reads it."""
    seen: dict[int, int] = {}
    for _, parameter in network.named_parameters(remove_duplicate=False):
        seen[id(parameter)] = seen.get(id(parameter), 0) + 1
    for encoder in network.encoders.values():
        if isinstance(encoder, PretrainedEncoder):
            yield from (table for table in encoder.tables() if seen[id(table.weight)] == 1)
        stacks = [module for module in encoder.modules() if isinstance(module, nn.ModuleList)]
        for stack in stacks:
            yield from (block for block in stack if any(True for _ in block.parameters()) and _outermost(block, stacks))


def _outermost(block: nn.Module, stacks: list[nn.ModuleList]) -> bool:
    """Whether a block lies in no other block."""
    holders = [one for stack in stacks for one in stack if one is not block]
    return not any(block is inner for holder in holders for inner in holder.modules())


def _give_back(least: int) -> None:
    """Let blocks of so many bytes go back to the system as soon as they are free (glibc).

    Else it keeps the gathered weights of each block, in pieces: a network of 100 million weights, in two parts, filled
    more memory than a whole one (LOG 2026-11-30).
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_MMAP_THRESHOLD, least)


def _empty(network: Network) -> None:
    """Leave only the shapes of the weights; buffers stay."""
    made: dict[int, nn.Parameter] = {}
    for module in network.modules():
        for name, one in module._parameters.items():
            if one is not None:
                meta = nn.Parameter(torch.empty_like(one, device="meta"), one.requires_grad)
                module._parameters[name] = made.setdefault(id(one), meta)


# -------------------------------------------------------------------------------------------------------- checkpoints


def write(run: Run, name: str, position: Position, states: bool) -> None:
    """Write a checkpoint, each process its parts: a later run sees the old one or the new one, whole."""
    staging, devices = run.folder / f"{name}.new", run.devices
    if devices.writes:
        run.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
    devices.wait()
    with _alone_too():
        save(_held(run, states), checkpoint_id=staging, no_dist=devices.processes == 1)
    random = devices.gathered(torch.get_rng_state())
    if devices.writes:
        torch.save({"random": random}, staging / _STATES)
        (staging / "position.json").write_text(json.dumps(asdict(position)), encoding="utf-8")
        files.swap(staging, run.folder / name)
    devices.wait()


def read(run: Run) -> Position | None:
    """Take up the last checkpoint; None where there is none, or none of the best weights for what it has found."""
    folder = _place(run.folder, "last")
    if folder is None:
        return None
    position = Position(**(files.read_json(folder / "position.json") or {}))
    if position.best > float("-inf") and _place(run.folder, "best") is None:
        return None
    if position.finished:
        return position
    held = _held(run, states=True)
    with _alone_too():
        load(held, checkpoint_id=folder, no_dist=run.devices.processes == 1)
    set_model_state_dict(run.network, held["weights"])
    set_optimizer_state_dict(run.network, run.optimizers.dense, held["optimizer"])
    random = torch.load(folder / _STATES, weights_only=True)["random"]
    torch.set_rng_state(random[run.devices.rank % len(random)])
    return position


def restore(network: Network, folder: Path) -> bool:
    """Give a network that `shard` has left without weights the best ones, whole; whether there are any."""
    _give_back(_USUAL)
    place = _place(folder, "best")
    if place is None:
        return False
    held = {"weights": {name: torch.empty_like(one, device="cpu") for name, one in network.state_dict().items()}}
    with _alone_too():
        load(held, checkpoint_id=place, no_dist=True)
    network.load_state_dict(held["weights"], assign=True)
    return True


@contextmanager
def _alone_too() -> Iterator[None]:
    """Inside, PyTorch does not warn of one process that writes or reads by itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        yield


def _held(run: Run, states: bool) -> dict[str, Any]:
    """What a checkpoint holds, in the places that it is read into."""
    held: dict[str, Any] = {"weights": get_model_state_dict(run.network)}
    if states:
        held["optimizer"] = get_optimizer_state_dict(run.network, run.optimizers.dense)
        held["ema"] = dict(run.ema_weights)
    return held


def _place(folder: Path, name: str) -> Path | None:
    """The folder of a checkpoint in parts, or of the one before where a kill came in between."""
    for place in (folder / name, files.old(folder / name)):
        if (place / _PARTS).is_file() and files.read_json(place / "position.json"):
            return place
    return None
