"""What was known at a close: one immutable record of features per ticker and decision date, after the paper's appendix D.

Every field is in ``catalogue.FIELDS``, with its unit, formula, source and the age at which it counts as not available.
``feature_table`` computes all dates of a ticker at once, ``features`` is one of its rows, and ``check_no_lookahead``
shows that no later row of the dataset changes either.
"""

from llmrl_lib.market.features.catalogue import FIELDS, GROUPS, Definition
from llmrl_lib.market.features.lookahead import LookAheadError, check_no_lookahead, no_lookahead, truncated
from llmrl_lib.market.features.opened import opened
from llmrl_lib.market.features.records import Features, FeatureTable, Field, Headline
from llmrl_lib.market.features.table import feature_table, features

__all__ = [
    "FIELDS",
    "GROUPS",
    "Definition",
    "FeatureTable",
    "Features",
    "Field",
    "Headline",
    "LookAheadError",
    "check_no_lookahead",
    "feature_table",
    "features",
    "no_lookahead",
    "opened",
    "truncated",
]
