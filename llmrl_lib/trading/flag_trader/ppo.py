"""PPO's parts as functions of tensors (Schulman et al. 2017; generalised advantages: Schulman et al. 2016).

Decisions lie on the last axis before that of actions; leading axes are seeds, and nothing mixes them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def masked_log_softmax(logits: Tensor, legal: Tensor) -> Tensor:
    """Log-probabilities of actions (..., 3); an action that is not `legal` has -inf, so that its probability is exactly 0."""
    return torch.log_softmax(logits.masked_fill(~legal, -torch.inf), -1)


def entropy(log_probabilities: Tensor) -> Tensor:
    """-sum p ln p over actions, those of probability 0 left out: (..., 3) to (...), in nats."""
    known = log_probabilities.masked_fill(log_probabilities == -torch.inf, 0.0)  # 0 ln 0 is 0, and so is its gradient
    return -(known.exp() * known * (log_probabilities > -torch.inf)).sum(-1)


def divergence(log_probabilities: Tensor, reference: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the reference policy, sum p (ln p - ln q), over actions legal in both: in nats."""
    legal = log_probabilities > -torch.inf
    own, other = (value.masked_fill(~legal, 0.0) for value in (log_probabilities, reference))
    return (own.exp() * (own - other) * legal).sum(-1)


def advantages(
    rewards: Tensor, values: Tensor, ended: Tensor, last_value: Tensor, gamma: float, decay: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantages and the returns that the value learns: each (..., T).

    `rewards`, `values` and `ended` are (..., T); `ended` says that the episode was over after the step, so that nothing
    follows it; `last_value` (...) is of the state after the last step. With d_t = r_t + gamma v_{t+1} - v_t,
    A_t = d_t + gamma lambda A_{t+1}; returns are A + v.
    """
    found = torch.zeros_like(rewards)
    following, next_value = torch.zeros_like(last_value), last_value
    for step in range(rewards.shape[-1] - 1, -1, -1):
        goes_on = 1.0 - ended[..., step].to(rewards.dtype)
        surprise = rewards[..., step] + gamma * next_value * goes_on - values[..., step]
        following = surprise + gamma * decay * goes_on * following
        found[..., step] = following
        next_value = values[..., step]
    return found, found + values


def normalised(values: Tensor) -> Tensor:
    """Values less their mean over the last axis, by their standard deviation; one alone becomes 0."""
    if values.shape[-1] < 2:
        return torch.zeros_like(values)
    return (values - values.mean(-1, keepdim=True)) / (values.std(-1, keepdim=True) + 1e-8)


def policy_loss(log_probability: Tensor, old: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """-min(ratio A, clipped ratio A) of each decision; the ratio is that of the taken action's probabilities."""
    ratio = (log_probability - old).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage)


def value_loss(value: Tensor, old: Tensor, returns: Tensor, clip: float | None) -> Tensor:
    """Half the squared error of each value; with `clip` the larger of it and that of the value moved by at most so much."""
    error = (value - returns).square()
    if clip is not None:
        near = old + (value - old).clamp(-clip, clip)
        error = torch.maximum(error, (near - returns).square())
    return 0.5 * error


def annealed(rate: float, update: int, updates: int) -> float:
    """The learning rate of an update, 0 the first: it falls linearly and would be 0 after the last."""
    return rate * (1.0 - update / updates)


def clip_gradients(gradients: list[Tensor], limit: float) -> Tensor:
    """Scales gradients (S, ...) in place so that each seed's global L2 norm is at most `limit`; returns the norms before."""
    norms = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0).sqrt()
    scale = (limit / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))
    return norms
