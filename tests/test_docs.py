"""What is written for people is true: generated pages are fresh, snippets run, links lead somewhere."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tools import generate_docs

from trimtab import metrics, registry, spec
from trimtab.behaviour import reading

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")])
GENERATED = {"docs/spec.md", "docs/cli.md"}
RUN = {
    "README.md": ["0"],
    "docs/python.md": ["0", "1", "2", "3"],
    "docs/compression.md": ["0"],
    "docs/watching.md": ["0"],
}  # snippets of Python, in order
SAMPLE = "examples/reviews/reviews.csv"
ROWS = 400  # of the sample, for a snippet that trains


def snippets(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    """A page's path as it is written in the docs."""
    return page.relative_to(ROOT).as_posix()


def test_all_pages_are_looked_at() -> None:
    wanted = {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LOG.md", "examples/reviews/README.md"}
    assert {name(page) for page in PAGES} >= wanted | GENERATED
    assert len(PAGES) >= 12


@pytest.mark.slow  # `make check` asks for it too
def test_generated_pages_are_fresh() -> None:
    command = [sys.executable, "tools/generate_docs.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_spec_page_has_every_key_and_every_gate() -> None:
    page = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")
    gates = [metric.written for metric in metrics.every().values() if metric.gate]
    keys = [*spec.Spec.model_fields, *spec.Train.model_fields, *spec.Clean.model_fields, *gates]
    assert len(keys) > 45
    assert [key for key in keys if f"| `{key}` |" not in page] == []


def test_the_readme_is_read_in_a_minute_or_two() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_a_link_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    beside = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    pages = [path.name for path in (ROOT / "docs").glob("*.md")]
    assert [page for page in pages if f"(docs/{page})" not in readme and f"({page})" not in beside] == []


def test_the_cli_page_has_an_example_of_every_command() -> None:
    sections = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").split("\n## `trimtab ")[1:]
    commands = {section.partition("`")[0]: section for section in sections}
    assert sorted(commands) == registry.names("trimtab.cli")
    assert [command for command, section in commands.items() if f"Example: trimtab {command}" not in section] == []


def test_the_tree_in_architecture_lists_every_file_of_the_source() -> None:
    block = snippets(ROOT / "ARCHITECTURE.md", "text")[-1]
    listed, folders = [], ["src"]
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        word = line.split()[0].rstrip("/")
        folders = [*folders[: depth + 1], word]
        if not line.split()[0].endswith("/"):
            listed.append("/".join(["src", "trimtab", *folders[2:]]))
    source = ROOT / "src" / "trimtab"
    files = [path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    deep = {path for path in files if path.name == "__init__.py" and path.parent != source}  # told on the folder's line
    assert sorted(listed) == sorted(path.relative_to(ROOT).as_posix() for path in files if path not in deep)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Text: vectors of tokens, and of pairs; nothing else.", "Text: vectors of tokens, and of pairs; nothing else"),
        ("Sentences by Kim et al. That is all. Or not.", "Sentences by Kim et al. That is all"),
        ("By J. Smith, e.g. Texts. Another one.", "By J. Smith, e.g. Texts"),
        ("One\nsentence. `Two`.\n\nThree", "One sentence"),
        ("Text: means of vectors, of pairs (Kim 2014, arXiv:1408.5882) too.", "Text: means of vectors, of pairs too"),
        ("Text: means of vectors, and of pairs; nothing else depends on it.", "Text: means of vectors, and of pairs"),
        ("Cells: a path (x), a data: URI or bytes, and much more that is said.", "Cells: a path, a data: URI or bytes"),
        (
            "Words that have no mark where a line could end, if it fits",
            "Words that have no mark where a line could end",
        ),
        (
            "Words without any mark at which the line could be said to end",
            "Words without any mark at which the line could be said",
        ),
    ],
)
def test_a_line_of_the_tree_ends_where_a_sentence_or_its_last_mark_does(said: str, shown: str, tmp_path: Path) -> None:
    file = tmp_path / "part.py"
    file.write_text(f'"""{said}"""\n')
    assert generate_docs.cut(generate_docs.first_sentence(file), 56) == shown


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_into_a_page_lead_to_a_heading(page: Path) -> None:
    for link, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        target = page.parent / link if link else page
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, f"{link}#{anchor}"


def test_every_spec_that_is_shown_is_valid() -> None:
    shown = [one for page in PAGES for one in snippets(page, "yaml") if not is_list(one)]
    shown.append((ROOT / "examples" / "reviews" / "trimtab.yaml").read_text(encoding="utf-8"))
    assert len(shown) >= 2
    for text in shown:
        spec.parse(yaml.safe_load(text), text)


def is_list(text: str) -> bool:
    return isinstance(yaml.safe_load(text), list)


def test_every_list_of_tests_that_is_shown_can_be_read(tmp_path: Path) -> None:
    shown = [one for page in PAGES for one in snippets(page, "yaml") if is_list(one)]
    assert len(shown) >= 1
    for number, text in enumerate(shown):
        (tmp_path / f"{number}.yaml").write_text(text, encoding="utf-8")
        assert reading.read([f"{number}.yaml"], tmp_path)


def test_commands_that_are_shown_exist() -> None:
    shown = {word for page in PAGES for word in re.findall(r"`?\$ trimtab (\w+)", page.read_text(encoding="utf-8"))}
    assert shown >= {"init", "launch", "predict"}
    assert shown <= set(registry.names("trimtab.cli"))


def test_targets_that_are_shown_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = {word for page in PAGES for word in re.findall(r"[`$] ?make ([a-z-]+)", page.read_text(encoding="utf-8"))}
    assert shown >= {"launch", "test", "check", "docs", "bench"}
    assert [target for target in sorted(shown) if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_every_snippet_of_python_is_one_that_the_tests_run() -> None:
    found = {name(page): snippets(page, "python") for page in PAGES}
    assert {page: [str(i) for i in range(len(code))] for page, code in found.items() if code} == RUN
    for code in found.values():
        for snippet in code:
            ast.parse(snippet)


@pytest.mark.slow
def test_the_snippets_of_python_run(reviews_csv: Path, tmp_path: Path) -> None:
    folder = tmp_path / "examples" / "reviews"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "reviews" / "trimtab.yaml", folder)
    lines = reviews_csv.read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / SAMPLE).write_text("".join(lines[: ROWS + 1]), encoding="utf-8")
    for page in RUN:
        for snippet in snippets(ROOT / page, "python"):
            done = subprocess.run(
                [sys.executable, "-c", snippet],
                cwd=tmp_path,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
                capture_output=True,
                text=True,
                timeout=600,
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip()


@pytest.mark.slow
def test_the_gpu_benchmark_says_so_and_ends_well_without_a_gpu() -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "benchmarks.gpu"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "bench-gpu: no CUDA device here, nothing was measured\n"
