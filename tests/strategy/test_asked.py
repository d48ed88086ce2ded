"""What was asked, rendered again from what came of it."""

import pandas as pd
import pytest
from scripted import Scripted, thoughtful

from llmrl_lib.language.prompts import STRATEGISTS
from llmrl_lib.strategy.asked import messages_of
from llmrl_lib.strategy.strategist import make_strategies

SPAN = ("2018-01-01", "2018-07-01")


@pytest.mark.parametrize("prompt", STRATEGISTS)
def test_messages_are_rendered_again_word_for_word(prompt, market):
    chat = Scripted(thoughtful)
    made = make_strategies(market, "ORVN", prompt, chat, *SPAN)
    asked = {request.messages for request in chat.requests if "direction" in request.sampling.schema["properties"]}
    assert len(asked) == len(made)
    assert {tuple(messages_of(market, prompt, made, one.date)) for one in made} == asked


def test_a_day_without_a_decision_is_refused(market):
    made = make_strategies(market, "ORVN", "p0", Scripted(thoughtful), *SPAN)
    with pytest.raises(ValueError, match="none of the 7 strategies is of 2018-01-03; give a day of decision"):
        messages_of(market, "p0", made, pd.Timestamp("2018-01-03"))
