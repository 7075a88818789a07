"""Rows made for distillation: new, of the same form as real ones, and the same for the same seed."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_images

from trimtab.columns import EncodedRows, InputColumn, Ragged, Worded, encode_rows, fit
from trimtab.columns.text import TextColumn
from trimtab.compress import varied
from trimtab.compress.varied import Draw, _partners, text

CLS, SEP = 2, 3  # of the tiny tokenizer
BASKETS = ["tea|milk|rice", "milk|soap", "rice|tea|oil|salt|soap", "", "oil", "salt|rice|milk|tea|oil|soap|flour"] * 8
SENTENCES = [
    ["Anna", "lives", "in", "Basel", "and", "works", "there"],
    ["Trains", "to", "Unterentfelden", "leave", "hourly"],
    ["Rain"],
    ["A", "counterrevolutionary", "pamphlet", "from", "Vienna", "was", "found", "in", "Graz"],
] * 6
CANCER = load_breast_cancer()


def texts(reviews: list[dict[str, object]], tiny_base: Path, **options: Any) -> tuple[TextColumn, EncodedRows]:
    values = [str(row["review"]) for row in reviews]
    column = fit("text", "review", "review", values, {"tokenizer": tiny_base / "tokenizer.json", **options})
    return column, encode_rows([column], {"review": values})


def draw(rows: int, count: int, neighbours: np.ndarray | None = None) -> Draw:
    random = np.random.default_rng(5)
    picked, partners = random.integers(0, rows, count), random.integers(0, rows, count)
    return Draw(picked, partners, random, neighbours)


def spread(frequency: float, seconds: float) -> np.ndarray:
    time_axis = np.arange(round(8_000 * seconds)) / 8_000
    return (0.4 * np.sin(2 * np.pi * frequency * time_axis)).astype(np.float32)


def pictures() -> EncodedRows:
    values = [(image * 15.9).astype(np.uint8) for image in load_digits().images[:60]]
    return encode_rows([fit("image", "digit", "digit", values, {})], {"digit": values})


def photographs() -> EncodedRows:
    values = [photo[top : top + 96, :128] for photo in load_sample_images().images for top in (0, 150, 300)]
    return encode_rows([fit("image", "photo", "photo", values, {"size": [96, 128]})], {"photo": values})


def sounds() -> EncodedRows:
    values = [spread(200.0 + 50 * number, 0.2 + 0.05 * (number % 5)) for number in range(20)]
    column = fit("audio", "clip", "clip", values, {"rate": 8_000})
    return encode_rows([column], {"clip": values})


def histories() -> EncodedRows:
    return encode_rows([fit("history", "basket", "basket", BASKETS, {})], {"basket": BASKETS})


def words() -> EncodedRows:
    return encode_rows([fit("text", "words", "words", SENTENCES, {"words": True})], {"words": SENTENCES})


def table() -> EncodedRows:
    names = [str(name) for name in CANCER.feature_names[:6]]
    values: dict[str, list[Any]] = {name: CANCER.data[:, place].tolist() for place, name in enumerate(names)}
    values[names[0]][::10] = [None] * len(values[names[0]][::10])
    values["size"] = ["large" if area > 900 else "small" if area < 500 else "middle" for area in CANCER.data[:, 3]]
    columns = [fit("number", name, f"n{place}", values[name], {}) for place, name in enumerate(names)]
    return encode_rows([*columns, fit("category", "size", "size", values["size"], {})], values)


MADE: dict[str, Callable[[], EncodedRows]] = {
    "pictures": pictures,
    "photographs": photographs,
    "sounds": sounds,
    "histories": histories,
    "words": words,
    "table": table,
}


def arrays(rows: EncodedRows) -> list[np.ndarray]:
    found = []
    for part in rows.encoded:
        found += [part.values, part.offsets] if isinstance(part, Ragged) else [part]
        found += [part.words.values, part.words.offsets] if isinstance(part, Worded) else []
    return found


@pytest.mark.parametrize("kind", MADE)
def test_equal_seeds_make_equal_rows_and_others_make_others(kind: str) -> None:
    rows = MADE[kind]()
    one, same, other = (varied.vary(rows.columns, rows, 50, seed) for seed in (1, 1, 2))
    assert one is not None
    assert same is not None
    assert other is not None
    assert all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(same), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


@pytest.mark.parametrize("kind", MADE)
def test_new_rows_have_the_form_of_the_rows_that_they_are_made_of(kind: str) -> None:
    rows = MADE[kind]()
    before = [array.copy() for array in arrays(rows)]
    made = varied.vary(rows.columns, rows, 3 * len(rows), 7)
    assert made is not None
    assert len(made) == 3 * len(rows)
    for column, own, new in zip(rows.columns, rows.encoded, made.encoded, strict=True):
        assert type(new) is type(own)
        old, fresh = (column.batch(part, np.arange(len(rows))) for part in (own, new))
        assert {name: (part.dtype, part.ndim) for name, part in old.items()} == {
            name: (part.dtype, part.ndim) for name, part in fresh.items()
        }
        steps = [part.values if isinstance(part, Ragged) else part for part in (own, new)]
        assert steps[0].shape[1:] == steps[1].shape[1:]
    np.testing.assert_array_equal(made.steps, sum(c.steps(e) for c, e in zip(made.columns, made.encoded, strict=True)))
    assert all(np.array_equal(a, b) for a, b in zip(before, arrays(rows), strict=True))


def test_rows_of_types_that_nothing_is_known_about_are_copied_beside_others(
    reviews: list[dict[str, object]], tiny_base: Path
) -> None:
    column, rows = texts(reviews, tiny_base)
    assert varied.vary([column], rows, 10, 0, skip={"review"}) is None
    price = fit("number", "price", "price", list(range(len(rows))), {"bins": 0})
    both = encode_rows(
        [column, price], {"review": [str(row["review"]) for row in reviews], "price": list(range(len(rows)))}
    )
    made = varied.vary(both.columns, both, len(both), 0, skip={"review"})
    assert made is not None
    source = {tuple(both.encoded[0][row]): row for row in range(len(both))}  # type: ignore[arg-type]
    picked = [source[tuple(made.encoded[0][row])] for row in range(len(made))]  # type: ignore[arg-type]
    assert sorted(picked) == sorted(source.values())  # every row once before one comes again
    same = made.encoded[1][:, 0] == both.encoded[1][picked, 0]  # type: ignore[index]
    assert 0.5 < same.mean() < 0.75


def test_special_tokens_stay_in_place_and_no_text_is_longer_than_allowed(
    reviews: list[dict[str, object]], tiny_base: Path
) -> None:
    column, rows = texts(reviews, tiny_base, max_tokens=24)
    made = varied.vary([column], rows, 2_000, 0)
    assert made is not None
    found = made.encoded[0]
    assert isinstance(found, Ragged)
    assert found.lengths.max() == 24
    assert found.lengths.min() >= 3
    for row in range(len(found)):
        assert found[row][0] == CLS
        assert found[row][-1] == SEP
        assert not {CLS, SEP} & set(found[row][1:-1].tolist())


def occurs(part: list[int], whole: list[int]) -> bool:
    return any(whole[start : start + len(part)] == part for start in range(len(whole) - len(part) + 1))


def test_texts_are_stretches_of_their_rows_or_a_beginning_and_an_end(
    reviews: list[dict[str, object]], tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_CHANGED_ROWS", 0.0)
    column, rows = texts(reviews, tiny_base)
    (own,) = rows.encoded
    assert isinstance(own, Ragged)
    drawn = draw(len(rows), 400)
    found = text.vary(column, own, drawn)
    shorter = joined = whole = 0
    for row, (picked, partner) in enumerate(zip(drawn.picked, drawn.partners, strict=True)):
        body, first, second = (part.tolist()[1:-1] for part in (found[row], own[picked], own[partner]))
        whole += body == first
        shorter += body != first and occurs(body, first)
        cuts = (
            n
            for n in range(len(body) + 1)
            if body[:n] == first[:n] and body[n:] == second[len(second) - len(body) + n :]
        )
        joined += not occurs(body, first) and next(cuts, None) is not None
    assert whole + shorter + joined == 400
    assert min(whole, shorter, joined) > 40


def test_tokens_are_exchanged_for_those_of_other_rows_or_for_like_ones(
    reviews: list[dict[str, object]], tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_STRETCH", 0.0)
    monkeypatch.setattr(text, "_JOINED", 0.0)
    column, rows = texts(reviews, tiny_base)
    (own,) = rows.encoded
    assert isinstance(own, Ragged)
    drawn = draw(len(rows), 500)
    found = text.vary(column, own, drawn)
    changed = found.values != varied.taken(own, drawn.picked).values  # type: ignore[union-attr]
    assert 0.06 < changed.mean() < 0.1  # 12% in 70% of the rows, less those that met themselves
    assert set(found.values.tolist()) <= set(own.values.tolist())
    monkeypatch.setattr(text, "_LIKE", 1.0)
    table = np.stack([np.arange(column.vocabulary) + 10_000] * 8, axis=1)
    drawn = draw(len(rows), 500, table)
    found = text.vary(column, own, drawn)
    before = varied.taken(own, drawn.picked).values  # type: ignore[union-attr]
    changed = found.values != before
    np.testing.assert_array_equal(found.values[changed], before[changed] + 10_000)


def test_a_text_read_behind_another_keeps_its_own_frame(reviews: list[dict[str, object]], tiny_base: Path) -> None:
    column, rows = texts(reviews, tiny_base, follows=True)
    made = varied.vary([column], rows, 300, 0)
    assert made is not None
    found = made.encoded[0]
    assert isinstance(found, Ragged)
    assert CLS not in found.values
    assert all(found[row].tolist().count(SEP) == 1 and found[row][-1] == SEP for row in range(len(found)))


def test_texts_are_varied_all_at_once_not_one_by_one(reviews: list[dict[str, object]], tiny_base: Path) -> None:
    column, rows = texts(reviews, tiny_base, max_tokens=23)
    calls = []
    for count in (600, 6_000):
        called: list[str] = []
        sys.setprofile(lambda frame, event, argument, called=called: called.append(event))
        try:
            made = varied.vary([column], rows, count, 0)
        finally:
            sys.setprofile(None)
        assert made is not None
        assert len(made) == count
        calls.append(len(called))
    assert calls[1] < calls[0] + 600  # as many calls for ten times the rows


def test_lists_of_words_are_cut_between_words_and_keep_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_CHANGED_ROWS", 0.0)
    rows = words()
    (column,), (own,) = rows.columns, rows.encoded
    assert isinstance(column, TextColumn)
    assert isinstance(own, Worded)
    drawn = draw(len(rows), 200)
    found = text.vary(column, own, drawn)
    assert isinstance(found, Worded)
    cut = 0
    for row, picked in enumerate(drawn.picked):
        sentence = SENTENCES[picked]
        count = len(found.words[row])
        # the tokens of the kept words, encoded alone, are the tokens of the row
        kept = [sentence[start : start + count] for start in range(len(sentence) - count + 1)]
        encoded = column.encode(kept)
        assert isinstance(encoded, Worded)
        assert any(
            encoded[place].tolist() == found[row].tolist()
            and encoded.words[place].tolist() == found.words[row].tolist()
            for place in range(len(kept))
        )
        cut += count < len(sentence)
    assert 40 < cut < 160
    np.testing.assert_array_equal(column.positions(found), found.words.lengths)


def test_histories_are_stretches_with_events_left_out_and_none_becomes_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = histories()
    made = varied.vary(rows.columns, rows, 480, 0)
    assert made is not None
    found, own = made.encoded[0], rows.encoded[0]
    assert isinstance(found, Ragged)
    assert isinstance(own, Ragged)
    assert (found.lengths == 0).mean() == pytest.approx((own.lengths == 0).mean())
    assert found.lengths.max() <= own.lengths.max()
    assert found.lengths.mean() < 0.8 * own.lengths.mean()
    assert set(found.values.tolist()) <= set(own.values.tolist())


def test_numbers_come_from_like_rows_and_missing_ones_stay_missing() -> None:
    rows = table()
    made = varied.vary(rows.columns, rows, 4 * len(rows), 0)
    assert made is not None
    flags, old = made.encoded[0][:, 1], rows.encoded[0][:, 1]  # type: ignore[index]
    assert set(np.unique(flags)) == {0.0, 1.0}
    assert flags.mean() == pytest.approx(old.mean(), abs=0.05)
    whole = list(zip(made.columns, made.encoded, rows.encoded, strict=True))
    categories = [(new, own) for column, new, own in whole if column.type == "category"]
    numbers = [(new, own) for column, new, own in whole if column.type == "number"]
    assert len(categories) + len(numbers) == len(whole)
    assert categories
    assert numbers
    assert all(set(np.unique(new)) <= set(np.unique(own)) for new, own in categories)
    for new, own in numbers:
        assert np.isfinite(new).all()
        values, known = new[:, 0], own[:, 0]  # type: ignore[index]
        assert not np.isin(values, known).all()
        assert abs(values.mean() - known.mean()) < 0.1
        assert 0.85 < values.std() / known.std() < 1.15


def correlation(rows: EncodedRows) -> float:
    radius, perimeter = (np.asarray(part)[:, 0] for part in (rows.encoded[3], rows.encoded[2]))
    return float(np.corrcoef(radius, perimeter)[0, 1])


def test_what_belongs_together_in_a_table_stays_together() -> None:
    rows = table()
    made = varied.vary(rows.columns, rows, 4 * len(rows), 0)
    assert made is not None
    random = np.random.default_rng(0)
    picked = random.integers(0, len(rows), 2_000)
    near = _partners.near(rows.columns, rows, picked, random)
    assert not (near == picked).any()
    assert correlation(rows) > 0.95
    assert correlation(made) > 0.85


def test_pictures_are_moved_and_mixed_but_stay_pictures_of_the_same_size() -> None:
    rows = pictures()
    made = varied.vary(rows.columns, rows, 240, 0)
    assert made is not None
    found, own = np.asarray(made.encoded[0]), np.asarray(rows.encoded[0])
    assert found.dtype == np.uint8
    known = {picture.tobytes() for picture in own}
    assert sum(picture.tobytes() in known for picture in found) < 5
    assert found.mean() == pytest.approx(own.mean(), rel=0.15)
    column, pixels = rows.columns[0], torch.from_numpy(own).float().flatten(1)
    nearest = torch.cdist(torch.from_numpy(found).float().flatten(1), pixels).min(1).values
    assert nearest.mean() < torch.pdist(pixels).mean()
    assert set(column.batch(found, np.arange(2))) == {"digit_pixels"}


def test_clips_keep_their_lengths_and_what_is_mixed_in_is_heard() -> None:
    rows = sounds()
    made = varied.vary(rows.columns, rows, 200, 0)
    assert made is not None
    found, own = made.encoded[0], rows.encoded[0]
    assert isinstance(found, Ragged)
    assert isinstance(own, Ragged)
    assert sorted(found.lengths) == sorted(np.repeat(own.lengths, 10))
    assert np.isfinite(found.values).all()
    assert found.values.dtype == np.float32
    assert math.isclose(float(found.values.std()), float(own.values.std()), rel_tol=0.5)


def test_there_is_nothing_new_of_no_rows_or_of_unknown_types(reviews: list[dict[str, object]], tiny_base: Path) -> None:
    column, rows = texts(reviews, tiny_base)
    assert varied.vary([column], rows, 0, 0) is None
    none = EncodedRows((column,), (column.encode([]),), np.empty(0, np.int64))
    assert varied.vary([column], none, 10, 0) is None


def kinds() -> list[InputColumn]:
    return [rows.columns[0] for rows in (pictures(), sounds(), histories(), words(), table())]


def test_every_type_of_input_can_be_varied() -> None:
    folder = Path(varied.__file__).parent
    files = {path.stem for path in folder.glob("[a-z]*.py")}
    assert files == {*(column.type for column in kinds()), "category"}
    assert len(files) == 6
