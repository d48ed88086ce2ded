"""The analyst reads last month's headlines without names, as data."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from hostile_lines import HOSTILE

import llmrl_lib as ll
from llmrl_lib.language.chat import OffSchemaError, Reply
from llmrl_lib.language.prompts import PromptError
from llmrl_lib.market.features import Headline
from llmrl_lib.strategy.analyst import MOST_HEADLINES, analyst_request, factors_from_reply
from llmrl_lib.strategy.anonymise import names_of
from llmrl_lib.strategy.records import Factor


@pytest.fixture(scope="module")
def features(market):
    return ll.features(market, "ORVN", "2018-06-01")


@pytest.fixture(scope="module")
def known(market):
    return names_of(market)


def with_lines(features, lines):
    day = pd.Timestamp("2018-05-30")
    return replace(features, news=tuple(Headline(day, line, "a summary", "blog") for line in lines))


def field_of(request):
    """The lines between the fences, which occur once each."""
    text = request.messages[1].content
    assert text.count("<headlines>") == text.count("</headlines>") == 1
    return text.split("<headlines>\n")[1].split("\n</headlines>")[0].split("\n")


def test_headlines_are_shown_in_order_without_names_summaries_and_dates(features, known):
    lines = [json.loads(line) for line in field_of(analyst_request(features, known))]
    assert len(lines) == len(features.news)
    assert not any(word in " ".join(lines) for word in ("Orvane", "ORVN", "Velkra", "Quellin"))
    assert lines[0] == "Person A of the Company joins a school board"


def test_the_rest_of_the_request_does_not_depend_on_the_headlines(features, known):
    plain = analyst_request(with_lines(features, ["All quiet"]), known)
    for line in HOSTILE:
        request = analyst_request(with_lines(features, [line]), known)
        assert request.sampling == plain.sampling
        assert request.messages[0] == plain.messages[0]
        assert request.messages[1].content.replace(field_of(request)[0], "") == plain.messages[1].content.replace(
            field_of(plain)[0], ""
        )


def test_no_headlines_no_request(features, known):
    assert analyst_request(replace(features, news=()), known) is None


def test_the_newest_of_many_headlines_are_shown_and_the_others_told(features, known):
    request = analyst_request(
        with_lines(features, [f"Item {number} sold" for number in range(MOST_HEADLINES + 7)]), known
    )
    lines = field_of(request)
    assert len(lines) == MOST_HEADLINES
    assert lines[-1] == f'"Item {MOST_HEADLINES + 6} sold"'
    assert "7 older left out" in request.messages[1].content


def test_a_prompt_for_strategies_is_refused(features, known):
    with pytest.raises(PromptError, match="must reply with factors"):
        analyst_request(features, known, "p4")


def test_factors_are_read_and_wrong_ones_refused(known):
    item = {"scope": "company", "factor": "orders", "sentiment": -1, "impact": 3}
    assert factors_from_reply(Reply("", {"factors": [item]}), "ORVN", known) == (Factor("company", "orders", -1, 3),)
    for wrong in ({}, {"factors": []}, {"factors": [{**item, "impact": 0}]}, {"factors": [{"scope": "x"}]}, None):
        with pytest.raises(OffSchemaError):
            factors_from_reply(Reply("", wrong), "ORVN", known)


def test_an_analyst_who_guessed_the_name_does_not_pass_it_on(known):
    texts = ["Orvane's Velkra sells in Asia", "Product A of the Company beats Kestrova since May 2017"]
    items = [{"scope": "company", "factor": text, "sentiment": 0, "impact": 1} for text in texts]
    found = factors_from_reply(Reply("", {"factors": items}), "ORVN", known)
    assert [factor.factor for factor in found] == [
        "The Company's Product A sells in Asia",
        "Product A of the Company beats Company B since a date",
    ]
