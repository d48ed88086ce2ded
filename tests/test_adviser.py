"""A run with a language model in it: whose strategies it hears, what a failing model costs, what is asked twice."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from chat_server import ChatServer
from typer.testing import CliRunner

from llmrl_lib.cli import app
from llmrl_lib.experiments import ExperimentError, open_run, run_suite, suite
from llmrl_lib.experiments.adviser import Adviser
from llmrl_lib.language.chat import BudgetError, KeyRejectedError, UnknownModelError
from llmrl_lib.market.dataset import load_dataset
from llmrl_lib.settings import Profile, TdqnSettings

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = ROOT / "data" / "embedded"
TINY = Profile("tiny", (0,), TdqnSettings(episodes=1, hidden=8), ("unguided", "guided"), ("p0",), "p1")
ARMS = ("unguided", "guided", "llm_only", "buy_and_hold")


def tiny_run(server: ChatServer, out: Path, profile: Profile = TINY, **more):
    adviser = Adviser("a-model", server.url, **more)
    return run_suite(EMBEDDED, ["ORVN"], profile, out, jobs=1, arms=ARMS, notebooks=False, adviser=adviser)


def test_a_run_says_who_advised_it_and_what_was_said(smoke_run: Path) -> None:
    run = open_run(smoke_run)
    assert (run.guide, run.prompts) == ("p1", ("p0", "p1"))
    assert "weights" in run.chat
    data = load_dataset(EMBEDDED)
    guide, other = run.strategies("ORVN", "p1"), run.strategies("ORVN", "p0")
    assert guide[0].date <= data.train_bars("ORVN").index[0]
    assert guide[-1].date > data.test_bars("ORVN").index[-25]
    assert other[0].date >= data.split
    assert set(run.arms("ORVN")) >= {"unguided", "guided", "placebo_permuted", "llm_only"}
    with pytest.raises(ExperimentError, match="no strategies of ORVN by prompt p4"):
        run.strategies("ORVN", "p4")


def test_guided_and_unguided_agents_are_pairs(smoke_run: Path) -> None:
    """The same walk through the training years, seed by seed, whatever is heard on the way."""
    arms = open_run(smoke_run).arms("ORVN")
    steps = [arms[name].episodes["steps"].tolist() for name in ("unguided", "guided", "placebo_permuted")]
    assert steps[0] == steps[1] == steps[2]
    assert [arms[name].weights()["fc1.weight"].shape[-1] for name in ("unguided", "guided")] == [117, 118]


def test_a_model_behind_a_server_advises_a_run_and_is_asked_once(chat_server: ChatServer, tmp_path: Path) -> None:
    outcome = tiny_run(chat_server, tmp_path / "run")
    assert (outcome.finished, outcome.failures) == (("ORVN",), ())
    calls = chat_server.calls
    assert calls > 100
    again = tiny_run(chat_server, tmp_path / "run")
    assert (again.finished, chat_server.calls) == (("ORVN",), calls)
    assert open_run(tmp_path / "run").chat["model"] == "a-model"


def test_another_model_needs_another_folder(chat_server: ChatServer, tmp_path: Path) -> None:
    tiny_run(chat_server, tmp_path / "run")
    with pytest.raises(ExperimentError, match=r"chat\.model"):
        run_suite(EMBEDDED, ["ORVN"], TINY, tmp_path / "run", 1, ARMS, None, False, Adviser("other", chat_server.url))


def test_a_failing_model_spares_what_needs_no_advice_and_the_run_goes_on(
    chat_server: ChatServer, tmp_path: Path
) -> None:
    chat_server.faults = {"quota": 1.0}
    outcome = tiny_run(chat_server, tmp_path / "run", concurrency=1)
    assert outcome.finished == ()
    assert {failure.ticker for failure in outcome.failures} == {"ORVN"}
    assert {failure.what for failure in outcome.failures} == {"strategies p0", "strategies p1"}
    assert all(failure.why.startswith("the account at") for failure in outcome.failures), outcome.failures[0].why
    run = open_run(tmp_path / "run")
    assert "unguided" in run.arms("ORVN")
    assert "guided" not in run.arms("ORVN")
    made = (tmp_path / "run/ORVN/unguided/manifest.json").stat().st_mtime_ns
    chat_server.faults = {}
    again = tiny_run(chat_server, tmp_path / "run", concurrency=1)
    assert (again.finished, again.failures) == (("ORVN",), ())
    assert (tmp_path / "run/ORVN/unguided/manifest.json").stat().st_mtime_ns == made


def test_a_budget_stops_the_asking_and_keeps_what_was_answered(chat_server: ChatServer, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nmodel = "a-model"\nprompt = 1000.0\ncompletion = 1000.0\n')
    outcome = tiny_run(chat_server, tmp_path / "run", prices=prices, budget_usd=0.01)
    assert outcome.finished == ()
    assert all("raise --budget-usd" in failure.why for failure in outcome.failures)
    assert "unguided" in open_run(tmp_path / "run").arms("ORVN")


def test_a_budget_of_an_unknown_price_is_refused_before_any_work(chat_server: ChatServer, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="no price is known for 'a-model'"):
        tiny_run(chat_server, tmp_path / "run", budget_usd=1.0)
    with pytest.raises(ValueError, match="a budget of -1"):
        tiny_run(chat_server, tmp_path / "run", budget_usd=-1.0, free=True)
    assert not (tmp_path / "run").exists()


def test_a_missing_key_is_told_before_any_work_unless_nothing_is_to_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    for profile in (TINY, replace(TINY, guide="", arms=("unguided",))):
        with pytest.raises(KeyRejectedError, match="OPENAI_API_KEY is not set"):
            run_suite(EMBEDDED, ["ORVN"], profile, tmp_path / "run", 1, ("buy_and_hold",), adviser=Adviser("no-such"))
    assert not (tmp_path / "run").exists()
    plain = replace(TINY, guide="", arms=("unguided",), prompts=())
    arms, adviser = ("buy_and_hold",), Adviser("no-such")
    outcome = run_suite(EMBEDDED, ["ORVN"], plain, tmp_path / "plain", 1, arms, notebooks=False, adviser=adviser)
    assert outcome.finished == ("ORVN",)
    asked = []
    monkeypatch.setattr(Adviser, "check", lambda _, asks: asked.append(asks))
    for made in ("", "p0", "p1"):
        if made:
            file = tmp_path / "strategies" / f"{made}-1" / "ORVN.jsonl"
            file.parent.mkdir(parents=True)
            file.write_text("")
        suite._check_adviser(Adviser("no-such"), TINY, ["ORVN"], tmp_path / "strategies")
    assert asked == [True, True, False]


@pytest.mark.parametrize("made", [False, True])
def test_a_mistyped_folder_is_no_name_of_a_model(made: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    name = str(tmp_path / "mine")
    if made:
        (tmp_path / "mine").mkdir()
    said = "holds no model: it has no config.json" if made else "looks like a folder, and there is no such folder"
    with pytest.raises(UnknownModelError, match=said):
        Adviser(name).chat()
    with pytest.raises(UnknownModelError, match=said):
        run_suite(EMBEDDED, ["ORVN"], TINY, tmp_path / "run", 1, ARMS, adviser=Adviser(name))
    assert not (tmp_path / "run").exists()
    served = Adviser(name, "http://127.0.0.1:9/v1")  # vLLM calls a model by its folder
    assert (served.chat().identity["model"], served.is_local) == (name, False)


@pytest.mark.parametrize("command", ["strategies", "run", "plan", "refine"])
def test_commands_refuse_a_mistyped_folder_and_leave_nothing(command: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    words = [command, "--dataset", str(EMBEDDED), "--model", str(tmp_path / "mine"), "--out", str(out)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert "looks like a folder, and there is no such folder" in line
    assert "Error" not in line
    assert not out.parent.exists()


def test_an_arm_without_a_guide_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(
        ExperimentError, match='the arm guided hears a strategist, and profile plain names none; add guide = "p4"'
    ):
        run_suite(EMBEDDED, ["ORVN"], Profile("plain", (0,), TINY.tdqn), tmp_path / "run", 1, ("guided",))
    with pytest.raises(ExperimentError, match="there is no arm 'magic'"):
        run_suite(EMBEDDED, ["ORVN"], TINY, tmp_path / "run", 1, ("magic",))
    assert not (tmp_path / "run").exists()


def test_on_a_gpu_all_learned_arms_train_together(chat_server: ChatServer, tmp_path: Path, monkeypatch) -> None:
    """The same files as arm by arm (here on a processor), and a failure of the group is one of the tickers left without."""
    tiny_run(chat_server, tmp_path / "one")
    monkeypatch.setattr(suite, "has_gpu", lambda: True)
    outcome = tiny_run(chat_server, tmp_path / "group")
    assert (outcome.finished, outcome.failures) == (("ORVN",), ())
    for arm in ("unguided", "guided"):
        for name in ("metrics.csv", "trajectories.csv.gz", "weights.safetensors"):
            one, group = (tmp_path / run / "ORVN" / arm / name for run in ("one", "group"))
            assert one.read_bytes() == group.read_bytes()
    assert not list((tmp_path / "group").glob("checkpoints*"))

    def fails(*_, **__) -> None:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(suite, "run_arms", fails)
    outcome = tiny_run(chat_server, tmp_path / "full")
    assert outcome.finished == ()
    assert [(one.ticker, one.what) for one in outcome.failures] == [("ORVN", "learned arms")]


def test_a_profile_names_arms_prompts_and_guide(tmp_path: Path) -> None:
    from llmrl_lib.settings import SettingsError, load_profile

    file = tmp_path / "mine.toml"
    file.write_text('arms = ["unguided", "oracle_070"]\nprompts = ["p0"]\nguide = "p2"\n')
    found = load_profile(str(file))
    assert (found.arms, found.prompts, found.guide) == (("unguided", "oracle_070"), ("p0",), "p2")
    for text, what in (
        ('arms = "unguided"', "arms is 'unguided'; it is a list"),
        ("guide = 4", "guide is 4; it is the name"),
    ):
        file.write_text(text)
        with pytest.raises(SettingsError, match=what):
            load_profile(str(file))


def test_deleting_later_rows_changes_no_advice_before_them(smoke_run: Path) -> None:
    """What a guided agent hears on a day was fixed by its strategies, each of a date before that day."""
    from llmrl_lib.experiments.guided import guidance_of

    data, made = load_dataset(EMBEDDED), open_run(smoke_run).strategies("ORVN", "p1")
    closes = data.bars("ORVN").loc[data.train_start : data.end, "close"].iloc[:-1]
    whole = guidance_of("guided", closes, data.split, made, 0)
    cut = pd.Timestamp("2016-05-03")
    part = guidance_of("guided", closes[closes.index <= cut], data.split, [one for one in made if one.date < cut], 0)
    pd.testing.assert_series_equal(whole[whole.index <= cut], part)
