"""Prompts as files: what is shown, what is asked and what may be answered, each with a name, a version and a parent.

P0 to P4 are those of the paper's Table I, `analyst` is the reader of headlines, and `trainer`, `writer` and `judge` refine
prompts, and `reviewer` rates strategies; all were written for this project. A prompt is a TOML file, so that a refined one
is a file like these and can stand in for any of them.
"""

from llmrl_lib.language.prompts.record import (
    BUILT_IN,
    REFINERS,
    STRATEGISTS,
    Prompt,
    load_prompt,
    package_meanings,
    save_prompt,
)
from llmrl_lib.language.prompts.replies import SCHEMAS, STRATEGIES, reply_schema
from llmrl_lib.language.prompts.template import PromptError, fill, variables

__all__ = [
    "BUILT_IN",
    "REFINERS",
    "SCHEMAS",
    "STRATEGIES",
    "STRATEGISTS",
    "Prompt",
    "PromptError",
    "fill",
    "load_prompt",
    "package_meanings",
    "reply_schema",
    "save_prompt",
    "variables",
]
