"""Pictures as cameras and programs make them, each at five strengths (after Hendrycks and Dietterich 2019, ImageNet-C).

arXiv:1903.12261. What is changed are the pixels that the network reads: (rows, channels, height, width) uint8.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from trimtab.columns import InputColumn
from trimtab.perturb import Budget, Perturbation, Random
from trimtab.values import parse

Change = Callable[[Image.Image, Random, float], Image.Image]


def _noise(image: Image.Image, random: Random, strength: float) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    noisy = pixels + random.normal(0, 255 * strength, pixels.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _blur(image: Image.Image, random: Random, strength: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(strength * min(image.size)))


def _brightness(image: Image.Image, random: Random, strength: float) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1 + strength if random.random() < 0.5 else 1 - strength)


def _contrast(image: Image.Image, random: Random, strength: float) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(1 - strength)


def _jpeg(image: Image.Image, random: Random, strength: float) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=int(strength))
    stream.seek(0)
    return Image.open(stream).convert(image.mode)


def _rotation(image: Image.Image, random: Random, strength: float) -> Image.Image:
    corner = image.getpixel((0, 0))
    turned = strength if random.random() < 0.5 else -strength
    return image.rotate(turned, Image.Resampling.BILINEAR, fillcolor=corner)


def _of_pixels(change: Change) -> Callable[[InputColumn, Sequence[Any], Random, float], list[Any]]:
    def apply(column: InputColumn, values: Sequence[Any], random: Random, strength: float) -> list[Any]:
        pixels = np.asarray(column.encode(values))
        changed: list[Any] = list(values)
        for row, value in enumerate(values):
            if not parse.is_missing(value):
                flat = np.squeeze(np.moveaxis(pixels[row], 0, -1))
                changed[row] = np.asarray(change(Image.fromarray(flat), random, strength))
        return changed

    return apply


def _pictures(pixels: np.ndarray) -> list[Any]:
    """(rows, channels, height, width) -> pictures with the channels last, and without them where they are grey."""
    last = np.moveaxis(np.rint(pixels).astype(np.uint8), 1, -1)
    return list(last[..., 0] if last.shape[-1] == 1 else last)


BUDGET = Budget("pixels", 8.0, (0.0, 255.0), "each pixel by up to 8 of 255 levels", _pictures)  # Madry et al. 2018

PERTURBATIONS = tuple(
    Perturbation(name, meaning, _of_pixels(change), strengths)
    for name, meaning, change, strengths in (
        ("noise", "Gaussian noise, 2% to 15% of the range of a pixel", _noise, (0.02, 0.04, 0.07, 0.1, 0.15)),
        ("blur", "out of focus, by 0.5% to 4% of the shorter side", _blur, (0.005, 0.01, 0.02, 0.03, 0.04)),
        ("brightness", "lighter or darker, by 10% to 50%", _brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("contrast", "less contrast, by 15% to 75%", _contrast, (0.15, 0.3, 0.45, 0.6, 0.75)),
        ("jpeg", "stored as JPEG of quality 70 to 10", _jpeg, (70.0, 50.0, 30.0, 20.0, 10.0)),
        ("rotation", "turned to the left or the right by 3 to 15 degrees", _rotation, (3.0, 6.0, 9.0, 12.0, 15.0)),
    )
)
