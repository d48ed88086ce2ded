"""The stages of a run, in its order: who asks, who trains, who tells; each with calls, tokens, dollars, seconds, bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from llmrl_lib.experiments.guided import LEARNED, hears_strategies
from llmrl_lib.experiments.planning.disk import arm_bytes, checkpoint_bytes, strategies_bytes
from llmrl_lib.experiments.planning.local import calls_of, task_seconds
from llmrl_lib.experiments.planning.questions import Questions, Task
from llmrl_lib.experiments.planning.schedule import Job, makespan, widths
from llmrl_lib.experiments.planning.training import kind_of, training_of
from llmrl_lib.experiments.suite import RUN_NOTEBOOKS, TICKER_NOTEBOOKS

if TYPE_CHECKING:
    from llmrl_lib.experiments.planning.study import Setting

STARTS, RULES, NOTEBOOKS, ONCE, BOOK = (
    "start",
    "rules and advice alone",
    "notebooks of tickers",
    "notebooks of the run",
    "book",
)


@dataclass(frozen=True)
class Stage:
    """One line of a plan."""

    name: str
    what: str  # how much of it, in words
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0  # None: the price is unknown
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    bytes: float = 0.0
    steps: int = 0  # of learning, or decisions


@dataclass(frozen=True)
class Phase:
    """What runs side by side, until all of it is done."""

    name: str
    seconds: float
    checkpoints: float = 0.0  # bytes, at most


def stages_of(setting: Setting) -> tuple[list[Stage], list[Phase]]:
    """All stages and phases of what is left to do."""
    together = [arm for arm in setting.arms if arm in LEARNED] if setting.study.gpu else []
    alone, told = (
        [arm for arm in setting.arms if hears_strategies(arm) is hears and arm not in together]
        for hears in (False, True)
    )
    asking = [*_asking(setting)]
    first = [*(job for _, job in asking), *_training_jobs(setting, alone)]
    start = setting.scale * setting.speeds["run_start_s"]
    workers = setting.scale * setting.speeds["worker_start_s"]
    phases = [
        Phase("start", start + (workers if setting.slots > 1 else 0.0)),
        _phase(setting, "strategies, and arms without advice", first, alone),
        _phase(setting, "arms that hear advice", _training_jobs(setting, told), told),
    ]
    stages = [Stage(STARTS, f"{setting.slots} processes", cpu_seconds=start + workers * setting.slots)]
    stages += [stage for stage, _ in asking]
    stages += _training_stages(setting, [*alone, *told])
    if together:
        stage = _gpu_stage(setting, together)
        stages.append(stage)
        phases.append(Phase("learned arms on a GPU", stage.gpu_seconds, sum(_checkpoints(setting, together))))
    for stage, phase in _telling(setting):
        stages.append(stage)
        phases.append(phase)
    return [stage for stage in stages if stage.what], [phase for phase in phases if phase.seconds > 0]


def _phase(setting: Setting, name: str, jobs: Sequence[Job], arms: Sequence[str]) -> Phase:
    """How long the jobs take, and the checkpoints of those arms that can be at work at once."""
    sizes = sorted(_checkpoints(setting, arms), reverse=True)
    return Phase(name, makespan(jobs, setting.slots, setting.cores), sum(sizes[: setting.slots]))


def _checkpoints(setting: Setting, arms: Sequence[str]) -> list[float]:
    """Bytes of the checkpoints of each arm that is left."""
    return [
        checkpoint_bytes(arm, setting.rows[ticker], setting.profile)
        for arm in arms
        for ticker, copy in setting.planned
        if setting.left(ticker, copy, arm)
    ]


# Asking


def _asking(setting: Setting) -> Iterator[tuple[Stage, Job]]:
    for task in setting.tasks:
        calls = sum(calls_of(part, setting.asked_like) for part in task.parts)
        seconds = _asked_seconds(setting, task) if calls else 0.0
        what = " + ".join(_part_told(setting, part) for part in task.parts)
        size = sum(
            strategies_bytes(part, ticker, setting.study.adviser.logprobs, setting.speeds)
            for part in task.parts
            for ticker in setting.asked_like
        )
        local = setting.audits is not None
        stage = _asked_stage(setting, task, task.title, what if calls else "", size, seconds if local else 0.0)
        yield stage, Job(seconds, 1, task.title)


def _part_told(setting: Setting, part: Questions) -> str:
    label = part.label.rsplit(" ", 1)[0]
    return f"{calls_of(part, setting.asked_like):,} {label}"


def _asked_stage(
    setting: Setting, task: Task, name: str, what: str, size: float, seconds: float, repeated: bool = True
) -> Stage:
    """A task's calls and tokens over all tickers, or once where it is not `repeated`."""
    prompt = reply = calls = 0.0
    for part in task.parts:
        for ticker in setting.asked_like if repeated else part.by_ticker:
            own = part.by_ticker.get(ticker, ())
            calls += len(own)
            prompt += sum(one.prompt for one in own)
            reply += sum(one.reply for one in own)
    price = setting.price
    usd = None if price is None else (prompt * price.prompt + reply * price.completion) / 1e6
    usd = 0.0 if not calls else usd
    return Stage(name, what, round(calls), round(prompt), round(reply), usd, seconds, 0.0, size)


def _asked_seconds(setting: Setting, task: Task) -> float:
    """Seconds until a task's requests are answered: Nano's on a processor, a server's where the run's store tells."""
    adviser = setting.study.adviser
    if setting.audits is not None:  # Nano
        batch = int(getattr(setting.chat, "batch", 1))
        asked = task_seconds(task, setting.asked_like, batch, setting.speeds)
        return setting.scale * (asked + setting.speeds["model_load_s"] + setting.speeds["worker_start_s"])
    return sum(_server_seconds(part, setting.asked_like, adviser.concurrency) for part in task.parts)


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


# Training


def _training_jobs(setting: Setting, arms: Sequence[str]) -> list[Job]:
    """The tasks of arms in the run's order: learned ones first, arm by arm."""
    todo = [(arm, ticker, copy) for arm in arms for ticker, copy in setting.planned]
    width = widths([arm in LEARNED and setting.left(ticker, copy, arm) for arm, ticker, copy in todo], setting.jobs)
    jobs = []
    for arm, ticker, copy in sorted(todo, key=lambda entry: entry[0] not in LEARNED):
        if setting.left(ticker, copy, arm):
            seconds = _arm_seconds(setting, arm, ticker)
            own = min(width, len(setting.profile.seeds)) if arm in LEARNED else 1
            if own > 1:
                seconds += own * setting.scale * setting.speeds["worker_start_s"]
            jobs.append(Job(seconds, own, f"{ticker} {arm}"))
    return jobs


def _arm_seconds(setting: Setting, arm: str, ticker: str) -> float:
    return setting.arm_scale(arm) * training_of(arm, setting.rows[ticker], setting.profile, setting.speeds).seconds


def _training_stages(setting: Setting, arms: Iterable[str]) -> list[Stage]:
    """A line for each kind of arm."""
    listed, stages = list(arms), []
    for kind in ("TDQN", "FLAG-Trader", "rules"):
        todo = [
            (arm, ticker)
            for arm in listed
            if kind_of(arm) == kind
            for ticker, copy in setting.planned
            if setting.left(ticker, copy, arm)
        ]
        made = [training_of(arm, setting.rows[ticker], setting.profile, setting.speeds) for arm, ticker in todo]
        steps = sum(one.steps for one in made)
        unit = f", {steps:,} {'steps' if kind == 'TDQN' else 'decisions'}" if steps else ""
        stages.append(
            Stage(
                RULES if kind == "rules" else f"{kind} arms",
                f"{len(todo):,} arms{unit}" if todo else "",
                cpu_seconds=sum(_arm_seconds(setting, arm, ticker) for arm, ticker in todo),
                bytes=_bytes(setting, todo),
                steps=steps,
            )
        )
    return stages


def _gpu_stage(setting: Setting, arms: Sequence[str]) -> Stage:
    """All learned arms of all tickers in one group, which takes as long as its longest run, or as its runs together."""
    todo = [(arm, ticker) for arm in arms for ticker, copy in setting.planned if setting.left(ticker, copy, arm)]
    made = [training_of(arm, setting.rows[ticker], setting.profile, setting.speeds) for arm, ticker in todo]
    steps, longest = sum(one.steps for one in made), max((one.longest for one in made), default=0)
    seconds = max(steps / setting.speeds["gpu_steps_per_s"], 1e-3 * setting.speeds["gpu_lock_step_ms"] * longest)
    runs = len(todo) * len(setting.profile.seeds)
    what = f"{len(todo):,} arms, {runs:,} runs, {steps:,} steps" if todo else ""
    return Stage("TDQN arms on a GPU", what, gpu_seconds=seconds, bytes=_bytes(setting, todo), steps=steps)


def _bytes(setting: Setting, todo: Iterable[tuple[str, str]]) -> float:
    return sum(arm_bytes(arm, setting.rows[ticker], setting.profile, setting.speeds) for arm, ticker in todo)


# Telling


def _telling(setting: Setting) -> Iterator[tuple[Stage, Phase]]:
    """Notebooks of tickers, those of the run, the book."""
    speeds, scale = setting.speeds, setting.scale
    todo = [copy for copy in setting.planned if copy[1] > 0 or copy[0] not in setting.told]
    names = [name.split("_")[0] for name in TICKER_NOTEBOOKS]
    audit, recall = (0.0, 0.0) if setting.audits is None or not todo else _audit_seconds(setting)
    each = [speeds[f"notebook_{name}_s"] + (audit if name == "05" else 0.0) for name in names]
    jobs = [Job(scale * seconds) for _ in todo for seconds in each]
    if jobs:
        jobs[-1 if len(todo) == 1 else len(names) - 1] = Job(scale * (each[-1] + recall))
    size = len(todo) * speeds["notebook_ticker_b"]
    told = Stage(NOTEBOOKS, f"{len(jobs):,} notebooks" if jobs else "", bytes=size, cpu_seconds=_sum(jobs))
    yield _with_audits(setting, told, len(todo)), Phase(NOTEBOOKS, makespan(jobs, setting.slots, setting.cores))
    count = 0 if setting.run_told else len(setting.planned)
    jobs = [Job(scale * speeds[f"notebook_{name.split('_')[0]}_s"]) for name in RUN_NOTEBOOKS if "06" not in name]
    jobs = [Job(scale * (speeds["notebook_06_s"] + count * speeds["notebook_06_ticker_s"])), *jobs] if count else []
    size = speeds["notebook_run_b"] if count else 0.0
    what = f"{len(jobs)} notebooks" if jobs else ""
    stage = Stage(ONCE, what, bytes=size, cpu_seconds=_sum(jobs))
    yield stage, Phase(ONCE, makespan(jobs, setting.slots, setting.cores))
    pages = len(setting.planned)
    seconds = scale * (speeds["book_s"] + pages * speeds["book_ticker_s"])
    size = speeds["book_b"] + pages * speeds["book_ticker_b"]
    yield Stage(BOOK, f"{pages:,} tickers", cpu_seconds=seconds, bytes=size), Phase(BOOK, seconds)


def _audit_seconds(setting: Setting) -> tuple[float, float]:
    """Seconds in which Nano answers an audit's questions of a ticker, and those of recall."""
    assert setting.audits is not None
    found = []
    for task in setting.audits:
        tickers = [*task.parts[0].by_ticker]
        found.append(task_seconds(task, tickers, int(getattr(setting.chat, "batch", 1)), setting.speeds))
    return found[0], found[1]


def _with_audits(setting: Setting, stage: Stage, tickers: int) -> Stage:
    """The stage with what its notebooks ask Nano."""
    if setting.audits is None or not tickers:
        return stage
    audit, recall = (_asked_stage(setting, task, "", "", 0.0, 0.0, repeated=False) for task in setting.audits)
    size = setting.speeds["audit_reply_b"] * (tickers * audit.calls + recall.calls)
    return Stage(
        stage.name,
        stage.what,
        tickers * audit.calls + recall.calls,
        tickers * audit.prompt_tokens + recall.prompt_tokens,
        tickers * audit.completion_tokens + recall.completion_tokens,
        0.0,
        stage.cpu_seconds,
        0.0,
        stage.bytes + size,
    )


def _sum(jobs: Iterable[Job]) -> float:
    return sum(job.seconds for job in jobs)
