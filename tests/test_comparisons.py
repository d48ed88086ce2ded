"""Comparisons of arms with known differences: seeds are paired, days are shared, and the count of comparisons is paid for."""

import json

import numpy as np
import pandas as pd
import pytest

import llmrl_lib as ll
from llmrl_lib.evidence.paired import paired_test
from llmrl_lib.experiments.arms import Arm, load_arm
from llmrl_lib.experiments.comparisons import COLUMNS, LATER, compare_arms, comparison_table, value_of_advice
from llmrl_lib.experiments.runs import open_run, start_run
from llmrl_lib.market.dataset import load_dataset
from llmrl_lib.metrics import sharpe_ratio
from llmrl_lib.settings import Profile, TdqnSettings

DATES = pd.bdate_range("2018-01-02", periods=400, name="date")
COMMON = np.random.default_rng(7).normal(0, 0.01, (6, 400))  # what both arms of a pair share, by seed


def arm(folder, ticker: str, name: str, drift: float, seeds: int = 6, paths: bool = True) -> Arm:
    """An arm whose daily returns are those of its seed plus a drift; its later episodes score as its paths do."""
    folder.mkdir(parents=True)
    returns = COMMON[:seeds] + drift
    sharpe = [float(sharpe_ratio(row)) for row in returns]
    rows = [{"seed": seed, "split": "test", "sharpe_ratio": value} for seed, value in enumerate(sharpe)]
    pd.DataFrame(rows).to_csv(folder / "performance.csv", index=False)
    episodes = [
        {"seed": seed, "episode": episode, "steps": 10 * episode, "test_sharpe": value if episode > 2 else -99.0}
        for seed, value in enumerate(sharpe)
        for episode in (1, 2, 3, 4)
    ]
    pd.DataFrame(episodes).to_csv(folder / "metrics.csv", index=False)
    if paths:
        table = [
            pd.DataFrame({"seed": seed, "split": "test", "date": DATES, "daily_return": row})
            for seed, row in enumerate(returns)
        ]
        pd.concat(table).to_csv(folder / "trajectories.csv.gz", index=False)
    (folder / "manifest.json").write_text(json.dumps({"ticker": ticker, "arm": name, "dataset_hash": "x"}))
    return load_arm(folder)


@pytest.fixture
def run(tmp_path, pytestconfig):
    """Two tickers: the guided arm is better by a clear drift, the placebo is the unguided arm over again."""
    data = load_dataset(pytestconfig.rootpath / "data" / "embedded")
    start_run(tmp_path / "run", data, Profile("x", tuple(range(6)), TdqnSettings()), ["ORVN", "KSTV"])
    for ticker in ("ORVN", "KSTV"):
        for name, drift in (
            ("unguided", 0.0),
            ("guided", 2e-3),
            ("placebo_random", 0.0),
            ("oracle_100", 4e-3),
            ("oracle_040", -1e-3),
        ):
            arm(tmp_path / "run" / ticker / name, ticker, name, drift)
        arm(tmp_path / "run" / ticker / "buy_and_hold", ticker, "buy_and_hold", 1e-3, seeds=1)
    return open_run(tmp_path / "run")


def test_a_pair_is_compared_seed_by_seed_and_day_by_day(tmp_path) -> None:
    better, base = arm(tmp_path / "a", "T", "guided", 1e-3), arm(tmp_path / "b", "T", "unguided", 0.0)
    found = ll.compare_arms(better, base)
    scores = [one.performance["sharpe_ratio"].to_numpy() for one in (better, base)]
    assert found.seeds == paired_test(*scores)
    assert found.path.estimate == pytest.approx(found.seeds.difference)  # the same figure, two kinds of chance
    assert found.path.low < found.path.estimate < found.path.high
    later = compare_arms(better, base, LATER)
    assert later.seeds.difference == pytest.approx(found.seeds.difference)  # early episodes do not count
    assert later.mean > 0


def test_a_single_account_stands_beside_every_seed(tmp_path) -> None:
    held, base = arm(tmp_path / "a", "T", "buy_and_hold", 0.0, seeds=1), arm(tmp_path / "b", "T", "unguided", 0.0)
    found = compare_arms(base, held)
    assert found.seeds.n == 6
    assert found.base_mean == pytest.approx(held.performance["sharpe_ratio"].iloc[0])


def test_what_cannot_be_compared_is_refused(tmp_path) -> None:
    one, other = arm(tmp_path / "a", "T", "guided", 0.0), arm(tmp_path / "b", "U", "guided", 0.0)
    with pytest.raises(ValueError, match="of T and U"):
        compare_arms(one, other)
    with pytest.raises(ValueError, match="no metric 'luck'; choose from sharpe_ratio"):
        compare_arms(one, one, "luck")


def test_the_same_paths_have_no_interval(tmp_path) -> None:
    one, other = arm(tmp_path / "a", "T", "guided", 0.0), arm(tmp_path / "b", "T", "unguided", 0.0)
    assert compare_arms(one, other).path is None


def test_seeds_that_all_did_what_the_one_account_did_have_no_interval(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(globals(), "COMMON", np.tile(COMMON[0], (6, 1)))
    one, other = arm(tmp_path / "a", "T", "flag_trader", 0.0), arm(tmp_path / "b", "T", "untrained", 0.0, seeds=1)
    assert compare_arms(one, other).path is None
    assert compare_arms(arm(tmp_path / "c", "T", "guided", 1e-3), other).path is not None


def test_over_days_a_single_account_stands_beside_every_seed(tmp_path) -> None:
    one = arm(tmp_path / "a", "T", "guided", 0.0)
    held = arm(tmp_path / "b", "T", "buy_and_hold", 1e-3, seeds=1)
    for found in (compare_arms(one, held), compare_arms(held, one)):
        assert found.path.estimate == pytest.approx(found.seeds.difference)


def test_a_table_pays_for_every_comparison(run) -> None:
    table = comparison_table(run)
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 8
    good = table[table["arm"] == "guided"]
    assert (good["corrected"] < 0.05).all()
    assert (good["corrected"] >= good["p_value"]).all()
    assert (good["path_low"] > 0).all()
    placebo = table[table["arm"] == "placebo_random"]
    assert placebo["p_value"].isna().all()
    assert (placebo["difference"] == 0).all()


def test_the_curve_is_in_the_order_of_hit_rates(run) -> None:
    curve = value_of_advice(run)
    assert curve["hit_rate"].tolist() == [0.4, 1.0, 0.4, 1.0]
    assert (curve.groupby("ticker")["difference"].diff().dropna() > 0).all()


def test_a_recorded_run_keeps_its_intervals_over_days(run) -> None:
    full = comparison_table(run)
    full.to_csv(run.path / "comparisons.csv", index=False)
    for paths in run.path.glob("*/*/trajectories.csv.gz"):
        paths.unlink()
    again = comparison_table(open_run(run.path))
    pd.testing.assert_frame_equal(again, full)


def test_a_run_without_a_base_has_no_rows(run) -> None:
    assert len(comparison_table(run, base="guided_window")) == 0
    assert len(value_of_advice(run)) == 4
