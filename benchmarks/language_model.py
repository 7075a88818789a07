"""A language model that answers questions in words: as it is, with examples, and taught; and how fast it writes.

`python -m benchmarks.language_model --data trec6.csv --results out` asks `smollm2` what each question asks for, in
words: with no examples, with 8 training rows before each, and after LoRA on 400 rows (`--ways none eight lora`). With
`--speed` the tokens/s of its step in fp32, int8 and int4 beside `transformers.generate` on the same cores, and whether
greedy answers are the same. Nothing is audited: the test rows are answered by the files that a launch would make.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from trimtab import programs, runtime
from trimtab import spec as specs
from trimtab.audit import quality
from trimtab.audit.cost import machine
from trimtab.columns import EncodedRows, Prompt, encode_rows, named
from trimtab.nets.encoders.causal import CausalEncoder
from trimtab.nets.fitted import FittedNetwork
from trimtab.pipeline import training
from trimtab.progress import Progress, Quiet
from trimtab.request import Request, check
from trimtab.search import assembly
from trimtab.search.assembly import Candidate, EncodedSplits

WORDS = {
    "ABBR": "an abbreviation",
    "DESC": "a description",
    "ENTY": "a thing",
    "HUM": "a person",
    "LOC": "a place",
    "NUM": "a number",
}
PROMPT = {"template": "Question: {question}\nIt asks for:", "chat": False}
ROWS = {"train": 400, "valid": 40, "test": 200}
WAYS: dict[str, Mapping[str, Any]] = {
    "none": {"method": {"name": "prompt", "examples": 0}},
    "eight": {"method": {"name": "prompt", "examples": 8}},
    "lora": {"method": "lora", "epochs": 2},
}
SHOWN = ("perplexity", "exact_match", "token_f1", "stopped")
SEED = 7
PROMPTS, TOKENS, TIMED = 50, 24, 12  # prompts that are answered, tokens of each, prompts that are timed


def main() -> None:
    """Make what is asked for, measure it and write it down."""
    asked = _arguments()
    torch.set_num_threads(asked.threads)
    asked.results.mkdir(parents=True, exist_ok=True)
    rows = asked.results / "questions.csv"
    _write(asked.data, rows)
    found: dict[str, Any] = {"machine": machine(), "threads": asked.threads}
    for way in asked.ways:
        made = _made(rows, way, asked.results / way)
        found[way] = _answers(made)
        print(json.dumps({way: found[way]}), flush=True)
    if asked.speed:  # of the last one that was made, or of the model as it is
        last = made if asked.ways else _made(rows, "none", asked.results / "none")
        found["speed"] = _speed(last, asked.results / "speed", asked.threads)
        print(json.dumps({"speed": found["speed"]}), flush=True)
    target = asked.results / f"{'-'.join([*asked.ways, *(['speed'] if asked.speed else [])])}.json"
    target.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="trec6.csv: text, label")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=[])
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _write(source: Path, target: Path) -> None:
    """Rows at random, each question once: question, answer, split."""
    with source.open(encoding="utf-8", newline="") as file:
        pairs = sorted({(row["text"], WORDS[row["label"]]) for row in csv.DictReader(file)})
    random.Random(SEED).shuffle(pairs)
    splits = [name for name, count in ROWS.items() for _ in range(count)]
    with target.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["question", "answer", "split"])
        table.writerows((*pair, split) for pair, split in zip(pairs, splits, strict=False))


class Made(NamedTuple):
    """What `trimtab launch` makes before its audit, and the seconds of training."""

    request: Request
    whole: FittedNetwork
    candidate: Candidate
    seconds: float


def _made(rows: Path, way: str, home: Path) -> Made:
    said = {
        "data": str(rows.resolve()),
        "base": "smollm2",
        "inputs": {"question": "text"},
        "output": {"answer": {"type": "text", "beams": 1}},
        "prompt": PROMPT,
        "split": "split",
        "train": dict(WAYS[way]),
        "compress": "none",
        "seed": SEED,
    }
    progress: Progress = Quiet()
    request = check(specs.parse(said), Path(), home, progress)
    network, trained, _ = training.train(request, home / "work" / "train", progress)
    whole = FittedNetwork(network, request.architecture, request.inputs, request.output)
    candidate, _ = assembly.assemble(request, whole, home / "work" / "bundle", progress)
    return Made(request, whole, candidate, trained.seconds)


def _answers(made: Made) -> dict[str, Any]:
    """What it answers to the test rows, and what these took."""
    request, _, candidate, seconds = made
    test, model = request.prepared.splits.test, candidate.model
    encoded = encode_rows(model.inputs, test.values)
    targets = model.output.targets(test.values[model.output.name])
    begun = time.perf_counter()
    outputs = model.judged(model.outputs(encoded), encoded, targets)
    answering = time.perf_counter() - begun
    measured = quality.measure(model.output, targets, outputs, SEED)
    shown = {name: measured[name].model_dump() for name in SHOWN if name in measured}
    first = model.output.decode(outputs)[model.output.name][:5]
    took = {"training_seconds": round(seconds, 1), "answering_seconds": round(answering, 1)}
    return {"measured": shown, "differs": candidate.differs, "first": first, **took}


def _speed(made: Made, home: Path, threads: int) -> dict[str, Any]:
    """Tokens/s, one row after the other, and whether greedy answers are those of `generate`."""
    request, whole, candidate, _ = made
    values = {c.name: request.prepared.splits.test.values[c.name][:PROMPTS] for c in candidate.model.inputs}
    encoded = encode_rows(candidate.model.inputs, values)
    prompts = _prompts(candidate.model, encoded)
    (encoder,) = whole.network.encoders.values()
    assert isinstance(encoder, CausalEncoder)
    found: dict[str, Any] = {"prompt_tokens": float(np.mean([len(prompt) for prompt in prompts]))}
    own, _ = _generated(encoder, prompts, 0)
    written, _ = _written(candidate.model, encoded, never=False, threads=threads)
    found["greedy_alike"] = sum(a == b for a, b in zip(own, written, strict=True))
    encoded = encoded.take(np.arange(TIMED))
    long, seconds = _generated(encoder, prompts[:TIMED], TOKENS)
    found["transformers"] = {"tokens_per_second": sum(map(len, long)) / seconds}
    precisions = {"fp32": candidate}
    for precision in ("int8", "int4"):
        precisions[precision] = assembly.quantized(EncodedSplits(request), candidate, precision, home / precision)
    for name, one in precisions.items():
        ids, seconds = _written(one.model, encoded, never=True, threads=threads)
        size = sum(file.stat().st_size for file in one.folder.glob("step.onnx*")) / 1e6
        found[name] = {"tokens_per_second": sum(map(len, ids)) / seconds, "megabytes": round(size, 1)}
    return found


def _prompts(model: runtime.Model, rows: EncodedRows) -> list[list[int]]:
    prompt = Prompt.model_validate(model.serving.program.options["prompt"])
    columns = {column.key: part for column, part in zip(rows.columns, rows.encoded, strict=True)}
    return [prompt.of({key: _ids(columns[key][row]) for key in prompt.keys}) for row in range(len(rows))]


def _ids(row: Iterable[Any]) -> list[int]:
    return [int(token) for token in row]


@torch.no_grad()
def _generated(encoder: CausalEncoder, prompts: Sequence[Sequence[int]], least: int) -> tuple[list[list[int]], float]:
    """What transformers writes, of at least so many tokens each, and the seconds that it took."""
    model: Any = encoder.model.eval()
    begun, found = time.perf_counter(), []
    for prompt in prompts:
        whole = model.generate(torch.tensor([prompt]), max_new_tokens=TOKENS, min_new_tokens=least, do_sample=False)
        found.append(whole[0, len(prompt) :].tolist())
    return found, time.perf_counter() - begun


def _written(model: runtime.Model, rows: EncodedRows, never: bool, threads: int) -> tuple[list[list[int]], float]:
    """Ids of each row, one row after the other; with `never` an answer never ends by itself."""
    said = {**model.serving.program.options, "longest": TOKENS} | ({"eos": [0]} if never else {})
    program = programs.opened("stepwise", said, model.graphs, "benchmark")
    assert model.folder is not None
    graphs = {}
    for name, graph in model.graphs.items():
        session = runtime.open_session(model.folder / graph.entry.file, threads)
        graphs[name] = runtime.Answering(runtime.Graph(session, graph.entry), model.output)
    begun, found = time.perf_counter(), []
    for row in range(len(rows)):
        ids = named(program.run(graphs, rows.take(np.array([row]))).outputs)["ids"]
        found.append(_ids(np.asarray(ids[0]).reshape(-1)))
    return found, time.perf_counter() - begun


if __name__ == "__main__":
    main()
