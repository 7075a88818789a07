"""The release card: the same facts for people in HTML and in Markdown, and nothing that runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from trimtab import page
from trimtab.audit import gates, quality
from trimtab.bundle.manifest import Automatic, Manifest, Measured, Stage
from trimtab.bundle.serving import ColumnEntry, GraphEntry, Serving
from trimtab.compress.frontier import Frontier, Point, Skipped
from trimtab.errors import visible
from trimtab.metrics import Amounts, OneOf
from trimtab.page import figures
from trimtab.report import card, facts, model_card, plots
from trimtab.spec import parse_gate

NASTY = "<script>alert('x')</script>"
CLASSES = ["bad", NASTY, "a|b*c"]
COSTS = {"size": Measured(value=12.5, unit="MB"), "latency": Measured(value=2.25, unit="ms", low=2.0, high=2.5)}
PICTURES: dict[str, list[Path]] = {}
VOID = {"meta", "img", "br", "link", "path", "use", "rect"}


class Reader(HTMLParser):
    """Collects tags, ids, attributes and text; fails on tags that do not close in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "title"):
            self.text += data + " "

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


def manifest(task: str, asked: dict[str, str], **changes: Any) -> Manifest:
    """What a launch would have filled in, for a label or a number."""
    chance = np.random.default_rng(0)
    inputs = [{"review": f"{NASTY} row {row} | *bold*"} for row in range(90)]
    if task == "label":
        targets = np.arange(90) % 3
        share = chance.dirichlet(np.ones(3), 90) + 0.5 * np.eye(3)[targets]
        share /= share.sum(axis=1, keepdims=True)
        measured = quality.of_answers(OneOf(CLASSES, targets, share), 90, 3, seed=7, resamples=50)
        prior = quality.of_answers(
            OneOf(CLASSES, targets, np.tile([0.4, 0.3, 0.3], (90, 1))), 90, 3, seed=7, resamples=50
        )
        shown, rivals = OneOf(CLASSES, targets, share).evidence(inputs), {"majority": prior}
    else:
        truth = chance.normal(size=90)
        measured = quality.of_answers(Amounts(truth, truth * 0.8), 90, 1, seed=7, resamples=50)
        rivals = {"mean": quality.of_answers(Amounts(truth, np.full(90, truth.mean())), 90, 1, seed=7, resamples=50)}
        shown = Amounts(truth, truth * 0.8).evidence(inputs)
    measured |= COSTS
    baseline = {name: {key: one.model_dump() for key, one in found.items()} for name, found in rivals.items()}
    judged = gates.judge([parse_gate(name, bound) for name, bound in asked.items()], measured)
    filled: dict[str, Any] = {
        "trimtab": "0.1.0",
        "name": "reviews",
        "created": "2026-11-23T13:30:00+00:00",
        "task": task,
        "spec": {},
        "automatic": [Automatic(key="base", value="minilm", reason="bundled, small, English")],
        "serving": Serving(
            trimtab="0.1.0",
            inputs=[ColumnEntry(name="review", key="review", type="text")],
            output=ColumnEntry(name="mood", key="mood", type=task),
            graphs={"model": GraphEntry(file="model.onnx", inputs=["review_ids"])},
        ),
        "data": {
            "rows": {"train": 800, "valid": 100, "test": 90},
            "rejected": {"no value": 3},
            "duplicates": {"dropped": 5},
            "leaks": {"near": {"test": 2}, "examples": [{"test": NASTY, "train": "x"}]},
            "notes": ["read as cp1252"],
        },
        "stages": [Stage(name="train", seconds=61.5, detail={"steps": 312, "rows": {"not": "shown"}})],
        "measured": measured,
        "evidence": {**shown, "baselines": baseline, "history": [{"epoch": 1, "step": 9, "loss": 0.5, "score": 0.8}]},
        "gates": judged,
        "released": all(gate.met for gate in judged),
        "why": [f"{gate.name}: asked {gate.asked}" for gate in judged if not gate.met],
        "machine": {"cpu": "AMD EPYC", "cores": 2},
    }
    return Manifest(**(filled | changes))


@pytest.fixture(scope="module", autouse=True)
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The plots of both tasks, drawn once."""
    for task in ("label", "number"):
        PICTURES[task] = plots.draw(manifest(task, {}).evidence, tmp_path_factory.mktemp(task))
    yield
    PICTURES.clear()


def write(folder: Path, facts: Manifest) -> tuple[str, Reader, str]:
    """The HTML text, what a reader found in it, and the Markdown text."""
    bundle = folder / "bundle"
    (bundle / "columns").mkdir(parents=True)
    (bundle / "model.onnx").write_bytes(b"model")
    (bundle / "columns" / "mood.json").write_text("{}")
    shown, plain = card.write(bundle, facts, PICTURES[facts.task])
    reader = Reader()
    reader.feed(html := shown.read_text(encoding="utf-8"))
    assert reader.open == []
    return html, reader, plain.read_text(encoding="utf-8")


def unescaped(markdown: str) -> str:
    return re.sub(r"\\([^\w\s])", r"\1", markdown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.mark.parametrize("task", ["label", "number"])
def test_both_cards_tell_the_same_facts(tmp_path: Path, task: str) -> None:
    asked = {"accuracy": ">= 0.5"} if task == "label" else {"r2": ">= 0.5"}
    facts = manifest(task, asked | {"size": "<= 15 MB", "latency": "<= 1 ms"})
    _, reader, markdown = write(tmp_path, facts)
    main = facts.measured["accuracy" if task == "label" else "r2"]
    told = [
        "Not released", "latency: asked <= 1 ms", "missed by 1.25 ms", f"{main.value:.3f}", 
        f"{main.low:.3f} to {main.high:.3f}", "12.5", "2.25", "majority" if task == "label" else "mean", "AMD EPYC",
        "train: 800; valid: 100; test: 90", "no value: 3", "dropped: 5", "read as cp1252", "bundled, small, English",
        "61.5 s", "steps: 312", "model.onnx", "9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4",
        "columns/mood.json", "What this card does not show", "trimtab predict runs/reviews/bundle",
    ]  # fmt: skip
    for fact in told:
        assert fact in re.sub(r"\s+", " ", reader.text), fact
        assert fact in re.sub(r"\s+", " ", unescaped(markdown)), fact


def test_users_text_never_becomes_markup(tmp_path: Path) -> None:
    html, reader, markdown = write(tmp_path, manifest("label", {}, name=f"{NASTY}"))
    assert "script" not in reader.tags
    assert "<script" not in html.lower()
    assert "<script" not in re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
    assert NASTY in reader.text
    assert "\\*bold\\*" in markdown
    table = next(line for line in markdown.splitlines() if "row" in line and "bold" in line)
    assert len(re.findall(r"(?<!\\)\|", table)) == 5  # a pipe in a cell starts no new cell


def test_the_page_is_one_file_that_fetches_and_runs_nothing(tmp_path: Path) -> None:
    html, reader, _ = write(tmp_path, manifest("label", {"accuracy": ">= 0.5"}))
    links = [link for name in ("src", "href", "xlink:href", "srcset", "action") for link in reader.values(name)]
    assert links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", html)
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert {"script", "link", "iframe", "object", "form"}.isdisjoint(reader.tags)
    assert "default-src 'none'" in html


def test_ids_are_distinct_and_every_anchor_leads_somewhere(tmp_path: Path) -> None:
    html, reader, _ = write(tmp_path, manifest("label", {"accuracy": ">= 0.5"}))
    ids = reader.values("id")
    assert len(ids) == len(set(ids)) > 20
    anchors = [link[1:] for link in reader.values("href") + reader.values("xlink:href") if link.startswith("#")]
    clips = re.findall(r"url\(#([^)]+)\)", html)
    assert set(anchors) | set(clips) <= set(ids)


def test_the_page_is_readable_without_seeing_it(tmp_path: Path) -> None:
    html, reader, _ = write(tmp_path, manifest("label", {"accuracy": ">= 0.5"}))
    assert '<html lang="en">' in html
    assert reader.tags.count("h1") == 1
    pictures = reader.tags.count("svg") + reader.tags.count("img")
    assert pictures == 6
    assert len(reader.values("aria-label")) + len(reader.values("alt")) >= pictures
    assert "th" in reader.tags
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


@pytest.mark.parametrize(("bound", "verdict"), [(">= 0.5", "Released"), (">= 0.99", "Not released")])
def test_the_verdict_comes_first(tmp_path: Path, bound: str, verdict: str) -> None:
    _, reader, markdown = write(tmp_path, manifest("label", {"accuracy": bound}))
    assert markdown.split("\n---\n")[1].startswith(f"# reviews: {verdict}\n")
    assert verdict in reader.text[:200]


def metadata(markdown: str) -> dict[str, Any]:
    """What the Hugging Face hub reads of a model card: as its own client finds it (`huggingface_hub.ModelCard`)."""
    found = re.match(r"^(\s*---[\r\n]+)([\S\s]*?)([\r\n]+---(\r\n|\n|\r|$))", markdown)
    assert found is not None
    held: dict[str, Any] = yaml.safe_load(found[2])
    return held


def test_the_model_card_has_metadata_that_the_hub_reads(tmp_path: Path) -> None:
    facts = manifest("label", {}, spec={"license": "cc-by-4.0", "data": ["data/reviews.csv"]})
    _, _, markdown = write(tmp_path, facts)
    held = metadata(markdown)
    assert (held["license"], held["language"], held["pipeline_tag"]) == ("cc-by-4.0", "en", "text-classification")
    assert held["tags"] == ["trimtab", "onnx", "text", "label"]
    (index,) = held["model-index"]
    (result,) = index["results"]
    assert index["name"] == "reviews"
    assert result["task"] == {"type": "text-classification"}
    assert result["dataset"] == {"name": "reviews.csv", "type": "reviews.csv", "split": "test"}
    figures = {one["type"]: one["value"] for one in result["metrics"]}
    assert figures["accuracy"] == facts.measured["accuracy"].value
    assert figures["latency"] == 2.25
    assert not [name for name in figures if name.startswith("recall.")]


HOSTILE = [
    "---", "a\n---\nb: c", "- x: {", "'\"", "!!python/object:os.system", "&a *a", "no", "1e3", "x: y # z", "\x1b[31m",
    "\u2028---", "\udc80", "<script>alert(1)</script>", "%YAML 9", "\t", "\ufeff", "字", "\\x3C<",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_the_metadata_or_ends_it(name: str) -> None:
    facts = manifest("label", {}, name=name, spec={"license": name, "data": [f"a/{name}"]})
    above = model_card.header(facts)
    assert above.count("\n---\n") == 1
    assert "<" not in above
    held = metadata(above + "# below\n---\n")
    shown = visible(" ".join(name.split()))
    assert held["model-index"][0]["name"] == shown
    assert held.get("license", "") == shown
    assert [type(one) for one in held["tags"]] == [str] * 4


@pytest.mark.parametrize(
    ("read", "answered", "task"),
    [
        (["text", "number"], "label", "text-classification"),
        (["number", "category"], "number", "tabular-regression"),
        (["category"], "ordinal", "tabular-classification"),
        (["image", "text"], "labels", "image-classification"),
        (["text"], "tags", "token-classification"),
        (["history"], "ranking", None),
    ],
)
def test_the_task_is_called_as_the_hub_calls_it(read: list[str], answered: str, task: str | None) -> None:
    facts = manifest("label", {})
    inputs = [ColumnEntry(name=str(place), key=str(place), type=type_) for place, type_ in enumerate(read)]
    serving = facts.serving.model_copy(update={"inputs": inputs})
    held = metadata(model_card.header(facts.model_copy(update={"serving": serving, "task": answered})))
    assert held.get("pipeline_tag") == task
    assert held["model-index"][0]["results"][0]["task"]["type"] == (task or "other")


def test_what_its_makers_say_of_it_stands_before_the_gates(tmp_path: Path) -> None:
    said = {"description": f"Moods of reviews. {NASTY}\n\nSince 2019.", "intended_use": "To sort, *not* to judge."}
    _, reader, markdown = write(tmp_path, manifest("label", {"accuracy": ">= 0.5"}, spec=said))
    for text in ("Moods of reviews. " + NASTY, "Since 2019.", "To sort, *not* to judge."):
        assert text in reader.text
        assert text in unescaped(markdown)
    assert markdown.index("## Intended use") < markdown.index("## Gates")
    assert "script" not in reader.tags


def test_the_worth_of_the_network_is_said_plainly(tmp_path: Path) -> None:
    good = manifest("label", {})
    _, reader, _ = write(tmp_path / "good", good)
    assert re.search(r"The network makes \d+% fewer mistakes than majority", reader.text)
    best = {"tf-idf + logistic regression": {"accuracy": {"value": 0.999, "low": 0.99, "high": 1.0}}}
    _, reader, _ = write(tmp_path / "poor", good.model_copy(update={"evidence": {**good.evidence, "baselines": best}}))
    assert "not better than tf-idf + logistic regression" in reader.text


@pytest.mark.parametrize(
    ("headline", "own", "rivals", "said"),
    [
        ("rmse", (20.0, 18.0, 22.0), {"mean": (40.0, 36.0, 44.0)}, "RMSE is 50% lower than that of mean."),
        (
            "rmse",
            (20.0, 18.0, 39.0),
            {"mean": (40.0, 36.0, 44.0)},
            "50% lower than that of mean. Their intervals overlap",
        ),
        ("rmse", (40.0, 36.0, 44.0), {"mean": (40.0, 36.0, 44.0)}, "not better than mean (40.000)"),
        (
            "rmse",
            (2e-12, None, None),
            {"a": (8e-12, None, None), "b": (4e-12, None, None)},
            "50% lower than that of b.",
        ),
        ("mae", (9.0, 8.0, 9.5), {"mean": (12.0, 11.0, 13.0), "other": None}, "MAE is 25% lower than that of mean."),
        ("r2", (0.3, 0.25, 0.35), {"mean": (0.0, -0.1, 0.0)}, "30% less squared error than mean."),
        ("accuracy", (0.5, 0.4, 0.6), {"majority": (0.0, 0.0, 0.0)}, "50% fewer mistakes than majority."),
    ],
)
def test_the_worth_is_right_for_errors_and_for_intervals_that_end_at_nothing(
    headline: str,
    own: tuple[float | None, ...],
    rivals: dict[str, tuple[float | None, ...] | None],
    said: str,
) -> None:
    ends = ("value", "low", "high")
    baseline = {
        name: {headline: dict(zip(ends, found, strict=True))} if found else {} for name, found in rivals.items()
    }
    measured = {headline: Measured(**dict(zip(ends, own, strict=True)))}
    made = manifest("number", {}, headline=headline, measured=measured, evidence={"baselines": baseline})
    (section,) = [section for section in facts.page(Path("no-folder"), made).sections if section.short == "Worth"]
    texts = [block.text for block in section.blocks if isinstance(block, page.Text)]
    (bars,) = [block.bars for block in section.blocks if isinstance(block, page.Bars)]
    assert [said in text for text in texts] == [True]
    assert ("intervals overlap" in texts[0]) == ("overlap" in said)
    shown = {bar.name: bar for bar in bars}
    assert shown.keys() == {*(name for name, found in rivals.items() if found), "this bundle"}
    assert all(0 <= bar.low <= bar.length <= bar.high <= 1 for bar in bars)
    assert max(bar.high for bar in bars) == (1.0 if headline in ("rmse", "mae") else max(own[2], 0.0))


def test_a_card_without_a_baseline_of_the_main_metric_says_nothing_of_its_worth() -> None:
    made = manifest("number", {}, headline="rmse", measured={"rmse": Measured(value=1.0)})
    for baseline in ({}, {"mean": {}}, {"mean": {"mae": {"value": 1.0}}}):
        shown = facts.page(Path("no-folder"), made.model_copy(update={"evidence": {"baselines": baseline}}))
        blocks = [block for section in shown.sections if section.short == "Worth" for block in section.blocks]
        assert not [block for block in blocks if isinstance(block, page.Text | page.Bars)]


def test_figures_of_tiny_units_are_not_nothing() -> None:
    assert figures.value(Measured(value=3.21e-12)) == "3.2e-12"
    assert figures.interval(Measured(value=0.5, low=0.0, high=0.9)) == "0.000 to 0.900"
    assert figures.number(0.0004, "") == "0.0004"


def test_classes_with_few_test_rows_are_named_as_a_limit(tmp_path: Path) -> None:
    facts = manifest("label", {})
    confusion = {"classes": ["common", "rare"], "counts": [[400, 3], [2, 5]]}
    few = facts.model_copy(update={"evidence": {"confusion": confusion}})
    _, reader, _ = write(tmp_path, few)
    assert "rare (7)" in reader.text


def test_a_manifest_with_nothing_measured_still_makes_a_card(tmp_path: Path) -> None:
    bare = manifest("label", {}, measured={}, evidence={}, data={}, stages=[], automatic=[], machine={}, released=False)
    _, reader, markdown = write(tmp_path, bare)
    assert "No gates were set" in reader.text
    assert "## Quality" not in markdown


def test_the_same_manifest_gives_the_same_card(tmp_path: Path) -> None:
    facts = manifest("label", {"accuracy": ">= 0.5"})
    assert write(tmp_path / "first", facts)[0] == write(tmp_path / "again", facts)[0]


def searched(asked: dict[str, str]) -> Frontier:
    """What a search of four networks would have found."""

    def point(name: str, accuracy: float, size: float, latency: float, **more: Any) -> Point:
        costs = {"size": Measured(value=size, unit="MB"), "latency": Measured(value=latency, unit="ms")}
        quality = Measured(value=accuracy, low=accuracy - 0.02, high=accuracy + 0.02)
        return Point(name=name, quality=quality, measured=costs, drop=0.886 - accuracy, **more)

    points = [
        point("uncompressed", 0.886, 90.0, 6.0, kind="uncompressed"),
        point("layers-3+int8", 0.882, 7.9, 1.5, made=("layers 0, 2, 4", "int8"), predicted_latency=1.44, seconds=61.0),
        point("static", 0.824, 1.9, 0.08, made=(NASTY,)),
        Point(name="tf-idf", kind="baseline", quality=Measured(value=0.803)),
    ]
    gates_asked = [parse_gate(name, bound) for name, bound in asked.items()]
    skipped = [Skipped("smaller", f"no image is read {NASTY}")]
    return Frontier.of("accuracy", points, gates_asked, skipped, minutes=10, seconds=432.0, stopped="all were tried")


def test_the_card_shows_every_network_that_the_search_made(tmp_path: Path) -> None:
    facts = manifest("label", {})
    facts = facts.model_copy(update={"evidence": {"frontier": searched({"accuracy": ">= 0.86"}).evidence()}})
    _, reader, markdown = write(tmp_path, facts)
    told = [
        "Compression", "layers-3+int8 was taken: 11.4 times smaller and 4 times faster; quality lost on the same rows: "
        "0.004.", "2 networks were tried in 7.2 of 10 minutes: all were tried.", "layers 0, 2, 4, int8",
        "0.882 (0.862 to 0.902)", "1.44 ms", "61 s", "chosen, on the frontier", "uncompressed, on the frontier",
        f"no image is read {NASTY}", "trimtab launch --pick uncompressed", "runs/reviews/bundle --pick uncompressed",
    ]  # fmt: skip
    for fact in told:
        assert fact in re.sub(r"\s+", " ", reader.text), fact
        assert fact in re.sub(r"\s+", " ", unescaped(markdown)), fact
    assert "script" not in reader.tags


def test_a_goal_out_of_reach_is_told_on_the_card(tmp_path: Path) -> None:
    found = searched({"accuracy": ">= 0.88", "size": "<= 5 MB"})
    facts = manifest("label", {}).model_copy(update={"evidence": {"frontier": found.evidence()}})
    _, reader, _ = write(tmp_path, facts)
    assert found.nearest == (
        "no candidate reaches 5 MB at 0.88; 7.9 MB does (layers-3+int8), or 0.824 at 5 MB (static)"
    )
    assert f"Out of reach on the validation rows: {found.nearest}." in reader.text
    assert "size: asked <= 5 MB, measured 7.9 MB" in reader.text


def test_the_frontier_is_drawn_into_the_card(tmp_path: Path) -> None:
    shown = {"frontier": searched({}).evidence()}
    drawn, again = (plots.draw(shown, tmp_path / name) for name in ("one", "two"))
    assert [path.name for path in drawn] == ["frontier.svg", "frontier.png"]
    assert [path.read_bytes() for path in drawn] == [path.read_bytes() for path in again]
    facts = manifest("label", {}).model_copy(update={"evidence": shown})
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    html = card.write(bundle, facts, drawn)[0].read_text(encoding="utf-8")
    for name in ("layers-3+int8 (chosen)", "uncompressed", "static", "baseline: tf-idf"):
        assert f">{name}</text>" in html, name


def test_without_a_search_there_is_no_section_on_compression(tmp_path: Path) -> None:
    _, _, markdown = write(tmp_path, manifest("label", {}))
    assert "## Compression" not in markdown
