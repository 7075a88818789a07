"""What moved: no alarm while nothing does, however often one looks; one soon after something did."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import build

from trimtab import runtime
from trimtab.bundle import reference, store
from trimtab.bundle.manifest import Measured
from trimtab.columns import encode_rows
from trimtab.rows import Row
from trimtab.watch import accuracy, answering, baseline, distances
from trimtab.watch.evidence import Evidence
from trimtab.watch.log import Entry, Kept, Label, open_log
from trimtab.watch.report import Report
from trimtab.watch.sketch import Sketcher
from trimtab.watch.subject import CLASSIFIER, Subject
from trimtab.watch.watching import OWN_BASELINE, Watcher

WORDS = (
    "warm",
    "soup",
    "cold",
    "staff",
    "funny",
    "film",
    "dull",
    "hour",
    "lovely",
    "little",
    "good",
    "bad",
    "it",
    "is",
)
MOODS = ("good", "bad", "so")
Values = dict[str, list[object]]


def drawn(seed: int, rows: int, words: int = 6, stars: float = 3.0, missing: float = 0.1, north: float = 0.5) -> Values:
    """Rows by chance; the arguments are what may move."""
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, random.integers(1, 2 * words))) for _ in range(rows)]
    numbers = np.round(random.normal(stars, 1, rows), 2)
    cells = ["" if gone else f"{number}" for gone, number in zip(random.random(rows) < missing, numbers, strict=True)]
    return {"review": texts, "stars": cells, "shop": np.where(random.random(rows) < north, "north", "south").tolist()}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> runtime.Model:
    """A bundle that says nothing of rows that it did not learn from."""
    bundle = build(tmp_path_factory.mktemp("bare"))
    model = runtime.load(bundle)
    encoded = encode_rows(model.inputs, drawn(0, 500))
    reference.write(bundle / store.REFERENCE, encoded, model.outputs(encoded), {})
    store.write_manifest(bundle, model.manifest)
    return runtime.load(bundle)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> runtime.Model:
    """The same with the spread of 600 rows, of which 70% are answered right."""
    bundle = build(tmp_path_factory.mktemp("watch"))
    model = runtime.load(bundle)
    encoded = encode_rows(model.inputs, drawn(0, 500))
    reference.write(bundle / store.REFERENCE, encoded, model.outputs(encoded), {})
    values = drawn(1, 600)
    baseline.write(bundle / store.REFERENCE, answering.made(model, values, right(model, values, 0.7)))
    store.write_manifest(bundle, model.manifest)
    return runtime.load(bundle)


def right(model: runtime.Model, values: Values, share: float) -> list[str]:
    """Labels by which this share of the answers is right."""
    answers = model.output.decode(model.answered(values).outputs)["mood"]
    good = np.random.default_rng(2).random(len(answers)) < share
    return [one if fine else MOODS[MOODS.index(one) - 1] for one, fine in zip(answers, good, strict=True)]


def entries(model: runtime.Model, values: Values) -> list[Entry]:
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    found = answering.entries(model, Sketcher.of(model), [Row(row, 1) for row in rows], Path())
    return [replace(entry, time=1e9 + number) for number, entry in enumerate(found)]


def kept(found: list[Entry]) -> list[Kept]:
    return [Kept(place, entry, None, False) for place, entry in enumerate(found, 1)]


def watched(model: runtime.Model, *streams: Values) -> Report:
    watcher = Watcher(Subject.of(model))
    for values in streams:
        watcher.add(kept(entries(model, values)))
    return watcher.report()


def moved(report: Report) -> set[tuple[str, str]]:
    return {(one.column, one.what) for one in report.movements if one.alarm}


def found_at(report: Report, column: str, what: str) -> int:
    (row,) = [one.found for one in report.movements if (one.column, one.what) == (column, what)]
    assert row is not None
    return row


def test_rows_like_those_before_raise_no_alarm(model: runtime.Model) -> None:
    for seed in (10, 11):
        report = watched(model, drawn(seed, 1500))
        assert report.alarms == ()
        assert report.rows == 1500


def test_evidence_exceeds_a_hundred_to_one_in_less_than_one_of_a_hundred_streams() -> None:
    random, shares = np.random.default_rng(5), np.array([0.4, 0.3, 0.2, 0.09, 0.01])
    exceeded = []
    for rows in (40, 300, 2000):  # however little the baseline knows
        pool = random.multinomial(rows, shares, size=400)
        found = Evidence(pool.astype(float), np.full(400, 5), np.full(400, math.log(100)))
        found.add(random.choice(5, size=(2000, 400), p=shares).astype(np.uint8))
        exceeded.append(int((found.crossed > 0).sum()))
    assert max(exceeded) <= 8
    assert sum(exceeded) <= 12


def test_a_shift_of_classes_from_half_to_70_percent_is_found_within_1000_answers_of_which_a_tenth_is_wrong() -> None:
    random = np.random.default_rng(6)
    pool = random.multinomial(600, [0.5, 0.5], size=100)
    found = Evidence(pool.astype(float), np.full(100, 2), np.full(100, math.log(900)))  # an answer's share of 0.01
    found.add((random.random((1000, 100)) < 0.34).astype(np.uint8))  # 30% and 70%, each with a tenth of the other
    assert int((found.crossed > 0).sum()) >= 97
    assert np.median(found.crossed) <= 400


def test_looking_often_says_the_same_as_looking_once(model: runtime.Model) -> None:
    found = entries(model, drawn(20, 700, stars=3.4))
    once, often = Watcher(Subject.of(model)), Watcher(Subject.of(model))
    once.add(kept(found))
    for start in range(0, 700, 35):
        often.add(kept(found)[start : start + 35])
        often.report()
    assert often.report() == once.report()


@pytest.mark.parametrize(
    ("changed", "column", "what"),
    [
        ({"stars": 4.0}, "stars", "value"),
        ({"missing": 0.5}, "stars", "missing or not"),
        ({"north": 0.8}, "shop", "value"),
        ({"words": 12}, "review", "length"),
    ],
)
def test_what_moved_is_named_within_300_rows(
    model: runtime.Model, changed: dict[str, float], column: str, what: str
) -> None:
    report = watched(model, drawn(30, 600, **changed))
    assert (column, what) in moved(report)
    assert found_at(report, column, what) <= 300


def test_a_change_after_thousands_of_rows_is_found_and_dated(model: runtime.Model) -> None:
    report = watched(model, drawn(40, 2000), drawn(41, 600, stars=4.0))
    (one,) = [one for one in report.movements if (one.column, one.what) == ("stars", "value")]
    assert one.alarm
    assert one.since is not None
    assert abs(one.since - 2000) <= 200
    assert one.since_time == 1e9 + one.since % 2000
    assert found_at(report, "stars", "value") <= 2500


def test_words_that_training_never_had_are_found_and_what_they_share(model: runtime.Model) -> None:
    strange = {**drawn(50, 400), "review": ["zebra quantum xylophone"] * 400}
    told = moved(watched(model, strange))
    assert {("review", "how usual its tokens are"), ("review", "length")} <= told
    assert any(column == "review" and what.startswith("share of '") for column, what in told)


def test_columns_that_only_go_together_otherwise_are_found_by_the_classifier(model: runtime.Model) -> None:
    pair = np.random.default_rng(60).normal(0, 1, (3000, 2))
    known = baseline.fitted({"a.value": pair[:1000, 0], "b.value": pair[:1000, 1]}, 1000)
    watcher = Watcher(Subject.of(model), known)
    watcher.add(kept([Entry("x", sketch={"a.value": a, "b.value": a}) for a in pair[1000:, 0].tolist()]))
    assert moved(watcher.report()) == {(CLASSIFIER, "two-sample test")}


def test_a_move_that_is_sure_but_tiny_raises_no_alarm(model: runtime.Model) -> None:
    watcher = Watcher(Subject.of(model), least=5.0)
    watcher.add(kept(entries(model, drawn(30, 600, stars=4.0))))
    (one,) = [one for one in watcher.report().movements if (one.column, one.what) == ("stars", "value")]
    assert one.chance < 0.01
    assert not one.alarm


def test_what_a_log_gives_back_says_the_same_as_the_rows(model: runtime.Model, tmp_path: Path) -> None:
    found = entries(model, drawn(70, 400, stars=3.5))
    direct, through = Watcher(Subject.of(model)), Watcher(Subject.of(model))
    direct.add(kept(found))
    with open_log(str(tmp_path / "log.db"), create=True) as log:
        log.append(found[:150])
        through.follow(log)
        log.append([Entry("another bundle", sketch={"stars.value": 99.0})] * 1, [])
        log.append(found[150:])
        through.follow(log)
    assert through.report() == direct.report()
    assert through.rows == 400


def test_a_bundle_without_a_baseline_is_held_against_the_beginning_of_its_log(bare: runtime.Model) -> None:
    few = watched(bare, drawn(80, OWN_BASELINE - 1))
    assert few.movements == ()
    assert "not that many yet" in few.untold[0]
    assert "stars" in {column for column, _ in moved(watched(bare, drawn(80, OWN_BASELINE), drawn(81, 500, stars=4.0)))}
    assert watched(bare, drawn(80, OWN_BASELINE), drawn(81, 700)).alarms == ()


def test_labels_bound_accuracy_and_raise_an_alarm_below_what_was_audited(model: runtime.Model) -> None:
    values = drawn(90, 500)
    answered = kept(entries(model, values))
    for share, alarm in ((0.7, False), (0.3, True)):
        watcher = Watcher(replace(Subject.of(model), measured={"accuracy": Measured(value=0.65, low=0.65)}))
        truth = right(model, values, share)
        watcher.add(one._replace(label=label, labelled=True) for one, label in zip(answered, truth, strict=True))
        found = watcher.report().accuracy
        assert found.measured is not None
        assert found.measured.low < share < found.measured.high
        assert found.alarm is alarm


def test_accuracy_is_estimated_without_labels(model: runtime.Model) -> None:
    estimated = watched(model, drawn(91, 600)).accuracy.estimated
    assert estimated is not None
    assert abs(estimated - 0.7) < 0.05


def test_a_confidence_sequence_holds_at_all_times_at_once() -> None:
    random, missed = np.random.default_rng(7), 0
    for _ in range(60):
        sums = np.cumsum(random.random(100) < 0.8)
        found = [accuracy.sequence(int(right), rows, 0.05) for rows, right in enumerate(sums, 1)]
        missed += any(not one.low <= 0.8 <= one.high for one in found)
    assert missed <= 3


def test_shares_of_classes_are_told_from_wrong_answers_too() -> None:
    confusion = np.array([[80, 20], [10, 90]])
    shares = accuracy.class_shares(confusion, np.array([0.3 * 0.8 + 0.7 * 0.1, 0.3 * 0.2 + 0.7 * 0.9]) * 1000)
    assert shares is not None
    assert np.allclose(shares, [0.3, 0.7])
    assert accuracy.class_shares(np.array([[50, 50], [50, 50]]), np.array([50, 50])) is None


def test_distances_and_their_chances_are_those_of_the_books() -> None:
    stats = pytest.importorskip("scipy.stats")
    before, now = np.array([40, 60, 25, 75]), np.array([55, 45, 30, 70])
    value, chance = distances.chi_square(before, now)
    known = stats.chi2_contingency(np.stack([before, now]), correction=False)
    assert value == pytest.approx(known.statistic)
    assert chance == pytest.approx(known.pvalue, abs=0.005)
    assert distances.psi(before, before) == 0
    assert distances.ks(before, now)[0] == pytest.approx(0.075)
    assert distances.holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])


def test_no_row_is_kept_where_none_may_be_quoted(model: runtime.Model, tmp_path: Path) -> None:
    values = drawn(95, 300)
    made = answering.made(model, values, None, quotes=False)
    path = tmp_path / "reference.npz"
    reference.write(path, encode_rows(model.inputs, values), model.answered(values).outputs, {})
    baseline.write(path, made)
    found = baseline.read(path)
    assert found is not None
    assert found.binned.shape == (0, len(made.features))
    watcher = Watcher(Subject.of(model), found)
    watcher.add(kept(entries(model, drawn(96, 100))))
    assert any("quotes: none" in line for line in watcher.report().untold)


def test_errors_slow_answers_and_answers_that_are_all_alike_are_told(model: runtime.Model) -> None:
    fine = entries(model, drawn(97, 300))
    same = [replace(fine[0], confidence=0.5, id=str(number)) for number in range(200)]
    failed = [Entry(fine[0].bundle, error="the text is too long") for _ in range(60)]
    for stream, ill in ((fine, set()), (fine + same, {"one answer", "one confidence"}), (fine + failed, {"errors"})):
        watcher = Watcher(Subject.of(model))
        watcher.add(kept(stream))
        found = {one.name: one.well for one in watcher.report().health}
        assert {name for name, well in found.items() if not well} == ill


def test_clocks_that_jump_and_odd_entries_do_no_harm(model: runtime.Model) -> None:
    fine = entries(model, drawn(98, 100))
    odd = [
        replace(fine[0], time=-1e18),
        replace(fine[1], time=1e300),
        replace(fine[2], time=math.nan),
        replace(fine[3], sketch={}),
        replace(fine[4], sketch={"stars.value": None, "unknown.value": 3}),
    ]
    watcher = Watcher(Subject.of(model))
    watcher.add(kept(fine + odd))
    report = watcher.report()
    assert report.rows == 105
    assert any("1 answers" in line for line in report.untold)
    assert {gauge.name for gauge in watcher.gauges()} >= {"trimtab_watched_rows", "trimtab_drift_evidence"}


def test_labels_of_a_log_count_with_its_entries(model: runtime.Model, tmp_path: Path) -> None:
    found = entries(model, drawn(99, 50))
    with open_log(str(tmp_path / "log.db"), create=True) as log:
        log.append(found, [Label(found[0].id, "mood", "good"), Label(found[1].id, "mood", "no such mood")])
        watcher = Watcher(Subject.of(model))
        watcher.follow(log)
        first = watcher.report().accuracy.measured
        log.append(
            [], [Label(found[2].id, "mood", "bad"), Label(found[0].id, "mood", "bad"), Label("none", "mood", "bad")]
        )
        watcher.follow(log)
    last = watcher.report().accuracy.measured
    assert first is not None
    assert last is not None
    assert (first.rows, last.rows) == (2, 3)
    assert "trimtab_accuracy" in {gauge.name for gauge in watcher.gauges()}
