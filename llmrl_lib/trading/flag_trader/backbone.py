"""A checkpoint taken apart: frozen lower layers, the top layers that may learn, and how it reads a state.

Decoder layers must be Llama's (Llama, SmolLM, Mistral, Qwen2 and their kin): RMS norms before attention and before a gated
MLP, rotary positions. `check` compares what this package computes with the model's own output, so that one that is built
otherwise is refused instead of misread.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from llmrl_lib.language.chat import Message, UnknownModelError
from llmrl_lib.language.local import LocalChat
from llmrl_lib.language.nano import WEIGHTS
from llmrl_lib.settings import FlagTraderSettings
from llmrl_lib.trading.orders import ACTIONS

_NEEDED = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm",
)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """The sizes that the trainable layers are computed with."""

    width: int  # d
    heads: int
    key_heads: int
    head_width: int
    epsilon: float  # of RMS norms
    layers: int  # of the whole model
    trainable: int  # of these, at the top


class Backbone:
    """A causal language model that reads states. Its own parameters are never written to."""

    def __init__(self, settings: FlagTraderSettings, device: torch.device) -> None:
        """Loads `settings.backbone`. Raises UnknownModelError for what cannot be loaded, or has other layers or too few."""
        place: str | Path = WEIGHTS if settings.backbone == "nano" else settings.backbone
        if settings.backbone == "nano" and not (WEIGHTS / "model.safetensors").is_file():
            raise UnknownModelError("this installation has no weights of Nano; make them with llmrl nano train")
        self._chat = LocalChat(place, device=str(device), dtype="float32")
        self.model = (
            _drawn_anew(self._chat.model, settings.weights_seed) if settings.random_weights else self._chat.model
        )
        self.model.requires_grad_(False)
        self.device = device
        self._base: Any = getattr(self.model, "model", None)
        config = self.model.config.get_text_config()
        layers = getattr(self._base, "layers", None)
        if (
            layers is None
            or not all(_has(layers[-1], name) for name in _NEEDED)
            or _has(layers[-1], "self_attn.q_norm")
        ):
            raise UnknownModelError(
                f"{settings.backbone!r} is a {type(self.model).__name__}, whose layers are not built like Llama's; "
                "take a Llama, SmolLM, Mistral or Qwen2 checkpoint"
            )
        if settings.trainable_layers > len(layers):
            raise UnknownModelError(
                f"trainable_layers is {settings.trainable_layers} and {settings.backbone!r} has {len(layers)} layers"
            )
        head_width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.shape = Shape(
            config.hidden_size, config.num_attention_heads, config.num_key_value_heads, head_width,
            config.rms_norm_eps, len(layers), settings.trainable_layers,
        )  # fmt: skip

    @cached_property
    def identity(self) -> str:
        """A hash of every weight and of the tokenizer."""
        digest = hashlib.sha256(self._chat.identity["weights"].encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def base(self) -> Any:
        """The model without its head: token ids to the normed states of the last layer."""
        return self._base

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of a question, up to where the reply begins."""
        return self._chat.prompt_tokens(messages)

    def lower(self) -> Any:
        """The frozen layers alone, as a model: token ids to the states that the first trainable layer reads."""
        part = copy.copy(self._base)
        part._modules = dict(self._base._modules)
        part.layers = self._base.layers[: self.shape.layers - self.shape.trainable]
        part.norm = nn.Identity()
        return part

    def top(self) -> dict[str, Tensor]:
        """Weights of the trainable layers and the last norm, by the model's own names; they share memory with it."""
        first = self.shape.layers - self.shape.trainable
        wanted = (*(f"layers.{number}." for number in range(first, self.shape.layers)), "norm.")
        return {name: value for name, value in self._base.state_dict().items() if name.startswith(wanted)}

    def word_rows(self) -> Tensor:
        """The rows of the model's output matrix that score the first token of sell, hold and buy: (3, d).

        Raises UnknownModelError where two words begin with the same token.
        """
        first = [self._chat_tokens(word)[0] for word in ACTIONS]
        if len(set(first)) < len(first):
            raise UnknownModelError(
                f"two of {', '.join(ACTIONS)} begin with the same token of this model; take another"
            )
        return self.model.get_output_embeddings().weight.detach()[first]

    def rotations(self, length: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the rotary positions 0 .. length - 1: float32 (length, head_width)."""
        place = torch.arange(length, device=self.device)[None]
        like = torch.zeros(1, 1, self.shape.width, device=self.device)
        cosine, sine = self._base.rotary_emb(like, place)
        return cosine[0].float(), sine[0].float()

    def _chat_tokens(self, word: str) -> list[int]:
        return list(self._chat.tokenizer(word, add_special_tokens=False)["input_ids"])


def initial_heads(width: int, seed: int, words: Tensor | None) -> dict[str, Tensor]:
    """Policy head (3, d) and value head (1, d), each with a bias: float32, on the CPU.

    New heads are orthogonal, the policy's with gain 0.01, as PPO is usually begun: nearly uniform. With `words` the
    policy's are the model's own rows of the three words, so that training begins with what it would say.
    """
    source = torch.Generator().manual_seed(seed)
    policy = torch.empty(3, width)
    nn.init.orthogonal_(policy, 0.01, generator=source)
    value = torch.empty(1, width)
    nn.init.orthogonal_(value, 1.0, generator=source)
    if words is not None:
        policy = words.detach().float().cpu().clone()
    return {
        "policy.weight": policy, "policy.bias": torch.zeros(3),
        "value.weight": value / width**0.5, "value.bias": torch.zeros(1),
    }  # fmt: skip


def stacked(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of several seeds by name, each with a leading axis of seeds."""
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


def _drawn_anew(model: Any, seed: int) -> Any:
    """A model of the same shape whose weights are drawn as training from nothing would draw them."""
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = AutoModelForCausalLM.from_config(copy.deepcopy(model.config), dtype=torch.float32)
    return fresh.to(model.device).eval()


def _has(module: Any, name: str) -> bool:
    for part in name.split("."):
        module = getattr(module, part, None)
        if module is None:
            return False
    return True
