"""A bundle that translates beside CTranslate2 with the same weights.

`python -m benchmarks.translation BUNDLE ROWS.csv`: BUNDLE reads one text with a `transformer` from scratch and writes
another. Its own files answer, in the precision that they have (`trimtab compress BUNDLE --to FASTER --set
compress.quantize=int8` makes those of int8), and CTranslate2 in int8, with the same beams and tokens, each in a process
of its own with all cores. Printed are sentences/s of all rows at once, the latency of one, BLEU of both, and how many
answers are the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import environments
from trimtab import metrics, rows, runtime
from trimtab.audit.cost import machine
from trimtab.columns import encode_rows


def main() -> None:
    """Answer the rows with both in turn, and print the median of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("rows", help="rows with the right answers")
    parser.add_argument("--weights", type=Path, help="of CTranslate2: another bundle of the same network")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    model = runtime.load(asked.bundle)
    source = rows.read(asked.rows, lambda rejected: None, None, lambda note: None, None, model.serving.encoding)
    values = [row.values for row in source]
    right = [str(row[model.output.name]) for row in values]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        told = work / "asked.json"
        told.write_text(json.dumps(_told(model, values, asked.weights or asked.bundle)), encoding="utf-8")
        own = (sys.executable, "-m", "benchmarks.ours.translation", str(asked.bundle), str(told))
        rival = (str(environments.python("ctranslate2")), "-m", "benchmarks.rivals.translation", str(told), folder)
        runs: dict[str, list[dict[str, Any]]] = {"trimtab": [], "ctranslate2": []}
        for _ in range(asked.repeats):
            runs["trimtab"].append(_run(own))
            runs["ctranslate2"].append(_run(rival))
    found: dict[str, Any] = {"machine": machine(), "rows": len(values)}
    texts = {name: [model.output.text(ids) for ids in each[0]["answers"]] for name, each in runs.items()}
    once = np.ones((len(right), 1))
    for name, each in runs.items():
        found[name] = {
            "sentences_per_s": round(_median([one["rows_per_second"] for one in each]), 1),
            "one_p50_ms": round(_median([one["latency"]["p50"] for one in each]), 2),
            "bleu": round(float(metrics.statistic(metrics.Written(right, texts[name]), "bleu")(once)[0]), 2),
        }
    same = [one == other for one, other in zip(texts["trimtab"], texts["ctranslate2"], strict=True)]
    found["same_answers"] = f"{sum(same)} of {len(same)}"
    found["ratio"] = round(found["trimtab"]["sentences_per_s"] / found["ctranslate2"]["sentences_per_s"], 3)
    print(json.dumps(found, indent=1))


def _told(model: runtime.Model, values: Sequence[dict[str, Any]], weights: Path) -> dict[str, Any]:
    """What both sides have to know: the network's shape, and the ids of each sentence."""
    (column,) = model.inputs
    texts = [str(row[column.name]) for row in values]
    encoded = encode_rows(model.inputs, {column.name: texts})
    rows_of = [encoded.encoded[0][row].reshape(-1).tolist() for row in range(len(texts))]
    options = model.program.options.model_dump()
    return {
        **{key: options[key] for key in ("layers", "bos", "pad", "longest", "beams")},
        "column": column.name,
        "eos": options["eos"][0],
        "heads": options["kv_heads"],
        "texts": texts,
        "sources": rows_of,
        "weights": str((weights / "weights.safetensors").resolve()),
    }


def _run(words: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(words, cwd=environments.ROOT, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    main()
