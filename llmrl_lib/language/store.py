"""The replies of a run in one append-only file, safe against a kill at any byte and against several processes at once.

A line is one JSON object, {"check": ..., "entry": ...}, whose check is over the entry's bytes: any tool reads it, and a
damaged line is known. Lines rather than a database: SQLite's write-ahead log, the mode that stands a kill best, needs
memory shared between processes and so does not work on network file systems, while an appended line needs nothing but
a lock. A writer holds that lock while it appends, so a line without its end, seen by the next holder, was torn by a kill.
Locks are the system's own (fcntl, on a file of their own) and end with their process: a kill leaves nothing to clean up.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from llmrl_lib.language.chat import Usage
from llmrl_lib.language.locks import ByteLocks

FILE = "replies.jsonl"
LOCKS = "replies.lock"
SECONDS_BETWEEN_LOOKS = 0.05  # at what another process does with a key
_APPENDING, _SPENDING, _FIRST_KEY = 0, 1, 2  # bytes of the lock file
_CHECK = 16  # hexadecimal digits
_HEAD = '{"check": "'
_NECK = '", "entry": '
_START = len(_HEAD) + _CHECK + len(_NECK)  # where the entry begins in a line


class StoreError(RuntimeError):
    """A store that cannot be read or written; the message names the file, the line and the remedy."""


class TornLineWarning(UserWarning):
    """The last line of a store was torn by a kill, and its request will be asked again."""


@dataclass(frozen=True)
class Paid:
    """What one answer, good or failed, was charged."""

    key: str
    purpose: str
    model: str  # as it was asked for
    server: str
    at: str  # when it arrived, ISO 8601, UTC
    usage: Usage
    seconds: float
    estimated: int  # tokens of the prompt as estimated before it was asked
    failure: str  # name of the error, or "" for a reply


class Store:
    """The file of one folder. Use `open_store`, so that a process has one Store per folder, as its locks require."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.paid: list[Paid] = []
        self.identities: dict[str, dict[str, str]] = {}
        self.failures: dict[str, str] = {}  # key: what its last failed attempt ended in
        self._places: dict[str, tuple[int, int]] = {}  # key: offset and length of its line
        self._read_to, self._lines = 0, 0
        self._locks = ByteLocks(folder / LOCKS)
        self._holder = threading.RLock()  # of everything above
        self._released = threading.Condition(self._holder)
        self._claimed: set[str] = set()
        self._spenders = 0
        self.refresh()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def refresh(self) -> None:
        """Reads what was appended since, by this process or another. Raises StoreError for a damaged line."""
        with self._holder:
            try:
                file = self.path.open("rb")
            except FileNotFoundError:
                return
            with file:
                file.seek(self._read_to)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # torn, or being written
                    self._take(line)

    def find(self, key: str) -> dict[str, Any] | None:
        """The entry of a stored reply, or None. Raises StoreError where the file was changed meanwhile."""
        with self._holder:
            place = self._places.get(key)
        if place is None:
            return None
        with self.path.open("rb") as file:
            file.seek(place[0])
            return self._entry(file.read(place[1]), None)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Writes one entry through to the disk. Raises StoreError where it cannot."""
        body = json.dumps(entry, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
        line = f"{_HEAD}{_check(body)}{_NECK}".encode() + body + b"}\n"
        with self._holder, self._locked(_APPENDING):
            self._mend()
            try:
                file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            except OSError as error:
                raise self._unwritable(error) from None
            try:
                _write(file, line)
            except OSError as error:
                os.ftruncate(file, self._read_to)
                raise self._unwritable(error) from None
            finally:
                os.close(file)
            self._take(line)

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Whether the caller is to ask for `key`: False once it is stored. Waits while another thread or process asks."""
        if not self._claimed_for_us(key):
            yield False
            return
        try:
            yield True
        finally:
            with self._holder:
                self._claimed.discard(key)
                self._locks.unlock(_byte(key))
                if not self._lines and not self.path.exists():
                    self._locks.leave()  # nothing was written: a request that failed at once
                self._released.notify_all()

    @contextmanager
    def spending(self, alone: bool) -> Iterator[None]:
        """Waits until the caller may spend: with `alone` until no other process does, else until none is alone here."""
        with self._holder:
            while not self._spends(alone):
                self._released.wait(SECONDS_BETWEEN_LOOKS)
            self._spenders += 1
            self.refresh()
        try:
            yield
        finally:
            with self._holder:
                self._spenders -= 1
                if self._spenders == 0:
                    self._locks.unlock(_SPENDING)

    def _spends(self, alone: bool) -> bool:
        if alone:
            return self._lock(_SPENDING, fcntl.LOCK_EX)
        return self._spenders > 0 or self._lock(_SPENDING, fcntl.LOCK_SH)

    def _claimed_for_us(self, key: str) -> bool:
        with self._holder:
            while True:
                if key in self._places:
                    return False
                if key not in self._claimed and self._lock(_byte(key), fcntl.LOCK_EX):
                    self.refresh()  # whoever held it may have stored it
                    if key not in self._places:
                        self._claimed.add(key)
                        return True
                    self._locks.unlock(_byte(key))
                    return False
                self._released.wait(SECONDS_BETWEEN_LOOKS)
                self.refresh()

    def _take(self, line: bytes) -> None:
        """Takes a whole line into the index."""
        self._lines += 1
        entry = self._entry(line, self._lines)
        place = (self._read_to, len(line))
        self._read_to += len(line)
        try:
            identity, key = entry["identity"], entry["key"]
            usage = Usage(**(entry["reply"]["usage"] if "reply" in entry else entry["usage"]))
            seconds = entry["reply"]["seconds"] if "reply" in entry else entry["seconds"]
            failure = "" if "reply" in entry else entry["error"]["kind"]
            self.paid.append(
                Paid(
                    key=key,
                    purpose=entry["purpose"],
                    model=identity.get("model", ""),
                    server=identity.get("server", ""),
                    at=entry["at"],
                    usage=usage,
                    seconds=seconds,
                    estimated=entry["estimated"],
                    failure=failure,
                )
            )
            if failure:
                self.failures[key] = f"{failure}: {entry['error']['message']}"
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{self.path} line {self._lines}: not an entry of a store ({error!r}); it was written by another program or "
                "version: move the file away"
            ) from None
        self.identities[json.dumps(identity, sort_keys=True)] = identity
        if not failure:
            self._places.setdefault(key, place)

    def _entry(self, line: bytes, number: int | None) -> dict[str, Any]:
        body = line[_START:-2]
        if line != f"{_HEAD}{_check(body)}{_NECK}".encode() + body + b"}\n":
            where = f"line {number}" if number else "a line that was whole before"
            raise StoreError(
                f"{self.path} {where}: its check does not fit, so it was changed or damaged; bring the file back from "
                "a copy, or delete this line, and its request will be asked again"
            )
        return json.loads(body)

    def _mend(self) -> None:
        """Under the lock of appending: reads on, and drops what a killed writer left of its line."""
        self.refresh()
        size = self.path.stat().st_size if self.path.exists() else 0
        if size > self._read_to:
            self._tell_torn(size - self._read_to)
            os.truncate(self.path, self._read_to)
        elif size < self._read_to:
            raise StoreError(f"{self.path}: it is shorter than before; something else writes to it: open it again")

    def torn(self) -> int:
        """Bytes after the last whole line: what a kill left, or what another process is writing just now."""
        with self._holder:
            return (self.path.stat().st_size if self.path.exists() else 0) - self._read_to

    def _tell_torn(self, size: int) -> None:
        warnings.warn(
            f"{self.path} line {self._lines + 1}: torn after {size} bytes by a kill, dropped; its request is asked again",
            TornLineWarning,
            stacklevel=2,
        )

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(
            f"{self.path}: a reply could not be stored ({error.strerror}); make room or give another folder, then run again"
        )

    @contextmanager
    def _locked(self, byte: int) -> Iterator[None]:
        self._lock(byte, fcntl.LOCK_EX, wait=True)
        try:
            yield
        finally:
            self._locks.unlock(byte)

    def _lock(self, byte: int, kind: int, wait: bool = False) -> bool:
        """Locks a byte against other processes; False where one of them holds it."""
        try:
            return self._locks.lock(byte, kind, wait)
        except OSError as error:
            if not self._locks.is_open:
                raise self._unwritable(error) from None
            raise StoreError(
                f"{self._locks.path}: the file system gives no locks ({error.strerror}); put the folder on one "
                "that does, such as a local disk"
            ) from None


def open_store(folder: str | os.PathLike[str]) -> Store:
    """The Store of a folder, the same for every caller in this process."""
    path = Path(folder).resolve()
    with _OPENING:
        at = (os.getpid(), path)
        store = _OPEN.get(at)
        if store is None:
            store = _OPEN[at] = Store(path)
    store.refresh()
    return store


_OPEN: WeakValueDictionary[tuple[int, Path], Store] = WeakValueDictionary()
_OPENING = threading.Lock()


def _check(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:_CHECK]


def _byte(key: str) -> int:
    """The byte of the lock file that stands for a key."""
    return _FIRST_KEY + int(key[:15], 16)


def _write(file: int, line: bytes, write: Callable[[int, bytes], int] = os.write) -> None:
    while line:
        line = line[write(file, line) :]
    os.fsync(file)
