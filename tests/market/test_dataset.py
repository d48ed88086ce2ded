"""A dataset folder is described, sliced, hashed and checked."""

import re
from pathlib import Path

import pandas as pd
import pytest
from small_datasets import DESCRIPTION, MakeFolder, plain_bars

from llmrl_lib.market import DatasetError, check_dataset, load_dataset, monthly_coverage


def test_the_description_is_read(make_folder: MakeFolder) -> None:
    toml = """\
name = "mine"
title = "My own bars"
first_date = 2020-01-01
last_date = 2020-12-31
[tickers]
first = ["BBB"]
second = ["AAA"]
[benchmark]
split = "2020-06-01"
"""
    dataset = load_dataset(make_folder({"dataset.toml": toml}))
    assert (dataset.name, dataset.title, dataset.tickers) == ("mine", "My own bars", ("BBB", "AAA"))
    assert dataset.train_start == pd.Timestamp("2020-01-01")
    assert dataset.split == pd.Timestamp("2020-06-01")
    assert dataset.end == pd.Timestamp("2021-01-01")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "split = 2020-06-01\n",
            "",
            "dataset.toml line 4: split is missing: where does training end and testing begin?",
        ),
        ("split = 2020-06-01", "splt = 2020-06-01", "dataset.toml line 6: [benchmark] splt is not a known key"),
        ("2020-06-01", '"June"', "dataset.toml line 6: split June is not a date; write split = 2018-01-01"),
        ("2020-06-01", '"2020-02-30"', "dataset.toml line 6: split 2020-02-30 is not a date"),
        ("2020-06-01", "2022-06-01", "dataset.toml line 6: split 2022-06-01 does not lie between 2020-01-01 and"),
        ("2020-06-01", "2020-01-01", "dataset.toml line 6: split 2020-01-01 does not lie between"),
        ('"small"', '"small"\nfirst_date = 2020-06-01', "dataset.toml line 7: split 2020-06-01 lies outside the dates"),
        ("train_start = 2020-01-01\n", "", "dataset.toml line 4: neither train_start nor first_date; add train_start"),
        ("end = 2021-01-01\n", "", "dataset.toml line 4: neither end nor last_date; add end"),
        ('name = "small"', "", "dataset.toml: name is missing"),
        ('"small"', "5", "dataset.toml line 1: name 5 is not a text"),
        ('["AAA", "BBB"]', "[]", "dataset.toml line 2: the list of tickers is empty"),
        ('tickers = ["AAA", "BBB"]', "", "dataset.toml: no list of tickers; write tickers ="),
        ('["AAA", "BBB"]', '"AAA"', "dataset.toml line 2: no list of tickers"),
        ('["AAA", "BBB"]', '["AAA", "AAA"]', "dataset.toml line 2: ticker 'AAA' stands twice"),
        ('["AAA", "BBB"]', '["AAA", 700]', 'dataset.toml line 2: ticker 700 is not a text; write "700" in quotes'),
        ('["AAA", "BBB"]', '["../AAA"]', "dataset.toml line 2: ticker '../AAA' cannot name a file"),
        ('"small"', '"small', "dataset.toml line 1: not valid TOML"),
        ("[benchmark]", "[[benchmark]]", "benchmark is not a section"),
        (
            "[benchmark]",
            'closes_before_indices = ["6758.T"]\n[benchmark]',
            "dataset.toml line 4: closes_before_indices: '6758.T' is no ticker of this dataset; write a list of tickers",
        ),
    ],
)
def test_a_broken_description_says_what_to_write(make_folder: MakeFolder, old: str, new: str, message: str) -> None:
    assert old in DESCRIPTION
    folder = make_folder({"dataset.toml": DESCRIPTION.replace(old, new, 1)})
    with pytest.raises(DatasetError) as caught:
        load_dataset(folder)
    assert message in str(caught.value)


def test_tickers_of_an_exchange_elsewhere_close_before_the_indices_unless_told_otherwise(
    make_folder: MakeFolder,
) -> None:
    bars = plain_bars()
    toml = DESCRIPTION.replace('["AAA", "BBB"]', '["AAA", "6758.T", "SIE.DE", "BRK-B"]')
    files = {f"bars/{ticker}.csv": bars for ticker in ("AAA", "6758.T", "SIE.DE", "BRK-B")}
    assert load_dataset(make_folder({"dataset.toml": toml, **files})).closes_before_indices == ("6758.T", "SIE.DE")
    told = toml.replace("[benchmark]", 'closes_before_indices = ["AAA"]\n\n[benchmark]')
    assert load_dataset(make_folder({"dataset.toml": told, **files})).closes_before_indices == ("AAA",)


def test_a_description_in_another_encoding_is_named(make_folder: MakeFolder) -> None:
    folder = make_folder({"dataset.toml": DESCRIPTION.replace("small", "B\xf6rse").encode("latin-1")})
    with pytest.raises(DatasetError, match=r"^dataset\.toml line 1: byte 0xf6 is not UTF-8"):
        load_dataset(folder)


def test_folders_that_are_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere: no such folder; give the folder of a dataset"):
        load_dataset(tmp_path / "nowhere")
    (tmp_path / "one.csv").write_text("date\n")
    with pytest.raises(DatasetError, match=r"one\.csv: this is a file; give the folder that holds dataset\.toml"):
        load_dataset(tmp_path / "one.csv")
    (tmp_path / "one.csv").unlink()
    with pytest.raises(DatasetError, match=r"dataset\.toml: not found in .*a folder with dataset\.toml and bars/"):
        load_dataset(tmp_path)


def test_a_ticker_without_bars_fails_at_once(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "bars/BBB.csv").unlink()
    with pytest.raises(DatasetError, match=r"^bars/BBB\.csv: no such file, but dataset\.toml names BBB; add the file"):
        load_dataset(folder)


@pytest.mark.parametrize("table", ["bars", "train_bars", "test_bars", "fundamentals", "earnings", "news", "options"])
def test_an_unknown_ticker_lists_the_known_ones(make_folder: MakeFolder, table: str) -> None:
    dataset = load_dataset(make_folder())
    with pytest.raises(DatasetError, match=r"no ticker 'ZZZ'; the tickers of small are AAA, BBB"):
        getattr(dataset, table)("ZZZ")


def test_training_ends_the_day_before_the_split_and_testing_the_day_before_the_end(make_folder: MakeFolder) -> None:
    dataset = load_dataset(make_folder({"bars/AAA.csv": plain_bars("2019-12-02", "2021-02-01")}))
    train, test = dataset.train_bars("AAA"), dataset.test_bars("AAA")
    assert (train.index[0], train.index[-1]) == (pd.Timestamp("2020-01-01"), pd.Timestamp("2020-05-29"))
    assert (test.index[0], test.index[-1]) == (pd.Timestamp("2020-06-01"), pd.Timestamp("2020-12-31"))
    assert len(dataset.bars("AAA")) > len(train) + len(test)


@pytest.mark.parametrize(("rows", "shown"), [(0, "0 rows"), (1, "1 row,"), (29, "29 rows"), (30, "30 rows")])
def test_too_few_rows_fail_where_the_slice_is_asked_for(make_folder: MakeFolder, rows: int, shown: str) -> None:
    lines = plain_bars()
    in_training = sum(line < "2020-06-01" for line in lines[1:])
    dataset = load_dataset(make_folder({"bars/AAA.csv": lines[: 1 + in_training + rows]}))
    assert len(dataset.train_bars("AAA")) == in_training
    with pytest.raises(DatasetError) as caught:
        dataset.test_bars("AAA")
    message = str(caught.value)
    assert message.startswith("bars/AAA.csv: the test slice, 2020-06-01 to before 2021-01-01, has")
    assert shown in message
    assert "at least 31 are needed" in message


def test_thirty_one_rows_are_enough(make_folder: MakeFolder) -> None:
    dataset = load_dataset(make_folder({"bars/AAA.csv": plain_bars("2020-04-17")}))
    assert len(dataset.train_bars("AAA")) == 31


def test_absent_tables_are_empty_frames_with_the_right_columns(make_folder: MakeFolder) -> None:
    dataset = load_dataset(make_folder())
    frames = [dataset.indices, dataset.macro, dataset.fundamentals("AAA"), dataset.earnings("AAA")]
    frames += [dataset.news("AAA"), dataset.options("AAA")]
    assert all(frame.empty for frame in frames)
    assert dataset.indices.index.dtype == dataset.bars("AAA").index.dtype
    assert list(dataset.options("AAA")) == ["iv_30d", "hv_30d", "skew_30d"]
    assert {"series", "period", "available_at", "value"} <= set(dataset.macro)
    assert dataset.news("AAA")["available_at"].dtype == "datetime64[us]"
    assert len(dataset.fundamentals("AAA").columns) == 21


def test_a_table_may_have_a_header_and_no_rows(make_folder: MakeFolder) -> None:
    dataset = load_dataset(make_folder({"news/AAA.csv": "available_at,headline\n"}))
    absent = dataset.news("BBB")
    pd.testing.assert_frame_equal(dataset.news("AAA"), absent)


def test_changing_a_frame_changes_nothing_else(make_folder: MakeFolder) -> None:
    dataset = load_dataset(make_folder())
    bars = dataset.bars("AAA")
    bars.loc[:, "close"] = 0.0
    assert dataset.bars("AAA")["close"].min() == 10.4


def test_the_hash_depends_on_names_and_bytes_of_the_tables_alone(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder()
    before = load_dataset(folder).content_hash()
    assert re.fullmatch("[0-9a-f]{64}", before)
    (folder / "README.md").write_text("a note")
    (folder / ".DS_Store").write_text("noise")
    moved = folder.rename(tmp_path / "elsewhere")
    assert load_dataset(moved).content_hash() == before
    bars = (moved / "bars/AAA.csv").read_text()
    (moved / "bars/AAA.csv").write_text(bars.replace("10.5", "10.6", 1))
    changed = load_dataset(moved).content_hash()
    assert changed != before
    (moved / "bars/AAA.csv").write_text(bars)
    (moved / "indices.csv").write_text("date\n")
    assert load_dataset(moved).content_hash() not in (before, changed)


def test_option_columns_that_a_file_lacks_are_blank(make_folder: MakeFolder) -> None:
    dataset = load_dataset(make_folder({"options/AAA.csv": "date,iv_30d\n2020-01-02,31.5\n"}))
    options = dataset.options("AAA")
    assert options["iv_30d"].tolist() == [31.5]
    assert options[["hv_30d", "skew_30d"]].isna().all(axis=None)
    full = make_folder({"options/AAA.csv": "date,skew_30d,iv_30d,hv_30d\n2020-01-02,-0.5,31.5,0\n"})
    assert load_dataset(full).options("AAA").iloc[0].tolist() == [31.5, 0.0, -0.5]
    assert not load_dataset(full).defects


def test_the_hash_is_the_one_that_was_written_down(tmp_path: Path) -> None:
    (tmp_path / "bars").mkdir()
    (tmp_path / "dataset.toml").write_bytes(DESCRIPTION.replace('"AAA", "BBB"', '"AAA"').encode())
    (tmp_path / "bars/AAA.csv").write_bytes(b"date,open,high,low,close,volume\n2020-01-01,1,1,1,1,1\n")
    (tmp_path / "indices.csv").write_bytes(b"date,dgs2\n")
    assert load_dataset(tmp_path).content_hash() == "4db23f8625161fb53ff463f3ab8e669498ddbf873c5fb50e7a447b7cb0f16797"


def test_coverage_tells_what_is_there_and_what_is_lacking(make_folder: MakeFolder) -> None:
    indices = "date,spx_close,dgs10\n2020-01-02,1,1\n2020-01-03,1,\n"
    coverage = load_dataset(make_folder({"indices.csv": indices})).coverage().set_index(["table", "ticker"])
    assert len(coverage) == 2 * 5 + 2
    bars, levels, news = coverage.loc[("bars", "AAA")], coverage.loc[("indices", "")], coverage.loc[("news", "AAA")]
    assert (bars["file"], bars["rows"], bars["missing"]) == ("bars/AAA.csv", 262, 0.0)
    assert (bars["first"], bars["last"]) == (pd.Timestamp("2020-01-01"), pd.Timestamp("2020-12-31"))
    assert (levels["rows"], levels["missing"]) == (2, 1 / 4)  # of the two columns that the file has
    assert (news["file"], news["rows"]) == ("", 0)
    assert pd.isna(news["first"])


def test_what_a_file_has_no_column_for_and_notes_are_not_missing(make_folder: MakeFolder) -> None:
    files: dict[str, str | bytes | list[str]] = {
        "news/AAA.csv": "available_at,headline,summary\n2020-01-02,one,\n2020-01-03,two,\n",
        "fundamentals/AAA.csv": [
            "period_end,available_at,revenue,equity",
            "2019-12-31,2020-01-30,5,6",
            "2020-03-31,2020-04-30,5,",
        ],
        "macro.csv": "series,period,available_at,value,unit\nGDP,2019-10-01,2020-01-30,5,\n",
        "earnings/AAA.csv": "period_end,available_at\n2019-12-31,2020-01-30\n",
    }
    dataset = load_dataset(make_folder(files))
    missing = dataset.coverage().set_index(["table", "ticker"])["missing"]
    assert missing["news", "AAA"] == missing["macro", ""] == 0.0
    assert missing["fundamentals", "AAA"] == 0.25
    assert pd.isna(missing["earnings", "AAA"])
    months = monthly_coverage(dataset, "AAA").loc["fundamentals"].dropna()
    assert 1.0 - months.mean() == missing["fundamentals", "AAA"]  # a row in each of two months


def test_check_of_a_faultless_dataset(make_folder: MakeFolder) -> None:
    check = check_dataset(make_folder())
    assert check.ok
    assert check.defects.empty
    assert check.coverage["rows"].sum() == 2 * 262


def test_check_collects_everything_and_does_not_raise(make_folder: MakeFolder) -> None:
    lines = [line.replace(",10.5,", ",ten,").replace(",10.4,", ",ten,") for line in plain_bars()]
    toml = DESCRIPTION.replace('"BBB"]', '"BBB", "CCC", "DDD"]')
    short = plain_bars("2020-05-01", "2020-12-31")
    short[3] = short[3].replace(",1000", ",0")
    folder = make_folder({"dataset.toml": toml, "bars/AAA.csv": lines, "bars/BBB.csv": short, "bars/DDD.csv": ""})
    check = check_dataset(folder)
    assert not check.ok
    found = check.defects.set_index(["severity", "file", "kind"])
    assert found.loc[("refused", "bars/AAA.csv", "not a number"), ["count", "line"]].tolist() == [262, 2]
    assert found.loc[("refused", "bars/BBB.csv", "too few rows"), "count"] == 1
    assert found.loc[("refused", "bars/CCC.csv", "missing file"), "count"] == 1
    assert found.loc[("refused", "bars/DDD.csv", "empty file"), "count"] == 1
    assert found.loc[("tolerated", "bars/BBB.csv", "zero volume"), ["count", "line"]].tolist() == [1, 4]
    assert found.loc[("tolerated", "bars/BBB.csv", "late first bar"), ["count", "line"]].tolist() == [1, 2]
    assert len(found) == 6
    assert check.defects["severity"].tolist() == ["refused"] * 4 + ["tolerated"] * 2


def test_check_of_a_broken_description_is_an_outcome(tmp_path: Path) -> None:
    check = check_dataset(tmp_path / "nowhere")
    assert not check.ok
    assert check.coverage.empty
    assert check.defects["what"].tolist() == ["no such folder"]
