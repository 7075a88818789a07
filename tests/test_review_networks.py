"""What a second reading of networks, training and export found, each as a promise."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from places import place
from sklearn.datasets import load_digits
from torch import Tensor, nn

import trimtab
from trimtab import columns, export
from trimtab.columns import OUTPUTS, encode_rows
from trimtab.columns.image import ImageColumn
from trimtab.errors import TrimtabError
from trimtab.nets.encoders.resnet import ResnetEncoder
from trimtab.nets.images import BatchNorm, with_batch_norm
from trimtab.nets.network import Architecture, EncoderEntry, Network
from trimtab.search import assembly

TABLE = [
    {"size": i % 40, "word": f"word {i} of many", "shop": "ab"[i % 2], "kind": "ab"[i % 40 > 19]} for i in range(80)
]


def picture(side: int) -> ImageColumn:
    mean = (0.5,)
    return ImageColumn("p", "p", 1, side, side, "squash", 1.0, "bilinear", mean, mean)


def test_long_rows_without_a_history_do_not_fix_its_length_in_the_exported_network(tmp_path: Path) -> None:
    values = {
        "text": ["a word " * 9, "many words " * 5, "one two three four five", "short"],
        "past": ["", "", "", "a b a"],
    }
    inputs = [columns.fit(kind, name, name, values[name], {}) for kind, name in (("text", "text"), ("history", "past"))]
    output = columns.fit("label", "kind", "kind", list("abab"), {"classes": ["a", "b"]})
    entries = (EncoderEntry(name="textcnn", reads=("text",)), EncoderEntry(name="textcnn", reads=("past",)))
    network = Network(
        Architecture(width=8, encoders=entries, fusion="mean", dropout=0.0, head="label"), inputs, output
    ).eval()
    rows = encode_rows(inputs, values)
    example = rows.batch(np.argsort(rows.steps, kind="stable")[-3:])
    assert example["past_ids"].shape[1] == 1  # the longest rows have no history
    names = export.export(network, inputs, example, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    batch = rows.batch(np.arange(4))
    with torch.no_grad():
        wanted = network({name: torch.from_numpy(value) for name, value in batch.items()})[OUTPUTS].values
    found = session.run(None, {name: batch[name] for name in names})[0]
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)


def test_a_picture_that_is_left_over_alone_can_be_learnt_from() -> None:
    encoder = ResnetEncoder([picture(8)], 256, {}).train()
    states = encoder({"p_pixels": torch.zeros(1, 1, 8, 8, dtype=torch.uint8)})
    assert states.values.shape == (1, 1, 256)  # one place: one value for each channel
    states.values.sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_batch_norm_of_several_values_is_pytorchs_own() -> None:
    def normed(module: nn.Module, values: Tensor) -> tuple[Tensor, Tensor]:
        return module.train()(values), module.eval()(values)

    values = torch.randn(2, 4, 1, 1, generator=torch.Generator().manual_seed(0))
    own = with_batch_norm(nn.Sequential(nn.Sequential(nn.BatchNorm2d(4, eps=1e-3, momentum=0.2))))
    assert type(own[0][0]) is BatchNorm  # type: ignore[index]
    for found, wanted in zip(
        normed(own, values), normed(nn.BatchNorm2d(4, eps=1e-3, momentum=0.2), values), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_an_exported_network_whose_outputs_are_no_numbers_does_not_pass_for_the_trained_one() -> None:
    trained = np.zeros((2, 2), np.float32)
    exported = trained.copy()
    exported[1, 0] = math.nan
    assert assembly._difference(trained, trained) == 0
    assert assembly._difference(exported, trained) == math.inf


def launch(folder: Path, inputs: dict[str, Any], **spec: Any) -> trimtab.Manifest:
    made = place(folder, TABLE, inputs=inputs, output="kind", **{"train": {"epochs": 1}, **spec})
    return trimtab.launch(made.spec, runs=made.runs).manifest


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "options beside a base": (
        {"word": {"type": "text", "encoder": {"name": "text", "num_hidden_layers": 1}}}, {},
        "inputs.word.encoder: num_hidden_layers: the base 'minilm' decides the shape",
    ),
    "a base of a number": (
        {"size": {"type": "number", "base": "minilm"}, "shop": "category"}, {},
        "inputs.size.base: 'minilm', but there are no pretrained encoders of a number",
    ),
    "an encoder that reads no numbers": (
        {"size": {"type": "number", "encoder": "lstm"}}, {}, "'lstm' does not read a column of type 'number'",
    ),
    "noise on a category": (
        {"shop": {"type": "category", "augment": {"noise": 1.0}}, "size": "number"}, {},
        "inputs.shop.augment: a column of type 'category' cannot be varied",
    ),
    "an option that a fusion has not": (
        {"size": "number", "shop": "category"}, {"fusion": {"name": "deepfm", "hiden": [8]}}, "did you mean 'hidden'?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_part_of_the_network_is_told_before_training(tmp_path: Path, case: str) -> None:
    inputs, spec, said = WRONG[case]
    with pytest.raises(TrimtabError) as told:
        launch(tmp_path, inputs, **spec)
    assert said in str(told.value)


def test_too_many_stages_for_the_pictures_are_told() -> None:
    architecture = Architecture(
        width=8, encoders=(EncoderEntry(name="cnn", reads=("p",), config={"stages": 5}),),
        fusion="mean", dropout=0.0, head="label",
    )  # fmt: skip
    output = columns.fit("label", "kind", "kind", list("abab"), {})
    with pytest.raises(TrimtabError, match="5 stages halve 8 x 8 pixels until none is left"):
        Network(architecture, [picture(8)], output)


@pytest.mark.slow
def test_what_is_asked_of_a_number_beside_its_type_is_kept(tmp_path: Path) -> None:
    manifest = launch(tmp_path, {"size": {"type": "number", "augment": {"noise": 0.1}}, "shop": "category"})
    assert manifest.spec["inputs"]["size"]["augment"] == {"noise": 0.1}
    assert manifest.evidence["augmentation"]["options"] == {"size": {"noise": 0.1}}


def test_wrong_options_of_an_encoder_leave_an_earlier_run_as_it_is(tmp_path: Path) -> None:
    launch(tmp_path, {"size": "number", "shop": "category"})
    kept = tmp_path / "runs" / "rows" / "work" / "train"
    before = {path.name: path.stat().st_mtime_ns for path in kept.rglob("*")}
    with pytest.raises(TrimtabError):
        launch(tmp_path, {"word": {"type": "text", "encoder": {"name": "lstm", "hiden": 8}}})
    assert before
    assert {path.name: path.stat().st_mtime_ns for path in kept.rglob("*")} == before


@pytest.mark.slow
def test_int8_makes_convolutions_smaller_too(tmp_path: Path) -> None:
    digits = load_digits(n_class=2)
    for number, pixels in enumerate(digits.images[:60]):
        Image.fromarray((pixels * 15).astype(np.uint8)).save(tmp_path / f"{number}.png")
    rows = [{"photo": f"{number}.png", "digit": f"no {digits.target[number]}"} for number in range(60)]
    made = place(
        tmp_path, rows, inputs={"photo": {"type": "image", "encoder": "cnn"}},
        output="digit", compress={"quantize": "int8"}, train={"epochs": 1},
    )  # fmt: skip
    release = trimtab.launch(made.spec, runs=made.runs)
    assert release.manifest.precision == "int8"
    whole, small = (point["measured"]["size"]["value"] for point in release.manifest.evidence["frontier"]["points"][:2])
    assert small < 0.4 * whole
