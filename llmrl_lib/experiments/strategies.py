"""Makes a dataset's strategies with one prompt and model, and says before what that will cost.

A folder holds `replies.jsonl`, the store of every reply, and `<prompt>-<version>/<ticker>.jsonl`, the strategies made of
them. The files of strategies can be made again from the store without asking anyone.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd

from llmrl_lib.experiments.folders import read_toml, refuse_other_settings, write_text, write_toml
from llmrl_lib.language import ledger
from llmrl_lib.language.counting import text_counter
from llmrl_lib.language.prices import Prices
from llmrl_lib.language.prompts import Prompt, load_prompt
from llmrl_lib.language.replay import Replay
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.metrics import sharpe_ratio
from llmrl_lib.strategy.backtest import backtest
from llmrl_lib.strategy.records import Strategy, strategy_frame, strategy_to_record
from llmrl_lib.strategy.rehearsal import RATIONALE, Rehearsal, stand_in
from llmrl_lib.strategy.strategist import Ask, Progress, StrategiesError, make_many_strategies

ORDER = "order.toml"


@dataclass(frozen=True)
class Order:
    """Which strategies are wanted."""

    dataset: Dataset
    tickers: tuple[str, ...]
    prompt: Prompt
    start: pd.Timestamp  # first day on which a decision may fall
    end: pd.Timestamp  # first day after
    draws: int = 1
    ask: Ask = field(default_factory=Ask)

    @property
    def label(self) -> str:
        """Name and version of the prompt: what the ledger adds up by, and the name of the folder."""
        return f"{self.prompt.name} {self.prompt.version}"

    @property
    def folder(self) -> str:
        """Where the strategies stand, below the folder of replies."""
        return self.label.replace(" ", "-")

    @property
    def analyst(self) -> Prompt:
        """The prompt of the analyst."""
        return load_prompt(self.ask.analyst_prompt)


def order(
    dataset: Dataset,
    tickers: Sequence[str],
    prompt: str | Path | Prompt,
    start: str | pd.Timestamp | None = None,
    end: str | pd.Timestamp | None = None,
    draws: int = 1,
    ask: Ask | None = None,
) -> Order:
    """An order for `tickers` (all of the dataset if none is named), by default for its test years.

    Raises ValueError for a day that is none, PromptError for a prompt that is none.
    """
    first = dataset.split if start is None else _day(start, "start")
    last = dataset.end if end is None else _day(end, "end")
    named = tuple(dict.fromkeys(tickers)) or dataset.tickers
    return Order(dataset, named, load_prompt(prompt), first, last, draws, ask or Ask())


def cost_of(wanted: Order, replay: Replay, prices: Prices | None = None) -> pd.DataFrame:
    """What an order would ask and cost, a row per prompt; asks nothing. Raises what `produce` raises before it asks.

    Columns: prompt, requests, stored (need no call), calls, prompt_tokens, completion_tokens, usd (estimates),
    most_usd (what a budget has to hold); the latter two are missing where the price is unknown. Requests with memory hold
    stand-ins where a strategy is yet to be made.
    """
    strategist, analyst = rehearse(wanted, replay)
    length_of = text_counter(replay.chat)
    prompts = [wanted.prompt, *([wanted.analyst] if wanted.prompt.shows_news else [])]
    rows = []
    for prompt, rehearsal in zip(prompts, (strategist, analyst), strict=False):
        label = f"{prompt.name} {prompt.version}"
        length = length_of(json.dumps(stand_in(prompt.schema)))
        found = ledger.plan(replay.labelled(label), rehearsal.missing, prices, length)
        rows.append(
            {
                "prompt": label,
                **found.row(rehearsal.stored),
            }
        )
    return pd.DataFrame(rows).astype({"usd": "float64", "most_usd": "float64"})


def rehearse(wanted: Order, replay: Replay, rationale: int = RATIONALE) -> tuple[Rehearsal, Rehearsal]:
    """What an order would ask as strategist and as analyst; see `strategy.rehearsal`. Raises ExperimentError as `produce`."""
    _refuse_others(wanted, replay, Path(replay.folder))
    strategist, analyst = Rehearsal(replay, rationale), Rehearsal(replay, rationale)
    _make(wanted, strategist, analyst, None)
    return strategist, analyst


def finished(wanted: Order, replay: Replay, out: Path) -> bool:
    """Whether `out` holds the strategies of every ticker of this order. Raises ExperimentError where it holds others."""
    _refuse_others(wanted, replay, out)
    place = out / wanted.folder
    return (place / ORDER).is_file() and all((place / f"{ticker}.jsonl").is_file() for ticker in wanted.tickers)


def produce(wanted: Order, replay: Replay, out: Path, progress: Progress | None = None) -> list[Strategy]:
    """Makes the strategies and writes them below `out`, a file per ticker, whole or not at all.

    A folder of strategies remembers how they were made, in `order.toml`, and takes more tickers made alike. Raises
    ExperimentError for a folder that holds others, before anything is asked, and what `make_strategies` raises; after a
    StrategiesError the tickers that are complete have their files, and every reply is in the store, so that the same order
    goes on where it was.
    """
    asked = _refuse_others(wanted, replay, out)
    labelled, analyst = (
        replay.labelled(wanted.label),
        replay.labelled(f"{wanted.analyst.name} {wanted.analyst.version}"),
    )
    failed: frozenset[str] = frozenset()
    try:
        made = _make(wanted, labelled, analyst, progress)
    except StrategiesError as error:
        failed = frozenset(failure.ticker for failure in error.failures)
        _write(wanted, [one for one in error.strategies if one.ticker not in failed], out, asked)
        raise
    _write(wanted, made, out, asked)
    return made


def summary(wanted: Order, made: Sequence[Strategy]) -> pd.DataFrame:
    """A row per ticker and draw: number of strategies, share LONG, means of confidence, entropy and perplexity, Sharpe ratio.

    The annual Sharpe ratio is that of following them over the order's days, after costs, from the day after the first one.
    """
    table = strategy_frame(made)
    rows = []
    for (ticker, draw), group in table.groupby(["ticker", "draw"], sort=False):
        own = [one for one in made if one.ticker == ticker and one.draw == draw]
        bars = wanted.dataset.bars(str(ticker))
        bars = bars[(bars.index >= own[0].date) & (bars.index < wanted.end)]
        path = backtest(bars, own, first_row=1) if len(bars) > 2 else None
        rows.append(
            {
                "ticker": ticker,
                "draw": draw,
                "strategies": len(group),
                "long": group["direction"].mean(),
                "confidence": group["confidence"].mean(),
                "entropy": group["entropy"].mean(),
                "perplexity": group["perplexity"].mean(),
                "sharpe_ratio": float("nan") if path is None else float(sharpe_ratio(path["daily_return"].to_numpy())),
            }
        )
    return pd.DataFrame(rows)


def _day(given: str | pd.Timestamp, what: str) -> pd.Timestamp:
    try:
        return pd.Timestamp(given).normalize()
    except ValueError:
        raise ValueError(f"{what} is {given!r}, which is no day; write it like 2018-01-31") from None


def _make(
    wanted: Order, chat: Replay | Rehearsal, analyst: Replay | Rehearsal, progress: Progress | None
) -> list[Strategy]:
    return make_many_strategies(
        wanted.dataset, wanted.tickers, wanted.prompt, chat, wanted.start, wanted.end, wanted.draws, wanted.ask, analyst,
        progress,
    )  # fmt: skip


def _refuse_others(wanted: Order, replay: Replay, out: Path) -> dict[str, Any]:
    """How the strategies are to be made, as written beside them; ExperimentError if others stand in their place."""
    asked = {
        "dataset": wanted.dataset.name,
        "start": f"{wanted.start:%Y-%m-%d}",
        "end": f"{wanted.end:%Y-%m-%d}",
        "draws": wanted.draws,
        "prompt": wanted.prompt.digest,
        "analyst": wanted.analyst.digest if wanted.prompt.shows_news else "",
        "chat": dict(replay.identity),
        "ask": {
            item.name: value
            for item in fields(wanted.ask)
            if item.name != "analyst_prompt" and (value := getattr(wanted.ask, item.name)) is not None
        },
    }
    place = out / wanted.folder
    if (place / ORDER).is_file():
        refuse_other_settings(place, read_toml(place / ORDER), asked)
    return asked


def _write(wanted: Order, made: Sequence[Strategy], out: Path, asked: Mapping[str, Any]) -> None:
    """A file per ticker that has strategies, and with the first one how they were made."""
    for ticker in wanted.tickers:
        own = [one for one in made if one.ticker == ticker]
        if own:
            lines = io.StringIO()
            lines.writelines(f"{json.dumps(strategy_to_record(one))}\n" for one in own)
            write_toml(out / wanted.folder / ORDER, asked)
            write_text(out / wanted.folder / f"{ticker}.jsonl", lines.getvalue())
