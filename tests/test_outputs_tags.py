"""A tag for each word: spans are right when type and borders are, and every word gets its tag."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from head_losses import loss

import trimtab
from trimtab import columns, pretrained
from trimtab.__main__ import main
from trimtab.audit import quality
from trimtab.columns import Ragged, encode_rows, ragged
from trimtab.columns.tags import TagsColumn
from trimtab.columns.text import TextColumn
from trimtab.data import infer_output
from trimtab.errors import TrimtabError
from trimtab.nets.heads.tags import TagsHead
from trimtab.pipeline.recompress import compress
from trimtab.train.batches import targets_of

TAGS = [["O", "B-person", "I-person", "O"], ["B-place", "O"], ["O", "O", "O"]]


def fitted(values: list[object] | None = None, **options: object) -> TagsColumn:
    column = columns.fit("tags", "tags", "tags", values or TAGS, options)
    assert isinstance(column, TagsColumn)
    return column


def spans_of(column: TagsColumn, rows: list[list[str]]) -> list[tuple[int, int, int, str]]:
    """Row, first word, word after the last, type; by walking through the words as conlleval does."""
    found = []
    for number, row in enumerate(rows):
        start = None
        for place, tag in enumerate([*row, "O"]):
            prefix, _, kind = tag.partition("-")
            if start is not None and (tag == "O" or prefix == "B" or kind != start[1]):
                found.append((number, start[0], place, start[1]))
                start = None
            if tag != "O" and start is None:
                start = (place, kind)
    return found


def listed(column: TagsColumn, encoded: Ragged) -> list[tuple[int, int, int, str]]:
    spans, offsets = column.borders.spans(encoded.values, encoded.offsets), encoded.offsets
    rows = np.searchsorted(offsets, spans.start, side="right") - 1
    return [
        (int(row), int(start - offsets[row]), int(end - offsets[row]), column.borders.types[kind])
        for row, start, end, kind in zip(rows, *spans, strict=True)
    ]


def test_both_tags_of_a_type_are_known_when_one_was_seen_and_o_is_first() -> None:
    assert fitted().tags == ("O", "B-person", "I-person", "B-place", "I-place")
    assert fitted(["NOUN VERB", "O NOUN"]).tags == ("O", "NOUN", "VERB")
    assert fitted([["B-a", "O"]]).targets(["O I-a", '["B-a", "I-a"]']).values.tolist() == [0, 2, 1, 2]


def test_bad_tags_have_a_reason() -> None:
    column = fitted()
    assert column.usable(["O", "B-song"]) == "no tag named 'B-song' in training"
    assert column.usable([]) == column.usable(None) == "no value"
    assert column.misfit(["O"], [["two", "words"]]) == "as many tags as words are needed: 2 words, 1 tags"
    assert column.misfit("O O", ["two words"]) is None
    with pytest.raises(TrimtabError, match="no word of a training row has another tag than O"):
        fitted([["O", "O"]])


def test_spans_are_those_that_conlleval_finds() -> None:
    column = fitted()
    random = np.random.default_rng(1)
    rows = [[column.tags[i] for i in random.integers(0, 5, n)] for n in random.integers(1, 9, 300)]
    assert listed(column, column.targets(rows)) == spans_of(column, rows)


def test_tags_that_mark_no_spans_are_spans_of_one_word() -> None:
    column = fitted(["NOUN NOUN O VERB"])
    assert [(start, end) for _, start, end, _ in listed(column, column.targets(["NOUN NOUN O VERB"]))] == [
        (0, 1),
        (1, 2),
        (3, 4),
    ]


def outputs_of(column: TagsColumn, targets: Ragged, noise: float) -> Ragged:
    logits = np.eye(column.width)[targets.values] * 2
    logits += np.random.default_rng(2).normal(size=logits.shape) * noise
    return Ragged(logits.astype(np.float32), targets.offsets)


def test_metrics_count_whole_spans() -> None:
    column = fitted()
    random = np.random.default_rng(3)
    rows = [[column.tags[i] for i in random.choice(5, n, p=[0.6, 0.1, 0.1, 0.1, 0.1])] for n in [5, 1, 8, 3] * 30]
    targets = column.targets(rows)
    outputs = outputs_of(column, targets, 1.2)
    answered = column.decode(outputs)["tags"]
    true, found = set(spans_of(column, rows)), set(spans_of(column, answered))
    right = len(true & found)
    measured = quality.measure(column, targets, outputs, seed=1, resamples=60)
    assert 0 < right < min(len(true), len(found))
    assert measured["span_precision"].value == pytest.approx(right / len(found))
    assert measured["span_recall"].value == pytest.approx(right / len(true))
    assert measured["span_f1"].value == pytest.approx(2 * right / (len(true) + len(found)))
    words = [(a, b) for row, answer in zip(rows, answered, strict=True) for a, b in zip(row, answer, strict=True)]
    assert measured["accuracy"].value == pytest.approx(np.mean([a == b for a, b in words]))
    assert measured["exact_match"].value == pytest.approx(
        np.mean([a == b for a, b in zip(rows, answered, strict=True)])
    )
    assert measured["span_f1"].low < measured["span_f1"].value < measured["span_f1"].high


def test_answers_are_valid_tags_and_their_spans() -> None:
    column = fitted()
    logits = np.eye(5)[[2, 2, 4, 0, 1]] * 5  # I-person I-person I-place O | B-person
    answers = column.decode(Ragged(logits.astype(np.float32), np.array([0, 4, 5])))
    assert answers["tags"] == [["B-person", "I-person", "B-place", "O"], ["B-person"]]
    first = [(span["type"], span["start"], span["end"]) for span in answers["tags_spans"][0]]
    assert first == [("person", 0, 2), ("place", 2, 3)]
    assert answers["tags_spans"][1][0]["confidence"] > 0.9
    nothing = column.decode(ragged([], np.zeros((0, 5), np.float32)))
    assert nothing == {"tags": [], "tags_spans": []}


def test_the_loss_is_the_mean_over_the_words_of_a_row() -> None:
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1))
    tags = ragged([np.array([1]), np.array([0, 3, 2])], np.zeros(0, int))
    targets, lengths = targets_of(tags, np.arange(2), torch.device("cpu"))["targets"]
    assert lengths.tolist() == [1, 3]
    expected = [-torch.log_softmax(logits[0], -1)[0, 1], -torch.log_softmax(logits[1], -1)[[0, 1, 2], [0, 3, 2]].mean()]
    assert loss(TagsHead, logits, targets).tolist() == pytest.approx([float(e) for e in expected], abs=1e-6)


def test_columns_of_tags_are_seen_by_looking() -> None:
    assert infer_output.output_type("x", TAGS * 5).type == "tags"
    assert infer_output.output_type("x", [" ".join(row) for row in TAGS] * 5).type == "tags"
    assert infer_output.output_type("x", ["O", "A", "B", "O"] * 5).type == "label"


# ------------------------------------------------------------------------------------------------------- words

SENTENCES = [["Empire", "State", "Building", "!"], ["", "unbelievable", "\u200b", "x"], ["a"] * 12, []]


def words_column(folder: Path, **options: object) -> TextColumn:
    base = tiny_models.save(folder, "bert", [" ".join(words) for words in SENTENCES])
    found = pretrained.find(str(base), "text", folder, folder)
    column = columns.fit("text", "words", "words", SENTENCES, {**found.options, "words": True, **options})
    assert isinstance(column, TextColumn)
    return column


def test_a_word_stands_at_its_first_token_and_one_that_is_cut_off_nowhere(tmp_path: Path) -> None:
    column = words_column(tmp_path, max_tokens=8)
    rows = encode_rows([column], {"words": SENTENCES})
    assert column.positions(rows.encoded[0]).tolist() == [4, 4, 12, 0]
    tensors = rows.batch(np.arange(4))
    ids, words, real = (tensors[f"words_{part}"] for part in ("ids", "words", "word_mask"))
    assert words.shape == real.shape == (4, 12)
    tokens = [column.tokenizer.id_to_token(ids[0, place]) for place in words[0, :4]]
    assert [token[0] for token in tokens] == ["e", "s", "b", "!"]
    assert real[1].tolist()[:4] == [0, 1, 0, 1]
    assert real[2].tolist() == [1] * 6 + [0] * 6  # eight tokens are [CLS], six words and [SEP]
    assert not real[3].any()


def test_a_column_of_words_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    column = words_column(tmp_path)
    column.save(tmp_path)
    assert columns.restore(tmp_path, json.loads((tmp_path / "words.json").read_text())) == column


def test_byte_level_words_are_read_with_a_space_before_them(tmp_path: Path) -> None:
    from_space = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    vocabulary = {"x": 0, "\u0120x": 1, "\u0120": 2, "[PAD]": 3}
    model = {"type": "BPE", "vocab": vocabulary, "merges": [["\u0120", "x"]]}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"version": "1.0", "pre_tokenizer": from_space, "model": model, "added_tokens": []}))
    column = columns.fit("text", "t", "t", [["x", "x"]], {"tokenizer": str(path), "words": True})
    assert column.encode([["x", "x"]]).values.tolist() == [1, 1]


# ------------------------------------------------------------------------------------------------------ launch

PLACES = ("Paris", "Rome", "Oslo", "Cairo", "Lima", "Quito")
PEOPLE = ("Ada", "Alan", "Grace", "Edsger")


def sentences(count: int) -> list[dict[str, object]]:
    random = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for number in range(count):
        who, where = random.choice(PEOPLE), random.choice(PLACES)
        words = [str(who), "Smith", "went", "to", str(where), "in", "week", str(number)]
        rows.append({"words": words, "tags": ["B-person", "I-person", "O", "O", "B-place", "O", "O", "O"]})
    return rows


def write(folder: Path, rows: list[dict[str, object]], **spec: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "trimtab.yaml").write_text(json.dumps({"data": "rows.jsonl", "output": "tags", **spec}))
    return folder / "trimtab.yaml"


def test_a_launch_learns_tags_and_answers_every_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tiny_models.save(tmp_path / "base", "bert", [" ".join(map(str, row["words"])) for row in sentences(200)])
    rows = [*sentences(200), {"words": ["too", "few"], "tags": ["O"]}]
    train = {"epochs": 6, "learning_rate": 0.01}
    spec = write(tmp_path, rows, base=str(base), train=train, gates={"span_f1": ">= 0.9"})
    release = trimtab.launch(spec, runs=tmp_path / "runs")
    manifest = release.manifest
    assert release.released, manifest.why
    assert "2 words, 1 tags" in (tmp_path / "runs" / "rows" / "rejected.jsonl").read_text()
    assert [line["type"] for line in manifest.evidence["parts"]] == ["person", "place"]
    assert manifest.evidence["baselines"]["most frequent tag of each word"]["span_f1"]["value"] == 1
    model = trimtab.load(release.folder)
    long = [*["Grace", "Smith", "went", "to", "Oslo"], *["again"] * 100]
    answers = model.predict([{"words": long}, {"words": "Ada Smith went to Rome"}, {"words": []}]).answers
    assert [len(tags) for tags in answers["tags"]] == [105, 5, 0]
    assert answers["tags"][0][20:] == ["O"] * 85  # behind what was learnt to be read
    assert answers["tags"][1] == ["B-person", "I-person", "O", "O", "B-place"]
    assert main(["evaluate", str(release.folder), str(tmp_path / "rows.jsonl"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rejected"] == 1
    assert told["metrics"]["span_f1"]["value"] > 0.9


def test_tags_are_told_from_one_text_and_nothing_else(tmp_path: Path) -> None:
    rows = [{**row, "note": f"some other words {i} here", "size": i * 1.5} for i, row in enumerate(sentences(20))]
    wrong = (({"inputs": {"words": "text", "note": "text"}}, "one input of type text"), ({"fusion": "cls"}, "fusion"))
    for asked, said in wrong:
        spec = write(tmp_path, rows, **asked)
        with pytest.raises(TrimtabError, match=said):
            trimtab.launch(spec, runs=tmp_path / "runs")


@pytest.mark.slow
def test_a_bundle_that_tags_words_is_compressed_though_its_spec_has_every_default_written_out(tmp_path: Path) -> None:
    names = ("Anna", "Bob", "Carl")
    rows = [{"words": ["so", names[n % 3], "said", f"it {n}"], "tags": ["O", "B-person", "O", "O"]} for n in range(60)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    spec = {
        "data": str(tmp_path / "rows.jsonl"),
        "inputs": {"words": {"type": "text", "encoder": "lstm"}},
        "output": {"tags": "tags"},
        "compress": "none",
        "train": {"epochs": 1},
    }
    release = trimtab.launch(spec, runs=tmp_path / "runs")
    found = compress(release.folder, {"size": "<= 50 MB"}, ["compress.minutes=0.2"])
    assert found.manifest.output.type == "tags"
