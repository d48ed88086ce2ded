"""A chat that stores every reply as it arrives and never asks for the same reply twice.

A reply is kept under the exact request, the index of its draw, and the model and server that were asked. The store also
holds the requests, for whoever wants to see what was asked; it never holds a key or a header.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from llmrl_lib.language.budget import Budget
from llmrl_lib.language.chat import (
    Chat,
    ChatError,
    Message,
    MissingReplyError,
    Reply,
    Request,
    Sampling,
    reply_from_record,
    reply_to_record,
    request_key,
    request_to_record,
)
from llmrl_lib.language.counting import estimated_prompt
from llmrl_lib.language.side_by_side import side_by_side
from llmrl_lib.language.store import Store, StoreError, open_store

USUAL = Sampling()
LONGEST_EXCERPT = 80  # characters of a request in an error


class Replay:
    """Answers from the store in `folder`, and asks `chat` for what is not there; without a chat it only replays.

    `purpose` is a label stored beside each reply, such as the version of a prompt, by which the ledger adds up; it is no
    part of a request. Failed requests are stored for the ledger alone, and asked again. A `budget` ends a run before it is
    exceeded. `identity` says whose replies to replay where a folder without a chat holds those of several models.

    Several processes may use one folder: what one is asking for, another waits for; under a budget they take turns.
    Raises StoreError for a store that is damaged, BudgetError where a budget is given and the model's price is unknown.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        chat: Chat | None = None,
        *,
        purpose: str = "",
        budget: Budget | None = None,
        identity: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.chat, self.purpose, self.budget = folder, chat, purpose, budget
        self._store = open_store(folder)
        self._identity = dict(identity) if identity is not None else None
        if budget is not None:
            budget.watch(self._store)
            if chat is not None:
                budget.largest_cost(Request(()), self.identity)

    @property
    def identity(self) -> Mapping[str, str]:
        """The chat's; without a chat, that of the replies in the folder."""
        if self.chat is not None:
            return self.chat.identity
        if self._identity is None:
            self._identity = _only_identity(self._store)
        return self._identity

    def labelled(self, purpose: str) -> Replay:
        """The same chat, store and budget under another label."""
        return Replay(self.folder, self.chat, purpose=purpose, budget=self.budget, identity=self._identity)

    def missing(self, requests: Iterable[Request]) -> list[Request]:
        """Those of `requests` that would be asked, each once."""
        by_key = {request_key(self.identity, request): request for request in requests}
        self._store.refresh()
        return [request for key, request in by_key.items() if key not in self._store]

    def __call__(self, messages: Sequence[Message], sampling: Sampling = USUAL) -> Reply:
        """The stored reply, or the chat's, stored. Raises a ChatError, MissingReplyError where there is no chat."""
        request = Request(tuple(messages), sampling)
        return self._answer(request, request_key(self.identity, request))

    def many(self, requests: Iterable[Request]) -> Iterator[tuple[int, Reply | ChatError]]:
        """Stored replies first, then the others as they arrive; equal requests are asked once. See Chat.many."""
        places: dict[str, list[int]] = {}
        wanted: dict[str, Request] = {}
        for index, request in enumerate(requests):
            key = request_key(self.identity, request)
            places.setdefault(key, []).append(index)
            wanted.setdefault(key, request)
        for key, answer in self._answers(wanted):
            for index in places[key]:
                yield index, answer

    def _answers(self, wanted: Mapping[str, Request]) -> Iterator[tuple[str, Reply | ChatError]]:
        self._store.refresh()
        for key in wanted:
            if (reply := self._stored(key)) is not None:
                yield key, reply
        missing = [key for key in wanted if key not in self._store]
        if not missing:
            return
        concurrency = getattr(self.chat, "concurrency", None)
        if self.chat is not None and self.budget is None and concurrency is None:
            yield from self._batch(self.chat, {key: wanted[key] for key in missing})
            return
        answers = side_by_side(
            lambda request: self(request.messages, request.sampling), (wanted[key] for key in missing), concurrency or 1
        )
        for index, answer in answers:
            yield missing[index], answer

    def _answer(self, request: Request, key: str) -> Reply:
        if (reply := self._stored(key)) is not None:
            return reply
        chat = self.chat
        if chat is None:
            self._store.refresh()
            if (reply := self._stored(key)) is not None:
                return reply
            raise self._missing(request, key)
        with ExitStack() as held:
            if held.enter_context(self._store.claim(key)):
                held.enter_context(self._store.spending(alone=self.budget is not None))
                if self.budget is not None:
                    held.enter_context(self.budget.set_aside(self.budget.largest_cost(request, self.identity)))
                return self._kept(request, key, lambda: chat(request.messages, request.sampling))
        reply = self._stored(key)
        assert reply is not None
        return reply

    def _batch(self, chat: Chat, wanted: Mapping[str, Request]) -> Iterator[tuple[str, Reply | ChatError]]:
        """Hands all requests to a chat that answers them best together. Claims are taken in order, so that none is waited
        for in a circle."""
        with ExitStack() as held:
            asked = [key for key in sorted(wanted) if held.enter_context(self._store.claim(key))]
            started = time.perf_counter()
            for index, answer in chat.many([wanted[key] for key in asked]):
                self._keep(wanted[asked[index]], asked[index], answer, time.perf_counter() - started)
                yield asked[index], answer
        for key in wanted.keys() - set(asked):
            reply = self._stored(key)
            assert reply is not None
            yield key, reply

    def _kept(self, request: Request, key: str, ask: Callable[[], Reply]) -> Reply:
        started = time.perf_counter()
        try:
            reply = ask()
        except ChatError as error:
            self._keep(request, key, error, time.perf_counter() - started)
            raise
        self._keep(request, key, reply, reply.seconds)
        return reply

    def _keep(self, request: Request, key: str, answer: Reply | ChatError, seconds: float) -> None:
        """Stores a reply, or what a failed request was charged; a failure that cost nothing leaves no entry."""
        entry: dict[str, Any] = {
            "key": key,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "purpose": self.purpose,
            "identity": dict(self.identity),
            "estimated": estimated_prompt(request.messages),
            "request": request_to_record(request),
        }
        if isinstance(answer, Reply):
            self._store.append({**entry, "reply": reply_to_record(answer)})
        elif answer.usage.calls or answer.usage.retries:
            error = {"kind": type(answer).__name__, "message": str(answer)}
            usage = answer.usage.__dict__
            self._store.append({**entry, "error": error, "usage": usage, "seconds": seconds})

    def _stored(self, key: str) -> Reply | None:
        entry = self._store.find(key)
        if entry is None:
            return None
        try:
            return reply_from_record(entry["reply"])
        except (KeyError, TypeError) as error:
            raise StoreError(
                f"{self._store.path}: the reply {key[:12]} is of another version ({error!r}); move the file away"
            ) from None

    def _missing(self, request: Request, key: str) -> MissingReplyError:
        last = request.messages[-1].content if request.messages else ""
        excerpt = " ".join(last.split())
        excerpt = excerpt if len(excerpt) <= LONGEST_EXCERPT else f"{excerpt[: LONGEST_EXCERPT - 4]} ..."
        label = f" for {self.purpose}" if self.purpose else ""
        before = f"; it failed before, {failure}" if (failure := self._store.failures.get(key)) else ""
        torn = "; the file ends in a line that was torn by a kill" if self._store.torn() else ""
        return MissingReplyError(
            f"{self._store.path} has no reply to the request {key[:12]}{label}, draw {request.sampling.draw}, to "
            f"{self.identity.get('model', 'the model')}: {excerpt!r}{before}{torn}; run once with the model to fill it, or "
            "with exactly the settings of the run that made it"
        )


def _only_identity(store: Store) -> dict[str, str]:
    identities = list(store.identities.values())
    if len(identities) == 1:
        return identities[0]
    if not identities:
        raise MissingReplyError(
            f"{store.path} holds no replies; run once with a model to fill it, or give another folder"
        )
    known = "; ".join(str(identity) for identity in identities)
    raise MissingReplyError(
        f"{store.path} holds replies of several models: say whose to replay with identity=: {known}"
    )
