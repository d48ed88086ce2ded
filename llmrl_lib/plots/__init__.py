"""Figures for notebooks and the book: each takes tables and returns a figure, and an arm always looks the same."""

from llmrl_lib.plots.agents import drawdowns, equity_curves, learning_curve, q_values, trades
from llmrl_lib.plots.audit import cost_sweep
from llmrl_lib.plots.features import coverage, indicators
from llmrl_lib.plots.invented import hidden_drift, information_coefficients
from llmrl_lib.plots.markets import daily_returns, memory, price_and_volume
from llmrl_lib.plots.results import replication, sharpe_by_arm
from llmrl_lib.plots.style import STYLES, Style, style_of

__all__ = [
    "STYLES",
    "Style",
    "cost_sweep",
    "coverage",
    "daily_returns",
    "drawdowns",
    "equity_curves",
    "hidden_drift",
    "indicators",
    "information_coefficients",
    "learning_curve",
    "memory",
    "price_and_volume",
    "q_values",
    "replication",
    "sharpe_by_arm",
    "style_of",
    "trades",
]
