"""The parts of a reply and the entropy of each token."""

import math

import pytest

from llmrl_lib.language.chat import Token
from llmrl_lib.language.parts import parts, token_entropies

REPLY = '{"evidence": [{"feature": "vix"}], "rationale": "a } \\" brace", "direction": "LONG"}'


def test_entries_reach_from_their_key_to_the_next() -> None:
    found = parts(REPLY)
    assert list(found) == ["evidence", "rationale", "direction"]
    assert [REPLY[first:last] for first, last in found.values()] == [
        '{"evidence": [{"feature": "vix"}], ',
        '"rationale": "a } \\" brace", ',
        '"direction": "LONG"}',
    ]


def test_text_around_the_object_belongs_to_no_part() -> None:
    text = f"I think {{so}}.\n```json\n{REPLY}\n```"
    assert [text[first:last] for first, last in parts(text).values()] == [
        REPLY[first:last] for first, last in parts(REPLY).values()
    ]
    assert parts("no object") == {}
    assert parts('{"direction": "LO') == {}
    assert parts("{}") == {}


def test_a_token_belongs_to_the_part_in_which_it_begins() -> None:
    pieces = ['{"', 'evidence": [], "', 'direction": "', "LONG", '"}']
    half = math.log(0.5)
    tops = {"LONG": (("LONG", half), ("SHORT", half))}
    tokens = [Token(piece, 0.0, tops.get(piece, ((piece, 0.0),))) for piece in pieces]
    table = token_entropies(tokens)
    assert list(table["part"]) == ["evidence", "evidence", "direction", "direction", "direction"]
    assert list(table["entropy"]) == pytest.approx([0, 0, 0, math.log(2), 0])
    assert list(table["text"]) == pieces


def test_tokens_without_alternatives_are_refused() -> None:
    with pytest.raises(ValueError, match="no alternatives"):
        token_entropies([Token("a", -0.1)])
