"""The Gymnasium environment, the batched one, and the golden trajectories through both."""

import gymnasium
import numpy as np
import pandas as pd
import pytest
from gymnasium.utils.env_checker import check_env

from llmrl_lib.settings import Quirks, TdqnSettings
from llmrl_lib.trading.environment import BatchedTrading, TradingEnv
from llmrl_lib.trading.observation import clean, low_pass, scales_of
from llmrl_lib.trading.problem import Problem, prepare


@pytest.fixture(scope="module")
def bars(golden) -> pd.DataFrame:
    return pd.read_csv(golden / "crash" / "bars_train.csv", parse_dates=["date"], index_col="date")


@pytest.fixture(scope="module")
def trajectories(golden) -> pd.DataFrame:
    return pd.read_csv(golden / "crash" / "trajectories.csv.gz").query("split == 'train'")


def test_gymnasiums_checker_passes(bars) -> None:
    with pytest.warns(UserWarning, match="infinity"):  # the only thing it remarks on: observations are unbounded
        check_env(TradingEnv(bars, random_start=True), skip_render_check=True)


@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")  # of what earlier tests left to be collected
def test_it_can_be_made_by_name(bars) -> None:
    gymnasium.register("llmrl/Trading-v0", entry_point=TradingEnv)
    env = gymnasium.make("llmrl/Trading-v0", bars=bars)
    observation, info = env.reset(seed=1)
    assert observation.shape == (117,)
    assert info["row"] == 30


@pytest.mark.parametrize("policy", ["long", "short", "rand0", "sticky"])
def test_an_episode_equals_the_reference(bars, trajectories, policy) -> None:
    wanted = trajectories[trajectories["policy"] == policy]
    env = TradingEnv(bars)
    env.reset()
    ended = False
    for row in wanted.itertuples():
        assert not ended
        _, reward, ended, cut, info = env.step(int(row.action))
        assert (info["row"], info["position"], info["shares"]) == (row.row, row.position, row.shares)
        assert reward == pytest.approx(row.reward, rel=1e-9, abs=1e-12)
        assert info["other_reward"] == pytest.approx(row.other_reward, rel=1e-9, abs=1e-12)
        assert info["equity"] == pytest.approx(row.equity, rel=1e-9)
        assert not cut
    assert ended


def test_the_other_actions_observation_differs_in_position_only(bars) -> None:
    env = TradingEnv(bars)
    env.reset()
    observation, *_, info = env.step(1)
    assert (observation[:-1] == info["other_observation"][:-1]).all()
    assert (observation[-1], info["other_observation"][-1]) == (1.0, -1.0)


def test_guidance_joins_the_observation(bars) -> None:
    guidance = pd.Series(np.linspace(-1, 1, len(bars)), index=bars.index)
    env = TradingEnv(bars, guidance)
    observation, _info = env.reset(options={"row": 100})
    assert observation.shape == (118,)
    assert observation[-1] == np.float32(guidance.iloc[100])


@pytest.mark.parametrize("quirk", [None, "train_on_low_passed_prices", "scales_from_low_passed_prices"])
def test_it_shows_what_the_learner_trains_and_is_judged_on(bars, golden, quirk) -> None:
    """Training: low-passed trades; evaluation on test bars: raw trades, the training bars' scales."""
    settings = TdqnSettings(quirks=Quirks(**({quirk: False} if quirk else {})))
    test = pd.read_csv(golden / "crash" / "bars_test.csv", parse_dates=["date"], index_col="date")
    prepared = prepare(Problem(bars, test), settings)
    training = TradingEnv(bars, settings=settings, low_passed_trades=quirk != "train_on_low_passed_prices")
    assert (training._table == prepared.training.table).all()
    assert training._closes == prepared.training.closes.tolist()
    seen = low_pass(clean(bars)) if quirk != "scales_from_low_passed_prices" else clean(bars)
    judged = TradingEnv(test, settings=settings, scales=scales_of(seen))
    assert (judged._table == prepared.test.table).all()
    assert judged._closes == prepared.test.closes.tolist()


def test_misuse_is_named(bars) -> None:
    env = TradingEnv(bars.iloc[:31])
    env.reset()
    with pytest.raises(ValueError, match="1 is long, 0 is short"):
        env.step(2)
    assert env.step(1)[2]
    with pytest.raises(ValueError, match="call reset"):
        env.step(1)
    with pytest.raises(ValueError, match="29 rows"):
        TradingEnv(bars.iloc[:29])


def test_batched_accounts_equal_single_ones(bars) -> None:
    single = [TradingEnv(bars) for _ in range(3)]
    for env in single:
        env.reset()
    batch = BatchedTrading(single[0]._table, bars["close"].to_numpy(), 3, TdqnSettings())
    generator = np.random.default_rng(0)
    for _ in range(len(bars) - 30):
        actions = generator.integers(0, 2, 3)
        rewards, others, ended = batch.step(actions)
        for lane, env in enumerate(single):
            observation, reward, over, _, info = env.step(int(actions[lane]))
            assert rewards[lane] == pytest.approx(reward, rel=1e-12)
            assert others[lane] == pytest.approx(info["other_reward"], rel=1e-12)
            assert ended[lane] == over
            if not over:
                assert (batch.observe()[lane] == observation).all()
    assert (batch.observe()[:, -1] == 0).all()
