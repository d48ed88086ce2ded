"""The part that learns: the top layers for many seeds at once, a policy head and a value head on the last token.

Only the last token's state is needed. In the last layer its query and its MLP are computed for that token alone; keys are
computed for all tokens; and since values enter as a weighted sum, the sum is taken first and projected after it, which is the
same number. Shapes: S seeds, N decisions, T tokens, H heads, K key heads, e head width, d model width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from llmrl_lib.language.chat import UnknownModelError
from llmrl_lib.settings import FlagTraderSettings
from llmrl_lib.trading.flag_trader.activations import Activations, rms_normed
from llmrl_lib.trading.flag_trader.backbone import Backbone, stacked

MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Weights = Mapping[str, Tensor]


class Outputs(NamedTuple):
    """What the heads say about N decisions of S seeds."""

    logits: Tensor  # float32 (S, N, 3): sell, hold, buy; unmasked
    values: Tensor  # float32 (S, N)


class Policy(Protocol):
    """From states, named by text and account word, to what the heads say."""

    def trunk(self, weights: Weights, texts: Tensor, words: Tensor) -> Tensor:
        """States of the last token after the last norm, float32 (S, N, d); texts and words are int64 (S, N)."""
        ...


def heads(weights: Weights, states: Tensor) -> Outputs:
    """Both heads on (S, N, d)."""
    logits = torch.baddbmm(weights["policy.bias"][:, None], states, weights["policy.weight"].mT)
    values = torch.baddbmm(weights["value.bias"][:, None], states, weights["value.weight"].mT)
    return Outputs(logits, values[..., 0])


def initial_weights(
    top: Mapping[str, Tensor], own_heads: list[dict[str, Tensor]], settings: FlagTraderSettings, seeds: list[int]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What learns and what stays, by name with a leading axis of seeds: (learning, frozen).

    Without LoRA all of `top` learns; with it, the matrices stay and two thin ones beside each learn, the second beginning at
    zero, so that training begins with the model's own numbers (Hu et al. 2021).
    """
    copies = {name: value.detach().float().expand(len(seeds), *value.shape) for name, value in top.items()}
    learning = {name: value.clone() for name, value in stacked(own_heads).items()}
    if not settings.lora_rank:
        return learning | {name: value.clone() for name, value in copies.items()}, {}
    sources = [torch.Generator().manual_seed(_own_seed(seed)) for seed in seeds]  # each goes on from matrix to matrix
    for name, value in top.items():
        if name.split(".")[-2] in MATRICES and name.endswith("weight"):
            rows, columns = value.shape
            drawn = [torch.randn(settings.lora_rank, columns, generator=source) for source in sources]
            thin = [matrix / math.sqrt(columns) for matrix in drawn]
            learning[f"{name}.lora_a"] = torch.stack(thin).to(value.device)
            learning[f"{name}.lora_b"] = torch.zeros(len(seeds), rows, settings.lora_rank, device=value.device)
    return learning, copies


def _own_seed(seed: int) -> int:
    """The seed of low-rank matrices' generator, apart from those of the heads and of the walks."""
    return int(np.random.SeedSequence([seed, 32]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def whole_weights(learning: Weights, frozen: Weights, settings: FlagTraderSettings) -> dict[str, Tensor]:
    """The weights that the layers compute with: low-rank additions are added to their matrices."""
    found = {name: value for name, value in learning.items() if ".lora_" not in name}
    for name, value in frozen.items():
        if f"{name}.lora_a" in learning:
            scale = settings.lora_alpha / settings.lora_rank
            value = value + scale * torch.bmm(learning[f"{name}.lora_b"], learning[f"{name}.lora_a"])
        found[name] = value
    return found


class CachedPolicy:
    """The trainable layers on a table of activations."""

    def __init__(self, kept: Activations, backbone: Backbone) -> None:
        self._kept, self.shape = kept, backbone.shape
        longest = kept.head.shape[0] + kept.body.shape[1] + kept.tail.shape[2]
        self._rotations = backbone.rotations(longest)

    def trunk(self, weights: Weights, texts: Tensor, words: Tensor) -> Tensor:
        """See Policy."""
        kept, shape = self._kept, self.shape
        body, tail = kept.body[texts], kept.tail[texts, words]  # (S, N, B, d), (S, N, A, d)
        shared = kept.head.shape[0]
        size, ends = kept.body_length[texts][..., None], kept.tail_length[texts, words][..., None]
        steps = [torch.arange(part.shape[2], device=body.device) for part in (body, tail)]
        place = torch.cat([(shared + steps[0]).expand(*size.shape[:2], -1), shared + size + steps[1]], -1)  # (S, N, T)
        there = torch.cat([steps[0] < size, steps[1] < ends], -1)
        end = (shared + size + ends - 1)[..., 0]
        states = torch.cat([body, tail], 2)
        first = shape.layers - shape.trainable
        if shape.trainable == 1:
            last = self._last_layer(
                weights, f"layers.{first}.", states, there, place, kept.last[texts, words], end, kept.head
            )
        else:
            states = torch.cat([kept.head.expand(*texts.shape, -1, -1), states], 2).float()
            before = torch.arange(shared, device=body.device).expand(*texts.shape, -1)
            place = torch.cat([before, place], -1)
            there = torch.cat([torch.ones_like(before, dtype=torch.bool), there], -1)
            for number in range(first, shape.layers - 1):
                states = self._layer(weights, f"layers.{number}.", states, there, place)
            index = (shared + body.shape[2] + ends - 1)[..., None].expand(-1, -1, -1, shape.width)
            residual = states.gather(2, index)[:, :, 0]
            last = self._last_layer(
                weights,
                f"layers.{shape.layers - 1}.",
                rms_normed(states, shape.epsilon),
                there,
                place,
                residual,
                end,
                None,
            )
        return rms_normed(last, shape.epsilon) * weights["norm.weight"][:, None]

    def _last_layer(
        self,
        w: Weights,
        at: str,
        x: Tensor,
        there: Tensor,
        place: Tensor,
        last: Tensor,
        end: Tensor,
        head: Tensor | None,
    ) -> Tensor:
        """The layer's output at the last token (S, N, d); `x` (S, N, T, d) are normed states without the norm's gain."""
        shape, (cosine, sine) = self.shape, self._rotations
        seeds, count, length, width = x.shape
        gain = w[f"{at}input_layernorm.weight"]  # (S, d)
        query = _project(w, f"{at}self_attn.q_proj", rms_normed(last, shape.epsilon) * gain[:, None])
        query = query.view(seeds, count, shape.heads, shape.head_width)
        query = _rotated(query, cosine[end][:, :, None], sine[end][:, :, None])
        grouped = query.view(seeds, count, shape.key_heads, -1, shape.head_width)  # (S, N, K, H / K, e)
        key_matrix = (w[f"{at}self_attn.k_proj.weight"] * gain[:, None]).mT  # (S, d, K e)
        bias = w.get(f"{at}self_attn.k_proj.bias")

        def keys_of(states: Tensor, tokens: int) -> Tensor:
            found = torch.bmm(states, key_matrix.to(states.dtype)).float()
            found = found if bias is None else found + bias[:, None]
            return found.view(seeds, tokens, -1, shape.key_heads, shape.head_width)

        keys = keys_of(x.reshape(seeds, count * length, width), count)  # (S, N, T, K, e)
        keys = _rotated(keys, cosine[place][:, :, :, None], sine[place][:, :, :, None])
        scores = torch.einsum("snkge,sntke->snkgt", grouped, keys) / math.sqrt(shape.head_width)
        scores = scores.masked_fill(~there[:, :, None, None], -torch.inf)
        if head is not None and len(head):
            beginning = keys_of(head.expand(seeds, -1, -1), 1)[:, 0]  # (S, P, K, e)
            shared = len(head)
            beginning = _rotated(beginning, cosine[:shared, None], sine[:shared, None])
            early = torch.einsum("snkge,spke->snkgp", grouped, beginning) / math.sqrt(shape.head_width)
            weight = torch.cat([early, scores], -1).softmax(-1)
            mixed = torch.einsum("snkgp,pd->snkgd", weight[..., :shared], head.float())
            mixed = mixed + torch.einsum("snkgt,sntd->snkgd", weight[..., shared:], x.float())
        else:
            mixed = torch.einsum("snkgt,sntd->snkgd", scores.softmax(-1), x.float())
        values = (w[f"{at}self_attn.v_proj.weight"] * gain[:, None]).view(
            seeds, shape.key_heads, shape.head_width, width
        )
        found = torch.einsum("snkgd,sked->snkge", mixed, values)
        if (value_bias := w.get(f"{at}self_attn.v_proj.bias")) is not None:
            found = found + value_bias.view(seeds, 1, shape.key_heads, 1, shape.head_width)
        last = last + _project(w, f"{at}self_attn.o_proj", found.reshape(seeds, count, -1))
        return last + _mlp(w, at, last, shape.epsilon)

    def _layer(self, w: Weights, at: str, states: Tensor, there: Tensor, place: Tensor) -> Tensor:
        """A whole layer on all tokens: (S, N, T, d) to the same."""
        shape, (cosine, sine) = self.shape, self._rotations
        seeds, count, length, width = states.shape
        flat = states.reshape(seeds, count * length, width)
        normed = rms_normed(flat, shape.epsilon) * w[f"{at}input_layernorm.weight"][:, None]
        turns = cosine[place][:, :, :, None], sine[place][:, :, :, None]
        query, key, value = (
            _project(w, f"{at}self_attn.{name}_proj", normed).view(seeds, count, length, -1, shape.head_width)
            for name in "qkv"
        )
        query, key = _rotated(query, *turns), _rotated(key, *turns)
        groups = shape.heads // shape.key_heads
        mask = there[:, :, None, :] & (place[:, :, None, :] <= place[:, :, :, None])  # (S, N, query, key)
        mixed = functional.scaled_dot_product_attention(
            query.flatten(0, 1).transpose(1, 2),
            key.flatten(0, 1).transpose(1, 2).repeat_interleave(groups, 1),
            value.flatten(0, 1).transpose(1, 2).repeat_interleave(groups, 1),
            attn_mask=mask.flatten(0, 1)[:, None],
        )
        mixed = mixed.transpose(1, 2).reshape(seeds, count * length, -1)
        flat = flat + _project(w, f"{at}self_attn.o_proj", mixed)
        return (flat + _mlp(w, at, flat, shape.epsilon)).view(seeds, count, length, width)


def _mlp(w: Weights, at: str, states: Tensor, epsilon: float) -> Tensor:
    normed = rms_normed(states, epsilon) * w[f"{at}post_attention_layernorm.weight"][:, None]
    gate = functional.silu(_project(w, f"{at}mlp.gate_proj", normed))
    return _project(w, f"{at}mlp.down_proj", gate * _project(w, f"{at}mlp.up_proj", normed))


def _project(w: Weights, name: str, states: Tensor) -> Tensor:
    """A linear layer of each seed: (S, n, in) to (S, n, out)."""
    matrix, bias = w[f"{name}.weight"].mT, w.get(f"{name}.bias")
    return torch.bmm(states, matrix) if bias is None else torch.baddbmm(bias[:, None], states, matrix)


def _rotated(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions as Llama has them: halves are turned against each other."""
    first, second = states.chunk(2, -1)
    return states * cosine + torch.cat([-second, first], -1) * sine


class PlainPolicy:
    """The same numbers the slow way: the whole model reads every text anew, seed by seed. For tests and for measuring."""

    def __init__(self, backbone: Backbone, tokens: list[list[list[int]]]) -> None:
        """`tokens` of whole questions by text and account word."""
        self._base, self._tokens, self._device = backbone.base, tokens, backbone.device
        self.shape = len(tokens), len(tokens[0])  # texts, account words

    def trunk(self, weights: Weights, texts: Tensor, words: Tensor) -> Tensor:
        """See Policy."""
        found = []
        names = [name for name in weights if name.startswith(("layers.", "norm."))]
        for seed, (own_texts, own_words) in enumerate(zip(texts.tolist(), words.tolist(), strict=True)):
            rows = [self._tokens[text][word] for text, word in zip(own_texts, own_words, strict=True)]
            width = max(map(len, rows))
            ids = torch.zeros(len(rows), width, dtype=torch.long)
            mask = torch.zeros(len(rows), width, dtype=torch.long)
            for place, row in enumerate(rows):
                ids[place, : len(row)] = torch.tensor(row)
                mask[place, : len(row)] = 1
            own = {name: weights[name][seed] for name in names}
            given = {"input_ids": ids.to(self._device), "attention_mask": mask.to(self._device), "use_cache": False}
            states = torch.func.functional_call(self._base, own, (), given).last_hidden_state
            ends = torch.tensor([len(row) - 1 for row in rows], device=self._device)
            found.append(states[torch.arange(len(rows), device=self._device), ends])
        return torch.stack(found)


def check(policy: CachedPolicy, plain: PlainPolicy, backbone: Backbone, tolerance: float = 1e-4) -> None:
    """Raises UnknownModelError where the layers computed here are not those of the model, on every text that `plain` has.

    `policy` must hold the same texts in the same order. The largest difference of a state, as a fraction of the largest
    state, must be below `tolerance`.
    """
    weights = {name: value.detach().float()[None] for name, value in backbone.top().items()}
    grid = torch.cartesian_prod(*(torch.arange(count, device=backbone.device) for count in plain.shape))
    with torch.no_grad():
        ours, theirs = (one.trunk(weights, grid[None, :, 0], grid[None, :, 1]) for one in (policy, plain))
    gap = float((ours - theirs).abs().max() / theirs.abs().max())
    if not gap < tolerance:
        raise UnknownModelError(
            f"this model's layers are not built like Llama's: computed so, its states differ by {gap:.2g} of the largest "
            f"(rounding: below {tolerance:.2g}); take a Llama, SmolLM, Mistral or Qwen2 checkpoint"
        )
