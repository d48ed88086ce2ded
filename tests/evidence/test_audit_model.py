"""Look-ahead, counterfactual worlds and recall: methods that peek, models that ignore and models that remember."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from audited import SETTINGS, TEST, case, market, noise
from scripted import Scripted, thoughtful

import llmrl_lib as ll
from llmrl_lib.evidence.audit import Case, Stored, counterfactuals, recall
from llmrl_lib.evidence.audit import lookahead as look
from llmrl_lib.evidence.audit.worlds import CALENDAR, mirrored, rescaled, swapped
from llmrl_lib.language.chat import ChatError, Message
from llmrl_lib.market.dataset import Dataset, load_dataset
from llmrl_lib.market.features import FIELDS, FeatureTable, feature_table
from llmrl_lib.settings import Quirks
from llmrl_lib.strategy.guidance import guidance
from llmrl_lib.strategy.strategist import Ask
from llmrl_lib.trading.problem import Problem, prepare

DAY = pd.Timestamp("2018-06-01")


@pytest.fixture(scope="module")
def made(embedded: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A case with p4's strategies of two years and the store that they came from, of a model that weighs every byte."""
    folder = tmp_path_factory.mktemp("replies")
    chat = Scripted(thoughtful)
    start, end = "2017-06-01", "2018-06-01"
    strategies = ll.make_strategies(embedded, "ORVN", "p4", ll.Replay(folder, chat), start, end)
    stored = Stored("p4", ll.Replay(folder, identity=chat.identity), pd.Timestamp(start), Ask())
    return Case(
        "ORVN", embedded, SETTINGS, {}, ("p4", "p1"), tuple(strategies), stored=stored,
        guide=lambda given, dates: guidance(given, dates, "confidence", may_begin_late=True),
    )  # fmt: skip


def only(findings):
    [found] = findings
    return found


def test_honest_methods_pass(made: Case) -> None:
    for check in (look.features, look.requests, look.strategies, look.guidance, look.observations):
        found = only(check(made))
        assert (found.mark, found.figures["changed"]) == ("pass", 0), found.sentence
        assert found.figures["compared"] >= 5


def test_features_that_peek_fail(made: Case) -> None:
    found = only(look.features(made, peeking_table))
    assert found.mark == "fail"
    assert "vix on 20" in found.sentence
    assert "knew the future" in found.sentence


def test_requests_that_peek_fail(made: Case) -> None:
    def peeking(dataset, ticker, prompt, day, ask):
        asked = look.requests_until(dataset, ticker, prompt, day, ask)
        told = f"the share will stand at {dataset.bars(ticker)['close'].iloc[-1]}"
        return [replace(one, messages=(*one.messages, Message("user", told))) for one in asked]

    found = only(look.requests(made, peeking))
    assert (found.mark, found.figures["changed"]) == ("fail", 10)  # two prompts, five dates


def test_requests_cover_analyst_and_memory(embedded: Dataset) -> None:
    asked = look.requests_until(embedded, "ORVN", ll.load_prompt("p4"), DAY, Ask())
    kinds = [one.sampling.schema_name for one in asked]
    memory = ll.load_prompt("p4").memory
    assert (kinds.count("strategy"), kinds.count("factors")) == (memory + 1, memory + 1)
    assert any("trading days ago" in one.messages[1].content for one in asked)


def test_guidance_that_peeks_fails(made: Case) -> None:
    def early(given, dates):
        told = guidance(given, dates, "confidence", may_begin_late=True)
        return told.shift(-1, fill_value=told.iloc[-1])  # tomorrow's advice

    found = only(look.guidance(replace(made, guide=early)))
    assert found.mark == "fail"
    assert only(look.guidance(replace(made, strategies=()))).mark == "not available"


def test_observations_that_peek_fail(made: Case) -> None:
    def peeking(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
        table = prepare(Problem(train, test), SETTINGS).test.table.copy()
        ahead = np.append(np.diff(test["close"].to_numpy()), (0.0, 0.0))
        table[:, :, 0] += ahead[:, None]
        return table

    assert only(look.observations(made, peeking)).mark == "fail"


def test_gaps_filled_from_later_rows_are_found(tmp_path: Path) -> None:
    """The benchmark's own look-ahead: a zero volume between two others is interpolated."""
    volume = np.linspace(900.0, 1500.0, TEST)
    volume[150] = 0.0
    data = market(tmp_path, noise(0), volume)
    found = only(look.observations(case(data, {})))
    assert found.mark == "fail"
    assert "the benchmark's quirk gaps_filled_from_later_rows is on" in found.sentence
    off = replace(SETTINGS, quirks=Quirks(gaps_filled_from_later_rows=False))
    assert only(look.observations(replace(case(data, {}), settings=off))).mark == "pass"


def peeking_table(dataset: Dataset, ticker: str, days: list[pd.Timestamp]) -> FeatureTable:
    """Features in which VIX is the last close of the data."""
    table = feature_table(dataset, ticker, days)
    return replace(table, values=table.values.assign(vix=dataset.bars(ticker)["close"].iloc[-1]))


def test_strategies_that_peeked_fail(embedded: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrl_lib.strategy.strategist.feature_table", peeking_table)
    chat, start = Scripted(thoughtful), "2018-01-02"
    made = ll.make_strategies(embedded, "ORVN", "p1", ll.Replay(tmp_path, chat), start, "2018-06-01")
    stored = Stored("p1", ll.Replay(tmp_path, identity=chat.identity), pd.Timestamp(start), Ask())
    found = only(look.strategies(Case("ORVN", embedded, SETTINGS, {}, ("p1",), tuple(made), stored=stored)))
    assert (found.mark, found.figures["changed"]) == ("fail", 5)


def test_revised_data_are_told_from_look_ahead(made: Case, embedded: Dataset, tmp_path: Path) -> None:
    shutil.copytree(embedded.path, tmp_path / "revised")
    file = tmp_path / "revised" / "bars" / "ORVN.csv"
    bars = pd.read_csv(file)
    bars.loc[bars["date"] > "2018-02-01", ["open", "high", "low", "close", "raw_close"]] *= 1.2
    bars.to_csv(file, index=False)
    found = only(look.strategies(replace(made, dataset=load_dataset(tmp_path / "revised"))))
    assert found.mark == "not available"
    assert "have changed since" in found.sentence
    assert only(look.strategies(replace(made, stored=None))).mark == "not available"


def test_a_share_in_another_unit_has_the_same_features(embedded: Dataset) -> None:
    days = [DAY, pd.Timestamp("2019-03-01")]
    one, other = (feature_table(data, "ORVN", days).values for data in (embedded, rescaled(embedded, 7.0)))
    prices = [name for name in one if FIELDS[name].unit in ("currency/share", "shares")]
    pd.testing.assert_frame_equal(one.drop(columns=prices), other.drop(columns=prices), rtol=1e-6)
    assert (other["close"] / one["close"]).tolist() == pytest.approx([7.0, 7.0])
    assert "close" in prices


def test_a_mirrored_past_has_its_returns_negated(embedded: Dataset) -> None:
    was, turned = (data.bars("ORVN").loc[:DAY] for data in (embedded, mirrored(embedded, "ORVN", DAY)))
    for name in ("close", "raw_close"):
        np.testing.assert_allclose(np.diff(np.log(turned[name])), -np.diff(np.log(was[name])), atol=1e-12)
        assert turned[name].iloc[-1] == pytest.approx(was[name].iloc[-1])
    assert (turned["high"] >= turned["low"]).all()
    assert (turned["volume"] == was["volume"]).all()
    index = mirrored(embedded, "ORVN", DAY).indices["spx_close"]
    np.testing.assert_allclose(np.diff(np.log(index)), -np.diff(np.log(embedded.indices["spx_close"])), atol=1e-12)
    features = ll.features(mirrored(embedded, "ORVN", DAY), "ORVN", DAY)
    before = ll.features(embedded, "ORVN", DAY)
    grown = [1 + one["return_week_1"].value / 100 for one in (before, features)]
    assert grown[0] * grown[1] == pytest.approx(1.0)
    assert features["price_to_earnings"].value == pytest.approx(before["price_to_earnings"].value)


def test_another_name_and_time_show_the_same(embedded: Dataset) -> None:
    view = swapped(embedded, "ORVN", "KSTV")
    now, then = ll.features(embedded, "ORVN", DAY), ll.features(view, "KSTV", DAY - CALENDAR)
    assert (then.date.year, then.date.weekday()) == (1990, DAY.weekday())
    assert [one.value for one in then.fields] == [one.value for one in now.fields]
    told = " ".join(one.headline for one in then.news)
    assert "Kestrova" in told
    assert "Orvane" not in told


def by_return(request) -> dict:
    """Decides by last week's return, which the prompts show."""
    found = thoughtful(request)
    if "factors" in found:
        return found
    text = request.messages[1].content
    shown = float(text.split("return_week_1: ")[1].split(" ")[0])
    return {**found, "direction": "LONG" if shown > 0 else "SHORT", "confidence": 1 + (abs(shown) > 2)}


def set_in_its_ways(request) -> dict:
    found = thoughtful(request)
    return found if "factors" in found else {**found, "direction": "LONG", "confidence": 2}


def marks(made: Case, chat: object) -> dict[str, str]:
    return {one.check: one.mark for one in counterfactuals.counterfactuals(made, chat, 8)}  # type: ignore[arg-type]


def test_a_model_that_reads_passes_and_one_that_does_not_fails(made: Case) -> None:
    assert marks(made, Scripted(by_return)) == {"rescaled": "pass", "swapped": "pass", "mirrored": "pass"}
    assert marks(made, Scripted(set_in_its_ways)) == {"rescaled": "pass", "swapped": "pass", "mirrored": "fail"}


def test_not_a_character_of_a_prompt_tells_unit_name_or_year(made: Case) -> None:
    """p4 shows figures, memory and news; the same holds for requests to the analyst."""
    chat = Scripted(thoughtful)
    unit, elsewhere, _ = counterfactuals.counterfactuals(made, chat, 6)
    for found in (unit, elsewhere):
        assert found.figures["requests unchanged"] == 1.0
        assert found.sentence == "Not a character of any request changes, so no decision can."
    assert (
        len(chat.requests) == len(set(map(repr, chat.requests))) == 18
    )  # six dates: strategist, analyst, and mirrored


def test_a_model_that_goes_by_what_must_not_matter_fails(made: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counterfactuals, "rescaled", lambda data, _: mirrored(data, "ORVN", "2018-12-31"))
    found = counterfactuals.counterfactuals(made, Scripted(by_return), 8)[0]
    assert found.mark == "fail"
    assert found.figures["prediction consistency"] < 0.5


def test_without_a_chat_or_with_a_silent_one_nothing_is_claimed(made: Case) -> None:
    silent = Scripted(lambda _: ChatError("tired"))
    assert set(marks(made, None).values()) == set(marks(made, silent).values()) == {"not available"}
    assert set(marks(replace(made, prompts=()), silent).values()) == {"not available"}
    assert silent.requests


def knowing(data: Dataset, who: Callable[[recall.Window], str], when: Callable[[recall.Window], str]) -> Scripted:
    """Answers about a window of prices as it is told to; about headlines it knows nothing."""
    windows = {
        recall.price_request(data, one).messages[1].content: one
        for one in recall.balanced_windows(data, recall.WINDOWS)
    }

    def answer(request) -> dict:
        if "company" in request.sampling.schema["properties"] and "year" not in request.sampling.schema["properties"]:
            return {"clues": "none", "company": "unknown"}
        window = windows[request.messages[1].content]
        return {"company": who(window), "year": when(window)}

    return Scripted(answer)


def test_a_model_that_remembers_is_found(embedded: Dataset) -> None:
    names = recall.company_names(embedded)
    chat = knowing(embedded, lambda window: names[window.ticker], lambda _: "unknown")
    found = only(recall.recall(embedded, chat))
    assert (found.mark, found.figures["company from prices"], found.figures["year from prices"]) == ("fail", 1.0, 0.0)
    assert found.sentence.startswith("It tells company from prices better than chance: company from prices 24 of 24")
    found = only(recall.recall(embedded, knowing(embedded, lambda _: "unknown", lambda window: str(window.day.year))))
    assert (found.mark, found.figures["year from prices"]) == ("fail", 1.0)


def test_a_model_that_always_says_the_same_is_right_by_chance(embedded: Dataset) -> None:
    chat = knowing(embedded, lambda _: "Orvane Systems", lambda _: "2015")
    found = only(recall.recall(embedded, chat))
    assert found.mark == "pass"
    assert found.table is not None
    assert found.table["right"].tolist() == [4, 3, 0]  # 24 windows of six companies and eight years; headlines
    assert found.table["chance"].tolist() == pytest.approx([1 / 6, 1 / 8, 1 / 6])


def test_windows_of_prices_show_neither_name_nor_date(embedded: Dataset) -> None:
    for window in recall.balanced_windows(embedded, 6):
        request = recall.price_request(embedded, window)
        lines = request.messages[1].content.splitlines()
        assert len(lines) == recall.DAYS
        assert lines[-1].startswith("100.0 ")
        assert all(set(line) <= set("0123456789. ") for line in lines)


def test_who_answers_nothing_is_not_acquitted(embedded: Dataset) -> None:
    assert only(recall.recall(embedded, None)).mark == "not available"
    assert only(recall.recall(embedded, Scripted(lambda _: ChatError("tired")))).mark == "not available"
