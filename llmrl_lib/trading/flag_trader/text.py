"""What the policy reads: the task, the market as it was known at the previous close, the account in a few words.

The account stands at the end and in coarse words, so that a day has few texts (`account_words`), and all of them begin alike:
a causal model's activations for the beginning hold for every one of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from llmrl_lib.language.chat import Message
from llmrl_lib.market.features.catalogue import FIELDS
from llmrl_lib.market.features.columns import before, windows
from llmrl_lib.market.features.prices import historical_volatility, scaled_prices
from llmrl_lib.market.features.technical import technical_fields
from llmrl_lib.settings import FlagTraderSettings, Quirks, SettingsError
from llmrl_lib.trading.accounting import Account
from llmrl_lib.trading.observation import guidance_at
from llmrl_lib.trading.problem import checked

TASK = (
    "You trade one share. Each day you sell (all shares become cash), hold, or buy (all cash becomes shares). "
    "A trade costs a fraction of its value. Answer with one legal action."
)
TASK_SHORT = TASK.replace("sell (all shares become cash)", "sell (go short)")
NOT_AVAILABLE = "n/a"


class Told(NamedTuple):
    """What is told beside prices, by date; the value of a date was known at the previous close."""

    guidance: pd.Series | None = None  # in [-1, 1], for every trading day
    notes: pd.Series | None = None  # lines of text; shown on their own day alone; blank or absent: none


NOTHING = Told()


class Market(NamedTuple):
    """One split as the policy meets it."""

    closes: np.ndarray  # float64 (row,), what trades are executed and valued at
    dates: pd.DatetimeIndex
    first_row: int  # first tradable row
    texts: tuple[str, ...]  # (row,): the market at each row, known at the close before; blank below first_row
    numbers: np.ndarray  # float64 (row, field): the figures that the texts show, NaN where not available

    @property
    def rows(self) -> int:
        return len(self.closes)


def markets(
    train: pd.DataFrame, test: pd.DataFrame, settings: FlagTraderSettings, told: Told = NOTHING
) -> tuple[Market, Market]:
    """Both splits with their texts. Test days see training days as their past; no row sees itself or a later one.

    Raises ValueError for unusable bars, guidance or notes, and for test bars that do not begin after the training bars.
    """
    first = settings.first_row
    for bars, name in ((train, "training"), (test, "test")):
        checked(bars, name, first, Quirks())
    if test.index[0] <= train.index[-1]:
        raise ValueError(
            f"the test bars begin on {test.index[0]:%Y-%m-%d} and the training bars end on {train.index[-1]:%Y-%m-%d}, not "
            f"before; an agent must not be judged on days that it was trained on"
        )
    joined = pd.concat([train, test])
    if told.notes is not None:
        _check_notes(told.notes, joined.index)
    numbers = shown_numbers(joined, settings)
    found = []
    newest = max(first, len(train) - settings.train_days) if settings.train_days else first
    for bars, offset, begin in ((train, 0, newest), (test, len(train), first)):
        own = numbers[offset : offset + len(bars)]
        guidance = None if told.guidance is None else guidance_at(bars, told.guidance)
        notes = _notes_at(bars, told.notes)
        texts = tuple(
            _market_text(own[row], settings, None if guidance is None else guidance[row], notes[row])
            if row >= begin
            else ""
            for row in range(len(bars))
        )
        closes = bars["close"].to_numpy(np.float64)
        if guidance is not None:
            own = np.column_stack([own, guidance])
        found.append(Market(closes, pd.DatetimeIndex(bars.index), begin, texts, own))
    return found[0], found[1]


def shown_numbers(bars: pd.DataFrame, settings: FlagTraderSettings) -> np.ndarray:
    """The figures of `settings.fields` known at the close BEFORE each row: (row, field), in the features' own units."""
    names = field_names(settings)
    prices = scaled_prices(bars)
    columns = {name: column.values for name, column in technical_fields(prices).items()}
    for week in range(1, 5):
        columns[f"return_week_{week}"] = 100.0 * (
            before(prices.close, 5 * week - 5) / before(prices.close, 5 * week) - 1.0
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        columns["volume_relative"] = 100.0 * (prices.volume / windows(prices.volume, 20).mean(axis=0) - 1.0)
        columns["hv_20d"] = historical_volatility(prices)
    unknown = [name for name in names if name not in columns]
    if unknown:
        raise SettingsError(f"fields names {unknown[0]!r}; of bars alone there are {', '.join(sorted(columns))}")
    known = np.column_stack([columns[name] for name in names])
    known[~np.isfinite(known)] = np.nan
    return np.concatenate([np.full((1, len(names)), np.nan), known[:-1]])


def field_names(settings: FlagTraderSettings) -> list[str]:
    """The fields that the text shows, in order."""
    return settings.fields.split()


def messages(market_text: str, word: str, settings: FlagTraderSettings) -> list[Message]:
    """The whole question: task, market, account."""
    task = TASK_SHORT if settings.sell == "short" else TASK
    return [Message("system", task), Message("user", f"{market_text}\n{word}\naction:")]


def account_words(settings: FlagTraderSettings) -> tuple[str, ...]:
    """The account's states in words; `account_state` says which one an account is in."""
    aside = "sell, hold, buy" if settings.sell == "short" else "hold, buy"
    words = [
        f"cash all, shares none, last trade none\nlegal: {aside}",
        f"cash all, shares none, last trade sold\nlegal: {aside}",
        "cash none, shares all, last trade bought, now up\nlegal: sell, hold",
        "cash none, shares all, last trade bought, now down\nlegal: sell, hold",
    ]
    if settings.sell == "short":
        words += [
            "cash kept, shares short, last trade sold, now up\nlegal: hold, buy",
            "cash kept, shares short, last trade sold, now down\nlegal: hold, buy",
        ]
    return tuple(words)


def account_state(account: Account, traded: np.ndarray, entry: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """Which of `account_words` each account is in: int64 (n,).

    `traded` says whether it ever traded, `entry` is the price of its last trade, `previous` the newest known close.
    """
    lower = (previous < entry).astype(np.int64)
    position = account.position
    return np.where(position == 1, 2 + lower, np.where(position == -1, 4 + lower, traded.astype(np.int64)))


def _market_text(numbers: np.ndarray, settings: FlagTraderSettings, guidance: float | None, note: str) -> str:
    lines = [
        f"{name}: {_figure(value, name)}" for name, value in zip(field_names(settings), numbers.tolist(), strict=True)
    ]
    if guidance is not None:
        lines.append(f"guidance: {guidance:+.2f}")
    if note:
        lines.append(note)
    return "\n".join(lines)


def _figure(value: float, name: str) -> str:
    """Two digits after the point below ten, one below a hundred, with the sign that says which way: +1.21 %."""
    if not np.isfinite(value):
        return NOT_AVAILABLE
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    if name == "rsi_14":
        return f"{value:.0f} points"
    return f"{value:+.{digits}f} %" if FIELDS[name].unit.startswith("%") else f"{value:+.{digits}f}"


def _notes_at(bars: pd.DataFrame, notes: pd.Series | None) -> list[str]:
    return [""] * len(bars) if notes is None else notes.reindex(bars.index, fill_value="").tolist()


def _check_notes(notes: pd.Series, days: pd.Index) -> None:
    """Raises ValueError for notes that would not be shown, or twice."""
    if not isinstance(notes, pd.Series):
        raise ValueError(f"notes is a {type(notes).__name__}; give a pandas Series of texts indexed by date")
    if not isinstance(notes.index, pd.DatetimeIndex):
        raise ValueError(f"the notes are indexed by {type(notes.index).__name__}; index them by date (DatetimeIndex)")
    if notes.index.has_duplicates:
        date = notes.index[notes.index.duplicated()][0]
        raise ValueError(f"the notes have two texts for {date:%Y-%m-%d}; join them into one")
    for date, text in zip(notes.index, notes.tolist(), strict=True):
        if not isinstance(text, str):
            raise ValueError(f"the note of {date:%Y-%m-%d} is {text!r}; give a text, a blank one for none")
    lost = notes.index[(notes != "") & ~notes.index.isin(days)]
    if len(lost):
        raise ValueError(
            f"the note of {lost[0]:%Y-%m-%d} would never be shown, for there is no bar on that day ({len(lost)} such notes); "
            "a note must stand on every trading day on which it is to be shown"
        )
