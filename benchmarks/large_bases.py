"""Memory of large bases: `python -m benchmarks.large_bases --data trec6.csv --results out`.

A language model as a base, taught by LoRA to name the class of each of some rows: the highest resident memory of a
process that only makes the network (`made`: Python and its libraries, and what the network adds at its highest), and
of a whole `trimtab launch` (the largest of its processes, which is what `/usr/bin/time -v` tells).
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from trimtab import spec as specs
from trimtab.audit.cost import machine
from trimtab.pipeline import training
from trimtab.progress import Quiet
from trimtab.request import check

SEED = 7
_MADE = "--only-made"


def main() -> None:
    """Measure what is asked for, and write it down."""
    asked = _arguments()
    asked.results.mkdir(parents=True, exist_ok=True)
    spec = asked.results / "trimtab.yaml"
    if asked.only_made:
        print(json.dumps(made(spec, asked.results)))
        return
    rows = asked.results / "questions.csv"
    _write(rows, _some(asked.data, asked.rows))
    train = {"method": "lora", "epochs": asked.epochs, **dict(one.split("=", 1) for one in asked.train)}
    told = {"data": rows.name, "base": asked.base, "inputs": {"text": "text"}, "output": {"label": "label"}}
    spec.write_text(yaml.safe_dump({**told, "gates": {}, "compress": "none", "train": train}), encoding="utf-8")
    found: dict[str, Any] = {"machine": machine(), "rows": asked.rows, "train": train}
    again = [sys.executable, "-m", "benchmarks.large_bases", *sys.argv[1:], _MADE]
    found["made"] = json.loads(subprocess.run(again, check=True, capture_output=True, text=True).stdout)
    if not asked.no_launch:
        found["launch"] = launched(spec, asked.results)
    text = json.dumps(found, indent=1)
    (asked.results / "large_bases.json").write_text(text, encoding="utf-8")
    print(text)


def made(spec: Path, folder: Path) -> dict[str, Any]:
    """MB of this process before the network is made, at its highest while it is, and seconds."""
    request = check(specs.read(spec, ()), spec.parent, folder / "made", Quiet())
    before, begun = _resident(), time.perf_counter()
    network = training.build(request)
    seconds = time.perf_counter() - begun
    weights = sum(one.numel() for one in network.parameters())
    after, highest = _resident(), _highest(resource.RUSAGE_SELF)
    return {"before_mb": before, "after_mb": after, "highest_mb": highest, "weights": weights, "seconds": seconds}


def launched(spec: Path, folder: Path) -> dict[str, Any]:
    """MB of the largest process of a launch, its seconds, and how well it answers."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "trimtab", "launch", str(spec), "--runs", str(folder / "runs")]
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    (folder / "launch.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    manifests = sorted((folder / "runs").glob("*/bundle/manifest.json"))
    measured = json.loads(manifests[0].read_text(encoding="utf-8"))["measured"] if manifests else {}
    return {
        "code": done.returncode,
        "highest_mb": _highest(resource.RUSAGE_CHILDREN),
        "seconds": seconds,
        "accuracy": measured.get("accuracy"),
    }


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _highest(who: int) -> float:
    return resource.getrusage(who).ru_maxrss * 1024 / 1e6


def _some(data: Path, count: int) -> list[dict[str, str]]:
    with data.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return random.Random(SEED).sample(rows, count)


def _write(target: Path, rows: Iterable[dict[str, str]]) -> None:
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "label"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="trec6.csv: text, label")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--train", nargs="*", default=[], metavar="KEY=VALUE", help="more of the spec's `train`")
    parser.add_argument("--no-launch", action="store_true", help="only make the network")
    parser.add_argument(_MADE, action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
