"""Work for a machine that shares no storage with the run: files go there, once to each worker, and finished files come back.

What is sent is known by a digest of names and contents, and laid out in a temporary folder of the worker's process that
goes with it. A task works in a folder of its own; its files are read into memory when it has ended well.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol, Self

from llmrl_lib.experiments.adviser import FOLDER as STRATEGIES
from llmrl_lib.experiments.folders import ExperimentError, write_whole
from llmrl_lib.experiments.work import scratch

Parcel = Mapping[str, bytes]  # contents by name, relative to some folder


class Carried(Protocol):
    """A call that can be made on another machine."""

    @property
    def folder(self) -> Path:
        """What it works in."""

    def __call__(self) -> None: ...

    def moved(self, data: Path, folder: Path) -> Self: ...

    def needs(self) -> Sequence[Mapping[str, Path]]:
        """Files of the dataset, and of the run, by their names there."""

    def kept(self) -> Sequence[Path]:
        """Files in its folder that an earlier attempt left."""

    def made(self) -> Sequence[Path]:
        """Files in its folder that it leaves, in the order in which they are to be put in place."""


def packed(files: Mapping[str, Path]) -> tuple[str, Parcel]:
    """Contents of files by name, and their digest."""
    parcel = {name: files[name].read_bytes() for name in sorted(files)}
    digest = hashlib.sha256()
    for name, content in parcel.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest(), parcel


def kept_of(call: Carried) -> Parcel:
    """What goes along with a call, by name in its folder."""
    return {place.relative_to(call.folder).as_posix(): place.read_bytes() for place in call.kept()}


def carry_out(call: Carried, kept: Parcel, digests: Sequence[str], fetch: Callable[[str], Parcel]) -> Parcel:
    """Makes a call here, in a folder made for it, and returns what it leaves; `fetch` gives a parcel by its digest.

    Raises what the call raises.
    """
    data, run = (_laid_out(digest, fetch) for digest in digests)
    with tempfile.TemporaryDirectory(dir=_room()) as place:
        if (run / STRATEGIES).is_dir():
            (Path(place) / STRATEGIES).symlink_to(run / STRATEGIES)
        moved = call.moved(data, Path(place))
        _write(moved.folder, kept)
        moved.folder.mkdir(parents=True, exist_ok=True)
        moved()
        return {made.relative_to(moved.folder).as_posix(): made.read_bytes() for made in moved.made()}


def put_in_place(folder: Path, parcel: Parcel) -> None:
    """Writes what came back, each file whole, in the order in which it was made.

    Raises OSError where it cannot, and ExperimentError, before it writes any, for a name that leads out of the folder.
    """
    _refuse_outside(parcel)
    for name, content in parcel.items():
        write_whole(folder / name, functools.partial(Path.write_bytes, data=content))


def _laid_out(digest: str, fetch: Callable[[str], Parcel]) -> Path:
    """The folder of a parcel in this process's room, fetched where it is not there yet."""
    place = _room() / digest
    if not place.is_dir():
        draft = Path(tempfile.mkdtemp(dir=_room()))
        _write(draft, fetch(digest))
        draft.replace(place)
    return place


def _refuse_outside(parcel: Parcel) -> None:
    for name in parcel:
        if not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise ExperimentError(f"a worker has sent a file by the name {name!r}, which leads out of its folder")


def _write(folder: Path, parcel: Parcel) -> None:
    for name, content in parcel.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@functools.cache
def _room() -> Path:
    """A temporary folder that ends with this process; a worker of Dask clears up after one that was killed."""
    place = Path(tempfile.mkdtemp(prefix="llmrl-", dir=scratch.get()))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place
