"""A new modality is one column file and one encoder file, a new kind of answer one column file and one head file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits

from trimtab import checks, columns, launch, metrics, runtime
from trimtab.compress import distil
from trimtab.data import infer
from trimtab.nets.network import head_kind
from trimtab.nets.states import answer
from trimtab.request import encoder_plan

PARTS = Path(__file__).parent.parent / "examples" / "own-parts"


@pytest.fixture(autouse=True)
def own_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's files are found beside Trimtab's own, by every process of a launch."""
    monkeypatch.setenv("TRIMTAB_PARTS", str(PARTS))


def test_the_example_is_two_files_for_a_modality_and_two_for_an_answer() -> None:
    touched = sorted(path.relative_to(PARTS).as_posix() for path in PARTS.rglob("*.py"))
    assert touched == ["columns/count.py", "columns/series.py", "encoders/series.py", "heads/count.py"]


@pytest.mark.slow
def test_a_new_modality_goes_the_whole_way_with_two_files(tmp_path: Path) -> None:
    digits = load_digits()
    rows = [
        {"curve": pixels[: 64 - index % 3].tolist(), "digit": int(digit)}  # of three lengths
        for index, (pixels, digit) in enumerate(zip(digits.data[:500], digits.target[:500], strict=True))
    ]
    (tmp_path / "curves.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {
        "data": str(tmp_path / "curves.jsonl"),
        "inputs": {"curve": "series"},
        "output": {"digit": "label"},
        "fusion": "attention",
        "train": {"epochs": 6, "learning_rate": 0.005},
        "gates": {"accuracy": ">= 0.25"},
    }
    release = launch(spec, runs=tmp_path / "runs")
    assert release.released, release.manifest.why
    model = runtime.load(release.folder)
    assert len(model.predict([{"curve": rows[0]["curve"]}, {"curve": "nothing"}]).rows()) == 2


def test_a_new_kind_of_answer_goes_the_whole_way_with_two_files(tmp_path: Path) -> None:
    found = load_diabetes(scaled=False)
    header = [*found.feature_names, "progression"]
    lines = [[*map(float, cells), int(answer)] for cells, answer in zip(found.data, found.target, strict=True)]
    (tmp_path / "patients.csv").write_text("\n".join(",".join(map(str, line)) for line in [header, *lines]))
    spec = {
        "data": str(tmp_path / "patients.csv"),
        "output": {"progression": "count"},
        "split": {"valid": 0.15, "test": 0.35},
        "train": {"epochs": 30},
        "gates": {"r2": ">= 0.2", "mae": "<= 70"},
    }
    release = launch(spec, runs=tmp_path / "runs")
    assert release.released, release.manifest.why
    assert set(release.manifest.evidence["baselines"]) == {"mean", "ridge regression", "gradient-boosted trees"}
    assert {"scatter", "residuals", "hardest"} <= set(release.manifest.evidence)
    card = (release.folder / "card.md").read_text()
    assert "ridge regression" in card
    assert "Residuals" in card
    assert "The test rows with the largest errors." in card
    assert all(count >= 0 for count in runtime.load(release.folder).predict([{"bmi": 30.0}]).answers["progression"])


def own_check(folder: Path) -> None:
    """A check of one's own, and the metric that a gate may ask of it."""
    (folder / "checks").mkdir()
    (folder / "checks" / "answers.py").write_text(
        "from trimtab.bundle.manifest import Measured\n"
        "from trimtab.checks import Finding\n"
        "from trimtab.page import Section, Table, Text\n"
        "def check(context):\n"
        "    given = context.output.decode(context.outputs)[context.output.name]\n"
        "    mean = sum(given) / len(given)\n"
        "    evidence = {'answers': {'least': min(given), 'rows': len(given)}}\n"
        "    return Finding({'mean_answer': Measured(value=mean)}, evidence)\n"
        "def sections(manifest):\n"
        "    rows = str(manifest.evidence['answers']['rows'])\n"
        "    yield Section('Answers as they are', (Text('To the test rows.'), Table(('rows',), ((rows,),))))\n"
        "def limits(manifest):\n"
        "    yield 'Whether anybody believes the answers.'\n"
    )
    (folder / "metrics").mkdir()
    (folder / "metrics" / "means.py").write_text(
        "from trimtab.metrics import Metric\n"
        "METRICS = (Metric('mean_answer', 'Mean answer', 'mean of all answers', 'higher', checked=True),)\n"
    )


@pytest.mark.slow
def test_an_answer_whose_first_metric_is_an_error_goes_the_whole_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns.kind("count", "output"), "headline", "rmse")
    monkeypatch.setattr(columns.kind("count", "output"), "baselines", None)
    for room in (checks, metrics):
        monkeypatch.setattr(room, "__path__", list(room.__path__))  # other tests do not find what is added
    own_check(tmp_path)
    monkeypatch.setenv("TRIMTAB_PARTS", f"{PARTS}{os.pathsep}{tmp_path}")
    found = load_diabetes(scaled=False)
    lines = [[*map(float, cells[:3]), int(answer)] for cells, answer in zip(found.data, found.target, strict=True)]
    (tmp_path / "patients.csv").write_text(
        "\n".join(",".join(map(str, line)) for line in [["age", "sex", "bmi", "progression"], *lines[:150]])
    )
    spec = {
        "data": str(tmp_path / "patients.csv"),
        "output": {"progression": "count"},
        "train": {"epochs": 4},
        "compress": {"quantize": "int8"},
        "gates": {"drop": "<= 20 %", "rmse": "<= 1000", "mean_answer": ">= 1"},
    }
    release = launch(spec, runs=tmp_path / "runs")
    assert release.released, release.manifest.why
    assert release.manifest.headline == "rmse"
    card = (release.folder / "card.md").read_text()
    assert release.manifest.evidence["baselines"] == {}
    assert "Outputs of the type count have no baseline" in card
    assert release.manifest.evidence["answers"]["least"] <= release.manifest.measured["mean_answer"].value
    assert card.index("## Cost") < card.index("## Answers as they are") < card.index("## Compression")
    assert "Whether anybody believes the answers." in card
    assert "Mean answer" in card
    assert release.manifest.measured["drop"].value <= 0.2
    history = release.manifest.evidence["history"]
    chosen = next(stage.detail["best"] for stage in release.manifest.stages if stage.name == "train")
    assert -chosen == pytest.approx(min(entry["score"] for entry in history))  # the least error is the best


def test_a_head_without_a_loss_against_a_teacher_is_not_distilled_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = columns.fit("count", "visits", "visits", ["1", "4"], {})
    loss = distil.against_a_teacher(output)
    assert loss is not None
    rates = torch.tensor([[0.3], [-1.0]])
    assert loss(answer(rates), answer(rates)).abs().max() < 1e-6
    assert loss(answer(rates), answer(rates + 0.5)).min() > 0.01
    monkeypatch.delattr(head_kind("count", "head"), "distillation_loss")
    assert distil.against_a_teacher(output) is None


def own_wave(folder: Path) -> None:
    """The example's series as a sequence of frames, of one number each, that says itself which values are its own."""
    (folder / "columns").mkdir()
    text = (PARTS / "columns" / "series.py").read_text().replace("SeriesColumn", "WaveColumn")
    text = text.replace('"series"', '"wave"').replace('(("values", "mask"),)', '(("frames", "mask"),)')
    text = text.replace('_values": values,', '_frames": values[..., None],')
    says = (
        "    sequence: ClassVar[str] = 'frames'\n"
        "    step_size: ClassVar[int] = 1\n"
        "    longest: ClassVar[int] = 64\n"
        "    @classmethod\n"
        "    def encoder_for(cls, values):\n"
        "        return 'gru', 'waves have no encoder of their own'\n"
        "    @classmethod\n"
        "    def recognised(cls, values):\n"
        "        return 'lists of 9 numbers' if all(len(_numbers(value)) == 9 for value in values) else None\n"
    )
    (folder / "columns" / "wave.py").write_text(text.replace("    name: str\n", says + "    name: str\n", 1))


@pytest.mark.slow
def test_a_sequence_of_ones_own_is_told_by_its_values_and_read_by_the_encoders_of_sequences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_wave(tmp_path)
    monkeypatch.setattr(columns, "__path__", list(columns.__path__))  # other tests do not find it
    monkeypatch.setenv("TRIMTAB_PARTS", str(tmp_path))
    assert {"gru", "transformer", "lstm"} <= set(encoder_plan.reading("wave"))
    assert "conformer" not in encoder_plan.reading("wave")
    values = [(np.sin(np.arange(9) * (1 + row % 2)) + row / 999).tolist() for row in range(60)]
    assert infer.input_type("curve", values).reason == "lists of 9 numbers"
    assert infer.input_type("curve", [value[1:] for value in values]).type == "ignore"
    rows = [{"curve": value, "pace": ("slow", "fast")[row % 2]} for row, value in enumerate(values)]
    (tmp_path / "waves.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {"data": str(tmp_path / "waves.jsonl"), "output": "pace", "train": {"epochs": 1}}
    release = launch(spec, runs=tmp_path / "runs")
    assert [column.type for column in release.manifest.inputs] == ["wave"]
    chosen = {choice.key: (choice.value, choice.reason) for choice in release.manifest.automatic}
    assert chosen["inputs.curve.encoder"] == ("gru", "waves have no encoder of their own")


def test_a_part_may_be_called_like_a_function_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "columns").mkdir()
    text = (PARTS / "columns" / "count.py").read_text().replace("CountColumn", "KeysColumn")
    (tmp_path / "columns" / "keys.py").write_text(text.replace('"count"', '"keys"'))
    monkeypatch.setattr(columns, "__path__", list(columns.__path__))  # other tests do not find it
    monkeypatch.setenv("TRIMTAB_PARTS", str(tmp_path))
    assert columns.kind("keys", "output").type == "keys"
    assert columns.keys(["a b"]) == {"a b": "a_b"}
