"""The stages in which a run asks its model: calls, tokens, dollars and, where they are known, seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

from llmrl_lib.experiments.planning.disk import strategies_bytes
from llmrl_lib.experiments.planning.local import calls_of, task_seconds
from llmrl_lib.experiments.planning.plan import Stage
from llmrl_lib.experiments.planning.questions import Questions, Sized, Task
from llmrl_lib.experiments.planning.schedule import Job
from llmrl_lib.experiments.planning.setting import Setting
from llmrl_lib.experiments.suite import TICKERS_TOGETHER


def asking(setting: Setting) -> Iterator[tuple[Stage, list[Job]]]:
    """A stage per prompt, the guiding one first, and the tasks in which the run asks it: see `suite`."""
    for task in setting.asking.tasks:
        calls = sum(calls_of(part, setting.asked_like) for part in task.parts)
        jobs = _jobs(setting, task) if calls else []
        size = sum(
            strategies_bytes(part, ticker, setting.study.adviser.logprobs, setting.speeds)
            for part in task.parts
            for ticker in setting.asked_like
        )
        what = " + ".join(_part_told(setting, part) for part in task.parts) if calls else ""
        seconds = sum(job.seconds for job in jobs) if setting.asking.is_local else 0.0
        yield asked_stage(setting, task, setting.asked_like, task.title, what, seconds, size), jobs


def asked_stage(
    setting: Setting,
    task: Task,
    tickers: Sequence[str],
    name: str = "",
    what: str = "",
    seconds: float = 0.0,
    size: float = 0.0,
) -> Stage:
    """A task's calls, tokens and dollars over `tickers`, which may repeat."""
    asked: list[Sized] = []
    for part in task.parts:
        for ticker in tickers:
            asked += part.by_ticker.get(ticker, ())
    prompt, reply = sum(one.prompt for one in asked), sum(one.reply for one in asked)
    usd: float | None = 0.0
    most: float | None = 0.0
    if asked:
        price = setting.asking.price
        usd = None if price is None else (prompt * price.prompt + reply * price.completion) / 1e6
        most = None if price is None else sum(price.largest_cost(one.largest) for one in asked)
    return Stage(name, what, len(asked), prompt, round(reply), usd=usd, most_usd=most, cpu_seconds=seconds, bytes=size)


def unknown_seconds(setting: Setting) -> list[str]:
    """The labels whose replies take a time that nobody recorded: none of Nano's, of others those that the store lacks."""
    if _is_nano(setting):
        return []
    parts = [part for task in setting.asking.tasks for part in task.parts if part.calls]
    return [part.label for part in parts if part.seconds is None]


def _part_told(setting: Setting, part: Questions) -> str:
    label = part.label.rsplit(" ", 1)[0]
    return f"{calls_of(part, setting.asked_like):,} {label}"


def _jobs(setting: Setting, task: Task) -> list[Job]:
    """The tasks of one prompt: a local model's by groups of tickers, a server's in one."""
    tickers = setting.asked_like
    if not setting.asking.is_local:
        own = sum(_server_seconds(part, tickers, setting.study.adviser.concurrency) for part in task.parts)
        return [Job(own, 1, task.title)]
    groups = [tickers[first : first + TICKERS_TOGETHER] for first in range(0, len(tickers), TICKERS_TOGETHER)]
    seconds = [_local_seconds(setting, task, group) for group in groups]
    if _is_nano(setting):  # it is loaded by the processes that begin
        seconds[0] += setting.scale * (setting.speeds["model_load_s"] + setting.speeds["worker_start_s"])
    return [Job(one, 1, task.title) for one in seconds]


def _is_nano(setting: Setting) -> bool:
    """Whether the model is the one whose speed was recorded: only there do notebooks ask again."""
    return setting.asking.audits is not None


def _local_seconds(setting: Setting, task: Task, tickers: Sequence[str]) -> float:
    """Seconds in which a model that computes here answers: Nano's as recorded, another's as in the run's store."""
    if _is_nano(setting):
        batch = int(getattr(setting.asking.chat, "batch", 1))
        return setting.scale * task_seconds(task, tickers, batch, setting.speeds)
    return sum((part.seconds or 0.0) * calls_of(part, tickers) for part in task.parts)


def _server_seconds(part: Questions, tickers: Sequence[str], concurrency: int) -> float:
    """Rounds of so many requests at once, each as long as a reply took on average; memory waits for every date."""
    if part.seconds is None:
        return 0.0
    own = [len(part.by_ticker.get(ticker, ())) for ticker in tickers]
    if not part.memory:
        return part.seconds * ceil(sum(own) / concurrency)
    return part.seconds * sum(
        ceil(sum(place < count for count in own) / concurrency) for place in range(max(own, default=0))
    )
