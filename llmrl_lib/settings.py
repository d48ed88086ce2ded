"""Settings of the trading DQN, each with the reference's value as its default, the list of the reference's quirks, and those
of FLAG-Trader.

Source of the numbers: Theate & Ernst, "An application of deep reinforcement learning to algorithmic trading" (2021), and
its public code. Quirks are properties of that code which its text does not state or which look unintended; they are kept,
because published numbers depend on them, and each can be switched off by name.
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field, fields
from importlib import resources
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar


class SettingsError(ValueError):
    """A setting or a profile that cannot be used; the message names it and says what would be right."""


@dataclass(frozen=True)
class Quirks:
    """The reference's quirks. True keeps the reference's behaviour."""

    gaps_filled_from_later_rows: bool = True  # zero volumes are interpolated and back-filled, which sees later rows
    train_on_low_passed_prices: bool = True  # states everywhere, and trades of training, use smoothed prices
    scales_from_low_passed_prices: bool = True  # observation scales come from smoothed prices, in evaluation too
    adjusted_close_in_raw_range: bool = True  # dividend-adjusted close is compared with unadjusted low and high
    test_starts_cold: bool = True  # the first 30 test rows only warm up; the training tail is not used as history
    shorts_sized_at_buying_cost: bool = True  # short size divides cash by price * (1 + cost), not price * (1 - cost)
    margin_from_previous_close: bool = True  # the short's lower bound is tested with yesterday's price
    margin_reward: bool = True  # a step on which the lower bound binds is rewarded with the price move, not the return
    trades_beyond_bankruptcy: bool = True  # equity below zero does not end trading; floors of negative cash go on
    imagined_flip_keeps_shares: bool = True  # the imagined long-to-short flip is valued with the long's share count
    learns_from_other_action: bool = True  # each step also stores the imagined outcome of the action not taken
    random_episode_start: bool = True  # training episodes begin at a uniformly drawn row
    first_previous_action_is_short: bool = True  # a sticky repeat on an episode's first step means short; off: greedy
    selects_next_action_in_train_mode: bool = True  # double-Q's argmax uses dropout and batch statistics
    same_exploration_in_all_runs: bool = False  # the reference seeds exploration with 0 in every run; off: own streams

    def __post_init__(self) -> None:
        _check_types(self)


@dataclass(frozen=True)
class TdqnSettings:
    """Everything a training run of the trading DQN depends on, besides bars, guidance and seed."""

    episodes: int = 50  # each from its starting row to the last training row
    hidden: int = 512  # width of each hidden layer
    layers: int = 4  # hidden layers
    dropout: float = 0.2  # probability of leaving a unit out
    gamma: float = 0.4  # discount of the next step's value
    learning_rate: float = 1e-4  # of Adam
    weight_decay: float = 1e-6  # coupled L2, all parameters
    batch_size: int = 32  # experiences per learning step
    replay_capacity: int = 100_000  # experiences; a step stores two
    target_period: int = 1000  # steps between copies to the target network
    epsilon_start: float = 1.0  # probability of a random action at the first step
    epsilon_end: float = 0.01  # and in the limit
    epsilon_decay: float = 10_000.0  # steps, exponential
    sticky: float = 0.1  # probability of repeating the previous action instead of acting greedily
    gradient_clip: float = 1.0  # global L2 norm
    reward_clip: float = 1.0  # rewards are clipped to +- this
    state_length: int = 30  # rows; also the first tradable row
    low_pass: int = 5  # rows in the trailing mean
    cash: float = 100_000.0  # units of the bars' currency
    cost_rate: float = 0.001  # fraction of traded value
    short_margin: float = 0.1  # adverse move that a short must be able to bear
    precision: str = "float32"  # of matrix products: float32 or bfloat16 (master weights stay float32)
    quirks: Quirks = field(default_factory=Quirks)

    def __post_init__(self) -> None:
        _check_types(self)
        positive = ("hidden", "layers", "batch_size", "replay_capacity", "target_period", "low_pass", "episodes")
        for name in positive:
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.batch_size < 2:
            raise SettingsError("batch_size is 1; batch normalisation needs at least 2")
        if self.replay_capacity < self.batch_size:
            raise SettingsError(f"replay_capacity {self.replay_capacity} is below batch_size {self.batch_size}")
        if self.state_length < 2:
            raise SettingsError(f"state_length is {self.state_length}; an observation needs at least 2 rows")
        for name in ("gamma", "epsilon_start", "epsilon_end", "sticky"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must lie in [0, 1]")
        for name in ("learning_rate", "epsilon_decay", "gradient_clip", "reward_clip", "cash", "short_margin"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be a positive number")
        if not 0.0 <= self.weight_decay < float("inf"):
            raise SettingsError(f"weight_decay is {self.weight_decay}; it must be 0 or a positive number")
        if not 0.0 <= self.dropout < 1.0:
            raise SettingsError(f"dropout is {self.dropout}; it must lie in [0, 1)")
        if not 0.0 <= self.cost_rate < 1.0:
            raise SettingsError(f"cost_rate is {self.cost_rate}; it is a fraction of traded value in [0, 1)")
        if self.precision not in ("float32", "bfloat16"):
            raise SettingsError(f"precision is {self.precision!r}; choose float32 or bfloat16")


@dataclass(frozen=True)
class FlagTraderSettings:
    """Everything a FLAG-Trader run depends on, besides bars, told series and seed.

    Numbers are the published ones where those are known. What the paper leaves open is ours, said with its reason beside the
    setting and on the page *FLAG-Trader*.
    """

    backbone: str = "nano"  # the model that comes along; or a checkpoint's folder, or its name at the model hub
    random_weights: bool = False  # the backbone's shape with weights drawn anew: what its knowledge is worth
    weights_seed: int = 0  # of those drawn weights
    steps: int = 13_860  # decisions of a seed, over all its environments (published)
    environments: int = 1  # episodes of a seed that run side by side; ours: one, so that a rollout is 40 days in a row
    rollout: int = 40  # decisions of each environment between two updates (published)
    train_days: int = 0  # newest training days to learn from and to be judged on; 0: all of them
    episode_days: int = 65  # trading days of an episode (published), beginning at a drawn training day with cash alone
    epochs: int = 1  # passes over a rollout (published)
    minibatch: int = 32  # decisions per optimiser step (published)
    accumulation: int = (
        8  # parts of a minibatch whose gradients are summed (published; ours: parts of one, not 8 of them)
    )
    learning_rate: float = 5e-4  # of Adam at the beginning (published)
    anneal: bool = True  # the rate falls linearly to nothing (published)
    gamma: float = 0.95  # discount a day (published)
    gae_lambda: float = 0.98  # of generalised advantages (published)
    clip: float = 0.2  # of the probability ratio (published)
    clip_value: bool = True  # the value's move is clipped likewise (published)
    entropy: float = 0.05  # weight of the entropy over legal actions (published)
    value: float = 0.5  # weight of the value's loss (published)
    kl: float = 0.05  # weight of the divergence from the policy at the beginning (published); head "new": entropy again
    gradient_clip: float = 0.5  # global L2 norm, of each seed by itself (published)
    normalise_advantages: bool = True  # within a minibatch; ours, as PPO is usually run
    trainable_layers: int = 1  # top layers that learn; ours: all others are then read once per text and never again
    lora_rank: int = 0  # 0: the top layers' matrices learn themselves; else low-rank additions to them do
    lora_alpha: float = 16.0  # additions are scaled by alpha / rank
    head: str = "new"  # policy head: new (drawn small), or words (the model's own scores of the three words)
    precision: str = "auto"  # of the cached activations: float32 or bfloat16; auto: bfloat16 on a GPU (paper: half)
    reward: str = "sharpe"  # sharpe: change of the running Sharpe ratio of the episode; return: the day's, in percent
    sharpe_floor: float = 0.01  # least daily deviation that a running ratio divides by; ours: else two days weigh most
    sell: str = "flat"  # what sell does: flat, all shares become cash; short, as the other arms' short (ours, optional)
    fields: str = (  # names of features that the text shows; ours: prices alone, so that any bars will do
        "return_week_1 return_week_2 return_week_3 return_week_4 sma_20_gap sma_50_gap rsi_14 macd_strength_relative "
        "volume_relative"
    )
    evaluations: int = 10  # of the greedy policy along the way, on both splits; the last one at the end
    cash: float = 100_000.0  # units of the bars' currency
    cost_rate: float = 0.001  # fraction of traded value
    short_margin: float = 0.1  # adverse move that a short must be able to bear; only where sell goes short
    first_row: int = 30  # first tradable row of both splits, as for every arm
    quirks: Quirks = field(default_factory=Quirks)  # those of the accounting count, where sell goes short

    def __post_init__(self) -> None:
        _check_types(self)
        for name in ("steps", "environments", "rollout", "episode_days", "epochs", "minibatch", "accumulation"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("trainable_layers", "evaluations", "first_row"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.steps < self.rollout * self.environments:
            least = self.rollout * self.environments
            raise SettingsError(f"steps is {self.steps}; one rollout of all environments takes {least}")
        if self.evaluations > self.rollouts:
            raise SettingsError(
                f"evaluations is {self.evaluations}, and each follows a rollout, of which there are {self.rollouts}; take at "
                f"most {self.rollouts}"
            )
        if 0 < self.train_days < self.episode_days:
            raise SettingsError(
                f"train_days is {self.train_days}, and an episode takes {self.episode_days} trading days; give at least "
                "as many, 0 for all there are, or shorter episode_days"
            )
        if not self.fields.split():
            raise SettingsError("fields is blank; name at least one feature that the text shows")
        if not self.quirks.test_starts_cold:
            raise SettingsError(
                "quirks.test_starts_cold is off, which FLAG-Trader does not know: its test always begins at first_row; "
                "keep that quirk"
            )
        if self.minibatch % self.accumulation:
            raise SettingsError(
                f"minibatch {self.minibatch} cannot be cut into {self.accumulation} equal parts; take a divisor"
            )
        for name in ("gamma", "gae_lambda"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must lie in [0, 1]")
        for name in ("learning_rate", "clip", "gradient_clip", "lora_alpha", "cash", "sharpe_floor", "short_margin"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be a positive number")
        for name in ("entropy", "value", "kl", "lora_rank", "train_days"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be 0 or a positive number")
        if not 0.0 <= self.cost_rate < 1.0:
            raise SettingsError(f"cost_rate is {self.cost_rate}; it is a fraction of traded value in [0, 1)")
        for name, choices in (
            ("head", ("new", "words")),
            ("precision", ("auto", "float32", "bfloat16")),
            ("reward", ("sharpe", "return")),
            ("sell", ("flat", "short")),
        ):
            if getattr(self, name) not in choices:
                raise SettingsError(f"{name} is {getattr(self, name)!r}; choose {' or '.join(choices)}")

    @property
    def rollouts(self) -> int:
        """Rollouts that the steps suffice for, and so updates."""
        return self.steps // (self.rollout * self.environments)


Kind = TypeVar("Kind", TdqnSettings, FlagTraderSettings)


@dataclass(frozen=True)
class Profile:
    """How large a run is: a named set of small differences from the defaults."""

    name: str
    seeds: tuple[int, ...]
    tdqn: TdqnSettings
    arms: tuple[str, ...] = ("unguided",)  # learned ones; the others come along
    prompts: tuple[str, ...] = ()  # whose strategies are made over the test years
    guide: str = ""  # the prompt that advises the guided arms, over both splits; blank: none
    flag_trader: FlagTraderSettings = field(default_factory=FlagTraderSettings)

    def __post_init__(self) -> None:
        for name, kind in (("tdqn", TdqnSettings), ("flag_trader", FlagTraderSettings)):
            if not isinstance(getattr(self, name), kind):
                what = f"{name} is of type {type(getattr(self, name)).__name__}"
                raise SettingsError(f"profile {self.name}: {what}; give {kind.__name__}(...)")


def load_profile(name: str) -> Profile:
    """Reads `profiles/<name>.toml` of the package, or the TOML file that `name` points to.

    Raises SettingsError for an unknown profile, a key that no setting has, or a value of the wrong type.
    """
    folder, known = resources.files("llmrl_lib") / "profiles", profile_names()
    if name in known:
        text, where = (folder / f"{name}.toml").read_text("utf-8"), f"profile {name}"
    elif name.endswith(".toml") and Path(name).is_file():
        text, where = Path(name).read_text("utf-8"), name
    else:
        raise SettingsError(f"there is no profile {name!r}; choose one of {', '.join(known)} or give a .toml file")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where} is not valid TOML: {error}") from error
    known_keys = ("seeds", "arms", "prompts", "guide", "tdqn", "flag_trader")
    unknown = sorted(set(table) - set(known_keys))
    if unknown:
        raise SettingsError(f"{where}: unknown key {unknown[0]!r}; a profile holds {', '.join(known_keys)}")
    for key in ("tdqn", "flag_trader"):
        if not isinstance(table.get(key, {}), dict):
            raise SettingsError(f"{where}: {key} is {table[key]!r}; it must be a table, [{key}]")
    seeds = table.get("seeds", 1)
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise SettingsError(f"{where}: seeds is {seeds!r}; it is the number of seeds, at least 1")
    usual = Profile("", (), TdqnSettings())
    lists = {}
    for key in ("arms", "prompts"):
        given = table.get(key, list(getattr(usual, key)))
        if not isinstance(given, list) or not all(isinstance(entry, str) for entry in given):
            raise SettingsError(f'{where}: {key} is {given!r}; it is a list of names, ["...", "..."]')
        lists[key] = tuple(dict.fromkeys(given))
    guide = table.get("guide", usual.guide)
    if not isinstance(guide, str):
        raise SettingsError(f"{where}: guide is {guide!r}; it is the name of a prompt")
    tdqn = tdqn_settings(table.get("tdqn", {}), where)
    flag_trader = flag_trader_settings(table.get("flag_trader", {}), where)
    return Profile(Path(name).stem, tuple(range(seeds)), tdqn, lists["arms"], lists["prompts"], guide, flag_trader)


def profile_names() -> list[str]:
    """The profiles that come with the package."""
    folder = resources.files("llmrl_lib") / "profiles"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def tdqn_settings(table: dict[str, Any], where: str = "settings") -> TdqnSettings:
    """Settings from a nested dict (as TOML gives it); keys that are absent keep their defaults.

    Raises SettingsError for unknown keys and wrong types, naming `where` they stand.
    """
    return _with_quirks(TdqnSettings, table, where, "tdqn")


def flag_trader_settings(table: dict[str, Any], where: str = "settings") -> FlagTraderSettings:
    """As `tdqn_settings`, for FLAG-Trader."""
    return _with_quirks(FlagTraderSettings, table, where, "flag_trader")


def settings_or_default(settings: Kind | None, kind: type[Kind]) -> Kind:
    """The settings themselves, or the defaults of their `kind` for None; SettingsError for settings of another kind."""
    if settings is None:
        return kind()
    if not isinstance(settings, kind):
        raise SettingsError(f"settings is of type {type(settings).__name__}; give {kind.__name__}(...), or None")
    return settings


def to_table(settings: TdqnSettings | FlagTraderSettings) -> dict[str, Any]:
    """The nested dict that `tdqn_settings` or `flag_trader_settings` reads back."""
    return dataclasses.asdict(settings)


def _check_types(settings: Any) -> None:
    """Raises SettingsError for a value of another type than its default's; numbers of numpy are numbers."""
    for entry in fields(settings):
        value, usual = getattr(settings, entry.name), entry.default
        if usual is dataclasses.MISSING:
            fits, what = isinstance(value, Quirks), "Quirks(...)"
        elif isinstance(usual, bool):
            fits, what = isinstance(value, bool), "True or False"
        elif isinstance(usual, str):
            fits, what = isinstance(value, str), "a text"
        else:
            whole = isinstance(usual, int)
            fits = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
            what = "a whole number" if whole else "a number"
        if not fits:
            raise SettingsError(f"{entry.name} is {value!r}; it must be {what}")


def _with_quirks(kind: type, table: dict[str, Any], where: str, name: str) -> Any:
    values = dict(table)
    switched = values.pop("quirks", {})
    if not isinstance(switched, dict):
        raise SettingsError(f"{where}: quirks is {switched!r}; it must be a table, [{name}.quirks]")
    quirks = _build(Quirks, dict(switched), f"{where} [{name}.quirks]")
    return _build(kind, {**values, "quirks": quirks}, f"{where} [{name}]")


def _build(kind: type, values: dict[str, Any], where: str) -> Any:
    defaults = {entry.name: getattr(kind(), entry.name) for entry in fields(kind)}
    for name, value in values.items():
        if name not in defaults:
            raise SettingsError(f"{where}: unknown setting {name!r}; known are {', '.join(defaults)}")
        expected = type(defaults[name])
        if expected is float and type(value) is int:
            values[name] = float(value)
        elif type(value) is not expected:
            raise SettingsError(f"{where}: {name} is {value!r}; it must be of type {expected.__name__}")
    try:
        return kind(**values)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error
