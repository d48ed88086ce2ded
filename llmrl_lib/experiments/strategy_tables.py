"""Tables of a language model's advice: what following each prompt earned, what it did, what it cost, how well it read.

Each takes what `advised` gives, for which a ticker without strategies gives tables without rows; `or_sentence` then puts
a sentence in their place. Cells are text unless a function says otherwise.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from llmrl_lib.evidence.bootstrap import LEAST, Interval, sharpe_difference, sharpe_interval
from llmrl_lib.evidence.published import PAPER_TICKERS, PROMPT_COST, PROMPT_SHARPE, Table
from llmrl_lib.experiments.advised import Advised
from llmrl_lib.experiments.runs import Run
from llmrl_lib.experiments.tables import left_out
from llmrl_lib.language.ledger import ledger
from llmrl_lib.language.prices import load_prices
from llmrl_lib.language.prompts import Prompt, PromptError, load_prompt
from llmrl_lib.market.features import feature_table
from llmrl_lib.metrics import annual_return, max_drawdown
from llmrl_lib.strategy.records import prompt_label
from llmrl_lib.strategy.rendering import misread

NONE = "-"
MARKET = "market"  # the row of holding


def published_beside(run: Run, ticker: str, table: Table) -> tuple[str, dict[str, float]]:
    """Whose published figures stand beside those of a ticker, and these by prompt.

    The ticker's own where it was published and the run's data are like those; otherwise the mean of the published six, which
    are other stocks and another model.
    """
    own = ticker in PAPER_TICKERS and ticker not in left_out(run)
    row = dict(zip(table.columns, table.rows[ticker if own else "Mean"], strict=True))
    label = "published" if own else f"published, {len(PAPER_TICKERS)} other stocks"
    return label, {name.lower(): value for name, value in row.items()}


def prompts_table(told: Advised) -> pd.DataFrame:
    """What each prompt shows and when it decided: a row per prompt, text; a dash for the user's own prompts."""
    rows = {}
    for name, strategies in told.strategies.items():
        prompt, dates = known_prompt(name, strategies[0].prompt_digest), [one.date for one in strategies]
        rows[prompt_label(name)] = {
            "fields": str(len(prompt.features)) if prompt else NONE,
            "remembers": (f"{prompt.memory} decisions" if prompt.memory else "nothing") if prompt else NONE,
            "by groups": "yes" if strategies[0].findings else "no",
            "news": "no" if strategies[0].factors is None else "yes",
            "decisions": str(len(set(dates))),
            "first": f"{min(dates):%Y-%m-%d}",
            "last": f"{max(dates):%Y-%m-%d}",
            "guides": "yes" if name == told.guide else "no",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def prompt_sharpes(told: Advised) -> pd.DataFrame:
    """The annual Sharpe ratio of following each prompt over the test years, and of holding: numbers, a row per prompt.

    Columns sharpe, low, high (95%, stationary bootstrap of days), difference, difference_low, difference_high and p_value:
    less holding, NaN where the account held all the time. The last row, "market", is holding. NaN for a price that never
    moves or fewer than 30 days.
    """
    rows = {}
    market = told.holding["daily_return"].to_numpy() if told else np.zeros(0)
    for prompt, path in told.paths.items():
        own = path["daily_return"].to_numpy()
        apart = moves(own) and moves(market) and not np.array_equal(own, market)
        rows[prompt] = _alone(own) | _beside(sharpe_difference(own, market) if apart else None)
    if told:
        rows[MARKET] = _alone(market) | _beside(None)
    columns = ["sharpe", "low", "high", "difference", "difference_low", "difference_high", "p_value"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def sharpe_table(run: Run, ticker: str, sharpes: pd.DataFrame) -> pd.DataFrame:
    """Table III for one ticker: each prompt's test Sharpe ratio with its interval, less holding, and as published.

    `sharpes` as of `prompt_sharpes`.
    """
    label, published = published_beside(run, ticker, PROMPT_SHARPE)
    rows = {}
    for prompt, found in sharpes.iterrows():
        known = published.get("benchmark" if prompt == MARKET else str(prompt))
        rows[prompt_label(str(prompt))] = {
            "Sharpe": _number(found["sharpe"]),
            "95% interval": _span(found["low"], found["high"]),
            "less holding": _number(found["difference"]),
            "its 95% interval": _span(found["difference_low"], found["difference_high"]),
            label: NONE if known is None else f"{known:.2f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def behaviour_table(told: Advised) -> pd.DataFrame:
    """What following each prompt meant over the test years: share of months LONG, changes of side, return, drawdown."""
    rows = {}
    for prompt, path in told.paths.items():
        own = told.followed.query("prompt == @prompt and split == 'test'").sort_values("date")
        returns = path["daily_return"].to_numpy()
        rows[prompt_label(prompt)] = {
            "decisions": str(len(own)),
            "LONG": f"{own['direction'].mean():.0%}",
            "changes": str(int((own["direction"].diff().abs() == 1).sum())),
            "confidence": f"{own['confidence'].mean():.1f}",
            "return a year": f"{annual_return(returns):.1%}",
            "drawdown": f"{max_drawdown(path['equity'].to_numpy()):.1%}",
        }
    if told:
        returns, equity = told.holding["daily_return"].to_numpy(), told.holding["equity"].to_numpy()
        held = {"return a year": f"{annual_return(returns):.1%}", "drawdown": f"{max_drawdown(equity):.1%}"}
        rows[MARKET] = {"decisions": NONE, "LONG": NONE, "changes": NONE, "confidence": NONE} | held
    return pd.DataFrame.from_dict(rows, orient="index")


def reading_table(told: Advised) -> pd.DataFrame:
    """How many of the figures that a model read out are those that it was shown, over all decisions of each prompt.

    Only figures count: what is said of the news is not checked. Prompts that the package does not know, or knows otherwise,
    have no row.
    """
    rows = {}
    for name, strategies in told.strategies.items():
        prompt = known_prompt(name, strategies[0].prompt_digest)
        if prompt is None:
            continue
        dates = sorted({one.date for one in strategies})
        features = dict(zip(dates, feature_table(told.dataset, told.ticker, dates).rows(), strict=True))
        read = sum(item.feature in prompt.features for one in strategies for item in one.evidence)
        wrong = sum(len(misread(one, prompt, features[one.date])) for one in strategies)
        rows[prompt_label(name)] = {
            "fields shown": str(len(prompt.features)),
            "read out, per decision": f"{read / len(strategies):.1f}",
            "as shown": f"{1 - wrong / read:.1%}" if read else NONE,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def cost_table(run: Run) -> pd.DataFrame:
    """Table VIII for the whole run: requests, tokens and cost by prompt, the analyst's included, beside the published ones.

    A local model costs nothing; a price that is not known is a dash.
    """
    if not (run.strategies_folder / "replies.jsonl").is_file():
        return pd.DataFrame()
    free = [run.chat["model"]] if "server" not in run.chat else []
    published, rows = PROMPT_COST.frame(), {}
    for purpose, group in ledger(run.strategies_folder, load_prices(free=free)).groupby(level="purpose", sort=False):
        asked = group["replies"].sum() + group["failures"].sum()
        tokens = group["prompt_tokens"].sum() + group["completion_tokens"].sum()
        name = str(purpose).rsplit(" ", 1)[0]
        usd = group["total_usd"].sum(skipna=False)
        known = published.loc[name.upper()] if name.upper() in published.index else None
        rows[prompt_label(name) if name else "others"] = {
            "requests": f"{asked:,}",
            "tokens each": f"{tokens / asked:,.0f}",
            "of these written": f"{group['completion_tokens'].sum() / asked:,.0f}",
            "tokens in all": f"{tokens:,}",
            "USD each": _usd(usd / asked),
            "USD in all": _usd(usd, 2),
            "seconds waited": f"{group['seconds'].sum() / asked:.2f}",
            "published: tokens": NONE if known is None else f"{known['mean_tokens']:,.0f}",
            "published: USD": NONE if known is None else f"{known['mean_cost_usd']:.5f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def known_prompt(name: str, digest: str) -> Prompt | None:
    """The package's prompt of that name if it is word for word the one that was asked with; else None."""
    try:
        prompt = load_prompt(name)
    except PromptError:
        return None
    return prompt if prompt.digest == digest else None


def moves(returns: np.ndarray) -> bool:
    """Whether a Sharpe ratio of these daily returns can have an interval: 30 of them, and not all equal."""
    return len(returns) >= LEAST and returns.max() > returns.min()


def _alone(returns: np.ndarray) -> dict[str, float]:
    found = sharpe_interval(returns) if moves(returns) else None
    return _named(found, "sharpe", "low", "high")


def _beside(found: Interval | None) -> dict[str, float]:
    p_value = {"p_value": np.nan if found is None else found.p_value}
    return _named(found, "difference", "difference_low", "difference_high") | p_value


def _named(found: Interval | None, *names: str) -> dict[str, float]:
    values = (np.nan,) * 3 if found is None else (found.estimate, found.low, found.high)
    return dict(zip(names, values, strict=True))


def _number(value: float) -> str:
    return NONE if np.isnan(value) else f"{value:.2f}"


def _span(low: float, high: float) -> str:
    return NONE if np.isnan(low) else f"{low:.2f} to {high:.2f}"


def _usd(value: float, digits: int = 5) -> str:
    return NONE if np.isnan(value) else f"{value:.{digits}f}" if value else "0"
