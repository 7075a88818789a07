"""Memory that a training takes, counted before it is spent; what cannot fit is refused, and what would is named.

Weights, gradients and the optimizer's states follow from the shape of the network, which is built without memory (on
PyTorch's `meta` device). Activations are what a forward pass of two real rows keeps for the backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from trimtab.audit import memory as resident
from trimtab.errors import problem
from trimtab.nets.batch import told
from trimtab.nets.network import Network, taught
from trimtab.nets.pretrained import PretrainedEncoder
from trimtab.plan.estimate import Memory
from trimtab.request import Request, encoding
from trimtab.train import devices, execution, frozen, methods
from trimtab.train.batches import targets_of, tensors_of
from trimtab.train.execution import BF16_WEIGHTS
from trimtab.train.method import TrainingData
from trimtab.train.optimizer import use_sparse_gradients
from trimtab.train.settings import Settings, held

_PROBED = 2  # rows
_MOMENTS = {"adamw": 2, "adam": 2, "sgd": 1}  # numbers that an optimizer keeps of each weight
_GB = 1e9
_ROOM = 0.9  # of the limit, for what is proposed: a proposal that fits by a hair would be none


@dataclass(frozen=True)
class Weights:
    """Bytes that follow from a network's shape and how it learns."""

    weights: int
    gradients: int
    optimizer: int
    copies: int
    parameters: int
    learning: int  # of the parameters

    @property
    def beside(self) -> int:
        """What training adds to the weights."""
        return self.gradients + self.optimizer + self.copies


def shaped(request: Request, settings: Settings) -> Network | None:
    """The network as it would learn, without memory; None where a part of it cannot be built so."""
    with suppress(Exception), torch.device("meta"):  # parts read weights as they are built, one's own any way they like
        network = Network(request.architecture, request.inputs, request.output)
        for encoder, reader in zip(network.encoders.values(), request.chosen.plans, strict=True):
            if reader.base and settings.method != "scratch" and isinstance(encoder, PretrainedEncoder):
                own = held(reader.base, settings, devices.device())
                if own.bits:
                    return None  # what a library packs is not counted
                encoder.model.to(getattr(torch, own.dtype))
        if settings.method == "lora":
            lora = settings.lora
            for encoder in network.pretrained():
                encoder.adapt(lora.rank, lora.alpha, lora.dropout, lora.dora)
        if settings.method == "frozen":
            frozen.freeze(network)
        elif settings.method == "full" and settings.frozen_blocks:
            frozen.freeze_below(network, settings.frozen_blocks)
        if devices.device().type == "cpu" and settings.optimizer != "sgd":
            use_sparse_gradients(network)
        return network
    return None


def counted(network: nn.Module, settings: Settings) -> Weights:
    """What a network's weights take while they learn; gradients of word tables hold few rows."""
    sparse = devices.sparse_tables(network)
    own = list(network.parameters())
    learns = [parameter for parameter in own if parameter.requires_grad]
    weights = sum(one.numel() * one.element_size() for one in [*own, *network.buffers()])
    learnt = sum(one.numel() * one.element_size() for one in learns)
    linear = sum(one.weight.numel() for one in network.modules() if type(one) is nn.Linear)
    return Weights(
        weights=weights,
        gradients=sum(one.numel() * one.element_size() for one in learns if id(one) not in sparse),
        optimizer=learnt * _MOMENTS[settings.optimizer],
        copies=(weights if settings.ema_decay else 0) + (4 * linear if settings.precision == BF16_WEIGHTS else 0),
        parameters=sum(one.numel() for one in own),
        learning=sum(one.numel() for one in learns),
    )


def activations(network: Network, data: TrainingData, settings: Settings, attention: str) -> int:
    """Bytes that the largest batch keeps between the forward and the backward pass, by those of two of its rows.

    The network is left as it was; nothing is learnt.
    """
    longest = np.argsort(data.steps, kind="stable")[-_PROBED:]
    rows = max(1, math.ceil(settings.batch_tokens / max(1, int(data.steps.max(initial=1)))))
    place = next(network.parameters()).device
    tensors = tensors_of(data.train, longest, place)
    if taught(network):
        tensors = {**tensors, **told(targets_of(data.train_targets, longest, place))}
    own = {one.untyped_storage().data_ptr() for one in [*network.parameters(), *network.buffers()]}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    computed = devices.prepare(settings.precision)
    with (
        _as_it_was(network),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        execution.attending(attention),
        computed.autocast(),
    ):
        answers = network(tensors)
        del answers
    return sum(kept.values()) * rows // len(longest)


@contextmanager
def _as_it_was(network: nn.Module) -> Iterator[None]:
    """Inside, the network is as in training; afterwards its buffers, its mode and the random numbers are as before."""
    held, mode = [(buffer, buffer.clone()) for buffer in network.buffers()], network.training
    network.train()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        network.train(mode)
        with torch.no_grad():
            for buffer, value in held:
                buffer.copy_(value)


def limit() -> int:
    """Bytes that a training may use: of the GPU where there is one, else of the machine or its container."""
    place = devices.device()
    return int(torch.cuda.mem_get_info(place)[1]) if place.type == "cuda" else int(encoding.memory())


def process(loaded: int = 0) -> int:
    """Bytes that this process holds beside the weights of a network, of which so many are loaded; on a GPU none."""
    return 0 if devices.device().type == "cuda" else resident.held()["memory"] - loaded


def estimated(request: Request, weights: Weights, kept: int, process: int, peak: int = 0) -> Memory:
    """All parts."""
    return Memory(
        process=process,
        rows=request.train.nbytes + request.valid.nbytes,
        weights=weights.weights,
        gradients=weights.gradients,
        optimizer=weights.optimizer,
        copies=weights.copies,
        activations=kept,
        limit=limit(),
        peak=peak,
    )


# -------------------------------------------------------------------------------------------------------- refusing


def refuse_weights(request: Request) -> None:
    """Raise TrimtabError where the weights alone cannot be trained in the memory that there is; nothing is loaded."""
    network = None if request.settings.shard else shaped(request, request.settings)
    if network is not None:
        _refuse(request, estimated(request, counted(network, request.settings), 0, process()))


def refuse(request: Request, network: Network, data: TrainingData) -> None:
    """Raise TrimtabError where the training of a network cannot fit into the memory that there is.

    A batch that does not fit is worked on in parts, down to a row: so a row must fit.
    """
    settings = request.settings
    if settings.method == "frozen" or methods.asks(settings.training_method) or not len(data.train):
        return
    if settings.shard:  # the weights lie in parts, in several processes
        return
    attention = execution.usual_attention(devices.prepare(settings.precision))
    try:
        kept = activations(network, data, settings, attention)
    except Exception:  # a network that is not asked like this: what is wrong with it the steps themselves tell
        return
    most = counted(network, settings)  # as if all of it learnt
    if estimated(request, most, kept, process(most.weights)).training <= limit():
        return
    shape = shaped(request, settings)
    if shape is not None:
        own = counted(shape, settings)
        spared = [one for one in network.pretrained() if one.checkpoint_activations()]
        again = activations(network, data, settings, attention) if spared else kept
        _refuse(request, estimated(request, own, kept, process(own.weights)), again)


def _refuse(request: Request, needed: Memory, spared: int | None = None) -> None:
    if needed.training <= needed.limit:
        return
    parts = {name: getattr(needed, name) for name in ("weights", "gradients", "optimizer", "activations")}
    said = ", ".join(f"{name} {_size(size)}" for name, size in parts.items() if size)
    found = f"training would take {_size(needed.training)} ({said}), and this machine has {_size(needed.limit)}"
    fits = [
        f"{what} ({_size(size)})" for what, size in proposals(request, needed, spared) if size <= _ROOM * needed.limit
    ]
    do = f"what would fit: {'; '.join(fits)}" if fits else "take a smaller base, or a machine with more memory"
    raise problem("memory", found, do=do)


def _size(size: float) -> str:
    return f"{size / _GB:.1f} GB" if size >= _GB / 10 else f"{size / 1e6:.0f} MB"


def proposals(request: Request, needed: Memory, spared: int | None = None) -> Iterator[tuple[str, int]]:
    """Ways to need less, each with the bytes that training would take then.

    `spared` is what activations would take if they were computed again in the backward pass, where that is known.
    """
    settings = request.settings
    for method in ("lora", "frozen"):
        if request.chosen.base is None or settings.method == method or (method, settings.method) == ("lora", "frozen"):
            continue
        other = replace(settings, method=method, frozen_blocks=0)
        shape = shaped(request, other)
        if shape is not None:
            one = counted(shape, other)
            kept = 0 if method == "frozen" else needed.activations
            yield f"train.method: {method}", needed.process + one.weights + one.beside + kept
    longest = int(request.train.steps.max(initial=1))
    base = needed.training - needed.activations
    if spared is not None and spared < needed.activations:
        yield "train.gradient_checkpointing: true", base + spared
    batch = int(settings.batch_tokens * (_ROOM * needed.limit - base) / max(1, needed.activations))
    if longest <= batch < settings.batch_tokens:
        times = math.ceil(settings.batch_tokens / batch) * settings.accumulate
        share = batch / settings.batch_tokens
        yield (
            f"train.batch_tokens: {batch} with train.accumulate: {times}, which learns from as many rows in a step",
            base + int(needed.activations * share),
        )
    if 0 < base < _ROOM * needed.limit and batch < longest:
        for column, encoded in zip(request.inputs, request.train.encoded, strict=True):
            if column.is_text:
                longest = int(column.steps(encoded).max(initial=1))
                yield f"inputs.{column.name}.max_tokens: {longest // 4}", base + needed.activations // 4
    if settings.optimizer != "sgd":
        yield "train.optimizer: sgd", needed.training - needed.optimizer // 2
