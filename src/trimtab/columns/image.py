"""Pictures become pixels of one size; `_pictures` opens them."""

from __future__ import annotations

import io
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import numpy as np
from PIL import Image
from pydantic import Field

from trimtab import part_options
from trimtab.columns import Encoded, InputColumn, InputPolicy, Reading, _files, _schemas
from trimtab.columns._files import ANYTHING, Unreadable
from trimtab.columns._pictures import FORMATS, decoded, size_or_reason
from trimtab.errors import problem
from trimtab.values import parse
from trimtab.values.problems import Problem

_SIZE = 224  # pixels, where training pictures differ in size or are large
_SMALL = 64  # pixels: up to here a size that all training pictures share is kept
_ZOOM = 256 / 224  # the usual evaluation crop: 87.5% of the short side
_FIT_ROWS = 2_000
_SIZE_ROWS = 200  # that tell which encoder is chosen
_MOST_IN_MEMORY = 1 << 30  # bytes of pixels; more go to a file
_BLOCK = 1_024  # pictures decoded before they are put where they belong
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_REDUCING_GAP = 3.0  # how much larger than asked a picture may be made by the quick way before the exact one

Pixels = Annotated[int, Field(ge=1, le=4096)]
PerChannel = float | tuple[float, ...]


class Options(part_options.Options):
    """What may be set on an image column."""

    size: Pixels | tuple[Pixels, Pixels] | None = Field(
        None,
        description="Pixels: one number, or [height, width]. Default: the training pictures' own size when it is one "
        "and at most 64, else 224.",
    )
    channels: Literal[1, 3] | None = Field(
        None, description="3 (red, green, blue) or 1 (grey). Default: 1 when all training pictures are grey."
    )
    resize: Literal["crop", "squash", "pad"] = Field(
        "crop", description="How a picture is brought to `size`: crop, squash or pad (with black)."
    )
    zoom: float | None = Field(
        None,
        ge=1,
        le=4,
        description="1 to 4, for `resize: crop`: how much larger than `size` a picture is scaled before its middle is "
        "cut out. Default: 256/224, or 1 when the training pictures have the asked size.",
    )
    interpolation: Literal["bilinear", "bicubic"] = Field("bilinear", description="bilinear or bicubic.")
    mean: PerChannel | None = Field(
        None, description="Subtracted, 0 to 1, one number per channel. Default: of the training pictures."
    )
    std: PerChannel | None = Field(
        None, description="Divided by, 0 to 1, one number per channel. Default: of the training pictures."
    )


@dataclass(frozen=True)
class ImageColumn(InputColumn):
    """Pixels; tensor `<key>_pixels`, (rows, channels, height, width) uint8.

    The encoder normalises: `(pixels - mean) / std`, with `mean` and `std` of each channel in units of 0 to 255.
    """

    type: ClassVar[str] = "image"
    copied: ClassVar[bool] = True
    simply: ClassVar[str | None] = "pixels"
    allowed: ClassVar[str] = (
        "a file's name, its bytes, base64, a data: URI, an open file, a picture of Pillow, an array or a tensor"
    )
    imputes: ClassVar[bool] = False
    from_files: ClassVar[bool] = True
    answered_as: ClassVar[str | None] = "picture"
    name: str
    key: str
    channels: int  # 1 or 3
    height: int
    width: int
    resize: Literal["crop", "squash", "pad"]
    zoom: float  # `crop`: how much larger than the frame a picture is made before its middle is cut out
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[float, ...]  # (channels,), 0 to 255
    std: tuple[float, ...]
    policy: InputPolicy = ANYTHING

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`; looks at a spread sample of at most 2,000 pictures.

        Raises TrimtabError when none of them can be read.
        """
        chosen = part_options.check(Options, f"column {name!r} ({cls.type})", options)
        sample = _files.spread(values, _FIT_ROWS)
        sizes = _sizes(name, sample)
        height, width = _chosen_size(chosen, sizes)
        zoom = chosen.zoom or (1.0 if sizes == {(height, width)} else _ZOOM)
        asked = chosen.channels or _given_channels(chosen) or 3
        half = (127.5,) * asked
        frame = cls(name, key, asked, height, width, chosen.resize, zoom, chosen.interpolation, half, half)
        told = chosen.channels and chosen.mean is not None and chosen.std is not None
        seen = _Seen(half, half, False) if told else _look(frame, sample)
        channels = 1 if seen.grey and not (chosen.channels or _given_channels(chosen)) else asked
        mean = _per_channel(name, "mean", chosen.mean, channels) or seen.mean[:channels]
        std = _per_channel(name, "std", chosen.std, channels) or seen.std[:channels]
        return replace(frame, channels=channels, mean=mean, std=std)

    @classmethod
    def encoder_for(cls, values: Sequence[Any]) -> tuple[str, str]:
        """By the sizes of a spread sample of the pictures."""
        sizes = (found for found in _files.each(size_or_reason, _files.spread(values, _SIZE_ROWS)))
        sides = [max(size) for size in sizes if not isinstance(size, str)]
        if sides and max(sides) <= _SMALL:
            return "cnn", f"pictures of at most {max(sides)} pixels a side: a small network, from scratch"
        return "efficientnet_lite0", "photos: ImageNet features transfer"

    @classmethod
    def refuses(cls, value: Any) -> str | None:
        """Why the picture cannot be decoded to its end; None when it can, or when there is no value."""
        if parse.is_missing(value):
            return None
        try:
            decoded(value, at_least=1)
        except Unreadable as reason:
            return str(reason)
        return None

    @classmethod
    def digest(cls, value: Any) -> str:
        """See `_files.digest`."""
        return _files.digest(value)

    @classmethod
    def located(cls, value: Any, folder: Path) -> Any:
        """See `_files.located`."""
        return _files.located(value, folder)

    def accepting(self, policy: InputPolicy) -> Self:
        """The column, reading only what a policy lets in."""
        return replace(self, policy=policy)

    def portable(self, value: Any) -> str | None:
        """The pixels as encoded, as a data: URI of a PNG; None for what cannot be read, which encodes to the same."""
        pixels = self._pixels(value)
        if pixels is None:
            return None
        content = io.BytesIO()
        plane = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(plane)).save(content, "PNG")
        return _files.uri("image/png", content.getvalue())

    @property
    def fixed_numbers(self) -> int:
        """The pixels of a picture, in all channels."""
        return self.channels * self.height * self.width

    def invented(self, random: np.random.Generator) -> np.ndarray:
        """Pixels by chance."""
        return random.integers(0, 256, (self.height, self.width, 3), np.uint8)

    def value_schema(self) -> dict[str, Any]:
        """See `InputColumn.value_schema`."""
        return _schemas.content("image", more=f"; at most {self.policy.megapixels:g} megapixels")

    def encode(self, values: Sequence[Any]) -> np.ndarray:
        """Pixels, (rows, channels, height, width) uint8, in a temporary file above 1 GiB.

        What cannot be read becomes the mean of the training pictures, rounded: 0 after normalising.
        """
        return self._read(values)[0]

    def read(self, values: Sequence[Any]) -> Reading:
        """See `InputColumn.read`; each picture is decoded once."""
        return Reading(*self._read(values))

    def _read(self, values: Sequence[Any]) -> tuple[np.ndarray, tuple[Problem, ...]]:
        problems: list[Problem] = []
        pixels = room((len(values), self.channels, self.height, self.width))
        blank = np.rint(self.mean).astype(np.uint8)[:, None, None]
        for start in range(0, len(values), _BLOCK):
            found = _files.each(self._pixels_or_reason, values[start : start + _BLOCK])
            for row, picture in enumerate(found, start):
                pixels[row] = picture if isinstance(picture, np.ndarray) else blank
                if isinstance(picture, Unreadable):
                    problems.append(_files.problem_of(self.name, row, picture))
        return pixels, tuple(problems)

    def _pixels(self, value: Any) -> np.ndarray | None:
        """One picture, (channels, height, width) uint8; None when it cannot be read."""
        found = self._pixels_or_reason(value)
        return found if isinstance(found, np.ndarray) else None

    def _pixels_or_reason(self, value: Any) -> np.ndarray | Unreadable | None:
        """One picture, (channels, height, width) uint8, or why it cannot be read; None when there is no value."""
        if parse.is_missing(value):
            return None
        try:
            at_least = 2 * math.ceil(max(self.height, self.width) * self.zoom)
            return self._framed(decoded(value, at_least, self.policy))
        except Unreadable as reason:
            return reason

    def _framed(self, image: Image.Image) -> np.ndarray:
        mode = "L" if self.channels == 1 else "RGB"
        image = image if image.mode == mode else image.convert(mode)
        if (image.height, image.width) != (self.height, self.width):
            image = _RESIZES[self.resize](self, image)
        return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)

    def steps(self, encoded: Encoded) -> np.ndarray:
        """One per row: every picture costs the same."""
        return np.ones(len(_array(encoded)), np.int64)

    def batch(self, encoded: Encoded, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The pixels of the given rows."""
        return {f"{self.key}_pixels": np.asarray(_array(encoded)[rows])}

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        self.write(folder, {name: getattr(self, name) for name in SAVED})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        saved = {name: state[name] for name in SAVED} | {name: tuple(state[name]) for name in ("mean", "std")}
        return cls(state["name"], state["key"], **saved)


# Fields that a bundle keeps.
SAVED = ("channels", "height", "width", "resize", "zoom", "interpolation", "mean", "std")


# ----------------------------------------------------------------------------------------------- what fit looks at


@dataclass(frozen=True)
class _Seen:
    """Of the pictures that fit looked at: per channel, in units of 0 to 255, and whether none had colours."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    grey: bool


def _sizes(name: str, sample: Sequence[Any]) -> set[tuple[int, int]]:
    """The sizes (height, width) of the pictures that can be opened."""
    found = _files.each(size_or_reason, sample)
    sizes = {size for size in found if not isinstance(size, str)}
    if not sizes:
        reasons = [reason for reason in found if isinstance(reason, str)]
        said = f"none of {len(sample):,} pictures can be read; the first: {reasons[0]}" if reasons else "no value"
        raise problem(f"column {name!r} (image)", f"training rows: {said}", f"pictures: {', '.join(FORMATS)}")
    return sizes


def _chosen_size(chosen: Options, sizes: set[tuple[int, int]]) -> tuple[int, int]:
    if isinstance(chosen.size, int):
        return chosen.size, chosen.size
    if chosen.size:
        return chosen.size
    first = next(iter(sizes))
    return first if len(sizes) == 1 and max(first) <= _SMALL else (_SIZE, _SIZE)


def _given_channels(chosen: Options) -> int | None:
    """3 where a pretrained encoder's three means are given."""
    given = chosen.mean if isinstance(chosen.mean, tuple) else ()
    return 3 if len(given) == 3 else None


def _per_channel(name: str, option: str, given: PerChannel | None, channels: int) -> tuple[float, ...] | None:
    """A mean or std in units of 0 to 255, for each channel; None when none is given."""
    if given is None:
        return None
    each = given if isinstance(given, tuple) else (given,) * channels
    least = 0.0 if option == "mean" else 1 / 255
    if len(each) != channels or not all(least <= number <= 1 for number in each):
        where = f"column {name!r} (image): {option}"
        raise problem(where, f"found {given}", f"{channels} number(s), {least:.3g} to 1, one per channel")
    return tuple(255.0 * number for number in each)


def _look(column: ImageColumn, sample: Sequence[Any]) -> _Seen:
    """Mean and standard deviation of the pixels as encoded, and whether all pictures are grey."""
    moments = [found for found in _files.each(lambda value: _moments(column._pixels(value)), sample) if found]
    if not moments:
        return _Seen(column.mean, column.std, column.channels == 1)  # headers could be read, but no picture's pixels
    mean = np.mean([found[0] for found in moments], axis=0)
    square = np.mean([found[1] for found in moments], axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 1.0))  # a column of blank pictures is not divided by 0
    return _Seen(tuple(mean.tolist()), tuple(std.tolist()), all(found[2] for found in moments))


def _moments(pixels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, bool] | None:
    """Means of the pixels and of their squares, (channels,) each; and whether the channels are the same."""
    if pixels is None:
        return None
    shares = np.array([np.bincount(channel.ravel(), minlength=256) for channel in pixels]) / pixels[0].size
    levels = np.arange(256.0)
    return shares @ levels, shares @ levels**2, bool((pixels == pixels[:1]).all())


# ----------------------------------------------------------------------------------------------- to one size


def _crop(column: ImageColumn, image: Image.Image) -> Image.Image:
    """Scale so that the picture covers the frame `zoom` times, and cut out the middle.

    A picture that is too small for that is only scaled to cover the frame, and never made larger for a crop.
    """
    cover = max(column.height / image.height, column.width / image.width)
    scale = max(cover, min(cover * column.zoom, 1.0))
    wide, high = min(image.width, column.width / scale), min(image.height, column.height / scale)
    left, top = (image.width - wide) / 2, (image.height - high) / 2
    if scale == 1:
        left, top = math.floor(left), math.floor(top)
    return _scaled(column, image, (column.width, column.height), (left, top, left + wide, top + high))


def _squash(column: ImageColumn, image: Image.Image) -> Image.Image:
    return _scaled(column, image, (column.width, column.height), (0, 0, image.width, image.height))


def _pad(column: ImageColumn, image: Image.Image) -> Image.Image:
    """Scale so that the whole picture is in the frame, in its middle, on black."""
    scale = min(column.height / image.height, column.width / image.width)
    wide, high = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    canvas = Image.new(image.mode, (column.width, column.height))
    inside = _scaled(column, image, (wide, high), (0, 0, image.width, image.height))
    canvas.paste(inside, ((column.width - wide) // 2, (column.height - high) // 2))
    return canvas


def _scaled(
    column: ImageColumn, image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]
) -> Image.Image:
    return image.resize(size, _FILTERS[column.interpolation], box=box, reducing_gap=_REDUCING_GAP)


_RESIZES: dict[str, Callable[[ImageColumn, Image.Image], Image.Image]] = {
    "crop": _crop,
    "squash": _squash,
    "pad": _pad,
}


def room(shape: tuple[int, ...]) -> np.ndarray:
    """An array for the pixels of all rows: in memory, or in a file that vanishes with it.

    Raises TrimtabError when the file would not fit on the disk.
    """
    size = math.prod(shape)
    if size <= _MOST_IN_MEMORY:
        return np.empty(shape, np.uint8)
    folder = tempfile.gettempdir()
    if shutil.disk_usage(folder).free < size:
        found = f"{size / 1e9:,.1f} GB of pixels do not fit"
        raise problem(folder, found, do="set TMPDIR to a folder with more room, or choose a smaller size")
    with tempfile.TemporaryFile() as file:
        return np.memmap(cast(Any, file), np.uint8, "w+", shape=shape)


def _array(encoded: Encoded) -> np.ndarray:
    assert isinstance(encoded, np.ndarray)
    return encoded
