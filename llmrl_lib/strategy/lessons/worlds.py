"""The invented markets that lessons are drawn from, and what is known of them that no real market tells.

Training takes the seeds from `TRAINING` on, examination those from `EXAMINATION` on. The embedded market (20120103), the
tests (below 1,000) and the benchmarks (1,000 to 1,999) have other seeds, so that nothing is examined on what it
was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.features import FeatureTable, feature_table
from llmrl_lib.market.synthetic import Market, Story, read_headline, simulate
from llmrl_lib.market.synthetic.companies import Company
from llmrl_lib.market.synthetic.returns import MARKET_DRIFT
from llmrl_lib.market.synthetic.truth import REACH, drift_sd, return_sd
from llmrl_lib.market.synthetic.world import HORIZON

TRAINING, EXAMINATION = 5_000_000, 6_000_000
STRENGTHS = (1.0, 0.0, 2.0, 0.5, 1.5, 1.0)  # of one training market after the other
FIRST_ROW = 260  # of decisions: a year of bars lies before


@dataclass(frozen=True)
class Share:
    """One company of an invented market on some dates, with its future.

    `expected` and `earned` are of the return over the 20 trading days after the date's close, in its long-run standard
    deviations: what the state promises beyond the mean, and what came, mean included. HINDSIGHT, for labels only.
    """

    dataset: Dataset
    company: Company
    rows: np.ndarray  # of the dates among all bars
    closes: np.ndarray  # of all bars
    table: FeatureTable  # of the dates
    expected: np.ndarray
    earned: np.ndarray
    mean: float  # long-run mean of `earned`

    def stories(self, place: int) -> list[Story]:
        """What the headlines known on a date say, oldest first."""
        first, last = self.table.spans[place].tolist()
        return [read_headline(item.headline, self.company) for item in self.table.headlines[first:last]]


def market(number: int, first_seed: int = TRAINING, strength: float | None = None) -> Market:
    """The market of that number, of its own strength unless one is given."""
    return simulate(first_seed + number, strength=STRENGTHS[number % len(STRENGTHS)] if strength is None else strength)


def shares(found: Market, rows: Sequence[int]) -> Iterator[Share]:
    """Every company of a market on the dates at `rows` of its bars, which must leave 20 rows after them."""
    dataset = found.dataset()
    at = np.asarray(rows)
    for company in found.companies:
        bars = dataset.bars(company.ticker)
        closes = bars["close"].to_numpy("float64")
        sd = return_sd(company, found.world)
        state = found.states[company.ticker].to_numpy()[at]
        yield Share(
            dataset=dataset,
            company=company,
            rows=at,
            closes=closes,
            table=feature_table(dataset, company.ticker, bars.index[at]),
            expected=REACH * drift_sd(company, 1.0) * state / sd,
            earned=(closes[at + HORIZON] / closes[at] - 1.0) / sd,
            mean=HORIZON * (company.drift + company.beta * MARKET_DRIFT) / sd,
        )


def rows_of(found: Market, every: int, start: int = FIRST_ROW) -> range:
    """Every so manieth row of a market's bars that has a year before it and 20 rows after it."""
    return range(start, len(found.days.published) - HORIZON, every)
