"""A network with its columns and all that is needed to build it again: what a bundle keeps of it, read and made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from trimtab.bundle import store
from trimtab.columns import EncodedRows, InputColumn, OutputColumn, length_batches
from trimtab.errors import problem
from trimtab.nets.network import Architecture, Network
from trimtab.nets.pretrained import without_weights

NETWORK = "network.json"
_BATCH_COST = 4096


@dataclass(frozen=True)
class FittedNetwork:
    """A network, its architecture and its columns. Every step of compression takes one and gives a new one.

    The network itself is never changed: a step that needs other weights builds another (`rebuilt`).
    """

    network: Network
    architecture: Architecture
    inputs: tuple[InputColumn, ...]
    output: OutputColumn
    made: tuple[str, ...] = ()  # what was done to it, in order, for people: ("8,000 tokens", "layers 0, 2, 4")

    def noted(self, step: str) -> Self:
        """The same with one more step in `made`."""
        return replace(self, made=(*self.made, step))

    @property
    def parameters(self) -> int:
        """Numbers that the network has learnt."""
        return sum(parameter.numel() for parameter in self.network.parameters())


def read(bundle: Path | str) -> FittedNetwork:
    """The network of a bundle. Raises TrimtabError for what is no bundle, and for a serving copy without weights."""
    folder = Path(bundle)
    manifest = store.read_manifest(folder)
    weights, shape = folder / store.WEIGHTS, folder / NETWORK
    lacking = [path.name for path in (weights, shape) if not path.is_file()]
    if lacking:
        found = f"has no {' and no '.join(lacking)}: it is a copy for serving"
        raise problem(str(folder), found, do="use the bundle that trimtab launch wrote")
    store.check_files(folder, manifest, [*store.serving_files(manifest.serving), store.WEIGHTS, NETWORK])
    inputs, output = store.load_columns(folder / store.COLUMNS, manifest)
    architecture = Architecture.model_validate_json(shape.read_text(encoding="utf-8"))
    read_keys = {key for entry in architecture.encoders for key in entry.reads}
    inputs = tuple(column for column in inputs if column.key in read_keys)  # without those that say a row's group alone
    return _filled(architecture, inputs, output, load_file(weights))


def _filled(
    architecture: Architecture, inputs: Sequence[InputColumn], output: OutputColumn, weights: dict[str, Tensor]
) -> FittedNetwork:
    """A network of these very weights, which are not copied, as `built` does."""
    with torch.random.fork_rng(devices=[]), without_weights():
        network = Network(architecture, inputs, output)
    network.load_state_dict(weights, assign=True)
    for encoder in network.pretrained():
        encoder.tie()
    return FittedNetwork(network.eval(), architecture, tuple(inputs), output)


@torch.no_grad()
def vectors(fitted: FittedNetwork, rows: EncodedRows) -> np.ndarray | None:
    """The vector of each row below the head, (rows, width) float32; None for a head that reads states."""
    network = fitted.network.eval()
    if network.fusion is None:
        return None
    batches = length_batches(rows.costs, _BATCH_COST)
    parts = [
        network.vectors({name: torch.from_numpy(part) for name, part in rows.batch(picked).items()})
        for picked in batches
    ]
    found = torch.cat(parts).float().numpy()
    return np.asarray(found[np.argsort(np.concatenate(batches), kind="stable")])


def built(
    architecture: Architecture,
    inputs: Sequence[InputColumn],
    output: OutputColumn,
    weights: dict[str, Tensor] | None = None,
    seed: int = 0,
    made: tuple[str, ...] = (),
) -> FittedNetwork:
    """A network of the given shape, in evaluation mode on the CPU.

    With `weights`, all of them; without, they are drawn from `seed` (the global generator is left as it was).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(architecture, inputs, output)
    if weights is not None:
        network.load_state_dict(weights)
    return FittedNetwork(network.eval(), architecture, tuple(inputs), output, made)
