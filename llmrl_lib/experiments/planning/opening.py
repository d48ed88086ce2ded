"""A study is opened: its dataset, its run folder, its model, and the questions that are not answered yet."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from llmrl_lib.experiments.adviser import FOLDER as STRATEGIES
from llmrl_lib.experiments.adviser import Adviser
from llmrl_lib.experiments.arms import MANIFEST, RUN, load_arm
from llmrl_lib.experiments.folders import ExperimentError, explain
from llmrl_lib.experiments.planning.questions import audit_task, tasks_of
from llmrl_lib.experiments.planning.setting import Asking, Done, Setting, Study
from llmrl_lib.experiments.planning.speeds import Speeds
from llmrl_lib.experiments.planning.training import Rows, kind_of, trained_seconds
from llmrl_lib.experiments.runs import refuse_foreign, refuse_other_run
from llmrl_lib.experiments.suite import agents_in, chosen_tickers, notebooks_of, refuse_unknown_arms, usual_arms
from llmrl_lib.language.budget import Budget
from llmrl_lib.language.chat import Chat
from llmrl_lib.language.prices import Price, load_prices
from llmrl_lib.language.store import open_store
from llmrl_lib.market.dataset import Dataset, load_dataset
from llmrl_lib.market.defects import DatasetError
from llmrl_lib.settings import Profile

SAMPLE = (
    12  # tickers whose questions are made where nothing is answered; further ones are taken to be asked alike, in turn
)


def opened(study: Study, speeds: Speeds) -> Setting:
    """The study's dataset, run folder, model and questions.

    Raises what `run_suite` raises before any work begins, and ValueError for a plan that cannot be.
    """
    dataset, profile, out = load_dataset(study.dataset), study.profile, study.out
    tickers = chosen_tickers(dataset, study.tickers)
    if study.count < 0 or study.machines < 1:
        raise ValueError("--count and --machines are numbers of tickers and of machines; give at least 1")
    if study.count and out is not None and (out / RUN).is_file():
        raise ValueError("--count speaks of tickers like the dataset's, --out of its own; leave one of them out")
    arms = usual_arms(profile)
    refuse_unknown_arms(arms, profile)
    if out is not None:
        refuse_foreign(out)
    chat = study.adviser.chat()
    if out is not None:
        refuse_other_run(out, dataset, profile, chat.identity if profile.guide or profile.prompts else None)
    rows, unusable = _rows(dataset, tickers)
    if not rows:
        raise ExperimentError(f"no ticker can be trained on: {' '.join(unusable)}")
    done = Done() if out is None else _done(out, rows, arms, profile, speeds)
    return Setting(
        study=study,
        dataset=dataset,
        planned=tuple((ticker, 0) for ticker in rows),
        rows=rows,
        arms=arms,
        asking=_asking(study, dataset, tuple(rows), chat, done, speeds),
        done=done,
        speeds=speeds,
        unusable=tuple(unusable),
    )


def _rows(dataset: Dataset, tickers: Sequence[str]) -> tuple[dict[str, Rows], list[str]]:
    """Days of both splits by ticker, and a sentence for each ticker whose bars cannot be used."""
    found, unusable = {}, []
    for ticker in tickers:
        try:
            found[ticker] = Rows(len(dataset.train_bars(ticker)), len(dataset.test_bars(ticker)))
        except DatasetError as error:
            unusable.append(f"{ticker} is left out: {explain(error)}.")
    return found, unusable


# Asking


def _asking(study: Study, dataset: Dataset, tickers: Sequence[str], chat: Chat, done: Done, speeds: Speeds) -> Asking:
    """The questions, of all tickers where some are answered: there no ticker tells how far along another is."""
    adviser, profile = study.adviser, study.profile
    with _store(study.out) as folder:
        begun = bool(open_store(folder).paid)
        sample = tuple(tickers if begun else tickers[: min(SAMPLE, study.count or SAMPLE)])
        audited = next((ticker for ticker in reversed(sample) if ticker not in done.told), sample[0])
        price, spent = _price(adviser, chat, folder)
        return Asking(
            chat,
            tuple(tasks_of(dataset, sample, profile, adviser, chat, folder, speeds)),
            audit_task(dataset, audited, profile, adviser, chat, folder, speeds),
            sample,
            price,
            spent,
        )


def _price(adviser: Adviser, chat: Chat, folder: Path) -> tuple[Price | None, float | None]:
    """The model's price, and what was spent of a budget. Raises ValueError for a budget that is none."""
    free = [chat.identity["model"]] if adviser.free or "server" not in chat.identity else []
    prices = load_prices(adviser.prices, free=free)
    today = datetime.now(UTC).date()
    price = prices.find(chat.identity.get("model", ""), chat.identity.get("server", ""), today)
    if adviser.budget_usd is None:
        return price, None
    budget = Budget(adviser.budget_usd, prices)
    if price is None:
        return None, None
    budget.watch(open_store(folder))
    return price, budget.spent()


@contextmanager
def _store(out: Path | None) -> Iterator[Path]:
    """The folder of a run's replies, or an empty one."""
    if out is not None:
        yield out / STRATEGIES
        return
    with tempfile.TemporaryDirectory() as empty:
        yield Path(empty) / STRATEGIES


# What a run folder holds


def _done(out: Path, rows: Mapping[str, Rows], arms: Sequence[str], profile: Profile, speeds: Speeds) -> Done:
    finished = {(ticker, arm) for ticker in rows for arm in arms if (out / ticker / arm / MANIFEST).is_file()}
    whole = [ticker for ticker in rows if all((ticker, arm) in finished for arm in arms)]
    agents = agents_in(out, rows)
    told = {ticker for ticker in whole if _are_there(out, [pair for pair in notebooks_of([ticker], agents) if pair[1]])}
    return Done(
        arms=frozenset(finished),
        told=frozenset(told),
        run_told=len(told) == len(rows) and _are_there(out, notebooks_of([], agents)),
        agents=agents,
        factors=_factors(out, finished, rows, profile, speeds),
    )


def _are_there(out: Path, notebooks: Sequence[tuple[str, str]]) -> bool:
    return all((out / "notebooks" / ticker / f"{name}.ipynb").is_file() for name, ticker in notebooks)


def _factors(
    out: Path, finished: set[tuple[str, str]], rows: Mapping[str, Rows], profile: Profile, speeds: Speeds
) -> dict[str, float]:
    """For each kind of arm of which the run folder holds some: their seconds on a processor, of the recorded ones."""
    sums: dict[str, list[float]] = {}
    for ticker, arm in sorted(finished):
        manifest, kind = load_arm(out / ticker / arm).manifest, kind_of(arm)
        if manifest.get("device") == "cpu" and kind != "rules":
            both = sums.setdefault(kind, [0.0, 0.0])
            both[0] += float(manifest["seconds"])
            both[1] += trained_seconds(arm, rows[ticker], profile, speeds)
    return {kind: took / expected for kind, (took, expected) in sums.items() if expected > 0}
