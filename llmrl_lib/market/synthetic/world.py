r"""What a market is made with, and the law that all of it follows.

Two kinds of risk move a company's return, the market's :math:`m_t` and its own :math:`e_t`. Each has a drift state,
a first-order autoregression with a half-life of 27 trading days, and earns a drift in proportion to its own risk::

    g_t = phi g_{t-1} + s sqrt(1 - phi^2) w_m,t         the market's state, sd s
    f_t = phi f_{t-1} + s sqrt(1 - phi^2) w_e,t         the company's own state, sd s
    M_t = drift_M + d sd_m g_{t-1} + m_t                            return of the broad index
    r_t = drift + beta M_t + d sd_e f_{t-1} + e_t + jump_t          total return of a company
    x_t = (beta sd_m g_t + sd_e f_t) / sqrt(beta^2 sd_m^2 + sd_e^2) the company's state, sd s

``s`` is the strength. Every category of data c shows the state through a channel with noise as persistent as itself,
so that the latest value of a channel says all that the channel knows::

    y_c,t = loading_c x_t + u_c,t,    u_c,t = phi u_c,t-1 + sqrt(1 - phi^2) noise    (macro: loading g_t + u_t)

A category that carries nothing has loading 0. Prices show the drift because it lasts: c = 0 is the correlation of a day's
shock with the same day's innovation w of the state. If prices are not to carry, ``c = -phi d s / sqrt(1 - phi^2)``, so that
prices fall when expected returns rise: every autocovariance of returns is then zero, although drifts persist (the
predictive systems of Pástor & Stambaugh 2009).
"""

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass

from llmrl_lib.market.synthetic.days import trading_days

CATEGORIES = ("prices", "options", "macro", "fundamentals", "earnings", "news")
FIRST_DATE = datetime.date(2012, 1, 3)
LAST_DATE = datetime.date(2019, 12, 31)
HORIZON = 20  # trading days ahead, of every forecast
LARGEST_STRENGTH = 2.0
MINIMUM_ROWS = 31  # in training and in testing

PHI = 0.975  # a day: 0.60 over 20 trading days, half-life 27
PER_RISK = 0.09  # d: drift a day per unit of state, as a share of the daily standard deviation
LOADINGS = {"options": 0.7, "macro": 1.5, "fundamentals": 2.5, "earnings": 1.5, "news": 1.5}
SURPRISE_NOISE = 0.5  # standard deviation of what an earnings surprise holds beyond its channel


@dataclass(frozen=True)
class World:
    """The parameters of an invented market."""

    seed: int
    tickers: int
    strength: float  # standard deviation of the states; 0: nothing can be forecast
    carriers: tuple[str, ...]  # categories that show the state, in the order of CATEGORIES
    first: datetime.date  # of the published bars
    last: datetime.date
    split: datetime.date  # first day of testing

    def loading(self, category: str) -> float:
        """The loading of a category's channel on the state."""
        return LOADINGS[category] if category in self.carriers else 0.0

    @property
    def follow_through(self) -> float:
        """``c``, the correlation of a day's shock with the same day's innovation of its drift state."""
        if "prices" in self.carriers:
            return 0.0
        return -PHI * PER_RISK * self.strength / math.sqrt(1.0 - PHI * PHI)


def world_of(
    seed: int,
    tickers: int,
    strength: float,
    carriers: Sequence[str],
    first: datetime.date,
    last: datetime.date,
    split: datetime.date | None,
) -> World:
    """The checked parameters; without ``split``, testing begins with the month after three quarters of the time.

    Raises ValueError naming the parameter, what it is and what it may be.
    """
    if seed < 0:
        raise ValueError(f"seed {seed} is below 0; give 0 or more")
    if not 1 <= tickers <= 200:
        raise ValueError(f"{tickers} tickers; an invented market has 1 to 200")
    if not 0.0 <= strength <= LARGEST_STRENGTH:
        raise ValueError(f"strength {strength} lies outside 0 (no signal) to {LARGEST_STRENGTH}")
    if isinstance(carriers, str) or set(carriers) - set(CATEGORIES):
        unknown = carriers if isinstance(carriers, str) else ", ".join(sorted(set(carriers) - set(CATEGORIES)))
        raise ValueError(f"carriers: {unknown!r} is no list of categories; choose from {', '.join(CATEGORIES)}")
    if not 1950 <= first.year <= last.year <= 2100:
        raise ValueError(f"first {first} and last {last}; both lie in 1950..2100, and first before last")
    if split is None:
        later = first + (last - first) * 3 // 4
        split = datetime.date(later.year + later.month // 12, later.month % 12 + 1, 1)
    yesterday = split - datetime.timedelta(days=1)
    for name, start, end in (("training", first, min(yesterday, last)), ("testing", max(split, first), last)):
        rows = len(trading_days(start, end)) if start <= end else 0
        if rows < MINIMUM_ROWS:
            needed = f"{MINIMUM_ROWS} are needed; move first {first}, split {split} or last {last}"
            raise ValueError(f"{name} has {rows} trading days, {needed}")
    ordered = tuple(category for category in CATEGORIES if category in carriers)
    return World(int(seed), int(tickers), float(strength), ordered, first, last, split)
