"""What is told and tolerated because it may be right: each rule on data that has it, and silence on data that has not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_datasets import HEADER, MakeFolder, plain_bars

from llmrl_lib.market import Defect, check_dataset, load_dataset

DAYS = pd.bdate_range("2020-01-01", "2020-12-31")


def doubts(folder: Path) -> list[Defect]:
    """All defects of the dataset; each must be tolerated, and the check must tell the same."""
    found = list(load_dataset(folder).defects)
    check = check_dataset(folder)
    assert check.ok
    assert sorted(check.defects["kind"]) == sorted(one.kind for one in found)
    return found


def closing(closes: np.ndarray, days: pd.DatetimeIndex = DAYS) -> list[str]:
    rows = zip(days, closes.tolist(), strict=True)
    return [HEADER, *(f"{day:%Y-%m-%d},{close},{close},{close},{close},1000" for day, close in rows)]


def walk(rows: int = len(DAYS)) -> np.ndarray:
    return (100.0 + np.arange(rows) % 7).astype(float)


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1 / 7, "as a split of 7 for 1"),
        (1 / 2, "as a split of 2 for 1"),
        (10.0, "as a reverse split of 1 for 10"),
        (1.5, "as a reverse split of 2 for 3"),
        (1 / 2.5, "in a day; an unadjusted split?"),  # no common split leaves it
    ],
)
def test_a_move_like_a_split_is_told_with_its_ratio(make_folder: MakeFolder, factor: float, said: str) -> None:
    closes = np.full(len(DAYS), 100.0) + np.arange(len(DAYS)) % 2
    closes[99:] = closes[98] * factor * (1.0 + (np.arange(len(DAYS) - 99) % 2) / 100)
    (defect,) = doubts(make_folder({"bars/AAA.csv": closing(closes)}))
    assert (defect.file, defect.line, defect.kind, defect.count) == ("bars/AAA.csv", 101, "large move", 1)
    assert said in str(defect)


def test_large_moves_within_the_limit_are_no_matter(make_folder: MakeFolder) -> None:
    closes = walk()
    closes[99:] *= 1.3
    assert not doubts(make_folder({"bars/AAA.csv": closing(closes)}))


def test_a_hole_in_time_is_told(make_folder: MakeFolder) -> None:
    lines = plain_bars()
    hole = [line for line in lines if not "2020-03-10" <= line[:10] <= "2020-04-20"]
    (defect,) = doubts(make_folder({"bars/AAA.csv": hole}))
    assert (defect.line, defect.kind) == (
        1 + next(n for n, line in enumerate(hole) if "2020-04" < line < "2021"),
        "gap between bars",
    )
    assert defect.what == "43 days without a bar between 2020-03-09 and 2020-04-21"
    fortnight = [line for line in lines if not "2020-03-10" <= line[:10] <= "2020-04-03"]
    assert not doubts(make_folder({"bars/AAA.csv": fortnight}))


def test_a_close_that_stands_still_is_told_where_it_begins(make_folder: MakeFolder) -> None:
    closes = walk()
    closes[50:70] = 77.0
    closes[100:119] = 78.0  # one short
    (defect,) = doubts(make_folder({"bars/AAA.csv": closing(closes)}))
    assert (defect.line, defect.kind, defect.count) == (52, "close that stands still", 1)
    assert defect.what == f"close 77 on 20 bars in a row from {DAYS[50]:%Y-%m-%d} on"


def test_bars_that_begin_late_or_end_early_are_told(make_folder: MakeFolder) -> None:
    folder = make_folder({"bars/AAA.csv": plain_bars("2020-02-03", "2020-11-20")})
    late, early = doubts(folder)
    assert (late.line, late.kind) == (2, "late first bar")
    assert late.what == "the first bar is of 2020-02-03, 33 days after train_start 2020-01-01"
    assert (early.line, early.kind) == (211, "early last bar")
    assert early.what == "the last bar is of 2020-11-20, 41 days before the last day of testing"
    assert [one.kind for one in load_dataset(folder).defects_of("AAA")] == ["late first bar", "early last bar"]
    assert not load_dataset(folder).defects_of("BBB")


def test_publications_years_late_or_after_the_bars_are_told(make_folder: MakeFolder) -> None:
    news = ["available_at,headline", "2020-06-01,one", "2021-03-01,soon after", "2102-06-02,a wrong year"]
    macro = ["series,period,available_at,value", "GDP,2010-01-01,2020-01-30,1", "CPI,2020-01-01,2029-02-12,1"]
    found = doubts(make_folder({"news/AAA.csv": news, "macro.csv": macro}))
    assert [(one.file, one.line, one.kind, one.count) for one in found] == [
        ("macro.csv", 2, "published years later", 2),
        ("news/AAA.csv", 4, "published after the last bar", 1),
        ("macro.csv", 3, "published after the last bar", 1),
    ]


def test_tables_without_a_known_column_are_told_with_what_was_meant(make_folder: MakeFolder) -> None:
    files = {
        "indices.csv": "date,SPX,VIXCLOSE\n2020-01-02,3000,15\n",
        "options/AAA.csv": "date,iv30d\n2020-01-02,20\n",
        "options/BBB.csv": "date,iv_30d,delta\n2020-01-02,20,1\n",
    }
    told = {(one.file, one.kind): str(one) for one in doubts(make_folder(files))}
    assert ("indices.csv", "no column") in told
    assert ("options/AAA.csv", "no column") in told
    assert ("options/BBB.csv", "no column") not in told
    assert (
        "did you mean spx_close by SPX?; did you mean vix_close by VIXCLOSE?" in told["indices.csv", "unknown column"]
    )
    assert "did you mean iv_30d by iv30d?" in told["options/AAA.csv", "unknown column"]
    assert "did you mean" not in told["options/BBB.csv", "unknown column"]


def test_folders_and_files_that_no_table_has_are_told(make_folder: MakeFolder) -> None:
    folder = make_folder(
        {
            "fundamental/AAA.csv": "period_end,available_at\n",
            "stuff/notes.csv": "a\n",
            "plots/one.png": "",
            "index.csv": "date\n",
            "news.csv": "available_at,headline\n",
            "README.md": "words",
            ".git/x.csv": "",
        }
    )
    (folder / "macro.csv").mkdir()
    (folder / "news" / "AAA.csv").mkdir(parents=True)
    told = {one.file: str(one) for one in doubts(folder)}
    assert set(told) == {"fundamental/", "stuff/", "index.csv", "news.csv", "macro.csv", "news/AAA.csv"}
    assert "did you mean fundamentals?" in told["fundamental/"]
    assert "the tables are bars, indices.csv" in told["stuff/"]
    assert "did you mean indices.csv?" in told["index.csv"]
    assert "did you mean news/TICKER.csv?" in told["news.csv"]
    assert "a folder stands where a file belongs" in told["macro.csv"]
    assert "a folder stands where a file belongs" in told["news/AAA.csv"]


def test_a_folder_in_the_place_of_bars_is_refused_by_its_name(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "bars/BBB.csv").unlink()
    (folder / "bars/BBB.csv").mkdir()
    check = check_dataset(folder)
    assert not check.ok
    assert "a folder stands where a file belongs" in check.defects["what"].tolist()


def filings(shares: list[float]) -> list[str]:
    """Quarterly reports with a million of income per quarter, and the earnings per share of these numbers of shares."""
    ends = pd.date_range("2017-03-31", periods=len(shares), freq="QE")
    rows = (
        f"{end:%Y-%m-%d},{end + pd.Timedelta(days=30):%Y-%m-%d},1000000,{1e6 / count:.6f}"
        for end, count in zip(ends, shares, strict=True)
    )
    return ["period_end,available_at,net_income,reported_eps", *rows]


def test_earnings_per_share_that_were_not_adjusted_for_a_split_are_told(make_folder: MakeFolder) -> None:
    (defect,) = doubts(make_folder({"fundamentals/AAA.csv": filings([1e5] * 6 + [5e5] * 6)}))
    assert (defect.file, defect.line, defect.kind, defect.count) == (
        "fundamentals/AAA.csv", 8, "jump of the implied shares", 1,
    )  # fmt: skip
    assert "about 1e+05 shares up to 2018-06-30 and 5e+05 from 2018-09-30 on, 5.0 times as many" in defect.what


def test_a_single_odd_quarter_or_a_slow_change_is_no_jump(make_folder: MakeFolder) -> None:
    odd = [1e5] * 6 + [4e4] + [1e5] * 5
    slow = list(1e5 * 1.2 ** np.arange(12.0))
    assert not doubts(make_folder({"fundamentals/AAA.csv": filings(odd), "fundamentals/BBB.csv": filings(slow)}))


def test_a_loss_beside_positive_earnings_per_share_counts_for_nothing(make_folder: MakeFolder) -> None:
    lines = filings([1e5] * 12)
    lines[7] = lines[7].replace("1000000", "-9000000")
    assert not doubts(make_folder({"fundamentals/AAA.csv": lines}))
