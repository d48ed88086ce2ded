"""What a model advised on a ticker: outcomes by hand, accounts that agree with the arms, tables that count right."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmrl_lib.evidence import published
from llmrl_lib.experiments import Run, open_run, strategy_tables, strategy_texts, uncertainty_tables
from llmrl_lib.experiments.advice import oracle
from llmrl_lib.experiments.advised import Advised, advised, outcomes
from llmrl_lib.language.ledger import ledger
from llmrl_lib.strategy.guidance import guidance
from llmrl_lib.strategy.records import Evidence, Strategy, strategy_frame

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def run(smoke_run: Path) -> Run:
    return open_run(smoke_run)


@pytest.fixture(scope="module")
def told(run: Run) -> Advised:
    return advised(run, "KSTV")


@pytest.fixture(scope="module")
def changed(told: Advised) -> Callable[..., Advised]:
    """The same record with every strategy changed by a function."""

    def change(how: Callable[[Strategy], Strategy], **other: object) -> Advised:
        made = {prompt: tuple(how(one) for one in strategies) for prompt, strategies in told.strategies.items()}
        return replace(told, strategies=made, **other)

    return change


def test_the_guiding_prompt_is_told_over_both_splits_and_others_over_the_test_years(told: Advised) -> None:
    assert told.prompts == ("p0", "p1")
    assert (told.guide, told.main) == ("p1", "p1")
    splits = told.decisions.groupby("prompt")["split"].unique()
    assert list(splits["p0"]) == ["test"]
    assert list(splits["p1"]) == ["train", "test"]


def test_the_outcome_is_the_return_from_the_close_after_to_twenty_closes_later(told: Advised) -> None:
    closes, table = told.bars["close"], told.decisions.set_index(["prompt", "date"])
    dates = sorted(one.date for one in told.strategies["p1"])
    row = closes.index.get_loc(dates[7])
    assert table.loc[("p1", dates[7]), "outcome"] == pytest.approx(closes.iloc[row + 21] / closes.iloc[row + 1] - 1)
    unknown = table["outcome"].isna()
    late = [closes.index.get_loc(date) + 21 >= len(closes) for _, date in table.index]
    assert list(unknown) == late
    assert unknown.any()
    assert table.loc[unknown, "right"].isna().all()


def test_right_means_what_it_means_for_oracles(told: Advised) -> None:
    """An oracle that is always right, asked on the guiding prompt's days, agrees with every outcome that is known."""
    first = min(one.date for one in told.strategies["p1"])
    known = oracle(told.bars["close"].loc[first:], 1.0, 0).decisions["direction"]
    table = told.followed.query("prompt == 'p1'").set_index("date")
    table = table[table["rose"].notna()]
    assert len(table) > 90
    assert (known.loc[table.index] == np.where(table["rose"], 1, -1)).all()
    assert (table["right"] == ((known.loc[table.index] == 1) == (table["direction"] == 1))).all()


def test_a_strategy_of_no_trading_day_is_refused(told: Advised) -> None:
    wrong = replace(told.strategies["p1"][0], date=pd.Timestamp("2018-01-06"))
    with pytest.raises(ValueError, match="of KSTV on 2018-01-06 is of no day with a bar"):
        outcomes([wrong], told.bars)


def test_the_signal_is_what_a_guided_agent_sees(told: Advised) -> None:
    heard = guidance(told.strategies["p1"], told.bars.loc[told.dataset.train_start :].index, may_begin_late=True)
    table = told.followed.query("prompt == 'p1'").set_index("date")["signal"]
    for date in table.index[:-1]:
        assert heard.loc[heard.index[heard.index.get_loc(date) + 1]] == pytest.approx(table[date])


def test_accounts_are_those_of_the_arms(run: Run, told: Advised) -> None:
    arms = run.arms("KSTV")
    for path, arm in ((told.paths["p1"], "llm_only"), (told.holding, "buy_and_hold")):
        trades = arms[arm].trajectories.query("split == 'test'")
        assert path["equity"].to_numpy()[-len(trades) :] == pytest.approx(trades["equity"].to_numpy())
        assert (path["equity"].iloc[: -len(trades)] == run.settings.cash).all()
    sharpes = strategy_tables.prompt_sharpes(told)["sharpe"]
    measured = run.performance("test").query("ticker == 'KSTV'").set_index("arm")["sharpe_ratio"]
    assert sharpes["p1"] == pytest.approx(measured["llm_only"])
    assert sharpes["market"] == pytest.approx(measured["buy_and_hold"])


def test_one_who_is_always_long_is_not_told_from_holding(changed: Callable[..., Advised]) -> None:
    sharpes = strategy_tables.prompt_sharpes(changed(lambda one: replace(one, direction=1)))
    assert sharpes["sharpe"].nunique() == 1
    assert sharpes["difference"].isna().all()
    table = uncertainty_tables.differences_table(changed(lambda one: replace(one, direction=1)))
    assert table.loc["Sharpe, P1 - P0", "p, corrected"] == "-"
    assert table.loc["Sharpe, P1 - P0", "below 0.05"] == "no"


def test_hits_are_counted_by_prompt_and_level(told: Advised) -> None:
    hits = uncertainty_tables.hits_table(told).set_index(["prompt", "confidence"])
    table = told.decisions[told.decisions["right"].notna()]
    for (prompt, level), row in hits.iterrows():
        own = table[(table["prompt"] == prompt) & (table["confidence"].isin([level] if level else [1, 2, 3]))]
        assert row["decisions"] == len(own)
        assert row["right"] == pytest.approx(own["right"].astype(float).mean())
        assert row["low"] <= row["right"] <= row["high"]
        assert row["rose"] == pytest.approx((own["outcome"] >= 0).mean())
    shown = uncertainty_tables.confidence_table(told)
    assert shown.loc["P1", "all"].endswith(f"({int(hits.loc[('p1', 0), 'decisions'])})")


def test_one_who_knows_the_outcome_is_always_right_and_has_skill(told: Advised) -> None:
    rose = told.decisions.set_index(["prompt", "date"])["rose"]

    def knowing(one: Strategy) -> Strategy:
        came = rose[(one.prompt, one.date)]
        direction = int(bool(came)) if pd.notna(came) else 1
        side, other = (("SHORT", "LONG"), ("LONG", "SHORT"))[direction]
        token = one.tokens[0]
        tokens = (
            replace(token, text='{"direction": "', logprob=0.0, top=(('{"direction": "', 0.0),)),
            replace(token, text=side, logprob=np.log(0.99), top=((side, np.log(0.99)), (other, np.log(0.01)))),
            replace(token, text='"}', logprob=0.0, top=(('"}', 0.0),)),
        )
        return replace(one, direction=direction, tokens=tokens)

    made = {prompt: tuple(map(knowing, strategies)) for prompt, strategies in told.strategies.items()}
    found = replace(told, strategies=made)
    hits = uncertainty_tables.hits_table(found)
    assert (hits["right"] == 1.0).all()
    table = uncertainty_tables.calibration_table(found)
    assert {"P0, test", "P1, training", "P1, test"} == set(table.index)
    assert (set(table["Brier"]), set(table["error"])) == ({"0.000"}, {"0.010"})
    assert set(table["reliability"]) == {"0.000"}
    forecasts = uncertainty_tables.forecasts_of(found)
    assert ((forecasts["probability"] > 0.5) == forecasts["rose"]).all()


def test_pairs_are_of_the_nearest_month_and_a_difference_is_found(told: Advised) -> None:
    """Replies of one prompt made twice as long in doubtful tokens differ; the months are matched although days differ."""
    first, second = uncertainty_tables._in_pairs(told, "p1", "p0", "nats")
    assert 20 <= len(first) == len(second) <= 26
    own = told.followed.query("prompt == 'p1' and split == 'test'").sort_values("date")["nats"].to_numpy()
    assert set(first) <= set(own)
    table = uncertainty_tables.differences_table(told)
    assert list(table.index) == [f"{name}, P1 - P0" for name in ("entropy", "perplexity", "Sharpe")]
    assert float(table.loc["entropy, P1 - P0", "difference"]) == pytest.approx((first - second).mean(), abs=1e-4)


def test_entropy_in_nats_is_the_normalised_one_times_its_scale(told: Advised) -> None:
    table = told.decisions
    assert np.allclose(table["nats"], table["entropy"] * np.log(6))


def test_a_figure_that_was_not_shown_is_counted_as_misread(told: Advised, changed: Callable[..., Advised]) -> None:
    def misreading(one: Strategy) -> Strategy:
        return replace(one, evidence=(replace(one.evidence[0], value="123456"), *one.evidence[1:]))

    def share(record: Advised) -> float:
        return float(strategy_tables.reading_table(record).loc["P1", "as shown"].rstrip("%")) / 100

    each = np.mean([len(one.evidence) for one in told.strategies["p1"]])
    assert share(changed(misreading)) <= share(told) - 0.9 / each + 0.05
    assert share(
        changed(lambda one: replace(one, evidence=(Evidence("news", "good", "bullish"), *one.evidence)))
    ) == share(told)


def test_cost_is_that_of_the_ledger(run: Run) -> None:
    table, kept = strategy_tables.cost_table(run), ledger(run.strategies_folder)
    assert {"P0", "P1"} <= set(table.index)
    own = kept.loc["p1 1"].iloc[0]
    assert table.loc["P1", "requests"] == f"{own['replies']:,}"
    assert table.loc["P1", "tokens in all"] == f"{own['prompt_tokens'] + own['completion_tokens']:,}"
    assert table.loc["P1", "USD each"] == "0"
    assert table.loc["P1", "published: tokens"] == "1,760"


def test_a_price_that_is_not_known_is_a_dash(run: Run) -> None:
    served = replace(run, about={**run.about, "chat": {"model": "nano", "server": "http://127.0.0.1:1/v1"}})
    assert strategy_tables.cost_table(served).loc["P1", "USD each"] == "-"


def test_published_figures_are_the_tickers_own_only_where_it_is_the_published_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    label, values = strategy_tables.published_beside(run, "KSTV", published.PROMPT_SHARPE)
    assert (label, values["p4"], values["benchmark"]) == ("published, 6 other stocks", 1.02, 0.69)
    monkeypatch.setattr(strategy_tables, "left_out", lambda _: {})
    label, values = strategy_tables.published_beside(run, "AAPL", published.PROMPT_SHARPE)
    assert (label, values["p4"]) == ("published", 2.09)
    monkeypatch.setattr(strategy_tables, "left_out", lambda _: {"AAPL": "other dates"})
    assert strategy_tables.published_beside(run, "AAPL", published.PROMPT_SHARPE)[0] == "published, 6 other stocks"


def test_without_strategies_every_table_is_empty_and_the_record_says_why(told: Advised, run: Run) -> None:
    nothing = replace(told, strategies={}, guide="")
    assert not nothing
    assert "no language model has advised on KSTV" in nothing.absent
    assert nothing.unmeasured == nothing.absent
    for table in (strategy_tables.prompts_table, strategy_tables.prompt_sharpes, strategy_tables.behaviour_table,
                  strategy_tables.reading_table, uncertainty_tables.hits_table, uncertainty_tables.confidence_table,
                  uncertainty_tables.calibration_table, uncertainty_tables.differences_table,
                  uncertainty_tables.forecasts_of, uncertainty_tables.reliability_of):  # fmt: skip
        assert len(table(nothing)) == 0, table.__name__
    assert len(uncertainty_tables.uncertainty_table(run, nothing, "nats")) == 0


def test_without_log_probabilities_confidence_is_all_that_is_left(run: Run, changed: Callable[..., Advised]) -> None:
    bare = changed(lambda one: replace(one, tokens=()))
    assert not bare.measured
    assert "No log-probabilities" in bare.unmeasured
    assert np.allclose(bare.decisions["strength"], bare.decisions["confidence"] / 3)
    assert len(uncertainty_tables.uncertainty_table(run, bare, "perplexity")) == 0
    assert len(uncertainty_tables.calibration_table(bare)) == 0
    assert len(uncertainty_tables.hits_table(bare)) > 0
    assert list(uncertainty_tables.differences_table(bare).index) == ["Sharpe, P1 - P0"]
    assert strategy_texts.reply_by_entropy(bare, strategy_texts.a_day(bare)) is None


def test_of_several_draws_the_first_is_followed_and_counted(told: Advised) -> None:
    def other(one: Strategy) -> Strategy:
        return replace(one, draw=1, direction=1 - one.direction)

    both = {prompt: (*map(other, made), *made) for prompt, made in told.strategies.items()}
    drawn = replace(told, strategies=both)
    assert len(drawn.decisions) == 2 * len(told.decisions)
    pd.testing.assert_frame_equal(drawn.paths["p1"], told.paths["p1"])
    pd.testing.assert_frame_equal(uncertainty_tables.hits_table(drawn), uncertainty_tables.hits_table(told))
    assert [one.draw for one in drawn.main_strategies] == [0] * len(told.strategies["p1"])
    assert drawn.in_force(told.bars.index[-1])["p1"].draw == 0


def test_what_a_model_writes_cannot_act_on_the_page(changed: Callable[..., Advised]) -> None:
    evil = changed(lambda one: replace(one, rationale="<script>alert(1)</script>"))
    day = strategy_texts.a_day(evil)
    shown = strategy_texts.month_in_words(evil, day).data
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert "<b>Hindsight:</b>" in shown


def test_a_prompt_that_has_changed_since_is_not_rendered_again(told: Advised, changed: Callable[..., Advised]) -> None:
    day = strategy_texts.a_day(told)
    whole = strategy_texts.prompts_in_full(told, day).data
    assert whole.count("<details") == 2
    assert whole.count("<details open>") == 1
    assert "sma_200" in whole
    other = changed(lambda one: replace(one, prompt_digest="another"))
    assert strategy_texts.prompts_in_full(other, day).data.count("cannot be rendered again") == 2
    assert len(strategy_tables.reading_table(other)) == 0
    assert set(strategy_tables.prompts_table(other)["fields"]) == {"-"}


def test_the_day_that_is_shown_is_a_day_of_the_test_years(told: Advised) -> None:
    assert strategy_texts.a_day(told) in {one.date for one in told.strategies["p1"]}
    assert strategy_texts.a_day(told) >= told.dataset.split
    assert strategy_texts.a_day(told, "2019-05-04") == pd.Timestamp("2019-05-04")
    with pytest.raises(ValueError, match="no decision is in force on 2012-05-04; give a day from 2018-"):
        strategy_texts.a_day(told, "2012-05-04")


def test_a_reply_is_coloured_token_by_token(told: Advised) -> None:
    day = strategy_texts.a_day(told)
    shown = strategy_texts.reply_by_entropy(told, day).data
    strategy = told.in_force(day)["p1"]
    assert shown.count("<span") == len(strategy.tokens)
    assert shown.count("font-weight:bold") < len(strategy.tokens) / 4


def test_decisions_begin_with_the_columns_of_the_strategy_frame(told: Advised) -> None:
    every = [one for made in told.strategies.values() for one in made]
    frame = strategy_frame(every)
    pd.testing.assert_frame_equal(told.decisions[list(frame.columns)], frame)
