"""A text-free agent on the same numbers: PPO of stable-baselines3 with a small network of its own, to tell what text adds.

It sees the figures of the texts, standardised on the training days, and which of the account's words holds; it trades
through the same orders, is rewarded alike, and has the same settings of PPO where that library knows them. What remains
different: the network; no divergence from a reference; no masks, so that in training an illegal order is a hold and
counts in the entropy (in judging, probabilities are those of the legal orders); and the clipped value's error alone, not
the larger of the two.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pandas as pd
import torch

from llmrl_lib.settings import FlagTraderSettings, settings_or_default
from llmrl_lib.trading.flag_trader import ppo
from llmrl_lib.trading.flag_trader.accounts import Accounts
from llmrl_lib.trading.flag_trader.text import Market, account_words, markets
from llmrl_lib.trading.flag_trader.training import FlagProblem, FlagTraining, one_thread
from llmrl_lib.trading.flag_trader.walks import figures, trajectory, walk
from llmrl_lib.trading.tasks import Progress


class _Lane(NamedTuple):
    train: Market
    test: Market
    train_texts: np.ndarray
    test_texts: np.ndarray


class NumbersEnv(gymnasium.Env):
    """Episodes on one market: actions 0 sell, 1 hold, 2 buy; an order that the account cannot carry out is a hold."""

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(self, market: Market, table: np.ndarray, settings: FlagTraderSettings) -> None:
        """`table` holds the standardised figures of every row, (row, field)."""
        self._market, self._table, self._settings = market, table, settings
        self._accounts = Accounts([market.closes], settings)
        self._words, self._end = len(account_words(settings)), 0
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (table.shape[1] + self._words,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode of `episode_days` at a drawn training day, with cash alone."""
        super().reset(seed=seed, options=options)
        first, days = self._market.first_row, self._settings.episode_days
        row = int(self.np_random.integers(first, max(first, self._market.rows - days) + 1))
        self._end = min(row + days, self._market.rows)
        self._accounts.begin(np.ones(1, bool), np.array([row]))
        return self._observe(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Trades the row's close."""
        _, reward = self._accounts.step(np.array([int(action)]))
        over = int(self._accounts.row[0]) >= self._end
        return (np.zeros_like(self._observe(-1)) if over else self._observe()), float(reward[0]), over, False, {}

    def _observe(self, row: int | None = None) -> np.ndarray:
        if row is not None:
            return observation(self._table[row], 0, self._words)
        seen = self._accounts.seen()
        return observation(self._table[int(seen.row[0])], int(seen.word[0]), self._words)


def observation(figures_of_row: np.ndarray, word: int, words: int) -> np.ndarray:
    """Figures and a one for the account's word: float32 (field + words,)."""
    return np.concatenate([figures_of_row, np.eye(words)[word]]).astype(np.float32)


def train_on_numbers(
    problem: FlagProblem,
    seeds: Sequence[int] = (0,),
    settings: FlagTraderSettings | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> FlagTraining:
    """Trains one PPO agent per seed on the CPU; tables as those of `train_flag_trader`, evaluated once, at the end.

    Raises what `train_flag_trader` raises of bars and settings, and FloatingPointError where weights become no numbers.
    """
    settings, started = settings_or_default(settings, FlagTraderSettings), time.perf_counter()
    train, test = markets(problem.train_bars, problem.test_bars, settings, problem.told)
    tables = standardised(train, test)
    lane = _Lane(train, test, np.arange(train.rows), np.arange(test.rows))
    words, rows, paths, kept = len(account_words(settings)), [], [], []
    with one_thread(torch.device("cpu")):
        for seed in seeds:
            agent = agent_of(train, tables[0], int(seed), settings)
            agent.learn(settings.rollouts * settings.rollout * settings.environments)
            if not all(bool(value.isfinite().all()) for value in agent.policy.parameters()):
                raise FloatingPointError(f"seed {seed}: PPO's weights are no finite numbers; lower learning_rate")

            def decide(index: np.ndarray, word: np.ndarray, legal: np.ndarray, agent: Any = agent) -> np.ndarray:
                seen = [observation(tables[part][index[0, part]], int(word[0, part]), words) for part in range(2)]
                with torch.no_grad():
                    logits = agent.policy.get_distribution(torch.from_numpy(np.stack(seen))).distribution.logits
                return among_legal(logits[None], legal)

            pair = walk(decide, [lane], settings)[0]
            steps = agent.num_timesteps
            row = {"episode": 1.0, "steps": float(steps), **figures(*pair, settings)}
            rows.append({"seed": int(seed), **row})
            paths += [
                trajectory(int(seed), split, market, path)
                for split, market, path in zip(("train", "test"), (train, test), pair, strict=True)
            ]
            kept.append({name: value.numpy() for name, value in agent.policy.state_dict().items()})
            if progress is not None:
                elapsed = time.perf_counter() - started
                progress(Progress("", int(seed), 1, 1, steps, row["train_sharpe"], row["test_sharpe"], elapsed))
    weights = {name: np.stack([one[name] for one in kept]) for name in kept[0]}
    table, episodes = pd.concat(paths, ignore_index=True), pd.DataFrame(rows)
    seconds = time.perf_counter() - started
    return FlagTraining(tuple(int(seed) for seed in seeds), settings, "cpu", seconds, episodes, table, weights, "")


def agent_of(market: Market, table: np.ndarray, seed: int, settings: FlagTraderSettings) -> Any:
    """stable-baselines3's PPO with the settings, walking in `environments` copies side by side."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    side_by_side = DummyVecEnv([lambda: NumbersEnv(market, table, settings)] * settings.environments)
    with warnings.catch_warnings():  # of the published rollout, 40, a minibatch of 32 leaves one of 8, as in `learner`
        warnings.filterwarnings("ignore", "You have specified a mini-batch size")
        return PPO(
            "MlpPolicy", side_by_side, seed=seed, device="cpu", verbose=0, learning_rate=_rate(settings),
            n_steps=settings.rollout, batch_size=min(settings.minibatch, settings.rollout * settings.environments),
            n_epochs=settings.epochs, gamma=settings.gamma, gae_lambda=settings.gae_lambda, clip_range=settings.clip,
            clip_range_vf=settings.clip if settings.clip_value else None, ent_coef=settings.entropy,
            vf_coef=settings.value / 2,  # its squared errors are not halved
            max_grad_norm=settings.gradient_clip, normalize_advantage=settings.normalise_advantages,
        )  # fmt: skip


def among_legal(logits: torch.Tensor, legal: np.ndarray) -> np.ndarray:
    """Probabilities (..., 3) of the legal orders, which sum to 1."""
    return ppo.masked_log_softmax(logits.double(), torch.from_numpy(np.ascontiguousarray(legal))).exp().numpy()


def standardised(train: Market, test: Market) -> tuple[np.ndarray, np.ndarray]:
    """Figures of both splits less the training days' mean, by their deviation; what is not available is 0."""
    own = train.numbers[train.first_row :]
    with np.errstate(invalid="ignore"):
        mean, spread = np.nanmean(own, 0), np.nanstd(own, 0)
    spread = np.where(spread > 0, spread, 1.0)
    found = [np.nan_to_num((market.numbers - mean) / spread) for market in (train, test)]
    return found[0], found[1]


def _rate(settings: FlagTraderSettings) -> float | Callable[[float], float]:
    """The learning rate, or, annealed, what it is by the share of training that is left."""
    if not settings.anneal:
        return settings.learning_rate
    return lambda left: settings.learning_rate * left
