"""What a plan says before a run, against what runs then asked, trained and wrote."""

import json
import socket
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from chat_server import ChatServer
from typer.testing import CliRunner

from llmrl_lib.book.planning import speeds_page
from llmrl_lib.cli import app
from llmrl_lib.experiments import ExperimentError, open_run, run_suite
from llmrl_lib.experiments.adviser import Adviser
from llmrl_lib.experiments.planning import Plan, Stage, Study, calibrate, load_speeds, plan_study
from llmrl_lib.experiments.planning.report import plan_record, plan_sentence, plan_table
from llmrl_lib.experiments.planning.schedule import Job, makespan
from llmrl_lib.experiments.planning.training import Rows, steps_of, training_of, weights_of
from llmrl_lib.language.store import open_store
from llmrl_lib.market.dataset import load_dataset
from llmrl_lib.settings import FlagTraderSettings, Profile, TdqnSettings, load_profile

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = ROOT / "data" / "embedded"
SIX = ("AAPL", "AMZN", "GOOGL", "META", "MSFT", "TSLA")
FLAG = FlagTraderSettings(
    steps=40, rollout=20, train_days=25, episode_days=25, evaluations=2, fields="return_week_1 rsi_14"
)
SMALL = Profile(
    "small",
    (0, 1),
    TdqnSettings(episodes=1, hidden=16),
    ("unguided", "guided_window", "flag_trader", "ppo_numbers"),
    ("p1", "p2", "p3", "p4"),
    "p0",
    FLAG,
)


def stage(plan: Plan, name: str) -> Stage:
    return next(one for one in plan.stages if one.name == name)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan, Study]:
    """A finished run of one ticker without notebooks, and what was planned before it began; its server is gone."""
    out = tmp_path_factory.mktemp("planned") / "run"
    with ChatServer() as server:
        adviser = Adviser("a-model", server.url, free=True)
        study = Study(EMBEDDED, ["ORVN"], SMALL, 1, adviser, out)
        plan = plan_study(study)
        assert server.calls == 0
        assert not out.exists()
        outcome = run_suite(EMBEDDED, ["ORVN"], SMALL, out, 1, notebooks=False, adviser=adviser)
        assert not outcome.failures, outcome.failures[0].details
    return out, plan, study


def test_calls_of_every_prompt_are_those_that_the_store_then_holds(small_run: tuple[Path, Plan, Study]) -> None:
    out, plan, _ = small_run
    asked = Counter(paid.purpose.split(" ")[0] for paid in open_store(out / "strategies").paid)
    assert asked == {"p0": 101, "p1": 26, "p2": 26, "p3": 26, "p4": 26, "analyst": 26}
    for prompt in ("p0", "p1", "p2", "p3"):
        assert stage(plan, f"strategies {prompt}").calls == asked[prompt]
    assert stage(plan, "strategies p4").calls == asked["p4"] + asked["analyst"]
    assert stage(plan, "strategies p4").what == "26 analyst + 26 p4"


def test_steps_and_decisions_are_exact(small_run: tuple[Path, Plan, Study]) -> None:
    out, plan, _ = small_run
    arms = open_run(out).arms("ORVN")
    taken = {
        name: sum(group["steps"].max() for _, group in arm.episodes.groupby("seed"))
        for name, arm in arms.items()
        if name in SMALL.arms
    }
    assert stage(plan, "TDQN arms").steps == taken["unguided"] + taken["guided_window"]
    assert stage(plan, "FLAG-Trader arms").steps == taken["flag_trader"] + taken["ppo_numbers"]


def test_networks_are_as_large_as_planned(small_run: tuple[Path, Plan, Study]) -> None:
    arms = open_run(small_run[0]).arms("ORVN")
    for name in ("unguided", "guided_window"):
        assert sum(weights_of(name, SMALL.tdqn)) == sum(value[0].size for value in arms[name].weights().values()), name


def test_arms_take_the_disk_that_was_planned_within_a_tenth(small_run: tuple[Path, Plan, Study]) -> None:
    out, plan, _ = small_run
    written = sum(file.stat().st_size for file in (out / "ORVN").rglob("*") if file.is_file())
    planned = sum(stage(plan, name).bytes for name in ("TDQN arms", "FLAG-Trader arms", "rules and advice alone"))
    assert planned == pytest.approx(written, rel=0.1)


def test_replies_take_the_disk_that_was_planned_once_their_length_is_known(
    small_run: tuple[Path, Plan, Study], tmp_path: Path
) -> None:
    """A store tells how long a model's replies are; the rest follows from requests and tokens: within a quarter."""
    out, _, study = small_run
    lines = (out / "strategies" / "replies.jsonl").read_text("utf-8").splitlines(keepends=True)
    chosen = [line for line in lines if '"purpose": "p0 1"' in line]
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "replies.jsonl").write_text("".join(chosen[:13]), "utf-8")
    (tmp_path / "run.toml").write_bytes((out / "run.toml").read_bytes())
    found = stage(plan_study(replace(study, out=tmp_path)), "strategies p0")
    assert found.calls == len(chosen) - 13
    left = sum(len(line.encode()) for line in chosen[13:])
    made = (out / "strategies" / "p0-1" / "ORVN.jsonl").stat().st_size * (1 - 13 / len(chosen))
    assert found.bytes == pytest.approx(left + made, rel=0.25)


def test_what_is_finished_is_not_counted_and_its_seconds_are_used(small_run: tuple[Path, Plan, Study]) -> None:
    out, _, study = small_run
    after = plan_study(study)
    assert after.calls == 0
    assert {one.name for one in after.stages} == {"start", "notebooks of tickers", "notebooks of the run", "book"}
    assert "TDQN as in the run's finished arms" in after.speeds
    hashed = (out / "ORVN/unguided/manifest.json").read_bytes()
    (out / "ORVN/unguided/manifest.json").unlink()
    try:
        left = plan_study(study)
    finally:
        (out / "ORVN/unguided/manifest.json").write_bytes(hashed)
    days = len(load_dataset(EMBEDDED).train_bars("ORVN"))
    assert stage(left, "TDQN arms").steps == sum(steps_of(days, SMALL.seeds, SMALL.tdqn))


def test_another_runs_folder_is_refused(small_run: tuple[Path, Plan, Study], tmp_path: Path) -> None:
    _, _, study = small_run
    with pytest.raises(ExperimentError, match=r"holds results made with tdqn\.episodes = 1, and 3 is asked"):
        plan_study(replace(study, profile=replace(SMALL, tdqn=TdqnSettings(episodes=3, hidden=16))))
    with pytest.raises(ExperimentError, match=r"chat\.model"):
        plan_study(replace(study, adviser=replace(study.adviser, model="other")))
    with pytest.raises(ValueError, match="--count"):
        plan_study(replace(study, count=9))
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ExperimentError, match="is not empty and holds no run"):
        plan_study(replace(study, out=tmp_path))


def test_nano_is_planned_as_it_then_was(smoke_run: Path) -> None:
    """Calls exactly; its own tokenizer counts a prompt without memory exactly; what it wrote takes the planned room."""
    made = plan_study(Study(EMBEDDED, ["ORVN", "KSTV"], load_profile("smoke"), 2))
    paid = [one for one in open_store(smoke_run / "strategies").paid if not one.failure]
    for prompt, calls in (("p0", 52), ("p1", 202)):
        own = [one.usage for one in paid if one.purpose == f"{prompt} 1"]
        found = stage(made, f"strategies {prompt}")
        assert found.calls == len(own) == calls
        assert found.prompt_tokens == sum(usage.prompt for usage in own)
        assert found.completion_tokens == pytest.approx(sum(usage.completion for usage in own), rel=0.15)
    planned = sum(stage(made, f"strategies {prompt}").bytes for prompt in ("p0", "p1"))
    written = sum(file.stat().st_size for file in (smoke_run / "strategies").rglob("*.jsonl"))
    assert planned == pytest.approx(written, rel=0.15)
    audits = len(open_store(smoke_run / "audit").paid)
    assert stage(made, "notebooks of tickers").calls == pytest.approx(audits, rel=0.1)


def test_nothing_is_asked_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a plan opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    plan = plan_study(Study(EMBEDDED, ["ORVN"], load_profile("quick"), 2, Adviser("gpt-4o-mini")))
    tokens = [(one.prompt_tokens, one.completion_tokens) for one in plan.stages]
    prompt, reply = (sum(pair[side] for pair in tokens) for side in (0, 1))
    assert plan.usd == pytest.approx((0.15 * prompt + 0.60 * reply) / 1e6)
    assert any("as copied 2025-06-03" in note for note in plan.notes)
    assert any("not in the hours" in note for note in plan.notes)


def test_an_unknown_price_leaves_calls_and_tokens() -> None:
    plan = plan_study(Study(EMBEDDED, ["ORVN"], load_profile("quick"), 2, Adviser("nobodys", "http://127.0.0.1:9/v1")))
    assert (plan.usd, plan.calls) == (None, 231)
    assert "dollars unknown: --prices" in plan_sentence(plan)
    assert plan_record(plan)["totals"]["usd"] is None
    assert set(plan_table(plan)["USD"]) == {"", "unknown"}


def test_more_tickers_are_counted_like_those_there_are() -> None:
    adviser = Adviser("a", "http://127.0.0.1:9/v1")
    each = [plan_study(Study(EMBEDDED, [name], SMALL, 2, adviser)) for name in ("ORVN", "KSTV")]
    five = plan_study(Study(EMBEDDED, ["ORVN", "KSTV"], SMALL, 2, adviser, count=5))
    assert five.tickers == 5
    assert five.calls == 3 * each[0].calls + 2 * each[1].calls
    for name in ("TDQN arms", "FLAG-Trader arms"):
        assert stage(five, name).steps == 3 * stage(each[0], name).steps + 2 * stage(each[1], name).steps
        assert stage(five, name).bytes == pytest.approx(3 * stage(each[0], name).bytes + 2 * stage(each[1], name).bytes)


def test_learned_arms_on_a_gpu_are_one_group() -> None:
    adviser, speeds = Adviser("a", "http://127.0.0.1:9/v1"), load_speeds()
    paper = replace(load_profile("paper"), prompts=(), guide="p0")
    plan = plan_study(Study(EMBEDDED, ["ORVN"], paper, 2, adviser, gpu=True, count=500))
    group = stage(plan, "TDQN arms on a GPU")
    assert plan.gpu_seconds == pytest.approx(group.steps / speeds["gpu_steps_per_s"])
    assert any("more than it has: give at most" in note for note in plan.notes)
    few = plan_study(Study(EMBEDDED, ["ORVN"], SMALL, 2, adviser, gpu=True))
    longest = max(steps_of(len(load_dataset(EMBEDDED).train_bars("ORVN")), SMALL.seeds, SMALL.tdqn))
    assert few.gpu_seconds == pytest.approx(1e-3 * speeds["gpu_lock_step_ms"] * longest)


def test_steps_are_those_of_the_recorded_runs(shared: Path) -> None:
    """240 and 288 runs of 50 episodes on six real stocks took 8,608,848 and 10,254,480 steps (benchmarks/gpu_runs.json)."""
    recorded = json.loads((ROOT / "benchmarks" / "gpu_runs.json").read_text("utf-8"))["whole_runs"]
    data, seeds, settings = load_dataset(shared / "market"), tuple(range(12)), TdqnSettings()
    steps = {name: sum(steps_of(len(data.train_bars(name)), seeds, settings)) for name in SIX}
    assert sum(steps.values()) + 7 * (steps["AAPL"] + steps["TSLA"]) == recorded[0]["run_steps"]
    assert 4 * sum(steps.values()) == recorded[1]["run_steps"]


def test_recorded_step_times_are_those_of_the_benchmark() -> None:
    """The formula in weights and layers, and `train_speed.json`, which measured the published network alone: within 5%."""
    known = json.loads((ROOT / "benchmarks" / "train_speed.json").read_text("utf-8"))
    profile = Profile("one", (0,), TdqnSettings())
    found = training_of("unguided", Rows(1509, 504), profile, load_speeds())
    each = 1e3 * (found.seconds - found.overhead) / found.steps
    assert each == pytest.approx(
        known["milliseconds_per_run_step_and_core"]["float32, 1 run, 1 thread"]["median"], rel=0.05
    )


@pytest.mark.parametrize(
    ("jobs", "slots", "cores", "seconds"),
    [
        ([], 2, 2, 0.0),
        ([Job(6.0)], 4, 4, 6.0),
        ([Job(1.0)] * 4, 2, 2, 2.0),
        ([Job(1.0), Job(1.0), Job(5.0)], 2, 2, 6.0),  # the long one comes last, and waits for a slot
        ([Job(5.0), Job(1.0), Job(1.0)], 2, 2, 5.0),
        ([Job(6.0, 3)], 1, 3, 2.0),
        ([Job(6.0, 3)], 1, 1, 6.0),  # three processes on one processor
        (
            [Job(4.0), Job(4.0, 2)],
            2,
            2,
            5.0,
        ),  # three processes on two: after 3 s one job is over, and half of the other
    ],
)
def test_makespans_in_closed_form(jobs: list[Job], slots: int, cores: int, seconds: float) -> None:
    assert makespan(jobs, slots, cores) == pytest.approx(seconds)


def test_a_calibration_measures_this_machine() -> None:
    data, speeds = load_dataset(EMBEDDED), load_speeds()
    found = calibrate(data.train_bars("ORVN"), data.test_bars("ORVN"), TdqnSettings(), speeds)
    assert found.recorded == pytest.approx(3.25, rel=0.15)  # the fastest round of benchmarks/train_speed.json
    assert 0.05 < found.factor < 50
    with pytest.raises(ValueError, match="too few to calibrate"):
        calibrate(data.train_bars("ORVN").iloc[:31], data.test_bars("ORVN"), TdqnSettings(), speeds)


def test_every_figure_says_where_it_is_from() -> None:
    for figure in load_speeds().figures.values():
        assert figure.value > 0, figure.name
        assert all((figure.what, figure.machine, figure.date, figure.command)), figure.name


def test_the_book_shows_the_recorded_speeds_and_includes_the_tables() -> None:
    page, shown = (ROOT / "book" / "plan.md").read_text("utf-8"), speeds_page()
    assert "{include} _generated/plan.md" in page
    assert "{include} _generated/speeds.md" in page
    assert all(f"| `{name}` |" in shown for name in load_speeds().figures)


@pytest.mark.parametrize(
    "words",
    [
        ("--dataset", "nowhere"),
        ("--dataset", EMBEDDED, "--tickers", "NOPE"),
        ("--dataset", EMBEDDED, "--tickers", ""),
        ("--dataset", EMBEDDED, "--profile", "nope"),
        ("--dataset", EMBEDDED, "--profile", "no_guide.toml"),
        ("--dataset", EMBEDDED, "--out", "."),
    ],
)
def test_bad_input_is_told_as_a_run_tells_it(
    words: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no_guide.toml").write_text('arms = ["guided"]')
    given = [str(word) for word in words]
    out = [] if "--out" in given else ["--out", "made"]
    plan, run = (CliRunner().invoke(app, [verb, *given, *out]) for verb in ("plan", "run"))
    assert (plan.exit_code, run.exit_code) == (2, 2), plan.output
    assert plan.stderr == run.stderr
    assert plan.stderr.startswith("llmrl: ")


def test_the_command_prints_a_table_or_json() -> None:
    words = ["plan", "--dataset", str(EMBEDDED), "--tickers", "ORVN", "--model", "gpt-4o-mini", "--jobs", "2"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    assert "strategies p1" in shown.output
    assert "Seconds: recorded on AMD EPYC" in shown.output
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert told["totals"]["calls"] == sum(one["calls"] for one in told["stages"]) == 231
    assert told["totals"]["wall_seconds"] == pytest.approx(sum(one["seconds"] for one in told["phases"]), abs=0.1)
