r"""Daily shocks: calm and stressed regimes, volatility that clusters and rises after losses, heavy tails.

A shock is :math:`\sqrt{v_t} c_t z_t`, where z_t is normal and c_t = sqrt(3 / chi^2_5), so that c_t z_t is Student t with
five degrees of freedom and variance 1. Volatility follows Glosten, Jagannathan & Runkle (1993), where one day counts as
five standard deviations at most::

    v_{t+1} = omega + (alpha min(c_t^2 z_t^2, 25) + gamma [l_t < 0] min(c_t^2 l_t^2, 25) + beta) v_t

The same day moves the drift state (``world``): its innovation is w_t = a z_t + sqrt(1 - a^2) n_t with n_t normal, and what
raises volatility is the rest, l_t = sqrt(1 - a^2) z_t - a n_t. Being independent of w_t, it keeps volatility free of news
about the drift. ``omega`` makes ``daily_sd`` the standard deviation exactly. The market's shock is ``scale(s_t)`` times such
a shock; the regime s_t is a two-state Markov chain. Regimes change the size of moves and never their mean.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from llmrl_lib.market.synthetic.draws import normal, uniform

_DEGREES = 5  # of freedom of the shocks
_ALPHA, _GAMMA, _BETA = 0.02, 0.08, 0.92
_BOUND = 25.0
_BOUNDED_MEAN = 0.97561  # E min(c^2 z^2, 25), by quadrature: persistence 0.97561 (0.02 + 0.08 / 2) + 0.92 = 0.979
_STAY = (0.994, 0.975)  # chance to stay in the calm, the stressed regime: 167 and 40 days on average
_SCALE = (0.8, 1.7)
_SHOCK_SD = 0.0085  # of the market within a regime of scale 1
_STRESSED = (1.0 - _STAY[0]) / (2.0 - _STAY[0] - _STAY[1])  # share of days
_MEAN_SCALE = (1.0 - _STRESSED) * _SCALE[0] + _STRESSED * _SCALE[1]
_ROOT_MEAN_SQUARE_SCALE = math.sqrt((1.0 - _STRESSED) * _SCALE[0] ** 2 + _STRESSED * _SCALE[1] ** 2)

MARKET_SD = _SHOCK_SD * _ROOT_MEAN_SQUARE_SCALE  # of m_t
MARKET_DRIFT = 0.0004  # a day
COMPANY_ALIGNMENT = 0.879  # correlation of a shock with its z_t, E sqrt(v) E c / sd, from 5e7 simulated days
MARKET_ALIGNMENT = COMPANY_ALIGNMENT * _MEAN_SCALE / _ROOT_MEAN_SQUARE_SCALE


@dataclass(frozen=True)
class Shocks:
    """Unforecastable parts of returns, with what happened to the drift state on the same day; shape (days,)."""

    values: np.ndarray
    variance: np.ndarray  # of the value, as expected the day before
    innovations: np.ndarray  # w_t, variance 1


def company_shocks(source: Generator, days: int, daily_sd: float, lean: float) -> Shocks:
    """Shocks e_t of one company: mean 0, standard deviation ``daily_sd``; ``lean`` is a."""
    z, other = normal(source, 2, days)
    squares = normal(source, _DEGREES, days) ** 2
    chi = squares[0]
    for more in squares[1:]:
        chi = chi + more
    heavy = (_DEGREES - 2) / chi  # c^2
    rest = math.sqrt(1.0 - lean * lean)
    frightening = rest * z - lean * other
    growth = _ALPHA * np.minimum(heavy * z * z, _BOUND) + _BETA
    growth += np.where(frightening < 0.0, _GAMMA * np.minimum(heavy * frightening * frightening, _BOUND), 0.0)
    variance = _variances(growth.tolist(), daily_sd * daily_sd)
    return Shocks(np.sqrt(variance * heavy) * z, variance, lean * z + rest * other)


def market_shocks(source: Generator, regimes: Generator, days: int, lean: float) -> Shocks:
    """Shocks m_t of the market: mean 0, standard deviation ``MARKET_SD``."""
    calm = company_shocks(source, days, _SHOCK_SD, lean)
    scale = np.array(_SCALE)[_regimes(regimes, days)]
    return Shocks(scale * calm.values, scale * scale * calm.variance, calm.innovations)


def _variances(growth: list[float], target: float) -> np.ndarray:
    omega = target * (1.0 - _BOUNDED_MEAN * (_ALPHA + _GAMMA / 2.0) - _BETA)
    variance, variances = target, []
    for factor in growth:
        variances.append(variance)
        variance = omega + factor * variance
    return np.array(variances)


def _regimes(source: Generator, days: int) -> np.ndarray:
    """0 for a calm, 1 for a stressed day; shape (days,)."""
    regime, regimes = 0, []
    for draw in uniform(source, days).tolist():
        if draw >= _STAY[regime]:
            regime = 1 - regime
        regimes.append(regime)
    return np.array(regimes)
