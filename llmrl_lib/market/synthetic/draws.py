"""Random draws that are the same on every machine.

Draws are rounded to six decimals; from there on only + - * / and square roots are used, which IEEE arithmetic defines
to the last bit, and what is written is rounded again. Every purpose of every company has a stream of its own.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

MARKET = 0  # number of the streams that all companies share; company i draws from the streams numbered i + 1
PURPOSES = (
    "company",
    "shocks",
    "regimes",
    "state",
    "options",
    "macro",
    "fundamentals",
    "earnings",
    "news",
    "bars",
    "indices",
    "series",
    "accounts",
    "announcements",
    "headlines",
    "chain",
)


def stream(seed: int, number: int, purpose: str) -> Generator:
    """The generator of company ``number - 1``, or of the market, for one purpose."""
    return Generator(PCG64(SeedSequence(seed, spawn_key=(number, PURPOSES.index(purpose)))))


def normal(source: Generator, *shape: int) -> np.ndarray:
    """Standard normal draws, rounded to six decimals: a last bit that differs between machines dies here."""
    return np.round(source.standard_normal(shape), 6)


def uniform(source: Generator, *shape: int) -> np.ndarray:
    """Draws from [0, 1), rounded down to six decimals so that they stay below 1."""
    return np.floor(source.random(shape) * 1e6) / 1e6


def choose(draw: float, options: Sequence[str]) -> str:
    """The option that a uniform draw falls on."""
    return options[int(draw * len(options))]
