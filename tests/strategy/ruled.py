"""A chat that follows the prompts' rules to the letter, as a model would that reads perfectly and knows nothing else.

It reads what it is shown, as text. As a strategist it needs to know what is usual for a field, which no prompt tells.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from scripted import Scripted

from llmrl_lib.language.chat import Request
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.features import feature_table
from llmrl_lib.strategy.refinement.fields import candidate_fields

SHEET_LINE = re.compile(r"^- (\w+): (\S+).* \(now ([+-]?\d+), LONG ([+-]?\d+), SHORT ([+-]?\d+);")
RULE = re.compile(r"High (\w+) is (bullish|bearish)")


def ruled(usual: Mapping[str, tuple[float, float]] | None = None, model: str = "ruled") -> Scripted:
    """The chat; `usual` are mean and standard deviation by field, without which a strategist decides by chance."""

    def answer(request: Request) -> dict[str, Any]:
        if request.sampling.schema_name == "ratings":
            return _ratings(request)
        if request.sampling.schema_name == "candidate":
            return _candidate(request)
        if request.sampling.schema_name == "criticism":
            return _criticism(request)
        return _strategy(request, usual or {})

    return Named(answer, model)


class Named(Scripted):
    """A scripted chat with a name of its own."""

    def __init__(self, answer: Any, model: str) -> None:
        super().__init__(answer, logprobs=False)
        self.model = model

    @property
    def identity(self) -> Mapping[str, str]:
        return {"model": self.model}


def usual_of(dataset: Dataset, tickers: Sequence[str] = ()) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each field over the training years of some tickers."""
    found: dict[str, list[tuple[float, float]]] = {}
    for ticker in tickers or dataset.tickers:
        days = dataset.train_bars(ticker).index[200::20]
        values = feature_table(dataset, ticker, days).values
        for name in candidate_fields():
            found.setdefault(name, []).append((float(values[name].mean()), float(values[name].std())))
    return {name: (sum(m for m, _ in own) / len(own), sum(s for _, s in own) / len(own)) for name, own in found.items()}


def _ratings(request: Request) -> dict[str, Any]:
    user = request.messages[1].content
    long = "LONG was right" in user
    found, best, rule = {}, 0, "No field of these stood behind it."
    names = list(request.sampling.schema["properties"]["ratings"]["properties"])  # type: ignore[index]
    lines = {match[1]: match for line in user.splitlines() if (match := SHEET_LINE.match(line))}
    for name in names:
        one = {"value": "not available", "reason": "nothing is known", "reading": "neutral", "rating": "low"}
        if name in lines:
            value, now, high, low = lines[name][2], *(int(lines[name][place]) for place in (3, 4, 5))
            apart = high - low
            side = (1 if (apart > 0) == (now > 0) else -1) if abs(now) >= 3 and apart else 0
            level = 0 if side != (1 if long else -1) or abs(apart) < 2 else 1 + (abs(apart) >= 4)
            word = {1: "bullish", 0: "neutral", -1: "bearish"}[side]
            one = {"value": value, "reason": "so", "reading": word, "rating": ("low", "medium", "high")[level]}
            if level > best:
                best = level
                up, down = ("bullish", "bearish") if apart > 0 else ("bearish", "bullish")
                rule = f"High {name} is {up}, low {name} is {down}."
        found[name] = one
    return {"ratings": found, "rationale": rule}


def _candidate(request: Request) -> dict[str, Any]:
    told = _told(request.messages[1].content)
    schema = request.sampling.schema["properties"]  # type: ignore[index]
    limit = (30, 40, 50)[(request.sampling.seed or 0) // 10 % 3]

    def choice(name: str) -> dict[str, str]:
        known = told[name]
        rated = re.search(r"rated (\d+)", known)
        good = "in the best" in known or (rated and int(rated[1]) >= limit and "in the worst" not in known)
        if "said" in known:
            good = "in the worst" not in known or "in the best" in known
        taken = "asked for" in known or (good and "faulted" not in known)
        return {"known": known, "choice": "take" if taken else "leave"}

    features = {name: choice(name) for name in schema["features"]["properties"]}
    short = 3 - sum(one["choice"] == "take" for one in features.values())
    for name in features:
        if short > 0 and features[name]["choice"] == "leave":
            features[name]["choice"], short = "take", short - 1
    lines = {number: choice(number) for number in schema["instructions"]["properties"]}
    if not any(one["choice"] == "take" for one in lines.values()):
        lines["1"]["choice"] = "take"
    return {"plan": f"rated {limit} or more", "features": features, "instructions": lines, "new_instructions": []}


def _criticism(request: Request) -> dict[str, Any]:
    told = _told(request.messages[1].content)
    schema = request.sampling.schema["properties"]  # type: ignore[index]
    findings = {}
    for name in schema["findings"]["properties"]:
        counts = [int(number) for number in re.findall(r"\d+", told[name])] or [0, 0]
        findings[name] = {"record": told[name], "verdict": "drop" if counts[1] > counts[0] else "keep"}
    others = {name: {"known": told[name], "verdict": "leave"} for name in schema["others"]["properties"]}
    for name in list(others)[:2]:
        others[name]["verdict"] = "add"
    lines = {}
    for number, options in schema["instructions"]["properties"].items():
        about = next((word for word in re.findall(r"\w+", told[number]) if word in findings), "several")
        given = "keep" in options["properties"]["verdict"]["enum"]
        drop = given and about in findings and findings[about]["verdict"] == "drop"
        lines[number] = {"about": about, "verdict": "drop" if drop else "keep" if given else "leave"}
    wrong = [name for name, one in findings.items() if one["verdict"] == "drop"]
    text = f"{wrong[0]} misled." if wrong else "Nothing misled."
    return {"findings": findings, "criticism": text, "others": others, "instructions": lines, "new_instructions": []}


def _strategy(request: Request, usual: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    rules = {name: 1 if word == "bullish" else -1 for name, word in RULE.findall(request.messages[0].content)}
    names = request.sampling.schema["properties"]["weights"]["items"]["properties"]["feature"]["enum"]  # type: ignore[index]
    told = {name: text for name, text in _told(request.messages[1].content).items() if name in names}
    evidence, score = [], 0.0
    for name in sorted(told, key=lambda one: one not in rules):
        value = re.match(r"-?\d+(\.\d+)?", told[name])
        if value is None or len(evidence) == 8:
            continue
        mean, sd = usual.get(name, (0.0, 0.0))
        z = (float(value[0]) - mean) / sd if sd else 0.0
        push = rules.get(name, 0) * max(-2.0, min(2.0, z))
        score += push
        reading = "bullish" if push > 0.3 else "bearish" if push < -0.3 else "neutral"
        evidence.append({"feature": name, "value": value[0], "reading": reading})
    chance = int(hashlib.sha256(json.dumps([told, sorted(rules)]).encode()).hexdigest(), 16) % 2
    long = score > 0 if score else bool(chance)
    return {
        "evidence": evidence or [{"feature": names[0], "value": "1", "reading": "neutral"}] * 3,
        "rationale": f"The rules add up to {score:.2f}.",
        "weights": [{"feature": names[0], "weight": 1}],
        "direction": "LONG" if long else "SHORT",
        "confidence": 1,
    }


def _told(text: str) -> dict[str, str]:
    """What stands behind each name of a list."""
    return {match[1]: match[2] for match in re.finditer(r"^- (\w+): (.*)$", text, re.MULTILINE)}
