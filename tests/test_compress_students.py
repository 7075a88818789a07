"""The small networks for texts: what they start from, what they read, what becomes of them in ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from trimtab.columns import OUTPUTS, encode_rows
from trimtab.columns.label import LabelColumn
from trimtab.columns.tags import TagsColumn
from trimtab.columns.text import TextColumn
from trimtab.compress import Skip, students
from trimtab.export import export
from trimtab.nets.fitted import FittedNetwork, built
from trimtab.nets.network import Architecture, EncoderEntry

TEXTS = [
    "a warm , funny and finally moving film", "not good at all", "dull", "the plot is thin but the cast is not",
    "two hours that feel like five", "it is never boring and often very funny", "bad", "a film for the whole family",
]  # fmt: skip
LABELS = ["good", "bad", "bad", "good", "bad", "good", "bad", "good"]


def text(key: str, **options: object) -> TextColumn:
    return TextColumn.fit(key, key, TEXTS, {"vocabulary": 300, "max_tokens": 24, **options})


def teacher(*keys: str, words: bool = False) -> FittedNetwork:
    columns = tuple(text(key) for key in keys)
    entries = tuple(EncoderEntry(name="transformer", reads=(key,), config={"hidden": 32}) for key in keys)
    output = LabelColumn.fit("label", "label", LABELS, {"classes": ("bad", "good")})
    shape = Architecture(width=48, encoders=entries, fusion="mean", dropout=0.0, head="label")
    return built(shape, columns, output, seed=3)


def tensors(network: FittedNetwork, rows: list[str]) -> dict[str, np.ndarray]:
    encoded = encode_rows(network.inputs, {column.name: rows for column in network.inputs})
    return encoded.batch(np.arange(len(rows)))


@pytest.mark.parametrize(
    ("name", "keys"), [("static", ("title", "body")), ("conv", ("title", "body")), ("tiny", ("title",))]
)
def test_a_student_answers_the_same_in_onnx_alone_and_in_any_batch(tmp_path: Path, name: str, keys) -> None:
    student = students.student(name, teacher(*keys), seed=1)
    assert isinstance(student, FittedNetwork)
    export(student.network, student.inputs, tensors(student, TEXTS[:3]), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    together = session.run(None, tensors(student, TEXTS))[0]
    with torch.no_grad():
        answers = student.network({key: torch.from_numpy(value) for key, value in tensors(student, TEXTS).items()})
    own = answers[OUTPUTS].values.numpy()
    assert np.abs(own - together).max() < 1e-4
    for row, line in enumerate(TEXTS):
        assert np.abs(session.run(None, tensors(student, [line]))[0][0] - together[row]).max() < 1e-4


def test_a_student_keeps_the_head_of_its_teacher_and_begins_with_its_token_vectors() -> None:
    whole = teacher("review")
    student = students.student("conv", whole, seed=1)
    assert isinstance(student, FittedNetwork)
    assert torch.equal(student.network.head.layers[-1].weight, whole.network.head.layers[-1].weight)
    table = students.token_table(whole.network.encoders["in_review"], whole.inputs[0].vocabulary)  # type: ignore[attr-defined]
    assert table is not None
    before = torch.nn.functional.normalize(table - table.mean(0), dim=1)
    after = student.network.encoders["in_review"].table.weight.detach()  # type: ignore[union-attr]
    after = torch.nn.functional.normalize(after[:, : table.shape[1]], dim=1)
    assert torch.allclose(before @ before.T, after @ after.T, atol=1e-3)


def test_the_pairs_of_a_static_student_tell_not_good_from_good_not() -> None:
    column = text("review")
    entry = EncoderEntry(name="static", reads=("review",), config={"pairs": 64})
    output = LabelColumn.fit("label", "label", LABELS, {"classes": ("bad", "good")})
    shape = Architecture(width=16, encoders=(entry,), fusion="mean", dropout=0.0, head="label")
    network = built(shape, (column,), output, seed=0)
    torch.nn.init.normal_(
        network.network.encoders["in_review"].pairs.weight, generator=torch.Generator().manual_seed(0)
    )  # type: ignore[union-attr]
    rows = tensors(network, ["not good", "good not"])
    with torch.no_grad():
        one, other = network.network({key: torch.from_numpy(value) for key, value in rows.items()})[OUTPUTS].values
    assert not torch.allclose(one, other, atol=1e-4)


def test_what_answers_each_word_has_no_student_that_pools() -> None:
    words = [line.split() for line in TEXTS]
    column = TextColumn.fit("words", "words", words, {"vocabulary": 300, "max_tokens": 24, "words": True})
    output = TagsColumn.fit("tags", "tags", [["O"] * (len(line) - 1) + ["B-X"] for line in words], {})
    entry = EncoderEntry(name="transformer", reads=("words",), config={"hidden": 32})
    shape = Architecture(width=48, encoders=(entry,), fusion="mean", dropout=0.0, head="tags")
    whole = built(shape, (column,), output, seed=3)
    for name in ("static", "conv"):
        found = students.student(name, whole)
        assert isinstance(found, Skip)
    assert isinstance(students.student("tiny", whole), FittedNetwork)
