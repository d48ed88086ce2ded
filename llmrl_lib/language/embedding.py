"""Texts as vectors by a model behind any server that speaks the OpenAI protocol (its /embeddings)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
import openai

from llmrl_lib.language.chat import ServerError
from llmrl_lib.language.openai import KEY, NO_KEY, OPENAI
from llmrl_lib.language.server_errors import Connection, named_error, no_key_error

AT_ONCE = 256  # texts of a request


class OpenAIEmbedding:
    """A callable from texts to vectors, (text, dimension). Address and key as for `OpenAIChat`."""

    def __init__(
        self, model: str, base_url: str | None = None, *, timeout: float = 120.0, max_retries: int = 5
    ) -> None:
        if not model:
            raise ValueError("the embedding model has no name; give one that the server knows")
        self.model = model
        self.server = (base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI).rstrip("/")
        key = os.environ.get(KEY)
        self._lacks_key = not key and self.server == OPENAI
        self._connection = Connection(model, self.server, timeout, max_retries, KEY, (key,) if key else ())
        self._client = openai.OpenAI(
            api_key=key or NO_KEY, base_url=self.server, timeout=timeout, max_retries=max_retries
        )

    @property
    def identity(self) -> Mapping[str, str]:
        """The model and the server's address."""
        return {"model": self.model, "server": self.server}

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Raises ChatError by the name of what went wrong."""
        if self._lacks_key:
            raise no_key_error(KEY)
        rows: list[list[float]] = []
        for first in range(0, len(texts), AT_ONCE):
            part = list(texts[first : first + AT_ONCE])
            try:
                answer = self._client.embeddings.create(model=self.model, input=part, encoding_format="float")
            except openai.OpenAIError as failure:
                raise named_error(failure, self._connection, first > 0) from None
            found = sorted(answer.data, key=lambda one: one.index)
            if [one.index for one in found] != list(range(len(part))):
                raise ServerError(
                    f"{self.server} sent {len(found)} embeddings for {len(part)} texts; use another model or server"
                )
            rows += [one.embedding for one in found]
        try:
            return np.array(rows, "float64")
        except ValueError:
            raise ServerError(f"{self.server} sent embeddings of different lengths; use another model") from None
