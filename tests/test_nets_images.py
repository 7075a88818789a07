"""Encoders of pictures: shapes, normalising, pretrained folders, transfer learning, export."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.datasets import load_digits, load_sample_images
from torch import nn
from transformers import ResNetConfig, ResNetModel, ViTConfig, ViTModel
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from trimtab import export, pretrained
from trimtab.columns import OUTPUTS, EncodedRows, encode_rows
from trimtab.columns.image import ImageColumn
from trimtab.columns.label import LabelColumn
from trimtab.errors import TrimtabError
from trimtab.nets.images import ConvTrunk
from trimtab.nets.network import Architecture, EncoderEntry, Network
from trimtab.pretrained import Base
from trimtab.pretrained import image as image_bases
from trimtab.spec import Spec
from trimtab.train import frozen, loop, settings
from trimtab.train.method import TrainingData

HERE = Path()
SMALL_VIT = {"width": 32, "layers": 2, "heads": 2}
SMALL_RESNET = {"channels": 32, "depth": 1}


def column(channels: int, height: int, width: int) -> ImageColumn:
    mean, std = (120.0, 110.0, 100.0)[:channels], (60.0, 65.0, 70.0)[:channels]
    return ImageColumn("photo", "photo", channels, height, width, "crop", 1.0, "bilinear", mean, std)


def network(
    name: str, photo: ImageColumn, width: int, config: dict[str, Any] | None = None, classes: int = 3
) -> Network:
    torch.manual_seed(0)
    label = LabelColumn.fit("kind", "kind", [str(number) for number in range(classes)], {})
    entry = EncoderEntry(name=name, reads=("photo",), config=config or {})
    shape = Architecture(width=width, encoders=(entry,), fusion="mean", dropout=0.1, head="label")
    return Network(shape, (photo,), label).eval()


def photos(column: ImageColumn, rows: int, seed: int = 0) -> np.ndarray:
    """Cut-outs of two photographs, the one half of the first and the other of the second."""
    random, found = np.random.default_rng(seed), []
    for number in range(rows):
        picture = load_sample_images().images[2 * number // rows]
        top, left = random.integers(0, 427 - 200), random.integers(0, 640 - 200)
        found.append(picture[top : top + 200, left : left + 200])
    return column.encode(found)


def states(made: Network, pixels: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return made.states({"photo_pixels": torch.from_numpy(pixels)}).values


@pytest.mark.parametrize(
    ("name", "config", "picture", "width", "places"),
    [
        ("cnn", {}, (1, 8, 8), 128, 4 * 4),
        ("cnn", {}, (1, 28, 28), 128, 7 * 7),
        ("cnn", {"stages": 2, "channels": 16, "kernel": 5}, (3, 64, 96), 20, 32 * 48),
        ("cnn", {}, (3, 224, 160), 128, 7 * 5),
        ("resnet", SMALL_RESNET, (1, 28, 28), 32, 4 * 4),
        ("resnet", SMALL_RESNET, (3, 224, 224), 64, 7 * 7),
        ("vit", SMALL_VIT, (1, 28, 28), 32, 7 * 7),
        ("vit", SMALL_VIT, (3, 224, 160), 48, 14 * 10),
        ("efficientnet_lite0", {}, (3, 224, 224), 1280, 7 * 7),
        ("efficientnet_lite0", {}, (3, 64, 100), 96, 2 * 4),
    ],
)
def test_every_encoder_gives_a_grid_of_states(name, config, picture, width, places) -> None:
    made = network(name, column(*picture), width, config)
    pixels = torch.randint(0, 256, (2, *picture), dtype=torch.uint8)
    with torch.no_grad():
        found = made.states({"photo_pixels": pixels})
    assert found.values.shape == (2, places, width)
    assert found.mask.shape == (2, places)
    assert found.mask.dtype == torch.bool
    assert found.mask.all()
    assert found.source.shape == (places,)
    assert found.source.dtype == torch.int64


def test_a_trunk_of_convolutions_halves_the_size_with_each_stage_but_the_last() -> None:
    trunk = ConvTrunk(channels=1, width=40, stages=3)
    assert trunk(torch.randn(2, 1, 20, 33)).shape == (2, 40, 5, 8)


@pytest.mark.parametrize(
    ("name", "config", "picture"),
    [
        ("cnn", {}, (1, 28, 28)),
        ("resnet", SMALL_RESNET, (3, 32, 32)),
        pytest.param("vit", SMALL_VIT, (3, 32, 48), marks=pytest.mark.slow),
        pytest.param("efficientnet_lite0", {}, (3, 64, 64), marks=pytest.mark.slow),
    ],
)
def test_the_exported_network_gives_the_same_outputs_for_any_number_of_rows(tmp_path, name, config, picture) -> None:
    photo = column(*picture)
    made = network(name, photo, 32, config)
    for parameter in made.head.parameters():
        nn.init.normal_(parameter)  # outputs of about 1 in size, so that a difference would show
    pixels = np.random.default_rng(0).integers(0, 256, (5, *picture), dtype=np.uint8)
    made.train()({"photo_pixels": torch.from_numpy(pixels)})  # batch norms that have seen something
    made.eval()
    path = tmp_path / "model.onnx"
    export.export(made, (photo,), {"photo_pixels": pixels[:3]}, path)
    session = onnxruntime.InferenceSession(path)
    for rows in (1, 5):
        with torch.no_grad():
            wanted = made({"photo_pixels": torch.from_numpy(pixels[:rows])})[OUTPUTS].values.numpy()
        (found,) = session.run(None, {"photo_pixels": pixels[:rows]})
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_pixels_are_normalised_by_the_columns_own_mean_and_std() -> None:
    photo = column(3, 16, 16)
    pixels = photos(photo, 2)
    made, other = (network("cnn", one, 128) for one in (photo, replace(photo, mean=(0.0,) * 3, std=(1.0,) * 3)))
    by_hand = (pixels - np.reshape(photo.mean, (3, 1, 1))) / np.reshape(photo.std, (3, 1, 1))
    torch.testing.assert_close(states(made, pixels), states(other, by_hand.astype(np.float32)))
    torch.testing.assert_close(states(made, pixels), states(made, pixels.astype(np.float32)))


# ------------------------------------------------------------------------------------------------ pretrained weights


def saved(folder: Path, model: Any, processor: Any) -> Path:
    model.train()
    for _ in range(30):  # batch norms that have seen something
        model(pixel_values=torch.randn(4, 3, 32, 32))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def tiny_vit(folder: Path, **changed: Any) -> Path:
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = ViTConfig(image_size=32, patch_size=8, **shape)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    size = {"height": 32, "width": 32}
    torch.manual_seed(1)
    return saved(folder, ViTModel(config), ViTImageProcessorPil(size=size, image_mean=mean, image_std=std, **changed))


def tiny_resnet(folder: Path, **changed: Any) -> Path:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24], depths=[1, 2, 1], layer_type="basic")
    torch.manual_seed(1)
    return saved(folder, ResNetModel(config), ConvNextImageProcessorPil(size={"shortest_edge": 64}, **changed))


def built(base: Base, photo: ImageColumn) -> Network:
    made = network(base.encoder, photo, base.width, dict(base.config))
    (encoder,) = made.pretrained()
    assert pretrained.load_weights(base, encoder.model) == []
    return made.eval()


@pytest.mark.parametrize("make", [tiny_vit, tiny_resnet])
def test_a_pretrained_folder_reads_pictures_as_its_own_library_does(tmp_path: Path, make) -> None:
    folder = make(tmp_path / "base")
    base = pretrained.find("base", "image", tmp_path, tmp_path)
    # 73 = 64 / 0.875 pixels, so that the crop of neither lies between two pixels
    pictures = [np.array(picture)[100:173, 200:273] for picture in load_sample_images().images]
    photo = ImageColumn.fit("photo", "photo", pictures, dict(base.options))
    found = states(built(base, photo), photo.encode(pictures)).mean(1)

    vit = make is tiny_vit
    processor = (ViTImageProcessorPil if vit else ConvNextImageProcessorPil).from_pretrained(folder)
    with torch.no_grad():
        theirs = (ViTModel if vit else ResNetModel).from_pretrained(folder)(
            pixel_values=processor(pictures, return_tensors="pt")["pixel_values"]
        )
    hidden = theirs.last_hidden_state
    wanted = hidden[:, 1:].mean(1) if vit else hidden.mean((2, 3))
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, atol=0.01, rtol=0.01)


def test_a_vision_transformer_reads_pictures_of_another_size(tmp_path: Path) -> None:
    tiny_vit(tmp_path / "base")
    base = pretrained.find("base", "image", tmp_path, tmp_path)
    same, larger = (built(base, column(3, side, side)) for side in (32, 64))
    assert states(larger, photos(column(3, 64, 64), 2)).shape == (2, 64, 32)
    one, other = (made.encoders["in_photo"].model.embeddings.position_embeddings for made in (same, larger))
    torch.testing.assert_close(one[:, 0], other[:, 0])  # the class token
    before, after = one[:, 1:].unflatten(1, (4, 4)), other[:, 1:].unflatten(1, (8, 8))
    torch.testing.assert_close(before.mean(), after.mean(), atol=0.02, rtol=0.1)


def test_efficientnet_knows_a_palace_and_a_daisy() -> None:
    base = pretrained.find("efficientnet-lite0", "image", HERE, HERE)
    pictures = load_sample_images().images
    photo = ImageColumn.fit("photo", "photo", pictures, dict(base.options))
    classes = torch.load(base.source, weights_only=True)
    found = states(built(base, photo), photo.encode(pictures)).mean(1)
    assert (found @ classes["_fc.weight"].T + classes["_fc.bias"]).argmax(1).tolist() == [698, 985]  # of ImageNet


def test_other_weights_than_the_official_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(image_bases.BUNDLED["efficientnet-lite0"], sha256="0" * 64)
    monkeypatch.setitem(image_bases.BUNDLED, "efficientnet-lite0", entry)
    with pytest.raises(TrimtabError, match="not the official file"):
        pretrained.find("efficientnet-lite0", "image", HERE, HERE)


def test_a_folder_that_is_no_encoder_of_pictures_is_told_what_it_lacks(tmp_path: Path) -> None:
    folder = tiny_vit(tmp_path / "base")
    assert pretrained.owner("base", tmp_path) == "image"
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(TrimtabError, match=r"a model of type 'bert'\n  allowed: .*resnet, vit"):
        pretrained.find("base", "image", tmp_path, tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(TrimtabError, match=r"lacks preprocessor_config\.json"):
        pretrained.find("base", "image", tmp_path, tmp_path)
    with pytest.raises(TrimtabError, match="did you mean 'efficientnet-lite0'"):
        pretrained.find("efficientnet-lite", "image", tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("name", "config", "picture", "said"),
    [
        ("cnn", {"chanels": 8}, (1, 28, 28), "did you mean 'channels'"),
        ("vit", {"width": 30, "heads": 4}, (1, 28, 28), "heads that divide the width"),
        ("vit", {"patch": 32}, (1, 28, 28), "at least 32 pixels a side"),
        ("resnet", {"model_type": "resnet", "depth": 3}, (3, 28, 28), "the base decides the shape"),
        ("efficientnet_lite0", {}, (1, 64, 64), "channels: found 1"),
        ("efficientnet_lite0", {}, (3, 28, 28), "at least 32 pixels a side"),
    ],
)
def test_options_that_do_not_fit_are_told(name, config, picture, said) -> None:
    with pytest.raises(TrimtabError, match=said):
        network(name, column(*picture), 32, config)


# --------------------------------------------------------------------------------------------------------- learning


def lite0(side: int) -> Network:
    return built(pretrained.find("efficientnet-lite0", "image", HERE, HERE), column(3, side, side))


@pytest.mark.parametrize(("name", "deepest"), [("vit", 2), ("resnet", 3), ("efficientnet-lite0", 7)])
def test_layers_are_counted_from_the_head(tmp_path: Path, name: str, deepest: int) -> None:
    if name == "efficientnet-lite0":
        made = lite0(32)
    else:
        (tiny_vit if name == "vit" else tiny_resnet)(tmp_path / name)
        made = built(pretrained.find(name, "image", tmp_path, tmp_path), column(3, 32, 32))
    (encoder,) = made.pretrained()
    depths = [encoder.depth(name) for name, _ in encoder.named_parameters()]
    assert set(depths) == set(range(deepest + 1))
    assert depths[0] == deepest
    assert depths[-1] == 0


@pytest.mark.parametrize("name", ["vit", "resnet", "efficientnet-lite0"])
def test_low_rank_updates_can_be_merged_into_convolutions_too(tmp_path: Path, name: str) -> None:
    if name == "efficientnet-lite0":
        made = lite0(32)
    else:
        (tiny_vit if name == "vit" else tiny_resnet)(tmp_path / name)
        made = built(pretrained.find(name, "image", tmp_path, tmp_path), column(3, 32, 32))
    pixels, keys = photos(column(3, 32, 32), 2), set(made.state_dict())
    before = states(made, pixels)
    (encoder,) = made.pretrained()
    encoder.adapt(rank=2, alpha=4, dropout=0.0)
    learning = {name: part for name, part in encoder.model.named_parameters() if part.requires_grad}
    assert learning
    assert all("lora_" in name for name in learning)
    for name, part in learning.items():
        nn.init.normal_(part, std=0.02 if "lora_A" in name else 0.2)
    adapted = states(made.eval(), pixels)
    assert (adapted - before).abs().max() > 1e-3
    encoder.merge()
    torch.testing.assert_close(states(made.eval(), pixels), adapted, atol=1e-4, rtol=1e-3)
    assert set(made.state_dict()) == keys


class Silent:
    def stage(self, *_: object) -> None: ...
    def note(self, *_: object) -> None: ...
    def tick(self, *_: object) -> None: ...


def data(photo: ImageColumn, pixels: np.ndarray, answers: list[str]) -> TrainingData:
    label = LabelColumn.fit("kind", "kind", answers, {})
    rows = EncodedRows((photo,), (pixels,), np.ones(len(pixels), np.int64))
    targets = label.targets(answers)
    return TrainingData(rows, targets, rows, targets, label)


def chosen(rows: int, base: Base | None = None, pictures: bool = False, **train: Any) -> settings.Settings:
    spec = Spec(data="rows.csv", output="kind", train=train)
    label = LabelColumn.fit("kind", "kind", ["a", "b"], {})
    steps, counts = np.ones(rows), np.array([rows, rows])
    return settings.choose(
        spec, label, base, rows, steps, counts, torch.device("cpu"), kind="pictures" if pictures else "pretrained"
    )[0]


def test_a_frozen_base_is_run_once_and_left_as_it_was(tmp_path: Path) -> None:
    made, photo = lite0(64), column(3, 64, 64)
    before = {key: value.clone() for key, value in made.encoders.state_dict().items()}
    seen: list[int] = []
    made.encoders["in_photo"].register_forward_hook(lambda _, tensors, __: seen.append(len(tensors[0]["photo_pixels"])))
    base = pretrained.find("efficientnet-lite0", "image", HERE, HERE)
    settled = chosen(40, base, epochs=5)
    assert settled.method == "frozen"
    network_of_two = data(photo, photos(photo, 40), ["0"] * 20 + ["1"] * 20)
    trained = loop.train(made, network_of_two, settled, tmp_path, Silent())
    assert sum(seen) == 80  # 40 rows that teach, and as many that choose
    assert trained.history[-1]["score"] < 0.05  # the log loss
    for key, value in made.encoders.state_dict().items():
        torch.testing.assert_close(value, before[key], msg=key)


def test_a_gate_chooses_the_checkpoint_of_a_frozen_base_too() -> None:
    base = pretrained.find("efficientnet-lite0", "image", HERE, HERE)
    label, counts = LabelColumn.fit("kind", "kind", ["a", "b"], {}), np.array([20, 20])
    for gates, score in [({}, "log_loss"), ({"accuracy": ">= 0.9"}, "log_loss"), ({"macro_f1": ">= 0.9"}, "macro_f1")]:
        spec = Spec(data="rows.csv", output="kind", gates=gates)
        settled, made = settings.choose(spec, label, base, 40, np.ones(40), counts, torch.device("cpu"))
        assert (settled.method, settled.score, made["checkpoint"].value) == ("frozen", score, score)


def test_a_frozen_base_beside_others_keeps_its_batch_norms() -> None:
    made = lite0(32)
    frozen.freeze(made)
    made.train()
    assert made.head.training
    assert not any(part.training for part in made.encoders["in_photo"].model.modules())


def test_a_small_cnn_learns_digits(tmp_path: Path) -> None:
    digits = load_digits()
    pictures = [(16 * image).clip(0, 255).astype(np.uint8) for image in digits.images]
    photo = ImageColumn.fit("photo", "photo", pictures[:900], {})
    label = LabelColumn.fit("kind", "kind", [str(number) for number in digits.target], {})
    train, valid = (encode_rows((photo,), {"photo": part}) for part in (pictures[:900], pictures[900:]))
    targets = label.targets([str(number) for number in digits.target])
    torch.manual_seed(0)
    made = network("cnn", photo, 64, {"channels": 64}, classes=10)
    settled = chosen(900, pictures=True, epochs=6)
    trained = loop.train(
        made, TrainingData(train, targets[:900], valid, targets[900:], label), settled, tmp_path, Silent()
    )
    assert trained.best > 0.95


def test_the_defaults_follow_the_pictures() -> None:
    base = pretrained.find("efficientnet-lite0", "image", HERE, HERE)
    assert [chosen(rows, base).method for rows in (244, 20_000)] == ["frozen", "full"]
    assert chosen(4500, pictures=True).epochs == 53
    assert chosen(100, pictures=True).epochs == 60
    pictures = load_sample_images().images
    assert ImageColumn.encoder_for([picture[:64, :64] for picture in pictures])[0] == "cnn"
    assert ImageColumn.encoder_for(pictures)[0] == "efficientnet_lite0"
