"""Templates: plain text with variables in double braces, filled in one pass and strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping

_VARIABLE = re.compile(r"\{\{(.*?)\}\}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class PromptError(ValueError):
    """A prompt that cannot be used or rendered; the message names the file, the place and what would be right."""


def fill(template: str, values: Mapping[str, str], name: str = "the template") -> str:
    """The template with every `{{variable}}` replaced by its value.

    Values are not looked at again, so braces inside them stay what they are. Raises PromptError for a variable without a
    value. Whether every value is used is for the caller to see, who knows all templates that share them: `variables`.
    """
    missing = sorted(variables(template, name) - values.keys())
    if missing:
        raise PromptError(
            f"{name} uses {{{{{missing[0]}}}}}, which has no value; there are {', '.join(sorted(values))}"
        )
    return _VARIABLE.sub(lambda match: values[match[1].strip()], template)


def variables(template: str, name: str = "the template") -> set[str]:
    """The names of a template's variables. Raises PromptError for braces that hold no name."""
    found = {match[1].strip() for match in _VARIABLE.finditer(template)}
    for variable in sorted(found):
        if not _NAME.fullmatch(variable):
            raise PromptError(f"{name} has {{{{{variable}}}}}, which is no name; use lower-case letters, digits and _")
    return found
