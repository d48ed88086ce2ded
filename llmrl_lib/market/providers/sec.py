"""SEC filings through edgartools: every ratio of the fundamentals from reported items, dated by the filing's acceptance.

Two requests per company: its list of filings (when each was accepted) and its facts (what each reported). Values are replayed
in the order in which they became public; where a filing changes what is known of an earlier quarter, that quarter gets a
new row with the day of that filing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd

from llmrl_lib.market.providers.errors import Busy, SourceError, status_of
from llmrl_lib.market.providers.patience import patiently
from llmrl_lib.market.providers.reports import PER_SHARE, Fact, item_of, reports
from llmrl_lib.market.providers.source import Part, Session, Source, Wanted

if TYPE_CHECKING:
    from types import ModuleType

TITLE = "SEC EDGAR"
KEY = "EDGAR_IDENTITY"
FORMS = ("10-Q", "10-K", "10-QT", "10-KT", "10-Q/A", "10-K/A", "10-QT/A", "10-KT/A")
HISTORY = pd.DateOffset(years=2)  # before the first day: changes over a year need it
ZONE = "America/New_York"
BLOCKED = 600.0  # seconds for which the SEC shuts out whoever asked too often; asking again prolongs it


class _Sec:
    def __init__(self, client: ModuleType) -> None:
        self.client = client

    def fetch(self, wanted: Wanted) -> Part:
        company = self._asked(lambda: self.client.Company(wanted.ticker), wanted)
        filings = self._asked(lambda: company.get_filings(form=list(FORMS)), wanted)
        found = self._asked(company.get_facts, wanted)
        if found is None or filings is None or not len(filings):
            raise SourceError(f"{TITLE} has no 10-Q or 10-K of {wanted.ticker} with figures; foreign filers give none")
        public = {filing.accession_no: _public_day(filing) for filing in filings}
        facts = list(_facts(found.get_all_facts(), public, wanted.splits or {}))
        frame = reports(facts)
        if len(frame):
            wide = (frame["period_end"] >= wanted.start - HISTORY) & (frame["available_at"] <= wanted.end)
            frame = frame[wide]
        if not len(frame):
            what = f"{TITLE} has no figures of {wanted.ticker} from {wanted.start:%Y-%m-%d} to {wanted.end:%Y-%m-%d}"
            raise SourceError(f"{what}; they begin with the filings of 2009")
        notes = []
        if wanted.splits is None:
            notes.append("reported_eps is as filed: no splits are known; fetch bars from yahoo first, then this again")
        query = {"company": wanted.ticker, "cik": int(company.cik), "forms": " ".join(FORMS)}
        return Part(frame.reset_index(drop=True), query, tuple(notes))

    def _asked(self, ask: Any, wanted: Wanted) -> Any:
        from edgar.exceptions import CompanyNotFoundError, TooManyRequestsError

        def attempt() -> Any:
            try:
                return ask()
            except CompanyNotFoundError as error:
                raise SourceError(
                    f"{TITLE} knows no company {wanted.ticker}: unknown there, or no longer listed"
                ) from error
            except TooManyRequestsError as error:
                wait = BLOCKED if error.retry_after is None else float(error.retry_after)
                raise Busy(f"{TITLE} is asked too often (429)", wait) from error
            except Exception as error:
                if status_of(error) == 403:
                    what = f"{TITLE} refuses to answer (403)"
                    remedy = (
                        f"{KEY} must be your name and mail address; or it was asked too much in the last ten minutes"
                    )
                    raise SourceError(f"{what}: {remedy}", fatal=True) from error
                raise

        return patiently(attempt, TITLE, (KEY,))


def _public_day(filing: Any) -> pd.Timestamp:
    """The day on which a filing could be read: of its acceptance, or its filing date where that is later.

    What is accepted after 17:30 in New York bears the next business day's filing date, and is public from then on.
    """
    day = pd.Timestamp(filing.filing_date)
    if filing.acceptance_datetime is not None:
        at = pd.Timestamp(filing.acceptance_datetime)
        at = at.tz_localize("UTC") if at.tzinfo is None else at
        day = max(day, at.tz_convert(ZONE).tz_localize(None).normalize())
    return day.as_unit("us")


def _facts(found: Any, public: dict[str, pd.Timestamp], splits: Any) -> Iterator[Fact]:
    """The facts that the ratios are made of; per-share ones adjusted for the splits since they were filed."""
    for one in found:
        place = item_of(one.taxonomy, one.concept)
        if place is None or one.accession not in public or one.numeric_value is None or one.period_end is None:
            continue
        item, rank = place
        if not str(one.unit).upper().startswith("USD"):
            continue
        filed = public[one.accession]
        value = float(one.numeric_value)
        if item in PER_SHARE:
            for day, ratio in splits.items():
                value = value / ratio if filed < day else value
        start = None if one.period_start is None else pd.Timestamp(one.period_start).as_unit("us")
        yield Fact(item, rank, start, pd.Timestamp(one.period_end).as_unit("us"), filed, value)


@contextmanager
def _opened() -> Iterator[Session]:
    import edgar
    from edgar.entity.entity_facts import clear_company_facts_cache

    clear_company_facts_cache()
    loggers = [logging.getLogger(name) for name in ("edgar", "edgar.core", "edgar.entity.parser")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)  # what matters is raised; the rest would print over ours
    try:
        edgar.set_identity(os.environ[KEY])
        yield _Sec(edgar)
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


SEC = Source(
    name="sec",
    title=TITLE,
    package="edgartools",
    module="edgar",
    open=_opened,
    terms="public domain, at most 10 requests a second: https://www.sec.gov/os/webmaster-faq#developers",
    tables=("fundamentals",),
    keys={KEY: 'your name and mail address ("Your Name you@example.org"), which the SEC wants of every program,'},
    whole=("fundamentals",),
)
