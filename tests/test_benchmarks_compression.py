"""The comparison of compressed networks: what is asked of the rivals, and how the figures are judged and shown."""

import importlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from benchmarks import environments, measure, table
from benchmarks.rivals import compression_olive

ROOT = Path(__file__).resolve().parent.parent
GATES = {"megabytes": 8.0, "drop": 0.01, "milliseconds": 1.2}
WHOLE = {"megabytes": 90.9, "accuracy": 0.886, "rows_per_second": 117.0, "p50": 14.7}
WARNED = """\
[2026-11-23 19:33:26,812] [INFO] [engine.py:267:run_accelerator] Input model evaluation results: {
[2026-11-23 19:33:44,494] [WARNING] [footprint.py:263:_get_candidates] There is no expected candidates.
[2026-11-23 19:33:44,495] [WARNING] [engine.py:237:run] No output model produced.
"""


def run(**changed: float) -> dict[str, Any]:
    """One run as `benchmarks.run` keeps it."""
    figures = WHOLE | changed
    return {**figures, "latency": {"p50": figures["p50"]}}


@pytest.mark.parametrize(
    ("changed", "judged"),
    [
        ({"megabytes": 8.0, "accuracy": 0.876, "p50": 1.2}, "met"),
        ({"megabytes": 8.1, "accuracy": 0.876, "p50": 1.2}, "size"),
        ({"megabytes": 8.0, "accuracy": 0.875, "p50": 1.2}, "accuracy"),
        ({"megabytes": 23.6, "accuracy": 0.881, "p50": 6.1}, "size, latency"),
        ({"megabytes": 7.0, "accuracy": 0.9, "p50": 0.9}, "met"),
    ],
)
def test_every_network_is_held_against_the_same_gates(changed: dict[str, float], judged: str) -> None:
    assert table.missed(WHOLE | changed, WHOLE, GATES) == judged


def test_the_table_tells_what_an_unmet_goal_leads_to() -> None:
    olive = {"exit_code": 0, "said": ["No output model produced."], "writes": 0.0}
    deaf = {"exit_code": 0, "said": [], "writes": 22.8}
    ours = {"exit_code": 1, "nearest": "no candidate reaches 0.5 MB", "why": ["size: asked <= 0.5 MB"]}
    result = {
        "data": "reviews.csv",
        "rows": {"test": 429},
        "machine": {"cpu": "one", "cores": 2},
        "gates": GATES,
        "runs": {
            "trimtab": [run(megabytes=7.0, accuracy=0.88, rows_per_second=1755.0, p50=0.8)],
            "pipeline, batch 32": [run()],
            "onnx int8": [run(megabytes=23.6, accuracy=0.881, rows_per_second=351.0, p50=6.1)],
        },
        "made": {
            "trimtab": {"exit_code": 0, "seconds": 610.0, "why": [], "nearest": "", "unmet": ours},
            "olive": {**olive, "unmet": olive, "absolute": deaf, "seconds": 90.0},
        },
    }
    lines = list(table.compression(result))
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for line in lines if len(cells := line.split("|")) > 9
    }
    assert rows["trimtab"] == ["7.0", "0.880", "99.3%", "1755", "15.0", "5.0", "", "0.80", "610", "met"]
    assert rows["transformers pipeline, batch 32"][-1] == "size, latency"
    told = [line for line in lines if line.startswith("- ")]
    assert "- Trimtab, 0.5 MB at 0.99: exit code 1; “no candidate reaches 0.5 MB”" in told
    assert (
        "- Olive, 0.5 MB beside a relative goal: exit code 0, no network written; “No output model produced.”" in told
    )
    assert "- Olive, 0.5 MB and no relative goal: exit code 0, a network of 22.8 MB written" in told


def test_olive_is_given_the_gates_as_goals_in_their_order() -> None:
    goals = compression_olive.Goals(megabytes=8, drop=0.01, milliseconds=1.2)
    asked = compression_olive.metrics(["a", "b"], goals)
    parts = [metric["sub_types"][0] for metric in asked]
    assert [part["priority"] for part in parts] == [1, 2, 3]
    assert [part["goal"] for part in parts] == [
        {"type": "max-degradation", "value": 0.01},
        {"type": "threshold", "value": 1.2},
        {"type": "threshold", "value": 8e6},
    ]
    free = compression_olive.metrics(["a", "b"], None)
    assert all("goal" not in metric["sub_types"][0] for metric in free)
    absolute = compression_olive.metrics(["a", "b"], compression_olive.Goals(8, None, 1.2))
    assert ["goal" in metric["sub_types"][0] for metric in absolute] == [False, True, True]


def test_the_last_words_of_olive_are_its_warnings() -> None:
    ended = subprocess.CompletedProcess([], 0, stdout=WARNED, stderr="")
    assert compression_olive.last_words(ended) == ["There is no expected candidates.", "No output model produced."]


def test_an_environment_may_leave_out_single_limits() -> None:
    text = "# all\ntokenizers==0.23.3\ntorch==2.13.0\ntransformers==5.23.0\n"
    assert environments.constraints(text, ("transformers", "tokenizers")) == "# all\ntorch==2.13.0\n"


def test_rows_are_answered_thirty_two_at_a_time_in_their_order() -> None:
    sizes: list[int] = []

    def answer(texts: Any) -> list[str]:
        sizes.append(len(texts))
        return [text.upper() for text in texts]

    texts = [f"row {number}" for number in range(70)]
    assert measure.in_batches(answer, 32)(texts) == [text.upper() for text in texts]
    assert sizes == [32, 32, 6]


OURS = [f"benchmarks.ours.{path.stem}" for path in (ROOT / "benchmarks" / "ours").glob("[a-z]*.py")]


@pytest.mark.parametrize("module", ["benchmarks.run", "benchmarks.gpu", "benchmarks.scale", *sorted(OURS)])
def test_what_a_benchmark_takes_from_trimtab_is_there(module: str) -> None:
    importlib.import_module(module)
