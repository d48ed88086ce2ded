"""A study of expert review as a folder: its key, the packets to send, the answers that came back.

review/
  study.json       what is behind the cases; not for reviewers
  packets/         R01.html and so on: one for each reviewer
  answers/         put the files here that reviewers send back
  answers.csv      all sound files as one table, made by `llmrl review collect`
  replies.jsonl    of a model as judge, if one was asked
  judged.jsonl     its ratings
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from llmrl_lib.experiments.adviser import has_strategies, strategies_of
from llmrl_lib.experiments.folders import write_text
from llmrl_lib.experiments.runs import Run
from llmrl_lib.language.chat import Chat, Usage
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.strategy.records import Evidence, Strategy
from llmrl_lib.strategy.review.collecting import Collected, answers_table, collect, table_to_csv
from llmrl_lib.strategy.review.model_judge import (
    Judgement,
    judgements_by,
    judgements_from_text,
    judgements_table,
    judgements_to_text,
)
from llmrl_lib.strategy.review.packet import packet
from llmrl_lib.strategy.review.rubric import CONFIDENCES, SIDES
from llmrl_lib.strategy.review.simulated import Traits, quality_of, simulated_sheets
from llmrl_lib.strategy.review.study import (
    HUMAN,
    MODEL,
    TICKERS,
    ReviewError,
    ReviewPlan,
    Sent,
    Study,
    make_study,
    study_from_record,
    study_to_record,
)

FOLDER = "review"  # in a run folder
KEY, PACKETS, ANSWERS, TABLE, JUDGED = "study.json", "packets", "answers", "answers.csv", "judged.jsonl"
REPORT = "report.html"
PREFERRED = "p4"  # the prompt that the paper's reviewers rated
SMALLER = (ReviewPlan(), ReviewPlan(8, 1, 1), ReviewPlan(5, 1, 1), ReviewPlan(4, 1, 0))
SIMULATED = tuple(  # who answers in a notebook until people do: a known agreement effect, leniency of every other one
    Traits(hit_rate=0.55, agreement=0.3, leniency=0.1 * (number % 2), halo=0.3) for number in range(10)
)


@dataclass(frozen=True)
class Review:
    """A study and what came of it. Reviewers are people, or all of them simulated; `simulated` says which."""

    study: Study
    answers: pd.DataFrame  # as of `answers_table`
    simulated: bool
    refused: tuple[str, ...] = ()  # files that were not taken, and why
    judgements: tuple[Judgement, ...] = ()

    @property
    def label(self) -> str:
        """Whose answers these are, for titles."""
        count = self.answers["reviewer"].nunique()
        return f"{count} {'SIMULATED ' if self.simulated else ''}reviewer{'s' * (count != 1)}"

    @cached_property
    def judged(self) -> pd.DataFrame:
        """What a model as judge said, a row per case."""
        return judgements_table(self.study, self.judgements)


def study_of(
    dataset: Dataset,
    folder: Path,
    prompt: str,
    tickers: Sequence[str] = (),
    year: int | None = None,
    plan: ReviewPlan | None = None,
    human: Sequence[Strategy] = (),
) -> Study:
    """A study of the strategies that `folder` (of `llmrl strategies`, or below a run) holds of a prompt.

    `tickers` are by default the first three that have some. Raises ReviewError and ExperimentError where there are none.
    """
    if not folder.is_dir():
        raise ReviewError(f"there is no folder {folder}; give the --out of llmrl strategies, or a run")
    there = [ticker for ticker in dataset.tickers if has_strategies(folder, prompt, ticker)]
    chosen = list(dict.fromkeys(tickers)) or there[:TICKERS]
    if not chosen:
        raise ReviewError(
            f"{folder} has no strategies by prompt {prompt}; make some with llmrl run or llmrl strategies"
        )
    made = {ticker: _first_draw(strategies_of(folder, prompt, ticker)) for ticker in chosen}
    return make_study(dataset, made, year, plan, human)


def study_of_run(run: Run, prompt: str = "", year: int | None = None, plan: ReviewPlan | None = None) -> Study | None:
    """A study of a run's strategies, of P4 or else of the guiding prompt; None for a run without strategies."""
    chosen = prompt or usual_prompt(run)
    tickers = [ticker for ticker in run.tickers if has_strategies(run.strategies_folder, chosen, ticker)][:TICKERS]
    if not chosen or not tickers:
        return None
    return study_of(run.dataset, run.strategies_folder, chosen, tickers, year, plan)


def usual_prompt(run: Run) -> str:
    """P4 where a run has its strategies, else the guiding prompt, else the first; blank for none."""
    first = next(iter(run.prompts), "")
    return next((one for one in (PREFERRED, run.guide) if one in run.prompts), first)


def review_of(run: Run) -> Review | None:
    """What a run's folder `review` holds: people's answers where some are there, else those of ten simulated reviewers.

    Without such a folder the study is made of the run's strategies, as large as these allow; None for a run without any, or
    with too few.
    """
    place = run.path / FOLDER
    if (place / KEY).is_file():
        found = read_review(place)
        if len(found.answers):
            return found
        return replace(found, answers=simulated_answers(found.study, SIMULATED), simulated=True)
    for plan in SMALLER:
        try:
            study = study_of_run(run, plan=plan)
        except ReviewError:  # too few decisions in a year for so many cases
            continue
        return None if study is None else Review(study, simulated_answers(study, SIMULATED), True)
    return None


def read_review(folder: str | Path) -> Review:
    """The study of a folder with people's answers, as far as they are sound, and what a model as judge said.

    Raises ReviewError where there is no study, or a damaged one.
    """
    place = Path(folder)
    study = read_study(place)
    found = collect(study, answer_files(place))
    refused = tuple(str(one).replace(f"{place / ANSWERS}/", "") for one in found.refused)
    return Review(study, found.table, False, refused, read_judgements(place))


def simulated_answers(study: Study, traits: Sequence[Traits], seed: int = 0) -> pd.DataFrame:
    """The table of simulated reviewers' answers."""
    return answers_table(study, simulated_sheets(study, traits, quality_of(study, seed), seed))


def make_review(study: Study, reviewers: Sequence[str], folder: Path) -> list[Path]:
    """Writes the key and a packet for each reviewer; gives the packets' paths. More reviewers can join later.

    A packet that is there already stays as it was sent. Raises ReviewError, before anything is written, for a folder that
    holds another study, for no reviewers, and for labels that cannot be ones or that some file systems take for the same.
    """
    kept: tuple[Sent, ...] = ()
    if (folder / KEY).is_file():
        other = read_study(folder)
        if other.id != study.id:
            raise ReviewError(f"{folder} holds study {other.id}, and this would be {study.id}; give another --out")
        kept = other.sent
    named = tuple(dict.fromkeys(reviewers))
    if not named:
        raise ReviewError("there are no reviewers; give --reviewers a number from 1, or labels such as R01,R02")
    _apart([*(one.reviewer for one in kept), *named])
    places = {name: folder / PACKETS / f"{name}.html" for name in named}
    known = {one.reviewer: one for one in kept}
    packets = {name: packet(study, name) for name in named if name not in known or not places[name].is_file()}
    for name, made in packets.items():
        if known.get(name, made.sent) != made.sent:
            raise ReviewError(
                f"{name} was sent another packet, by another version of this package, and {places[name]} is gone; put the "
                "file back, or give a new label"
            )
    new = tuple(made.sent for name, made in packets.items() if name not in known)
    write_text(folder / KEY, json.dumps(study_to_record(replace(study, sent=(*kept, *new))), indent=1) + "\n")
    (folder / ANSWERS).mkdir(exist_ok=True)
    for name, made in packets.items():
        write_text(places[name], made.html)
    return list(places.values())


def few_cases(study: Study) -> str:
    """A sentence where fewer than two cases are the model's own; else blank."""
    shown = [one for one in study.cases if not one.repeats]
    own = sum(one.kind == MODEL for one in shown)
    if own > 1:
        return ""
    again, others = len(study.cases) - len(shown), len(shown) - own
    return (
        f"of {len(study.cases)} cases only {own} is the model's own (controls {others}, shown again {again}): scores of "
        "one case say nothing of the next; give more --cases or fewer --shuffled"
    )


def read_study(folder: str | Path) -> Study:
    """The study of a folder. Raises ReviewError where there is none, or a damaged one."""
    place = Path(folder) / KEY
    try:
        return study_from_record(json.loads(place.read_text("utf-8")))
    except FileNotFoundError:
        raise ReviewError(f"there is no study in {folder}; make one with llmrl review make --out {folder}") from None
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReviewError(f"{place} is damaged ({error!r}); make the study again with the same settings") from error


def answer_files(folder: Path) -> list[Path]:
    """What lies in the folder of answers, hidden files apart."""
    place = folder / ANSWERS
    found = sorted(place.iterdir()) if place.is_dir() else []
    return [file for file in found if file.is_file() and not file.name.startswith(".")]


def collect_review(folder: Path) -> Collected:
    """Reads all files of answers of a study's folder and writes the sound ones as `answers.csv`.

    Raises ReviewError, and writes nothing, where there is no file at all.
    """
    study, files = read_study(folder), answer_files(folder)
    if not files:
        raise without_answers(folder)
    found = collect(study, files)
    write_text(folder / TABLE, table_to_csv(found.table))
    return found


def without_answers(folder: Path, refused: int = 0) -> ReviewError:
    """What to say of a study of which no answers can be told: none came, or all `refused` files are unsound."""
    place = folder / ANSWERS
    if refused:
        return ReviewError(f"no file in {place} could be taken ({refused} refused); ask for them as they were saved")
    return ReviewError(f"{place} holds no answers yet; put the files there that reviewers send back, then try again")


def ask_judge(folder: Path, chat: Chat) -> tuple[Judgement, ...]:
    """Asks a model for its ratings and keeps them as `judged.jsonl`. Raises ChatError as the chat does."""
    made = judgements_by(read_study(folder), chat)
    write_text(folder / JUDGED, judgements_to_text(made))
    return tuple(made)


def read_judgements(folder: Path) -> tuple[Judgement, ...]:
    """The ratings that `ask_judge` left; none where no model was asked. Raises ReviewError for a damaged file."""
    place = folder / JUDGED
    return tuple(judgements_from_text(place.read_text("utf-8"), str(place))) if place.is_file() else ()


def read_rationales(path: Path) -> list[Strategy]:
    """Rationales by people, from a TOML file of [[rationale]] with ticker, date, side, confidence, text, and if wanted
    evidence (a list of [figure, value, reading]). Raises ReviewError naming the file and the entry for another one.
    """
    try:
        listed = tomllib.loads(path.read_text("utf-8"))["rationale"]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ReviewError(f"{path} holds no [[rationale]] ({error!r})") from None
    made = []
    for number, one in enumerate(listed, start=1):
        try:
            made.append(_by_person(one))
        except (KeyError, TypeError, ValueError) as error:
            wanted = "ticker, date, side (LONG or SHORT), confidence (1 to 3) and text"
            raise ReviewError(f"{path}, rationale {number}: {error!r}; give {wanted}") from None
    return made


def _apart(labels: Sequence[str]) -> None:
    """Raises ReviewError for labels that differ in upper and lower case alone: their files would overwrite each other."""
    first: dict[str, str] = {}
    for label in labels:
        if first.setdefault(label.casefold(), label) != label:
            raise ReviewError(
                f"reviewers {first[label.casefold()]} and {label} differ in upper and lower case alone, and their files may "
                "overwrite each other; give other labels"
            )


def _by_person(one: dict[str, Any]) -> Strategy:
    confidence = list(CONFIDENCES)[list(CONFIDENCES).index(one["confidence"])]
    evidence = tuple(Evidence(str(name), str(value), str(reading)) for name, value, reading in one.get("evidence", []))
    weights: tuple[tuple[str, int], ...] = ()
    return Strategy(
        date=pd.Timestamp(str(one["date"])).as_unit("us"),
        ticker=str(one["ticker"]),
        direction=1 - SIDES.index(one["side"]),
        confidence=confidence,
        weights=weights,
        rationale=str(one["text"]),
        evidence=evidence,
        findings=(),
        factors=None,
        tokens=(),
        usage=Usage(0, 0),
        prompt=HUMAN,
        prompt_version="",
        prompt_digest="",
        model=HUMAN,
        draw=0,
        temperature=0.0,
    )


def _first_draw(made: Sequence[Strategy]) -> list[Strategy]:
    first = min(one.draw for one in made)
    return [one for one in made if one.draw == first]
