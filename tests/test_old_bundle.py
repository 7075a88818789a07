"""A bundle of format 1 as it was first written: it answers, and can be measured and compressed, from then on.

`fixtures/format-1` was made at commit b6f7d1a: `trimtab launch` on points.csv with `output: side`, `fusion: mean` and
`train: {epochs: 6}`, without the cards; answers.jsonl is what `predict` answered to new.csv.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import trimtab
from trimtab import registry
from trimtab import spec as specs
from trimtab.__main__ import main
from trimtab.bundle import store
from trimtab.data.prepare import prepare
from trimtab.page import Text
from trimtab.progress import Quiet
from trimtab.report import facts

SPEC = {"data": "points.csv", "output": "side", "fusion": "mean"}
HERE = Path(__file__).parent / "fixtures" / "format-1"


def test_an_old_bundle_answers_as_it_did(tmp_path: Path) -> None:
    answered = tmp_path / "answers.jsonl"
    assert main(["predict", str(HERE / "bundle"), str(HERE / "new.csv"), "--output", str(answered)]) == 0
    now, then = (
        [json.loads(line) for line in path.read_text().splitlines()] for path in (answered, HERE / "answers.jsonl")
    )
    assert [row["side"] for row in now] == [row["side"] for row in then]
    assert [row["confidence"] for row in now] == pytest.approx([row["confidence"] for row in then], abs=1e-3)


def test_an_old_bundle_can_be_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(HERE / "bundle"), str(HERE / "points.csv"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == 80
    assert told["metrics"]["accuracy"]["value"] >= 0.85


def test_the_card_of_an_old_bundle_is_made_of_its_manifest_alone() -> None:
    page = facts.page(HERE / "bundle", store.read_manifest(HERE / "bundle"))
    shown = {section.title: section.blocks for section in page.sections}
    for title in ("What the large model is worth", "Quality", "Cost", "Data"):
        assert shown[title], title
    worth = shown["What the large model is worth"][0]
    assert isinstance(worth, Text)
    assert worth.text.startswith("The network is not better than gradient-boosted trees (1.000)")


@pytest.mark.slow
def test_an_old_bundle_can_be_compressed(tmp_path: Path) -> None:
    bundle, folder = str(HERE / "bundle"), str(HERE)
    made = ["--folder", folder, "--to", str(tmp_path), "-q", "--set", "compress.quantize=int8"]
    assert main(["compress", bundle, *made]) == 0
    old, new = store.read_manifest(HERE / "bundle"), store.read_manifest(tmp_path / "bundle")
    assert new.evidence["frontier"]["chosen"] == "trimmed+int8"
    assert new.inputs == old.inputs
    parts = {stage.name: stage.detail["seconds"] for stage in new.stages if "seconds" in stage.detail}
    assert set(parts) == {"export", "audit"}
    assert set(parts["audit"]) == {*registry.names("trimtab.checks"), "evidence, plots", "baseline of drift"}
    assert round(new.measured["size"].value * 1e6) == store.serving_bytes(tmp_path / "bundle")
    assert trimtab.load(tmp_path / "bundle").predict([{"x": "2", "y": "1", "colour": "red"}])[0]["side"] == "right"
    valid = prepare(specs.parse(SPEC), HERE, Quiet()).splits.valid
    outputs = trimtab.load(tmp_path / "bundle").outputs(valid.values)
    with np.load(tmp_path / "bundle" / "reference.npz") as kept:  # of the network that is served, not of the one before
        assert np.allclose(kept["outputs.quantiles"], np.quantile(outputs, np.linspace(0, 1, 101), axis=0), atol=1e-5)
