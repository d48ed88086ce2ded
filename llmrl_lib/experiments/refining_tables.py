"""A refinement in tables for notebooks: candidates and what they changed, fields by rank, judge against random critic."""

from __future__ import annotations

import html
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from llmrl_lib.experiments.refining_files import FOLDER, REFINEMENT, Refined, read_refinement
from llmrl_lib.experiments.refining_verdict import verdict_sentences

ABSENT = (
    "*No refinement: nobody has refined a prompt for this run. "
    "`llmrl refine --dataset DATASET --out RUN/refinement` makes one, RUN being the folder of the run.*"
)
DIGITS = 2  # of Sharpe ratios
MOST_LINES = 60  # of a candidate's diff


def refinement_of(run_folder: str | Path, folder: str | Path = "") -> Refined | None:
    """The refinement in `folder`, by default `refinement` in the run's folder or beside it; None where there is none."""
    run = Path(run_folder)
    for place in [Path(folder)] if folder else [run / FOLDER, run.parent / FOLDER]:
        if (place / REFINEMENT).is_file():
            return read_refinement(place)
    return None


def facts_table(refined: Refined | None) -> pd.DataFrame | None:
    """What was refined, by whom and on what: a row per fact, cells are text."""
    if refined is None:
        return None
    about, settings = refined.about, refined.about["settings"]
    chats = about["chats"]
    facts = {
        "refined on": ", ".join(about["tickers"]),
        "kept apart": about["unseen"] or "no ticker",
        "years looked at": f"up to {about['first_held_out']}, {settings['held_out']} years held out after it",
        **{f"{role}": chats[role]["model"] for role in chats},
        "repetitions": f"{settings['repetitions']} of at most {settings['rounds']} rounds",
        "candidates tried": str(len(refined.candidates)),
        "state": "finished" if refined.verdict else "not finished: give the llmrl refine command again",
    }
    if about["looks_at_test_years"]:
        facts["WARNING"] = "the test years were looked at: nothing here is out of sample"
    return pd.DataFrame({"this refinement": facts})


def candidates_table(refined: Refined | None) -> pd.DataFrame:
    """A row per candidate: of what, by whom, how long, how good, at what cost, and why the repetition ended with it."""
    if refined is None or not len(refined.candidates):
        return pd.DataFrame({"instructions": []})
    table = refined.candidates
    return pd.DataFrame(
        {
            "candidate": table["name"],
            "parent": table["parent"],
            "critic": ["random" if control else "judge" for control in table["control"]],
            "fields": [len(names) for names in table["fields"]],
            "instructions": [len(lines) for lines in table["instructions"]],
            "Sharpe": table["sharpe"],
            "start": table["start"],
            "regret": table["regret"],
            "tokens": table["prompt_tokens"] + table["completion_tokens"],
            "USD": table["usd"].astype("float64"),
            "ended": [
                told or (troubles[-1] if troubles else "")
                for told, troubles in zip(table["ended"], table["troubles"], strict=True)
            ],
        }
    )


def fields_table(refined: Refined | None, most: int = 15) -> pd.DataFrame | None:
    """The fields that the trainer rated highest: rating, how often high, where they stood before LONG and SHORT, survival."""
    if refined is None or not len(refined.fields):
        return None
    shown = refined.fields.head(most).copy()
    shown["survives"] = shown["survives"].map({True: "yes", False: "no"})
    return shown.rename(columns={"long": "before LONG", "short": "before SHORT"}).set_index("rank")


def critics_table(refined: Refined | None) -> pd.DataFrame | None:
    """Judge and random critic side by side: candidates, regret, and how far the best of a repetition lies above its start."""
    if refined is None or not len(refined.candidates):
        return None
    table = refined.candidates.assign(edge=lambda one: one["sharpe"] - one["start"])
    rows = []
    for control, name in ((False, "judge"), (True, "random critic")):
        own = table[(table["control"] == control) & table["sharpe"].notna()]
        if len(own):
            best = own.groupby("repetition")["edge"].max()
            rows.append(
                {
                    "critic": name,
                    "repetitions": len(best),
                    "candidates": len(own),
                    "mean regret of the last round": float(own.groupby("repetition")["regret"].last().mean()),
                    "best edge, mean": float(best.mean()),
                    "repetitions that beat their start": int((best > 0).sum()),
                }
            )
    return pd.DataFrame(rows).set_index("critic").round(DIGITS) if len(rows) > 1 else None


def judged_table(refined: Refined | None) -> pd.DataFrame | None:
    """The final judgement: Sharpe ratio of each arm in each place, with its interval. None before it."""
    if refined is None or refined.verdict is None:
        return None
    rows = [
        {
            "place": where,
            "arm": arm,
            "Sharpe": one["estimate"],
            "low": one["low"],
            "high": one["high"],
            "days": place["days"],
        }
        for where, place in refined.verdict["places"].items()
        for arm, one in place["arms"].items()
    ]
    return pd.DataFrame(rows).set_index(["place", "arm"]).round(DIGITS) if rows else None


def verdict_in_words(refined: Refined | None) -> Any:
    """The judgement's sentences as Markdown; None before it."""
    if refined is None or refined.verdict is None:
        return None
    display: Any = import_module("IPython.display")
    return display.Markdown("\n".join(f"- {sentence}" for sentence in verdict_sentences(refined.verdict)))


def diffs_in_full(refined: Refined | None) -> Any:
    """What each candidate changed in its parent, and people in between, to be opened one by one, as HTML."""
    if refined is None or not len(refined.candidates):
        return None
    parts = []
    for _, one in refined.candidates[~refined.candidates["control"].astype(bool)].iterrows():
        score = "not followed" if pd.isna(one["sharpe"]) else f"Sharpe ratio {one['sharpe']:.2f}"
        parts.append(_opened(f"{one['name']} from {one['parent']}, {score}", _changes(one["diff"]), one["plan"]))
    for name, text in refined.edits.items():
        parts.append(
            _opened(f"a person's edits {name.replace('-', ' ')}", text.splitlines() or ["nothing changed"], "")
        )
    display: Any = import_module("IPython.display")
    return display.HTML("".join(parts))


def _changes(diff: list[str]) -> list[str]:
    lines = [line for line in diff if not line.startswith(("---", "+++", "@@"))]
    more = [f"... and {len(lines) - MOST_LINES} lines more"] if len(lines) > MOST_LINES else []
    return lines[:MOST_LINES] + more or ["nothing changed"]


def _opened(title: str, lines: list[str], plan: str) -> str:
    told = f"<p>{html.escape(plan)}</p>" if plan else ""
    text = html.escape("\n".join(lines))
    return f'<details><summary>{html.escape(title)}</summary>{told}<pre style="white-space: pre-wrap">{text}</pre></details>'
