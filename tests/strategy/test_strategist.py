"""Chains of decisions: when, with what memory, side by side, and with nothing of the future."""

import json
import re

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import Scripted, thoughtful

import llmrl_lib as ll
from llmrl_lib.language.chat import KeyRejectedError, OffSchemaError, TruncatedError, request_key
from llmrl_lib.language.prompts import STRATEGISTS
from llmrl_lib.language.replay import Replay
from llmrl_lib.strategy.guidance import guidance
from llmrl_lib.strategy.records import read_strategies, write_strategies
from llmrl_lib.strategy.rehearsal import Rehearsal, stand_in
from llmrl_lib.strategy.strategist import Ask, StrategiesError, decisions, make_many_strategies, make_strategies

SPAN = ("2018-01-01", "2018-07-01")


def is_analyst(request):
    return "factors" in request.sampling.schema["properties"]


def exact(requests):
    """Every byte of requests, by key, in any order."""
    return sorted(request_key({}, request) for request in requests)


@pytest.mark.parametrize("prompt", STRATEGISTS)
def test_one_strategy_every_twenty_trading_days(prompt, market):
    chat = Scripted(thoughtful)
    made = make_strategies(market, "ORVN", prompt, chat, *SPAN)
    days = market.bars("ORVN").loc["2018-01-01":"2018-06-30"].index
    assert [one.date for one in made] == list(days[::20])
    assert {(one.ticker, one.prompt, one.prompt_version, one.model, one.draw) for one in made} == {
        ("ORVN", prompt, "1", "scripted-1", 0)
    }
    assert all(one.tokens and one.confidence in (1, 2, 3) for one in made)
    assert (made[0].factors is not None) == (prompt == "p4")
    assert len(made[0].findings) == {"p3": 6, "p4": 7}.get(prompt, 0)


def test_one_draw_is_deterministic_and_several_are_drawn(market):
    one, many = Scripted(thoughtful), Scripted(thoughtful)
    make_strategies(market, "ORVN", "p0", one, *SPAN)
    made = make_strategies(market, "ORVN", "p0", many, *SPAN, draws=3)
    assert {(request.sampling.temperature, request.sampling.seed) for request in one.requests} == {(0.0, 0)}
    assert {(r.sampling.temperature, r.sampling.seed, r.sampling.draw) for r in many.requests} == {
        (0.7, draw, draw) for draw in range(3)
    }
    assert [one.draw for one in made[:4]] == [0, 1, 2, 0]
    assert len({request.messages for request in many.requests}) == len(many.requests) / 3


def test_chains_go_forward_side_by_side(market):
    tickers, draws = ["ORVN", "KSTV", "QLRY"], 4
    dates = len(decisions(market, "ORVN", *SPAN).rows)
    chat = Scripted(thoughtful)
    make_many_strategies(market, tickers, "p2", chat, *SPAN, draws=draws)
    assert chat.widths == [12] * dates
    chat = Scripted(thoughtful)
    make_many_strategies(market, tickers, "p4", chat, *SPAN, draws=draws)
    assert chat.widths == [3 * dates] + [12] * dates  # one analyst for all draws
    chat = Scripted(thoughtful)
    make_many_strategies(market, tickers, "p1", chat, *SPAN, draws=draws)
    assert chat.widths == [12 * dates]


@pytest.mark.parametrize("prompt", ["p1", "p4"])
def test_side_by_side_or_alone_makes_the_same_strategies(prompt, market):
    together = make_many_strategies(market, ["ORVN", "KSTV"], prompt, Scripted(thoughtful), *SPAN, draws=2)
    alone = [
        strategy
        for ticker in ("ORVN", "KSTV")
        for strategy in make_strategies(market, ticker, prompt, Scripted(thoughtful), *SPAN, draws=2)
    ]
    assert together == alone


def test_memory_tells_what_was_decided_and_earned_by_then(market):
    chat = Scripted(thoughtful)
    made = make_strategies(market, "ORVN", "p2", chat, *SPAN)
    closes = market.bars("ORVN")["close"]
    told = {}
    for request in chat.requests:
        field = request.messages[1].content.split("<memory>\n")[1].split("\n</memory>")[0]
        told[len(told)] = [] if field == "none yet" else [json.loads(line) for line in field.split("\n")]
    assert [len(told[place]) for place in range(5)] == [0, 1, 2, 3, 3]
    first, last = told[2]
    row = closes.index.get_loc(made[0].date)
    earned = closes.iloc[row + 21] / closes.iloc[row + 1] - 1
    assert first.startswith(f"40 trading days ago: {made[0].side}, confidence {made[0].confidence}. ended: ")
    assert f"the share returned {100 * earned:+.1f} % over 20 trading days" in first
    now = closes.index.get_loc(made[2].date)
    so_far = closes.iloc[now] / closes.iloc[now - 19] - 1
    assert f"still open, so far the share returned {100 * so_far:+.1f} % over 19 trading days" in last
    assert made[1].rationale in last


def test_a_strategist_who_guessed_the_name_does_not_remember_it(market):
    def answer(request):
        return {**thoughtful(request), "rationale": "Orvane's Velkra sold well in May 2018; 2 reasons speak for it."}

    chat = Scripted(answer)
    made = make_strategies(market, "ORVN", "p2", chat, *SPAN)
    told = "\n".join(request.messages[1].content for request in chat.requests)
    assert not re.search("Orvane|Velkra|2018|May", told)
    assert "Rationale: The Company's Product A sold well in a date; 2 reasons speak for it." in told
    assert made[0].rationale.startswith("Orvane's Velkra")  # the record keeps what was said


def cut(dataset, date):
    """The dataset without anything that could not be used at the close of `date`."""
    return ll.truncated(dataset, date)


def requests_until(dataset, tickers, prompt, start, date):
    """Every request about decisions up to `date`, asked over the bars that `dataset` has."""
    chat = Scripted(thoughtful)
    end = pd.Timestamp(date) + pd.Timedelta(days=1)
    make_many_strategies(dataset, tickers, prompt, chat, start, end, draws=2)
    return exact(chat.requests)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(300, 1900), prompt=st.sampled_from(STRATEGISTS), ticker=st.sampled_from(["ORVN", "HDRN"]))
def test_deleting_all_later_rows_changes_no_request_byte(market, place, prompt, ticker):
    bars = market.bars(ticker)
    start, date = bars.index[place - 90], bars.index[place]
    whole = requests_until(market, [ticker], prompt, start, date)
    assert whole == requests_until(cut(market, date), [ticker], prompt, start, date)
    assert len(whole) >= 2 * 5


def test_a_longer_run_asks_the_same_of_the_dates_that_it_shares(market):
    long, short = Scripted(thoughtful), Scripted(thoughtful)
    make_strategies(market, "ORVN", "p4", long, "2018-01-01", "2019-01-01")
    make_strategies(market, "ORVN", "p4", short, "2018-01-01", "2018-06-01")
    assert set(exact(short.requests)) <= set(exact(long.requests))


def test_a_check_of_the_future_can_fail(market):
    """The same comparison over a dataset that lacks the decision day's own bars is not equal."""
    bars = market.bars("ORVN")
    start, date = bars.index[600], bars.index[640]
    whole = requests_until(market, ["ORVN"], "p1", start, date)
    assert whole != requests_until(cut(market, bars.index[639]), ["ORVN"], "p1", start, date)


@pytest.mark.parametrize("prompt", ["p1", "p4"])
def test_deleting_all_later_rows_of_real_data_changes_no_request_byte(shared, prompt):
    dataset = ll.load_dataset(shared / "market")
    for date in ("2015-06-19", "2018-10-10"):
        start = dataset.bars("AAPL").index[dataset.bars("AAPL").index.searchsorted(pd.Timestamp(date)) - 65]
        whole = requests_until(dataset, ["AAPL", "TSLA"], prompt, start, date)
        assert whole == requests_until(cut(dataset, date), ["AAPL", "TSLA"], prompt, start, date)


def test_no_request_names_company_or_year(market, shared):
    real = ll.load_dataset(shared / "market")
    for dataset, ticker, names in ((market, "ORVN", "ORVN|Orvane|Velkra"), (real, "AAPL", "AAPL|Apple|iPhone|Cook")):
        chat = Scripted(thoughtful)
        make_strategies(dataset, ticker, "p4", chat, "2018-01-01", "2018-12-31")
        told = "\n".join(request.messages[1].content for request in chat.requests)
        assert not re.search(rf"\b({names})\b", told)
        assert not re.search(r"\b201[0-9]\b", told)


def test_months_without_news_are_not_asked_about_and_say_so(shared):
    dataset = ll.load_dataset(shared / "market")
    chat = Scripted(thoughtful)
    made = make_strategies(dataset, "AAPL", "p4", chat, "2013-03-01", "2013-05-01")
    assert not any(is_analyst(request) for request in chat.requests)
    assert {one.factors[0].factor for one in made} == {"no news is known of the last 20 trading days"}
    assert "no news is known" in chat.requests[0].messages[1].content


class TestFailures:
    """No failed call becomes a neutral advice, and no other reply is lost."""

    def test_without_memory_all_other_dates_are_kept(self, market):
        def answer(request):
            bad = "rsi_14: 3" in request.messages[1].content
            return TruncatedError("too long; raise max_tokens") if bad else thoughtful(request)

        whole = make_strategies(market, "ORVN", "p0", Scripted(thoughtful), *SPAN)
        with pytest.raises(
            StrategiesError, match=r"of 7 strategies failed: ORVN 2018-.*TruncatedError.*raise max_tokens"
        ) as caught:
            make_strategies(market, "ORVN", "p0", Scripted(answer), *SPAN)
        failed = {failure.date for failure in caught.value.failures}
        assert 0 < len(failed) < 7
        assert list(caught.value.strategies) == [one for one in whole if one.date not in failed]
        assert "\n" not in str(caught.value)

    def test_with_memory_a_chain_ends_and_the_others_go_on(self, market):
        calls = []

        def answer(request):
            calls.append(request)
            return OffSchemaError("no JSON") if len(calls) == 3 else thoughtful(request)

        chat = Scripted(answer)
        with pytest.raises(
            StrategiesError, match=r"1 of 14 strategies failed.*5 later ones.*were not asked for"
        ) as caught:
            make_many_strategies(market, ["ORVN", "KSTV"], "p2", chat, *SPAN)
        assert len(caught.value.strategies) == 7 + 1
        assert chat.widths == [2, 2, 1, 1, 1, 1, 1]

    def test_a_failed_analyst_stops_the_month_and_not_the_others(self, market):
        asked = []

        def answer(request):
            asked.append(request)
            return OffSchemaError("no factors") if len(asked) == 1 else thoughtful(request)

        with pytest.raises(StrategiesError, match="1 of 2 strategies failed"):
            make_many_strategies(market, ["ORVN", "KSTV"], "p4", Scripted(answer), "2018-01-02", "2018-01-03")

    def test_a_reply_that_is_not_of_the_schema_is_a_failure(self, market):
        def answer(request):
            return {**thoughtful(request), "direction": "HOLD"}

        with pytest.raises(StrategiesError, match=r"7 of 7 strategies failed.*OffSchemaError"):
            make_strategies(market, "ORVN", "p1", Scripted(answer), *SPAN)

    def test_what_ends_every_request_is_raised_at_once(self, market):
        class Locked(Scripted):
            def many(self, _):
                raise KeyRejectedError("no key")

        with pytest.raises(KeyRejectedError):
            make_strategies(market, "ORVN", "p1", Locked(thoughtful), *SPAN)


def test_a_run_that_failed_is_resumed_and_equals_an_unbroken_one(market, tmp_path):
    calls = []

    def flaky(request):
        calls.append(request)
        return TruncatedError("cut") if len(calls) % 5 == 0 else thoughtful(request)

    whole = make_many_strategies(market, ["ORVN", "KSTV"], "p4", Scripted(thoughtful), *SPAN)
    for _ in range(20):
        try:
            made = make_many_strategies(
                market, ["ORVN", "KSTV"], "p4", Replay(tmp_path / "store", Scripted(flaky)), *SPAN
            )
            break
        except StrategiesError:
            continue
    assert made == whole
    silent = make_many_strategies(market, ["ORVN", "KSTV"], "p4", Replay(tmp_path / "store"), *SPAN)
    assert silent == whole


def test_a_rehearsal_counts_what_a_run_would_ask_and_asks_nothing(market, tmp_path):
    chat = Scripted(thoughtful)
    replay = Replay(tmp_path / "store", chat)
    rehearsal = Rehearsal(replay)
    make_many_strategies(market, ["ORVN", "KSTV"], "p4", rehearsal, *SPAN, draws=2)
    assert chat.requests == []
    made = make_many_strategies(market, ["ORVN", "KSTV"], "p4", replay, *SPAN, draws=2)
    assert len(rehearsal.missing) == len(chat.requests)
    sizes = [sum(len(message.content) for message in request.messages) for request in rehearsal.missing]
    real = [sum(len(message.content) for message in request.messages) for request in chat.requests]
    assert sum(sizes) == pytest.approx(sum(real), rel=0.15)
    again = Rehearsal(replay)
    assert make_many_strategies(market, ["ORVN", "KSTV"], "p4", again, *SPAN, draws=2) == made
    assert (len(again.missing), again.stored) == (0, len(chat.requests))


@pytest.mark.parametrize("prompt", [*STRATEGISTS, "analyst"])
def test_a_stand_in_satisfies_its_schema(prompt):
    from jsonschema import Draft202012Validator

    from llmrl_lib.language.prompts import load_prompt

    schema = load_prompt(prompt).schema
    assert list(Draft202012Validator(schema).iter_errors(stand_in(schema))) == []


def test_strategies_of_a_run_go_through_file_and_guidance(market, tmp_path):
    made = make_strategies(market, "ORVN", "p4", Scripted(thoughtful), *SPAN, draws=3)
    write_strategies(made, tmp_path / "s.jsonl")
    kept = read_strategies(tmp_path / "s.jsonl")
    assert kept == made
    days = market.bars("ORVN").loc["2018-01-01":"2018-06-30"].index
    assert guidance(kept, days).abs().max() <= 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"draws": 0}, "draws is 0"), ({"start": "2030-01-01", "end": "2031-01-01"}, "ORVN has no trading day from 2030")],
)
def test_what_cannot_be_asked_is_refused(options, message, market):
    with pytest.raises(ValueError, match=message):
        make_strategies(market, "ORVN", "p0", Scripted(thoughtful), **{"start": SPAN[0], "end": SPAN[1], **options})


def test_settings_reach_the_server(market):
    chat = Scripted(thoughtful, logprobs=False)
    ask = Ask(
        every=60,
        temperature=0.3,
        seed=7,
        max_tokens=99,
        top_logprobs=None,
        frequency_penalty=1.0,
        presence_penalty=0.25,
    )
    made = make_strategies(market, "ORVN", "p0", chat, *SPAN, ask=ask)
    sampling = chat.requests[0].sampling
    assert (sampling.temperature, sampling.seed, sampling.max_tokens, sampling.top_logprobs) == (0.3, 7, 99, None)
    assert (sampling.frequency_penalty, sampling.presence_penalty) == (1.0, 0.25)
    assert len(made) == 3
    assert made[0].tokens == ()
