"""``sources.json`` in a dataset folder: which source filled what, when it was asked, how, and under which terms.

It is what a later fetch continues from, and what a reader of the data goes by. It holds no key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from llmrl_lib.market.providers.errors import SourceError
from llmrl_lib.market.providers.source import Part, Source, Wanted
from llmrl_lib.market.providers.writing import write_whole

FILE = "sources.json"
PER_SHARE = ("fundamentals",)  # tables with figures per share, which follow the splits of the ticker
_NOTE = "What llmrl data fetch filled this folder from. Later fetches continue from it."


@dataclass
class Ledger:
    """The record of a folder.

    ``files`` has for each file ``filled`` (part: source), ``held`` (source: from, through) and ``fetches``; bars have the
    ``splits`` that were told with them, fundamentals the splits that they are ``adjusted_for``.
    """

    folder: Path
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_new: bool = False  # there was none

    def owners(self, file: str) -> dict[str, str]:
        """Which source filled which column (or series, or the whole table) of a file."""
        return dict(self.files.get(file, {}).get("filled", {}))

    def held(self, file: str, source: str) -> tuple[pd.Timestamp, pd.Timestamp] | None:
        """The first and the last day that a source has been asked for."""
        span = self.files.get(file, {}).get("held", {}).get(source)
        return (pd.Timestamp(span["from"]), pd.Timestamp(span["through"])) if span else None

    def splits(self, ticker: str) -> dict[pd.Timestamp, float] | None:
        """The splits of a ticker as they were told with its bars; None where no source told any."""
        return _splits(self.files.get(f"bars/{ticker}.csv", {}).get("splits"))

    def adjusted_for(self, file: str) -> dict[pd.Timestamp, float] | None:
        """The splits that the per-share figures of a file were adjusted for; None where none were known."""
        return _splits(self.files.get(file, {}).get("adjusted_for"))

    def forget(self, file: str) -> None:
        """What was said of a file that is no longer there; how it was fetched stays on record."""
        if entry := self.files.get(file):
            self.files[file] = {"fetches": entry["fetches"]} if "fetches" in entry else {}

    def claim(self, file: str, parts: Mapping[str, str]) -> None:
        """Write down, before a table is replaced, which source fills which of its parts."""
        self.files.setdefault(file, {}).setdefault("filled", {}).update(parts)
        self.write()

    def record(self, wanted: Wanted, source: Source, part: Part, rows: int, now: datetime) -> None:
        """Write down what was fetched, after the table is in place."""
        entry = self.files.setdefault(wanted.file, {})
        before = self.held(wanted.file, source.name) or (wanted.start, wanted.end)
        first, last = min(wanted.start, before[0]), max(wanted.end, before[1])
        entry.setdefault("held", {})[source.name] = {"from": f"{first:%Y-%m-%d}", "through": f"{last:%Y-%m-%d}"}
        if part.splits is not None:
            entry["splits"] = _told(part.splits)
        if wanted.table in PER_SHARE:
            entry["adjusted_for"] = None if wanted.splits is None else _told(wanted.splits)
        fetch = {
            "source": source.name,
            "client": source.client,
            "query": dict(part.query),
            "retrieved": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "rows_in_file": rows,
            "terms": source.terms,
        }
        entry.setdefault("fetches", []).append(fetch)
        self.write()

    def withdraw(self) -> None:
        """Take back a record that was begun for tables of which none came."""
        if self.is_new and not any((self.folder / file).is_file() for file in self.files):
            (self.folder / FILE).unlink(missing_ok=True)

    def write(self) -> None:
        """Put the record on the disk, whole or not at all."""
        text = json.dumps({"note": _NOTE, "files": dict(sorted(self.files.items()))}, indent=1, ensure_ascii=False)
        write_whole(self.folder / FILE, f"{text}\n")


def _told(splits: Mapping[pd.Timestamp, float]) -> dict[str, float]:
    return {f"{day:%Y-%m-%d}": ratio for day, ratio in sorted(splits.items())}


def _splits(told: Mapping[str, float] | None) -> dict[pd.Timestamp, float] | None:
    return None if told is None else {pd.Timestamp(day): ratio for day, ratio in told.items()}


def read_ledger(folder: Path) -> Ledger:
    """The record of a folder, empty where there is none; SourceError when it is damaged."""
    path = folder / FILE
    if not path.is_file():
        return Ledger(folder, is_new=True)
    try:
        return Ledger(folder, dict(json.loads(path.read_text("utf-8"))["files"]))
    except (ValueError, KeyError, TypeError) as error:
        remedy = "restore it, or delete it and have the tables it names fetched anew into another folder"
        raise SourceError(f"{path} is damaged ({error}); {remedy}", fatal=True) from error
