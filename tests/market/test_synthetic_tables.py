"""Options, macro, reports and news of the invented market: dates, revisions, consistency, and sentences that can be read."""

import datetime
import re

import numpy as np
import pandas as pd
import pytest

from llmrl_lib.market import simulate
from llmrl_lib.market.synthetic import EMBEDDED_SEED, Market, Story, read_headline
from llmrl_lib.market.synthetic.companies import RIVALS
from llmrl_lib.market.synthetic.grammar import CHATTER, TOPICS, TRIFLES, fill
from llmrl_lib.market.synthetic.news import TONED

REAL_NAMES = [
    "Apple",
    "Amazon",
    "Google",
    "Alphabet",
    "Meta",
    "Facebook",
    "Microsoft",
    "Tesla",
    "Twitter",
    "Nvidia",
    "Intel",
    "Samsung",
    "Sony",
    "Nokia",
    "Siemens",
    "Tencent",
    "Netflix",
    "Oracle",
    "Cisco",
    "IBM",
    "Adobe",
    "Ford",
    "Toyota",
    "Volkswagen",
    "Boeing",
    "Exxon",
    "Chevron",
    "Pfizer",
    "Walmart",
    "Target",
    "Nike",
    "Disney",
    "Coca",
    "Pepsi",
    "JPMorgan",
    "Goldman",
    "Reuters",
    "Bloomberg",
    "Yahoo",
    "CNBC",
    "Musk",
    "Bezos",
    "Cook",
    "Nadella",
    "Zuckerberg",
    "Buffett",
]


@pytest.fixture(scope="module")
def market() -> Market:
    return simulate(EMBEDDED_SEED)


def test_historical_volatility_is_that_of_the_last_twenty_returns(market: Market) -> None:
    for ticker, bars in market.bars.items():
        expected = 100.0 * bars["close"].pct_change().rolling(20).std() * np.sqrt(252.0)
        shown = market.options[ticker]["hv_30d"]
        assert shown.notna().all()
        assert (shown - expected).abs().max() < 0.1


def test_implied_volatility_foresees_the_size_of_moves(market: Market) -> None:
    for ticker, bars in market.bars.items():
        coming = bars["close"].pct_change().rolling(20).std().shift(-20) * np.sqrt(252.0) * 100.0
        implied = market.options[ticker]["iv_30d"]
        assert 0.7 < (implied / coming).median() < 1.6
        assert implied.corr(coming) > 0.2


def test_macro_has_the_series_of_the_real_dataset_and_their_lags(market: Market) -> None:
    table = market.macro
    assert sorted(table["series"].unique()) == sorted(
        [
            "CPIAUCSL",
            "CPILFESL",
            "FEDFUNDS",
            "GDP",
            "GDPC1",
            "INDPRO",
            "ISM_PMI",
            "PAYEMS",
            "PPIFIS",
            "UMCSENT",
            "UNRATE",
        ]
    )
    quarterly = table["frequency"] == "Q"
    ends = (table["period"] + pd.DateOffset(months=1)).mask(quarterly, table["period"] + pd.DateOffset(months=3))
    lag = (table["available_at"] - ends).dt.days
    first = lag.groupby([table["series"], table["period"]]).min().groupby("series")
    assert (first.min() >= 0).all()  # nothing is known before its period has ended
    assert first.median().to_dict() == pytest.approx(
        {"CPIAUCSL": 13, "CPILFESL": 13, "FEDFUNDS": 2, "GDP": 27, "GDPC1": 27, "INDPRO": 15, "ISM_PMI": 0}
        | {"PAYEMS": 4, "PPIFIS": 12, "UMCSENT": 2, "UNRATE": 4},
        abs=1.0,
    )
    assert table["available_at"].dt.day_of_week.max() < 5
    assert table["period"].min() == pd.Timestamp("2009-01-01")
    assert table["available_at"].max() <= pd.Timestamp("2019-12-31")


def test_macro_values_are_revised_and_the_old_ones_stay(market: Market) -> None:
    releases = market.macro.groupby(["series", "period"])["available_at"].nunique()
    settled = releases[releases.index.get_level_values("period") < pd.Timestamp("2019-01-01")].groupby("series")
    assert settled.min().to_dict() == settled.max().to_dict()
    assert {name: count for name, count in settled.max().items() if count > 1} == {
        "GDP": 3, "GDPC1": 3, "INDPRO": 2, "PAYEMS": 3, "PPIFIS": 2,
    }  # fmt: skip
    growth = market.macro[market.macro["series"] == "GDPC1"].sort_values("available_at")
    versions = growth.groupby("period")["value"].apply(list)
    full = np.array([values for values in versions if len(values) == 3])
    errors = full[:, :2] / full[:, 2:] - 1.0
    assert 0.001 < errors[:, 0].std() < 0.003
    assert 0.0005 < errors[:, 1].std() < 0.0016


def test_reports_fit_together(market: Market) -> None:
    for ticker, reports in market.fundamentals.items():
        assert len(reports) >= 38
        np.testing.assert_allclose(reports["assets"], reports["liabilities"] + reports["equity"])
        np.testing.assert_allclose(reports["net_margin"], reports["net_income"] / reports["revenue"], atol=1e-6)
        np.testing.assert_allclose(
            reports["liabilities_to_equity"], reports["liabilities"] / reports["equity"], atol=1e-6
        )
        later, before = reports.iloc[4:], reports.iloc[:-4]
        for metric in ("revenue", "net_income"):
            growth = later[metric].to_numpy() / before[metric].to_numpy() - 1.0
            np.testing.assert_allclose(later[f"{metric}_yoy"], growth, atol=1e-6)
        income = reports["net_income"].rolling(4).sum().iloc[3:]
        np.testing.assert_allclose(reports["roe_ttm"].iloc[3:], income / reports["equity"].iloc[3:], atol=1e-6)
        np.testing.assert_allclose(reports["roa_ttm"].iloc[3:], income / reports["assets"].iloc[3:], atol=1e-6)
        assert (reports["quick_ratio"] < reports["current_ratio"]).all()
        assert (reports["operating_margin"] < reports["gross_margin"]).all()
        yearly = reports["reported_eps"].rolling(4).sum().iloc[-1]
        assert 2.0 < market.bars[ticker]["raw_close"].iloc[-1] / yearly < 120.0


def test_reports_and_earnings_are_announced_together_weeks_after_the_quarter(market: Market) -> None:
    for ticker, reports in market.fundamentals.items():
        lag = (reports["available_at"] - reports["period_end"]).dt.days
        assert lag.between(21, 54).all()
        assert reports["available_at"].isin(market.days.all).all()
        assert set(reports["period_end"].dt.strftime("%m-%d")) == {"03-31", "06-30", "09-30", "12-31"}
        both = market.earnings[ticker].merge(reports, on=["period_end", "available_at"])
        assert len(both) == len(reports)
        assert (both["reported_eps_x"] == both["reported_eps_y"]).all()


def test_surprises_are_differences(market: Market) -> None:
    for earnings in market.earnings.values():
        np.testing.assert_allclose(
            earnings["surprise"], earnings["reported_eps"] - earnings["estimated_eps"], atol=1e-9
        )
        percent = 100.0 * earnings["surprise"] / earnings["estimated_eps"]
        np.testing.assert_allclose(earnings["surprise_pct"], percent, atol=1e-4)
        assert 2.0 < earnings["surprise_pct"].std() < 25.0


def test_there_are_several_headlines_a_week_and_one_in_four_is_about_nothing(market: Market) -> None:
    for company in market.companies:
        news = market.news[company.ticker]
        weekly = news.set_index("available_at").resample("W").size()
        assert 4.0 < weekly.mean() < 6.5
        assert weekly.max() > 7
        kinds = pd.Series([read_headline(text, company).kind for text in news["headline"]]).value_counts(normalize=True)
        assert kinds.to_dict() == pytest.approx(
            {"relevant": 0.60, "irrelevant": 0.22, "misleading": 0.09, "elsewhere": 0.09}, abs=0.03
        )
        days = news["available_at"]
        assert days.is_monotonic_increasing
        assert days.min() >= pd.Timestamp("2011-11-24")
        assert 0.01 < (days.dt.day_of_week >= 5).mean() < 0.06


def test_tone_follows_the_state_only_where_it_means_something() -> None:
    rows = []
    for seed in range(3):
        market = simulate(seed, strength=2.0)
        for company in market.companies:
            news = market.news[company.ticker]
            states = market.states[company.ticker]
            place = states.index.searchsorted(news["available_at"], side="right") - 1
            for headline, at in zip(news["headline"], place, strict=True):
                story = read_headline(headline, company)
                if at >= 0:
                    rows.append((story.kind, story.impact, story.tone, states.iloc[at]))
    table = pd.DataFrame(rows, columns=["kind", "impact", "tone", "state"])
    relevant = table[table["kind"] == "relevant"]
    assert (relevant["tone"] != 0).mean() == pytest.approx(TONED, abs=0.01)
    slopes = [np.polyfit(part["state"], part["tone"], 1)[0] for _, part in relevant.groupby("impact")]
    expected = 0.085 * 1.5 * 0.657  # slope, loading, share of days on which the channel, sd 3.16, lies within 3
    assert slopes == pytest.approx([expected, 2 * expected, 3 * expected], rel=0.15)
    for kind in ("misleading", "elsewhere"):
        part = table[table["kind"] == kind]
        assert set(part["tone"]) == {-1, 1}
        assert abs(np.corrcoef(part["tone"], part["state"])[0, 1]) < 0.06
    assert set(table.loc[table["kind"] == "irrelevant", "tone"]) == {0}


def test_every_sentence_is_read_back(market: Market) -> None:
    company = market.companies[0]
    sentences = []
    for topic in (*TOPICS, CHATTER, TRIFLES):
        for tone, choices in topic.sentences.items():
            for sentence in choices:
                sentences.append(sentence)
                for draw in (0.0, 0.5, 0.999):
                    kind = {"chatter": "misleading", "trifles": "irrelevant"}.get(topic.name, "relevant")
                    headline = fill(sentence, company, (draw, draw, draw, draw))
                    assert read_headline(headline, company) == Story(kind, topic.name, tone, topic.impact)
                    if topic in TOPICS:
                        other = fill(sentence, company, (draw, draw, draw, draw), RIVALS[2])
                        assert read_headline(other, company).kind == "elsewhere"
    assert len(set(sentences)) == len(sentences) > 60


def test_a_headline_of_another_hand_is_refused(market: Market) -> None:
    with pytest.raises(ValueError, match="'Orvane buys a bank' is not of the invented grammar"):
        read_headline("Orvane buys a bank", market.companies[0])


def test_no_real_name_appears() -> None:
    market = simulate(1, 40)
    texts = [text for news in market.news.values() for text in news["headline"]]
    texts += [word for one in market.companies for word in (one.name, *one.products, *one.executives)]
    pattern = re.compile(r"\b(" + "|".join(REAL_NAMES) + r")\b")
    assert not [text for text in texts if pattern.search(text)]
    named = [
        news["headline"].str.contains(one.short_name).mean()
        for one, news in zip(market.companies, market.news.values(), strict=True)
    ]
    assert min(named) > 0.7


def test_news_begins_before_the_first_bar_and_dates_are_real_days(market: Market) -> None:
    first = min(news["available_at"].min() for news in market.news.values())
    assert first.date() <= market.world.first - datetime.timedelta(days=35)
    assert set(market.news["ORVN"]["source"]) == {"newswire", "company release", "trade press", "blog", "message board"}
