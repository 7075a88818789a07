"""`trimtab adapt`: a bundle learns more rows, keeps what it knew, and is released only where that is shown."""

from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import trimtab
from trimtab import columns, runtime
from trimtab.__main__ import main
from trimtab.adapt import splits
from trimtab.audit import paired
from trimtab.bundle import reference, store
from trimtab.columns import Ragged
from trimtab.data import dedup, read
from trimtab.data.table import Table
from trimtab.errors import TrimtabError
from trimtab.nets import fitted, growing
from trimtab.nets.network import Architecture, one_each
from trimtab.pipeline import Release, feedback
from trimtab.pipeline.adapting import adapt
from trimtab.progress import Quiet
from trimtab.train import loop
from trimtab.watch.log import Entry, Label, open_log

SHIFT = {"a": 0.0, "b": 0.0, "c": 0.0, "d": 4.0}  # what a shop adds to its scores


def visits(count: int, shops: str, seed: int, lost: float = 0.0) -> list[dict[str, Any]]:
    """Rows whose answer is told by a score and a shop; a share `lost` of them has an answer of its own."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        score, shop = draw.gauss(0, 1), draw.choice(shops)
        outcome = "returns" if score + SHIFT[shop] > 0 else "leaves"
        rows.append({"score": f"{score:.5f}", "shop": shop, "outcome": "asks" if draw.random() < lost else outcome})
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        sink = csv.DictWriter(stream, list(rows[0]))
        sink.writeheader()
        sink.writerows(rows)
    return path


class Made(NamedTuple):
    folder: Path
    bundle: Path
    release: Release


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A bundle of 500 visits to three shops."""
    folder = tmp_path_factory.mktemp("adapt")
    write(folder / "visits.csv", visits(500, "abc", 0))
    spec = folder / "visits.yaml"
    inputs = "inputs: {score: number, shop: category}"
    spec.write_text(f"data: visits.csv\n{inputs}\noutput: outcome\ntrain: {{epochs: 6}}\n", encoding="utf-8")
    release = trimtab.launch(spec, runs=folder / "runs")
    return Made(folder, release.folder, release)


@pytest.fixture(scope="module")
def adapted(made: Made) -> Release:
    """The same, having learnt 240 visits to a new shop, some with a new outcome."""
    rows = visits(230, "d", 1, 0.2) + visits(10, "abc", 0)  # the last ones are known
    return adapt(made.bundle, write(made.folder / "october.csv", rows))


# ------------------------------------------------------------------------------------------------- a whole adaptation


def test_it_is_released_because_new_rows_gain_and_old_ones_lose_nothing(adapted: Release) -> None:
    found = adapted.manifest.evidence["adapted"]
    assert adapted.released, adapted.manifest.why
    assert adapted.manifest.measured["gain"].value > 0.1
    assert found["new"]["p"] < paired.SURE
    (gate,) = [gate for gate in adapted.manifest.gates if gate.name == "forgetting"]
    assert (gate.asked, gate.met) == ("<= 0.01", True)
    assert set(found["old"]) >= {"before", "after", "change", "rows"}


def test_classes_and_categories_are_added_behind_those_that_were_known(made: Made, adapted: Release) -> None:
    before, after = runtime.load(made.bundle), runtime.load(adapted.folder)
    assert after.output.classes == (*before.output.classes, "asks")
    assert after.inputs[1].categories == (*before.inputs[1].categories, "d")
    assert after.inputs[0] == before.inputs[0]  # its scale is not fitted anew


def test_a_row_that_was_learnt_is_never_measured_on_nor_one_that_was_measured_on_learnt(
    made: Made, adapted: Release
) -> None:
    before, after = (reference.seen(folder / store.REFERENCE) for folder in (made.bundle, adapted.folder))
    assert all(np.isin(before[part], after[part]).all() for part in ("train", "valid"))
    kinds = {"score": "number", "shop": "category"}
    old = read.load(("visits.csv",), made.folder).table
    keys = dedup.fingerprint(dedup.keys(Table({name: old.values[name] for name in kinds}, old.origins), kinds))
    measured = keys[~np.isin(keys, np.concatenate(list(before.values())))]
    assert len(measured) == adapted.manifest.data["adapted"]["old"]["test"]
    assert not np.isin(measured, np.concatenate(list(after.values()))).any()


def test_lineage_and_card_say_what_it_was_adapted_from(made: Made, adapted: Release) -> None:
    (parent,) = adapted.manifest.lineage
    assert parent.hash == made.release.manifest.hash
    assert parent.learnt["new"] == adapted.manifest.data["adapted"]["new"]["train"]
    card = (adapted.folder / "card.html").read_text(encoding="utf-8")
    assert "Adaptation" in card
    assert parent.hash[:12] in card
    (rate,) = [one for one in adapted.manifest.automatic if one.key == "train.learning_rate"]
    assert rate.reason.count(";") == 2  # three rates, each with its figure
    assert adapted.manifest.spec["data"] == ["visits.csv", "october.csv"]


@pytest.mark.slow
def test_an_adapted_bundle_is_adapted_again_and_the_chain_grows(made: Made, adapted: Release) -> None:
    again = adapt(adapted.folder, write(made.folder / "november.csv", visits(120, "d", 5, 0.2)))
    assert [one.hash for one in again.manifest.lineage] == [made.release.manifest.hash, adapted.manifest.hash]
    assert again.manifest.data["adapted"]["old"]["train"] >= adapted.manifest.data["rows"]["train"] - 1


def test_rows_with_answers_by_chance_are_not_released_and_the_command_ends_with_1(made: Made) -> None:
    draw = random.Random(3)
    rows = [{**row, "outcome": draw.choice(("returns", "leaves"))} for row in visits(120, "abc", 2)]
    new = write(made.folder / "chance.csv", rows)
    settings = ["--set", "train.epochs=1", "--set", "train.learning_rate=1e-4"]
    assert main(["adapt", str(made.bundle), str(new), "-q", *settings]) == 1
    made_here = store.read_manifest(made.folder / "runs" / "visits-chance" / "bundle")
    assert not made_here.released
    assert any(reason.startswith("gain: ") for reason in made_here.why)


@pytest.mark.slow
def test_without_old_rows_earlier_answers_are_kept_and_it_is_said_that_forgetting_is_not_known(
    made: Made, tmp_path: Path
) -> None:
    bundle = shutil.copytree(made.bundle, tmp_path / "runs" / "visits" / "bundle")
    notes: list[str] = []

    class Told:
        def stage(self, name: str, detail: str = "") -> None:
            notes.append(detail)

        def note(self, text: str) -> None:
            notes.append(text)

        def tick(self, *_: Any) -> None: ...

    rows = visits(200, "d", 1, 0.2) + visits(100, "abc", 9)
    found = adapt(bundle, write(tmp_path / "new.csv", rows), folder=tmp_path, progress=Told())
    assert "forgetting" not in found.manifest.measured
    assert any("earlier answers to them are kept" in note for note in notes)
    assert any("name them with --old" in note for note in notes)
    assert "what it has forgotten of them is not known" in (found.folder / "card.html").read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"score": "1", "shops": "a", "outcome": "returns"}] * 20, "did you mean"),
        ([{"score": "1", "shop": "a", "result": "returns"}] * 20, "no column named 'outcome'"),
        ([{"score": f"{n}", "shop": "a", "outcome": ""} for n in range(20)], "no row has a value of 'outcome'"),
        (
            [{"score": f"{n}", "shop": "a", "outcome": f"{n / 7:.3f}"} for n in range(40)],
            "other answers than the bundle",
        ),
        ([{"score": f"{n}", "shop": "a", "outcome": n % 2} for n in range(40)], "other answers than the bundle"),
        ([{"score": f"{n}", "shop": "a", "outcome": f"a tale of {n} woes"} for n in range(40)], "other answers"),
        (visits(40, "abc", 0), "the bundle knows every one of these rows"),
        (visits(5, "d", 7), "only 5 usable rows"),
    ],
)
def test_rows_that_it_cannot_learn_from_are_refused_before_anything_is_spent(
    made: Made, tmp_path: Path, rows: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(TrimtabError, match=said):
        adapt(made.bundle, write(tmp_path / "new.csv", rows), to=tmp_path / "to")
    assert not (tmp_path / "to" / "bundle").exists()


def test_an_empty_file_the_bundles_own_file_and_a_serving_copy_are_refused(made: Made, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("score,shop,outcome\n", encoding="utf-8")
    copy = shutil.copytree(made.bundle, tmp_path / "copy")
    (copy / store.WEIGHTS).unlink()
    new = write(tmp_path / "new.csv", visits(60, "d", 1))
    for bundle, data, said in [
        (made.bundle, tmp_path / "empty.csv", "no rows"),
        (made.bundle, made.folder / "visits.csv", "made of this file"),
        (made.bundle, tmp_path / "none.csv", "no such file"),
        (copy, new, "copy for serving"),
        (tmp_path, new, "is not a bundle"),
    ]:
        with pytest.raises(TrimtabError, match=said):
            adapt(bundle, data, to=tmp_path / "to")


# ------------------------------------------------------------------------------------------------- columns and networks

TEXTS = ["good film", "bad film", "a good play"] * 6


@pytest.mark.parametrize(
    ("kind", "values", "more", "options", "new"),
    [
        ("label", ["b", "a", "b"], ["c", "A", "c"], {}, ("a", "b", "c")),
        ("labels", ["a|b", "b", "a"], ["c|a"], {}, ("a", "b", "c")),
        ("ordinal", [1, 2, 4], [3, 5, 2], {}, ("1", "2", "3", "4", "5")),
        ("ranking", ["x", "y", "y"], ["z", "x"], {}, ("y", "x", "z")),
    ],
)
def test_an_output_keeps_what_it_knew_and_adds_what_is_new(
    kind: str, values: list[Any], more: list[Any], options: dict[str, Any], new: tuple[str, ...]
) -> None:
    before = columns.fit(kind, "y", "y", values, options)
    after = before.extended(more)
    assert after.classes == new
    assert after.extended(values) is after
    places = after.places(before)
    assert len(places) == after.width
    known = [name for name in before.answer_names if name in after.answer_names]
    assert [places[after.answer_names.index(name)] for name in known] == [
        (before.answer_names.index(name),) for name in known
    ]


def test_tags_are_added_with_all_their_borders() -> None:
    before = columns.fit("tags", "y", "y", [["O", "B-per", "I-per"]], {})
    after = before.extended([["B-loc", "O"]])
    assert after.tags == ("O", "B-per", "I-per", "B-loc", "I-loc")
    assert after.places(before)[3] == (1,)


def test_levels_whose_order_is_not_known_stay_as_they_are() -> None:
    before = columns.fit("ordinal", "y", "y", ["low", "high"], {"levels": ["low", "high"]})
    assert before.extended(["middle"]) is before
    assert before.open_options({"levels": ["low", "high"]}) == {"levels": ["low", "high"]}


def test_a_tokenizer_that_was_learnt_gets_letters_and_words_and_one_of_a_base_does_not(tiny_base: Path) -> None:
    before = columns.fit("text", "t", "t", TEXTS, {})
    after = before.extended(["ein großartiger streifen"] * 6)
    assert after.vocabulary > before.vocabulary
    assert after.encode(["good film"])[0].tolist() == before.encode(["good film"])[0].tolist()
    assert len(after.encode(["großartiger"])[0]) == 1
    based = columns.fit("text", "t", "t", TEXTS, {"tokenizer": str(tiny_base / "tokenizer.json")})
    assert based.extended(["großartiger"] * 6) is based


def test_a_grown_network_answers_what_it_knew_as_before() -> None:
    text = columns.fit("text", "t", "t", TEXTS, {})
    shop = columns.fit("category", "shop", "shop", ["n", "s"] * 9, {})
    label = columns.fit("label", "y", "y", ["a", "b"] * 9, {})
    entries = tuple(
        entry.model_copy(update={"name": "static"}) if entry.reads == ("t",) else entry
        for entry in one_each((text, shop))
    )
    shape = Architecture(width=16, encoders=entries, fusion="mean", dropout=0.0, head="label")
    before = fitted.built(shape, (text, shop), label, seed=1)
    more = (text.extended(["ünbekannt"] * 6), shop.extended(["w"] * 4))
    after = growing.grown(before, more, label.extended(["c"]))
    rows = {"t": ["good film", "a bad play"], "shop": ["n", "s"]}
    answers = [_outputs(one, rows) for one in (before, after)]
    assert np.allclose(answers[1][:, :2], answers[0], atol=1e-6)
    assert np.allclose(answers[1][:, 2], answers[0].mean(1), atol=1e-5)  # a new class begins as the mean of the others
    unknown = {"t": ["good film"], "shop": ["w"]}
    assert np.allclose(_outputs(after, unknown)[:, :2], _outputs(before, unknown), atol=1e-6)


def _outputs(network: fitted.FittedNetwork, rows: dict[str, list[str]]) -> np.ndarray:
    encoded = columns.encode_rows(network.inputs, rows)
    return np.asarray(loop.predict(network.network, encoded, 512, torch.device("cpu")))


def test_outputs_of_before_are_read_with_classes_that_were_not_known_as_never_answered() -> None:
    before = columns.fit("label", "y", "y", ["a", "b"], {})
    after = before.extended(["c"])
    wide = after.widened_from(before, np.array([[1.0, 2.0]], np.float32))
    assert after.decode(wide)["y"] == ["b"]
    assert after.probabilities(wide)[0, 2] == 0
    levels = columns.fit("ordinal", "y", "y", [1, 3], {})
    more = levels.extended([2, 4, 0])
    wide = more.widened_from(levels, np.array([[5.0], [-5.0]], np.float32))
    assert more.decode(wide)["y"] == ["3", "1"]
    tags = columns.fit("tags", "y", "y", [["O", "B-per"]], {})
    places = Ragged(np.zeros((3, tags.width), np.float32), np.array([0, 1, 3]))
    assert tags.extended([["B-loc"]]).widened_from(tags, places).values.shape == (3, 5)


def test_a_gain_by_chance_is_none_and_one_that_chance_hardly_makes_is() -> None:
    assert paired.at_least(0, 0) == 1.0
    assert paired.at_least(10, 10) == pytest.approx(1 / 1024)
    label = columns.fit("label", "y", "y", ["a", "b"], {})
    targets = np.zeros(60, np.int64)
    wrong, right = np.tile([[0.0, 1.0]], (60, 1)), np.tile([[1.0, 0.0]], (60, 1))
    some = np.where(np.arange(60)[:, None] < 2, right, wrong)
    assert paired.changed(label, targets, (wrong, right), 0).gained
    assert not paired.changed(label, targets, (wrong, some), 0).gained
    assert not paired.changed(label, targets, (right, right), 0).gained


def test_more_of_new_rows_are_measured_on_than_of_those_of_a_launch(adapted: Release) -> None:
    counts = adapted.manifest.data["adapted"]["new"]
    assert counts["test"] / sum(counts.values()) == pytest.approx(splits.TEST_SHARE, abs=0.03)


# ------------------------------------------------------------------------------------------------- rows with feedback


def test_rows_of_a_log_that_were_told_what_was_right_become_new_rows(made: Made, tmp_path: Path) -> None:
    url, hash_ = str(tmp_path / "answers.db"), made.release.manifest.hash
    rows = visits(4, "d", 1)
    inputs = [{"score": row["score"], "shop": row["shop"]} for row in rows]
    entries = [
        Entry(hash_, input=inputs[0], id="a"),
        Entry(hash_, input=inputs[1], id="b"),
        Entry(hash_, input=None, id="c"),
        Entry("another", input=inputs[3], id="d"),
    ]
    labels = [Label(one, "outcome", "leaves") for one in ("a", "c", "d")] + [Label("a", "outcome", "returns")]
    with open_log(url, create=True) as log:
        log.append(entries, labels)
    target = feedback.write(url, made.bundle, tmp_path, Quiet())
    assert [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()] == [
        {**inputs[0], "outcome": "returns"}
    ]
    other = str(tmp_path / "other.db")
    with open_log(other, create=True) as log:
        log.append([Entry(hash_, input=inputs[0])])
    with pytest.raises(TrimtabError, match="1 without a label"):
        adapt(made.bundle, to=tmp_path / "to", log=other)
    with pytest.raises(TrimtabError, match="both a file and a log"):
        adapt(made.bundle, "new.csv", log=other)
