"""What a model is trained on: lessons, kept as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from llmrl_lib.language.chat import Message, Sampling


@dataclass(frozen=True)
class Lesson:
    """A prompt with the reply that is wanted."""

    role: str  # what it teaches: p0 to p4, analyst, ...
    messages: tuple[Message, ...]
    reply: str
    rise: float | None = None  # chance of LONG; None where the reply decides nothing
    sampling: Sampling | None = None  # with which it is asked for in use, where an examination needs it; not kept


def write_lessons(lessons: Iterable[Lesson], path: Path) -> int:
    """Write lessons as JSON lines, whole or not at all, and return how many."""
    partial, count = path.with_suffix(".partial"), 0
    with partial.open("w", encoding="utf-8") as file:
        for lesson in lessons:
            count += 1
            turns = [[message.role, message.content] for message in lesson.messages]
            file.write(json.dumps([lesson.role, turns, lesson.reply, lesson.rise], ensure_ascii=False) + "\n")
    partial.replace(path)
    return count


def read_lessons(path: Path) -> list[Lesson]:
    """Inverse of `write_lessons`."""
    found = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            role, turns, reply, rise = json.loads(line)
            found.append(Lesson(role, tuple(Message(*turn) for turn in turns), reply, rise))
    return found
