"""The Kalman filters behind the truth: the best linear estimate of the drift from each category of data, and from all.

The filter's state is [g, f, noise of five channels, the month's and the quarter's channel value in print, n]; equations in
``world``, ``reports`` and ``truth``. All filters and companies step through the days together, as leading axes. A return
moves the estimate twice: it shows yesterday's drift, and its shock is correlated with the state's innovation, which is
taken out before the state fades (Anderson & Moore 1979, section 5.5).
"""

import math
from dataclasses import dataclass

import numpy as np

from llmrl_lib.market.synthetic.bars import JUMP
from llmrl_lib.market.synthetic.companies import Company
from llmrl_lib.market.synthetic.returns import MARKET_SD
from llmrl_lib.market.synthetic.sightings import Sightings
from llmrl_lib.market.synthetic.states import STEP, state_weights
from llmrl_lib.market.synthetic.world import CATEGORIES, PER_RISK, PHI, SURPRISE_NOISE, World

FILTERS = (*CATEGORIES, "best")
_G, _F, _OPTIONS, _FUNDAMENTALS, _EARNINGS, _NEWS, _MACRO, _MONTH, _QUARTER, _SURPRISE = range(10)
_STATES = 10
_DIAGONAL = np.arange(_STATES)
_FADING = np.where(_DIAGONAL < _MONTH, PHI, 1.0)  # a day


@dataclass(frozen=True)
class Estimates:
    """The estimated drift of the next day and its variance over all markets; shape (filter, day, company)."""

    drift: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True)
class _Law:
    """Rows of the linear equations; shape (company, state) unless said otherwise."""

    market: np.ndarray  # the index's return on yesterday's state
    own: np.ndarray  # the company's part of its return on yesterday's state
    own_sd: np.ndarray  # (company,)
    options: np.ndarray
    earnings: np.ndarray
    news: np.ndarray
    month: np.ndarray  # the macro channel
    quarter: np.ndarray  # the fundamentals channel
    drift: np.ndarray
    start: np.ndarray  # (state,) variances before the first day
    follow_through: float


def estimate_drift(companies: tuple[Company, ...], world: World, seen: Sightings) -> Estimates:
    """Run all filters over all days."""
    law = _law(companies, world)
    days = len(seen.market_return)
    mean = np.zeros((len(FILTERS), len(companies), _STATES))
    cov = np.zeros((*mean.shape, _STATES)) + np.diag(law.start)
    drift, variance = np.zeros((2, len(FILTERS), days, len(companies)))
    before = (law.drift**2 * law.start).sum(axis=-1)
    for day in range(days):
        _next_day(mean, cov, law, seen, day)
        _see(mean, cov, law.options, seen.options[day], 0.0, "options")
        drift[:, day] = (mean * law.drift).sum(axis=-1)
        variance[:, day] = before - ((cov * law.drift[:, None, :]).sum(axis=-1) * law.drift).sum(axis=-1)
        _see_published(mean, cov, law, seen, day)
    return Estimates(drift, variance)


def _law(companies: tuple[Company, ...], world: World) -> _Law:
    own_sd = np.array([one.daily_sd for one in companies])
    beta = np.array([one.beta for one in companies])
    weights = np.array([state_weights(one.beta * MARKET_SD, one.daily_sd) for one in companies])
    none = np.zeros((len(companies), _STATES))
    market, own, drift, month, earnings = none.copy(), none.copy(), none.copy(), none.copy(), none.copy()
    market[:, _G], own[:, _F] = PER_RISK * MARKET_SD, PER_RISK * own_sd
    drift[:, _G], drift[:, _F] = PER_RISK * MARKET_SD * beta, PER_RISK * own_sd
    month[:, _G], month[:, _MACRO] = world.loading("macro"), 1.0

    def channel(category: str, place: int) -> np.ndarray:
        row = none.copy()
        row[:, [_G, _F]], row[:, place] = world.loading(category) * weights, 1.0
        return row

    earnings = channel("earnings", _EARNINGS)
    earnings[:, _SURPRISE] = SURPRISE_NOISE
    start = np.ones(_STATES)
    start[[_G, _F]], start[[_MONTH, _QUARTER]] = world.strength**2, 0.0
    return _Law(
        market=market,
        own=own,
        own_sd=own_sd,
        options=channel("options", _OPTIONS),
        earnings=earnings,
        news=channel("news", _NEWS),
        month=month,
        quarter=channel("fundamentals", _FUNDAMENTALS),
        drift=drift,
        start=start,
        follow_through=world.follow_through,
    )


def _next_day(mean: np.ndarray, cov: np.ndarray, law: _Law, seen: Sightings, day: int) -> None:
    """See the day's returns as what they say of yesterday, then go from yesterday to the day; changes both."""
    if not np.isnan(seen.market_return[day]):
        own = law.own.copy()
        own[:, _SURPRISE] = JUMP * law.own_sd * seen.reaction[day]
        both = (_G, law.market, seen.market_return[day], MARKET_SD), (_F, own, seen.own_return[day], law.own_sd)
        for _, row, value, sd in both:
            _see(mean, cov, row, value, sd * sd, "prices")
        if law.follow_through and law.start[_G]:
            for place, row, value, sd in both:
                _follow(mean, cov, law, place, row, value, sd)
    mean *= _FADING
    cov *= np.outer(_FADING, _FADING)
    cov[..., _DIAGONAL, _DIAGONAL] += (1.0 - _FADING * _FADING) * law.start


def _follow(
    mean: np.ndarray,
    cov: np.ndarray,
    law: _Law,
    place: int,
    row: np.ndarray,
    value: np.ndarray | float,
    sd: np.ndarray | float,
) -> None:
    """Add to a drift state what the shock ``value - row state`` says of its innovation; the state fades afterwards."""
    answer = STEP * law.follow_through * math.sqrt(law.start[place]) / PHI  # to a shock of one standard deviation
    gain = np.broadcast_to(answer / sd, law.own_sd.shape)
    for number in _looking("prices"):
        together = (cov[number] * row[:, None, :]).sum(axis=-1)
        spread = (together * row).sum(axis=-1)
        mean[number, :, place] += gain * (value - (mean[number] * row).sum(axis=-1))
        cov[number, :, place, :] -= gain[:, None] * together
        cov[number, :, :, place] -= gain[:, None] * together
        cov[number, :, place, place] += gain * gain * spread - answer * answer


def _see_published(mean: np.ndarray, cov: np.ndarray, law: _Law, seen: Sightings, day: int) -> None:
    """What a day publishes for use from the next trading day on; changes ``mean`` and ``cov``."""
    if seen.month_end[day]:
        _replace(mean, cov, _MONTH, law.month)
    if seen.quarter_end[day]:
        _replace(mean, cov, _QUARTER, law.quarter)
    announced = ~np.isnan(seen.earnings[day])
    if announced.any():
        mean[:, announced, _SURPRISE] = 0.0
        cov[:, announced, _SURPRISE, :] = 0.0
        cov[:, announced, :, _SURPRISE] = 0.0
        cov[:, announced, _SURPRISE, _SURPRISE] = 1.0
    in_print = np.zeros((2, len(law.own_sd), _STATES))
    in_print[0, :, _MONTH], in_print[1, :, _QUARTER] = 1.0, 1.0
    _see(mean, cov, in_print[0], seen.macro[day], 0.0, "macro")
    _see(mean, cov, in_print[1], seen.fundamentals[day], 0.0, "fundamentals")
    _see(mean, cov, law.earnings, seen.earnings[day], 0.0, "earnings")
    _see(mean, cov, law.news, seen.news[day], seen.news_variance[day], "news")


def _replace(mean: np.ndarray, cov: np.ndarray, place: int, row: np.ndarray) -> None:
    """Set one entry of the state to ``row`` times the state; ``row`` is 0 at that entry."""
    together = (cov * row[:, None, :]).sum(axis=-1)
    mean[..., place] = (mean * row).sum(axis=-1)
    cov[..., place, :] = together
    cov[..., :, place] = together
    cov[..., place, place] = (together * row).sum(axis=-1)


def _see(
    mean: np.ndarray,
    cov: np.ndarray,
    row: np.ndarray,
    value: np.ndarray | float,
    variance: np.ndarray | float,
    category: str,
) -> None:
    """Take in ``value = row state + error`` (company,), nan where there is none; changes ``mean`` and ``cov``."""
    known = ~np.isnan(value)
    if not np.any(known):
        return
    error = np.where(known, value, 0.0)
    for number in _looking(category):
        together = (cov[number] * row[:, None, :]).sum(axis=-1)  # (company, state)
        spread = (together * row).sum(axis=-1) + variance
        gain = np.where(known & (spread > 0.0), together.T / np.where(spread > 0.0, spread, 1.0), 0.0).T
        mean[number] += gain * (error - (mean[number] * row).sum(axis=-1))[:, None]
        cov[number] -= gain[:, :, None] * together[:, None, :]


def _looking(category: str) -> tuple[int, int]:
    """The filters that see a category: its own and the best."""
    return FILTERS.index(category), FILTERS.index("best")
