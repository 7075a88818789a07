"""Pictures as answers: drawn pixels become PNG files. A spec calls the type `image`, as it does for inputs."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from PIL import Image
from pydantic import Field

from trimtab import part_options
from trimtab.columns import InputPolicy, OutputColumn, Outputs, Targets, _files, certain, dense, image
from trimtab.columns.image import ImageColumn
from trimtab.metrics import Drawn, Kind
from trimtab.values import parse

_SAME = 2.0  # levels of 255: two pictures that differ by less on average are one
_NUMBERS_OF_A_STEP = 512  # as `InputColumn.cost` counts
_MEDIA = "image/png"
_ASKED = ("size", "channels", "resize", "zoom", "interpolation")  # that an input has too


class Options(part_options.Options):
    """What may be set on pictures that are answered."""

    size: image.Pixels | tuple[image.Pixels, image.Pixels] | None = Field(
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
    zoom: float | None = Field(None, ge=1, le=4, description="As of an input.")
    interpolation: Literal["bilinear", "bicubic"] = Field("bilinear", description="bilinear or bicubic.")
    filters: int = Field(
        32,
        ge=8,
        le=512,
        multiple_of=8,
        description="Channels of the decoder at full size, a multiple of 8; each smaller grid has twice as many, up to "
        "256.",
    )


@dataclass(frozen=True)
class PictureColumn(OutputColumn):
    """A picture for each row, of one size; the network gives its pixels from 0 (black) to 1."""

    type: ClassVar[str] = "picture"
    from_files: ClassVar[bool] = True
    open_ended: ClassVar[bool] = True
    aligned: ClassVar[bool] = True
    file_ending: ClassVar[str | None] = ".png"
    baselines: ClassVar[str | None] = "pictures"
    constant: ClassVar[str] = "mean picture"
    recipe: ClassVar[str | None] = "drawings"
    answers: ClassVar[Kind] = Drawn
    headline: ClassVar[str] = "ssim"
    name: str
    key: str
    frame: ImageColumn  # how a picture is read and brought to size
    filters: int

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`. Raises TrimtabError when no picture can be read."""
        chosen = part_options.check(Options, f"column {name!r} (image)", options)
        asked = {option: options[option] for option in _ASKED if option in options}
        return cls(name, key, ImageColumn.fit(name, key, values, asked), chosen.filters)

    @classmethod
    def digest(cls, value: Any) -> str:
        """See `ImageColumn.digest`."""
        return ImageColumn.digest(value)

    @classmethod
    def located(cls, value: Any, folder: Path) -> Any:
        """See `ImageColumn.located`."""
        return ImageColumn.located(value, folder)

    @property
    def drawn_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.frame.channels, self.frame.height, self.frame.width

    @property
    def read_as(self) -> ImageColumn:
        """The pictures as an encoder of pictures reads them."""
        return self.frame

    @property
    def width(self) -> int:
        """The pixels of a picture, in all channels."""
        return math.prod(self.drawn_shape)

    @property
    def answer_cost(self) -> int:
        """A step for every 512 numbers."""
        return self.width // _NUMBERS_OF_A_STEP

    def accepting(self, policy: InputPolicy) -> Self:
        """See `OutputColumn.accepting`."""
        return replace(self, frame=self.frame.accepting(policy))

    def usable(self, value: Any) -> str | None:
        """None for a picture that can be decoded to its end, else the reason."""
        if parse.is_missing(value):
            return "no value"
        problems = self.frame.read([value]).problems
        return problems[0].reason if problems else None

    def targets(self, values: Sequence[Any]) -> np.ndarray:
        """Pixels, (rows, channels * height * width) uint8. Raises ValueError for what is no picture."""
        read = self.frame.read(values)
        if read.problems:
            raise ValueError(str(read.problems[0]))
        return dense(read.encoded).reshape(len(values), self.width)

    def drawn(self, outputs: np.ndarray) -> np.ndarray:
        """Pixels from 0 to 1, (rows, width), as levels: (rows, channels, height, width) uint8."""
        levels: np.ndarray = np.rint(np.clip(certain(outputs), 0, 1) * 255).astype(np.uint8)
        return levels.reshape(len(outputs), *self.drawn_shape)

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        """A PNG for each row, as a data: URI."""
        return {self.name: [_files.uri(_MEDIA, _png(picture)) for picture in self.drawn(dense(outputs))]}

    def content(self, answer: Any) -> bytes:
        """The PNG."""
        return base64.b64decode(str(answer).partition(",")[2])

    def logged(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """A digest of the picture: enough to know it again, and little."""
        return {
            **answer,
            self.name: f"blake2b:{hashlib.blake2b(self.content(answer[self.name]), digest_size=16).hexdigest()}",
        }

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """See `OutputColumn.answer_schema`."""
        channels, height, width = self.drawn_shape
        said = f"a PNG of {width} x {height} pixels, {'grey' if channels == 1 else 'in colours'}, as a data: URI"
        return {
            self.name: {
                "description": said,
                "type": "string",
                "pattern": f"^data:{_MEDIA};base64,",
                "contentEncoding": "base64",
                "contentMediaType": _MEDIA,
            }
        }

    def agrees(self, one: Outputs, other: Outputs) -> np.ndarray:
        """Whether two pictures differ by no more than two levels of 255 on average, (rows,)."""
        apart = np.abs(np.clip(dense(one), 0, 1) - np.clip(dense(other), 0, 1)).mean(axis=1)
        return np.asarray(apart <= _SAME / 255)

    def alike(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether two pictures are of one size and differ by no more than two levels of 255 on average."""
        first, second = (_levels(row.get(self.name)) for row in (one, other))
        return first.shape == second.shape and bool(np.abs(first - second).mean() <= _SAME)

    def looks(self, outputs: Outputs) -> dict[str, np.ndarray]:
        """The brightness of each picture, and how much it varies in it."""
        pixels = np.clip(certain(dense(outputs)), 0, 1)
        return {"brightness": pixels.mean(axis=1, dtype=np.float64), "contrast": pixels.std(axis=1, dtype=np.float64)}

    def answered(self, targets: Targets, outputs: Outputs) -> Drawn:
        """The drawn pictures beside those that were wanted."""
        wanted = dense(targets)
        return Drawn(wanted.reshape(len(wanted), *self.drawn_shape), self.drawn(dense(outputs)))

    def answered_simply(self, targets: Targets, predicted: np.ndarray) -> Drawn:
        """Pixels from 0 to 1, (rows, width), beside those that were wanted."""
        return self.answered(targets, predicted)

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        self.write(
            folder, {"frame": {name: getattr(self.frame, name) for name in image.SAVED}, "filters": self.filters}
        )

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        own = {"name": state["name"], "key": state["key"]}
        return cls(**own, frame=ImageColumn.restore(folder, own | state["frame"]), filters=state["filters"])


def _png(picture: np.ndarray) -> bytes:
    """(channels, height, width) uint8 as the content of a file."""
    content = io.BytesIO()
    plane = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(plane)).save(content, "PNG")
    return content.getvalue()


def _levels(answer: Any) -> np.ndarray:
    """A PNG as a data: URI, (height, width) or (height, width, 3) float64; one pixel of -1 for no answer."""
    if not answer:
        return np.full((1, 1), -1.0)
    with _files.opened(answer) as stream:
        return np.asarray(Image.open(stream), np.float64)
