"""Did anything know the future? All that leads to a trade is made again from data that end where it was decided.

The truncation check: what deleting later rows changes has used them. It is made for features, for requests to the model, for
stored strategies, for the daily guidance and for what agents see. Each takes the method to check as an argument, so that
other methods can be checked, too. Leakage by construction of data is what Kaufman, Rosset, Perlich & Stitelman, "Leakage in
data mining" (2012) describe; what a model remembers is another matter, see `audit.recall`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from llmrl_lib.evidence.audit.cases import Case, Stored
from llmrl_lib.evidence.audit.findings import FAIL, MISSING, PASS, Finding
from llmrl_lib.language.chat import ChatError, Message, Reply, Request, Sampling
from llmrl_lib.language.prompts import Prompt, load_prompt
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.market.features import FeatureTable, check_no_lookahead, feature_table, truncated
from llmrl_lib.strategy.memory import EVERY
from llmrl_lib.strategy.records import Strategy
from llmrl_lib.strategy.rehearsal import stand_in
from llmrl_lib.strategy.strategist import Ask, make_many_strategies
from llmrl_lib.trading.observation import FIELDS
from llmrl_lib.trading.problem import Problem, prepare

SAMPLES = 5  # dates per check
SHOWN = 3  # deviations that a sentence names

TableOf = Callable[[Dataset, str, Sequence[pd.Timestamp]], FeatureTable]
RequestsOf = Callable[[Dataset, str, Prompt, pd.Timestamp, Ask], list[Request]]
TestSeen = Callable[[pd.DataFrame, pd.DataFrame], np.ndarray]  # train and test bars to a row per test row, and one more


def sampled(dates: Sequence[pd.Timestamp] | pd.DatetimeIndex, count: int = SAMPLES) -> list[pd.Timestamp]:
    """Up to `count` of the dates, evenly spread, the last one among them."""
    if not len(dates):
        return []
    places = np.unique(np.linspace(0, len(dates) - 1, min(count, len(dates)) + 1).round().astype(int)[1:])
    return [dates[place] for place in places]


def decision_dates(case: Case) -> pd.DatetimeIndex:
    """The closes at which advice is decided: every 20th trading day from the first of training to the end of testing."""
    days = case.dataset.bars(case.ticker).index
    return pd.DatetimeIndex(days[(days >= case.dataset.train_start) & (days < case.dataset.end)][::EVERY])


def features(case: Case, table: TableOf = feature_table) -> list[Finding]:
    """Features on sampled decision dates, by `market.features.check_no_lookahead`."""
    report = check_no_lookahead(case.dataset, case.ticker, sampled(decision_dates(case)), table)
    wrong = report[~report["same"]]
    where = [f"{one.field} on {one.date:%Y-%m-%d}" for one in wrong.itertuples()]
    return [_finding(case, "features", where, len(report), f"values on {report['date'].nunique()} dates")]


def requests(case: Case, requests_of: RequestsOf | None = None) -> list[Finding]:
    """Requests of every prompt up to sampled decisions, from the whole dataset and from the truncated one."""
    if not case.prompts:
        return [Finding("requests", case.ticker, "", MISSING, f"No model was asked about {case.ticker}.")]
    asked = requests_of or requests_until
    where, compared = [], 0
    for prompt in map(load_prompt, case.prompts):
        for day in sampled(decision_dates(case)):
            whole = asked(case.dataset, case.ticker, prompt, day, case.ask)
            cut = asked(truncated(case.dataset, day, case.ticker), case.ticker, prompt, day, case.ask)
            compared += len(whole)
            if whole != cut:
                where.append(f"{prompt.name} on {day:%Y-%m-%d}")
    return [_finding(case, "requests", where, compared, f"requests of {len(case.prompts)} prompts")]


def requests_until(dataset: Dataset, ticker: str, prompt: Prompt, day: pd.Timestamp, ask: Ask) -> list[Request]:
    """What `make_strategies` asks, strategist and analyst, up to the decision at the close of `day`.

    It begins as many decisions earlier as the prompt remembers; stand-ins take the place of replies.
    """
    days = dataset.bars(ticker).index
    place = int(days.get_indexer(pd.DatetimeIndex([day]))[0])
    first = days[max(place - prompt.memory * ask.every, place % ask.every)]
    scribe = _Scribe()
    make_many_strategies(dataset, [ticker], prompt, scribe, first, day + pd.Timedelta(days=1), ask=ask)
    return sorted(scribe.asked, key=repr)


def strategies(case: Case) -> list[Finding]:
    """Whether sampled strategies come out again from truncated data and the stored replies, without asking anyone.

    Where they do not come out of the whole data either, data, prompt or code have changed since, and nothing is said.
    """
    stored = case.stored
    made = {one.date: one for one in case.strategies if one.draw == 0}
    if stored is None or not made:
        sentence = f"No stored replies of the guiding prompt, as it is now, were given for {case.ticker}."
        return [Finding("strategies", case.ticker, "", MISSING, sentence)]
    days = sampled(sorted(made))
    again = [_again(case, stored, truncated(case.dataset, day, case.ticker), day) == made[day] for day in days]
    changed = [day for day, same in zip(days, again, strict=True) if not same]
    if any(_again(case, stored, case.dataset, day) != made[day] for day in changed):
        sentence = (
            "Strategies do not come out again from the whole data either: data, prompt or code have changed since."
        )
        return [Finding("strategies", case.ticker, "", MISSING, sentence)]
    return [_finding(case, "strategies", [f"{day:%Y-%m-%d}" for day in changed], len(days), "stored strategies")]


def _again(case: Case, stored: Stored, data: Dataset, day: pd.Timestamp) -> Strategy | None:
    """The strategy of `day` made of these data and stored replies; None where something else is asked now than was then."""
    first, end = stored.start if load_prompt(stored.prompt).memory else day, day + pd.Timedelta(days=1)
    try:
        return make_many_strategies(data, [case.ticker], stored.prompt, stored.replies, first, end, ask=stored.ask)[-1]
    except ChatError:
        return None


def guidance(case: Case) -> list[Finding]:
    """Each sampled day's guidance from all strategies and from those decided before that day."""
    if not case.strategies:
        return [Finding("guidance", case.ticker, "", MISSING, f"No strategies guided an agent on {case.ticker}.")]
    decided = sorted({one.date for one in case.strategies})
    days = pd.DatetimeIndex(case.dataset.bars(case.ticker).index)
    last = int(days.searchsorted(decided[-1])) + EVERY
    covered = days[(days >= decided[0])][: max(0, last - int(days.searchsorted(decided[0])) + 1)]
    covered = covered[covered < case.dataset.end]
    near = [day for one in decided for day in covered[covered >= one][:2]]  # days of decision and the days after
    chosen = sorted(
        {*sampled(covered[1:], 4 * SAMPLES), *sampled([day for day in near if day > decided[0]], 2 * SAMPLES)}
    )
    whole = case.guide(case.strategies, covered)
    where = []
    for day in chosen:
        known = [one for one in case.strategies if one.date < day]
        if case.guide(known, covered[covered <= day])[day] != whole[day]:
            where.append(f"{day:%Y-%m-%d}")
    return [_finding(case, "guidance", where, len(chosen), "days")]


def observations(case: Case, seen: TestSeen | None = None) -> list[Finding]:
    """What agents see up to the row after sampled days, and after gaps in the data, from all test bars and from those so far.

    An observation of a row is of the rows before it, so that the row after a day is the first to see it.
    """
    train, test = (part(case.ticker) for part in (case.dataset.train_bars, case.dataset.test_bars))
    see = seen or _seen_by(case)
    first = case.settings.state_length
    gaps = test.index[first:][(test[FIELDS] == 0).any(axis=1).to_numpy()[first:]]
    days = sorted({*sampled(pd.DatetimeIndex(test.index[first:])), *sampled(pd.DatetimeIndex(gaps))})
    whole = see(train, test)
    where = []
    for day in days:
        cut = see(train, test[test.index <= day])
        if not np.array_equal(cut, whole[: len(cut)]):
            where.append(f"{day:%Y-%m-%d}")
    finding = _finding(case, "observations", where, len(days), f"cuts of {len(test)} test rows")
    if not where:
        return [finding]
    quirk = " (the benchmark's quirk gaps_filled_from_later_rows is on)" if _gaps_filled(case) else ""
    sentence = f"{finding.sentence.rstrip('.')}{quirk}."
    return [Finding("observations", case.ticker, "", FAIL, sentence, finding.figures)]


def _seen_by(case: Case) -> TestSeen:
    def see(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
        return prepare(Problem(train, test), case.settings).test.table

    return see


def _gaps_filled(case: Case) -> bool:
    return bool(case.settings.quirks.gaps_filled_from_later_rows)


def _finding(case: Case, check: str, where: Sequence[str], compared: int, of: str) -> Finding:
    figures = {"compared": float(compared), "changed": float(len(where))}
    if not where:
        sentence = f"None of {compared} {of} changed when everything later was deleted."
        return Finding(check, case.ticker, "", PASS, sentence, figures)
    more = f" and {len(where) - SHOWN} more" if len(where) > SHOWN else ""
    sentence = f"Deleting what came later changed {', '.join(where[:SHOWN])}{more}: they knew the future."
    return Finding(check, case.ticker, "", FAIL, sentence, figures)


class _Scribe:
    """A chat that keeps what it is asked and answers with stand-ins."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    @property
    def identity(self) -> Mapping[str, str]:
        """Nobody's."""
        return {"model": "stand-in"}

    def __call__(self, messages: Sequence[Message], sampling: Sampling = Sampling()) -> Reply:  # noqa: B008
        request = Request(tuple(messages), sampling)
        self.asked.append(request)
        return Reply("", stand_in(sampling.schema or {"type": "string"}), model="stand-in")

    def many(self, asked: Iterable[Request]) -> Iterator[tuple[int, Reply | ChatError]]:
        """All of them, in order."""
        for index, request in enumerate(asked):
            yield index, self(request.messages, request.sampling)
