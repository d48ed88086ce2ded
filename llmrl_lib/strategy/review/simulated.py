"""Reviewers that are computed: of known ability, bias and noise, so that the statistics can be checked.

They stand for nobody. Their files say so, and are never put together with those of people. Ratings are drawn so that their
expectation is known: a latent score between 1 and 3 is rounded up or down at random, with the chances that keep its mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmrl_lib.strategy.review.answers import Answer, Sheet
from llmrl_lib.strategy.review.packet import sent_to
from llmrl_lib.strategy.review.rubric import BACKGROUNDS, DIMENSIONS, OTHER, SIDES
from llmrl_lib.strategy.review.study import HUMAN, MODEL, SHUFFLED, Study

LABEL = "S"  # of a simulated reviewer, before its number
_QUALITIES, _REVIEWERS = 11, 1000  # of streams of random numbers: reviewer 11 draws others than the qualities do
_REMARKS = {
    1: "simulated comment: the figures do not carry this conclusion",
    2: "simulated comment: plausible, but the risks are only named",
    3: "simulated comment: what decides and what speaks against it is weighed",
}


@dataclass(frozen=True)
class Traits:
    """What a simulated reviewer is like. With none of the biases, the expected rating of a case is its quality."""

    hit_rate: float = 0.55  # chance that the own direction is right
    agreement: float = 0.0  # added to every rating where the advice has the own direction
    leniency: float = 0.0  # added to every rating
    halo: float = 0.0  # chance that fidelity and safety are given the rationale's rating
    noise: float = 0.0  # chance that a rating is drawn from 1, 2 and 3 alike


def quality_of(study: Study, seed: int = 0, spread: float = 0.35) -> dict[str, dict[str, float]]:
    """What cases are worth, by case and dimension: drawn around 2.0, controls with another's words around 1.5.

    Second showings are worth what the first ones are, and each case the same in all dimensions: correlations that are left
    between these are then those of the halo.
    """
    source = np.random.default_rng([seed, _QUALITIES])
    middle = {MODEL: 2.0, HUMAN: 2.1, SHUFFLED: 1.5}
    found: dict[str, dict[str, float]] = {}
    for case in study.cases:
        drawn = dict.fromkeys(DIMENSIONS, middle[case.kind] + spread * float(source.uniform(-1, 1)))
        found[case.id] = found[case.repeats] if case.repeats else drawn
    return found


def expected_effect(traits: Traits) -> float:
    """By how much a reviewer's expected rating rises where the advice agrees with them."""
    return (1.0 - traits.noise) * traits.agreement


def simulated_sheets(
    study: Study, traits: Sequence[Traits], quality: Mapping[str, Mapping[str, float]], seed: int = 0
) -> list[Sheet]:
    """A whole set of answers for each of `traits`, labelled S01, S02 and so on, marked as simulated.

    Raises ValueError where biases and qualities put a latent score outside of 1 to 3: its expectation would not be known.
    """
    groups = [name for name in BACKGROUNDS if name != OTHER]
    made = []
    for number, one in enumerate(traits, start=1):
        source = np.random.default_rng([seed, _REVIEWERS, number])
        sent = sent_to(study, f"{LABEL}{number:02d}")
        answers = tuple(_answer(study, name, one, quality[name], source) for name in sent.order)
        group, years = groups[number % len(groups)], int(source.integers(1, 31))
        made.append(Sheet(study.id, sent.digest, sent.reviewer, True, group, years, answers))
    return made


def _answer(
    study: Study, name: str, traits: Traits, quality: Mapping[str, float], source: np.random.Generator
) -> Answer:
    case = study.case(name)
    right = case.right_side or SIDES[int(source.integers(2))]
    side = right if source.random() < traits.hit_rate else SIDES[1 - SIDES.index(right)]
    added = traits.leniency + (traits.agreement if side == case.side else 0.0)
    scores = {dimension: _rating(quality[dimension] + added, traits.noise, source) for dimension in DIMENSIONS}
    if source.random() < traits.halo:
        scores = dict.fromkeys(DIMENSIONS, scores["rationale"])
    comment = _REMARKS[scores["rationale"]] if source.random() < 0.3 else ""
    confidence, seconds = int(source.integers(1, 4)), int(source.integers(30, 120))
    return Answer(name, side, confidence, **scores, comment=comment, seconds=seconds)


def _rating(latent: float, noise: float, source: np.random.Generator) -> int:
    if not 1.0 <= latent <= 3.0:
        raise ValueError(f"a simulated rating of {latent:.2f} lies outside of 1 to 3; give smaller biases")
    if source.random() < noise:
        return int(source.integers(1, 4))
    low = min(int(latent), 2)
    return low + int(source.random() < latent - low)
