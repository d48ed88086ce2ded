"""What the frozen layers made of every text, computed once: the table that training reads instead of tokens.

A text has three parts: a beginning that all texts share (the task), the market of its day, and the account in words. In
a causal model the states of a part do not depend on what follows, so the first is kept once, the second once a day, and only
the third once for each day and account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llmrl_lib.settings import FlagTraderSettings
from llmrl_lib.trading.flag_trader.backbone import Backbone
from llmrl_lib.trading.flag_trader.text import account_words, messages

TEXTS_AT_ONCE = 32


class Tokens(NamedTuple):
    """All texts as token ids."""

    head: list[int]  # what all begin with
    bodies: list[list[int]]  # (text): the market
    tails: list[list[list[int]]]  # (text, word): the account, to the end

    def whole(self, text: int, word: int) -> list[int]:
        """One question from beginning to end."""
        return [*self.head, *self.bodies[text], *self.tails[text][word]]


class Activations(NamedTuple):
    """States before the first trainable layer, padded on the right; M texts, W account words, d the model's width.

    With one trainable layer they are divided by their root mean square, as that layer's norm begins: only its gain is left.
    """

    head: Tensor  # (P, d)
    body: Tensor  # (M, B, d)
    tail: Tensor  # (M, W, A, d)
    last: Tensor  # (M, W, d), the last token's state as it is, for the residual
    body_length: Tensor  # int64 (M,)
    tail_length: Tensor  # int64 (M, W)

    @property
    def tokens(self) -> int:
        """Tokens that the frozen layers read to make it."""
        return int(self.head.shape[0] + self.body_length.sum() + self.tail_length.sum())


def tokenised(backbone: Backbone, texts: Sequence[str], settings: FlagTraderSettings) -> Tokens:
    """The questions for every market text and account word, taken apart at where they begin to differ.

    Raises RequestRejectedError for a text that is too long for the model, or that holds one of its control tokens.
    """
    words = account_words(settings)
    whole = [[backbone.tokens(messages(text, word, settings)) for word in words] for text in texts]
    shared = [_shared(one) for one in whole]
    head = min(shared) if len(whole) == 1 else min(*shared, _shared([one[0] for one in whole]))
    return Tokens(
        whole[0][0][:head],
        [one[0][head:cut] for one, cut in zip(whole, shared, strict=True)],
        [[tokens[cut:] for tokens in one] for one, cut in zip(whole, shared, strict=True)],
    )


@torch.no_grad()
def activations(backbone: Backbone, tokens: Tokens, dtype: torch.dtype = torch.float32) -> Activations:
    """Reads every part once with the frozen layers."""
    device, shape = backbone.device, backbone.shape
    lower = backbone.lower()
    bodies, body_length = _padded(tokens.bodies, device)
    flat = [tail for tails in tokens.tails for tail in tails]
    tails, tail_length = _padded(flat, device)
    words, count = len(tokens.tails[0]), len(tokens.bodies)
    reader = _Reader(lower, tokens.head, device, has_layers=shape.trainable < shape.layers)
    head = reader.head
    body = torch.empty(*bodies.shape, shape.width, dtype=dtype, device=device)
    tail = torch.empty(*tails.shape, shape.width, dtype=dtype, device=device)
    last = torch.empty(len(flat), shape.width, device=device)
    for first in range(0, count, TEXTS_AT_ONCE):
        rows = slice(first, min(first + TEXTS_AT_ONCE, count))
        ends = slice(rows.start * words, rows.stop * words)
        states, after = reader.read(bodies[rows], body_length[rows], tails[ends], words)
        places = torch.arange(ends.stop - ends.start, device=device)
        last[ends] = after[places, tail_length[ends] - 1]
        body[rows], tail[ends] = (
            _kept(states, shape.trainable, shape.epsilon),
            _kept(after, shape.trainable, shape.epsilon),
        )
    return Activations(
        _kept(head, shape.trainable, shape.epsilon).to(dtype), body, tail.view(count, words, *tail.shape[1:]),
        last.view(count, words, -1), body_length, tail_length.view(count, words),
    )  # fmt: skip


class _Reader:
    """The frozen layers with the shared beginning read already."""

    def __init__(self, lower: Any, head: list[int], device: torch.device, has_layers: bool) -> None:
        self._lower, self._device, self._has_layers = lower, device, has_layers
        self._length = len(head)
        self._ids = torch.tensor([head], dtype=torch.long, device=device)
        self.head = self._run(self._ids, self._cache())[0]

    def read(self, bodies: Tensor, lengths: Tensor, tails: Tensor, words: int) -> tuple[Tensor, Tensor]:
        """States of the bodies (text, B, d) and of their tails (text x word, A, d)."""
        cache, device = self._cache(), self._device
        if self._has_layers and self._length:
            self._run(self._ids, cache)
            cache.batch_repeat_interleave(len(bodies))
        place = torch.arange(bodies.shape[1], device=device)
        mask = (place < lengths[:, None]).long()
        before = torch.ones(len(bodies), self._length, dtype=torch.long, device=device)
        where = (self._length + place).expand(len(bodies), -1)
        states = self._run(bodies, cache, torch.cat([before, mask], 1), where)
        if self._has_layers:
            cache.batch_repeat_interleave(words)
        seen = torch.cat([before, mask], 1).repeat_interleave(words, 0)
        seen = torch.cat([seen, torch.ones_like(tails)], 1)
        start = (self._length + lengths).repeat_interleave(words)
        where = start[:, None] + torch.arange(tails.shape[1], device=device)
        return states, self._run(tails, cache, seen, where)

    def _cache(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache(config=self._lower.config) if self._has_layers else None

    def _run(self, ids: Tensor, cache: Any, mask: Tensor | None = None, where: Tensor | None = None) -> Tensor:
        if not self._has_layers:
            return self._lower.embed_tokens(ids)
        return self._lower(
            input_ids=ids, attention_mask=mask, position_ids=where, past_key_values=cache, use_cache=True
        ).last_hidden_state


def rms_normed(states: Tensor, epsilon: float) -> Tensor:
    """States divided by their root mean square, in float32: an RMS norm without its gain."""
    wide = states.float()
    return wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)


def _kept(states: Tensor, trainable: int, epsilon: float) -> Tensor:
    return rms_normed(states, epsilon) if trainable == 1 else states


def _padded(rows: Sequence[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids with zeros on the right, and lengths."""
    width = max(1, *(len(row) for row in rows))
    table = torch.zeros(len(rows), width, dtype=torch.long)
    for place, row in enumerate(rows):
        table[place, : len(row)] = torch.tensor(row, dtype=torch.long)
    return table.to(device), torch.tensor([len(row) for row in rows], device=device)


def _shared(rows: Sequence[list[int]]) -> int:
    """How many tokens all rows begin with, leaving each at least one of its own."""
    low, high = min(rows), max(rows)
    most = min(map(len, rows)) - 1
    return next((place for place in range(most) if low[place] != high[place]), most)
