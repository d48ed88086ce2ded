"""A dataset folder as an object: bars, indices, macro, fundamentals, earnings, news and options, each as it was known.

The folder's format is documented in ``book/dataset_format.md``. Tables are read and checked when first asked for and
kept; every call hands out its own frame, so that changing one changes nothing else.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from llmrl_lib.market.defects import DatasetError, Defect
from llmrl_lib.market.description import FILE, read_description
from llmrl_lib.market.doubts import folder_doubts, rows_after, span_doubts
from llmrl_lib.market.reading import Reading, read_table
from llmrl_lib.market.tables import BARS, TABLES, TRUTH

MINIMUM_ROWS = 31  # 30 in the first observation, one to trade
Slice = Literal["training", "test"]


def load_dataset(path: str | Path) -> "Dataset":
    """Open the dataset in folder ``path``: read ``dataset.toml`` and see that every ticker has bars.

    Raises DatasetError, naming file, line and remedy, for a missing or broken ``dataset.toml`` and for tickers without
    bars. The tables themselves are read and checked when first asked for; ``check_dataset`` looks at all of them.
    """
    dataset = open_dataset(path)
    missing = dataset.missing_bars()
    if missing:
        raise DatasetError(missing)
    return dataset


def open_dataset(path: str | Path) -> "Dataset":
    """Like ``load_dataset``, but tickers may lack bars."""
    folder = Path(path)
    about = read_description(folder)
    dates = (about.train_start, about.split, about.end)
    return Dataset(folder, about.name, about.title, about.tickers, *dates, about.closes_before_indices)


@dataclass(frozen=True)
class Dataset:
    """One dataset folder. Dates are trading days in the exchange's own calendar, without a time or a zone.

    Every method that takes a ticker raises DatasetError when the dataset has no such ticker, and every table raises
    DatasetError, with up to ten of its defects spelled out, when its file cannot be used.
    """

    path: Path
    name: str
    title: str
    tickers: tuple[str, ...]  # in the order of dataset.toml
    train_start: pd.Timestamp  # first day of training
    split: pd.Timestamp  # first day of testing
    end: pd.Timestamp  # first day after testing
    closes_before_indices: tuple[str, ...] = ()  # tickers at whose close the indices of the day are still open
    _readings: dict[tuple[str, str | None], Reading] = field(default_factory=dict, repr=False, compare=False)

    def bars(self, ticker: str) -> pd.DataFrame:
        """Daily bars by ``date``: open, high, low, close, volume (and raw_close where the file has it), float64.

        ``close`` is adjusted for splits and dividends, the other prices for splits only; volume in shares.
        """
        return self._table("bars", ticker)

    def train_bars(self, ticker: str) -> pd.DataFrame:
        """The bars with train_start <= date < split; DatasetError when there are fewer than ``MINIMUM_ROWS``."""
        return self._slice(ticker, "training")

    def test_bars(self, ticker: str) -> pd.DataFrame:
        """The bars with split <= date < end; DatasetError when there are fewer than ``MINIMUM_ROWS``."""
        return self._slice(ticker, "test")

    @property
    def indices(self) -> pd.DataFrame:
        """Daily levels by ``date``: spx_close, ndx_close, vix_close (points); dgs10, dgs2, t10y2y (percent a year).

        Yields are published the next business day.
        """
        return self._table("indices")

    def indices_known_to(self, ticker: str) -> pd.DataFrame:
        """`indices` by the date from whose close on each row is known to this ticker.

        Its own date, or the day after where the ticker's exchange closes before the indices'.
        """
        table = self.indices
        return table.set_axis(table.index + pd.Timedelta(days=1)) if ticker in self.closes_before_indices else table

    @property
    def macro(self) -> pd.DataFrame:
        """Macro-economic values: series, available_at, period (its first day), frequency, unit, value."""
        return self._table("macro")

    def fundamentals(self, ticker: str) -> pd.DataFrame:
        """Quarterly reports: available_at, period_end and the metrics listed in ``tables.METRICS``."""
        return self._table("fundamentals", ticker)

    def earnings(self, ticker: str) -> pd.DataFrame:
        """Announcements: available_at, period_end, reported_eps, estimated_eps, surprise, surprise_pct (percent)."""
        return self._table("earnings", ticker)

    def news(self, ticker: str) -> pd.DataFrame:
        """Headlines: available_at, headline, summary, source."""
        return self._table("news", ticker)

    def options(self, ticker: str) -> pd.DataFrame:
        """Daily option figures by ``date``, blank where the file has no such column.

        iv_30d and hv_30d: implied volatility over the next 30 days and historical volatility over the past 20 trading
        days (percent a year); skew_30d: implied volatility of puts less that of calls (percentage points).
        """
        return self._table("options", ticker)

    @property
    def truth(self) -> pd.DataFrame:
        """HINDSIGHT, of invented markets only: what drove each ticker, and what could be forecast, by ``date``.

        Columns: ticker, state, latent, best and the categories; see ``market.synthetic.truth``. For hindsight, experiments,
        notebooks and tests; never for features or prompts. Raises DatasetError when the dataset has no truth.csv.
        """
        reading = read_table(self.path, TRUTH)
        self._needs_truth(reading.file, "truth.csv")
        if reading.refused:
            raise DatasetError(reading.refused)
        return reading.frame

    @property
    def truth_ic(self) -> pd.DataFrame:
        """HINDSIGHT: information coefficients by ticker and forecaster, with mean and sd of the 20-day return."""
        file = self.path / "truth_ic.csv"
        self._needs_truth(file.name if file.is_file() else "", file.name)
        return pd.read_csv(file)

    @property
    def has_truth(self) -> bool:
        """Whether this is an invented market that came with its truth."""
        return all((self.path / name).is_file() for name in ("truth.csv", "truth_ic.csv"))

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What was tolerated in all tables, one record per file and kind. Reads every table.

        Raises DatasetError when a table holds something that is not tolerated.
        """
        readings = [self.read(table, ticker) for table, ticker in self.places()]
        refused = [defect for reading in readings for defect in reading.refused]
        if refused:
            raise DatasetError(refused)
        return tuple(defect for reading in readings for defect in reading.defects) + self.unlisted() + self.doubts()

    def defects_of(self, ticker: str) -> tuple[Defect, ...]:
        """What was tolerated in a ticker's tables and those about the whole market; reads no other ticker's.

        Raises DatasetError when one of them holds something that is not tolerated.
        """
        readings = [self.read(table, name) for table, name in self.places(ticker)]
        refused = [defect for reading in readings for defect in reading.refused]
        if refused:
            raise DatasetError(refused)
        return tuple(defect for reading in readings for defect in reading.defects) + self.doubts(ticker)

    def coverage(self, ticker: str | None = None) -> pd.DataFrame:
        """What there is and what is lacking: a row per table and ticker, absent tables included. Reads all of them.

        With a ticker, only its tables and those about the whole market are read and told.

        Columns: table, ticker (blank for tables about the whole market), file (blank if absent), first, last (dates
        in the table's first date column), rows, missing: the share of blank cells among the figures and headlines in the
        columns that the file has (columns that it lacks, and notes such as a headline's summary, do not count).
        """
        rows = []
        for table, owner in self.places(ticker):
            reading = self.read(table, owner)
            frame = reading.frame.reset_index() if TABLES[table].is_daily else reading.frame
            dates, values = frame[TABLES[table].dates[0]], reading.cells(TABLES[table])
            missing = float(values.isna().to_numpy().mean()) if values.size else float("nan")
            rows.append((table, owner or "", reading.file, dates.min(), dates.max(), len(frame), missing))
        frame = pd.DataFrame(rows, columns=["table", "ticker", "file", "first", "last", "rows", "missing"])
        return frame.astype({"first": "datetime64[us]", "last": "datetime64[us]"})

    def content_hash(self, ticker: str | None = None) -> str:
        """SHA-256 (hex) over names and bytes of dataset.toml and all tables, in the order of their names.

        With a ticker: over the dates of the splits, that ticker's tables and those about the whole market, so that a
        change of another ticker's files leaves it as it is. The same on every machine. Other files in the folder, such
        as a README or the truth, do not count.
        """
        digest = hashlib.sha256()
        if ticker is not None:
            digest.update(f"{self.train_start} {self.split} {self.end}\0".encode())
        files = {file.relative_to(self.path).as_posix(): file for file in self.files(ticker)}
        if ticker is not None:
            del files[FILE]
        for name in sorted(files):
            content = files[name].read_bytes()
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()

    def files(self, ticker: str | None = None) -> list[Path]:
        """dataset.toml and the files of all tables; with a ticker, of that ticker's and those about the whole market."""
        alone = {table.name for table in TABLES.values() if not table.per_ticker}
        found = [file for file in _csv_files(self.path) if _stem(file) in alone]
        for table in (one for one in TABLES.values() if one.per_ticker):
            own = _csv_files(self.path / table.name)
            found += own if ticker is None else [file for file in own if _stem(file) == ticker]
        return [self.path / FILE, *found]

    def read(self, table: str, ticker: str | None = None) -> Reading:
        """A table with all its defects; never raises for bad content. For checks; other callers use the methods."""
        if (table, ticker) not in self._readings:
            self._readings[table, ticker] = read_table(self.path, TABLES[table], ticker)
        return self._readings[table, ticker]

    def places(self, only: str | None = None) -> Iterator[tuple[str, str | None]]:
        """Every table and ticker (or `only` one) that the dataset can hold; None for tables about the whole market."""
        tickers = self.tickers if only is None else (only,)
        for table in TABLES.values():
            yield from ((table.name, ticker) for ticker in (tickers if table.per_ticker else (None,)))

    def missing_bars(self) -> tuple[Defect, ...]:
        """The tickers named in dataset.toml that have no file of bars."""
        have = {_stem(file) for file in _csv_files(self.path / BARS.name)}
        remedy = f"add the file or take the ticker out of {FILE}"
        is_folder = {name for name in self.tickers if (self.path / BARS.name / f"{name}.csv").is_dir()}
        return tuple(
            Defect(
                f"bars/{ticker}.csv",
                None,
                "missing file",
                f"{'this is a folder' if ticker in is_folder else 'no such file'}, but {FILE} names {ticker}",
                remedy,
            )
            for ticker in self.tickers
            if ticker not in have
        )

    def sound_tickers(self) -> tuple[str, ...]:
        """The tickers whose own tables can all be read, in the order of ``tickers``: reads them."""
        lacking = {defect.file for defect in self.missing_bars()}
        return tuple(
            ticker
            for ticker in self.tickers
            if f"bars/{ticker}.csv" not in lacking
            and not any(self.read(table, own).refused for table, own in self.places(ticker) if own == ticker)
        )

    def unlisted(self) -> tuple[Defect, ...]:
        """Files of tickers that dataset.toml does not name; they are ignored."""
        files = [file for table in TABLES.values() if table.per_ticker for file in _csv_files(self.path / table.name)]
        return tuple(
            Defect(name, None, "unlisted ticker", f"{FILE} does not name it", "it is ignored", True)
            for file in files
            if _stem(file) not in self.tickers
            for name in [file.relative_to(self.path).as_posix()]
        )

    def doubts(self, only: str | None = None) -> tuple[Defect, ...]:
        """What looks wrong only beside the bars, the dates of dataset.toml or the rest of the folder; all tolerated.

        With a ticker: what concerns its own tables.
        """
        found, ends = [], []
        for ticker in self.tickers if only is None else (only,):
            bars = self.read("bars", ticker)
            if bars.refused or not len(bars.frame):
                continue
            found += span_doubts(bars.frame, bars.lines, bars.file, self.train_start, self.end)
            ends.append(bars.frame.index[-1])
            for table in (one for one in TABLES.values() if one.per_ticker and "available_at" in one.dates):
                one = self.read(table.name, ticker)
                found += rows_after(one.frame, one.lines, one.file, ends[-1])
        if only is None:
            macro = self.read("macro")
            found += rows_after(macro.frame, macro.lines, macro.file, max(ends)) if ends else []
            found += folder_doubts(self.path)
        return tuple(found)

    def short_slice(self, ticker: str, part: Slice) -> Defect | None:
        """The defect of a training or test slice with too few rows to trade, if it is one."""
        first, last = (self.train_start, self.split) if part == "training" else (self.split, self.end)
        reading = self.read("bars", ticker)
        rows = int(((reading.frame.index >= first) & (reading.frame.index < last)).sum())
        if rows >= MINIMUM_ROWS:
            return None
        what = f"the {part} slice, {first:%Y-%m-%d} to before {last:%Y-%m-%d}, has {rows} row{'s' * (rows != 1)}"
        needed = f"at least {MINIMUM_ROWS} are needed (30 for the first observation, one to trade)"
        remedy = f"bring more bars, move the dates under [benchmark] in {FILE} or leave the ticker out"
        return Defect(reading.file, None, "too few rows", f"{what}, {needed}", remedy)

    def _needs_truth(self, found: str, file: str) -> None:
        if not found:
            remedy = "only invented markets have one: llmrl data synthesise writes it"
            raise DatasetError([Defect(file, None, "missing file", f"not found in {self.path.as_posix()}", remedy)])

    def _slice(self, ticker: str, part: Slice) -> pd.DataFrame:
        bars = self.bars(ticker)
        if short := self.short_slice(ticker, part):
            raise DatasetError([short])
        first, last = (self.train_start, self.split) if part == "training" else (self.split, self.end)
        return bars[(bars.index >= first) & (bars.index < last)]

    def _table(self, table: str, ticker: str | None = None) -> pd.DataFrame:
        if TABLES[table].per_ticker and ticker not in self.tickers:
            remedy = f"the tickers of {self.name} are {', '.join(self.tickers)}"
            raise DatasetError([Defect(FILE, None, "unknown ticker", f"no ticker {ticker!r}", remedy)])
        reading = self.read(table, ticker)
        if reading.refused:
            raise DatasetError(reading.refused)
        return reading.frame.copy(deep=False)  # pandas copies on write


def _csv_files(folder: Path) -> list[Path]:
    return sorted(file for pattern in ("*.csv", "*.csv.gz") for file in folder.glob(pattern) if file.is_file())


def _stem(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".csv")
