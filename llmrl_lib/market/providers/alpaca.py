"""News by Alpaca through alpaca-py: the headlines of a ticker, each on the day in New York on which it last changed.

Alpaca hands out an article as it reads today, so it counts as public when it was last updated, not when it was first
written. The format uses every row from the next trading day on, so a headline after the close counts for the next day.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from llmrl_lib.market.providers.errors import SourceError
from llmrl_lib.market.providers.patience import patiently
from llmrl_lib.market.providers.source import Part, Session, Source, Wanted

if TYPE_CHECKING:
    from alpaca.data.historical.news import NewsClient

TITLE = "Alpaca"
KEYS = ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")
ZONE = "America/New_York"
PAGE = 50  # articles a page, the most that Alpaca gives
MOST_PAGES = 4000  # of a ticker; more than the busiest one has in ten years
TIMEOUT = 60.0  # seconds without a byte


class _Alpaca:
    def __init__(self, client: NewsClient) -> None:
        self.client = client

    def fetch(self, wanted: Wanted) -> Part:
        from alpaca.data.models.news import NewsSet
        from alpaca.data.requests import NewsRequest

        start = wanted.start.tz_localize(ZONE)
        end = (wanted.end + pd.Timedelta(days=1)).tz_localize(ZONE) - pd.Timedelta(seconds=1)
        asked = NewsRequest(symbols=wanted.ticker, start=start, end=end, sort="asc", include_content=False)
        rows: list[dict[str, Any]] = []
        for page in self._pages(asked.to_request_fields()):
            for article in NewsSet(page).data["news"]:
                if wanted.ticker in article.symbols and (headline := _plain(article.headline)):
                    at = pd.Timestamp(max(article.created_at, article.updated_at)).tz_convert(ZONE)
                    day = at.tz_localize(None).normalize().as_unit("us")
                    text = {"headline": headline, "summary": _plain(article.summary), "source": _plain(article.source)}
                    rows.append({"available_at": day, **text})
        frame = pd.DataFrame(rows, columns=["available_at", "headline", "summary", "source"])
        frame = frame[(frame["available_at"] >= wanted.start) & (frame["available_at"] <= wanted.end)]
        query = {"symbols": wanted.ticker, "start": start.isoformat(), "end": end.isoformat(), "sort": "asc"}
        notes = () if len(frame) else (f"no news from {wanted.start:%Y-%m-%d} to {wanted.end:%Y-%m-%d}",)
        return Part(frame.drop_duplicates(["available_at", "headline"]), query, notes)

    def _pages(self, fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Page after page; SourceError when they lead in a circle or do not end."""
        seen: set[str] = set()
        token: str | None = None
        for _ in range(MOST_PAGES):
            asked = {**fields, "limit": PAGE, "page_token": token}
            page = patiently(partial(self.client.get, "/news", asked), TITLE, KEYS)
            if not isinstance(page, dict) or not isinstance(page.get("news"), list):
                raise SourceError(f"{TITLE} answered with something that is not a page of news; try again later")
            yield page
            token = page.get("next_page_token")
            if token is None:
                return
            if token in seen:
                raise SourceError(f"{TITLE}'s pages lead in a circle; the file stays as it was; try again later")
            seen.add(token)
        raise SourceError(f"{TITLE}'s pages do not end ({MOST_PAGES} of them); ask for fewer days at a time")


def _plain(text: str | None) -> str:
    """A text on one line, without the marks of a web page."""
    return " ".join(html.unescape(text or "").split())


@contextmanager
def _opened() -> Iterator[Session]:
    from alpaca.data.historical.news import NewsClient

    class Patient(NewsClient):
        """The client with a limit on how long it waits for an answer, and without pauses of its own."""

        def _one_request(self, method: str, url: str, opts: dict, retry: int) -> dict:  # noqa: ARG002
            return super()._one_request(method, url, {**opts, "timeout": TIMEOUT}, retry=0)

    key, secret = (os.environ[name] for name in KEYS)
    yield _Alpaca(Patient(key, secret))


ALPACA = Source(
    name="alpaca",
    title=TITLE,
    package="alpaca-py",
    module="alpaca",
    open=_opened,
    terms="your own use, no redistribution: https://alpaca.markets/disclosures (news by Benzinga)",
    tables=("news",),
    keys={KEYS[0]: "the key id of a (free) account at https://alpaca.markets", KEYS[1]: "the secret of that key"},
)
