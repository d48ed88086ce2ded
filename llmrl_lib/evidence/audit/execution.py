"""Would the result survive the market? Recorded test actions traded again: at other costs, one bar later.

The policies are those that were trained, at the cost that they were trained with: what a retrained one would do is not
answered. Break-even costs and the delay of one day follow Bessembinder & Chan, "Market efficiency and the returns to
technical analysis" (1998).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from llmrl_lib.evidence.audit.cases import HOLDING, Case
from llmrl_lib.evidence.audit.findings import FAIL, MISSING, PASS, Finding, versus

COSTS = tuple(range(0, 55, 5))  # basis points of traded value
STRESS = 2.0  # times the charged cost that a difference has to bear
LEAST_STRESS = 5.0  # basis points above the charged cost, at least
BASIS_POINT = 1e-4
NEAR = 0.05  # basis points within which a break-even cost is found
SAME = 1e-9  # relative difference of equity that rounding may leave


def accounting(case: Case) -> list[Finding]:
    """Whether every arm's recorded equity is what its recorded actions earn at the charged cost."""
    again = case.traded_again(case.settings.cost_rate)
    off = {
        arm: float((np.abs(again[arm]["equity"] - path.equity).max(1) / np.abs(path.equity).max(1)).max())
        for arm, path in case.paths.items()
    }
    wrong = [arm for arm, one in off.items() if not one < SAME]
    runs = sum(len(path.seeds) for path in case.paths.values())
    figures = {"arms": float(len(off)), "runs": float(runs), "largest deviation": max(off.values())}
    sentence = (
        f"The recorded equity of {', '.join(wrong)} is not what the recorded actions earn."
        if wrong
        else "Every recorded equity is what the recorded actions earn at the charged cost."
    )
    return [Finding("accounting", case.ticker, "", FAIL if wrong else PASS, sentence, figures)]


def cost_sweep(case: Case) -> pd.DataFrame:
    """Mean test Sharpe ratio over seeds of every arm (column) by `cost` in basis points (row).

    At each of COSTS, at the charged cost, and at what a difference has to bear.
    """
    rows = {cost: case.traded(cost * BASIS_POINT) for cost in sorted({*map(float, COSTS), *_charged(case)})}
    table = pd.DataFrame({cost: {arm: ratios.mean() for arm, ratios in row.items()} for cost, row in rows.items()}).T
    return table.rename_axis("cost").rename_axis(columns=None)


def costs(case: Case, sweep: pd.DataFrame | None = None) -> list[Finding]:
    """The cost sweep for each comparison of the case."""
    swept = cost_sweep(case) if sweep is None else sweep
    charged, needed = _charged(case)
    found = []
    for first, second in case.pairs:
        if lacking := case.lacking(first, second):
            found.append(absent("costs", case, first, second, lacking))
            continue
        difference = swept[first] - swept[second]
        point, at_charge = break_even(difference, charged, _difference(case, first, second)), at(difference, charged)
        inside = difference[(difference.index >= charged) & (difference.index <= needed)]
        stands = bool(at_charge > 0 and (inside > 0).all() and at(difference, needed) > 0)
        figures = {"at 0 bp": at(difference, 0), f"at {charged:g} bp": at_charge, "break-even, bp": point}
        shown = swept.assign(difference=difference)
        sentence = _told(first, second, charged, needed, at_charge, point, stands)
        found.append(
            Finding("costs", case.ticker, versus(first, second), PASS if stands else FAIL, sentence, figures, shown)
        )
    return found


def break_even_table(case: Case, against: str = HOLDING, sweep: pd.DataFrame | None = None) -> pd.DataFrame:
    """A row per arm but one: mean test Sharpe ratio less that of `against` without costs and as charged, and the break-even.

    Columns: at_0, as_charged, break_even (basis points; see `break_even`). Raises KeyError for a case without `against`.
    """
    swept, charged = cost_sweep(case) if sweep is None else sweep, _charged(case)[0]
    rows = {}
    for arm in (name for name in case.arms if name != against):
        difference = swept[arm] - swept[against]
        point = break_even(difference, charged, _difference(case, arm, against))
        rows[arm] = {"at_0": at(difference, 0), "as_charged": at(difference, charged), "break_even": point}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["at_0", "as_charged", "break_even"])


def break_even(difference: pd.Series, charged: float, exactly: Callable[[float], float] | None = None) -> float:
    """The cost, basis points, up to which a difference of Sharpe ratios (by cost) is above zero.

    From the charged cost upward where it is above zero there, infinite if it is so to the end; from there downward where it
    is not, NaN if it is above zero at no lower cost. Between two rows the zero is found by halving with `exactly`, which
    gives the difference at any cost, to NEAR; without it on a straight line.
    """
    grid = sorted({*map(float, difference.index), charged})
    values = [at(difference, cost) for cost in grid]
    start = grid.index(charged)
    pairs = range(start + 1, len(grid)) if values[start] > 0 else range(start, 0, -1)
    for place in pairs:
        if values[place - 1] > 0 >= values[place]:
            return _zero(grid[place - 1], grid[place], values[place - 1], values[place], exactly)
    return math.inf if values[start] > 0 else math.nan


def at(difference: pd.Series, cost: float) -> float:
    """The difference at any cost, basis points, between rows; at the nearest end beyond them."""
    return float(np.interp(cost, difference.index.to_numpy(np.float64), difference.to_numpy(np.float64)))


def delay(case: Case) -> list[Finding]:
    """Each comparison with both arms' actions executed one bar later."""
    late = {arm: float(ratios.mean()) for arm, ratios in case.traded(case.settings.cost_rate, delay=1).items()}
    soon = {arm: float(case.sharpe(arm).mean()) for arm in case.arms}
    table = pd.DataFrame({"at once": soon, "a day late": late})
    found = []
    for first, second in case.pairs:
        if lacking := case.lacking(first, second):
            found.append(absent("delay", case, first, second, lacking))
            continue
        before, after = soon[first] - soon[second], late[first] - late[second]
        stands = before > 0 and after > 0
        if before <= 0:
            sentence = f"{first} is not above {second} even without a delay ({before:+.2f})."
        else:
            sentence = f"Executed a day late, {first} less {second} goes from {before:+.2f} to {after:+.2f}."
        figures = {"at once": before, "a day late": after}
        mark = PASS if stands else FAIL
        found.append(Finding("delay", case.ticker, versus(first, second), mark, sentence, figures, table))
    return found


def _charged(case: Case) -> tuple[float, float]:
    """The charged cost, basis points, and the one up to which a difference has to stand."""
    charged = round(case.settings.cost_rate / BASIS_POINT, 6)
    return charged, max(STRESS * charged, charged + LEAST_STRESS)


def _difference(case: Case, first: str, second: str) -> Callable[[float], float]:
    def exactly(cost: float) -> float:
        found = case.traded(cost * BASIS_POINT, only=(first, second))
        return float(found[first].mean() - found[second].mean())

    return exactly


def absent(check: str, case: Case, first: str, second: str, lacking: list[str]) -> Finding:
    """The finding of a comparison whose arms are not all there."""
    sentence = f"The run has no arm {' and no '.join(lacking)} for {case.ticker}."
    return Finding(check, case.ticker, versus(first, second), MISSING, sentence)


def _zero(low: float, high: float, above: float, below: float, exactly: Callable[[float], float] | None) -> float:
    if exactly is None:
        return low + (high - low) * above / (above - below)
    while high - low > NEAR:
        middle = (low + high) / 2
        low, high = (middle, high) if exactly(middle) > 0 else (low, middle)
    return (low + high) / 2


def _told(first: str, second: str, charged: float, needed: float, at_charge: float, point: float, stands: bool) -> str:
    kept = "with the policy as it was trained"
    if at_charge <= 0:
        below = "nor at any lower cost" if math.isnan(point) else f"but below {point:.1f} basis points"
        return f"{first} is not above {second} at the charged {charged:g} basis points, {below}, {kept}."
    end = (
        f"up to {point:.1f} basis points"
        if math.isfinite(point)
        else f"up to the largest cost tried, {max(COSTS[-1], needed):g}"
    )
    more = "" if stands else f", short of the {needed:g} asked for"
    return f"{first} is above {second} {end}{more} ({charged:g} were charged), {kept}."
