"""How a trained agent is judged: greedy, without noise, decisions from what it trained on, money at raw closes.

The reference's "testing" (Theate & Ernst 2021, public code). A greedy policy is a table over (row, position), so an agent
at an episode's end is one forward pass; the path through the table and the account follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from llmrl_lib.metrics import benchmark_max_drawdown, prepend, sharpe_ratio
from llmrl_lib.settings import TdqnSettings
from llmrl_lib.trading.accounting import simulate_paths
from llmrl_lib.trading.network import Kernels, Network, q_values
from llmrl_lib.trading.problem import Prepared, Segment

ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Rollout:
    """A greedy policy's walk through one segment; arrays have the tradable rows as their axis."""

    actions: np.ndarray  # int64
    q: np.ndarray  # float32 (row, action), at the position held


def greedy_q(net: Network, table: Tensor, first_row: int, kernels: Kernels) -> Tensor:
    """Q of every state that one run's greedy policy can meet, on its device: (1 + 2 * steps, action).

    First the flat state of the first tradable row, then, for each tradable row, short and long. `net` has a leading axis of
    length 1; `table` is a segment's, on the same device.
    """
    held = table[first_row:-1, 0::2].reshape(-1, table.shape[-1])
    states = torch.cat([table[first_row, 1:2], held])
    return torch.cat([q_values(net, part[None], kernels)[0] for part in states.split(ROWS_AT_ONCE)])


def walk(q: np.ndarray) -> Rollout:
    """Follows the greedy action from row to row through what `greedy_q` gives."""
    by_position = q[1:].reshape(-1, 2, 2)  # (row, short or long held, action)
    best = by_position.argmax(-1).tolist()
    actions = [int(q[0].argmax())]
    for row in range(1, len(best)):
        actions.append(best[row][actions[-1]])
    path = np.array(actions)
    return Rollout(path, np.concatenate([q[:1], by_position[np.arange(1, len(path)), path[:-1]]]))


def accounts_of(segment: Segment, rollouts: list[Rollout], settings: TdqnSettings) -> dict[str, np.ndarray]:
    """Columns of `simulate` for walks through one segment, each of shape (walk, step), at its closes."""
    actions = np.stack([rollout.actions for rollout in rollouts])
    return simulate_paths(
        segment.closes, actions, settings.cash, settings.cost_rate, segment.first_row, settings.short_margin,
        settings.quirks,
    )  # fmt: skip


def episode_figures(
    prepared: Prepared, trains: list[Rollout], tests: list[Rollout], settings: TdqnSettings
) -> list[dict[str, float]]:
    """What is logged at an episode's end, for many at once: train and test Sharpe, test drawdown (the benchmark's, as a
    fraction), and the mean over test rows of Q for both actions at the position held."""
    train = accounts_of(prepared.train, trains, settings)
    test = accounts_of(prepared.test, tests, settings)
    warm_up = prepared.test.warm_up
    train_sharpe = sharpe_ratio(prepend(train["daily_return"], prepared.train.warm_up))
    test_sharpe = sharpe_ratio(prepend(test["daily_return"], warm_up))
    drawdown, _ = benchmark_max_drawdown(prepend(test["equity"], warm_up, settings.cash))
    return [
        {
            "train_sharpe": float(train_sharpe[lane]),
            "test_sharpe": float(test_sharpe[lane]),
            "test_max_drawdown": float(drawdown[lane]),
            "q_short": float(rollout.q[:, 0].mean()),
            "q_long": float(rollout.q[:, 1].mean()),
        }
        for lane, rollout in enumerate(tests)
    ]


def trajectory(seed: int, split: str, segment: Segment, rollout: Rollout, settings: TdqnSettings) -> pd.DataFrame:
    """A walk as a frame: seed, split, date, row, the columns of `simulate`, q_short and q_long; one row per step."""
    columns = {name: values[0] for name, values in accounts_of(segment, [rollout], settings).items()}
    rows = np.arange(segment.first_row, len(segment.closes))
    dates, in_split = segment.dates[rows], rows - segment.first_row + segment.warm_up
    frame = pd.DataFrame({"seed": seed, "split": split, "date": dates, "row": in_split, **columns})
    return frame.assign(q_short=rollout.q[:, 0], q_long=rollout.q[:, 1]).astype(
        {"position": np.int64, "trade_mark": np.int64}
    )
