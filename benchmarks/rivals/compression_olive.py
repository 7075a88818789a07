"""Microsoft Olive's search: `... BUNDLE ROWS.csv TARGET MAX_TOKENS MB DROP MS`.

https://microsoft.github.io/Olive/how-to/configure-workflows: a workflow of passes, an evaluator whose metrics have
goals, a search strategy. The fusions for transformers are a workflow of their own, because version 0.13.0 fails at the
second network of a search that shares its first pass (`"FootprintNode" object has no field "model_config"`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measure import answer_with
from benchmarks.rivals.compression_onnx import MODEL, fresh
from benchmarks.rivals.prediction_onnx import classes

ROOT = Path(__file__).resolve().parent.parent.parent
IMPOSSIBLE = 0.5  # MB
QUIET = {"OLIVE_DISABLE_TELEMETRY": "1"}
SAID = re.compile(r"\[(?:WARNING|ERROR|CRITICAL)\] \[[^\]]*\] (.*)")


@dataclass(frozen=True)
class Goals:
    """The same gates as everybody's: most MB on disk, most accuracy lost, most milliseconds for one row."""

    megabytes: float
    drop: float | None  # a bound relative to the network that is searched from; the others are absolute
    milliseconds: float


def main(bundle: str, data: str, target: str, max_tokens: str, *goals: str) -> None:
    """Search with the goals; where that writes no network, the best of a search without goals is left in TARGET."""
    folder = fresh(Path(target).resolve(), Path(bundle))
    work = folder.with_name(f"{folder.name}-work")
    shutil.rmtree(work, ignore_errors=True)
    begun = time.perf_counter()
    run(work / "fused", fusion(Path(bundle).resolve()))
    source = written(work / "fused")
    rows = {"data": str(Path(data).resolve()), "split": "valid", "folder": str(folder), "max_tokens": int(max_tokens)}
    asked = Goals(*map(float, goals))
    result = search(work / "asked", source, rows, asked)
    seconds = time.perf_counter() - begun
    unmet = search(work / "unmet", source, rows, replace(asked, megabytes=IMPOSSIBLE))
    absolute = search(work / "absolute", source, rows, replace(asked, megabytes=IMPOSSIBLE, drop=None))
    if not result["writes"]:
        search(work / "free", source, rows, None)
    shutil.copy(written(work / ("asked" if result["writes"] else "free")), folder / MODEL)
    told = {"unmet": unmet, "absolute": absolute, "seconds": seconds, "version": f"Olive {version('olive-ai')}"}
    answer_with({**result, **told})


def search(folder: Path, source: Path, rows: dict[str, Any], goals: Goals | None) -> dict[str, Any]:
    """One search: its exit code, its last words, and the MB of the network that it wrote; 0 without one."""
    ended = run(folder, quantization(source, rows, goals))
    wrote = found(folder)
    size = wrote.stat().st_size / 1e6 if wrote else 0.0
    return {"exit_code": ended.returncode, "said": last_words(ended), "writes": size}


# ------------------------------------------------------------------------------------------------------- running


def run(folder: Path, workflow: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """`olive run` in a folder of its own, in which the workflow and all that was said are kept."""
    folder.mkdir(parents=True)
    config = folder / "workflow.json"
    placed = {**workflow, "output_dir": str(folder / "out"), "cache_dir": str(folder.parent / "cache")}
    config.write_text(json.dumps(placed, indent=1), encoding="utf-8")
    command = [sys.executable, "-m", "olive", "run", "--config", str(config), "--disable_telemetry"]
    environment = {**os.environ, **QUIET}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    (folder / "log.txt").write_text(ended.stdout + ended.stderr, encoding="utf-8")
    return ended


def found(folder: Path) -> Path | None:
    """The network that a workflow wrote."""
    return next(iter(sorted((folder / "out").rglob("*.onnx"))), None)


def written(folder: Path) -> Path:
    """The same where there has to be one; ends with the log where there is none."""
    network = found(folder)
    if network is None:
        raise SystemExit((folder / "log.txt").read_text(encoding="utf-8"))
    return network


def last_words(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """What it warned of at its end."""
    return SAID.findall(ended.stdout + ended.stderr)[-3:]


# ----------------------------------------------------------------------------------------------------- workflows


def fusion(bundle: Path) -> dict[str, Any]:
    """The fusions for transformers, as Olive's examples for BERT begin."""
    network = {"type": "ONNXModel", "model_path": str(bundle), "onnx_file_name": MODEL}
    return {"input_model": network, "passes": {"fuse": {"type": "OrtTransformersOptimization", "model_type": "bert"}}}


def quantization(source: Path, rows: dict[str, Any], goals: Goals | None) -> dict[str, Any]:
    """A search over all that dynamic quantization leaves open: 16 networks, each measured on the validation rows."""
    judged = metrics(classes(Path(rows["folder"]) / "label.json"), goals)
    return {
        "input_model": {"type": "ONNXModel", "model_path": str(source.parent), "onnx_file_name": source.name},
        "data_configs": [
            {
                "name": "valid",
                "user_script": str(Path(__file__).with_name("olive_rows.py")),
                "load_dataset_config": {"type": "bench_rows", "params": rows},
                "post_process_data_config": {"type": "text_classification_post_process"},
                "dataloader_config": {"type": "default_dataloader", "params": {"batch_size": 1}},
            }
        ],
        # Without a type it stops at once: "'NoneType' object has no attribute 'lower'".
        "evaluators": {"gates": {"type": "OnnxEvaluator", "metrics": judged}},
        "evaluator": "gates",
        "passes": {"quantize": {"type": "OnnxDynamicQuantization"}},
        "search_strategy": {"execution_order": "joint", "sampler": "sequential"},
    }


def metrics(known: list[str], goals: Goals | None) -> list[dict[str, Any]]:
    """Accuracy, then the latency of one row, then the size: in this order they rank the networks."""
    scored = {"task": "multiclass", "num_classes": len(known)}
    timed = {"warmup_num": 20, "repeat_test_num": 200}
    bounds: list[tuple[str, float | None]] = [("", None)] * 3
    if goals:
        costs = goals.milliseconds, goals.megabytes * 1e6
        bounds = [("max-degradation", goals.drop), *(("threshold", cost) for cost in costs)]
    return [
        metric("accuracy", "accuracy", {"name": "accuracy_score", "priority": 1, "metric_config": scored}, bounds[0]),
        metric("latency", "latency", {"name": "p50", "priority": 2, "metric_config": timed}, bounds[1]),
        metric("size", "size_on_disk", {"name": "bytes", "priority": 3}, bounds[2]),
    ]


def metric(name: str, kind: str, part: dict[str, Any], bound: tuple[str, float | None]) -> dict[str, Any]:
    """One metric of the evaluator with its goal, if it has one."""
    goal = {} if bound[1] is None else {"goal": {"type": bound[0], "value": bound[1]}}
    return {"name": name, "type": kind, "data_config": "valid", "sub_types": [{**part, **goal}]}


if __name__ == "__main__":
    main(*sys.argv[1:])
