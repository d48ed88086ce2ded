"""What a path of daily returns and equity was worth: standard measures, and the TDQN benchmark's own ones by name.

Every function takes arrays with time on the last axis and broadcasts over the leading ones; rates are fractions, not
percentages; a year is 252 rows unless calendar days are asked for. Outcomes at the edges, everywhere the same:

- fewer than 2 rows (3 for the skewness), or a NaN anywhere in a path: NaN for that path;
- no spread (all returns equal): a Sharpe ratio of 0, as in the benchmark;
- nothing lost and something gained: a Sortino, Calmar or profit/loss ratio of infinity; nothing at all happened: 0;
- ruined (the growth factor or equity is not positive): an annual return of -1; turnover and exposure NaN.

Sources: Sharpe (1994), Sortino and Price (1994), Young (1991) for Calmar, and Theate & Ernst, "An application of deep
reinforcement learning to algorithmic trading" (2021), whose public code defines the functions named `benchmark_...`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]

ROWS_PER_YEAR = 252
DAYS_PER_YEAR = 365


def benchmark_metrics(
    daily_returns: ArrayLike, equity: ArrayLike, trade_marks: ArrayLike, calendar_days: float
) -> dict[str, Values]:
    """The ten measures of the TDQN benchmark for paths of shape (..., row).

    The benchmark computes them over all rows of a split, including the flat ones before the first trade: put those in
    front with `prepend`. `calendar_days` is the number of days from the first row's date to the last row's.
    Returns arrays of shape (...) under the names profit_and_loss (currency), benchmark_annual_return,
    annual_volatility, profitability, profit_loss_ratio, sharpe_ratio, benchmark_sortino_ratio, benchmark_max_drawdown,
    benchmark_max_drawdown_rows and skewness.
    """
    profitability, profit_loss_ratio = benchmark_trades(equity, trade_marks)
    drawdown, drawdown_rows = benchmark_max_drawdown(equity)
    return {
        "profit_and_loss": profit_and_loss(equity),
        "benchmark_annual_return": benchmark_annual_return(daily_returns, calendar_days),
        "annual_volatility": annual_volatility(daily_returns),
        "profitability": profitability,
        "profit_loss_ratio": profit_loss_ratio,
        "sharpe_ratio": sharpe_ratio(daily_returns),
        "benchmark_sortino_ratio": benchmark_sortino_ratio(daily_returns),
        "benchmark_max_drawdown": drawdown,
        "benchmark_max_drawdown_rows": drawdown_rows,
        "skewness": skewness(daily_returns),
    }


def all_metrics(
    daily_returns: ArrayLike,
    equity: ArrayLike,
    cash: ArrayLike,
    holdings: ArrayLike,
    trade_marks: ArrayLike,
    calendar_days: float,
) -> dict[str, Values]:
    """`benchmark_metrics` and the standard measures beside them, for paths of shape (..., row).

    Adds annual_return (geometric), sortino_ratio, calmar_ratio, max_drawdown (largest relative), turnover, exposure and
    net_exposure. Rows are those of `benchmark_metrics`, so flat rows in front count in every mean.
    """
    return {
        **benchmark_metrics(daily_returns, equity, trade_marks, calendar_days),
        "annual_return": annual_return(daily_returns),
        "sortino_ratio": sortino_ratio(daily_returns),
        "calmar_ratio": calmar_ratio(daily_returns),
        "max_drawdown": max_drawdown(equity),
        "turnover": turnover(cash, equity),
        "exposure": exposure(holdings, equity),
        "net_exposure": net_exposure(holdings, equity),
    }


def prepend(values: ArrayLike, rows: int, value: float = 0.0) -> Values:
    """`values` (..., row) with `rows` rows of `value` in front, as an account shows before its first trade."""
    values = _floats(values)
    return np.concatenate([np.full((*values.shape[:-1], rows), value), values], axis=-1)


# Standard measures


def sharpe_ratio(daily_returns: ArrayLike) -> Values:
    """Annualised Sharpe ratio: sqrt(252) * mean / standard deviation (ddof 1), with a risk-free rate of 0."""
    returns = _floats(daily_returns)
    if returns.shape[-1] < 2:
        return _nothing(returns)
    flat = returns.max(-1) == returns.min(-1)
    ratio = _ratio(returns.mean(-1), returns.std(-1, ddof=1))
    return _where(flat, 0.0, np.sqrt(ROWS_PER_YEAR) * ratio)


def sharpe_standard_error(sharpe: float, rows: int) -> float:
    """Standard error of an annualised Sharpe ratio estimated from `rows` independent daily returns.

    sqrt((1 + S^2 / 2) / rows) for the daily ratio S, annualised (Lo 2002, equation 9): 0.71 for two years and any usual
    ratio. It speaks of the one price path that there is, not of seeds.
    """
    return float(np.sqrt((ROWS_PER_YEAR + sharpe**2 / 2.0) / rows))


def sortino_ratio(daily_returns: ArrayLike) -> Values:
    """Annualised Sortino ratio: sqrt(252) * mean / downside deviation about 0, taken over all rows."""
    returns = _floats(daily_returns)
    if returns.shape[-1] < 2:
        return _nothing(returns)
    downside = np.sqrt((np.minimum(returns, 0.0) ** 2).mean(-1))
    return np.sqrt(ROWS_PER_YEAR) * _ratio(returns.mean(-1), downside)


def annual_volatility(daily_returns: ArrayLike) -> Values:
    """Annualised standard deviation: sqrt(252) * standard deviation (ddof 1)."""
    returns = _floats(daily_returns)
    if returns.shape[-1] < 2:
        return _nothing(returns)
    return np.sqrt(ROWS_PER_YEAR) * returns.std(-1, ddof=1)


def annual_return(daily_returns: ArrayLike) -> Values:
    """Geometric annual return: product of (1 + r) to the power 252 / rows, less 1; -1 for a product of 0 or less."""
    returns = _floats(daily_returns)
    if returns.shape[-1] < 2:
        return _nothing(returns)
    return np.maximum((1.0 + returns).prod(-1), 0.0) ** (ROWS_PER_YEAR / returns.shape[-1]) - 1.0


def calmar_ratio(daily_returns: ArrayLike) -> Values:
    """Geometric annual return over the largest relative drawdown of the compounded returns."""
    returns = _floats(daily_returns)
    if returns.shape[-1] < 2:
        return _nothing(returns)
    growth = prepend((1.0 + returns).cumprod(-1), 1, 1.0)
    return _ratio(annual_return(returns), max_drawdown(growth))


def max_drawdown(equity: ArrayLike) -> Values:
    """Largest relative drawdown, 1 - equity / running maximum; above 1 when equity falls below zero."""
    equity = _floats(equity)
    if equity.shape[-1] < 2:
        return _nothing(equity)
    return drawdowns(equity).max(-1)


def drawdowns(equity: ArrayLike) -> Values:
    """The relative drawdown at each row, 1 - equity / running maximum, shape (..., row); the first row is positive."""
    equity = _floats(equity)
    return 1.0 - equity / np.maximum.accumulate(equity, -1)


def turnover(cash: ArrayLike, equity: ArrayLike) -> Values:
    """Money paid and received for shares in a year, costs included, in multiples of the equity before each trade.

    Nothing but trades moves the cash of an account here, so the change of cash from row to row is the traded value.
    """
    cash, equity = np.broadcast_arrays(_floats(cash), _floats(equity))
    if equity.shape[-1] < 2:
        return _nothing(equity)
    before = equity[..., :-1]
    traded = np.divide(np.abs(np.diff(cash, axis=-1)), before, out=np.full(before.shape, np.nan), where=before > 0)
    return ROWS_PER_YEAR * traded.mean(-1)


def exposure(holdings: ArrayLike, equity: ArrayLike) -> Values:
    """Mean over rows of |holdings| / equity: how much of the account was at stake, long or short."""
    return net_exposure(np.abs(_floats(holdings)), equity)


def net_exposure(holdings: ArrayLike, equity: ArrayLike) -> Values:
    """Mean over rows of holdings / equity: +1 always fully long, -1 always fully short."""
    holdings, equity = np.broadcast_arrays(_floats(holdings), _floats(equity))
    if equity.shape[-1] < 2:
        return _nothing(equity)
    share = np.divide(holdings, equity, out=np.full(equity.shape, np.nan), where=equity > 0)
    return share.mean(-1)


def skewness(daily_returns: ArrayLike) -> Values:
    """Skewness corrected for bias (adjusted Fisher-Pearson coefficient, as pandas computes it); 0 without spread."""
    returns = _floats(daily_returns)
    rows = returns.shape[-1]
    if rows < 3:
        return _nothing(returns)
    deviations = returns - returns.mean(-1, keepdims=True)
    second, third = (deviations**2).mean(-1), (deviations**3).mean(-1)
    flat = returns.max(-1) == returns.min(-1)
    coefficient = np.sqrt(rows * (rows - 1)) / (rows - 2) * _ratio(third, second**1.5)
    return _where(flat, 0.0, coefficient)


def profit_and_loss(equity: ArrayLike) -> Values:
    """Equity at the last row less equity at the first, in the account's currency."""
    equity = _floats(equity)
    if equity.shape[-1] < 2:
        return _nothing(equity)
    return _where(np.isnan(equity).any(-1), np.nan, equity[..., -1] - equity[..., 0])


# The benchmark's own definitions


def benchmark_annual_return(daily_returns: ArrayLike, calendar_days: float) -> Values:
    """The benchmark's annual return, (1 + S)^(365 / calendar days) - 1, where S is the plain sum of the daily returns.

    -1 if S is -1 or less. Raises ValueError if `calendar_days` is not positive.
    """
    returns = _floats(daily_returns)
    if not calendar_days > 0:
        raise ValueError(f"calendar_days is {calendar_days}; give the days from the first row's date to the last row's")
    if returns.shape[-1] < 2:
        return _nothing(returns)
    return np.maximum(1.0 + returns.sum(-1), 0.0) ** (DAYS_PER_YEAR / calendar_days) - 1.0


def benchmark_sortino_ratio(daily_returns: ArrayLike) -> Values:
    """The benchmark's Sortino ratio: sqrt(252) * mean / standard deviation (ddof 0) of the negative returns.

    The deviation is about the negative returns' own mean, so that equal losses count as no risk. 0 if it is 0 or if
    there are no negative returns.
    """
    returns = _floats(daily_returns)
    if returns.shape[-1] < 2:
        return _nothing(returns)
    lost = returns < 0
    count = np.maximum(lost.sum(-1), 1)
    mean = np.where(lost, returns, 0.0).sum(-1) / count
    variance = (np.where(lost, returns - mean[..., None], 0.0) ** 2).sum(-1) / count
    smallest, largest = np.where(lost, returns, np.inf).min(-1), np.where(lost, returns, -np.inf).max(-1)
    ratio = np.sqrt(ROWS_PER_YEAR) * _ratio(returns.mean(-1), np.sqrt(variance))
    risk_free = (smallest >= largest) & ~np.isnan(returns).any(-1)  # at most one distinct loss
    return _where(risk_free, 0.0, ratio)


def benchmark_max_drawdown(equity: ArrayLike) -> tuple[Values, Values]:
    """The benchmark's drawdown: the relative depth of the largest ABSOLUTE drawdown, and its duration in rows.

    The trough is the first row at which running maximum - equity is largest in money, the peak the first highest row
    before it. A small early fall can be deeper in relative terms: see `max_drawdown`. (0, 0) if equity never falls.
    """
    equity = _floats(equity)
    if equity.shape[-1] < 2:
        return _nothing(equity), _nothing(equity)
    trough = (np.maximum.accumulate(equity, -1) - equity).argmax(-1)[..., None]
    before = np.arange(equity.shape[-1]) < np.maximum(trough, 1)
    peak = np.where(before, equity, -np.inf).argmax(-1)[..., None]
    top, bottom = np.take_along_axis(equity, peak, -1)[..., 0], np.take_along_axis(equity, trough, -1)[..., 0]
    known = ~np.isnan(equity).any(-1)
    return _where(known, _ratio(top - bottom, top), np.nan), _where(known, (trough - peak)[..., 0], np.nan)


def benchmark_trades(equity: ArrayLike, trade_marks: ArrayLike) -> tuple[Values, Values]:
    """The benchmark's profitability (share of trades that did not lose) and mean gain over mean loss of a trade.

    A trade runs from a row whose mark is not 0 to the next one, or to the last row; its profit is the difference in
    equity. The cost of opening it therefore belongs to the trade before. Without trades both are 0; without losses the
    second is infinite.
    """
    equity, marks = np.broadcast_arrays(_floats(equity), _floats(trade_marks))
    rows = equity.shape[-1]
    if rows < 2:
        return _nothing(equity), _nothing(equity)
    marked = marks != 0
    latest = np.maximum.accumulate(np.where(marked, np.arange(rows), -1), -1)  # the latest marked row, -1 if none yet
    opened = np.concatenate([np.full_like(latest[..., :1], -1), latest[..., :-1]], -1)
    closes = marked & (opened >= 0)
    profit = equity - np.take_along_axis(equity, np.maximum(opened, 0), -1)
    last = equity[..., -1] - np.take_along_axis(equity, np.maximum(latest[..., -1:], 0), -1)[..., 0]
    profit = np.concatenate([np.where(closes, profit, 0.0), last[..., None]], -1)
    closes = np.concatenate([closes, latest[..., -1:] >= 0], -1)
    good, bad = closes & (profit >= 0), closes & (profit < 0)
    gain = np.where(good, profit, 0.0).sum(-1) / np.maximum(good.sum(-1), 1)
    loss = -np.where(bad, profit, 0.0).sum(-1) / np.maximum(bad.sum(-1), 1)
    traded, known = closes.any(-1), ~(np.isnan(equity).any(-1) | np.isnan(marks).any(-1))
    profitability = good.sum(-1) / np.maximum(closes.sum(-1), 1)
    ratio = np.where(traded, np.where(bad.any(-1), _ratio(gain, loss), np.inf), 0.0)
    return _where(known, profitability, np.nan), _where(known, ratio, np.nan)


def _floats(values: ArrayLike) -> Values:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0:
        raise ValueError(f"got the single number {values!r}; metrics need a series, with time on the last axis")
    return array


def _nothing(values: Values) -> Values:
    return np.full(values.shape[:-1], np.nan)[()]


def _ratio(over: Any, under: Any) -> Values:
    """over / under; where under is 0: infinite with the sign of over, or 0 if that is 0 too."""
    over, under = np.broadcast_arrays(np.asarray(over, np.float64), np.asarray(under, np.float64))
    limit = np.where(over > 0, np.inf, np.where(over < 0, -np.inf, over))
    return np.divide(over, under, out=limit, where=under != 0)[()]


def _where(condition: Any, yes: Any, no: Any) -> Values:
    return np.where(condition, yes, no)[()]  # a number rather than an array without axes
