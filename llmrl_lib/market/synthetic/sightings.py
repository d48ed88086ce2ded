"""What the published tables of an invented market show of the channels, day by day: the input of its best forecasters.

Only published figures are read, none of the latent ones. A row with ``available_at`` stands on the last trading day up
to that date and may be used from the next trading day on.
"""

import datetime
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from llmrl_lib.market.synthetic.chain import SKEW_MEAN, SKEW_SLOPE
from llmrl_lib.market.synthetic.companies import Company
from llmrl_lib.market.synthetic.days import Days, month_ends
from llmrl_lib.market.synthetic.grammar import read_headline
from llmrl_lib.market.synthetic.macro import PMI, pmi_channel
from llmrl_lib.market.synthetic.news import TONE_BOUND, TONE_SLOPE, TONED
from llmrl_lib.market.synthetic.reports import GROWTH_SLOPE, SURPRISE_MEAN, SURPRISE_SLOPE
from llmrl_lib.market.synthetic.returns import MARKET_DRIFT
from llmrl_lib.market.synthetic.world import World

if TYPE_CHECKING:
    from llmrl_lib.market.synthetic.market import Market


@dataclass(frozen=True)
class Sightings:
    """Observations by trading day, nan on days without one; shapes (days,) and (days, company)."""

    market_return: np.ndarray  # of the broad index, less its mean
    own_return: np.ndarray  # of the company, less its mean and beta times the index
    options: np.ndarray  # the channel
    macro: np.ndarray  # the channel at the last month's end, on the day of publication
    fundamentals: np.ndarray  # the channel at the last quarter's end, on the day of announcement
    earnings: np.ndarray  # channel and noise, on the day of announcement
    news: np.ndarray  # the channel, from all headlines of a day
    news_variance: np.ndarray  # of the error of that
    month_end: np.ndarray  # True on the last trading day of a month
    quarter_end: np.ndarray
    reaction: np.ndarray  # True on the day after an announcement


def sightings_of(market: "Market") -> Sightings:
    """Read the published tables of a market."""
    days, companies = market.days, market.companies
    returns = _returns(market.indices["spx_close"], days) - MARKET_DRIFT
    own = [
        _returns(market.bars[company.ticker]["close"], days) - company.drift - company.beta * (returns + MARKET_DRIFT)
        for company in companies
    ]
    survey = market.macro[market.macro["series"] == PMI]
    surprises = [market.earnings[company.ticker] for company in companies]
    told = [_news(market.news[company.ticker], company, days, market.world) for company in companies]
    announced = np.stack([_placed(days, table, _surprise(table)) for table in surprises], axis=1)
    ends = month_ends(days.dates[0], days.dates[-1])
    return Sightings(
        market_return=returns,
        own_return=np.stack(own, axis=1),
        options=np.stack([_skew(market.options[company.ticker], days) for company in companies], axis=1),
        macro=_placed(days, survey, pmi_channel(survey["value"])),
        fundamentals=np.stack(
            [_growth(market.fundamentals[company.ticker], company, days) for company in companies], axis=1
        ),
        earnings=announced,
        news=np.stack([values for values, _ in told], axis=1),
        news_variance=np.stack([variance for _, variance in told], axis=1),
        month_end=_marked(days, ends),
        quarter_end=_marked(days, [end for end in ends if end.month % 3 == 0]),
        reaction=np.concatenate([np.zeros((1, len(companies)), bool), ~np.isnan(announced[:-1])]),
    )


def tone_slope(impact: int, loading: float, strength: float) -> float:
    """Slope of the least-squares line of a headline's tone on its channel, which is held within TONE_BOUND."""
    deviation = math.sqrt(1.0 + loading * loading * strength * strength)
    return TONE_SLOPE * impact * math.erf(TONE_BOUND / (deviation * math.sqrt(2.0)))


def _returns(closes: pd.Series, days: Days) -> np.ndarray:
    returns = np.full(len(days), np.nan)
    values = closes.to_numpy()
    returns[days.start + 1 : days.start + len(values)] = values[1:] / values[:-1] - 1.0
    return returns


def _skew(options: pd.DataFrame, days: Days) -> np.ndarray:
    shown = np.full(len(days), np.nan)
    shown[days.start : days.start + len(options)] = (options["skew_30d"].to_numpy() - SKEW_MEAN) / SKEW_SLOPE
    return shown


def _growth(reports: pd.DataFrame, company: Company, days: Days) -> np.ndarray:
    return _placed(days, reports, (reports["revenue_yoy"].to_numpy() - company.growth) / GROWTH_SLOPE)


def _surprise(earnings: pd.DataFrame) -> np.ndarray:
    return (earnings["surprise_pct"].to_numpy() - SURPRISE_MEAN) / SURPRISE_SLOPE


def _news(news: pd.DataFrame, company: Company, days: Days, world: World) -> tuple[np.ndarray, np.ndarray]:
    """The channel as a day's headlines about the business show it, each weighted by its slope, and the error's variance."""
    loading = world.loading("news")
    total = 1.0 + (loading * world.strength) ** 2
    slopes = {impact: tone_slope(impact, loading, world.strength) for impact in (1, 2, 3)}
    weight, weighted = np.zeros(len(days)), np.zeros(len(days))
    for moment, headline in zip(news["available_at"], news["headline"], strict=True):
        story = read_headline(headline, company)
        if story.kind == "relevant":
            slope = slopes[story.impact]
            precision = slope / (TONED - slope * slope * total)
            position = days.at(moment)
            weighted[position] += precision * story.tone
            weight[position] += precision * slope
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight > 0.0, weighted / weight, np.nan), np.where(weight > 0.0, 1.0 / weight, np.nan)


def _placed(days: Days, table: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    placed = np.full(len(days), np.nan)
    placed[[days.at(moment) for moment in table["available_at"]]] = values
    return placed


def _marked(days: Days, ends: Iterable[datetime.date]) -> np.ndarray:
    marked = np.zeros(len(days), dtype=bool)
    marked[[days.at(end) for end in ends]] = True
    return marked
