"""The random numbers of training runs: every run has its own streams, drawn in blocks that no run shares.

A run's numbers depend on its seed alone, so it is the same run alone or among hundreds. Which rows an episode visits, when
it explores and which experiences a step replays do not depend on what the network does; they are drawn ahead, on the host.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import torch

from llmrl_lib.settings import TdqnSettings

GREEDY, REPEAT = -1, -2  # what to do at a step, where it is not a random action 0 or 1


class Schedule(NamedTuple):
    """A run's walk over the training rows, fixed by its seed. Each array has one entry a step."""

    rows: np.ndarray  # int64, the row traded
    starts: np.ndarray  # bool, first step of an episode
    ends: np.ndarray  # int64 (episode,), the index of each episode's last step


def schedule(seed: int, rows: int, first_row: int, settings: TdqnSettings) -> Schedule:
    """Episodes of `settings.episodes`, each from a uniformly drawn row (at least `first_row`) to the last row."""
    generator = _generator(_exploration_seed(seed, settings), 0)
    drawn = generator.integers(0, rows, settings.episodes)
    starts = np.maximum(drawn, first_row) if settings.quirks.random_episode_start else np.full_like(drawn, first_row)
    lengths = rows - starts
    walk = np.concatenate([np.arange(start, rows) for start in starts])
    ends = np.cumsum(lengths) - 1
    first = np.zeros(len(walk), bool)
    first[np.append(0, ends[:-1] + 1)] = True
    return Schedule(walk, first, ends)


class ChoiceStream:
    """Exploration and replay choices of one run, drawn block by block."""

    def __init__(self, seed: int, settings: TdqnSettings) -> None:
        self._settings = settings
        self._generator = _generator(_exploration_seed(seed, settings), 1)

    def block(self, first_step: int, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Choices of the steps first_step .. first_step + len(starts) - 1.

        Returns what to do at each step, int64 (step,), and the experiences it replays, int64 (step, batch): distinct
        indices of experiences, uniform over those stored by then. Where fewer than a batch are stored, zeros.
        """
        settings, steps = self._settings, len(starts)
        iteration = first_step + np.arange(steps)
        epsilon = settings.epsilon_end + (settings.epsilon_start - settings.epsilon_end) * np.exp(
            -iteration / settings.epsilon_decay
        )
        uniform = self._generator.random((steps, 3 + settings.batch_size))  # a row a step: blocks of any length agree
        explore, stick, which = uniform[:, :3].T
        exploit = np.where(stick > settings.sticky, GREEDY, REPEAT)
        todo = np.where(explore > epsilon, exploit, (which < 0.5).astype(np.int64))
        if not settings.quirks.first_previous_action_is_short:
            todo = np.where(starts & (todo == REPEAT), GREEDY, todo)
        per_step = 2 if settings.quirks.learns_from_other_action else 1
        stored = per_step * (iteration + 1)
        held = np.minimum(stored, settings.replay_capacity)
        return todo, distinct(uniform[:, 3:], held) + (stored - held)[:, None]

    def state(self) -> str:
        """The stream's state as text."""
        return json.dumps(self._generator.bit_generator.state)

    def restore(self, state: str) -> None:
        """Goes on from a state."""
        self._generator.bit_generator.state = json.loads(state)


def distinct(uniform: np.ndarray, populations: np.ndarray) -> np.ndarray:
    """Floyd's sampling without replacement, row by row: uniform numbers (row, k) to k distinct indices below each population.

    Every subset of size k is equally likely (Bentley & Floyd 1987). Rows with a population below k are zeros.
    """
    rows, size = uniform.shape
    enough = populations >= size
    drawn = np.zeros((rows, size), np.int64)
    for place in range(size):
        last = np.maximum(populations - size + place, 0)
        candidate = np.minimum((uniform[:, place] * (last + 1)).astype(np.int64), last)
        taken = (drawn[:, :place] == candidate[:, None]).any(1)
        drawn[:, place] = np.where(taken, last, candidate)
    return np.where(enough[:, None], drawn, 0)


class DropoutStream:
    """Dropout masks of a group of runs, each run's from its own generator; 16 random bits decide a unit.

    On CPU the bits come from NumPy's SFC64, on a GPU from the device's generator: the same seed gives other masks there,
    and they depend on how many steps are drawn at once.
    """

    def __init__(self, seeds: list[int], shape: tuple[int, int, int], dropout: float, device: torch.device) -> None:
        self._layers, self._rows, self._units = shape
        self._words = -(-self._layers * self._rows * self._units // 4)
        self._threshold, self._scale = round(dropout * 65536), 1.0 / (1.0 - dropout) if dropout < 1 else 0.0
        self._device = device
        if device.type == "cpu":
            self._host = [np.random.SFC64(np.random.SeedSequence([seed, 2])) for seed in seeds]
        else:
            entropy = [int(np.random.SeedSequence([seed, 2]).generate_state(1, np.uint64)[0] >> 1) for seed in seeds]
            self._on_device = [torch.Generator(device).manual_seed(number) for number in entropy]

    def bits(self, steps: int = 1) -> torch.Tensor:
        """Raw bits of the next `steps` steps: int64 (step, run, word)."""
        if self._device.type == "cpu":
            runs = [stream.random_raw(steps * self._words).reshape(steps, self._words) for stream in self._host]
            joined = runs[0][:, None] if len(runs) == 1 else np.stack(runs, 1)
            return torch.from_numpy(joined.view(np.int64))
        drawn = torch.empty(len(self._on_device), steps, self._words, dtype=torch.int64, device=self._device)
        for run, generator in zip(drawn, self._on_device, strict=True):
            run.random_(-(2**63), None, generator=generator)
        return drawn.transpose(0, 1)

    def masks(self, bits: torch.Tensor) -> torch.Tensor:
        """A step's bits (run, word) as masks of 0 and 1 / (1 - p): float32 (layer, run, row, unit)."""
        runs = bits.shape[0]
        if self._device.type == "cpu":
            keep = bits.numpy().view(np.uint16) >= self._threshold
            scaled = torch.from_numpy(np.multiply(keep, self._scale, dtype=np.float32))
        else:
            scaled = (bits.view(torch.int16) >= self._threshold - 32768).float().mul_(self._scale)
        used = scaled[:, : self._layers * self._rows * self._units]
        return used.view(runs, self._layers, self._rows, self._units).transpose(0, 1)

    def state(self) -> list[str]:
        """The streams' states as text, one per run."""
        if self._device.type == "cpu":
            return [json.dumps(_plain(dict(stream.state))) for stream in self._host]
        return [generator.get_state().numpy().tobytes().hex() for generator in self._on_device]

    def restore(self, states: list[str]) -> None:
        """Goes on from states."""
        if self._device.type == "cpu":
            for stream, text in zip(self._host, states, strict=True):
                state = json.loads(text)
                state["state"]["state"] = np.array(state["state"]["state"], np.uint64)
                stream.state = state
            return
        for generator, text in zip(self._on_device, states, strict=True):
            generator.set_state(torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8))


def _exploration_seed(seed: int, settings: TdqnSettings) -> int:
    return 0 if settings.quirks.same_exploration_in_all_runs else seed


def _generator(seed: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purpose])))


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "state": {**state["state"], "state": [int(word) for word in state["state"]["state"]]}}
