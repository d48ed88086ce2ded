"""Recorded results: runs that came with the suite under results/, without prices, shown beside whatever the reader ran."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from llmrl_lib.evidence.audit import Audit, read_audit
from llmrl_lib.evidence.audit.keeping import FILE
from llmrl_lib.experiments.arms import RUN
from llmrl_lib.experiments.guided import VARIANT_OF, hit_rate_of
from llmrl_lib.experiments.runs import Run, open_run

ABSENT = (
    "*Not available: no recorded run of guided agents came with this copy of the suite (there is none under results/).*"
)
NO_ORACLES = (
    "*Not available: neither this run nor a recorded one has oracle arms. A profile with "
    '`arms = ["unguided", "oracle_050", "oracle_070", "oracle_100"]` makes some; they need no language model.*'
)


def result_folder() -> Path | None:
    """Where recorded results are: in the checkout, or inside an installed package; None where there are none."""
    package = Path(str(resources.files("llmrl_lib")))
    for folder in (package.parent / "results", package / "share" / "results"):
        if any(folder.glob(f"*/{RUN}")):
            return folder
    return None


def recorded_guided(folder: Path | None = None) -> Run | None:
    """The recorded run with most guided and oracle arms, of those in `folder` (by default `result_folder`); None without."""
    place = folder or result_folder()
    if place is None:
        return None
    runs = [open_run(path.parent) for path in sorted(place.glob(f"*/{RUN}"))]
    found = max(runs, key=_advised_arms, default=None)
    return found if found is not None and _advised_arms(found) else None


def with_oracles(run: Run) -> Run | None:
    """The run itself if it has oracle arms, else the recorded one if that has; None where neither has."""
    return next((one for one in (run, recorded_guided()) if one is not None and _has_oracles(one)), None)


def kept_audit(run: Run) -> Audit | None:
    """The audit that was kept with a run, in its folder or its tickers' folders; None where none was."""
    places = [run.path / FILE, *(run.path / ticker / FILE for ticker in run.tickers)]
    audits = [read_audit(place) for place in places if place.is_file()]
    return Audit(run.name, tuple(finding for one in audits for finding in one.findings)) if audits else None


def _has_oracles(run: Run) -> bool:
    return any(hit_rate_of(name) is not None for ticker in run.tickers for name in run.arms(ticker))


def _advised_arms(run: Run) -> int:
    """How many arms of a run hear advice or foresight, over its tickers."""
    return sum(
        name in VARIANT_OF or hit_rate_of(name) is not None for ticker in run.tickers for name in run.arms(ticker)
    )
