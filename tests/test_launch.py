"""Promises of the whole way: from a file of real text to a released bundle, and what happens to bad requests."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import yaml
from sklearn.datasets import load_breast_cancer, load_diabetes

import trimtab
from trimtab.__main__ import main
from trimtab.bundle import store

BLOCK = "import sys; sys.modules.update(dict.fromkeys({names!r})); "
HEAVY = ["torch", "transformers", "accelerate", "peft", "pandas", "polars", "sklearn", "scipy", "matplotlib", "onnx"]


@dataclass(frozen=True)
class Place:
    """A folder with a spec in it."""

    folder: Path

    @property
    def spec(self) -> Path:
        return self.folder / "trimtab.yaml"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def launch(self, *arguments: str) -> int:
        return main(["launch", str(self.spec), "--runs", str(self.runs), "-q", *arguments])


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def place(folder: Path, rows: list[dict[str, object]], **spec: object) -> Place:
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "rows.csv", rows)
    (folder / "trimtab.yaml").write_text(yaml.safe_dump({"data": "rows.csv", **spec}, sort_keys=False))
    return Place(folder)


@pytest.fixture(scope="session")
def reviews(reviews_csv: Path) -> list[dict[str, object]]:
    """The first 240 rows of the sample, as it is."""
    with reviews_csv.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))[:240]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, reviews: list[dict[str, object]]) -> Path:
    """A BERT of random weights: quick, and everything but its answers is like the real thing."""
    texts = [str(row["review"]) for row in reviews]
    return tiny_models.save(tmp_path_factory.mktemp("tiny") / "bert", "bert", texts)


@pytest.fixture(scope="session")
def launched(tmp_path_factory: pytest.TempPathFactory, reviews: list[dict[str, object]]) -> Place:
    """A launch with the bundled minilm."""
    made = place(
        tmp_path_factory.mktemp("launched"), reviews, output="sentiment", train={"epochs": 2},
        gates={"accuracy": ">= 0.5", "size": "<= 100 MB", "latency": "<= 200 ms"},
    )  # fmt: skip
    assert made.launch() == 0
    return made


@pytest.fixture(scope="session")
def bundle(launched: Place) -> Path:
    return launched.runs / "rows" / "bundle"


# ------------------------------------------------------------------------------------------------ what a launch gives


def test_a_launch_releases_a_bundle_with_all_its_evidence(bundle: Path) -> None:
    manifest = store.read_manifest(bundle)
    assert manifest.released
    assert [gate.name for gate in manifest.gates] == ["accuracy", "size", "latency"]
    for name in ("accuracy", "macro_f1", "auc", "log_loss", "calibration_error", "size", "latency_p95", "throughput"):
        assert np.isfinite(manifest.measured[name].value), name
    accuracy = manifest.measured["accuracy"]
    assert accuracy.low <= accuracy.value <= accuracy.high
    assert manifest.measured["size"].value == pytest.approx(store.serving_bytes(bundle) / 1e6, rel=0.01)
    assert manifest.evidence["differs"] <= 1e-4
    assert {"confusion", "curves", "reliability", "hardest", "floor", "history"} <= set(manifest.evidence)
    assert "<html" in (bundle / "card.html").read_text(encoding="utf-8")
    assert len((bundle / "golden.jsonl").read_text(encoding="utf-8").splitlines()) == 8
    assert not list(bundle.rglob("*.pkl")) + list(bundle.rglob("*.pt")) + list(bundle.rglob("*.bin"))


def test_the_network_is_worth_more_than_the_majority(bundle: Path) -> None:
    manifest = store.read_manifest(bundle)
    floor = manifest.evidence["floor"]
    assert manifest.measured["accuracy"].value > floor["majority"]["accuracy"]["value"]


def test_the_manifest_holds_the_whole_spec_and_the_reason_of_each_choice(bundle: Path) -> None:
    manifest = store.read_manifest(bundle)
    assert manifest.spec["train"]["epochs"] == 2
    assert manifest.spec["base"] == "minilm"
    assert manifest.spec["train"]["method"] == "full"
    assert manifest.spec["train"]["learning_rate"] > 0
    assert {"base", "train.learning_rate", "train.batch_tokens"} <= {entry.key for entry in manifest.automatic}
    assert all(entry.reason for entry in manifest.automatic)


def test_predict_evaluate_and_python_give_the_same_answers(bundle: Path, launched: Place, capsys) -> None:
    rows = launched.folder / "rows.csv"
    target = launched.folder / "answers.csv"
    assert main(["predict", str(bundle), str(rows), "--output", str(target)]) == 0
    with target.open(newline="", encoding="utf-8") as file:
        answered = list(csv.DictReader(file))
    predictions = trimtab.load(bundle).predict([{"review": row["review"]} for row in answered])
    assert [row["predicted_sentiment"] for row in answered] == list(predictions.answers["sentiment"])
    confidence = [float(row["confidence"]) for row in answered]
    assert np.allclose(confidence, predictions.answers["confidence"], atol=1e-3)
    capsys.readouterr()
    assert main(["evaluate", str(bundle), str(rows), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    right = np.mean([row["predicted_sentiment"] == row["sentiment"] for row in answered])
    assert told["rows"] == len(answered)
    assert told["metrics"]["accuracy"]["value"] == pytest.approx(right)


def test_predict_needs_nothing_but_the_core(bundle: Path, tmp_path: Path) -> None:
    code = BLOCK.format(names=HEAVY) + "from trimtab.__main__ import main; sys.exit(main(sys.argv[1:]))"
    given = "review\nthis camera is wonderful\n"
    done = subprocess.run(
        [sys.executable, "-c", code, "predict", str(bundle), "-"], input=given, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "review,sentiment,confidence"
    assert done.stdout.splitlines()[1].split(",")[1] in ("positive", "negative")


def test_the_same_launch_again_has_nothing_to_do(launched: Place, bundle: Path, capsys) -> None:
    before = (bundle / "manifest.json").stat().st_mtime_ns
    assert launched.launch("--json") == 0
    assert json.loads(capsys.readouterr().out)["released"] is True
    assert (bundle / "manifest.json").stat().st_mtime_ns == before


def test_a_missed_gate_keeps_the_bundle_unreleased_with_exit_code_1(launched: Place, capsys) -> None:
    assert launched.launch("--set", "gates.accuracy=>= 0.9999", "--set", "name=missed", "--set", "train.epochs=1") == 1
    manifest = store.read_manifest(launched.runs / "missed" / "bundle")
    assert not manifest.released
    assert any("accuracy" in reason for reason in manifest.why)
    assert "not released" in capsys.readouterr().out


def test_gates_that_change_do_not_train_again(launched: Place, bundle: Path) -> None:
    old = store.read_manifest(bundle)
    assert launched.launch("--set", "gates={accuracy: '>= 0.4'}") == 0
    new = store.read_manifest(bundle)
    assert [str(gate.asked) for gate in new.gates] == [">= 0.4"]
    assert new.files["model.onnx"] == old.files["model.onnx"]
    assert launched.launch() == 0


# ------------------------------------------------------------------------------------------------ other inputs, outputs


def small_launch(folder: Path, rows: list[dict[str, object]], **spec: object) -> trimtab.Manifest:
    made = place(folder, rows, **spec)
    release = trimtab.launch(made.spec, runs=made.runs)
    assert release.released, release.manifest.why
    return release.manifest


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


def test_chinese_text_works_from_end_to_end(tmp_path: Path) -> None:
    rows = [{"评论": f"{text}{i}号房", "标签": label} for i in range(20) for text, label in HOTEL]
    base = tiny_models.save(tmp_path / "zh", "bert", [text for text, _ in HOTEL])
    spec = {"output": "标签", "base": str(base), "train": {"epochs": 12, "learning_rate": 0.003}}
    manifest = small_launch(tmp_path, rows, **spec, gates={"accuracy": ">= 0.9"})
    model = trimtab.load(tmp_path / "runs" / "rows" / "bundle")
    assert model.predict([{"评论": "房间很大，服务很好"}]).answers["标签"] == ["good"]
    assert manifest.inputs[0].name == "评论"


def test_int8_is_taken_when_a_size_gate_needs_it(tmp_path: Path, reviews, tiny_base: Path) -> None:
    plain = small_launch(tmp_path / "a", reviews, output="sentiment", base=str(tiny_base), train={"epochs": 1})
    assert plain.precision == "fp32"
    between = store.serving_bytes(tmp_path / "a" / "runs" / "rows" / "bundle") * 0.85
    spec = {"output": "sentiment", "base": str(tiny_base), "train": {"epochs": 1}}
    small = small_launch(tmp_path / "b", reviews, **spec, gates={"size": f"<= {between:.0f} B"})
    assert small.precision == "int8"
    assert small.measured["size"].value < plain.measured["size"].value


def test_two_launches_of_one_spec_give_the_same_bundle_hash(tmp_path: Path, reviews, tiny_base: Path) -> None:
    spec = {"output": "sentiment", "base": str(tiny_base), "train": {"epochs": 1}}
    hashes = {small_launch(tmp_path / name, reviews, **spec).hash for name in "ab"}
    other = small_launch(tmp_path / "c", reviews, **spec, seed=8).hash
    assert len(hashes) == 1
    assert other not in hashes


# ------------------------------------------------------------------------------------------------------- bad requests


def spoilt(given: dict[str, object], **changes: object) -> dict[str, object]:
    return {key: value for key, value in {**given, **changes}.items() if value is not None}


GOOD: dict[str, object] = {"data": "rows.csv", "output": "sentiment"}
BAD = {
    "no such file": (spoilt(GOOD, data="nothing.csv"), "nothing.csv"),
    "empty file": (spoilt(GOOD, data="empty.csv"), "empty"),
    "binary file": (spoilt(GOOD, data="photo.csv"), "PNG"),
    "no such column": (spoilt(GOOD, output="sentimnet"), "did you mean 'sentiment'"),
    "one class only": (spoilt(GOOD, data="one.csv"), "class"),
    "all rows rejected": (spoilt(GOOD, data="blank.csv"), "sentiment"),
    "unknown key": (spoilt(GOOD, epochs=3), "no key named 'epochs'"),
    "unknown gate": (spoilt(GOOD, gates={"acuracy": ">= 0.9"}), "did you mean 'accuracy'"),
    "bad unit": (spoilt(GOOD, gates={"size": "<= 3 apples"}), "apples"),
    "gate of another task": (spoilt(GOOD, gates={"rmse": "<= 3"}), "rmse"),
    "recall of no class": (spoilt(GOOD, gates={"recall.postive": ">= 0.5"}), "positive"),
    "no such base": (spoilt(GOOD, base="./nowhere"), "no such folder"),
    "unreadable model folder": (spoilt(GOOD, base="broken"), "broken"),
    "incomplete model folder": (spoilt(GOOD, base="halfway"), "lacks"),
    "no such fusion": (spoilt(GOOD, fusion="men"), "did you mean 'mean'"),
    "no such column type": (spoilt(GOOD, inputs={"review": "txt"}), "did you mean 'text'"),
    "no such input": (spoilt(GOOD, inputs={"reviw": "text"}), "did you mean 'review'"),
    "no output": (spoilt(GOOD, output=None), "output"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_a_bad_request_is_one_clear_message_and_nothing_half_written(
    tmp_path: Path, reviews, capsys, case: str
) -> None:
    spec, told = BAD[case]
    write_rows(tmp_path / "rows.csv", reviews)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "photo.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    write_rows(tmp_path / "one.csv", [{"review": row["review"], "sentiment": "positive"} for row in reviews])
    write_rows(tmp_path / "blank.csv", [{"review": row["review"], "sentiment": ""} for row in reviews])
    for name, files in {
        "broken": ("config.json", "tokenizer.json", "model.safetensors"),
        "halfway": ("config.json",),
    }.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("{not json")
    (tmp_path / "trimtab.yaml").write_text(yaml.safe_dump(spec))
    assert Place(tmp_path).launch() == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not list((tmp_path / "runs").rglob("bundle"))


def test_all_problems_of_a_spec_are_told_at_once(tmp_path: Path, capsys) -> None:
    (tmp_path / "trimtab.yaml").write_text("data: x.csv\ntrain: {epochs: many}\ngates: {size: '3'}\nsede: 1\n")
    assert Place(tmp_path).launch() == 2
    told = capsys.readouterr().err
    assert "4 problems" in told
    for part in ("output", "train.epochs", "gates.size", "did you mean 'seed'"):
        assert part in told
    assert "trimtab.yaml:2" in told


def test_a_missing_extra_is_named(tmp_path: Path, reviews) -> None:
    made = place(tmp_path, reviews, output="sentiment")
    code = BLOCK.format(names=["torch"]) + "from trimtab.__main__ import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "launch", str(made.spec)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "pip install 'trimtab[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_told_and_leaves_no_bundle(tmp_path: Path, reviews, tiny_base, monkeypatch, capsys) -> None:
    made = place(tmp_path, reviews, output="sentiment", base=str(tiny_base), train={"epochs": 1})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "weights.safetensors")

    monkeypatch.setattr("trimtab.train.checkpoint._write", full)
    assert made.launch() == 2
    assert "disk is full" in capsys.readouterr().err
    assert not (made.runs / "rows" / "bundle").exists()


def copy_of(bundle: Path, folder: Path) -> Path:
    return Path(shutil.copytree(bundle, folder / "bundle"))


def test_a_bundle_with_a_changed_byte_does_not_answer(bundle: Path, tmp_path: Path, capsys) -> None:
    damaged = copy_of(bundle, tmp_path)
    model = damaged / "model.onnx"
    with model.open("r+b") as file:
        file.seek(model.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    for command in (["verify", str(damaged)], ["predict", str(damaged), str(bundle / "golden.jsonl")]):
        assert main(command) == 2
        assert "model.onnx" in capsys.readouterr().err


def test_a_bundle_of_a_newer_format_asks_for_a_newer_trimtab(bundle: Path, tmp_path: Path, capsys) -> None:
    newer = copy_of(bundle, tmp_path)
    values = json.loads((newer / "manifest.json").read_text())
    (newer / "manifest.json").write_text(json.dumps({**values, "format_version": 99}))
    assert main(["inspect", str(newer)]) == 2
    assert "newer" in capsys.readouterr().err


def test_an_unknown_command_names_the_nearest(capsys) -> None:
    assert main(["lanch"]) == 2
    assert "did you mean 'launch'" in capsys.readouterr().err
