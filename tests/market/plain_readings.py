"""What a plain reader takes from each category of tables, without knowing the market's equations, and a linear fit to it.

The forecasts that come out are the measure of what the tables really show: their information coefficients are to agree with
the true ones, which were computed from the equations alone.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.synthetic import CATEGORIES, Market, read_headline
from llmrl_lib.market.synthetic.companies import Company
from llmrl_lib.market.synthetic.measure import next_returns


def readings(dataset: Dataset, company: Company) -> dict[str, np.ndarray]:
    """Numbers known at each close of a company, by category; each of shape (date, reading)."""
    bars, options = dataset.bars(company.ticker), dataset.options(company.ticker)
    dates = bars.index
    index = dataset.indices["spx_close"].pct_change()
    own = (bars["close"].pct_change() - company.beta * index) / company.daily_sd
    survey = dataset.macro[dataset.macro["series"] == "ISM_PMI"]
    accounts, surprises = dataset.fundamentals(company.ticker), dataset.earnings(company.ticker)
    groups = (
        [_fading(moves, half) for moves in (own, index / 0.01) for half in (10, 25)],
        [options["skew_30d"]],
        _latest(survey["available_at"], survey["value"] - 52.0, dates),
        _latest(accounts["available_at"], accounts["revenue_yoy"] - company.growth, dates),
        _latest(surprises["available_at"], surprises["surprise_pct"] - 3.0, dates),
        _tones(dataset.news(company.ticker), company, dates),
    )
    stacked = [np.stack([np.asarray(one, dtype=float) for one in group], axis=1) for group in groups]
    return dict(zip(CATEGORIES, stacked, strict=True))


def fitted_ics(markets: Sequence[Market]) -> pd.DataFrame:
    """A row per category: the information coefficient of a linear fit on markets that it was not fitted on, and its error.

    One line for all companies, whose returns are divided by their standard deviations; fitted on one half of the markets
    and judged on the other, both ways. The coefficient is a mean over companies; its error is the jackknife's over markets.
    """
    tables = [_tables(market) for market in markets]
    result = []
    for category in CATEGORIES:
        lines = [_line([one for market in tables[half::2] for one in market], category) for half in (0, 1)]
        judged = [
            [(one[category] @ lines[1 - number % 2], one["outcome"]) for one in market]
            for number, market in enumerate(tables)
        ]
        coefficient, error = 0.0, 0.0
        for half in (judged[::2], judged[1::2]):  # apart, because their lines have different lengths
            left_out = np.array([_ic([*half[:number], *half[number + 1 :]]) for number in range(len(half))])
            coefficient += _ic(half) / 2.0
            error += (len(half) - 1) / len(half) * float(((left_out - left_out.mean()) ** 2).sum()) / 4.0
        result.append((category, coefficient, error**0.5))
    return pd.DataFrame(result, columns=["category", "fitted", "standard_error"])


def _line(tables: Sequence[dict[str, np.ndarray]], category: str) -> np.ndarray:
    """Least-squares slopes of the outcome on the readings, with a constant that is left out."""
    left = np.concatenate([np.column_stack([np.ones(len(one["outcome"])), one[category]]) for one in tables])
    return np.linalg.lstsq(left, np.concatenate([one["outcome"] for one in tables]), rcond=None)[0][1:]


def _ic(judged: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]]) -> float:
    """Mean over companies of the correlation over all markets."""
    values = []
    for company in zip(*judged, strict=True):
        forecast, outcome = (np.concatenate(part) for part in zip(*company, strict=True))
        values.append(np.corrcoef(forecast, outcome)[0, 1])
    return float(np.mean(values))


def _tables(market: Market) -> list[dict[str, np.ndarray]]:
    """Readings by category and outcomes of each company, on dates that have an outcome."""
    dataset, result = market.dataset(), []
    sds = market.truth_ic.groupby("ticker")["volatility"].first()
    for company in market.companies:
        outcome = next_returns(dataset.bars(company.ticker)["close"]).to_numpy() / sds[company.ticker]
        known = ~np.isnan(outcome)
        table = {name: one[known] for name, one in readings(dataset, company).items()}
        result.append({**table, "outcome": outcome[known]})
    return result


def _fading(values: pd.Series, half_life: float) -> np.ndarray:
    """A sum of values so far that fade with their age."""
    return values.fillna(0.0).ewm(halflife=half_life, adjust=False).mean().to_numpy()


def _latest(available: pd.Series, values: pd.Series, dates: pd.DatetimeIndex) -> list[np.ndarray]:
    """The latest value published before each date, fading with its age at two speeds; 0 before there is one."""
    row = np.searchsorted(available.to_numpy(), dates.to_numpy(), side="left") - 1
    shown = np.where(row >= 0, values.to_numpy()[np.maximum(row, 0)], 0.0)
    age = (dates.to_numpy() - available.to_numpy()[np.maximum(row, 0)]) / np.timedelta64(1, "D") * 252 / 365
    return [shown * 0.5 ** (age / half_life) for half_life in (20, 40)]


def _tones(news: pd.DataFrame, company: Company, dates: pd.DatetimeIndex) -> list[np.ndarray]:
    """Sums of tone times impact of headlines about the business, fading at two speeds."""
    row = np.searchsorted(dates.to_numpy(), news["available_at"].to_numpy(), side="right")  # usable from there on
    stories = [read_headline(headline, company) for headline in news["headline"]]
    weights = [story.tone * story.impact * (story.kind == "relevant") for story in stories]
    days = np.bincount(np.minimum(row, len(dates)), weights=weights, minlength=len(dates) + 1)[: len(dates)]
    days[0] = 0.0  # the headlines of the weeks before the first date
    return [_fading(pd.Series(days), half_life) for half_life in (8, 20)]
