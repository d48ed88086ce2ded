"""PPO's parts against plain loops on small arrays, and the value of a two-state toy market."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from llmrl_lib.settings import FlagTraderSettings
from llmrl_lib.trading.flag_trader import ppo
from llmrl_lib.trading.flag_trader.accounts import Seen, running_sharpe
from llmrl_lib.trading.flag_trader.learner import Group, Lane, drawn
from llmrl_lib.trading.flag_trader.policy import heads
from llmrl_lib.trading.flag_trader.text import Market

SOURCE = np.random.default_rng(5)


def numbers(*shape: int) -> torch.Tensor:
    return torch.from_numpy(SOURCE.standard_normal(shape))


def plain_advantages(rewards, values, ended, last, gamma, decay):
    """Sums of discounted surprises, each written out."""
    found = []
    for start in range(len(rewards)):
        total, weight = 0.0, 1.0
        for step in range(start, len(rewards)):
            after = last if step + 1 == len(rewards) else values[step + 1]
            surprise = rewards[step] + (0.0 if ended[step] else gamma * after) - values[step]
            total += weight * surprise
            if ended[step]:
                break
            weight *= gamma * decay
        found.append(total)
    return found


def test_advantages_are_sums_of_discounted_surprises() -> None:
    rewards, values, last = numbers(2, 3, 9), numbers(2, 3, 9), numbers(2, 3)
    ended = torch.from_numpy(SOURCE.random((2, 3, 9)) < 0.3)
    found, returns = ppo.advantages(rewards, values, ended, last, 0.95, 0.98)
    for lane in np.ndindex(2, 3):
        plain = plain_advantages(*(part[lane].tolist() for part in (rewards, values, ended, last)), 0.95, 0.98)
        assert found[lane].tolist() == pytest.approx(plain)
    assert torch.allclose(returns, found + values)


def test_clipped_losses_equal_their_definitions() -> None:
    new, old, gain = numbers(2, 7), numbers(2, 7), numbers(2, 7)
    value, before, target = numbers(2, 7), numbers(2, 7), numbers(2, 7)
    policy, worth = ppo.policy_loss(new, old, gain, 0.2), ppo.value_loss(value, before, target, 0.2)
    free = ppo.value_loss(value, before, target, None)
    for at in np.ndindex(2, 7):
        ratio, advantage = math.exp(new[at] - old[at]), float(gain[at])
        kept = min(max(ratio, 0.8), 1.2)
        assert float(policy[at]) == pytest.approx(-min(ratio * advantage, kept * advantage))
        near = float(before[at]) + min(max(float(value[at] - before[at]), -0.2), 0.2)
        errors = (float(value[at] - target[at]) ** 2, (near - float(target[at])) ** 2)
        assert float(worth[at]) == pytest.approx(0.5 * max(errors))
        assert float(free[at]) == pytest.approx(0.5 * errors[0])


def test_masks_entropy_and_divergence_equal_plain_sums() -> None:
    logits, reference = numbers(4, 3).requires_grad_(), numbers(4, 3)
    legal = torch.tensor([[True, True, True], [False, True, True], [True, True, False], [False, True, False]])
    own, other = ppo.masked_log_softmax(logits, legal), ppo.masked_log_softmax(reference, legal)
    assert (own.exp()[~legal] == 0.0).all()  # exactly
    spread, apart = ppo.entropy(own), ppo.divergence(own, other)
    for row in range(4):
        allowed = [action for action in range(3) if legal[row, action]]
        p, q = (np.exp([float(table[row, action]) for action in allowed]) for table in (logits.detach(), reference))
        p, q = p / p.sum(), q / q.sum()
        assert spread[row].item() == pytest.approx(float(-(p * np.log(p)).sum()), abs=1e-12)
        assert apart[row].item() == pytest.approx(float((p * np.log(p / q)).sum()), abs=1e-12)
    (spread.sum() + apart.sum()).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[~legal] == 0.0).all()


def test_an_illegal_action_is_never_drawn() -> None:
    chances = np.array([[0.0, 0.4, 0.6], [0.3, 0.7, 0.0], [0.0, 1.0, 0.0]])
    for uniform in (0.0, 0.29999, 0.3, 0.5, 1.0 - 2.0**-53):
        actions = drawn(chances, np.full(3, uniform))
        assert (chances[np.arange(3), actions] > 0).all()
    many = drawn(np.broadcast_to(chances[0], (20_000, 3)), SOURCE.random(20_000))
    assert (many == 2).mean() == pytest.approx(0.6, abs=0.02)


def test_gradients_are_clipped_seed_by_seed() -> None:
    gradients = [torch.tensor([[3.0, 0.0], [0.3, 0.0]]), torch.tensor([[4.0], [0.0]])]
    norms = ppo.clip_gradients(gradients, 0.5)
    assert norms.tolist() == pytest.approx([5.0, 0.3])
    assert gradients[0][0, 0].item() == pytest.approx(0.3)
    assert gradients[1][0, 0].item() == pytest.approx(0.4)
    assert gradients[0][1, 0].item() == pytest.approx(0.3)  # a small one stays as it is


def test_annealing_falls_in_a_line_and_normalising_is_per_seed() -> None:
    assert [ppo.annealed(1.0, update, 4) for update in range(4)] == [1.0, 0.75, 0.5, 0.25]
    table = ppo.normalised(numbers(2, 50) * torch.tensor([[1.0], [9.0]]))
    assert table.mean(1).abs().max() < 1e-9
    assert table.std(1).tolist() == pytest.approx([1.0, 1.0])
    assert ppo.normalised(numbers(2, 1)).tolist() == [[0.0], [0.0]]


def test_running_sharpe_is_that_of_the_days_so_far() -> None:
    returns = 0.02 * SOURCE.standard_normal(30)
    for days in (2, 3, 30):
        part = returns[:days]
        found = running_sharpe(np.array(float(days)), part.sum(), (part**2).sum(), 0.001)
        assert float(found) == pytest.approx(part.mean() / part.std(ddof=1))
    assert float(running_sharpe(np.array(1.0), np.array(0.02), np.array(0.0004), 0.01)) == pytest.approx(2.0)


class TwoStates:
    """Accounts on a market of two states in turn: a day in the first is worth 1, one in the second nothing."""

    def __init__(self) -> None:
        self.row = np.full(1, 1)

    def seen(self) -> Seen:
        return Seen(self.row.copy(), np.zeros(1, np.int64), np.ones((1, 3), bool))

    def step(self, _: np.ndarray) -> tuple[None, np.ndarray]:
        reward = (self.row % 2 == 0).astype(float)
        self.row = self.row + 1
        return None, reward


class OneHot:
    """A policy whose trunk says which state it is."""

    def trunk(self, _: object, texts: torch.Tensor, __: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(texts, 2).float()


def test_the_value_of_a_two_state_market_is_learned() -> None:
    """v(first) = 1 + gamma v(second), v(second) = gamma v(first): 4/3 and 2/3 at gamma 1/2."""
    settings = FlagTraderSettings(
        steps=4000, rollout=40, gamma=0.5, learning_rate=0.05, episode_days=100_000, evaluations=1, accumulation=1
    )
    backbone = SimpleNamespace(device=torch.device("cpu"), shape=SimpleNamespace(width=2), top=dict)
    closes = np.full(9000, 10.0)
    market = Market(closes, None, 1, (), np.zeros((9000, 0)))
    lane = Lane(market, market, np.arange(9000) % 2, np.arange(9000) % 2)
    group = Group([lane], [0], settings, backbone, OneHot())
    group.accounts, group._ends = TwoStates(), np.full(1, 10**9)
    group._evaluate = lambda _: None
    while group.advance():
        pass
    values = heads(group.weights, torch.eye(2)[None]).values[0].tolist()
    assert values == pytest.approx([4 / 3, 2 / 3], abs=0.03)
