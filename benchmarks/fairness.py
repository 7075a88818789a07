"""Groups of people on a table such as adult: gaps beside fairlearn's of the same answers, and what mitigation is worth.

`python -m benchmarks.fairness --data adult.csv` launches the same rows without mitigation, with cuts by group, with the
protected column kept out of the network, and with weighed rows. All figures are of the same test rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import environments
from trimtab import runtime
from trimtab.audit.cost import machine
from trimtab.columns import dense
from trimtab.pipeline import Release, launch

SEED = 7
SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}
GAPS = ("equalized_odds_gap", "demographic_parity_gap")
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "thresholds": {"fairness": {"mitigate": "thresholds"}},
    "kept out": {"kept": True},
    "kept out, thresholds": {"kept": True, "fairness": {"mitigate": "thresholds"}},
    "reweighing": {"fairness": {"mitigate": "reweighing"}},
}


def main() -> None:
    """Launch each variant, and print its figures as JSON lines."""
    asked = _arguments()
    work = asked.results.resolve() / "fairness"
    work.mkdir(parents=True, exist_ok=True)
    counts = write_rows(asked.data, work / "rows.csv", asked.rows)
    _print({"rows": counts, "machine": machine()})
    rival = asked.fairlearn or environments.python("fairlearn")
    for name, variant in VARIANTS.items():
        if name not in (asked.only or VARIANTS):
            continue
        release = launch(spec(asked, work, variant), runs=work / "runs")
        _print({"variant": name, **measured(release, asked.protected), **_by_fairlearn(release, asked, work, rival)})


def spec(asked: argparse.Namespace, work: Path, variant: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a variant. Launches whose networks read the same share a run's folder: nothing is trained twice."""
    kept = bool(variant.get("kept"))
    return {
        "data": str(work / "rows.csv"),
        "output": asked.output,
        "inputs": dict.fromkeys(asked.ignore, "ignore"),
        "split": "split",
        "protected": [asked.protected],
        "keep": [asked.protected] if kept else [],
        "fairness": variant.get("fairness", {}),
        "train": {"epochs": asked.epochs},
        "name": "kept-out" if kept else "read",
        "seed": SEED,
    }


def measured(release: Release, protected: str) -> dict[str, Any]:
    """Accuracy and gaps with their intervals; before and after, where groups have cuts of their own."""
    names = ["accuracy", *(f"fairness.{gap}({protected})" for gap in GAPS)]
    found = {name: release.manifest.measured[name].model_dump(include={"value", "low", "high"}) for name in names}
    evidence = release.manifest.evidence
    return {"measured": found, "before_and_after": evidence.get("mitigated"), "mitigation": evidence.get("mitigation")}


def _by_fairlearn(release: Release, asked: argparse.Namespace, work: Path, rival: Path) -> dict[str, Any]:
    """fairlearn's figures of the very answers of the bundle."""
    write_answers(release.folder, work / "rows.csv", asked, work / "answers.csv")
    command = [str(rival), "-m", "benchmarks.rivals.fairness", str(work / "answers.csv"), str(SEED)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=environments.ROOT)
    return {"fairlearn": json.loads(done.stdout.splitlines()[-1])}


def write_answers(bundle: Path, rows: Path, asked: argparse.Namespace, target: Path) -> None:
    """The validation and test rows with their group, what is right, what is answered, and the score without shifts."""
    model = runtime.load(bundle)
    plain = model.unmitigated or model
    held = [row for row in _rows(rows) if row["split"] != "train"]
    values = {column.name: [row[column.name] for row in held] for column in model.inputs}
    margins = [dense(one.outputs(values)) @ [-1.0, 1.0] for one in (model, plain)]
    with target.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["part", "group", "true", "answer", "score"])
        for row, margin, score in zip(held, *margins, strict=True):
            true = row[asked.output] == model.output.classes[1]
            table.writerow([row["split"], row[asked.protected], int(true), int(margin > 0), score])


def write_rows(source: Path, target: Path, most: int | None) -> dict[str, int]:
    """Different rows of a table, at most so many, in random order with their split; returns the rows of each split."""
    rows = [dict(one) for one in {tuple(row.items()) for row in _rows(source)}]
    rows.sort(key=lambda row: tuple(row.values()))
    random.Random(SEED).shuffle(rows)
    rows = rows[:most]
    ends = {"train": SHARES["train"], "valid": SHARES["train"] + SHARES["valid"], "test": 1.0}
    splits = [next(name for name, end in ends.items() if place < end * len(rows)) for place in range(len(rows))]
    with target.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [*rows[0], "split"])
        table.writeheader()
        table.writerows({**row, "split": split} for row, split in zip(rows, splits, strict=True))
    return {name: splits.count(name) for name in SHARES}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a csv, such as adult")
    parser.add_argument("--output", default="label", help="the column to predict, of two classes")
    parser.add_argument("--protected", default="sex", help="the column of the groups")
    parser.add_argument("--ignore", nargs="*", default=["fnlwgt"], help="columns that are not read")
    parser.add_argument("--rows", type=int, help="at most so many rows; default: all")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), help="some variants; default: all")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--fairlearn", type=Path, help="a Python that has fairlearn; default: one of our environments")
    return parser.parse_args()


def _print(found: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
