"""Language models guiding reinforcement learning in trading: the names that notebooks and other programs call.

Every name is loaded when it is first asked for, so that importing the package takes milliseconds and neither PyTorch
nor pandas is loaded before it is needed. What is not named here is private.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {  # public name: the module that holds it
    "load_dataset": "llmrl_lib.market.dataset",
    "check_dataset": "llmrl_lib.market.check",
    "DatasetError": "llmrl_lib.market.defects",
    "features": "llmrl_lib.market.features",
    "feature_table": "llmrl_lib.market.features",
    "truncated": "llmrl_lib.market.features",
    "check_no_lookahead": "llmrl_lib.market.features",
    "no_lookahead": "llmrl_lib.market.features",
    "LookAheadError": "llmrl_lib.market.features",
    "opened": "llmrl_lib.market.features",
    "monthly_coverage": "llmrl_lib.market.coverage",
    "beside_real_stocks": "llmrl_lib.market.stylised",
    "ics_of": "llmrl_lib.market.synthetic",
    "OpenAIChat": "llmrl_lib.language.openai",
    "LocalChat": "llmrl_lib.language.local",
    "Nano": "llmrl_lib.language.nano",
    "Replay": "llmrl_lib.language.replay",
    "simulate": "llmrl_lib.trading.accounting",
    "TradingEnv": "llmrl_lib.trading.environment",
    "train_tdqn": "llmrl_lib.trading.tdqn",
    "train_flag_trader": "llmrl_lib.trading.flag_trader.training",
    "TdqnSettings": "llmrl_lib.settings",
    "FlagTraderSettings": "llmrl_lib.settings",
    "Quirks": "llmrl_lib.settings",
    "SettingsError": "llmrl_lib.settings",
    "load_profile": "llmrl_lib.settings",
    "Strategy": "llmrl_lib.strategy.records",
    "load_prompt": "llmrl_lib.language.prompts",
    "render": "llmrl_lib.strategy.rendering",
    "make_strategies": "llmrl_lib.strategy.strategist",
    "make_many_strategies": "llmrl_lib.strategy.strategist",
    "Ask": "llmrl_lib.strategy.strategist",
    "StrategiesError": "llmrl_lib.strategy.strategist",
    "strategy_frame": "llmrl_lib.strategy.records",
    "read_strategies": "llmrl_lib.strategy.records",
    "write_strategies": "llmrl_lib.strategy.records",
    "refine": "llmrl_lib.experiments.refining",
    "Refinement": "llmrl_lib.experiments.refining_plan",
    "read_refinement": "llmrl_lib.experiments.refining_files",
    "RefinementError": "llmrl_lib.strategy.refinement.errors",
    "read_annotations": "llmrl_lib.strategy.refinement.exemplars",
    "OpenAIEmbedding": "llmrl_lib.language.embedding",
    "make_study": "llmrl_lib.strategy.review.study",
    "ReviewPlan": "llmrl_lib.strategy.review.study",
    "ReviewError": "llmrl_lib.strategy.review.study",
    "packet": "llmrl_lib.strategy.review.packet",
    "review_of": "llmrl_lib.experiments.reviewing",
    "study_of_run": "llmrl_lib.experiments.reviewing",
    "guidance": "llmrl_lib.strategy.guidance",
    "backtest": "llmrl_lib.strategy.backtest",
    "perplexity": "llmrl_lib.language.uncertainty",
    "entropy": "llmrl_lib.language.uncertainty",
    "normalised_entropy": "llmrl_lib.language.uncertainty",
    "open_run": "llmrl_lib.experiments",
    "run_arm": "llmrl_lib.experiments",
    "compare_arms": "llmrl_lib.experiments.comparisons",
    "advised": "llmrl_lib.experiments.advised",
    "ExperimentError": "llmrl_lib.experiments",
    "comparison_table": "llmrl_lib.experiments.comparisons",
    "told_arms": "llmrl_lib.experiments.comparisons",
    "placebo_table": "llmrl_lib.experiments.comparisons",
    "value_of_advice": "llmrl_lib.experiments.comparisons",
    "verdict": "llmrl_lib.experiments.verdict",
    "audit": "llmrl_lib.experiments.auditing",
    "own_chat": "llmrl_lib.experiments.auditing",
    "Audit": "llmrl_lib.evidence.audit",
    "CheckpointError": "llmrl_lib.trading.checkpoint",
}
_MODULES = {  # public modules
    "metrics": "llmrl_lib.metrics",
    "plots": "llmrl_lib.plots",
    "published": "llmrl_lib.evidence.published",
    "tables": "llmrl_lib.experiments.tables",
    "flag_tables": "llmrl_lib.experiments.flag_tables",
    "results_tables": "llmrl_lib.experiments.results_tables",
    "recorded": "llmrl_lib.experiments.recorded",
    "refining_tables": "llmrl_lib.experiments.refining_tables",
    "review_report": "llmrl_lib.experiments.review_report",
    "review_tables": "llmrl_lib.experiments.review_tables",
    "review_texts": "llmrl_lib.experiments.review_texts",
    "review_scores": "llmrl_lib.strategy.review.scores",
    "review_bias": "llmrl_lib.strategy.review.bias",
    "strategy_tables": "llmrl_lib.experiments.strategy_tables",
    "strategy_texts": "llmrl_lib.experiments.strategy_texts",
    "uncertainty_tables": "llmrl_lib.experiments.uncertainty_tables",
}

__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name in _MODULES:
        value = import_module(_MODULES[name])
    else:
        raise AttributeError(f"llmrl_lib has no public name {name!r}; it has {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
