"""The records of a conversation: exact keys, and replies that survive their file format."""

import json
from dataclasses import replace

import pytest

from llmrl_lib.language.chat import (
    Message,
    Reply,
    Request,
    Sampling,
    Token,
    Usage,
    reply_from_record,
    reply_to_record,
    request_key,
)

REQUEST = Request(
    (Message("system", "Be brief."), Message("user", "LONG or SHORT?")), Sampling(schema={"type": "object"})
)
IDENTITY = {"model": "any", "server": "http://127.0.0.1:1/v1"}


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, messages=(*REQUEST.messages[:1], Message("user", "LONG or SHORT? "))),
        replace(REQUEST, sampling=replace(REQUEST.sampling, temperature=0.7)),
        replace(REQUEST, sampling=replace(REQUEST.sampling, draw=1)),
        replace(REQUEST, sampling=replace(REQUEST.sampling, schema={"type": "array"})),
    ],
)
def test_any_difference_makes_another_key(other):
    assert request_key(IDENTITY, other) != request_key(IDENTITY, REQUEST)


def test_the_order_in_which_a_schema_lets_a_model_write_is_part_of_the_key():
    reasons, decision = {"rationale": {"type": "string"}}, {"direction": {"type": "string"}}
    one, two = (
        replace(REQUEST, sampling=Sampling(schema={"type": "object", "properties": order}))
        for order in (reasons | decision, decision | reasons)
    )
    assert request_key(IDENTITY, one) != request_key(IDENTITY, two)


def test_the_key_depends_on_who_answers():
    assert request_key({**IDENTITY, "model": "other"}, REQUEST) != request_key(IDENTITY, REQUEST)
    assert request_key(dict(reversed(IDENTITY.items())), REQUEST) == request_key(IDENTITY, REQUEST)


def test_equal_requests_have_one_key_however_their_numbers_are_written():
    one, other = (replace(REQUEST, sampling=Sampling(temperature=number)) for number in (0, 0.0))
    assert one == other
    assert request_key(IDENTITY, one) == request_key(IDENTITY, other)


def test_a_reply_survives_json():
    tokens = (Token("LO", -0.1, (("LO", -0.1), ("SH", -2.4))), Token("NG", -1e-9, ()))
    reply = Reply(
        '{"direction": "LONG"}', {"direction": "LONG"}, tokens, Usage(7, 2, 1), "any-1", "stop", 0.25, ("odd",)
    )
    assert reply_from_record(json.loads(json.dumps(reply_to_record(reply)))) == reply


def test_half_a_surrogate_pair_has_a_key_so_that_the_chat_can_refuse_it_by_name():
    assert len(request_key(IDENTITY, Request((Message("user", "\ud800"),)))) == 64
