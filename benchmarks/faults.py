"""Planted faults: of each, does a launch, an audit or a load end in a failed gate or in a refusal that names the cause?

`python -m benchmarks.faults` makes a bundle of the sample of reviews and tables of its own, plants 26 faults one by one
and then makes clean runs under the same gates, none of which may fail. Small networks, so that all of it takes minutes.
A fault counts as caught where the exit code is not 0 and the message has the word that names its cause.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from trimtab.bundle import store

Row = dict[str, str]
SHARES = ((0.8, "train"), (0.9, "valid"), (1.0, "test"))
GATES = {
    "accuracy": ">= 0.7",
    "calibration_error": "<= 0.15",
    "data.conflicting_rows": "<= 0.02",
    "data.giveaway_columns": "<= 0",
    "data.label_errors": "<= 0.15",
    "data.leaked_rows": "<= 0.02",
    "privacy.membership_auc": "<= 0.85",
    "worst_slice.accuracy": ">= 0.5",
}
OF_TEXTS = {"robustness.typos": ">= 0.85"}
TEXT = {"type": "text", "encoder": "textcnn"}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    said: str


@dataclass(frozen=True)
class Lab:
    """A folder to work in, with a clean bundle of texts, and rows that it has not seen."""

    folder: Path
    reviews: Sequence[Row]
    epochs: int = 4

    @property
    def bundle(self) -> Path:
        """The clean bundle."""
        return self.folder / "runs" / "clean" / "bundle"

    def new(self, name: str) -> Path:
        """An empty folder for a fault."""
        made = self.folder / "faults" / re.sub(r"\W+", "-", name)
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        return made


def trimtab(*arguments: object, folder: Path) -> Ended:
    """Run a command of Trimtab."""
    command = [sys.executable, "-m", "trimtab", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", errors="replace")
    return Ended(done.returncode, f"{done.stdout}\n{done.stderr}")


def write(path: Path, rows: Sequence[Row]) -> Path:
    """A csv of rows."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def launched(folder: Path, rows: Sequence[Row], output: str, runs: Path | None = None, **keys: Any) -> Ended:
    """Launch on rows under the gates; `keys` are more of the spec, `gates` beside those of all."""
    gates = {**GATES, **keys.pop("gates", {})}
    name = keys.pop("name", "fault")
    spec = {"data": "rows.csv", "output": output, "name": name, "gates": gates, **keys}
    write(folder / "rows.csv", rows)
    (folder / "spec.yaml").write_text(json.dumps(spec), encoding="utf-8")  # JSON is YAML
    return trimtab("launch", "spec.yaml", "--runs", runs or "runs", folder=folder)


def audited(lab: Lab, folder: Path, rows: Sequence[Row], *settings: str, bundle: Path | None = None) -> Ended:
    """Audit a bundle on rows."""
    asked = [word for setting in settings for word in ("--set", setting)]
    data = write(folder / "rows.csv", rows)
    return trimtab("audit", bundle or lab.bundle, data, *asked, "--to", folder / "card", folder=folder)


# ------------------------------------------------------------------------------------------------ in the bundle


def copied(lab: Lab, folder: Path) -> Path:
    """A copy of the clean bundle, to be damaged."""
    shutil.copytree(lab.bundle, folder / "bundle")
    return folder / "bundle"


def hashed_again(bundle: Path) -> None:
    """Hash all files anew, as a build would that made the fault itself."""
    store.write_manifest(bundle, store.read_manifest(bundle))


def edited(bundle: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change a JSON file, and hash the bundle again."""
    path = bundle / name
    path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")
    hashed_again(bundle)


def changed_byte(lab: Lab, folder: Path) -> Ended:
    """One bit of the weights flips."""
    bundle = copied(lab, folder)
    largest = max(bundle.glob("model.onnx*"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(bytes(content))
    return trimtab("predict", bundle, write(folder / "rows.csv", lab.reviews[:5]), folder=folder)


def truncated_file(lab: Lab, folder: Path) -> Ended:
    """A copy stops half way."""
    bundle = copied(lab, folder)
    largest = max(bundle.glob("model.onnx*"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    return trimtab("predict", bundle, write(folder / "rows.csv", lab.reviews[:5]), folder=folder)


def pickle_inside(lab: Lab, folder: Path) -> Ended:
    """Somebody puts a pickle beside the network."""
    bundle = copied(lab, folder)
    (bundle / "model.pkl").write_bytes(b"\x80\x04cposix\nsystem\n.")
    return trimtab("verify", bundle, folder=folder)


def newer_format(lab: Lab, folder: Path) -> Ended:
    """A bundle of a later version."""
    bundle = copied(lab, folder)
    for name in ("serving.json", "manifest.json"):
        values = json.loads((bundle / name).read_text(encoding="utf-8"))
        (bundle / name).write_text(json.dumps({**values, "format_version": 99}), encoding="utf-8")
    return trimtab("predict", bundle, write(folder / "rows.csv", lab.reviews[:5]), folder=folder)


def swapped_label_map(lab: Lab, folder: Path) -> Ended:
    """The names of the classes are in another order than the network has them."""
    bundle = copied(lab, folder)
    edited(bundle, "columns/sentiment.json", lambda column: {**column, "classes": column["classes"][::-1]})
    return audited(lab, folder, lab.reviews, bundle=bundle)


def wrong_tokenizer(lab: Lab, folder: Path) -> Ended:
    """The tokenizer of another network: the same tokens, with other numbers."""

    def rotated(tokenizer: Any) -> Any:
        tokens = tokenizer["model"]["vocab"]
        special = {token["content"] for token in tokenizer.get("added_tokens", [])}
        words = [token for token in tokens if token not in special]
        moved = dict(zip(words, [*words[500:], *words[:500]], strict=True))
        tokenizer["model"]["vocab"] = {moved.get(token, token): number for token, number in tokens.items()}
        return tokenizer

    bundle = copied(lab, folder)
    edited(bundle, "columns/review.tokenizer.json", rotated)
    return audited(lab, folder, lab.reviews, bundle=bundle)


def wrong_length(lab: Lab, folder: Path) -> Ended:
    """Texts are cut after three tokens."""
    bundle = copied(lab, folder)
    edited(bundle, "columns/review.json", lambda column: {**column, "max_tokens": 3})
    return audited(lab, folder, lab.reviews, bundle=bundle)


def other_preprocessing(lab: Lab, folder: Path) -> Ended:
    """Letters are no longer made small before they are looked up, and rows come in capitals."""

    def cased(tokenizer: Any) -> Any:
        return {**tokenizer, "normalizer": None}

    bundle = copied(lab, folder)
    edited(bundle, "columns/review.tokenizer.json", cased)
    return audited(lab, folder, [{**row, "review": row["review"].upper()} for row in lab.reviews], bundle=bundle)


def saturated_weights(lab: Lab, folder: Path) -> Ended:
    """Weights are quantized by a scale that is a hundred times too small, so that nearly all are at its end."""
    bundle = copied(lab, folder)
    model = onnx.load(bundle / "model.onnx")
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim >= 2 and values.dtype == np.float32:
            end = np.abs(values).max() / 100
            tensor.CopyFrom(numpy_helper.from_array(np.clip(values, -end, end), tensor.name))
    for old in bundle.glob("model.onnx*"):
        old.unlink()
    onnx.save(model, bundle / "model.onnx", save_as_external_data=True, location="model.onnx.data")
    hashed_again(bundle)
    return audited(lab, folder, lab.reviews, bundle=bundle)


def over_confident(lab: Lab, folder: Path) -> Ended:
    """Every answer is given as nearly certain."""
    bundle = copied(lab, folder)
    edited(bundle, "columns/sentiment.json", lambda column: {**column, "temperature": 0.03})
    return audited(lab, folder, lab.reviews, bundle=bundle)


# ------------------------------------------------------------------------------------------------- in the rows


def missing_column(lab: Lab, folder: Path) -> Ended:
    """The server sends the text under another name."""
    rows = [{"reviews": row["review"]} for row in lab.reviews[:20]]
    return trimtab("predict", lab.bundle, write(folder / "rows.csv", rows), folder=folder)


def missing_group(lab: Lab, folder: Path) -> Ended:
    """Groups are to be compared, and no column says them."""
    return audited(lab, folder, lab.reviews, "protected=gender")


def stale_data(lab: Lab, folder: Path) -> Ended:
    """What people mean has moved on: a third of the rows are judged otherwise today."""
    turned = {"positive": "negative", "negative": "positive"}
    rows = [{**row, "sentiment": turned[row["sentiment"]]} if n % 3 == 0 else row for n, row in enumerate(lab.reviews)]
    return audited(lab, folder, rows)


def extreme_lengths(lab: Lab, folder: Path) -> Ended:
    """What matters stands behind 600 words that say nothing."""
    filler = " ".join(["and so it was that we went on and on"] * 70)
    return audited(lab, folder, [{**row, "review": f"{filler} {row['review']}"} for row in lab.reviews])


def not_utf8(lab: Lab, folder: Path) -> Ended:
    """A file that is no text."""
    junk = np.random.default_rng(3).integers(0, 256, 20_000, dtype=np.uint8).tobytes()
    (folder / "rows.csv").write_bytes(junk)
    return trimtab("audit", lab.bundle, folder / "rows.csv", folder=folder)


def unseen_categories(lab: Lab, folder: Path) -> Ended:
    """A new kind of machine that training never saw."""
    made = launched(folder, table(1), "risk", gates=_LEARNT)
    if made.code:
        return Ended(0, f"the clean launch failed: {made.said}")
    rows = [{**row, "shop": "moon" if n % 2 else row["shop"]} for n, row in enumerate(table(2)[:200])]
    data = write(folder / "new.csv", rows)
    return trimtab("predict", "runs/fault/bundle", data, "-o", "out.csv", "--most-unread", "5%", folder=folder)


def other_unit(lab: Lab, folder: Path) -> Ended:
    """Grams where training had kilograms."""
    made = launched(folder, table(1), "risk", gates=_LEARNT)
    if made.code:
        return Ended(0, f"the clean launch failed: {made.said}")
    rows = write(folder / "new.csv", [{**row, "weight": f"{float(row['weight']) * 1000:.3f}"} for row in table(2)])
    return trimtab("audit", "runs/fault/bundle", rows, folder=folder)


# -------------------------------------------------------------------------------------------------- in the data

_LEARNT = {"accuracy": ">= 0.8"}


def table(seed: int, rows: int = 1500) -> list[Row]:
    """A table whose column `risk` follows from two numbers and a name, but for 5% of its rows."""
    draw = random.Random(seed)
    found = []
    for _ in range(rows):
        weight, age, shop = draw.gauss(70, 10), draw.gauss(45, 12), draw.choice(["north", "south", "west"])
        score = (weight - 70) / 10 + (age - 45) / 12 + {"north": 1.0, "south": -1.0, "west": 0.0}[shop]
        high = (score > 0) != (draw.random() < 0.05)
        found.append({"weight": f"{weight:.3f}", "age": f"{age:.2f}", "shop": shop, "risk": "high" if high else "low"})
    return found


def split(rows: Sequence[Row]) -> list[Row]:
    """Rows with a column that says where each belongs."""
    return [
        {**row, "split": next(name for end, name in SHARES if number < end * len(rows))}
        for number, row in enumerate(rows)
    ]


def leak(lab: Lab, folder: Path) -> Ended:
    """A third of the test rows stand in the training file too, with a word more: equal ones would be removed."""
    rows = split(lab.reviews)
    test = [row for row in rows if row["split"] == "test"]
    copies = [{**row, "review": f"{row['review']} indeed", "split": "train"} for row in test[::3]]
    keys = {"inputs": {"review": TEXT}, "split": "split", "train": {"epochs": lab.epochs}}
    return launched(folder, [*rows, *copies], "sentiment", gates=OF_TEXTS, clean={"duplicates": "keep"}, **keys)


def duplicated_rows(lab: Lab, folder: Path) -> Ended:
    """Every fifth row comes again, and is judged otherwise."""
    turned = {"positive": "negative", "negative": "positive"}
    again = [{**row, "sentiment": turned[row["sentiment"]]} for row in lab.reviews[::5]]
    return of_texts(lab, folder, [*lab.reviews, *again], clean={"duplicates": "keep"})


def of_texts(lab: Lab, folder: Path, rows: Sequence[Row], **keys: Any) -> Ended:
    """A launch on texts."""
    keys = {"inputs": {"review": TEXT}, "train": {"epochs": lab.epochs}, **keys}
    return launched(folder, rows, "sentiment", **{**keys, "gates": {**OF_TEXTS, **keys.get("gates", {})}})


def shuffled_labels(lab: Lab, folder: Path) -> Ended:
    """The labels were sorted apart from their texts."""
    labels = [row["sentiment"] for row in lab.reviews]
    random.Random(5).shuffle(labels)
    return of_texts(lab, folder, [{**row, "sentiment": own} for row, own in zip(lab.reviews, labels, strict=True)])


def label_noise(lab: Lab, folder: Path) -> Ended:
    """A fifth of the labels is wrong."""
    draw, turned = random.Random(6), {"high": "low", "low": "high"}
    rows = [{**row, "risk": turned[row["risk"]]} if draw.random() < 0.2 else row for row in table(3)]
    return launched(folder, rows, "risk", gates={"accuracy": ">= 0.6"})


def memorised_rows(lab: Lab, folder: Path) -> Ended:
    """A large network learns few noisy rows by heart."""
    draw = random.Random(7)
    rows = [{**row, "sentiment": draw.choice(["positive", "negative"])} for row in lab.reviews[:500]]
    gates = {"accuracy": ">= 0.3", "data.label_errors": "<= 0.9", "worst_slice.accuracy": ">= 0.1"}
    keys = {"train": {"epochs": 40, "patience": 40, "ema_decay": 0}, "gates": {**gates, "calibration_error": "<= 1"}}
    return of_texts(lab, folder, rows, **keys)


def worse_group(lab: Lab, folder: Path) -> Ended:
    """Of one group in five the labels follow from nothing."""
    draw, rows = random.Random(8), table(4, 3000)
    for row in rows:
        row["town"] = draw.choice("ABCDE")
        if row["town"] == "E":
            row["risk"] = draw.choice(["high", "low"])
    keys = {"protected": "town", "keep": "town", "gates": {"fairness.accuracy_gap(town)": "<= 0.15"}}
    return launched(folder, rows, "risk", **keys)


def dead_class(lab: Lab, folder: Path) -> Ended:
    """A class that is rare and looks like the others is never answered."""
    draw = random.Random(9)
    rows = [{**row, "risk": "fraud"} if draw.random() < 0.03 else row for row in table(5, 2500)]
    return launched(folder, rows, "risk", gates={"recall.fraud": ">= 0.3"}, train={"class_weights": "none"})


def fragile(lab: Lab, folder: Path) -> Ended:
    """The answer hangs on one long word, in which any wrong letter hides it."""
    draw = random.Random(10)
    words = {
        "positive": ["magnificently", "extraordinary", "unforgettable"],
        "negative": ["disappointing", "unacceptable", "embarrassingly"],
    }
    rows = []
    for number in range(1500):
        label = draw.choice(list(words))
        text = f"{draw.choice(words[label])} {number:04d}"
        rows.append({"review": text, "sentiment": label})
    return of_texts(lab, folder, rows)


def answer_giving_column(lab: Lab, folder: Path) -> Ended:
    """A column that is filled in only after the answer is known."""
    rows = [{**row, "letter": f"{row['risk']}-{n % 7}"} for n, row in enumerate(table(11))]
    return launched(folder, rows, "risk")


@dataclass(frozen=True)
class Fault:
    """A fault, and the word that a message has to have which names its cause."""

    plant: Callable[[Lab, Path], Ended]
    cause: str  # a regular expression
    name: str = field(default="")

    @property
    def title(self) -> str:
        """What it is called."""
        return self.plant.__name__.replace("_", " ")


FAULTS = (
    Fault(changed_byte, r"sha256|changed|damaged|differs"),
    Fault(truncated_file, r"sha256|bytes|damaged|differs"),
    Fault(pickle_inside, r"model\.pkl"),
    Fault(newer_format, r"format"),
    Fault(swapped_label_map, r"accuracy"),
    Fault(wrong_tokenizer, r"golden row|accuracy"),
    Fault(wrong_length, r"golden row|accuracy"),
    Fault(other_preprocessing, r"golden row|accuracy"),
    Fault(saturated_weights, r"golden row|accuracy"),
    Fault(over_confident, r"calibration_error"),
    Fault(missing_column, r"review"),
    Fault(missing_group, r"gender"),
    Fault(stale_data, r"accuracy"),
    Fault(extreme_lengths, r"cut off"),
    Fault(not_utf8, r"rows\.csv"),
    Fault(unseen_categories, r"shop"),
    Fault(other_unit, r"weight"),
    Fault(leak, r"data\.leaked_rows"),
    Fault(duplicated_rows, r"data\.conflicting_rows"),
    Fault(shuffled_labels, r"accuracy"),
    Fault(label_noise, r"data\.label_errors"),
    Fault(memorised_rows, r"privacy\.membership_auc"),
    Fault(worse_group, r"fairness\.accuracy_gap"),
    Fault(dead_class, r"recall\.fraud"),
    Fault(fragile, r"robustness\.typos"),
    Fault(answer_giving_column, r"data\.giveaway_columns"),
)


def caught(fault: Fault, ended: Ended) -> bool:
    """Whether it did not end well, and the message names the cause."""
    return ended.code in (1, 2) and re.search(fault.cause, missed(ended)) is not None


def missed(ended: Ended) -> str:
    """Of a launch or an audit the gates that were missed and what was told; of anything else all that was said."""
    lines = ended.said.splitlines()
    return "\n".join(line for line in lines if not re.search(r"\bmet\s*$", line) or "not met" in line)


def clean_run(lab: Lab, seed: int) -> Ended:
    """A launch with nothing planted: of reviews, or of a table."""
    folder = lab.new(f"clean-{seed}")
    if seed % 2:
        return launched(folder, table(100 + seed), "risk", gates=_LEARNT)
    rows = list(lab.reviews)
    random.Random(seed).shuffle(rows)
    return of_texts(lab, folder, rows[: len(rows) * 4 // 5], seed=seed)


def lab_of(folder: Path, epochs: int = 4) -> Lab:
    """Fetch the sample and make the clean bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "reviews.csv").is_file():
        trimtab("sample", "reviews", "--to", "reviews.csv", folder=folder)
    with (folder / "reviews.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    random.Random(1).shuffle(rows)
    lab = Lab(folder.resolve(), rows, epochs)
    made = of_texts(lab, lab.folder, rows, name="clean")
    if made.code:
        raise SystemExit(f"the clean launch failed:\n{made.said}")
    return lab


def main() -> None:
    """Plant every fault, then make clean runs, and tell how many were caught and how many alarms were false."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/faults"))
    parser.add_argument("--only", nargs="*", default=[], help="words of the faults that are planted")
    parser.add_argument("--clean", type=int, default=20, help="clean runs")
    options = parser.parse_args()
    lab = lab_of(options.folder)
    chosen = [fault for fault in FAULTS if not options.only or any(word in fault.title for word in options.only)]
    found = 0
    for fault in chosen:
        ended = fault.plant(lab, lab.new(fault.title))
        ok = caught(fault, ended)
        found += ok
        said = [line.strip() for line in missed(ended).splitlines() if re.search(fault.cause, line)]
        print(
            f"{'caught' if ok else 'MISSED':7} exit {ended.code}  {fault.title}: {(said or [''])[-1][:140]}", flush=True
        )
    print(f"{found} of {len(chosen)} faults caught", flush=True)
    alarms = 0
    for seed in range(options.clean):
        ended = clean_run(lab, seed)
        alarms += ended.code != 0
        if ended.code:
            said = [line for line in ended.said.splitlines() if "not met" in line] or ended.said.splitlines()[-3:]
            print(f"false alarm, clean run {seed}: {said}", flush=True)
    print(f"{alarms} false alarms in {options.clean} clean runs")


if __name__ == "__main__":
    main()
