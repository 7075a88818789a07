"""How soon is drift seen, and how often where there is none? Streams of real rows, one after the other.

`python -m benchmarks.drift FILE --text COLUMN --label COLUMN [--other FILE:COLUMN ...]` launches a small network on
some rows of a csv file, or takes a `--bundle` that was launched on it, has it answer the rows, and asks `trimtab watch`
about streams of them, each against a baseline that is drawn anew:

- streams in which nothing moves, of 5,000 rows or as many as there are;
- streams in which from the first row on two classes come 70 to 30, where the baseline has them 50 to 50;
- streams of the texts of another file;
- simulated answers whose shares move, against baselines of different sizes.

The second and third draw on rows that the bundle did not learn from alone. The first may draw on all: what matters
there is that the rows of a baseline and of a stream come from the same ones by chance.
"""

from __future__ import annotations

import argparse
import csv
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import trimtab
from trimtab import runtime
from trimtab.bundle import reference, store
from trimtab.data import dedup
from trimtab.data.table import Origin, Table
from trimtab.rows import Row
from trimtab.watch import answering, baseline
from trimtab.watch.evidence import Evidence
from trimtab.watch.log import Entry, Kept
from trimtab.watch.sketch import Sketcher, kinds, stacked
from trimtab.watch.subject import Subject
from trimtab.watch.watching import Watcher

MOST = 5000  # rows of a stream in which nothing moves
SHORT = 1000  # rows of a stream in which something does


@dataclass(frozen=True)
class Pool:
    """Rows that the bundle answered."""

    entries: Sequence[Entry]
    labels: Sequence[str]
    fresh: np.ndarray  # places of those that it did not learn from


@dataclass(frozen=True)
class Seen:
    """What a stream raised: rows until the first alarm, and what it was; no rows where there was none."""

    rows: float
    what: str


def main() -> None:
    """Print rows until an alarm, and alarms where nothing moved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--text", default="text")
    parser.add_argument("--label", default="label")
    parser.add_argument("--other", action="append", default=[], help="FILE:COLUMN, texts of another kind")
    parser.add_argument("--bundle", help="one that was launched on the file")
    parser.add_argument("--train", type=int, default=1700, help="rows that the launch gets")
    parser.add_argument("--baseline", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    simulated()
    with tempfile.TemporaryDirectory() as folder:
        run(asked, Path(folder))


def run(asked: argparse.Namespace, folder: Path) -> None:
    """Launch, answer, and watch stream after stream."""
    random = np.random.default_rng(asked.seed)
    with open(asked.data, encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row[asked.text] and row[asked.label]]
    random.shuffle(rows)  # type: ignore[arg-type]
    if asked.bundle is None:
        model, rows = launched(rows[: asked.train], asked, folder), rows[asked.train :]
    else:
        model = runtime.load(asked.bundle)
    texts, labels = ([row[name] for row in rows] for name in (asked.text, asked.label))
    pool = Pool(answered(model, texts, asked.text), labels, np.flatnonzero(~learnt(model, texts)))
    subject = replace(Subject.of(model), baseline=None)

    length = min(MOST, len(labels) - asked.baseline)
    everything = np.arange(len(labels))
    still = [watched(subject, *drawn(random, everything, asked.baseline, length), pool) for _ in range(asked.streams)]
    alarms = [one for one in still if math.isfinite(one.rows)]
    print(
        f"nothing moves, {length:,} rows: {len(alarms)} of {asked.streams} streams raise an alarm", *alarms, flush=True
    )

    size = min(asked.baseline, len(pool.fresh) // 3)
    shifted = [watched(subject, *balanced(random, pool, size), pool) for _ in range(asked.streams)]
    first, then = balanced(random, pool, size)
    told(f"50/50 -> 70/30, {len(then):,} rows, baseline {len(first):,}", shifted)
    for other in asked.other:
        path, _, column = other.rpartition(":")
        found = against(subject, model, pool, path, column, asked, random)
        told(f"-> {Path(path).parent.name}/{Path(path).name}", found)


def simulated() -> None:
    """A shift of two classes from 50/50 to 70/30, of which a tenth is answered wrong, seen by the answers alone."""
    for rows in (250, 440, 600, 1000, 1500):
        random = np.random.default_rng(6)
        pool = random.multinomial(rows, [0.5, 0.5], size=400)
        found = Evidence(pool.astype(float), np.full(400, 2), np.full(400, math.log(900)))
        found.add((random.random((SHORT, 400)) < 0.34).astype(np.uint8))
        crossed = found.crossed[found.crossed > 0]
        said = f"{len(crossed) / 400:.1%} found within {SHORT:,} rows, median {np.median(crossed):.0f}"
        print(f"simulated answers 50% -> 66%, baseline {rows:,}: {said}", flush=True)


def learnt(model: runtime.Model, texts: Sequence[str]) -> np.ndarray:
    """Which texts are among the training rows of a bundle, (rows,) bool."""
    assert model.folder is not None
    (column,) = model.inputs
    table = Table({column.name: list(texts)}, [Origin("", 1)] * len(texts))
    known = reference.seen(model.folder / store.REFERENCE).get("train", np.zeros(0, np.uint32))
    return np.asarray(np.isin(dedup.fingerprint(dedup.keys(table, {column.name: column.type})), known))


def launched(rows: Sequence[dict[str, str]], asked: argparse.Namespace, folder: Path) -> runtime.Model:
    """A small convolutional network, launched on some rows."""
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as stream:
        sink = csv.DictWriter(stream, [asked.text, asked.label], extrasaction="ignore")
        sink.writeheader()
        sink.writerows(rows)
    lines = [
        f"data: {folder / 'rows.csv'}",
        f"inputs: {{{asked.text}: {{type: text, encoder: textcnn}}}}",
        f"output: {asked.label}",
        "train: {epochs: 4}",
    ]
    (folder / "trimtab.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    release = trimtab.launch(folder / "trimtab.yaml", runs=folder / "runs")
    print(f"accuracy {release.manifest.measured['accuracy'].value:.3f}, {len(rows):,} rows")
    return runtime.load(release.folder)


def answered(model: runtime.Model, texts: Sequence[str], column: str) -> list[Entry]:
    """Texts as a log holds them."""
    (name,) = [one.name for one in model.inputs]
    portion = [Row({name: text}, 0) for text in texts]
    sketcher = Sketcher.of(model)
    parts = [portion[start : start + 500] for start in range(0, len(portion), 500)]
    return [entry for part in parts for entry in answering.entries(model, sketcher, part, Path())]


def drawn(random: np.random.Generator, rows: np.ndarray, first: int, then: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a baseline, and others of a stream."""
    order = random.permutation(rows)
    return order[:first], order[first : first + then]


def balanced(random: np.random.Generator, pool: Pool, first: int) -> tuple[np.ndarray, np.ndarray]:
    """A baseline of two classes, half of each, and a stream of 70% of the more frequent one."""
    labels = np.array(pool.labels)[pool.fresh]
    names, counts = np.unique(labels, return_counts=True)
    more, less = names[np.argsort(-counts)[:2]]
    ups, downs = (random.permutation(pool.fresh[labels == name]) for name in (more, less))
    half = min(first, len(downs)) // 2
    most = min(SHORT, int((len(downs) - half) / 0.3), int((len(ups) - half) / 0.7))
    stream = np.concatenate([ups[half : half + round(0.7 * most)], downs[half : half + round(0.3 * most)]])
    return np.concatenate([ups[:half], downs[:half]]), random.permutation(stream)


def against(
    subject: Subject,
    model: runtime.Model,
    pool: Pool,
    path: str,
    column: str,
    asked: argparse.Namespace,
    random: np.random.Generator,
) -> list[Seen]:
    """Streams of the texts of another file."""
    with open(path, encoding="utf-8", newline="") as stream:
        texts = [row[column] for row in csv.DictReader(stream) if row[column]]
    texts = [texts[place] for place in random.permutation(len(texts))[:SHORT]]
    other = answered(model, texts, asked.text)
    found = []
    for _ in range(asked.streams):
        first, _ = drawn(random, pool.fresh, asked.baseline, 0)
        stream_of = [other[place] for place in random.permutation(len(other))]
        found.append(seen(subject, first, stream_of, pool))
    return found


def watched(subject: Subject, first: np.ndarray, then: np.ndarray, pool: Pool) -> Seen:
    """What the rows of a stream raise against those of a baseline."""
    return seen(subject, first, [pool.entries[row] for row in then], pool)


def seen(subject: Subject, first: np.ndarray, stream: Sequence[Entry], pool: Pool) -> Seen:
    """What entries raise against a baseline."""
    sketches = [pool.entries[row].sketch for row in first]
    found = stacked(sketches, kinds(sketches))
    known = baseline.fitted(found, len(first))
    known = baseline.with_labels(known, found, subject.output, [pool.labels[row] for row in first])
    watcher = Watcher(subject, known)
    watcher.add(Kept(place, entry, None, False) for place, entry in enumerate(stream, 1))
    alarms = [one for one in watcher.report().movements if one.alarm]
    if not alarms:
        return Seen(math.inf, "")
    soonest = min(alarms, key=lambda one: one.found or 0)
    return Seen(soonest.found or 0, f"{soonest.column}: {soonest.what}")


def told(name: str, found: Sequence[Seen]) -> None:
    """How many streams raised an alarm, after how many rows, and what raised it most often."""
    rows = np.array([one.rows for one in found if math.isfinite(one.rows)])
    what = max((one.what for one in found), key=[one.what for one in found].count)
    after = f", after {np.median(rows):.0f} rows (median), {rows.max():.0f} at most; mostly {what}" if len(rows) else ""
    print(f"{name}: {len(rows)} of {len(found)} streams raise an alarm{after}", flush=True)


if __name__ == "__main__":
    main()
