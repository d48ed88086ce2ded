"""Figures for notebooks and the book: each takes tables and returns a figure, and an arm always looks the same."""

from llmrl_lib.plots.agents import drawdowns, equity_curves, learning_curve, q_values, trades
from llmrl_lib.plots.audit import cost_sweep
from llmrl_lib.plots.features import coverage, indicators
from llmrl_lib.plots.guided import advice_and_trades, differences, value_of_advice
from llmrl_lib.plots.invented import hidden_drift, information_coefficients
from llmrl_lib.plots.markets import daily_returns, memory, price_and_volume
from llmrl_lib.plots.refinement import candidate_tree, field_ratings, regret_by_round
from llmrl_lib.plots.results import replication, sharpe_by_arm
from llmrl_lib.plots.review import review_effect, review_scores
from llmrl_lib.plots.strategies import decisions_on_price, prompt_accounts, prompt_sharpes, signal_over_time
from llmrl_lib.plots.style import STYLES, Style, style_of
from llmrl_lib.plots.uncertainty import entropy_map, hits_by_confidence, reliability, uncertainty_spreads

__all__ = [
    "STYLES",
    "Style",
    "advice_and_trades",
    "candidate_tree",
    "cost_sweep",
    "coverage",
    "daily_returns",
    "decisions_on_price",
    "differences",
    "drawdowns",
    "entropy_map",
    "equity_curves",
    "field_ratings",
    "hidden_drift",
    "hits_by_confidence",
    "indicators",
    "information_coefficients",
    "learning_curve",
    "memory",
    "price_and_volume",
    "prompt_accounts",
    "prompt_sharpes",
    "q_values",
    "regret_by_round",
    "reliability",
    "replication",
    "review_effect",
    "review_scores",
    "sharpe_by_arm",
    "signal_over_time",
    "style_of",
    "trades",
    "uncertainty_spreads",
    "value_of_advice",
]
