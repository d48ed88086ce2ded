"""The stages of a run, in its order: who asks, who trains, who tells; each with calls, tokens, dollars, seconds, bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmrl_lib.experiments.guided import LEARNED, hears_strategies
from llmrl_lib.experiments.planning.asking import asking
from llmrl_lib.experiments.planning.disk import arm_bytes, checkpoint_bytes
from llmrl_lib.experiments.planning.plan import Phase, Stage
from llmrl_lib.experiments.planning.schedule import Job, makespan, widths
from llmrl_lib.experiments.planning.setting import Setting
from llmrl_lib.experiments.planning.telling import telling
from llmrl_lib.experiments.planning.training import Training, kind_of, training_of

STARTS, RULES = "start", "rules and advice alone"


def stages_of(setting: Setting) -> tuple[list[Stage], list[Phase]]:
    """All stages and phases of what is left to do."""
    together = [arm for arm in setting.arms if arm in LEARNED] if setting.study.gpu else []
    alone, told = (
        [arm for arm in setting.arms if hears_strategies(arm) is hears and arm not in together]
        for hears in (False, True)
    )
    asked = list(asking(setting))
    first = [*(job for _, jobs in asked for job in jobs), *_training_jobs(setting, alone)]
    start = setting.scale * setting.speeds["run_start_s"]
    workers = setting.scale * setting.speeds["worker_start_s"]
    phases = [
        Phase(STARTS, start + (workers if setting.slots > 1 else 0.0)),
        _phase(setting, "strategies, and arms without advice", first, alone),
        _phase(setting, "arms that hear advice", _training_jobs(setting, told), told),
    ]
    stages = [Stage(STARTS, f"{setting.slots} processes", cpu_seconds=start + workers * setting.slots)]
    stages += [stage for stage, _ in asked]
    stages += _training_stages(setting, [*alone, *told])
    if together:
        stage = _gpu_stage(setting, together)
        stages.append(stage)
        left = int(bool(setting.left(together)))
        phases.append(
            Phase("learned arms on a GPU", stage.gpu_seconds, sum(_checkpoints(setting, together)), tasks=left)
        )
    for lines, phase in telling(setting):
        stages += lines
        phases.append(phase)
    return [stage for stage in stages if stage.what], [phase for phase in phases if phase.seconds > 0]


def _phase(setting: Setting, name: str, jobs: Sequence[Job], arms: Sequence[str]) -> Phase:
    """How long the jobs take, and the checkpoints of those arms that can be at work at once."""
    sizes = sorted(_checkpoints(setting, arms), reverse=True)
    seconds = makespan(jobs, setting.slots, setting.cores)
    return Phase(name, seconds, sum(sizes[: setting.slots]), tasks=len(jobs))


def _checkpoints(setting: Setting, arms: Sequence[str]) -> list[float]:
    """Bytes of the checkpoints of each arm that is left."""
    return [checkpoint_bytes(arm, setting.rows[ticker], setting.profile) for arm, ticker in setting.left(arms)]


def _training_jobs(setting: Setting, arms: Sequence[str]) -> list[Job]:
    """The tasks of arms in the run's order: learned ones first, arm by arm."""
    left = setting.left(arms)
    width = widths([arm in LEARNED for arm, _ in left], setting.jobs)
    jobs = []
    for arm, ticker in sorted(left, key=lambda entry: entry[0] not in LEARNED):
        seconds = _arm_seconds(setting, arm, ticker)
        own = min(width, len(setting.profile.seeds)) if arm in LEARNED else 1
        if own > 1:
            seconds += own * setting.scale * setting.speeds["worker_start_s"]
        jobs.append(Job(seconds, own, f"{ticker} {arm}"))
    return jobs


def _training_stages(setting: Setting, arms: Iterable[str]) -> list[Stage]:
    """A line for each kind of arm."""
    left, stages = setting.left(arms), []
    for kind in ("TDQN", "FLAG-Trader", "rules"):
        todo = [(arm, ticker) for arm, ticker in left if kind_of(arm) == kind]
        steps = sum(_training(setting, arm, ticker).steps for arm, ticker in todo)
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
    todo = setting.left(arms)
    made = [_training(setting, arm, ticker) for arm, ticker in todo]
    steps, longest = sum(one.steps for one in made), max((one.longest for one in made), default=0)
    seconds = max(steps / setting.speeds["gpu_steps_per_s"], 1e-3 * setting.speeds["gpu_lock_step_ms"] * longest)
    runs = len(todo) * len(setting.profile.seeds)
    what = f"{len(todo):,} arms, {runs:,} runs, {steps:,} steps" if todo else ""
    return Stage("TDQN arms on a GPU", what, gpu_seconds=seconds, bytes=_bytes(setting, todo), steps=steps)


def _training(setting: Setting, arm: str, ticker: str) -> Training:
    return training_of(arm, setting.rows[ticker], setting.profile, setting.speeds)


def _arm_seconds(setting: Setting, arm: str, ticker: str) -> float:
    return setting.arm_scale(arm) * _training(setting, arm, ticker).seconds


def _bytes(setting: Setting, todo: Iterable[tuple[str, str]]) -> float:
    return sum(arm_bytes(arm, setting.rows[ticker], setting.profile, setting.speeds) for arm, ticker in todo)
