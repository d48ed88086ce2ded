"""Writes an invented market as a dataset folder: the same bytes for the same parameters on every machine.

Numbers have fixed decimals, lines end in a line feed. Nothing is compressed: builds of zlib give different bytes.
"""

import datetime
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from llmrl_lib.market.synthetic.macro import decimals_of as macro_decimals
from llmrl_lib.market.synthetic.market import Market, name_of, simulate, title_of
from llmrl_lib.market.synthetic.reports import decimals_of as report_decimals
from llmrl_lib.market.synthetic.world import CATEGORIES, FIRST_DATE, LAST_DATE, World
from llmrl_lib.market.tables import METRICS

EMBEDDED_SEED = 20120103  # of the instance under data/embedded

_BARS = {"open": 4, "high": 4, "low": 4, "close": 4, "volume": 0, "raw_close": 4}
_INDICES = {"spx_close": 2, "ndx_close": 2, "vix_close": 2, "dgs10": 2, "dgs2": 2, "t10y2y": 2}
_OPTIONS = {"iv_30d": 2, "hv_30d": 2, "skew_30d": 4}
_EARNINGS = {"reported_eps": 4, "estimated_eps": 4, "surprise": 4, "surprise_pct": 4}
_REPORTS = {metric: report_decimals(metric) for metric in METRICS}
_TRUTH = {"state": 4, "latent": 5, "best": 5, **dict.fromkeys(CATEGORIES, 5)}
_TRUTH_IC = {"ic": 4, "mean_return": 5, "volatility": 5}


def synthesise(
    seed: int,
    tickers: int = 6,
    *,
    out: str | Path,
    strength: float = 1.0,
    carriers: Sequence[str] = CATEGORIES,
    first: datetime.date = FIRST_DATE,
    last: datetime.date = LAST_DATE,
    split: datetime.date | None = None,
) -> Path:
    """Write a dataset of ``tickers`` invented companies, with its truth, into folder ``out`` and return it.

    ``strength`` (0 to 2) is the standard deviation of the latent drift states: 0 is a market in which nothing can be
    forecast. ``carriers`` are the categories of data that show the states, out of ``CATEGORIES``; the others are noise.
    Bars run from ``first`` to ``last``; testing begins on ``split``, by default with the month after three quarters of
    the time. More tickers leave the first ones unchanged. ``truth.csv`` and ``truth_ic.csv`` are hindsight.
    Raises FileExistsError if ``out`` exists and is not empty, ValueError for impossible parameters.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not empty; name a new folder or empty it")
    market = simulate(seed, tickers, strength=strength, carriers=carriers, first=first, last=last, split=split)
    for name, content in files_of(market).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode())
    return folder


def files_of(market: Market) -> dict[str, str]:
    """The content of every file of the dataset, by its path below the folder."""
    macro = market.macro
    decimals = {series: macro_decimals(series) for series in macro["series"].unique()}
    values = [f"{value:.{decimals[series]}f}" for value, series in zip(macro["value"], macro["series"], strict=True)]
    order = ["series", "frequency", "period", "available_at", "value", "unit"]
    files = {
        "dataset.toml": _description(market),
        "indices.csv": _table(market.indices.reset_index(), _INDICES),
        "macro.csv": _table(macro.assign(value=values)[order], {}),
        "truth.csv": _table(market.truth.reset_index(), _TRUTH),
        "truth_ic.csv": _table(market.truth_ic, _TRUTH_IC),
    }
    for company in market.companies:
        ticker = company.ticker
        files[f"bars/{ticker}.csv"] = _table(market.bars[ticker].reset_index(), _BARS)
        files[f"options/{ticker}.csv"] = _table(market.options[ticker].reset_index(), _OPTIONS)
        files[f"fundamentals/{ticker}.csv"] = _table(market.fundamentals[ticker], _REPORTS)
        files[f"earnings/{ticker}.csv"] = _table(market.earnings[ticker], _EARNINGS)
        files[f"news/{ticker}.csv"] = _table(market.news[ticker][["available_at", "headline", "source"]], {})
    return files


def _table(frame: pd.DataFrame, decimals: dict[str, int]) -> str:
    """A frame as CSV: columns in ``decimals`` as numbers, moments as dates, all others as texts."""
    columns = []
    for name in frame:
        values = frame[name]
        if name in decimals:
            columns.append(list(map(_number(decimals[str(name)]), values.tolist())))
        elif pd.api.types.is_datetime64_any_dtype(values.dtype):
            columns.append(values.dt.strftime("%Y-%m-%d").tolist())
        else:
            columns.append(list(map(_quoted, values.tolist())))
    rows = [",".join(cells) for cells in zip(*columns, strict=True)]
    return "\n".join([",".join(map(str, frame)), *rows, ""])


def _number(decimals: int) -> Callable[[float], str]:
    return lambda value: "" if math.isnan(value) else f"{value:.{decimals}f}"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text


def _description(market: Market) -> str:
    world = market.world
    tickers = ", ".join(f'"{company.ticker}"' for company in market.companies)
    companies = "\n".join(
        f'[companies.{company.ticker}]\nname = "{company.name}"\n'
        f"products = {_list(company.products)}\nexecutives = {_list(company.executives)}\n"
        for company in market.companies
    )
    return f"""\
# An invented market: no price, company, person or event in it is real. Every table is point-in-time.
# truth.csv and truth_ic.csv are hindsight: what drove it all, and how well it can be forecast.
name = "{name_of(world)}"
title = "{title_of(world)}"
first_date = {world.first}
last_date = {world.last}
timezone = "exchange local date; every `available_at` is a date: use the row from the next trading day on"
redistribution = "free: made by this project, under its licence"
made_with = "{_command(world)}"

[tickers]
companies = [{tickers}]

[benchmark]
train_start = {world.first.replace(day=1)}
split = {world.split}
end = {world.last + datetime.timedelta(days=1)}

{companies}"""


def _list(texts: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"


def _command(world: World) -> str:
    carriers = ",".join(world.carriers) or "none"
    dates = f"--first {world.first} --last {world.last} --split {world.split}"
    options = f"--strength {world.strength:g} --carriers {carriers} {dates}"
    return f"llmrl data synthesise --seed {world.seed} --tickers {world.tickers} {options}"
