"""Writer-Judge: a writer drafts a prompt, a backtest gives its Sharpe ratio, a judge criticises it, up to three times.

The paper's regret (equation 1) is r_i = SR* - SR_i, where SR* is the best Sharpe ratio so far and begins at the better of the
baseline prompt's and the market's. A repetition ends where regret is at most `enough`, where a candidate beats the
SR* at which it began, or after the last round. The knowledge base keeps the extremes: the best and the worst prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from llmrl_lib.language.chat import (
    Chat,
    ContentFilterError,
    OffSchemaError,
    RefusedError,
    RequestRejectedError,
    TruncatedError,
    Usage,
)
from llmrl_lib.language.prompts import Prompt, PromptError
from llmrl_lib.language.prompts.replies import MOST_NUMBERED
from llmrl_lib.strategy.refinement.asking import Tuning
from llmrl_lib.strategy.refinement.asking_again import Answer, Question, ask
from llmrl_lib.strategy.refinement.candidate import candidate
from llmrl_lib.strategy.refinement.control import shuffled
from llmrl_lib.strategy.refinement.judge import Criticism, Trial, criticism_from_reply, judge_request
from llmrl_lib.strategy.refinement.knowledge import KnownField, KnownLine, Marks, Scores
from llmrl_lib.strategy.refinement.trials import Followed, Ground, follow, tallies_of, telling_months
from llmrl_lib.strategy.refinement.writer import draft_from_reply, writer_request
from llmrl_lib.strategy.strategist import Ask, StrategiesError

MOST_OTHERS = 12  # fields that a judge is offered
LEVEL = "regret is at most"  # how the reason begins where a repetition ends with a candidate that beat nothing
HOPELESS = (OffSchemaError, RefusedError, TruncatedError, ContentFilterError, RequestRejectedError)


@dataclass(frozen=True)
class Roles:
    """The models of the three roles and of the strategist that follows the prompts."""

    trainer: Chat
    writer: Chat
    judge: Chat
    strategist: Chat


@dataclass(frozen=True)
class Rules:
    """How a repetition goes."""

    rounds: int = 3
    enough: float = 0.01  # regret at which it ends
    tuning: Tuning = field(default_factory=Tuning)  # how writer and judge are drawn
    ask: Ask = field(default_factory=lambda: Ask(top_logprobs=None))  # how the strategist is
    to_the_end: Callable[[], bool] = lambda: (
        False
    )  # whether to go on to the last round in any case, as a rehearsal does
    suffix: str = ""  # of every version


@dataclass(frozen=True)
class Pool:
    """What a writer may choose from."""

    fields: tuple[KnownField, ...]  # those of the first round
    further: tuple[KnownField, ...]  # what a judge may ask for beside them, best rated first
    lines: tuple[KnownLine, ...]


@dataclass(frozen=True)
class Tried:
    """A candidate and what came of it. Without a prompt or a Sharpe ratio, `troubles` say why."""

    repetition: int
    round: int
    control: bool  # whether the random critic stood in for the judge
    prompt: Prompt | None
    parent: str
    plan: str
    sharpe: float | None
    best: float  # SR* before it
    start: float  # SR* at which the repetition began
    returns: pd.Series | None  # daily
    holding: pd.Series  # daily, on the same days
    criticism: Criticism | None
    troubles: tuple[str, ...]
    usage: Mapping[str, Usage]  # by role
    ended: str = ""  # why the repetition ended with it

    @property
    def regret(self) -> float | None:
        """Equation 1; below 0 where it beats the best so far."""
        return None if self.sharpe is None else self.best - self.sharpe

    @property
    def edge(self) -> float:
        """How far it lies above what its windows gave without it; minus infinity where it was not followed."""
        return -np.inf if self.sharpe is None else self.sharpe - self.start

    @property
    def as_holding(self) -> bool:
        """Whether it earned on every day what holding the market does."""
        return self.returns is not None and self.returns.equals(self.holding)

    @property
    def name(self) -> str:
        """Unique among all of a refinement: `1.2` is the second round of the first repetition, `s1.2` the control's."""
        return f"{'s' if self.control else ''}{self.repetition}.{self.round}"


@dataclass
class _State:
    """The knowledge base of a repetition."""

    fields: list[KnownField]
    lines: list[KnownLine]
    further: list[KnownField]
    parent: Prompt
    best: Tried | None = None
    worst: Tried | None = None
    criticism: Criticism | None = None


def repetition(
    number: int,
    ground: Ground,
    baseline: Followed,
    parent: Prompt,
    pool: Pool,
    roles: Roles,
    rules: Rules,
    control: bool,
) -> list[Tried]:
    """The candidates of one repetition, in order. With `control` the judge's criticism is shuffled.

    A writer or judge whose replies make no sense is asked again twice; then the round goes without. Raises ChatError where
    asking again would not help or has to wait: the same call goes on where it was, given a store of replies.
    """
    state = _State(list(pool.fields), list(pool.lines), list(pool.further), parent)
    start = max(baseline.sharpe, ground.market_sharpe)
    found: list[Tried] = []
    for turn in range(1, rules.rounds + 1):
        one = _round(number, turn, ground, baseline, start, state, roles, rules, control)
        ended = _ended(one, turn, rules)
        found.append(replace(one, ended=ended))
        if ended:
            break
    return found


def _round(
    number: int,
    turn: int,
    ground: Ground,
    baseline: Followed,
    start: float,
    state: _State,
    roles: Roles,
    rules: Rules,
    control: bool,
) -> Tried:
    best = start if state.best is None else max(start, state.best.sharpe or start)
    scores = Scores(
        ground.market_sharpe,
        baseline.sharpe,
        state.best.sharpe if state.best else None,
        state.worst.sharpe if state.worst else None,
    )
    drawn = replace(rules.tuning, seed=rules.tuning.seed + 1000 * number + 10 * turn)
    version = f"{'s' if control else 'r'}{number}.{turn}{rules.suffix}"
    written = _write(state, scores, roles.writer, drawn, version)
    made, troubles = written.value, list(written.troubles)
    one = Tried(
        number, turn, control, made and made[0], f"{state.parent.name} {state.parent.version}", made[1] if made else "",
        None, best, start, None, ground.market, None, (), {"writer": written.usage},
    )  # fmt: skip
    if made is None:
        return replace(one, troubles=(*troubles, "the writer gave no usable draft"))
    prompt = made[0]
    try:
        followed = follow(ground, prompt, roles.strategist, rules.ask)
    except StrategiesError as error:
        if not all(isinstance(failure.error, HOPELESS) for failure in error.failures):
            raise
        return replace(one, troubles=(*troubles, f"it could not be followed: {error.failures[0].error}"))
    one = replace(
        one, sharpe=followed.sharpe, returns=followed.returns, usage={**one.usage, "strategist": followed.usage}
    )
    if not _ended(one, turn, rules):
        answer = _judge(one, prompt, followed, ground, state, roles.judge, drawn, control)
        troubles += answer.troubles
        one = replace(one, criticism=answer.value, usage={**one.usage, "judge": answer.usage})
    one = replace(one, troubles=tuple(troubles))
    _remember(state, one, prompt)
    return one


def _write(state: _State, scores: Scores, writer: Chat, drawn: Tuning, version: str) -> Answer[tuple[Prompt, str]]:
    fields, lines = _marked_fields(state), _marked_lines(state)
    told = state.criticism.text if state.criticism else ""

    def read(reply: object) -> tuple[Prompt, str]:
        draft = draft_from_reply(reply, fields, lines)  # type: ignore[arg-type]
        return candidate(state.parent, draft, state.parent.name, version), draft.plan

    question = Question(lambda tuning: writer_request(fields, lines, scores, told, tuning), read)
    return ask(writer, [question], drawn)[0]


def _judge(
    one: Tried,
    prompt: Prompt,
    followed: Followed,
    ground: Ground,
    state: _State,
    judge: Chat,
    drawn: Tuning,
    control: bool,
) -> Answer[Criticism]:
    trial = Trial(
        followed.sharpe,
        one.best - followed.sharpe,
        one.best,
        ground.market_sharpe,
        tallies_of(ground, prompt, followed.strategies),
        prompt.instructions,
        telling_months(ground, followed.strategies),
    )
    others = [item for item in (*state.fields, *state.further) if item.name not in prompt.features][:MOST_OTHERS]
    lines = _listed(state.lines, prompt.instructions)
    try:
        judge_request(trial, others, lines, drawn)
    except PromptError as error:
        return Answer(None, (f"the judge was not asked: {error}",), Usage(0, 0, calls=0))
    question = Question(
        lambda tuning: judge_request(trial, others, lines, tuning),
        lambda reply: criticism_from_reply(reply, trial, others, lines),
    )
    answer = ask(judge, [question], drawn)[0]
    if answer.value is None:
        return Answer(None, (*answer.troubles, "the judge gave no usable criticism"), answer.usage)
    if not control:
        return answer
    source = np.random.default_rng([drawn.seed, one.repetition, one.round])
    return Answer(shuffled(answer.value, trial, others, lines, source), answer.troubles, answer.usage)


def _remember(state: _State, one: Tried, prompt: Prompt) -> None:
    """The extremes, and what the judge said last, with fields and instructions that it brought in."""
    state.parent = prompt
    if state.best is None or one.edge > state.best.edge:
        state.best = one
    if state.worst is None or one.edge < state.worst.edge:
        state.worst = one
    state.criticism = one.criticism
    state.lines = _listed(state.lines, prompt.instructions)
    if one.criticism is not None:
        wanted = set(one.criticism.add_features)
        state.fields += [item for item in state.further if item.name in wanted]
        state.further = [item for item in state.further if item.name not in wanted]
        state.lines = _listed(state.lines, one.criticism.new_instructions)


def _listed(lines: Sequence[KnownLine], texts: Sequence[str]) -> list[KnownLine]:
    """The lines and those of the texts that are new, as far as they can be numbered: texts that are given go before."""
    known = {line.text for line in lines}
    new = [KnownLine(text) for text in texts if text not in known]
    kept = [line for line in lines if line.text in texts]
    rest = [line for line in lines if line.text not in texts]
    room = set(map(id, [*kept, *new, *rest][:MOST_NUMBERED]))
    return [line for line in (*lines, *new) if id(line) in room]


def _marked_fields(state: _State) -> list[KnownField]:
    asked, faulted = _wanted(state)
    return [
        replace(
            item,
            marks=Marks(
                best=_shows(state.best, item.name),
                worst=_shows(state.worst, item.name),
                asked=item.name in asked or (item.marks.asked and state.criticism is None),
                faulted=item.name in faulted or (item.marks.faulted and state.criticism is None),
            ),
        )
        for item in state.fields
    ]


def _marked_lines(state: _State) -> list[KnownLine]:
    said = state.criticism
    asked = {*said.add_instructions, *said.new_instructions} if said else set()
    faulted = set(said.drop_instructions) if said else set()
    return [
        replace(
            line,
            marks=Marks(
                best=_gives(state.best, line.text),
                worst=_gives(state.worst, line.text),
                asked=line.text in asked or (line.marks.asked and said is None),
                faulted=line.text in faulted or (line.marks.faulted and said is None),
            ),
        )
        for line in state.lines
    ]


def _wanted(state: _State) -> tuple[set[str], set[str]]:
    said = state.criticism
    return (set(said.add_features), set(said.drop_features)) if said else (set(), set())


def _shows(one: Tried | None, name: str) -> bool:
    return one is not None and one.prompt is not None and name in one.prompt.features


def _gives(one: Tried | None, text: str) -> bool:
    return one is not None and one.prompt is not None and text in one.prompt.instructions


def _ended(one: Tried, turn: int, rules: Rules) -> str:
    """Why a repetition ends with a candidate; blank where it goes on."""
    if not rules.to_the_end() and one.sharpe is not None:
        if one.sharpe > one.start:
            return "it beats what the windows gave before"
        if one.best - one.sharpe <= rules.enough:
            alike = "did what holding does" if one.as_holding else "is as good as the start, no better"
            return f"{LEVEL} {rules.enough:g}: it {alike}, and was not criticised"
    return "that was the last round" if turn == rules.rounds else ""
