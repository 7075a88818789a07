"""Trimtab's search under gates, started as its users do: `python -m benchmarks.ours.compression SPEC.yaml`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

import trimtab
from benchmarks.measure import answer_with

LINES = 12  # of what it said last


def main(spec: str) -> None:
    """`trimtab launch`; print its exit code, its last lines, and what the bundle says of the search."""
    command = [sys.executable, "-m", "trimtab", "launch", Path(spec).name]
    ended = subprocess.run(command, cwd=Path(spec).parent, capture_output=True, text=True, check=False)
    said = [line.strip() for line in ended.stdout.splitlines() if line.strip()]
    name = yaml.safe_load(Path(spec).read_text(encoding="utf-8"))["name"]
    manifest = Path(spec).parent / "runs" / name / "bundle" / "manifest.json"
    told = search(json.loads(manifest.read_text(encoding="utf-8"))) if manifest.is_file() else {}
    if ended.returncode not in (0, 1):
        raise SystemExit(ended.stderr)
    version = f"trimtab {trimtab.__version__}"
    answer_with({"exit_code": ended.returncode, "said": said[-LINES:], "version": version, **told})


def search(manifest: dict[str, Any]) -> dict[str, Any]:
    """What a manifest says of the search: its seconds, the network taken, the nearest point, and all that was tried."""
    frontier = manifest["evidence"].get("frontier") or {}
    return {
        "seconds": sum(stage["seconds"] for stage in manifest["stages"] if stage["name"] == "compress"),
        "why": manifest["why"],
        "chosen": frontier.get("chosen"),
        "nearest": frontier.get("nearest", ""),
        "measured": {name: found["value"] for name, found in manifest["measured"].items()},
        "tried": [
            {"name": point["name"], "quality": point["quality"]["value"], "seconds": point["seconds"]}
            for point in frontier.get("points", [])
        ],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
