"""Pictures: turned, moved, scaled, lighter or darker, and half of them mixed with another one.

No picture is mirrored: where a teacher has never seen that, it says nothing worth learning. Mixed pictures teach the
more the smaller the student is (Beyer et al. 2022, arXiv:2106.05237).
"""

from __future__ import annotations

import numpy as np
import torch

from trimtab.columns import Encoded, InputColumn
from trimtab.columns.image import ImageColumn, room
from trimtab.compress.varied import Draw
from trimtab.train.augment.image import ImageAugment

_CHANGES = {"rotate": 10.0, "shift": 0.08, "scale": 0.1, "brightness": 0.1, "contrast": 0.1}
_MIXED = 0.5  # share of the rows
_BLOCK = 256  # pictures that are floats at a time


def vary(column: InputColumn, encoded: Encoded, draw: Draw) -> np.ndarray:
    """Pixels, (rows, channels, height, width) uint8 -> (count, ...), in a temporary file above 1 GiB."""
    assert isinstance(column, ImageColumn)
    augment = ImageAugment.make(column, [], _CHANGES, f"inputs.{column.name}")
    known = np.asarray(encoded)
    found = room((len(draw.picked), column.channels, column.height, column.width))
    for start in range(0, len(found), _BLOCK):
        block = slice(start, start + _BLOCK)
        picked, partners = draw.picked[block], draw.partners[block]
        own = np.where(draw.random.random(len(picked)) < _MIXED, draw.random.uniform(0.5, 1.0, len(picked)), 1.0)
        share = own.astype(np.float32)[:, None, None, None]  # the rest is another picture's, laid over
        pixels = np.asarray(share * known[picked] + (1 - share) * known[partners], np.float32)
        tensors = {f"{column.key}_pixels": torch.from_numpy(pixels)}
        changed = augment(tensors, picked, draw.random)[0][f"{column.key}_pixels"]
        found[block] = changed.round().clamp(0, 255).to(torch.uint8).numpy()
    return found
