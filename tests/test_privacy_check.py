"""What a bundle gives away of its data: membership inference, and the list of what its files quote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve
from test_data_check import reviews, table
from tiny_bundle import ROWS as REVIEWS
from tiny_bundle import build, make_manifest

from trimtab import columns, page, runtime
from trimtab import spec as specs
from trimtab.audit import membership, quality
from trimtab.audit.membership import Attack
from trimtab.checks import Context, privacy
from trimtab.errors import TrimtabError
from trimtab.metrics import Amounts, Answers, AnyOf, OneOf

ONES = np.ones((400, 1))


def drawn(shift: float, seed: int = 0) -> Attack:
    draw = np.random.default_rng(seed)
    learnt = np.repeat([True, False], 200)
    return Attack(np.round(draw.normal(learnt * shift, 1.0), 1), learnt)


def test_auc_and_true_positives_are_those_of_the_roc_curve_with_ties() -> None:
    attack = drawn(1.0)
    assert attack.auc()(ONES) == pytest.approx([roc_auc_score(attack.learnt, attack.score)])
    false, true, _ = roc_curve(attack.learnt, attack.score, drop_intermediate=False)
    for rate in (0.0, 0.01, 0.1, 1.0):
        assert attack.found(rate)(ONES) == pytest.approx([true[false <= rate].max()])


def test_the_better_attack_counts_and_intervals_hold_what_was_drawn() -> None:
    weak, strong = drawn(0.0), drawn(1.5)
    assert membership.worst([weak.auc(), strong.auc()])(ONES) == strong.auc()(ONES)
    held = 0
    for seed in range(20):
        found = quality.estimate(drawn(1.0, seed).auc(), 400, seed, 200, share=True)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.7602 <= found.high  # the normal distribution at 1 / sqrt(2)
    assert held >= 17


def test_losses_of_each_kind_of_answers() -> None:
    one = OneOf(("a", "b"), np.array([0, 1]), np.array([[0.5, 0.5], [0.75, 0.25]]))
    assert membership.losses(one) == pytest.approx([np.log(2), np.log(4)])
    true, chances = np.array([[1, 0], [np.nan, 1]]), np.array([[0.5, 0.5], [0.9, 0.25]])
    assert membership.losses(AnyOf(("p", "q"), true, chances, chances > 0.5)) == pytest.approx([np.log(4), np.log(4)])
    small, large = membership.losses(Amounts(np.array([1.0, 2.0]), np.array([1.1, 5.0])))
    assert small < large
    assert membership.losses(Answers()) is None


def context(folder: Path, known: int, count: int = 300, train: bool = True) -> Context:
    """The tiny bundle, and rows whose first `known` training answers are those that it gives."""
    model = runtime.load(build(folder), threads=1)
    rows, _ = reviews(count, 0.0)
    given = model.predict([{key: row[key] for key in ("review", "stars", "shop")} for row in rows])
    for row, answer in zip(rows[:known], given.answers["mood"][:known], strict=True):
        row["mood"] = answer
    half = count // 2
    return Context(model, model.inputs, table(rows[:half]) if train else None, table(rows[half:]), (), 7)


def test_a_network_that_answers_its_training_rows_better_gives_them_away(tmp_path: Path) -> None:
    found = privacy.check(context(tmp_path / "told", known=150))
    auc, rate = found.measured[privacy.AUC], found.measured[privacy.FOUND]
    assert auc.low is not None
    assert auc.low > 0.6
    assert rate.value > 0.02
    attacks = found.evidence[privacy.NAME]["attacks"]
    assert set(attacks) == {"loss threshold", "likelihood ratio", "reference alone"}
    assert auc.value == pytest.approx(max(attacks[name][privacy.AUC]["value"] for name in list(attacks)[:2]))


def test_a_network_that_answers_all_rows_alike_gives_nothing_away(tmp_path: Path) -> None:
    found = privacy.check(context(tmp_path, known=0))
    auc = found.measured[privacy.AUC]
    assert auc.low is not None
    assert auc.high is not None
    assert auc.low - 0.05 <= 0.5 <= auc.high + 0.05


def test_few_rows_say_nothing_of_one_in_a_hundred_and_without_training_rows_nothing_is_tried(tmp_path: Path) -> None:
    few = privacy.check(context(tmp_path / "few", known=0, count=60))
    assert privacy.FOUND not in few.measured
    assert "of 30 test rows one in a hundred cannot be told" in few.remarks[privacy.FOUND]
    none = privacy.check(context(tmp_path / "none", known=0, train=False))
    assert not none.measured


def test_the_card_says_what_the_attacks_reach_and_what_the_files_quote(tmp_path: Path) -> None:
    made = context(tmp_path, known=150)
    found = privacy.check(made)
    changed = {"evidence": dict(found.evidence), "measured": dict(found.measured), "files": {"golden.jsonl": "0"}}
    manifest = make_manifest(made.inputs, made.output, []).model_copy(update=changed)
    first, quotes = privacy.sections(manifest)
    tables = [block for block in first.blocks if isinstance(block, page.Table)]
    assert [row[0] for row in tables[1].rows] == ["loss threshold", "likelihood ratio", "reference alone"]
    (listed,) = quotes.blocks
    assert isinstance(listed, page.Table)
    assert listed.rows[0] == ("golden.jsonl", "whole rows of the test data")
    assert "shadow models" in " ".join(privacy.limits(manifest))


# ------------------------------------------------------------------------------------------------- quotes: none

SPEC = {"data": "rows.csv", "output": "mood"}


def test_quotes_is_what_quote_rows_is_called_now() -> None:
    old = specs.parse({**SPEC, "quote_rows": False})
    assert (old.quotes, old.quote_rows) == ("none", False)
    assert old.notes == ("quote_rows is called quotes now, `quotes: none`",)
    new = specs.parse({**SPEC, "quotes": "rows"})
    assert (new.quote_rows, new.notes) == (True, ())
    assert old.model_dump() == specs.parse({**SPEC, "quotes": "none"}).model_dump()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"quote_rows": "maybe"}, "spec: quote_rows: found 'maybe'"),
        ({"quotes": "all"}, "spec: quotes: found 'all'"),
        ({"quotes": "none", "quote_rows": False}, "no key named 'quote_rows'"),
    ],
)
def test_what_may_not_be_said_of_quotes_is_told_by_the_key_as_it_was_written(
    said: dict[str, object], told: str
) -> None:
    with pytest.raises(TrimtabError, match=told):
        specs.parse({**SPEC, **said})


def test_golden_rows_can_be_made_up_of_what_columns_hold(tmp_path: Path) -> None:
    model = runtime.load(build(tmp_path), threads=1)
    history = columns.fit("history", "bought", "bought", [["a", "b"], ["c"]], {})
    random = np.random.default_rng(7)
    made = [{column.name: column.invented(random) for column in model.inputs} for _ in range(8)]
    runtime.write_golden(model.folder, runtime.record_golden(model, made))
    assert runtime.replay(model, runtime.read_golden(model.folder)).rows == 8
    assert not {row["review"] for row in made} & {row["review"] for row in REVIEWS}
    assert set(history.invented(random)) <= {"a", "b", "c"}
