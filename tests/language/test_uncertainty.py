"""Perplexity, entropy and the odds of a decision against closed forms, and their bounds as properties."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrl_lib.language.chat import Token
from llmrl_lib.language.uncertainty import (
    alternatives_of,
    decision,
    entropy,
    log_odds,
    normalised_entropy,
    perplexity,
    reply_entropy,
    value_span,
)

LOG = math.log


def test_perplexity_of_a_uniform_choice_is_the_number_of_choices() -> None:
    assert perplexity([LOG(1 / 8)] * 5) == pytest.approx(8.0)
    assert perplexity([0.0, 0.0]) == 1.0
    assert perplexity([LOG(0.5), LOG(0.125)]) == pytest.approx(4.0)  # geometric mean


def test_perplexity_is_not_clipped() -> None:
    assert perplexity([-9999.0]) == math.inf
    assert perplexity([-20.0]) == pytest.approx(math.exp(20.0))


@pytest.mark.parametrize("wrong", [[], [0.5], [math.nan]])
def test_what_is_no_log_probability_is_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match=r"no token|not a log-probability"):
        perplexity(wrong)


def test_entropy_of_certainty_is_zero_and_of_k_plus_one_equal_outcomes_is_one_when_normalised() -> None:
    assert entropy([[0.0]]) == 0.0
    assert entropy([[0.0, -math.inf]]) == 0.0
    assert entropy([[LOG(1 / 6)] * 5]) == pytest.approx(LOG(6))  # five alternatives and a tail, a sixth each
    assert normalised_entropy([[LOG(1 / 6)] * 5]) == pytest.approx(1.0)


@pytest.mark.parametrize("given", [1, 2, 5, 20])
def test_a_reply_of_a_lost_model_has_entropy_one_however_few_alternatives_a_server_gives(given):
    outcomes = min(given, 5) + 1
    lost = Token("a", LOG(1 / outcomes), tuple((str(place), LOG(1 / outcomes)) for place in range(min(given, 5))))
    short = Token("b", 0.0, (("b", 0.0),))  # alternatives that were not measured are left out
    assert reply_entropy([lost, short], [lost]) == pytest.approx(1.0)
    assert reply_entropy([lost, short]) == pytest.approx(0.5)


def test_entropy_of_a_uniform_vocabulary_by_hand() -> None:
    """K of V tokens are shown, the tail holds (V - K) / V."""
    size, shown = 100, 5
    tail = (size - shown) / size
    expected = shown * (1 / size) * LOG(size) - tail * LOG(tail)
    assert entropy([[LOG(1 / size)] * shown]) == pytest.approx(expected)


def test_entropy_counts_the_tail_and_no_more_than_k_alternatives() -> None:
    assert entropy([[LOG(0.5), LOG(0.3)]]) == pytest.approx(-0.5 * LOG(0.5) - 0.3 * LOG(0.3) - 0.2 * LOG(0.2))
    two = entropy([[LOG(0.1), LOG(0.5), LOG(0.3)]], alternatives=2)  # the two likeliest, in any order
    assert two == pytest.approx(entropy([[LOG(0.5), LOG(0.3)]], alternatives=2))


def test_entropy_is_the_mean_over_tokens() -> None:
    assert entropy([[0.0], [LOG(0.5), LOG(0.5)]]) == pytest.approx(LOG(2) / 2)


def test_alternatives_beyond_certainty_are_refused() -> None:
    with pytest.raises(ValueError, match=r"add up to a probability of 1\.2"):
        entropy([[LOG(0.6), LOG(0.6)]])
    with pytest.raises(ValueError, match="no alternatives"):
        entropy([[]])


@st.composite
def distributions(draw: st.DrawFn) -> list[float]:
    """Up to nine masses and a rest, as log-probabilities without the rest."""
    masses = draw(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=9))
    total = sum(masses) + draw(st.floats(0.0, 2.0))
    return [LOG(mass / total) for mass in masses]


@given(st.lists(distributions(), min_size=1, max_size=5), st.integers(1, 20))
def test_entropy_stays_within_its_bounds(places: list[list[float]], alternatives: int) -> None:
    assert 0.0 <= entropy(places, alternatives) <= LOG(alternatives + 1)
    assert 0.0 <= normalised_entropy(places, alternatives) <= 1.0


@given(st.lists(st.floats(-50.0, 0.0), min_size=1, max_size=20), st.floats(0.01, 5.0))
def test_perplexity_is_at_least_one_and_rises_when_every_token_is_less_likely(values: list[float], less: float) -> None:
    assert 1.0 <= perplexity(values) < perplexity([value - less for value in values])


@given(st.floats(0.5, 0.98), st.floats(0.001, 0.019))
def test_entropy_falls_as_the_likelier_of_two_grows(likely: float, more: float) -> None:
    assert entropy([[LOG(likely + more), LOG(1 - likely - more)]]) < entropy([[LOG(likely), LOG(1 - likely)]])


REPLY = json.dumps({
    "evidence": [{"feature": "x", "direction": "SHORT"}],
    "rationale": 'They said "direction": "SHORT", {"direction": "SHORT"} and so on, \\',
    "direction": "LONG",
    "confidence": 2,
})  # fmt: skip


def cut(text: str, sizes: list[int]) -> list[Token]:
    """The text in pieces of these sizes, again and again."""
    tokens, place, turn = [], 0, 0
    while place < len(text):
        piece = text[place : place + sizes[turn % len(sizes)]]
        tokens.append(Token(piece, -0.5, ((piece, -0.5),)))
        place, turn = place + len(piece), turn + 1
    return tokens


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30))
def test_the_decision_is_found_however_tokens_cut_the_reply(sizes: list[int]) -> None:
    decided = decision(cut(REPLY, sizes))
    joined = "".join(token.text for token in decided.tokens)
    assert decided.side == "LONG"
    assert joined[len(decided.lead) :].startswith("LONG")
    assert len(decided.lead) < len(decided.tokens[0].text)
    assert "confidence" not in joined.removesuffix(decided.tokens[-1].text)


@pytest.mark.parametrize(
    "around", ["{}", "```json\n{}\n```", '<think>{{or "direction": "SHORT"}}?</think>\n{}', "a {{ b {}"]
)
def test_what_stands_around_the_object_does_not_matter(around: str) -> None:
    text = around.format(REPLY)
    first, last = value_span(text, "direction")
    assert text[first:last] == "LONG"
    assert "confidence" in text[last:]


@pytest.mark.parametrize("text", ["", "LONG", '{"confidence": 1}', '{"a": {"direction": "LONG"}}', '{"direction": 1}'])
def test_a_reply_without_the_decision_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no value of 'direction'"):
        value_span(text, "direction")


def tokens(*texts: str) -> list[Token]:
    """Tokens that are certain."""
    return [Token(text, 0.0, ((text, 0.0),)) for text in texts]


@pytest.mark.parametrize(
    ("first", "top", "odds"),
    [
        ("LONG", {"LONG": 0.6, "SHORT": 0.3}, LOG(2)),
        ("L", {"L": 0.5, "LO": 0.1, "S": 0.2, "SH": 0.1}, LOG(2)),  # beginnings of a side add up
        (' "LONG', {' "LONG': 0.6, ' "SH': 0.3, ' "': 0.1}, LOG(2)),  # a bare quote says nothing
        (' "LONG', {' "LONG': 0.5, '"LONG': 0.1, ' "SH': 0.2, '"SHORT': 0.1}, LOG(2)),  # JSON does not mind the space
        ("LONG", {"LONG": 0.9, "long": 0.05}, None),
    ],
)
def test_log_odds_of_long_against_short(first: str, top: dict[str, float], odds: float | None) -> None:
    opening = '{"direction": ' if '"' in first else '{"direction": "'
    rest = "LONG"[len(first.strip(' "')) :]
    choice = Token(first, LOG(top[first]), tuple((text, LOG(mass)) for text, mass in top.items()))
    decided = decision([*tokens(opening), choice, *([*tokens(rest)] if rest else []), *tokens('"}')])
    found = log_odds(decided)
    assert found == (None if odds is None else pytest.approx(odds))


def test_decision_tokens_alone_can_be_measured() -> None:
    even = Token("LONG", LOG(0.5), (("LONG", LOG(0.5)), ("SHORT", LOG(0.5))))
    reply = [*tokens('{"rationale": "x", "direction": "'), even, *tokens('"}')]
    assert normalised_entropy(alternatives_of(decision(reply).tokens), 1) == pytest.approx(1.0)
    assert entropy(alternatives_of(reply)) == pytest.approx(LOG(2) / 3)
    assert re.fullmatch("LONG", decision(reply).tokens[0].text)
