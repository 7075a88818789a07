"""Training a head on a frozen encoder: the vectors that never change are computed once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from trimtab.columns import EncodedRows, OutputColumn, length_batches
from trimtab.nets.encoders.text import TextEncoder
from trimtab.nets.network import Network
from trimtab.train.batches import tensors_of
from trimtab.train.devices import Devices, alone


@dataclass(frozen=True)
class Vectors:
    """The fused vector of each row, (rows, width), in place of its encoded columns."""

    values: np.ndarray

    def positions(self, output: OutputColumn) -> None:
        """A head that reads one vector of each row answers no positions."""

    @property
    def steps(self) -> np.ndarray:
        """One step a row."""
        return np.ones(len(self.values), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The vectors of the given rows, as the only tensor."""
        return {"vectors": self.values[rows]}


def freeze(network: Network) -> None:
    """Stop the pretrained parts from learning."""
    for encoder in network.pretrained():
        encoder.model.requires_grad_(False)


def freeze_below(network: Network, blocks: int) -> None:
    """Stop the lowest blocks of encoders of texts from learning, and what lies below them."""
    for encoder in network.pretrained():
        if isinstance(encoder, TextEncoder):
            for name, parameter in encoder.named_parameters():
                parameter.requires_grad_(encoder.depth(name) < encoder.blocks - blocks)


def only_the_head_learns(network: Network) -> bool:
    """Whether nothing below the head has a gradient, so that its input can be computed once."""
    if network.fusion is None:
        return False
    below: list[nn.Module] = [*network.encoders.values(), network.fusion]
    return not any(parameter.requires_grad for module in below for parameter in module.parameters())


@torch.no_grad()
def vectors(
    network: Network, rows: EncodedRows, budget: int, device: torch.device, devices: Devices | None = None
) -> Vectors:
    """Run everything below the head over all rows, without dropout; each process of `devices` over some."""
    network.eval()
    batches, found = length_batches(rows.steps, budget), devices or alone(device)
    own = batches[found.rank :: found.processes]
    parts = found.gathered([network.vectors(tensors_of(rows, one, device)).float().cpu().numpy() for one in own])
    in_turn = [batch for rank in range(found.processes) for batch in batches[rank :: found.processes]]
    order = np.argsort(np.concatenate(in_turn), kind="stable")
    return Vectors(np.concatenate([part for each in parts for part in each])[order])
