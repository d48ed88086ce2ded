"""From a simulated trajectory to its table of metrics, over the same rows as the TDQN benchmark takes."""

from __future__ import annotations

import pandas as pd

from llmrl_lib import metrics


def performance(trajectory: pd.DataFrame, dates: pd.DatetimeIndex, cash: float = 100_000.0) -> dict[str, float]:
    """All metrics of one trajectory of `simulate`, by name (see `metrics.all_metrics`).

    `dates` are those of all bars of the split (the bars' index), the warm-up rows before the first trade included: the
    benchmark counts these with a return of 0 and equity equal to the initial `cash`, and so does every measure here.
    """
    path = with_warm_up(trajectory, dates, cash)
    days = (path.index[-1] - path.index[0]).days
    table = metrics.all_metrics(
        path["daily_return"], path["equity"], path["cash"], path["holdings"], path["trade_mark"], days
    )
    return {name: float(value) for name, value in table.items()}


def with_warm_up(trajectory: pd.DataFrame, dates: pd.DatetimeIndex, cash: float = 100_000.0) -> pd.DataFrame:
    """The account columns of a trajectory with the flat rows of a split in front, one row for each of `dates`.

    Columns: equity, cash, holdings, shares, position, daily_return, trade_mark. Raises ValueError where the trajectory
    is not the end of `dates`, because it then belongs to other bars.
    """
    rows = len(dates) - len(trajectory)
    if rows < 0 or len(trajectory) == 0 or not dates[rows:].equals(trajectory.index):
        raise ValueError(
            f"the trajectory's {len(trajectory)} rows are not the last ones of the {len(dates)} dates given; "
            "give the index of the bars that were traded, with the rows before the first trade"
        )
    columns = ["equity", "cash", "holdings", "shares", "position", "daily_return", "trade_mark"]
    flat = pd.DataFrame(0, index=dates[:rows], columns=columns).astype(trajectory[columns].dtypes.to_dict())
    flat[["equity", "cash"]] = cash
    return pd.concat([flat, trajectory[columns]])
