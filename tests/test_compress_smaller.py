"""Students of a teacher's own kind: smaller, quicker, untrained, and fit to be shipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from trimtab import export
from trimtab.columns import OUTPUTS, InputColumn, OutputColumn, fit
from trimtab.columns.image import ImageColumn
from trimtab.compress import Skip
from trimtab.compress.smaller import SIZES, smaller
from trimtab.nets.fitted import FittedNetwork, built
from trimtab.nets.network import Architecture, EncoderEntry
from trimtab.registry import names

ITEMS = [f"item {number}" for number in range(40)]
BASKETS = ["|".join(ITEMS[start : start + 2 + start % 7]) for start in range(30)]
REVIEWS = [
    "a warm and funny film",
    "far too long, and dull",
    "well acted",
    "the plot is thin but the music is fine",
] * 8
SENTENCES = [["Anna", "lives", "in", "Basel"], ["Trains", "leave", "hourly"], ["Rain"]] * 8
CLIPS = [np.sin(np.arange(1_600 + 240 * n) * 0.05 * (1 + n)).astype(np.float32) for n in range(6)]
LABEL = fit("label", "kind", "kind", ["a", "b", "c"] * 8, {})
TAGS = fit("tags", "tags", "tags", [["B-PER" if word == "Anna" else "O" for word in row] for row in SENTENCES], {})


def image(channels: int = 1, side: int = 28) -> ImageColumn:
    mean, std = (120.0,) * channels, (60.0,) * channels
    return ImageColumn("photo", "photo", channels, side, side, "crop", 1.0, "bilinear", mean, std)


def column(kind: str) -> tuple[InputColumn, list[Any]]:
    """A column and its values; a new key for each type."""
    values: dict[str, list[Any]] = {
        "audio": CLIPS,
        "history": BASKETS,
        "text": REVIEWS,
        "words": SENTENCES,
        "number": [float(number**2) for number in range(300)],
        "category": ["red", "green", "blue"] * 20,
    }
    options: dict[str, dict[str, Any]] = {"audio": {"rate": 8_000}, "words": {"words": True}}
    found = fit("text" if kind == "words" else kind, kind, kind, values[kind], options.get(kind, {}))
    return found, values[kind]


def teacher(
    inputs: Mapping[str, InputColumn], width: int, fusion: str = "mean", output: OutputColumn = LABEL, **config: Any
) -> FittedNetwork:
    """A network whose inputs are read by the encoders that they are named after; a number may be added to a name."""
    entries = tuple(EncoderEntry(name=name, reads=(one.key,), config=config) for name, one in inputs.items())
    shape = Architecture(width=width, encoders=entries, fusion=fusion, dropout=0.1, head=output.type)
    return built(shape, tuple(inputs.values()), output)


def students(of: FittedNetwork) -> tuple[FittedNetwork, ...]:
    found = smaller(of)
    assert not isinstance(found, Skip), found.reason
    return found


def exported(student: FittedNetwork, tensors: dict[str, np.ndarray], folder: Path) -> float:
    """How far ONNX Runtime's outputs differ from the network's."""
    export.export(student.network, student.inputs, tensors, folder / "model.onnx")
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    read = {one.name for one in session.get_inputs()}
    found = session.run(None, {name: value for name, value in tensors.items() if name in read})[0]
    with torch.no_grad():
        own = student.network({name: torch.from_numpy(value) for name, value in tensors.items()})[OUTPUTS].values
    return float(np.abs(np.asarray(found) - own.numpy()).max())


def tensors_of(inputs: Mapping[str, tuple[InputColumn, list[Any]]]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for one, values in inputs.values():
        found |= one.batch(one.encode(values[:3]), np.arange(3))
    return found


SEQUENCES = [
    ("audio_cnn", "audio", 128),
    ("conformer", "audio", 144),
    ("gru", "audio", 128),
    ("transformer", "history", 64),
    ("gru", "history", 128),
    ("lstm", "text", 128),
    ("bilstm", "text", 128),
    ("textcnn", "text", 128),
    ("transformer", "text", 64),
]


@pytest.mark.parametrize(("encoder", "kind", "width"), SEQUENCES)
def test_students_are_narrower_shallower_and_ordered_from_cheap_to_dear(encoder: str, kind: str, width: int) -> None:
    of = teacher({encoder: column(kind)[0]}, width)
    found = students(of)
    sizes = [student.parameters for student in found]
    assert sizes == sorted(sizes)
    assert sizes[-1] < 0.75 * of.parameters
    assert sizes[0] < of.parameters / 3
    assert 2 <= len(found) <= len(SIZES) == 3
    assert len({student.made[-1] for student in found}) == len(found)
    assert all("student" in student.made[-1] for student in found)


@pytest.mark.parametrize(("encoder", "kind", "width"), [SEQUENCES[3]])
def test_students_of_sequences_answer_the_same_once_exported(
    encoder: str, kind: str, width: int, tmp_path: Path
) -> None:
    one = column(kind)
    found = students(teacher({encoder: one[0]}, width))
    assert exported(found[0], tensors_of({encoder: one}), tmp_path) <= 1e-4


def test_the_students_of_the_default_cnn_are_many_times_smaller_and_export(tmp_path: Path) -> None:
    of = teacher({"cnn": image()}, 128)
    found = students(of)
    assert [of.parameters // student.parameters for student in found] == [28, 10, 3]
    assert [student.architecture.width for student in found] == [32, 64, 64]
    assert {student.architecture.encoders[0].config["stages"] for student in found} == {4}  # the teacher has 3
    pixels = np.random.default_rng(0).integers(0, 255, (3, 1, 28, 28)).astype(np.uint8)
    assert exported(found[1], {"photo_pixels": pixels}, tmp_path) <= 1e-4


@pytest.mark.parametrize(
    ("encoder", "side", "width", "student", "config"),
    [
        ("resnet", 32, 256, "cnn", {}),
        ("vit", 32, 192, "cnn", {}),
        ("resnet", 224, 256, "resnet", {"depth": 4, "channels": 512}),
        ("efficientnet_lite0", 224, 1280, "resnet", {}),
    ],
)
def test_large_networks_of_pictures_get_small_convolutional_students(
    encoder: str, side: int, width: int, student: str, config: dict[str, Any]
) -> None:
    photo = image(3, side)
    of = teacher({encoder: photo}, width, **config)
    found = students(of)
    assert {one.architecture.encoders[0].name for one in found} == {student}
    assert all(one.architecture.width <= 64 for one in found)
    pixels = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    with torch.no_grad():
        assert all(one.network({"photo_pixels": pixels})[OUTPUTS].values.shape == (2, 3) for one in found)


def test_a_student_of_photographs_exports(tmp_path: Path) -> None:
    found = students(teacher({"efficientnet_lite0": image(3, 96)}, 1280))
    pixels = np.random.default_rng(0).integers(0, 255, (3, 3, 96, 96)).astype(np.uint8)
    assert exported(found[0], {"photo_pixels": pixels}, tmp_path) <= 1e-4


FUSIONS = ["attention", "cls", "concat", "dcn", "deepfm", "ft_transformer", "last", "mean", "wide_deep"]


TINY_FUSIONS = {"attention"}  # with them a network of two columns is so small that nothing is left to take away


def of_a_table(fusion: str) -> FittedNetwork:
    return teacher({kind: column(kind)[0] for kind in ("number", "category")}, 32, fusion)


def test_a_student_of_a_network_that_is_tiny_already_is_none() -> None:
    assert names("trimtab.nets.fusions") == FUSIONS
    for fusion in TINY_FUSIONS:
        found = smaller(of_a_table(fusion))
        assert isinstance(found, Skip)
        assert "tiny already" in found.reason


@pytest.mark.parametrize("fusion", sorted({*FUSIONS} - TINY_FUSIONS))
def test_students_of_tables_have_the_same_fusion_with_less_in_it(fusion: str) -> None:
    inputs = {kind: column(kind) for kind in ("number", "category")}
    found = smaller(of_a_table(fusion))
    assert not isinstance(found, Skip), found.reason
    assert {student.architecture.fusion for student in found} == {fusion}
    assert {student.architecture.width for student in found} <= {8, 16}
    tensors = {name: torch.from_numpy(value) for name, value in tensors_of(inputs).items()}
    with torch.no_grad():
        assert all(student.network(tensors)[OUTPUTS].values.shape == (3, 3) for student in found)


def test_of_several_inputs_every_encoder_becomes_smaller(tmp_path: Path) -> None:
    photo, kinds = image(), {kind: column(kind) for kind in ("text", "number", "category", "history")}
    columns = {kind: one for kind, (one, _) in kinds.items()}
    entries = [
        EncoderEntry(name="cnn", reads=("photo",)),
        EncoderEntry(name="lstm", reads=("text",)),
        EncoderEntry(name="number", reads=("number",)),
        EncoderEntry(name="category", reads=("category",)),
        EncoderEntry(name="gru", reads=("history",)),
    ]
    shape = Architecture(width=128, encoders=tuple(entries), fusion="concat", dropout=0.2, head="label")
    of = built(shape, (photo, *columns.values()), LABEL)
    found = students(of)
    for student in found:
        assert [entry.name for entry in student.architecture.encoders] == [entry.name for entry in entries]
        for key, encoder in student.network.encoders.items():
            own = sum(parameter.numel() for parameter in encoder.parameters())
            whole = sum(parameter.numel() for parameter in of.network.encoders[key].parameters())
            assert own < 0.6 * whole, key
    pixels = np.random.default_rng(0).integers(0, 255, (3, 1, 28, 28)).astype(np.uint8)
    assert exported(found[0], {"photo_pixels": pixels, **tensors_of(kinds)}, tmp_path) <= 1e-4


def test_a_history_that_answers_a_ranking_keeps_its_causal_order() -> None:
    answers = fit("ranking", "next", "next", ITEMS, {})
    baskets = fit("history", "basket", "basket", BASKETS, {"items": ITEMS, "seen": True})
    of = teacher({"transformer": baskets}, 64, output=answers)
    tensors = {
        name: torch.from_numpy(part) for name, part in baskets.batch(baskets.encode(BASKETS), np.arange(4)).items()
    }
    with torch.no_grad():
        assert all(student.network(tensors)[OUTPUTS].values.shape == (4, answers.width) for student in students(of))


def test_tags_are_still_given_for_each_word() -> None:
    words, rows = column("words")
    of = teacher({"bilstm": words}, 128, output=TAGS)
    tensors = {name: torch.from_numpy(part) for name, part in tensors_of({"words": (words, rows)}).items()}
    with torch.no_grad():
        assert all(student.network(tensors)[OUTPUTS].values.shape == (3, 4, TAGS.width) for student in students(of))


def test_a_tiny_network_and_a_pretrained_text_are_left_to_others(tiny_base: Path) -> None:
    number = column("number")[0]
    tiny = smaller(teacher({"number": number}, 8))
    assert isinstance(tiny, Skip)
    assert "tiny already" in tiny.reason
    config = {"model_type": "bert", "vocab_size": 3_000, "hidden_size": 32, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 2, "intermediate_size": 64}
    text = column("text")[0]
    alone = smaller(teacher({"text": text}, 32, **config))
    assert isinstance(alone, Skip)
    assert "students of its own" in alone.reason
    entries = (EncoderEntry(name="text", reads=("text",), config=config), EncoderEntry(name="cnn", reads=("photo",)))
    shape = Architecture(width=128, encoders=entries, fusion="mean", dropout=0.1, head="label")
    beside = students(built(shape, (text, image()), LABEL))
    assert all(student.architecture.encoders[0].name == "textcnn" for student in beside)


def test_equal_seeds_draw_equal_students_and_the_teacher_stays_as_it_was() -> None:
    of = teacher({"cnn": image()}, 128)
    before = {name: value.clone() for name, value in of.network.state_dict().items()}
    one, same = (smaller(of, seed=3) for _ in range(2))
    other = smaller(of, seed=4)
    assert not isinstance(one, Skip)
    assert not isinstance(same, Skip)
    assert not isinstance(other, Skip)
    first, again, third = (found[0].network.state_dict() for found in (one, same, other))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)
    assert all(torch.equal(value, of.network.state_dict()[name]) for name, value in before.items())
