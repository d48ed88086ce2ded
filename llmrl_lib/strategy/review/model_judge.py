"""The model as judge: the reviewers' rubric asked of a language model, on the same cases, without a prediction of its own.

Its ratings are a record of their own and never enter the reviewers' table; where people have rated the same cases, both are
compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import kendalltau

from llmrl_lib.language.chat import Chat, ChatError, Message, OffSchemaError, Reply, Request, Sampling
from llmrl_lib.language.fencing import clean, fenced
from llmrl_lib.language.prompts import Prompt, PromptError, fill, load_prompt
from llmrl_lib.strategy.review.resampling import mean_interval
from llmrl_lib.strategy.review.rubric import CONFIDENCES, DIMENSIONS, RUBRIC, SCORES
from llmrl_lib.strategy.review.scores import first_showings, matrix
from llmrl_lib.strategy.review.study import Case, ReviewError, Study

LONGEST_REASON = 400  # characters


@dataclass(frozen=True)
class Judgement:
    """A model's rating of a case."""

    case: str
    model: str
    rationale: int
    fidelity: int
    safety: int
    reasons: tuple[str, str, str]  # in the order of the rubric


def review_requests(study: Study, prompt: str | Path | Prompt = "reviewer") -> dict[str, Request]:
    """What is asked, by case; second showings are not asked again. Raises PromptError for a prompt of another role."""
    used = load_prompt(prompt)
    if used.reply != "review":
        raise PromptError(f"{used.name} replies with a {used.reply}; the model as judge must reply with a review")
    return {case.id: _request(case, used) for case in study.cases if not case.repeats}


def judgements_by(study: Study, chat: Chat, prompt: str | Path | Prompt = "reviewer") -> list[Judgement]:
    """The model's rating of every case of a study. Raises the first ChatError of those that the chat gave."""
    requests = review_requests(study, prompt)
    cases, made = list(requests), {}
    for index, answer in chat.many(requests.values()):
        if isinstance(answer, ChatError):
            raise answer
        made[cases[index]] = judgement_from_reply(answer, cases[index])
    return [made[name] for name in cases]


def judgement_from_reply(reply: Reply, case: str) -> Judgement:
    """The record of a reply. Raises OffSchemaError for a reply that is not what the prompt asks for."""
    found = reply.parsed
    try:
        scores = [SCORES[SCORES.index(found[name]["score"])] for name in DIMENSIONS]
        reasons = [clean(str(found[name]["reason"]), LONGEST_REASON) for name in DIMENSIONS]
    except (KeyError, TypeError, ValueError) as error:
        what = f"the review of case {case} is not of the schema ({error!r})"
        raise OffSchemaError(f"{what}; use a chat that holds replies to the schema") from error
    return _judgement(case, reply.model, scores, reasons)


def judgements_table(study: Study, judgements: Iterable[Judgement]) -> pd.DataFrame:
    """A row per case: case, ticker, date, kind, side, model, the three scores, reasons (one text)."""
    rows = []
    for one in judgements:
        case = study.case(one.case)
        behind = {name: getattr(case, name) for name in ("ticker", "date", "kind", "side")}
        rows.append({**asdict(one), **behind, "reasons": " / ".join(one.reasons)})
    return pd.DataFrame(rows, columns=["case", "ticker", "date", "kind", "side", "model", *DIMENSIONS, "reasons"])


def beside_people(answers: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    """A row per dimension, over the model's cases that both rated: model, people (means), difference (model less people)
    with low and high (95%, over reviewers and cases), tau (Kendall's tau-b of the model's ratings and the cases' mean
    ratings by people), cases. Raises ReviewError for answers of simulated reviewers: these are no people.
    """
    if answers["simulated"].any():
        raise ReviewError("a model is compared with people, and these reviewers are simulated")
    first = first_showings(answers)
    both = first[first["case"].isin(judged["case"])]
    rows = {}
    for name in DIMENSIONS if len(both) else ():
        by_case = judged.set_index("case")[name]
        found = both.assign(gap=both["case"].map(by_case) - both[name])
        people = both.groupby("case")[name].mean()
        model = by_case[people.index]
        gap = mean_interval(matrix(found, "gap"))
        varied = min(people.nunique(), model.nunique()) > 1
        rows[name] = {
            "model": float(both["case"].map(by_case).mean()),
            "people": float(both[name].mean()),
            "difference": gap.value,
            "low": gap.low,
            "high": gap.high,
            "tau": float(kendalltau(model, people).statistic) if varied else float("nan"),
            "cases": len(people),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def judgements_to_text(judgements: Sequence[Judgement]) -> str:
    """JSON lines that `judgements_from_text` reads back."""
    return "".join(f"{json.dumps(asdict(one))}\n" for one in judgements)


def judgements_from_text(text: str, where: str) -> list[Judgement]:
    """Inverse of `judgements_to_text`. Raises ReviewError naming `where` and the line for another text."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            record: Mapping[str, Any] = json.loads(line)
            scores = [SCORES[SCORES.index(record[name])] for name in DIMENSIONS]
            found.append(_judgement(str(record["case"]), str(record["model"]), scores, record["reasons"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ReviewError(
                f"{where} line {number} is no judgement ({error!r}); delete the file, ask again"
            ) from None
    return found


def _judgement(case: str, model: str, scores: Sequence[int], reasons: Sequence[str]) -> Judgement:
    rationale, fidelity, safety = scores
    first, second, third = map(str, reasons)
    return Judgement(case, model, rationale, fidelity, safety, (first, second, third))


def _request(case: Case, prompt: Prompt) -> Request:
    values = {
        "rubric": "\n".join(
            f"- {one.name} ({one.asked.lower()}): "
            + ", ".join(f"{score} {word.lower()}" for score, word in zip(SCORES, one.words, strict=True))
            for one in RUBRIC
        ),
        "prices": ", ".join(f"{level:.1f}" for level in case.shown["prices"][::-1][::20][::-1]),
        "figures": "\n".join(_figures(group) for group in case.shown["groups"]),
        "news": fenced(text for _, text in case.shown["news"]["lines"]) or "none",
        "strategy": f"{case.side}, confidence {CONFIDENCES[case.confidence]}",
        "reasoning": fenced(_reasoning(case.said), 1600),
    }
    messages = tuple(
        Message(role, fill(template, values, f"prompt {prompt.name}").strip())
        for role, template in (("system", prompt.system), ("user", prompt.user))
    )
    return Request(messages, Sampling(top_logprobs=None, schema=prompt.schema, schema_name=prompt.reply))


def _figures(group: Mapping[str, Any]) -> str:
    lines = [f"- {name}: {value} ({meaning})" for name, meaning, value in group["rows"]]
    missing = [f"- not available: {', '.join(group['missing'])}"] if group["missing"] else []
    return "\n".join([f"{group['title']}:", *lines, *missing])


def _reasoning(said: Mapping[str, Any]) -> list[str]:
    evidence = [f"read out: {name} {value}, {reading}" for name, value, reading in said["evidence"]]
    findings = [f"{group}: {finding} ({reading})" for group, finding, reading in said["findings"]]
    weights = [f"weights: {', '.join(f'{name} {weight}' for name, weight in said['weights'])}"]
    return [said["rationale"], *findings, *evidence, *weights]
