"""Pictures of every odd kind: read, or refused with the reason; the same pixels wherever they are encoded."""

from __future__ import annotations

import base64
import io
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from trimtab import columns
from trimtab.columns import InputPolicy, _files, _pictures, image
from trimtab.columns.image import ImageColumn
from trimtab.errors import TrimtabError

CHINA, FLOWER = (Image.fromarray(array).resize((160, 107)) for array in load_sample_images().images)
GREY = CHINA.convert("L")
HALF_CLEAR = CHINA.copy()
HALF_CLEAR.putalpha(Image.new("L", CHINA.size, 128))


def saved(picture: Image.Image, format: str, **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, format, **options)
    return content.getvalue()


def sixteen(picture: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)


def turned(picture: Image.Image, format: str, **options: Any) -> bytes:
    """As a camera held upright writes it: the rows lie on their side, and EXIF says so."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    return saved(picture.transpose(Image.Transpose.ROTATE_90), format, exif=exif, **options)


def bomb(width: int, height: int) -> bytes:
    """A PNG of less than 200 bytes that says to be of any size."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(999)))]
    packed = [
        struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def frame(size: tuple[int, int] = (107, 160), channels: int = 3, **options: Any) -> ImageColumn:
    given = {"size": size, "channels": channels, "mean": 0.5, "std": 0.25, **options}
    return ImageColumn.fit("photo", "photo", [np.asarray(CHINA)], given)


def pixels(value: Any, **options: Any) -> np.ndarray:
    return frame(**options).encode([value])[0].transpose(1, 2, 0)


def distance(value: Any, picture: Image.Image) -> float:
    """Mean difference of the pixels, 0 to 255."""
    return float(np.abs(pixels(value).astype(int) - np.asarray(picture.convert("RGB")).astype(int)).mean())


on_white = Image.blend(CHINA, Image.new("RGB", CHINA.size, "white"), 127 / 255)

# Odd pictures -> what should be seen in them, and how far from it (lossy formats, palettes) it may lie.
ODD: dict[str, tuple[bytes, Image.Image, float]] = {
    "png": (saved(CHINA, "PNG"), CHINA, 0),
    "jpeg": (saved(CHINA, "JPEG", quality=95), CHINA, 3),
    "progressive jpeg": (saved(CHINA, "JPEG", quality=95, progressive=True), CHINA, 3),
    "cmyk jpeg": (saved(CHINA.convert("CMYK"), "JPEG", quality=95), CHINA, 4),
    "cmyk tiff": (saved(CHINA.convert("CMYK"), "TIFF"), CHINA, 1),
    "lab tiff": (saved(CHINA.convert("LAB"), "TIFF"), CHINA, 3),
    "exif-rotated jpeg": (turned(CHINA, "JPEG", quality=95), CHINA, 3),
    "exif-rotated png": (turned(CHINA, "PNG"), CHINA, 0),
    "exif-rotated tiff": (turned(CHINA, "TIFF"), CHINA, 0),
    "16-bit png": (saved(sixteen(GREY), "PNG"), GREY, 0),
    "16-bit tiff": (saved(sixteen(GREY), "TIFF"), GREY, 0),
    "32-bit tiff": (saved(Image.fromarray(np.asarray(sixteen(GREY)).astype(np.int32)), "TIFF"), GREY, 1),
    "float tiff": (saved(Image.fromarray(np.asarray(GREY).astype(np.float32) / 255), "TIFF"), GREY, 0),
    "1-bit png": (saved(GREY.convert("1"), "PNG"), GREY.convert("1"), 0),
    "rgba png": (saved(HALF_CLEAR, "PNG"), on_white, 1),
    "rgba webp": (saved(HALF_CLEAR, "WEBP", lossless=True), on_white, 1),
    "grey with alpha": (saved(HALF_CLEAR.convert("LA"), "PNG"), on_white.convert("L"), 1),
    "palette": (saved(CHINA.quantize(256), "PNG"), CHINA, 8),
    "animated gif": (saved(CHINA, "GIF", save_all=True, append_images=[FLOWER]), CHINA, 8),
    "animated webp": (saved(CHINA, "WEBP", save_all=True, append_images=[FLOWER], lossless=True), CHINA, 0),
    "jpeg 2000": (saved(CHINA, "JPEG2000"), CHINA, 1),
    "bmp": (saved(CHINA, "BMP"), CHINA, 0),
    "ppm": (saved(CHINA, "PPM"), CHINA, 0),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_picture_shows_what_a_viewer_shows(kind: str) -> None:
    content, expected, most = ODD[kind]
    assert ImageColumn.refuses(content) is None
    assert distance(content, expected) <= most


def test_a_transparent_palette_entry_is_white() -> None:
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 200, 10, 10])
    picture.paste(0, (0, 0, 4, 8))
    seen = pixels(saved(picture, "PNG", transparency=0), size=(8, 8))
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert seen[0, 7].tolist() == [200, 10, 10]


def test_a_picture_is_known_by_its_content_not_by_its_ending(tmp_path: Path) -> None:
    (tmp_path / "photo.txt").write_bytes(ODD["jpeg"][0])
    assert ImageColumn.refuses(str(tmp_path / "photo.txt")) is None
    assert np.array_equal(pixels(str(tmp_path / "photo.txt")), pixels(ODD["jpeg"][0]))


def damaged_png() -> bytes:
    content = bytearray(saved(CHINA, "PNG"))
    content[len(content) // 2] ^= 0xFF
    return bytes(content)


REFUSED: list[tuple[Any, str]] = [
    ("none.png", "no such file: none.png"),
    ("folder", "is a folder: "),
    ("empty.png", "an empty file: "),
    ("pipe", "is not an ordinary file: "),
    ("notes.jpg", "not an image but text"),
    ("drawing.svg", "not an image of pixels but an SVG drawing"),
    ("a\0b.png", "no such file: 'a"),
    ("x" * 9_999 + ".png", "no such file: 'xxxx"),
    (b"", "an empty file"),
    (bytes(range(256)), "not an image, or a damaged one"),
    (saved(CHINA, "JPEG")[:2_000], "truncated: the file ends before the picture does"),
    (saved(CHINA, "PNG")[:9_000], "truncated: the file ends before the picture does"),
    (saved(CHINA, "TIFF")[:9_000], "truncated: the file ends before the picture does"),
    (saved(CHINA, "WEBP")[:1_024], "truncated: 1,024 of "),
    (damaged_png(), "damaged or not supported"),
    (bomb(20_000, 20_000), "400 megapixels: more than 50 (a decompression bomb?)"),
    (bomb(10_000, 9_500), "95 megapixels: more than 50"),
    (bomb(10_000, 6_000), "60 megapixels: more than 50"),
    (bomb(0, 5), "not an image, or a damaged one"),
    ("data:image/png,rubbish", "a data: URI whose content is not base64"),
    ({"bytes": None, "path": None}, "no value: neither bytes nor path"),
    (3.5, "found a value of type float, not a file's name"),
    (["a.png"], "found a value of type list, not a file's name"),
    (10**9_999, "found a value of type int"),
    ("\ud800.png", "no such file"),
    (np.zeros((2, 32, 32)), "an array of shape (2, 32, 32)"),
    (np.array([["a"]]), "an array of type <U1"),
    (np.zeros((0, 4), np.uint8), "an array of shape (0, 4)"),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.jpg").write_text("no picture\n")
    (tmp_path / "drawing.svg").write_text("<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=[reason[:30] for _, reason in REFUSED])
def test_what_cannot_be_read_is_refused_with_the_reason_and_still_encoded(here: Path, value: Any, reason: str) -> None:
    found = ImageColumn.refuses(value)
    assert found is not None
    assert found.startswith(reason)
    column = frame()
    assert (column.encode([value])[0] == np.rint(column.mean).astype(np.uint8)[:, None, None]).all()
    assert column.portable(value) is None


def test_a_missing_value_is_not_refused_but_encoded_as_the_mean() -> None:
    column = ImageColumn.fit("photo", "photo", [np.asarray(FLOWER)], {"size": 32})
    normalised = (column.encode([None, ""]) - np.array(column.mean)[:, None, None]) / np.array(column.std)[
        :, None, None
    ]
    assert [ImageColumn.refuses(value) for value in (None, "", float("nan"))] == [None] * 3
    assert np.abs(normalised).max() < 0.5 / min(column.std)


def test_a_huge_jpeg_is_decoded_small() -> None:
    content = saved(FLOWER.resize((4_800, 3_200)), "JPEG")
    exact = FLOWER.resize((4_800, 3_200)).resize((48, 32), Image.Resampling.BILINEAR)
    with _files.opened(content) as stream:
        assert _pictures._from_stream(stream, 64, InputPolicy()).width == 600  # an eighth
    assert np.abs(pixels(content, size=(32, 48), zoom=1).astype(int) - np.asarray(exact).astype(int)).mean() < 3


# -------------------------------------------------------------------------------------------------------- cells


def test_a_path_bytes_a_uri_base64_and_an_array_are_the_same_picture(tmp_path: Path) -> None:
    content = saved(CHINA, "PNG")
    (tmp_path / "a.png").write_bytes(content)
    plain = base64.b64encode(content).decode()
    same: list[Any] = [
        str(tmp_path / "a.png"),
        tmp_path / "a.png",
        content,
        bytearray(content),
        {"bytes": content, "path": "gone.png"},
        {"bytes": None, "path": str(tmp_path / "a.png")},
        plain,
        plain.rstrip("="),
        f"data:image/png;base64,{plain}",
    ]
    encoded = frame().encode([*same, np.asarray(CHINA), np.asarray(CHINA) / 255.0, np.asarray(CHINA) * np.uint16(257)])
    assert (encoded == encoded[0]).all()
    assert (encoded[0] == np.asarray(CHINA).transpose(2, 0, 1)).all()
    assert len({ImageColumn.digest(value) for value in same}) == 1


def test_the_digest_tells_contents_apart_and_is_empty_without_one(tmp_path: Path) -> None:
    contents = [saved(CHINA, "PNG"), saved(FLOWER, "PNG"), np.asarray(CHINA), np.asarray(CHINA).reshape(-1)]
    digests = [ImageColumn.digest(value) for value in contents]
    assert len(set(digests)) == 4
    assert all(len(digest) == 32 for digest in digests)
    assert [ImageColumn.digest(value) for value in (None, "", "none.png", tmp_path, 7)] == [""] * 5


def test_only_a_relative_path_of_a_file_that_exists_is_located(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    there = str(tmp_path / "photos" / "a.png")
    assert ImageColumn.located("photos/a.png", tmp_path) == there
    assert ImageColumn.located({"bytes": None, "path": "photos/a.png"}, tmp_path)["path"] == there
    for value in ("photos/b.png", "/photos/a.png", there, "", None, 3, b"x", "data:image/png;base64,AAAA"):
        assert ImageColumn.located(value, tmp_path) == value


@pytest.mark.parametrize(
    "options", [{}, {"resize": "squash"}, {"resize": "pad"}, {"channels": 1}, {"size": (40, 300)}, {"size": 17}]
)
def test_a_portable_picture_is_encoded_to_the_same_pixels(options: dict[str, Any]) -> None:
    values = [content for content, _, _ in ODD.values()]
    column = ImageColumn.fit("photo", "photo", values, {"size": 64} | options)
    portable = [column.portable(value) for value in values]
    assert json.loads(json.dumps(portable)) == portable
    assert np.array_equal(column.encode(portable), column.encode(values))
    assert [column.portable(value) for value in portable] == portable


# --------------------------------------------------------------------------------------------------- size, channels


def digits() -> list[np.ndarray]:
    return [(15 * array).astype(np.uint8) for array in load_digits().images[:300]]


def test_small_pictures_of_one_size_are_kept_as_they_are() -> None:
    column = ImageColumn.fit("digit", "digit", digits(), {})
    assert (column.channels, column.height, column.width, column.zoom) == (1, 8, 8, 1.0)
    encoded = column.encode(digits())
    assert np.array_equal(encoded[:, 0], np.stack(digits()))
    assert column.mean == pytest.approx([encoded.mean()])
    assert column.std == pytest.approx([encoded.std()])


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_the_size_of_a_turned_picture_is_that_of_the_upright_one(format: str) -> None:
    column = ImageColumn.fit("photo", "photo", [turned(CHINA.resize((60, 40)), format)] * 2, {})
    assert (column.height, column.width) == (40, 60)


def test_other_pictures_become_224_pixels_and_three_channels() -> None:
    column = ImageColumn.fit("photo", "photo", [saved(GREY, "PNG"), saved(FLOWER, "PNG")], {})
    assert (column.channels, column.height, column.width, column.zoom) == (3, 224, 224, 256 / 224)


def test_grey_pictures_in_colour_files_have_one_channel() -> None:
    assert ImageColumn.fit("scan", "scan", [saved(GREY.convert("RGB"), "PNG")] * 2, {"size": 32}).channels == 1
    assert ImageColumn.fit("scan", "scan", [saved(GREY, "PNG")], {"size": 32, "channels": 3}).channels == 3


def test_a_pretrained_encoders_mean_and_std_are_kept_in_units_of_pixels() -> None:
    given = {"size": 32, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    column = ImageColumn.fit("scan", "scan", [saved(GREY, "PNG")], given)
    assert column.mean == pytest.approx((123.675, 116.28, 103.53))
    assert column.std == pytest.approx((58.395, 57.12, 57.375))
    assert column.channels == 3


def marked() -> Image.Image:
    """Grey, 100 x 60, with a red left edge and a blue right edge, 10 pixels each, and a white middle line."""
    picture = Image.new("RGB", (100, 60), (128, 128, 128))
    picture.paste((255, 0, 0), (0, 0, 10, 60))
    picture.paste((0, 0, 255), (90, 0, 100, 60))
    picture.paste((255, 255, 255), (48, 0, 52, 60))
    return picture


def test_crop_keeps_the_middle_squash_everything_and_pad_the_shape() -> None:
    content = saved(marked(), "PNG")
    seen = {resize: pixels(content, size=(30, 30), resize=resize) for resize in ("crop", "squash", "pad")}
    assert seen["crop"][15, 0].tolist() == seen["crop"][15, -1].tolist() == [128, 128, 128]
    assert seen["crop"][15, 15].min() > 200
    assert seen["squash"][15, 0].tolist() == [255, 0, 0]
    assert seen["squash"][15, -1].tolist() == [0, 0, 255]
    assert seen["pad"][15, 0].tolist() == [255, 0, 0]
    assert not seen["pad"][:6].any()
    assert not seen["pad"][24:].any()


def shown_share(side: int) -> float:
    """How much of a square picture's width a crop to 64 pixels shows; its brightness rises from left to right."""
    ramp = np.broadcast_to(np.linspace(0, 255, side), (side, side)).astype(np.uint8)
    row = pixels(ramp, size=(64, 64), channels=1)[32, :, 0].astype(float)
    return float(row[-1] - row[0]) / 255 * (side - 1) / side * 64 / 63


def test_a_large_picture_is_cropped_as_usual_and_a_small_one_loses_nothing() -> None:
    assert shown_share(512) == pytest.approx(0.875, abs=0.02)
    assert shown_share(73) == pytest.approx(0.877, abs=0.02)
    assert shown_share(64) == pytest.approx(1, abs=0.01)
    assert shown_share(40) == pytest.approx(1, abs=0.03)


def test_extreme_shapes_are_encoded() -> None:
    strips = [np.full(shape, 77, np.uint8) for shape in ((1, 5_000), (5_000, 1), (1, 1))]
    for resize in ("crop", "squash", "pad"):
        assert (frame(size=(16, 16), channels=1, resize=resize).encode(strips) == 77).any(axis=(1, 2, 3)).all()


# ------------------------------------------------------------------------------------------------- the contract


def test_a_saved_column_comes_back_equal(tmp_path: Path) -> None:
    column = ImageColumn.fit("Photo of it", "photo", [saved(CHINA, "JPEG")], {"size": [20, 30], "resize": "pad"})
    column.save(tmp_path)
    state = json.loads((tmp_path / "photo.json").read_text())
    assert columns.restore(tmp_path, state) == column
    assert [path.name for path in tmp_path.iterdir()] == ["photo.json"]


def test_pixels_are_batched_by_row_and_each_row_is_one_step() -> None:
    column = ImageColumn.fit("digit", "digit", digits(), {})
    encoded = column.encode(digits())
    assert (column.steps(encoded) == 1).all()
    batch = column.batch(encoded, np.array([5, 2]))
    assert list(batch) == ["digit_pixels"]
    assert batch["digit_pixels"].dtype == np.uint8
    assert np.array_equal(batch["digit_pixels"], encoded[[5, 2]])
    assert column.batch(column.encode([]), np.arange(0))["digit_pixels"].shape == (0, 1, 8, 8)


def test_many_pixels_go_to_a_file_that_nobody_sees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(image, "_MOST_IN_MEMORY", 1_000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    column = ImageColumn.fit("digit", "digit", digits(), {})
    encoded = column.encode(digits())
    assert isinstance(encoded, np.memmap)
    assert list(tmp_path.iterdir()) == []
    assert np.array_equal(encoded[:, 0], np.stack(digits()))
    assert type(column.batch(encoded, np.arange(3))["digit_pixels"]) is np.ndarray


def test_a_full_disk_is_told_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_MOST_IN_MEMORY", 1_000)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    with pytest.raises(TrimtabError, match="do not fit\n  do: set TMPDIR"):
        frame().encode([None])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 0}, "size: found 0"),
        ({"size": [224]}, r"size.1: found \[224\].*\[height, width\]"),
        ({"sise": 3}, "no option named 'sise'.*did you mean 'size'"),
        ({"channels": 2}, "channels: found 2"),
        ({"resize": "stretch"}, "resize: found 'stretch'.*crop, squash or pad"),
        ({"mean": [0.5, 0.5]}, "mean: found .*3 number"),
        ({"mean": [0.5, 0.5, 0.5], "channels": 1}, "mean: found .*1 number"),
        ({"mean": 124}, "mean: found 124.*0 to 1"),
        ({"std": 0}, "std: found 0"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(TrimtabError, match=f"(?s)column 'photo' \\(image\\).*{said}"):
        ImageColumn.fit("photo", "photo", [np.asarray(CHINA)], options)


@pytest.mark.parametrize(
    ("values", "said"),
    [(["none.png", "b.png"], "none of 2 pictures.*no such file: none.png"), ([None, ""], "no value")],
)
def test_without_any_picture_there_is_no_column(values: list[Any], said: str) -> None:
    with pytest.raises(TrimtabError, match=f"(?s)column 'photo' \\(image\\): training rows: {said}"):
        ImageColumn.fit("photo", "photo", values, {})


def damages(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    content = bytearray(list(ODD.values())[seed % len(ODD)][0])
    for place in rng.integers(0, min(len(content), 500), 4):
        content[place] = rng.integers(256)
    return bytes(content)


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_picture_is_either_refused_or_read() -> None:
    column, values = frame(size=(16, 16)), [damages(seed) for seed in range(150)]
    blank = (column.encode(values) == np.rint(column.mean).astype(np.uint8)[:, None, None]).all(axis=(1, 2, 3))
    refused = [ImageColumn.refuses(value) is not None for value in values]
    assert blank.tolist() == refused
    assert 20 < sum(refused) < 130
