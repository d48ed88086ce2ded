"""How large the files of a run become: networks exactly, tables by their rows, replies by their tokens."""

from __future__ import annotations

from llmrl_lib.experiments.flag_arms import FLAG_ARMS, NUMBERS, UNTRAINED
from llmrl_lib.experiments.guided import LEARNED
from llmrl_lib.experiments.planning.questions import Questions
from llmrl_lib.experiments.planning.speeds import Speeds
from llmrl_lib.experiments.planning.training import Rows, flag_rows, steps_of, weights_of
from llmrl_lib.settings import Profile

FLOAT, STORED_STEP = 4, 8 + 8 + 8  # bytes of a number; of a step in replay: state, action, two rewards


def arm_bytes(arm: str, rows: Rows, profile: Profile, speeds: Speeds) -> float:
    """Bytes of a finished arm: weights, trajectories, figures of episodes, settings and manifest."""
    seeds, traded = len(profile.seeds), sum(rows) - 2 * profile.tdqn.state_length
    episodes, weights = 0, 0.0
    if arm in LEARNED:
        weights = FLOAT * seeds * sum(weights_of(arm, profile.tdqn))
        episodes = profile.tdqn.episodes * seeds
    elif arm in FLAG_ARMS:
        traded = sum(flag_rows(rows, profile))
        seeds = 1 if arm == UNTRAINED else seeds
        episodes = 0 if arm == UNTRAINED else seeds * (1 if arm == NUMBERS else profile.flag_trader.evaluations)
        each = 0.0 if arm == UNTRAINED else speeds["ppo_weights_b"] if arm == NUMBERS else speeds["flag_weights_b"]
        weights = seeds * each
    else:
        seeds = 1
    tables = speeds["trajectory_row_b"] * traded + 2 * speeds["performance_row_b"]
    return weights + seeds * tables + episodes * speeds["episode_row_b"] + speeds["arm_texts_b"]


def checkpoint_bytes(arm: str, rows: Rows, profile: Profile) -> float:
    """Bytes of a TDQN arm's checkpoints while it trains, one for each seed: weights, Adam's moments, replay, target table."""
    if arm not in LEARNED:
        return 0.0
    learning, fixed = weights_of(arm, profile.tdqn)
    steps = sum(steps_of(rows.train, profile.seeds, profile.tdqn))
    each = FLOAT * (3 * learning + fixed) + FLOAT * 2 * 3 * (rows.train + 1)
    return len(profile.seeds) * each + STORED_STEP * steps


def strategies_bytes(part: Questions, ticker: str, alternatives: int, speeds: Speeds) -> float:
    """Bytes of a ticker's replies of one label in the store and, where they are strategies, of the file made of them."""
    if not part.strategies:  # an analyst's replies are kept without log-probabilities, and made into nothing
        each = speeds["reply_envelope_b"]
        return sum(one.size + each + one.reply * speeds["plain_token_b"] for one in part.by_ticker.get(ticker, ()))
    token = speeds["token_b"] + speeds["alternative_b"] * alternatives
    each = speeds["reply_envelope_b"] + speeds["strategy_envelope_b"]
    return sum(one.size + each + 2 * token * one.reply for one in part.by_ticker.get(ticker, ()))
