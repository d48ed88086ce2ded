"""Locks between processes on single bytes of one file (fcntl). They end with their process, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from pathlib import Path


class ByteLocks:
    """The locks of this process on one file, which is made, with its folder, when the first is asked for.

    The system counts locks by process: use one object per process and file, and guard it against other threads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._made: list[Path] = []  # folders, the innermost first
        self._held: set[int] = set()

    def __del__(self) -> None:
        self._close()

    @property
    def is_open(self) -> bool:
        """Whether the file could be opened."""
        return self._file is not None

    def lock(self, byte: int, kind: int, wait: bool = False) -> bool:
        """Locks a byte against other processes; False where one of them holds it. OSError where there is no locking.

        Another process may have removed the file since it was opened, but only while no process held a lock on it.
        """
        while True:
            try:
                file = self._opened()
            except FileNotFoundError:  # its folder was removed between its making and this
                continue
            try:
                fcntl.lockf(file, kind | (0 if wait else fcntl.LOCK_NB), 1, byte)
            except (BlockingIOError, PermissionError):
                return False
            if self._held or self._is_there(file):
                self._held.add(byte)
                return True
            self._close()

    def unlock(self, byte: int) -> None:
        self._held.discard(byte)
        if self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)

    def leave(self) -> None:
        """Removes the file, and the folders that were made for it, unless somebody holds a lock or something is in them."""
        if self._file is None or self._held:
            return
        with contextlib.suppress(OSError):  # another process is at work, or something is in a folder
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 0)  # every byte
            try:
                if self._is_there(self._file):
                    self.path.unlink()
            finally:
                self._close()
            for folder in self._made:
                folder.rmdir()

    def _opened(self) -> int:
        if self._file is None:
            missing = itertools.takewhile(lambda place: not place.exists(), self.path.parents)
            self._made = [*missing] or self._made
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        return self._file

    def _is_there(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self.path.stat())
        except FileNotFoundError:
            return False

    def _close(self) -> None:
        """Closes the file, which ends all locks of this process."""
        if self._file is not None:
            os.close(self._file)
        self._file = None
