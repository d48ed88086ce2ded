"""The tables of a dataset folder: their columns, which cells may be blank and what identifies a row.

``book/dataset_format.md`` says the same in prose. Adding a column or a table to the format starts here.
"""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Table:
    """The form of one table; column names in the order in which a frame shows them."""

    name: str  # folder (one file per ticker) or file stem
    per_ticker: bool
    dates: tuple[str, ...]  # never blank; the first one orders the rows
    numbers: tuple[str, ...]
    texts: tuple[str, ...] = ()
    required: tuple[str, ...] = ()  # columns the file must have, beyond the dates; others may be absent
    filled: tuple[str, ...] = ()  # columns in which no cell may be blank, beyond the dates
    positive: tuple[str, ...] = ()  # numbers that must be above zero where present
    optional_rows: bool = True  # a header without rows is fine
    key: tuple[str, ...] = ()  # no two rows share these
    group: str | None = None  # rows are ordered within each value of this column
    hidden: tuple[str, ...] = ()  # shown in the frame only when the file has them

    @property
    def is_daily(self) -> bool:
        """Whether rows are trading days, so that the frame is indexed by ``date``."""
        return self.dates == ("date",)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the format."""
        leading = (self.group,) if self.group else ()
        return tuple(dict.fromkeys((*leading, *self.dates, *self.texts, *self.numbers)))

    @property
    def counted(self) -> tuple[str, ...]:
        """The columns whose blank cells count as missing: figures, and texts that must be there; notes do not count."""
        return tuple(name for name in self.columns if name in self.numbers or name in self.filled)

    def empty(self) -> pd.DataFrame:
        """A frame without rows, with the right columns, types and index."""
        frame = pd.DataFrame(
            {name: pd.Series(dtype=self.dtype(name)) for name in self.columns if name not in self.hidden}
        )
        return frame.set_index("date") if self.is_daily else frame

    def dtype(self, column: str) -> str:
        """The pandas type of a column."""
        if column in self.dates:
            return "datetime64[us]"
        return "float64" if column in self.numbers else "str"


PRICES = ("open", "high", "low", "close")
METRICS = (
    "revenue",
    "net_income",
    "reported_eps",
    "ebitda",
    "assets",
    "liabilities",
    "equity",
    "current_ratio",
    "quick_ratio",
    "lt_debt_to_equity",
    "liabilities_to_equity",
    "gross_margin",
    "operating_margin",
    "net_margin",
    "interest_coverage",
    "roe_ttm",
    "roa_ttm",
    "revenue_yoy",
    "net_income_yoy",
)

BARS = Table(
    name="bars",
    per_ticker=True,
    dates=("date",),
    numbers=(*PRICES, "volume", "raw_close"),
    required=(*PRICES, "volume"),
    filled=PRICES,
    positive=(*PRICES, "raw_close"),
    optional_rows=False,
    key=("date",),
    hidden=("raw_close",),
)
INDICES = Table(
    name="indices",
    per_ticker=False,
    dates=("date",),
    numbers=("spx_close", "ndx_close", "vix_close", "dgs10", "dgs2", "t10y2y"),
    positive=("spx_close", "ndx_close", "vix_close"),
    key=("date",),
)
MACRO = Table(
    name="macro",
    per_ticker=False,
    dates=("available_at", "period"),
    numbers=("value",),
    texts=("series", "frequency", "unit"),
    required=("series", "value"),
    filled=("series", "value"),
    key=("series", "period", "available_at"),
    group="series",
)
FUNDAMENTALS = Table(
    name="fundamentals",
    per_ticker=True,
    dates=("available_at", "period_end"),
    numbers=METRICS,
    key=("available_at", "period_end"),
)
EARNINGS = Table(
    name="earnings",
    per_ticker=True,
    dates=("available_at", "period_end"),
    numbers=("reported_eps", "estimated_eps", "surprise", "surprise_pct"),
    key=("available_at", "period_end"),
)
NEWS = Table(
    name="news",
    per_ticker=True,
    dates=("available_at",),
    numbers=(),
    texts=("headline", "summary", "source"),
    required=("headline",),
    filled=("headline",),
)
OPTIONS = Table(
    name="options",
    per_ticker=True,
    dates=("date",),
    numbers=("iv_30d", "hv_30d", "skew_30d"),
    positive=("iv_30d",),
    key=("date",),
)
TABLES = {table.name: table for table in (BARS, INDICES, MACRO, FUNDAMENTALS, EARNINGS, NEWS, OPTIONS)}

# hindsight of an invented market, beside its tables and none of them: Dataset.truth hands it out
TRUTH = Table(
    name="truth",
    per_ticker=False,
    dates=("date",),
    numbers=("state", "latent", "best", "prices", "options", "macro", "fundamentals", "earnings", "news"),
    required=("ticker", "state"),
    filled=("ticker", "state"),
    key=("ticker", "date"),
    group="ticker",
)
HINDSIGHT_FILES = ("truth.csv", "truth_ic.csv")
