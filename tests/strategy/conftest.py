"""The embedded market, and strategies made by hand."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from llmrl_lib.language.chat import Token, Usage
from llmrl_lib.market.dataset import Dataset, load_dataset
from llmrl_lib.strategy.records import Evidence, Factor, Finding, Strategy

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def market() -> Dataset:
    """The embedded market."""
    return load_dataset(ROOT / "data" / "embedded")


@pytest.fixture(scope="session")
def strategy() -> Callable[..., Strategy]:
    """Makes a strategy of a date, with what is given and something for the rest."""

    def make(date: str = "2018-01-02", direction: int = 1, confidence: int = 3, **other: object) -> Strategy:
        text = f'{{"direction": "{("SHORT", "LONG")[direction]}"}}'
        values = {
            "weights": (("vix", 4), ("rsi_14", 9)),
            "rationale": 'because "so"',
            "evidence": (Evidence("vix", "25.4", "bearish"),),
            "findings": (Finding("macro", "slow", "neutral"),),
            "factors": (Factor("company", "orders", 1, 2),),
            "tokens": (Token(text, -0.25, ((text, -0.25), ("é", -1.75))),),
            "usage": Usage(100, 50),
            "prompt": "p4",
            "prompt_version": "1",
            "prompt_digest": "ab",
            "model": "any",
            "draw": 0,
            "temperature": 0.0,
            "ticker": "AAA",
        }
        return Strategy(
            pd.Timestamp(date).as_unit("us"), direction=direction, confidence=confidence, **{**values, **other}
        )

    return make
