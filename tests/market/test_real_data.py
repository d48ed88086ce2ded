"""The maintainers' real dataset is read as it is, with exactly the defects it is known to have."""

from pathlib import Path

import pytest

from llmrl_lib.market import Dataset, check_dataset, load_dataset


@pytest.fixture(scope="module")
def real(shared: Path) -> Dataset:
    return load_dataset(shared / "market")


def count(dataset: Dataset, file: str, kind: str) -> int:
    return sum(defect.count for defect in dataset.defects if (defect.file, defect.kind) == (file, kind))


def test_all_tickers_load(real: Dataset) -> None:
    assert real.tickers[:6] == ("AAPL", "AMZN", "GOOGL", "META", "MSFT", "TSLA")
    assert len(real.tickers) == 17
    assert [len(real.train_bars("AAPL")), len(real.test_bars("AAPL"))] == [1509, 503]
    assert len(real.bars("META")) == 1917
    assert real.bars("AAPL")["close"].iloc[0] == 12.691425323486328


def test_known_defects_are_tolerated_and_counted(real: Dataset) -> None:
    assert count(real, "bars/AAPL.csv", "close outside [low, high]") == 1926
    # 26 in the benchmark's two files, in which 2018-01-01 and 2018-01-02 stand twice
    assert count(real, "bars/6758.T.csv", "zero volume") == 24
    assert count(real, "bars/0700.HK.csv", "zero volume") == 6
    assert count(real, "bars/SIE.DE.csv", "zero volume") == 6
    assert count(real, "bars/0700.HK.csv", "open outside [low, high]") == 1
    kinds = {defect.kind for defect in real.defects}
    assert kinds == {
        "close outside [low, high]",
        "open outside [low, high]",
        "zero volume",
        "late first bar",
        "jump of the implied shares",
    }


def test_what_is_doubted_is_true_of_these_companies(real: Dataset) -> None:
    doubted: dict[str, list[str]] = {defect.kind: [] for defect in real.defects}
    for defect in real.defects:
        doubted[defect.kind].append(defect.file)
    assert doubted["late first bar"] == ["bars/META.csv", "bars/TWTR.csv"]  # listed in May 2012 and in November 2013
    assert doubted["jump of the implied shares"] == [
        "fundamentals/TSLA.csv"
    ]  # per share before the split of 2020 until 2013


def test_missing_values_stay_missing(real: Dataset) -> None:
    assert real.indices["dgs10"].isna().sum() == 19
    assert real.fundamentals("AAPL")["ebitda"].isna().sum() == 27
    assert real.options("TSLA").empty
    assert len(real.news("AAPL")) == 5519


def test_nothing_is_refused(shared: Path) -> None:
    check = check_dataset(shared / "market")
    assert check.ok
    assert check.coverage.set_index(["table", "ticker"]).loc[("macro", ""), "rows"] == 1266
