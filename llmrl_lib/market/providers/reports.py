"""From reported items to quarterly reports: the nineteen metrics of the format, as they were known after each filing.

Items are known by the names of the US GAAP taxonomy, the preferred one first. A quarter that was not reported by itself (the
fourth, and cash flows) is the difference of two spans of the year that begin together. Nothing is filled in.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import pandas as pd

from llmrl_lib.market.tables import METRICS

ITEMS = {
    "revenue": (
        "Revenues",
        "RevenueFromContractWithCustomerExcludingAssessedTax",
        "RevenueFromContractWithCustomerIncludingAssessedTax",
        "SalesRevenueNet",
        "SalesRevenueGoodsNet",
    ),
    "net_income": ("NetIncomeLoss", "ProfitLoss"),
    "eps": ("EarningsPerShareDiluted", "EarningsPerShareBasicAndDiluted", "EarningsPerShareBasic"),
    "operating_income": ("OperatingIncomeLoss",),
    "depreciation": (
        "DepreciationDepletionAndAmortization",
        "DepreciationAmortizationAndAccretionNet",
        "DepreciationAndAmortization",
    ),
    "gross_profit": ("GrossProfit",),
    "cost": ("CostOfRevenue", "CostOfGoodsAndServicesSold", "CostOfGoodsSold"),
    "interest": ("InterestExpense", "InterestExpenseNonoperating", "InterestExpenseDebt"),
    "assets": ("Assets",),
    "current_assets": ("AssetsCurrent",),
    "inventory": ("InventoryNet",),
    "liabilities": ("Liabilities",),
    "current_liabilities": ("LiabilitiesCurrent",),
    "debt": ("LongTermDebtNoncurrent", "LongTermDebtAndCapitalLeaseObligations", "LongTermDebt"),
    "equity": ("StockholdersEquity", "StockholdersEquityIncludingPortionAttributableToNoncontrollingInterest"),
}
PER_SHARE = ("eps",)
QUARTER, YEAR = (70, 125), (345, 385)  # days between the ends, for quarters of 12 to 17 weeks and years of 52 or 53
SAME = 1e-9  # relative difference below which a value has not changed
_PLACES = {concept: (item, rank) for item, concepts in ITEMS.items() for rank, concept in enumerate(concepts)}


@dataclass(frozen=True)
class Fact:
    """One reported value: over a span of time, or at an instant (``start`` is None)."""

    item: str  # of ITEMS
    rank: int  # of its name among those of the item, 0 the preferred one
    start: pd.Timestamp | None
    end: pd.Timestamp
    public: pd.Timestamp  # the day from which it could be read
    value: float  # currency, or currency per share


def item_of(taxonomy: str, concept: str) -> tuple[str, int] | None:
    """The item that a concept of a taxonomy stands for, and how much its name is preferred; None if none."""
    return _PLACES.get(concept.rpartition(":")[2]) if taxonomy == "us-gaap" else None


def reports(facts: Iterable[Fact]) -> pd.DataFrame:
    """A row per quarter and day on which what is known of it changed: available_at, period_end and the metrics."""
    known = _Known()
    last: dict[pd.Timestamp, dict[str, float]] = {}
    rows = []
    for day, published in groupby(sorted(facts, key=lambda fact: fact.public), key=lambda fact: fact.public):
        known.learn(day, list(published))
        for end in known.ends():
            metrics = known.metrics(end)
            if end <= day and metrics and _differs(metrics, last.get(end)):
                rows.append({"available_at": day, "period_end": end, **metrics})
                last[end] = metrics
    frame = pd.DataFrame(rows, columns=["available_at", "period_end", *METRICS])
    return frame.sort_values(["available_at", "period_end"], ignore_index=True)


class _Told(NamedTuple):
    """A value, and the newest day whose filings tell it or let it stand."""

    day: pd.Timestamp
    value: float


_Names = dict[int, _Told]  # what was told of one quantity, by the rank of the name it was told under


class _Known:
    """The values known so far, by item, end, start and name; a later filing replaces an earlier one's value."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, pd.Timestamp], dict[pd.Timestamp | None, _Names]] = {}
        self.spans: dict[tuple[str, pd.Timestamp], set[pd.Timestamp]] = defaultdict(set)  # ends, by item and start

    def learn(self, day: pd.Timestamp, facts: Sequence[Fact]) -> None:
        """Take in what became public on one day.

        A company that has changed the name of an item recasts earlier spans under the new one, which then counts. A filing
        that still uses the old name leaves the old value alone: the other one is told beside it, such as equity with the
        minority's share.
        """
        used: dict[str, set[int]] = defaultdict(set)
        for fact in facts:
            used[fact.item].add(fact.rank)
        for fact in facts:
            names = self.values.setdefault((fact.item, fact.end), {}).setdefault(fact.start, {})
            for rank in used[fact.item] & names.keys():
                names[rank] = names[rank]._replace(day=day)
            names[fact.rank] = _Told(day, fact.value)
            if fact.start is not None:
                self.spans[fact.item, fact.start].add(fact.end)

    def ends(self) -> list[pd.Timestamp]:
        """The days on which a quarter ended: those with a balance sheet or a quarter's income."""
        found = {end for item, end in self.values if item in ("assets", "net_income", "revenue")}
        return sorted(end for end in found if self.at("assets", end) is not None or self._has_income(end))

    def _has_income(self, end: pd.Timestamp) -> bool:
        return self.quarter("net_income", end) is not None or self.quarter("revenue", end) is not None

    def at(self, item: str, end: pd.Timestamp) -> float | None:
        """The value of an item at the end of a quarter."""
        names = self.values.get((item, end), {}).get(None)
        return _newest(names) if names else None

    def quarter(self, item: str, end: pd.Timestamp) -> float | None:
        """The value of an item over the quarter: as reported, or the difference of two spans that begin together."""
        by_start = self.values.get((item, end), {})
        starts = [start for start in by_start if start is not None]
        for start in starts:
            if _between((end - start).days, QUARTER):
                return _newest(by_start[start])
        for start in starts:
            for before in self.spans[item, start]:
                if _between((end - before).days, QUARTER):
                    longer, shorter = by_start[start], self.values[item, before][start]
                    both = longer.keys() & shorter.keys()  # of one and the same name
                    if both:
                        days = {rank: min(longer[rank].day, shorter[rank].day) for rank in both}
                        rank = max(both, key=lambda one: (days[one], -one))
                        return longer[rank].value - shorter[rank].value
        return None

    def earlier(self, item: str, end: pd.Timestamp, days: tuple[int, int]) -> pd.Timestamp | None:
        """The end of the quarter that lies so many days before, with a value of ``item``."""
        found = [one for name, one in self.values if name == item and _between((end - one).days, days)]
        return max((one for one in found if self.quarter(item, one) is not None), default=None)

    def year(self, item: str, end: pd.Timestamp) -> float | None:
        """The sum over the four quarters up to ``end``, or the year as reported where a quarter is missing."""
        total, one = 0.0, end
        for number in range(4):
            value = self.quarter(item, one)
            if value is None:
                break
            total += value
            if number == 3:
                return total
            before = self.earlier(item, one, QUARTER)
            if before is None:
                break
            one = before
        by_start = self.values.get((item, end), {})
        years = [start for start in by_start if start is not None and _between((end - start).days, YEAR)]
        return _newest(by_start[years[0]]) if years else None

    def metrics(self, end: pd.Timestamp) -> dict[str, float]:
        """The metrics of the quarter that ended on ``end``, as far as they are known."""
        revenue, income = self.quarter("revenue", end), self.quarter("net_income", end)
        operating, interest = self.quarter("operating_income", end), self.quarter("interest", end)
        assets, equity = self.at("assets", end), self.at("equity", end)
        liabilities = self.at("liabilities", end)
        if liabilities is None and assets is not None and equity is not None:
            liabilities = assets - equity  # many balance sheets have no such total
        current, owed = self.at("current_assets", end), self.at("current_liabilities", end)
        gross, cost = self.quarter("gross_profit", end), self.quarter("cost", end)
        if gross is None and revenue is not None and cost is not None:
            gross = revenue - cost
        found = {
            "revenue": revenue,
            "net_income": income,
            "reported_eps": self.quarter("eps", end),
            "ebitda": _sum(operating, self.quarter("depreciation", end)),
            "assets": assets,
            "liabilities": liabilities,
            "equity": equity,
            "current_ratio": _ratio(current, owed),
            "quick_ratio": _ratio(self._quick(current, end), owed),
            "lt_debt_to_equity": _ratio(self.at("debt", end), equity),
            "liabilities_to_equity": _ratio(liabilities, equity),
            "gross_margin": _ratio(gross, revenue),
            "operating_margin": _ratio(operating, revenue),
            "net_margin": _ratio(income, revenue),
            "interest_coverage": _ratio(operating, interest),
            "roe_ttm": _ratio(self.year("net_income", end), equity),
            "roa_ttm": _ratio(self.year("net_income", end), assets),
            "revenue_yoy": self._growth("revenue", end),
            "net_income_yoy": self._growth("net_income", end),
        }
        return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}

    def _quick(self, current: float | None, end: pd.Timestamp) -> float | None:
        """Current assets without inventory; a company that has never reported any has none."""
        inventory = self.at("inventory", end)
        if inventory is None and any(item == "inventory" for item, _ in self.values):
            return None
        return None if current is None else current - (inventory or 0.0)

    def _growth(self, item: str, end: pd.Timestamp) -> float | None:
        before = self.earlier(item, end, YEAR)
        new, old = self.quarter(item, end), None if before is None else self.quarter(item, before)
        return None if new is None or old is None or old == 0.0 else (new - old) / abs(old)


def _newest(names: _Names) -> float:
    """The value that was told last; of those told on one day, the one with the preferred name."""
    rank = max(names, key=lambda one: (names[one].day, -one))
    return names[rank].value


def _between(days: int, bounds: Sequence[int]) -> bool:
    return bounds[0] <= days <= bounds[1]


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or below is None or below == 0.0 else above / below


def _differs(new: dict[str, float], old: dict[str, float] | None) -> bool:
    if old is None or new.keys() != old.keys():
        return True
    return any(not math.isclose(value, old[name], rel_tol=SAME) for name, value in new.items())
