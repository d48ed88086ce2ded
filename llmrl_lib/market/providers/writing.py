"""How a table reaches a dataset folder: checked as a reader would, then put in place at once, by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from llmrl_lib.market.locking import held_file
from llmrl_lib.market.providers.errors import SourceError
from llmrl_lib.market.reading import read_table
from llmrl_lib.market.tables import TABLES

LOCK = ".fetching.lock"
_STAGE = ".fetching"  # folder in which a table is checked before it replaces the old one
_DIGITS = "%.12g"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keeps other fetches out of ``folder``, which is made if need be, until the block ends.

    Raises SourceError, naming process and host, while another one is at work there. The system lets go of the lock when
    its process ends, however it ends; a file that a killed one leaves is never in the way. A folder that was made for a
    block that wrote nothing does not stay.
    """
    made = list(itertools.takewhile(lambda place: not place.exists(), (folder, *folder.parents)))

    def busy(holder: str) -> SourceError:
        return SourceError(f"{holder} is fetching into {folder}; wait for its end, or stop it", True)

    with full_disk_said(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with held_file(folder / LOCK, busy) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            shutil.rmtree(folder / _STAGE, ignore_errors=True)
            (folder / LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # something is in it
                for place in made:
                    place.rmdir()


def put_table(folder: Path, table: str, ticker: str | None, frame: pd.DataFrame) -> None:
    """Write a table into ``folder``, whole or not at all.

    Raises SourceError, naming the line, when the rows are such as a dataset refuses: the old file then stays. A full disk
    is fatal, and leaves the old file too.
    """
    file = f"{table}.csv" if ticker is None else f"{table}/{ticker}.csv"
    text = frame.to_csv(index=False, lineterminator="\n", date_format="%Y-%m-%d", float_format=_DIGITS)
    stage = folder / _STAGE
    write_whole(stage / file, text)
    refused = read_table(stage, TABLES[table], ticker).refused
    if refused:
        raise SourceError(f"the source gave rows that cannot be used, the file stays as it was: {refused[0]}")
    with full_disk_said(folder / file):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (stage / file).replace(folder / file)
    compressed = folder / f"{file}.gz"  # what was read from it is in the new file
    compressed.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8: whoever reads ``path`` sees the old content or the new, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with full_disk_said(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def full_disk_said(path: Path) -> Iterator[None]:
    """A disk that is full, or may not be written to, as one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = f"the disk is full while writing {path}, which stays as it was; free some space"
        else:
            what = f"{path} cannot be written ({error.strerror or error}), and stays as it was"
        raise SourceError(what, fatal=True) from error
