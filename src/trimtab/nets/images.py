"""What the encoders of pictures share: pixels made ready for a network, and a grid of places as states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig

from trimtab import part_options
from trimtab.columns.image import ImageColumn
from trimtab.errors import problem
from trimtab.nets.states import States

Shape = TypeVar("Shape", bound=PreTrainedConfig)
Chosen = TypeVar("Chosen", bound=part_options.Options)


class Pixels(nn.Module):
    """`<key>_pixels` (rows, channels, height, width), uint8 or floats of 0 to 255 -> floats, (pixels - mean) / std.

    Mean and std belong to the column: they travel in the ONNX file, and are not weights.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, column: ImageColumn) -> None:
        super().__init__()
        self.name = f"{column.key}_pixels"
        self.shape = (column.channels, column.height, column.width)
        self.register_buffer("mean", _per_channel(column.mean), persistent=False)
        self.register_buffer("scale", 1 / _per_channel(column.std), persistent=False)

    def forward(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """(rows, channels, height, width) floats of about -2 to 2."""
        return (tensors[self.name].float() - self.mean) * self.scale


def _per_channel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)


def grid(features: Tensor) -> States:
    """Each place of (rows, width, height, width in places) becomes a state: (rows, places, width), none masked."""
    values = features.flatten(2).transpose(1, 2)
    return unmasked(values)


def unmasked(values: Tensor) -> States:
    """(rows, steps, width), all of them real."""
    mask = torch.ones_like(values[..., 0], dtype=torch.bool)
    return States(values, mask, torch.zeros_like(values[0, :, 0], dtype=torch.long))


def shape_of(shape: type[Shape], scratch: type[Chosen], where: str, config: Mapping[str, Any]) -> Shape | Chosen:
    """A base's configuration as the library's own, or the user's options of a network from scratch.

    Raises TrimtabError for an option that does not exist, and for any beside a base: its weights fix the shape.
    """
    if "model_type" not in config:
        return part_options.check(scratch, where, config)
    given = sorted(set(scratch.model_fields) & set(config))
    if given:
        raise problem(f"{where}: {given[0]}", "the base decides the shape", do="leave it out, or leave the base out")
    return shape(**{key: value for key, value in config.items() if key != "model_type"})


def check_pictures(column: ImageColumn, channels: int, least: int) -> None:
    """Raises TrimtabError when a network made for `channels` and for `least` pixels a side cannot read the column."""
    where = f"column {column.name!r} (image)"
    if column.channels != channels:
        raise problem(f"{where}: channels", f"found {column.channels}", f"{channels}, as its encoder was made for")
    if min(column.height, column.width) < least:
        found = f"{column.height} x {column.width} pixels"
        raise problem(f"{where}: size", found, f"at least {least} pixels a side for its encoder")


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that goes by its running statistics where a batch has one value per channel, which spreads nowhere.

    PyTorch's own raises then: on a picture that stands alone in the last batch, where its last grid is one place.
    """

    def forward(self, values: Tensor) -> Tensor:
        """(rows, channels, height, width) -> the same."""
        if not self.training or values.shape[0] * values.shape[2] * values.shape[3] > 1:
            return super().forward(values)
        return functional.batch_norm(
            values, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


def with_batch_norm(module: nn.Module) -> nn.Module:
    """The module with a `BatchNorm` in place of each of a library's own; before it has weights."""
    for name, part in module.named_children():
        if type(part) is nn.BatchNorm2d:
            setattr(module, name, BatchNorm(part.num_features, part.eps, part.momentum))
        else:
            with_batch_norm(part)
    return module


class ConvTrunk(nn.Module):
    """Stages of convolutions: (rows, channels, height, width) -> (rows, `width`, height / 2^(stages - 1), ...).

    Every stage but the last ends in max-pooling by two, so `stages` 1 keeps the size. The last stage has `width`
    channels, each one before it half of that, at least 16. A stage is `depth` times convolution, batch norm and ReLU;
    the first stage, the widest and dearest, is one.
    """

    def __init__(
        self, channels: int, width: int, stages: int, depth: int = 2, kernel: int = 3, dropout: float = 0.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = channels
        for stage in range(stages):
            outside = width if stage == stages - 1 else max(16, width >> (stages - 1 - stage))
            for _ in range(depth if stage else 1):
                layers += [nn.Conv2d(inside, outside, kernel, padding=kernel // 2, bias=False)]
                layers += [BatchNorm(outside), nn.ReLU(inplace=True)]
                inside = outside
            if stage < stages - 1:
                layers += [nn.MaxPool2d(2), nn.Dropout2d(dropout)]
        self.layers = channels_last(nn.Sequential(*layers))

    def forward(self, pictures: Tensor) -> Tensor:
        """(rows, channels, height, width) -> (rows, `width`, fewer, fewer)."""
        features: Tensor = self.layers(pictures)
        return features


def channels_last(module: nn.Module) -> nn.Module:
    """The module with the weights of its convolutions laid out as CPUs and GPUs are quickest with."""
    laid: nn.Module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return laid


def plain_convolutions(model: nn.Module) -> list[str]:
    """The names of the convolutions that see all channels: those that a low-rank update can stand beside."""
    return [name for name, part in model.named_modules() if type(part) is nn.Conv2d and part.groups == 1]


def stages_for(height: int, width: int, places: int = 8) -> int:
    """Stages, at least two, of a `ConvTrunk` whose last grid has at most `places` on its short side."""
    stages, side = 2, min(height, width) // 2
    while side > places:
        stages, side = stages + 1, side // 2
    return stages
