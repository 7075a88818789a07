"""Training rows are varied, the others are not, and the same seed always draws the same."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head_losses import loss
from PIL import Image
from places import Place, place
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_images

import trimtab
from trimtab import registry
from trimtab.columns import EncodedRows, InputColumn, encode_rows, fit
from trimtab.columns.label import LabelColumn
from trimtab.errors import TrimtabError
from trimtab.nets.heads.label import LabelHead
from trimtab.nets.network import Architecture, EncoderEntry, Network
from trimtab.progress import Quiet
from trimtab.spec import Choice, Typed, parse
from trimtab.train import augment, loop
from trimtab.train.augment import Augmentation, Mix
from trimtab.train.batches import epoch_batches
from trimtab.train.method import TrainingData
from trimtab.train.settings import Settings, choose

DIGITS = load_digits()
PICTURES = [(image * 15.9).astype(np.uint8) for image in DIGITS.images]  # 8 x 8, grey
PHOTOS = [photo[top : top + 96, left : left + 128] for photo in load_sample_images().images
          for top in (0, 150, 300) for left in (0, 250, 500)]  # fmt: skip
LABELS = [str(digit) for digit in DIGITS.target]
DOCS = Path(__file__).resolve().parent.parent / "docs" / "augmentation.md"


def labels(values: list[str]) -> LabelColumn:
    column: LabelColumn = fit("label", "y", "y", values, {})
    return column


def chosen_for(
    column: InputColumn, values: list[Any], options: Any, output: Any = None, frozen: tuple[str, ...] = ()
) -> tuple[Augmentation | None, dict[str, Choice]]:
    kinds = {column.name: Typed(type=column.type, augment=options)}
    return augment.choose(kinds, [column], {column.name: values}, output or labels(["a", "b"]), frozen, seed=7)


def pictures(values: list[np.ndarray], options: Any) -> tuple[Augmentation, EncodedRows]:
    """How pictures are varied, and the pictures."""
    column = fit("image", "photo", "photo", values, {"size": values[0].shape[:2]})
    found, _ = chosen_for(column, values, options)
    assert found is not None
    return found, encode_rows([column], {"photo": values})


def varied(found: Augmentation, rows: EncodedRows, step: int = 0, part: int = 0) -> tuple[np.ndarray, Mix | None]:
    """The single tensor of all rows, varied."""
    every = np.arange(len(rows))
    tensors, mix = found({key: torch.from_numpy(value) for key, value in rows.batch(every).items()}, every, step, part)
    (values,) = tensors.values()
    return values.numpy(), mix


EVERY_PICTURE_OPTION = {
    "rotate": 20, "scale": 0.2, "shift": 0.1, "shear": 10, "crop": 0.5, "flip": "both", "brightness": 0.3,
    "contrast": 0.3, "saturation": 0.3, "hue": 0.1, "erase": 0.5, "randaugment": {"n": 2, "m": 9}, "mixup": 0.2,
    "cutmix": 1.0,
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------- any input


def test_a_seed_and_a_step_always_draw_the_same_and_others_draw_others() -> None:
    found, rows = pictures(PHOTOS, EVERY_PICTURE_OPTION)
    torch.manual_seed(1)
    first, _ = varied(found, rows)
    torch.manual_seed(2)  # no global random state is read, and none is changed
    np.random.seed(3)
    before = torch.get_rng_state()
    again, _ = varied(found, rows)
    assert np.array_equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)
    for other in (varied(found, rows, step=1), varied(found, rows, part=1), varied(replace(found, seed=8), rows)):
        assert not np.array_equal(first, other[0])


def test_bad_options_are_all_told_with_the_nearest_names() -> None:
    photo = fit("image", "photo", "photo", PHOTOS, {"size": 32})
    age = fit("number", "age", "age", ["1", "2", "3"], {})
    kinds = {
        "photo": Typed(type="image", augment={"rotat": 10, "scale": 3, "randaugment": {"n": 0}}),
        "age": Typed(type="number", augment={"noise": -1}),
    }
    with pytest.raises(TrimtabError) as told:
        augment.choose(kinds, [photo, age], {"photo": PHOTOS, "age": []}, labels(["a", "b"]), (), seed=7)
    for said in ("did you mean 'rotate'", "inputs.photo.augment: scale", "randaugment.n", "inputs.age.augment: noise"):
        assert said in str(told.value)


def test_a_type_that_cannot_be_varied_says_which_can() -> None:
    column = fit("category", "town", "town", ["a", "b"], {})
    with pytest.raises(TrimtabError, match="audio, image, number, text"):
        chosen_for(column, ["a", "b"], {"noise": 1})
    assert chosen_for(column, ["a", "b"], "auto") == (None, {})


def test_what_a_frozen_encoder_reads_is_left_as_it_is_and_that_is_said() -> None:
    column = fit("image", "photo", "photo", PHOTOS, {"size": 32})
    found, made = chosen_for(column, PHOTOS, "auto", frozen=("photo",))
    assert found is None
    assert "computes the features of every row once" in made["inputs.photo.augment"].reason
    with pytest.raises(TrimtabError, match=r"train\.method is frozen"):
        chosen_for(column, PHOTOS, {"rotate": 5}, frozen=("photo",))


def test_every_option_of_every_type_is_explained() -> None:
    page = DOCS.read_text(encoding="utf-8")
    kinds = registry.names("trimtab.train.augment")
    assert {"audio", "image", "number", "text"} <= set(kinds)
    for kind in kinds:
        section = page.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
        fields = registry.load("trimtab.train.augment", kind, "Options", "test").model_fields
        assert fields
        assert [name for name, field in fields.items() if f"| `{name}` |" not in section or not field.description] == []


# ---------------------------------------------------------------------------------------------------------- images


def test_grey_pictures_are_never_mirrored_by_default_and_photographs_are() -> None:
    grey, _ = pictures(PICTURES[:50], "auto")
    colour, rows = pictures(PHOTOS, "auto")
    assert "flip" not in grey.options["photo"]
    assert colour.options["photo"]["flip"] == "horizontal"
    before = rows.encoded[0]
    only_flip, _ = pictures(PHOTOS, {"flip": "horizontal"})
    after, _ = varied(only_flip, rows)
    mirrored = [np.array_equal(one, other[..., ::-1]) for one, other in zip(after, before, strict=True)]
    same = [np.array_equal(one, other) for one, other in zip(after, before, strict=True)]
    assert all(one or other for one, other in zip(mirrored, same, strict=True))
    assert 3 <= sum(mirrored) <= 15


def test_turned_pictures_are_turned_as_pillow_turns_them() -> None:
    found, rows = pictures(PHOTOS, {"rotate": 40, "padding": "zeros"})
    after, _ = varied(found, rows)
    angles = np.random.default_rng([7, 0, 0, 0]).uniform(-40, 40, len(PHOTOS))
    for photo, turned, angle in zip(PHOTOS, after, angles, strict=True):
        expected = np.asarray(Image.fromarray(photo).rotate(angle, Image.Resampling.BILINEAR), np.float32)
        assert np.abs(turned.transpose(1, 2, 0) - expected).mean() < 2.5


def test_shifts_and_scalings_stay_in_their_range_and_keep_the_middle() -> None:
    dot = np.zeros((64, 64), np.uint8)
    dot[28:36, 28:36] = 255
    moved, rows = pictures([dot] * 100, {"shift": 0.25})
    after, _ = varied(moved, rows)
    places = np.array([[weights.sum(axis=1) @ np.arange(64), weights.sum(axis=0) @ np.arange(64)] / weights.sum()
                       for weights in after[:, 0]])  # fmt: skip
    assert np.abs(places - 31.5).max() <= 16.01
    assert places.std(axis=0).min() > 6
    scaled, rows = pictures([dot] * 100, {"scale": 0.5})
    after, _ = varied(scaled, rows)
    area = after.sum(axis=(1, 2, 3)) / (255 * 64)
    assert 0.5**2 * 0.95 < area.min() < 0.5
    assert 1.8 < area.max() < 1.5**2 * 1.05


@pytest.mark.parametrize(("option", "changes"), [
    ({"brightness": 0.5}, "mean"), ({"contrast": 0.5}, "std"), ({"saturation": 1.0}, "colour"), ({"hue": 0.5}, "hue"),
])  # fmt: skip
def test_each_colour_option_changes_what_it_says_and_little_else(option: dict[str, float], changes: str) -> None:
    found, rows = pictures([np.clip(photo, 60, 190) for photo in PHOTOS], option)
    before, (after, _) = rows.encoded[0].astype(np.float32), varied(found, rows)
    luma = np.array([0.299, 0.587, 0.114])[:, None, None]
    grey = [(pixels * luma).sum(axis=1) for pixels in (before, after)]
    moved = {
        "mean": np.abs(grey[1].mean(axis=(1, 2)) - grey[0].mean(axis=(1, 2))).mean(),
        "std": np.abs(grey[1].std(axis=(1, 2)) - grey[0].std(axis=(1, 2))).mean(),
        "colour": np.abs(after.std(axis=1) - before.std(axis=1)).mean(),
        "hue": np.abs(after - before).mean(),
    }
    assert moved[changes] > 2
    # Of 255; what saturation and hue move is clipped at black and white.
    assert moved["mean"] < {"mean": 255, "std": 255, "colour": 2.5, "hue": 2.5}[changes]
    assert 0 <= after.min() <= after.max() <= 255


def test_erased_rectangles_become_the_mean_and_randaugment_stays_within_pixels() -> None:
    found, rows = pictures(PHOTOS, {"erase": 1.0})
    after, _ = varied(found, rows)
    mean = np.array(found.parts["photo"].column.mean, np.float32)[:, None, None]  # type: ignore[attr-defined]
    share = np.isclose(after, mean, atol=1e-3).all(axis=1).mean(axis=(1, 2))
    assert ((share > 0.01) & (share < 0.21)).all()
    found, rows = pictures(PHOTOS, {"randaugment": {"n": 3, "m": 30}})
    after, _ = varied(found, rows)
    assert np.isfinite(after).all()
    assert 0 <= after.min() <= after.max() <= 255
    assert not np.array_equal(after, rows.encoded[0])


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mixed_pictures_hold_as_much_of_their_partner_as_their_targets_say(options: dict[str, float]) -> None:
    white, black = np.full((32, 32), 250, np.uint8), np.zeros((32, 32), np.uint8)
    found, rows = pictures([white] * 40 + [black] * 40, options)
    after, mix = varied(found, rows)
    assert mix is not None
    own = np.repeat([250.0, 0.0], 40)
    expected = mix.share.numpy() * own + (1 - mix.share.numpy()) * own[mix.partner.numpy()]
    assert np.allclose(after.mean(axis=(1, 2, 3)), expected, atol=0.1)
    assert 0.05 < (1 - mix.share.numpy()).mean() < 0.6
    logits, targets = torch.randn(80, 2, generator=torch.Generator().manual_seed(0)), torch.arange(80) // 40
    mixed = mix.of(loss(LabelHead, logits, targets), loss(LabelHead, logits, targets[mix.partner]))
    soft = torch.zeros(80, 2).scatter_add_(1, targets[:, None], mix.share[:, None])
    soft.scatter_add_(1, targets[mix.partner][:, None], 1 - mix.share[:, None])
    assert torch.allclose(mixed, torch.nn.functional.cross_entropy(logits, soft, reduction="none"), atol=1e-6)


def test_answers_that_cannot_be_mixed_are_refused() -> None:
    photo, age = fit("image", "photo", "photo", PHOTOS, {"size": 32}), fit("number", "age", "age", ["1", "2"], {})
    kinds = {"photo": Typed(type="image", augment={"mixup": 0.2}), "age": Typed(type="number")}
    with pytest.raises(TrimtabError, match="not the rows' other inputs"):
        augment.choose(kinds, [photo, age], {"photo": PHOTOS, "age": []}, labels(["a", "b"]), (), seed=7)


# --------------------------------------------------------------------------------------------- text, sound, numbers


def test_words_are_mistyped_left_out_and_swapped_and_the_text_is_encoded_again(reviews, tiny_base: Path) -> None:
    texts = [str(row["review"]) for row in reviews][:40]
    column = fit("text", "t", "t", texts, {"tokenizer": tiny_base / "tokenizer.json"})
    rows = encode_rows([column], {"t": texts})
    shares, short = (
        {},
        {},
    )  # of words that are left; of short ones in texts of as many words, those that are as they were
    for option, change in (("typos", 0.3), ("delete", 0.3), ("swap", 0.3)):
        found, _ = chosen_for(column, texts, {option: change})
        assert found is not None
        shown = found.parts["t"].texts(np.arange(40), np.random.default_rng(1))
        plain = found.parts["t"].texts(np.arange(40), None)
        assert shown is not None
        assert plain is not None
        assert sum(one != other for one, other in zip(shown, plain, strict=True)) > 30
        words, before = [text.split() for text in shown], [text.split() for text in plain]
        shares[option] = sum(map(len, words)) / sum(map(len, before))
        whole = [(one, other) for one, other in zip(words, before, strict=True) if len(one) == len(other)]
        pairs = [pair for one, other in whole for pair in zip(one[:-1], other[:-1], strict=True)]
        short[option] = [one == other for one, other in pairs if len(other) < 4]
        tensors, _ = found({k: torch.from_numpy(v) for k, v in rows.batch(np.arange(40)).items()}, np.arange(40), 0, 0)
        assert tensors["t_ids"].shape == tensors["t_mask"].shape
        assert tensors["t_ids"].shape[0] == 40
    assert chosen_for(column, texts, "auto") == (None, {})
    assert 0.5 < shares["delete"] < 0.95
    assert 0.95 < shares["swap"] < 1.05
    assert len(short["typos"]) > 50
    assert all(short["typos"])  # short words such as `not` stay what they are
    assert not all(short["swap"])


def test_chinese_text_is_varied_by_characters() -> None:
    found = registry.load("trimtab.train.augment", "text", "TextAugment", "test")
    options = registry.load("trimtab.train.augment", "text", "Options", "test")(delete=0.4)
    one = found(None, ["房间很大，床很舒服，服务也很好，下次还会来住。"], options)
    (text,) = one.texts(np.array([0]), np.random.default_rng(0))
    assert 8 < len(text) < 23


def test_sound_is_shifted_and_masked_only_where_there_is_sound() -> None:
    clips = [np.sin(np.arange(8_000 + 400 * i) * (0.05 + 0.01 * i)).astype(np.float32) * 0.3 for i in range(12)]
    column = fit("audio", "clip", "clip", clips, {"rate": 8_000})
    options = {"shift": 0.2, "gain": 6, "noise": 0.1, "time_masks": 2, "frequency_masks": 2}
    found, _ = chosen_for(column, clips, options)
    assert found is not None
    rows, every = encode_rows([column], {"clip": clips}), np.arange(12)
    before = {key: torch.from_numpy(value) for key, value in rows.batch(every).items()}
    after, _ = found(before, every, 0, 0)
    frames, mask = after["clip_frames"], before["clip_mask"].bool()
    assert frames.shape == before["clip_frames"].shape
    assert torch.equal(after["clip_mask"], before["clip_mask"])
    assert not frames[~mask].any()
    blank = (frames == 0) & mask[:, :, None]
    assert 0.02 < blank.sum() / (mask.sum() * frames.shape[2]) < 0.6
    assert (blank.all(dim=2) & mask).any()  # whole frames: time masks
    only_shift, _ = chosen_for(column, clips, {"shift": 0.2})
    assert only_shift is not None
    moved = only_shift(before, every, 0, 0)[0]["clip_frames"]
    known = {row.numpy().tobytes() for row in before["clip_frames"][mask]}
    assert all(row.numpy().tobytes() in known for row in moved[mask])


@pytest.mark.parametrize("scale", ["standard", "log", "quantile", "none"])
def test_noise_has_the_size_that_is_asked_for_and_all_features_follow_it(scale: str) -> None:
    values = [f"{x}" if i % 5 else "" for i, x in enumerate(load_breast_cancer().data[:, 0])]
    column = fit("number", "radius", "radius", values, {"scale": scale, "bins": 4, "outliers": "keep"})
    found, _ = chosen_for(column, values, {"noise": 0.2})
    assert found is not None
    rows = encode_rows([column], {"radius": values})
    after, _ = varied(found, rows)
    change = after - rows.encoded[0]
    missing = np.arange(len(values)) % 5 == 0
    unit = column.std if scale == "none" else 1.0
    assert change[~missing, 0].std() == pytest.approx(0.2 * unit, rel=0.15)
    assert not change[missing].any()
    assert not change[:, 1].any()
    assert change[~missing, 2:].any(axis=1).mean() > 0.9
    still, _ = chosen_for(column, values, {"noise": 0.0})
    assert still is not None
    assert np.allclose(varied(still, rows)[0], rows.encoded[0], atol=1e-4)  # back and forth is the same number


# -------------------------------------------------------------------------------------------------------- training


class StopAt(Quiet):
    """Ends a run at a step, as a kill would."""

    def __init__(self, step: int) -> None:
        self.step, self.ticks = step, 0

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        self.ticks += 1
        if self.ticks == self.step:
            raise KeyboardInterrupt


def lesson_of(options: Any, rows: int = 160, valid: int = 60) -> tuple[InputColumn, LabelColumn, TrainingData]:
    values, answers = PICTURES[: rows + valid], LABELS[: rows + valid]
    column, output = fit("image", "photo", "photo", values, {}), labels(answers)
    found, _ = chosen_for(column, values[:rows], options, output)
    targets = output.targets(answers)
    train, held = (encode_rows([column], {"photo": part}) for part in (values[:rows], values[rows:]))
    return column, output, TrainingData(train, targets[:rows], held, targets[rows:], output, found)


def settings_for(data: TrainingData, **train: Any) -> Settings:
    spec = parse({"data": "x.csv", "output": "y", "train": train})
    counts = np.bincount(data.train_targets)
    return choose(spec, data.output, None, len(data.train), data.train.steps, counts, torch.device("cpu"))[0]


def network_for(column: InputColumn, output: LabelColumn) -> Network:
    torch.manual_seed(3)
    entries = (EncoderEntry(name="cnn", reads=(column.key,), config={"channels": 16}),)
    architecture = Architecture(width=16, encoders=entries, fusion="mean", dropout=0.1, head="label")
    return Network(architecture, [column], output)


def run(folder: Path, options: Any, stop_at: int | None = None, **train: Any) -> tuple[dict[str, torch.Tensor], float]:
    column, output, data = lesson_of(options)
    network = network_for(column, output)
    chosen = settings_for(data, epochs=2, checkpoint_seconds=0, **train)
    progress = StopAt(stop_at) if stop_at else Quiet()
    trained = loop.train(network, data, chosen, folder, progress)
    return network.state_dict(), trained.history[-1]["loss"]


@pytest.mark.parametrize("train", [{}, {"accumulate": 2, "sampling": "balanced"}])
def test_a_stopped_run_with_augmentation_ends_as_an_undisturbed_one(
    tmp_path: Path, monkeypatch, train: dict[str, Any]
) -> None:
    monkeypatch.setattr(loop, "_TELL_SECONDS", 0.0)
    options = {"rotate": 10, "shift": 0.1, "mixup": 0.2}
    whole, loss_of_whole = run(tmp_path / "whole", options, **train)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", options, stop_at=4, **train)
    again, loss_of_again = run(tmp_path / "stopped", options, **train)
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert loss_of_whole == loss_of_again
    plain, _ = run(tmp_path / "plain", "none", **train)
    assert not all(torch.equal(whole[key], plain[key]) for key in whole)


def test_rows_that_choose_the_weights_are_never_varied(tmp_path: Path, monkeypatch) -> None:
    seen: list[np.ndarray] = []
    plain = Augmentation.__call__

    def noted(self: Augmentation, tensors: Any, rows: np.ndarray, step: int, part: int) -> Any:
        seen.append(rows)
        return plain(self, tensors, rows, step, part)

    monkeypatch.setattr(Augmentation, "__call__", noted)
    column, output, data = lesson_of({"rotate": 10})
    before = data.valid.batch(np.arange(60))["photo_pixels"].copy()
    chosen = settings_for(data, epochs=1)
    network = network_for(column, output)
    trained = loop.train(network, data, chosen, tmp_path, Quiet())
    assert sorted(np.concatenate(seen).tolist()) == list(range(160))  # each training row once, and nothing else
    outputs = loop.predict(network, data.valid, 512, torch.device("cpu"))
    assert (outputs.argmax(axis=1) == data.valid_targets).mean() == pytest.approx(trained.history[-1]["score"])
    assert np.array_equal(before, data.valid.batch(np.arange(60))["photo_pixels"])


# -------------------------------------------------------------------------------------------------------- sampling


def skewed() -> np.ndarray:
    """Malignant or benign, and a class of the nine largest tumours: 9, 203 and 357 rows."""
    data = load_breast_cancer()
    classes = data.target.astype(np.int64) + 1
    classes[np.argsort(-data.data[:, 3])[:9]] = 0
    return classes


def test_balanced_sampling_draws_every_class_equally_often() -> None:
    classes = skewed()
    assert np.bincount(classes).tolist() == [9, 203, 357]
    epochs = [
        np.concatenate(epoch_batches(np.ones(569, np.int64), 32, 64, seed=1, epoch=epoch, classes=classes))
        for epoch in range(6)
    ]
    for rows in epochs:
        assert len(rows) == 569
        counts = np.bincount(classes[rows])
        assert counts.max() - counts.min() <= 1
        times = np.bincount(rows, minlength=569)
        assert times[classes == 0].min() >= 21  # 189 or 190 draws of 9 rows: none is left out, none is preferred
        assert times[classes == 0].max() <= 22
        assert times[classes > 0].max() == 1
    assert len(np.unique(np.concatenate(epochs))) > 540  # other rows of the frequent classes in every epoch
    again = epoch_batches(np.ones(569, np.int64), 32, 64, seed=1, epoch=0, classes=classes)
    assert np.array_equal(np.concatenate(again), epochs[0])


def test_sampling_takes_the_place_of_class_weights_and_needs_a_label() -> None:
    counts = np.bincount(skewed())

    def chosen(output: Any, **train: Any) -> Settings:
        spec = parse({"data": "x", "output": "y", "train": train})
        return choose(spec, output, None, 569, np.ones(569, np.int64), counts, torch.device("cpu"))[0]

    label, number = labels(["a", "b", "c"]), fit("number", "y", "y", ["1", "2"], {})
    assert chosen(label).class_weights == "balanced"
    assert (chosen(label, sampling="balanced").class_weights, chosen(label, sampling="balanced").score) == (
        "none",
        "macro_f1",
    )
    with pytest.raises(TrimtabError, match="no classes to balance"):
        chosen(number, sampling="balanced")
    with pytest.raises(TrimtabError, match="weighed up twice"):
        chosen(label, sampling="balanced", class_weights="balanced")


# -------------------------------------------------------------------------------------------------------- the card


def digits_place(folder: Path, texts: list[str], **spec: Any) -> Place:
    """Scanned digits as PNG files, each with a text, and a spec to launch."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(len(texts)):
        Image.fromarray(PICTURES[number]).save(folder / f"{number}.png")
    table: list[dict[str, object]] = [
        {"file": f"{number}.png", "text": text, "digit": LABELS[number]} for number, text in enumerate(texts)
    ]
    return place(folder, table, output={"digit": "label"}, train={"epochs": 1}, **spec)


@pytest.mark.slow
def test_the_card_shows_training_rows_as_they_are_and_varied(tmp_path: Path, reviews, tiny_base: Path) -> None:
    inputs = {
        "file": {"type": "image", "encoder": {"name": "cnn", "channels": 16}},
        "text": {"type": "text", "augment": {"typos": 0.5}},
    }
    made = digits_place(tmp_path, [row["review"] for row in reviews[:160]], base=str(tiny_base), inputs=inputs)
    release = trimtab.launch(made.spec, runs=made.runs)
    card = (release.folder / "card.html").read_text(encoding="utf-8")
    section = card.partition('<section id="augmentation"')[2].partition("</section>")[0]
    (data,) = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", section)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"), np.int16)
    side, gap = 96, 6
    assert sheet.shape == (5 * (side + gap), 6 * side + 7 * gap)
    tiles = [[sheet[row * (side + gap) :][:side, left : left + side] for left in
              (column * (side + gap) + 2 * gap * (column > 0) for column in range(6))] for row in range(5)]  # fmt: skip
    originals = {np.array(picture).repeat(12, 0).repeat(12, 1).tobytes() for picture in PICTURES[:160]}
    for row in tiles:
        assert row[0].astype(np.uint8).tobytes() in originals
        assert len({tile.tobytes() for tile in row}) == 6
    assert "rotate: 10" in section
    assert "rotate: 10" in (release.folder / "card.md").read_text(encoding="utf-8")
    assert "Varied texts" in section
    assert release.manifest.spec["inputs"]["file"]["augment"] == {"rotate": 10.0, "shift": 0.1, "scale": 0.1}
    texts = release.manifest.evidence["augmentation"]["texts"]
    assert [len(one["varied"]) for one in texts] == [5] * 5
    assert all(len({one["as it is"], *one["varied"]}) > 3 for one in texts)


def test_wrong_options_end_a_launch_before_training(tmp_path: Path, capsys) -> None:
    inputs = {"file": {"type": "image", "augment": {"rotation": 5}}}
    made = digits_place(tmp_path, ["a"] * 60, inputs=inputs)
    assert made.launch() == 2
    assert "did you mean 'rotate'?" in capsys.readouterr().err
    assert not (made.runs / "rows" / "work" / "train").exists()
