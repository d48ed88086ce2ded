"""A record opened up holds every available field once, with its unit, its day and its age."""

import pandas as pd
import pytest
from feature_worlds import whole_dataset
from small_datasets import MakeFolder

from llmrl_lib.market import Dataset, load_dataset
from llmrl_lib.market.features import GROUPS, Features, Field, features, opened

DATE = pd.Timestamp("2021-12-01")


@pytest.fixture
def whole(make_folder: MakeFolder) -> Dataset:
    return load_dataset(make_folder(whole_dataset()))


def record_of(*fields: Field) -> Features:
    return Features("AAA", DATE, fields, ())


def test_every_field_has_a_cell_and_every_row_its_age(whole: Dataset) -> None:
    record = features(whole, "AAA", DATE)
    for group in GROUPS:
        table = opened(record, group)
        cells = table.drop(columns=["known since", "days old"])
        assert (cells != "").to_numpy().sum() == len(record.group(group)), group  # type: ignore[arg-type]
        for row in table.itertuples(index=False, name=None):
            known, age = (
                dict(zip(table, row, strict=True))["known since"],
                dict(zip(table, row, strict=True))["days old"],
            )
            days = [pd.Timestamp(day) for day in known.split(", ")] if known else []
            assert [(DATE - day).days for day in days] == [int(days) for days in age.split(", ") if days]


def test_value_and_what_is_derived_from_it_share_a_row() -> None:
    monday, friday = pd.Timestamp("2021-11-29"), pd.Timestamp("2021-11-26")
    table = opened(
        record_of(
            Field("current_ratio", "fundamental", "ratio", 1.5, friday),
            Field("current_ratio_qoq", "fundamental", "%", -2.0, monday),
            Field("revenue_growth_yoy", "fundamental", "%", None, None),
            Field("enterprise_value", "fundamental", "currency", 1.2345e11, DATE),
        ),
        "fundamental",
    )
    assert table.index.tolist() == ["current ratio", "revenue growth", "enterprise value"]
    assert table.columns.tolist() == ["value", "known since", "days old", "change in a quarter", "change in a year"]
    assert table.loc["current ratio"].tolist() == ["1.50", "2021-11-26, 2021-11-29", "5, 2", "-2.00 %", ""]
    assert table.loc["revenue growth"].tolist() == ["", "", "", "", "not available"]
    assert table.loc["enterprise value"].tolist() == ["123.5 bn currency", "2021-12-01", "0", "", ""]


@pytest.mark.parametrize(
    ("unit", "value", "shown"),
    [
        ("shares", 34_600_000.0, "34.6 m shares"),
        ("headlines", 32.0, "32 headlines"),
        ("%", -2931.4, "-2,931 %"),
        ("ratio", 0.0, "0.00"),
        ("% points", 0.09, "0.09 % points"),
        ("%/day", -0.0084321, "-0.0084 %/day"),
    ],
)
def test_numbers_are_short_and_have_their_unit(unit: str, value: float, shown: str) -> None:
    assert opened(record_of(Field("one", "news", unit, value, DATE)), "news").loc["one", "value"] == shown


def test_a_group_without_a_value_has_no_rows(make_folder: MakeFolder) -> None:
    record = features(load_dataset(make_folder()), "AAA", "2020-12-31")
    assert not len(opened(record, "fundamental"))
    assert not len(opened(record, "macro"))
    assert len(opened(record, "technical"))
    assert opened(record, "market").loc["beta", "value"] == "not available"


def test_an_unknown_group_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no group 'weather'; there are market, technical"):
        opened(record_of(), "weather")
