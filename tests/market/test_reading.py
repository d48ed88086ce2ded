"""Every defect of a table is named with its file, its line and a remedy; what the benchmark tolerates is reported."""

import copy
import gzip

import pandas as pd
import pytest
from small_datasets import DESCRIPTION, HEADER, MakeFolder, plain_bars

from llmrl_lib.market import DatasetError, Defect, load_dataset


def with_line(line: int, text: str) -> list[str]:
    """Faultless bars with one line (counted from 1) replaced."""
    lines = plain_bars()
    lines[line - 1] = text
    return lines


def refusal(folder, ticker: str = "AAA") -> DatasetError:
    with pytest.raises(DatasetError) as caught:
        load_dataset(folder).bars(ticker)
    return caught.value


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2020-01-07,1O.5,11,9,10,5", "open '1O.5' is not a number"),
        ('2020-01-07,10,11,9,10,"1,000"', "volume '1,000' is not a number"),
        ("2020-01-07,10,11,9,10,1_000", "volume '1_000' is not a number"),
        ("2020-01-07,10,11,9,NaN,5", "close is missing"),
        ("2020-01-07,10,11,9,,5", "close is missing"),
        ("2020-01-07,,11,9,10,5", "open is missing"),
        ("2020-01-07,10,inf,9,10,5", "high 'inf' is infinite"),
        ("2020-01-07,10,1e999,9,10,5", "high '1e999' is infinite"),
        ("2020-01-07,10,11,9,-10,5", "close -10 is not above zero"),
        ("2020-01-07,0,11,9,10,5", "open 0 is not above zero"),
        ("2020-01-07,42,41.2,43,42,5", "high 41.2 below low 43; swap or correct the two values"),
        ("2020-01-07,10,11,9,10,-5", "volume -5 is negative"),
        ("07/01/2020,10,11,9,10,5", "date '07/01/2020' is not a date; write YYYY-MM-DD"),
        ("2020-02-30,10,11,9,10,5", "date '2020-02-30' is not a date"),
        (",10,11,9,10,5", "date is missing"),
        ("2020-01-06,10,11,9,10,5", "date 2020-01-06 stands already on line 5; keep one of the two rows"),
        ("2020-01-02,10,11,9,10,5", "date 2020-01-02 comes after 2020-01-06; sort the rows by date, oldest first"),
        ("2020-01-07,10,11,9,10", "5 cells where the header has 6"),
        ("2020-01-07,10,11,9,10,5,6", "7 cells where the header has 6"),
    ],
)
def test_a_bad_row_is_named_with_its_line(make_folder: MakeFolder, row: str, message: str) -> None:
    error = refusal(make_folder({"bars/AAA.csv": with_line(6, row)}))
    assert f"bars/AAA.csv line 6: {message}" in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "bars/AAA.csv line 1: the file is empty; write a header with at least date,open,high,low,close,volume"),
        ("\n\n", "bars/AAA.csv line 1: the file is empty"),
        (HEADER + "\n", "bars/AAA.csv line 1: no row below the header"),
        ("date,open,high,low,close\n", "bars/AAA.csv line 1: column volume missing, found date, open, high, low"),
        ("Date,Open,High,Low,Close,Volume\n", "write Date, Open, High, Low, Close, Volume in lower case"),
        (HEADER.replace(",", ";") + "\n", "separate the columns by commas"),
        (HEADER + ",close\n", "bars/AAA.csv line 1: column close stands twice"),
        (HEADER + "\n2020-01-02,1,1,1,1,1\n2020-01-03,1,\xe9,1,1,1\n", "bars/AAA.csv line 3: byte 0xe9 is not UTF-8"),
        ("\ufeff".encode() + b"date\n\xff", "bars/AAA.csv line 2: byte 0xff is not UTF-8"),
        (HEADER.encode("utf-16"), "bars/AAA.csv line 1: byte 0xff is not UTF-8"),
        (HEADER + '\n2020-01-02,1,1,1,1,1\n2020-01-03,"1,1,1,1,1\n', "bars/AAA.csv line 3: cannot be split into cells"),
    ],
)
def test_a_file_beyond_reading_says_why(make_folder: MakeFolder, content: str | bytes, message: str) -> None:
    data = content.encode("latin-1") if isinstance(content, str) else content
    assert message in str(refusal(make_folder({"bars/AAA.csv": data})))


def test_one_error_names_ten_defects_and_counts_the_rest(make_folder: MakeFolder) -> None:
    lines = [line.replace(",10.5,", ",ten,").replace(",10.4,", ",ten,") for line in plain_bars()[:13]]
    error = refusal(make_folder({"bars/AAA.csv": lines}))
    assert str(error).startswith("12 defects, the first 10:")
    assert [defect.line for defect in error.defects] == list(range(2, 14))
    assert str(error).count("close 'ten' is not a number") == 10


def test_defects_of_different_kinds_are_told_in_the_order_of_their_lines(make_folder: MakeFolder) -> None:
    lines = with_line(4, "2020-01-03,10,9,11,10,5")
    lines[1] = "2020-01-01,x,11,9,10,5"
    kinds = [(defect.line, defect.kind) for defect in refusal(make_folder({"bars/AAA.csv": lines})).defects]
    assert kinds == [(2, "not a number"), (4, "high below low")]


def test_a_number_that_is_no_number_is_not_reported_as_missing_too(make_folder: MakeFolder) -> None:
    error = refusal(make_folder({"bars/AAA.csv": with_line(6, "2020-01-07,10,11,9,ten,5")}))
    assert len(error.defects) == 1


def test_a_broken_ticker_leaves_the_others_usable(make_folder: MakeFolder) -> None:
    dataset = load_dataset(make_folder({"bars/AAA.csv": ""}))
    assert len(dataset.bars("BBB")) == 262
    with pytest.raises(DatasetError):
        dataset.bars("AAA")


def test_errors_survive_the_way_between_processes(make_folder: MakeFolder) -> None:
    error = refusal(make_folder({"bars/AAA.csv": ""}))
    received = copy.copy(error)  # rebuilt from its parts, as a process pool does
    assert received.defects == error.defects
    assert str(received) == str(error)


def test_lines_are_counted_across_blank_lines_line_ends_and_quoted_line_breaks(make_folder: MakeFolder) -> None:
    news = 'available_at,headline,summary\r\n2020-01-02,one,"two\r\nlines"\r\n\r\n2020-01-03,,x\r\n'
    dataset = load_dataset(make_folder({"news/AAA.csv": news}))
    with pytest.raises(DatasetError, match=r"^news/AAA\.csv line 5: headline is missing"):
        dataset.news("AAA")


def test_a_byte_order_mark_is_accepted(make_folder: MakeFolder) -> None:
    text = "\n".join(plain_bars())
    folder = make_folder({"bars/AAA.csv": b"\xef\xbb\xbf" + text.encode(), "dataset.toml": "\ufeff" + DESCRIPTION})
    assert load_dataset(folder).bars("AAA").equals(load_dataset(folder).bars("BBB"))


def test_numbers_are_the_nearest_to_their_text(make_folder: MakeFolder) -> None:
    folder = make_folder({"bars/AAA.csv": with_line(2, "2020-01-01,9.1,11,9,12.691425323486328,1e3")})
    bars = load_dataset(folder).bars("AAA")
    assert bars["close"].iloc[0] == 12.691425323486328
    assert bars["volume"].iloc[0] == 1000.0
    assert (bars.dtypes == "float64").all()
    assert bars.index.name == "date"
    assert bars.index[0] == pd.Timestamp("2020-01-01")


def tolerated(folder) -> list[Defect]:
    return list(load_dataset(folder).defects)


@pytest.mark.parametrize(
    ("row", "kind", "what"),
    [
        ("2020-01-07,10,11,9,10,0", "zero volume", "volume is 0"),
        ("2020-01-07,10,11,9,10,", "missing volume", "volume is missing"),
        ("2020-01-07,10,11,9,8,5", "close outside [low, high]", "close 8 outside [9, 11]"),
        ("2020-01-07,12,11,9,10,5", "open outside [low, high]", "open 12 outside [9, 11]"),
    ],
)
def test_what_the_benchmark_tolerates_is_reported(make_folder: MakeFolder, row: str, kind: str, what: str) -> None:
    (defect,) = tolerated(make_folder({"bars/AAA.csv": with_line(6, row)}))
    assert (defect.file, defect.line, defect.kind, defect.what) == ("bars/AAA.csv", 6, kind, what)
    assert defect.tolerated


def test_a_missing_volume_stays_missing(make_folder: MakeFolder) -> None:
    folder = make_folder({"bars/AAA.csv": with_line(6, "2020-01-07,10,11,9,10,")})
    assert load_dataset(folder).bars("AAA")["volume"].isna().sum() == 1


def test_weekend_rows_are_reported_for_assets_that_trade_every_day(make_folder: MakeFolder) -> None:
    every = pd.date_range("2020-01-01", "2020-12-31")
    days = [HEADER, *(f"{day:%Y-%m-%d},10,11,9,{10 + day.day % 2},5" for day in every)]
    (defect,) = tolerated(make_folder({"bars/AAA.csv": days}))
    assert (defect.line, defect.kind, defect.count) == (5, "weekend", 104)
    assert defect.what == "104 of 366 rows, the first: 2020-01-04 is a Saturday"


def test_raw_close_is_kept_and_must_fit_the_day(make_folder: MakeFolder) -> None:
    lines = [line + ",10.5" for line in plain_bars()]
    lines[0] = HEADER + ",raw_close"
    lines[4] = "2020-01-06,10,11,9,10.5,1000,12"
    folder = make_folder({"bars/AAA.csv": lines})
    assert load_dataset(folder).bars("AAA").columns[-1] == "raw_close"
    assert "raw_close" not in load_dataset(folder).bars("BBB")
    (defect,) = tolerated(folder)
    assert (defect.line, defect.kind) == (5, "raw_close outside [low, high]")


def test_columns_and_files_beyond_the_format_are_ignored_and_reported(make_folder: MakeFolder) -> None:
    lines = [line + ",0" for line in plain_bars()]
    lines[0] = HEADER + ",splits"
    folder = make_folder({"bars/AAA.csv": lines, "bars/CCC.csv": "anything"})
    assert [(one.file, one.kind) for one in tolerated(folder)] == [
        ("bars/AAA.csv", "unknown column"),
        ("bars/CCC.csv", "unlisted ticker"),
    ]
    assert list(load_dataset(folder).bars("AAA")) == ["open", "high", "low", "close", "volume"]


def test_tables_may_be_compressed_but_not_stand_twice(make_folder: MakeFolder) -> None:
    news = "available_at,headline\n2020-01-02,one\n"
    folder = make_folder({"news/AAA.csv.gz": gzip.compress(news.encode()), "news/BBB.csv.gz": b"no gzip"})
    assert load_dataset(folder).news("AAA")["headline"].tolist() == ["one"]
    with pytest.raises(DatasetError, match=r"news/BBB\.csv\.gz: not a whole gzip file"):
        load_dataset(folder).news("BBB")
    (folder / "news/AAA.csv").write_text(news)
    with pytest.raises(DatasetError, match=r"news/AAA\.csv: there is news/AAA\.csv\.gz too; keep one of the two"):
        load_dataset(folder).news("AAA")


def test_a_truncated_gzip_file_is_named(make_folder: MakeFolder) -> None:
    whole = gzip.compress(b"available_at,headline\n2020-01-02,one\n" * 50)
    with pytest.raises(DatasetError, match="not a whole gzip file"):
        load_dataset(make_folder({"news/AAA.csv.gz": whole[:-12]})).news("AAA")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("indices.csv", "date,vix_close\n2020-01-02,-1\n", "indices.csv line 2: vix_close -1 is not above zero"),
        ("indices.csv", "spx_close\n1\n", "indices.csv line 1: column date missing"),
        ("indices.csv", "date,dgs2\n2020-01-03,1\n2020-01-02,1\n", "indices.csv line 3: date 2020-01-02 comes after"),
        (
            "macro.csv",
            "series,period,available_at,value\nGDP,2020-01-01,2019-12-31,1\n",
            "macro.csv line 2: available_at 2019-12-31 lies before period 2020-01-01",
        ),
        (
            "macro.csv",
            "series,period,available_at,value\nA,2020-01-01,2020-03-01,1\nB,2020-01-01,2020-02-01,1\n"
            "A,2020-01-01,2020-02-01,1\n",
            "macro.csv line 4: available_at 2020-02-01 comes after 2020-03-01; sort the rows by date, oldest first "
            "within each series",
        ),
        (
            "macro.csv",
            "series,period,available_at,value\nA,2020-01-01,2020-03-01,1\nA,2020-01-01,2020-03-01,2\n",
            "macro.csv line 3: series A, period 2020-01-01, available_at 2020-03-01 stands already on line 2",
        ),
        ("macro.csv", "series,period,available_at,value\nA,2020-01-01,2020-03-01,\n", "value is missing"),
        (
            "fundamentals/AAA.csv",
            "period_end,available_at,revenue\n2020-03-31,2020-03-01,5\n",
            "fundamentals/AAA.csv line 2: available_at 2020-03-01 lies before period_end 2020-03-31",
        ),
        ("earnings/AAA.csv", "period_end,reported_eps\n2020-03-31,5\n", "column available_at missing"),
        ("news/AAA.csv", "available_at,headline\n2020-01-02\n", "news/AAA.csv line 2: 1 cell where the header has 2"),
        ("options/AAA.csv", "date,iv_30d\n2020-01-02,0\n", "options/AAA.csv line 2: iv_30d 0 is not above zero"),
    ],
)
def test_other_tables_are_checked_too(make_folder: MakeFolder, name: str, text: str, message: str) -> None:
    dataset = load_dataset(make_folder({name: text}))
    with pytest.raises(DatasetError) as caught:
        _ = dataset.defects
    assert message in str(caught.value)


def test_revisions_and_early_surveys_are_allowed(make_folder: MakeFolder) -> None:
    macro = [
        "series,frequency,period,available_at,value,unit",
        "GDP,Q,2020-01-01,2020-04-29,-4.8,percent",
        "GDP,Q,2020-01-01,2020-05-28,-5.0,percent",
        "UMCSENT,M,2020-01-01,2020-01-17,99.1,index",
        "UMCSENT,M,2020-02-01,2020-02-29,99.1,index",
    ]
    folder = make_folder({"macro.csv": macro})
    assert load_dataset(folder).macro["value"].tolist() == [-4.8, -5.0, 99.1, 99.1]
    (defect,) = tolerated(folder)
    assert (defect.line, defect.kind, defect.count) == (4, "available inside its period", 1)


def test_blank_cells_and_absent_columns_stay_missing(make_folder: MakeFolder) -> None:
    folder = make_folder({"indices.csv": "date,spx_close,dgs10\n2020-01-02,3250,\n", "news/AAA.csv": NEWS})
    indices = load_dataset(folder).indices
    assert list(indices) == ["spx_close", "ndx_close", "vix_close", "dgs10", "dgs2", "t10y2y"]
    assert indices.iloc[0].notna().tolist() == [True, False, False, False, False, False]
    news = load_dataset(folder).news("AAA")
    assert news["summary"].isna().tolist() == [True, False]
    assert news["summary"][1] == "NA"  # a word in a text, not a missing number


NEWS = "available_at,headline,summary\n2020-01-02,one,\n2020-01-02,two,NA\n"
