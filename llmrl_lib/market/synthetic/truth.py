r"""The truth of an invented market: its states, the best forecasts of the next 20 trading days, and how good they can be.

With D_t = d (beta sd_m g_t + sd_e f_t), the drift of tomorrow, and A = (1 - phi^20) / (1 - phi), the return R over the
next 20 trading days has the expectation ``mean + A D_t``. No one sees D_t; the best linear forecast from what was published
is A times the Kalman filter's estimate D^_t. Its information coefficient, the correlation with R, is known before any
draw is made::

    IC = A sqrt(mean over dates of Var D^_t) / sd R
    Var D^_t = Var D - (error variance of the filter),     Var D = d^2 s^2 risk^2
    Var R = 20 (risk^2 + jumps + Var D) + 2 sum_{k=1}^{19} (20 - k) phi^k Var D,     risk^2 = beta^2 sd_m^2 + sd_e^2

without the last sum where prices do not carry; jumps, n times 2.5 sd_e, come on 4 days in 252. For the forecaster that
knows the state itself, ``latent``, the root is sd D.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from llmrl_lib.market.synthetic.bars import JUMP
from llmrl_lib.market.synthetic.companies import Company
from llmrl_lib.market.synthetic.filtering import FILTERS
from llmrl_lib.market.synthetic.returns import MARKET_DRIFT, MARKET_SD
from llmrl_lib.market.synthetic.world import CATEGORIES, HORIZON, PER_RISK, PHI, World

if TYPE_CHECKING:
    from llmrl_lib.market.synthetic.market import Market

REACH = (1.0 - PHI**HORIZON) / (1.0 - PHI)  # A
FORECASTERS = ("latent", "best", *CATEGORIES)


def truth_table(market: "Market") -> pd.DataFrame:
    """A row per company and published ``date``: ticker, state, and expected returns.

    ``state`` is x_t; ``latent`` the expected return over the next 20 trading days given the state, ``best`` given all that
    was published, and then given each category alone; all six as shares, less the long-run mean of the return.
    """
    published = market.days.published
    columns = []
    for number, company in enumerate(market.companies):
        latent = REACH * drift_sd(company, 1.0) * market.states[company.ticker].to_numpy()
        filtered = dict(zip(FILTERS, REACH * market.estimates.drift[:, market.days.start :, number], strict=True))
        ticker = pd.Series([company.ticker] * len(published), dtype="str")
        state = np.round(market.states[company.ticker].to_numpy(), 4)
        values = {"latent": latent, **{name: filtered[name] for name in ("best", *CATEGORIES)}}
        rounded = {name: np.round(value, 5) + 0.0 for name, value in values.items()}
        columns.append(pd.DataFrame({"date": published, "ticker": ticker, "state": state + 0.0, **rounded}))
    return pd.concat(columns, ignore_index=True).set_index("date")


def true_ics(market: "Market") -> pd.DataFrame:
    """A row per company and forecaster: its information coefficient, and the return's mean and standard deviation.

    Both are of the simple return over the next 20 trading days. Dates are those with as many days after them.
    """
    dates = slice(market.days.start, len(market.days) - HORIZON)
    rows = []
    for number, company in enumerate(market.companies):
        sd = return_sd(company, market.world)
        known = dict(zip(FILTERS, market.estimates.variance[:, dates, number].mean(axis=1), strict=True))
        known["latent"] = drift_sd(company, market.world.strength) ** 2
        mean = HORIZON * (company.drift + company.beta * MARKET_DRIFT)
        rows += [
            (
                company.ticker,
                name,
                round(REACH * math.sqrt(max(known[name], 0.0)) / sd, 4),
                round(mean, 5),
                round(sd, 5),
            )
            for name in FORECASTERS
        ]
    return pd.DataFrame(rows, columns=["ticker", "forecaster", "ic", "mean_return", "volatility"])


def drift_sd(company: Company, strength: float) -> float:
    """Standard deviation of D_t."""
    return PER_RISK * strength * math.sqrt((company.beta * MARKET_SD) ** 2 + company.daily_sd**2)


def return_sd(company: Company, world: World) -> float:
    """Standard deviation of the return over 20 trading days."""
    risk = (company.beta * MARKET_SD) ** 2 + company.daily_sd**2
    jumps = (JUMP * company.daily_sd) ** 2 * 4.0 / 252.0
    drift = drift_sd(company, world.strength) ** 2
    shown = 1.0 if "prices" in world.carriers else 0.0
    together = sum((HORIZON - lag) * PHI**lag for lag in range(1, HORIZON)) * shown * drift
    return math.sqrt(HORIZON * (risk + jumps + drift) + 2.0 * together)
