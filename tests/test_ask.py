"""`trimtab ask`: rows of a pool that are worth a label, and ways to give them one, without what training needs."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests import browser
from tests.test_reaudit import CORE, ROOT
from tiny_bundle import build

from trimtab import columns, rows, runtime
from trimtab.ask import page, picking, terminal
from trimtab.ask.sheet import Question, Sheet
from trimtab.errors import TrimtabError

WORDS = ["film", "play", "soup", "staff", "warm", "cold", "dull", "funny", "lovely", "minute", "hour", "good", "bad"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("ask"))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 rows without an answer, of which the last repeats the first."""
    draw = random.Random(0)
    made = [{"review": f"{' '.join(draw.sample(WORDS, 4))} {n}", "stars": n % 5, "shop": "north"} for n in range(59)]
    path = tmp_path_factory.mktemp("pool") / "pool.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        sink = csv.DictWriter(stream, list(made[0]))
        sink.writeheader()
        sink.writerows([*made, made[0]])
    return path


def core(folder: Path, *arguments: object, typed: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", CORE, *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, input=typed, capture_output=True, text=True, timeout=120, encoding="utf-8"
    )


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_picked_rows_are_less_sure_than_the_rest_and_none_comes_twice(bundle: Path, pool: Path) -> None:
    model = runtime.load(bundle)
    found = picking.pick(model, rows.read(pool, picking.ignored), str(pool), 10, pool.parent)
    assert (len(found.rows), found.of, found.left_out) == (10, 59, {"repeat": 1})
    assert len({row["review"] for row in found.rows}) == 10
    every = [row.values for row in rows.read(pool, picking.ignored)]
    unsure = [model.output.unsure(model.answer(part).outputs) for part in (found.rows, every)]
    assert unsure[0].mean() > unsure[1].mean()
    assert (np.diff(unsure[0]) <= 1e-6).all()


def test_what_is_alike_is_asked_once_before_it_is_asked_twice() -> None:
    vectors = np.tile(np.eye(5), (20, 1))
    for seed in range(5):
        picked = picking.spread(vectors, np.full(100, 0.9), 5, np.random.default_rng(seed))
        assert sorted((picked % 5).tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("kind", "values", "sure", "unsure"),
    [
        ("label", ["a", "b"], [[9.0, 0.0]], [[1.0, 1.0]]),
        ("labels", ["a|b", "b"], [[9.0, -9.0]], [[9.0, 0.0]]),
        ("ordinal", [1, 2, 3], [[-9.0, -9.0]], [[0.0, -9.0]]),
        ("ranking", ["a", "b"], [[9.0, 0.0]], [[1.0, 1.0]]),
    ],
)
def test_how_unsure_an_answer_is_lies_between_0_and_1(
    kind: str, values: list[object], sure: list[list[float]], unsure: list[list[float]]
) -> None:
    column = columns.fit(kind, "y", "y", values, {})
    found = [float(column.unsure(np.array(part, np.float32))[0]) for part in (sure, unsure)]
    assert found[0] < 0.05
    assert found[1] > 0.9


def test_labels_are_given_in_the_terminal_and_a_second_call_goes_on(bundle: Path, pool: Path, tmp_path: Path) -> None:
    asked = ["ask", bundle, pool, "--rows", 4, "--label", "-o", tmp_path / "sheet.csv"]
    first = core(tmp_path, *asked, typed="1\nnonsense\n2\nb\n3\nq\n")
    assert first.returncode == 0, first.stderr
    assert "is no answer to it" in first.stdout
    names = list(runtime.load(bundle).output.classes)
    assert [line["mood"] for line in lines(tmp_path / "sheet.csv")] == [names[0], names[2], "", ""]
    second = core(tmp_path, *asked, typed=f"s\n{names[1].upper()}\n")
    assert "it goes on" in second.stderr
    assert [line["mood"] for line in lines(tmp_path / "sheet.csv")] == [names[0], names[2], "", names[1]]
    third = core(tmp_path, *asked[:5], "-o", tmp_path / "sheet.csv")
    assert (third.returncode, "holds 3 labels already" in third.stderr) == (2, True)


def test_going_back_takes_an_answer_away_and_shows_the_row_again(tmp_path: Path) -> None:
    question = Question.of(columns.fit("label", "y", "y", ["no", "yes"], {}))
    sheet = Sheet.of([{"t": "one"}, {"t": "two\x1b[2J"}], ["t"], "y")
    typed, shown = iter(["1", "b", "2", "2"]), []
    done = terminal.label(sheet, question, tmp_path / "s.csv", lambda _: next(typed, None), shown.append)
    assert done.answers == ("yes", "yes")
    assert not any("\x1b" in text for text in shown)
    assert Sheet.read(tmp_path / "s.csv", "y") == done


def test_several_classes_and_numbers_are_written_as_the_data_would(tmp_path: Path) -> None:
    several = Question.of(columns.fit("labels", "y", "y", ["a|b", "c"], {}))
    assert [several.said(text) for text in ("1 3", "b, a", "4", "")] == ["a|c", "b|a", None, None]
    number = Question.of(columns.fit("number", "y", "y", [1.0, 2.0, 3.5], {}))
    assert [number.said(text) for text in ("2.5", "two", " ")] == ["2.5", None, None]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("review,mood\nfine,good\n", "1 have an answer"),
        ("review\n", "holds no rows"),
        ("text\nfine\n", "no column named"),
    ],
)
def test_a_pool_without_a_row_to_label_is_refused(bundle: Path, tmp_path: Path, made: str, said: str) -> None:
    path = tmp_path / "pool.csv"
    path.write_text(made, encoding="utf-8")
    with pytest.raises(TrimtabError, match=said):
        picking.pick(runtime.load(bundle), rows.read(path, picking.ignored), str(path), 5, tmp_path)


def hostile(path: Path) -> Sheet:
    """A page of rows that try to leave it; the sheet that it was made of."""
    question = Question.of(columns.fit("label", "y", "y", ["</script>", "yes"], {}))
    cells = [{"t": '</script><script>document.title="broken"</script>'}, {"t": 'quotes "and", commas\nand lines'}]
    sheet = Sheet.of(cells, ["t"], "y")
    page.write(path, sheet, question, (), path.parent, "sheet.csv")
    return sheet


def test_a_page_holds_every_row_fetches_nothing_and_lets_no_text_out(tmp_path: Path) -> None:
    sheet = hostile(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("</script>") == 2
    assert not re.search(r"https?://|src=|@import", text)
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert [row["t"] for row in sheet.rows] == [row[0] for row in json.loads(data)["rows"]]


@pytest.mark.skipif(browser.found() is None, reason="needs Chromium")
def test_labels_are_given_by_keys_and_clicks_and_the_csv_is_the_sheet(tmp_path: Path) -> None:
    sheet = hostile(tmp_path / "page.html")
    with browser.opened() as chromium:
        chromium.open(tmp_path / "page.html")
        assert chromium.evaluate("document.title") == "y: 2 rows to label"
        chromium.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', {key: '2'}))")
        chromium.evaluate("document.querySelector('#answers button').click()")
        made = chromium.evaluate("csv()")
        assert chromium.complaints == []
    (tmp_path / "saved.csv").write_text(made, encoding="utf-8", newline="")
    saved = Sheet.read(tmp_path / "saved.csv", "y")
    assert (saved.answers, saved.rows) == (("yes", "</script>"), sheet.rows)
