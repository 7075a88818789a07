"""Structured pruning: attention heads, feed-forward neurons and convolution channels that matter least are left out.

What a unit matters is measured on rows: the change of the loss, to first order, if the unit gave nothing (Michel et al.
2019, arXiv:1905.10650; Molchanov et al. 2019, arXiv:1906.10771). Which layers give how many up is decided by importance
per saved millisecond, against a latency table of this machine (the idea of ZipLM, Kurtic et al. 2023,
arXiv:2302.04089). What stays then takes over what it can of the rest: the layer behind is fitted, by least squares, to
what it was given before (He et al. 2017, arXiv:1707.06168).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from trimtab.columns import EncodedRows, Targets, length_batches
from trimtab.compress import Skip
from trimtab.compress.latency import Table, predicted
from trimtab.compress.prunable import LAYERS, Layer, layers_of
from trimtab.nets.batch import Batch
from trimtab.nets.fitted import FittedNetwork, built
from trimtab.nets.network import EncoderEntry, encoder_kind
from trimtab.nets.states import Answers
from trimtab.train.batches import targets_of, tensors_of
from trimtab.train.devices import device

Loss = Callable[[Answers, np.ndarray], Tensor]  # answers and the numbers of their rows -> the loss of each row, (rows,)
Kept = dict[int, np.ndarray]  # the place of a layer in an importance -> its units that stay, ascending

ROWS = 512  # enough to tell units apart
_BATCH_STEPS = 4096
_POSITIONS = 8192  # of each layer's input, for the least squares
_RIDGE = 1e-2  # of the mean power of an input
_BLOCK = {"heads": 1, "neurons": 32}  # units that go together: matrices keep shapes that processors are quick with
_LEAST_SAVED = 1e-6  # ms: what saves nothing by the table is not free of charge


@dataclass(frozen=True)
class Measured:
    """A layer, and what was seen of it on rows."""

    encoder: str  # its name in the network
    layer: Layer
    importance: np.ndarray  # (units,): the loss that leaving the unit out adds, summed over the rows
    moments: Tensor  # (inputs + 1, inputs + 1): products of the reader's inputs and a one, summed over places

    @property
    def blocks(self) -> list[np.ndarray]:
        """Its units in blocks that go together, the least important first."""
        size = _BLOCK[self.layer.kind]
        order = np.argsort(self.importance, kind="stable")
        return [np.sort(order[start : start + size]) for start in range(0, len(order), size)]

    def best(self, count: int) -> np.ndarray:
        """The most important units, ascending."""
        return np.sort(np.argsort(self.importance, kind="stable")[-count:])


def prune(
    trained: FittedNetwork,
    rows: EncodedRows,
    targets: Targets,
    heads: float | None = None,
    neurons: float | None = None,
) -> FittedNetwork | Skip:
    """Keep this share of all attention heads, and of all feed-forward neurons or channels, those that matter most.

    Importance is measured on at most 512 of the rows. Layers of `compact` give up what matters least in all of them;
    those of `transformer` and `cnn` stay alike, as their options want it.
    """
    found = importance(trained, rows, own_loss(trained, targets))
    return found if isinstance(found, Skip) else by_share(trained, found, heads, neurons)


def to_latency(
    trained: FittedNetwork, rows: EncodedRows, targets: Targets, table: Table, ms: float
) -> FittedNetwork | Skip:
    """Leave heads and neurons out, the least important per saved millisecond first, until one call takes `ms`.

    Whole parts of a block may go. The milliseconds are those that `table` predicts.
    """
    found = importance(trained, rows, own_loss(trained, targets))
    return found if isinstance(found, Skip) else by_latency(trained, found, table, ms)


def own_loss(trained: FittedNetwork, targets: Targets) -> Loss:
    """The loss that the network's head is trained with."""

    def of(answers: Answers, rows: np.ndarray) -> Tensor:
        place = next(iter(answers.values())).values.device
        batch = Batch({}, targets_of(targets, rows, place))
        losses: Tensor = trained.network.head.loss(answers, batch)
        return losses

    return of


# ------------------------------------------------------------------------------------------------------ importance


def importance(trained: FittedNetwork, rows: EncodedRows, loss: Loss) -> tuple[Measured, ...] | Skip:
    """What every unit of every layer matters for the loss of the rows, of which at most 512 are read.

    Measured once, it serves any number of prunings.
    """
    layers = [
        (name, layer)
        for entry in trained.architecture.encoders
        for name in [entry.key]
        for layer in layers_of(entry, trained.network.encoders[name])
    ]
    if not layers:
        kinds = ", ".join(sorted({entry.name for entry in trained.architecture.encoders}))
        return Skip(f"only {', '.join(sorted(LAYERS))} can be pruned by structure, this network has {kinds}")
    readers = [trained.network.encoders[name].get_submodule(layer.reader) for name, layer in layers]
    place = device()
    sums, moments = _sums(trained.network.to(place), readers, [layer for _, layer in layers], rows, loss, place)
    trained.network.cpu()
    return tuple(
        Measured(name, layer, total.numpy(), moment)
        for (name, layer), total, moment in zip(layers, sums, moments, strict=True)
    )


def _sums(
    network: nn.Module,
    readers: Sequence[nn.Module],
    layers: Sequence[Layer],
    rows: EncodedRows,
    loss: Loss,
    place: torch.device,
) -> tuple[list[Tensor], list[Tensor]]:
    """For each layer the importance of its units, and the moments of its reader's inputs, (inputs + 1, inputs + 1).

    Moments are products of all inputs and a one, summed over at most `_POSITIONS` places.
    """
    picked = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), ROWS)).astype(np.int64))
    sums = [torch.zeros(layer.units, dtype=torch.float64) for layer in layers]
    moments = [torch.zeros(layer.units * layer.size + 1, layer.units * layer.size + 1) for layer in layers]
    for batch in length_batches(rows.steps[picked], _BATCH_STEPS, 64):
        numbers = picked[batch]
        tensors = tensors_of(rows, numbers, place)
        with _inputs_of(readers) as inputs:
            total = loss(network(tensors), numbers).sum()
        gradients = torch.autograd.grad(total, inputs)
        most = max(1, _POSITIONS * len(batch) // len(picked))
        for position, (reader, layer) in enumerate(zip(readers, layers, strict=True)):
            values, slopes = (_last(reader, tensor) for tensor in (inputs[position].detach(), gradients[position]))
            # |slope of the loss by a gate on the unit|, summed over the rows.
            gates = (values * slopes).sum(1).reshape(len(values), layer.units, layer.size).sum(-1)
            sums[position] += gates.abs().sum(0).double().cpu()
            read = values[slopes.abs().sum(-1) > 0]  # padding has no slope
            read = read[:: max(1, -(-len(read) // most))]
            beside_one = torch.cat([read, torch.ones_like(read[:, :1])], 1)
            moments[position] += (beside_one.T @ beside_one).cpu()
    return sums, moments


@contextmanager
def _inputs_of(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Inside, the input of each module is noted, in their order."""
    inputs = [torch.empty(0)] * len(modules)

    def note(position: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            inputs[position] = given[0]

        return hook

    hooks = [module.register_forward_pre_hook(note(position)) for position, module in enumerate(modules)]
    try:
        yield inputs
    finally:
        for hook in hooks:
            hook.remove()


def _last(reader: nn.Module, values: Tensor) -> Tensor:
    """The input of a module as (rows, places, features)."""
    if isinstance(reader, nn.Conv2d):
        return values.flatten(2).transpose(1, 2)
    return values.flatten(1, -2)


# --------------------------------------------------------------------------------------------------------- choosing


def by_share(
    trained: FittedNetwork, measured: Sequence[Measured], heads: float | None = None, neurons: float | None = None
) -> FittedNetwork | Skip:
    """`prune`, with the importance at hand."""
    shares = {"heads": heads or 1.0, "neurons": neurons or 1.0, "channels": neurons or 1.0}
    kept: Kept = {}
    entries: list[EncoderEntry] = []
    for entry in trained.architecture.encoders:
        positions = [p for p, one in _of(entry, measured) if shares[one.layer.kind] < 1]
        if positions and entry.name in _NARROWER:
            entry = _narrower(trained, entry, shares["neurons"])
            counts = [layer.units for layer in layers_of(entry, _skeleton(trained, entry))]
            kept |= {p: measured[p].best(count) for p, count in zip(positions, counts, strict=True)}
        for kind in ("heads", "neurons") if entry.name not in _NARROWER else ():
            alike = [p for p in positions if measured[p].layer.kind == kind]
            kept |= _share_of(measured, alike, shares[kind])
        entries.append(entry)
    if all(len(units) == measured[p].layer.units for p, units in kept.items()):
        return Skip("every head, neuron and channel that it has would stay")
    return _without(trained, entries, measured, kept)


def by_latency(trained: FittedNetwork, measured: Sequence[Measured], table: Table, ms: float) -> FittedNetwork | Skip:
    """`to_latency`, with the importance at hand."""
    left = predicted(trained, table)
    if left is None:
        return Skip("the latency table is of the blocks of a compact encoder, and this network has none")
    if left <= ms:
        return Skip(f"it is predicted to take {left:.3g} ms as it is")
    (entry,) = (entry for entry in trained.architecture.encoders if entry.name == "compact")
    queues = {position: one.blocks for position, one in _of(entry, measured)}
    while left > ms:
        prices = {
            position: max(_saved(measured, queues, position, table), _LEAST_SAVED)
            for position, queue in queues.items()
            if queue
        }
        if not prices:
            return Skip(f"without any head and neuron it is still predicted to take {left:.3g} ms")
        worst = min(
            prices, key=lambda position: measured[position].importance[queues[position][0]].sum() / prices[position]
        )
        left -= _saved(measured, queues, worst, table)
        queues[worst].pop(0)
    kept = {position: _laid(queue) for position, queue in queues.items()}
    return _without(trained, trained.architecture.encoders, measured, kept)


def _of(entry: EncoderEntry, measured: Sequence[Measured]) -> list[tuple[int, Measured]]:
    """The layers of one encoder, with their places in `measured`."""
    return [(position, one) for position, one in enumerate(measured) if one.encoder == entry.key]


def _share_of(measured: Sequence[Measured], positions: Sequence[int], share: float) -> Kept:
    """The units of these layers that stay: those that matter least go, wherever they are, but a block of each layer."""
    blocks = {position: measured[position].blocks for position in positions}
    order = sorted(
        (float(measured[position].importance[block].mean()), position, number)
        for position in positions
        for number, block in enumerate(blocks[position][:-1])
    )
    units = sum(measured[position].layer.units for position in positions)
    spare, gone = round(units * (1 - share)), dict.fromkeys(positions, 0)
    for _, position, number in order:
        spare -= len(blocks[position][number])
        if spare < 0:
            break
        gone[position] += 1
    return {position: _laid(blocks[position][gone[position] :]) for position in positions}


def _laid(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """The units of all blocks, ascending."""
    return np.sort(np.concatenate([np.empty(0, np.int64), *blocks]))


def _saved(measured: Sequence[Measured], queues: Mapping[int, list[np.ndarray]], position: int, table: Table) -> float:
    """Milliseconds that the next block of units of a layer would save."""
    one, left = measured[position].layer, sum(map(len, queues[position]))
    after = left - len(queues[position][0])
    if one.kind == "heads":
        return table.block(left, table.neurons[-1]) - table.block(after, table.neurons[-1])
    return table.block(table.heads[-1], left) - table.block(table.heads[-1], after)


# ---------------------------------------------------------------------------------------------------------- cutting


def _without(
    trained: FittedNetwork, entries: Sequence[EncoderEntry], measured: Sequence[Measured], kept: Kept
) -> FittedNetwork:
    """The network without the units that go, its readers fitted to those that stay."""
    weights = dict(trained.network.state_dict())
    for position, units in kept.items():
        if len(units) < measured[position].layer.units:
            _cut(weights, measured[position], torch.from_numpy(units))
    entries = [_of_layers(entry, measured, kept) if entry.name == "compact" else entry for entry in entries]
    architecture = trained.architecture.model_copy(update={"encoders": tuple(entries)})
    made = (*trained.made, _told(measured, kept))
    return built(architecture, trained.inputs, trained.output, weights, made=made)


def _told(measured: Sequence[Measured], kept: Kept) -> str:
    """`54 of 72 heads, 4,608 of 9,216 neurons`."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for position, units in kept.items():
        counts[measured[position].layer.kind][0] += len(units)
        counts[measured[position].layer.kind][1] += measured[position].layer.units
    return ", ".join(f"{left:,} of {units:,} {kind}" for kind, (left, units) in counts.items())


def _cut(weights: dict[str, Tensor], one: Measured, units: Tensor) -> None:
    """Change the weights around a layer such that it has only these units."""
    layer, prefix = one.layer, f"encoders.{one.encoder}."
    for maker in layer.makers:
        for name in [name for name in weights if name.startswith(f"{prefix}{maker}.") and weights[name].ndim]:
            parts = weights.pop(name).unflatten(0, (layer.groups, layer.units, layer.size))
            weights |= {name: parts[:, units].flatten(0, 2)} if len(units) else {}
    weight, bias = f"{prefix}{layer.reader}.weight", f"{prefix}{layer.reader}.bias"
    if weight not in weights:  # it read all as it was
        inputs = layer.units * layer.size
        weights |= {weight: torch.eye(inputs), bias: torch.zeros(inputs)}
    replacing = _replacing(one, units, constant=bias in weights).to(weights[weight].dtype)
    if bias in weights:
        weights[bias] = weights[bias] + weights[weight] @ replacing[:, -1]
        replacing = replacing[:, :-1]
    weights[weight] = torch.einsum("oi...,ij->oj...", weights[weight], replacing)
    if not len(units):
        del weights[weight]
        weights[f"{prefix}{layer.norm}.bias"] = weights[f"{prefix}{layer.norm}.bias"] + weights.pop(bias)


def _replacing(one: Measured, units: Tensor, constant: bool) -> Tensor:
    """Each input of the reader as a linear map of those that stay, and of a one where there is a `constant`.

    (inputs, inputs that stay [+ 1]): by least squares; for those that stay, themselves.
    """
    size, inputs = one.layer.size, one.layer.units * one.layer.size
    stay = (units[:, None] * size + torch.arange(size)).flatten()
    given = torch.cat([stay, torch.tensor([inputs])]) if constant else stay
    moments = one.moments.double()
    power = moments[given][:, given]
    ridge = (_RIDGE * power.diagonal().mean()).clamp(min=1e-12) * torch.eye(len(given), dtype=power.dtype)
    found: Tensor = torch.linalg.solve(power + ridge, moments[given][:, :inputs]).T
    found[stay] = torch.eye(len(stay), len(given), dtype=found.dtype)
    return found


# ---------------------------------------------------------------------------------------------------------- encoders


def _of_layers(entry: EncoderEntry, measured: Sequence[Measured], kept: Kept) -> EncoderEntry:
    """The entry of a compact encoder whose layers have as many heads and neurons as were kept."""
    layers = [dict(layer) for layer in entry.config["layers"]]
    for position, one in _of(entry, measured):
        if position in kept:
            number = int(one.layer.reader.split(".")[1])
            layers[number][one.layer.kind] = len(kept[position])
    return entry.model_copy(update={"config": entry.config | {"layers": layers}})


def _narrower(trained: FittedNetwork, entry: EncoderEntry, share: float) -> EncoderEntry:
    """The entry of an encoder whose options give one width to all of its layers, which becomes this share of it."""
    option, multiple = _NARROWER[entry.name]
    encoder = trained.network.encoders[entry.key]
    width = layers_of(entry, encoder)[-1].units
    left = max(multiple, round(width * share / multiple) * multiple)
    if entry.name == "cnn" and left == trained.architecture.width:
        left -= multiple  # as wide as the states, it would have no map to them
    return entry.model_copy(update={"config": entry.config | {option: left}})


def _skeleton(trained: FittedNetwork, entry: EncoderEntry) -> nn.Module:
    """The encoder of an entry, without weights."""
    columns = {column.key: column for column in trained.inputs}
    with torch.device("meta"):
        encoder: nn.Module = encoder_kind(entry.name, "compress")(
            [columns[key] for key in entry.reads], trained.architecture.width, entry.config
        )
    return encoder


# Encoders whose layers are all alike -> the option that says how wide, and what it is a multiple of.
_NARROWER = {"transformer": ("feed_forward", 8), "cnn": ("channels", 8)}
