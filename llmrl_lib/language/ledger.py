"""What a run's replies cost, by the label under which they were asked: the paper's Table VIII, from the store alone.

Every answer counts that a server charged for, failed ones and repair rounds included. Attempts that broke off count as
retries: some servers charge for them, and none says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime

import pandas as pd

from llmrl_lib.language.chat import Request
from llmrl_lib.language.counting import largest_usage, prompt_counter
from llmrl_lib.language.prices import Prices, load_prices
from llmrl_lib.language.replay import Replay
from llmrl_lib.language.store import Paid, open_store

UNKNOWN = "unknown"
COLUMNS = {  # of the ledger, a row per label and model
    "replies": "requests that ended in a reply",
    "failures": "requests that were charged for and ended in an error",
    "calls": "answers of the server, repair rounds included",
    "retries": "attempts that broke off",
    "prompt_tokens": "all, as the server counted",
    "cached_tokens": "of these, those that it read from its cache",
    "completion_tokens": "all, as the server counted",
    "mean_prompt_tokens": "per call",
    "mean_completion_tokens": "per call",
    "mean_usd": "per request; missing where the price is unknown",
    "total_usd": "missing where the price is unknown",
    "mean_seconds": "per request, waiting and retries included",
    "seconds": "waiting, summed over requests: those in flight side by side count one after the other",
    "estimate_off": "by which share the estimate of prompt tokens missed the server's count, in all",
    "price": "where the price is from, or unknown",
}


def ledger(folder: str | os.PathLike[str], prices: Prices | None = None) -> pd.DataFrame:
    """What the replies in `folder` cost, a row per label and model, with the columns of COLUMNS."""
    prices = load_prices() if prices is None else prices
    groups: dict[tuple[str, str], list[Paid]] = {}
    for paid in open_store(folder).paid:
        groups.setdefault((paid.purpose, paid.model), []).append(paid)
    index = pd.MultiIndex.from_tuples(sorted(groups), names=["purpose", "model"])
    return pd.DataFrame([_row(groups[key], prices) for key in sorted(groups)], index=index, columns=list(COLUMNS))


@dataclass(frozen=True)
class Plan:
    """What requests would cost, before anything is asked. USD is None where the price is unknown."""

    requests: int
    stored: int  # of these, those that need no call, equal ones included
    calls: int
    prompt_tokens: int  # counted by a local model's own tokenizer, else estimated
    completion_tokens: int  # estimated
    usd: float | None  # estimated
    most_usd: float | None  # what a budget has to hold

    def row(self, stored: int) -> dict[str, float | None]:
        """A row of a table of costs, where `stored` further requests needed no plan."""
        return asdict(self) | {"requests": self.requests + stored, "stored": self.stored + stored}


def plan(replay: Replay, requests: Iterable[Request], prices: Prices | None = None, reply_tokens: int = 400) -> Plan:
    """The calls, tokens and cost of `requests`, of which stored ones cost nothing; asks nothing.

    A reply is taken to be as long as those with the same label in the store are on average, else `reply_tokens`.
    """
    wanted = list(requests)
    missing = replay.missing(wanted)
    known = [
        paid.usage for paid in open_store(replay.folder).paid if paid.purpose == replay.purpose and not paid.failure
    ]
    length = sum(usage.completion for usage in known) / len(known) if known else float(reply_tokens)
    count = prompt_counter(replay.chat)
    prompt = sum(count(request.messages) for request in missing)
    completion = round(sum(min(length, request.sampling.max_tokens) for request in missing))
    identity = replay.identity
    today = datetime.now(UTC).date()
    price = (load_prices() if prices is None else prices).find(
        identity.get("model", ""), identity.get("server", ""), today
    )
    return Plan(
        requests=len(wanted),
        stored=len(wanted) - len(missing),
        calls=len(missing),
        prompt_tokens=prompt,
        completion_tokens=completion,
        usd=None if price is None else (prompt * price.prompt + completion * price.completion) / 1e6,
        most_usd=None if price is None else sum(price.largest_cost(largest_usage(request)) for request in missing),
    )


def _row(paid: list[Paid], prices: Prices) -> dict[str, object]:
    found = [prices.find(one.model, one.server, date.fromisoformat(one.at[:10])) for one in paid]
    costs = [price.cost(one.usage) if price else None for price, one in zip(found, paid, strict=True)]
    total = sum(cost for cost in costs if cost is not None) if None not in costs else float("nan")
    prompt, completion, calls = (
        sum(getattr(one.usage, name) for one in paid) for name in ("prompt", "completion", "calls")
    )
    single = [one for one in paid if one.usage.calls == 1 and one.usage.prompt]
    counted = sum(one.usage.prompt for one in single)
    seconds = sum(one.seconds for one in paid)
    sources = dict.fromkeys(UNKNOWN if price is None else price.source or "a row of the user's" for price in found)
    return {
        "replies": sum(not one.failure for one in paid),
        "failures": sum(bool(one.failure) for one in paid),
        "calls": calls,
        "retries": sum(one.usage.retries for one in paid),
        "prompt_tokens": prompt,
        "cached_tokens": sum(one.usage.cached for one in paid),
        "completion_tokens": completion,
        "mean_prompt_tokens": prompt / calls if calls else float("nan"),
        "mean_completion_tokens": completion / calls if calls else float("nan"),
        "mean_usd": total / len(paid),
        "total_usd": total,
        "mean_seconds": seconds / len(paid),
        "seconds": seconds,
        "estimate_off": sum(one.estimated for one in single) / counted - 1 if counted else float("nan"),
        "price": "; ".join(sources),
    }
