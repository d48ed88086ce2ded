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
from llmrl_lib.evidence.audit.findings import FAIL, MISSING, PASS, Finding
from llmrl_lib.evidence.sharpe import expected_best, luck_corrected, probabilistic_sharpe

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
    """The best arm's Sharpe ratio against the best that luck gives so many trials.

    The arm's daily returns are the mean over its seeds: an investor who spreads over all of them.
    """
    tried = {arm: path.returns.mean(0) for arm, path in case.paths.items() if not arm.startswith(CONTROLS)}
    ratios = {arm: float(case.sharpe(arm).mean()) for arm in tried}
    active = [arm for arm in tried if arm not in PASSIVE and tried[arm].std() > 0]
    if not active:
        return [Finding("trials", case.ticker, "", MISSING, f"The run has no arm that decides on {case.ticker}.")]
    best = max(active, key=lambda arm: ratios[arm])
    count = max(case.trials or 0, len(tried))
    chance = luck_corrected(tried[best], count)
    luck = expected_best(count, float(np.std(list(ratios.values()), ddof=1))) if len(ratios) > 1 and count > 1 else 0.0
    figures = {
        "trials": float(count), "its Sharpe ratio": ratios[best], "luck's best": luck,
        "probability above luck": chance, "deflated": probabilistic_sharpe(tried[best], luck),
    }  # fmt: skip
    least = "" if case.trials is not None else "at least "
    sentence = (
        f"Of {least}{count} configurations tried on {case.ticker} the best is {best} ({ratios[best]:.2f}); so many without "
        f"skill would stay below it with probability {chance:.2f}."
    )
    return [Finding("trials", case.ticker, "", PASS if chance > ENOUGH else FAIL, sentence, figures)]


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
