"""What can be wrong with the replies of trainer, writer and judge, and with candidate prompts, by name."""

from __future__ import annotations

from llmrl_lib.language.chat import OffSchemaError
from llmrl_lib.language.prompts import PromptError


class UnknownFeatureError(OffSchemaError):
    """A reply names a field that was not offered."""


class UnknownInstructionError(OffSchemaError):
    """A reply names an instruction by a number that was not offered."""


class EmptyCriticismError(OffSchemaError):
    """A judge that says nothing."""


class MeagreDraftError(OffSchemaError):
    """A writer that takes too few fields, or no instruction."""


class IncompleteRatingsError(OffSchemaError):
    """A trainer that leaves out a field of its sheet."""


class DroppedVariableError(PromptError):
    """A candidate whose templates no longer show what its parent's show."""


class DroppedReplyError(PromptError):
    """A candidate that no longer asks for the reply, or for a key of it."""


class RefinementError(ValueError):
    """A refinement that cannot be begun or continued; the message says why and what to do."""
