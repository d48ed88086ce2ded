"""What tokens cost: a dated table of prices in the package, and the user's own rows before it.

A model that neither names has no price, which is said and never counted as nothing. A server of one's own is free only if
its owner says so.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Any

from llmrl_lib.language.chat import Usage
from llmrl_lib.settings import SettingsError

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}\Z")  # as in gpt-4o-mini-2024-07-18
_NUMBERS = ("prompt", "cached", "completion")
_NAMES = {"model", "from", "server", "source", *_NUMBERS}


@dataclass(frozen=True)
class Price:
    """USD per million tokens of one model from one day on."""

    model: str
    since: date
    prompt: float
    completion: float
    cached: float  # of the prompt, those that the server had in its cache
    server: str = ""  # empty: any
    source: str = ""

    def cost(self, usage: Usage) -> float:
        """USD."""
        fresh = usage.prompt - usage.cached
        return (fresh * self.prompt + usage.cached * self.cached + usage.completion * self.completion) / 1e6

    def largest_cost(self, usage: Usage) -> float:
        """USD, whatever share of the prompt turns out to be cached."""
        return (usage.prompt * max(self.prompt, self.cached) + usage.completion * self.completion) / 1e6


@dataclass(frozen=True)
class Prices:
    """Rows of which the first that fits a model and server counts, and of several of its kind the latest by the day."""

    tables: tuple[tuple[Price, ...], ...]

    def find(self, model: str, server: str, day: date) -> Price | None:
        """The price of a model at a server on a day, or None where it is unknown."""
        for name in dict.fromkeys((model, _SNAPSHOT.sub("", model))):
            for table in self.tables:
                known = [row for row in table if row.model == name and row.server in ("", server) and row.since <= day]
                if known:
                    return max(known, key=lambda row: (bool(row.server), row.since))
        return None


def load_prices(path: str | os.PathLike[str] | None = None, free: Iterable[str] = ()) -> Prices:
    """The package's prices, behind those of the TOML file at `path`, behind the models that the caller calls free.

    A file has rows [[price]] with model, prompt, completion (USD per million tokens) and, if wanted, cached (else as
    prompt), from (a date; else always), server and source. Raises SettingsError for a file that is otherwise.
    """
    own = (resources.files("llmrl_lib.language") / "prices.toml").read_text("utf-8")
    tables = [_rows(own, "the package's prices")]
    if path is not None:
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: the prices cannot be read ({error})") from None
        tables.insert(0, _rows(text, str(path)))
    tables.insert(0, tuple(Price(model, date.min, 0.0, 0.0, 0.0, source="said to be free") for model in free))
    return Prices(tuple(tables))


def _rows(text: str, where: str) -> tuple[Price, ...]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where}: not TOML: {error}") from None
    rows = table.get("price")
    if set(table) != {"price"} or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SettingsError(f"{where}: it must hold rows that begin with [[price]], and nothing else")
    return tuple(_row(row, f"{where}, row {number}") for number, row in enumerate(rows, 1))


def _row(row: Mapping[str, Any], where: str) -> Price:
    if unknown := sorted(set(row) - _NAMES):
        raise SettingsError(f"{where}: unknown name {unknown[0]!r}; it may have {', '.join(sorted(_NAMES))}")
    if missing := [name for name in ("model", "prompt", "completion") if name not in row]:
        raise SettingsError(f"{where}: {missing[0]} is missing")
    numbers = {name: row.get(name, row["prompt"]) for name in _NUMBERS}
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number) or number < 0:
            raise SettingsError(f"{where}: {name} is {number!r}; it is USD per million tokens, 0 or more")
    since = row.get("from", date.min)
    if type(since) is not date:
        raise SettingsError(f"{where}: from is {since!r}; it is a date like 2026-11-01, without quotes")
    for name in ("model", "server", "source"):
        if not isinstance(row.get(name, ""), str):
            raise SettingsError(f"{where}: {name} is {row[name]!r}; it is a text")
    server = row.get("server", "").rstrip("/")
    return Price(
        row["model"], since, numbers["prompt"], numbers["completion"], numbers["cached"], server, row.get("source", "")
    )
