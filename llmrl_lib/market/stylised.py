"""Stylised facts of daily returns (Cont 2001), on any bars: what an invented market must share with real ones."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

LEAST = 130  # returns
TAIL = 0.05  # share of the largest absolute returns in Hill's estimator
REAL_SOURCE = (
    "six American technology stocks, daily closes adjusted for splits and dividends from Yahoo Finance, "
    "2012-01-03 to 2019-12-31 (META from 2012-05-18); computed by stylised_facts"
)
FACTS = {  # column: its name for readers
    "volatility": "volatility, a year",
    "autocorrelation": "autocorrelation of returns, lag 1",
    "absolute_1": "the same of their size, lags 1-5",
    "absolute_20": "the same, lags 18-22",
    "absolute_60": "the same, lags 55-65",
    "tail_index": "tail index (Hill)",
    "leverage": "leverage, lags 1-10",
    "cross_correlation": "correlation with other tickers",
}
_REAL = {
    "AAPL": (0.256, 0.014, 0.085, 0.054, 0.037, 3.165, -0.049, 0.345),
    "AMZN": (0.297, 0.002, 0.110, 0.039, 0.050, 2.581, -0.018, 0.414),
    "GOOGL": (0.231, 0.020, 0.080, 0.024, 0.015, 2.802, -0.007, 0.438),
    "META": (0.362, 0.004, 0.136, 0.097, 0.096, 2.903, -0.013, 0.327),
    "MSFT": (0.227, -0.042, 0.103, 0.020, 0.009, 3.269, -0.022, 0.400),
    "TSLA": (0.499, -0.015, 0.070, 0.047, 0.040, 2.634, 0.002, 0.250),
}


def stylised_facts(bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row per ticker from its ``close``; simple returns r of a day.

    - ``volatility``: standard deviation, a year (252 days)
    - ``autocorrelation``: of r at lag 1; near 0
    - ``absolute_1``, ``absolute_20``, ``absolute_60``: of abs(r), mean over lags 1-5, 18-22, 55-65; positive, decaying slowly
    - ``tail_index``: Hill's estimator (1975) on the largest 5% of abs(r - mean); 3 to 5 for stocks; nan where fewer
      than 5% of r are not zero
    - ``leverage``: correlation of r with r^2 on later days, mean over lags 1-10; negative
    - ``cross_correlation``: mean correlation of r with the other tickers on common dates; nan for a single one

    Raises ValueError for fewer than 130 returns or a price that never moves.
    """
    returns = {ticker: frame["close"].pct_change().iloc[1:] for ticker, frame in bars.items()}
    for ticker, series in returns.items():
        if not _enough(series):
            raise ValueError(f"{ticker} has {len(series)} daily returns; {LEAST} that are not all equal are needed")
    together = pd.DataFrame(returns).corr()
    rows = {}
    for ticker, series in returns.items():
        values = series.to_numpy()
        size = np.abs(values)
        rows[ticker] = {
            "volatility": values.std(ddof=1) * np.sqrt(252.0),
            "autocorrelation": _lagged(values, values, 1),
            "absolute_1": np.mean([_lagged(size, size, lag) for lag in range(1, 6)]),
            "absolute_20": np.mean([_lagged(size, size, lag) for lag in range(18, 23)]),
            "absolute_60": np.mean([_lagged(size, size, lag) for lag in range(55, 66)]),
            "tail_index": hill_index(values - values.mean()) if (values != 0.0).mean() > TAIL else np.nan,
            "leverage": np.mean([_lagged(values, values**2, lag) for lag in range(1, 11)]),
            "cross_correlation": together[ticker].drop(ticker).mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(FACTS)).rename_axis("ticker")


def real_facts() -> pd.DataFrame:
    """The same figures for real stocks, as facts to compare with; see ``REAL_SOURCE``."""
    return pd.DataFrame.from_dict(_REAL, orient="index", columns=list(FACTS)).rename_axis("ticker")


def beside_real_stocks(bars: Mapping[str, pd.DataFrame], ticker: str | None = None) -> pd.DataFrame:
    """The facts of ``ticker`` beside the mean of all tickers in ``bars``, and mean and range of real stocks; a row per fact.

    Without a ticker, the mean alone stands beside the real stocks. Cells are text. Tickers with too few returns or a price
    that never moves are left out; if ``ticker`` is one of them, or none is left, there are no rows.
    """
    usable = {name: frame for name, frame in bars.items() if _enough(frame["close"].pct_change().iloc[1:])}
    if not usable or (ticker is not None and ticker not in usable):
        return pd.DataFrame(columns=[ticker or "mean"])
    ours, real = stylised_facts(usable), real_facts()
    columns = {} if ticker is None else {ticker: ours.loc[ticker]}
    if len(usable) > 1:
        columns[f"mean of {len(usable)} tickers"] = ours.mean()
    elif ticker is None:
        columns[next(iter(usable))] = ours.iloc[0]
    columns["real stocks"] = real.mean()
    table = pd.DataFrame(columns).map(lambda value: "-" if np.isnan(value) else f"{round(value, 2) + 0.0:.2f}")
    table["their range"] = [f"{real[name].min():.2f} to {real[name].max():.2f}" for name in table.index]
    return table.rename(index=FACTS).rename_axis(None)


def hill_index(values: np.ndarray, share: float = TAIL) -> float:
    """Hill's tail index: k / sum of ln(x_i / x_{k+1}) over the k largest absolute values, k = ``share`` of them.

    nan where there is no tail to measure: value k + 1 is zero (fewer than ``share`` of the values differ from it), or none
    of the k largest is larger than it.
    """
    ordered = np.sort(np.abs(values))[::-1]
    largest = max(1, int(share * len(ordered)))
    threshold = ordered[largest]
    if threshold == 0.0 or ordered[0] == threshold:
        return float("nan")
    return float(largest / np.log(ordered[:largest] / threshold).sum())


def _enough(returns: pd.Series) -> bool:
    return len(returns) >= LEAST and bool(returns.std() > 0.0)


def _lagged(earlier: np.ndarray, later: np.ndarray, lag: int) -> float:
    """Correlation of ``earlier`` with ``later`` that many days on; nan where one of them does not vary."""
    before, after = earlier[:-lag], later[lag:]
    return float(np.corrcoef(before, after)[0, 1]) if before.std() > 0.0 and after.std() > 0.0 else float("nan")
