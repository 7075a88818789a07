"""What networks that draw pictures, or look at drawn ones, share; and those that learn beside one that draws."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from trimtab.nets.encoders.seed import SeedEncoder
from trimtab.nets.images import Pixels, channels_last
from trimtab.nets.states import States, lay_end_to_end

Shape = tuple[int, int, int]  # channels, height, width

_LEAST_SIDE = 4  # places on the short side of the last grid of a network that looks at pictures
_MOST_CHANNELS = 256
_SLOPE = 0.2  # of leaky ReLU


def row_means(states: States, encoders: int) -> Tensor:
    """The mean of each encoder's states, side by side: (rows, encoders * width)."""
    means = []
    for part in (states.of(position) for position in range(encoders)):
        weight = part.mask.unsqueeze(-1).to(part.values.dtype)
        means.append((part.values * weight).sum(1) / weight.sum(1).clamp(min=1.0))
    return torch.cat(means, dim=1)


def seeds(network: nn.Module) -> Iterator[SeedEncoder]:
    """The encoders of a network whose noise is drawn."""
    return (module for module in network.modules() if isinstance(module, SeedEncoder))


def paired(module: nn.Module, shape: Shape) -> Iterator[Pixels]:
    """The pictures that are read, in a module, of the height and width of those that are drawn."""
    return (one for one in module.modules() if isinstance(one, Pixels) and one.shape[1:] == shape[1:])


class _Looking(nn.Module):
    """Pictures, beside the inputs that they are drawn for -> features; noise is no such input."""

    def __init__(self, encoders: nn.ModuleDict, shape: Shape, channels: int, features: int, spectral: bool) -> None:
        super().__init__()
        self.shape = shape
        own = {key: encoder for key, encoder in encoders.items() if not isinstance(encoder, SeedEncoder)}
        self.encoders = nn.ModuleDict(copy.deepcopy(own))
        for module in self.encoders.modules():
            if isinstance(module, nn.Embedding):
                module.sparse = False
        self.paired = tuple(paired(self.encoders, shape))[:1]  # in a tuple: they are the encoder's own
        kept = _normed if spectral else _plain
        inside = shape[0] + sum(one.shape[0] for one in self.paired)
        layers: list[nn.Module] = [kept(nn.Conv2d(inside, channels, 3, padding=1)), nn.LeakyReLU(_SLOPE)]
        height, width = shape[1:]
        while min(height, width) > _LEAST_SIDE:
            more = min(2 * channels, _MOST_CHANNELS)
            layers += [kept(nn.Conv2d(channels, more, 4, stride=2, padding=1)), nn.LeakyReLU(_SLOPE)]
            channels, height, width = more, height // 2, width // 2
        layers += [nn.Flatten(), kept(nn.Linear(channels * height * width, features))]
        self.layers = channels_last(nn.Sequential(*layers))

    def look(self, pictures: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
        """Pixels from 0 to 1, (rows, channels * height * width), and the tensors of the inputs -> (rows, features)."""
        seen = [pictures.unflatten(1, self.shape) * 2 - 1, *(one(tensors) for one in self.paired)]
        features: Tensor = self.layers(torch.cat(seen, dim=1))
        return features

    def condition(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """A vector of the inputs, (rows, encoders * width); None where there are none."""
        if not len(self.encoders):
            return None
        return row_means(lay_end_to_end([one(tensors) for one in self.encoders.values()]), len(self.encoders))


class Discriminator(_Looking):
    """How real a picture looks for its inputs: (rows,) (Miyato and Koyama 2018, arXiv:1802.05637: by projection)."""

    def __init__(self, encoders: nn.ModuleDict, width: int, shape: Shape, channels: int, spectral: bool) -> None:
        super().__init__(encoders, shape, channels, _MOST_CHANNELS, spectral)
        kept = _normed if spectral else _plain
        self.score = kept(nn.Linear(_MOST_CHANNELS, 1))
        self.project = kept(nn.Linear(len(self.encoders) * width, _MOST_CHANNELS)) if len(self.encoders) else None

    def forward(self, pictures: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
        """Pixels from 0 to 1, (rows, numbers), and the tensors of the inputs -> (rows,): higher is more real."""
        features = functional.leaky_relu(self.look(pictures, tensors), _SLOPE)
        score: Tensor = self.score(features).squeeze(1)
        condition = self.condition(tensors)
        if self.project is None or condition is None:
            return score
        fit: Tensor = (features * self.project(condition)).sum(1)
        return score + fit


class Recogniser(_Looking):
    """The code by which a picture would be drawn: its mean and the logarithm of its variance."""

    def __init__(self, encoders: nn.ModuleDict, width: int, shape: Shape, channels: int, size: int) -> None:
        super().__init__(encoders, shape, channels, _MOST_CHANNELS, spectral=False)
        self.code = nn.Linear(_MOST_CHANNELS + len(self.encoders) * width, 2 * size)

    def forward(self, pictures: Tensor, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Pixels from 0 to 1, (rows, numbers), and the tensors of the inputs -> (rows, size) twice."""
        condition = self.condition(tensors)
        known = [functional.leaky_relu(self.look(pictures, tensors), _SLOPE)]
        known += [] if condition is None else [condition]
        mean, spread = self.code(torch.cat(known, dim=1)).chunk(2, dim=1)
        return mean, spread


def _normed(module: nn.Module) -> nn.Module:
    """The module with a spectral norm of 1 (Miyato et al. 2018, arXiv:1802.05957)."""
    return parametrizations.spectral_norm(module)


def _plain(module: nn.Module) -> nn.Module:
    return module
