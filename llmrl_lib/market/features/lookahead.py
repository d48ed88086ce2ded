"""Shows that features use nothing later: they are computed again on a dataset from which all of the future is gone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import pandas as pd

from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.dates import day_of, days_of
from llmrl_lib.market.defects import DatasetError, Defect
from llmrl_lib.market.features.macro import yields_usable
from llmrl_lib.market.features.records import Features, FeatureTable
from llmrl_lib.market.features.table import feature_table
from llmrl_lib.market.reading import Reading
from llmrl_lib.market.tables import TABLES

YIELDS = ("dgs10", "dgs2", "t10y2y")


def truncated(dataset: Dataset, date: str | pd.Timestamp, ticker: str | None = None) -> Dataset:
    """The dataset as it could be used at the close of ``date``: the same object to every reader, without the future.

    Bars, indices and options end on the date, indices the day before if they close after ``ticker`` does. Yields that
    were published later are blank, and of the other tables every
    row with ``available_at`` on or after the date is gone, since such a row counts from the next trading day on. An invented
    market's truth is hindsight and is not handed out at all. The description, the folder and its hash are those of the
    whole dataset.
    """
    own = {entry.name: getattr(dataset, entry.name) for entry in fields(Dataset) if entry.name != "_readings"}
    return _Truncated(**own, whole=dataset, last=day_of(date), early=ticker in dataset.closes_before_indices)


@dataclass(frozen=True)
class _Truncated(Dataset):
    whole: Dataset = field(kw_only=True, repr=False)
    last: pd.Timestamp = field(kw_only=True)
    early: bool = field(kw_only=True)  # the close in question lies before that of the indices

    def read(self, table: str, ticker: str | None = None) -> Reading:
        if (table, ticker) not in self._readings:
            reading = self.whole.read(table, ticker)
            late = pd.Timedelta(days=int(table == "indices" and self.early))
            self._readings[table, ticker] = replace(reading, frame=_cut(reading.frame, table, self.last, late))
        return self._readings[table, ticker]

    @property
    def has_truth(self) -> bool:
        return False

    def _needs_truth(self, found: str, file: str) -> None:  # noqa: ARG002 (it is not handed out, found or not)
        remedy = "it is hindsight: a feature that needs it knows the future"
        raise DatasetError([Defect(file, None, "hindsight", f"not handed out as of {self.last:%Y-%m-%d}", remedy)])


def check_no_lookahead(
    dataset: Dataset,
    ticker: str,
    dates: Iterable[str | pd.Timestamp],
    table: Callable[[Dataset, str, Sequence[pd.Timestamp]], FeatureTable] = feature_table,
) -> pd.DataFrame:
    """Compare the features on ``dates`` with those from the dataset ``truncated`` after each of them.

    A row per date and field, and one per date for the text of the news: date, field, whole and truncated (the two values; for
    news the number of headlines), same (value and the date it became known are equal, or both not available). A method
    without look-ahead has ``same`` everywhere. ``table`` is the method to check. Raises ValueError for a single date in the
    place of a list, and for a date without a bar.
    """
    days = days_of(dates)
    whole = table(dataset, ticker, days)
    found = [_compared(whole.row(day), table(truncated(dataset, day, ticker), ticker, [day]).row(day)) for day in days]
    columns = ["date", "field", "whole", "truncated", "same"]
    if not found:
        return pd.DataFrame({name: [] for name in columns})
    return pd.concat(found, ignore_index=True)[columns]


class LookAheadError(Exception):
    """A feature changes when later rows of the dataset are deleted: it knew the future."""


def no_lookahead(report: pd.DataFrame) -> str:
    """What ``check_no_lookahead`` found, as a sentence with its counts, over four lines.

    Raises LookAheadError naming the first fields and dates that changed; ValueError for a check of no dates.
    """
    if not len(report):
        raise ValueError("nothing was compared; check one date or more")
    wrong = report[~report["same"]]
    if len(wrong):
        places = [
            f"{one.field} on {one.date:%Y-%m-%d} ({one.whole:g} became {one.truncated:g})" for one in wrong.itertuples()
        ]
        more = f" and {len(places) - 5} more" if len(places) > 5 else ""
        raise LookAheadError(f"{len(wrong)} of {len(report)} values knew the future: {', '.join(places[:5])}{more}")
    dates, fields = report["date"].nunique(), report["field"].nunique() - 1
    available = int((report["field"].ne("news") & report["whole"].notna()).sum())
    span = f"from {report['date'].min():%Y-%m-%d} to {report['date'].max():%Y-%m-%d}"
    return (
        f"{dates} dates {span},\n{fields} fields and the headlines on each:\n"
        f"{len(report)} comparisons, {available} of them of available values;\n"
        "none changed when everything later was deleted."
    )


def _compared(whole: Features, cut: Features) -> pd.DataFrame:
    pairs = list(zip(whole.fields, cut.fields, strict=True))
    rows = [(one.name, one.value, other.value, one == other) for one, other in pairs]
    rows.append(("news", float(len(whole.news)), float(len(cut.news)), whole.news == cut.news))
    frame = pd.DataFrame(rows, columns=["field", "whole", "truncated", "same"])
    frame = frame.astype({"whole": "float64", "truncated": "float64"})
    return frame.assign(date=whole.date)


def _cut(frame: pd.DataFrame, table: str, last: pd.Timestamp, late: pd.Timedelta) -> pd.DataFrame:
    """The rows usable at the close of ``last``; daily ones are known ``late`` after their own date."""
    if not TABLES[table].is_daily:
        return frame[frame["available_at"] < last].reset_index(drop=True)
    kept = frame[frame.index <= last - late]
    if table != "indices":
        return kept
    unpublished = yields_usable(kept.index.to_numpy("datetime64[us]") + late.to_timedelta64()) > np.datetime64(
        last, "us"
    )
    return kept.assign(**{name: kept[name].mask(unpublished) for name in YIELDS})
