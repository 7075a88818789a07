"""The page of a server: in Chromium with clicks and keys, at three widths, in both languages; what it is made of."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serving
import tiny_bundle
import tiny_pictures
from PIL import Image
from tests import browser
from tests.browser import Browser
from tests.test_serve_process import Running, running

from trimtab import runtime
from trimtab.serve import keys, traffic
from trimtab.serve.routes import page
from trimtab.serve.traffic import Traffic, together
from trimtab.watch import log

ROW = {"review": "A lovely little film, warm and funny.", "stars": "5", "shop": "north"}
ANSWERED = "document.querySelector('#answer .given')"
EXPLAINED = "document.querySelector('#explanation table')"
WORDS = """Object.entries(WORDS).map(([language, words]) => [language, Object.keys(words).sort().join()])"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.build(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    if browser.found() is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    with browser.opened() as found:
        yield found


@pytest.fixture(scope="module")
def server(bundle: Path, chromium: Browser) -> Iterator[Running]:
    with running(bundle) as found:
        yield found


def opened(chromium: Browser, server: Running, width: int = 1400, scheme: str = "light") -> Browser:
    """The page, its form built; nothing was complained of yet."""
    chromium.open("about:blank")  # what an earlier page still waits for ends here
    chromium.complaints.clear()
    chromium.shape(width, scheme)
    chromium.open(server.address)
    chromium.until("state.fields.length && state.traffic")
    return chromium


def text(chromium: Browser, selector: str) -> str:
    return str(chromium.evaluate(f"document.querySelector({selector!r}).innerText"))


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (820, "dark"), (1400, "light")])
def test_a_row_is_answered_and_explained_at_every_width(
    chromium: Browser, server: Running, tmp_path: Path, width: int, scheme: str
) -> None:
    shown = opened(chromium, server, width, scheme)
    shown.click("#example")
    shown.click("#send")
    shown.until(f"{ANSWERED} && {EXPLAINED}")
    expected = server.ask("/predict", {name: ROW[name] for name in ROW})[1]["answer"]["mood"]
    assert text(shown, "#answer .given") == expected
    assert shown.evaluate("document.querySelectorAll('#answer .meter').length") == 3  # all classes, the likeliest first
    assert shown.evaluate("document.querySelectorAll('#explanation .units span').length") == 7
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.complaints == []
    shown.picture(tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as shot:
        assert shot.width == width
        corner = shot.convert("L").getpixel((2, shot.height - 2))
    assert (corner > 128) == (scheme == "light")


def test_what_was_right_is_said_on_the_page_and_kept(chromium: Browser, server: Running, bundle: Path) -> None:
    shown = opened(chromium, server)
    for field in ("0", "1"):
        shown.click(f"#field-{field}")
        shown.write("3")
    shown.click("#send")
    shown.until(ANSWERED)
    shown.click("#feedback button:last-of-type")
    offered = shown.evaluate("[...document.querySelectorAll('#right option')].map(one => one.value)")
    given = text(shown, "#answer .given")
    assert len(offered) == 2
    assert given not in offered
    shown.click("#feedback form button")
    shown.until("state.last.right !== null")
    assert text(shown, "#feedback") == f"Kept: {offered[0]}"
    kept = shown.evaluate("state.last.found.id")
    with log.open_log(str(log.beside(bundle))) as answers:
        labelled = serving.until(lambda: list(answers.labelled(runtime.load(bundle).serving.hash, "mood")))
    assert [(one.entry.id, one.label) for _, one in labelled] == [(kept, offered[0])]
    assert shown.complaints == []


def test_the_keyboard_alone_is_enough(chromium: Browser, server: Running) -> None:
    shown = opened(chromium, server)
    shown.press("Tab")
    assert shown.evaluate("document.activeElement.className") == "skip"
    shown.evaluate("document.getElementById('field-0').focus()")
    shown.write("warm soup, cold staff")
    shown.evaluate("document.getElementById('field-1').focus()")
    shown.write("2,5")
    shown.enter()
    shown.until(ANSWERED)
    asked = {"review": "warm soup, cold staff", "stars": "2,5", "shop": None}
    assert text(shown, "#answer .given") == server.ask("/predict", asked)[1]["answer"]["mood"]


def test_what_is_written_is_shown_as_it_is_and_never_run(chromium: Browser, server: Running) -> None:
    shown = opened(chromium, server)
    hostile = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    shown.click("#field-0")
    shown.write(hostile)
    shown.click("#send")
    shown.until(EXPLAINED)
    assert text(shown, "#explanation .units") == hostile
    assert shown.evaluate("document.title") == "tiny"
    assert shown.complaints == []


def test_everything_is_said_in_english_and_in_chinese(chromium: Browser, server: Running) -> None:
    shown = opened(chromium, server)
    languages = dict(shown.evaluate(WORDS))
    assert set(languages) == {"en", "zh"}
    assert languages["en"] == languages["zh"]
    shown.click("#example")
    shown.click("#send")
    shown.until(EXPLAINED)
    shown.click("#language")
    assert shown.evaluate("document.documentElement.lang") == "zh"
    said = shown.evaluate("[...document.querySelectorAll('[data-word], h3, figcaption, #state')].map(e => e.innerText)")
    assert len(said) > 15
    assert [one for one in said if one and not re.search(r"[一-鿿]|curl", one)] == []
    shown.click("#language")
    assert text(shown, "#try-title") == "Try it"


def test_assistive_technology_hears_fields_plots_and_tables_by_name(chromium: Browser, server: Running) -> None:
    shown = opened(chromium, server)
    told = shown.tree()
    named = {(one["role"], one["name"]) for one in told}
    assert {("textbox", "review"), ("textbox", "stars"), ("combobox", "shop"), ("button", "Answer")} <= named
    assert {one["role"] for one in told} >= {"main", "banner", "contentinfo", "region", "status", "table", "heading"}
    pictures = [one["name"] for one in told if one["role"] in ("image", "img", "graphics-document")]
    assert len(pictures) >= 2
    assert all(pictures)


def test_a_request_that_is_refused_and_a_server_that_is_gone_are_told(chromium: Browser, bundle: Path) -> None:
    with running(bundle, "--megabytes", "0.001") as server:
        shown = opened(chromium, server)
        shown.click("#field-0")
        shown.write("long " * 300)
        shown.click("#send")
        shown.until("document.querySelector('#answer .problem')")
        assert "at most 0.001 MB" in text(shown, "#answer")
    shown.evaluate("look()")
    shown.until("document.getElementById('state').innerText === WORDS.en.away")


def test_a_server_with_keys_asks_for_one(chromium: Browser, bundle: Path, tmp_path: Path) -> None:
    key = keys.made(tmp_path / "keys", "page")
    with running(bundle, "--keys", tmp_path / "keys") as server:
        chromium.open(server.address)
        chromium.until("!document.getElementById('access').hidden")
        chromium.write("wrong")
        chromium.enter()
        chromium.until("document.getElementById('refused').innerText")
        chromium.evaluate("document.getElementById('key').value = ''; document.getElementById('key').focus()")
        chromium.write(key)
        chromium.enter()
        chromium.until("state.fields.length")
        chromium.click("#example")
        chromium.click("#send")
        chromium.until(ANSWERED)
        assert key not in text(chromium, "#curl")


def test_a_picture_is_chosen_and_its_patches_lie_on_it(chromium: Browser, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    with running(tiny_pictures.build(tmp_path)) as server:
        shown = opened(chromium, server, 390)
        shown.choose("#field-0", tmp_path / "red.png")
        shown.until("state.fields[0].value()")
        shown.click("#send")
        shown.until(EXPLAINED)
        assert text(shown, "#answer .given") == "red"
        assert shown.evaluate("document.querySelectorAll('.frame i.for').length") >= 16
        assert shown.evaluate("document.documentElement.scrollWidth") <= 390
        assert shown.complaints == []


# ------------------------------------------------------------------------------------------------ without a browser


def test_a_browser_is_told_to_run_and_load_nothing_but_the_page_itself(bundle: Path) -> None:
    with serving.client(bundle) as client:
        found = client.get("/")
    policy = found.headers["content-security-policy"]
    assert found.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//|@import|\burl\(", found.text)
    assert not re.findall(r"\sstyle=|\son\w+=\"", page.built()[0].split("<script>")[0])


def test_the_traffic_of_all_workers_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    first, second = Traffic(lambda: now[0]), Traffic(lambda: now[0])
    for place, milliseconds in enumerate([1, 2, 3, 4, 100]):
        (first, second)[place % 2].request("/predict", 200, milliseconds / 1000, 1)
    first.answered(["good", "bad"])
    now[0] += 60
    second.request("/predict", 503, 0.5)
    second.request("/predict", 422, 0.001)
    second.answered(["good"])
    found = together([first.told(), second.told()], now[0])
    assert {name: found["totals"][name] for name in ("requests", "refused", "failed")} == {
        "requests": 7,
        "refused": 1,
        "failed": 1,
    }
    assert found["totals"]["p50"] == pytest.approx(3, rel=0.13)
    assert found["totals"]["p95"] == pytest.approx(100, rel=0.13)
    assert [step["requests"] for step in found["steps"][-7:]] == [5, 0, 0, 0, 0, 0, 2]
    assert found["answers"] == {"good": 2, "bad": 1}
    assert [one["status"] for one in found["recent"][:2]] == [503, 422]


def test_old_traffic_is_forgotten_and_what_is_kept_is_bounded() -> None:
    now = [1_000_000.0]
    seen = Traffic(lambda: now[0])
    for _ in range(1000):
        seen.request("/predict", 200, 0.01)
        now[0] += 10
    told = seen.told()
    assert (len(told["steps"]), len(told["recent"])) == (traffic.STEPS, traffic.RECENT)
    assert together([told], now[0])["totals"]["requests"] == traffic.STEPS - 1
    assert together([told], time.time())["totals"]["requests"] == 0


def test_requests_are_traffic_and_the_pages_own_questions_are_not(bundle: Path) -> None:
    with serving.client(bundle) as client:
        for body in (ROW, [ROW, ROW], {"reviwe": "x"}):
            client.post("/predict", json=body)
        client.get("/readyz")
        found: dict[str, Any] = client.get("/traffic").json()
    assert (found["totals"]["requests"], found["totals"]["refused"]) == (3, 1)
    assert sorted((one["status"], one["rows"]) for one in found["recent"]) == [(200, 1), (200, 2), (422, 1)]
    assert sum(found["answers"].values()) == 3
    assert "lovely" not in str(found)
