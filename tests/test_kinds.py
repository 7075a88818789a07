"""The same way for every kind of input, output and method that there is."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_models
from places import place
from sklearn.datasets import load_breast_cancer, load_diabetes

import trimtab
from trimtab.bundle import store


def small_launch(folder: Path, rows: list[dict[str, object]], **spec: object) -> trimtab.Manifest:
    made = place(folder, rows, **spec)
    release = trimtab.launch(made.spec, runs=made.runs)
    assert release.released, release.manifest.why
    return release.manifest


@pytest.mark.slow
def test_numbers_and_categories_are_inputs_and_need_no_base(tmp_path: Path) -> None:
    data = load_breast_cancer()
    rows = [
        {"radius": f"{x[0]:.4g}", "texture": f"{x[1]:.4g}", "points": f"{x[27]:.4g}",
         "size": "large" if x[3] > 600 else "", "kind": data.target_names[y]}
        for x, y in zip(data.data, data.target, strict=True)
    ]  # fmt: skip
    gates = {"accuracy": ">= 0.85", "auc": ">= 0.9", "recall.malignant": ">= 0.7"}
    manifest = small_launch(tmp_path, rows, output="kind", gates=gates)
    assert {column.type for column in manifest.inputs} == {"number", "category"}
    assert manifest.spec["train"]["method"] == "scratch"


def test_a_number_can_be_the_output(tmp_path: Path) -> None:
    data = load_diabetes()
    rows = [
        {**{name: f"{v:.5g}" for name, v in zip(data.feature_names, x, strict=True)}, "progression": f"{y:.0f}"}
        for x, y in zip(data.data, data.target, strict=True)
    ]
    manifest = small_launch(tmp_path, rows, output={"progression": "number"}, gates={"rmse": "<= 75", "r2": ">= 0.2"})
    assert manifest.task == "number"
    assert 20 < manifest.measured["mae"].value < 70  # in the user's units
    answers = trimtab.load(tmp_path / "runs" / "rows" / "bundle").predict(rows[:3]).answers
    assert all(25 <= value <= 350 for value in answers["progression"])


@pytest.mark.slow
def test_text_numbers_and_categories_work_together(tmp_path: Path, reviews, tiny_base: Path) -> None:
    rows = [
        {"Review text": row["review"], "stars, given": 4 if row["sentiment"] == "positive" else i % 5,
         "shop.name": "ab"[i % 2], "sentiment": row["sentiment"]}
        for i, row in enumerate(reviews)
    ]  # fmt: skip
    spec = {"output": "sentiment", "base": str(tiny_base), "train": {"epochs": 4}, "inputs": {
        "Review text": "text", "stars, given": "number", "shop.name": "category"}}  # fmt: skip
    manifest = small_launch(tmp_path, rows, **spec, fusion="attention", gates={"accuracy": ">= 0.5"})
    assert [column.type for column in manifest.inputs] == ["text", "number", "category"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "frozen"])
def test_every_method_ends_in_a_bundle_that_agrees_with_its_network(tmp_path: Path, reviews, tiny_base, method) -> None:
    train = {"method": method, "epochs": 1}
    manifest = small_launch(tmp_path, reviews, output="sentiment", base=str(tiny_base), train=train)
    assert manifest.evidence["differs"] <= 1e-4


HOTEL = [
    ("房间很大，床很舒服，服务也很好，下次还会来住。", "good"),
    ("早餐太差了，房间又小又脏，再也不会来了。", "bad"),
    ("位置不错，离地铁站很近，前台态度热情。", "good"),
    ("空调坏了没人修，晚上很吵，根本睡不着。", "bad"),
    ("性价比很高，干净整洁，推荐给大家。", "good"),
    ("卫生间有异味，毛巾是湿的，非常失望。", "bad"),
]


@pytest.mark.slow
def test_chinese_text_works_from_end_to_end(tmp_path: Path) -> None:
    rows = [{"评论": f"{text}{i}号房", "标签": label} for i in range(20) for text, label in HOTEL]
    base = tiny_models.save(tmp_path / "zh", "bert", [text for text, _ in HOTEL])
    spec = {"output": "标签", "base": str(base), "train": {"epochs": 12, "learning_rate": 0.003}}
    manifest = small_launch(tmp_path, rows, **spec, gates={"accuracy": ">= 0.9"})
    model = trimtab.load(tmp_path / "runs" / "rows" / "bundle")
    assert model.predict([{"评论": "房间很大，服务很好"}]).answers["标签"] == ["good"]
    assert manifest.inputs[0].name == "评论"


@pytest.mark.slow
def test_int8_is_taken_when_a_size_gate_needs_it(tmp_path: Path, reviews, tiny_base: Path) -> None:
    plain = small_launch(tmp_path / "a", reviews, output="sentiment", base=str(tiny_base), train={"epochs": 1})
    assert plain.precision == "fp32"
    half = store.serving_bytes(tmp_path / "a" / "runs" / "rows" / "bundle") * 0.5  # fewer tokens alone are not enough
    spec = {"output": "sentiment", "base": str(tiny_base), "train": {"epochs": 1}}
    small = small_launch(tmp_path / "b", reviews, **spec, gates={"size": f"<= {half:.0f} B"})
    assert small.precision in ("int8", "int8_int4", "int4")  # the quickest of them
    assert small.measured["size"].value < plain.measured["size"].value


@pytest.mark.slow
def test_two_launches_of_one_spec_give_the_same_bundle_hash(tmp_path: Path, reviews, tiny_base: Path) -> None:
    spec = {"output": "sentiment", "base": str(tiny_base), "train": {"epochs": 1}}
    hashes = {small_launch(tmp_path / name, reviews, **spec).hash for name in "ab"}
    other = small_launch(tmp_path / "c", reviews, **spec, seed=8).hash
    assert len(hashes) == 1
    assert other not in hashes


def test_a_bundle_that_may_quote_no_row_quotes_none(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"note": f"visit of patient{i:03d} on ward {i * 7 % 90}", "pulse": 50 + i, "state": "ill" if i % 3 else "well"}
        for i in range(90)
    ]  # fmt: skip
    spec = {"output": "state", "train": {"epochs": 1}, "inputs": {"note": {"type": "text", "encoder": "textcnn"}}}
    files = {}
    for quote, said in {True: "rows", False: "none"}.items():
        made = place(tmp_path / said, rows, **spec, quotes=said)
        folder = trimtab.launch(made.spec, runs=made.runs).folder
        texts = [folder / name for name in ("manifest.json", "golden.jsonl", "card.html", "card.md")]
        files[quote] = "".join(path.read_text(encoding="utf-8") for path in texts)
        assert trimtab.load(folder).predict([{"note": "a visit", "pulse": 70}])[0]["state"] in ("ill", "well")
    notes = [str(row["note"]) for row in rows]
    assert any(note in files[True] for note in notes)
    assert not [note for note in notes if note in files[False]]
