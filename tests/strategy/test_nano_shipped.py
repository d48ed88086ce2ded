"""The shipped Nano: small, whole, faithful to its prompts, and worth something where there is something to know."""

from pathlib import Path

import numpy as np
import pytest

import llmrl_lib as ll
from llmrl_lib.language.nano import WEIGHTS, Nano
from llmrl_lib.language.prompts import STRATEGISTS, load_prompt
from llmrl_lib.language.uncertainty import decision, log_odds
from llmrl_lib.market.features import features
from llmrl_lib.strategy.lessons.examination import examine, marks
from llmrl_lib.strategy.rendering import values_shown

pytestmark = pytest.mark.skipif(
    not (WEIGHTS / "model.safetensors").is_file(), reason="no weights; make them with llmrl nano train"
)
LARGEST = 16 * 2**20  # bytes
START, END = "2018-01-02", "2018-05-15"


@pytest.fixture(scope="module")
def nano():
    return Nano()


@pytest.fixture(scope="module")
def dataset():
    return ll.load_dataset(Path(__file__).resolve().parents[2] / "data" / "embedded")


@pytest.fixture(scope="module", params=STRATEGISTS)
def strategies(request, nano, dataset):
    return request.param, ll.make_strategies(dataset, "ORVN", request.param, nano, START, END)


def test_weights_and_tokenizer_are_small_and_no_pickles():
    files = list(WEIGHTS.iterdir())
    assert sum(file.stat().st_size for file in files) <= LARGEST
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".jinja"}


def test_every_strategy_is_valid_and_its_odds_can_be_read(strategies):
    _, made = strategies
    assert len(made) == 5
    for strategy in made:
        odds = log_odds(decision(strategy.tokens))
        assert odds is not None
        assert (odds > 0) == bool(strategy.direction)


def test_evidence_is_what_the_prompt_shows(strategies, dataset):
    name, made = strategies
    right = []
    for strategy in made:
        shown = values_shown(load_prompt(name), features(dataset, "ORVN", strategy.date))
        items = [item for item in strategy.evidence if item.feature != "news"]
        assert {item.feature for item in items} <= set(shown)
        right += [shown[item.feature] == item.value for item in items]
    assert np.mean(right) >= 0.9


def test_the_rationale_names_figures_that_were_read(strategies):
    _, made = strategies
    for strategy in made:
        named = [item.feature for item in strategy.evidence] + [found.group for found in strategy.findings]
        assert any(name in strategy.rationale for name in named)


def test_the_same_request_gives_the_same_reply(nano, dataset):
    first, second = (ll.make_strategies(dataset, "ORVN", "p0", nano, START, "2018-02-15") for _ in range(2))
    assert [one.rationale for one in first] == [one.rationale for one in second]
    assert [one.tokens for one in first] == [one.tokens for one in second]


@pytest.mark.slow
def test_it_finds_a_strong_signal_and_is_no_better_than_the_best(nano):
    found = marks(examine(nano, "p1", [900], strength=2.0, tickers=3))
    assert found.lean_p_value < 0.001
    assert found.lean_rate < found.best_hit_rate + 0.05
    assert found.truth > 0.2
    assert found.ic < found.best_ic + 0.05
