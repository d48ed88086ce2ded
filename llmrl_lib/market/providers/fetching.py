"""Fetches what a source has into a dataset folder, ticker by ticker and table by table: new folders and old ones alike.

What is there is continued from where it stopped, with a few days of overlap that must agree; what fails is told in a sentence
and leaves the rest alone; every table is put in place whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from llmrl_lib.market.check import DatasetCheck, check_dataset
from llmrl_lib.market.providers.about import describe, listed_tickers, refuse_bad_split, refuse_bad_tickers
from llmrl_lib.market.providers.errors import KEPT, NOTHING, SourceError
from llmrl_lib.market.providers.ledger import PER_SHARE, Ledger, read_ledger
from llmrl_lib.market.providers.merging import OWN, extended, held_rows, only_parts, parts_of, rebased
from llmrl_lib.market.providers.source import Part, Session, Source, Wanted
from llmrl_lib.market.providers.writing import alone_in, put_table
from llmrl_lib.market.tables import TABLES

OVERLAP = pd.Timedelta(days=10)  # asked for again when a table is continued
HOURS_BEHIND = 12  # of the last place on earth where a day ends


@dataclass
class Fetched:
    """What a fetch did. ``failures`` by file: a sentence each; nothing of them was written."""

    source: str
    rows: dict[str, int] = field(default_factory=dict)  # new rows by file; 0: nothing new
    notes: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    check: DatasetCheck | None = None


def fetch(
    source: Source,
    tickers: Sequence[str],
    start: pd.Timestamp,
    end: pd.Timestamp | None,
    out: str | Path,
    *,
    split: pd.Timestamp | None = None,
    now: datetime | None = None,
) -> Fetched:
    """Fill or continue the dataset folder ``out`` from ``source``, for days from ``start`` to ``end``, both included.

    Without ``tickers``: those of the folder. Days that are not over everywhere on earth at ``now`` are left out, whatever
    clock or zone this machine has. ``split`` is the first day of testing of a new folder, by default after three quarters; it
    must lie after ``start`` and not after ``end``. An old folder keeps its own.
    Where nothing was fetched, nothing is left behind. Raises SourceError when nothing can be fetched at all: no client, no
    key, another fetch at work, a full disk.
    """
    now = now or datetime.now(UTC)
    over = last_day_over(now)
    end = min(end or over, over)
    if start > end:
        raise SourceError(f"start {start:%Y-%m-%d} lies after {end:%Y-%m-%d}, the last day that can be had", fatal=True)
    folder = Path(out)
    refuse_bad_tickers(tickers)
    refuse_bad_split(folder, start, end, split)
    source.check()
    with alone_in(folder):
        ledger = read_ledger(folder)
        wanted = list(dict.fromkeys(tickers)) or list(listed_tickers(folder))
        per_ticker = [table for table in source.tables if TABLES[table].per_ticker]
        if per_ticker and not wanted:
            raise SourceError("no tickers: give --tickers, or a folder whose dataset.toml names some", fatal=True)
        done = Fetched(source.name)
        places = [(table, ticker) for table in source.tables for ticker in (wanted if table in per_ticker else [None])]
        fatal: SourceError | None = None
        try:
            with source.open() as session:
                for table, ticker in places:
                    ask = Wanted(table, ticker, start, end, ledger.splits(ticker) if ticker else None)
                    _tried(session, source, ask, ledger, done, now)
        except SourceError as error:  # of no use to go on; what is there already can be used all the same
            fatal = error
        finally:
            ledger.withdraw()
        if fatal is not None and not done.rows:
            raise SourceError(f"{fatal}; {NOTHING}", fatal=True) from fatal
        if done.failures and not done.rows:
            return done
        found = [
            one for one in wanted if not per_ticker or any(f"{name}/{one}.csv" in done.rows for name in per_ticker)
        ]
        done.notes += describe(folder, found, start, end, split)
        if fatal is not None:
            raise SourceError(f"{fatal}; {KEPT}", fatal=True) from fatal
        done.check = check_dataset(folder)
    return done


def last_day_over(now: datetime) -> pd.Timestamp:
    """The newest day that is over in every time zone at ``now``."""
    behind = pd.Timestamp(now).tz_convert("UTC").tz_localize(None) - pd.Timedelta(hours=HOURS_BEHIND)
    return (behind.normalize() - pd.Timedelta(days=1)).as_unit("us")


def _tried(session: Session, source: Source, ask: Wanted, ledger: Ledger, done: Fetched, now: datetime) -> None:
    """Fetch one table; a failure that concerns it alone is told and passed over."""
    try:
        _fetched(session, source, ask, ledger, done, now)
    except SourceError as error:
        if error.fatal:
            raise
        done.failures[ask.file] = str(error)


def _fetched(session: Session, source: Source, ask: Wanted, ledger: Ledger, done: Fetched, now: datetime) -> None:
    old = held_rows(ledger.folder, ask.table, ask.ticker)
    if old is None:
        ledger.forget(ask.file)
    owners, held = _owners(ledger, ask, old), ledger.held(ask.file, source.name)
    new_splits = ask.table in PER_SHARE and ledger.adjusted_for(ask.file) != ask.splits
    if held and held[0] <= ask.start and held[1] >= ask.end and not new_splits:
        done.rows[ask.file] = 0
        return
    if owners and ask.table in ("bars", "news", "fundamentals") and source.name not in owners.values():
        done.notes.append(f"{ask.file} is left as it is: it was filled by {_named(owners)}")
        return
    span = _span(ask, held, ask.table in source.whole)
    part = session.fetch(span)
    whole = ask.table in source.whole
    if ask.table == "bars" and old is not None and held and (what := rebased(old, part.frame, part.splits, held[1])):
        if span.start > held[0]:
            part = session.fetch(replace(ask, start=min(held[0], ask.start), end=max(held[1], ask.end)))
        done.notes.append(_rebased(ask, what, held))
        whole = True
    parts = [one for one in parts_of(ask.table, part.frame) if owners.get(one, source.name) == source.name]
    others = {one: owners[one] for one in parts_of(ask.table, part.frame) if one not in parts}
    if others:
        kept = ", ".join(f"{one} ({owner})" for one, owner in others.items())
        done.notes.append(f"{ask.file} keeps what others filled: {kept}")
    done.notes += [f"{ask.file}: {note}" for note in part.notes]
    new = only_parts(ask.table, part.frame, parts)
    if not parts:
        return
    table = extended(ask.table, old, new, parts, whole)
    ledger.claim(ask.file, dict.fromkeys(parts, source.name))
    put_table(ledger.folder, ask.table, ask.ticker, table)
    ledger.record(span, source, _with_splits(part, ledger, ask), len(table), now)
    done.rows[ask.file] = len(table) - (0 if old is None else len(old))


def _owners(ledger: Ledger, ask: Wanted, old: pd.DataFrame | None) -> dict[str, str]:
    """Who filled the parts of a table; what no fetch has filled is the user's own."""
    return {} if old is None else {**dict.fromkeys(parts_of(ask.table, old), OWN), **ledger.owners(ask.file)}


def _named(owners: dict[str, str]) -> str:
    return " and ".join(sorted(set(owners.values())))


def _span(ask: Wanted, held: tuple[pd.Timestamp, pd.Timestamp] | None, whole: bool) -> Wanted:
    """The days to ask for: all of them, or those since the last fetch and a few before."""
    if held is None:
        return ask
    if whole or ask.start < held[0]:
        return replace(ask, start=min(ask.start, held[0]), end=max(ask.end, held[1]))
    return replace(ask, start=max(held[0], held[1] - OVERLAP), continued=True)


def _rebased(ask: Wanted, what: str, held: tuple[pd.Timestamp, pd.Timestamp]) -> str:
    note = f"{ask.file}: a {what} since {held[1]:%Y-%m-%d} changed earlier prices; all of them were fetched again"
    more = f"; fetch sec again, so that the earnings per share of {ask.ticker} follow" if what == "split" else ""
    return note + more


def _with_splits(part: Part, ledger: Ledger, ask: Wanted) -> Part:
    """The part with the splits that earlier fetches told as well."""
    if part.splits is None or ask.ticker is None:
        return part
    return replace(part, splits={**(ledger.splits(ask.ticker) or {}), **part.splits})
