"""Rows of another kind: what is made up for them, how they are read, and how well scores tell them from known rows."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle
from sklearn.metrics import roc_auc_score

from trimtab import columns, foreign, page, registry, runtime
from trimtab.audit import out_of_distribution
from trimtab.checks import Context
from trimtab.checks import out_of_distribution as check
from trimtab.columns.label import LabelColumn
from trimtab.columns.labels import LabelsColumn
from trimtab.columns.ordinal import OrdinalColumn
from trimtab.data.table import Origin, Table
from trimtab.errors import TrimtabError
from trimtab.reaudit import auditing

LOGITS = np.array([[3.0, 1.0], [0.5, 0.0], [-1.0, 2.0]], np.float32)


def column(kind: str, values: list[Any], **options: Any) -> Any:
    return columns.fit(kind, "x", "x", values, options)


def made(kind: str, position: int, values: list[Any], of: Any = None) -> list[Any]:
    return list(foreign.of_type(kind)[position].make(of, values, np.random.default_rng(0)))


# --------------------------------------------------------------------------------------------------------- scores


def test_the_energy_is_that_of_the_logits_whatever_the_temperature() -> None:
    label = LabelColumn("x", "x", ("a", "b"), temperature=3.0)
    assert label.familiarity(LOGITS) == pytest.approx(np.log(np.exp(LOGITS.astype(float)).sum(axis=1)))
    several = LabelsColumn("x", "x", ("a", "b"), thresholds=(0.5, 0.5))
    assert several.familiarity(LOGITS) == pytest.approx(np.log1p(np.exp(LOGITS.astype(float))).sum(axis=1))


def test_of_levels_it_is_the_largest_chance_and_of_numbers_there_is_none() -> None:
    levels = OrdinalColumn("x", "x", ("low", "middle", "high"))
    assert levels.familiarity(LOGITS) == pytest.approx(levels.probabilities(LOGITS).max(axis=1))
    assert column("number", ["1", "2", "3"] * 5).familiarity_word == ""


def test_outputs_that_are_no_numbers_have_a_score_all_the_same() -> None:
    label = LabelColumn("x", "x", ("a", "b"))
    broken = np.array([[np.nan, np.nan], [np.inf, 0.0], [0.0, 0.0]], np.float32)
    scores = label.familiarity(broken)
    assert np.isfinite(scores).all()
    assert scores[0] < scores[2] < scores[1]


def test_the_auroc_is_that_of_scikit_learn_with_ties() -> None:
    draw = np.random.default_rng(0)
    known, other = draw.normal(1, 1, 300).round(1), draw.normal(0, 2, 80).round(1)
    statistic = out_of_distribution.auroc(known, other)
    ours = float(statistic(np.ones((380, 1)))[0])
    assert ours == pytest.approx(roc_auc_score([1] * 300 + [0] * 80, np.concatenate([known, other])))


def test_a_threshold_that_95_percent_of_known_rows_pass_lets_so_many_foreign_rows_pass() -> None:
    known = np.arange(100.0)
    assert out_of_distribution.passing(known, np.array([3.0, 4.0, 5.0, 200.0])) == 0.75
    assert (known >= 4.0).mean() >= 0.95 > (known >= 5.1).mean()
    assert out_of_distribution.quantiles(known)["0.5"] == 49.5


# -------------------------------------------------------------------------------------------------- made-up values


def test_letters_by_chance_keep_the_shape_and_the_alphabet_of_the_texts() -> None:
    texts = ["A nice day, 42!", "好的 酒店", "", None, "7"]
    found = made("text", 0, texts)
    assert [value is old for value, old in zip(found, texts, strict=True)] == [False, False, True, True, True]
    assert found[0] != texts[0]
    assert [letter.isalpha() for letter in found[0]] == [letter.isalpha() for letter in texts[0]]
    assert set("".join(found[:2])) <= set("".join(texts[:2]))


def test_another_script_is_one_that_no_text_is_written_in() -> None:
    (latin,) = made("text", 1, ["A nice day, 42!"])
    assert latin.endswith(", 42!")
    assert all("\u10d0" <= letter <= "\u10f0" for letter in latin if letter.isalpha())
    georgian = made("text", 1, ["\u10d0\u10d1", "day"])
    assert all("\u0561" <= letter <= "\u0586" for letter in "".join(georgian))


def test_lists_of_words_stay_lists() -> None:
    (found,) = made("text", 1, [["A", "day", "."]])
    assert [len(word) for word in found] == [1, 3, 1]
    assert found[2] == "."


def test_numbers_lie_at_least_ten_deviations_away_and_categories_and_items_were_never_seen() -> None:
    number = column("number", ["1,5", "2,5", "3,5"] * 10)
    away = np.abs(np.array(made("number", 0, ["1,5"] * 50, number)) - number.mean) / number.std
    assert away.min() >= 10
    category = column("category", ["red", "blue"] * 5)
    assert set(category.encode(made("category", 0, ["red"] * 5, category))) == set(category.encode(["never seen"]))
    history = column("history", [["a", "b"], ["b", "c"]] * 5)
    (items,) = made("history", 0, [["a", "b"]], history)
    assert set(history.ids(items)) == set(history.ids(["never seen", "neither"]))
    assert len(items) == 2


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_nothing_can_be_read(channels: int) -> None:
    values = [np.full((16, 16) if channels == 1 else (16, 16, 3), 80, np.uint8)] * 4
    picture = column("image", values, size=16)
    noise, plain = (picture.encode(made("image", position, values, picture)) for position in (0, 1))
    assert noise.std() > 30
    assert plain.std(axis=(2, 3)).max() == 0
    assert len(np.unique(plain)) > 1


def test_sounds_of_nothing_are_as_long_as_what_they_stand_for() -> None:
    tone = (0.1 * np.sin(np.arange(8000) * 0.3)).astype(np.float32)
    sound = column("audio", [(8000, tone)] * 4)
    heard = len(sound.waveform((8000, tone)))
    noise, whistle = (made("audio", position, [(8000, tone)], sound)[0] for position in (0, 1))
    assert len(noise) == len(whistle) == heard
    spectrum = np.abs(np.fft.rfft(whistle))
    assert np.sort(spectrum**2)[-20:].sum() > 0.9 * (spectrum**2).sum() > 0
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(np.sqrt(np.mean(whistle**2)), rel=0.1)


def test_every_column_of_a_row_is_made_foreign_at_once() -> None:
    inputs = [column("text", ["a day"] * 3), dataclasses.replace(column("number", ["1", "2", "3"] * 5), name="n")]
    values = {"x": ["a day", ""], "n": ["1", "2"], "beside": ["kept", "too"]}
    first, second = foreign.made_up(inputs, values, np.random.default_rng(0))
    assert first.name == "letters by chance, numbers far outside"
    assert second.name == "letters of another script, numbers far outside"
    assert first.rows.tolist() == second.rows.tolist() == [0, 1]
    assert (first.values["beside"], first.values["x"][1]) == (["kept", "too"], "")
    assert abs(first.values["n"][1]) > 8
    only = list(foreign.made_up(inputs[:1], values, np.random.default_rng(0)))
    assert [one.rows.tolist() for one in only] == [[0], [0]]
    assert only[0].values["beside"] == ["kept"]


def test_every_type_of_input_has_kinds() -> None:
    without = {"seed", "beginning"}  # any is as good as another
    assert set(registry.names("trimtab.foreign")) == set(columns.types_of(columns.InputColumn)) - without
    assert foreign.of_type("tags") == ()


# ------------------------------------------------------------------------------------------------------- the check


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A bundle of text, number and category, and its rows as test rows."""
    folder = tiny_bundle.build(tmp_path_factory.mktemp("tiny"))
    model = runtime.load(folder)
    rows = [row for row in tiny_bundle.ROWS if row["mood"]] * 10
    origins = [Origin("rows.csv", line) for line in range(len(rows))]
    test = Table({name: [row[name] for row in rows] for name in rows[0]}, origins)
    return Context(model, model.inputs, test, test, (), seed=7)


def test_made_up_rows_are_measured_kind_by_kind_and_all_together(context: Context) -> None:
    found = check.check(context)
    evidence = found.evidence["ood"]
    assert [line["kind"].partition(",")[0] for line in evidence["kinds"]] == [
        "letters by chance",
        "letters of another script",
    ]
    assert [line["rows"] for line in evidence["kinds"]] == [60, 60]
    auroc = found.measured["ood.auroc"]
    assert auroc.value == pytest.approx(np.mean([line["auroc"]["value"] for line in evidence["kinds"]]))
    assert 0 <= auroc.low < auroc.value < auroc.high <= 1
    scores = context.output.familiarity(context.outputs)
    assert evidence["quantiles"]["0.5"] == pytest.approx(np.median(scores))
    assert json.loads(json.dumps(evidence)) == evidence


def test_rows_of_ones_own_decide_the_metric_and_what_they_lack_is_missing(context: Context) -> None:
    own = dataclasses.replace(context, foreign={"review": ["warm", "cold staff", "last"], "stars": ["5", "1", ""]})
    found = check.check(own)
    line = found.evidence["ood"]["kinds"][0]
    rows = [{"review": text, "stars": stars} for text, stars in zip(*own.foreign.values(), strict=True)]
    scores = context.output.familiarity(context.model.predict(rows).outputs)
    known = context.output.familiarity(context.outputs)
    assert line["rows"] == 3
    assert len(found.evidence["ood"]["kinds"]) == 3
    expected = np.mean(known[:, None] > scores) + np.mean(known[:, None] == scores) / 2
    assert found.measured["ood.auroc"].value == pytest.approx(expected) == line["auroc"]["value"]


def test_the_card_has_a_line_for_each_kind_and_one_for_known_rows(context: Context) -> None:
    found = check.check(context)
    manifest = context.model.manifest.model_copy(update={"measured": found.measured, "evidence": dict(found.evidence)})
    (section,) = check.sections(manifest)
    said, kinds, scores = section.blocks
    assert isinstance(said, page.Text)
    assert "made up of test rows" in said.text
    assert isinstance(kinds, page.Table)
    assert [row[0].partition(",")[0] for row in kinds.rows] == [
        "letters by chance",
        "letters of another script",
        "test rows",
    ]
    assert isinstance(scores, page.Table)
    assert len(scores.head) == len(scores.rows[0]) == 10
    assert len(list(check.limits(manifest))) == 1
    assert list(check.sections(context.model.manifest)) == []


def test_an_answer_without_a_score_is_left_out(context: Context) -> None:
    number = column("number", ["1", "2", "3"] * 5)
    other = dataclasses.replace(context, model=dataclasses.replace(context.model, output=number))
    assert check.check(other).measured == {}


# --------------------------------------------------------------------------------------------- files of one's own


def test_files_are_read_as_inputs_alone_and_at_most_a_thousand_rows_are_kept(context: Context, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("review,stars,more\n" + "".join(f"text {i},{i},x\n" for i in range(1500)))
    (tmp_path / "two.jsonl").write_text('{"review": "last", "shop": "north"}\n')
    notes: list[str] = []
    found = foreign.read(["one.csv", "two.jsonl"], context.model.inputs, tmp_path, notes.append)
    assert {name: len(values) for name, values in found.items()} == {"review": 1000, "stars": 1000, "shop": 1000}
    assert (found["review"][0], found["review"][-1], found["shop"][-1]) == ("text 0", "last", "north")
    assert "no column 'shop'" in notes[0]
    assert foreign.read([], context.model.inputs, tmp_path, notes.append) == {}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("other.csv", "revue\nx\n", "did you mean 'revue'|no column named 'review'"),
        ("other.csv", "review\n", "no rows"),
        ("ohter.csv", "review\nx\n", "did you mean 'ohter.csv'"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_name(
    context: Context, tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TrimtabError, match=said) as raised:
        foreign.read(["other.csv"], context.model.inputs, tmp_path, print)
    assert "other.csv" in str(raised.value)


def test_an_audit_takes_files_and_gates_and_leaves_out_what_is_not_here(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = "".join(json.dumps(row) + "\n" for row in tiny_bundle.ROWS * 5)
    Path("rows.jsonl").write_text(lines)
    Path("same.jsonl").write_text(lines)
    assert context.model.folder is not None
    asked = ["foreign=same.jsonl", "gates.ood.auroc=>= 0.6"]
    audited = auditing.audit(context.model.folder, "rows.jsonl", asked, tmp_path / "card")
    (gate,) = audited.manifest.gates
    assert (gate.name, gate.measured, gate.met) == ("ood.auroc", 0.5, False)
    assert audited.manifest.evidence["ood"]["kinds"][0]["rows"] == 30
    assert audited.manifest.spec["foreign"] == ["same.jsonl"]
    came_with = auditing.specs.parse({**audited.manifest.spec, "foreign": ["gone.csv"]})
    kept = auditing._without_absent(came_with, [], auditing.Quiet())
    assert (kept.foreign, kept.gates) == ((), {})
    assert auditing._without_absent(came_with, ["gates.ood.auroc=>= 0.9"], auditing.Quiet()).gates == came_with.gates
