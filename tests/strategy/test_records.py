"""Strategies survive their file, and what is wrong with a file is told by line."""

import json
import math

import pytest

from llmrl_lib.language.chat import UNMEASURED, OffSchemaError, Reply, Token
from llmrl_lib.language.prompts import load_prompt
from llmrl_lib.strategy.records import read_strategies, strategy_frame, strategy_from_reply, write_strategies


def test_strategies_survive_their_file(strategy, tmp_path):
    made = [strategy(), strategy("2018-02-01", 0, 1, tokens=(), factors=None, findings=(), draw=3)]
    write_strategies(made, tmp_path / "s.jsonl")
    assert read_strategies(tmp_path / "s.jsonl") == made
    assert (tmp_path / "s.jsonl").read_text().count("\n") == 2


@pytest.mark.parametrize("line", ["", "{", "{}", "[1]", '{"date": "2018-01-02"}'])
def test_a_line_that_is_no_strategy_is_named(strategy, line, tmp_path):
    file = tmp_path / "s.jsonl"
    write_strategies([strategy()], file)
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(ValueError, match=r"s\.jsonl line 2 is not a strategy"):
        read_strategies(file)


def test_the_table_measures_certainty(strategy):
    table = strategy_frame([strategy(), strategy(tokens=())])
    assert table["side"].tolist() == ["LONG", "LONG"]
    assert table["perplexity"].iloc[0] == pytest.approx(math.exp(0.25))
    masses = [math.exp(-0.25), math.exp(-1.75)]
    rest = 1 - sum(masses)
    expected = -sum(mass * math.log(mass) for mass in (*masses, rest)) / math.log(3)  # two alternatives and the rest
    assert table["entropy"].iloc[0] == table["decision_entropy"].iloc[0] == pytest.approx(expected)
    assert table[["perplexity", "entropy", "log_odds"]].iloc[1].isna().all()
    assert table["weights"].iloc[0] == "rsi_14 9, vix 4"
    assert table["prompt_tokens"].tolist() == [100, 100]


def test_tokens_that_do_not_spell_the_reply_leave_the_decision_unmeasured(strategy):
    table = strategy_frame(
        [strategy(tokens=(Token("?", -0.5, (("?", -0.5),)), Token("!", UNMEASURED, (("!", -0.1),))))]
    )
    assert table[["perplexity", "decision_entropy", "log_odds"]].isna().all().all()
    assert table["entropy"].notna().all()


def test_an_empty_table_has_its_columns():
    assert "perplexity" in strategy_frame([])


GOOD = {
    "evidence": [{"feature": "vix", "value": "25", "reading": "bearish"}],
    "rationale": "so",
    "weights": [{"feature": "vix", "weight": 3}],
    "direction": "SHORT",
    "confidence": 2,
}


@pytest.mark.parametrize(
    "change",
    [
        {"direction": "HOLD"},
        {"direction": None},
        {"confidence": 4},
        {"confidence": True},
        {"confidence": "2"},
        {"weights": [1]},
        {"evidence": None},
    ],
)
def test_a_reply_off_its_schema_never_becomes_a_strategy(change, market):
    import llmrl_lib as ll

    prompt, date = load_prompt("p0"), ll.features(market, "ORVN", "2018-06-01").date
    good = strategy_from_reply(Reply(json.dumps(GOOD), GOOD), prompt, "ORVN", date, 0, 0.0)
    assert (good.side, good.direction, good.confidence) == ("SHORT", 0, 2)
    with pytest.raises(OffSchemaError, match="the reply for ORVN on 2018-06-01 is not of the schema"):
        strategy_from_reply(Reply("", {**GOOD, **change}), prompt, "ORVN", date, 0, 0.0)
    with pytest.raises(OffSchemaError):
        strategy_from_reply(Reply("", None), prompt, "ORVN", date, 0, 0.0)
