"""An audit in a file, so that results that were recorded without their trajectories keep their marks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from llmrl_lib.evidence.audit.findings import CHECKS, Audit, Finding

FILE = "audit.json"  # in a run folder, or one of recorded results
_DATES = ["from", "date"]  # columns of tables


def write_audit(audit: Audit, path: str | Path) -> None:
    """Writes an audit to a file, or as `audit.json` into a folder. Raises OSError where it cannot be written."""
    place = _file(Path(path))
    record = {"run": audit.run, "findings": [_to_record(finding) for finding in audit.findings]}
    part = place.with_name(f".{place.name}.part")
    part.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    part.replace(place)


def read_audit(path: str | Path) -> Audit:
    """The audit of a file, or of a folder's `audit.json`.

    Raises FileNotFoundError where there is none, ValueError naming the file for one that is no audit.
    """
    place = _file(Path(path))
    try:
        record = json.loads(place.read_text("utf-8"))
        return Audit(str(record["run"]), tuple(_from_record(finding) for finding in record["findings"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{place} is not an audit ({error!r}); delete it and make the audit again") from error


def _file(path: Path) -> Path:
    return path / FILE if path.is_dir() else path


def _to_record(finding: Finding) -> dict[str, Any]:
    figures = {name: value if math.isfinite(value) else str(value) for name, value in finding.figures.items()}
    table = None if finding.table is None else _table_record(finding.table)
    return {
        "check": finding.check, "ticker": finding.ticker, "about": finding.about, "mark": finding.mark,
        "sentence": finding.sentence, "figures": figures, "table": table,
    }  # fmt: skip


def _table_record(table: pd.DataFrame) -> dict[str, Any]:
    text: str = table.to_json(orient="split", date_format="iso", double_precision=12)
    return {"name": table.index.name, **json.loads(text)}


def _table(record: dict[str, Any]) -> pd.DataFrame:
    index = pd.Index(record["index"], name=record["name"])
    table = pd.DataFrame(record["data"], index, record["columns"])
    return table.assign(**{name: pd.to_datetime(table[name]) for name in _DATES if name in table})


def _from_record(record: dict[str, Any]) -> Finding:
    if record["check"] not in CHECKS:
        raise ValueError(f"there is no check {record['check']!r}")
    table = None if record["table"] is None else _table(record["table"])
    figures = {name: float(value) for name, value in record["figures"].items()}
    return Finding(
        record["check"], record["ticker"], record["about"], record["mark"], record["sentence"], figures, table
    )
