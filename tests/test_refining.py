"""A refinement from end to end: its files, resuming, budgets, people's edits, what it may look at, and what goes wrong."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruled import Named, ruled, usual_of

import llmrl_lib as ll
from llmrl_lib.evidence.audit.trials import count_trials, record_trial
from llmrl_lib.evidence.sharpe import expected_best, probabilistic_sharpe
from llmrl_lib.experiments.auditing import _trials
from llmrl_lib.experiments.refining import carry_out, cost_of
from llmrl_lib.experiments.refining_plan import Refinement, plan_refinement
from llmrl_lib.experiments.refining_verdict import verdict_of, verdict_sentences, worth_using
from llmrl_lib.experiments.runs import Run
from llmrl_lib.language.chat import BudgetError, ChatError, OffSchemaError, ServerError, Usage
from llmrl_lib.language.prices import load_prices
from llmrl_lib.language.prompts import PromptError, load_prompt
from llmrl_lib.language.replay import Replay
from llmrl_lib.market.features import truncated
from llmrl_lib.strategy.refinement.loop import Rules, Tried, _ended
from llmrl_lib.strategy.refinement.windows import divide

ROOT = Path(__file__).resolve().parents[1]
TINY = Refinement(repetitions=2, rounds=2, exemplars=2, every=60, enough=-99.0)
TICKERS = {"tickers": ["ORVN", "KSTV"], "unseen": "QLRY"}


@pytest.fixture(scope="module")
def market():
    return ll.load_dataset(ROOT / "data" / "embedded")


@pytest.fixture(scope="module")
def usual(market):
    return usual_of(market, ["ORVN"])


@pytest.fixture(scope="module")
def made(market, usual, tmp_path_factory):
    """A finished refinement, and all that was asked for it."""
    chat = ruled(usual)
    out = tmp_path_factory.mktemp("refined") / "made"
    return ll.refine(market, out, chat, settings=TINY, **TICKERS), chat.requests


def asked(requests) -> set[str]:
    return {repr(request.messages) for request in requests}


def files(folder: Path) -> dict[str, str]:
    """All that a refinement leaves, the store and its times apart."""
    names = [one for one in folder.rglob("*") if one.is_file() and one.suffix in (".toml", ".json", ".csv", ".diff")]
    return {str(one.relative_to(folder)): one.read_text("utf-8") for one in names}


class TestFiles:
    def test_every_candidate_is_a_prompt_with_parent_diff_scores_and_cost(self, made):
        refined, _ = made
        table = refined.candidates.set_index("name")
        assert {"1.1", "2.1", "s1.1"} <= set(table.index)
        for name, one in table.iterrows():
            prompt = load_prompt(refined.path / "candidates" / f"{name}.toml")
            assert list(prompt.features) == one["fields"]
            assert prompt.parent == one["parent"]
            assert one["regret"] == pytest.approx(one["best_before"] - one["sharpe"])
            assert one["calls"] >= 10
            assert any(line.startswith(("+field", "-field", "+instruction", "-instruction")) for line in one["diff"])
            assert not one["looked_at_test_years"]
        assert table.loc["1.1", "parent"] == "p1 1"
        second = next(name for name in table.index if name.endswith(".2"))
        assert table.loc[second, "parent"] == f"p1 {'' if second[0] == 's' else 'r'}{second[:-1]}1"
        assert table.loc[f"{second[:-1]}1", "criticism"]["text"]

    def test_sharpe_ratios_are_those_of_following_the_candidate(self, made, market, usual):
        refined, _ = made
        one = refined.candidates.set_index("name").loc["1.1"]
        windows = refined.repetitions.query("repetition == 1")
        paths = []
        for window in windows.itertuples():
            bars = market.bars(window.ticker).loc[window.start : window.last]
            ask = ll.Ask(every=60, top_logprobs=None)
            prompt = refined.path / "candidates" / "1.1.toml"
            own = ll.make_strategies(market, window.ticker, prompt, ruled(usual), window.start, window.last, ask=ask)
            paths.append(ll.backtest(bars, own, 1, every=60)["daily_return"])
        mean = pd.concat(paths, axis=1).mean(axis=1)
        assert one["sharpe"] == pytest.approx(float(ll.metrics.sharpe_ratio(mean.to_numpy())))

    def test_fields_and_instructions_and_the_winner_can_be_read(self, made):
        refined, _ = made
        assert len(refined.fields) > 80
        assert refined.fields["survives"].sum() == min(
            -(-len(refined.fields) // 4), (refined.fields["rated"] > 0).sum()
        )
        assert 1 <= len(refined.instructions) <= 10
        assert refined.winner is not None
        assert refined.winner.name == "p1"
        for name in ("p2", "p3", "p4"):
            assert load_prompt(refined.path / f"{name}.toml").version == refined.winner.version

    def test_the_winner_is_used_like_any_prompt(self, made, market, usual):
        refined, _ = made
        found = ll.make_strategies(
            market, "ORVN", refined.path / "winner.toml", ruled(usual), "2018-01-02", "2018-03-01"
        )
        assert {one.prompt for one in found} == {"p1"}

    def test_the_judgement_has_every_arm_in_every_place_with_intervals(self, made):
        refined, _ = made
        places = refined.verdict["places"]
        assert set(places) == {"held-out years", "unseen ticker"}
        for place in places.values():
            assert {"winner", "baseline", "holding"} <= set(place["arms"])
            for one in place["arms"].values():
                assert one["low"] < one["estimate"] < one["high"]
        assert any(
            "deflated" in sentence or "holding does" in sentence for sentence in verdict_sentences(refined.verdict)
        )

    def test_every_candidate_is_counted_as_a_trial_but_not_the_random_critics(self, made):
        refined, _ = made
        own = (~refined.candidates["control"].astype(bool)).sum()
        assert count_trials(refined.path) == own == refined.verdict["sampled"]["candidates"]

    def test_no_request_tells_ticker_or_date(self, made):
        _, requests = made
        told = "".join(message.content for request in requests for message in request.messages)
        assert "ORVN" not in told
        assert not any(f"{year}-" in told for year in range(2012, 2020))


class TestHonesty:
    def test_deleting_the_test_years_changes_no_request(self, made, market, usual, tmp_path):
        _, requests = made
        before = market.bars("ORVN").index[market.bars("ORVN").index < market.split][-1]
        chat = ruled(usual)
        ll.refine(truncated(market, before), tmp_path / "cut", chat, settings=TINY, **TICKERS)
        assert asked(chat.requests) == asked(requests)

    def test_changing_the_held_out_years_changes_nothing_before_the_judgement(self, made, market, usual):
        refined, _ = made
        day = pd.Timestamp(refined.about["first_held_out"])
        chat = ruled(usual)
        plan = plan_refinement(market, chat, settings=TINY, **TICKERS)
        days = market.bars("ORVN").index
        cut = truncated(market, days[days < day][-1])
        other = plan_refinement(market, ruled(usual), settings=TINY, **TICKERS)
        object.__setattr__(other, "dataset", cut)
        assert other.months().contrasts == plan.months().contrasts

    def test_results_that_saw_the_test_years_are_marked_everywhere(self, market, usual, tmp_path):
        settings = Refinement(repetitions=1, rounds=1, exemplars=2, every=120, test_years=True, control=False)
        found = ll.refine(market, tmp_path, ruled(usual), settings=settings, tickers=["ORVN"], unseen="")
        assert found.about["looks_at_test_years"]
        assert found.winner.version.endswith(".tests")
        assert "THE TEST YEARS WERE LOOKED AT" in (tmp_path / "winner.toml").read_text("utf-8")
        assert "THE TEST YEARS WERE LOOKED AT" in (tmp_path / "p4.toml").read_text("utf-8")
        assert found.candidates["looked_at_test_years"].all()
        assert verdict_sentences(found.verdict)[0].startswith("The test years were looked at")
        with pytest.raises(ll.ExperimentError, match=r"settings\.test_years|looks_at_test_years|first_held_out"):
            ll.refine(market, tmp_path, ruled(usual), settings=TINY, tickers=["ORVN"], unseen="")

    def test_the_deflated_ratio_counts_every_candidate(self, market):
        source = np.random.default_rng(5)
        days = pd.date_range("2013-01-01", periods=500)
        holding = pd.Series(source.normal(0.0, 0.01, 500), days)
        tried = [_tried(number, holding + source.normal(0.0002, 0.01, 500), holding) for number in range(1, 7)]
        years = divide(market, ["ORVN"])
        best = max(tried, key=lambda one: one.edge)
        figures = verdict_of(best, tried, {}, years)["sampled"]
        excess = [(one.returns - one.holding).to_numpy() for one in tried]
        ratios = [float(ll.metrics.sharpe_ratio(one)) for one in excess]
        luck = expected_best(6, float(np.std(ratios, ddof=1)))
        assert figures["candidates"] == 6
        own = (best.returns - holding).to_numpy()
        assert figures["deflated"] == pytest.approx(probabilistic_sharpe(own, luck))
        assert verdict_of(best, tried, {}, years, counted=60)["sampled"]["deflated"] < figures["deflated"]

    def test_candidates_that_are_all_worse_are_told(self, market):
        days = pd.date_range("2013-01-01", periods=300)
        holding = pd.Series(np.random.default_rng(1).normal(0.0, 0.01, 300), days)
        one = _tried(1, holding, holding, start=99.0)
        told = verdict_sentences(verdict_of(one, [one], {}, divide(market, ["ORVN"])))
        assert told[0].startswith("None of 1 candidates did better")
        assert "no reason to prefer it" in told[0]
        assert "no skill to look for" in told[1]
        assert told[2].startswith("Nothing was held out")

    @pytest.mark.parametrize(("push", "alike"), [(0.0, True), (0.001, False)])
    def test_a_repetition_that_ends_without_beating_anything_is_no_success(self, market, push, alike):
        days = pd.date_range("2013-01-01", periods=300)
        holding = pd.Series(np.random.default_rng(1).normal(0.0, 0.01, 300), days)
        one = _tried(1, holding + push * np.sign(np.arange(300) % 2 - 0.5), holding)
        one = replace(one, start=one.sharpe, best=one.sharpe)
        ended = _ended(one, 1, Rules())
        assert ended.startswith("regret is at most 0.01: it ")
        assert ("did what holding does" in ended, "as good as the start, no better" in ended) == (alike, not alike)
        assert ended.endswith("was not criticised")
        verdict = verdict_of(replace(one, ended=ended), [replace(one, ended=ended)], {}, divide(market, ["ORVN"]))
        told = " ".join(verdict_sentences(verdict))
        assert "1 of 1 repetitions ended with a candidate that equals the better of baseline and holding" in told
        assert "That is no success." in told
        assert ("1 of them does on every day what holding does" in told) is alike
        assert not worth_using(verdict)
        del verdict["level"]  # as of folders that were judged before this was told
        assert "no success" not in " ".join(verdict_sentences(verdict))

    def test_a_repetition_that_beat_its_start_or_went_to_its_end_is_not_told_of(self, market):
        days = pd.date_range("2013-01-01", periods=300)
        holding = pd.Series(np.random.default_rng(1).normal(0.0, 0.01, 300), days)
        better = _tried(1, holding + 0.001, holding)
        better = replace(better, start=better.sharpe - 1.0, best=better.sharpe - 1.0)
        assert _ended(better, 1, Rules()) == "it beats what the windows gave before"
        verdict = verdict_of(better, [better], {}, divide(market, ["ORVN"]))
        assert verdict["level"]["repetitions"] == 0
        assert worth_using(verdict)
        worse = replace(better, start=99.0, best=99.0)
        assert _ended(worse, 3, Rules()) == "that was the last round"


def _tried(number: int, returns: pd.Series, holding: pd.Series, start: float = 0.0) -> Tried:
    sharpe = float(ll.metrics.sharpe_ratio(returns.to_numpy()))
    return Tried(
        number, 1, False, load_prompt("p1"), "p1 1", "", sharpe, start, start, returns, holding, None, (),
        {"writer": Usage(1, 1)},
    )  # fmt: skip


class TestGoingOn:
    @pytest.mark.parametrize("stop", [3, 25, 60])
    def test_stopped_and_resumed_equals_unbroken(self, made, market, usual, tmp_path, stop):
        refined, _ = made
        chat = ruled(usual)
        right, count = chat.answer, 0

        def dies(request: Any) -> Any:
            nonlocal count
            count += 1
            return right(request) if count <= stop else ServerError("gone")

        chat.answer = dies
        with pytest.raises(ChatError):
            ll.refine(market, tmp_path, chat, settings=TINY, **TICKERS)
        again = ruled(usual)
        ll.refine(market, tmp_path, again, settings=TINY, **TICKERS)
        assert files(tmp_path) == files(refined.path)
        assert len(asked(again.requests)) <= len(asked(made[1])) - stop // 2
        assert (tmp_path / "replies.jsonl").is_file()

    def test_a_repeated_command_asks_nothing_and_judges_once(self, made, market, usual, tmp_path):
        refined, _ = made
        folder = shutil.copytree(refined.path, tmp_path / "copy")
        (folder / "verdict.json").write_text('{"kept": true}', "utf-8")
        chat = ruled(usual)
        found = ll.refine(market, folder, chat, settings=TINY, **TICKERS)
        assert chat.requests == []
        assert cost_of(plan_refinement(market, chat, settings=TINY, **TICKERS), folder)["calls"].sum() == 0
        assert found.verdict == {"kept": True}

    def test_another_refinement_wants_another_folder(self, made, market, usual):
        refined, _ = made
        settings = replace(TINY, rounds=3)
        with pytest.raises(ll.ExperimentError, match=r"made with settings\.rounds = 2, and 3 is asked for now"):
            ll.refine(market, refined.path, ruled(usual), settings=settings, **TICKERS)
        with pytest.raises(ll.ExperimentError, match=r"chats\.writer\.model = 'ruled', and 'other'"):
            ll.refine(market, refined.path, ruled(usual), writer=ruled(usual, "other"), settings=TINY, **TICKERS)


class TestCosts:
    def test_a_plan_is_no_less_than_what_is_asked_and_leaves_nothing(self, made, market, usual, tmp_path):
        _, requests = made
        chat = ruled(usual)
        plan = plan_refinement(market, chat, settings=TINY, **TICKERS)
        costs = cost_of(plan, tmp_path).set_index("role")
        assert chat.requests == []
        assert files(tmp_path) == {}
        for role, name in (("trainer", "ratings"), ("writer", "candidate"), ("judge", "criticism")):
            assert costs.loc[role, "calls"] >= sum(one.sampling.schema_name == name for one in requests)
        assert costs.loc["strategist", "calls"] >= sum(one.sampling.schema_name == "strategy" for one in requests)

    def test_roles_have_models_of_their_own(self, market, usual, tmp_path):
        chats = {name: ruled(usual, name) for name in ("strategist", "writer", "trainer", "judge")}
        settings = Refinement(repetitions=1, rounds=2, exemplars=2, every=120, enough=-99.0, control=False)
        main = chats.pop("strategist")
        plan = plan_refinement(market, main, settings=settings, tickers=["ORVN"], unseen="", **chats)
        assert cost_of(plan, tmp_path)["model"].tolist() == ["trainer", "writer", "judge", "strategist"]
        carry_out(plan, tmp_path)
        kinds = {name: {one.sampling.schema_name for one in chat.requests} for name, chat in chats.items()}
        assert kinds == {"writer": {"candidate"}, "trainer": {"ratings"}, "judge": kinds["judge"]}
        assert kinds["judge"] <= {"criticism"}
        assert {one.sampling.schema_name for one in main.requests} == {"strategy"}

    def test_the_embedding_is_asked_once_and_kept(self, market, usual, tmp_path):
        calls = []

        def embed(texts):
            calls.append(len(texts))
            return np.eye(len(texts))

        settings = Refinement(repetitions=1, rounds=1, exemplars=8, every=60, control=False)
        for _ in range(2):
            ll.refine(market, tmp_path, ruled(usual), settings=settings, tickers=["ORVN"], unseen="", embed=embed)
        assert len(calls) == 1

    def test_an_embedding_model_is_paid_from_the_budget_or_not_asked(self, market, usual, tmp_path):
        class Embedding:
            calls = 0

            @property
            def identity(self):
                return {"model": "vectors", "server": "here"}

            def __call__(self, texts):
                self.calls += 1
                return np.eye(len(texts))

        prices = tmp_path / "prices.toml"
        rows = [("ruled", 0.0), ("vectors", 1000.0)]
        prices.write_text(
            "".join(f'[[price]]\nmodel = "{name}"\nprompt = {usd}\ncompletion = 0.0\n' for name, usd in rows)
        )
        settings = Refinement(repetitions=1, rounds=1, exemplars=8, every=60, control=False)
        embed = Embedding()
        words = {"settings": settings, "tickers": ["ORVN"], "unseen": "", "embed": embed}
        free = load_prices(free=["ruled"])
        with pytest.raises(BudgetError, match="no price is known for the embedding model 'vectors'"):
            ll.refine(market, tmp_path / "out", ruled(usual), budget_usd=5.0, prices=free, **words)
        with pytest.raises(BudgetError, match="does not pay for the embeddings"):
            ll.refine(market, tmp_path / "out", ruled(usual), budget_usd=0.001, prices=load_prices(prices), **words)
        assert embed.calls == 0
        ll.refine(market, tmp_path / "out", ruled(usual), budget_usd=5.0, prices=load_prices(prices), **words)
        assert embed.calls == 1


class TestPeople:
    SETTINGS = Refinement(repetitions=2, rounds=1, exemplars=2, every=120, control=False, pause=True)

    def go(self, market, usual, out):
        return ll.refine(market, out, ruled(usual), settings=self.SETTINGS, tickers=["ORVN"], unseen="")

    def test_it_waits_for_a_person_and_their_edits_are_taken_and_kept(self, market, usual, tmp_path):
        found = self.go(market, usual, tmp_path)
        assert found.waiting == tmp_path / "edits" / "after-1.toml"
        assert found.verdict is None
        assert set(found.candidates["repetition"]) == {1}
        text = found.waiting.read_text("utf-8")
        changed = text.replace("instructions = [\n", 'instructions = [\n    "Mind the season.",\n', 1)
        found.waiting.write_text(changed.replace("Once a month you decide", "Monthly you decide"), "utf-8")
        done = self.go(market, usual, tmp_path)
        assert done.waiting is None
        assert "+instruction: Mind the season." in done.edits["after-1"]
        second = load_prompt(tmp_path / "candidates" / "2.1.toml")
        assert second.parent == "p1 e1"
        assert "Mind the season." in second.instructions
        assert "Monthly you decide" in second.system
        before = files(tmp_path)
        (tmp_path / "edits" / "after-1.toml").write_text("too late", "utf-8")
        self.go(market, usual, tmp_path)
        after = files(tmp_path)
        assert after.pop("edits/after-1.toml") == "too late"
        assert after == {name: text for name, text in before.items() if name != "edits/after-1.toml"}

    def test_a_file_that_is_left_alone_changes_nothing(self, market, usual, tmp_path):
        self.go(market, usual, tmp_path)
        done = self.go(market, usual, tmp_path)
        assert done.edits == {"after-1": ""}
        assert load_prompt(tmp_path / "candidates" / "2.1.toml").parent == "p1 1"

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("{{features}}", "the data", r"after-1\.toml: .*\{\{features\}\}"),
            ("- direction: LONG or SHORT", "- side: LONG or SHORT", r"after-1\.toml: .*'direction' in its reply"),
            ("{{instructions}}", "", r"after-1\.toml: .*instructions"),
            ('reply = "strategy"', 'reply = "factors"', r"after-1\.toml: .*replies with factors"),
            ("features = [\n", 'features = [\n"moon",\n', r"after-1\.toml: .*'moon', which has no meaning"),
            ("features = [", "features = ", r"after-1\.toml: .*not valid TOML"),
        ],
    )
    def test_an_edit_that_breaks_the_template_is_told_and_can_be_mended(
        self, market, usual, tmp_path, old, new, message
    ):
        waiting = self.go(market, usual, tmp_path).waiting
        text = waiting.read_text("utf-8")
        broken = text.replace(old, new)
        if old.startswith("- direction"):
            broken = broken.replace("settle on the direction", "settle").replace("let the direction", "let it")
        assert broken != text
        waiting.write_text(broken, "utf-8")
        with pytest.raises(PromptError, match=message):
            self.go(market, usual, tmp_path)
        waiting.write_text(text, "utf-8")
        assert self.go(market, usual, tmp_path).verdict is not None


class TestRepliesThatMakeNoSense:
    SETTINGS = Refinement(repetitions=1, rounds=2, exemplars=2, every=120, enough=-99.0, control=False)

    def go(self, market, usual, out, **wrong):
        """`wrong`: by kind of reply a change of it, or an error in its place."""
        chat = ruled(usual)
        right = chat.answer

        def answer(request):
            name = request.sampling.schema_name
            if name not in wrong:
                return right(request)
            return wrong[name](request, right)

        return ll.refine(market, out, Named(answer, "odd"), settings=self.SETTINGS, tickers=["ORVN"], unseen="")

    def test_a_judge_that_names_unknown_fields_is_asked_again_then_done_without(self, market, usual, tmp_path):
        def unknown(request, right):
            found = right(request)
            return found | {"others": {"moon": {"known": "so", "verdict": "add"}}}

        found = self.go(market, usual, tmp_path, criticism=unknown)
        first = found.candidates.set_index("name").loc["1.1"]
        assert not first["ended"]
        assert first["criticism"] is None
        assert [told.split(":")[0] for told in first["troubles"][:3]] == ["UnknownFeatureError"] * 3
        assert first["troubles"][3] == "the judge gave no usable criticism"
        assert "1.2" in set(found.candidates["name"])

    def test_an_empty_criticism_is_asked_again(self, market, usual, tmp_path):
        def empty(request, right):
            return right(request) | ({} if request.sampling.draw else {"criticism": " . "})

        first = self.go(market, usual, tmp_path, criticism=empty).candidates.set_index("name").loc["1.1"]
        assert not first["ended"]
        assert first["troubles"][0].startswith("EmptyCriticismError")
        assert first["criticism"]["text"]

    def test_a_writer_without_a_usable_draft_loses_the_round(self, market, usual, tmp_path):
        def meagre(request, right):
            found = right(request)
            if request.sampling.seed < 1020:  # the first round of the first repetition
                found = found | {"features": {}}
            return found

        found = self.go(market, usual, tmp_path, candidate=meagre)
        table = found.candidates.set_index("name")
        assert table.loc["1.1", "troubles"][-1] == "the writer gave no usable draft"
        assert np.isnan(table.loc["1.1", "sharpe"])
        assert not (tmp_path / "candidates" / "1.1.toml").is_file()
        assert table.loc["1.2", "sharpe"] == pytest.approx(found.verdict["sampled"]["sharpe"])

    def test_without_any_candidate_there_is_no_winner(self, market, usual, tmp_path):
        with pytest.raises(ll.RefinementError, match=r"no candidate could be made .*refused.*other models"):
            self.go(market, usual, tmp_path, candidate=lambda *_: OffSchemaError("it refused"))
        assert not (tmp_path / "winner.toml").exists()

    def test_a_candidate_that_cannot_be_followed_is_told_and_the_next_one_tried(self, market, usual, tmp_path):
        def stubborn(request, right):
            own = "How to read the data" in request.messages[0].content
            return OffSchemaError("cannot") if own and "limit" not in str(request.sampling.draw) else right(request)

        with pytest.raises(ll.RefinementError, match="it could not be followed: cannot"):
            self.go(market, usual, tmp_path, strategy=stubborn)
        record = json.loads((tmp_path / "candidates" / "1.1.json").read_text("utf-8"))
        assert record["sharpe"] is None
        assert (tmp_path / "candidates" / "1.1.toml").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"settings": Refinement(rounds=0)}, "rounds is 0; it must be at least 1"),
        ({"parent": "p2"}, "p2 is no P1"),
        ({"parent": "p0"}, "p0 is no P1: it must show"),
        ({"settings": Refinement(held_out=9)}, "hold out fewer years"),
        ({"tickers": ["ORVN"], "unseen": "ORVN"}, "is to stay unseen"),
    ],
)
def test_what_cannot_be_refined_is_told_before_anything_is_asked(market, words, message):
    with pytest.raises(ll.RefinementError, match=message):
        plan_refinement(market, ruled(), **words)


def test_by_default_the_last_ticker_stays_unseen(market):
    years = plan_refinement(market, ruled()).years
    assert years.unseen.ticker == market.tickers[-1]
    assert years.tickers == market.tickers[:-1]


def test_a_refinement_in_a_runs_folder_counts_in_its_audit(made, tmp_path):
    refined, _ = made
    run = Run(tmp_path, {})
    assert _trials(run, "ORVN") is None
    shutil.copytree(refined.path, tmp_path / "refinement")
    assert _trials(run, "ORVN") == refined.verdict["sampled"]["candidates"]
    record_trial(tmp_path, {"ticker": "ORVN", "arm": "guided"})
    assert _trials(run, "ORVN") == refined.verdict["sampled"]["candidates"] + 1


def test_a_store_alone_is_enough(made, market, tmp_path):
    refined, _ = made
    folder = shutil.copytree(refined.path, tmp_path / "copy")
    replay = Replay(folder, None)
    for name in ("verdict.json", "winner.toml"):
        (folder / name).unlink()
    ll.refine(market, folder, replay, settings=TINY, **TICKERS)
    assert files(folder) == files(refined.path)
