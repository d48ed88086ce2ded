"""Files of answers become one table: each file whole or not at all, people and simulated reviewers never together."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from llmrl_lib.strategy.review.answers import Sheet, read_sheet
from llmrl_lib.strategy.review.packet import file_name
from llmrl_lib.strategy.review.rubric import DIMENSIONS
from llmrl_lib.strategy.review.study import ReviewError, Study

COLUMNS = (
    "study", "simulated", "reviewer", "group", "years", "place", "case", "repeats", "kind", "ticker", "date", "own_side",
    "own_confidence", "side", "agrees", "right_side", *DIMENSIONS, "comment", "seconds",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")  # how a cell begins that a spreadsheet would compute, and its guard


@dataclass(frozen=True)
class Refused:
    """A file that was not taken, and why."""

    file: str
    why: str

    def __str__(self) -> str:
        return self.why if self.why.startswith(self.file) else f"{self.file}: {self.why}"


@dataclass(frozen=True)
class Collected:
    """What came of a folder of files."""

    table: pd.DataFrame
    refused: tuple[Refused, ...]
    files: int  # that were taken


def collect(study: Study, files: Iterable[str | Path], simulated: bool = False) -> Collected:
    """All files that hold whole sets of answers to `study`, as a table; the others are named with the reason.

    Of copies the one stays that is called as the packet calls it; two different files of one reviewer are both refused,
    because nobody can say which one counts. Files of simulated reviewers are taken with `simulated` alone, and then no
    others.
    """
    sheets: dict[str, Sheet] = {}
    refused = []
    for path in sorted(map(Path, files)):
        try:
            sheets[str(path)] = _of_kind(read_sheet(study, path), simulated)
        except ReviewError as error:
            refused.append(Refused(str(path), str(error)))
    for name, own in _by_reviewer(study, sheets).items():
        first = sheets[own[0]]
        for file in own[1:] if all(sheets[other] == first for other in own) else own:
            others = ", ".join(Path(other).name for other in own if other != file)
            same = sheets[file] == first and file != own[0] and all(sheets[other] == first for other in own)
            why = (
                f"is a copy of {Path(own[0]).name}"
                if same
                else f"{name} has other answers in {others}; keep one of them"
            )
            refused.append(Refused(file, why))
    out = {one.file for one in refused}
    taken = [sheet for file, sheet in sheets.items() if file not in out]
    return Collected(answers_table(study, taken), tuple(refused), len(taken))


def answers_table(study: Study, sheets: Sequence[Sheet]) -> pd.DataFrame:
    """A row per reviewer and case, in the order in which each saw them.

    Columns: study, simulated, reviewer, group, years, place (1 is the first), case, repeats (the case that it shows again, or
    blank), kind, ticker, date, own_side, own_confidence, side (as advised), agrees (own_side is side), right_side (missing
    where not known), the three scores, comment, seconds. Raises ReviewError for people and simulated reviewers together.
    """
    if len({sheet.simulated for sheet in sheets}) > 1:
        raise ReviewError("answers of people and of simulated reviewers cannot be in one table")
    rows = []
    for sheet in sheets:
        for place, answer in enumerate(sheet.answers, start=1):
            case, said = study.case(answer.case), asdict(answer)
            about = {name: getattr(sheet, name) for name in ("study", "simulated", "reviewer", "group", "years")}
            behind = {name: getattr(case, name) for name in ("repeats", "kind", "ticker", "date", "side", "right_side")}
            own = {"own_side": said.pop("side"), "own_confidence": said.pop("confidence")}
            rows.append({**about, "place": place, **said, **behind, **own, "agrees": own["own_side"] == case.side})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def table_to_csv(table: pd.DataFrame) -> str:
    """The table as CSV. A comment that a spreadsheet would compute gets an apostrophe before it."""
    text = io.StringIO()
    guarded = table["comment"].map(lambda said: f"'{said}" if str(said).startswith(_FORMULA) else said)
    table.assign(comment=guarded).to_csv(text, index=False, date_format="%Y-%m-%d", lineterminator="\n")
    return text.getvalue()


def _of_kind(sheet: Sheet, simulated: bool) -> Sheet:
    if sheet.simulated != simulated:
        kind = "a simulated reviewer's" if sheet.simulated else "a person's"
        raise ReviewError(f"it is {kind}, and people and simulated reviewers are never put together")
    return sheet


def _by_reviewer(study: Study, sheets: dict[str, Sheet]) -> dict[str, list[str]]:
    """The files of each reviewer, the plainest name first."""
    found: dict[str, list[tuple[tuple[int, int, str], str]]] = {}
    for file, sheet in sheets.items():
        found.setdefault(sheet.reviewer, []).append((_plainness(Path(file).stem, study, sheet.reviewer), file))
    return {name: [file for _, file in sorted(own)] for name, own in found.items()}


def _plainness(stem: str, study: Study, reviewer: str) -> tuple[int, int, str]:
    """Where a file's name stands among those of copies: that of the packet, then the label alone, then the shortest."""
    plain = (Path(file_name(study, reviewer)).stem, reviewer)
    return plain.index(stem) if stem in plain else len(plain), len(stem), stem
