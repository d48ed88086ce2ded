"""The notebooks as committed: their form, and what their checked cells print on a small run."""

import ast
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
import tomlkit
from IPython.display import Markdown
from known_runs import run_of
from matplotlib.figure import Figure
from ruled import ruled

import llmrl_lib as ll
from llmrl_lib.experiments import run_suite
from llmrl_lib.experiments.verdict import Verdict
from llmrl_lib.settings import Profile, TdqnSettings

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHECKED = "nbval-check-output"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Any:
    return nbformat.read(request.param, as_version=4)


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def test_it_is_a_valid_notebook_with_cell_ids(notebook: Any) -> None:
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_it_tells_its_purpose_first_and_then_its_parameters(notebook: Any) -> None:
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    assert tags(notebook.cells[1]) == ["parameters"]


def test_the_library_does_the_work(notebook: Any) -> None:
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(re.search(r"^\s*(def|class) ", source, re.MULTILINE) for source in code)
    assert max(len(source.splitlines()) for source in code) <= 20


def test_words_stand_before_and_after_every_figure(notebook: Any) -> None:
    drawn = [number for number, cell in enumerate(notebook.cells) if "ll.plots." in cell.source]
    assert drawn
    for number in drawn:
        assert notebook.cells[number - 1].cell_type == "markdown"
        assert notebook.cells[number + 1].cell_type == "markdown"


def test_only_checked_cells_carry_outputs(notebook: Any) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any(CHECKED in tags(cell) for cell in code)
    for cell in code:
        assert bool(cell.outputs) == (CHECKED in tags(cell))
        assert cell.execution_count is None or CHECKED in tags(cell)


def test_without_a_run_it_says_which_command_makes_one(notebook: Any, tmp_path: Path) -> None:
    nbformat.write(_about(notebook, "nowhere"), tmp_path / "notebook.ipynb")
    with pytest.raises(papermill.PapermillExecutionError, match="make it with: llmrl run --dataset data/embedded"):
        papermill.execute_notebook(
            tmp_path / "notebook.ipynb", None, kernel_name="python3", cwd=tmp_path, progress_bar=False
        )


def test_checked_cells_print_what_is_committed(smoke_run: Path, tmp_path: Path) -> None:
    for path in NOTEBOOKS:
        nbformat.write(_about(nbformat.read(path, as_version=4), str(smoke_run)), tmp_path / path.name)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider"]
    command += ["--nbval-sanitize-with", str(ROOT / "tests" / "nbval.cfg"), "-c", "/dev/null", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"\d+ passed", done.stdout)


@pytest.fixture(scope="module")
def bare_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of bars alone: an ordinary ticker, one that never moves, one that trades at weekends, one listed later."""
    folder = tmp_path_factory.mktemp("bare")
    random = np.random.default_rng(1)
    every = pd.date_range("2019-01-01", "2020-12-31")
    weekdays = every[every.day_of_week < 5]
    (folder / "data" / "bars").mkdir(parents=True)
    for ticker, days, scale in (
        ("PLAIN", weekdays, 0.01), ("FLAT", weekdays, 0.0), ("DAILY", every, 0.01), ("LATE", weekdays[200:], 0.01),
    ):  # fmt: skip
        close = 50.0 * np.exp(scale * random.standard_normal(len(days)).cumsum())
        frame = pd.DataFrame({"open": close, "high": 1.01 * close, "low": 0.99 * close, "close": close}, index=days)
        frame.assign(volume=1000.0).to_csv(folder / "data" / "bars" / f"{ticker}.csv", index_label="date")
    dates = "train_start = 2019-01-01\nsplit = 2020-06-01\nend = 2021-01-01\n"
    about = f'name = "bare"\ntickers = ["PLAIN", "FLAT", "DAILY", "LATE"]\n[benchmark]\n{dates}'
    (folder / "data" / "dataset.toml").write_text(about)
    profile = Profile("test", (0,), TdqnSettings(episodes=1))
    outcome = run_suite(folder / "data", None, profile, folder / "run", 1, arms=("buy_and_hold",), notebooks=False)
    assert not outcome.failures
    return folder / "run"


@pytest.mark.parametrize("ticker", ["PLAIN", "FLAT", "DAILY", "LATE"])
def test_the_data_notebook_shows_what_a_dataset_of_bars_alone_lacks(bare_run: Path, ticker: str) -> None:
    shown = _shown(nbformat.read(ROOT / "notebooks" / "01_data.ipynb", as_version=4), bare_run, ticker)
    sentences = [result.data for result in shown if isinstance(result, Markdown)]
    assert sum(sentence.startswith("*Not available: the dataset holds nothing recent") for sentence in sentences) == 3
    assert any(sentence.startswith("*This market is not an invented one") for sentence in sentences)
    assert any("fewer than 130 daily returns" in sentence for sentence in sentences) == (ticker == "FLAT")
    assert sum(isinstance(result, Figure) for result in shown) == 6


def test_the_data_notebook_shows_real_tickers(shared: Path, tmp_path: Path) -> None:
    profile = Profile("test", (0,), TdqnSettings(episodes=1))
    tickers, arms = ["AAPL", "TSLA"], ("buy_and_hold",)
    outcome = run_suite(shared / "market", tickers, profile, tmp_path / "run", 1, arms=arms, notebooks=False)
    assert not outcome.failures
    for ticker in tickers:
        shown = _shown(nbformat.read(ROOT / "notebooks" / "01_data.ipynb", as_version=4), tmp_path / "run", ticker)
        sentences = [result.data for result in shown if isinstance(result, Markdown)]
        assert not any(sentence.startswith("*Not available") for sentence in sentences)
        assert any(sentence.startswith("*This market is not an invented one") for sentence in sentences)


def test_the_data_notebook_fails_loudly_on_a_look_ahead(bare_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmrl_lib.market.features import table

    ahead = table._option_fields

    def leaky(prices: Any, options: Any) -> Any:
        found = ahead(prices, options)
        volatility = found["hv_20d"]
        return {**found, "hv_20d": volatility._replace(values=np.append(volatility.values[1:], np.nan))}

    monkeypatch.setattr(table, "_option_fields", leaky)
    with pytest.raises(ll.LookAheadError, match="values knew the future: hv_20d on"):
        _shown(nbformat.read(ROOT / "notebooks" / "01_data.ipynb", as_version=4), bare_run, "PLAIN")


ADVICE = ("02_prompting", "03_uncertainty")


@pytest.mark.parametrize("name", ADVICE)
def test_the_notebooks_of_advice_say_that_there_is_none(bare_run: Path, name: str) -> None:
    shown = _shown(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4), bare_run, "PLAIN")
    sentences = [result.data for result in shown if isinstance(result, Markdown)]
    assert not any(isinstance(result, Figure) for result in shown)
    assert len(sentences) >= 6
    assert all(
        sentence.startswith(("*No strategies: ", "*No replies", "*No refinement: ", "*Nothing", "*Not"))
        for sentence in sentences
    )


@pytest.mark.parametrize("name", ADVICE)
@pytest.mark.parametrize("lacking", ["log-probabilities", "p0", "guide"])
def test_the_notebooks_of_advice_make_do_with_what_there_is(
    smoke_run: Path, tmp_path: Path, name: str, lacking: str
) -> None:
    folder = shutil.copytree(smoke_run, tmp_path / "run", ignore=shutil.ignore_patterns("book", "notebooks"))
    about = (
        (folder / "run.toml")
        .read_text()
        .replace(
            Path(os.path.relpath(ROOT / "data" / "embedded", smoke_run.resolve())).as_posix(),
            str(ROOT / "data" / "embedded"),
        )
    )
    (folder / "run.toml").write_text(about)
    if lacking == "p0":
        shutil.rmtree(folder / "strategies" / "p0-1")
    if lacking == "guide":
        shutil.rmtree(folder / "strategies" / "p1-1")
    for place in (folder / "strategies").glob("*/KSTV.jsonl") if lacking == "log-probabilities" else ():
        ll.write_strategies([replace(one, tokens=()) for one in ll.read_strategies(place)], place)
    shown = _shown(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4), folder, "KSTV")
    sentences = [result.data for result in shown if isinstance(result, Markdown)]
    figures = sum(isinstance(result, Figure) for result in shown)
    if name == "02_prompting":
        assert figures == 3
        assert [sentence.split(":")[0] for sentence in sentences] == ["*No refinement"]
    elif lacking == "log-probabilities":
        assert figures == 2
        assert all(sentence.startswith("*No log-probabilities") for sentence in sentences)
    else:
        assert figures == 5
        assert sentences == ["*Nothing to compare: it takes two prompts.*"]


@pytest.fixture
def unadvised_run(smoke_run: Path, tmp_path: Path) -> Path:
    """The smoke run as it would be without a language model: no strategies, and nothing that heard them."""
    folder = shutil.copytree(
        smoke_run, tmp_path / "run", ignore=shutil.ignore_patterns("book", "notebooks", "strategies")
    )
    about = tomlkit.parse((folder / "run.toml").read_text())
    about["dataset"] = str(ROOT / "data" / "embedded")
    del about["guide"], about["chat"]
    (folder / "run.toml").write_text(tomlkit.dumps(about))
    for arm in ("guided", "placebo_permuted", "llm_only"):
        for place in folder.glob(f"*/{arm}"):
            shutil.rmtree(place)
    return folder


def test_the_agents_notebook_says_that_nobody_was_advised(unadvised_run: Path) -> None:
    shown = _shown(nbformat.read(ROOT / "notebooks" / "05_guided_ddqn.ipynb", as_version=4), unadvised_run, "ORVN")
    sentences = [result.data for result in shown if isinstance(result, Markdown)]
    assert any(sentence.startswith("*No guided agent: no arm of this run heard") for sentence in sentences)
    assert "*No guided agent on this ticker, so no advice to draw.*" in sentences
    assert "*Nothing to compare: the unguided agent is the only learned arm.*" in sentences
    assert "*No guided agent with a placebo beside it on this ticker.*" in sentences
    assert sum(isinstance(result, Figure) for result in shown) == 6


def test_the_agents_notebook_shows_both_arms(smoke_run: Path) -> None:
    shown = _shown(nbformat.read(ROOT / "notebooks" / "05_guided_ddqn.ipynb", as_version=4), smoke_run, "KSTV")
    assert not [result for result in shown if isinstance(result, Markdown)]
    figures = [result for result in shown if isinstance(result, Figure)]
    assert len(figures) == 7
    named = {label for axes in figures[0].axes for label in axes.get_legend_handles_labels()[1]}
    assert {"TDQN, unguided", "TDQN, guided", "LLM only"} <= named
    assert sum(isinstance(result, ll.Audit) for result in shown) == 1


@pytest.mark.parametrize("kept", [False, True])
def test_the_results_stand_beside_recorded_ones_or_say_that_there_are_none(
    unadvised_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    from llmrl_lib.experiments import recorded

    arms = {"unguided": 0.0, "guided": 1e-3, "placebo_random": 0.0, "oracle_100": 2e-3}
    place = run_of(tmp_path / "results" / "kept", {"AAPL": arms}, paths=False).path.parent
    monkeypatch.setattr(recorded, "result_folder", lambda: place if kept else None)
    shown = _shown(nbformat.read(ROOT / "notebooks" / "06_results.ipynb", as_version=4), unadvised_run, "")
    sentences = [result.data for result in shown if isinstance(result, Markdown)]
    verdicts = [result for result in shown if isinstance(result, Verdict)]
    assert (recorded.ABSENT in sentences, recorded.NO_ORACLES in sentences) == (not kept, not kept)
    assert len(verdicts) == 1 + kept
    assert "no agents here heard any" in verdicts[0].short
    assert sum(isinstance(result, Figure) for result in shown) == 2 + kept
    assert ("*No audit was kept with it.*" in sentences) == kept
    assert any(sentence.startswith("*No strategies in this run") for sentence in sentences)


def test_the_review_says_that_there_is_nothing_to_review(bare_run: Path) -> None:
    shown = _shown(nbformat.read(ROOT / "notebooks" / "04_expert_review.ipynb", as_version=4), bare_run, "")
    sentences = [result.data for result in shown if isinstance(result, Markdown)]
    assert not any(isinstance(result, Figure) for result in shown)
    assert sum(sentence.startswith("*No strategies in this run") for sentence in sentences) >= 10


def test_no_cell_of_a_table_is_cut_short(smoke_run: Path) -> None:
    """pandas shows the first fifty characters of a cell unless it is told otherwise; sentences are longer."""
    executed = sorted((smoke_run / "notebooks").rglob("*.ipynb"))
    assert {path.stem for path in executed} == {path.stem for path in NOTEBOOKS}
    cut = [path.name for path in executed if "...</td>" in path.read_text("utf-8")]
    assert not cut


def test_the_review_is_on_simulated_reviewers_and_says_so(smoke_run: Path) -> None:
    shown = _shown(nbformat.read(ROOT / "notebooks" / "04_expert_review.ipynb", as_version=4), smoke_run, "")
    sentences = [result.data for result in shown if isinstance(result, Markdown)]
    assert "**These reviewers are simulated. Nobody stands behind the figures below.**" in sentences
    assert not any(sentence.startswith("*No strategies") for sentence in sentences)
    figures = [result for result in shown if isinstance(result, Figure)]
    assert len(figures) == 2
    assert all("SIMULATED" in figure.axes[0].get_title("left") for figure in figures)
    labels = [result.columns.name for result in shown if isinstance(result, pd.DataFrame)]
    assert labels.count("10 SIMULATED reviewers") == 8


def test_a_refinement_is_shown_where_there_is_one(bare_run: Path) -> None:
    folder = shutil.copytree(bare_run, bare_run.with_name("refined"))
    market = ll.load_dataset(ROOT / "data" / "embedded")
    settings = ll.Refinement(repetitions=1, rounds=2, exemplars=2, every=120)
    ll.refine(market, folder / "refinement", ruled(), settings=settings, tickers=["ORVN"], unseen="KSTV")
    shown = _shown(nbformat.read(ROOT / "notebooks" / "02_prompting.ipynb", as_version=4), folder, "PLAIN")
    assert sum(isinstance(result, Figure) for result in shown) == 3
    sentences = [result.data for result in shown if isinstance(result, Markdown)]
    assert any("held-out years" in sentence for sentence in sentences)
    assert not any(sentence.startswith("*No refinement") for sentence in sentences)


def _shown(notebook: Any, run_folder: Path, ticker: str) -> list[Any]:
    """What the last lines of the notebook's cells give, run in this process, whose options stay as they are."""
    names: dict[str, Any] = {}
    found = []
    with pd.option_context("display.max_colwidth", pd.get_option("display.max_colwidth")):  # some notebooks set it
        for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
            lines = ast.parse(cell.source).body
            last = lines.pop() if isinstance(lines[-1], ast.Expr) else None
            exec(compile(ast.Module(lines, []), "cell", "exec"), names)
            if last is not None:
                found.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
            if "parameters" in tags(cell):
                names |= {"run_folder": run_folder, "ticker": ticker}
    return found


def _about(notebook: Any, run_folder: str) -> Any:
    """The notebook, with its parameters cell pointing to another run."""
    (parameters,) = (cell for cell in notebook.cells if tags(cell) == ["parameters"])
    parameters.source += f"\nrun_folder = {run_folder!r}"
    return notebook
