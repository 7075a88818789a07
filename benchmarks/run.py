"""Run the benchmarks: ours and the rivals' in turn, each run a process of its own; medians, ratios, the machine.

Writes bench-results/<name>.json and bench-results/table.md. `--help` lists the options.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import environments, movielens, rows, table
from benchmarks.measure import megabytes
from trimtab import pretrained
from trimtab.audit.cost import machine

ROOT = Path(__file__).resolve().parent.parent
BASE = "minilm"
EVALUATIONS = 4  # in each epoch: how finely the time to an accuracy is known
START_RUNS = 5
KERAS_EPOCHS = "15"  # as in its own example
MOVIE_EPOCHS, MOVIE_SECONDS = "20", "300"
GATES = {"megabytes": 8.0, "drop": 0.01, "milliseconds": 1.2, "times_pipeline": 0.0}  # of compression; of one row
IMPOSSIBLE = {"size": "<= 0.5 MB", "accuracy": ">= 0.99"}
IMPOSSIBLE_MINUTES = 2.0  # what cannot be had need not be searched for long
SAMPLE = ROOT / "examples" / "reviews" / "reviews.csv"


@dataclass(frozen=True)
class Setting:
    """One call of `make bench`: what is run, on what, how often."""

    data: Path
    work: Path
    results: Path
    base: Path  # the base model's folder
    rows: int
    epochs: int
    repeats: int
    seed: int
    minutes: float  # for the search of a smaller network
    gates: Mapping[str, float]  # see GATES
    each: int = 8  # rows of each class, where labels are few
    setfit_steps: int = 0  # batches of 16 pairs that SetFit learns from; 0: its own choice


@dataclass(frozen=True)
class Contestant:
    """Who is measured: a name, the Python that runs it, and its words."""

    name: str
    python: Path
    words: tuple[str, ...]


Runs = dict[str, list[dict[str, Any]]]


def main() -> None:
    """Run what was asked for and write the table."""
    asked = _arguments()
    setting = _setting(asked)
    picked = rows.write(Path(asked.data), setting.data, setting.rows, setting.seed)
    _tell(f"{asked.data}: {picked} rows")
    about = {"machine": machine(), "rows": picked, "data": Path(asked.data).name, "epochs": setting.epochs}
    for name in asked.only:
        _write(setting, name, {**about, "repeats": setting.repeats, **BENCHMARKS[name](setting)})
    found = [name for name in BENCHMARKS if (setting.results / f"{name}.json").is_file()]
    results = {name: json.loads((setting.results / f"{name}.json").read_text(encoding="utf-8")) for name in found}
    text = table.markdown(results)
    (setting.results / "table.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def training(setting: Setting) -> dict[str, Any]:
    """Rows per second, and the time to the accuracy that everybody reaches."""
    rival = environments.python("rival")
    words = (str(setting.data), str(setting.base), str(setting.epochs), str(EVALUATIONS))
    own_words = (str(setting.data), BASE, str(setting.epochs), str(EVALUATIONS))
    who = [
        Contestant("trimtab", Path(sys.executable), ("benchmarks.ours.training", "auto", *own_words)),
        Contestant("trimtab, fp32", Path(sys.executable), ("benchmarks.ours.training", "fp32", *own_words)),
        *(
            Contestant(recipe, rival, ("benchmarks.rivals.training", recipe, *words))
            for recipe in ("plain", "trainer", "trainer-grouped")
        ),
    ]
    return {"runs": _in_turn(who, setting.repeats, lambda turn: (str(setting.seed + turn),))}


def prediction(setting: Setting) -> dict[str, Any]:
    """Throughput and one-row latency on the same weights, and how many answers are the same."""
    core, rival = environments.python("core"), environments.python("rival")
    bundle, model = _bundle(setting), setting.work / "pipeline"
    _convert(setting, bundle, model)
    most = json.loads((bundle / "columns" / "text.json").read_text(encoding="utf-8"))["max_tokens"]
    words = (str(model), str(setting.data), str(most))
    who = [
        Contestant("trimtab", core, ("benchmarks.ours.prediction", str(bundle), str(setting.data))),
        *(
            Contestant(f"pipeline, batch {batch}", rival, ("benchmarks.rivals.prediction", batch, *words))
            for batch in ("1", "32")
        ),
    ]
    return {"runs": _in_turn(who, setting.repeats)}


def start(setting: Setting) -> dict[str, Any]:
    """Whole process to a first answer, resident memory, installed megabytes."""
    core, rival = environments.python("core"), environments.python("rival")
    bundle, model = _bundle(setting), setting.work / "pipeline"
    _convert(setting, bundle, model)
    text = rows.read(setting.data, "test").texts[0]
    who = [
        Contestant("trimtab", core, ("benchmarks.ours.start", str(bundle), text)),
        Contestant("pipeline", rival, ("benchmarks.rivals.start", str(model), text)),
    ]
    _in_turn(who, 1)  # not counted: fills the disk cache and writes the byte code
    installed = {"trimtab": environments.megabytes("core"), "pipeline": environments.megabytes("rival")}
    return {"runs": _in_turn(who, max(START_RUNS, setting.repeats)), "installed_megabytes": installed}


def digits(setting: Setting) -> dict[str, Any]:
    """A network for pictures, from scratch: accuracy, training and serving."""
    who = [
        Contestant("trimtab", Path(sys.executable), ("benchmarks.ours.digits", "default")),
        Contestant("trimtab, keras's network", Path(sys.executable), ("benchmarks.ours.digits", "keras")),
        Contestant("keras", environments.python("keras"), ("benchmarks.rivals.digits", KERAS_EPOCHS)),
    ]
    return {"runs": _in_turn(who, setting.repeats, lambda turn: (str(setting.seed + turn),))}


def movies(setting: Setting) -> dict[str, Any]:
    """The next movie of each user, both with the same limit of seconds to train in."""
    movielens.write(setting.work)
    events = str(setting.work / "events.csv")
    who = [
        Contestant("trimtab", Path(sys.executable), ("benchmarks.ours.movies", events, MOVIE_EPOCHS)),
        Contestant(
            "recbole", environments.python("recbole"), ("benchmarks.rivals.movies", events, "100", MOVIE_SECONDS)
        ),
    ]
    return {"runs": _in_turn(who, setting.repeats, lambda turn: (str(setting.seed + turn),))}


def clicks(setting: Setting) -> dict[str, Any]:
    """Whether a user will like a movie: DeepFM by both, and Wide & Deep."""
    movielens.write(setting.work)
    rows_of = str(setting.work / "clicks.csv")
    who = [
        *(
            Contestant(f"trimtab, {fusion}", Path(sys.executable), ("benchmarks.ours.clicks", rows_of, fusion))
            for fusion in ("deepfm", "wide_deep")
        ),
        Contestant("deepctr-torch", environments.python("deepctr"), ("benchmarks.rivals.clicks", rows_of, "20")),
    ]
    return {"runs": _in_turn(who, setting.repeats, lambda turn: (str(setting.seed + turn),))}


def few(setting: Setting) -> dict[str, Any]:
    """Few rows of each class: a launch beside SetFit, each turn with other rows."""
    each, data = str(setting.each), str(setting.data)
    who = [
        Contestant("trimtab", Path(sys.executable), ("benchmarks.ours.few", data, each)),
        Contestant(
            "setfit",
            environments.python("setfit"),
            ("benchmarks.rivals.few", data, each, str(setting.base), str(setting.setfit_steps)),
        ),
    ]
    found = _in_turn(who, setting.repeats, lambda turn: (str(setting.seed + turn),))
    return {"runs": found, "each": setting.each, "setfit_steps": setting.setfit_steps}


def compression(setting: Setting) -> dict[str, Any]:
    """The same network made smaller by everybody under the same gates; then each answers the same test rows."""
    bundle, model = _bundle(setting), setting.work / "pipeline"
    _convert(setting, bundle, model)
    most = json.loads((bundle / "columns" / "text.json").read_text(encoding="utf-8"))["max_tokens"]
    made = _compressed(setting, bundle, model, str(most))
    answered = _in_turn(_compressed_ones(setting, model, str(most)), setting.repeats)
    labels, whole = rows.read(setting.data, "test").labels, {"megabytes": megabytes(model)}
    runs = {name: [{**whole, **_scored(run, labels)} for run in of] for name, of in answered.items()}
    return {"runs": runs, "made": made, "gates": dict(setting.gates), "impossible": IMPOSSIBLE}


def _compressed(setting: Setting, bundle: Path, model: Path, most: str) -> dict[str, Any]:
    """What everybody makes of the network, once; `most` is its longest text in tokens."""
    asked = setting.gates
    gates = {
        "size": f"<= {asked['megabytes']:g} MB",
        "drop": f"<= {asked['drop']:g}",
        "latency": f"<= {asked['milliseconds']:g} ms",
    }
    if asked["times_pipeline"]:
        whole = _run(environments.python("rival"), _pipeline(setting, model, most))
        gates["throughput"] = f">= {asked['times_pipeline'] * whole['rows_per_second']:.0f} rows/s"
    data, seed = str(setting.data), str(setting.seed)
    bounds = (str(asked[name]) for name in ("megabytes", "drop", "milliseconds"))
    return {
        "trimtab": {
            **_search(setting, "bench-small", gates, setting.minutes),
            "unmet": _search(setting, "bench-impossible", IMPOSSIBLE, IMPOSSIBLE_MINUTES),
        },
        "onnx int8": _made("onnx", str(bundle), _small(setting, "onnx")),
        "olive": _made("olive", str(bundle), data, _small(setting, "olive"), most, *bounds),
        "model2vec": _made("model2vec", str(setting.base), data, _small(setting, "model2vec"), seed),
    }


def _compressed_ones(setting: Setting, model: Path, most: str) -> list[Contestant]:
    """Who answers: every compressed network, and the uncompressed one in a pipeline."""
    onnx, model2vec = environments.python("onnx"), environments.python("model2vec")
    own, data = str(setting.work / "runs" / "bench-small" / "bundle"), str(setting.data)
    int8, olive, static, static_int8 = (
        _small(setting, name) for name in ("onnx", "olive", "model2vec", "model2vec-int8")
    )
    return [
        Contestant("trimtab", environments.python("core"), ("benchmarks.ours.serving", own, data)),
        Contestant("pipeline, batch 32", environments.python("rival"), _pipeline(setting, model, most)),
        Contestant("onnx int8", onnx, ("benchmarks.rivals.prediction_onnx", int8, data, most)),
        Contestant("olive", onnx, ("benchmarks.rivals.prediction_onnx", olive, data, most)),
        Contestant("model2vec", model2vec, ("benchmarks.rivals.prediction_model2vec", static, data)),
        Contestant("model2vec, int8", model2vec, ("benchmarks.rivals.prediction_model2vec", static_int8, data)),
    ]


def _pipeline(setting: Setting, model: Path, most: str) -> tuple[str, ...]:
    """The words that run the uncompressed network in a pipeline."""
    return "benchmarks.rivals.prediction", "32", str(model), str(setting.data), most


def _small(setting: Setting, by: str) -> str:
    """The folder that a rival's compressed network is in."""
    return str(setting.work / f"small-{by}")


BENCHMARKS = {
    "training": training,
    "prediction": prediction,
    "start": start,
    "digits": digits,
    "movies": movies,
    "clicks": clicks,
    "few": few,
    "compression": compression,
}


# ------------------------------------------------------------------------------------------------------- running


def _in_turn(who: Sequence[Contestant], repeats: int, more: Any = lambda turn: ()) -> Runs:
    """Everybody once, then everybody again: a slow minute of the machine hits all of them."""
    runs: Runs = {contestant.name: [] for contestant in who}
    for turn in range(repeats):
        for contestant in who:
            result = _run(contestant.python, (*contestant.words, *more(turn)))
            runs[contestant.name].append(result)
            _tell(f"  {turn + 1}/{repeats} {contestant.name}: {table.brief(result)}")
    return runs


def _run(python: Path, words: Sequence[str]) -> dict[str, Any]:
    """One process; its JSON object and the seconds until it had printed it."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [str(python), "-m", *words],
        cwd=ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        answer = process.communicate()
        seconds = time.perf_counter() - begun
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{answer[1]}")
    result: dict[str, Any] = json.loads(answer[0].splitlines()[-1])
    return {**result, "process_seconds": seconds}


def _environment() -> dict[str, str]:
    """Nobody reaches a network; nobody is told how many threads to use but by the number of cores."""
    unset = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH", "VIRTUAL_ENV"}
    kept = {key: value for key, value in os.environ.items() if key not in unset}
    return {**kept, "HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "true"}


def _bundle(setting: Setting) -> Path:
    """The bundle that answers: launched on the same rows; a finished one is not made again."""
    spec = _spec(setting, "bench", {"compress": "none"})
    _tell("launching the bundle that answers")
    command = [sys.executable, "-m", "trimtab", "launch", spec.name]
    subprocess.run(command, cwd=setting.work, env=_environment(), check=True, stdout=sys.stderr)
    return setting.work / "runs" / "bench" / "bundle"


def _spec(setting: Setting, name: str, more: Mapping[str, Any]) -> Path:
    """A spec for the rows of the benchmark, written beside them."""
    spec = {
        "data": setting.data.name,
        "split": "split",
        "inputs": {"text": "text"},
        "output": "label",
        "name": name,
        "clean": {"duplicates": "keep"},
        "train": {"epochs": setting.epochs},
        "seed": setting.seed,
        **more,
    }
    path = setting.work / f"{name}.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return path


def _search(setting: Setting, name: str, gates: Mapping[str, str], minutes: float) -> dict[str, Any]:
    """A launch that searches under gates, with the training of the bundle that answers: it is not done again."""
    _tell(f"searching {minutes:g} minutes for {', '.join(f'{key} {bound}' for key, bound in gates.items())}")
    home = setting.work / "runs" / name
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(setting.work / "runs" / "bench" / "work" / "train", home / "work" / "train")
    spec = _spec(setting, name, {"compress": {"minutes": minutes}, "gates": dict(gates)})
    return _run(Path(sys.executable), ("benchmarks.ours.compression", str(spec)))


def _made(by: str, *words: str) -> dict[str, Any]:
    """What a rival, in its own environment, makes of the network."""
    python = environments.python(by)
    _tell(f"compressing by {by}")
    return _run(python, (f"benchmarks.rivals.compression_{by}", *words))


def _scored(run: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """With the accuracy in place of the answers."""
    right = sum(map(str.__eq__, run["answers"], labels))
    return {**{key: value for key, value in run.items() if key != "answers"}, "accuracy": right / len(labels)}


def _convert(setting: Setting, bundle: Path, model: Path) -> None:
    """The same weights as a folder for a transformers pipeline."""
    shutil.rmtree(model, ignore_errors=True)
    words = ["-m", "benchmarks.rivals.model", str(bundle), str(setting.base), str(model)]
    command = [str(environments.python("rival")), *words]
    subprocess.run(command, cwd=ROOT, env=_environment(), check=True, stdout=sys.stderr)


# ------------------------------------------------------------------------------------------------------- settings


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument(
        "--data", default=str(SAMPLE), help="a csv with columns text (or review) and label (or sentiment)"
    )
    parser.add_argument("--rows", type=int, default=2000, help="training rows (default: 2000)")
    parser.add_argument("--epochs", type=int, default=2, help="passes over them (default: 2)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of everybody; medians are shown (default: 3)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="for trimtab's search of a smaller network (default: 10)"
    )
    about = {"megabytes": "size", "drop": "accuracy lost", "milliseconds": "latency", "times_pipeline": "throughput"}
    for name, bound in GATES.items():
        told = f"a gate of compression: {about[name]} (default: {bound:g})"
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=bound, help=told)
    parser.add_argument("--each", type=int, default=8, help="rows of each class, of few (default: 8)")
    told = "batches that SetFit learns from, of few (default: 0, its own choice)"
    parser.add_argument("--setfit-steps", type=int, default=0, help=told)
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument("--results", type=Path, default=ROOT / "bench-results")
    return parser.parse_args()


def _setting(asked: argparse.Namespace) -> Setting:
    work = asked.results.resolve() / "work"
    work.mkdir(parents=True, exist_ok=True)
    base = Path(pretrained.find(BASE, "text", work, work / "base").source)
    return Setting(
        data=work / "rows.csv",
        work=work,
        results=asked.results.resolve(),
        base=base,
        rows=asked.rows,
        epochs=asked.epochs,
        repeats=asked.repeats,
        seed=asked.seed,
        minutes=asked.minutes,
        gates={name: getattr(asked, name) for name in GATES},
        each=asked.each,
        setfit_steps=asked.setfit_steps,
    )


def _write(setting: Setting, name: str, result: Mapping[str, Any]) -> None:
    (setting.results / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
