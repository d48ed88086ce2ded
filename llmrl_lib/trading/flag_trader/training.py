"""Training FLAG-Trader: `train_flag_trader` for one problem, `train_flag_runs` for several side by side.

The shared backbone's frozen layers read every distinct text once; then all seeds of all problems walk and learn in one group.
Killed and called again with the same `checkpoint`, a call goes on where it was and ends in the same numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from llmrl_lib.settings import FlagTraderSettings, settings_or_default, to_table
from llmrl_lib.trading.flag_trader.activations import Tokens, activations, tokenised
from llmrl_lib.trading.flag_trader.backbone import Backbone
from llmrl_lib.trading.flag_trader.learner import Group, Lane
from llmrl_lib.trading.flag_trader.policy import CachedPolicy, PlainPolicy, Policy, check
from llmrl_lib.trading.flag_trader.text import NOTHING, Market, Told, account_words, markets
from llmrl_lib.trading.flag_trader.walks import trajectory
from llmrl_lib.trading.tasks import Progress, advance_to_end
from llmrl_lib.trading.tdqn import device_of

LEARNING = 2  # raise it when a change of code changes the numbers of a run: older checkpoints are then refused


@dataclass(frozen=True)
class FlagProblem:
    """Bars to train and to test on, and what is told beside them."""

    train_bars: pd.DataFrame
    test_bars: pd.DataFrame
    told: Told = NOTHING


@dataclass(frozen=True)
class FlagTraining:
    """What a training gave. Frames have one row per thing named; money in the bars' currency, returns simple."""

    seeds: tuple[int, ...]
    settings: FlagTraderSettings
    device: str
    seconds: float  # of the runs' own share, the reading of the texts included
    episodes: pd.DataFrame  # an evaluation each: columns as `train_flag_trader` says
    trajectories: pd.DataFrame  # final policies, (seed, split, date): see `walks.trajectory`
    weights: dict[str, np.ndarray]  # what was learned, by name, leading axis seed
    backbone: str  # hash of the backbone's weights


def train_flag_trader(
    train_bars: pd.DataFrame,
    test_bars: pd.DataFrame,
    guidance: pd.Series | None = None,
    notes: pd.Series | None = None,
    seeds: Sequence[int] = (0,),
    settings: FlagTraderSettings | None = None,
    device: str = "auto",
    checkpoint: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> FlagTraining:
    """Trains one policy per seed on `train_bars` and judges it on both splits along the way.

    Bars have columns open, high, low, close, volume and a date index. `guidance`, where given, is a series in [-1, 1] with a
    value for every trading day; `notes` are lines of text by date, each shown on its own day alone. Both are what was known
    at the previous close. `device` is "cpu", "cuda" or "auto". Raises ValueError for unusable bars, guidance or notes,
    SettingsError for a field that bars do not give, UnknownModelError for a backbone that cannot be used, CheckpointError
    for a checkpoint of another run, FloatingPointError where losses or gradients become no finite numbers.

    `episodes` of what comes back has a row per seed and evaluation: episode (its number, from 1), steps (decisions so far, of
    all environments), train_sharpe and test_sharpe (annual, of the greedy policy on either split), test_max_drawdown
    (fraction of the peak), test_long (share of the test days on which it holds shares); and, as means over the minibatches
    since the evaluation before, policy_loss and value_loss (PPO's, clipped), entropy (of the choice among legal orders, nats)
    and kl (divergence from the policy that training began with, nats; exact). Nothing is printed along the way: pass
    `progress`, which is called at each evaluation.
    """
    problem = FlagProblem(train_bars, test_bars, Told(guidance, notes))
    return train_flag_runs({"": problem}, seeds, settings, device, checkpoint, progress)[""]


def train_flag_runs(
    problems: Mapping[str, FlagProblem | Sequence[FlagProblem]],
    seeds: Sequence[int] = (0,),
    settings: FlagTraderSettings | None = None,
    device: str = "auto",
    checkpoint: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    cached: bool = True,
) -> dict[str, FlagTraining]:
    """`train_flag_trader` for several problems that share seeds and settings; all their runs train in one group.

    A sequence of problems gives each seed its own. With `cached` False the whole model reads every text anew whenever it is
    asked: the same numbers up to rounding, many times slower, to measure against.
    """
    if isinstance(seeds, int):
        raise ValueError(f"seeds is {seeds}; give the seeds themselves, e.g. range({seeds})")
    settings, seeds = settings_or_default(settings, FlagTraderSettings), [int(seed) for seed in seeds]
    if len(set(seeds)) != len(seeds) or not seeds:
        raise ValueError(f"seeds are {seeds}; give at least one, each once")
    place = device_of(device)
    runs, lanes, texts = laid_out(problems, seeds, settings)
    started = time.perf_counter()
    with one_thread(place):
        backbone = Backbone(settings, place)
        group = Group(
            lanes, [seed for _, seed in runs], settings, backbone, policy_on(backbone, texts, settings, cached)
        )
        group.seconds = time.perf_counter() - started
        _train(group, runs, _fingerprint(runs, lanes, texts, settings, backbone, place), checkpoint, progress, started)
        walks = group.final()
    found = {}
    for name in problems:
        own = [number for number, (problem, _) in enumerate(runs) if problem == name]
        found[name] = FlagTraining(
            tuple(seeds),
            settings,
            place.type,
            group.seconds * len(own) / len(runs),
            pd.DataFrame([{"seed": runs[run][1], **row} for run in own for row in group.episodes[run]]),
            pd.concat(
                [
                    trajectory(runs[run][1], split, market, path)
                    for run in own
                    for split, market, path in zip(("train", "test"), lanes[run][:2], walks[run], strict=True)
                ],
                ignore_index=True,
            ),
            {key: value.detach().cpu().numpy()[own] for key, value in group.weights.items()},
            backbone.identity,
        )
    return found


def policy_on(backbone: Backbone, texts: Sequence[str], settings: FlagTraderSettings, cached: bool = True) -> Policy:
    """The trainable part over these market texts. Raises UnknownModelError where the layers are not Llama's."""
    tokens = tokenised(backbone, texts, settings)
    words = range(len(account_words(settings)))
    if not cached:
        return PlainPolicy(backbone, [[tokens.whole(text, word) for word in words] for text in range(len(texts))])
    half = settings.precision == "bfloat16" or (settings.precision == "auto" and backbone.device.type == "cuda")
    checked(backbone, tokens)
    return CachedPolicy(activations(backbone, tokens, torch.bfloat16 if half else torch.float32), backbone)


def checked(backbone: Backbone, tokens: Tokens) -> tuple[CachedPolicy, PlainPolicy]:
    """A few texts both ways, in float32: the first, the shortest and the longest, each with every account word.

    Raises UnknownModelError where the two differ by more than rounding.
    """
    by_length = sorted(range(len(tokens.bodies)), key=lambda text: len(tokens.bodies[text]))
    few = sorted({0, by_length[0], by_length[-1]})
    part = Tokens(tokens.head, [tokens.bodies[text] for text in few], [tokens.tails[text] for text in few])
    policy = CachedPolicy(activations(backbone, part), backbone)
    plain = PlainPolicy(
        backbone, [[part.whole(text, word) for word in range(len(part.tails[0]))] for text in range(len(few))]
    )
    check(policy, plain, backbone)
    return policy, plain


def laid_out(
    problems: Mapping[str, FlagProblem | Sequence[FlagProblem]], seeds: list[int], settings: FlagTraderSettings
) -> tuple[list[tuple[str, int]], list[Lane], list[str]]:
    """Runs (problem, seed), their markets, and every distinct market text."""
    index: dict[str, int] = {}
    runs, lanes = [], []
    for name, problem in problems.items():
        each = [problem] if isinstance(problem, FlagProblem) else list(problem)
        if len(each) not in (1, len(seeds)):
            raise ValueError(
                f"{name} has {len(each)} problems for {len(seeds)} seeds; give one for each, or one for all"
            )
        made = [_lane(markets(one.train_bars, one.test_bars, settings, one.told), index) for one in each]
        runs += [(name, seed) for seed in seeds]
        lanes += made if len(made) == len(seeds) else made * len(seeds)
    return runs, lanes, list(index)


def _lane(pair: tuple[Market, Market], index: dict[str, int]) -> Lane:
    places = []
    for market in pair:
        shown = market.texts[market.first_row :]
        rows = [0] * market.first_row + [index.setdefault(text, len(index)) for text in shown]
        places.append(np.array(rows, np.int64))
    return Lane(*pair, *places)


def _train(
    group: Group,
    runs: list[tuple[str, int]],
    fingerprint: str,
    folder: Path | None,
    progress: Callable[[Progress], None] | None,
    started: float,
) -> None:
    """Advances the group to its end, with checkpoints."""
    settings = group.settings
    path = None if folder is None else Path(folder) / "flag-trader.safetensors"

    def tell(run: int, row: dict[str, float]) -> None:
        if progress is not None:
            name, seed = runs[run]
            done = (
                int(row["episode"]),
                settings.evaluations,
                int(row["steps"]),
                row["train_sharpe"],
                row["test_sharpe"],
            )
            progress(Progress(name, seed, *done, time.perf_counter() - started))

    advance_to_end(group, path, fingerprint, tell)


def _fingerprint(
    runs: list[tuple[str, int]],
    lanes: list[Lane],
    texts: list[str],
    settings: FlagTraderSettings,
    backbone: Backbone,
    device: torch.device,
) -> str:
    """A hash of everything the numbers depend on."""
    digest = hashlib.sha256(json.dumps([LEARNING, to_table(settings), runs, texts, str(device)]).encode())
    digest.update(backbone.identity.encode())
    for lane in lanes:
        for values in (lane.train.closes, lane.test.closes, lane.train_texts, lane.test_texts):
            digest.update(values.tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """One torch thread on a CPU: other processors are for other tasks, and numbers do not hang on how many there are."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
