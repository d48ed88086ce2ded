"""How often was something tried? Every configuration that a run folder ever started, and what that leaves of its best arm.

`trials.jsonl` holds a line per configuration, written when it is started, whether or not it was ever finished or kept.
The same configuration started again, resumed or repeated, is the same trial. Counted trials deflate the best arm's Sharpe
ratio: Bailey & Lopez de Prado, "The deflated Sharpe ratio" (2014), and Sidak (1967).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from llmrl_lib.evidence.audit.cases import HOLDING, Case
from llmrl_lib.evidence.audit.execution import absent
from llmrl_lib.evidence.audit.findings import BEST, FAIL, MISSING, PASS, Finding, versus
from llmrl_lib.evidence.sharpe import expected_best, luck_corrected, probabilistic_sharpe
from llmrl_lib.metrics import sharpe_ratio

FILE = "trials.jsonl"
CONTROLS = ("placebo_", "oracle_")  # arms that nobody would trade: no trials
PASSIVE = (HOLDING, "sell_and_hold")  # trials without a decision; never the best arm
ENOUGH = 0.95


def record_trial(folder: str | Path, configuration: Mapping[str, Any]) -> int:
    """Writes down that `configuration` is started in a run folder, if it is not yet; returns how many there are.

    A configuration is a table of JSON values: whatever tells one attempt from another, e.g. ticker, arm, prompt, variant and
    settings; not its seeds, dates of running, or machine. `ticker` and `arm` are what `count_trials` looks at. Several
    processes may write at once. Raises OSError where it cannot be written, TypeError for what is no JSON value.
    """
    key = _key(configuration)
    path = Path(folder) / FILE
    if key not in _read(path):
        entry = {
            "key": key,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "configuration": dict(configuration),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, f"\n{json.dumps(entry, ensure_ascii=True)}\n".encode())  # one write; ends a torn line, too
        finally:
            os.close(handle)
    return len(_read(path))


def count_trials(folder: str | Path, ticker: str | None = None) -> int | None:
    """How many configurations were ever started in a run folder, placebos and oracles left out; None if nobody counted.

    With a ticker: those of that ticker, and those that name none.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    return sum(
        not str(one.get("arm", "")).startswith(CONTROLS) and (ticker is None or one.get("ticker", ticker) == ticker)
        for one in _read(path).values()
    )


def trials(case: Case) -> list[Finding]:
    """Each comparison, and the best arm, against what luck gives the best of so many trials.

    Of a comparison the daily returns of the first arm less those of the second count, means over seeds: an investor who
    spreads over all of them. Of the best arm those of its median seed count; an arm that did as a passive one is no best.
    """
    ratios = {arm: float(case.sharpe(arm).mean()) for arm in case.arms if not arm.startswith(CONTROLS)}
    count = max(case.trials or 0, len(ratios))
    least = "" if case.trials is not None else "at least "
    found = []
    for first, second in case.pairs:
        if lacking := case.lacking(first, second):
            found.append(absent("trials", case, first, second, lacking))
            continue
        excess = case.returns(first).mean(0) - case.returns(second).mean(0)
        if excess.std() == 0:
            sentence = f"{first} and {second} hold the same on every day."
            found.append(Finding("trials", case.ticker, versus(first, second), MISSING, sentence))
            continue
        chance = luck_corrected(excess, count)
        sentence = (
            f"With {least}{count} configurations tried on {case.ticker}, what {first} earns beyond {second} is above luck's "
            f"best with probability {chance:.2f}."
        )
        figures = {"trials": float(count), "probability above luck": chance}
        mark = PASS if chance > ENOUGH else FAIL
        found.append(Finding("trials", case.ticker, versus(first, second), mark, sentence, figures))
    return [*found, _best(case, ratios, count, least)]


def _best(case: Case, ratios: Mapping[str, float], count: int, least: str) -> Finding:
    held = [case.returns(one).mean(0) for one in PASSIVE if one in case.arms]
    own = {arm: case.returns(arm).mean(0) for arm in ratios if arm not in PASSIVE}
    active = [arm for arm, path in own.items() if path.std() > 0 and not any(np.allclose(path, one) for one in held)]
    if not active:
        return Finding("trials", case.ticker, BEST, MISSING, f"The run has no arm that decides on {case.ticker}.")
    best = max(active, key=lambda arm: ratios[arm])
    returns = _median_seed(case, best)
    middle = float(sharpe_ratio(returns))
    chance = luck_corrected(returns, count)
    luck = expected_best(count, float(np.std(list(ratios.values()), ddof=1))) if len(ratios) > 1 else 0.0
    figures = {
        "trials": float(count), "its Sharpe ratio": ratios[best], "its median seed": middle, "luck's best": luck,
        "probability above luck": chance, "deflated": probabilistic_sharpe(returns, luck),
    }  # fmt: skip
    sentence = (
        f"Of {least}{count} configurations tried on {case.ticker} the best is {best} ({ratios[best]:.2f}); so many without "
        f"skill would all stay below its median seed ({middle:.2f}) with probability {chance:.2f}, if a rise of the share "
        "itself counts as skill."
    )
    return Finding("trials", case.ticker, BEST, PASS if chance > ENOUGH else FAIL, sentence, figures)


def _median_seed(case: Case, arm: str) -> np.ndarray:
    """The daily returns of the seed in the middle: one account, as an investor would have it."""
    order = np.argsort(case.sharpe(arm), kind="stable")
    return case.returns(arm)[order[(len(order) - 1) // 2]]


def _key(configuration: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(configuration, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _read(path: Path) -> dict[str, Mapping[str, Any]]:
    """Configurations by key; a line that a kill has torn counts for nothing."""
    found: dict[str, Mapping[str, Any]] = {}
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            entry = json.loads(line)
            found[str(entry["key"])] = dict(entry["configuration"])
        except (ValueError, KeyError, TypeError):
            continue
    return found
