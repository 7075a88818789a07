"""The search for a smaller network under gates that are ratios to the uncompressed one, on this machine.

`python -m benchmarks.search sst2 --data sst2.csv --prepare` trains the uncompressed network and measures what it costs,
once for all searches; the same without `--prepare` searches ten minutes and prints the share of the accuracy that is
kept. `--turn 2 --busy` searches anew, beside a process that keeps a core busy; `--compare` holds the turns against
each other.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks import rows
from benchmarks.ours import compression
from trimtab.audit.cost import machine

ROOT = Path(__file__).resolve().parent.parent
MEGABYTES = 8.0
SEED = 7
SAME = 0.005  # of accuracy, that the networks of several searches may differ by
_BUSY = "while True: pass"


class Bar(NamedTuple):
    """What must be kept under which gates: times as fast as the uncompressed network by one gate on time."""

    rows: int  # to learn from
    epochs: int
    gate: str  # latency, throughput
    times: float
    kept: float  # share of the accuracy


BARS = {
    "sst2": Bar(5454, 3, "latency", 5.0, 0.99),
    "trec6": Bar(3767, 5, "throughput", 20.0, 0.985),
    "customer_reviews": Bar(2636, 3, "throughput", 20.0, 0.985),
    "ag_news": Bar(6992, 2, "throughput", 20.0, 0.985),
}


def main() -> None:
    """Prepare, search or compare, as asked."""
    asked = _arguments()
    bar, work = BARS[asked.bar], asked.results.resolve() / f"search-{asked.bar}"
    if asked.compare:
        _print(_compared(work))
        return
    whole = _uncompressed(asked, bar, work)
    if not asked.prepare:
        result = _searched(asked, bar, work, whole)
        (work / f"turn-{asked.turn}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        _print(result)


def _uncompressed(asked: argparse.Namespace, bar: Bar, work: Path) -> dict[str, Any]:
    """What the uncompressed network is worth and costs; trained and measured once."""
    note = work / "uncompressed.json"
    if not note.is_file():
        work.mkdir(parents=True, exist_ok=True)
        rows.write(asked.data, work / "rows.csv", asked.rows or bar.rows, SEED)
        manifest = _launched(work, "uncompressed", {"compress": "none"}, asked.epochs or bar.epochs)[1]
        found = {name: one["value"] for name, one in manifest["measured"].items()}
        found["seconds"] = sum(stage["seconds"] for stage in manifest["stages"] if stage["name"] == "train")
        note.write_text(json.dumps(found) + "\n", encoding="utf-8")
    found = json.loads(note.read_text(encoding="utf-8"))
    _print({"uncompressed": found})
    return dict(found)


def _searched(asked: argparse.Namespace, bar: Bar, work: Path, whole: Mapping[str, float]) -> dict[str, Any]:
    """A launch with the gates, which finds the uncompressed network trained."""
    name = f"turn-{asked.turn}"
    home = work / "runs" / name
    if not asked.go_on:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(work / "runs" / "uncompressed" / "work" / "train", home / "work" / "train")
    gates = _gates(bar, whole)
    wish = {"compress": {"minutes": asked.minutes}, "gates": gates}
    with _busy(asked.busy):
        code, manifest = _launched(work, name, wish, asked.epochs or bar.epochs)
    told = compression.search(manifest)
    kept = told["measured"]["accuracy"] / whole["accuracy"]
    return {
        "bar": asked.bar,
        "machine": machine()["cpu"],
        "busy": asked.busy,
        "gates": gates,
        "exit_code": code,
        "kept": round(kept, 4),
        "asked": bar.kept,
        "minutes": round(told["seconds"] / 60, 1),
        **told,
    }


def _gates(bar: Bar, whole: Mapping[str, float]) -> dict[str, str]:
    """The bar in absolute figures of this machine."""
    drop = f"<= {(1 - bar.kept) * whole['accuracy']:.4f}"
    if bar.gate == "latency":
        time = f"<= {whole['latency'] / bar.times:.3g} ms"
    else:
        time = f">= {whole['throughput'] * bar.times:.4g} rows/s"
    return {"size": f"<= {MEGABYTES:g} MB", bar.gate: time, "drop": drop}


def _launched(work: Path, name: str, more: Mapping[str, Any], epochs: int) -> tuple[int, dict[str, Any]]:
    """The exit code of `trimtab launch`, and the manifest that it wrote; what it says goes to stderr."""
    spec = {
        "data": "rows.csv", "split": "split", "inputs": {"text": "text"}, "output": "label", "name": name,
        "clean": {"duplicates": "keep"}, "train": {"epochs": epochs}, "seed": SEED, **more,
    }  # fmt: skip
    (work / f"{name}.yaml").write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "trimtab", "launch", f"{name}.yaml"]
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(command, cwd=work, env=environment, stdout=sys.stderr, check=False)
    if ended.returncode not in (0, 1):
        raise SystemExit(f"trimtab launch {name}.yaml ended with {ended.returncode}")
    manifest = work / "runs" / name / "bundle" / "manifest.json"
    return ended.returncode, json.loads(manifest.read_text(encoding="utf-8"))


@contextmanager
def _busy(wanted: bool) -> Iterator[None]:
    """Beside a process that keeps one core busy."""
    if not wanted:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", _BUSY]) as process:
        try:
            yield
        finally:
            process.kill()


def _compared(work: Path) -> dict[str, Any]:
    """How far the networks of all turns lie apart on the test rows."""
    turns = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(work.glob("turn-*.json"))]
    found = [turn["measured"]["accuracy"] for turn in turns]
    apart = max(found) - min(found) if found else float("nan")
    told = [{key: turn[key] for key in ("busy", "chosen", "kept", "minutes")} for turn in turns]
    return {"turns": told, "accuracies": found, "apart": round(apart, 4), "same": apart <= SAME}


def _print(found: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("bar", choices=list(BARS))
    parser.add_argument("--data", type=Path, help="a csv with columns text and label; needed the first time")
    parser.add_argument("--minutes", type=float, default=10.0, help="for the search (default: 10)")
    parser.add_argument("--rows", type=int, help="training rows (default: those of the bar)")
    parser.add_argument("--epochs", type=int, help="of the uncompressed network (default: those of the bar)")
    parser.add_argument("--prepare", action="store_true", help="train the uncompressed network, and no more")
    parser.add_argument("--turn", type=int, default=1, help="which search of the same bar this is (default: 1)")
    parser.add_argument("--go-on", action="store_true", help="with the candidates that an earlier search left")
    parser.add_argument("--busy", action="store_true", help="beside a process that keeps a core busy")
    parser.add_argument("--compare", action="store_true", help="hold the turns that were made against each other")
    parser.add_argument("--results", type=Path, default=ROOT / "bench-results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
