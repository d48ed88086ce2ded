"""How long tasks take in a few slots: in a run's order, each begun when a slot is free, none faster than its own work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Job(NamedTuple):
    """One task of a run: core-seconds of work, spread over so many processes of its own."""

    seconds: float
    width: int = 1  # processes that share the work evenly
    title: str = ""


def makespan(jobs: Iterable[Job], slots: int, cores: int) -> float:
    """Seconds until all jobs are done: `slots` at a time in the given order, on `cores` processors that are shared evenly.

    A job runs `width` processes; while there are more processes than processors, all of them slow down alike. So the result
    is at least the longest job's seconds / width, and at least all seconds / cores.
    """
    waiting = [job for job in jobs if job.seconds > 0]
    waiting.reverse()
    active: list[list[float]] = []  # of each, what is left of its own time and its processes
    clock = 0.0
    while waiting or active:
        while waiting and len(active) < slots:
            job = waiting.pop()
            active.append([job.seconds / job.width, job.width])
        slowdown = max(1.0, sum(width for _, width in active) / cores)
        step = min(left for left, _ in active)
        clock += step * slowdown
        active = [[left - step, width] for left, width in active if left - step > 1e-9]
    return clock


def widths(arms: Sequence[bool], jobs: int) -> int:
    """Processes within each arm, where so many of the run's arms (True) are to be trained: see `suite`."""
    return max(1, jobs // max(1, sum(arms)))
