"""Information coefficients as measured on simulated markets, to be held against the true ones."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from llmrl_lib.market.synthetic.market import Market
from llmrl_lib.market.synthetic.truth import FORECASTERS
from llmrl_lib.market.synthetic.world import HORIZON, PHI

Forecast = Callable[[Market], pd.DataFrame]


def measured_ics(markets: Iterable[Market], forecast: Forecast | None = None) -> pd.DataFrame:
    """A row per forecaster: ``forecaster, true, measured, standard_error``, each a mean over companies.

    ``forecast`` gives a frame by ``date`` with ``ticker`` and a column per forecaster; by default it is the market's truth.
    The correlation with the return over the next 20 trading days is taken over all markets and dates of a company; its
    standard error is the jackknife's over markets, which are independent. Raises ValueError for fewer than two markets
    or markets of different companies.
    """
    sums, truths, companies = [], [], set()
    for market in markets:
        sums.append(_moments(market, market.truth if forecast is None else forecast(market)))
        truths.append(market.truth_ic.groupby("forecaster")["ic"].mean())
        companies.add(tuple(company.ticker for company in market.companies))
    if len(sums) < 2 or len(companies) > 1:
        raise ValueError(f"{len(sums)} markets of {len(companies)} sets of companies; give two or more of the same")
    each = np.stack(sums)  # (market, company, forecaster, moment)
    left_out = np.stack([_mean_ic(each.sum(axis=0) - one) for one in each])
    spread = left_out - left_out.mean(axis=0)
    error = np.sqrt((len(each) - 1) / len(each) * (spread * spread).sum(axis=0))
    true = pd.concat(truths, axis=1).mean(axis=1).reindex(list(FORECASTERS))
    columns = {"true": true.to_numpy(), "measured": _mean_ic(each.sum(axis=0)), "standard_error": error}
    return pd.DataFrame({"forecaster": list(FORECASTERS), **columns})


def ics_of(closes: pd.Series, truth: pd.DataFrame, truth_ic: pd.DataFrame) -> pd.DataFrame:
    """One company's coefficients, a row per forecaster: ``true, measured, standard_error``.

    ``closes`` by date, ``truth`` and ``truth_ic`` the company's rows. The standard error is that of a forecast that knows
    nothing and fades as the state does (Bartlett 1946): 20-day returns of neighbouring dates overlap, so that

        variance = sum over lags k of phi^|k| (1 - |k| / 20), divided by the number of dates.
    """
    outcome = next_returns(closes).dropna()
    forecasts = truth.loc[outcome.index, list(FORECASTERS)]
    measured = [
        float(np.corrcoef(forecasts[name], outcome)[0, 1]) if forecasts[name].std() > 0.0 else 0.0
        for name in FORECASTERS
    ]
    together = 1.0 + 2.0 * sum(PHI**lag * (1.0 - lag / HORIZON) for lag in range(1, HORIZON))
    true = truth_ic.set_index("forecaster")["ic"].reindex(list(FORECASTERS))
    error = float(np.sqrt(together / len(outcome)))
    return pd.DataFrame({"true": true, "measured": measured, "standard_error": error}).rename_axis(None)


def next_returns(closes: pd.Series) -> pd.Series:
    """The simple return over the next 20 trading days; nan on the last 20."""
    return closes.shift(-HORIZON) / closes - 1.0


def _moments(market: Market, forecasts: pd.DataFrame) -> np.ndarray:
    """Count, sums and sums of products of forecast and return; shape (company, forecaster, 6)."""
    rows = []
    for company in market.companies:
        known = forecasts.loc[forecasts["ticker"] == company.ticker]
        outcome = next_returns(market.bars[company.ticker]["close"]).dropna()
        table = known.loc[outcome.index, list(FORECASTERS)].to_numpy()
        returns = outcome.to_numpy()[:, None]
        products = [np.ones_like(table), table, returns + 0.0 * table, table * table, table * returns]
        rows.append(np.stack([one.sum(axis=0) for one in (*products, returns * returns + 0.0 * table)], axis=-1))
    return np.stack(rows)


def _mean_ic(moments: np.ndarray) -> np.ndarray:
    """Mean over companies of the correlations, 0 where a forecast never moves; shape (forecaster,)."""
    count, x, y, xx, xy, yy = np.moveaxis(moments, -1, 0)
    var_x, var_y = xx - x * x / count, yy - y * y / count
    moves = var_x > 1e-12
    ic = np.where(moves, (xy - x * y / count) / np.sqrt(np.where(moves, var_x, 1.0) * var_y), 0.0)
    return np.asarray(ic.mean(axis=0))
