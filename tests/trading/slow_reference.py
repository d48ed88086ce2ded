"""A plain transcription of the benchmark: one run, one step after the other, ordinary PyTorch; slow and easy to check.

It shares nothing with the fast path but the accounting, the observation blocks and, where a test wants the same numbers,
the random draws that it is handed.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from llmrl_lib.settings import TdqnSettings
from llmrl_lib.trading.accounting import open_account, transition
from llmrl_lib.trading.problem import Prepared
from llmrl_lib.trading.streams import GREEDY, REPEAT, ChoiceStream, DropoutStream, schedule


class Draws(NamedTuple):
    """The random numbers of a step, as the fast path draws them."""

    todo: int
    replayed: np.ndarray
    masks: torch.Tensor  # (layer, row, unit)


class Draft(nn.Module):
    """The network, with dropout masks handed in or drawn by torch."""

    def __init__(self, features: int, settings: TdqnSettings) -> None:
        super().__init__()
        widths = [features] + [settings.hidden] * settings.layers
        self.layers = settings.layers
        for layer in range(1, settings.layers + 1):
            self.add_module(f"fc{layer}", nn.Linear(widths[layer - 1], settings.hidden))
            self.add_module(f"bn{layer}", nn.BatchNorm1d(settings.hidden))
        self.add_module(f"fc{settings.layers + 1}", nn.Linear(settings.hidden, 2))
        self.dropout = nn.Dropout(settings.dropout)
        for name, module in self.named_children():
            if name.startswith("fc"):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, x: torch.Tensor, masks: torch.Tensor | None = None) -> torch.Tensor:
        for layer in range(1, self.layers + 1):
            x = self.get_submodule(f"bn{layer}")(self.get_submodule(f"fc{layer}")(x))
            x = nn.functional.leaky_relu(x)
            x = self.dropout(x) if masks is None else x * masks[layer - 1]
        return self.get_submodule(f"fc{self.layers + 1}")(x)


class SlowAgent:
    """The reference's agent: policy and target networks, optimiser, replay of full observations."""

    def __init__(self, features: int, settings: TdqnSettings, dtype: torch.dtype = torch.float32) -> None:
        self.settings, self.dtype = settings, dtype
        self.policy = Draft(features, settings).to(dtype)
        self.policy.eval()
        self.target = copy.deepcopy(self.policy).eval()
        self.optimiser = torch.optim.Adam(
            self.policy.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.replay: deque = deque(maxlen=settings.replay_capacity)
        self.iterations = 0

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        """Starts from given weights."""
        self.policy.load_state_dict({**self.policy.state_dict(), **weights})
        self.target.load_state_dict(self.policy.state_dict())

    def greedy(self, observation: np.ndarray) -> int:
        with torch.no_grad():
            return int(self.policy(torch.from_numpy(observation)[None].to(self.dtype))[0].argmax())

    def learn(self, batch: list[tuple], masks: torch.Tensor | None = None) -> float:
        """One learning call on (state, action, reward, next state, done) tuples; returns the loss."""
        size = len(batch)
        states, actions, rewards, next_states, dones = zip(*batch, strict=True)
        state, next_state = (torch.from_numpy(np.stack(x)).to(self.dtype) for x in (states, next_states))
        action = torch.tensor(actions)
        reward, done = (torch.tensor(x, dtype=self.dtype) for x in (rewards, dones))
        now, then = (None, None) if masks is None else masks.to(self.dtype).split(size, 1)
        self.policy.train()
        chosen = self.policy(state, now).gather(1, action[:, None])[:, 0]
        with torch.no_grad():
            best = self.policy(next_state, then).argmax(1)
            future = self.target(next_state).gather(1, best[:, None])[:, 0]
            wanted = reward + self.settings.gamma * future * (1 - done)
        loss = nn.functional.smooth_l1_loss(chosen, wanted)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.policy.parameters(), self.settings.gradient_clip)
        self.optimiser.step()
        if self.iterations % self.settings.target_period == 0:
            self.target.load_state_dict(self.policy.state_dict())
        self.policy.eval()
        return float(loss.detach())


def train_slowly(
    agent: SlowAgent, prepared: Prepared, seed: int, steps: int, draws: Iterator[Draws] | None
) -> dict[str, list[float]]:
    """Trains for `steps` steps over the episodes of `seed`; without `draws` it draws its own, as the reference does."""
    settings, segment = agent.settings, prepared.training
    walk = schedule(seed, len(segment.closes), segment.first_row, settings)
    log: dict[str, list[float]] = {"action": [], "reward": [], "other_reward": [], "loss": []}
    account, previous_action = open_account(settings.cash, 0.0), 0
    for step in range(steps):
        row = int(walk.rows[step])
        if walk.starts[step]:
            account, previous_action = open_account(settings.cash, 0.0), 0
        observation = segment.table[row, int(account.position) + 1]
        drawn = None if draws is None else next(draws)
        todo = _own_choice(agent) if drawn is None else drawn.todo
        action = agent.greedy(observation) if todo == GREEDY else previous_action if todo == REPEAT else todo
        agent.iterations += 1
        price, before = float(segment.closes[row]), float(segment.closes[row - 1])
        done = float(row + 1 == len(segment.closes))
        outcomes = {}
        for choice in (action, 1 - action):
            result = transition(
                account, choice, price, before, settings.cost_rate, settings.short_margin, np.bool_(choice != action)
            )
            reward = float(np.clip(result.reward, -settings.reward_clip, settings.reward_clip))
            following = segment.table[row + 1, int(result.account.position) + 1]
            outcomes[choice] = (observation, choice, reward, following, done)
            if choice == action:
                taken = result
        own, other = outcomes[action], outcomes[1 - action]
        # The fast path numbers a step's two experiences by action, the reference by own and other: the same set.
        agent.replay.extend((own, other) if draws is None else (outcomes[0], outcomes[1]))
        loss = float("nan")
        if len(agent.replay) >= settings.batch_size:
            if drawn is None:
                loss = agent.learn(random.sample(agent.replay, settings.batch_size))
            else:
                loss = agent.learn([agent.replay[index] for index in drawn.replayed], drawn.masks)
        account, previous_action = taken.account, action
        for name, value in zip(log, (action, own[2], other[2], loss), strict=True):
            log[name].append(value)
    return log


def evaluate_slowly(
    agent: SlowAgent, bars: pd.DataFrame, train_bars: pd.DataFrame, settings: TdqnSettings
) -> dict[str, list[float]]:
    """The reference's testing, row by row: observations built here from smoothed bars, money counted at raw closes."""
    smooth, training = _smoothed(bars), _smoothed(train_bars)
    scales = (
        np.max(np.abs(np.diff(training["close"]) / training["close"][:-1])),
        np.max(np.abs(training["high"] - training["low"])),
        np.min(training["volume"]),
        np.max(training["volume"]),
    )
    account, log = open_account(settings.cash, 0.0), {"action": [], "equity": []}
    closes = bars["close"].tolist()
    for row in range(30, len(bars)):
        window = {name: values[row - 30 : row] for name, values in smooth.items()}
        action = agent.greedy(_observation(window, scales, account.position))
        account = transition(account, action, closes[row], closes[row - 1]).account
        log["action"].append(action)
        log["equity"].append(account.equity)
    return log


def _smoothed(bars: pd.DataFrame) -> dict[str, np.ndarray]:
    smooth = {}
    for name in ("close", "low", "high", "volume"):
        values = bars[name].tolist()
        smooth[name] = np.array([np.mean(values[i - 4 : i + 1]) if i >= 5 else values[i] for i in range(len(values))])
    return smooth


def _observation(window: dict[str, np.ndarray], scales: tuple, position: float) -> np.ndarray:
    largest_return, largest_range, lowest, highest = scales
    close, low, high, volume = (window[name] for name in ("close", "low", "high", "volume"))
    values = [(close[i] - close[i - 1]) / close[i - 1] / largest_return for i in range(1, 30)]
    values += [abs(high[i] - low[i]) / largest_range for i in range(1, 30)]
    values += [abs(close[i] - low[i]) / abs(high[i] - low[i]) if high[i] != low[i] else 0.5 for i in range(1, 30)]
    values += [(volume[i] - lowest) / (highest - lowest) for i in range(1, 30)]
    return np.array([*values, position], np.float32)


def fast_draws(prepared: Prepared, seed: int, settings: TdqnSettings, block: int = 100) -> Iterator[Draws]:
    """The draws of the fast path for a run, step by step."""
    segment = prepared.training
    walk = schedule(seed, len(segment.closes), segment.first_row, settings)
    choices = ChoiceStream(seed, settings)
    shape = (settings.layers, 2 * settings.batch_size, settings.hidden)
    dropout = DropoutStream([seed], shape, settings.dropout, torch.device("cpu"))
    for first in range(0, len(walk.rows), block):
        todo, replayed = choices.block(first, walk.starts[first : first + block])
        for offset in range(len(todo)):
            yield Draws(int(todo[offset]), replayed[offset], dropout.masks(dropout.bits()[0])[:, 0])


def _own_choice(agent: SlowAgent) -> int:
    settings = agent.settings
    decayed = np.exp(-agent.iterations / settings.epsilon_decay)
    epsilon = settings.epsilon_end + (settings.epsilon_start - settings.epsilon_end) * decayed
    if random.random() > epsilon:
        return GREEDY if random.random() > settings.sticky else REPEAT
    return random.randrange(2)
