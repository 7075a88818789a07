"""Explanations: units of every type of input, contributions that add up, and whether they are true to the model."""

from __future__ import annotations

import csv
import json
from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from tiny_bundle import ROWS, build
from typer.testing import CliRunner, Result

from trimtab import columns, explain, registry, runtime
from trimtab.bundle import reference, store
from trimtab.cli import explain as command
from trimtab.columns import encode_rows
from trimtab.errors import TrimtabError
from trimtab.explain import Parts, audio, category, history, image, number, text


def column(type_name: str, values: list[Any], **options: Any) -> Any:
    """A fitted column of this type."""
    return columns.fit(type_name, "column", "column", values, options)


WEIGHTS = np.array([2.0, -1.0, 0.5, 0.0, 3.0])


def additive(kept: np.ndarray) -> np.ndarray:
    return 1.0 + kept @ WEIGHTS


def joint(kept: np.ndarray) -> np.ndarray:
    """The first two units count together only."""
    return additive(kept) + 4.0 * (kept[:, 0] & kept[:, 1])


def by_definition(units: int) -> list[float]:
    """Shapley values of `joint`, as Shapley (1953) writes them."""
    found = []
    for unit in range(units):
        others = [one for one in range(units) if one != unit]
        total = 0.0
        for size in range(units):
            weight = factorial(size) * factorial(units - size - 1) / factorial(units)
            for subset in combinations(others, size):
                kept = np.zeros((2, units), bool)
                kept[:, list(subset)] = True
                kept[1, unit] = True
                total += weight * float(np.diff(joint(kept))[0])
        found.append(total)
    return found


# ------------------------------------------------------------------------------------------------- contributions


def test_of_few_units_shapley_values_are_those_of_the_definition() -> None:
    found = explain.shapley(joint, 5, 64, seed=0)
    assert found.contributions == pytest.approx(by_definition(5), abs=1e-9)
    assert found.errors.tolist() == [0.0] * 5
    assert found.base == 1.0


def test_of_many_units_shapley_values_are_near_and_add_up() -> None:
    weights = np.random.default_rng(1).normal(size=24)

    def game(kept: np.ndarray) -> np.ndarray:
        return kept @ weights + 2.0 * (kept[:, 0] & kept[:, 5]) - 1.0 * (kept[:, 2] & kept[:, 3] & kept[:, 4])

    true = weights.copy()
    true[[0, 5]] += 1.0
    true[[2, 3, 4]] -= 1 / 3
    found = explain.shapley(game, 24, 600, seed=3)
    apart = found.contributions - true
    assert np.abs(apart).max() < 0.15
    assert 0.3 < np.sqrt(np.mean(apart**2)) / np.sqrt(np.mean(found.errors**2)) < 2  # errors say how far off they are
    assert found.contributions.sum() == pytest.approx(float(np.diff(game(np.array([[False] * 24, [True] * 24])))[0]))
    again = explain.shapley(game, 24, 600, seed=3)
    assert again.contributions.tolist() == found.contributions.tolist()


@pytest.mark.parametrize("units", [0, 1])
def test_a_row_of_no_unit_or_one_is_explained(units: int) -> None:
    found = explain.shapley(lambda kept: 1.0 + 2.0 * kept.sum(axis=1), units, 64, seed=0)
    assert found.contributions.tolist() == [2.0] * units


def test_occlusion_leaves_out_one_unit_at_a_time() -> None:
    found = explain.occlusion(joint, 5)
    assert found.contributions == pytest.approx([6.0, 3.0, 0.5, 0.0, 3.0])
    assert found.base == 1.0


def test_the_score_falls_faster_along_true_contributions_than_by_chance() -> None:
    shares = np.array([0.2, 0.4, 0.6, 0.8])
    found = explain.deleted(additive, WEIGHTS, shares, orders=20, seed=0)
    assert found.explained.tolist() == [3.0, 5.0, 5.5, 5.5]
    assert found.won > 0.9
    assert found.difference == pytest.approx(4.75 - found.random.mean())
    wrong = explain.deleted(additive, -WEIGHTS, shares, orders=20, seed=0)
    assert wrong.won < 0.1
    assert wrong.difference < 0
    blind = explain.deleted(lambda kept: np.zeros(len(kept)), WEIGHTS, shares, orders=20, seed=0)
    assert blind.won == 0.5


def test_differences_by_chance_are_not_taken_for_more() -> None:
    random = np.random.default_rng(0)
    chances = [explain.sign_flip(random.normal(size=20), seed) for seed in range(60)]
    assert 0.3 < np.mean(chances) < 0.7
    assert np.mean(np.array(chances) < 0.1) < 0.25
    assert explain.sign_flip(np.abs(random.normal(size=20)), 0) == pytest.approx(1e-4)


# --------------------------------------------------------------------------------------------------------- units


def kept(parts: Parts, *gone: int) -> np.ndarray:
    return ~np.isin(np.arange(len(parts.units)), gone)


def test_the_units_of_a_text_are_its_words(tmp_path: Path) -> None:
    model = runtime.load(build(tmp_path), threads=1)
    value = " Warm soup,  cold staff 冷たい"
    found = text.parts(model.inputs[0], value, 64, {})
    assert [unit.label for unit in found.units] == ["Warm", "soup,", "cold", "staff", "冷", "た", "い"]
    assert all(value[slice(*unit.place)] == unit.label for unit in found.units)
    assert found.of(kept(found)) == value.strip()
    assert found.of(kept(found, 1, 5)) == "Warm cold staff 冷い"
    assert found.of(kept(found, *range(7))) == ""
    few = text.parts(model.inputs[0], value, 3, {})
    assert [unit.label for unit in few.units] == ["Warm soup,", "cold staff 冷", "たい"]
    assert few.of(kept(few, 1)) == "Warm soup,  たい"
    assert text.parts(model.inputs[0], None, 64, {}).units == ()


def test_a_text_with_half_a_surrogate_pair_has_units_and_of_a_huge_one_only_the_beginning_is_read(
    tmp_path: Path,
) -> None:
    model = runtime.load(build(tmp_path), threads=1)
    halves = text.parts(model.inputs[0], "warm \ud800 soup \udfff", 64, {})
    assert [unit.label for unit in halves.units] == ["warm", "?", "soup", "?"]
    huge = text.parts(model.inputs[0], "  soup" * 1_000_000, 64, {})
    assert huge.units[-1].place[1] <= 64 * model.inputs[0].max_tokens


def test_what_is_cut_off_a_text_does_not_come_back_where_words_are_left_out(tmp_path: Path) -> None:
    model = runtime.load(build(tmp_path), threads=1)
    value = "warm cold " * 200
    found = text.parts(model.inputs[0], value, 64, {})
    read = model.inputs[0].encode([value])[0]
    assert model.inputs[0].encode([found.of(kept(found))])[0].tolist() == read.tolist()
    assert len(model.inputs[0].encode([found.of(kept(found, 0))])[0]) < len(read)


def test_a_typical_value_stands_where_a_cell_is_left_out() -> None:
    stars = column("number", ["1", "2", "2", "9", ""])
    (parts,) = [number.parts(stars, "9", 64, {})]
    assert (parts.units[0].label, parts.of(kept(parts)), parts.of(kept(parts, 0))) == ("column = 9", "9", 2.0)
    shop = column("category", ["north"] * 3 + ["south"] * 5)
    counts = np.bincount(shop.encode(["north"] * 3 + ["south"] * 5))
    found = category.parts(shop, "north", 64, {"counts": counts})
    assert (found.of(kept(found)), found.of(kept(found, 0))) == ("north", "south")
    assert category.parts(shop, "north", 64, {}).of(np.array([False])) is None


def test_the_units_of_a_picture_are_patches() -> None:
    pictures = [np.full((12, 10, 3), shade, np.uint8) for shade in (0, 100)]
    pictures[0][:6, :5] = 200
    frame = column("image", pictures)
    found = image.parts(frame, pictures[0], 4, {})
    assert [unit.place for unit in found.units] == [
        (0, 0, 0.5, 0.5), (0, 0.5, 0.5, 1), (0.5, 0, 1, 0.5), (0.5, 0.5, 1, 1)
    ]  # fmt: skip
    whole = frame.encode([pictures[0]])
    assert (frame.encode([found.of(kept(found))]) == whole).all()
    without = frame.encode([found.of(kept(found, 0))])[0]
    assert (without[:, :6, :5] == np.rint(frame.mean[0])).all()
    assert (without[:, 6:] == whole[0][:, 6:]).all()
    assert image.parts(frame, None, 4, {}).units == ()


def test_the_units_of_a_sound_are_slices() -> None:
    loud = np.sin(np.arange(8000) / 5).astype(np.float32)
    heard = column("audio", [loud, loud], rate=8000)
    found = audio.parts(heard, loud, 4, {})
    assert [unit.label for unit in found.units] == [
        "0.00 to 0.25 s", "0.25 to 0.50 s", "0.50 to 0.75 s", "0.75 to 1.00 s"
    ]  # fmt: skip
    silent = found.of(kept(found, 1))
    assert (silent[2000:4000] == 0).all()
    assert (silent[4000:] == loud[4000:]).all()


def test_the_units_of_a_history_are_events_that_are_read() -> None:
    viewed = column("history", [["a", "b", "c"], ["c", "d"]], max_steps=2)
    found = history.parts(viewed, ["a", "b", "c"], 64, {})
    assert [unit.label for unit in found.units] == ["b", "c"]
    assert found.of(kept(found, 0)) == ["c"]
    long = history.parts(column("history", [list("abcdefgh")]), list("abcdefgh"), 2, {})
    assert [unit.label for unit in long.units] == ["a ... d (4 events)", "e ... h (4 events)"]
    assert long.of(kept(long, 0)) == list("efgh")


# ------------------------------------------------------------------------------------------------- a whole bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with the reference that a launch writes."""
    folder = build(tmp_path_factory.mktemp("explain"))
    model = runtime.load(folder, threads=1)
    rows = encode_rows(model.inputs, {one.name: [row[one.name] for row in ROWS] for one in model.inputs})
    reference.write(folder / store.REFERENCE, rows, model.outputs(rows), {})
    return folder


@pytest.fixture(scope="module")
def model(bundle: Path) -> runtime.Model:
    return runtime.load(bundle, threads=1)


@pytest.mark.parametrize("method", ["shapley", "occlusion"])
def test_a_row_is_explained_by_its_words_and_cells(model: runtime.Model, method: str) -> None:
    question = explain.ask(model, ROWS[0], explain.reference_of(model))
    found = explain.explain(question, method)
    answer = model.predict([ROWS[0]])
    shares = model.output.probabilities(answer.outputs)[0]
    assert found.name == answer[0]["mood"] == found.answers["mood"]
    assert found.score == pytest.approx(np.log(shares.max() / (1 - shares.max())))
    assert [unit.label for unit in found.units][-3:] == ["funny.", "stars = 5", "shop = north"]
    typical = {"review": "", "stars": str(model.inputs[1].fill), "shop": "north"}
    assert found.base == pytest.approx(explain.ask(model, typical, {}, found.name).score)
    assert found.base + found.contributions.sum() + found.delta == pytest.approx(found.score)
    assert found.contributions[-1] == pytest.approx(0.0, abs=1e-6)  # north is what most rows say
    without = {**ROWS[0], "stars": model.inputs[1].fill}
    assert (method == "shapley") == (abs(found.delta) < 1e-9)
    expected = found.score - explain.ask(model, without, {}, found.name).score
    assert explain.explain(question, "occlusion").contributions[-2] == pytest.approx(expected)


def test_another_class_can_be_explained(model: runtime.Model) -> None:
    for name in model.output.classes:
        assert explain.ask(model, ROWS[1], {}, name).name == name
    with pytest.raises(TrimtabError, match=r"(?s)'goood' is no answer of 'mood'.*did you mean 'good'"):
        explain.ask(model, ROWS[1], {}, "goood")


def test_scores_are_log_odds_or_in_the_users_units() -> None:
    classes = column("label", ["x", "y", "z"])
    logits = np.array([[1.0, 2.0, 0.5]], np.float32)
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum()
    assert classes.additive_scores(logits)[0] == pytest.approx(np.log(shares / (1 - shares)), abs=1e-6)
    assert column("labels", ["x|y", "z"]).additive_scores(logits)[0] == pytest.approx(logits[0], abs=1e-6)
    levels = column("ordinal", ["1", "2", "3"])
    assert levels.additive_scores(logits[:, :2]).shape == (1, 3)
    amounts = column("number", ["10", "20", "30"])
    assert amounts.additive_scores(np.array([[0.0]]))[0] == pytest.approx([20.0])
    assert (amounts.score_names, classes.score_names) == (("column",), ("x", "y", "z"))
    assert (amounts.score_word, classes.score_word) == ("", "log-odds")
    assert column("ranking", ["x", "y", "y"]).additive_scores(np.array([[1.5, 2.0]]))[0] == pytest.approx([1.5, 2.0])


def test_an_answer_for_each_word_is_not_explained() -> None:
    assert explain.refusal(column("label", ["x", "y"])) == ""
    assert "each word" in explain.refusal(column("tags", [["O", "B-x"], ["O"]]))


def test_a_value_of_a_type_without_a_file_is_one_unit(model: runtime.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "names", lambda package: [])
    question = explain.ask(model, ROWS[3], {})
    assert [unit.label for unit in question.units] == ["review = warm soup, cold staff", "stars = ", "shop = north"]
    nothing = explain.ask(model, {"review": None, "stars": None, "shop": None}, {}, question.name)
    assert question(np.array([[False] * 3, [True] * 3])) == pytest.approx([nothing.score, question.score])


# --------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["review", "stars", "shop"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(ROWS)
    return path


def run(*arguments: object, stdin: str | None = None) -> Result:
    app = typer.Typer()
    app.command()(command.command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)


def test_rows_are_explained_in_the_terminal(bundle: Path, rows: Path) -> None:
    found = run(bundle, rows, "--most", 2)
    assert found.exit_code == 0
    assert "row 1 (line 2): mood" in found.stdout
    assert "row 3" not in found.stdout
    assert "without any unit" in found.stdout
    assert "stars = 5" in found.stdout
    assert "row 3 (line 4)" in run(bundle, rows, "--row", 3, "--method", "occlusion").stdout
    piped = run(bundle, "-", "--row", 2, stdin=rows.read_text())
    assert "row 2 (line 3): mood" in piped.stdout


def test_rows_are_explained_in_json_and_as_a_page(bundle: Path, rows: Path, tmp_path: Path) -> None:
    page = tmp_path / "why.html"
    found = run(bundle, rows, "--json", "--html", page, "--class", "good", "--most", 99)
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert [line["row"] for line in lines] == [1, 2, 3, 4, 5, 6]
    for line in lines:
        total = line["base"] + sum(unit["contribution"] for unit in line["units"])
        assert total + line["delta"] == pytest.approx(line["score"])
        assert line["name"] == "good"
    html = page.read_text()
    assert html.count("<section>") == 6
    assert "<script" not in html
    assert 'class="for"' in html


def test_users_text_is_escaped_on_the_page(bundle: Path, tmp_path: Path) -> None:
    run(bundle, "-", "--html", tmp_path / "why.html", stdin="review,stars,shop\n<b>soup</b>,1,<i>\n")
    html = (tmp_path / "why.html").read_text()
    assert "&lt;b&gt;soup&lt;/b&gt;" in html
    assert "<b>soup" not in html


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--row", "7"], r"--row: found 7\n  allowed: 1 to 6"),
        (["--class", "bda"], r"did you mean 'bad'"),
        (["--method", "shaply"], r"did you mean 'shapley'"),
    ],
)
def test_what_cannot_be_explained_is_said(bundle: Path, rows: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(TrimtabError, match=said):
        run(bundle, rows, *arguments)


def test_a_column_that_is_absent_and_values_that_cannot_be_read_are_told(bundle: Path) -> None:
    found = run(bundle, "-", stdin="review,stars\nwarm soup,many\n")
    assert "no column 'shop'" in found.stderr
    assert "'many' is not a number" in found.stderr
