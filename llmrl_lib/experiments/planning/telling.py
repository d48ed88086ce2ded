"""The stages that tell a run: the notebooks that it executes, in its own order, what they ask Nano, and the book."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llmrl_lib.experiments.planning.asking import asked_stage
from llmrl_lib.experiments.planning.local import task_seconds
from llmrl_lib.experiments.planning.plan import Phase, Stage
from llmrl_lib.experiments.planning.questions import Task
from llmrl_lib.experiments.planning.schedule import Job, makespan
from llmrl_lib.experiments.planning.setting import Setting
from llmrl_lib.experiments.suite import AGENTS, RUN_NOTEBOOKS, TICKER_NOTEBOOKS, notebooks_of

OWN, ONCE, BOOK, NOTEBOOKS = "notebooks of tickers", "notebooks of the run", "book", "notebooks"
RESULTS = RUN_NOTEBOOKS[0]  # asks what AGENTS did not ask, and grows with the tickers


def telling(setting: Setting) -> Iterator[tuple[list[Stage], Phase]]:
    """The notebooks, all in one phase, and the book."""
    tickers = [ticker for ticker, copy in setting.planned if copy > 0 or ticker not in setting.done.told]
    wanted = [pair for pair in notebooks_of(tickers, setting.agents) if pair[1] or not setting.done.run_told]
    jobs = [Job(seconds) for seconds in _seconds(setting, wanted, tickers)]
    own = [job.seconds for job, (_, ticker) in zip(jobs, wanted, strict=True) if ticker]
    once = [job.seconds for job, (_, ticker) in zip(jobs, wanted, strict=True) if not ticker]
    speeds = setting.speeds
    size = speeds["notebook_ticker_b"] * len(own) / len(TICKER_NOTEBOOKS)
    stages = [
        _with_questions(
            setting, Stage(OWN, f"{len(own):,} notebooks" if own else "", cpu_seconds=sum(own), bytes=size), tickers
        ),
        Stage(
            ONCE,
            f"{len(once)} notebooks" if once else "",
            cpu_seconds=sum(once),
            bytes=speeds["notebook_run_b"] if once else 0.0,
        ),
    ]
    yield stages, Phase(NOTEBOOKS, makespan(jobs, setting.slots, setting.cores), tasks=len(jobs))
    pages = len(setting.planned)
    seconds = setting.scale * (speeds["book_s"] + pages * speeds["book_ticker_s"])
    size = speeds["book_b"] + pages * speeds["book_ticker_b"]
    yield [Stage(BOOK, f"{pages:,} tickers", cpu_seconds=seconds, bytes=size)], Phase(BOOK, seconds)


def _seconds(setting: Setting, wanted: list[tuple[str, str]], tickers: list[str]) -> Iterator[float]:
    """Of each notebook; questions are on the account of AGENTS, or where there are none, of the results."""
    audit, recall = _question_seconds(setting)
    telling_agents = sum(name == AGENTS for name, _ in wanted)
    asked = 0
    for name, _ in wanted:
        seconds = setting.speeds[f"notebook_{name.split('_')[0]}_s"]
        if name == RESULTS:
            seconds += setting.speeds["notebook_06_ticker_s"] * len(setting.planned)
            seconds += audit * (len(tickers) - telling_agents) + (0.0 if telling_agents or not tickers else recall)
        elif name == AGENTS:
            seconds += audit + (0.0 if asked else recall)
            asked += 1
        yield setting.scale * seconds


def _question_seconds(setting: Setting) -> tuple[float, float]:
    """Seconds in which Nano answers an audit's questions of a ticker, and those of recall."""
    if setting.asking.audits is None:
        return 0.0, 0.0
    batch = int(getattr(setting.asking.chat, "batch", 1))
    audit, recall = (task_seconds(task, _asked(task), batch, setting.speeds) for task in setting.asking.audits)
    return audit, recall


def _with_questions(setting: Setting, stage: Stage, tickers: list[str]) -> Stage:
    """The stage with what Nano is asked of each ticker that is told, and once."""
    if setting.asking.audits is None or not tickers:
        return stage
    audit, recall = (asked_stage(setting, task, _asked(task)) for task in setting.asking.audits)
    calls = len(tickers) * audit.calls + recall.calls
    return replace(
        stage,
        calls=calls,
        prompt_tokens=len(tickers) * audit.prompt_tokens + recall.prompt_tokens,
        completion_tokens=len(tickers) * audit.completion_tokens + recall.completion_tokens,
        bytes=stage.bytes + setting.speeds["audit_reply_b"] * calls,
    )


def _asked(task: Task) -> list[str]:
    """The one ticker for which an audit's questions were made."""
    return list(task.parts[0].by_ticker)
