"""The recorded speeds and sizes that a plan is made from: `speeds.toml`, a figure with its machine, date and command."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

FILE = "speeds.toml"


@dataclass(frozen=True)
class Figure:
    """One recorded figure."""

    name: str
    value: float
    unit: str
    what: str
    machine: str
    date: str
    command: str
    dataset: str = ""  # on which it was taken, by name, and with which profile; blank where these do not matter
    profile: str = ""


@dataclass(frozen=True)
class Speeds:
    """All figures by name; `speeds["tdqn_layer_ms"]` is a value in the unit of its figure."""

    figures: Mapping[str, Figure]

    def __getitem__(self, name: str) -> float:
        return self.figures[name].value

    def reply_tokens(self, prompt: str) -> float | None:
        """Mean tokens of Nano's reply to a prompt of this name; None for a prompt that was never recorded."""
        found = self.figures.get(f"nano_reply_{prompt}_tokens")
        return None if found is None else found.value

    def recorded_on(self, dataset: str, profile: str) -> bool:
        """Whether some figures were taken on this dataset with this profile, so that plans of such runs are in sample."""
        return any((figure.dataset, figure.profile) == (dataset, profile) for figure in self.figures.values())

    @property
    def dates(self) -> str:
        """The days on which the figures were recorded, first to last."""
        days = sorted({figure.date for figure in self.figures.values()})
        return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def load_speeds() -> Speeds:
    """The package's figures. A table of `speeds.toml` is a recording: what it says of itself holds for its figures."""
    text = (resources.files("llmrl_lib.experiments.planning") / FILE).read_text("utf-8")
    figures: dict[str, Figure] = {}
    for recording in tomllib.loads(text)["recording"]:
        about = {name: str(recording[name]) for name in ("machine", "date", "command")}
        about |= {name: str(recording.get(name, "")) for name in ("dataset", "profile")}
        for row in recording["figures"]:
            figures[row["name"]] = _figure(row, about)
    return Speeds(figures)


def _figure(row: Mapping[str, Any], about: Mapping[str, str]) -> Figure:
    return Figure(row["name"], float(row["value"]), row["unit"], row["what"], **about)
