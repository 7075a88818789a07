"""How far estimates of `trimtab plan` lie from what launches then take: five launches of different kinds.

    python -m benchmarks.plan --texts questions.csv --table income.csv --pictures digits.npz

`--texts` is a csv with the columns text and label, `--table` one of any columns whose last one is the answer, and
`--pictures` holds `images` and `labels`. Each launch is planned in a process of its own, then carried out in another;
what a launch used is what its manifest says. Time is that of the launch, without Python's start and imports.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measure import cores

TIME, MEMORY = 0.25, 0.20  # how far an estimate may lie off


@dataclass(frozen=True)
class Kind:
    """A launch: its rows, and what its spec says beside them."""

    rows: int
    of: str  # texts, table or pictures
    spec: Mapping[str, Any]


KINDS = {
    "text, all weights": Kind(700, "texts", {"train": {"epochs": 1}}),
    "text, LoRA": Kind(600, "texts", {"train": {"epochs": 1, "method": "lora"}}),
    "text from scratch": Kind(
        1500, "texts", {"inputs": {"text": {"type": "text", "encoder": "textcnn"}}, "train": {"epochs": 6}}
    ),
    "pictures": Kind(800, "pictures", {"train": {"epochs": 6}}),
    "table": Kind(4000, "table", {"train": {"epochs": 6}}),
}


def main() -> int:
    """Measure, print a table; the exit code is 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--results", type=Path, help="a file that results are added to, as lines of JSON")
    asked = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as place:
        for name in asked.only:
            found[name] = measured(KINDS[name], getattr(asked, KINDS[name].of), Path(place) / name.replace(" ", "-"))
            if asked.results:
                with asked.results.open("a") as file:
                    file.write(json.dumps({"kind": name, **found[name]}) + "\n")
    print("\n".join(markdown(found)))
    return int(
        any(off(one, key) > most for one in found.values() for key, most in (("total", TIME), ("memory", MEMORY)))
    )


def measured(kind: Kind, source: Path, folder: Path) -> dict[str, Any]:
    """Plan a launch, carry it out, and give what its manifest says of both, with the seconds that the plan took."""
    folder.mkdir(parents=True)
    data, output = _WRITERS[kind.of](source, kind.rows, folder)
    (folder / "spec.yaml").write_text(json.dumps({"data": data, "output": output, "name": "run", **kind.spec}))
    begun = time.perf_counter()
    _trimtab("plan", folder)
    planned = time.perf_counter() - begun
    _trimtab("launch", folder)
    manifest = json.loads((folder / "runs" / "run" / "bundle" / "manifest.json").read_text(encoding="utf-8"))
    return {**manifest["evidence"]["launch"], "planned": planned, "cpu": manifest["machine"]["cpu"]}


def _trimtab(command: str, folder: Path) -> None:
    spec, runs = str(folder / "spec.yaml"), str(folder / "runs")
    done = subprocess.run([sys.executable, "-m", "trimtab", command, spec, "--runs", runs, "-q"], check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"trimtab {command} ended with {done.returncode}")


def off(found: Mapping[str, Any], key: str) -> float:
    """How far an estimate lies from what was used, as a part of that."""
    return abs(float(found["estimated"][key]) / float(found["used"][key]) - 1)


def markdown(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each launch."""
    cpu = next(iter(found.values()))["cpu"]
    yield f"{cpu}, {cores()} cores; time within {TIME:.0%} and memory within {MEMORY:.0%} are asked"
    yield ""
    yield "| launch | estimated | used | off | memory | used | off | processors | used | off | the plan took |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for name, one in found.items():
        said, used = one["estimated"], one["used"]
        yield (
            f"| {name} | {said['total']:.1f} s | {used['total']:.1f} s | {said['total'] / used['total'] - 1:+.0%} "
            f"| {said['memory'] / 1e6:,.0f} MB | {used['memory'] / 1e6:,.0f} MB "
            f"| {said['memory'] / used['memory'] - 1:+.0%} | {said['processor']:.1f} s | {used['processor']:.1f} s "
            f"| {said['processor'] / used['processor'] - 1:+.0%} | {one['planned']:.0f} s |"
        )
    yield ""
    yield "| launch | " + " | ".join(next(iter(found.values()))["used"]["seconds"]) + " |"
    yield "|---" * (1 + len(next(iter(found.values()))["used"]["seconds"])) + "|"
    for name, one in found.items():
        pairs = [(one["estimated"]["seconds"].get(stage, 0), taken) for stage, taken in one["used"]["seconds"].items()]
        yield f"| {name} | " + " | ".join(f"{said:.1f} / {taken:.1f} s" for said, taken in pairs) + " |"


# ----------------------------------------------------------------------------------------------------------- rows


def _texts(source: Path, count: int, folder: Path) -> tuple[str, str]:
    with source.open(newline="", encoding="utf-8") as file:
        rows = [{"text": row["text"], "label": row["label"]} for row in csv.DictReader(file)]
    picked = np.random.default_rng(1).permutation(len(rows))[:count]
    _write(folder / "rows.csv", ["text", "label"], [list(rows[row].values()) for row in picked.tolist()])
    return "rows.csv", "label"


def _table(source: Path, count: int, folder: Path) -> tuple[str, str]:
    with source.open(newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file))
    picked = np.random.default_rng(1).permutation(len(rows))[:count]
    _write(folder / "rows.csv", head, [rows[row] for row in picked.tolist()])
    return "rows.csv", head[-1]


def _pictures(source: Path, count: int, folder: Path) -> tuple[str, str]:
    held = np.load(source)
    for row in np.random.default_rng(1).permutation(len(held["labels"]))[:count].tolist():
        target = folder / "pictures" / str(held["labels"][row]) / f"{row}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(held["images"][row].astype(np.uint8)).save(target)
    return "pictures/", "label"


def _write(target: Path, head: list[str], rows: list[list[str]]) -> None:
    with target.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])


_WRITERS = {"texts": _texts, "table": _table, "pictures": _pictures}


if __name__ == "__main__":
    sys.exit(main())
