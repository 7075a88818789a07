"""What the bytes of a picture hold: Pillow opens them, and what comes out stands upright, in 8 bits, on white.

Read, by content and not by ending: PNG, JPEG (CMYK, MPO too), WebP, GIF, TIFF, BMP, AVIF, JPEG 2000 and PPM. A picture
is turned as its EXIF data say, what is transparent is put on white, 16 bits and floats are scaled to 8, of an animation
or of several pages the first is taken, colour profiles are not looked at. A 16-bit file is taken to use its whole
range: one that holds 12-bit numbers comes out dark.
"""

from __future__ import annotations

import math
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from trimtab.columns import InputPolicy, _arrays, _files
from trimtab.columns._files import ANYTHING, Impossible, Unreadable

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")  # of Pillow; none runs a program
_DECODING = _files.Room(50_000_000)  # pixels that all threads together decode at a time: up to 16 bytes each
_TILE = (322, 323)  # TIFF: width and height of what is decoded at a time
_TURNED = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112
_COLOURS = frozenset({1, 3, 4})  # channels
_OVERSHOOT = 1.05  # how far beyond white numbers may lie: resizing leaves some there


def size_or_reason(value: Any) -> tuple[int, int] | str:
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


def decoded(value: Any, at_least: int, policy: InputPolicy = ANYTHING) -> Image.Image:
    """The picture, upright, in mode L or RGB; a JPEG may come smaller, if not below `at_least` pixels a side.

    Raises Unreadable with the reason.
    """
    try:
        if image := _in_memory(value, policy):
            return image
        with _files.opened(value, policy) as stream:
            return _from_stream(stream, at_least, policy)
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


def _from_stream(stream: BinaryIO, at_least: int, policy: InputPolicy) -> Image.Image:
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
