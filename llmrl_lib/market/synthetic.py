r"""Writes an invented market as a complete dataset folder, the same bytes for the same seed on every machine.

The market's return follows calm and stressed regimes s_t, a two-state Markov chain. Volatility clusters and rises more
after losses (Glosten, Jagannathan & Runkle 1993); z_t is Student t with five degrees of freedom, scaled to variance 1.
The market and each company have their own x_t, of the standard deviation ``daily_sd``::

    v_t = omega + (alpha + gamma [x_{t-1} < 0]) x_{t-1}^2 + beta v_{t-1},   x_t = sqrt(v_t) z_t
    m_t = drift(s_t) + scale(s_t) x_t                                       the market
    r_t = drift + b m_t + x_t                                               a company, total return

Rounding does the rest: draws are rounded to six decimals, and from there on only + - * / and square roots are used,
which IEEE arithmetic defines to the last bit. Each company has its own random stream: the first six companies of a
large market are those of a small one.
"""

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import PCG64, Generator, SeedSequence

EMBEDDED_SEED = 20120103  # of the instance under data/embedded
FIRST_DATE = datetime.date(2012, 1, 3)
LAST_DATE = datetime.date(2019, 12, 31)
SPLIT = datetime.date(2018, 1, 1)
MARKET_STREAM = 0  # company i draws from stream i + 1

_DEGREES = 5  # of freedom of the shocks
_ALPHA, _GAMMA, _BETA = 0.03, 0.07, 0.90  # persistence 0.03 + 0.07 / 2 + 0.90 = 0.965
_STAY = (0.994, 0.975)  # chance to stay in the calm, the stressed regime: 167 and 40 days on average
_DRIFT = (0.0009, -0.0012)
_SCALE = (0.8, 1.7)
_MARKET_SD = 0.0085
_LARGEST_MOVE = 0.35


@dataclass(frozen=True)
class Company:
    """An invented company; any likeness to a real one is chance."""

    ticker: str
    name: str
    first_price: float  # dollars
    beta: float  # loading on the market's return
    daily_sd: float  # of the company's own part of the return
    drift: float  # a day, beyond the market
    dividend_yield: float  # a year, paid quarterly
    shares_traded: float  # on a usual day


_COMPANIES = (
    Company("ORVN", "Orvane Systems", 58.0, 1.05, 0.0110, 0.0002, 0.018, 21e6),
    Company("KSTV", "Kestrova Retail", 182.0, 1.15, 0.0145, 0.0004, 0.0, 4e6),
    Company("QLRY", "Quillory Search", 320.0, 1.00, 0.0105, 0.0001, 0.0, 3e6),
    Company("FLMK", "Flumark Networks", 38.0, 1.10, 0.0180, 0.0002, 0.0, 28e6),
    Company("BLMR", "Bellmire Software", 27.0, 0.95, 0.0100, 0.0003, 0.025, 40e6),
    Company("HDRN", "Hadrane Motors", 29.0, 1.30, 0.0260, 0.0004, 0.0, 9e6),
)
_SYLLABLES = ("bar", "cal", "dor", "fen", "gil", "hol", "jun", "kel", "lum", "mor", "nal", "pex", "rud", "sol", "tav")
_TRADES = ("Foods", "Energy", "Health", "Freight", "Materials", "Media", "Insurance", "Devices")


def synthesise(seed: int, tickers: int = 6, *, out: str | Path) -> Path:
    """Write a dataset of ``tickers`` invented companies into folder ``out`` and return it.

    Holds dataset.toml, bars and indices for the weekdays of 2012-01-03..2019-12-31 less the main American holidays.
    Raises FileExistsError if ``out`` exists and is not empty, ValueError for a count outside 1..200 or a seed below 0.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not empty; name a new folder or empty it")
    market = simulate(seed, tickers)
    (folder / "bars").mkdir(parents=True)
    (folder / "dataset.toml").write_bytes(_description(seed, market).encode())
    for company in market.companies:
        _write(folder / "bars" / f"{company.ticker}.csv", market.bars[company.ticker], _BAR_DECIMALS)
    _write(folder / "indices.csv", market.indices, _INDEX_DECIMALS)
    return folder


@dataclass(frozen=True)
class Market:
    """A simulated market: frames by date, in the columns of the dataset format."""

    companies: tuple[Company, ...]
    bars: Mapping[str, pd.DataFrame]
    indices: pd.DataFrame


def simulate(seed: int, tickers: int = 6) -> Market:
    """Simulate bars and indices; see the head of this module for the equations."""
    if seed < 0 or not 1 <= tickers <= 200:
        raise ValueError(f"seed {seed} and {tickers} tickers; the seed is 0 or more, tickers are 1..200")
    dates = trading_days(FIRST_DATE, LAST_DATE)
    stream = _stream(seed, MARKET_STREAM)
    regime = _regimes(stream, len(dates))
    shocks, variance = _clustered(stream, len(dates), _MARKET_SD)
    market_returns = np.array(_DRIFT)[regime] + np.array(_SCALE)[regime] * shocks
    fear = np.array(_SCALE)[regime] * np.sqrt(252.0 * variance)  # annual volatility, as a share
    indices = _indices(stream, dates, market_returns, fear)
    companies = tuple(_company(seed, number) for number in range(tickers))
    bars = {
        company.ticker: _bars(_stream(seed, number + 1), dates, market_returns, company)
        for number, company in enumerate(companies)
    }
    return Market(companies, bars, indices)


def _stream(seed: int, number: int) -> Generator:
    return Generator(PCG64(SeedSequence(seed, spawn_key=(number,))))


def _normal(stream: Generator, *shape: int) -> np.ndarray:
    """Standard normal draws, rounded to six decimals: a last bit that differs between machines dies here."""
    return np.round(stream.standard_normal(shape), 6)


def _regimes(stream: Generator, days: int) -> np.ndarray:
    """0 for a calm, 1 for a stressed day; shape (days,)."""
    regime, regimes = 0, []
    for draw in stream.random(days):
        if draw >= _STAY[regime]:
            regime = 1 - regime
        regimes.append(regime)
    return np.array(regimes)


def _clustered(stream: Generator, days: int, daily_sd: float) -> tuple[np.ndarray, np.ndarray]:
    """Shocks with clustering volatility and heavy tails, and the variance known on the day before; shape (days,)."""
    normal, squares = _normal(stream, days), _normal(stream, _DEGREES, days) ** 2
    chi = squares[0]
    for more in squares[1:]:
        chi = chi + more
    student = normal * np.sqrt((_DEGREES - 2) / chi)  # variance 1
    target = daily_sd * daily_sd
    omega = target * (1.0 - _ALPHA - _GAMMA / 2.0 - _BETA)
    variance, shock = target, 0.0
    shocks, variances = np.empty(days), np.empty(days)
    for day in range(days):
        bounded = min(shock * shock, 25.0 * target)  # one crash must not set the volatility of a year
        variance = omega + (_ALPHA + (_GAMMA if shock < 0.0 else 0.0)) * bounded + _BETA * variance
        shock = math.sqrt(variance) * float(student[day])
        shocks[day], variances[day] = shock, variance
    return shocks, variances


def _bars(stream: Generator, dates: pd.DatetimeIndex, market_returns: np.ndarray, company: Company) -> pd.DataFrame:
    """Bars with raw prices in open, high, low and raw_close, and a close that is adjusted for dividends."""
    days = len(dates)
    own, variance = _clustered(stream, days, company.daily_sd)
    total = company.drift + company.beta * market_returns + own
    total = np.round(np.clip(total, -_LARGEST_MOVE, _LARGEST_MOVE), 8)
    payout = np.where(_ex_dividend(dates), company.dividend_yield / 4.0, 0.0)  # share of the previous close
    raw_close = np.round(company.first_price * np.cumprod(1.0 + total - payout), 4)
    previous = np.concatenate([[company.first_price], raw_close[:-1]]) * (1.0 - payout)
    gap, up, down, crowd = _normal(stream, 4, days)
    spread = np.sqrt(variance)
    opening = np.round(previous * (1.0 + np.clip(0.3 * total + 0.3 * spread * gap, -0.3, 0.3)), 4)
    high = np.round(np.maximum(opening, raw_close) * (1.0 + 0.4 * spread * np.abs(up)), 4)
    low = np.round(np.minimum(opening, raw_close) * (1.0 - np.minimum(0.4 * spread * np.abs(down), 0.3)), 4)
    excitement = 1.0 + 0.08 * crowd + 3.0 * np.abs(total)
    volume = np.round(company.shares_traded * excitement**2 * excitement**2 / 100.0) * 100.0
    later = np.concatenate([np.cumprod((1.0 - payout)[::-1])[::-1][1:], [1.0]])  # dividends still to come
    columns = {"open": opening, "high": high, "low": low, "close": np.round(raw_close * later, 4), "volume": volume}
    return pd.DataFrame({**columns, "raw_close": raw_close}, index=dates)


def _ex_dividend(dates: pd.DatetimeIndex) -> np.ndarray:
    """True on the first trading day of each February, May, August and November."""
    month = dates.month.to_numpy()
    begins = np.concatenate([[False], month[1:] != month[:-1]])
    return begins & np.isin(month, (2, 5, 8, 11))


def _indices(stream: Generator, dates: pd.DatetimeIndex, market_returns: np.ndarray, fear: np.ndarray) -> pd.DataFrame:
    days = len(dates)
    noise = _normal(stream, 4, days)
    broad = np.round(np.clip(market_returns, -_LARGEST_MOVE, _LARGEST_MOVE), 8)
    tech = np.round(np.clip(1.1 * market_returns + 0.003 * noise[0], -_LARGEST_MOVE, _LARGEST_MOVE), 8)
    vix = 100.0 * fear * 1.1 * (1.0 + np.clip(0.04 * noise[1], -0.3, 0.3))
    short, long = _yields(noise[2], noise[3])
    closed = _bond_holidays(dates)
    columns = {
        "spx_close": 1280.0 * np.cumprod(1.0 + broad),
        "ndx_close": 2320.0 * np.cumprod(1.0 + tech),
        "vix_close": vix,
        "dgs10": np.where(closed, np.nan, long),
        "dgs2": np.where(closed, np.nan, short),
        "t10y2y": np.where(closed, np.nan, np.round(long - short, 2)),
    }
    return pd.DataFrame(columns, index=dates)


def _yields(short_noise: np.ndarray, slope_noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two- and ten-year yields in percent: a level and a slope that are slowly drawn to 1.5 and 1.0."""
    short, slope, pairs = 0.6, 1.6, []
    for first, second in zip(short_noise.tolist(), slope_noise.tolist(), strict=True):
        short = max(0.05, short + 0.0008 * (1.5 - short) + 0.03 * first)
        slope = slope + 0.0015 * (1.0 - slope) + 0.03 * second
        pairs.append((short, short + slope))
    both = np.round(np.array(pairs), 2)
    return both[:, 0], both[:, 1]


def trading_days(first: datetime.date, last: datetime.date) -> pd.DatetimeIndex:
    """Weekdays from ``first`` to ``last``, both included, less the main American holidays."""
    holidays = {day for year in range(first.year, last.year + 1) for day in _holidays(year)}
    every = [first + datetime.timedelta(days=number) for number in range((last - first).days + 1)]
    open_days = [day for day in every if day.weekday() < 5 and day not in holidays]
    return pd.DatetimeIndex(np.array(open_days, dtype="datetime64[us]"), name="date")


def _holidays(year: int) -> list[datetime.date]:
    fixed = [datetime.date(year, month, day) for month, day in ((1, 1), (7, 4), (12, 25))]
    observed = [day + datetime.timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0)) for day in fixed]
    last_of_may = datetime.date(year, 5, 31)
    memorial = last_of_may - datetime.timedelta(days=last_of_may.weekday())
    mondays = [_weekday_of_month(year, month, 0, number) for month, number in ((1, 3), (2, 3), (9, 1))]
    return [*observed, memorial, *mondays, _weekday_of_month(year, 11, 3, 4)]


def _weekday_of_month(year: int, month: int, weekday: int, number: int) -> datetime.date:
    """The ``number``-th such weekday (0 is Monday) of a month."""
    first = datetime.date(year, month, 1)
    return first + datetime.timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))


def _bond_holidays(dates: pd.DatetimeIndex) -> np.ndarray:
    """True on the two days a year on which shares trade and bonds do not."""
    years = range(dates[0].year, dates[-1].year + 1)
    days = [day for year in years for day in (_weekday_of_month(year, 10, 0, 2), datetime.date(year, 11, 11))]
    return np.isin(dates.to_numpy(), np.array(days, dtype="datetime64[us]"))


def _company(seed: int, number: int) -> Company:
    """The six companies of the embedded market, and beyond them as many more as asked for."""
    if number < len(_COMPANIES):
        return _COMPANIES[number]
    one, other = divmod(number - len(_COMPANIES), len(_SYLLABLES))
    stem = _SYLLABLES[one] + _SYLLABLES[other]
    draw = np.round(_stream(seed, number + 1_000_000).random(6), 6).tolist()
    return Company(
        ticker=stem.upper(),
        name=f"{stem.capitalize()} {_TRADES[number % len(_TRADES)]}",
        first_price=round(20.0 + 180.0 * draw[0], 2),
        beta=round(0.7 + 0.7 * draw[1], 2),
        daily_sd=round(0.008 + 0.014 * draw[2], 4),
        drift=round(0.0005 * draw[3] - 0.0001, 5),
        dividend_yield=round(0.03 * draw[4], 4) if number % 3 == 0 else 0.0,
        shares_traded=round(1e6 + 3e7 * draw[5]),
    )


_BAR_DECIMALS = {"open": 4, "high": 4, "low": 4, "close": 4, "volume": 0, "raw_close": 4}
_INDEX_DECIMALS = {"spx_close": 2, "ndx_close": 2, "vix_close": 2, "dgs10": 2, "dgs2": 2, "t10y2y": 2}


def _write(file: Path, frame: pd.DataFrame, decimals: Mapping[str, int]) -> None:
    """Write a frame by date with fixed decimals; missing values are left blank."""
    columns = [
        ["" if math.isnan(value) else f"{value:.{decimals[name]}f}" for value in frame[name].tolist()]
        for name in decimals
    ]
    days = [f"{day:%Y-%m-%d}" for day in frame.index]
    rows = [",".join(cells) for cells in zip(days, *columns, strict=True)]
    file.write_bytes("\n".join([",".join(["date", *decimals]), *rows, ""]).encode())


def _description(seed: int, market: Market) -> str:
    names = "\n".join(f"# {company.ticker:8s}{company.name}" for company in market.companies)
    tickers = ", ".join(f'"{company.ticker}"' for company in market.companies)
    return f"""\
# An invented market: no price, company or event in it is real. Every table is point-in-time.
name = "synthetic-{seed}-{len(market.companies)}"
title = "An invented market of {len(market.companies)} companies, 2012-2019"
first_date = {FIRST_DATE}
last_date = {LAST_DATE}
timezone = "exchange local date; every `available_at` is a date: use the row from the next trading day on"
redistribution = "free: made by this project, under its licence"

{names}
[tickers]
companies = [{tickers}]

[benchmark]
train_start = 2012-01-01
split = {SPLIT}
end = 2020-01-01
"""
