"""The embedded market, and what tests of other layers use."""

import sys
from pathlib import Path

import pytest

from llmrl_lib.market.dataset import Dataset, load_dataset

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "strategy"))  # the scripted chat


@pytest.fixture(scope="session")
def embedded() -> Dataset:
    """The embedded market."""
    return load_dataset(ROOT / "data" / "embedded")
