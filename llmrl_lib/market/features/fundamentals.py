"""The fundamental group: ratios of the newest quarter and their change, and valuation from price and filings.

Of the paper's list, the table's 19 metrics give liquidity, leverage, coverage, profitability and growth as they stand. They
hold neither the number of shares nor cash. The number of shares is therefore taken from net income / reported EPS, and
is not available where the quarters contradict each other (EPS without one-time items often does that); enterprise value
is gross of cash. EBITDA is the sum of four quarters, so it needs a year of them.
"""

from statistics import median

import numpy as np
import pandas as pd

from llmrl_lib.market.features.catalogue import FILING_AGE, QUARTER
from llmrl_lib.market.features.columns import (
    Cell,
    Column,
    Event,
    Known,
    as_of_events,
    before,
    calculated,
    combined,
    relative_change,
    replay,
    without_infinite,
)
from llmrl_lib.market.features.prices import Prices
from llmrl_lib.market.tables import METRICS

SHARE_QUARTERS, SHARE_MINIMUM = 8, 4  # quarters that vote on the number of shares, and how many must be able to
SHARE_BAND, SHARE_AGREEMENT = 0.10, 0.75  # this part of them within so much of their median
_FILED = (  # field, metric, factor, quarters back, is the change relative
    ("current_ratio", "current_ratio", 1.0, 1, True),
    ("quick_ratio", "quick_ratio", 1.0, 1, True),
    ("debt_to_equity", "lt_debt_to_equity", 1.0, 1, True),
    ("liabilities_to_equity", "liabilities_to_equity", 1.0, 1, True),
    ("interest_coverage", "interest_coverage", 1.0, 1, True),
    ("gross_margin", "gross_margin", 100.0, 4, False),
    ("operating_margin", "operating_margin", 100.0, 4, False),
    ("net_margin", "net_margin", 100.0, 4, False),
    ("roe", "roe_ttm", 100.0, 1, False),
    ("roa", "roa_ttm", 100.0, 1, False),
)
_INPUTS = ("shares", "equity", "eps_ttm", "debt", "ebitda_ttm")  # of valuation


def fundamental_fields(prices: Prices, table: pd.DataFrame) -> dict[str, Column]:
    """The fields of the fundamental group."""
    events = [Event(day, fresh, filing(known)) for day, fresh, known in replay(table, _quarters(table), list(METRICS))]
    changes = [f"{field}_{'qoq' if back == 1 else 'yoy'}" for field, _, _, back, _ in _FILED]
    growth = ["ebitda_yoy", "revenue_growth_yoy", "earnings_growth_yoy"]
    names = [*(field for field, *_ in _FILED), *changes, *growth, *_INPUTS]
    found = as_of_events(prices.dates, events, names, FILING_AGE)
    found |= _valuation(prices, found)
    return {name: column for name, column in found.items() if name not in _INPUTS or name == "ebitda_ttm"}


def filing(known: Known) -> dict[str, Cell]:
    """What the newest quarter says, compared with earlier ones as far as they are known."""
    newest = max(known)

    def of(metric: str, back: int = 0) -> Cell | None:
        return known.get(newest - 3 * back, {}).get(metric)

    def year_of(metric: str) -> Cell | None:
        return combined(lambda *quarters: sum(quarters), *(of(metric, back) for back in range(4)))

    found: dict[str, Cell | None] = {}
    for field, metric, factor, back, relative in _FILED:
        new, old = of(metric), of(metric, back)
        found[field] = combined(lambda value, factor=factor: factor * value, new)
        change = relative_change if relative else (lambda new, old: 100.0 * (new - old))
        found[f"{field}_{'qoq' if back == 1 else 'yoy'}"] = combined(change, new, old)
    for field, filed, metric in (
        ("revenue_growth_yoy", "revenue_yoy", "revenue"),
        ("earnings_growth_yoy", "net_income_yoy", "net_income"),
    ):
        as_filed = combined(lambda share: 100.0 * share, of(filed))
        found[field] = as_filed or combined(relative_change, of(metric), of(metric, 4))
    found["ebitda_yoy"] = combined(relative_change, of("ebitda"), of("ebitda", 4))
    found["ebitda_ttm"], found["eps_ttm"], found["equity"] = year_of("ebitda"), year_of("reported_eps"), of("equity")
    found["debt"] = combined(lambda ratio, equity: ratio * equity, of("lt_debt_to_equity"), of("equity"))
    found["shares"] = _shares(
        [combined(_ratio, of("net_income", i), of("reported_eps", i)) for i in range(SHARE_QUARTERS)]
    )
    return {name: cell for name, cell in found.items() if cell is not None}


def _shares(votes: list[Cell | None]) -> Cell | None:
    """The newest quarter's net income / EPS that lies near the median of all, if most of them do."""
    given = [vote for vote in votes if vote is not None and vote.value > 0.0]
    if len(given) < SHARE_MINIMUM:
        return None
    middle = median(vote.value for vote in given)
    near = [vote.value for vote in given if abs(vote.value - middle) <= SHARE_BAND * middle]
    if len(near) < SHARE_AGREEMENT * len(given):
        return None
    return Cell(near[0], max(vote.known for vote in given))


def _valuation(prices: Prices, filed: dict[str, Column]) -> dict[str, Column]:
    price = without_infinite(Column(prices.traded, prices.dates))
    shares, equity, eps, debt, ebitda = (filed[name] for name in _INPUTS)
    value = price.values * shares.values + debt.values
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "price_to_earnings": calculated(_if_positive(price.values / eps.values), price, eps),
            "price_to_book": calculated(
                _if_positive(price.values * shares.values / equity.values), price, shares, equity
            ),
            "enterprise_value": calculated(value, price, shares, debt),
            "ev_to_ebitda": calculated(_if_positive(value / ebitda.values), price, shares, debt, ebitda),
        }
    for name in list(found):
        values = found[name].values
        found[f"{name}_qoq"] = calculated(100.0 * (values / before(values, QUARTER) - 1.0), found[name])
    return found


def _if_positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0.0, values, np.nan)


def _ratio(income: float, eps: float) -> float:
    return income / eps


def _quarters(table: pd.DataFrame) -> np.ndarray:
    """The month in which each quarter ends; one that ends within the first two weeks of a month belongs to the last."""
    ends = table["period_end"].to_numpy("datetime64[D]") - np.timedelta64(15, "D")
    return ends.astype("datetime64[M]").astype(np.int64)
