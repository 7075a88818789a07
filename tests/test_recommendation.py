"""Recommendation: events become histories, every item gets a score, and what a user had is not offered again."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head_losses import loss
from places import Place, place
from sklearn.metrics import ndcg_score

import trimtab
from trimtab import columns, metrics
from trimtab.__main__ import main
from trimtab.columns import IGNORED, OUTPUTS, Ragged, encode_rows
from trimtab.columns.history import HistoryColumn
from trimtab.columns.ranking import LEFT_OUT, MOST_ITEMS, RankingColumn
from trimtab.data.prepare import Prepared, prepare
from trimtab.errors import TrimtabError
from trimtab.metrics import Ranked
from trimtab.nets.heads.ranking import RankingHead
from trimtab.nets.network import Architecture, EncoderEntry, Network
from trimtab.progress import Quiet
from trimtab.spec import parse

ITEMS = 40
RANKING = {"type": "ranking", "user": "user", "time": "time"}


def shop(users: int = 150, seed: int = 5) -> list[dict[str, object]]:
    """Visits to a shop in no order: after item i comes item i + 7, one time in six i + 11."""
    draw = random.Random(seed)
    rows: list[dict[str, object]] = []
    for user in range(users):
        item, time = draw.randrange(ITEMS), draw.randrange(1000)
        for _ in range(draw.randrange(5, 12)):
            rows.append({"user": f"u{user}", "item": f"item {item}", "time": time, "age": 20 + user % 50})
            item = (item + (11 if draw.random() < 1 / 6 else 7)) % ITEMS
            time += draw.randrange(1, 50)
    draw.shuffle(rows)
    return rows


def prepared(folder: Path, rows: list[dict[str, object]], **spec: Any) -> Prepared:
    place(folder, rows)
    return prepare(parse({"data": "rows.csv", "output": {"item": RANKING}, **spec}), folder, Quiet())


def history(values: list[Any], **options: Any) -> HistoryColumn:
    return columns.fit("history", "history", "history", values, options)


# ------------------------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize("cell", ["a b c", "a,b, c", "a|b|c", "a;b;c", '["a", "b", "c"]', ["a", "b", "c"]])
def test_a_history_is_read_however_it_is_written(cell: Any) -> None:
    column = history([cell, ["b", "c"], ["c"]])
    assert column.portable(cell) == ["a", "b", "c"]
    assert column.encode([cell])[0].tolist() == [5, 4, 3]  # the most frequent item has the first id


def test_names_with_blanks_stay_whole_where_another_mark_divides_them() -> None:
    column = history(["Toy Story|Heat", "Heat|Alien"])
    assert column.portable("toy story|Alien") == ["toy story", "Alien"]
    assert column.portable("Toy Story") == ["Toy Story"]


def test_an_empty_history_is_a_row_like_the_others() -> None:
    column = history([["a", "b"], ["b"]], seen=True)
    encoded = column.encode(["", None, [], "a zebra"])
    assert column.steps(encoded).tolist() == [1, 1, 1, 3]
    tensors = column.batch(encoded, np.arange(4))
    assert tensors["history_ids"].tolist() == [[2, 0, 0], [2, 0, 0], [2, 0, 0], [2, 4, 1]]
    assert tensors["history_mask"].tolist() == [[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 1]]
    assert column.batch(encoded, np.arange(2))["history_seen"].tolist() == [[0], [0]]


def test_the_latest_items_are_kept_and_all_of_them_are_told() -> None:
    column = history([list("abcde")], max_steps=2, seen=True)
    tensors = column.batch(column.encode([list("edcba")]), np.array([0]))
    assert tensors["history_ids"].tolist() == [[2, 4, 3]]
    assert tensors["history_seen"].tolist() == [[7, 6, 5, 4, 3]]


def test_both_columns_come_back_as_they_were_saved(tmp_path: Path) -> None:
    output = columns.fit("ranking", "item", "item", [["a", "b"], ["b"]], {"user": "user"})
    for column in (history([["a", "b"], ["b"]], seen=True, items=("c", "a")), output):
        column.save(tmp_path)
        assert columns.restore(tmp_path, json.loads((tmp_path / f"{column.key}.json").read_text())) == column


def test_a_list_of_answers_gives_a_target_for_each_state() -> None:
    output = columns.fit("ranking", "item", "item", [["a", "b"], ["b"]], {"user": "user"})
    targets = output.targets([[None, "a", "zebra"], ["b"]])
    assert isinstance(targets, Ragged)
    assert [row.tolist() for row in (targets[0], targets[1])] == [[IGNORED, 1, IGNORED], [0]]
    assert output.usable("zebra") == "no item named 'zebra' in training"


def test_a_catalogue_that_is_too_large_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(TrimtabError, match="min_count"):
        columns.fit("ranking", "item", "item", [str(i) for i in range(MOST_ITEMS + 1)], {})


# ------------------------------------------------------------------------------------------------------- metrics


def test_ndcg_agrees_with_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    scores, targets = draw.normal(size=(60, 30)).astype(np.float32), draw.integers(0, 30, 60)
    found = metrics.statistics(Ranked([], targets, scores))["ndcg@10"]()(np.ones((60, 1)))[0]
    assert found == pytest.approx(ndcg_score(np.eye(30)[targets], scores, k=10))


def test_equal_scores_are_measured_in_the_order_in_which_they_are_answered() -> None:
    draw = np.random.default_rng(1)
    scores, targets = draw.integers(0, 4, size=(50, 20)).astype(np.float32), draw.integers(0, 20, 50)
    order = metrics.first(scores, 20)
    assert metrics.ranks(scores, targets).tolist() == [
        1 + row.tolist().index(wanted) for row, wanted in zip(order, targets, strict=True)
    ]


def test_coverage_counts_an_item_once_however_many_rows_it_is_offered_to() -> None:
    scores = np.zeros((3, 40), np.float32)
    scores[2, 20:30] = 1.0
    coverage = metrics.statistics(Ranked([], np.zeros(3, np.int64), scores))["coverage@10"]()
    assert coverage(np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 2.0]])).tolist() == [0.5, 0.25, 0.25]


# -------------------------------------------------------------------------------------------------------- events


def test_every_event_but_a_users_last_two_is_learned_once(tmp_path: Path) -> None:
    rows = shop()
    inputs = {"viewed": {"type": "history", "max_steps": 3}}
    train = prepared(tmp_path, rows, inputs=inputs).splits.train
    for viewed, answers in zip(train.values["viewed"], train.values["item"], strict=True):
        assert len(answers) == len(viewed) + 1 <= 4
        assert all(answer in (None, item) for answer, item in zip(answers, viewed, strict=False))
    learned = [item for answers in train.values["item"] for item in answers if item]
    assert len(learned) == len(rows) - 2 * 150


def test_a_measured_row_knows_all_that_came_before_it_and_nothing_after(tmp_path: Path) -> None:
    rows = shop()
    splits = prepared(tmp_path, rows).splits
    ordered = sorted(rows, key=lambda row: (row["user"], row["time"]))
    for part, back in ((splits.test, 1), (splits.valid, 2)):
        assert len(part) == 150
        for row in part.rows():
            own = [event["item"] for event in ordered if event["user"] == row["user"]]
            assert row["history"] == own[:-back]
            assert row["item"] == own[-back]


def test_the_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    one, other = (prepared(tmp_path / name, rows).splits for name, rows in (("a", shop()), ("b", shop()[::-1])))
    assert [table.values for table in vars(one).values()] == [table.values for table in vars(other).values()]


def test_a_cut_at_a_moment_measures_on_the_latest_events_of_all(tmp_path: Path) -> None:
    rows = shop()
    output = {"item": {**RANKING, "holdout": "time"}}
    found = prepared(tmp_path, rows, output=output, split={"valid": 0.1, "test": 0.2})
    assert len(found.splits.test) == pytest.approx(0.2 * len(rows), rel=0.1)
    times = sorted(int(str(row["time"])) for row in rows)
    seen = {item for answers in found.splits.train.values["item"] for item in answers}
    assert len(seen) == ITEMS
    late = [row for row in rows if int(str(row["time"])) >= times[int(0.8 * len(rows))]]
    assert {row["user"] for row in late} >= set(found.splits.test.values["user"])


def test_dates_are_read_as_times(tmp_path: Path) -> None:
    def dated(row: dict[str, object]) -> dict[str, object]:
        minutes = int(str(row["time"]))
        return {**row, "time": f"2024-03-{1 + minutes // 1440:02}T{minutes % 1440 // 60:02}:{minutes % 60:02}"}

    one = prepared(tmp_path / "a", shop()).splits
    other = prepared(tmp_path / "b", [dated(row) for row in shop()]).splits
    assert one.test.values == other.test.values


def test_events_that_lack_something_are_set_aside_with_their_line(tmp_path: Path) -> None:
    rows = shop()
    rows[3] = {**rows[3], "user": ""}
    rows[8] = {**rows[8], "time": "soon"}
    rejected = prepared(tmp_path, rows).rejected
    assert [(row.line, row.reason) for row in rejected] == [
        (5, "user: no value"),
        (10, "time: 'soon' cannot be read as a time (numbers)"),
    ]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"output": {"item": {**RANKING, "user": "usr"}}}, "'usr'\n.*did you mean 'user'"),
        ({"output": {"item": {**RANKING, "hold": 1}}}, "no option named 'hold'"),
        ({"test": "rows.csv"}, "test: .*cut by time"),
        ({"split": "user"}, "split: .*cut by time"),
    ],
)
def test_a_request_that_does_not_fit_events_is_an_error(tmp_path: Path, spec: dict[str, Any], said: str) -> None:
    with pytest.raises(TrimtabError, match=said):
        prepared(tmp_path, shop(20), **spec)


# ------------------------------------------------------------------------------------------------------- network


def network(encoder: str, inputs: list[Any], **options: Any) -> Network:
    torch.manual_seed(0)
    output = RankingColumn("item", "item", inputs[0].items, each_step=True, **options)
    entries = [EncoderEntry(name=encoder, reads=("history",), config={"dropout": 0.0})]
    entries += [EncoderEntry(name=column.type, reads=(column.key,)) for column in inputs[1:]]
    architecture = Architecture(width=16, encoders=tuple(entries), fusion="mean", dropout=0.0, head="ranking")
    return Network(architecture, inputs, output)


@pytest.mark.parametrize("encoder", ["transformer", "lstm", "gru"])
def test_what_is_learned_at_every_step_is_what_is_asked_later(encoder: str) -> None:
    viewed = history([list("abcdef")])
    age = columns.fit("number", "age", "age", [20, 30, 40], {})
    net = network(encoder, [viewed, age], repeat=True)
    values = {"history": [list("abcd"), list("fe")], "age": [20, 35]}
    with torch.no_grad():
        rows = encode_rows([viewed, age], values)
        batch = {name: torch.from_numpy(t) for name, t in rows.batch(np.arange(2)).items()}
        all_steps = net.train()(batch)[OUTPUTS].values
        assert all_steps.shape == (2, 5, 6)
        for steps in range(5):
            begun = encode_rows([viewed, age], {"history": [list("abcd")[:steps]], "age": [20]})
            asked = net.eval()({name: torch.from_numpy(t) for name, t in begun.batch(np.arange(1)).items()})
            torch.testing.assert_close(asked[OUTPUTS].values[0], all_steps[0, steps], atol=1e-5, rtol=1e-4)


def test_an_encoder_that_sees_later_events_is_refused() -> None:
    with pytest.raises(TrimtabError, match="later events"):
        network("bilstm", [history([list("abcdef")])])


def test_what_a_user_had_is_left_out_even_beyond_the_steps_that_are_read() -> None:
    viewed = history([list("abcdef")], max_steps=2, seen=True)
    rows = encode_rows([viewed], {"history": [list("abcd"), []]})
    net = network("transformer", [viewed]).eval()
    scores = net({name: torch.from_numpy(t) for name, t in rows.batch(np.arange(2)).items()})[OUTPUTS].values
    assert (scores == LEFT_OUT).tolist() == [[True] * 4 + [False] * 2, [False] * 6]


def test_a_ranking_needs_no_history() -> None:
    shelf = columns.fit("category", "shelf", "shelf", list("aabbcc"), {})
    entries = (EncoderEntry(name="category", reads=("shelf",)),)
    architecture = Architecture(width=8, encoders=entries, fusion="mean", dropout=0.0, head="ranking")
    net = Network(architecture, [shelf], RankingColumn("item", "item", tuple("wxyz")))
    rows = encode_rows([shelf], {"shelf": list("abc")})
    assert net({"shelf_ids": torch.from_numpy(rows.batch(np.arange(3))["shelf_ids"])})[OUTPUTS].values.shape == (3, 4)


def test_a_place_without_an_answer_teaches_nothing() -> None:
    scores = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    one = loss(RankingHead, scores, torch.tensor([[IGNORED, 2, IGNORED], [1, 0, 3]]))
    alone = loss(RankingHead, scores[:1, 1], torch.tensor([2]))
    torch.testing.assert_close(one[:1], alone)


# ---------------------------------------------------------------------------------------------------- whole path


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, trimtab.Release]:
    """A shop, an item that only one last visit had, and an age beside the history."""
    rows = shop()
    rows.append({"user": "u1", "item": "a brand new item", "time": 5000, "age": 21})
    made = place(
        tmp_path_factory.mktemp("shop"), rows, output={"item": RANKING}, inputs={"age": "number"},
        train={"epochs": 14, "learning_rate": 0.005}, gates={"ndcg@10": ">= 0.7"},
    )  # fmt: skip
    return made, trimtab.launch(made.spec, runs=made.runs)


def test_the_network_finds_the_rule_and_beats_the_floor(launched: tuple[Place, trimtab.Release]) -> None:
    manifest = launched[1].manifest
    assert launched[1].released, manifest.why
    baselines = {name: found["ndcg@10"]["value"] for name, found in manifest.evidence["baselines"].items()}
    assert set(baselines) == {"popularity", "item-kNN", "item-kNN of the last 5"}
    assert manifest.measured["ndcg@10"].value > 1.2 * max(baselines.values())
    assert manifest.evidence["differs"] <= 1e-4


def test_an_item_that_training_never_had_is_set_aside_and_counted(launched: tuple[Place, trimtab.Release]) -> None:
    manifest = launched[1].manifest
    assert manifest.data["rows"]["test"] == 149
    aside = (launched[0].runs / "rows" / "rejected.jsonl").read_text()
    assert "no item named 'a brand new item' in training" in aside


def test_the_best_ten_hold_the_rule_and_nothing_that_the_user_had(launched: tuple[Place, trimtab.Release]) -> None:
    model = trimtab.load(launched[1].folder)
    had = [f"item {(3 + 7 * step) % ITEMS}" for step in range(6)]
    cold, warm = model.predict([{"history": [], "age": 30}, {"history": had, "age": 30}], top=10).rows()
    assert warm["item"] == f"item {(3 + 7 * 6) % ITEMS}" == warm["item_top"][0]["item"]
    assert not {one["item"] for one in warm["item_top"]} & set(had)
    assert len(cold["item_top"]) == 10
    assert cold["score"] < warm["score"] / 3  # of somebody new nothing is sure


def test_predict_and_evaluate_take_histories_in_a_table(
    launched: tuple[Place, trimtab.Release], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = tmp_path / "asked.csv"
    asked.write_text(
        "who,age,history,item\nann,30,item 3|item 10|item 17,item 24\nbob,,,item 1\ncy,40,item 5,none such\n"
    )
    bundle = str(launched[1].folder)
    assert main(["predict", bundle, str(asked), "--top", "3"]) == 0
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert rows[0]["predicted_item"] == "item 24"
    assert [len(json.loads(row["item_top"])) for row in rows] == [3, 3, 3]
    assert main(["evaluate", bundle, str(asked), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["rows"], found["rejected"]) == (2, 1)
    assert found["metrics"]["hit@10"]["value"] >= 0.5


def test_predict_takes_events_and_answers_each_user_once(
    launched: tuple[Place, trimtab.Release], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    events = tmp_path / "events.csv"
    events.write_text("item,user,time,age\nitem 17,ann,9,30\nitem 3,ann,1,30\nitem 5,bob,2,40\nitem 10,ann,5,30\n")
    assert main(["predict", str(launched[1].folder), str(events)]) == 0
    printed = capfd.readouterr()
    rows = list(csv.DictReader(io.StringIO(printed.out)))
    assert "taken for events; one answer for each of 2 users" in " ".join(printed.err.split())
    assert [(row["user"], row["age"], json.loads(row["history"])) for row in rows] == [
        ("ann", "30", ["item 3", "item 10", "item 17"]),
        ("bob", "40", ["item 5"]),
    ]
    assert [row["item"] for row in rows] == ["item 24", "item 12"]
