"""A file that one process at a time holds, and that others may remove: folders at work are guarded by one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def held_file(path: Path, busy: Callable[[str], Exception]) -> Iterator[TextIO]:
    """The file at `path`, made with its folder if need be and locked until the block ends.

    Raises what `busy` makes of its first line while another process holds it. The system lets go of a lock when its process
    ends, however it ends. A file that another process removed between its opening and its locking is made anew.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("a+", encoding="utf-8")
        except FileNotFoundError:
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise busy(file.readline().strip() or "another process") from None
            if path.is_file() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield file
                return
