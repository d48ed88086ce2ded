"""The language model that advises a run, and where its strategies stand in the run's folder.

Every prompt's strategies are made over the test years; those of the guiding prompt over both splits, because an agent has to
be trained with the advice that it is to use. Replies are kept in one store, so a run that was stopped asks nothing twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llmrl_lib.experiments.folders import ExperimentError
from llmrl_lib.experiments.strategies import ORDER, Order, finished, order, produce
from llmrl_lib.language.budget import Budget
from llmrl_lib.language.chat import Chat, Request, UnknownModelError
from llmrl_lib.language.local_files import check_folder, expanded, looks_like_a_path, missing_folder
from llmrl_lib.language.prices import load_prices
from llmrl_lib.language.prompts import Prompt, load_prompt
from llmrl_lib.language.replay import Replay
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.strategy.records import Strategy, read_strategies
from llmrl_lib.strategy.strategist import Ask, Progress

if TYPE_CHECKING:
    from llmrl_lib.language.openai import OpenAIChat

FOLDER = "strategies"  # in a run folder


@dataclass(frozen=True)
class Adviser:
    """Which model is asked, and how."""

    model: str = "nano"  # nano, the folder of a local model, or the server's name for one
    base_url: str = ""  # of a server that speaks the OpenAI chat protocol; blank: OpenAI, where model is not local
    concurrency: int = 8
    timeout: float = 120.0  # seconds per attempt
    logprobs: int = 5  # alternatives per token; 0 for servers that give none
    max_tokens: int = 2048
    prices: Path | None = None
    free: bool = False
    budget_usd: float | None = None

    def chat(self) -> Chat:
        """The shipped model, one in a folder, or one behind a server.

        Raises UnknownModelError for a name that looks like a path and is no folder of a model: without `base_url` it would
        be asked of OpenAI.
        """
        if not self.base_url and self.model == "nano":
            from llmrl_lib.language.nano import Nano

            return Nano()
        if self._folder is not None:
            from llmrl_lib.language.local import LocalChat

            return LocalChat(self._folder)
        return self._server()

    def check(self, asks: bool = True) -> None:
        """Looks, without a request and without loading a model, for what would stop the asking.

        These are a folder that holds no whole model, and, with `asks`, a missing key; under a budget an unknown price.
        Raises what `chat` and `Budget` raise, and KeyRejectedError.
        """
        if self._folder is not None:
            check_folder(self._folder)
        if self.is_local:
            self.budget({"model": self.model})
            return
        chat = self._server()
        if asks:
            chat.check_key()
        if budget := self.budget(chat.identity):
            budget.largest_cost(Request(()), chat.identity)

    def budget(self, identity: Mapping[str, str]) -> Budget | None:
        """What keeps the costs of a chat of this identity, if anything. Raises ValueError for a budget that is none."""
        if self.budget_usd is None:
            return None
        free = [identity["model"]] if self.free or "server" not in identity else []
        return Budget(self.budget_usd, load_prices(self.prices, free=free))

    @property
    def is_local(self) -> bool:
        """Whether the model computes here, instead of answering behind a server."""
        return not self.base_url and (self.model == "nano" or self._folder is not None)

    @property
    def _folder(self) -> Path | None:
        """That of a local model other than Nano."""
        place = expanded(self.model)
        return place if self.model not in ("", "nano") and not self.base_url and place.is_dir() else None

    def _server(self) -> OpenAIChat:
        if not self.base_url and looks_like_a_path(self.model):
            raise UnknownModelError(f"{missing_folder(self.model)}, or --base-url where a server calls its model so")
        from llmrl_lib.language.openai import OpenAIChat

        return OpenAIChat(self.model, self.base_url or None, concurrency=self.concurrency, timeout=self.timeout)

    @property
    def ask(self) -> Ask:
        return Ask(top_logprobs=self.logprobs or None, max_tokens=self.max_tokens)


def order_of(dataset: Dataset, tickers: Sequence[str], prompt: str | Prompt, guides: bool, adviser: Adviser) -> Order:
    """The order for one prompt of a run."""
    return order(dataset, tickers, prompt, start=dataset.train_start if guides else None, ask=adviser.ask)


def advise(
    dataset: Dataset,
    tickers: Sequence[str],
    prompt: str | Prompt,
    guides: bool,
    adviser: Adviser,
    folder: Path,
    progress: Progress | None = None,
) -> list[Strategy]:
    """Makes (or reads) a prompt's strategies for a run, into its folder of strategies.

    Raises what `strategies.produce` raises; BudgetError before a budget is exceeded.
    """
    chat, wanted = adviser.chat(), order_of(dataset, tickers, prompt, guides, adviser)
    replay = Replay(folder, chat, purpose=wanted.label, budget=adviser.budget(chat.identity))
    if finished(wanted, replay, folder):
        return [one for ticker in tickers for one in read_strategies(folder / wanted.folder / f"{ticker}.jsonl")]
    return produce(wanted, replay, folder, progress)


def finished_prompts(folder: Path) -> tuple[str, ...]:
    """The names of the prompts of which a folder of strategies holds some, in order."""
    return tuple(sorted({place.parent.name.rsplit("-", 1)[0] for place in folder.glob(f"*/{ORDER}")}))


def has_strategies(folder: Path, prompt: str, ticker: str) -> bool:
    """Whether a folder of strategies holds a ticker's of this prompt."""
    return bool(_files(folder, prompt, ticker))


def strategies_of(folder: Path, prompt: str, ticker: str) -> list[Strategy]:
    """One ticker's strategies of a prompt, as `advise` left them; ExperimentError where there are none."""
    return read_strategies(newest_strategies(folder, prompt, ticker))


def newest_strategies(folder: Path, prompt: str, ticker: str) -> Path:
    """The file that `strategies_of` reads; ExperimentError where there is none."""
    found = _files(folder, prompt, ticker)
    if not found:
        raise ExperimentError(
            f"{folder} has no strategies of {ticker} by prompt {prompt}; give the llmrl run command again, with a profile "
            "that names the prompt"
        )
    return max(found, key=os.path.getmtime)


def _files(folder: Path, prompt: str, ticker: str) -> list[Path]:
    """One for each version of the prompt."""
    name = name_of(prompt)
    return [place for place in folder.glob(f"*/{ticker}.jsonl") if place.parent.name.rsplit("-", 1)[0] == name]


def name_of(prompt: str) -> str:
    """The name of a prompt that is given by its name, or by its file. Raises PromptError for a file that is none."""
    return load_prompt(prompt).name if prompt.endswith(".toml") else prompt
