"""A run folder handed to the audit: `audit` makes every check that a sceptic would ask for, and gives one page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from llmrl_lib.evidence.audit import NEVER, Audit, Case, Cutoff, Stored, audit_cases, count_trials
from llmrl_lib.evidence.audit.counterfactuals import DECISIONS
from llmrl_lib.evidence.audit.recall import WINDOWS
from llmrl_lib.experiments.adviser import has_strategies
from llmrl_lib.experiments.flag_arms import FLAG_ARMS
from llmrl_lib.experiments.folders import ExperimentError, read_toml
from llmrl_lib.experiments.guided import LLM_ONLY
from llmrl_lib.experiments.refining_files import FOLDER
from llmrl_lib.experiments.runs import Run, open_run
from llmrl_lib.experiments.strategies import ORDER
from llmrl_lib.language.chat import Chat
from llmrl_lib.language.prompts import Prompt, PromptError, load_prompt
from llmrl_lib.language.replay import Replay
from llmrl_lib.strategy.strategist import Ask

ASKED = "audit"  # folder of a run: what the audit asked its model
NANO = "nano"  # what the model of this project calls itself; its card says that it has seen nothing real


def audit(
    run: Run | str | Path,
    ticker: str | None = None,
    chat: Chat | None = None,
    cutoff: str | pd.Timestamp | None = None,
    decisions: int = DECISIONS,
    windows: int = WINDOWS,
) -> Audit:
    """Every check of a run (or its folder), of one ticker or of all: `.table()` is the page, `.marks(claim)` what it means.

    Without a `chat` nothing is asked, and the checks that ask a model again (counterfactual prompts, recall) are not
    available; give the model of the run to make them: up to five times `decisions` calls per ticker, and twice `windows` in
    all. Wrap it in a Replay to keep the replies. `cutoff` is the last day that the model can have read about, of its card, or
    "never" for one that has seen nothing real; Nano's is known. Raises ExperimentError for a run without finished arms,
    AuditError for arms that do not belong to the dataset.
    """
    opened = run if isinstance(run, Run) else open_run(run)
    chosen = opened.tickers if ticker is None else (ticker,)
    if not chosen:
        raise ExperimentError(f"{opened.path} has no finished arm; give its llmrl run command again")
    known = _cutoff(opened, cutoff)
    cases = [_case(opened, name, known) for name in chosen]
    return audit_cases(cases, chat, opened.name, decisions, windows)


def own_chat(run: Run) -> Chat | None:
    """The model of a run, for `audit` to ask again, where that costs nothing: Nano; what it replies is kept with the run.

    None for any other model, for other weights than the run's, for a recorded run and for one without a model.
    """
    if run.recorded or run.chat.get("model") != NANO or "server" in run.chat:
        return None
    from llmrl_lib.language.nano import Nano

    chat = Nano()
    return Replay(run.path / ASKED, chat, purpose="audit") if dict(chat.identity) == run.chat else None


def case_of(run: Run, ticker: str) -> Case:
    """One ticker of a run as the audit takes it, for single checks of `evidence.audit`."""
    return _case(run, ticker, _cutoff(run, None))


def _case(run: Run, ticker: str, cutoff: Cutoff) -> Case:
    dataset = run.dataset_of(ticker)
    arms = {name: arm for name, arm in run.arms(ticker).items() if name not in FLAG_ARMS}  # their orders are others
    prompts = _prompts(run)
    guided = bool(run.guide) and has_strategies(run.strategies_folder, run.guide, ticker)
    stored = _stored(run, prompts[0]) if guided and prompts and prompts[0].name == run.guide else None
    return Case(
        ticker,
        dataset,
        run.settings,
        arms,
        prompts,
        tuple(run.strategies(ticker, run.guide)) if guided else (),
        stored=stored,
        ask=stored.ask if stored else Ask(),
        cutoff=cutoff,
        trials=_trials(run, ticker),
    )


def _prompts(run: Run) -> tuple[Prompt, ...]:
    """The prompts of the run that are at hand, the guiding one first."""
    found = []
    for name in sorted(run.prompts, key=lambda name: name != run.guide):
        try:
            found.append(load_prompt(name))
        except PromptError:  # a file of the user's, which strategies name but do not hold
            continue
    return tuple(found)


def _trials(run: Run, ticker: str) -> int | None:
    """Configurations started in the run, candidate prompts of a refinement in its folder, and the prompts whose accounts are
    shown without being an arm; None if nobody counted."""
    counts = [count_trials(run.path, ticker), count_trials(run.path / FOLDER)]
    known = [count for count in counts if count is not None]
    followed = [name for name in run.prompts if has_strategies(run.strategies_folder, name, ticker)]
    is_arm = run.guide in followed and LLM_ONLY in run.arms(ticker)
    return sum(known) + len(followed) - is_arm if known else None


def _stored(run: Run, prompt: Prompt) -> Stored | None:
    """Where the guiding strategies came from; None where the prompt is another one now, or they are several draws."""
    place = run.strategies_folder / f"{prompt.name}-{prompt.version}" / ORDER
    if not place.is_file():
        return None
    made = read_toml(place)
    if made["prompt"] != prompt.digest or made["draws"] != 1:
        return None
    replies = Replay(run.strategies_folder, identity=made["chat"])
    return Stored(prompt, replies, pd.Timestamp(made["start"]), Ask(**made["ask"]))


def _adviser(run: Run) -> dict[str, str]:
    """The identity of the model whose strategies guide, by the run or by the order that it answered."""
    orders = sorted(run.strategies_folder.glob(f"{run.guide}-*/{ORDER}")) if run.guide else []
    return run.chat or (dict(read_toml(orders[-1]).get("chat", {})) if orders else {})


def _cutoff(run: Run, given: str | pd.Timestamp | None) -> Cutoff:
    if given is None:
        adviser = _adviser(run)
        return NEVER if adviser.get("model") == NANO and "server" not in adviser else None
    if given == NEVER:
        return NEVER
    try:
        return pd.Timestamp(given).normalize()
    except ValueError:
        raise ExperimentError(f"cutoff is {given!r}; write a day like 2023-10-31, or never") from None
