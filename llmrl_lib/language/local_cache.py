"""Keys and values of what a local model has read, with room for what it will write.

Transformers' own cache copies everything that was read for each new token; here a token is written in place.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 256  # tokens that are made room for at once


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not read by mypy
    """A layer's keys and values, each (row, head, token, number): views of longer tensors, whose ends are free."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keys: torch.Tensor | None
        self.values: torch.Tensor | None
        self._wide: list[torch.Tensor] = []  # keys, values
        self._views: list[torch.Tensor] = []  # what was last shown of them: anything else was put there by a selection

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Adds the keys and values of new tokens, and returns all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        held = self.get_seq_length()
        length = held + key_states.shape[-2]
        ours = bool(self._views) and self.keys is self._views[0]
        if not ours or length > self._wide[0].shape[-2]:
            shape = (*key_states.shape[:2], length + ROOM, key_states.shape[-1])
            wide = [key_states.new_empty(shape), value_states.new_empty((*shape[:3], value_states.shape[-1]))]
            if self.keys is not None and self.values is not None and held:
                wide[0][..., :held, :], wide[1][..., :held, :] = self.keys, self.values
            self._wide = wide
        for whole, new in zip(self._wide, (key_states, value_states), strict=True):
            whole[..., held:length, :] = new
        self._views = [whole[..., :length, :] for whole in self._wide]
        self.keys, self.values = self._views
        return self.keys, self.values


def roomy_cache(config: Any) -> DynamicCache:
    """An empty cache for a model of this configuration; layers that see a window only are transformers' own."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
