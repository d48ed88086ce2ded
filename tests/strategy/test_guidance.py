"""Equations 5 to 8 by hand, their bounds, and when a strategy counts."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrl_lib.language.chat import Token
from llmrl_lib.strategy.guidance import EPSILON, VARIANTS, certainty, guidance, interaction, strength
from llmrl_lib.trading.observation import guidance_at, observation_table, scales_of

DAYS = pd.bdate_range("2018-01-01", periods=45, name="date").as_unit("us")


def with_mass(mass, text='{"direction": "LONG"}'):
    """A token that holds the whole reply, with one alternative of this probability; the rest is tail."""
    return (Token(text, math.log(mass), ((text, math.log(mass)),)),)


def normalised(mass):
    """Normalised entropy of one alternative and a tail, K = 1, by hand."""
    return -(mass * math.log(mass) + (1 - mass) * math.log(1 - mass)) / math.log(2)


def test_a_month_by_hand(strategy):
    """Decided at the close of the third day: 0 up to it, the same value on the 20 days after."""
    decided = strategy(DAYS[2], direction=0, confidence=2, tokens=with_mass(0.9))
    found = guidance([decided], DAYS[:23])
    sure = 1e-4 + (1 - 1e-4) * (1 - normalised(0.9))
    assert found.iloc[:3].tolist() == [0.0, 0.0, 0.0]
    assert found.iloc[3:].tolist() == pytest.approx([-math.sqrt(2 / 3 * sure)] * 20)
    assert found.index.equals(DAYS[:23])


def test_the_next_strategy_takes_over_on_the_day_after_its_decision(strategy):
    both = [strategy(DAYS[0], 1, 3), strategy(DAYS[20], 0, 3)]
    found = guidance(both, DAYS[:41], "direction")
    assert found.iloc[0] == 0.0
    assert set(found.iloc[1:21]) == {1.0}
    assert set(found.iloc[21:41]) == {-1.0}


def test_years_without_advice_are_not_taken_for_silence(strategy):
    decided = [strategy(DAYS[30], tokens=with_mass(0.9))]
    with pytest.raises(
        ValueError, match=r"31 of 45 dates from 2018-01-01 on would be without advice; make strategies from there"
    ):
        guidance(decided, DAYS)
    assert (guidance(decided, DAYS, may_begin_late=True).iloc[:31] == 0).all()
    assert (guidance(decided, DAYS[10:]).iloc[:21] == 0).all()


def test_the_variants_by_hand(strategy):
    one = strategy(confidence=2, tokens=with_mass(0.9))
    sure = certainty(normalised(0.9))
    assert strength(one, "geometric") == pytest.approx(math.sqrt(2 / 3 * sure))
    assert strength(one, "product") == pytest.approx(2 / 3 * sure)
    assert strength(one, "confidence") == pytest.approx(2 / 3)
    assert strength(one, "direction") == 1.0
    assert interaction(strategy(direction=0, confidence=1), "confidence") == pytest.approx(-1 / 3)


def test_certainty_at_its_ends():
    assert certainty(0.0) == pytest.approx(1.0)
    assert certainty(1.0) == EPSILON == 1e-4


def test_entropy_of_the_decision_alone(strategy):
    sure = (Token('{"rationale": "', 0.0, (('{"rationale": "', 0.0),)), Token('", "direction": "', 0.0, (("x", 0.0),)))
    torn = (
        Token("LONG", math.log(0.5), (("LONG", math.log(0.5)), ("SHORT", math.log(0.5)))),
        Token('"}', 0.0, (('"}', 0.0),)),
    )
    one = strategy(tokens=(*sure, *torn))
    half = math.log(2) / math.log(3)
    assert strength(one, "product", "decision") == pytest.approx(certainty(half))
    assert strength(one, "product", "reply") == pytest.approx(certainty(half / 4))


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 3), st.floats(0.01, 0.99)), min_size=1, max_size=4))
def test_guidance_stays_within_its_bounds(strategy, drawn):
    made = [
        strategy(DAYS[0], direction, confidence, tokens=with_mass(mass), draw=draw)
        for draw, (direction, confidence, mass) in enumerate(drawn)
    ]
    for variant in VARIANTS:
        assert guidance(made, DAYS[:21], variant).abs().max() <= 1.0


def test_several_draws_are_averaged(strategy):
    draws = [strategy(DAYS[0], direction, 3, draw=draw) for draw, direction in enumerate((1, 1, 0))]
    assert guidance(draws, DAYS[:5], "direction").iloc[1] == pytest.approx(1 / 3)


def test_later_strategies_change_no_earlier_value(strategy):
    made = [strategy(DAYS[row], row % 3 % 2, 1 + row % 3) for row in (0, 10, 20, 30, 40)]
    whole = guidance(made, DAYS, "confidence")
    for row in range(len(DAYS)):
        known = [one for one in made if one.date < DAYS[row]]  # decided at a close before
        if known:
            assert guidance(known, DAYS[: row + 1], "confidence").iloc[row] == whole.iloc[row]
        else:
            assert whole.iloc[row] == 0.0


def test_the_first_return_that_a_strategy_influences(strategy):
    """The agent sees the value of row t + 1 before it trades that row's close; the observation of row t does not have it."""
    bars = pd.DataFrame(
        {name: np.linspace(10, 12, 45) for name in ("open", "high", "low", "close", "volume")}, index=DAYS
    )
    series = guidance([strategy(DAYS[35])], DAYS, "direction", may_begin_late=True)
    table = observation_table(bars, scales_of(bars), series)
    assert table[35, 0, -1] == 0.0
    assert table[36, 0, -1] == 1.0
    assert guidance_at(bars, series).tolist() == series.tolist()


def test_stale_advice_is_refused_not_repeated(strategy):
    with pytest.raises(
        ValueError, match=f"no strategy is in force on {DAYS[21]:%Y-%m-%d}: the last one is of 2018-01-01"
    ):
        guidance([strategy(DAYS[0])], DAYS[:30])
    with pytest.raises(ValueError, match="no strategy is in force"):
        guidance([strategy(DAYS[0]), strategy(DAYS[30])], DAYS)


def test_advice_of_another_year_is_not_fresh_because_the_dates_begin_later(strategy):
    with pytest.raises(ValueError, match="no strategy is in force on 2018-01-01: the last one is of 2015-01-02"):
        guidance([strategy("2015-01-02")], DAYS[:10])
    with pytest.raises(ValueError, match="no strategy is in force on 2018-01-01"):
        guidance([strategy("2015-01-02"), strategy(DAYS[5])], DAYS[:20])
    assert guidance([strategy("2017-12-20", 1, 3)], DAYS[:5], "direction").tolist() == [1.0] * 5


@pytest.mark.parametrize(
    ("others", "options", "message"),
    [
        ([{"ticker": "BBB"}], {}, "strategies of AAA, BBB"),
        ([{}], {}, "have draw 0"),
        ([], {"variant": "loud"}, "variant is 'loud'"),
        ([], {"entropy": "mood"}, "entropy is 'mood'"),
    ],
)
def test_what_cannot_be_mixed_is_refused(strategy, others, options, message):
    made = [strategy(DAYS[0]), *(strategy(DAYS[0], **other) for other in others)]
    with pytest.raises(ValueError, match=message):
        guidance(made, DAYS[:5], **options)


def test_without_log_probabilities_only_two_variants_work(strategy):
    bare = [strategy(DAYS[0], tokens=())]
    with pytest.raises(ValueError, match="has no log-probabilities; take the variant 'confidence' or 'direction'"):
        guidance(bare, DAYS[:5])
    assert guidance(bare, DAYS[:5], "confidence").iloc[-1] == 1.0


def test_no_strategy_is_refused():
    with pytest.raises(ValueError, match="no strategy was given"):
        guidance([], DAYS)
