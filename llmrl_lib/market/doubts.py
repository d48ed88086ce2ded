"""What may be right and yet ruins an experiment if it is not: reported with words that allow for the truth, never refused.

The functions for one table get its rows; the others need the bars, the dates of ``dataset.toml`` or the whole folder.
"""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from llmrl_lib.market.defects import Defect
from llmrl_lib.market.tables import HINDSIGHT_FILES, TABLES, Table

LARGEST_MOVE = 0.40  # of the close in a day; the largest of the benchmark's stocks is 0.31
SPLITS = (1.5, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 100)  # new shares for an old one, or the reverse
LIKE_A_SPLIT = 0.08  # how far, as a share, the ratio of two closes may lie from a split's
LONGEST_GAP = 30  # calendar days between two bars, and between the bars and the ends of the experiment
LONGEST_REST = 20  # bars with one and the same close
LATEST_YEARS = 3  # from the period that a row is about to its publication
AFTER_THE_BARS = 92  # calendar days: the announcements of the quarter after the last bar are nothing odd
SHARES_JUMP = 1.8  # factor between the shares before and after
QUARTERS = 4  # on either side of a jump, of which the median counts

Describe = Callable[[int], str]


def bars_doubts(frame: pd.DataFrame, lines: Sequence[int], file: str) -> list[Defect]:
    """Moves that look like a split, holes in time and prices that stand still."""
    close, date = frame["close"], frame["date"]
    ratio = (close.shift() / close).where((close > 0.0) & (close.shift() > 0.0))

    def moved(row: int) -> str:
        split = _split_like(float(ratio[row]))
        return f"close {close[row - 1]:.10g} to {close[row]:.10g}, {1 / ratio[row] - 1:+.0%} in a day{split}"

    resting = close.groupby((close != close.shift()).cumsum()).transform("size")
    begins = close != close.shift()
    gap = date.diff().dt.days
    return [
        *tolerated(
            (1 / ratio - 1).abs() > LARGEST_MOVE,
            lines,
            file,
            "large move",
            moved,
            "an unadjusted split? adjust all earlier prices and volumes for it; if the price really moved so, leave it",
        ),
        *tolerated(
            gap > LONGEST_GAP,
            lines,
            file,
            "gap between bars",
            lambda row: f"{gap[row]:.0f} days without a bar between {_day(date[row - 1])} and {_day(date[row])}",
            "right where trading was suspended; otherwise bring the missing bars: a gap counts as one day's move",
        ),
        *tolerated(
            (resting >= LONGEST_REST) & begins,
            lines,
            file,
            "close that stands still",
            lambda row: f"close {close[row]:.10g} on {resting[row]} bars in a row from {_day(date[row])} on",
            "filled in where there was no trade? delete such rows; if the price really stood still, leave it",
        ),
    ]


def late_publications(frame: pd.DataFrame, lines: Sequence[int], file: str, table: Table) -> list[Defect]:
    """Rows that were published years after the period they are about."""
    period = frame[table.dates[1]]
    return tolerated(
        frame["available_at"] > period + pd.DateOffset(years=LATEST_YEARS),
        lines,
        file,
        "published years later",
        lambda row: (
            f"available_at {_day(frame['available_at'][row])} is more than {LATEST_YEARS} years after "
            f"{table.dates[1]} {_day(period[row])}"
        ),
        "a wrong year? right only for a late revision of an old value",
    )


def share_doubts(frame: pd.DataFrame, lines: Sequence[int], file: str) -> list[Defect]:
    """Jumps of the number of shares that net income and earnings per share imply, as a split leaves them.

    A quarter is usable where both figures have the same sign. The jump must hold: the medians of four quarters before and
    after it are compared, so that an odd quarter or two, of one-time costs, are no split.
    """
    known = frame[frame["period_end"].notna() & (frame["net_income"] * frame["reported_eps"] > 0.0)]
    known = known.sort_values(["period_end", "available_at"]).drop_duplicates("period_end", keep="last")
    shares = (known["net_income"] / known["reported_eps"]).to_numpy("float64")
    found: dict[int, str] = {}
    for number in range(QUARTERS, len(shares) - QUARTERS + 1):
        before = float(np.median(shares[number - QUARTERS : number]))
        after = float(np.median(shares[number : number + QUARTERS]))
        step, factor = shares[number] / shares[number - 1], after / before
        if min(step, factor) >= SHARES_JUMP or max(step, factor) <= 1.0 / SHARES_JUMP:
            more = f"{factor:.1f} times as many" if factor > 1.0 else f"one {1.0 / factor:.1f}th of them"
            last, first = known["period_end"].iloc[number - 1], known["period_end"].iloc[number]
            found[int(known.index[number])] = (
                f"net_income / reported_eps gives about {before:.3g} shares up to {_day(last)} and {after:.3g} from "
                f"{_day(first)} on, {more}"
            )
    mask = pd.Series(frame.index.isin(list(found)), index=frame.index)
    return tolerated(
        mask,
        lines,
        file,
        "jump of the implied shares",
        lambda row: found[row],
        "reported_eps that is not adjusted for a split that the bars are adjusted for? the valuation on the unadjusted side "
        "is then wrong by that factor: adjust it; right where so many shares were issued, or one-time items are left out",
    )


def span_doubts(
    bars: pd.DataFrame, lines: Sequence[int], file: str, start: pd.Timestamp, end: pd.Timestamp
) -> list[Defect]:
    """Bars that begin long after training does, or end long before testing does. ``bars`` are indexed by date."""
    if not len(bars):
        return []
    first, last, found = bars.index[0], bars.index[-1], []
    if (first - start).days > LONGEST_GAP:
        what = f"the first bar is of {_day(first)}, {(first - start).days} days after train_start {_day(start)}"
        remedy = (
            "right where the stock was listed later (it then trains on less than others); otherwise bring more bars"
        )
        found.append(Defect(file, lines[0], "late first bar", what, remedy, True))
    if (end - last).days - 1 > LONGEST_GAP:
        what = f"the last bar is of {_day(last)}, {(end - last).days - 1} days before the last day of testing"
        remedy = "right where trading ended (it is then tested on less than others); otherwise bring more bars"
        found.append(Defect(file, lines[-1], "early last bar", what, remedy, True))
    return found


def rows_after(frame: pd.DataFrame, lines: Sequence[int], file: str, last: pd.Timestamp) -> list[Defect]:
    """Rows of a table with ``available_at`` that were published long after the last bar, so that no decision can use them."""
    return tolerated(
        frame["available_at"] > last + pd.Timedelta(days=AFTER_THE_BARS),
        lines,
        file,
        "published after the last bar",
        lambda row: f"available_at {_day(frame['available_at'][row])}, and the last bar is of {_day(last)}",
        "a wrong year? such a row is never used",
    )


def folder_doubts(folder: Path) -> list[Defect]:
    """Files and folders that no table has, and folders where a file belongs: nothing of them is read."""
    if not folder.is_dir():
        return []
    names = [table.name if table.per_ticker else f"{table.name}.csv" for table in TABLES.values()]
    found = []
    for place in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        name, stem = place.name, place.name.removesuffix(".gz").removesuffix(".csv")
        table = TABLES.get(stem)
        if place.is_dir() and stem != name and table is not None and not table.per_ticker:
            found.append(
                _ignored(name, "folder in a file's place", "a folder stands where a file belongs", "give the file")
            )
        elif place.is_dir() and table is not None and table.per_ticker and stem == name:
            found += [
                _ignored(
                    f"{name}/{one.name}",
                    "folder in a file's place",
                    "a folder stands where a file belongs",
                    "give the file",
                )
                for one in sorted(place.iterdir())
                if one.is_dir() and one.name.endswith((".csv", ".csv.gz"))
            ]
        elif place.is_dir():
            meant = TABLES[stem].name + ".csv" if table is not None else _near(name, names)
            if meant or any(place.glob("*.csv")) or any(place.glob("*.csv.gz")):
                found.append(_ignored(f"{name}/", "unknown folder", "no table has this folder", _meant(meant, names)))
        elif stem != name and name not in HINDSIGHT_FILES and (table is None or table.per_ticker):
            meant = f"{stem}/TICKER.csv" if table is not None else _near(name, names)
            found.append(_ignored(name, "unknown file", "no table has this file", _meant(meant, names)))
    return found


def column_meant(name: str, known: Sequence[str]) -> str | None:
    """The column of the format that a file's column may have been meant for."""
    plain = {one.replace("_", ""): one for one in known}
    flat = name.lower().replace("_", "").replace(" ", "").replace("^", "").replace("-", "")
    starts = [one for one in known if flat and one.split("_")[0] == flat]
    if starts:
        return starts[0]
    near = difflib.get_close_matches(flat, list(plain), 1, 0.7)
    return plain[near[0]] if near else None


def tolerated(
    mask: pd.Series, lines: Sequence[int], file: str, kind: str, describe: Describe, remedy: str
) -> list[Defect]:
    """One record for all rows of a kind: the first line, and how many there are."""
    rows = np.flatnonzero(mask).tolist()
    if not rows:
        return []
    what = describe(rows[0])
    if len(rows) > 1:
        what = f"{len(rows)} of {len(lines)} rows, the first: {what}"
    return [Defect(file, lines[rows[0]], kind, what, remedy, True, len(rows))]


def _split_like(ratio: float) -> str:
    """Which split would leave two closes with this ratio; blank for none."""
    size = max(ratio, 1.0 / ratio)
    nearest = min(SPLITS, key=lambda split: abs(size / split - 1.0))
    if abs(size / nearest - 1.0) > LIKE_A_SPLIT:
        return ""
    new, old = (3, 2) if nearest == 1.5 else (int(nearest), 1)
    return f", as a split of {new} for {old}" if ratio > 1.0 else f", as a reverse split of {old} for {new}"


def _ignored(name: str, kind: str, what: str, remedy: str) -> Defect:
    return Defect(name, None, kind, what, f"{remedy}; it is ignored", True)


def _near(name: str, names: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(name.lower(), names, 1, 0.7)
    return near[0] if near else None


def _meant(meant: str | None, names: Sequence[str]) -> str:
    return f"did you mean {meant}?" if meant else f"the tables are {', '.join(names)}"


def _day(date: pd.Timestamp) -> str:
    return f"{date:%Y-%m-%d}"
