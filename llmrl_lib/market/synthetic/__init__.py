"""An invented market whose truth is known: complete datasets in the project's format, from a seed.

``simulate`` makes a market in memory, ``synthesise`` writes one to a folder. ``world`` holds the law that all of it follows,
``truth`` what can be forecast; ``book/embedded_market.md`` tells both in prose.
"""

from llmrl_lib.market.synthetic.market import Market, simulate
from llmrl_lib.market.synthetic.world import CATEGORIES

__all__ = ["CATEGORIES", "Market", "simulate"]
