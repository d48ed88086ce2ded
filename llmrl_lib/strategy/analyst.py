"""The analyst: from a month's headlines, without names, to two to five factors with sentiment and impact.

After the paper's appendix B and LLMFactor. It sees the headlines of the last 20 trading days before the decision, and those
only: never one of the days that the strategy is for. Headlines are data from outside; see `language.fencing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llmrl_lib.language.chat import Message, OffSchemaError, Reply, Request, Sampling
from llmrl_lib.language.fencing import fenced
from llmrl_lib.language.prompts import Prompt, PromptError, fill, load_prompt
from llmrl_lib.market.features import Features
from llmrl_lib.strategy.anonymise import Names, anonymise, without_known_names
from llmrl_lib.strategy.records import Factor

MOST_HEADLINES = 60  # the newest are shown
MAX_TOKENS = 800  # of the reply
NO_NEWS = (Factor("company", "no news is known of the last 20 trading days", 0, 0),)


def analyst_request(
    features: Features, known: Mapping[str, Names], prompt: str | Path | Prompt = "analyst", seed: int | None = 0
) -> Request | None:
    """What the analyst is asked about the month before a decision date; None where there are no headlines.

    Without headlines nobody is asked and the factors are `NO_NEWS`. `known` are the names to take out, of `names_of`.
    Raises PromptError for a prompt that does not reply with factors.
    """
    chosen = load_prompt(prompt)
    if chosen.reply != "factors":
        raise PromptError(f"{chosen.name} replies with a {chosen.reply}; the analyst's prompt must reply with factors")
    if not features.news:
        return None
    newest = features.news[-MOST_HEADLINES:]
    headlines = anonymise([item.headline for item in newest], features.ticker, known)
    older = len(features.news) - len(newest)
    values = {
        "headlines": fenced(headlines),
        "left_out": f" (the newest {len(newest)}; {older} older left out)" if older else "",
    }
    if chosen.instructions:
        values["instructions"] = "\n".join(f"- {line}" for line in chosen.instructions)
    messages = tuple(
        Message(role, fill(template, values, f"prompt {chosen.name}").strip())
        for role, template in (("system", chosen.system), ("user", chosen.user))
    )
    sampling = Sampling(
        temperature=0.0,
        seed=seed,
        max_tokens=MAX_TOKENS,
        top_logprobs=None,
        schema=chosen.schema,
        schema_name="factors",
    )
    return Request(messages, sampling)


def factors_from_reply(reply: Reply, ticker: str, known: Mapping[str, Names]) -> tuple[Factor, ...]:
    """The factors of an analyst's reply, as it ordered them, known names taken out once more, should it have guessed any.

    Raises OffSchemaError for a reply that holds none.
    """
    try:
        items: Sequence[Mapping] = reply.parsed["factors"]
        texts = without_known_names([str(item["factor"]) for item in items], ticker, known)
        found = tuple(
            Factor(item["scope"], text, item["sentiment"], item["impact"])
            for item, text in zip(items, texts, strict=True)
        )
    except (KeyError, TypeError) as error:
        what = f"the analyst's reply is not of the schema ({error!r})"
        raise OffSchemaError(f"{what}; use a chat that holds replies to the schema") from error
    if not found or any(factor.sentiment not in (-1, 0, 1) or factor.impact not in (1, 2, 3) for factor in found):
        raise OffSchemaError(
            "the analyst's factors need sentiment -1, 0 or 1 and impact 1 to 3; use a chat that holds to it"
        )
    return found
