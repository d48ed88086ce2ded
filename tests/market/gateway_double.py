"""A stand-in for an IB Gateway on a loopback socket: it speaks the wire protocol that ib_async does, for daily bars.

Messages are a length of four bytes and fields that each end in a NUL. It serves an invented market.
"""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType

import pandas as pd

from llmrl_lib.market.synthetic.market import Market

VERSION = 176
MANAGED_ACCOUNTS, NEXT_VALID_ID, ERROR, HISTORICAL_DATA, POSITION_END = 15, 9, 4, 17, 62
START_API, REQ_HISTORICAL_DATA, REQ_POSITIONS = "71", "20", "61"


class GatewayDouble:
    """Serves until its ``with`` block ends. ``faults`` meet the next requests for bars; ``asked`` has what was asked."""

    def __init__(self, market: Market) -> None:
        self.bars = {name: frame.copy() for name, frame in market.bars.items()}
        self.options = {name: frame.copy() for name, frame in market.options.items()}
        self.faults: list[tuple[int, str] | str] = []
        self.asked: list[tuple[str, str, str]] = []  # symbol, what, duration
        self._open: list[socket.socket] = []

    def __enter__(self) -> GatewayDouble:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._listener.close()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            _exactly(client, 4)  # API and a NUL
            _message(client)  # the range of versions
            _say(client, VERSION, "20260101 00:00:00 EST")
            while True:
                self._answer(client, _message(client))
        except OSError:
            client.close()

    def _answer(self, client: socket.socket, fields: list[str]) -> None:
        kind = fields[0]
        if kind == START_API:
            _say(client, MANAGED_ACCOUNTS, 1, "DU0000001")
            _say(client, NEXT_VALID_ID, 1, 1)
        elif kind == REQ_POSITIONS:
            _say(client, POSITION_END, 1)
        elif kind == REQ_HISTORICAL_DATA:
            self._history(client, fields)

    def _history(self, client: socket.socket, fields: list[str]) -> None:
        number, symbol, duration, what = fields[1], fields[3], fields[17], fields[19]
        self.asked.append((symbol, what, duration))
        fault = self.faults.pop(0) if self.faults else None
        if fault == "silent":
            return
        if isinstance(fault, tuple):
            _say(client, ERROR, 2, number, *fault, "")
        elif symbol not in self.bars:
            _say(client, ERROR, 2, number, 200, "No security definition has been found for the request", "")
        else:
            rows = [value for day, row in self._rows(symbol, what) for value in (f"{day:%Y%m%d}", *row)]
            _say(client, HISTORICAL_DATA, number, "", "", len(rows) // 8, *rows)

    def _rows(self, symbol: str, what: str) -> list[tuple[pd.Timestamp, tuple[float | int, ...]]]:
        """Day and open, high, low, close, volume, average and number of trades."""
        bars, options = self.bars[symbol], self.options[symbol]
        if what in ("OPTION_IMPLIED_VOLATILITY", "HISTORICAL_VOLATILITY"):
            level = options["iv_30d" if what.startswith("OPTION") else "hv_30d"].dropna() / 100
            return [(day, (*[round(float(one), 8)] * 4, -1, -1, -1)) for day, one in level.items()]
        close = bars["close"] if what == "ADJUSTED_LAST" else bars.get("raw_close", bars["close"])
        columns = zip(bars["open"], bars["high"], bars["low"], close, bars["volume"], strict=True)
        return [(day, (*row, row[3], 1)) for day, row in zip(bars.index, columns, strict=True)]


def _say(client: socket.socket, *fields: object) -> None:
    content = "".join(f"{field}\0" for field in fields).encode()
    client.sendall(struct.pack(">I", len(content)) + content)


def _message(client: socket.socket) -> list[str]:
    return _exactly(client, struct.unpack(">I", _exactly(client, 4))[0]).decode().split("\0")[:-1]


def _exactly(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = client.recv(size - len(found))
        if not more:
            raise OSError("closed")
        found += more
    return found
