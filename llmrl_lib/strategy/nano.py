"""Makes Nano: teacher, lessons, tokenizer, training and export, each kept in a work folder so that a stopped run goes on.

The course goes from short prompts, in which there is much to copy and add and little to search, over varied ones to those
that the package uses. All of it follows from `NanoPlan`: the same plan gives the same weights on the same machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llmrl_lib.language.nano.lessons import Lesson, read_lessons, write_lessons
from llmrl_lib.language.nano.tokens import for_transformers, train_tokenizer
from llmrl_lib.language.nano.training import (
    Encoded,
    NanoSettings,
    Progress,
    architecture,
    encode,
    train,
    weights_only,
)
from llmrl_lib.strategy.lessons.lesson import USED, lessons_of
from llmrl_lib.strategy.lessons.teacher import SURVEYED, Teacher, fit_teacher, load_teacher, save_teacher

Told = Callable[[str], None]
TOKENIZER_LESSONS = 6000  # that the tokenizer is made from


@dataclass(frozen=True)
class Course:
    """A part of the training: lessons of so many markets."""

    markets: int
    untouched: float  # share of prompts that are the package's own
    short: float  # share of the others that are short
    roles: tuple[str, ...] = USED


COURSES = (
    Course(4, 0.0, 1.0, ("drill",)),
    Course(2, 0.0, 1.0, ("drill", *USED)),
    Course(8, 0.0, 1.0),
    Course(4, 0.3, 0.5),
    Course(7, 0.8, 0.3),
)


@dataclass(frozen=True)
class NanoPlan:
    """All that decides the weights."""

    settings: NanoSettings = field(default_factory=NanoSettings)
    courses: tuple[Course, ...] = COURSES
    surveyed: int = SURVEYED
    dtype: str = "bfloat16"  # of the exported weights


def make_nano(
    work: Path, out: Path, plan: NanoPlan | None = None, told: Told | None = None, stop_after: int | None = None
) -> Progress:
    """Train by a plan in folder `work` and write the model, with its tokenizer, into folder `out`.

    A second call with the same plan and folder goes on where the first was stopped, to the same weights. `stop_after` ends
    the call after that many steps in all, for trials; the model is written all the same. Raises ValueError for a work folder
    of another plan.
    """
    chosen, say = plan or NanoPlan(), told or (lambda _: None)
    work.mkdir(parents=True, exist_ok=True)
    _keep_plan(work / "plan.json", chosen)
    teacher = _teacher(work / "teacher.json", chosen.surveyed, say)
    lessons = _lessons(work / "lessons", teacher, chosen, say)
    tokenizer = _tokenizer(work / "tokenizer.json", lessons, chosen.settings, say)
    encoded = _encoded(work / "encoded.npz", lessons, tokenizer, say)
    model = architecture(chosen.settings, len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id)
    say(
        f"{sum(one.numel() for one in model.parameters()):,} parameters, {len(lessons):,} lessons, "
        f"{len(encoded.tokens):,} tokens"
    )

    def report(progress: Progress) -> None:
        line = json.dumps(progress._asdict())
        with (work / "progress.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        say(
            f"step {progress.step} of {progress.steps}: loss {progress.loss:.4f}, of decisions "
            f"{progress.decision_loss:.4f}, {progress.seconds:.0f} s"
        )

    progress = train(model, encoded, chosen.settings, work, report, stop_after=stop_after)
    export(work, out, chosen, tokenizer)
    return progress


def export(work: Path, out: Path, plan: NanoPlan, tokenizer: Any = None) -> None:
    """Write the weights of the checkpoint in `work` as a model that LocalChat loads."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    if tokenizer is None:
        tokenizer = _read_tokenizer(work / "tokenizer.json", plan.settings)
    model = architecture(plan.settings, len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id)
    with torch.no_grad():
        for name, weights in weights_only(work / "checkpoint.safetensors"):
            model.get_parameter(name).copy_(weights)
    out.mkdir(parents=True, exist_ok=True)
    model.to(getattr(torch, plan.dtype)).save_pretrained(out)
    tokenizer.save_pretrained(out)


def _keep_plan(path: Path, plan: NanoPlan) -> None:
    text = json.dumps(asdict(plan), indent=1)
    if path.is_file() and path.read_text("utf-8") != text:
        raise ValueError(f"{path} is another plan; name another work folder, or delete this one")
    path.write_text(text, "utf-8")


def _teacher(path: Path, markets: int, say: Told) -> Teacher:
    if not path.is_file():
        say(f"fitting the teacher on {markets} markets")
        save_teacher(fit_teacher(markets), path)
    return load_teacher(path)


def _lessons(folder: Path, teacher: Teacher, plan: NanoPlan, say: Told) -> list[Lesson]:
    """All lessons in the order of the courses, shuffled within each."""
    folder.mkdir(exist_ok=True)
    found: list[Lesson] = []
    number = 0
    for place, course in enumerate(plan.courses):
        mine: list[Lesson] = []
        for market in range(number, number + course.markets):
            path = folder / f"{market:04d}.jsonl"
            if not path.is_file():
                say(f"lessons of market {market}")
                made = lessons_of(teacher, market, untouched=course.untouched, short=course.short, roles=course.roles)
                write_lessons(made, path)
            mine += read_lessons(path)
        number += course.markets
        order = np.random.default_rng([plan.settings.seed, place]).permutation(len(mine))
        found += [mine[at] for at in order]
    return found


def _tokenizer(path: Path, lessons: Sequence[Lesson], settings: NanoSettings, say: Told) -> Any:
    if not path.is_file():
        say("making the tokenizer")
        step = max(1, len(lessons) // TOKENIZER_LESSONS)
        texts = (
            text
            for lesson in lessons[::step]
            for text in (*(message.content for message in lesson.messages), lesson.reply)
        )
        train_tokenizer(texts, settings.vocabulary).save(str(path))
    return _read_tokenizer(path, settings)


def _read_tokenizer(path: Path, settings: NanoSettings) -> Any:
    from tokenizers import Tokenizer

    return for_transformers(Tokenizer.from_file(str(path)), settings.context)


def _encoded(path: Path, lessons: Sequence[Lesson], tokenizer: Any, say: Told) -> Encoded:
    if not path.is_file():
        say(f"reading {len(lessons)} lessons")
        np.savez(path, **encode(lessons, tokenizer)._asdict())
    with np.load(path) as arrays:
        return Encoded(**{name: arrays[name] for name in Encoded._fields})
