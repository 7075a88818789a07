"""A bundle of product reviews learns 500 sentences of another kind: what that gains, beside a launch on all rows.

    python benchmarks/adapt.py FOLDER

FOLDER holds reviews.csv, reviews_held.csv, new.csv and new_held.csv with the columns text and label. Printed are the
accuracies of the bundle, of the adapted one and of one that was trained anew on reviews.csv and new.csv, on rows that
none of them has seen, and how long each took; of that the training alone, too.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import trimtab
from trimtab import runtime
from trimtab.audit import cost
from trimtab.pipeline import Release
from trimtab.pipeline.adapting import adapt


def main() -> None:
    """Make the three bundles and print what each is worth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundle", type=Path, help="of reviews.csv, where it is there already")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="of the launch on all rows")
    asked = parser.parse_args()
    folder: Path = asked.folder
    spec = {"data": str(folder / "reviews.csv"), "output": "label", "name": "reviews"}
    bundle = asked.bundle or trimtab.launch(spec, runs=folder / "runs").folder
    adapted, seconds = _timed(lambda: adapt(bundle, folder / "new.csv", to=folder / "runs" / "adapted"))
    print(f"adapted in {seconds:.0f} s", flush=True)
    full, full_seconds = _timed(lambda: trimtab.launch(_with_new(spec, folder), asked.settings, folder / "runs"))
    held = {name: _read(folder / f"{name}_held.csv") for name in ("reviews", "new")}
    found = {
        name: {part: _accuracy(place, rows) for part, rows in held.items()}
        for name, place in (("before", bundle), ("adapted", adapted.folder), ("trained anew", full.folder))
    }
    print(f"machine: {cost.machine()}")
    for name, own in found.items():
        told = ", ".join(f"{part} {value:.3f} ({len(held[part])} rows)" for part, value in own.items())
        print(f"{name}: {told}")
    gains = [found[name]["new"] - found["before"]["new"] for name in ("adapted", "trained anew")]
    print(f"gain on new rows: {gains[0]:+.3f}, {gains[0] / gains[1]:.0%} of what training anew gains ({gains[1]:+.3f})")
    print(f"reviews: {found['adapted']['reviews'] - found['before']['reviews']:+.3f}")
    learnt, trained = _stage(adapted, "adapt"), _stage(full, "train")
    print(f"seconds: adapt {seconds:.0f} (learning {learnt:.0f}), anew {full_seconds:.0f} (training {trained:.0f})")
    print(f"  share of the whole {seconds / full_seconds:.0%}, of the learning {learnt / trained:.0%}")
    print(f"released: {adapted.released} {'; '.join(adapted.manifest.why)}")


def _with_new(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {**spec, "data": [spec["data"], str(folder / "new.csv")], "name": "anew"}


def _timed(make: Any) -> tuple[Release, float]:
    begun = time.perf_counter()
    return make(), time.perf_counter() - begun


def _stage(release: Release, name: str) -> float:
    """Wall seconds of a stage; of training those of its steps and what lies between them."""
    return next(stage.seconds for stage in release.manifest.stages if stage.name == name)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _accuracy(bundle: Path, rows: list[dict[str, str]]) -> float:
    answers = runtime.load(bundle).predict([{"text": row["text"]} for row in rows]).answers["label"]
    return sum(answer == row["label"] for answer, row in zip(answers, rows, strict=True)) / len(rows)


if __name__ == "__main__":
    main()
