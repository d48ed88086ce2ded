"""What a prompt's reply must look like: JSON schemas in which evidence comes before reasons, and reasons before decisions.

The order of properties is the order in which a model writes them. They keep to the subset of JSON schema that every server
with structured output knows: no optional property, no additional one, lists with a smallest and a largest length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

GROUPS = ("market", "technical", "fundamental", "macro", "options", "reflection")  # the six of P3; P4 adds news
NEWS = "news"
READINGS = ("bullish", "neutral", "bearish")
SCOPES = ("company", "sector", "economy")
LARGEST_WEIGHT = 10
MOST_EVIDENCE, MOST_WEIGHTS, FEWEST_FACTORS, MOST_FACTORS = 8, 8, 2, 5
STRATEGIES = ("strategy", "strategy_by_group", "strategy_by_group_and_news")  # kinds of reply that decide
RATINGS = ("low", "medium", "high")
CHOICES = ("take", "leave")  # of a writer
VERDICTS = ("keep", "drop")  # of a judge, on what a prompt has
ADDITIONS = ("add", "leave")  # and on what it has not
FEWEST_FIELDS = 3  # of a candidate prompt
MOST_NUMBERED = 30  # instructions that are numbered for a writer or a judge
MOST_NEW_LINES = 3  # instructions in words of their own


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _choice(options: Sequence[str], description: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(options), "description": description}


def _number(values: Sequence[int], description: str) -> dict[str, Any]:
    return {"type": "integer", "enum": list(values), "description": description}


def _list(items: dict[str, Any], fewest: int, most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": fewest, "maxItems": most}


def _strategy(features: Sequence[str], names: Sequence[str] = ()) -> dict[str, Any]:
    evidence = _object(
        feature=_choice(features, "a field of the data"),
        value=_text("its value, copied as shown, without the unit"),
        reading=_choice(READINGS, "what it says about the next 20 trading days"),
    )
    group = _object(
        group=_choice(names, "the group"),
        finding=_text("at most 40 words"),
        reading=_choice(READINGS, "which way it leans"),
    )
    weight = _object(
        feature=_choice(features, "a field of the data"),
        weight=_number(range(1, LARGEST_WEIGHT + 1), "importance for the decision"),
    )
    groups = {"groups": _list(group, len(names), len(names))} if names else {}
    return _object(
        evidence=_list(evidence, 3, MOST_EVIDENCE),
        **groups,
        rationale=_text("at most 120 words; what decides, and what speaks against it"),
        weights=_list(weight, 1, MOST_WEIGHTS),
        direction=_choice(("LONG", "SHORT"), "position for the next 20 trading days"),
        confidence=_number((1, 2, 3), "1 low, 2 medium, 3 high"),
    )


def _factors() -> dict[str, Any]:
    factor = _object(
        scope=_choice(SCOPES, "what it is about"),
        factor=_text("at most 25 words"),
        sentiment=_number((-1, 0, 1), "-1 bad for the share, 0 neither, 1 good"),
        impact=_number((1, 2, 3), "1 small, 2 medium, 3 large"),
    )
    return _object(factors=_list(factor, FEWEST_FACTORS, MOST_FACTORS))


def _ratings(features: Sequence[str]) -> dict[str, Any]:
    rating = _object(
        value=_text("its value, copied as shown, without the unit"),
        reason=_text("at most 20 words"),
        reading=_choice(READINGS, "what it said about the next 20 trading days"),
        rating=_choice(RATINGS, "how much it stood behind what was right"),
    )
    return _object(
        ratings=_object(**dict.fromkeys(features, rating)),
        rationale=_text("at most 30 words: a rule for other months, without figures"),
    )


def candidate_schema(features: Sequence[str], instructions: int) -> dict[str, Any]:
    """A writer's reply: a choice for each field and for each numbered instruction."""
    choice = _object(
        known=_text("what is known of it, copied as shown"),
        choice=_choice(CHOICES, "whether the next prompt has it"),
    )
    return _object(
        plan=_text("at most 60 words; what is taken, what is left out"),
        features=_object(**dict.fromkeys(features, choice)),
        instructions=_object(**dict.fromkeys(_numbers(instructions), choice)),
        new_instructions=_list(_text("an instruction of your own, at most 40 words"), 0, MOST_NEW_LINES),
    )


def criticism_schema(shown: Sequence[str], others: Sequence[str], given: Sequence[bool]) -> dict[str, Any]:
    """A judge's reply: a verdict on each field that a prompt shows, on others, and on each instruction, `given` or not."""
    finding = _object(
        record=_text("how often it was right and wrong, copied"),
        verdict=_choice(VERDICTS, "whether the prompt should go on showing it"),
    )
    addition = _object(
        known=_text("what is known of it, copied as shown"),
        verdict=_choice(ADDITIONS, "whether the prompt should show it"),
    )

    def line(has: bool) -> dict[str, Any]:
        return _object(
            about=_text("the field that it is about"),
            verdict=_choice(VERDICTS if has else ADDITIONS, "what the next prompt should do with it"),
        )

    return _object(
        findings=_object(**dict.fromkeys(shown, finding)),
        criticism=_text("at most 80 words; what is wrong with the rationale"),
        others=_object(**dict.fromkeys(others, addition)),
        instructions=_object(**{number: line(has) for number, has in zip(_numbers(len(given)), given, strict=True)}),
        new_instructions=_list(_text("an instruction of your own, at most 40 words"), 0, MOST_NEW_LINES),
    )


def _review() -> dict[str, Any]:
    def rated(words: str) -> dict[str, Any]:
        return _object(reason=_text("at most 30 words"), score=_number((1, 2, 3), words))

    return _object(
        rationale=rated("1 flawed, 2 partial, 3 sound"),
        fidelity=rated("1 unrealistic, 2 plausible, 3 professional"),
        safety=rated("risks: 1 ignored, 2 mentioned, 3 addressed"),
    )


def _numbers(count: int) -> list[str]:
    return [str(number + 1) for number in range(count)]


SCHEMAS: dict[str, Callable[[Sequence[str]], dict[str, Any]]] = {
    "strategy": _strategy,
    "strategy_by_group": lambda features: _strategy(features, GROUPS),
    "strategy_by_group_and_news": lambda features: _strategy(features, (*GROUPS, NEWS)),
    "factors": lambda _features: _factors(),
    "ratings": _ratings,
    "candidate": lambda features: candidate_schema(features, 0),
    "criticism": lambda features: criticism_schema(features, (), ()),
    "review": lambda _features: _review(),
}  # kind of reply: its schema, given the names of the fields that it may use


def reply_schema(reply: str, features: Sequence[str]) -> Mapping[str, Any]:
    """The JSON schema of a kind of reply (one of SCHEMAS) to a prompt that shows `features`."""
    return SCHEMAS[reply](tuple(features))
