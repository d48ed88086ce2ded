"""What reviewers are asked: the rubric of the paper's Table II, and who they are."""

from __future__ import annotations

from dataclasses import dataclass

SIDES = ("LONG", "SHORT")
CONFIDENCES = {1: "low", 2: "medium", 3: "high"}
SCORES = (1, 2, 3)  # poor, average, good
LONGEST_COMMENT = 2000  # characters
MOST_YEARS = 70  # of experience


@dataclass(frozen=True)
class Dimension:
    """One row of the rubric."""

    name: str  # column of the table of answers
    title: str  # as in Table VI
    asked: str  # the question, from the paper's words
    words: tuple[str, str, str]  # Table II: what 1, 2 and 3 mean


RUBRIC = (
    Dimension("rationale", "Rationale", "Economic rationale", ("Flawed", "Partial", "Sound")),
    Dimension("fidelity", "Fidelity", "Domain fidelity", ("Unrealistic", "Plausible", "Professional")),
    Dimension("safety", "Safety", "Trade safety (risk awareness)", ("Ignored", "Mentioned", "Addressed")),
)
DIMENSIONS = tuple(one.name for one in RUBRIC)
OTHER = "other"
BACKGROUNDS = {  # of the paper, and who is none of these: reported apart, so that no group's mean is that of others
    "professional": "senior finance professional",
    "retail": "retail trader",
    "inactive": "in the industry, not actively trading",
    OTHER: "none of these",
}
