"""Keeps what a run folder's replies cost, those of earlier runs included, under a number of USD.

Before a request is sent, the most that it can cost is set aside; when its answer is stored, what it did cost takes that
place. A request that would not fit waits while others are in flight, since they may leave something over.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from math import isfinite

from llmrl_lib.language.chat import BudgetError, Request
from llmrl_lib.language.counting import largest_usage
from llmrl_lib.language.prices import Price, Prices, load_prices
from llmrl_lib.language.store import Store


class Budget:
    """At most `usd` for everything in one store. Raises ValueError for a number that is no budget."""

    def __init__(self, usd: float, prices: Prices | None = None) -> None:
        if not isfinite(usd) or usd < 0:
            raise ValueError(f"a budget of {usd} USD; it must be a number of 0 or more")
        self.usd = usd
        self.prices = load_prices() if prices is None else prices
        self._store: Store | None = None
        self._counted, self._spent = 0, 0.0
        self._reserved, self._in_flight = 0.0, 0
        self._changed = threading.Condition()

    def watch(self, store: Store) -> None:
        """Counts what is in `store` from now on. Raises ValueError for a second store."""
        if self._store not in (None, store):
            raise ValueError("a budget watches one folder; make another for another folder")
        self._store = store

    def spent(self) -> float:
        """USD for what the store holds. Raises BudgetError where the price of some of it is unknown."""
        with self._changed:
            paid = self._store.paid if self._store is not None else []
            for one in paid[self._counted :]:
                day = date.fromisoformat(one.at[:10])
                self._spent += self._price(one.model, one.server, day).cost(one.usage)
                self._counted += 1
            return self._spent

    def largest_cost(self, request: Request, identity: Mapping[str, str]) -> float:
        """The most that a request can cost, in USD. Raises BudgetError where the price is unknown."""
        today = datetime.now(UTC).date()
        price = self._price(identity.get("model", ""), identity.get("server", ""), today)
        return price.largest_cost(largest_usage(request))

    @contextmanager
    def set_aside(self, usd: float) -> Iterator[None]:
        """Sets `usd` aside until the block ends, in which the answer is to be stored. Raises BudgetError if it cannot fit."""
        with self._changed:
            while (spent := self.spent()) + self._reserved + usd > self.usd:
                if self._in_flight == 0:
                    raise BudgetError(
                        f"the next request may cost up to {usd:.4f} USD, and {spent:.4f} of the budget of {self.usd:.4f} USD "
                        "are spent; raise --budget-usd, or lower max_tokens, and run again: everything so far is kept"
                    )
                self._changed.wait()
            self._reserved += usd
            self._in_flight += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._reserved = self._reserved - usd if self._in_flight else 0.0
                self._changed.notify_all()

    def _price(self, model: str, server: str, day: date) -> Price:
        price = self.prices.find(model, server, day)
        if price is None:
            raise BudgetError(
                f"no price is known for {model!r} at {server or 'this server'}, so no budget can be kept; add it to a "
                "file of prices, or say that the model is free"
            )
        return price
