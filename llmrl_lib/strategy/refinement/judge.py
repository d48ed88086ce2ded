"""The judge: criticises the rationale of a candidate's decisions, and proposes fields and instructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmrl_lib.language.chat import Reply, Request
from llmrl_lib.language.fencing import clean, fenced
from llmrl_lib.language.prompts import Prompt, PromptError, load_prompt
from llmrl_lib.language.prompts.replies import ADDITIONS, VERDICTS, criticism_schema
from llmrl_lib.language.uncertainty import SIDES
from llmrl_lib.strategy.refinement.asking import Tuning, object_of, off_schema, request_of
from llmrl_lib.strategy.refinement.errors import EmptyCriticismError
from llmrl_lib.strategy.refinement.knowledge import LONGEST_LINE, KnownField, KnownLine, rated, told_lines
from llmrl_lib.strategy.refinement.writer import LONGEST_CRITICISM, check_features, check_numbers, chosen
from llmrl_lib.strategy.rendering import figure

LONGEST_RATIONALE = 400  # characters of a decision's rationale that are shown


@dataclass(frozen=True)
class Tally:
    """How often a field's reading agreed with what came. Neutral readings count as neither."""

    feature: str
    read: int  # decisions that read it out
    right: int
    wrong: int

    @property
    def record(self) -> str:
        """As it is shown."""
        return f"{self.right} right, {self.wrong} wrong" if self.read else "never read out"


@dataclass(frozen=True)
class Month:
    """A decision of the candidate and what came of it."""

    direction: int  # 1 LONG, 0 SHORT
    earned: float  # return of the share over the 20 trading days after it, fraction
    rationale: str


@dataclass(frozen=True)
class Trial:
    """How a candidate did on the sampled windows."""

    sharpe: float  # a year
    regret: float
    best: float  # Sharpe ratio of the best prompt so far
    market: float
    tallies: tuple[Tally, ...]  # of every field that it shows
    lines: tuple[str, ...]  # its instructions
    months: tuple[Month, ...]  # some of its decisions


@dataclass(frozen=True)
class Finding:
    """What the judge makes of a field."""

    feature: str
    record: str  # as the model copied it
    verdict: str  # keep or drop


@dataclass(frozen=True)
class Criticism:
    """A judge's reply."""

    text: str
    findings: tuple[Finding, ...]
    add_features: tuple[str, ...]
    add_instructions: tuple[str, ...]
    drop_instructions: tuple[str, ...]
    new_instructions: tuple[str, ...]

    @property
    def drop_features(self) -> tuple[str, ...]:
        """The fields that it wants dropped."""
        return tuple(one.feature for one in self.findings if one.verdict == "drop")


def judge_request(
    trial: Trial,
    others: Sequence[KnownField],
    lines: Sequence[KnownLine],
    tuning: Tuning,
    prompt: str | Path | Prompt = "judge",
) -> Request:
    """What the judge is asked about a trial: `others` are fields that it does not show, `lines` all instructions there are.

    Raises PromptError for a prompt that does not reply with criticism, and for a trial in which no field was read out.
    """
    used = load_prompt(prompt)
    if used.reply != "criticism":
        raise PromptError(f"{used.name} replies with a {used.reply}; the judge's prompt must reply with criticism")
    if not any(one.read for one in trial.tallies):
        raise PromptError("no field was read out in this trial, so there is nothing to judge")
    given = set(trial.lines)
    values = {
        "scores": f"Sharpe ratio {trial.sharpe:.2f}, regret {trial.regret:.2f}, best prompt {trial.best:.2f}, "
        f"market {trial.market:.2f}",
        "features": "\n".join(f"- {one.feature}: {one.record}" for one in by_reads(trial.tallies)),
        "others": "\n".join(f"- {one.name}: {rated(one)}" for one in others) or "none",
        "lines": told_lines(lines, [line.text in given for line in lines]),
        "months": "\n".join(_told(month) for month in trial.months) or "none",
    }
    shown, offered = [one.feature for one in by_reads(trial.tallies)], [one.name for one in others]
    schema = criticism_schema(shown, offered, [line.text in given for line in lines])
    return request_of(used, values, schema, tuning)


def criticism_from_reply(
    reply: Reply, trial: Trial, others: Sequence[KnownField], lines: Sequence[KnownLine]
) -> Criticism:
    """The criticism in a judge's reply.

    Raises UnknownFeatureError and UnknownInstructionError for what was not offered, EmptyCriticismError for no words, and
    OffSchemaError for a reply that is no criticism.
    """
    found = object_of(reply, "judge")
    try:
        findings = tuple(
            Finding(str(name), str(item["record"]), VERDICTS[VERDICTS.index(item["verdict"])])
            for name, item in found["findings"].items()
        )
        text = clean(str(found["criticism"]), LONGEST_CRITICISM)
        added = chosen(found["others"], "verdict", ADDITIONS, "add")
        numbers = {
            verdict: chosen(found["instructions"], "verdict", (*VERDICTS, *ADDITIONS), verdict)
            for verdict in ("add", "drop")
        }
        own = tuple(dict.fromkeys(line for one in found["new_instructions"] if (line := clean(str(one), LONGEST_LINE))))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise off_schema("judge", error) from error
    if not any(letter.isalnum() for letter in text):
        raise EmptyCriticismError("the judge's criticism is empty; ask again with another seed, or use another model")
    check_features(found["findings"], [one.feature for one in trial.tallies], "judge")
    check_features(found["others"], [one.name for one in others], "judge")
    check_numbers(found["instructions"], len(lines), "judge")
    texts = {verdict: [lines[int(number) - 1].text for number in named] for verdict, named in numbers.items()}
    return Criticism(
        text,
        findings,
        added,
        tuple(line for line in texts["add"] if line not in trial.lines),
        tuple(line for line in texts["drop"] if line in trial.lines),
        own,
    )


def by_reads(tallies: Sequence[Tally]) -> list[Tally]:
    """The most often read out first; of equals in the order given."""
    return sorted(tallies, key=lambda one: -one.read)


def _told(month: Month) -> str:
    moved = "rose" if month.earned > 0 else "fell"
    verdict = "right" if (month.earned > 0) == bool(month.direction) else "wrong"
    size = figure(100.0 * abs(month.earned))
    rationale = fenced([month.rationale], LONGEST_RATIONALE)
    return f"- {SIDES[1 - month.direction]}, the share {moved} by {size} %, {verdict}: {rationale}"
