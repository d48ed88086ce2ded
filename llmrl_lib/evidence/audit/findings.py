"""What an audit found: a row per question a sceptic asks, with figures and a mark, and what a claim has to carry of them.

A claim that fails a check says so in the same sentence (`Marks.said`). A check that could not be made is never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

import pandas as pd

Mark = Literal["pass", "fail", "not available"]
PASS: Mark = "pass"
FAIL: Mark = "fail"
MISSING: Mark = "not available"


@dataclass(frozen=True)
class Check:
    """One question of the audit."""

    title: str
    done: str  # what is done, and what makes it pass
    source: str  # whose idea it is


CHECKS = {
    "features": Check(
        "look-ahead: features",
        "features computed again on data from which everything later is deleted; passes if none changes",
        "point-in-time data; Kaufman et al., Leakage in data mining (2012)",
    ),
    "requests": Check(
        "look-ahead: requests",
        "every request to the model built again from data that end at the decision; passes if no character changes",
        "Kaufman et al. (2012); Glasserman & Lin (2023)",
    ),
    "strategies": Check(
        "look-ahead: strategies",
        "stored strategies made again from data that end at the decision and the stored replies; passes if all are found",
        "Kaufman et al. (2012)",
    ),
    "guidance": Check(
        "look-ahead: guidance",
        "each day's guidance computed again without the strategies decided on that day or later; passes if none changes",
        "Kaufman et al. (2012)",
    ),
    "observations": Check(
        "look-ahead: observations",
        "what an agent sees laid out again from test bars that end at that day; passes if no number changes",
        "Kaufman et al. (2012)",
    ),
    "accounting": Check(
        "accounting",
        "recorded actions traded again at the charged cost; passes if every arm's recorded equity comes out",
        "this project",
    ),
    "costs": Check(
        "cost sweep",
        "recorded test actions traded again at 0 to 50 basis points (the policy is not retrained); passes if the difference "
        "of Sharpe ratios is above zero from the charged cost to twice it",
        "Bessembinder & Chan (1998): break-even costs",
    ),
    "delay": Check(
        "one-day delay",
        "recorded test actions executed one bar later, for both arms; passes if the difference of Sharpe ratios stays above "
        "zero",
        "Bessembinder & Chan (1998): one-day lag",
    ),
    "constant": Check(
        "constant position",
        "share of runs with at least 95 % of test days on one side; passes if it is below one half",
        "this project",
    ),
    "placebos": Check(
        "placebos",
        "guided less each placebo, paired t-tests over seeds and a bootstrap over days, both corrected by Holm over the "
        "placebos; passes if it is above the random and the permuted one by both (p < 0.05); the flipped one, which knows as "
        "much, and the delayed ones are shown",
        "Student (1908), Holm (1979), Politis & Romano (1994)",
    ),
    "split": Check(
        "split date",
        "the difference of Sharpe ratios on test windows that begin 0, 3, 6 and 12 months later and on both halves (the "
        "policy is not retrained); passes if it is above zero on all",
        "Hansen & Timmermann (2012), Rossi & Inoue (2012)",
    ),
    "rescaled": Check(
        "counterfactual: prices rescaled",
        "the same decisions with prices times 0.1 and times 7; passes if 95 % keep direction and confidence",
        "Li et al., Profit mirage (2025): prediction consistency, confidence invariance",
    ),
    "swapped": Check(
        "counterfactual: names and dates swapped",
        "the same decisions under another company's names, 28 years earlier; passes if 95 % keep direction and confidence",
        "Li et al. (2025); Glasserman & Lin (2023)",
    ),
    "mirrored": Check(
        "counterfactual: history mirrored",
        "the same decisions with all past returns of share and indices negated; passes if 10 % change direction, or the "
        "log-odds correlate below 0.9 with the original ones",
        "Li et al. (2025): input dependence",
    ),
    "recall": Check(
        "recall",
        "the model is asked who and when from anonymised prices and headlines; passes if it is not right more often than "
        "chance (exact binomial tests, Holm over the questions, p >= 0.05)",
        "Lopez-Lira, Tang & Zhu, The memorization problem (2025)",
    ),
    "cutoff": Check(
        "knowledge cutoff",
        "the difference of Sharpe ratios before and after the model's stated knowledge cutoff; passes if it is above zero on "
        "the days after it",
        "Sarkar & Vafa (2024)",
    ),
    "trials": Check(
        "number of trials",
        "every configuration that was started and every prompt is counted; passes if the comparison, or the best arm, is "
        "above luck's best of so many (probability above 0.95)",
        "Bailey & Lopez de Prado (2014), Sidak (1967)",
    ),
}
BEST = "best arm"
_WRAPPED = 'style="white-space:normal;text-align:left"'
LOOK_AHEAD = ("features", "requests", "strategies", "guidance", "observations")
ON_MONEY = ("accounting", "costs", "delay", "constant", "split")
OF_ADVICE = (*LOOK_AHEAD, *ON_MONEY, "placebos", "swapped", "recall", "cutoff", "trials")


@dataclass(frozen=True)
class Claim:
    """A statement of the results page: `first` has a higher test Sharpe ratio than `second`, or, blank, one of the model."""

    checks: tuple[str, ...]
    first: str = ""
    second: str = ""

    @property
    def about(self) -> frozenset[str]:
        """Whatever a finding may be about to concern the claim."""
        return frozenset({"", self.first, self.second, versus(self.first, self.second)})


def versus(first: str, second: str) -> str:
    """How a finding names a comparison of two arms."""
    return f"{first} > {second}"


CLAIMS = {
    "guided_beats_unguided": Claim(OF_ADVICE, "guided", "unguided"),
    "guided_beats_holding": Claim(OF_ADVICE, "guided", "buy_and_hold"),
    "llm_only_beats_holding": Claim(
        tuple(name for name in OF_ADVICE if name not in ("placebos", "observations")), "llm_only", "buy_and_hold"
    ),
    "unguided_beats_holding": Claim(("observations", *ON_MONEY, "trials"), "unguided", "buy_and_hold"),
    "best_arm_has_skill": Claim((*LOOK_AHEAD, "accounting", "trials"), BEST),
    "decisions_follow_the_figures": Claim(("requests", "rescaled", "swapped", "mirrored", "recall")),
}


@dataclass(frozen=True)
class Finding:
    """One check on one ticker (blank: on the whole run)."""

    check: str  # a key of CHECKS
    ticker: str
    about: str  # an arm, a comparison "guided > unguided", or blank
    mark: Mark
    sentence: str
    figures: Mapping[str, float] = field(default_factory=dict)
    table: pd.DataFrame | None = None  # the numbers behind it, for whoever looks deeper


@dataclass(frozen=True)
class Audit:
    """All findings of a run. In a notebook it shows itself as its page."""

    run: str
    findings: tuple[Finding, ...]

    def table(self) -> pd.DataFrame:
        """The page: a row per check and what it is about, over all tickers.

        Columns: check, about, done, figures (text), mark, sentence. A row passes if no ticker fails and one or more pass.
        """
        rows = [_row(group) for group in self._groups().values()]
        return pd.DataFrame(rows, columns=["check", "about", "done", "figures", "mark", "sentence"])

    def details(self, check: str | None = None) -> pd.DataFrame:
        """A row per finding, with a column per figure; of one check, or of all. Raises KeyError for an unknown check."""
        if check is not None:
            CHECKS[check]
        chosen = [one for one in self.findings if check in (None, one.check)]
        rows = [
            {"check": one.check, "ticker": one.ticker, "about": one.about, "mark": one.mark, **one.figures}
            for one in chosen
        ]
        return pd.DataFrame(rows)

    def tables(self, check: str, about: str | None = None) -> dict[str, pd.DataFrame]:
        """The tables behind a check by ticker, e.g. the cost sweep; of whichever comparison if `about` is None."""
        CHECKS[check]
        return {
            one.ticker: one.table
            for one in self.findings
            if one.check == check and one.table is not None and about in (None, one.about)
        }

    def marks(self, claim: str, ticker: str | None = None) -> Marks:
        """What a claim of CLAIMS has to carry, over all tickers or for one. Raises KeyError for an unknown claim."""
        if claim not in CLAIMS:
            raise KeyError(f"there is no claim {claim!r}; there are {', '.join(CLAIMS)}")
        asked = CLAIMS[claim]
        chosen: dict[str, list[Finding]] = {name: [] for name in asked.checks}
        for one in self.findings:
            if one.check in chosen and one.about in asked.about and (ticker is None or one.ticker in ("", ticker)):
                chosen[one.check].append(one)
        return Marks(claim, {name: tuple(found) for name, found in chosen.items()})

    def _groups(self) -> dict[tuple[str, str], list[Finding]]:
        found: dict[tuple[str, str], list[Finding]] = {}
        for name in CHECKS:
            for one in self.findings:
                if one.check == name:
                    found.setdefault((name, one.about), []).append(one)
        return found

    def _repr_html_(self) -> str:
        """The page for a notebook: a head for each check that says what was done, a row for each thing it is about."""
        rows: list[str] = []
        last = ""
        row: Any
        for row in self.table().itertuples(index=False):
            if row.check != last:
                rows.append(f"<tr><td colspan=3 {_WRAPPED}><b>{escape(row.check)}</b>: {escape(row.done)}</td></tr>")
                last = row.check
            mark = f"<b>{row.mark}</b>" if row.mark == FAIL else row.mark
            cells = (mark, escape(row.about.replace("_", " ")), escape(row.sentence))
            rows.append("<tr>" + "".join(f"<td {_WRAPPED}>{cell}</td>" for cell in cells) + "</tr>")
        return "<table><tbody>" + "".join(rows) + "</tbody></table>"


@dataclass(frozen=True)
class Marks:
    """The checks that a claim needs, each with its findings; none where the check was not made."""

    claim: str
    findings: Mapping[str, tuple[Finding, ...]]

    @property
    def passed(self) -> tuple[str, ...]:
        """The checks that it passes."""
        return self._with(PASS)

    @property
    def failed(self) -> tuple[str, ...]:
        """The checks that it fails, on one ticker or more."""
        return self._with(FAIL)

    @property
    def missing(self) -> tuple[str, ...]:
        """The checks that could not be made."""
        return self._with(MISSING)

    @property
    def holds(self) -> bool:
        """Whether no check fails and one or more pass."""
        return not self.failed and bool(self.passed)

    def __str__(self) -> str:
        parts = [f"passes {len(self.passed)} of {len(self.findings)} checks"]
        if self.failed:
            parts.append(f"fails {self._named(FAIL)}")
        if self.missing:
            parts.append(f"not available: {self._named(MISSING)}")
        return "; ".join(parts)

    def said(self, sentence: str, link: str = "but") -> str:
        """The claim's sentence with what it fails, and what could not be checked, in the same sentence.

        `link` leads to what it fails: "and" after a sentence that does not uphold the claim.
        """
        text = sentence.rstrip().rstrip(".")
        if self.failed:
            text += f", {link} it fails {len(self.failed)} of {len(self.findings)} audit checks ({self._named(FAIL)})"
        elif self.passed:
            text += f", and fails none of the {len(self.passed)} audit checks that could be made"
        else:
            text += ", which no audit check could test"
        if self.missing and self.passed + self.failed:
            text += f"; not checked: {self._named(MISSING)}"
        return f"{text}."

    def _with(self, mark: Mark) -> tuple[str, ...]:
        return tuple(name for name, found in self.findings.items() if combined(found) == mark)

    def _named(self, mark: Mark) -> str:
        return ", ".join(self._name(name, mark) for name in self._with(mark))

    def _name(self, check: str, mark: Mark) -> str:
        """A check's title; with the tickers that fail it where others do not."""
        found = self.findings[check]
        tickers = list(dict.fromkeys(one.ticker for one in found if one.mark == mark and one.ticker))
        everywhere = len(tickers) == len({one.ticker for one in found})
        return CHECKS[check].title + ("" if everywhere or not tickers else f" on {', '.join(tickers)}")


def combined(findings: Iterable[Finding]) -> Mark:
    """Fails where one fails, passes where one passes and none fails; otherwise not available."""
    marks = {one.mark for one in findings}
    return FAIL if FAIL in marks else PASS if PASS in marks else MISSING


def _row(group: list[Finding]) -> tuple[str, str, str, str, str, str]:
    check, mark = CHECKS[group[0].check], combined(group)
    return check.title, group[0].about, check.done, _figures(group), mark, _sentence(group, mark)


def _figures(group: list[Finding]) -> str:
    """Each figure, or its range over tickers."""
    told = []
    for name in dict.fromkeys(name for one in group for name in one.figures):
        values = [one.figures[name] for one in group if name in one.figures and not math.isnan(one.figures[name])]
        if values:
            low, high = written(min(values)), written(max(values))
            told.append(f"{name} {low}" if low == high else f"{name} {low} to {high}")
    return "; ".join(told)


def _sentence(group: list[Finding], mark: Mark) -> str:
    """The sentence of the only finding, or how many tickers pass, and the sentence of the first that decides the mark."""
    if len({one.sentence for one in group}) == 1:
        return group[0].sentence
    passing = sum(one.mark == PASS for one in group)
    first = next(one for one in group if one.mark == mark)
    return f"Passes on {passing} of {len(group)} tickers; {first.ticker}: {first.sentence}"


def written(value: float) -> str:
    """A figure in at most three significant digits; whole numbers whole."""
    if not math.isfinite(value) or float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
