"""The book: every page is there, says what the code says, and needs nothing from outside."""

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
from known_runs import run_of

import llmrl_lib
from llmrl_lib.book import _as_page, build_book, front
from llmrl_lib.book.pages import generated_pages, settings_table
from llmrl_lib.book.reference import field_comments, reference_page
from llmrl_lib.cli import app
from llmrl_lib.experiments import ExperimentError, Run, open_run, recorded
from llmrl_lib.settings import Quirks, TdqnSettings, to_table

ROOT = Path(__file__).resolve().parent.parent


class Addresses(HTMLParser):
    """Collects what a page loads or links to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, _tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attributes if name in ("src", "href") and value]


def test_the_book_has_the_pages_of_its_contents(smoke_book: Path) -> None:
    pages = {
        path.relative_to(smoke_book).as_posix() for path in smoke_book.rglob("*.html") if "_static" not in path.parts
    }
    method = {"expert_review.html", "benchmark.html", "training.html", "metrics.html"}
    use = {"dataset_format.html", "sources.html", "profiles.html", "scale.html", "command_line.html", "api.html"}
    notebooks = ("01_data", "02_prompting", "03_uncertainty", "05_guided_ddqn")
    tickers = {f"{ticker}/{page}.html" for ticker in ("ORVN", "KSTV") for page in ("overview", *notebooks)}
    assert pages >= {"index.html", "04_expert_review.html", "06_results.html", "search.html"} | method | use | tickers


def test_nothing_in_the_book_points_outside(smoke_book: Path) -> None:
    for page in smoke_book.rglob("*.html"):
        outside = [address for address in Addresses(page).found if re.match(r"(?:[a-z]+:)?//", address)]
        assert not outside, f"{page.name}: {outside}"


def test_every_address_within_the_book_leads_somewhere(smoke_book: Path) -> None:
    for page in smoke_book.rglob("*.html"):
        if "_static" in page.parts:
            continue
        for address in Addresses(page).found:
            path = re.split("[?#]", address)[0]
            if path and ":" not in path:
                assert (page.parent / path).exists(), f"{page.name} points to {address}"


def test_pages_of_tickers_carry_their_ticker_and_only_the_parameters_of_the_run(smoke_book: Path) -> None:
    text = (smoke_book / "KSTV" / "05_guided_ddqn.html").read_text("utf-8")
    assert "<title>KSTV: the trading agent" in text
    assert "runs/embedded" not in text


def test_a_parameter_that_the_run_leaves_alone_stays_on_its_page(tmp_path: Path) -> None:
    cells = [
        ({"tags": []}, "# About"),
        ({"tags": ["parameters"]}, 'ticker = "A"\nday = ""  # blank: one in the middle'),
        ({"tags": ["injected-parameters"]}, '# Parameters\nticker = "B"'),
        ({"tags": []}, "print(day)"),
    ]
    content = {"cells": [{"cell_type": "code", "metadata": m, "source": s.splitlines(keepends=True)} for m, s in cells]}
    (tmp_path / "n.ipynb").write_text(json.dumps(content))
    shown = ["".join(cell["source"]) for cell in json.loads(_as_page(tmp_path / "n.ipynb", ""))["cells"]]
    assert shown == ["# About", 'day = ""  # blank: one in the middle', '# Parameters\nticker = "B"', "print(day)"]
    content["cells"][1]["source"] = ['ticker = "A"']
    (tmp_path / "n.ipynb").write_text(json.dumps(content))
    assert len(json.loads(_as_page(tmp_path / "n.ipynb", ""))["cells"]) == 3


def test_every_quirk_is_explained_in_the_table_of_the_book() -> None:
    table = settings_table(Quirks)
    comments = field_comments(Quirks)
    for field in dataclasses.fields(Quirks):
        assert comments[field.name]
        assert re.search(rf"`{field.name}` \| `(True|False)` \| \S+", table)


def test_comments_are_read_from_the_code() -> None:
    assert field_comments(TdqnSettings)["epsilon_decay"] == "steps, exponential"
    assert set(field_comments(TdqnSettings)) == {entry.name for entry in dataclasses.fields(TdqnSettings)} - {"quirks"}


def test_the_reference_names_everything_public() -> None:
    page = reference_page()
    for name in llmrl_lib.__all__:
        assert f"## ll.{name}\n" in page
    assert "### ll.metrics.sharpe_ratio" in page
    assert "**`.test_bars(ticker: str) -> pandas.DataFrame`**" in page


def test_the_page_of_the_command_line_names_every_command_and_option() -> None:
    page = (ROOT / "book" / "command_line.md").read_text("utf-8")
    root = typer.main.get_command(app)
    commands = {name: command for name, command in root.commands.items() if not hasattr(command, "commands")}
    for group in ("data", "nano", "review"):
        commands |= {f"{group} {name}": command for name, command in root.commands[group].commands.items()}
    assert len(commands) == 14
    for name, command in commands.items():
        title = name if f"## llmrl {name}" in page else name.split()[0]  # some groups have one section
        section = page.split(f"## llmrl {title}")[1].split("\n## ")[0]
        for option in (option for parameter in command.params for option in parameter.opts if option.startswith("--")):
            assert f"`{option}`" in (page if option == "--debug" else section), f"{name} {option}"


def test_a_run_without_notebooks_has_no_book(tmp_path: Path) -> None:
    about = (
        'dataset = ""\nprofile = "smoke"\ntickers = []\ndataset_name = ""\ndataset_hash = ""\nseeds = 2\ntdqn = {}\n'
    )
    (tmp_path / "run.toml").write_text(about)
    with pytest.raises(ExperimentError, match="holds no executed notebooks; give its llmrl run command again"):
        build_book(tmp_path)


def test_an_arm_that_is_not_finished_is_a_dash_on_the_front_page(smoke_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(smoke_run, tmp_path / "run", ignore=shutil.ignore_patterns("book"))
    (folder / "KSTV" / "unguided" / "manifest.json").unlink()
    page = generated_pages(open_run(folder))["_generated/summary.md"]
    orvn = open_run(smoke_run).arms("ORVN")["unguided"].performance.query("split == 'test'")["sharpe_ratio"]
    assert f"| TDQN, unguided | {orvn.mean():.2f} ({orvn.std():.2f}) | - | {orvn.mean():.2f} |" in page
    assert "A dash stands where an arm is not finished" in page
    assert "nan" not in page
    whole = generated_pages(open_run(smoke_run))["_generated/summary.md"]
    assert "A dash" not in whole
    assert "Not in this book" not in whole


def test_a_ticker_without_a_finished_arm_is_named_on_the_front_page(smoke_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(smoke_run, tmp_path / "run", ignore=shutil.ignore_patterns("book"))
    shutil.rmtree(folder / "KSTV")
    page = generated_pages(open_run(folder))["_generated/summary.md"]
    assert "**Not in this book**, because nothing of theirs is finished: KSTV." in page


def test_the_book_of_an_unfinished_run_says_so(smoke_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(smoke_run, tmp_path / "run", ignore=shutil.ignore_patterns("book"))
    (folder / "notebooks" / "06_results.ipynb").unlink()
    (folder / "notebooks" / "ORVN" / "05_guided_ddqn.ipynb").unlink()
    pages = generated_pages(open_run(folder))
    assert "**This run is not finished.** Its llmrl run command, given again, makes" in pages["_generated/summary.md"]
    assert "lacking: 06_results, 05_guided_ddqn of ORVN." in pages["_generated/summary.md"]
    assert "*Results*" not in pages["_generated/answer.md"]
    whole = generated_pages(open_run(smoke_run))
    assert "not finished" not in whole["_generated/summary.md"]
    assert "*Results* has the whole verdict" in whole["_generated/answer.md"]


def test_the_front_page_says_how_far_its_figures_carry(smoke_run: Path) -> None:
    page = generated_pages(open_run(smoke_run))["_generated/summary.md"]
    assert "| *standard error of any of them* | *0.71* | *0.71* |" in page
    assert "far too short to compare with 25 runs of 50" in page
    assert "**The market is invented**" in page
    assert "Nobody has published results for a ticker of this run" in page


def test_the_front_page_answers_the_question_for_both_runs(
    smoke_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "result_folder", lambda: None)
    alone = front.answer(open_run(smoke_run))
    assert alone.startswith("**In short**, for this run: ")
    assert "the training was far too short to judge any method" in alone
    assert "recorded" not in alone
    place = run_of(tmp_path / "results" / "kept", {"AAA": {"unguided": 0.0, "guided": 3e-3}}).path.parent
    monkeypatch.setattr(recorded, "result_folder", lambda: place)
    assert "For the recorded run *kept* (AAA): advice helped on 1 of 1 stock." in front.answer(open_run(smoke_run))
    assert "{include} _generated/answer.md" in (ROOT / "book" / "index.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("seeds", "settings", "said"),
    [
        (2, TdqnSettings(episodes=5), "nothing about any method: 2 seeds of 5 episodes are far too short"),
        (1, TdqnSettings(episodes=2, hidden=32), "that the machinery runs, and nothing about any method: 1 seed of 2"),
        (5, TdqnSettings(), "5 seeds of 50 episodes are few beside 25 runs of 50"),
        (25, TdqnSettings(), "under the published protocol, 25 seeds of 50 episodes"),
    ],
)
def test_what_may_be_concluded_depends_on_seeds_and_episodes(seeds: int, settings: TdqnSettings, said: str) -> None:
    run = Run(Path("nowhere"), {"seeds": seeds, "tdqn": to_table(settings)})
    assert said in front.conclusion(run)


def test_the_front_page_tells_the_command_of_this_run(tmp_path: Path) -> None:
    (tmp_path / "mine" / "runs" / "first").mkdir(parents=True)
    shutil.copytree(ROOT / "data" / "embedded", tmp_path / "mine" / "market")
    about = {"dataset": "../../market", "profile": "own", "tickers": ["ORVN", "KSTV"]}
    run = Run(tmp_path / "mine" / "runs" / "first", about)
    made = "llmrl run --dataset market --tickers ORVN,KSTV --profile own.toml --out runs/first\nllmrl book runs/first"
    assert made in front.command(run)
    every = Run(run.path, {**about, "profile": "quick", "tickers": list(run.dataset.tickers)})
    assert "--dataset market --profile quick --out" in front.command(every)


def test_the_old_book_is_whole_until_the_new_one_takes_its_place(
    smoke_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(smoke_run, tmp_path / "run", ignore=shutil.ignore_patterns("book"))
    (folder / "book").mkdir()
    (folder / "book" / "index.html").write_text("old")

    def build(_source: Path, work: Path, _strict: bool) -> None:
        (work / "_build" / "html").mkdir(parents=True)
        (work / "_build" / "html" / "index.html").write_text("new")

    replaced = Path.replace
    whole = []

    def replace(path: Path, target: Path) -> Path:
        if target == folder / "book":
            whole.append(sum(page.read_text() == "old" for page in folder.rglob("index.html")))
        return replaced(path, target)

    monkeypatch.setattr("llmrl_lib.book._write_source", lambda *_: None)
    monkeypatch.setattr("llmrl_lib.book._build", build)
    monkeypatch.setattr(Path, "replace", replace)
    assert build_book(folder).read_text() == "new"
    assert whole == [1]
    assert not list(folder.glob(".book-*"))
