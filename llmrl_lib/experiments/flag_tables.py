"""FLAG-Trader beside everything else, for notebook 07: tables over tickers, comparisons, and marks of what was checked."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd

from llmrl_lib.evidence.published_flag_trader import SETTINGS as PUBLISHED
from llmrl_lib.evidence.published_flag_trader import published_table
from llmrl_lib.experiments.arms import SETTINGS, Arm
from llmrl_lib.experiments.comparisons import COLUMNS, HOLDING, comparison_table
from llmrl_lib.experiments.flag_arms import FLAG_TRADER, NUMBERS, RANDOM, UNTRAINED
from llmrl_lib.experiments.folders import read_toml
from llmrl_lib.experiments.runs import Run
from llmrl_lib.experiments.tables import NEARLY, arm_label
from llmrl_lib.settings import FlagTraderSettings, flag_trader_settings

__all__ = [
    "checks_table",
    "compared",
    "example_state",
    "flag_settings_of",
    "flag_table",
    "published_table",
    "settings_table",
]

SHOWN = (FLAG_TRADER, UNTRAINED, RANDOM, NUMBERS, "unguided", "guided", "buy_and_hold")
BASES = (UNTRAINED, RANDOM, NUMBERS, "unguided", "guided", HOLDING)
METRICS = {
    "cumulative": ("cumulative return", "{:.1%}"),
    "sharpe_ratio": ("Sharpe", "{:.2f}"),
    "annual_volatility": ("volatility", "{:.1%}"),
    "max_drawdown": ("drawdown", "{:.1%}"),
}


def flag_tickers(run: Run) -> list[str]:
    """The tickers of a run on which FLAG-Trader was trained."""
    return [ticker for ticker in run.tickers if FLAG_TRADER in run.arms(ticker)]


def flag_settings_of(arm: Arm) -> FlagTraderSettings:
    """The settings that an arm of FLAG_ARMS was made with."""
    return flag_trader_settings(read_toml(arm.folder / SETTINGS)["flag_trader"], str(arm.folder / SETTINGS))


def settings_table(arm: Arm) -> pd.DataFrame:
    """The backbone, and every setting in which an arm differs from the defaults: columns here, by default, published.

    Defaults are the published numbers where the paper gives them, with another backbone; what it leaves open (an empty cell)
    is this project's choice.
    """
    own, usual = flag_settings_of(arm), FlagTraderSettings()
    rows = {
        entry.name: (getattr(own, entry.name), getattr(usual, entry.name), PUBLISHED.get(entry.name, ""))
        for entry in fields(own)
        if entry.name == "backbone" or getattr(own, entry.name) != getattr(usual, entry.name)
    }
    cells = {name: [str(value) for value in values] for name, values in rows.items()}
    return pd.DataFrame.from_dict(cells, orient="index", columns=["here", "by default", "published"])


def example_state(run: Run, ticker: str, row: int = 0) -> str:
    """What the policy reads on a test day (`row` of the tradable ones), the account holding cash and never having traded."""
    from llmrl_lib.trading.flag_trader.text import account_words, markets, messages

    dataset, settings = run.dataset_of(ticker), flag_settings_of(run.arms(ticker)[FLAG_TRADER])
    market = markets(dataset.train_bars(ticker), dataset.test_bars(ticker), settings)[1]
    turns = messages(market.texts[market.first_row + row], account_words(settings)[0], settings)
    return "\n\n".join(turn.content for turn in turns)


def flag_table(run: Run) -> pd.DataFrame:
    """Test years after costs, a row per ticker and arm: mean over seeds, standard deviation in brackets."""
    rows = {}
    for ticker in flag_tickers(run):
        for name, arm in run.arms(ticker).items():
            if name not in SHOWN:
                continue
            table = arm.performance[arm.performance["split"] == "test"]
            table = table.assign(cumulative=table["profit_and_loss"] / run.settings.cash)
            cells = {"seeds": str(len(table))}
            for metric, (title, form) in METRICS.items():
                spread = f" ({form.format(table[metric].std())})" if len(table) > 1 else ""
                cells[title] = form.format(table[metric].mean()) + spread
            rows[ticker, arm_label(name)] = cells
    return pd.DataFrame.from_dict(rows, orient="index", columns=["seeds", *(title for title, _ in METRICS.values())])


def compared(run: Run) -> pd.DataFrame:
    """FLAG-Trader less each of BASES that a ticker has; columns of `comparison_table`, Holm's correction over all rows."""
    from llmrl_lib.evidence.paired import holm

    tables = [comparison_table(run, base, [FLAG_TRADER], flag_tickers(run)) for base in BASES]
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.concat(tables, ignore_index=True).sort_values("ticker", kind="stable", ignore_index=True)
    said = table["p_value"].dropna()
    if len(said):
        corrected = holm({str(row): value for row, value in said.items()})["corrected"]
        table["corrected"] = corrected.set_axis(said.index)
    return table


def checks_table(run: Run, ticker: str) -> pd.DataFrame:
    """What a sceptic asks of FLAG-Trader's paths: a row per question, columns mark (pass or fail) and finding."""
    dataset, arm = run.dataset_of(ticker), run.arms(ticker)[FLAG_TRADER]
    train, test = dataset.train_bars(ticker), dataset.test_bars(ticker)
    paths = arm.trajectories[arm.trajectories["split"] == "test"]
    settings, closes = flag_settings_of(arm), test["close"].to_numpy(np.float64)
    again = _again(paths, closes, settings)
    gap = float(np.abs(again["equity"].to_numpy() / paths["equity"].to_numpy() - 1).max())
    late = _again(paths, closes, settings, delay=1)
    sharpe = [_mean_sharpe(table) for table in (paths, late)]
    long = (paths["position"] == 1).groupby(paths["seed"]).mean()
    constant = int((np.maximum(long, 1 - long) >= NEARLY).sum())
    likely = paths[["p_sell", "p_hold", "p_buy"]].to_numpy() > 0
    illegal = int((likely & ~again[["sell", "hold", "buy"]].to_numpy(bool)).any(axis=1).sum())
    rows = {
        "no text knows its own day or a later one": (
            _text_is_blind(train, test, settings),
            "texts up to a day compared where that day's bar and all later ones are three times as high",
        ),
        "the account follows from the orders": (gap < 1e-9, f"largest deviation of equity {gap:.1e}"),
        "illegal orders have probability 0": (
            illegal == 0,
            f"{illegal} days with a probability above 0 for what the account could not do",
        ),
        "it still decides": (constant == 0, f"{constant} of {len(long)} seeds nearly always on one side"),
        "a day's delay does not undo it": (
            sharpe[1] >= sharpe[0] - 0.3,
            f"Sharpe ratio {sharpe[0]:.2f} at once, {sharpe[1]:.2f} a day late",
        ),
    }
    return pd.DataFrame(
        [("pass" if bool(passed) else "fail", finding) for passed, finding in rows.values()],
        index=list(rows),
        columns=["mark", "finding"],
    )


def _text_is_blind(train: pd.DataFrame, test: pd.DataFrame, settings: FlagTraderSettings) -> bool:
    from llmrl_lib.trading.flag_trader.text import markets

    whole = markets(train, test, settings)[1]
    cuts = [settings.first_row + 1, (settings.first_row + len(test)) // 2, len(test)]
    for cut in cuts:  # the newest text compared is that of the day before the cut, whose own bar is changed
        changed = pd.concat([test.iloc[: cut - 1], 3.0 * test.iloc[cut - 1 :]])
        if markets(train, changed, settings)[1].texts[:cut] != whole.texts[:cut]:
            return False
    return True


def _again(paths: pd.DataFrame, closes: np.ndarray, settings: FlagTraderSettings, delay: int = 0) -> pd.DataFrame:
    """The recorded actions carried out once more, `delay` days later: seed, equity, daily_return, and what was legal.

    An order (columns sell, hold, buy) is legal where the account could carry it out at the close before.
    """
    from llmrl_lib.trading.accounting import open_account
    from llmrl_lib.trading.orders import ACTIONS, HOLD, legal_actions, order

    found, short = [], settings.sell == "short"
    for seed, path in paths.groupby("seed", sort=False):
        account = open_account(settings.cash, np.zeros(1))
        actions = [*[HOLD] * delay, *path["action"].tolist()][: len(path)]
        for row, action in zip(path["row"].tolist(), actions, strict=True):
            price, before = closes[[row]], closes[[row - 1]]
            can = legal_actions(account, before, settings.cost_rate, short)[0].tolist()
            done = order(
                account,
                np.array([action]),
                price,
                before,
                settings.cost_rate,
                short,
                settings.short_margin,
                settings.quirks,
            )
            account = done.account
            found.append((seed, float(account.equity[0]), float(done.daily_return[0]), *can))
    return pd.DataFrame(found, columns=["seed", "equity", "daily_return", *ACTIONS])


def _mean_sharpe(table: pd.DataFrame) -> float:
    from llmrl_lib.metrics import sharpe_ratio

    return float(np.mean([sharpe_ratio(path["daily_return"].to_numpy()) for _, path in table.groupby("seed")]))
