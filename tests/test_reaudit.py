"""`trimtab audit` and `trimtab compare`: a bundle that is made, measured on other rows, without what training needs."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import ROWS, build

from trimtab import runtime
from trimtab.bundle import reference, store
from trimtab.columns import encode_rows
from trimtab.data import dedup
from trimtab.data.table import Origin, Table
from trimtab.errors import TrimtabError
from trimtab.reaudit import auditing, comparing
from trimtab.reaudit.comparing import mcnemar

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "transformers", "sklearn", "scipy", "polars", "pandas", "matplotlib", "onnx", "peft", "safetensors")
# Runs the command line in a process that has none of the packages of training.
CORE = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError("not installed", name=name)
sys.meta_path.insert(0, Absent())
from trimtab.__main__ import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("reaudit"))


def labelled(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def right(bundle: Path, copies: int = 40) -> list[dict[str, str]]:
    """Rows whose label is what the bundle answers."""
    answers = runtime.load(bundle).predict(ROWS).answers["mood"]
    rows = [{**row, "mood": answer} for row, answer in zip(ROWS, answers, strict=True)]
    return [{**row, "review": f"{row['review']} {number}"} for number in range(copies) for row in rows]


def core(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CORE, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, encoding="utf-8"
    )


def test_an_audit_needs_nothing_of_training_and_writes_a_card_beside_the_bundle(bundle: Path, tmp_path: Path) -> None:
    rows = [*right(bundle), {**ROWS[0], "mood": "furious"}]
    data, before = labelled(tmp_path / "march.csv", rows), store.read_manifest(bundle)
    asked = ["--set", "gates.accuracy=>= 0.99", "--set", "gates.size=<= 1 kB", "--json", "-q"]
    done = core(tmp_path, "audit", bundle, data, *asked, "--to", tmp_path / "card")
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert {gate["name"]: gate["met"] for gate in said["gates"]} == {"accuracy": True, "size": False}
    assert said["why"][0].startswith("size: asked <= 0.001 MB")
    assert (said["rows"]["rows"], sum(said["rows"]["set aside"].values())) == (240, 1)
    assert "robustness.typos" in said["measured"]
    page = (tmp_path / "card" / "card.html").read_text(encoding="utf-8")
    assert "Failed" in page
    assert "240 rows of" in page
    kept = json.loads((tmp_path / "card" / "audit.json").read_text(encoding="utf-8"))
    assert kept["passed"] is False
    assert kept["bundle"] == before.hash
    assert store.read_manifest(bundle) == before


def test_a_row_without_an_answer_is_set_aside_but_is_no_class_that_was_never_learnt(
    bundle: Path, tmp_path: Path
) -> None:
    rows = [*right(bundle, 2), {**ROWS[0], "mood": ""}, {**ROWS[0], "mood": "furious"}]
    found = auditing.labelled.read(runtime.load(bundle), str(labelled(tmp_path / "rows.csv", rows)), print)
    assert (found.aside.count, found.unknown) == (2, 1)


def test_rows_that_the_bundle_was_made_of_are_left_out(tmp_path: Path) -> None:
    bundle, rows = build(tmp_path), ROWS * 3
    made = Table({name: [row[name] for row in ROWS[:2]] for name in ROWS[0]}, [Origin("", 1)] * 2)
    model = runtime.load(bundle)
    kinds = {column.name: column.type for column in model.inputs}
    seen = {"train": dedup.fingerprints(made, kinds), "valid": np.zeros(0, np.uint32)}
    encoded = encode_rows(model.inputs, made.values)
    reference.write(bundle / store.REFERENCE, encoded, model.outputs(encoded), seen)
    data = labelled(tmp_path / "rows.csv", rows)
    found = auditing.audit(bundle, data, to=tmp_path / "card")
    audited = found.manifest.data["audited"]
    assert (audited["rows"], audited["left out, for the bundle was made by them"]) == (len(rows) - 6, 6)
    with pytest.raises(TrimtabError, match="made of every one of these rows"):
        auditing.audit(bundle, labelled(tmp_path / "known.csv", ROWS[:2]), to=tmp_path / "card")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["gates.acuracy=>= 0.9"], "did you mean 'accuracy'"),
        (["gates.recall.gut=>= 0.9"], "no class 'gut'"),
        (["gates.fairness.accuracy_gap=<= 0.1"], "no column is protected"),
        (["protected=gendre"], "no column named 'gendre'"),
        (["behaviour=none.yaml"], "no file none.yaml"),
        (["gates.behaviour.all=>= 0.9"], "no test 'all'"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_nearest_name(
    bundle: Path, tmp_path: Path, settings: list[str], said: str
) -> None:
    data = labelled(tmp_path / "rows.csv", ROWS)
    with pytest.raises(TrimtabError, match=said):
        auditing.audit(bundle, data, settings, tmp_path / "card")


def test_the_card_is_never_written_into_the_bundle(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match="this is the bundle itself"):
        auditing.audit(bundle, labelled(tmp_path / "rows.csv", ROWS), to=bundle)


def test_a_gate_that_only_the_bundles_own_data_answer_counts_where_it_is_asked_for(
    bundle: Path, tmp_path: Path
) -> None:
    data = labelled(tmp_path / "rows.csv", right(bundle, 5))
    asked = auditing.audit(bundle, data, ["gates.drop=<= 0.1"], tmp_path / "card")
    assert [(gate.name, gate.measured, gate.met) for gate in asked.manifest.gates] == [("drop", None, False)]
    assert "trimtab compare" in asked.manifest.gates[0].reason
    subject = auditing.opened(bundle, ["gates.drop=<= 0.1"], auditing.Quiet())
    came_with = auditing.replace(subject, here=frozenset())
    rows = auditing.labelled.read(subject.model, str(data), print)
    found = auditing.checks.Finding()
    assert auditing.results(came_with, rows, found) == []


# -------------------------------------------------------------------------------------------------------- compare


def test_a_bundle_beside_itself_differs_in_nothing(bundle: Path, tmp_path: Path) -> None:
    data = labelled(tmp_path / "rows.csv", ROWS * 10)
    found = comparing.compare(bundle, build(tmp_path), data, ["gates.drop=<= 0.01", "gates.accuracy=>= 0.1"])
    assert found.agree == 1.0
    assert found.sides == comparing.Sides(0, 0, 1.0)
    assert {one.value for one in found.gained.values()} == {0.0}
    assert not any(found.verdict(name) for name in found.gained)
    assert [gate.name for gate in found.gates[0]] == ["accuracy"]
    assert {gate.name: gate.measured for gate in found.gates[1]}["drop"] == 0.0
    assert (found.lost, found.won) == ([], [])


def test_mcnemar_is_the_chance_that_a_fair_coin_is_so_uneven() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 5) == pytest.approx(2 / 2**5)
    assert mcnemar(1, 9) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(9, 1) == mcnemar(1, 9)
    assert mcnemar(400, 600) < 1e-9
