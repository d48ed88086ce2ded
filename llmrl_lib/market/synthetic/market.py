"""Simulates an invented market in memory: every table of the dataset format, as frames, and its truth."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.reading import Reading
from llmrl_lib.market.synthetic.bars import JUMP, Prices, company_bars, index_columns
from llmrl_lib.market.synthetic.chain import option_columns
from llmrl_lib.market.synthetic.companies import Company, companies_of
from llmrl_lib.market.synthetic.days import Days, days_of
from llmrl_lib.market.synthetic.draws import MARKET, stream
from llmrl_lib.market.synthetic.filtering import Estimates, estimate_drift
from llmrl_lib.market.synthetic.macro import macro_columns
from llmrl_lib.market.synthetic.news import news_columns
from llmrl_lib.market.synthetic.reports import announcements_of, earnings_columns, report_columns
from llmrl_lib.market.synthetic.returns import (
    COMPANY_ALIGNMENT,
    MARKET_ALIGNMENT,
    MARKET_DRIFT,
    MARKET_SD,
    Shocks,
    company_shocks,
    market_shocks,
)
from llmrl_lib.market.synthetic.sightings import sightings_of
from llmrl_lib.market.synthetic.states import channel, drift_state, state_weights
from llmrl_lib.market.synthetic.truth import true_ics, truth_table
from llmrl_lib.market.synthetic.world import CATEGORIES, FIRST_DATE, LAST_DATE, PER_RISK, World, world_of
from llmrl_lib.market.tables import BARS, EARNINGS, FUNDAMENTALS, INDICES, MACRO, NEWS, OPTIONS, Table

_REPORTS_BEFORE = 2  # years of reports before the first bar


@dataclass(frozen=True)
class Market:
    """A simulated market; frames as ``load_dataset`` hands them out, by ticker where the format has a file per ticker."""

    world: World
    days: Days
    companies: tuple[Company, ...]
    bars: Mapping[str, pd.DataFrame]
    indices: pd.DataFrame
    macro: pd.DataFrame
    fundamentals: Mapping[str, pd.DataFrame]
    earnings: Mapping[str, pd.DataFrame]
    news: Mapping[str, pd.DataFrame]
    options: Mapping[str, pd.DataFrame]
    states: pd.DataFrame  # latent states x by published date and ticker
    market_state: pd.Series  # g, by published date

    @cached_property
    def estimates(self) -> Estimates:
        """What the best linear forecasters made of the published tables."""
        return estimate_drift(self.companies, self.world, sightings_of(self))

    @cached_property
    def truth(self) -> pd.DataFrame:
        """By ``date``, a row per company: ``ticker, state, latent, best`` and the categories; see ``truth``."""
        return truth_table(self)

    @cached_property
    def truth_ic(self) -> pd.DataFrame:
        """A row per company and forecaster: ``ticker, forecaster, ic, mean_return, volatility``; see ``truth``."""
        return true_ics(self)

    def dataset(self) -> Dataset:
        """The market as a dataset without a folder, its truth included. It has no content hash."""
        tables: dict[tuple[str, str | None], pd.DataFrame] = {
            ("indices", None): self.indices,
            ("macro", None): self.macro,
        }
        for name in ("bars", "fundamentals", "earnings", "news", "options"):
            tables |= {(name, ticker): frame for ticker, frame in getattr(self, name).items()}
        readings = {place: Reading(frame, (), "memory") for place, frame in tables.items()}
        dates = (self.world.first.replace(day=1), self.world.split, self.world.last + datetime.timedelta(days=1))
        start, split, end = (pd.Timestamp(day).as_unit("us") for day in dates)
        tickers = tuple(company.ticker for company in self.companies)
        about = (Path("memory"), name_of(self.world), title_of(self.world), tickers, start, split, end)
        return _InMemory(*about, _readings=readings, market=self)


@dataclass(frozen=True)
class _InMemory(Dataset):
    """A dataset whose tables, truth included, come from a market instead of a folder."""

    market: Market = field(kw_only=True, repr=False, compare=False)

    @property
    def truth(self) -> pd.DataFrame:
        return self.market.truth.copy(deep=False)

    @property
    def truth_ic(self) -> pd.DataFrame:
        return self.market.truth_ic.copy(deep=False)

    @property
    def has_truth(self) -> bool:
        return True


def simulate(
    seed: int,
    tickers: int = 6,
    *,
    strength: float = 1.0,
    carriers: Sequence[str] = CATEGORIES,
    first: datetime.date = FIRST_DATE,
    last: datetime.date = LAST_DATE,
    split: datetime.date | None = None,
) -> Market:
    """Simulate a market; parameters as in ``synthesise``. Raises ValueError for impossible ones."""
    world = world_of(seed, tickers, strength, carriers, first, last, split)
    days = days_of(first, last)
    companies = companies_of(seed, tickers)

    lean = world.follow_through / MARKET_ALIGNMENT
    shocks = market_shocks(stream(seed, MARKET, "shocks"), stream(seed, MARKET, "regimes"), len(days), lean)
    state = drift_state(world, shocks.innovations, stream(seed, MARKET, "state"))
    market_returns = MARKET_DRIFT + PER_RISK * MARKET_SD * state[:-1] + shocks.values
    levels = index_columns(stream(seed, MARKET, "indices"), days, market_returns, shocks.variance)
    shown = channel(world, "macro", state[1:], stream(seed, MARKET, "macro"))
    macro = macro_columns(stream(seed, MARKET, "series"), days, shown, levels.pop("_dgs2"))

    made = [
        _company_tables(world, days, company, number, market_returns, shocks, state)
        for number, company in enumerate(companies, start=1)
    ]
    names = [company.ticker for company in companies]
    by_table = {name: dict(zip(names, [one[name] for one in made], strict=True)) for name in made[0]}
    states = pd.DataFrame(by_table.pop("state"), index=days.published)
    indices, macro_frame = frame(INDICES, {"date": days.published, **levels}), frame(MACRO, macro)
    market_state = pd.Series(state[1:][days.start :], index=days.published)
    return Market(
        world, days, companies, indices=indices, macro=macro_frame, states=states, market_state=market_state, **by_table
    )


def _company_tables(
    world: World,
    days: Days,
    company: Company,
    number: int,
    market_returns: np.ndarray,
    market: Shocks,
    market_state: np.ndarray,
) -> dict[str, Any]:
    """All tables of one company by name, and its state x_t on the published days under ``state``."""

    def source(purpose: str) -> np.random.Generator:
        return stream(world.seed, number, purpose)

    lean = world.follow_through / COMPANY_ALIGNMENT
    own = company_shocks(source("shocks"), len(days), company.daily_sd, lean)
    own_state = drift_state(world, own.innovations, source("state"))
    weights = state_weights(company.beta * MARKET_SD, company.daily_sd)
    state = weights[0] * market_state[1:] + weights[1] * own_state[1:]
    shown = {name: channel(world, name, state, source(name)) for name in CATEGORIES if name not in ("prices", "macro")}

    made = announcements_of(source("announcements"), days)
    drift = company.drift + PER_RISK * company.daily_sd * own_state[:-1]
    jumps = JUMP * company.daily_sd * made.jumps(days)
    total = drift + company.beta * market_returns + own.values + jumps
    prices: Prices = company_bars(source("bars"), days, company, total, own.variance)
    variance = company.beta * company.beta * market.variance + own.variance
    reports = report_columns(source("accounts"), days, company, prices.split_factor, made, shown["fundamentals"])
    surprises = earnings_columns(reports["reported_eps"], made, shown["earnings"])
    dates = {"available_at": [days.dates[position] for position in made.positions], "period_end": list(made.ends)}
    reported = frame(FUNDAMENTALS, {**dates, **reports})
    since = pd.Timestamp(world.first.replace(year=world.first.year - _REPORTS_BEFORE, month=1, day=1))
    date = {"date": days.published}
    return {
        "bars": frame(BARS, {**date, **prices.columns}),
        "fundamentals": reported[reported["period_end"] >= since].reset_index(drop=True),
        "earnings": frame(EARNINGS, {**dates, **surprises}),
        "news": frame(NEWS, news_columns(source("headlines"), days, company, shown["news"])),
        "options": frame(OPTIONS, {**date, **option_columns(source("chain"), days, total, variance, shown["options"])}),
        "state": state[days.start :],
    }


def frame(table: Table, columns: Mapping[str, Any]) -> pd.DataFrame:
    """A frame in the form in which the dataset hands out ``table``; columns that are not given are blank."""
    assert set(columns) <= set(table.columns), sorted(set(columns) - set(table.columns))
    rows = len(columns[table.dates[0]])
    data = {}
    for name in table.columns:
        if name in columns and name in table.dates:
            data[name] = pd.Series(np.array(columns[name], dtype="datetime64[us]"))
        elif name in columns or name not in table.hidden:
            data[name] = pd.Series(columns.get(name, [None] * rows), dtype=table.dtype(name))
    whole = pd.DataFrame(data)
    return whole.set_index("date") if table.is_daily else whole


def name_of(world: World) -> str:
    """The dataset's name, which tells every parameter that is not the default."""
    parts = ["synthetic", str(world.seed), str(world.tickers)]
    if world.strength != 1.0:
        parts.append(f"strength{world.strength:g}")
    if world.carriers != CATEGORIES:
        parts.append("+".join(world.carriers) or "nothing")
    return "-".join(parts)


def title_of(world: World) -> str:
    """A line for people."""
    companies = f"{world.tickers} compan{'y' if world.tickers == 1 else 'ies'}"
    return f"An invented market of {companies}, {world.first.year}-{world.last.year}"
