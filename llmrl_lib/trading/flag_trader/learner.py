"""The training loop for a group of seeds side by side: walk 40 days, learn from them, now and then judge the greedy policy.

Shapes: S runs (a run is a seed on its problem), E environments of each, T days of a rollout, N = E T decisions.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from llmrl_lib.settings import FlagTraderSettings
from llmrl_lib.trading.flag_trader import ppo
from llmrl_lib.trading.flag_trader.accounts import Accounts, Seen
from llmrl_lib.trading.flag_trader.backbone import Backbone, initial_heads
from llmrl_lib.trading.flag_trader.policy import Policy, heads, initial_weights, whole_weights
from llmrl_lib.trading.flag_trader.text import Market
from llmrl_lib.trading.flag_trader.walks import Walk, figures, walk

REFERENCE_AT_ONCE = 256
Listener = Callable[[int, dict[str, float]], None]


class Lane(NamedTuple):
    """One run's markets, and which text of the table each of their rows shows."""

    train: Market
    test: Market
    train_texts: np.ndarray  # int64 (row,)
    test_texts: np.ndarray


class Rollout(NamedTuple):
    """Decisions of a rollout, (S, N), E by E."""

    texts: Tensor
    words: Tensor
    legal: Tensor  # (S, N, 3)
    actions: Tensor
    log_probabilities: Tensor  # of the taken actions
    values: Tensor
    advantages: Tensor
    returns: Tensor


class Group:
    """Runs that train together. `advance` goes on by one rollout; `state` and `restore` make it resumable."""

    def __init__(
        self, lanes: list[Lane], seeds: list[int], settings: FlagTraderSettings, backbone: Backbone, policy: Policy
    ) -> None:
        self.lanes, self.seeds, self.settings, self.device = lanes, seeds, settings, backbone.device
        self._policy = policy
        words = backbone.word_rows() if settings.head == "words" else None
        own = [initial_heads(backbone.shape.width, seed, words) for seed in seeds]
        learning, frozen = initial_weights(backbone.top(), own, settings, seeds)
        self.weights = {name: value.to(self.device).requires_grad_() for name, value in learning.items()}
        self._frozen = {name: value.to(self.device) for name, value in frozen.items()}
        self._initial = {name: value.detach().clone() for name, value in self._whole().items()}
        self._optimiser = torch.optim.Adam(list(self.weights.values()), lr=settings.learning_rate, eps=1e-5)
        self._sources = [np.random.default_rng(np.random.SeedSequence([seed, 31])) for seed in seeds]
        closes = [lane.train.closes for lane in lanes for _ in range(settings.environments)]
        self.accounts = Accounts(closes, settings)
        self._ends = np.zeros(len(closes), np.int64)
        self._begin(np.ones(len(closes), bool))
        self.rollout, self.seconds = 0, 0.0
        self.episodes: list[list[dict[str, float]]] = [[] for _ in seeds]
        self._losses: list[list[float]] = []
        self._due = {int(place) for place in np.linspace(0, settings.rollouts, settings.evaluations + 1)[1:]}

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return self.rollout >= self.settings.rollouts

    def advance(self, listen: Listener | None = None) -> bool:
        """One rollout and what is learned from it; True while there is more to do.

        Raises FloatingPointError, naming seed and rollout, where a loss or a gradient is no finite number.
        """
        if self.rollout >= self.settings.rollouts:
            raise RuntimeError("the runs have ended; see final()")
        started = time.perf_counter()
        gone = self._walk_on()
        self._learn(gone)
        self.rollout += 1
        if self.rollout in self._due:
            self._evaluate(listen)
        self.seconds += time.perf_counter() - started
        return self.rollout < self.settings.rollouts

    def final(self) -> list[tuple[Walk, Walk]]:
        """The greedy policy's walk through the training and the test days, by run."""
        return walk(self._decide, self.lanes, self.settings)

    # One rollout

    @torch.no_grad()
    def _walk_on(self) -> Rollout:
        settings, runs = self.settings, len(self.seeds)
        weights = self._whole()
        history: list[tuple[Any, ...]] = []
        for _ in range(settings.rollout):
            seen = self.accounts.seen()
            texts, words, legal = self._shown(seen)
            said = heads(weights, self._policy.trunk(weights, texts, words))
            chances = ppo.masked_log_softmax(said.logits, legal)
            uniform = np.stack([source.random(settings.environments) for source in self._sources])
            actions = drawn(chances.exp().double().cpu().numpy(), uniform)  # (S, E)
            _, reward = self.accounts.step(actions.reshape(-1))
            over = self.accounts.row >= self._ends
            if over.any():
                self._begin(over)
            taken = torch.from_numpy(actions).to(self.device)
            own = chances.gather(-1, taken[..., None])[..., 0]
            numbers = [torch.from_numpy(value).view(runs, -1).to(self.device) for value in (reward, over)]
            history.append((texts, words, legal, taken, own, said.values, *numbers))
        texts, words, legal, taken, own, values, rewards, ended = (
            torch.stack(part, 2) for part in zip(*history, strict=True)
        )  # (S, E, T, ...)
        after, words_after, _ = self._shown(self.accounts.seen())
        last = heads(weights, self._policy.trunk(weights, after, words_after)).values
        gains, returns = ppo.advantages(
            rewards.float(), values, ended.bool(), last, settings.gamma, settings.gae_lambda
        )
        parts = (texts, words, legal, taken, own, values, gains, returns)
        return Rollout(*(part.flatten(1, 2) for part in parts))

    def _begin(self, which: np.ndarray) -> None:
        """New episodes in the lanes `which`, at training days drawn by each seed's own generator."""
        settings = self.settings
        rows = np.zeros(len(which), np.int64)
        for lane in np.flatnonzero(which).tolist():
            run = lane // settings.environments
            market = self.lanes[run].train
            latest = max(market.first_row, market.rows - settings.episode_days)
            rows[lane] = self._sources[run].integers(market.first_row, latest + 1)
            self._ends[lane] = min(rows[lane] + settings.episode_days, market.rows)
        self.accounts.begin(which, rows)

    def _shown(self, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
        """Text indices, account words and legal actions as tensors: (S, E), (S, E), (S, E, 3)."""
        runs = len(self.seeds)
        rows, words = (value.reshape(runs, -1) for value in (seen.row, seen.word))
        texts = np.stack([lane.train_texts[own] for lane, own in zip(self.lanes, rows, strict=True)])
        legal = seen.legal.reshape(runs, -1, 3)
        found = (torch.from_numpy(np.ascontiguousarray(value)).to(self.device) for value in (texts, words, legal))
        return next(found), next(found), next(found)

    # Learning

    def _learn(self, gone: Rollout) -> None:
        """PPO's epochs over one rollout."""
        settings, count = self.settings, gone.actions.shape[1]
        for group in self._optimiser.param_groups:
            rate = settings.learning_rate
            group["lr"] = ppo.annealed(rate, self.rollout, settings.rollouts) if settings.anneal else rate
        reference = self._reference(gone)
        size = settings.minibatch // settings.accumulation
        noted = []
        for _ in range(settings.epochs):
            order = np.stack([source.permutation(count) for source in self._sources])
            for first in range(0, count, settings.minibatch):
                chosen = torch.from_numpy(order[:, first : first + settings.minibatch]).to(self.device)
                batch = Rollout(*(_taken(part, chosen) for part in gone))
                if settings.normalise_advantages:
                    batch = batch._replace(advantages=ppo.normalised(batch.advantages))
                noted.append(self._one_step(batch, _taken(reference, chosen), size))
        self._losses.append(np.mean(noted, 0).tolist())

    def _one_step(self, batch: Rollout, reference: Tensor, size: int) -> np.ndarray:
        """One step of the optimiser on a minibatch, its gradients summed over parts of `size` decisions."""
        self._optimiser.zero_grad(set_to_none=True)
        count = batch.actions.shape[1]
        sums = torch.zeros(4, len(self.seeds), device=self.device)
        for first in range(0, count, size):
            part = Rollout(*(value[:, first : first + size] for value in batch))
            losses = self.losses(part, reference[:, first : first + size])
            policy, value, spread, apart = (loss.sum(1) / count for loss in losses)
            total = policy + self.settings.value * value - self.settings.entropy * spread + self.settings.kl * apart
            total.sum().backward()
            sums += torch.stack([policy, value, spread, apart]).detach()
        gradients = [value.grad for value in self.weights.values() if value.grad is not None]
        norms = ppo.clip_gradients(gradients, self.settings.gradient_clip)
        found = torch.cat([sums, norms.detach()[None]]).cpu().numpy()  # (5, S)
        if not np.isfinite(found).all():
            run = int(np.flatnonzero(~np.isfinite(found).all(0))[0])
            raise FloatingPointError(
                f"seed {self.seeds[run]} became no number in rollout {self.rollout + 1} of {self.settings.rollouts} (losses "
                f"{np.round(found[:4, run], 3).tolist()}, norm of the gradient {found[4, run]:.3g}); lower learning_rate"
            )
        self._optimiser.step()
        return found[:4]

    def losses(self, part: Rollout, reference: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Policy loss, value loss, entropy and divergence from the reference, each (S, n)."""
        settings, weights = self.settings, self._whole()
        said = heads(weights, self._policy.trunk(weights, part.texts, part.words))
        chances = ppo.masked_log_softmax(said.logits, part.legal)
        own = chances.gather(-1, part.actions[..., None])[..., 0]
        return (
            ppo.policy_loss(own, part.log_probabilities, part.advantages, settings.clip),
            ppo.value_loss(said.values, part.values, part.returns, settings.clip if settings.clip_value else None),
            ppo.entropy(chances),
            ppo.divergence(chances, reference),
        )

    @torch.no_grad()
    def _reference(self, gone: Rollout) -> Tensor:
        """Log-probabilities of the policy that training began with, (S, N, 3)."""
        parts = [
            heads(self._initial, self._policy.trunk(self._initial, texts, words)).logits
            for texts, words in zip(
                gone.texts.split(REFERENCE_AT_ONCE, 1), gone.words.split(REFERENCE_AT_ONCE, 1), strict=True
            )
        ]
        return ppo.masked_log_softmax(torch.cat(parts, 1), gone.legal)

    def _whole(self) -> dict[str, Tensor]:
        return whole_weights(self.weights, self._frozen, self.settings)

    # Judging

    @torch.no_grad()
    def _decide(self, texts: np.ndarray, words: np.ndarray, legal: np.ndarray) -> np.ndarray:
        """Probabilities (S, n, 3) of the present policy."""
        weights = self._whole()
        shown = [torch.from_numpy(np.ascontiguousarray(value)).to(self.device) for value in (texts, words)]
        logits = heads(weights, self._policy.trunk(weights, *shown)).logits
        allowed = torch.from_numpy(np.ascontiguousarray(legal)).to(self.device)
        return ppo.masked_log_softmax(logits, allowed).exp().double().cpu().numpy()

    def _evaluate(self, listen: Listener | None) -> None:
        since = np.mean(self._losses, 0)  # (4, S)
        self._losses = []
        steps = self.rollout * self.settings.rollout * self.settings.environments
        for run, (train, test) in enumerate(self.final()):
            row = {
                "episode": float(len(self.episodes[run]) + 1),
                "steps": float(steps),
                **figures(train, test, self.settings),
                **dict(zip(("policy_loss", "value_loss", "entropy", "kl"), since[:, run].tolist(), strict=True)),
            }
            self.episodes[run].append(row)
            if listen is not None:
                listen(run, row)

    # Stopping and going on

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and a JSON record from which `restore` goes on to the same numbers."""
        tensors = {f"weights.{name}": value.detach() for name, value in self.weights.items()}
        for name, value in self.weights.items():
            for moment, kept in self._optimiser.state.get(value, {}).items():
                tensors[f"adam.{moment}.{name}"] = kept
        tensors |= {f"accounts.{name}": value for name, value in self.accounts.state().items()}
        tensors["ends"] = torch.from_numpy(self._ends)
        record = {
            "rollout": self.rollout,
            "seconds": self.seconds,
            "episodes": self.episodes,
            "losses": self._losses,
            "sources": [json.dumps(source.bit_generator.state) for source in self._sources],
        }
        return {name: value.detach().cpu().clone() for name, value in tensors.items()}, record

    def restore(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Goes on from a state."""
        with torch.no_grad():
            for name, value in self.weights.items():
                value.copy_(tensors[f"weights.{name}"])
                kept = {
                    moment: tensors[f"adam.{moment}.{name}"].to(self.device if moment != "step" else "cpu")
                    for moment in ("step", "exp_avg", "exp_avg_sq")
                    if f"adam.{moment}.{name}" in tensors
                }
                if kept:
                    self._optimiser.state[value] = kept
        own = {name.removeprefix("accounts."): value for name, value in tensors.items() if name.startswith("accounts.")}
        self.accounts.restore(own)
        self._ends = tensors["ends"].numpy().copy()
        self.rollout, self.seconds = int(record["rollout"]), float(record["seconds"])
        self.episodes, self._losses = record["episodes"], record["losses"]
        for source, text in zip(self._sources, record["sources"], strict=True):
            source.bit_generator.state = json.loads(text)


def drawn(chances: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Actions by probabilities (..., 3) and uniform numbers (...) in [0, 1); one of probability 0 is never drawn."""
    cumulative = chances.cumsum(-1)
    action = (cumulative <= uniform[..., None] * cumulative[..., -1:]).sum(-1)
    possible = chances > 0
    last = 2 - possible[..., ::-1].argmax(-1)
    return np.minimum(action, last)


def _taken(values: Tensor, chosen: Tensor) -> Tensor:
    """Decisions (S, n) of (S, N, ...)."""
    index = chosen if values.dim() == 2 else chosen[..., None].expand(-1, -1, values.shape[-1])
    return values.gather(1, index)
