"""Text from outside, made safe to show to a model: a headline is data and stays in its field.

Every line becomes one JSON string. Characters that are not seen or that reorder what is seen are dropped, compatibility
forms (full-width letters, ligatures) are brought to their plain form, and every character with which a prompt or a chat
template could be closed or opened (angle, square and curly brackets, backticks, bars) is written as an escape. What the
words say is not changed: whether a model obeys them is measured, not assumed (`strategy.manipulation`).
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable

LONGEST = 300  # characters of a line that are shown
_RAW = 20 * LONGEST  # characters of a line that are looked at
_MARKS = 2  # combining marks in a row that are kept
_STRUCTURE = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>[]{}`|"})
_SELECTORS = {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}  # variation selectors: unseen, can carry a message


def fenced(lines: Iterable[str], longest: int = LONGEST) -> str:
    """The lines as JSON strings, one a line. `json.loads` of each gives the cleaned line back.

    No line can hold a line break, a bracket or a backtick, so none can close the field that it stands in.
    """
    return "\n".join(json.dumps(clean(line, longest), ensure_ascii=False).translate(_STRUCTURE) for line in lines)


def clean(text: str, longest: int = LONGEST) -> str:
    """The text as one line of visible characters in compatibility form, cut with a remark to `longest` characters."""
    kept: list[str] = []
    marks = 0
    for character in unicodedata.normalize("NFKC", text[:_RAW].encode("utf-8", "replace").decode("utf-8")):
        kind = unicodedata.category(character)
        if kind in ("Zl", "Zp") or character in "\t\n\v\f\r\x85":
            character, kind = " ", "Zs"
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if kind[0] != "C" and marks <= _MARKS and ord(character) not in _SELECTORS:
            kept.append(character)
    line = " ".join("".join(kept).split())
    if len(line) > longest or len(text) > _RAW:
        return f"{line[:longest].rstrip()}... (cut; the line had {len(text)} characters)"
    return line
