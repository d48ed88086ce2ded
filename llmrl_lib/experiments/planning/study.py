"""What a study would take: every stage of `suite.run_suite` counted, sized, timed at recorded speeds and scheduled.

Counts of calls and learning steps are exact where the prompts have no say in them; tokens, seconds and bytes are estimates,
and a plan says which are whose. Nothing is asked of a model, trained or written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from llmrl_lib.experiments.adviser import FOLDER as STRATEGIES
from llmrl_lib.experiments.adviser import Adviser
from llmrl_lib.experiments.arms import CLASSICAL, MANIFEST, RUN, load_arm
from llmrl_lib.experiments.flag_arms import FLAG_ARMS
from llmrl_lib.experiments.folders import ExperimentError, explain
from llmrl_lib.experiments.guided import LEARNED, LLM_ONLY
from llmrl_lib.experiments.planning.calibration import Calibration, calibrate
from llmrl_lib.experiments.planning.questions import Task, audit_task, tasks_of
from llmrl_lib.experiments.planning.speeds import Speeds, load_speeds
from llmrl_lib.experiments.planning.stages import Phase, Stage, stages_of
from llmrl_lib.experiments.planning.training import Rows, kind_of, trained_seconds
from llmrl_lib.experiments.runs import refuse_foreign, refuse_other_run
from llmrl_lib.experiments.suite import RUN_NOTEBOOKS, TICKER_NOTEBOOKS, _refuse_unknown
from llmrl_lib.language.chat import Chat
from llmrl_lib.language.prices import Price, load_prices
from llmrl_lib.market.dataset import Dataset, load_dataset
from llmrl_lib.market.defects import DatasetError
from llmrl_lib.settings import Profile

SAMPLE = 12  # tickers whose questions are made; further ones are taken to be asked alike, in turn


@dataclass(frozen=True)
class Study:
    """What is to be planned; the first five are the arguments of `run_suite`."""

    dataset: Path
    tickers: Sequence[str] | None
    profile: Profile
    jobs: int = 0  # processes at once on a machine, each on a processor of its own; 0: one per processor here
    adviser: Adviser = field(default_factory=Adviser)
    out: Path | None = None  # a run folder: what is finished there is not counted
    count: int = 0  # so many tickers, shaped like the dataset's in turn; 0: those there are
    machines: int = 1  # like this one, that share the tasks
    gpu: bool = False  # learned arms in one group on a GPU


@dataclass(frozen=True)
class Plan:
    """What a study takes, by stage, and when it would be over."""

    stages: tuple[Stage, ...]
    phases: tuple[Phase, ...]  # one after the other; within each, tasks side by side
    tickers: int
    slots: int  # processes at once, over all machines
    model: str
    price: str  # where the price is from; blank where it is unknown
    counted: bool  # whether tokens were counted by the model's own tokenizer
    speeds: str  # which seconds these are
    notes: tuple[str, ...]

    @property
    def calls(self) -> int:
        return sum(stage.calls for stage in self.stages)

    @property
    def usd(self) -> float | None:
        """Dollars; None where the price is unknown."""
        known = [stage.usd for stage in self.stages]
        return None if None in known else sum(one for one in known if one is not None)

    @property
    def cpu_seconds(self) -> float:
        return sum(stage.cpu_seconds for stage in self.stages)

    @property
    def gpu_seconds(self) -> float:
        return sum(stage.gpu_seconds for stage in self.stages)

    @property
    def wall_seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)

    @property
    def bytes(self) -> float:
        """Of the finished folder."""
        return sum(stage.bytes for stage in self.stages)

    @property
    def most_bytes(self) -> float:
        """Of the folder while it is made: checkpoints stand beside what is finished."""
        return self.bytes + max((phase.checkpoints for phase in self.phases), default=0.0)


@dataclass(frozen=True)
class Setting:
    """A study, opened: what the stages are made from."""

    study: Study
    dataset: Dataset
    planned: tuple[tuple[str, int], ...]  # ticker, and which repetition of it
    rows: Mapping[str, Rows]
    arms: tuple[str, ...]
    finished: frozenset[tuple[str, str]]  # ticker and arm
    told: frozenset[str]  # tickers whose notebooks are done
    run_told: bool
    chat: Chat
    tasks: tuple[Task, ...]
    audits: tuple[Task, Task] | None
    price: Price | None
    speeds: Speeds
    kinds: Mapping[str, float]  # by kind of arm, where the run folder tells: seconds, of the recorded ones
    unusable: tuple[str, ...] = ()  # a sentence for each ticker that is left out
    calibration: Calibration | None = None

    @property
    def profile(self) -> Profile:
        return self.study.profile

    @property
    def scale(self) -> float:
        """Of all seconds of a processor that the run folder does not tell."""
        return self.calibration.factor if self.calibration else 1.0

    @property
    def jobs(self) -> int:
        return self.study.jobs or os.cpu_count() or 1

    @property
    def slots(self) -> int:
        return self.jobs * self.study.machines

    @property
    def cores(self) -> int:
        return max(self.jobs, os.cpu_count() or 1) * self.study.machines

    @cached_property
    def names(self) -> list[str]:
        """The ticker that each planned one looks like."""
        return [ticker for ticker, _ in self.planned]

    @cached_property
    def asked_like(self) -> list[str]:
        """For each planned ticker one whose questions were made."""
        made = list(dict.fromkeys(self.names))[:SAMPLE]
        return [made[place % len(made)] for place in range(len(self.planned))] if made else []

    def counting(self, count: int) -> Setting:
        """The same with so many tickers, shaped like these in turn; 0: these."""
        tickers = list(self.rows)
        return replace(
            self,
            planned=tuple(
                (tickers[place % len(tickers)], place // len(tickers)) for place in range(count or len(tickers))
            ),
        )

    def left(self, ticker: str, copy: int, arm: str) -> bool:
        """Whether an arm is still to be made."""
        return copy > 0 or (ticker, arm) not in self.finished

    def arm_scale(self, arm: str) -> float:
        return self.kinds.get(kind_of(arm), self.scale)


def plan_study(study: Study, calibrated: bool = False, speeds: Speeds | None = None) -> Plan:
    """What a study takes; `calibrated`: by this machine's speed, for which some steps are trained, else as recorded.

    Raises what `run_suite` raises before any work begins, and ValueError for a plan that cannot be.
    """
    return plan_studies(study, (study.count,), calibrated, speeds)[0]


def plan_studies(
    study: Study, counts: Sequence[int], calibrated: bool = False, speeds: Speeds | None = None
) -> list[Plan]:
    """A plan for each of `counts` of tickers, 0 being those there are; questions are made once. Raises as `plan_study`."""
    setting = opened(study, speeds or load_speeds())
    if calibrated:
        ticker = setting.planned[0][0]
        train, test = setting.dataset.train_bars(ticker), setting.dataset.test_bars(ticker)
        calibration = calibrate(train, test, study.profile.tdqn, setting.speeds)
        setting = replace(setting, calibration=calibration)
    return plans_of(setting, counts)


def plans_of(setting: Setting, counts: Sequence[int]) -> list[Plan]:
    """Plans of an opened study for so many tickers each."""
    return [_plan(setting.counting(count)) for count in counts]


def _plan(setting: Setting) -> Plan:
    stages, phases = stages_of(setting)
    return Plan(
        tuple(stages),
        tuple(phases),
        len(setting.planned),
        setting.slots,
        model=str(setting.chat.identity.get("model", "")),
        price="" if setting.price is None else setting.price.source or "a row of the user's",
        counted=hasattr(setting.chat, "prompt_tokens"),
        speeds=_told_speeds(setting),
        notes=(*setting.unusable, *_notes(setting)),
    )


def opened(study: Study, speeds: Speeds) -> Setting:
    """The study's dataset, run folder, model and questions. Raises as `plan_study`."""
    dataset, profile = load_dataset(study.dataset), study.profile
    tickers = _chosen(dataset, study.tickers)
    if study.count < 0 or study.machines < 1:
        raise ValueError("--count and --machines are numbers of tickers and of machines; give at least 1")
    if study.count and study.out is not None and (study.out / RUN).is_file():
        raise ValueError("--count speaks of tickers like the dataset's, --out of its own; leave one of them out")
    arms = (*profile.arms, *([LLM_ONLY] if profile.guide else []), *CLASSICAL)
    _refuse_unknown(arms, profile)
    out = study.out
    if out is not None:
        refuse_foreign(out)
    chat = study.adviser.chat()
    if out is not None:
        refuse_other_run(out, dataset, profile, chat.identity if profile.guide or profile.prompts else None)
    rows, unusable = _rows(dataset, tickers)
    sound = [ticker for ticker in tickers if ticker in rows]
    if not sound:
        raise ExperimentError(f"no ticker can be trained on: {' '.join(unusable)}")
    sample = sound[: min(SAMPLE, study.count or SAMPLE)]
    finished = _finished(out, sound, arms)
    with _store(out) as folder:
        tasks = tasks_of(dataset, sample, profile, study.adviser, chat, folder, speeds)
        audits = audit_task(dataset, sample[0], profile, study.adviser, chat, folder, speeds)
    price = load_prices(
        study.adviser.prices,
        free=[chat.identity["model"]] if study.adviser.free or "server" not in chat.identity else [],
    ).find(chat.identity.get("model", ""), chat.identity.get("server", ""), datetime.now(UTC).date())
    whole = {ticker for ticker in sound if all((ticker, arm) in finished for arm in arms)}
    told = {ticker for ticker in whole if out and _notebooks(out / "notebooks" / ticker, TICKER_NOTEBOOKS)}
    run_told = len(told) == len(sound) and out is not None and _notebooks(out / "notebooks", RUN_NOTEBOOKS)
    kinds = _measured(out, finished, rows, profile, speeds)
    planned = tuple((ticker, 0) for ticker in sound)
    return Setting(
        study, dataset, planned, rows, arms, frozenset(finished), frozenset(told), run_told, chat, tuple(tasks), audits,
        price, speeds, kinds, tuple(unusable),
    )  # fmt: skip


def _chosen(dataset: Dataset, tickers: Sequence[str] | None) -> tuple[str, ...]:
    """The tickers of a run; ExperimentError for none and for unknown ones, as `run_suite` says it."""
    if tickers is not None and not tickers:
        raise ExperimentError(
            f"no ticker is asked for; name some of {', '.join(dataset.tickers)}, or leave it out for all"
        )
    chosen = tuple(dict.fromkeys(dataset.tickers if tickers is None else tickers))
    for ticker in chosen:
        if ticker not in dataset.tickers:
            raise ExperimentError(f"{dataset.name} has no ticker {ticker!r}; it has {', '.join(dataset.tickers)}")
    return chosen


def _rows(dataset: Dataset, tickers: Sequence[str]) -> tuple[dict[str, Rows], list[str]]:
    """Days of both splits by ticker, and a sentence for each ticker whose bars cannot be used."""
    found, unusable = {}, []
    for ticker in tickers:
        try:
            found[ticker] = Rows(len(dataset.train_bars(ticker)), len(dataset.test_bars(ticker)))
        except DatasetError as error:
            unusable.append(f"{ticker} is left out: {explain(error)}.")
    return found, unusable


def _finished(out: Path | None, tickers: Sequence[str], arms: Sequence[str]) -> set[tuple[str, str]]:
    return {(ticker, arm) for ticker in tickers for arm in arms if out and (out / ticker / arm / MANIFEST).is_file()}


def _notebooks(folder: Path, names: Sequence[str]) -> bool:
    return all((folder / f"{name}.ipynb").is_file() for name in names)


def _measured(
    out: Path | None, finished: set[tuple[str, str]], rows: Mapping[str, Rows], profile: Profile, speeds: Speeds
) -> dict[str, float]:
    """For each kind of arm of which the run folder holds some: their seconds on a processor, of the recorded ones."""
    sums: dict[str, list[float]] = {}
    for ticker, arm in sorted(finished):
        manifest = load_arm(out / ticker / arm).manifest if out else {}
        kind = kind_of(arm)
        if manifest.get("device") == "cpu" and kind != "rules":
            both = sums.setdefault(kind, [0.0, 0.0])
            both[0] += float(manifest["seconds"])
            both[1] += trained_seconds(arm, rows[ticker], profile, speeds)
    return {kind: took / expected for kind, (took, expected) in sums.items() if expected > 0}


@contextmanager
def _store(out: Path | None) -> Iterator[Path]:
    """The folder of a run's replies, or an empty one."""
    if out is not None:
        yield out / STRATEGIES
        return
    with tempfile.TemporaryDirectory() as empty:
        yield Path(empty) / STRATEGIES


def _told_speeds(setting: Setting) -> str:
    figures = setting.speeds.figures["tdqn_fixed_ms"]
    told = f"recorded on {figures.machine}, {setting.speeds.dates}"
    if calibration := setting.calibration:
        told += (
            f", times {calibration.factor:.2f}: {calibration.milliseconds:.2f} ms a learning step were measured here, "
            f"{calibration.recorded:.2f} are recorded"
        )
    for kind, factor in setting.kinds.items():
        told += f"; {kind} as in the run's finished arms, {factor:.2f} times the recorded"
    return told


def _notes(setting: Setting) -> Iterator[str]:
    """What a reader must know of the figures."""
    if setting.study.gpu:
        yield _gpu_note(setting)
    if setting.tasks:
        yield from _asking_notes(setting)
    if setting.profile.flag_trader.backbone != "nano" and any(arm in FLAG_ARMS for arm in setting.arms):
        yield "FLAG-Trader's hours and bytes are those of Nano as its backbone; a larger one takes more."


def _gpu_note(setting: Setting) -> str:
    """How much memory one group of all learned runs needs, and what to do where no GPU has it."""
    learned = sum(
        setting.left(ticker, copy, arm) for arm in setting.arms if arm in LEARNED for ticker, copy in setting.planned
    )
    runs = learned * len(setting.profile.seeds)
    memory = runs * setting.speeds["gpu_run_mib"] / 1024
    device = setting.speeds.figures["gpu_run_mib"].machine.split(";")[0]
    told = f"GPU time is that of one {device}; FLAG-Trader's arms are counted on processors all the same."
    told += f" The group of {runs:,} runs needs about {memory:,.0f} GiB of its memory"
    if memory <= setting.speeds["gpu_memory_gib"]:
        return f"{told}."
    each = memory / max(1, len(setting.planned))
    fitting = int(setting.speeds["gpu_memory_gib"] / each)
    advice = f"give at most {fitting} tickers a command (--tickers)" if fitting else "take fewer seeds or arms"
    return f"{told}, which is more than it has: {advice}."


def _asking_notes(setting: Setting) -> Iterator[str]:
    if hasattr(setting.chat, "prompt_tokens"):
        yield "Prompts are counted by the model's own tokenizer, with stand-ins for what it will remember."
    else:
        yield "Tokens are estimates of a large general vocabulary; servers that charge for the schema of replies count more."
    if setting.price is None:
        yield "No price of this model is known: dollars unknown; give one with --prices, or say --free."
    elif setting.price.source and "server" in setting.chat.identity:
        yield f"Prices: {setting.price.source}."
    if "server" in setting.chat.identity and any(
        part.seconds is None for task in setting.tasks for part in task.parts if part.calls
    ):
        yield "How long the server takes to answer is not known, and not in the hours."
    if "server" not in setting.chat.identity and setting.audits is None:
        yield "How long this model takes to answer was not recorded, and is not in the hours."
    if len(setting.planned) > len(set(setting.asked_like)):
        yield (
            f"Questions were made for {len(set(setting.asked_like))} tickers; the others are taken to be asked alike."
        )
