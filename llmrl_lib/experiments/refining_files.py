"""What a refinement leaves behind, and how it is read again.

refinement.toml            settings, tickers, models; another refinement wants another folder
replies.jsonl              every reply, as it came
trials.jsonl               every candidate that was tried
fields.csv                 what the trainer made of each field
instructions.csv           the most distinct rules, and how often each was said
repetitions.csv            windows, and the Sharpe ratios of baseline and market on them
candidates/1.2.toml        a prompt (s1.2: of the random critic); beside it .json: parent, diff, scores, cost
edits/after-1.toml         what a person may change before repetition 2; the copy that was taken, and its diff
winner.toml, p2.toml ...   the refined P1, and P2 to P4 made of it
verdict.json               the final judgement
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from llmrl_lib.evidence.audit.trials import count_trials, record_trial
from llmrl_lib.experiments.folders import ExperimentError, read_toml, write_text, write_whole
from llmrl_lib.language.chat import Usage
from llmrl_lib.language.prices import Prices, load_prices
from llmrl_lib.language.prompts import Prompt, PromptError, load_prompt, save_prompt
from llmrl_lib.strategy.refinement.candidate import check_candidate
from llmrl_lib.strategy.refinement.distinct import Embed, tf_idf
from llmrl_lib.strategy.refinement.exemplars import Months
from llmrl_lib.strategy.refinement.loop import Tried
from llmrl_lib.strategy.refinement.training import Training
from llmrl_lib.strategy.refinement.trials import Followed, Ground

FOLDER = "refinement"  # in a run folder, or beside it
REFINEMENT, VERDICT = "refinement.toml", "verdict.json"
MARK = "THE TEST YEARS WERE LOOKED AT: no result of this refinement is out of sample"
Verdict = dict[str, Any]


class Kept:
    """Writes a refinement's files as it goes; `reading` only reads what a person edited, for a rehearsal."""

    def __init__(
        self,
        out: Path,
        tests: bool,
        identities: Mapping[str, Mapping[str, str]],
        prices: Prices | None = None,
        reading: bool = False,
    ) -> None:
        self.out, self.tests, self.reading, self._identities = out, tests, reading, identities
        self._prices = load_prices() if prices is None else prices
        self._repetitions: list[dict[str, Any]] = []

    def training(self, training: Training, months: Months) -> None:
        """fields.csv and instructions.csv."""
        if self.reading:
            return
        rows = [
            {
                "rank": one.rank, "field": one.feature, "rated": one.rated, "months": one.months, "highs": one.highs,
                "long": one.contrast.longs, "short": one.contrast.shorts, "survives": one.survives,
            }
            for one in training.scores
        ]  # fmt: skip
        self._csv("fields.csv", rows)
        self._csv("instructions.csv", [{"said": line.said, "instruction": line.text} for line in training.lines])
        about = {
            "exemplars": len(months.exemplars), "annotated": months.annotated, "long_months": months.counts[0],
            "short_months": months.counts[1], "sheets": training.sheets, "rationales": training.rationales,
            "troubles": list(training.troubles), **self._cost({"trainer": training.usage}),
        }  # fmt: skip
        self._json("training.json", about)

    def repetition(self, number: int, ground: Ground, baseline: Followed) -> None:
        """A row per window in repetitions.csv."""
        for window in ground.windows.values():
            self._repetitions.append(
                {
                    "repetition": number, "ticker": window.ticker, "start": f"{window.start:%Y-%m-%d}",
                    "last": f"{window.last:%Y-%m-%d}", "baseline": baseline.sharpe, "market": ground.market_sharpe,
                }
            )  # fmt: skip
        if not self.reading:
            self._csv("repetitions.csv", self._repetitions)

    def candidate(self, one: Tried, parent: Prompt) -> None:
        """The prompt of a candidate, as a file that can be used, and all that is known of it."""
        if self.reading:
            return
        arm = "placebo_critic" if one.control else "refined"
        record_trial(self.out, {"arm": arm, "candidate": one.name, "prompt": one.prompt.digest if one.prompt else ""})
        record = {
            "name": one.name, "repetition": one.repetition, "round": one.round, "control": one.control,
            "parent": one.parent, "plan": one.plan, "sharpe": one.sharpe, "best_before": one.best,
            "start": one.start, "regret": one.regret, "ended": one.ended, "looked_at_test_years": self.tests,
            "fields": list(one.prompt.features) if one.prompt else [],
            "instructions": list(one.prompt.instructions) if one.prompt else [],
            "diff": prompt_diff(parent, one.prompt) if one.prompt else [],
            "criticism": None if one.criticism is None else asdict(one.criticism),
            "troubles": list(one.troubles), **self._cost(one.usage),
        }  # fmt: skip
        place = self.out / "candidates" / one.name
        if one.prompt is not None:
            score = "not followed" if one.sharpe is None else f"Sharpe {one.sharpe:.3f}, regret {one.regret:.3f}"
            self._prompt(place.with_name(f"{one.name}.toml"), one.prompt, f"{score}, parent {one.parent}")
        self._json(f"candidates/{one.name}.json", record)

    def edit(self, number: int, best: Prompt, parent: Prompt) -> Prompt | None:
        """The prompt as a person left it; None where they have yet to look at it.

        Raises PromptError naming the file where it is no prompt any more, or drops what a candidate must keep.
        """
        place = self.out / "edits" / f"after-{number}.toml"
        taken = place.with_suffix(".taken.toml")
        if not place.is_file() and not taken.is_file():
            if not self.reading:
                self._prompt(place, best, f"change what you like before repetition {number + 1}, or nothing")
                return None
            return best
        source = taken if taken.is_file() else place
        edited = _edited(source, place, parent)
        if not taken.is_file() and not self.reading:
            write_text(taken, place.read_text("utf-8"))
            write_text(place.with_suffix(".diff"), "\n".join(prompt_diff(best, edited)) + "\n")
        return edited

    def winner(self, winner: Prompt, made: Sequence[Prompt]) -> None:
        """winner.toml and its extensions."""
        if not self.reading:
            self._prompt(self.out / "winner.toml", winner, "the refined P1")
            for one in made:
                self._prompt(self.out / f"{one.name}.toml", one, f"{one.name.upper()} made of the refined P1")

    def trials(self) -> int:
        """How many candidates were ever tried in this folder, the random critic's left out."""
        return count_trials(self.out) or 0

    def verdict(self, make: Callable[[], Verdict]) -> None:
        """Judged once: a verdict that stands is not made again."""
        if not self.reading and not (self.out / VERDICT).is_file():
            self._json(VERDICT, make())

    def remembering(self, embed: Embed | None) -> Embed | None:
        """The embedding, each text of which is asked for once and kept in embeddings.npz."""
        if embed is None:
            return None

        def kept(texts: Sequence[str]) -> np.ndarray:
            place = self.out / "embeddings.npz"
            key = hashlib.sha256("\n".join(texts).encode()).hexdigest()
            if place.is_file():
                with np.load(place) as stored:
                    if key in stored.files:
                        return np.asarray(stored[key])
            if self.reading:
                return tf_idf(texts)
            vectors = np.asarray(embed(texts), "float64")
            buffer, save = io.BytesIO(), cast(Any, np.savez)
            save(buffer, **{key: vectors})
            write_whole(place, lambda part: part.write_bytes(buffer.getvalue()))
            return vectors

        return kept

    def _prompt(self, path: Path, prompt: Prompt, remark: str) -> None:
        def write(part: Path) -> None:
            save_prompt(prompt, part)
            lines = [remark, *([MARK] if self.tests else [])]
            text = "".join(f"# {line}\n" for line in lines) + part.read_text("utf-8")
            part.write_text(text, "utf-8")

        write_whole(path, write)

    def _json(self, name: str, record: Mapping[str, Any]) -> None:
        write_text(self.out / name, json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    def _csv(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        text = io.StringIO()
        if rows:
            writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        write_text(self.out / name, text.getvalue())

    def _cost(self, usages: Mapping[str, Usage]) -> dict[str, Any]:
        """Calls, tokens and USD by role; USD of all only where every price is known."""
        today = datetime.now(UTC).date()
        usd: list[float | None] = []
        for role, usage in usages.items():
            identity = self._identities[role]
            price = self._prices.find(identity.get("model", ""), identity.get("server", ""), today)
            usd.append(None if price is None else price.cost(usage))
        return {
            "calls": sum(usage.calls for usage in usages.values()),
            "prompt_tokens": sum(usage.prompt for usage in usages.values()),
            "completion_tokens": sum(usage.completion for usage in usages.values()),
            "usd": None if None in usd else sum(one for one in usd if one is not None),
        }


def prompt_diff(before: Prompt, after: Prompt) -> list[str]:
    """What changed from one prompt to another: fields, instructions and templates, as lines of a unified diff."""
    return [
        line.rstrip("\n")
        for line in difflib.unified_diff(
            _lines(before), _lines(after), f"{before.name} {before.version}", f"{after.name} {after.version}", "", "", 0
        )
    ]


def _lines(prompt: Prompt) -> list[str]:
    return [
        *(f"field: {name}" for name in prompt.features),
        *(f"instruction: {line}" for line in prompt.instructions),
        *prompt.system.splitlines(),
        *prompt.user.splitlines(),
    ]


def _edited(source: Path, place: Path, parent: Prompt) -> Prompt:
    try:
        edited = load_prompt(source)
        check_candidate(edited, parent)
    except PromptError as error:
        raise type(error)(f"{place}: {error}; mend the file and give the same command again, nothing is lost") from None
    return edited


@dataclass(frozen=True)
class Refined:
    """A refinement as its folder tells it; tables are empty where it has not come so far yet."""

    path: Path
    about: Mapping[str, Any]  # refinement.toml

    @cached_property
    def fields(self) -> pd.DataFrame:
        """A row per field: rank, field, rated, months, highs, long, short, survives."""
        return self._table("fields.csv")

    @cached_property
    def instructions(self) -> pd.DataFrame:
        """The rules that the first round chose from: said, instruction."""
        return self._table("instructions.csv")

    @cached_property
    def repetitions(self) -> pd.DataFrame:
        """A row per window: repetition, ticker, start, last, and the Sharpe ratios of baseline and market on all of them."""
        return self._table("repetitions.csv")

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """A row per candidate, as in its .json, ordered by repetition, critic and round."""
        rows = [json.loads(place.read_text("utf-8")) for place in (self.path / "candidates").glob("*.json")]
        rows.sort(key=lambda one: (one["repetition"], one["control"], one["round"]))
        table = pd.DataFrame(rows)
        return table.astype({"sharpe": "float64", "regret": "float64"}) if rows else table

    @cached_property
    def verdict(self) -> Verdict | None:
        """The final judgement; None before it."""
        place = self.path / VERDICT
        return json.loads(place.read_text("utf-8")) if place.is_file() else None

    @property
    def winner(self) -> Prompt | None:
        """The refined P1; None before there is one."""
        place = self.path / "winner.toml"
        return load_prompt(place) if place.is_file() else None

    @property
    def waiting(self) -> Path | None:
        """The file that a person is asked to look at; None where nobody is waited for."""
        open_files = [
            place
            for place in sorted((self.path / "edits").glob("after-*.toml"))
            if not place.stem.endswith(".taken") and not place.with_suffix(".taken.toml").is_file()
        ]
        return open_files[0] if open_files and self.verdict is None else None

    @property
    def edits(self) -> dict[str, str]:
        """What people changed, by file, as diffs."""
        return {place.stem: place.read_text("utf-8").strip() for place in sorted((self.path / "edits").glob("*.diff"))}

    def _table(self, name: str) -> pd.DataFrame:
        place = self.path / name
        return pd.read_csv(place) if place.is_file() and place.stat().st_size else pd.DataFrame()


def read_refinement(folder: str | Path) -> Refined:
    """What a folder of `llmrl refine` holds. Raises ExperimentError where it holds none."""
    path = Path(folder)
    if not (path / REFINEMENT).is_file():
        raise ExperimentError(f"{path} holds no refinement; make one with llmrl refine --out {path}")
    return Refined(path, read_toml(path / REFINEMENT))
