"""Batches for training: rows of like length together, filled to a token budget, in an order that a seed fixes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trimtab.columns import IGNORED, Named, OutputColumn, Outputs, Ragged, Targets, in_order, length_batches
from trimtab.nets.batch import told
from trimtab.nets.states import Answers, Padded
from trimtab.train.devices import Devices

Forward = Callable[[Mapping[str, Tensor]], Answers]


def epoch_batches(
    steps: np.ndarray, budget: int, most_rows: int, seed: int, epoch: int, classes: np.ndarray | None = None
) -> list[np.ndarray]:
    """The batches of one epoch, each an array of row numbers; every row is in exactly one.

    With `classes`, the class of each row (rows,), as many rows are drawn such that every class is equally frequent:
    see `balanced`. Lengths are blurred by a tenth before they are sorted, so that the rows that meet change from epoch
    to epoch.
    """
    random = np.random.default_rng([seed, epoch])
    rows = np.arange(len(steps)) if classes is None else balanced(classes, random)
    blurred = steps[rows] * random.uniform(0.9, 1.1, len(rows))
    order = rows[np.argsort(blurred, kind="stable")]
    longest = np.maximum.accumulate(steps[order])  # which grows, so that rows are cut as they stand
    batches = [order[batch] for batch in length_batches(longest, budget, most_rows)]
    return [batches[position] for position in random.permutation(len(batches))]


def balanced(classes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """As many rows as there are, in a random order, every class that occurs equally often (up to one row).

    Of a frequent class some rows are left out, those of a rare one come again, all of them before any comes once more.
    """
    members = [np.flatnonzero(classes == one) for one in np.unique(classes)]
    quotas = np.full(len(members), len(classes) // len(members))
    quotas[random.permutation(len(members))[: len(classes) % len(members)]] += 1
    drawn: list[np.ndarray] = []
    for own, quota in zip(members, quotas.tolist(), strict=True):
        whole, rest = divmod(quota, len(own))
        drawn += [*[own] * whole, random.permutation(own)[:rest]]
    return random.permutation(np.concatenate(drawn))


def parts_of(batch: np.ndarray, split_depth: int) -> list[np.ndarray]:
    """A batch in up to `2 ** split_depth` parts, for a device whose memory it did not fit; none of an empty one."""
    parts = [batch]
    for _ in range(split_depth):
        parts = [half for part in parts for half in (part[: len(part) // 2], part[len(part) // 2 :])]
    return [part for part in parts if len(part)]


class Rows(Protocol):
    """Rows as a network, or its head, takes them."""

    @property
    def steps(self) -> np.ndarray:
        """(rows,): what batches are sorted and filled by."""

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The padded tensors of the given rows."""

    def positions(self, output: OutputColumn) -> np.ndarray | None:
        """How many positions of each row the output answers, (rows,); None for one that answers none."""


def tensors_of(rows: Rows, picked: np.ndarray, device: torch.device) -> dict[str, Tensor]:
    """The padded tensors of the given rows, on the device."""
    return {key: torch.from_numpy(value).to(device, non_blocking=True) for key, value in rows.batch(picked).items()}


def targets_of(targets: Targets, picked: np.ndarray, device: torch.device) -> Answers:
    """The targets of the given rows by name; those of rows with several positions are padded with `IGNORED`."""
    parts = targets.parts if isinstance(targets, Named) else {"targets": targets}
    return {name: _padded(part, picked, device) for name, part in parts.items()}


def _padded(part: Ragged | np.ndarray, picked: np.ndarray, device: torch.device) -> Padded:
    if not isinstance(part, Ragged):
        return Padded(torch.from_numpy(np.asarray(part[picked])).to(device))
    lengths = torch.from_numpy(part.lengths[picked])
    return Padded(torch.from_numpy(part.padded(picked, IGNORED)).to(device), lengths.to(device))


def computed(
    forward: Forward,
    rows: Rows,
    output: OutputColumn,
    budget: int,
    devices: Devices,
    targets: Targets | None = None,
) -> Outputs:
    """What `forward` answers to all rows, in their order, in fp32; each process computes some of the batches.

    With `targets`, the right answers, it is told these and gives what `output.taught` says.
    """
    batches, count = length_batches(learnt_steps(rows, output, targets), budget), devices.processes
    own = batches[devices.rank :: count]

    def given(picked: np.ndarray) -> dict[str, Tensor]:
        tensors = tensors_of(rows, picked, devices.device)
        return tensors if targets is None else tensors | told(targets_of(targets, picked, devices.device))

    found = [to_numpy(forward(given(picked))) for picked in own]
    if devices.sharded and len(own) < -(-len(batches) // count):  # all processes compute equally often
        forward(given(batches[0]))
    parts = devices.gathered(found)
    in_turn = [batch for rank in range(count) for batch in batches[rank::count]]
    tensors = output.tensors if targets is None else output.taught
    return in_order(in_turn, [part for each in parts for part in each], tensors, rows.positions(output))


def learnt_steps(rows: Rows, output: OutputColumn, targets: Targets | None) -> np.ndarray:
    """Steps of each row, (rows,), those of its right answer counted where they are read too."""
    more = None if targets is None else output.target_steps(targets)
    return rows.steps if more is None else rows.steps + more


def to_numpy(answers: Answers) -> dict[str, np.ndarray]:
    """The tensors of a batch's answers by the names that they have in a network's file."""
    values = {name: padded.values.float().cpu().numpy() for name, padded in answers.items()}
    lengths = {f"{name}.lengths": p.lengths.cpu().numpy() for name, p in answers.items() if p.lengths is not None}
    return values | lengths
