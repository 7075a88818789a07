"""Recurrent layers: what lstm, bilstm and gru share.

PyTorch's own layers train; in an exported network each becomes the ONNX operator of the same name, for the exporter
would take the number of steps of its example for a constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.onnx.ops
from pydantic import Field
from torch import Tensor, nn

from trimtab import part_options
from trimtab.columns import InputColumn
from trimtab.nets import steps
from trimtab.nets.states import States

_OPSET = 14  # the version of the ONNX operators LSTM and GRU
_LAYERS = {"LSTM": nn.LSTM, "GRU": nn.GRU}
# PyTorch's gates in ONNX's order: input, output, forget and cell of an LSTM; update, reset and new of a GRU.
_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}
_ATTRIBUTES = {"LSTM": {}, "GRU": {"linear_before_reset": 1}}


class Options(part_options.Options):
    """What may be set on lstm, bilstm and gru."""

    layers: int = Field(1, ge=1, le=8, description="Recurrent layers, one on top of the other, 1 to 8.")
    hidden: int | None = Field(
        None, ge=1, le=4096, description="Width of a layer in each direction. Default: the states' width is made up."
    )
    embedding: int | None = Field(
        None, ge=1, le=4096, description="Width of an embedded token, event or frame. Default: that of the states."
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout of embedded steps and between layers, 0 to 1.")


class Recurrence(nn.Module):
    """One layer in one direction: (rows, steps, inputs) -> (rows, steps, hidden)."""

    def __init__(self, cell: str, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cell, self.hidden = cell, hidden
        self.layer = _LAYERS[cell](inputs, hidden, batch_first=True)

    def forward(self, values: Tensor) -> Tensor:
        """The hidden state at every step; each depends on the steps up to it."""
        if torch.compiler.is_exporting():
            return self._operator(values)
        found: Tensor = self.layer(values)[0]
        return found

    def _operator(self, values: Tensor) -> Tensor:
        layer, rows, steps = self.layer, values.shape[0], values.shape[1]
        biases = torch.cat([self._ordered(layer.bias_ih_l0), self._ordered(layer.bias_hh_l0)], dim=1)
        given = (values.transpose(0, 1), self._ordered(layer.weight_ih_l0), self._ordered(layer.weight_hh_l0), biases)
        attributes: dict[str, Any] = {"hidden_size": self.hidden, **_ATTRIBUTES[self.cell]}
        shape = (steps, 1, rows, self.hidden)
        found = torch.onnx.ops.symbolic(self.cell, given, attributes, dtype=values.dtype, shape=shape, version=_OPSET)
        return found.squeeze(1).transpose(0, 1)

    def _ordered(self, weight: Tensor) -> Tensor:
        """(gates x hidden, ...) in ONNX's order of the gates, with a dimension for the direction before them."""
        return torch.cat(
            [weight[gate * self.hidden : (gate + 1) * self.hidden] for gate in _GATES[self.cell]]
        ).unsqueeze(0)


class RecurrentEncoder(nn.Module):
    """Steps -> one state per step, through layers of one or of both directions.

    The backward direction reads each row reversed within its own length, so that padding changes nothing.
    """

    types: ClassVar[frozenset[str]] = frozenset()
    sequences: ClassVar[bool] = True
    states_width: ClassVar[int] = 128
    cell: ClassVar[str]
    backward: ClassVar[bool] = False

    def __init__(self, columns: Sequence[InputColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        (column,) = columns
        chosen = part_options.check(Options, f"inputs.{column.name}.encoder", config)
        directions = 2 if self.backward else 1
        hidden, inputs = chosen.hidden or -(-width // directions), chosen.embedding or width
        self.embed = steps.StepEmbedding(column, inputs, chosen.dropout)
        self.onward, self.back = nn.ModuleList(), nn.ModuleList()
        for _ in range(chosen.layers):
            self.onward.append(Recurrence(self.cell, inputs, hidden))
            if self.backward:
                self.back.append(Recurrence(self.cell, inputs, hidden))
            inputs = hidden * directions
        self.dropout = nn.Dropout(chosen.dropout)
        self.project = steps.projected(inputs, width)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_ids` (rows, steps) or `<key>_frames` (rows, steps, mels) -> states (rows, steps, width)."""
        values, mask = self.embed(tensors)
        reverse = steps.reversal(mask) if self.backward else None
        for number, layer in enumerate(self.onward):
            below = self.dropout(values) if number else values
            values = layer(below)
            if reverse is not None:
                other = steps.taken(self.back[number](steps.taken(below, reverse)), reverse)
                values = torch.cat([values, other], dim=-1)
        return self.embed.states(self.project(values), mask, tensors)
