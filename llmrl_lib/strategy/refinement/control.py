"""The random critic: a judge whose criticism is dealt out by chance, as a measure of what the judge's own is worth.

It drops and adds as many fields and instructions as the judge did, in the same words, but not those that the judge meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from llmrl_lib.strategy.refinement.judge import Criticism, Finding, Trial
from llmrl_lib.strategy.refinement.knowledge import KnownField, KnownLine


def shuffled(
    criticism: Criticism, trial: Trial, others: Sequence[KnownField], lines: Sequence[KnownLine], source: Generator
) -> Criticism:
    """The criticism with the names of fields exchanged, those shown among themselves and the others likewise, and with
    instructions exchanged, those given among themselves and the others likewise."""
    shown = [one.feature for one in trial.tallies]
    offered = [one.name for one in others]
    names = _exchanged(shown, source) | _exchanged(offered, source)
    given = [line.text for line in lines if line.text in trial.lines]
    absent = [line.text for line in lines if line.text not in trial.lines]
    texts = _exchanged(given, source) | _exchanged(absent, source)
    return replace(
        criticism,
        text=_renamed(criticism.text, names),
        findings=tuple(
            Finding(names.get(one.feature, one.feature), one.record, one.verdict) for one in criticism.findings
        ),
        add_features=tuple(names.get(name, name) for name in criticism.add_features),
        add_instructions=tuple(texts.get(text, text) for text in criticism.add_instructions),
        drop_instructions=tuple(texts.get(text, text) for text in criticism.drop_instructions),
        new_instructions=tuple(_renamed(text, names) for text in criticism.new_instructions),
    )


def _exchanged(items: Sequence[str], source: Generator) -> dict[str, str]:
    order: np.ndarray = source.permutation(len(items))
    return {item: items[int(place)] for item, place in zip(items, order, strict=True)}


def _renamed(text: str, names: Mapping[str, str]) -> str:
    return re.sub(r"\w+", lambda word: names.get(word[0], word[0]), text)
