"""A whole packet, gone through as a person would, on a desk and on a phone; the file that is saved is then collected."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from reviewed import SECRET, study
from reviewing import CHROMIUM, SIZES, begin, chromium, go_through, predict, rate, save
from typer.testing import CliRunner

from llmrl_lib.cli import app
from llmrl_lib.experiments import review_report, review_texts, reviewing
from llmrl_lib.experiments.reviewing import Review
from llmrl_lib.strategy.review.packet import packet

SCREENS = os.environ.get("LLMRL_SCREENS", "")  # a folder: the book's pictures of the packet are written there
HOSTILE = "<script>document.title='done'</script><img src=x onerror=\"document.title='done'\"> \U0001f600 \"q\"\n$x$"
CONTRAST = """
const light = colour => {
  const parts = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255);
  const [r, g, b] = parts.map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
};
const ground = node => {
  for (; node; node = node.parentElement) {
    const colour = getComputedStyle(node).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour;
  }
  return 'rgb(255, 255, 255)';
};
() => {
  const found = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.getClientRects().length || node.closest('svg, script, style')) continue;
    const [one, two] = [light(getComputedStyle(node).color), light(ground(node))].sort((a, b) => b - a);
    if ((one + .05) / (two + .05) < 4.5) found.push(node.outerHTML.slice(0, 80));
  }
  return found;
}
"""
UNNAMED = """() => [...document.querySelectorAll('input, textarea, button, a, progress, svg')].filter(node =>
  !(node.labels && node.labels.length) && !node.textContent.trim() && !node.getAttribute('aria-label')
  && !node.getAttribute('aria-labelledby')).map(node => node.outerHTML.slice(0, 80))"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("playwright", reason="playwright is not installed")
    place = tmp_path_factory.mktemp("review")
    reviewing.make_review(study(), list(SIZES), place)
    return place


@pytest.mark.parametrize("size", SIZES)
def test_a_person_goes_through_a_packet_and_the_answers_are_collected(folder: Path, tmp_path: Path, size: str) -> None:
    place = folder / "packets" / f"{size}.html"
    with chromium(tmp_path / "profile", size) as watched:
        page = watched.page
        page.goto(place.as_uri())
        _screen(page, size, "start")
        assert page.inner_text("#where") == "12 cases, about 15 minutes"
        page.click("text=Begin")
        assert "what describes you best" in page.inner_text("#trouble")
        begin(page)
        assert page.inner_text("h1") == "Case 1 of 12"
        _hidden(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        _screen(page, size, "case")
        page.click("text=Commit")
        assert "LONG or SHORT first" in page.inner_text("#trouble")
        page.check("input[name=side][value=LONG]")
        page.wait_for_timeout(1000)  # the browser stores what the page keeps a moment later
        page.reload()
        assert page.inner_text("h1") == "Case 1 of 12"
        assert page.is_checked("input[name=side][value=LONG]")
        _hidden(page)
        predict(page, "SHORT", 3)
        assert SECRET in page.inner_text("#rationale-text")
        said = page.inner_text("main")
        assert not re.findall(r"[a-z0-9]+_[a-z0-9_]+", said)  # no field's name, in the model's words neither
        assert '"relative strength index over 14 days, 0 to 100" falls (bearish)' in said
        assert "relative strength index over 14 days, 0 to 100 (points)" in said
        assert page.evaluate("document.activeElement.id") == "said"
        assert page.is_disabled("input[name=side][value=LONG]")
        _screen(page, size, "said")
        page.click("form:last-of-type button")
        assert "Please rate: Economic rationale" in page.inner_text("#trouble")
        page.check("input[name=fidelity][value='2']")
        page.fill("#comment", "half a comm")
        page.wait_for_timeout(1000)
        page.reload()
        assert SECRET in page.inner_text("#rationale-text")
        assert page.input_value("#comment") == "half a comm"
        assert page.is_checked("input[name=fidelity][value='2']")
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate(UNNAMED) == []
        rate(page, (1, 2, 3), HOSTILE)
        given = go_through(page, 4, seed=1)
        page.close()
        page = watched.page = page.context.new_page()
        page.goto(place.as_uri())
        assert page.inner_text("h1") == "Case 6 of 12"
        _hidden(page)
        given += go_through(page, 7, seed=2)
        assert page.inner_text("h1") == "Thank you"
        _screen(page, size, "end")
        saved = save(page, folder / "answers")
        assert page.title().startswith("Thank you")
        assert watched.complaints == []
    sheet = json.loads(saved.read_text())
    assert (sheet["reviewer"], sheet["background"]) == (size, {"group": "professional", "years": 12})
    assert sheet["answers"][0]["comment"] == HOSTILE
    found = reviewing.collect_review(folder)
    assert not [one for one in found.refused if size in one.file]
    own = found.table.query("reviewer == @size").sort_values("place")
    assert list(own["case"]) == list(packet(study(), size).order)
    answered = own[["own_side", "own_confidence", "rationale", "fidelity", "safety"]].to_numpy().tolist()
    assert answered[0] == ["SHORT", 3, 1, 2, 3]
    assert answered[1:] == [[side, sure, *scores] for side, sure, scores in given]
    assert own["comment"].iloc[0] == HOSTILE
    assert (folder / "answers.csv").is_file()


def test_a_packet_can_be_gone_through_with_the_keyboard(folder: Path, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as watched:
        page = watched.page
        page.goto((folder / "packets" / "desk.html").as_uri())
        for key in ("Tab", "ArrowDown", "Tab", "7", "Enter"):
            page.keyboard.press(key)
        assert page.inner_text("h1") == "Case 1 of 12"
        page.focus("input[name=side]")
        for key in ("ArrowRight", "Tab", "ArrowRight", "Enter"):
            page.keyboard.press(key)
        assert page.evaluate("document.activeElement.id") == "said"
        for key in ("Tab", "ArrowRight", "Tab", "ArrowRight", "Tab", "Space", "Enter"):
            page.keyboard.press(key)
        assert page.inner_text("h1") == "Case 2 of 12"
        assert page.evaluate("document.activeElement.tagName") == "H1"
        assert watched.complaints == []


def test_it_prints_in_black_on_white_without_buttons(folder: Path, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as watched:
        page = watched.page
        page.goto((folder / "packets" / "desk.html").as_uri())
        begin(page)
        page.emulate_media(media="print")
        assert not page.is_visible("text=Commit, and see")
        assert len(page.pdf(format="A4")) > 20_000
        if SCREENS:
            page.set_viewport_size({"width": 794, "height": 1123})
            page.screenshot(path=Path(SCREENS) / "print.png", full_page=True)


def test_no_comment_is_executed_in_the_report(tmp_path: Path) -> None:
    answers = reviewing.simulated_answers(study(), reviewing.SIMULATED)
    answers["comment"] = HOSTILE
    review = Review(study(), answers, True, ("<script>document.title='done'</script>.json: is empty",))
    (tmp_path / "report.html").write_text(review_report.report_html(review), "utf-8")
    (tmp_path / "cell.html").write_text(f"<title>cell</title>{review_texts.comments_html(review)}", "utf-8")
    pytest.importorskip("playwright", reason="playwright is not installed")
    with chromium(tmp_path / "profile", "phone") as watched:
        for name, title in (("report", "Expert review"), ("cell", "cell")):
            watched.page.goto((tmp_path / f"{name}.html").as_uri())
            assert "<script>document.title=" in watched.page.inner_text("body")
            assert watched.page.title() == title
            assert watched.page.evaluate("document.scripts.length + document.images.length") == 0
        watched.page.goto((tmp_path / "report.html").as_uri())
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"][0]
        assert watched.complaints == []


def test_a_tampered_script_does_not_run(folder: Path, tmp_path: Path) -> None:
    """The policy names the digest of the script: with one letter changed, or another script beside it, nothing runs."""
    text = (folder / "packets" / "desk.html").read_text("utf-8")
    (tmp_path / "a.html").write_text(text.replace('"use strict";', '"use strict"; document.title = "done";'), "utf-8")
    (tmp_path / "b.html").write_text(text.replace("<main", "<script>document.title='done'</script><main"), "utf-8")
    with chromium(tmp_path / "profile") as watched:
        watched.page.goto((tmp_path / "a.html").as_uri())
        assert watched.page.title() == "Expert review"
        watched.page.goto((tmp_path / "b.html").as_uri())
        assert "done" not in watched.page.title()


def test_the_command_line_collects_and_reports_what_the_browser_saved(folder: Path) -> None:
    if not list((folder / "answers").iterdir()):
        pytest.skip("no answers were saved")
    (folder / "answers" / "half.json").write_text("{")
    done = [CliRunner().invoke(app, ["review", verb, str(folder)]) for verb in ("collect", "report")]
    assert [one.exit_code for one in done] == [1, 0]
    assert "half.json: it is cut off before its end" in done[0].stderr
    assert "Expert Review Scores" in done[1].stdout
    assert "<script>document.title='done'" not in (folder / "report.html").read_text("utf-8")


def _hidden(page: Any) -> None:
    """Neither the page, nor its source, nor what is remembered holds what the model said."""
    everything = (
        page.evaluate("document.documentElement.outerHTML + JSON.stringify({...localStorage})") + page.content()
    )
    assert SECRET not in everything
    assert SECRET not in page.inner_text("body")
    assert page.query_selector("#rationale-text") is None


def _screen(page: Any, size: str, name: str) -> None:
    if SCREENS:
        page.screenshot(path=Path(SCREENS) / f"{size}-{name}.png", scale="css")
