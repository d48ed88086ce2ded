"""Reads ``dataset.toml``: the name of a dataset, its tickers and the dates that part training from testing."""

import datetime
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from llmrl_lib.market.defects import DatasetError, Defect

FILE = "dataset.toml"
_BENCHMARK_KEYS = ("train_start", "split", "end")


@dataclass(frozen=True)
class Description:
    """What ``dataset.toml`` says."""

    name: str
    title: str
    tickers: tuple[str, ...]
    train_start: pd.Timestamp
    split: pd.Timestamp
    end: pd.Timestamp
    closes_before_indices: tuple[str, ...]


def read_description(folder: Path) -> Description:
    """Read ``folder/dataset.toml``.

    Raises DatasetError naming every key that is missing or wrong, with its line.
    """
    if folder.is_file():
        remedy = f"give the folder that holds {FILE} and bars/"
        raise _error(folder.as_posix(), None, "missing folder", "this is a file", remedy)
    if not folder.is_dir():
        raise _error(folder.as_posix(), None, "missing folder", "no such folder", "give the folder of a dataset")
    path = folder / FILE
    if not path.is_file():
        remedy = f"a dataset is a folder with {FILE} and bars/; add the file or give another folder"
        raise _error(FILE, None, "missing file", f"not found in {folder.as_posix()}", remedy)
    text, content = _parsed(path.read_bytes())
    wrong: list[Defect] = []
    benchmark = _section(content, "benchmark", text, wrong)
    for key in sorted(set(benchmark) - set(_BENCHMARK_KEYS)):
        known = ", ".join(_BENCHMARK_KEYS)
        wrong.append(_defect(text, key, f"[benchmark] {key} is not a known key", f"the keys there are {known}"))
    early = _early_closers(content, text, wrong)
    name = _string(content, "name", None, text, wrong)
    title = _string(content, "title", name, text, wrong)
    tickers = _tickers(content, text, wrong)
    first, last = _date(content, "first_date", text, wrong), _date(content, "last_date", text, wrong)
    train_start = _date(benchmark, "train_start", text, wrong) or first
    split = _date(benchmark, "split", text, wrong)
    end = _date(benchmark, "end", text, wrong) or (None if last is None else last + pd.Timedelta(days=1))
    wrong += _missing_dates(text, set(content) | set(benchmark))
    if train_start is not None and split is not None and end is not None:
        wrong += _split_defects(text, train_start, split, end, first, last)
    if wrong or train_start is None or split is None or end is None:
        raise DatasetError(wrong)
    return Description(name, title, tickers, train_start, split, end, early)


def _parsed(data: bytes) -> tuple[str, dict[str, Any]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
        raise _error(FILE, line, "encoding", what, "save the file with UTF-8 encoding") from error
    try:
        return text, tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        line_number = int(found[1]) if found else len(text.splitlines())
        raise _error(FILE, line_number, "toml", f"not valid TOML ({error})", "see https://toml.io") from error


def _section(content: Mapping[str, Any], key: str, text: str, wrong: list[Defect]) -> Mapping[str, Any]:
    section = content.get(key, {})
    if isinstance(section, dict):
        return section
    wrong.append(_defect(text, key, f"{key} is not a section", f"write a section [{key}]"))
    return {}


def _string(content: Mapping[str, Any], key: str, default: str | None, text: str, wrong: list[Defect]) -> str:
    value = content.get(key, default)
    if isinstance(value, str) and value:
        return value
    if key in content:
        wrong.append(_defect(text, key, f"{key} {value!r} is not a text", f'write {key} = "..."'))
    elif default is None:
        wrong.append(_defect(text, key, f"{key} is missing", f'add {key} = "..." at the top'))
    return default or ""


def _tickers(content: Mapping[str, Any], text: str, wrong: list[Defect]) -> tuple[str, ...]:
    """All tickers in the order of the file, be they one list or a section of named lists."""
    example = 'write tickers = ["AAA", "BBB"] at the top, or a section [tickers] of such lists'
    value = content.get("tickers")
    groups: list[Any] = list(value.values()) if isinstance(value, dict) else [value]
    if not all(isinstance(group, list) for group in groups):
        wrong.append(_defect(text, "tickers", "no list of tickers", example))
        return ()
    tickers = [ticker for group in groups for ticker in group]
    if not tickers:
        wrong.append(_defect(text, "tickers", "the list of tickers is empty", example))
    for ticker in tickers:
        if not isinstance(ticker, str) or not ticker.strip():
            wrong.append(_defect(text, "tickers", f"ticker {ticker!r} is not a text", f'write "{ticker}" in quotes'))
        elif re.search(r'[/\\:*?"<>|\s]', ticker) or ticker.startswith("."):
            wrong.append(
                _defect(text, "tickers", f"ticker {ticker!r} cannot name a file", "use letters, digits, . - _")
            )
    names = [ticker for ticker in tickers if isinstance(ticker, str)]
    for ticker in sorted({name for name in names if names.count(name) > 1}):
        wrong.append(_defect(text, "tickers", f"ticker {ticker!r} stands twice", "name each ticker once"))
    return tuple(names)


def _early_closers(content: Mapping[str, Any], text: str, wrong: list[Defect]) -> tuple[str, ...]:
    """Tickers whose exchange closes before the indices' does; without the key, those with an exchange's suffix: SIE.DE."""
    value, listed = content.get("closes_before_indices"), _tickers(content, text, [])
    if value is None:
        return tuple(ticker for ticker in listed if re.search(r"\.[A-Z]{1,3}$", ticker))
    unknown = [ticker for ticker in value if ticker not in listed] if isinstance(value, list) else [value]
    if unknown:
        what = f"closes_before_indices: {unknown[0]!r} is no ticker of this dataset"
        remedy = 'write a list of tickers, such as ["0700.HK"], or [] for none'
        wrong.append(_defect(text, "closes_before_indices", what, remedy))
        return ()
    return tuple(value)


def _date(section: Mapping[str, Any], key: str, text: str, wrong: list[Defect]) -> pd.Timestamp | None:
    value = section.get(key)
    if value is None:
        return None
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return pd.Timestamp(value).as_unit("us")
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        try:
            return pd.Timestamp(datetime.date.fromisoformat(value)).as_unit("us")
        except ValueError:
            pass  # such as 2018-02-30: reported below
    wrong.append(_defect(text, key, f"{key} {value!s} is not a date", f"write {key} = 2018-01-01"))
    return None


def _missing_dates(text: str, given: set[str]) -> list[Defect]:
    wrong = []
    if "split" not in given:
        what = "split is missing: where does training end and testing begin?"
        wrong.append(_missing(text, what, "add split = 2018-01-01 (your date) under [benchmark]"))
    if not {"train_start", "first_date"} & given:
        what = "neither train_start nor first_date"
        wrong.append(_missing(text, what, "add train_start = 2012-01-01 (your date) under [benchmark]"))
    if not {"end", "last_date"} & given:
        what = "neither end nor last_date"
        wrong.append(_missing(text, what, "add end = 2020-01-01 (your date, itself excluded) under [benchmark]"))
    return wrong


def _missing(text: str, what: str, remedy: str) -> Defect:
    """A key that [benchmark] lacks: on the line of that section, or after the last line where there is none."""
    found = _defect(text, "benchmark", what, remedy)
    return found if found.line is not None else replace(found, line=len(text.splitlines()) + 1)


def _split_defects(
    text: str,
    train_start: pd.Timestamp,
    split: pd.Timestamp,
    end: pd.Timestamp,
    first: pd.Timestamp | None,
    last: pd.Timestamp | None,
) -> list[Defect]:
    if not train_start < split < end:
        what = f"split {split:%Y-%m-%d} does not lie between {train_start:%Y-%m-%d} and {end:%Y-%m-%d}"
        return [_defect(text, "split", what, "train_start < split < end, or correct first_date and last_date")]
    if (first is not None and split <= first) or (last is not None and split > last):
        what = f"split {split:%Y-%m-%d} lies outside the dates of the data"
        return [_defect(text, "split", what, "first_date < split <= last_date")]
    return []


def _defect(text: str, key: str, what: str, remedy: str) -> Defect:
    """A defect on the line where ``key`` is set or its section begins; without one, of the file as a whole."""
    pattern = re.compile(rf"\s*(\[?)\s*{re.escape(key)}\s*(=|\])")
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if pattern.match(line)]
    return Defect(FILE, lines[0] if lines else None, "description", what, remedy)


def _error(file: str, line: int | None, kind: str, what: str, remedy: str) -> DatasetError:
    return DatasetError([Defect(file, line, kind, what, remedy)])
