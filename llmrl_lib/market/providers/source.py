"""What a source is to the rest: a name, what it needs, what it fills, and a session that hands out one table at a time."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Protocol

import pandas as pd

from llmrl_lib.market.providers.errors import SourceError

WHOLE_TABLE = "*"  # in the place of a column: the table is filled by one source or not at all


@dataclass(frozen=True)
class Wanted:
    """One table that is asked for: of a ticker or of the whole market, from ``start`` to ``end``, both included."""

    table: str
    ticker: str | None
    start: pd.Timestamp
    end: pd.Timestamp
    splits: Mapping[pd.Timestamp, float] | None = None  # new shares for an old one, where a source has told them
    continued: bool = False  # the days before ``start`` have been fetched already

    @property
    def file(self) -> str:
        """The table's place in the dataset folder."""
        return f"{self.table}.csv" if self.ticker is None else f"{self.table}/{self.ticker}.csv"


@dataclass(frozen=True)
class Part:
    """What a source gives of a table: rows with the format's columns (those it fills), and what it has to say."""

    frame: pd.DataFrame  # dates as columns
    query: Mapping[str, Any]  # as it was asked, without any key
    notes: tuple[str, ...] = ()
    splits: Mapping[pd.Timestamp, float] | None = None


class Session(Protocol):
    """A source that answers."""

    def fetch(self, wanted: Wanted) -> Part:
        """The rows of one table; SourceError in one sentence when there are none to be had."""
        ...


@dataclass(frozen=True)
class Source:
    """A source of data and the client that asks it."""

    name: str  # also the name of the extra
    title: str
    package: str  # as pip knows it
    module: str  # as Python does
    open: Callable[[], AbstractContextManager[Session]]
    terms: str  # under which the data may be used, with the place where they stand
    tables: tuple[str, ...]
    keys: Mapping[str, str] = field(default_factory=dict)  # environment variables that must be set, and what they are
    whole: tuple[str, ...] = ()  # tables that are asked for from the beginning each time, because old rows may change

    def check(self) -> None:
        """Raises SourceError, fatal, when the client is not installed or a key is not set."""
        try:
            importlib.import_module(self.module)
        except ImportError as error:
            remedy = f'in the checkout, pip install -e ".[{self.name}]"'
            raise SourceError(f"{self.title} needs the package {self.package}: {remedy}", fatal=True) from error
        for key, what in self.keys.items():
            if not os.environ.get(key, "").strip():
                raise SourceError(f"{self.title} needs {what} in the environment variable {key}", fatal=True)

    @property
    def client(self) -> str:
        """Name and version of the package that asks."""
        return f"{self.package} {version(self.package)}"
