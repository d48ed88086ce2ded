"""A packet: one HTML file in which a reviewer goes through the cases of a study, in any browser, without a network.

Everything is in the file; its content security policy forbids every connection and every script but its own. Data stand in it
as JSON and reach the page as text alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from llmrl_lib.strategy.review.curtain import drawn
from llmrl_lib.strategy.review.rubric import BACKGROUNDS, CONFIDENCES, LONGEST_COMMENT, MOST_YEARS, RUBRIC, SIDES
from llmrl_lib.strategy.review.showing import labels
from llmrl_lib.strategy.review.study import ReviewError, Sent, Study, order_of

REVIEWER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,39}")
FORMAT = "llmrl review answers 1"


@dataclass(frozen=True)
class Packet:
    """What one reviewer of a study is sent."""

    reviewer: str
    order: tuple[str, ...]  # ids of cases
    digest: str  # SHA-256 of `data`; every answer file names it
    data: Mapping[str, Any]

    @property
    def sent(self) -> Sent:
        """What the study keeps of it."""
        return Sent(self.reviewer, self.order, self.digest)

    @property
    def html(self) -> str:
        """The whole file."""
        script, style = _part("packet.js"), _part("packet.css")
        data = json.dumps({**self.data, "digest": self.digest}, separators=(",", ":"))
        values = {
            "policy": f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; "
            "base-uri 'none'; form-action 'none'",
            "style": style,
            "script": script,
            "data": data.translate(_UNSAFE),
        }
        return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], _part("packet.html"))


def packet(study: Study, reviewer: str) -> Packet:
    """The packet of a reviewer, who is called by a label and not by name. The same study gives the same bytes.

    Raises ReviewError for a label with other characters than letters, digits, - and _.
    """
    if not REVIEWER.fullmatch(reviewer):
        raise ReviewError(f"{reviewer!r} is no label of a reviewer; take letters, digits, - and _, such as R01")
    order, found = order_of(study, reviewer), []
    for name in order:
        case = study.case(name)
        said = json.dumps(case.said, separators=(",", ":"))
        found.append({"id": name, **case.shown, "curtain": drawn(said, name, f"{study.secret}\n{reviewer}")})
    data = {
        "format": FORMAT,
        "study": study.id,
        "reviewer": reviewer,
        "file": file_name(study, reviewer),
        "cases": found,
        "sides": list(SIDES),
        "confidences": [[value, word] for value, word in CONFIDENCES.items()],
        "rubric": [{"name": one.name, "asked": one.asked, "words": list(one.words)} for one in RUBRIC],
        "backgrounds": [[name, told] for name, told in BACKGROUNDS.items()],
        "labels": {name: list(label) for name, label in labels().items()},
        "longest": LONGEST_COMMENT,
        "years": MOST_YEARS,
    }
    digest = hashlib.sha256(canonical(data).encode()).hexdigest()
    return Packet(reviewer, order, digest, data)


def file_name(study: Study, reviewer: str) -> str:
    """What the file of a reviewer's answers is called when the packet saves it."""
    return f"review-{study.id}-{reviewer}.json"


def sent_to(study: Study, reviewer: str) -> Sent:
    """What a reviewer was sent, as the study has it, else what they would be sent now. Raises ReviewError as `packet`."""
    kept = next((one for one in study.sent if one.reviewer == reviewer), None)
    return kept or packet(study, reviewer).sent


def canonical(value: Any) -> str:
    """One spelling of a JSON value: sorted keys, no blanks, ASCII. `packet.js` writes the same of what it exports."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


_UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}


@cache
def _part(file: str) -> str:
    return resources.files("llmrl_lib.strategy.review").joinpath(file).read_text("utf-8")


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
