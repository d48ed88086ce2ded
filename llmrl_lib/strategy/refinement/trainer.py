"""The trainer: what stood behind a month of which it is known, in hindsight, what would have been right.

After the paper's Writer-Trainer: features are rated low, medium or high and rationales are collected. A month is asked about
in sheets of a few fields each, so that small models can read them, and every field of a sheet is rated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmrl_lib.language.chat import Reply, Request
from llmrl_lib.language.fencing import clean, fenced
from llmrl_lib.language.prompts import Prompt, PromptError, load_prompt, reply_schema
from llmrl_lib.language.prompts.replies import RATINGS, READINGS
from llmrl_lib.language.uncertainty import SIDES
from llmrl_lib.market.features import FIELDS, Features
from llmrl_lib.market.features.records import NOT_AVAILABLE
from llmrl_lib.strategy.refinement.asking import Tuning, object_of, off_schema, request_of
from llmrl_lib.strategy.refinement.errors import IncompleteRatingsError, UnknownFeatureError
from llmrl_lib.strategy.refinement.fields import Contrast, standing_of
from llmrl_lib.strategy.rendering import figure, shown

SHEET = 8  # fields that are rated at once
LONGEST_RATIONALE = 300  # characters


@dataclass(frozen=True)
class Exemplar:
    """A month of which it is known what would have been right."""

    features: Features  # known at the close at which it began
    direction: int  # 1 LONG, 0 SHORT: what was right
    earned: float  # return of the share over the 20 trading days after it, fraction
    standings: Mapping[str, float]  # of its fields, tenths of a standard deviation from their usual
    note: str = ""  # what a person said about it

    @property
    def side(self) -> str:
        """LONG or SHORT."""
        return SIDES[1 - self.direction]


@dataclass(frozen=True, slots=True)
class Rating:
    """How much a field stood behind what was right."""

    feature: str
    value: str  # as the model copied it
    reason: str
    reading: str  # bullish, neutral or bearish
    rating: str  # low, medium or high


@dataclass(frozen=True)
class Ratings:
    """A trainer's reply to one sheet."""

    ratings: tuple[Rating, ...]
    rationale: str  # a rule for other months


def trainer_request(
    exemplar: Exemplar,
    fields: Sequence[str],
    contrasts: Mapping[str, Contrast],
    months: tuple[int, int],
    tuning: Tuning,
    prompt: str | Path | Prompt = "trainer",
) -> Request:
    """What the trainer is asked about the `fields` of one exemplar.

    `contrasts` says where fields stood before months of either kind, `months` how many there were of LONG and SHORT. Raises
    PromptError for a prompt that does not reply with ratings, for no field, and for one that does not exist.
    """
    chosen = load_prompt(prompt)
    if chosen.reply != "ratings":
        raise PromptError(f"{chosen.name} replies with a {chosen.reply}; the trainer's prompt must reply with ratings")
    unknown = [name for name in fields if name not in FIELDS]
    if unknown or not fields:
        raise PromptError(f"a sheet of the trainer has {unknown[0]!r}, no field" if unknown else "a sheet has no field")
    values = {
        "trade": _trade(exemplar),
        "longs": str(months[0]),
        "shorts": str(months[1]),
        "features": "\n".join(_line(exemplar, name, contrasts[name], chosen) for name in fields),
    }
    return request_of(chosen, values, reply_schema(chosen.reply, fields), tuning)


def ratings_from_reply(reply: Reply, fields: Sequence[str]) -> Ratings:
    """The ratings of a trainer's reply, in the order of `fields`.

    Raises UnknownFeatureError for a field that was not on the sheet, IncompleteRatingsError where one is missing, and
    OffSchemaError for any other reply that is not one.
    """
    found = object_of(reply, "trainer")
    try:
        rated, rationale = dict(found["ratings"]), clean(str(found["rationale"]), LONGEST_RATIONALE)
        unknown = [name for name in rated if name not in fields]
        missing = [name for name in fields if name not in rated]
        if unknown:
            raise UnknownFeatureError(f"the trainer rates {unknown[0]!r:.60}, which is not on its sheet; ask again")
        if missing:
            raise IncompleteRatingsError(f"the trainer leaves out {missing[0]!r}; use a chat that holds to the schema")
        ratings = tuple(
            Rating(
                name,
                str(rated[name]["value"]),
                str(rated[name]["reason"]),
                READINGS[READINGS.index(rated[name]["reading"])],
                RATINGS[RATINGS.index(rated[name]["rating"])],
            )
            for name in fields
        )
    except (KeyError, TypeError, ValueError) as error:
        raise off_schema("trainer", error) from error
    return Ratings(ratings, rationale)


def value_of(exemplar: Exemplar, name: str) -> str:
    """A field's value as the trainer sees it."""
    return shown(exemplar.features[name], exemplar.features["close"].value) or NOT_AVAILABLE


def _trade(exemplar: Exemplar) -> str:
    moved = "rose" if exemplar.earned > 0 else "fell"
    text = (
        f"{exemplar.side} was right: the share {moved} by {figure(100.0 * abs(exemplar.earned))} % "
        "over the next 20 trading days."
    )
    return f"{text}\nA person who knows such trades says: {fenced([exemplar.note])}" if exemplar.note else text


def _line(exemplar: Exemplar, name: str, contrast: Contrast, prompt: Prompt) -> str:
    now = standing_of(exemplar.standings, name)
    value = value_of(exemplar, name)
    if now is None or value == NOT_AVAILABLE:
        return f"- {name}: {NOT_AVAILABLE}"
    unit = "" if FIELDS[name].unit in ("currency/share", "ratio") else f" {FIELDS[name].unit}"
    where = f"now {signed(now)}, LONG {signed(contrast.longs)}, SHORT {signed(contrast.shorts)}"
    return f"- {name}: {value}{unit} ({where}; {prompt.meaning(name)})"


def signed(number: int) -> str:
    """A whole number with its sign, 0 without."""
    return f"{number:+d}" if number else "0"
