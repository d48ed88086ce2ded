"""A small study for tests: invented strategies on the embedded market, whose words name what must not be shown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import llmrl_lib as ll
from llmrl_lib.language.chat import Usage
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.strategy.records import Evidence, Factor, Finding, Strategy
from llmrl_lib.strategy.review.answers import sheet_to_text
from llmrl_lib.strategy.review.packet import file_name
from llmrl_lib.strategy.review.simulated import Traits, quality_of, simulated_sheets
from llmrl_lib.strategy.review.study import ReviewPlan, Study, make_study

ROOT = Path(__file__).resolve().parents[2]
TICKERS = ("ORVN", "KSTV", "QLRY")
SECRET = "momentum has turned while leverage stays moderate"


@cache
def market() -> Dataset:
    return ll.load_dataset(ROOT / "data" / "embedded")


@cache
def strategies(ticker: str, prompt: str = "p4", model: str = "invented") -> tuple[Strategy, ...]:
    """One every 20 trading days of 2017 and 2018, LONG twice of three times."""
    bars = market().bars(ticker)
    dates = bars.index[(bars.index >= "2017-01-01") & (bars.index < "2019-01-01")][::20]
    return tuple(
        Strategy(
            date=date,
            ticker=ticker,
            direction=int(number % 3 > 0),
            confidence=1 + number % 3,
            weights=(("rsi_14", 5), ("debt_to_equity", 2)),
            rationale=f"Month {number} of series {TICKERS.index(ticker)}: {SECRET}. Orvane (ORVN) said on 2018-03-05 that "
            "Velkra sells, and Ilka Quellin keeps the outlook. Against it: <5% growth & a weak market.",
            evidence=(Evidence("rsi_14", "55.1", "bullish"), Evidence("debt_to_equity", "0.41", "neutral")),
            findings=(Finding("market", "Kestrova Retail weakens, rsi_14 falls", "bearish"),),
            factors=(Factor("company", "orders of Quillory Search fell", -1, 2),),
            tokens=(),
            usage=Usage(0, 0),
            prompt=prompt,
            prompt_version="1",
            prompt_digest="",
            model=model,
            draw=0,
            temperature=0.0,
        )
        for number, date in enumerate(dates)
    )


@cache
def study(cases: int = 12, repeats: int = 1, shuffled: int = 2, year: int = 2018, seed: int = 0) -> Study:
    made = {ticker: strategies(ticker) for ticker in TICKERS}
    return make_study(market(), made, year, ReviewPlan(cases, repeats, shuffled, seed))


def write_simulated(study: Study, traits: Sequence[Traits], folder: Path, seed: int = 0) -> list[Path]:
    """Files of simulated reviewers, as a packet would have saved them; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for sheet in simulated_sheets(study, traits, quality_of(study, seed), seed):
        made.append(folder / file_name(study, sheet.reviewer))
        made[-1].write_text(sheet_to_text(sheet), "utf-8")
    return made
