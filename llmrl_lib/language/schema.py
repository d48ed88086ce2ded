"""From the text of a reply to the JSON value that its schema asks for, or the defect in words that a model can act on.

The schema's dialect is JSON Schema 2020-12. Code fences and a closed block of thoughts before the value are overlooked, since
servers without structured output send them; anything else that is not the value itself is a defect.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match

LONGEST_DEFECT = 400  # characters
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)


class SchemaDefect(ValueError):
    """Where and why a text is not what the schema asks for."""


def parse_reply(text: str, schema: Mapping[str, Any]) -> Any:
    """The value in `text`. Raises SchemaDefect where it is no JSON, repeats a name, or is not of the schema."""
    value = _read_json(text)
    try:
        error = best_match(Draft202012Validator(schema).iter_errors(value))
    except RecursionError:
        raise SchemaDefect("the value is nested too deeply") from None
    if error is not None:
        raise SchemaDefect(_shortened(f"at {error.json_path}: {error.message}"))
    return value


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises ValueError where `schema` is itself not a JSON schema."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(
            f"the schema of the request is not a JSON schema: at {error.json_path}: {error.message}"
        ) from None


def _read_json(text: str) -> Any:
    bare = _THOUGHTS.sub("", text).strip()
    if fenced := _FENCE.match(bare):
        bare = fenced[1]
    if not bare:
        raise SchemaDefect("the reply is empty")
    try:
        return json.loads(bare, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except SchemaDefect:
        raise
    except RecursionError:
        raise SchemaDefect("the value is nested too deeply") from None
    except ValueError as error:
        raise SchemaDefect(_shortened(f"not JSON: {error}")) from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise SchemaDefect(_shortened(f"the name {repeated!r} stands twice in one object"))
    return value


def _no_constant(name: str) -> None:
    raise SchemaDefect(f"{name} is no JSON number")


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_DEFECT else f"{text[: LONGEST_DEFECT - 4]} ..."
