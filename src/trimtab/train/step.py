"""One optimizer step: gradients of a group of batches, clipped, at the scheduled rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from trimtab.errors import problem
from trimtab.train import checkpoint
from trimtab.train.checkpoint import Position
from trimtab.train.method import Run
from trimtab.train.optimizer import clip, set_rates


def step(
    run: Run, group: list[np.ndarray], position: Position, total: int, mean_rows: float
) -> tuple[Position, Tensor]:
    """One optimizer step over a group of batches; returns the position and the sum of the losses, still on the device.

    Of several processes it is that of this one's rows. Where memory is short, the batches are split and the step begins
    again. Raises TrimtabError when a single row does not fit.
    """
    while True:
        try:
            total_loss = run.method.gradients(run, group, position, mean_rows)
            break
        except (torch.OutOfMemoryError, RuntimeError) as error:
            short = isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
            if not short or run.devices.sharded:  # others are in the middle of the same step
                raise
            position = _split(run, group, position)
    if run.bf16_weights:
        run.bf16_weights.gather()
    if not run.averages:
        run.devices.sum_gradients(run.network)
        if run.second is not None:
            run.devices.sum_gradients(run.second)
    for optimizer in run.optimizers.all:
        run.devices.scaler.unscale_(optimizer)
    clip(run.network, run.optimizers, run.settings.clip_norm, run.devices)
    set_rates(run.optimizers, position.step, total, run.settings)
    for optimizer in run.optimizers.all:
        run.devices.scaler.step(optimizer)
        optimizer.zero_grad()
    run.devices.scaler.update()
    run.method.after(run.network, (position.step + 1) / total)
    if run.bf16_weights:
        run.bf16_weights.refresh()
    if run.ema_weights:
        _update_average(run, position.step)
    return replace(position, step=position.step + 1), total_loss


def _split(run: Run, group: list[np.ndarray], position: Position) -> Position:
    if 2**position.split_depth >= max(len(batch) for batch in group):
        raise problem("train", "a single row does not fit into memory", do="set max_tokens of the text input lower")
    for optimizer in run.optimizers.all:
        optimizer.zero_grad()
    if run.bf16_weights:
        run.bf16_weights.forget()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    run.progress.note(f"out of memory: each batch is now worked on in {2 ** (position.split_depth + 1)} parts")
    return replace(position, split_depth=position.split_depth + 1)


@torch.no_grad()
def _update_average(run: Run, step: int) -> None:
    """The first steps weigh less, so that a short run is not held back by the weights that it began with."""
    decay = min(run.settings.ema_decay, (1 + step) / (10 + step))
    for key, value in checkpoint.learnt(run.network).items():
        if value.is_floating_point():
            run.ema_weights[key].lerp_(value, 1 - decay)
