"""How files reach a run folder: whole or not at all, and errors that say what to do."""

from __future__ import annotations

import errno
import tomllib
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from llmrl_lib.language.chat import ChatError
from llmrl_lib.language.store import StoreError


class ExperimentError(ValueError):
    """A run that cannot be made, read or continued; the message says why and what to do."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a temporary file beside `path`, then puts it in place at once.

    Whoever reads `path` sees the old content or the new, never a part. Raises OSError, naming `path`, when the file cannot
    be written (a full disk); the temporary file is then removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")  # its own name: another machine may write too
    try:
        write(part)
        part.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    write_whole(path, lambda part: part.write_text(text, "utf-8"))


def write_toml(path: Path, table: Mapping[str, Any]) -> None:
    """Writes a nested table of plain values."""
    write_text(path, tomlkit.dumps(table))


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a TOML file; ExperimentError where it is not one."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path} is damaged ({error}); delete the folder it is in and run again") from error


def first_difference(made: Mapping[str, Any], asked: Mapping[str, Any], above: str = "") -> tuple[str, Any, Any] | None:
    """The first setting in which two nested tables differ: its dotted name, and the value in each (None if absent)."""
    for name in [*asked, *(name for name in made if name not in asked)]:
        one, other = made.get(name), asked.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            if found := first_difference(one, other, f"{above}{name}."):
                return found
        elif one != other:
            return f"{above}{name}", one, other
    return None


def refuse_other_settings(place: Path, made: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raises ExperimentError if what `place` was made with is not what is asked for now, naming the first difference."""
    if difference := first_difference(made, asked):
        name, before, now = difference
        what = f"holds results made with {name} = {_short(before)}, and {_short(now)} is asked for now"
        raise ExperimentError(f"{place} {what}; give another folder with --out, or delete {place}")


def explain(error: BaseException) -> str:
    """An error in one sentence for the user: a full disk by name, anything else by its own words.

    A list of defects, or the last lines of another program, keeps its lines.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" while writing {cause.filename}" if cause.filename else ""
            return f"the disk is full{where}; free some space and give the same command again: what is finished is kept"
        cause = cause.__cause__ or cause.__context__
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    words = "\n  ".join(line for line in lines if line) or "no message"
    return (
        words if isinstance(error, (ValueError, OSError, ChatError, StoreError)) else f"{type(error).__name__}: {words}"
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:18]}...{text[-8:]}"
