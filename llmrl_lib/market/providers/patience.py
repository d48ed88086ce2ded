"""Asks a source again when it is busy, for as long as that is bearable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from llmrl_lib.market.providers.errors import Busy, SourceError, translated

PAUSES = (2.0, 10.0, 30.0)  # seconds before the second, third and fourth attempt where the source names none
LONGEST = 120.0  # seconds; a source that asks for more is left alone

Answer = TypeVar("Answer")


def patiently(ask: Callable[[], Answer], source: str, keys: Iterable[str] = ()) -> Answer:
    """The answer of ``ask``, which is called again after a pause when the source is busy.

    Raises SourceError in one sentence for whatever the client raises; a source that is still busy after the last attempt,
    or wants to be left alone for longer than ``LONGEST`` seconds, is fatal: no other ticker would fare better.
    """
    for pause in (*PAUSES, None):
        try:
            return ask()
        except Exception as error:  # clients raise whatever they like; what it was is kept as the cause
            found = translated(error, source, keys)
            if not isinstance(found, Busy):
                raise found from error
            if pause is None:
                raise SourceError(f"{found}, and still is after {len(PAUSES) + 1} attempts; try later", True) from error
            if found.wait is not None and found.wait > LONGEST:
                asks = f"and asks to be left alone for {found.wait:.0f} seconds"
                raise SourceError(f"{found}, {asks}; try after that", True) from error
            time.sleep(pause if found.wait is None else found.wait)
    raise AssertionError("unreachable")
