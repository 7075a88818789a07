"""The results as Markdown: medians over the runs, each with its ratio, and the machine they were measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

Result = Mapping[str, Any]
Runs = Mapping[str, Sequence[Result]]

TITLES = {
    "plain": "plain recipe: AdamW, batch 16, every row padded to 128 tokens",
    "trainer": "transformers Trainer, its defaults",
    "trainer-grouped": "transformers Trainer, grouping by length",
    "trimtab, keras's network": "trimtab, the convolutions, epochs and batches of Keras's example",
    "keras": "Keras, its own MNIST example",
    "recbole": "SASRec of recbole",
    "deepctr-torch": "DeepFM of deepctr-torch",
    "pipeline": "transformers pipeline",
    "pipeline, batch 1": "transformers pipeline, batch 1",
    "pipeline, batch 32": "transformers pipeline, batch 32",
    "onnx int8": "ONNX Runtime, int8 alone",
    "olive": "Microsoft Olive",
}
WHOLE = "pipeline, batch 32"  # the uncompressed network


def markdown(results: Mapping[str, Result]) -> str:
    """All benchmarks that have run."""
    parts = [SECTIONS[name](result) for name, result in results.items() if name in SECTIONS]
    return "\n".join(line for part in parts for line in part)


def brief(result: Result) -> str:
    """One run in a line."""
    rate = f"{result['rows_per_second']:.1f} rows/s, " if "rows_per_second" in result else ""
    is_text = "curve" in result and isinstance(result["curve"][0], list) and "unseen_ndcg" not in result
    best = f"best accuracy {_best(result):.3f}, " if is_text else ""
    return f"{rate}{best}{result['process_seconds']:.2f} s in all"


def training(result: Result) -> Iterator[str]:
    """Rows per second and time to the accuracy that everybody reaches."""
    runs: Runs = result["runs"]
    target = min(median(_best(run) for run in of) for of in runs.values())
    rate = _medians(runs, lambda run: run["rows_per_second"])
    until = _medians(runs, lambda run: _seconds_until(run, target))
    yield from _head("Training", result, f"{result['rows']['train']} rows, {result['epochs']} epochs")
    yield (
        f"| | rows/s | times trimtab is faster | seconds to {target:.3f} | best accuracy | of a bare loop "
        "| of the matrix rate | computed in |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, of in runs.items():
        best = median(_best(run) for run in of)
        reached = f"{until[name]:.0f}" if until[name] < float("inf") else "not reached"
        ratio = rate["trimtab"] / rate[name]
        cells = (f"{rate[name]:.1f}", f"{ratio:.1f}", reached, f"{best:.3f}", *_shares(of), of[0]["precision"])
        yield f"| {_title(name)} | {' | '.join(cells)} |"
    yield ""
    yield (
        f"Accuracy on {result['rows']['valid']} validation rows; the seconds are of training alone, up to the lowest "
        "of the best accuracies. The same rows, base model and number of epochs for all. A bare loop computes the same "
        "batches, made before, with the same optimizer and nothing else; the matrix rate is that of the largest "
        "product of a step by itself."
    )
    yield ""


def _shares(of: Sequence[Result]) -> tuple[str, str]:
    """Of a bare loop over the same batches, and of what the machine's matrix products alone would allow."""
    if "bare_rows_per_second" not in of[0]:
        return "", ""
    bare = median(run["rows_per_second"] / run["bare_rows_per_second"] for run in of)
    products = median(run["rows_per_second"] * run["operations_per_row"] / run["operations_per_second"] for run in of)
    return f"{bare:.2f}", f"{products:.0%}"


def prediction(result: Result) -> Iterator[str]:
    """Throughput, one-row latency, and the share of same answers."""
    runs: Runs = result["runs"]
    rate = _medians(runs, lambda run: run["rows_per_second"])
    p50 = _medians(runs, lambda run: run["latency"]["p50"])
    p95 = _medians(runs, lambda run: run["latency"]["p95"])
    ours = runs["trimtab"][0]["answers"]
    yield from _head("Prediction", result, f"{result['rows']['test']} rows, the same weights")
    yield "| | rows/s | times trimtab is faster | one row, p50 ms | p95 ms | same answers |"
    yield "|---|---|---|---|---|---|"
    for name, of in runs.items():
        same = sum(map(str.__eq__, ours, of[0]["answers"])) / len(ours)
        ratio = rate["trimtab"] / rate[name]
        yield f"| {_title(name)} | {rate[name]:.0f} | {ratio:.1f} | {p50[name]:.1f} | {p95[name]:.1f} | {same:.1%} |"
    yield ""


def start(result: Result) -> Iterator[str]:
    """Whole process to a first answer, resident memory, installed megabytes."""
    runs: Runs = result["runs"]
    seconds = _medians(runs, lambda run: run["process_seconds"])
    resident = _medians(runs, lambda run: run["resident_megabytes"])
    yield from _head("Start", result, "a whole process that answers one row")
    yield "| | seconds | times trimtab is faster | resident MB | installed MB |"
    yield "|---|---|---|---|---|"
    for name in runs:
        size = result["installed_megabytes"][name]
        ratio = seconds[name] / seconds["trimtab"]
        yield f"| {_title(name)} | {seconds[name]:.2f} | {ratio:.1f} | {resident[name]:.0f} | {size:.0f} |"
    yield ""


def digits(result: Result) -> Iterator[str]:
    """Accuracy, training and serving of a small network for pictures."""
    runs: Runs = result["runs"]
    rate = _medians(runs, lambda run: run["rows_per_second"])
    served = _medians(runs, lambda run: run["predictions_per_second"])
    p50 = _medians(runs, lambda run: run["latency"]["p50"])
    yield from _head("Digits", {**result, "data": "5,000 digits of MNIST"}, "4,000 to learn from, 500 to test")
    yield "| | test accuracy | epochs | training s | rows/s | answers/s, 32 at once | ratio | one row, p50 ms |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, of in runs.items():
        accuracy, seconds = (median(run[key] for run in of) for key in ("accuracy", "seconds"))
        ratio = served["trimtab"] / served[name]
        yield (
            f"| {_title(name)} | {accuracy:.3f} | {of[0]['epochs']} | {seconds:.0f} | {rate[name]:.0f} "
            f"| {served[name]:.0f} | {ratio:.1f} | {p50[name]:.1f} |"
        )
    yield ""


def few(result: Result) -> Iterator[str]:
    """Accuracy with few rows of each class, and the seconds of a whole launch beside those of SetFit's training."""
    runs: Runs = result["runs"]
    yield from _head("Few labels", result, f"{result['each']} rows of each class")
    yield "| | accuracy, mean | least | most | seconds |"
    yield "|---|---|---|---|---|"
    for name, of in runs.items():
        found = [run["accuracy"] for run in of]
        middle = sum(found) / len(found)
        seconds = median(run["seconds"] for run in of)
        yield f"| {_title(name)} | {middle:.3f} | {min(found):.3f} | {max(found):.3f} | {seconds:.0f} |"
    yield ""
    steps = f"{result['setfit_steps']} batches" if result["setfit_steps"] else "as many batches as it takes by itself"
    yield f"On {result['rows']['test']} test rows; SetFit learns from {steps} and is not exported or audited."
    yield ""


def movies(result: Result) -> Iterator[str]:
    """How high the next movie stands, and what it took."""
    runs: Runs = result["runs"]
    floor = runs["trimtab"][0]["floor"]
    what = "each user's last event is told, of all movies that the user has not rated"
    yield from _head("Movies", {**result, "data": "MovieLens-100k"}, what)
    yield "| | NDCG@10 | hit rate@10 | epochs | training s | events/s | answers/s |"
    yield "|---|---|---|---|---|---|---|"
    for name, of in runs.items():
        keys = ("unseen_ndcg", "unseen_hit", "epochs", "seconds", "rows_per_second", "predictions_per_second")
        ndcg, hit, epochs, seconds, rate, served = (median(run[key] for run in of) for key in keys)
        yield (
            f"| {_title(name)} | {ndcg:.4f} | {hit:.3f} | {epochs:.0f} | {seconds:.0f} | {rate:.0f} | {served:.0f} |"
        )
    for name, ndcg in floor.items():
        yield f"| {name} | {ndcg:.4f} | | | | | |"
    yield ""


def clicks(result: Result) -> Iterator[str]:
    """AUC, and what it took."""
    runs: Runs = result["runs"]
    yield from _head("Clicks", {**result, "data": "MovieLens-100k"}, "whether a rating is 4 or 5")
    yield "| | test AUC | log loss | training s | training rows/s | answers/s |"
    yield "|---|---|---|---|---|---|"
    for name, of in runs.items():
        keys = ("auc", "log_loss", "rows_per_second", "predictions_per_second")
        auc, loss, rate, served = (median(run[key] for run in of) for key in keys)
        seconds = median(run.get("train_seconds", run["seconds"]) for run in of)
        yield f"| {_title(name)} | {auc:.4f} | {loss:.4f} | {seconds:.0f} | {rate:.0f} | {served:.0f} |"
    yield ""


def compression(result: Result) -> Iterator[str]:
    """Size, accuracy kept, throughput and latency under the same gates, and what a goal that is not met leads to."""
    runs: Runs = result["runs"]
    figures = {name: served(of) for name, of in runs.items()}
    whole, plain = figures[WHOLE], figures["onnx int8"]
    yield from _head("Compression", result, f"{result['rows']['test']} test rows, the same network, the same gates")
    yield (
        "| | MB | accuracy | kept | rows/s, 32 at once | times the pipeline | times ONNX int8 | rows/s, all at once "
        "| one row, p50 ms | made in s | gates |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for name, own in figures.items():
        yield f"| {_title(name)} | {' | '.join(_compressed(name, own, whole, plain, result))} |"
    yield ""
    yield from _unmet(result)


def _compressed(
    name: str, own: Mapping[str, float], whole: Mapping[str, float], plain: Mapping[str, float], result: Result
) -> Iterator[str]:
    """The cells of one network."""
    rate = own["rows_per_second"]
    seconds, at_once = result["made"].get(name, {}).get("seconds"), own.get("rows_per_second_at_once")
    yield f"{own['megabytes']:.1f}"
    yield f"{own['accuracy']:.3f}"
    yield f"{own['accuracy'] / whole['accuracy']:.1%}"
    yield from (f"{rate:.0f}", f"{rate / whole['rows_per_second']:.1f}", f"{rate / plain['rows_per_second']:.1f}")
    yield "" if at_once is None else f"{at_once:.0f}"
    yield f"{own['p50']:.2f}"
    yield "" if seconds is None else f"{seconds:.0f}"
    yield missed(own, whole, result["gates"])


def served(of: Sequence[Result]) -> dict[str, float]:
    """Medians of what a network costs and of how good it is."""
    flat = [{**run, "p50": run["latency"]["p50"]} for run in of]
    keys = ("megabytes", "accuracy", "rows_per_second", "rows_per_second_at_once", "p50")
    return {key: median(run[key] for run in flat) for key in keys if key in flat[0]}


def missed(own: Mapping[str, float], whole: Mapping[str, float], gates: Mapping[str, float]) -> str:
    """The gates that the test rows show to be missed, or `met`."""
    over = {
        "size": own["megabytes"] > gates["megabytes"],
        "accuracy": whole["accuracy"] - own["accuracy"] > gates["drop"] + 1e-9,
        "latency": own["p50"] > gates["milliseconds"],
        "throughput": own["rows_per_second"] < gates.get("times_pipeline", 0.0) * whole["rows_per_second"],
    }
    return ", ".join(name for name, is_over in over.items() if is_over) or "met"


def _unmet(result: Result) -> Iterator[str]:
    """What was said and returned, of the gates and of a size that nobody can reach."""
    made, gates = result["made"], result["gates"]
    ours, olive = made["trimtab"], made["olive"]
    asked = f"{gates['megabytes']:g} MB, {gates['drop']:.1%} of accuracy, {gates['milliseconds']:g} ms"
    asked += f", {gates['times_pipeline']:g} times the pipeline" if gates.get("times_pipeline") else ""
    yield f"Gates: {asked}; the last column is of the test rows. ONNX Runtime and model2vec take no goals."
    for name, found, said in (
        (f"Trimtab, {asked}", ours, _why(ours)),
        ("Trimtab, 0.5 MB at 0.99", ours["unmet"], _why(ours["unmet"])),
        (f"Olive, {asked}", olive, " ".join(olive["said"])),
        ("Olive, 0.5 MB beside a relative goal", olive["unmet"], " ".join(olive["unmet"]["said"])),
        ("Olive, 0.5 MB and no relative goal", olive["absolute"], " ".join(olive["absolute"]["said"])),
    ):
        yield f"- {name}: exit code {found['exit_code']}{_wrote(found)}{f'; “{said}”' if said else ''}"
    if not olive["writes"]:
        yield "- The row of Olive is the best network of its search without goals."
    yield ""


def _why(found: Result) -> str:
    """The nearest feasible point where the search names one, else the gates that were missed."""
    return str(found.get("nearest") or "; ".join(found.get("why", [])))


def _wrote(found: Result) -> str:
    if "writes" not in found:
        return ""
    return f", a network of {found['writes']:.1f} MB written" if found["writes"] else ", no network written"


SECTIONS: dict[str, Callable[[Result], Iterator[str]]] = {
    "training": training,
    "prediction": prediction,
    "start": start,
    "digits": digits,
    "movies": movies,
    "few": few,
    "clicks": clicks,
    "compression": compression,
}


def _head(title: str, result: Result, what: str) -> Iterator[str]:
    machine = result["machine"]
    least = min(len(of) for of in result["runs"].values())
    yield from (f"### {title}", "")
    yield f"{result['data']}, {what}; median of {least}, in turn; {machine['cpu']}, {machine['cores']} cores."
    yield ""


def _title(name: str) -> str:
    return TITLES.get(name, name)


def _medians(runs: Runs, figure: Callable[[Result], float]) -> dict[str, float]:
    return {name: median(figure(run) for run in of) for name, of in runs.items()}


def _best(run: Result) -> float:
    return max(float(accuracy) for _, accuracy in run["curve"])


def _seconds_until(run: Result, target: float) -> float:
    return min((float(at) for at, accuracy in run["curve"] if accuracy >= target), default=float("inf"))
