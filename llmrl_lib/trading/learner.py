"""The training loop of the trading DQN for a group of runs in lock-step; see `tdqn` for what it follows.

Per step: act, trade (and imagine the other action), store, learn; every `target_period` steps renew the target; at an
episode's end evaluate. Shapes: R runs, B batch, S states (3 positions for each row), F features.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from llmrl_lib.settings import TdqnSettings
from llmrl_lib.trading.accounting import Account, open_account, transition
from llmrl_lib.trading.evaluation import Rollout, episode_figures, greedy_q, walk
from llmrl_lib.trading.network import (
    Network,
    backward,
    initial_network,
    kernels_for,
    q_values,
    row_values,
    training_forward,
)
from llmrl_lib.trading.problem import Prepared
from llmrl_lib.trading.streams import GREEDY, REPEAT, ChoiceStream, DropoutStream, schedule

BLOCK = 500  # steps whose random numbers are drawn at once; checkpoints lie between blocks
BITS_BLOCK = 16  # steps whose dropout bits are drawn at once on a GPU
TARGET_ROWS = 4096  # states per forward pass when the target table is filled
FIGURES_AT_ONCE = 256  # evaluations whose accounts are simulated together on a GPU


@dataclass(frozen=True)
class RunResult:
    """One run, trained."""

    episodes: list[dict[str, float]]
    weights: dict[str, np.ndarray]
    train_q: np.ndarray  # of the final policy, see `evaluation.greedy_q`
    test_q: np.ndarray
    seconds: float  # this run's share of the group's training time


class Now(NamedTuple):
    """What a step needs from outside, per run unless said otherwise."""

    step: Tensor  # int64 (1,)
    rows: Tensor  # int64 (R,)
    starts: Tensor  # bool (R,), first step of an episode
    todo: Tensor  # int64 (R,), GREEDY, REPEAT or a random action
    price: Tensor  # float64 (R,), the close traded at
    previous: Tensor  # float64 (R,), the close before
    replayed: Tensor  # int64 (R, B), indices of experiences
    bits: Tensor  # int64 (R, words), for dropout


class Group:
    """Runs that train together. `advance` goes on by a block of steps; `state` and `restore` make it resumable."""

    def __init__(
        self,
        prepared: tuple[Prepared, ...],
        seeds: list[int],
        settings: TdqnSettings,
        device: torch.device | str = "cpu",
        stacked: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """One run per entry of `prepared` and `seeds`. `stacked` (the GPU's primitives on CPU) and `dtype` are for tests."""
        self.prepared, self.seeds, self.settings, self.device = prepared, seeds, settings, torch.device(device)
        self._dtype = dtype
        self._kernels = kernels_for(self.device, settings.precision, stacked)
        self._exact = kernels_for(self.device, "float32", stacked)
        runs = len(seeds)
        self._walks = [
            schedule(seed, len(data.training.closes), data.training.first_row, settings)
            for seed, data in zip(seeds, prepared, strict=True)
        ]
        self.steps = max(len(walk.rows) for walk in self._walks)
        self._ends: dict[int, list[int]] = {}
        for run, entry in enumerate(self._walks):
            for step in entry.ends.tolist():
                self._ends.setdefault(step, []).append(run)
        self._lay_out_tables()
        features = [data.features for data in prepared]
        self.network = initial_network(features, settings.hidden, settings.layers, seeds).map(
            lambda value: value.to(self.device, dtype)
        )
        self._choices = [ChoiceStream(seed, settings) for seed in seeds]
        mask_shape = (settings.layers, 2 * settings.batch_size, settings.hidden)
        self._dropout = DropoutStream(seeds, mask_shape, settings.dropout, self.device)
        self._first_moment = [torch.zeros_like(value) for value in self.network.parameters.values()]
        self._second_moment = [torch.zeros_like(value) for value in self.network.parameters.values()]
        self._learned = torch.zeros((), device=self.device)
        self._replay_state = torch.zeros(runs, self.steps, dtype=torch.int64, device=self.device)
        self._replay_action = torch.zeros(runs, self.steps, dtype=torch.int64, device=self.device)
        self._replay_reward = torch.zeros(runs, self.steps, 2, dtype=dtype, device=self.device)  # by action
        self._account = open_account(settings.cash, torch.zeros(runs, dtype=torch.float64, device=self.device))
        self._action = torch.zeros(runs, dtype=torch.int64, device=self.device)  # the previous one
        self._plainly = self.device.type == "cpu" and not stacked
        self._layers = [self.network.layers_of(run) for run in range(runs)]
        self._sides = torch.tensor([[0], [1]], device=self.device)  # both actions, one lane each
        self.step = 0
        self.seconds = 0.0
        self._graph: _Captured | None = None
        self._pending: list[tuple[int, Tensor, Tensor]] = []
        self.episodes: list[list[dict[str, float]]] = [[] for _ in seeds]
        self._final: list[tuple[Network, Tensor, Tensor] | None] = [None] * runs
        self._targets = torch.zeros(runs, self._states, 2, dtype=dtype, device=self.device)
        self._row_after = torch.arange(self._states, device=self.device) // 3 + 1  # of a state, the next one's
        self._renew_targets()

    # The loop

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return self.step >= self.steps

    def advance(self, listen: Callable[[int, dict[str, float]], None] | None = None, limit: int | None = None) -> bool:
        """Trains on by one block of steps (at most `limit`); True while there is more to do.

        `listen` is told (run index, figures) of every finished episode.
        """
        if self.step >= self.steps:
            raise RuntimeError("the runs have ended; see results()")
        started = time.perf_counter()
        steps = min(BLOCK, self.steps - self.step, limit or BLOCK)
        for now in self._block(steps):
            learns = self._experiences(self.step) >= self.settings.batch_size
            if self._graph is not None:
                self._graph.replay(now)
            else:
                self._one_step(now, learns)
            self.step += 1
            if learns and self.step % self.settings.target_period == 0:
                self._renew_targets()
            for run in self._ends.get(self.step - 1, ()):
                self._evaluate(run)
        self._log(listen)
        self.seconds += time.perf_counter() - started
        if self.device.type == "cuda" and self._graph is None and learns and BLOCK <= self.step < self.steps:
            self._graph = _Captured(self._one_step, now)
        return self.step < self.steps

    def _one_step(self, now: Now, learns: bool) -> None:
        if self._plainly:
            self._act_plainly(now)
        else:
            self._act(now)
        if learns:
            self._learn(now)

    def _act(self, now: Now) -> None:
        """Chooses an action, trades it, imagines the other one, and stores both."""
        settings = self.settings
        fresh = open_account(settings.cash, now.price * 0)
        account = Account(*(torch.where(now.starts, new, old) for new, old in zip(fresh, self._account, strict=True)))
        state = 3 * now.rows + account.position.long() + 1
        previous_action = torch.where(now.starts, 0, self._action)
        action = torch.where(now.todo == REPEAT, previous_action, now.todo)
        seen = self._table[self._offset + state]
        best = q_values(self.network, seen[:, None], self._exact)[:, 0].argmax(-1)
        action = torch.where(now.todo == GREEDY, best, action)
        done = transition(
            account, self._sides, now.price, now.previous, settings.cost_rate, settings.short_margin,
            self._sides != action, settings.quirks,
        )  # fmt: skip
        long = action == 1
        for place, side in zip(
            self._account, done.account, strict=True
        ):  # in place: a captured step reads and writes here
            place.copy_(torch.where(long, side[1], side[0]))
        self._action.copy_(action)
        clip, reward = settings.reward_clip, done.reward
        if self._bonus is not None:
            reward = reward + self._bonus[self._offset // 3 + now.rows] * (2 * self._sides - 1)
        self._replay_state.index_copy_(1, now.step, state[:, None])
        self._replay_action.index_copy_(1, now.step, action[:, None])
        self._replay_reward.index_copy_(1, now.step, reward.to(self._dtype).clamp(-clip, clip).t()[:, None])

    def _act_plainly(self, now: Now) -> None:
        """`_act`, run by run in Python's numbers: on a CPU small tensors cost more than what is computed with them."""
        settings, clip, step = self.settings, self.settings.reward_clip, int(now.step)
        accounts, actions, offsets = (
            [field.numpy() for field in self._account],
            self._action.numpy(),
            self._offset.numpy(),
        )
        stored = (self._replay_state.numpy(), self._replay_action.numpy(), self._replay_reward.numpy())
        columns = (value.tolist() for value in (now.rows, now.starts, now.todo, now.price, now.previous))
        for run, (row, starts, todo, price, previous) in enumerate(zip(*columns, strict=True)):
            account, action = Account(*(field.item(run) for field in accounts)), actions.item(run)
            if starts:
                account, action = open_account(settings.cash, 0.0), 0
            state = 3 * row + int(account.position) + 1
            if todo == GREEDY:
                action = int(row_values(self._layers[run], self._table[offsets[run] + state, None]).argmax())
            elif todo != REPEAT:
                action = todo
            taken, other = (
                transition(
                    account, side, price, previous, settings.cost_rate, settings.short_margin, imagined, settings.quirks
                )
                for side, imagined in ((action, False), (1 - action, True))
            )
            for field, value in zip(accounts, taken.account, strict=True):
                field[run] = value
            short, long = (taken.reward, other.reward) if action == 0 else (other.reward, taken.reward)
            if (bonus := self.prepared[run].bonus) is not None:
                short, long = short - bonus[row], long + bonus[row]
            actions[run] = action
            stored[0][run, step], stored[1][run, step] = state, action
            stored[2][run, step] = [min(max(reward, -clip), clip) for reward in (short, long)]

    def _learn(self, now: Now) -> None:
        """One gradient step on a batch of experiences, by double Q-learning with a smooth-L1 loss."""
        settings, batch = self.settings, self.settings.batch_size
        if settings.quirks.learns_from_other_action:
            steps, actions = now.replayed >> 1, now.replayed & 1
        else:
            steps, actions = now.replayed, self._replay_action.gather(1, now.replayed)
        states = self._replay_state.gather(1, steps)
        rewards = self._replay_reward.flatten(1).gather(1, 2 * steps + actions)
        following = self._row_after[states]
        next_states = 3 * following + 2 * actions
        x = self._table[self._offset[:, None] + torch.cat([states, next_states], 1)]  # (R, 2B, F)
        self.gradient_step(x, actions, rewards, next_states, following < self._rows[:, None], now.bits, batch)

    def gradient_step(
        self,
        x: Tensor,
        actions: Tensor,
        rewards: Tensor,
        next_states: Tensor,
        goes_on: Tensor,
        bits: Tensor,
        batch: int,
    ) -> Tensor:
        """Learns from observations x (R, 2B, F), states then next states; the rest is (R, B). Returns Q - target (R, B)."""
        settings = self.settings
        masks = self._dropout.masks(bits).to(self._dtype) if settings.dropout > 0 else None
        fixed = not settings.quirks.selects_next_action_in_train_mode
        self._kernels.refresh(self.network)
        q, kept, head_inputs = training_forward(self.network, x, masks, batch, self._kernels, fixed)
        best = q[:, batch:].argmax(-1)
        future = self._targets.flatten(1).gather(1, 2 * next_states + best)
        wanted = rewards + settings.gamma * future * goes_on
        error = q[:, :batch].gather(2, actions[..., None])[..., 0] - wanted
        slope = error.clamp(-1, 1) / batch
        q_gradient = torch.zeros_like(q[:, :batch]).scatter_(2, actions[..., None], slope[..., None])
        gradients = list(backward(self.network, kept, head_inputs, q_gradient, self._kernels).values())
        self._kernels.clip(gradients, settings.gradient_clip)
        self._learned += 1
        torch._fused_adam_(
            list(self.network.parameters.values()), gradients, self._first_moment, self._second_moment, [],
            [self._learned] * len(gradients), lr=settings.learning_rate, beta1=0.9, beta2=0.999,
            weight_decay=settings.weight_decay, eps=1e-8, amsgrad=False, maximize=False,
        )  # fmt: skip
        return error

    def _renew_targets(self) -> None:
        """Copies the policy to the target: the values of every next state, in evaluation mode, (R, S, 2)."""
        first = min(data.training.first_row for data in self.prepared) + 1
        held = torch.arange(3 * first, self._states, device=self.device)
        held = held[held % 3 != 1]  # after a step the account is never flat
        for part in held.split(max(1, TARGET_ROWS // len(self.seeds)) if self.device.type == "cpu" else 1024):
            x = self._table[self._offset[:, None] + part]
            self._targets[:, part] = q_values(self.network, x, self._exact)

    # Random numbers and tables

    def _block(self, steps: int) -> Any:
        """Yields what each of the next `steps` steps needs, on the device."""
        span = np.arange(self.step, self.step + steps)
        rows, starts, todo, replayed, price, previous = [], [], [], [], [], []
        for entry, choices, data in zip(self._walks, self._choices, self.prepared, strict=True):
            last = len(data.training.closes) - 1  # a run that is done idles on the last row until the others are
            own = np.where(span < len(entry.rows), entry.rows[np.minimum(span, len(entry.rows) - 1)], last)
            begins = np.where(span < len(entry.rows), entry.starts[np.minimum(span, len(entry.rows) - 1)], True)
            what, which = choices.block(self.step, begins)
            rows.append(own)
            starts.append(begins)
            todo.append(what)
            replayed.append(which)
            price.append(data.training.closes[own])
            previous.append(data.training.closes[own - 1])
        columns = [
            torch.from_numpy(np.stack(x, 1)).to(self.device) for x in (rows, starts, todo, price, previous, replayed)
        ]
        numbers = torch.from_numpy(span).to(self.device)
        bits, at_once = None, BITS_BLOCK if self.device.type == "cuda" else 1
        for offset in range(steps):
            if offset % at_once == 0:
                bits = self._dropout.bits(min(at_once, steps - offset))
            rows_, starts_, todo_, price_, previous_, replayed_ = (column[offset] for column in columns)
            assert bits is not None
            yield Now(
                numbers[offset : offset + 1],
                rows_,
                starts_,
                todo_,
                price_,
                previous_,
                replayed_,
                bits[offset % at_once],
            )

    def _lay_out_tables(self) -> None:
        """All distinct observation tables below one another, (problem * S, F), and where each run's begins."""
        distinct = {id(data): data for data in self.prepared}
        lengths = [len(data.training.table) for data in distinct.values()]
        self._states = 3 * max(lengths)
        features = max(data.features for data in distinct.values())
        table = np.zeros((len(distinct), max(lengths), 3, features), np.float32)
        bonus = np.zeros((len(distinct), max(lengths)))
        for place, (data, length) in enumerate(zip(distinct.values(), lengths, strict=True)):
            table[place, :length, :, : data.features] = data.training.table
            if data.bonus is not None:
                bonus[place, : len(data.bonus)] = data.bonus
        self._bonus = torch.from_numpy(bonus.ravel()).to(self.device) if bonus.any() else None
        self._table = torch.from_numpy(table.reshape(-1, features)).to(self.device, self._dtype)
        places = {key: place for place, key in enumerate(distinct)}
        offsets = [places[id(data)] * self._states for data in self.prepared]
        self._offset = torch.tensor(offsets, device=self.device)
        self._rows = torch.tensor([len(data.training.closes) for data in self.prepared], device=self.device)
        paths: dict[bytes, int] = {}
        self._paths = [paths.setdefault(data.price_path(), len(paths)) for data in self.prepared]
        self._judged = {
            key: tuple(
                torch.nn.functional.pad(
                    torch.tensor(segment.table, dtype=self._dtype, device=self.device), (0, features - data.features)
                )
                for segment in (data.train, data.test)
            )
            for key, data in distinct.items()
        }

    def _experiences(self, step: int) -> int:
        """How many experiences are stored once `step` has been taken."""
        return (step + 1) * (2 if self.settings.quirks.learns_from_other_action else 1)

    # Evaluation

    def _evaluate(self, run: int) -> None:
        """Keeps the greedy policy's Q of an episode's end; at the last episode, the network too."""
        data, network = self.prepared[run], self.network.run(run)
        train_table, test_table = self._judged[id(data)]
        train_q = greedy_q(network, train_table, data.train.first_row, self._exact)
        test_q = greedy_q(network, test_table, data.test.first_row, self._exact)
        self._pending.append((run, train_q, test_q))
        if self.step == len(self._walks[run].rows):
            self._final[run] = (network.map(torch.clone), train_q.clone(), test_q.clone())

    def _log(self, listen: Callable[[int, dict[str, float]], None] | None) -> None:
        """Turns pending evaluations into figures; on a GPU only when there are many, since each is a wait for it."""
        over = self.step >= self.steps
        if not self._pending or (self.device.type == "cuda" and len(self._pending) < FIGURES_AT_ONCE and not over):
            return
        for path in sorted({self._paths[run] for run, _, _ in self._pending}):  # accounts on one price path go together
            mine = [entry for entry in self._pending if self._paths[entry[0]] == path]
            data = self.prepared[mine[0][0]]
            walks = [(walk(train.cpu().numpy()), walk(test.cpu().numpy())) for _, train, test in mine]
            trains: list[Rollout] = [train for train, _ in walks]
            rows = episode_figures(data, trains, [test for _, test in walks], self.settings)
            for (run, _, _), figures in zip(mine, rows, strict=True):
                episode = len(self.episodes[run])
                row = {"episode": episode + 1, "steps": int(self._walks[run].ends[episode]) + 1, **figures}
                self.episodes[run].append(row)
                if listen is not None:
                    listen(run, row)
        self._pending = []

    # Results and resumption

    def results(self) -> list[RunResult]:
        """What came out, one entry a run. Raises RuntimeError before the end."""
        out = []
        for run, final in enumerate(self._final):
            if final is None:
                raise RuntimeError("the runs have not ended; call advance until it returns False")
            network, train_q, test_q = final
            weights = {name: value[0].cpu().numpy() for name, value in network.tensors().items()}
            weights["fc1.weight"] = weights["fc1.weight"][:, : self.prepared[run].features].copy()
            out.append(
                RunResult(
                    self.episodes[run],
                    weights,
                    train_q.cpu().numpy(),
                    test_q.cpu().numpy(),
                    self.seconds / len(self.seeds),
                )
            )
        return out

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on, as tensors and a JSON record; call between blocks."""
        tensors = {f"network.{name}": value for name, value in self.network.tensors().items()}
        for place in range(len(self._first_moment)):
            tensors[f"first_moment.{place}"] = self._first_moment[place]
            tensors[f"second_moment.{place}"] = self._second_moment[place]
        tensors |= {name: getattr(self, f"_{name}") for name in _KEPT}
        tensors |= {f"account.{name}": value for name, value in self._account._asdict().items()}
        for place, (run, train_q, test_q) in enumerate(self._pending):
            tensors |= {f"pending.{place}.{run}.train": train_q, f"pending.{place}.{run}.test": test_q}
        for run, final in enumerate(self._final):
            if final is not None:
                network, train_q, test_q = final
                tensors |= {f"final.{run}.network.{name}": value for name, value in network.tensors().items()}
                tensors |= {f"final.{run}.train": train_q, f"final.{run}.test": test_q}
        record = {
            "step": self.step,
            "seconds": self.seconds,
            "episodes": self.episodes,
            "pending": [run for run, _, _ in self._pending],
            "choices": [stream.state() for stream in self._choices],
            "dropout": self._dropout.state(),
        }
        return tensors, record

    def restore(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        self._fill(self.network, tensors, "network.")
        for place in range(len(self._first_moment)):
            self._first_moment[place].copy_(tensors[f"first_moment.{place}"])
            self._second_moment[place].copy_(tensors[f"second_moment.{place}"])
        for name in _KEPT:
            getattr(self, f"_{name}").copy_(tensors[name])
        for name, value in self._account._asdict().items():
            value.copy_(tensors[f"account.{name}"])
        self._pending = [
            (run, *(tensors[f"pending.{place}.{run}.{split}"].to(self.device) for split in ("train", "test")))
            for place, run in enumerate(record["pending"])
        ]
        for run in range(len(self.seeds)):
            if f"final.{run}.train" in tensors:
                network = self.network.run(run).map(torch.clone)
                self._fill(network, tensors, f"final.{run}.network.")
                self._final[run] = (network, tensors[f"final.{run}.train"], tensors[f"final.{run}.test"])
        self.step, self.seconds, self.episodes = record["step"], record["seconds"], record["episodes"]
        for stream, text in zip(self._choices, record["choices"], strict=True):
            stream.restore(text)
        self._dropout.restore(record["dropout"])

    @staticmethod
    def _fill(network: Network, tensors: dict[str, Tensor], prefix: str) -> None:
        for name, value in network.tensors().items():
            value.copy_(tensors[prefix + name])


_KEPT = ("replay_state", "replay_action", "replay_reward", "action", "targets", "learned")


class _Captured:
    """A step as a CUDA graph: its inputs are copied into fixed places, then one launch runs all of it."""

    def __init__(self, one_step: Callable[[Now, bool], None], now: Now) -> None:
        self._inputs = Now(*(value.clone() for value in now))
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            one_step(self._inputs, True)

    def replay(self, now: Now) -> None:
        """Runs the step with these inputs."""
        for place, value in zip(self._inputs, now, strict=True):
            place.copy_(value)
        self._graph.replay()
