"""Nano: a small language model trained by this project on invented markets alone, and shipped with it.

It knows no company, no year and no real price, so it cannot remember how anything turned out: a control for larger models,
and a model that runs without a key or a network. ``book/nano.md`` is its card.
"""

from __future__ import annotations

from pathlib import Path

from llmrl_lib.language.chat import UnknownModelError
from llmrl_lib.language.local import LocalChat

WEIGHTS = Path(__file__).parent / "weights"


class Nano(LocalChat):
    """The shipped model, as a chat. Raises UnknownModelError in an installation without its weights."""

    def __init__(self, *, device: str = "cpu", batch: int = 32) -> None:
        if not (WEIGHTS / "model.safetensors").is_file():
            raise UnknownModelError("this installation has no weights of Nano; make them with llmrl nano train")
        super().__init__(WEIGHTS, device=device, dtype="float32", batch=batch)
        self.model_name = "nano"

    def __repr__(self) -> str:
        return f"Nano(device={self.device.type!r})"
