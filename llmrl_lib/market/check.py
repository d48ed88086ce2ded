"""Looks at everything in a dataset folder and reports it as tables: what there is, what is wrong, what is tolerated."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd

from llmrl_lib.market.dataset import Slice, open_dataset
from llmrl_lib.market.defects import DatasetError, Defect


@dataclass(frozen=True)
class DatasetCheck:
    """The outcome of ``check_dataset``."""

    ok: bool  # nothing that would be refused
    coverage: pd.DataFrame  # as Dataset.coverage(); without rows when dataset.toml cannot be read
    defects: pd.DataFrame  # a row per file and kind: severity, file, kind, count, line (the first), what, remedy


def check_dataset(path: str | Path) -> DatasetCheck:
    """Read every table of the dataset in folder ``path`` and collect all defects.

    Never raises for what is in the folder: a broken dataset is an outcome, with ``ok`` False.
    """
    try:
        dataset = open_dataset(path)
    except DatasetError as error:
        return DatasetCheck(False, _no_coverage(), _defect_frame(error.defects))
    defects = [defect for table, ticker in dataset.places() for defect in dataset.read(table, ticker).defects]
    missing = dataset.missing_bars()
    defects += [*missing, *dataset.unlisted(), *dataset.doubts()]
    without_bars = {defect.file for defect in missing}
    for ticker in dataset.tickers:
        if f"bars/{ticker}.csv" not in without_bars and not dataset.read("bars", ticker).refused:
            defects += [short for part in get_args(Slice) if (short := dataset.short_slice(ticker, part))]
    frame = _defect_frame(defects)
    return DatasetCheck(bool((frame["severity"] != "refused").all()), dataset.coverage(), frame)


def _defect_frame(defects: Iterable[Defect]) -> pd.DataFrame:
    """A row per severity, file and kind, refused ones first; ``line``, ``what`` and ``remedy`` are the first one's."""
    columns = ["severity", "file", "kind", "count", "line", "what", "remedy"]
    rows = [
        ("tolerated" if one.tolerated else "refused", one.file, one.kind, one.count, one.line, one.what, one.remedy)
        for one in defects
    ]
    frame = pd.DataFrame(rows, columns=columns).astype({"count": "int64", "line": "Int64"})
    first = {"line": "first", "what": "first", "remedy": "first"}
    keys = ["severity", "file", "kind"]
    grouped = frame.groupby(keys, sort=False, as_index=False).agg({"count": "sum", **first})
    return grouped.sort_values("severity", kind="stable", ignore_index=True)[columns]


def _no_coverage() -> pd.DataFrame:
    return pd.DataFrame(columns=["table", "ticker", "file", "first", "last", "rows", "missing"])
