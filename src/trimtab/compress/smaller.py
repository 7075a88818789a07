"""New networks of the teacher's kind, narrower and shallower, to be distilled from it.

For pictures, sounds, histories, tables and inputs side by side. A text alone has students of its own (`students`), and
pretrained networks are pruned where they stand (`layers`, `prune`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab import part_options
from trimtab.columns import InputColumn
from trimtab.columns.image import ImageColumn
from trimtab.compress import Skip
from trimtab.nets import recurrent
from trimtab.nets.encoders import audio_cnn, cnn, conformer, textcnn, transformer
from trimtab.nets.fitted import FittedNetwork, built
from trimtab.nets.fusions import concat, dcn, deepfm, ft_transformer, wide_deep
from trimtab.nets.images import stages_for
from trimtab.nets.network import Architecture, EncoderEntry

_LEAST_PARAMETERS = 4_000  # of a teacher: below, there is nothing to gain
_LARGEST = 0.75  # of the teacher's parameters: a student with more is none
_MULTIPLE = 8  # of which widths are made: what vector units take at once
_LEAST_WIDTH = 8
_PRETRAINED_WIDTH = 128  # of the states that students of a pretrained encoder start from


@dataclass(frozen=True)
class Size:
    """How much smaller a student is."""

    share: float  # of the teacher's widths, and of its dropout: a smaller network has less to forget
    shallow: bool  # one layer where the teacher has several
    name: str


SIZES = (
    Size(0.25, True, "a quarter as wide, shallow"),
    Size(0.5, True, "half as wide, shallow"),
    Size(0.5, False, "half as wide"),
)


def smaller(teacher: FittedNetwork, seed: int = 0) -> tuple[FittedNetwork, ...] | Skip:
    """At most three students, the cheapest first, with weights drawn from `seed`.

    Encoders that users wrote themselves are kept as they are, but for the narrower states that they are asked for.
    """
    if teacher.parameters < _LEAST_PARAMETERS:
        return Skip(f"the network has {teacher.parameters:,} parameters: it is tiny already")
    names = {entry.name for entry in teacher.architecture.encoders}
    if names <= _TEXTS:
        return Skip("a pretrained encoder of texts alone has students of its own: static, conv, tiny")
    shapes: dict[str, tuple[Architecture, Size]] = {}
    for size in SIZES:
        shape = _shrunk(teacher.architecture, teacher.inputs, size)
        shapes.setdefault(shape.model_dump_json(exclude={"dropout"}), (shape, size))
    students = [
        built(shape, teacher.inputs, teacher.output, seed=seed, made=(*teacher.made, f"a student, {size.name}"))
        for shape, size in shapes.values()
    ]
    fewer = tuple(student for student in students if student.parameters <= _LARGEST * teacher.parameters)
    return fewer or Skip(f"half the width saves less than a quarter of {teacher.parameters:,} parameters")


def _shrunk(shape: Architecture, inputs: Sequence[InputColumn], size: Size) -> Architecture:
    columns = {column.key: column for column in inputs}
    replaced = any(entry.name in _REPLACED for entry in shape.encoders)
    width = _narrowed(min(shape.width, _PRETRAINED_WIDTH) if replaced else shape.width, size.share)
    encoders = [
        EncoderEntry(name=name, reads=reads, config=config)
        for entry in shape.encoders
        for name, reads, config in _smaller_encoders(entry, [columns[key] for key in entry.reads], width, size)
    ]
    config = shape.fusion_config
    if shape.fusion in _FUSIONS:
        config = _FUSIONS[shape.fusion].shrunk(config, width, size)
    changed = {"width": width, "encoders": tuple(encoders), "fusion_config": config}
    return shape.model_copy(update=changed | {"dropout": shape.dropout * size.share})


Smaller = tuple[str, tuple[str, ...], dict[str, Any]]  # name, keys of the columns read, options


def _smaller_encoders(entry: EncoderEntry, columns: Sequence[InputColumn], width: int, size: Size) -> list[Smaller]:
    """The encoders in place of one: for one that reads several columns, one each."""
    if entry.name in _REPLACED:
        return [_REPLACED[entry.name](column, size) for column in columns]
    if entry.name not in _ENCODERS:
        return [(entry.name, entry.reads, entry.config)]
    config = _ENCODERS[entry.name].shrunk(entry.config, width, size)
    if entry.name == "cnn":
        config["stages"] = _stages(columns[0], config["stages"])
    return [(entry.name, entry.reads, config)]


def _narrowed(width: int, share: float) -> int:
    """A share of a width, a multiple of eight."""
    return max(min(width, _LEAST_WIDTH), round(width * share / _MULTIPLE) * _MULTIPLE)


# ------------------------------------------------------------------------------------------ a smaller one of its kind


@dataclass(frozen=True)
class Part:
    """Which options of an encoder or a fusion make it smaller; one that is not set follows the states' width."""

    options: type[part_options.Options]
    widths: tuple[str, ...] = ()  # numbers, or lists of numbers, that become a share of what they are
    layers: str | None = None  # the number of layers, which becomes 1 in a shallow one
    heads: str | None = None  # attention heads, which must divide the width of a block into even numbers
    block: str | None = None  # the width of a block, where it is not that of the states

    def shrunk(self, config: Mapping[str, Any], width: int, size: Size) -> dict[str, Any]:
        """The options of a smaller one, whose states are `width` wide."""
        found = part_options.check(self.options, "network", config).model_dump()
        for name in self.widths:
            if isinstance(found[name], int):
                found[name] = _narrowed(found[name], size.share)
            elif found[name]:
                found[name] = tuple(_narrowed(one, size.share) for one in found[name])
        if self.layers and size.shallow:
            found[self.layers] = 1
        if self.heads:
            inside = (found[self.block] if self.block else None) or width
            found[self.heads] = max(n for n in range(1, found[self.heads] + 1) if n == 1 or inside % (2 * n) == 0)
        if found.get("dropout"):
            found["dropout"] *= size.share
        return found


_RECURRENT = Part(recurrent.Options, widths=("hidden", "embedding"), layers="layers")
_ENCODERS = {
    "cnn": Part(cnn.Options, widths=("channels",), layers="depth"),
    "audio_cnn": Part(audio_cnn.Options, widths=("channels",)),
    "conformer": Part(conformer.Options, widths=("hidden", "channels"), layers="layers", heads="heads", block="hidden"),
    "textcnn": Part(textcnn.Options, widths=("filters", "embedding")),
    "lstm": _RECURRENT,
    "bilstm": _RECURRENT,
    "gru": _RECURRENT,
    "transformer": Part(
        transformer.Options, widths=("hidden", "feed_forward"), layers="layers", heads="heads", block="hidden"
    ),
}
_FUSIONS = {
    "concat": Part(concat.Options, widths=("hidden",)),
    "dcn": Part(dcn.Options, widths=("hidden", "rank"), layers="layers"),
    "deepfm": Part(deepfm.Options, widths=("hidden",)),
    "ft_transformer": Part(ft_transformer.Options, layers="layers"),
    "wide_deep": Part(wide_deep.Options, widths=("hidden",)),
}


# --------------------------------------------------------------------------------------------------- of another kind

_SMALL = 64  # pixels: up to here a plain convolution on the whole picture is cheap
_LEAST_PLACES = 4  # on a side of the last grid that can be halved once more
_MOST_STAGES = 8
_PICTURE_CHANNELS = 128  # of the last stage, before they are narrowed


def _picture(column: InputColumn, size: Size) -> Smaller:
    """For small pictures the `cnn`; for photographs our own `resnet`, whose stem quarters their sides first."""
    assert isinstance(column, ImageColumn)
    small = max(column.height, column.width) <= _SMALL
    channels = _narrowed(_PICTURE_CHANNELS, size.share) if small else round(2 * _PICTURE_CHANNELS * size.share)
    config = {"channels": channels, "depth": 1 if size.shallow else 2}
    if not small:
        return "resnet", (column.key,), config
    return "cnn", (column.key,), config | {"stages": _stages(column)}


def _stages(column: InputColumn, stages: int | None = None) -> int:
    """Those of a `cnn`, and one more where the last grid can be halved.

    Its convolutions, the dearest, then see more of the picture in a quarter of the time; that is worth more than depth.
    """
    assert isinstance(column, ImageColumn)
    found = stages or stages_for(column.height, column.width)
    positions = min(column.height, column.width) >> (found - 1)
    return min(found + 1, _MOST_STAGES) if positions >= _LEAST_PLACES else found


def _text(column: InputColumn, size: Size) -> Smaller:
    """A text beside other inputs: filters over its tokens."""
    return "textcnn", (column.key,), {"filters": _narrowed(2 * _PRETRAINED_WIDTH, size.share), "dropout": 0.1}


_TEXTS = frozenset({"text", "compact"})  # pretrained, and what becomes of them
_REPLACED: dict[str, Callable[[InputColumn, Size], Smaller]] = {
    **dict.fromkeys(("resnet", "vit", "efficientnet_lite0"), _picture),
    **dict.fromkeys(_TEXTS, _text),
}
