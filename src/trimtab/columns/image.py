"""Pictures become pixels of one size.

Read, by content and not by ending: PNG, JPEG (CMYK, MPO too), WebP, GIF, TIFF, BMP, AVIF, JPEG 2000 and PPM. A picture
is turned as its EXIF data say, what is transparent is put on white, 16 bits and floats are scaled to 8, of an animation
or of several pages the first is taken, colour profiles are not looked at. A 16-bit file is taken to use its whole
range: one that holds 12-bit numbers comes out dark.
"""

from __future__ import annotations

import io
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ClassVar, Literal, Self, cast

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError
from pydantic import Field

from trimtab import part_options
from trimtab.columns import Encoded, InputColumn, InputPolicy, Reading, _arrays, _files
from trimtab.columns._files import ANYTHING, Impossible, Unreadable
from trimtab.errors import problem
from trimtab.values import parse
from trimtab.values.problems import Problem

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")  # of Pillow; none runs a program

_SIZE = 224  # pixels, where training pictures differ in size or are large
_SMALL = 64  # pixels: up to here a size that all training pictures share is kept
_ZOOM = 256 / 224  # the usual evaluation crop: 87.5% of the short side
_FIT_ROWS = 2_000
_SIZE_ROWS = 200  # that tell which encoder is chosen
_MOST_IN_MEMORY = 1 << 30  # bytes of pixels; more go to a file
_BLOCK = 1_024  # pictures decoded before they are put where they belong
_DECODING = _files.Room(50_000_000)  # pixels that all threads together decode at a time: up to 16 bytes each
_TILE = (322, 323)  # TIFF: width and height of what is decoded at a time
_TURNED = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_COLOURS = frozenset({1, 3, 4})  # channels
_OVERSHOOT = 1.05  # how far beyond white numbers may lie: resizing leaves some there
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
        sizes = (found for found in _files.each(_size_or_reason, _files.spread(values, _SIZE_ROWS)))
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
            _picture(value, at_least=1)
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
            return self._framed(_picture(value, at_least, self.policy))
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
        self.write(folder, {name: getattr(self, name) for name in _SAVED})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        saved = {name: state[name] for name in _SAVED} | {name: tuple(state[name]) for name in ("mean", "std")}
        return cls(state["name"], state["key"], **saved)


_SAVED = ("channels", "height", "width", "resize", "zoom", "interpolation", "mean", "std")


# ----------------------------------------------------------------------------------------------- what fit looks at


@dataclass(frozen=True)
class _Seen:
    """Of the pictures that fit looked at: per channel, in units of 0 to 255, and whether none had colours."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    grey: bool


def _sizes(name: str, sample: Sequence[Any]) -> set[tuple[int, int]]:
    """The sizes (height, width) of the pictures that can be opened."""
    found = _files.each(_size_or_reason, sample)
    sizes = {size for size in found if not isinstance(size, str)}
    if not sizes:
        reasons = [reason for reason in found if isinstance(reason, str)]
        said = f"none of {len(sample):,} pictures can be read; the first: {reasons[0]}" if reasons else "no value"
        raise problem(f"column {name!r} (image)", f"training rows: {said}", f"pictures: {', '.join(FORMATS)}")
    return sizes


def _size_or_reason(value: Any) -> tuple[int, int] | str:
    """(height, width) by the header alone, as the picture stands upright; else why it cannot be opened."""
    try:
        if held := _in_memory(value, ANYTHING):
            return held.height, held.width
        with _files.opened(value) as stream:
            image = _open(stream, ANYTHING)
            turned = _orientation(image) in _TURNED
            return (image.width, image.height) if turned else (image.height, image.width)
    except Unreadable as reason:
        return str(reason)


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


# ----------------------------------------------------------------------------------------------- bytes to a picture


def _picture(value: Any, at_least: int, policy: InputPolicy = ANYTHING) -> Image.Image:
    """The picture, upright, in mode L or RGB; a JPEG may come smaller, if not below `at_least` pixels a side.

    Raises Unreadable with the reason.
    """
    try:
        if image := _in_memory(value, policy):
            return image
        with _files.opened(value, policy) as stream:
            return _decoded(stream, at_least, policy)
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable("not enough memory to decode it") from None
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise Unreadable(_fault(error)) from None


def _in_memory(value: Any, policy: InputPolicy) -> Image.Image | None:
    """A picture of Pillow, an array or a tensor as a picture; None for what has to be opened. Raises Unreadable."""
    if isinstance(value, Image.Image):
        _measure(value.width * value.height, policy)
        return _flat(value if _orientation(value) == 1 else ImageOps.exif_transpose(value))
    array = _arrays.array(value)
    return None if array is None else _from_array(array, policy)


def _fault(error: Exception) -> str:
    said = str(error)
    if "truncated" in said or "unexpected end of file" in said.lower():
        return "truncated: the file ends before the picture does"
    return f"damaged or not supported ({said or type(error).__name__})"


def _open(stream: BinaryIO, policy: InputPolicy) -> Image.Image:
    """The picture with its header read and nothing decoded. Raises Unreadable."""
    if reason := _files.cut_off(stream):
        raise Unreadable(reason)
    try:
        image: Image.Image = Image.open(stream, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as bomb:  # a warning where they are errors
        pixels = int("".join(filter(str.isdigit, str(bomb).partition(" pixels")[0])))
        raise _too_large(pixels, policy) from None
    except UnidentifiedImageError:
        raise Unreadable(_what_else(stream)) from None
    except Exception as error:  # a damaged header
        raise Unreadable(_fault(error)) from None
    _measure(image.width * image.height, policy)
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # of one pixel, it may be made of tiles as large as one likes
        sides = (image.tag_v2.get(tag) for tag in _TILE)
        _measure(math.prod(side if isinstance(side, int) else 0 for side in sides), policy)
    return image


def _measure(pixels: int, policy: InputPolicy) -> None:
    """Raises Unreadable for more pixels than a policy lets in."""
    if pixels > policy.megapixels * 1e6:
        raise _too_large(pixels, policy)


def _too_large(pixels: int, policy: InputPolicy) -> Unreadable:
    return Unreadable(f"{pixels / 1e6:,.0f} megapixels: more than {policy.megapixels:g} (a decompression bomb?)")


def _what_else(stream: BinaryIO) -> str:
    stream.seek(0)
    head = stream.read(1024)
    if b"<svg" in head.lower():
        return "not an image of pixels but an SVG drawing"
    return "not an image, or a damaged one" if b"\0" in head else "not an image but text"


def _decoded(stream: BinaryIO, at_least: int, policy: InputPolicy) -> Image.Image:
    image = _open(stream, policy)
    whole = image.width * image.height
    image.draft(None, (at_least, at_least))  # JPEG: decoded at a half, a quarter or an eighth
    # A progressive JPEG is held whole, whatever it is decoded to.
    with _DECODING.taken(whole if image.info.get("progressive") else image.width * image.height):
        image.load()
        if _orientation(image) != 1:
            image = ImageOps.exif_transpose(image)
        return _flat(image)


def _orientation(image: Image.Image) -> int:
    """How Pillow still has to turn it, 1 to 8 as in EXIF; 1, upright, when that cannot be read."""
    if image.format == "TIFF":  # turned while it is loaded
        return 1
    try:
        found = image.getexif().get(_ORIENTATION)
    except Exception:  # EXIF data are anything that some camera wrote
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _flat(image: Image.Image) -> Image.Image:
    """The picture in mode L or RGB, 8 bits, on white."""
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(clear)
        return white.convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _from_array(array: np.ndarray, policy: InputPolicy) -> Image.Image:
    """(height, width) or (height, width, 1, 3 or 4) of any real type; colours may come first. Raises Unreadable."""
    if array.ndim == 3 and array.shape[-1] not in _COLOURS and array.shape[0] in _COLOURS:
        array = array.transpose(1, 2, 0)
    shaped = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    if not (shaped.ndim == 2 or (shaped.ndim == 3 and shaped.shape[-1] in (3, 4))) or not shaped.size:
        raise Impossible(f"an array of shape {array.shape}; allowed: (height, width) or (height, width, 3)")
    if shaped.dtype.kind not in "buif":
        raise Impossible(f"an array of type {array.dtype}; allowed: uint8, uint16 or float")
    _measure(shaped.shape[0] * shaped.shape[1], policy)
    return _flat(Image.fromarray(np.ascontiguousarray(_eight_bits(shaped))))


def _eight_bits(array: np.ndarray) -> np.ndarray:
    """Brightness as uint8: 16-bit integers are divided by 257, other numbers by the range that holds them.

    That is 0 to 1 (floats only), 0 to 255 or 0 to 65,535; for numbers beyond these, from the least to the largest.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    numbers = np.nan_to_num(array.astype(np.float32), posinf=0, neginf=0)
    low, high = float(numbers.min()), float(numbers.max())
    if low < 0 or high > 65_535:
        numbers, full = numbers - low, max(high - low, 1e-12)
    elif array.dtype.kind in "iu" and array.dtype.itemsize == 2:
        full = 65_535.0
    else:
        smallest = 255.0 if array.dtype.kind in "iu" else 1.0
        full = next(full for full in (smallest, 255.0, 65_535.0) if high <= full * _OVERSHOOT)
    return np.asarray(np.rint(numbers * (255.0 / full)).clip(0, 255), np.uint8)


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
