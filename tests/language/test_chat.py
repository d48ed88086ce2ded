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


def test_the_key_depends_on_who_answers_but_not_on_the_order_of_a_schemas_keys():
    one = replace(REQUEST, sampling=Sampling(schema={"a": 1, "b": 2}))
    two = replace(REQUEST, sampling=Sampling(schema={"b": 2, "a": 1}))
    assert request_key(IDENTITY, one) == request_key(IDENTITY, two)
    assert request_key({**IDENTITY, "model": "other"}, one) != request_key(IDENTITY, one)


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
