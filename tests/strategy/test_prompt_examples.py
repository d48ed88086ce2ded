"""The book shows the prompts that the code renders, and the sizes that were measured."""

import json

import refresh_prompt_examples
from refresh_prompt_examples import ROOT

from llmrl_lib.language.prompts import load_prompt


def test_the_page_of_examples_is_fresh():
    shown = refresh_prompt_examples.PAGE.read_text("utf-8")
    assert shown == refresh_prompt_examples.page(), "make it again with: python tests/refresh_prompt_examples.py"
    assert all(title in shown for title in refresh_prompt_examples.TITLES.values())


def test_the_sizes_in_the_book_are_the_measured_ones():
    page = (ROOT / "book" / "prompts.md").read_text("utf-8")
    found = json.loads((ROOT / "benchmarks" / "prompt_sizes.json").read_text())
    sizes = next(entry["mean_tokens"] for name, entry in found.items() if name.startswith("synthetic"))
    for row in ("counted", "estimated"):
        assert f"| {row} | {' | '.join(f'{size[row]:,}' for size in sizes.values())} |" in page


def test_the_prompt_that_the_book_shows_can_be_used_as_it_stands(tmp_path):
    page = (ROOT / "book" / "prompts.md").read_text("utf-8")
    shown = page.split("## Your own")[1].split("```toml\n")[1].split("```")[0]
    (tmp_path / "mine.toml").write_text(shown, "utf-8")
    assert load_prompt(tmp_path / "mine.toml").name == "mine"


def test_the_rates_in_the_book_are_the_measured_ones():
    page = (ROOT / "book" / "prompts.md").read_text("utf-8")
    invented, real = json.loads((ROOT / "benchmarks" / "anonymity.json").read_text()).values()
    reader = [round(100 * entry[f"reader_{when}"]) for entry in (invented, real) for when in ("before", "after")]
    names = [round(100 * entry[f"names_{when}"]) for entry in (invented, real) for when in ("before", "after")]
    assert "| {} % | {} % | {} % | **{} %** |".format(*reader) in page
    assert "| {} % | {} % | {} % | {} % |".format(*names) in page
