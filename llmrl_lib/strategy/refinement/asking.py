"""How the three roles are asked: one message each way, drawn at a temperature, held to the schema of the role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmrl_lib.language.chat import Message, OffSchemaError, Reply, Request, Sampling
from llmrl_lib.language.prompts import Prompt, fill

NONE = "none yet"


@dataclass(frozen=True)
class Tuning:
    """How replies are drawn while prompts are refined.

    The paper draws at 0.7 with a frequency penalty of 1 and a presence penalty of 0.25 (`PUBLISHED`). The penalties are 0 by
    default: a reply here is JSON, whose keys and digits must repeat.
    """

    temperature: float = 0.7
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int = 0
    draw: int = 0  # index of an independent draw of the same request
    max_tokens: int = 2048


PUBLISHED = Tuning(0.7, 1.0, 0.25)


def request_of(prompt: Prompt, values: Mapping[str, str], schema: Mapping[str, Any], tuning: Tuning) -> Request:
    """The request of a role's prompt with its values filled in, the instructions among them."""
    shown = {**values, "instructions": "\n".join(f"- {line}" for line in prompt.instructions)}
    messages = tuple(
        Message(role, fill(template, shown, f"prompt {prompt.name}").strip())
        for role, template in (("system", prompt.system), ("user", prompt.user))
    )
    sampling = Sampling(
        temperature=tuning.temperature,
        seed=tuning.seed,
        frequency_penalty=tuning.frequency_penalty,
        presence_penalty=tuning.presence_penalty,
        max_tokens=tuning.max_tokens,
        top_logprobs=None,
        schema=schema,
        schema_name=prompt.reply,
        draw=tuning.draw,
    )
    return Request(messages, sampling)


def off_schema(role: str, error: Exception) -> OffSchemaError:
    """The error of a reply in which a part is missing or of another kind."""
    return OffSchemaError(
        f"the {role}'s reply is not of the schema ({error!r}); use a chat that holds replies to the schema"
    )


def object_of(reply: Reply, role: str) -> Mapping:
    """The JSON object of a reply. Raises OffSchemaError where there is none."""
    if not isinstance(reply.parsed, Mapping):
        raise off_schema(role, TypeError(type(reply.parsed).__name__))
    return reply.parsed
