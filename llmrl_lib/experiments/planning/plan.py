"""What a plan holds: its stages, a line each, and its phases, one after the other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One line of a plan."""

    name: str
    what: str  # how much of it, in words
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0  # None: the price is unknown
    most_usd: float | None = 0.0  # what a budget has to hold for these calls
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
    tasks: int = 0  # that the run works off in it


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
    budget_usd: float | None = None  # that the run is to keep
    spent_usd: float | None = None  # of it, by what the run's store holds; None without a budget, or a price

    @property
    def calls(self) -> int:
        return sum(stage.calls for stage in self.stages)

    @property
    def usd(self) -> float | None:
        """Dollars; None where the price is unknown."""
        return _sum_known([stage.usd for stage in self.stages])

    @property
    def most_usd(self) -> float | None:
        """Dollars that a budget has to hold for these calls; None where the price is unknown."""
        return _sum_known([stage.most_usd for stage in self.stages])

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


def _sum_known(values: list[float | None]) -> float | None:
    """The sum; None where a summand is unknown."""
    return None if None in values else sum(value for value in values if value is not None)
