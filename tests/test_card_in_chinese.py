"""The card in Chinese: every fixed word goes through one table, and what users wrote stays as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.test_card import NASTY, Reader, manifest

from trimtab import checks, metrics, report
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.page import Table, Text
from trimtab.report import card, facts, words

TABLE: dict[str, str] = json.loads(Path(report.__path__[0], "zh.json").read_text(encoding="utf-8"))
CHINESE = re.compile(r"[\u4e00-\u9fff]")
SAME = {"sha256", "AUC", "R²", "NDCG", "MRR", "AUROC", "BLEU", "chrF", "ROUGE-L"}  # said alike in both languages


def chinese(**changes: object) -> Manifest:
    """A manifest whose card is asked for in Chinese."""
    asked = {"accuracy": ">= 0.99", "latency": "<= 9 ms"}
    return manifest("label", asked, spec={"language": "zh", "intended_use": "Gates"}, **changes)


def test_every_title_of_a_section_has_its_words() -> None:
    sources = [*Path(checks.__path__[0]).glob("*.py"), Path(report.__path__[0], "facts.py")]
    found = [re.findall(r'Section\(\s*"([^"]+)"', path.read_text(encoding="utf-8")) for path in sources]
    titles = {title for each in found for title in each}
    assert len(titles) > 20
    assert sorted(title for title in titles if title not in TABLE) == []


def test_metrics_have_labels_and_meanings_and_verdicts_have_words() -> None:
    labels = {metric.label for metric in metrics.every().values()}
    meanings = {metric.meaning for metric in metrics.every().values()}
    assert len(labels) > 45
    assert len(labels & TABLE.keys()) >= 0.95 * len(labels)
    assert len(meanings & TABLE.keys()) >= 0.75 * len(meanings)
    assert {"Released", "Not released", "Passed", "Failed", "✓ met", "✗ not met"} <= TABLE.keys()


@pytest.mark.parametrize("key", [key for key in TABLE if "{" in key])
def test_a_translation_has_the_holes_of_what_it_translates(key: str) -> None:
    holes = [set(re.findall(r"\{(\w+)", text)) for text in (key, TABLE[key])]
    assert holes[1] <= holes[0]


def test_a_translation_is_chinese_or_a_word_that_both_have() -> None:
    assert sorted(key for key, said in TABLE.items() if not CHINESE.search(re.sub(r"\{\w+\}", "", said))) == sorted(
        {"AUC", "AUROC", "BLEU", "JPEG", "MRR", "NDCG", "ROUGE-L", "R²", "chrF", "jpeg", "{label}@{at}"} & TABLE.keys()
    )


def test_titles_heads_gates_and_verdict_of_the_page_are_chinese() -> None:
    page = words.translated(facts.page(Path("no-folder"), chinese()))
    assert page.verdict == "未发布"
    assert [section.title for section in page.sections if not CHINESE.search(section.title)] == []
    tables = [block for section in page.sections for block in section.blocks if isinstance(block, Table)]
    heads = {
        head
        for table in tables
        for place, head in enumerate(table.head)
        if place not in table.named and not CHINESE.search(head)
    }
    assert heads - SAME == {""}
    gates = next(section for section in page.sections if section.title == "门槛").blocks[0]
    assert isinstance(gates, Table)
    assert [row[0] for row in gates.rows] == ["准确率", "延迟"]
    assert CHINESE.search(page.summary)


def test_what_users_wrote_is_not_translated(tmp_path: Path) -> None:
    confusion = {"classes": ["Quality", "rows"], "counts": [[40, 3], [2, 35]]}
    made = chinese(evidence={"confusion": confusion})
    page = words.translated(facts.page(Path("no-folder"), made))
    meant = next(section for section in page.sections if section.title == "用途")
    assert meant.blocks == (Text("Gates", own=True),)
    blocks = [block for section in page.sections for block in section.blocks]
    matrix = next(block for block in blocks if isinstance(block, Table) and "rows" in block.head)
    assert matrix.head[1:] == ("Quality", "rows")
    assert [row[0] for row in matrix.rows] == ["Quality", "rows"]


def test_both_files_are_in_the_language_of_the_card(tmp_path: Path) -> None:
    measured = {"accuracy": Measured(value=0.9, low=0.8, high=1.0), f"recall.{NASTY}": Measured(value=0.5)}
    html, markdown = (path.read_text(encoding="utf-8") for path in card.write(tmp_path, chinese(measured=measured)))
    assert '<html lang="zh">' in html
    reader = Reader()
    reader.feed(html)
    for said in ("发布卡", "跳到正文", "目录", "未发布", "✗ 未达到", "0.800 至 1.000", f"{NASTY} 的召回率"):
        assert said in reader.text
    assert "# reviews: 未发布" in markdown
    assert "## 门槛" in markdown
    assert "script" not in reader.tags


def test_a_sentence_that_has_no_words_stays_english_beside_those_that_have() -> None:
    said = words.of("zh").said
    assert said("No gates were set. Something else of no table. 4 of 7 gates met.") == (
        "没有设置门槛。Something else of no table. 7 个门槛中达到 4 个。"
    )
    assert said("A gap of nothing by nobody") == "A gap of nothing by nobody"
    assert said("Equalized odds gap by gender and race").endswith("（按 gender and race）")
    assert words.of("en").said("Gates") == "Gates"
