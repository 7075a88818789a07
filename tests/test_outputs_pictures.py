"""Pictures as answers: read, drawn, measured, served; and the methods that teach a network to draw them."""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import serving
import torch
from PIL import Image
from places import Place, place
from sklearn.datasets import load_digits

import trimtab
from trimtab import columns
from trimtab.__main__ import main
from trimtab.audit import drawn
from trimtab.bundle import store
from trimtab.columns import InputPolicy, encode_rows, fit
from trimtab.columns.picture import PictureColumn
from trimtab.data.prepare import prepare
from trimtab.errors import TrimtabError
from trimtab.metrics import Drawn, statistics
from trimtab.nets.network import Architecture, Network, one_each
from trimtab.pipeline import judge
from trimtab.progress import Quiet
from trimtab.request import check
from trimtab.spec import parse, read
from trimtab.train import checkpoint, loop, methods
from trimtab.train.method import TrainingData
from trimtab.train.settings import Settings, choose

SIDE = 8
ROWS = 160
DIGITS = (load_digits().images[:ROWS] * 15.9).astype(np.uint8)
LABELS = [str(label) for label in load_digits().target[:ROWS]]
ONE = np.ones((1, 1))


def picture(pixels: np.ndarray) -> str:
    """A data: URI of a PNG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def pixels_of(answer: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer.partition(",")[2]))))


def column(**options: Any) -> PictureColumn:
    found: PictureColumn = fit("picture", "clean picture", "clean_picture", list(DIGITS), options)
    return found


# --------------------------------------------------------------------------------------------------------- column


def test_a_picture_that_is_learnt_comes_back_as_the_same_png() -> None:
    output = column()
    targets = output.targets([picture(DIGITS[0]), DIGITS[1]])
    assert (targets.dtype, targets.shape, output.width) == (np.uint8, (2, 64), 64)
    answers = output.decode(targets / np.float32(255))["clean picture"]
    np.testing.assert_array_equal([pixels_of(answer) for answer in answers], DIGITS[:2])
    assert output.content(answers[0])[:4] == b"\x89PNG"


def test_outputs_beyond_black_and_white_and_no_numbers_are_drawn_all_the_same() -> None:
    outputs = np.full((1, 64), 0.5, np.float32)
    outputs[0, :3] = [-2, 7, np.nan]
    (answer,) = column().decode(outputs)["clean picture"]
    assert pixels_of(answer).ravel()[:4].tolist() == [0, 255, 0, 128]


def test_an_answer_fits_its_schema() -> None:
    output = column()
    (answer,) = output.decode(np.zeros((1, 64), np.float32))["clean picture"]
    schema = output.answer_schema()["clean picture"]
    jsonschema.validate(answer, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate("clean.png", schema)


def test_answers_are_alike_within_two_levels() -> None:
    output = column()
    whole = np.full((1, 64), 0.5, np.float32)
    shifts = (1 / 255, 5 / 255)
    told = [output.decode(whole + shift)["clean picture"][0] for shift in (0, *shifts)]
    assert [output.alike({output.name: told[0]}, {output.name: one}) for one in told[1:]] == [True, False]
    assert [bool(output.agrees(whole, whole + shift)[0]) for shift in shifts] == [True, False]


def test_a_column_is_what_it_was_when_it_is_read_again(tmp_path: Path) -> None:
    output = column(filters=16)
    output.save(tmp_path)
    state = json.loads((tmp_path / "clean_picture.json").read_text())
    assert columns.restore(tmp_path, state) == output


@pytest.mark.parametrize(
    ("value", "said"), [(None, "no value"), ("nowhere.png", "no such file"), (b"GIF89a", "not an image")]
)
def test_what_is_no_picture_is_no_answer(value: object, said: str) -> None:
    reason = column().usable(value)
    assert reason is not None
    assert said in reason


def test_where_no_files_are_read_a_label_names_none(tmp_path: Path) -> None:
    Image.fromarray(DIGITS[0]).save(tmp_path / "0.png")
    output = column()
    strict = output.accepting(InputPolicy(files=False))
    assert output.usable(str(tmp_path / "0.png")) is None
    assert "no files are read here" in str(strict.usable(str(tmp_path / "0.png")))


@pytest.mark.parametrize("options", [{"filters": 12}, {"filters": 4}, {"sise": 8}])
def test_a_wrong_option_is_told(options: dict[str, Any]) -> None:
    with pytest.raises(TrimtabError, match=f"column 'clean picture' \\(image\\).*{next(iter(options))}"):
        column(**options)


def test_pictures_for_one_label_contradict_each_other_as_little_as_they_are_copies(tmp_path: Path) -> None:
    lines = ["label,shown", *(f"{number % 3},{number}.png" for number in range(60)), "1,0.png", "0,0.png"]
    for number in range(60):
        Image.fromarray(DIGITS[number]).save(tmp_path / f"{number}.png")
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    inputs = {"label": "category", "seed": "seed"}
    asked = parse({"data": "rows.csv", "inputs": inputs, "output": {"shown": "image"}})
    made = prepare(asked, tmp_path, Quiet())
    assert (made.task, made.report["conflicts"]["groups"]) == ("picture", 0)
    assert made.report["duplicates"]["kept"] == 1  # 0.png for 0, twice
    tables = [made.splits.train, made.splits.valid, made.splits.test]
    pairs = [set(zip(table.values["label"], table.values["shown"], strict=True)) for table in tables]
    assert [one & other for one, other in itertools.combinations(pairs, 2)] == [set()] * 3
    assert sorted(seed for table in tables for seed in table.values["seed"]) == list(range(62))


def test_a_seed_is_the_same_noise_everywhere() -> None:
    seeds = fit("seed", "seed", "seed", [0], {"size": 3})
    found = seeds.encode([7, "7", 7.0, 8, None, 0])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[4], found[5])
    np.testing.assert_allclose(found[0], SEVEN, atol=1e-6)
    many = fit("seed", "seed", "seed", [0], {}).encode(range(2000))
    assert abs(many.mean()) < 0.01
    assert abs(many.std() - 1) < 0.01


SEVEN = (-0.99208987, 0.02766087, -1.37731206)


# -------------------------------------------------------------------------------------------------------- metrics


def measured(true: np.ndarray, found: np.ndarray) -> dict[str, float]:
    made = statistics(Drawn(true, found), "ssim")
    ones = np.ones((len(true), 1))
    return {name: float(make()(ones)[0]) for name, make in made.items()}


def by_hand(one: np.ndarray, other: np.ndarray, side: int = 7) -> float:
    """The mean structural similarity of two grey pictures, window by window (Wang et al. 2004, equation 13)."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for top in range(one.shape[0] - side + 1):
        for left in range(one.shape[1] - side + 1):
            x, y = (part[top : top + side, left : left + side].astype(float).ravel() for part in (one, other))
            (a, b), (_, c) = np.cov(x, y)
            top_part = (2 * x.mean() * y.mean() + c1) * (2 * b + c2)
            found.append(top_part / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (a + c + c2)))
    return float(np.mean(found))


def test_likeness_is_what_the_formulas_say() -> None:
    random = np.random.default_rng(5)
    true = random.integers(0, 256, (3, 3, 11, 13), np.uint8)
    noisy = np.clip(true + random.normal(0, 30, true.shape), 0, 255).astype(np.uint8)
    told = measured(true, noisy)
    squared = ((true.astype(float) - noisy) ** 2).mean(axis=(1, 2, 3))
    assert told["psnr"] == pytest.approx(np.mean(20 * np.log10(255) - 10 * np.log10(squared)))
    assert told["mae"] == pytest.approx(np.abs(true.astype(float) - noisy).mean())
    planes = zip(true.reshape(-1, 11, 13), noisy.reshape(-1, 11, 13), strict=True)
    assert told["ssim"] == pytest.approx(np.mean([by_hand(*pair) for pair in planes]))


def test_likeness_is_what_scikit_image_says() -> None:
    true = (np.arange(3 * 11 * 13).reshape(1, 3, 11, 13) * 37 % 256).astype(np.uint8)
    told = measured(true, true // 2 + np.uint8(40))
    assert told["ssim"] == pytest.approx(SCIKIT_IMAGE[0], abs=1e-9)
    assert told["psnr"] == pytest.approx(SCIKIT_IMAGE[1], abs=1e-9)


# structural_similarity and peak_signal_noise_ratio of the two pictures, data_range=255, by scikit-image 0.26.0
SCIKIT_IMAGE = (0.7844732908274086, 15.243080771728732)


def test_equal_pictures_are_as_like_as_can_be() -> None:
    told = measured(DIGITS[:4, None], DIGITS[:4, None])
    assert told == {"ssim": pytest.approx(1), "psnr": 100, "mae": 0}


def test_the_frechet_distance_of_two_normal_sets_is_that_of_their_moments() -> None:
    random = np.random.default_rng(0)
    one = random.normal(0, 1, (40_000, 2))
    other = random.normal(0, 1, (40_000, 2)) * [2, 1] + [3, 0]
    weights = np.ones((40_000, 1))
    assert drawn.frechet(one, other)(weights)[0] == pytest.approx(9 + 1, rel=0.02)  # |means|² + (2 - 1)²
    assert drawn.frechet(one, one)(weights)[0] == pytest.approx(0, abs=1e-6)


def test_precision_and_recall_tell_what_is_not_real_from_what_is_not_drawn() -> None:
    random = np.random.default_rng(0)
    real = np.concatenate([random.normal(0, 0.1, (100, 2)), random.normal(5, 0.1, (100, 2))])
    one_kind = random.normal(0, 0.05, (200, 2))
    assert drawn.within(one_kind, real).mean() > 0.95
    assert 0.3 < drawn.within(real, one_kind).mean() < 0.55
    assert drawn.within(one_kind + 50, real).mean() == 0


def test_a_near_copy_is_half_as_far_as_real_pictures_are() -> None:
    train, test = DIGITS[:100, None], DIGITS[100:, None]
    copies = np.concatenate([train[:30], test[:30]])
    told, real, bound = drawn.near_copies(copies, test, train.reshape(100, -1))
    assert told[:30].all()
    assert told[30:].mean() < 0.2
    assert real.mean() < 0.2
    assert bound > 0


# ----------------------------------------------------------------------------------------------- learning to draw


@pytest.fixture(scope="module")
def lesson() -> tuple[list[Any], PictureColumn, TrainingData]:
    """Digits for their label and a seed."""
    values = {"label": LABELS, "seed": list(range(ROWS))}
    inputs = [fit("category", "label", "label", LABELS, {}), fit("seed", "seed", "seed", [0], {"size": 8})]
    output: PictureColumn = fit("picture", "image", "image", list(DIGITS), {"filters": 8})
    rows, targets = encode_rows(inputs, values), output.targets(list(DIGITS))
    some = np.arange(32)
    return inputs, output, TrainingData(rows, targets, rows.take(some), targets[some], output)


def network(lesson: tuple[list[Any], PictureColumn, TrainingData]) -> Network:
    inputs, output, _ = lesson
    shape = Architecture(width=16, encoders=one_each(inputs), fusion="mean", dropout=0.0, head="picture")
    torch.manual_seed(3)
    return Network(shape, inputs, output)


def settings_for(data: TrainingData, **changes: object) -> Settings:
    spec = parse({"data": "x.csv", "output": "y", "train": {"epochs": 2, "batch_tokens": 64, **changes}})
    return choose(spec, data.output, None, len(data.train), data.train.steps, None, torch.device("cpu"), "table")[0]


class Killed(Quiet):
    """Stops a run at a step, as a kill would."""

    def __init__(self, at: int) -> None:
        self.left = at

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


METHODS = {
    "hinge": methods.kind("adversarial")(channels=8),
    "squares with a penalty": methods.kind("adversarial")(loss="least_squares", keep="penalty", channels=8, pixels=1.0),
    "variational": methods.kind("autoencoder")(prior=0.5, channels=8),
}


@pytest.mark.parametrize("name", list(METHODS))
def test_a_run_that_was_killed_ends_with_the_same_weights(lesson, name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "_TELL_SECONDS", 0.0)
    settings = replace(settings_for(lesson[2]), checkpoint_seconds=0.0)
    whole, killed, again = (network(lesson) for _ in range(3))
    told = loop.train(whole, lesson[2], settings, tmp_path / "whole", Quiet(), METHODS[name])
    with pytest.raises(KeyboardInterrupt):
        loop.train(killed, lesson[2], settings, tmp_path / "part", Killed(told.steps // 2), METHODS[name])
    loop.train(again, lesson[2], settings, tmp_path / "part", Quiet(), METHODS[name])
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_what_learns_beside_changes_and_is_thrown_away(lesson, tmp_path: Path) -> None:
    made = network(lesson)
    begun = {key: value.clone() for key, value in made.state_dict().items()}
    settings = replace(settings_for(lesson[2], epochs=1), checkpoint_seconds=1e9)
    loop.train(made, lesson[2], settings, tmp_path, Quiet(), METHODS["hinge"])
    kept = checkpoint.read(tmp_path, "best")
    assert kept is not None
    assert kept[0].keys() == begun.keys()
    assert not torch.equal(made.state_dict()["head.begin.0.weight"], begun["head.begin.0.weight"])


@pytest.mark.parametrize("name", ["hinge", "variational"])
def test_a_seed_alone_is_enough_to_draw_from(lesson, name: str, tmp_path: Path) -> None:
    (_, seed), output, data = lesson
    shape = Architecture(width=16, encoders=one_each([seed]), fusion="mean", dropout=0.0, head="picture")
    made = Network(shape, [seed], output)
    rows = encode_rows([seed], {"seed": list(range(ROWS))})
    data = replace(data, train=rows, valid=rows.take(np.arange(32)))
    loop.train(made, data, settings_for(data, epochs=1), tmp_path, Quiet(), METHODS[name])
    asked = encode_rows([seed], {"seed": [5, 6, 5]})
    first, other, again = loop.predict(made, asked, 512, torch.device("cpu"))
    np.testing.assert_allclose(first, again, atol=1e-6)
    assert np.abs(first - other).max() > 1e-3


def test_a_prior_needs_a_seed(lesson, tmp_path: Path) -> None:
    inputs, output, data = lesson
    shape = Architecture(width=16, encoders=one_each(inputs[:1]), fusion="mean", dropout=0.0, head="picture")
    alone = Network(shape, inputs[:1], output)
    with pytest.raises(TrimtabError, match=r"prior: found|0 inputs are seeds"):
        loop.train(alone, data, settings_for(data), tmp_path, Quiet(), METHODS["variational"])


@pytest.mark.parametrize("name", ["adversarial", "autoencoder"])
def test_a_method_that_draws_refuses_answers_that_are_no_pictures(name: str) -> None:
    label = fit("label", "kind", "kind", ["a", "b"], {})
    assert methods.kind(name)().refuses(label, 1) == "label answers are no pictures"


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (33, 20)])
def test_a_head_draws_pictures_of_any_size(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    shown = [random.integers(0, 256, (*size, 3), np.uint8) for _ in range(3)]
    inputs = [fit("image", "noisy", "noisy", shown, {}), fit("number", "age", "age", [1, 2, 3], {})]
    output = fit("picture", "clean", "clean", shown, {"filters": 8})
    encoders = one_each(inputs)
    encoders = (encoders[0].model_copy(update={"name": "cnn", "config": {"channels": 16}}), encoders[1])
    made = Network(
        Architecture(width=16, encoders=encoders, fusion="mean", dropout=0.0, head="picture"), inputs, output
    ).eval()
    rows = encode_rows(inputs, {"noisy": shown, "age": [1, 2, 3]})
    found = loop.predict(made, rows, 10, torch.device("cpu"))
    assert found.shape == (3, 3 * size[0] * size[1])
    alone = loop.predict(made, rows.take(np.array([1])), 10, torch.device("cpu"))
    np.testing.assert_allclose(alone[0], found[1], atol=1e-5)


# ---------------------------------------------------------------------------------------------------------- whole


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Noisy digits, and the same ones clean."""
    folder = tmp_path_factory.mktemp("denoise")
    random = np.random.default_rng(0)
    rows = []
    for number, clean in enumerate(DIGITS):
        noisy = np.clip(clean + random.normal(0, 60, clean.shape), 0, 255).astype(np.uint8)
        for name, pixels in (("noisy", noisy), ("clean", clean)):
            Image.fromarray(pixels).save(folder / f"{name}-{number}.png")
        rows.append({"noisy": f"noisy-{number}.png", "clean": f"clean-{number}.png"})
    spec = {
        "inputs": {"noisy": {"type": "image", "encoder": {"name": "cnn", "channels": 16, "stages": 1}}},
        "output": {"clean": {"type": "image", "filters": 16}},
        "split": {"valid": 0.1, "test": 0.4},
        "train": {"epochs": 6, "method": "autoencoder", "learning_rate": 0.003},
        "gates": {"psnr": ">= 10", "size": "<= 10 MB"},
    }
    made = place(folder, rows, **spec)
    assert made.launch() == 0
    return made


@pytest.fixture(scope="module")
def bundle(launched: Place) -> Path:
    return launched.runs / "rows" / "bundle"


def test_a_network_that_cleans_pictures_is_released_with_its_measures(bundle: Path) -> None:
    manifest = store.read_manifest(bundle)
    assert manifest.released, manifest.why
    assert [manifest.output.type, manifest.headline] == ["picture", "ssim"]
    for name in ("psnr", "ssim", "mae"):
        one = manifest.measured[name]
        assert one.low is not None, name
        assert one.low < one.value < one.high, name
    simple = manifest.evidence["baselines"]
    assert list(simple) == ["mean picture", "nearest training row", "noisy as it is", "median of 3 x 3 pixels of noisy"]
    assert manifest.measured["psnr"].value > simple["noisy as it is"]["psnr"]["value"]
    assert manifest.evidence["differs"] <= 1e-4
    assert {"drawn_precision", "drawn_recall", "near_copies"} <= manifest.measured.keys()
    card = (bundle / "card.html").read_text()
    assert "Drawn pictures" in card
    assert (bundle.parent / "plots" / "drawn.png").is_file()


def test_a_judge_knows_real_pictures_that_it_never_saw(bundle: Path) -> None:
    found = drawn.judge(bundle)
    assert found is not None
    assert (found.input, len(found.classes)) == (None, 4)  # no input names a class: it tells how a picture was turned
    assert found.rows > 200
    assert found.accuracy > 0.6


def test_a_judge_learns_from_so_many_pictures_at_most(
    launched: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = check(read(launched.folder / "trimtab.yaml"), launched.folder, tmp_path, Quiet())
    learnt: list[int] = []
    monkeypatch.setattr(judge, "_STEPS", 4)
    monkeypatch.setattr(loop, "train", lambda network, data, *others: learnt.append(len(data.train)))
    judge.add(request, tmp_path, tmp_path / "judge", Quiet())
    assert learnt == [4 * 32]
    assert drawn.judge(tmp_path) is not None


def test_a_bundle_replays_its_golden_pictures(bundle: Path) -> None:
    assert main(["verify", str(bundle)]) == 0


def test_predict_writes_pictures_into_a_folder_beside_the_table(launched: Place, bundle: Path, tmp_path: Path) -> None:
    table = tmp_path / "cleaned.csv"
    assert main(["predict", str(bundle), str(launched.folder / "rows.csv"), "--output", str(table)]) == 0
    lines = table.read_text().splitlines()
    assert lines[0] == "noisy,clean,predicted_clean"
    assert lines[1] == "noisy-0.png,clean-0.png,cleaned-clean/000001.png"
    assert len(list((tmp_path / "cleaned-clean").iterdir())) == ROWS
    model = trimtab.load(bundle)
    (answer,) = model.predict([{"noisy": str(launched.folder / "noisy-0.png")}]).answers["clean"]
    written = Image.open(tmp_path / "cleaned-clean" / "000001.png")
    assert np.abs(np.asarray(written, float) - pixels_of(answer)).max() <= 1


def test_a_server_gives_what_its_schema_says_and_reads_no_file(launched: Place, bundle: Path) -> None:
    given = picture(np.asarray(Image.open(launched.folder / "noisy-0.png")))
    with serving.client(bundle) as client:
        answered = client.post("/predict", json={"noisy": given}).json()
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
        assert client.post("/predict", json={"noisy": str(launched.folder / "noisy-0.png")}).status_code == 422
        label = {"id": answered["id"], "value": str(launched.folder / "clean-0.png")}
        refused = client.post("/feedback", json=label)
        assert refused.status_code in (409, 422)
        assert "clean-0" not in refused.text
    jsonschema.validate(answered["answer"], schemas["Answered"]["properties"]["answer"])
    (alone,) = trimtab.load(bundle).predict([{"noisy": given}]).answers["clean"]
    assert answered["answer"] == {"clean": alone}


def test_other_labelled_pictures_are_audited_from_another_folder(
    launched: Place, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (launched.folder / "rows.csv").read_text().splitlines()
    made = store.read_manifest(bundle).data["rows"]
    monkeypatch.chdir(tmp_path)
    assert main(["audit", str(bundle), str(launched.folder / "rows.csv"), "--to", str(tmp_path / "again")]) == 0
    told = json.loads((tmp_path / "again" / "audit.json").read_text())
    assert told["data"]["audited"]["rows"] == made["test"] == len(lines) - 1 - made["train"] - made["valid"]
    assert told["measured"]["ssim"]["value"] == pytest.approx(store.read_manifest(bundle).measured["ssim"].value)
