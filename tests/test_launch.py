"""Promises of the whole way: from a file of real text to a released bundle."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from places import BLOCK, Place, place

import trimtab
from trimtab.__main__ import main
from trimtab.bundle import store

HEAVY = ["torch", "transformers", "accelerate", "peft", "pandas", "polars", "sklearn", "scipy", "matplotlib", "onnx"]


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
    assert round(manifest.measured["size"].value * 1e6) == store.serving_bytes(bundle)
    assert manifest.evidence["differs"] <= 1e-4
    assert {"confusion", "curves", "reliability", "hardest", "baselines", "history"} <= set(manifest.evidence)
    assert "<html" in (bundle / "card.html").read_text(encoding="utf-8")
    assert len((bundle / "golden.jsonl").read_text(encoding="utf-8").splitlines()) == 8
    assert not list(bundle.rglob("*.pkl")) + list(bundle.rglob("*.pt")) + list(bundle.rglob("*.bin"))


def test_the_network_is_worth_more_than_the_majority(bundle: Path) -> None:
    manifest = store.read_manifest(bundle)
    baseline = manifest.evidence["baselines"]
    assert manifest.measured["accuracy"].value > baseline["majority"]["accuracy"]["value"]


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


def test_explain_needs_nothing_but_the_core_and_gradients_say_that_they_do(bundle: Path, capsys) -> None:
    code = BLOCK.format(names=HEAVY) + "from trimtab.__main__ import main; sys.exit(main(sys.argv[1:]))"
    call = {"input": "review\nthis camera is wonderful\n", "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", code, "explain", str(bundle), "-", "--json"], **call)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [unit["label"] for unit in told["units"]] == ["this", "camera", "is", "wonderful"]
    refused = [sys.executable, "-c", code, "explain", str(bundle), "-", "--method", "gradients"]
    done = subprocess.run(refused, **call)
    assert done.returncode == 2
    assert "pip install 'trimtab[train]'" in done.stderr
    rows = bundle.parent / "one.csv"
    rows.write_text(call["input"])
    assert main(["explain", str(bundle), str(rows), "--json", "--method", "gradients"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert abs(found["delta"]) < 0.05 * sum(abs(unit["contribution"]) for unit in found["units"])
    assert store.read_manifest(bundle).evidence["explanation"]["scale"] == "log-odds"


def test_the_same_launch_again_has_nothing_to_do(launched: Place, bundle: Path, capsys) -> None:
    before = (bundle / "manifest.json").stat().st_mtime_ns
    assert launched.launch("--json") == 0
    assert json.loads(capsys.readouterr().out)["released"] is True
    assert (bundle / "manifest.json").stat().st_mtime_ns == before


def test_a_missed_gate_keeps_the_bundle_unreleased_with_exit_code_1(tmp_path: Path, capsys) -> None:
    rows = [{"height": 150 + row * 7 % 40, "group": "ab"[row * 5 % 3 % 2]} for row in range(120)]
    gates = {"accuracy": ">= 0.9999", "robustness.missing_number": ">= 0.1"}
    made = place(tmp_path, rows, output="group", train={"epochs": 1}, gates=gates)
    assert made.launch() == 1
    manifest = store.read_manifest(made.runs / "rows" / "bundle")
    assert [gate.met for gate in manifest.gates] == [False, True]
    assert manifest.measured["robustness.unit_slip"].low is not None
    assert not manifest.released
    assert any("accuracy" in reason for reason in manifest.why)
    assert "not released" in capsys.readouterr().out


@pytest.mark.slow
def test_gates_that_change_do_not_train_again(launched: Place, bundle: Path) -> None:
    old = store.read_manifest(bundle)
    assert launched.launch("--set", "gates={accuracy: '>= 0.4'}") == 0
    new = store.read_manifest(bundle)
    assert [str(gate.asked) for gate in new.gates] == [">= 0.4"]
    assert new.files["model.onnx"] == old.files["model.onnx"]
    assert launched.launch() == 0


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
    values = json.loads((newer / "serving.json").read_text())
    (newer / "serving.json").write_text(json.dumps({**values, "format_version": 99}))
    assert main(["inspect", str(newer)]) == 2
    assert "newer" in capsys.readouterr().err
