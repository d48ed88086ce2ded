"""What goes wrong when a source is asked, as one sentence, whatever its client raised.

Clients fail in their own ways: status codes inside an exception, inside its cause, in a text. ``translated`` reads them all
and says what was found and what to do; it never repeats a key.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from xml.etree.ElementTree import ParseError

KEPT = "what was fetched is kept, give the same command again to go on"
NOTHING = "nothing was fetched, no file written"
_BUSY_TEXT = re.compile(r"too many requests|rate limit|pacing violation", re.IGNORECASE)
_TIMEOUT = re.compile(r"timed? ?out|bytes missing|incomplete ?read", re.IGNORECASE)
_TROUBLE = (500, 502, 503, 504)
_CAUSES = (  # why no connection comes about: what is found in the words of some client, and what it means
    (re.compile(r"proxy", re.IGNORECASE), "the proxy on the way does not let it through"),
    (re.compile(r"certificate|\bSSL", re.IGNORECASE), "its certificate is not trusted here"),
    (re.compile(r"refused", re.IGNORECASE), "its server refuses the connection"),
    (
        re.compile(r"resol|name or service|getaddrinfo|nodename", re.IGNORECASE),
        "the address of its server is not found",
    ),
    (re.compile(r"connect to", re.IGNORECASE), "its server does not answer"),
    (re.compile(r"reset|aborted|closed", re.IGNORECASE), "its server broke off the connection"),
)
_INSIDE = re.compile(
    r"ConnectionPool|Max retries|curl: \(|\[Errno|0x[0-9a-f]{6}|\w(?:Error|Exception)\("
)  # of a client


class SourceError(ValueError):
    """A source that cannot be asked, or has not what was asked for; ``fatal``: no other ticker would fare better."""

    def __init__(self, sentence: str, fatal: bool = False) -> None:
        self.fatal = fatal
        super().__init__(sentence)


class Busy(SourceError):
    """The source asks to be left alone for a while; ``wait`` seconds where it says how long."""

    def __init__(self, sentence: str, wait: float | None = None) -> None:
        self.wait = wait
        super().__init__(sentence, fatal=True)


def translated(error: BaseException, source: str, keys: Iterable[str] = ()) -> SourceError:
    """``error`` of a client as a SourceError; ``keys`` are the variables that hold what must never be shown."""
    if isinstance(error, SourceError):
        return error
    status, headers = _response(error)
    words = without_keys(_words(error), keys)
    if status == 429 or _BUSY_TEXT.search(words):
        return Busy(f"{source} is asked too often (429)", seconds_to_wait(headers))
    if status in (401, 403):
        named = " and ".join(keys)
        remedy = f"check {named}" if named else "check your account"
        return SourceError(f"{source} refuses the key or the plan behind it ({status}); {remedy}", fatal=True)
    if status in _TROUBLE:
        return Busy(f"{source} is in trouble ({status})", seconds_to_wait(headers))
    if any(_is_no_data(one) for one in _chain(error)):
        return no_data(source)
    if any(_is_timeout(one) for one in _chain(error)):
        return SourceError(f"{source} did not finish its answer; try again later")
    if any(_is_unreachable(one) for one in _chain(error)):
        return SourceError(f"{source} cannot be reached: {_cause(error)}, so check the network", fatal=True)
    if _INSIDE.search(words):
        what = f"{source} failed in a way that its client has no plain words for ({type(error).__name__})"
        return SourceError(f"{what}; try again later, or give --debug to see what it says")
    known = words if isinstance(error, (ValueError, OSError, RuntimeError)) else f"{type(error).__name__}: {words}"
    return SourceError(f"{source} failed: {known}" + (f" ({status})" if status and str(status) not in words else ""))


def no_data(source: str) -> SourceError:
    """What to say of an answer that holds no data."""
    what = "answered with something that is not data, perhaps an HTML page that says why"
    return SourceError(f"{source} {what}; open the service in a browser, or try again later")


def without_keys(text: str, keys: Iterable[str]) -> str:
    """``text`` with the value of every environment variable in ``keys`` blotted out."""
    for value in (os.environ.get(key, "") for key in keys):
        if len(value) >= 4:
            text = text.replace(value, "***")
    return text


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an exception, or what caused it, carries."""
    return _response(error)[0]


def seconds_to_wait(headers: Mapping[str, Any]) -> float | None:
    """What Retry-After says, from a number of seconds or a date; None where it is not there."""
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(str(value)) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _response(error: BaseException) -> tuple[int | None, Mapping[str, Any]]:
    for one in _chain(error):
        carriers = (getattr(one, "response", None), getattr(one, "_http_error", None), one)
        for carrier in (*carriers, getattr(carriers[1], "response", None)):
            for name in ("status_code", "code", "status"):
                status = getattr(carrier, name, None)
                if isinstance(status, int) and 100 <= status <= 599:
                    wait = getattr(carrier, "retry_after", None)
                    return status, {"Retry-After": wait} if wait else (getattr(carrier, "headers", None) or {})
    return None, {}


def _is_no_data(error: BaseException) -> bool:
    return isinstance(error, json.JSONDecodeError | ParseError) or type(error).__name__ == "JSONDecodeError"


def _is_timeout(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or "Timeout" in type(error).__name__ or bool(_TIMEOUT.search(str(error)))


def _is_unreachable(error: BaseException) -> bool:
    named = any(part in type(error).__name__ for part in ("ConnectionError", "ConnectError", "URLError", "DNSError"))
    return named or isinstance(error, ConnectionError | socket.gaierror)


def _cause(error: BaseException) -> str:
    """Why no connection came about, in plain words."""
    said = " ".join(f"{type(one).__name__} {one}" for one in _chain(error))
    return next((cause for sign, cause in _CAUSES if sign.search(said)), "no connection to its server comes about")


def _words(error: BaseException) -> str:
    """The first line of an error that says something, not too long."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    words = next((line for line in lines if re.search(r"\w", line)), type(error).__name__)
    return words if len(words) <= 200 else f"{words[:200]}..."
