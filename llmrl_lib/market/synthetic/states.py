"""The latent states and the channels through which categories of data show them; equations in ``world``."""

import math

import numpy as np
from numpy.random import Generator

from llmrl_lib.market.synthetic.draws import normal
from llmrl_lib.market.synthetic.world import PHI, World

STEP = math.sqrt(1.0 - PHI * PHI)


def drift_state(world: World, innovations: np.ndarray, source: Generator) -> np.ndarray:
    """A drift state at every close, entry 0 before the first day; shape (days + 1,), standard deviation ``strength``."""
    return world.strength * _autoregression(float(normal(source, 1)[0]), innovations)


def channel(world: World, category: str, state: np.ndarray, source: Generator) -> np.ndarray:
    """What a category shows of ``state`` (days,), noise of variance 1 included; shape (days,)."""
    noise = normal(source, len(state))
    return world.loading(category) * state + _autoregression(float(noise[0]), noise[1:])


def state_weights(market_risk: float, own_risk: float) -> tuple[float, float]:
    """Weights of g and f in x: the two risks, beta sd_m and sd_e, scaled so that the weights' squares add up to 1."""
    total = math.sqrt(market_risk * market_risk + own_risk * own_risk)
    return market_risk / total, own_risk / total


def _autoregression(first: float, innovations: np.ndarray) -> np.ndarray:
    """x_0 = first, x_t = PHI x_{t-1} + sqrt(1 - PHI^2) innovation_t; shape (innovations + 1,)."""
    value, values = first, [first]
    for step in (STEP * innovations).tolist():
        value = PHI * value + step
        values.append(value)
    return np.array(values)
