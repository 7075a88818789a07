"""Text is written token by token: as a plain loop over the whole network says, and the same whatever is beside it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import tiny_writer
from tiny_writer import BOS, EOS, HEAD, HEADS, SHAPE, VOCABULARY, Network

from trimtab.columns import EncodedRows, Ragged, encode_rows, named, ragged
from trimtab.columns.text import TextColumn
from trimtab.errors import TrimtabError
from trimtab.programs import Decoding
from trimtab.programs._choosing import drawn, forbidden, leading, log_totals
from trimtab.programs._options import Options
from trimtab.programs.stepwise import IDS, KEPT, SCORES, StepwiseProgram

PROMPT: dict[str, Any] = {"prompt": ((BOS, 7), "source", (9,))}
# Lengths that differ, a row twice, and an empty one.
ROWS = ["c d e", "f", "c d e f g h i j", "k l", "", "f", "m n o p q", "a b c d e f"]
LONGEST = 12


@pytest.fixture(scope="module")
def column() -> TextColumn:
    return tiny_writer.source()


@pytest.fixture(scope="module")
def rows(column: TextColumn) -> EncodedRows:
    return encode_rows([column], {"source": ROWS})


@pytest.fixture(scope="module", params=["decoder alone", "encoder and decoder"])
def networks(request: pytest.FixtureRequest) -> dict[str, Network]:
    read = request.param == "encoder and decoder"
    made = {"step": Network(tiny_writer.step(3, memory=read, ends=1.5))}
    return made | ({"encode": Network(tiny_writer.encode("source_ids", "source_mask"))} if read else {})


def program(networks: dict[str, Network], **options: Any) -> StepwiseProgram:
    prompt = {} if "encode" in networks else PROMPT
    return StepwiseProgram(Options(**(SHAPE | prompt | {"longest": LONGEST} | options)))


class Plain:
    """The whole of a row computed anew for every token, alone and without a cache."""

    def __init__(self, networks: dict[str, Network], rows: EncodedRows, row: int) -> None:
        self.step = networks["step"]
        self.memory: dict[str, np.ndarray] = {}
        if "encode" in networks:
            self.memory = networks["encode"].run(rows.batch(np.array([row])))
            self.prompt = [BOS]
        else:
            self.prompt = [BOS, 7, *rows.encoded[0][row].tolist(), 9]

    def log_probabilities(self, written: Sequence[int]) -> np.ndarray:
        ids = np.array([[*self.prompt, *written]])
        count = ids.shape[1]
        mask = np.triu(np.full((count, count), -1e30, np.float32), 1)[None, None]
        nothing = np.zeros((1, HEADS, 0, HEAD), np.float32)
        given = {"ids": ids, "positions": np.arange(count)[None], "mask": mask, "picked": np.array([[count - 1]])}
        found = self.step.run(given | {"past_k_0": nothing, "past_v_0": nothing} | self.memory)["logits"][0, 0]
        return np.asarray(found - np.log(np.exp(found.astype(np.float64)).sum()))

    def greedy(self, most: int = LONGEST) -> tuple[list[int], list[float]]:
        ids: list[int] = []
        scores: list[float] = []
        while len(ids) < most and (not ids or ids[-1] != EOS):
            found = self.log_probabilities(ids)
            ids.append(int(found.argmax()))
            scores.append(float(found.max()))
        return ids, scores


@pytest.fixture(scope="module")
def plain(networks: dict[str, Network], rows: EncodedRows) -> list[Plain]:
    return [Plain(networks, rows, row) for row in range(len(rows))]


def ids_of(program: StepwiseProgram, networks: dict[str, Network], rows: EncodedRows) -> list[list[int]]:
    found = named(program.run(networks, rows).outputs)[IDS]
    return [found[row].reshape(-1).tolist() for row in range(len(rows))]


# -------------------------------------------------------------------------------------------------------- greedy


def test_rows_of_any_length_are_written_as_each_alone_is(
    networks: dict[str, Network], rows: EncodedRows, plain: list[Plain]
) -> None:
    found = named(program(networks).run(networks, rows).outputs)
    for row, one in enumerate(plain):
        ids, scores = one.greedy()
        assert found[IDS][row].reshape(-1).tolist() == ids
        assert np.abs(found[SCORES][row].reshape(-1) - scores).max() < 1e-5
    assert {len(found[IDS][row]) for row in range(len(rows))} > {LONGEST}  # some end by themselves, some do not


def test_a_row_is_written_the_same_alone_and_beside_any_others(networks: dict[str, Network], rows: EncodedRows) -> None:
    written = ids_of(program(networks), networks, rows)
    turned = np.arange(len(rows))[::-1]
    assert ids_of(program(networks), networks, rows.take(turned)) == written[::-1]
    assert [ids_of(program(networks), networks, rows.take(np.array([row])))[0] for row in turned] == written[::-1]


def test_rows_that_are_done_leave_the_batch(networks: dict[str, Network], rows: EncodedRows) -> None:
    networks["step"].calls.clear()
    lengths = [len(ids) for ids in ids_of(program(networks), networks, rows)]
    widths = [shape[0] for shape in networks["step"].calls if shape[1] == 1]
    assert min(lengths) < max(lengths) == len(widths)
    assert widths[0] == len({rows.encoded[0][row].tobytes() for row in range(len(rows))})  # equal rows are written once
    assert widths == sorted(widths, reverse=True)
    assert sum(widths) < len(rows) * max(lengths)


def test_rows_are_let_in_while_others_are_being_written(
    networks: dict[str, Network], rows: EncodedRows, plain: list[Plain]
) -> None:
    made = program(networks)
    writer = made.writer(networks)
    written: dict[Any, list[int]] = {row: [] for row in range(len(rows))}
    waiting = [[2], [0, 1], [3], [4, 5, 6, 7]]
    while waiting or len(writer):
        if waiting:
            places = np.array(waiting.pop(0))
            writer.add(made.begun(networks, rows, places), places.tolist(), [made.options] * len(places))
        for said in writer.step():
            written[said.key] += said.ids
    assert written == {row: one.greedy()[0] for row, one in enumerate(plain)}


def test_rows_wait_where_their_keys_and_values_would_not_fit_into_memory(
    networks: dict[str, Network], rows: EncodedRows, plain: list[Plain], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.programs.stepwise._PLACES", 4)
    monkeypatch.setattr("trimtab.programs.stepwise._AT_ONCE", 4)
    expected = [one.greedy()[0] for one in plain]
    networks["step"].calls.clear()
    assert ids_of(program(networks), networks, rows) == expected
    assert max(shape[0] for shape in networks["step"].calls) == 4
    monkeypatch.setattr("trimtab.programs.stepwise._BYTES", 4 * 2 * HEADS * HEAD * 45)  # 45 tokens
    networks["step"].calls.clear()
    assert ids_of(program(networks), networks, rows) == expected
    assert max(shape[0] for shape in networks["step"].calls) < 4


def test_a_row_that_nobody_waits_for_is_not_written_on(networks: dict[str, Network], rows: EncodedRows) -> None:
    made = program(networks)
    writer = made.writer(networks)
    writer.add(made.begun(networks, rows, np.arange(len(rows))), list(range(len(rows))), [made.options] * len(rows))
    writer.step()
    writer.remove({0, 1, 2, 3})
    assert {said.key for said in writer.step()} <= {4, 5, 6, 7}
    assert networks["step"].calls[-1][0] <= 4
    writer.remove(set(range(len(rows))))
    assert (len(writer), writer.places, writer.step()) == (0, 0, [])


def test_a_row_that_is_done_asks_for_no_place_that_the_network_lacks(
    networks: dict[str, Network], rows: EncodedRows
) -> None:
    made = program(networks, eos=[999], longest=40)  # nothing ends by itself
    writer = made.writer(networks)
    writer.add(made.begun(networks, rows, np.array([1])), ["early"], [made.options])
    for _ in range(39):
        writer.step()
    later = [f"later {one}" for one in range(12)]
    writer.add(made.begun(networks, rows, np.ones(12, np.int64)), later, [made.options] * 12)
    tokens = dict.fromkeys(later, 0)
    while len(writer):
        tokens |= {said.key: tokens.get(said.key, 0) + 1 for said in writer.step()}
    assert tokens == {"early": 1, **dict.fromkeys(later, 40)}


def test_an_answer_is_no_longer_than_it_may_be_and_than_the_network_can_see(
    networks: dict[str, Network], rows: EncodedRows, plain: list[Plain]
) -> None:
    assert ids_of(program(networks, longest=3), networks, rows) == [one.greedy(3)[0] for one in plain]
    context = max(len(one.prompt) for one in plain) + 2
    expected = [one.greedy(context - len(one.prompt) + 1)[0][:LONGEST] for one in plain]
    assert ids_of(program(networks, context=context), networks, rows) == expected


def test_a_prompt_that_is_too_long_loses_its_beginning(column: TextColumn) -> None:
    network = {"step": Network(tiny_writer.step(3))}
    rows = encode_rows([column], {"source": ["a b c d e", "d e"]})
    made = program(network, context=4, prompt=("source",))
    assert len(made.begun(network, rows, np.array([0])).cache.past[0][0, 0]) == 3
    short = program(network, context=4, prompt=("source",), longest=1)
    long = program(network, context=4, prompt=((5, 6), "source"), longest=1)
    assert ids_of(long, network, rows)[1] == ids_of(short, network, encode_rows([column], {"source": ["c d d e"]}))[0]


# --------------------------------------------------------------------------------------------------------- beams


def test_enough_beams_find_the_likeliest_answer_of_all(networks: dict[str, Network], rows: EncodedRows) -> None:
    vocabulary = 5
    step = Network(tiny_writer.step(3, memory="encode" in networks, vocabulary=vocabulary, ends=1.0))
    small = {**networks, "step": step}
    made = StepwiseProgram(Options(**SHAPE, beams=64, longest=3, length_penalty=0.0))
    for row in range(2):
        one = Plain(small, rows, row)
        one.prompt = [BOS]
        totals: dict[tuple[int, ...], float] = {}
        for ids in _every(vocabulary, 3):
            totals[ids] = sum(one.log_probabilities(ids[:place])[token] for place, token in enumerate(ids))
        best = max(totals, key=lambda ids: totals[ids])
        found = made.run(small, rows.take(np.array([row]))).outputs
        assert tuple(named(found)[IDS][0].reshape(-1).tolist()) == best
        assert abs(float(named(found)[SCORES][0].sum()) - totals[best]) < 1e-4


def _every(vocabulary: int, most: int) -> Iterator[tuple[int, ...]]:
    """All answers: those that end by themselves, and those of the greatest length."""
    others = [token for token in range(vocabulary) if token != EOS]
    for length in range(most):
        for begun in itertools.product(others, repeat=length):
            yield (*begun, EOS)
    yield from itertools.product(others, repeat=most)


def test_beams_are_the_same_alone_and_beside_any_others(networks: dict[str, Network], rows: EncodedRows) -> None:
    made = program(networks, beams=3)
    written = ids_of(made, networks, rows)
    assert [ids_of(made, networks, rows.take(np.array([row])))[0] for row in range(len(rows))] == written
    assert written != ids_of(program(networks), networks, rows)


def test_a_greater_length_penalty_gives_longer_answers(networks: dict[str, Network], rows: EncodedRows) -> None:
    lengths = [
        sum(map(len, ids_of(program(networks, beams=4, length_penalty=penalty), networks, rows)))
        for penalty in (-2.0, 0.0, 3.0)
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


def test_rows_with_and_without_beams_are_written_together(networks: dict[str, Network], rows: EncodedRows) -> None:
    ways = [Decoding(longest=LONGEST, beams=1 + row % 3) for row in range(len(rows))]
    made = program(networks)
    writer = made.writer(networks)
    writer.add(made.begun(networks, rows, np.arange(len(rows))), list(range(len(rows))), ways)
    assert writer.places == sum(way.beams for way in ways)
    written: dict[Any, list[int]] = {row: [] for row in range(len(rows))}
    while len(writer):
        for said in writer.step():
            written[said.key] += said.ids
    by_beams = {beams: ids_of(program(networks, beams=beams), networks, rows) for beams in (1, 2, 3)}
    assert written == {row: by_beams[way.beams][row] for row, way in enumerate(ways)}


def test_the_leading_sums_are_those_of_a_whole_sort() -> None:
    random = np.random.default_rng(0)
    for vocabulary, beams, count in ((5, 3, 6), (64, 2, 4), (1000, 4, 8), (130, 1, 130)):
        logits = random.normal(size=(7, beams, vocabulary)).astype(np.float32)
        offsets = random.normal(size=(7, beams)).astype(np.float32)
        found = leading(logits, offsets, count)
        sums = (logits + offsets[..., None]).reshape(7, -1)
        order = np.argsort(-sums, axis=1)[:, :count]
        assert (found[0] * vocabulary + found[1] == order).all()
        assert (found[2] == np.take_along_axis(sums, order, axis=1)).all()


# --------------------------------------------------------------------------------------------------------- drawn


def test_what_is_drawn_for_a_row_hangs_on_the_seed_and_the_row_alone(
    networks: dict[str, Network], rows: EncodedRows
) -> None:
    made = program(networks, temperature=1.5, seed=5)
    written = ids_of(made, networks, rows)
    turned = np.array([7, 0, 3, 1])
    assert ids_of(made, networks, rows.take(turned)) == [written[row] for row in turned]
    assert written[1] == written[5]  # the same row
    assert len({tuple(ids) for ids in written}) == len(rows) - 1
    assert ids_of(program(networks, temperature=1.5, seed=6), networks, rows) != written
    greedy = ids_of(program(networks), networks, rows)
    assert greedy != written
    assert ids_of(program(networks, temperature=2.0, top_k=1), networks, rows) == greedy
    assert ids_of(program(networks, temperature=2.0, top_p=1e-9), networks, rows) == greedy


@pytest.mark.parametrize(
    ("options", "kept"),
    [({}, 6), ({"top_k": 3}, 3), ({"top_p": 0.6}, 2), ({"top_p": 0.9}, 4), ({"top_k": 3, "top_p": 0.6}, 2)],
    ids=["all", "top 3", "0.6 of all", "0.9 of all", "0.6 of the top 3"],
)
def test_tokens_are_drawn_as_often_as_they_are_likely(options: dict[str, Any], kept: int) -> None:
    likely = np.array([0.1, 0.35, 0.05, 0.3, 0.15, 0.05])  # of the top 3: 0.44, 0.38, 0.19
    logits = np.log(likely).astype(np.float32) * 2  # which the temperature of 2 undoes
    random = np.random.default_rng(0)
    draws = Counter(drawn(logits, Decoding(temperature=2.0, **options), random) for _ in range(4_000))
    best = np.argsort(-likely, kind="stable")[:kept]
    expected = likely[best] / likely[best].sum()
    assert sorted(draws) == sorted(best.tolist())
    found = np.array([draws[token] for token in best.tolist()]) / 4_000
    assert np.abs(found - expected).max() < 0.03


def test_the_likeliest_of_very_many_tokens_are_kept_as_of_few() -> None:
    logits = np.random.default_rng(1).normal(size=30_000).astype(np.float32) * 0.01  # nearly all are as likely
    chances = np.exp(logits.astype(np.float64))
    order = np.argsort(-chances, kind="stable")
    kept = np.searchsorted(np.cumsum(chances[order]), 0.5 * chances.sum()) + 1
    random = np.random.default_rng(2)
    found = {drawn(logits, Decoding(temperature=1.0, top_p=0.5), random) for _ in range(100)}
    assert found <= set(order[:kept].tolist())
    assert not found <= set(order[: kept // 2].tolist())


# ---------------------------------------------------------------------------------------- what ends, what is barred


def test_an_answer_ends_before_a_text_that_stops_it(networks: dict[str, Network], rows: EncodedRows) -> None:
    texts = [networks["step"].text(ids) for ids in ids_of(program(networks), networks, rows)]
    row = max(range(len(texts)), key=lambda place: len(set(texts[place])))
    text = texts[row]
    stop = text[3:5]
    place = text.find(stop)
    found = named(program(networks, stop=("never", stop)).run(networks, rows).outputs)
    ids, kept = found[IDS][row].reshape(-1).tolist(), int(found[KEPT][row, 0])
    assert (kept, networks["step"].text(ids)) == (place, text[: place + 2])
    untouched = [other for other in range(len(texts)) if stop not in texts[other]]
    assert untouched
    assert [int(found[KEPT][other, 0]) for other in untouched] == [-1] * len(untouched)
    beamed = named(program(networks, beams=2, stop=(stop,)).run(networks, rows).outputs)
    plainly = [networks["step"].text(ids) for ids in ids_of(program(networks, beams=2), networks, rows)]
    assert [int(kept) for kept in beamed[KEPT][:, 0]] == [one.find(stop) for one in plainly]


def test_why_a_row_ended_is_said_with_its_last_token(networks: dict[str, Network], rows: EncodedRows) -> None:
    said = list(program(networks).stream(networks, rows))
    last = {one.key: one for one in said}
    assert all(one.end == ("stop" if one.ids[-1] == EOS else "length") for one in last.values())
    assert {one.end for one in last.values()} == {"stop", "length"}
    assert sum(one.end != "" for one in said) == len(rows)
    assert all(len(one.ids) == 1 for one in said)


def test_no_run_of_tokens_is_written_twice(networks: dict[str, Network], rows: EncodedRows) -> None:
    def repeats(written: list[list[int]]) -> int:
        runs = [Counter(itertools.pairwise(ids)) for ids in written]
        return sum(count - 1 for found in runs for count in found.values())

    free = {"ends": -9.0, "longest": 40}
    step = Network(tiny_writer.step(3, memory="encode" in networks, ends=free["ends"]))
    endless = {**networks, "step": step}
    for beams in (1, 3):
        assert repeats(ids_of(program(endless, longest=40, beams=beams), endless, rows)) > 0
        assert repeats(ids_of(program(endless, longest=40, beams=beams, no_repeat=2), endless, rows)) == 0
    assert forbidden([4, 5, 4, 6, 4], 2) == [5, 6]
    assert forbidden([4, 5], 1) == [4, 5]
    assert forbidden([4, 5], 3) == []


# -------------------------------------------------------------------------------------------------------- scored


def test_given_answers_are_scored_token_by_token(
    networks: dict[str, Network], rows: EncodedRows, plain: list[Plain]
) -> None:
    random = np.random.default_rng(0)
    answers = [random.integers(3, VOCABULARY, size=size) for size in (1, 5, 0, 9, 3, 2, 30, 4)]
    targets = ragged([np.append(answer, EOS) for answer in answers], np.zeros(0, np.int64))
    found = program(networks).scored(networks, rows, targets)
    assert (found.offsets == targets.offsets).all()
    for row, one in enumerate(plain):
        ids = targets[row].tolist()
        expected = [one.log_probabilities(ids[:place])[token] for place, token in enumerate(ids)]
        assert np.abs(found[row].reshape(-1) - expected).max() < 1e-4
    twice = Ragged(targets.values[:, None], targets.offsets)
    assert (program(networks).scored(networks, rows, twice).values == found.values).all()


def test_what_was_written_has_the_score_that_it_was_written_with(
    networks: dict[str, Network], rows: EncodedRows
) -> None:
    for beams in (1, 3):
        found = named(program(networks, beams=beams).run(networks, rows).outputs)
        targets = found[IDS]
        assert isinstance(targets, Ragged)
        again = program(networks).scored(networks, rows, targets)
        assert np.abs(again.values - found[SCORES].values).max() < 1e-4  # type: ignore[union-attr]


def test_rows_are_answered_with_one_of_some_names(
    networks: dict[str, Network], rows: EncodedRows, plain: list[Plain]
) -> None:
    choices = ((5,), (5, 6, 7), (20, 21), (9, EOS))
    sums = np.array(
        [
            [sum(one.log_probabilities(ids[:place])[token] for place, token in enumerate(ids)) for ids in choices]
            for one in plain
        ]
    )
    found = program(networks, choices=choices).run(networks, rows).outputs
    assert np.abs(np.asarray(found) - sums).max() < 1e-4
    means = program(networks, choices=choices, choices_per_token=True).run(networks, rows).outputs
    assert np.abs(np.asarray(means) - sums / [1, 3, 2, 2]).max() < 1e-4


def test_the_logarithm_of_a_sum_bears_large_numbers() -> None:
    logits = np.array([[1e4, 1e4 - 1], [-1e4, -np.inf]], np.float32)
    assert np.allclose(log_totals(logits), [1e4 + np.log1p(np.exp(-1)), -1e4])


# ------------------------------------------------------------------------------------------------------- options


def test_rows_are_settled_where_nothing_else_was_nearly_as_likely(
    networks: dict[str, Network], rows: EncodedRows, plain: list[Plain]
) -> None:
    margins = []
    for one in plain:
        ids, _ = one.greedy()
        best = [np.sort(one.log_probabilities(ids[:place]))[-2:] for place in range(len(ids))]
        margins.append(min(high - low for low, high in best))
    between = float(np.median(margins))
    assert program(networks).settled(networks, rows, between).tolist() == [margin > between for margin in margins]
    assert program(networks).settled(networks, rows, 0.0).all()
    assert not program(networks, beams=3).settled(networks, rows, 1e9).any()
    assert program(networks, beams=3).settled(networks, rows, 1e-6).any()
    assert not program(networks, temperature=1.0).settled(networks, rows, 1e-6).any()


def test_how_tokens_are_chosen_can_be_said_anew(networks: dict[str, Network], rows: EncodedRows) -> None:
    made = program(networks)
    other = made.decoding({"longest": 2, "beams": 2})
    assert (other.options.longest, other.options.beams, other.options.eos) == (2, 2, (EOS,))
    assert max(map(len, ids_of(other, networks, rows))) == 2
    assert made.options.longest == LONGEST
    with pytest.raises(TrimtabError, match="the answers of this bundle are not written token by token"):
        program(networks, choices=((5,), (6,))).decoding({"beams": 2})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temprature": 1}, r"no option named 'temprature'(?s:.*)did you mean 'temperature'"),
        ({"layers": 2}, "no option named 'layers'"),
        ({"beams": 0}, r"decoding: beams: found 0(?s:.*)answers that are followed at once"),
        ({"beams": 4, "temperature": 0.5}, "with beams the likeliest answers are followed"),
        ({"top_p": 0}, r"decoding: top_p: found 0"),
        ({"seed": "x"}, r"decoding: seed: found 'x'"),
    ],
    ids=["mistyped", "of the networks", "no beams", "beams that are drawn", "no probability", "no number"],
)
def test_what_cannot_be_set_is_told(networks: dict[str, Network], options: dict[str, Any], said: str) -> None:
    with pytest.raises(TrimtabError, match=said):
        program(networks).decoding(options)
