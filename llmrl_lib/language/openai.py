"""A chat with any server that speaks the OpenAI chat protocol: OpenAI, vLLM, llama.cpp, Ollama.

The openai client keeps the connection, waits as Retry-After says and retries what the network broke. Here is what the
protocol leaves to the caller: a reply held to its schema where the server has no structured output, log-probabilities as
asked for, and an error by name for every other end. The key comes from the environment and goes nowhere but to the server.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import openai

from llmrl_lib.language.answers import Answer, UnreadableAnswer, read_answer, read_tokens
from llmrl_lib.language.chat import (
    ChatError,
    ContentFilterError,
    Message,
    OffSchemaError,
    RefusedError,
    Reply,
    Request,
    RequestRejectedError,
    Sampling,
    ServerError,
    TruncatedError,
    Usage,
)
from llmrl_lib.language.counting import estimated_prompt
from llmrl_lib.language.fencing import fenced
from llmrl_lib.language.schema import SchemaDefect, check_schema, parse_reply
from llmrl_lib.language.server_errors import Connection, named_error, no_key_error, rejected_setting, server_words
from llmrl_lib.language.side_by_side import side_by_side

USUAL = Sampling()
KEY = "OPENAI_API_KEY"  # environment variable
OPENAI = "https://api.openai.com/v1"
NO_KEY = "none"  # sent to servers that ask for no key
OTHER_LENGTH = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
ASK_FOR_SCHEMA = "Reply with nothing but one JSON value that satisfies this JSON schema:\n{schema}"
ASK_FOR_REPAIR = (
    "Your reply does not satisfy the JSON schema. The defect, as one JSON string that may quote your reply:\n{defect}\n"
    "Reply again with the whole corrected JSON value, and with nothing else."
)
LONGEST_QUOTED_DEFECT = 200  # characters; what is cut off are mostly the values that the schema lists


class OpenAIChat:
    """A model behind a server that speaks the OpenAI chat protocol.

    `base_url` ends where the protocol's paths begin, usually in /v1; without one it is OPENAI_BASE_URL or OpenAI itself.
    `concurrency` limits the requests that `many` has in flight, `timeout` is seconds per attempt, `max_retries` counts
    further attempts. The key is read from OPENAI_API_KEY; servers elsewhere than at OpenAI may need none.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        *,
        concurrency: int = 8,
        timeout: float = 120.0,
        max_retries: int = 5,
    ) -> None:
        if not model:
            raise ValueError("the model has no name; give one that the server knows")
        if concurrency < 1:
            raise ValueError(f"concurrency is {concurrency}; at least one request must be in flight")
        if max_retries < 0 or timeout <= 0:
            raise ValueError(f"max_retries {max_retries} must be at least 0 and timeout {timeout} above 0")
        server, login = _split_login(base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI)
        key = os.environ.get(KEY)
        self.model, self.server = model, server
        self.concurrency, self.timeout, self.max_retries = concurrency, timeout, max_retries
        self._lacks_key = not key and server == OPENAI
        secrets = tuple(secret for secret in (key, *(login or ())) if secret)
        self._connection = Connection(model, server, timeout, max_retries, KEY, secrets)
        self._client = openai.OpenAI(
            api_key=key or NO_KEY,
            base_url=server,
            timeout=timeout,
            max_retries=max_retries,
            http_client=openai.DefaultHttpxClient(auth=login) if login else None,
        )
        self._unstructured: dict[str, str] = {}  # schema, as JSON: what the server said when it rejected it
        self._length = "max_completion_tokens" if server == OPENAI else "max_tokens"
        self._reached = False  # whether the server has ever answered

    def __repr__(self) -> str:
        return f"OpenAIChat(model={self.model!r}, base_url={self.server!r})"

    @property
    def identity(self) -> Mapping[str, str]:
        """The model and the server's address, without login or query."""
        return {"model": self.model, "server": self.server}

    def __call__(self, messages: Sequence[Message], sampling: Sampling = USUAL) -> Reply:
        """Answers one request. Raises a ChatError by the name of what went wrong, with what it was charged for."""
        self.check_key()
        if sampling.schema is not None:
            check_schema(sampling.schema)
        charged: list[Usage] = []
        try:
            return self._reply(list(messages), sampling, charged)
        except ChatError as error:
            error.usage = sum(charged, error.usage)
            raise

    def many(self, requests: Iterable[Request]) -> Iterator[tuple[int, Reply | ChatError]]:
        """Answers with up to `concurrency` requests in flight; see Chat.many."""
        return side_by_side(lambda request: self(request.messages, request.sampling), requests, self.concurrency)

    def check_key(self) -> None:
        """Raises KeyRejectedError where the server needs a key and there is none, as a first request would."""
        if self._lacks_key:
            raise no_key_error(KEY)

    def close(self) -> None:
        """Closes the client's connections."""
        self._client.close()

    def _reply(self, turns: list[Message], sampling: Sampling, charged: list[Usage]) -> Reply:
        """Asks, and once more with the defect shown where the reply is off its schema. Adds what was paid to `charged`."""
        started = time.perf_counter()
        warnings: list[str] = []
        parsed, defect = None, ""
        for last_round in (False, True):
            answer = self._ask(turns, sampling)
            charged.append(answer.usage)
            _check_end(answer, sampling)
            if sampling.schema is None:
                break
            try:
                parsed = parse_reply(answer.text, sampling.schema)
                break
            except SchemaDefect as found:
                if last_round:
                    raise OffSchemaError(
                        f"the reply is off its schema after a repair too ({found}); choose a model or server with "
                        "structured output, or a simpler schema"
                    ) from None
                defect = str(found)
                warnings.append(f"repaired: the first reply was off its schema, {defect}")
                again = Message("user", ASK_FOR_REPAIR.format(defect=fenced([defect], LONGEST_QUOTED_DEFECT)))
                turns = [*turns, Message("assistant", answer.text), again]
        tokens, odd = ((), ()) if sampling.top_logprobs is None else read_tokens(answer, sampling.top_logprobs)
        return Reply(
            text=answer.text,
            parsed=parsed,
            tokens=tokens,
            usage=sum(charged, Usage(0, 0, calls=0)),
            model=answer.model or self.model,
            finish_reason=answer.finish_reason,
            seconds=time.perf_counter() - started,
            warnings=(*warnings, *answer.warnings, *odd),
        )

    def _ask(self, turns: Sequence[Message], sampling: Sampling) -> Answer:
        """Sends the turns; where the server lacks a way of asking, asks in the other way that the protocol has."""
        changed: set[str] = set()
        schema = None if sampling.schema is None else _compact(sampling.schema)
        while True:
            structured, length = schema is not None and schema not in self._unstructured, self._length
            try:
                answer = self._send(self._parameters(turns, sampling, structured, length), estimated_prompt(turns))
            except openai.OpenAIError as error:
                failure = error
            except UnicodeEncodeError:
                raise RequestRejectedError(
                    "a message holds half a surrogate pair; clean the text before asking"
                ) from None
            else:
                if schema is not None and not structured:
                    said = self._unstructured[schema]
                    answer = replace(
                        answer, warnings=(*answer.warnings, f"schema asked for in the prompt, since {said}")
                    )
                return answer
            setting = rejected_setting(failure)
            if setting == "response_format" and schema is not None and structured:
                self._unstructured[schema] = f"the server rejected it: {server_words(failure, self._connection)}"
            elif setting == length and setting not in changed:
                self._length = OTHER_LENGTH[length]
                changed.add(setting)
            else:
                raise named_error(failure, self._connection, self._reached)

    def _send(self, parameters: Mapping[str, Any], prompt: int) -> Answer:
        """One answer. A body that cannot be read is asked for again, since the client does not look into bodies."""
        retries = 0
        for _ in range(self.max_retries + 1):
            raw = self._client.chat.completions.with_raw_response.create(**parameters)
            self._reached = True
            retries += raw.retries_taken
            try:
                answer = read_answer(raw.http_response.text, prompt)
            except UnreadableAnswer as unreadable:
                defect = unreadable
                retries += 1
            else:
                return replace(answer, usage=replace(answer.usage, retries=retries))
        error = ServerError(
            f"{self.server} answered outside the chat protocol {self.max_retries + 1} times: {defect}; see whether "
            "base_url leads to a chat server (it usually ends in /v1) and what stands between"
        )
        error.usage = Usage(0, 0, calls=0, retries=retries)
        raise error

    def _parameters(
        self, turns: Sequence[Message], sampling: Sampling, structured: bool, length: str
    ) -> dict[str, Any]:
        """The body of a request. Penalties of 0 are the protocol's default and left out, as some models take none."""
        turns = list(turns)
        if sampling.schema is not None and not structured:
            asked = ASK_FOR_SCHEMA.format(schema=_compact(sampling.schema))
            turns[0] = Message(turns[0].role, f"{turns[0].content}\n\n{asked}")
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in turns],
            "temperature": sampling.temperature,
            length: sampling.max_tokens,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        for name in ("frequency_penalty", "presence_penalty"):
            if getattr(sampling, name):
                body[name] = getattr(sampling, name)
        if sampling.top_logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": sampling.top_logprobs}
        if sampling.schema is not None and structured:
            schema = {"name": sampling.schema_name, "schema": dict(sampling.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body


def _check_end(answer: Answer, sampling: Sampling) -> None:
    """Raises the named error of an answer that did not come to its end."""
    if answer.refusal:
        raise RefusedError(f"the model declined: {answer.refusal[:300]!r}; reword the prompt or choose another model")
    if answer.finish_reason == "content_filter":
        raise ContentFilterError("the server's filter withheld the reply; reword the prompt or choose another model")
    if answer.finish_reason == "length":
        raise TruncatedError(
            f"the reply was cut at {sampling.max_tokens} tokens; allow more (max_tokens) or ask for a shorter reply"
        )


def _compact(schema: Mapping[str, Any]) -> str:
    return json.dumps(dict(schema), ensure_ascii=False)


def _split_login(url: str) -> tuple[str, tuple[str, str] | None]:
    """The address without login, query and closing slash; and the login, if it had one."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("base_url is no address of a server; it reads like http://127.0.0.1:8000/v1")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if parts.port is None else f"{host}:{parts.port}"
    server = urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
    login = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return server, login
