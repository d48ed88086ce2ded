"""Keeps ``dataset.toml`` in step with what was fetched: makes it for a new folder, adds tickers to an old one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import tomlkit
from tomlkit.exceptions import TOMLKitError

from llmrl_lib.market.description import FILE, read_description
from llmrl_lib.market.providers.errors import SourceError
from llmrl_lib.market.providers.writing import write_whole
from llmrl_lib.market.tables import BARS

_TRAINING = 0.75  # share of the days that come before the split of a new folder


def refuse_bad_tickers(tickers: Sequence[str]) -> None:
    """Raises SourceError for a ticker that cannot be a file's name."""
    for ticker in tickers:
        if not re.fullmatch(r"[^\s/\\:*?\"<>|.][^\s/\\:*?\"<>|]*", ticker):
            raise SourceError(f"ticker {ticker!r} cannot name a file; use letters, digits, . - _", fatal=True)


def listed_tickers(folder: Path) -> tuple[str, ...]:
    """The tickers of the folder's ``dataset.toml``; none where there is no such file."""
    return read_description(folder).tickers if (folder / FILE).is_file() else ()


def refuse_bad_split(folder: Path, start: pd.Timestamp, end: pd.Timestamp, split: pd.Timestamp | None) -> None:
    """Raises SourceError for a first day of testing that leaves a new folder no day to train or to test on."""
    if split is None or (folder / FILE).is_file() or start < split <= end:
        return
    what = f"split {split:%Y-%m-%d}, the first day of testing, must lie after {start:%Y-%m-%d} and not after {end:%Y-%m-%d}"
    raise SourceError(f"{what}, the last day that is fetched", fatal=True)


def describe(
    folder: Path, tickers: Sequence[str], start: pd.Timestamp, end: pd.Timestamp, split: pd.Timestamp | None
) -> list[str]:
    """Write ``dataset.toml`` for those of ``tickers`` that have bars, or add them; what the user should know about it."""
    path = folder / FILE
    barred = {file.name.removesuffix(".gz").removesuffix(".csv") for file in (folder / BARS.name).glob("*.csv*")}
    if not path.is_file():
        if not (listed := [ticker for ticker in tickers if ticker in barred]):
            again = "; give --split again with them" if split is not None else ""
            return [f"{FILE} is not there yet: it is written with the first bars{again}"]
        write_whole(path, _new(folder.resolve().name, listed, start, end, split))
        return []
    about = read_description(folder)
    added = [ticker for ticker in tickers if ticker not in about.tickers and ticker in barred]
    notes = []
    if split is not None and split != about.split:
        what = f"testing begins on {about.split:%Y-%m-%d} as before, not on {split:%Y-%m-%d}"
        notes.append(f"{FILE}: {what}; move split under [benchmark] to change that")
    if added:
        write_whole(path, _with_tickers(path, added))
    if end >= about.end:
        what = f"testing ends before {about.end:%Y-%m-%d}"
        notes.append(f"{FILE}: {what}; move end under [benchmark] to use the days up to {end:%Y-%m-%d}")
    return notes


def _new(name: str, tickers: Sequence[str], start: pd.Timestamp, end: pd.Timestamp, split: pd.Timestamp | None) -> str:
    split = split or (start + (end - start) * _TRAINING).normalize()
    content = tomlkit.document()
    content.add(
        tomlkit.comment("Filled by llmrl data fetch; sources.json says from where, when and under which terms.")
    )
    content["name"] = name
    content["redistribution"] = "not without the leave of the sources: see the terms in sources.json"
    content["tickers"] = list(tickers)
    dates = {"train_start": start.date(), "split": split.date(), "end": (end + pd.Timedelta(days=1)).date()}
    content["benchmark"] = dates
    return tomlkit.dumps(content)


def _with_tickers(path: Path, added: Sequence[str]) -> str:
    try:
        content = tomlkit.parse(path.read_text("utf-8-sig"))
    except TOMLKitError as error:
        raise SourceError(f"{path} is not valid TOML ({error})", fatal=True) from error
    tickers = content["tickers"]
    if isinstance(tickers, dict):
        tickers = next(reversed(tickers.values()))
    tickers.extend(added)
    return tomlkit.dumps(content)
