"""A plan follows the run: its tasks by phase, a half-finished store, a local model's batches, budgets, GPUs; and the book."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from chat_server import ChatServer
from typer.testing import CliRunner

from llmrl_lib.book.plan_accuracy import ABSENT, accuracy_page, comparisons_file
from llmrl_lib.book.planning import sizes_table
from llmrl_lib.cli import app
from llmrl_lib.experiments import planning, run_suite, suite
from llmrl_lib.experiments.adviser import Adviser, advise, order_of
from llmrl_lib.experiments.arm_tasks import ArmCall
from llmrl_lib.experiments.arms import MANIFEST
from llmrl_lib.experiments.planning import Plan, Stage, Study, load_speeds, opening, plan_study, plans_of
from llmrl_lib.experiments.runs import start_run
from llmrl_lib.experiments.strategies import cost_of
from llmrl_lib.experiments.work import Failure, Task
from llmrl_lib.language.chat import Message, Reply, Request, Sampling, Usage
from llmrl_lib.language.ledger import ledger
from llmrl_lib.language.prices import load_prices
from llmrl_lib.language.replay import Replay
from llmrl_lib.language.store import open_store
from llmrl_lib.market.dataset import load_dataset
from llmrl_lib.settings import Profile, TdqnSettings, load_profile
from llmrl_lib.strategy.rehearsal import stand_in

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = ROOT / "data" / "embedded"
PAIR = ["ORVN", "KSTV"]
ONE_PROMPT = Profile("one", (0,), TdqnSettings(episodes=1, hidden=16), ("unguided",), ("p0",))
SERVER = Adviser("a-model", "http://127.0.0.1:9/v1", free=True)  # nobody answers there
PAPERS = Adviser("gpt-4o-mini")


def stage(plan: Plan, name: str) -> Stage:
    return next(one for one in plan.stages if one.name == name)


def notes(plan: Plan, words: str) -> list[str]:
    return [note for note in plan.notes if words in note]


@pytest.fixture
def worked_off(monkeypatch: pytest.MonkeyPatch) -> list[list[Task]]:
    """The tasks of each phase of a run, in which arms and strategies are mere marks of having been made."""
    phases: list[list[Task]] = []

    def mark(tasks: Sequence[Task], *_: object) -> Iterator[Failure]:
        phases.extend([list(tasks)] if tasks else [])
        for call in (task.call for task in tasks):
            if isinstance(call, ArmCall):
                call.folder.mkdir(parents=True)
                (call.folder / MANIFEST).write_text("{}")
            elif isinstance(call, suite._StrategyCall):
                place = call.folder / "strategies" / f"{call.prompt}-1"
                place.mkdir(parents=True, exist_ok=True)
                for ticker in call.tickers:
                    (place / f"{ticker}.jsonl").touch()
        return iter(())

    monkeypatch.setattr(suite, "_work_off", mark)
    monkeypatch.setattr(suite, "has_gpu", lambda: False)
    return phases


@pytest.mark.parametrize(
    ("profile", "adviser", "own"),
    [
        (replace(ONE_PROMPT, arms=("unguided", "guided_window"), guide="p1"), SERVER, 8),
        (replace(ONE_PROMPT, arms=("flag_trader", "ppo_numbers"), prompts=()), SERVER, 6),  # nothing for notebook 05
        (ONE_PROMPT, Adviser(), 8),  # a local model's tickers are asked in groups
    ],
    ids=["guided", "without agents", "local"],
)
def test_tasks_and_phases_are_those_of_the_run(
    profile: Profile,
    adviser: Adviser,
    own: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    worked_off: list[list[Task]],
) -> None:
    monkeypatch.setattr(suite, "TICKERS_TOGETHER", 1)
    monkeypatch.setattr(planning.asking, "TICKERS_TOGETHER", 1)
    plan = plan_study(Study(EMBEDDED, PAIR, profile, 2, adviser))
    run_suite(EMBEDDED, PAIR, profile, tmp_path / "run", 2, adviser=adviser)
    assert [phase.tasks for phase in plan.phases if phase.tasks] == [len(tasks) for tasks in worked_off]
    assert [bool(task.ticker) for task in worked_off[-1]] == [False] * 3 + [True] * own  # the run's come first
    assert stage(plan, "notebooks of tickers").what == f"{own} notebooks"
    assert stage(plan, "notebooks of the run").what == "3 notebooks"
    assert [phase.name for phase in plan.phases][-2:] == ["notebooks", "book"]


def test_notebooks_of_tickers_do_not_wait_for_those_of_the_run() -> None:
    """On as many processes as notebooks they take as long as the longest of them."""
    plan = plan_study(Study(EMBEDDED, ["ORVN"], replace(ONE_PROMPT, prompts=()), 8, SERVER))
    speeds = load_speeds()
    seconds = {phase.name: phase.seconds for phase in plan.phases}
    longest = speeds["notebook_06_s"] + speeds["notebook_06_ticker_s"]
    assert seconds["notebooks"] == pytest.approx(longest)


def test_tickers_of_a_half_finished_store_are_asked_for_themselves(
    chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored of the tickers that a plan would sample says nothing of the others; and it counts as spent."""
    (tmp_path / "prices.toml").write_text('[[price]]\nmodel = "a-model"\nprompt = 1.0\ncompletion = 2.0\n')
    adviser = Adviser("a-model", chat_server.url, prices=tmp_path / "prices.toml")
    data, out = load_dataset(EMBEDDED), tmp_path / "run"
    start_run(out, data, ONE_PROMPT, PAIR, adviser)
    advise(data, ["ORVN"], "p0", False, adviser, out / "strategies")
    monkeypatch.setattr(opening, "SAMPLE", 1)
    study = Study(EMBEDDED, PAIR, ONE_PROMPT, 2, replace(adviser, budget_usd=1.0), out)
    alone = plan_study(Study(EMBEDDED, ["KSTV"], ONE_PROMPT, 2, adviser))
    both = plan_study(study)
    assert both.calls == alone.calls == 26
    assert plan_study(replace(study, out=None)).calls == 52
    assert both.spent_usd == pytest.approx(ledger(out / "strategies", load_prices(adviser.prices))["total_usd"].sum())
    assert notes(both, "The budget of 1.00 USD holds")


@pytest.mark.parametrize("untold", PAIR)
def test_an_audit_is_planned_of_a_ticker_that_is_not_told_yet(
    untold: str, smoke_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(smoke_run, tmp_path / "run")
    (out / "notebooks" / untold / "05_guided_ddqn.ipynb").unlink()
    asked = []

    def audit_task(_: object, ticker: str, *__: object) -> None:
        asked.append(ticker)

    monkeypatch.setattr(opening, "audit_task", audit_task)
    plan = plan_study(Study(EMBEDDED, PAIR, load_profile("smoke"), 2, out=out))
    assert asked == [untold]
    assert stage(plan, "notebooks of tickers").what == "4 notebooks"


class InBatches:
    """A local model other than Nano: four replies at once, each told to have taken as long as its batch."""

    identity: Mapping[str, str] = {"model": "mine", "weights": "0"}

    def __init__(self) -> None:
        self.seconds = 8.0

    def __call__(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        return next(reply for _, reply in self.many([Request(tuple(messages), sampling)]))

    def many(self, requests: Iterable[Request]) -> Iterator[tuple[int, Reply]]:
        for index, request in enumerate(requests):
            self.seconds += 1 / 64 if index % 4 == 0 else 0.0
            parsed = stand_in(request.sampling.schema or {})
            yield index, Reply("{}", parsed, usage=Usage(10, 10), model="mine", seconds=self.seconds)


def test_a_local_models_batches_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Adviser, "chat", lambda _: InBatches())
    adviser = Adviser(str(tmp_path))
    profile = replace(ONE_PROMPT, prompts=("p0", "p1"))
    fresh = plan_study(Study(EMBEDDED, PAIR, profile, 2, adviser))
    assert notes(fresh, "not in the hours, of: p0 1, p1 1.")
    assert stage(fresh, "strategies p0").cpu_seconds == 0
    data, out = load_dataset(EMBEDDED), tmp_path / "run"
    start_run(out, data, profile, PAIR, adviser)
    advise(data, ["ORVN"], "p0", False, adviser, out / "strategies")
    took = sum({paid.seconds for paid in open_store(out / "strategies").paid})
    assert 56 < took < 57  # seven batches
    left = plan_study(Study(EMBEDDED, PAIR, profile, 2, adviser, out))
    assert stage(left, "strategies p0").calls == 26
    assert stage(left, "strategies p0").cpu_seconds == pytest.approx(took)
    assert notes(left, "not in the hours, of: p1 1.")


def test_a_budget_is_judged_by_what_it_has_to_hold(tmp_path: Path) -> None:
    setting = opening.opened(Study(EMBEDDED, ["ORVN"], ONE_PROMPT, 2, replace(PAPERS, budget_usd=5.0)), load_speeds())
    plan = plans_of(setting, (0,))[0]
    wanted = order_of(load_dataset(EMBEDDED), ["ORVN"], "p0", False, PAPERS)
    costs = cost_of(wanted, Replay(tmp_path, PAPERS.chat()), load_prices())
    assert plan.most_usd == pytest.approx(costs["most_usd"].sum())
    assert plan.usd is not None
    assert plan.most_usd is not None
    for budget, told in (
        (plan.most_usd, "holds: "),
        ((plan.usd + plan.most_usd) / 2, "will probably hold"),
        (plan.usd / 2, "does not hold"),
    ):
        study = replace(setting.study, adviser=replace(PAPERS, budget_usd=budget))
        assert notes(plans_of(replace(setting, study=study), (0,))[0], told), told


def test_the_command_takes_a_budget(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text('seeds = 1\narms = ["unguided"]\nprompts = ["p0"]\n')
    words = ["plan", "--dataset", str(EMBEDDED), "--tickers", "ORVN", "--profile", str(tmp_path / "small.toml")]
    shown = CliRunner().invoke(app, [*words, "--model", "gpt-4o-mini", "--budget-usd", "5"])
    assert shown.exit_code == 0, shown.output
    assert "The budget of 5.00 USD holds" in shown.output
    told = json.loads(CliRunner().invoke(app, [*words, "--model", "nobodys", "--budget-usd", "5", "--json"]).output)
    assert (told["budget_usd"], told["spent_usd"], told["totals"]["most_usd"]) == (5.0, None, None)
    assert any("cannot be kept" in note for note in told["notes"])
    refused = CliRunner().invoke(app, [*words, "--model", "gpt-4o-mini", "--budget-usd", "-1"])
    assert (refused.exit_code, "a budget of -1" in refused.stderr) == (2, True)


def test_a_gpu_is_told_of_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrl_lib.experiments.planning.notes.has_gpu", lambda: True)
    study = Study(EMBEDDED, ["ORVN"], replace(ONE_PROMPT, prompts=()), 2, SERVER)
    assert notes(plan_study(study), "This machine has a GPU")
    on_gpu = plan_study(replace(study, gpu=True))
    assert not notes(on_gpu, "This machine has a GPU")
    assert notes(on_gpu, "another is asked for: hidden 16 instead of 512.")
    published = replace(study.profile, tdqn=TdqnSettings(episodes=1))
    assert not notes(plan_study(replace(study, gpu=True, profile=published)), "another is asked for")
    assert not notes(plan_study(replace(study, profile=replace(published, arms=("flag_trader",)))), "has a GPU")


def test_the_book_tells_the_finished_folder_from_what_stands_meanwhile() -> None:
    plan = plan_study(Study(EMBEDDED, ["ORVN"], replace(ONE_PROMPT, prompts=()), 2, SERVER))
    plan = replace(plan, stages=(Stage("one", "", bytes=2e9),), phases=(replace(plan.phases[1], checkpoints=1e9),))
    head, _, row = sizes_table([plan]).splitlines()
    cells = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (head, row)), strict=True))
    assert (cells["disk"], cells["at most meanwhile"]) == ("2.0 GB", "3.0 GB")


def test_the_book_tells_how_far_plans_were_off(tmp_path: Path) -> None:
    runs = {
        name: {
            "tickers": 1,
            "dataset": "a market",
            "profile": "quick",
            "in_sample": inside,
            "processes": 2,
            "commit": "0123456789",
            "figures": {
                "TDQN seconds": {"planned": planned, "taken": 100.0, "off": planned / 100 - 1},
                "TDQN steps": {"planned": 1000, "taken": 1000.0, "off": 0.0},
            },
            "note": "a note",
        }
        for name, inside, planned in (("here", True, 90.0), ("there", False, 40.0))
    }
    (tmp_path / "plan.json").write_text(json.dumps(runs))
    page = accuracy_page(tmp_path / "plan.json")
    assert (
        "**here**: 1 ticker of a market, profile quick, 2 processes; planned at 0123456. How it was made: a note."
        in page
    )
    assert "| TDQN seconds | 90 | 100 | -10.0% | yes |" in page
    assert "| TDQN seconds | 40 | 100 | -60.0% | no |" in page
    assert page.count("| TDQN steps | 1,000 | 1,000 | +0.0% |  |") == 2
    assert "(*in sample*) were off by -10.0% to -10.0%" in page
    assert "those of other runs were off by -60.0% to -60.0%" in page
    assert accuracy_page(None) == ABSENT


def test_the_comparisons_that_are_kept_are_in_the_book() -> None:
    kept = json.loads((ROOT / "benchmarks" / "plan.json").read_text("utf-8"))
    page = accuracy_page(comparisons_file())
    assert all(f"**{name}**: " in page for name in kept)
    assert {name for name, run in kept.items() if run["in_sample"]} == {
        name for name, run in kept.items() if load_speeds().recorded_on(run["dataset"], run["profile"])
    }
    assert "{include} _generated/plan_accuracy.md" in (ROOT / "book" / "plan.md").read_text("utf-8")
