"""What each arm hears: nothing later than it may know, and what its name says."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from llmrl_lib.evidence.audit import count_trials
from llmrl_lib.experiments import ExperimentError, run_arm
from llmrl_lib.experiments.arms import ARMS, run_arms
from llmrl_lib.experiments.guided import (
    DRAWS,
    HIT_RATES,
    LEARNED,
    ORACLES,
    PLACEBOS,
    VARIANT_OF,
    WINDOW,
    described,
    guidance_of,
    hears_strategies,
    hit_rate_of,
    problems_of,
)
from llmrl_lib.experiments.runs import start_run
from llmrl_lib.language.chat import Token, Usage
from llmrl_lib.market.dataset import Dataset, load_dataset
from llmrl_lib.settings import Profile, TdqnSettings
from llmrl_lib.strategy.guidance import guidance, interaction
from llmrl_lib.strategy.records import Strategy

TINY = Profile("tiny", (0, 1), TdqnSettings(episodes=1, hidden=8), guide="p1")
DATES = pd.bdate_range("2001-01-01", periods=600, name="date")
CLOSES = pd.Series(50 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 600))), DATES)
SPLIT = DATES[400]


def strategy(date: pd.Timestamp, direction: int, confidence: int, ticker: str = "ORVN") -> Strategy:
    tokens = (Token("LONG", np.log(0.7), (("LONG", np.log(0.7)), ("SHORT", np.log(0.3)))),)
    return Strategy(
        date, ticker, direction, confidence, (), "", (), (), None, tokens, Usage(1, 1), "p1", "1", "x", "m", 0, 0.0
    )


def advice(dates: pd.DatetimeIndex, ticker: str = "ORVN") -> list[Strategy]:
    source = np.random.default_rng(1)
    return [strategy(date, int(source.random() < 0.5), int(source.integers(1, 4)), ticker) for date in dates[::20]]


@pytest.fixture(scope="module")
def market(pytestconfig) -> Dataset:
    return load_dataset(pytestconfig.rootpath / "data" / "embedded")


@pytest.mark.parametrize("arm", [arm for arm in LEARNED if not arm.startswith("oracle")])
def test_no_arm_but_the_oracle_looks_ahead(arm: str) -> None:
    """Later closes do not matter at all; later strategies change no earlier day, but for what is drawn from all of them."""
    told = guidance_of(arm, CLOSES, SPLIT, advice(DATES), 3)
    other = guidance_of(arm, pd.Series(1.0, DATES), SPLIT, advice(DATES), 3)
    if arm == "unguided":
        assert told is None
        return
    assert np.array_equal(np.asarray(told), np.asarray(other))
    if arm in ("placebo_permuted", "placebo_random"):
        return
    cut = 333
    earlier = guidance_of(arm, CLOSES.iloc[:cut], SPLIT, [one for one in advice(DATES) if one.date < DATES[cut]], 3)
    assert np.array_equal(np.asarray(told)[:cut], np.asarray(earlier))


def test_permutation_keeps_the_splits_apart() -> None:
    """No decision of the test years reaches the training years."""
    told = guidance_of("placebo_permuted", CLOSES, SPLIT, advice(DATES), 3)
    real = guidance_of("guided", CLOSES, SPLIT, advice(DATES), 3)
    assert sorted(told.iloc[1:381:20]) == pytest.approx(sorted(real.iloc[1:381:20]))
    assert not np.array_equal(told, real)


def test_guided_arms_see_what_their_names_say() -> None:
    made = advice(DATES)
    plain = guidance_of("guided", CLOSES, SPLIT, made, 0)
    pd.testing.assert_series_equal(plain, guidance(made, DATES))
    assert set(np.abs(guidance_of("guided_direction", CLOSES, SPLIT, made, 0).iloc[1:])) == {1.0}
    assert set(np.abs(guidance_of("guided_confidence", CLOSES, SPLIT, made, 0).iloc[1:])) == {1 / 3, 2 / 3, 1.0}
    assert (guidance_of("guided_product", CLOSES, SPLIT, made, 0).abs() <= plain.abs() + 1e-12).all()
    window = guidance_of("guided_window", CLOSES, SPLIT, made, 0)
    assert window.shape == (600, WINDOW)
    assert (
        window.iloc[WINDOW:].to_numpy()
        == [[plain.iloc[row - lag] for lag in range(WINDOW)] for row in range(WINDOW, 600)]
    ).all()
    flipped = guidance_of("placebo_flipped", CLOSES, SPLIT, made, 0)
    np.testing.assert_allclose(flipped, -plain)
    late = guidance_of("placebo_shifted_5", CLOSES, SPLIT, made, 0)
    assert (late.iloc[5:].to_numpy() == plain.iloc[:-5].to_numpy()).all()
    assert (late.iloc[:5] == 0).all()
    assert plain.iloc[21] == pytest.approx(interaction(made[1]))


def test_each_seed_of_an_oracle_and_of_a_random_placebo_hears_its_own() -> None:
    train = CLOSES.iloc[:400].to_frame("close")
    test = CLOSES.iloc[400:].to_frame("close")
    for arm in LEARNED:
        problems = problems_of("ABC", arm, train, test, advice(DATES), (0, 1))
        own = arm in (*ORACLES, "placebo_random", "placebo_permuted")
        assert isinstance(problems, list) is own, arm
        if own and arm != "oracle_100":
            assert not np.array_equal(problems[0].guidance, problems[1].guidance)
            other = problems_of("XYZ", arm, train, test, advice(DATES), (0, 1))
            assert not np.array_equal(problems[0].guidance, other[0].guidance)
    shaped = problems_of("ABC", "guided_shaped", train, test, advice(DATES), (0, 1))
    assert shaped.shaping > 0
    assert [hit_rate_of(arm) for arm in ORACLES] == list(HIT_RATES)


def test_settings_say_what_was_heard() -> None:
    made = advice(DATES)
    abouts = {arm: described(arm, made) for arm in ARMS}
    assert abouts["unguided"] == abouts["buy_and_hold"] == {}
    assert abouts["oracle_070"] == {"hit_rate": 0.7, "foresight": True, "draws": DRAWS}
    assert abouts["guided"]["strategies"] == abouts["llm_only"]["strategies"]
    assert described("guided", made[1:])["strategies"] != abouts["guided"]["strategies"]
    assert {arm for arm in ARMS if hears_strategies(arm)} == {*VARIANT_OF, *PLACEBOS, "llm_only"}


def test_an_arm_without_its_strategies_is_refused(market: Dataset, tmp_path) -> None:
    for arm in ("guided", "placebo_flipped", "llm_only"):
        with pytest.raises(ExperimentError, match="needs strategies of ORVN; name a guide"):
            run_arm(market, "ORVN", arm, TINY, tmp_path / arm)
    with pytest.raises(ExperimentError, match="needs strategies"):
        guidance_of("guided", CLOSES, SPLIT, (), 0)


def test_arms_together_equal_arms_one_by_one(market: Dataset, tmp_path) -> None:
    """Trained in one call, with other tickers and widths beside them, or each alone: the same files."""
    dates = pd.DatetimeIndex(market.bars("ORVN").loc[market.train_start : market.end].index)
    told = {ticker: advice(dates, ticker) for ticker in ("ORVN", "KSTV")}
    wanted = {(ticker, arm): tmp_path / "all" / ticker / arm for ticker, arm in
              [("ORVN", "unguided"), ("ORVN", "guided"), ("KSTV", "oracle_070")]}  # fmt: skip
    seen = []
    arms = run_arms(market, wanted, TINY, told, seen.append, "cpu")
    assert {entry.problem for entry in seen} == {"ORVN/unguided", "ORVN/guided", "KSTV/oracle_070"}
    for (ticker, arm), made in arms.items():
        alone = run_arm(market, ticker, arm, TINY, tmp_path / "one" / ticker / arm, strategies=told[ticker])
        for name in ("metrics.csv", "performance.csv", "trajectories.csv.gz", "settings.toml", "weights.safetensors"):
            assert (alone.folder / name).read_bytes() == (made.folder / name).read_bytes(), (arm, name)
    again = run_arms(market, wanted, TINY, told, None, "cpu")
    assert {key: arm.manifest for key, arm in again.items()} == {key: arm.manifest for key, arm in arms.items()}
    with pytest.raises(ExperimentError, match=r"advice\.strategies"):
        run_arm(market, "ORVN", "guided", TINY, wanted["ORVN", "guided"], strategies=told["ORVN"][1:])


def test_following_the_strategist_is_an_arm(market: Dataset, tmp_path) -> None:
    dates = pd.DatetimeIndex(market.bars("ORVN").loc[market.train_start : market.end].index)
    made = advice(dates)
    arm = run_arm(market, "ORVN", "llm_only", TINY, tmp_path / "llm_only", strategies=made)
    test = arm.trajectories.query("split == 'test'")
    known = {one.date: one.direction for one in made}
    for row in test.itertuples():
        decided = max(date for date in known if date < row.date)
        assert row.action == known[decided]
    assert set(arm.performance["split"]) == {"train", "test"}


def test_every_configuration_that_a_run_starts_is_counted_once(market: Dataset, tmp_path) -> None:
    run = start_run(tmp_path / "run", market, TINY, ["ORVN", "KSTV"]).path
    told = advice(pd.DatetimeIndex(market.bars("ORVN").index))
    for arm in ("buy_and_hold", "sell_and_hold", "buy_and_hold"):
        run_arm(market, "ORVN", arm, TINY, run / "ORVN" / arm)
    assert count_trials(run) == 2
    run_arm(market, "ORVN", "llm_only", TINY, run / "ORVN" / "llm_only", strategies=told)
    run_arm(market, "KSTV", "buy_and_hold", TINY, run / "KSTV" / "buy_and_hold")
    assert (count_trials(run), count_trials(run, "ORVN"), count_trials(run, "KSTV")) == (4, 3, 1)
    shutil.rmtree(run / "ORVN" / "llm_only")  # forgetting a result does not undo the attempt
    other = [replace(one, direction=1 - one.direction) for one in told]
    run_arm(market, "ORVN", "llm_only", TINY, run / "ORVN" / "llm_only", strategies=other)
    assert count_trials(run, "ORVN") == 4
    with pytest.raises(ExperimentError):
        run_arm(market, "ORVN", "llm_only", TINY, run / "ORVN" / "llm_only", strategies=told)
    assert count_trials(run, "ORVN") == 4


def test_an_arm_outside_of_a_run_is_nobodys_trial(market: Dataset, tmp_path) -> None:
    run_arm(market, "ORVN", "buy_and_hold", TINY, tmp_path / "ORVN" / "buy_and_hold")
    assert count_trials(tmp_path) is None
