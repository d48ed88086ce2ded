"""An invented market whose truth is known: complete datasets in the project's format, from a seed.

``simulate`` makes a market in memory, ``synthesise`` writes one to a folder. ``world`` holds the law that all of it follows,
``truth`` what can be forecast; ``book/embedded_market.md`` tells both in prose.
"""

from llmrl_lib.market.synthetic.days import trading_days
from llmrl_lib.market.synthetic.grammar import Story, read_headline
from llmrl_lib.market.synthetic.market import Market, simulate
from llmrl_lib.market.synthetic.measure import ics_of, measured_ics
from llmrl_lib.market.synthetic.world import CATEGORIES
from llmrl_lib.market.synthetic.writing import EMBEDDED_SEED, synthesise

__all__ = [
    "CATEGORIES",
    "EMBEDDED_SEED",
    "Market",
    "Story",
    "ics_of",
    "measured_ics",
    "read_headline",
    "simulate",
    "synthesise",
    "trading_days",
]
