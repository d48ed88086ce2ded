"""One reviewer's file of answers: read as a whole, or refused with the reason.

A file comes from a device that nobody vouches for. Everything in it is checked against the study: its form, its checksum,
the packet that it answers, every case and every value. The checksum finds accidents and careless edits; whoever recomputes
it can still make a file up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from llmrl_lib.strategy.review.packet import FORMAT, REVIEWER, canonical, sent_to
from llmrl_lib.strategy.review.rubric import (
    BACKGROUNDS,
    CONFIDENCES,
    DIMENSIONS,
    LONGEST_COMMENT,
    MOST_YEARS,
    SCORES,
    SIDES,
)
from llmrl_lib.strategy.review.study import ReviewError, Study

LARGEST = 1_000_000  # bytes of a file
MOST_SECONDS = 86_400  # on one case
_FILE = (
    "format", "study", "packet", "reviewer", "simulated", "background", "order", "answers", "checksum",
)  # fmt: skip
_ANSWER = ("case", "side", "confidence", *DIMENSIONS, "comment", "seconds")


@dataclass(frozen=True)
class Answer:
    """What a reviewer said of one case."""

    case: str
    side: str  # the reviewer's own, before they saw the model's
    confidence: int
    rationale: int
    fidelity: int
    safety: int
    comment: str
    seconds: int  # with the case on the screen


@dataclass(frozen=True)
class Sheet:
    """All answers of one reviewer, in the order in which the cases were shown."""

    study: str
    packet: str
    reviewer: str
    simulated: bool
    group: str  # one of BACKGROUNDS
    years: int
    answers: tuple[Answer, ...]

    @property
    def checksum(self) -> str:
        """That of the file."""
        return _checksum(_record(self))


def read_sheet(study: Study, path: str | Path) -> Sheet:
    """The answers in a file. Raises ReviewError, naming file and reason, for all that is no whole set of answers."""
    place = Path(path)
    try:
        if place.stat().st_size > LARGEST:
            raise ReviewError(f"it has {place.stat().st_size:,} bytes, where answers have a few thousand")
        return sheet_of(study, place.read_bytes())
    except OSError as error:
        raise ReviewError(f"{path}: it cannot be read ({error.strerror or error})") from None
    except ReviewError as error:
        raise ReviewError(f"{path}: {error}") from None


def sheet_of(study: Study, content: bytes) -> Sheet:
    """The answers in the bytes of a file; ReviewError without a file's name for all that is no whole set of answers."""
    found = _object(_json(content), _FILE, "the file")
    if found["format"] != FORMAT:
        _refuse(
            f"format is {_short(found['format'])}, not {FORMAT!r}; it is another kind of file, or of another version"
        )
    if found["checksum"] != _checksum({name: value for name, value in found.items() if name != "checksum"}):
        _refuse(
            "its checksum does not fit its content: it was changed after it was saved; ask for the file as it was saved"
        )
    if found["study"] != study.id:
        _refuse(f"it answers study {_short(found['study'])}, and this is study {study.id}")
    reviewer, simulated = found["reviewer"], found["simulated"]
    if not isinstance(reviewer, str) or not REVIEWER.fullmatch(reviewer):
        _refuse(f"reviewer is {_short(reviewer)}, which is no label")
    if not isinstance(simulated, bool):
        _refuse(f"simulated is {_short(simulated)}; true or false is right")
    if not simulated and study.sent and reviewer not in study.reviewers:
        _refuse(f"reviewer {reviewer} has no packet of this study; those are {', '.join(study.reviewers)}")
    sent = sent_to(study, reviewer)
    if found["packet"] != sent.digest:
        _refuse(f"it answers another packet than the one that {reviewer} was sent")
    if found["order"] != list(sent.order):
        _refuse("its order of cases is not that of the packet")
    background = _object(found["background"], ("group", "years"), "background")
    group = _among(background["group"], tuple(BACKGROUNDS), "background group")
    years = _whole(background["years"], 0, MOST_YEARS, "background years")
    return Sheet(study.id, sent.digest, reviewer, simulated, group, years, _answers(found["answers"], sent.order))


def sheet_to_text(sheet: Sheet) -> str:
    """The file of answers as a packet would have saved it."""
    return canonical({**_record(sheet), "checksum": sheet.checksum})


def _answers(given: Any, order: Sequence[str]) -> tuple[Answer, ...]:
    if not isinstance(given, list):
        _refuse(f"answers are {_short(given)}, not a list")
    made = []
    for number, one in enumerate(given, start=1):
        where = f"answer {number}"
        item = _object(one, _ANSWER, where)
        if number > len(order) or item["case"] != order[number - 1]:
            _refuse(f"{where} is of case {_short(item['case'])}, which does not come at this place")
        rationale, fidelity, safety = (
            _whole(item[name], SCORES[0], SCORES[-1], f"{where}, {name}") for name in DIMENSIONS
        )
        made.append(
            Answer(
                case=item["case"],
                side=_among(item["side"], SIDES, f"{where}, side"),
                confidence=_whole(item["confidence"], min(CONFIDENCES), max(CONFIDENCES), f"{where}, confidence"),
                rationale=rationale,
                fidelity=fidelity,
                safety=safety,
                comment=_comment(item["comment"], where),
                seconds=_whole(item["seconds"], 0, MOST_SECONDS, f"{where}, seconds"),
            )
        )
    if len(made) < len(order):
        _refuse(f"{len(order) - len(made)} of {len(order)} answers are missing; the reviewer has not finished")
    return tuple(made)


def _json(content: bytes) -> Any:
    """The value of a JSON text in UTF-8, without what JSON leaves open: no key twice, no NaN, no endless nesting."""
    if len(content) > LARGEST:
        _refuse(f"it has {len(content):,} bytes, where answers have a few thousand")
    if not content.strip():
        _refuse("it is empty")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse("it is not UTF-8; ask for the file as it was saved")
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_no_number)
    except json.JSONDecodeError as error:
        ended = error.pos >= len(text.rstrip()) - 1 and error.msg != "Extra data"
        if ended or error.msg.startswith("Unterminated"):
            _refuse("it is cut off before its end; ask for the whole file")
        _refuse(f"it is not JSON ({error.msg} at character {error.pos})")
    except RecursionError:
        _refuse("it is nested too deeply")
    except ReviewError:
        raise
    except ValueError:  # an integer of thousands of digits
        _refuse("it holds a number that is too large")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        _refuse("it names a key twice")
    return found


def _no_number(text: str) -> NoReturn:
    _refuse(f"it holds {_short(text)}, where all numbers are whole")


def _object(value: Any, keys: Sequence[str], where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _refuse(f"{where} is {_short(value)}, not an object")
    for name in keys:
        if name not in value:
            _refuse(f"{where} lacks {name!r}")
    strange = [name for name in value if name not in keys]
    if strange:
        _refuse(f"{where} has {_short(strange[0])}, which does not belong there")
    return value


def _among(value: Any, allowed: Sequence[str], where: str) -> str:
    if not isinstance(value, str) or value not in allowed:
        _refuse(f"{where} is {_short(value)}; one of {', '.join(allowed)} is right")
    return value


def _whole(value: Any, low: int, high: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        _refuse(f"{where} is {_short(value)}; a whole number from {low} to {high} is right")
    return value


def _comment(value: Any, where: str) -> str:
    if not isinstance(value, str) or len(value.encode("utf-16-le", "surrogatepass")) > 2 * LONGEST_COMMENT:
        _refuse(f"{where}, comment is {_short(value)}; a text of at most {LONGEST_COMMENT} characters is right")
    if any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in value):
        _refuse(f"{where}, comment holds characters that no text has")
    return value


def _record(sheet: Sheet) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "study": sheet.study,
        "packet": sheet.packet,
        "reviewer": sheet.reviewer,
        "simulated": sheet.simulated,
        "background": {"group": sheet.group, "years": sheet.years},
        "order": [one.case for one in sheet.answers],
        "answers": [asdict(one) for one in sheet.answers],
    }


def _checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(record).encode()).hexdigest()


def _refuse(why: str) -> NoReturn:
    raise ReviewError(why)


def _short(value: Any) -> str:
    """The beginning of a value, in characters that no terminal or page takes for more than text."""
    text = ascii(value) if not isinstance(value, int) or abs(value) < 10**20 else "a number of too many digits"
    return text if len(text) <= 40 else f"{text[:37]}..."
