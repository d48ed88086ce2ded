"""Trains a small decoder on lessons: the loss is on the reply alone, the whole run a function of lessons, settings and seed.

Lessons are used in the order in which they come, once each: a curriculum is an order of lessons. They are taken by blocks;
within a block they are shuffled and put with others of about their length, so that little is padded. Where a lesson gives the
chance of a rise, the token that says LONG or SHORT is trained on that chance instead of on the side that was drawn: the same
loss in expectation, with less noise.

Everything that a step needs is in the checkpoint or follows from the step's number, so that a stopped run goes on to the
same weights.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from llmrl_lib.language.nano.lessons import Lesson
from llmrl_lib.language.nano.tokens import END
from llmrl_lib.language.uncertainty import SIDES, value_span


@dataclass(frozen=True)
class NanoSettings:
    """The decoder and how it is trained."""

    vocabulary: int = 5000
    width: int = 192
    layers: int = 4
    heads: int = 6
    inner: int = 512  # of the feed-forward part
    context: int = 4096  # tokens that the decoder can read
    tokens_per_step: int = 2560  # padding included
    block: int = 2048  # lessons that are shuffled among each other
    rate: float = 0.02  # highest learning rate of matrices, by Muon
    other_rate: float = 4e-3  # of embeddings and scales, by AdamW
    warm_up: int = 50  # steps
    decay: float = 0.05  # of matrices
    decision_weight: float = 8.0  # of the token that says LONG or SHORT, against 1 for others
    compute: str = "bfloat16"  # number format of the products; weights and sums are float32
    seed: int = 0


class Encoded(NamedTuple):
    """Lessons as tokens, one after the other."""

    tokens: np.ndarray  # (tokens,) int32, prompts and replies
    starts: np.ndarray  # (lessons + 1,) int64
    replies: np.ndarray  # (lessons,) tokens of the prompt
    decisions: np.ndarray  # (lessons,) place of the deciding token within the lesson; -1 where there is none
    rises: np.ndarray  # (lessons,) chance of LONG
    sides: np.ndarray  # (2,) the tokens LONG and SHORT


class Progress(NamedTuple):
    """How far a training has come."""

    step: int
    steps: int
    loss: float  # nats per token of the reply, of the last steps
    decision_loss: float  # of the token that decides
    seconds: float


_Optimisers = tuple[torch.optim.Optimizer, ...]


def architecture(settings: NanoSettings, vocabulary: int, ends: int, pad: int) -> Any:
    """A randomly initialised decoder."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=settings.width,
        intermediate_size=settings.inner,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.context,
        tie_word_embeddings=True,
        eos_token_id=ends,
        pad_token_id=pad,
        bos_token_id=None,
        initializer_range=0.02,
    )
    with torch.random.fork_rng(devices=[]):  # transformers draws from the global generator; it is left as it was
        torch.manual_seed(settings.seed)
        return LlamaForCausalLM(config)


def encode(lessons: Sequence[Lesson], tokenizer: Any) -> Encoded:
    """The lessons as tokens of a transformers tokenizer. Raises ValueError for a reply that says no side where it should."""
    tokens: list[int] = []
    starts, replies, decisions, rises = [0], [], [], []
    sides = [tokenizer.convert_tokens_to_ids(side) for side in SIDES]
    for lesson in lessons:
        turns = [{"role": message.role, "content": message.content} for message in lesson.messages]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        asked = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        said = tokenizer(lesson.reply + END, add_special_tokens=False, return_offsets_mapping=True)
        place = -1
        if lesson.rise is not None:
            first, _ = value_span(lesson.reply, "direction")
            place = len(asked) + next(at for at, (start, _) in enumerate(said["offset_mapping"]) if start == first)
        tokens += asked + said["input_ids"]
        starts.append(len(tokens))
        replies.append(len(asked))
        decisions.append(place)
        rises.append(math.nan if lesson.rise is None else lesson.rise)
    return Encoded(
        np.array(tokens, np.int32),
        np.array(starts, np.int64),
        np.array(replies, np.int64),
        np.array(decisions, np.int64),
        np.array(rises, np.float64),
        np.array(sides, np.int64),
    )


def batches(encoded: Encoded, settings: NanoSettings) -> list[np.ndarray]:
    """Which lessons each step takes."""
    lengths = np.diff(encoded.starts)
    found: list[np.ndarray] = []
    for number, first in enumerate(range(0, len(lengths), settings.block)):
        source = np.random.default_rng([settings.seed, number])
        block = first + source.permutation(min(settings.block, len(lengths) - first))
        block = block[np.argsort(lengths[block], kind="stable")]
        steps: list[np.ndarray] = []
        taken: list[int] = []
        for lesson in block.tolist():
            if taken and (len(taken) + 1) * lengths[lesson] > settings.tokens_per_step:
                steps.append(np.array(taken))
                taken = []
            taken.append(lesson)
        steps.append(np.array(taken))
        found += [steps[place] for place in source.permutation(len(steps))]
    return found


def train(
    model: Any,
    encoded: Encoded,
    settings: NanoSettings,
    folder: Path,
    report: Callable[[Progress], None] | None = None,
    every: int = 50,
    stop_after: int | None = None,
) -> Progress:
    """Train `model` in place, from the checkpoint in `folder` if there is one; a checkpoint every so many steps.

    `stop_after` ends the call early, after that many steps in all, with a checkpoint. Raises ValueError for a checkpoint of
    other settings or lessons.
    """
    plan = batches(encoded, settings)
    optimisers = _optimisers(model, settings)
    key = json.dumps(
        {**asdict(settings), "lessons": len(encoded.replies), "tokens": len(encoded.tokens)}, sort_keys=True
    )
    step = _resume(folder / "checkpoint.safetensors", model, optimisers, key)
    last = min(len(plan), stop_after or len(plan))
    device = next(model.parameters()).device
    started, losses, deciding = time.perf_counter(), [], []
    progress = Progress(step, len(plan), math.nan, math.nan, 0.0)
    model.train()
    while step < last:
        share = _share_of_rate(step, len(plan), settings.warm_up)
        for optimiser, rate in zip(optimisers, (settings.rate, settings.other_rate), strict=True):
            optimiser.param_groups[0]["lr"] = rate * share
        with torch.autocast(device.type, getattr(torch, settings.compute), enabled=settings.compute != "float32"):
            loss, decided = _loss(model, encoded, plan[step], settings, device)
        model.zero_grad(set_to_none=True)
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        losses.append(loss.mean)
        deciding += decided
        step += 1
        if step % every == 0 or step == last:
            mean = float(torch.stack(losses).mean())
            decision = float(torch.stack(deciding).mean()) if deciding else math.nan
            progress = Progress(step, len(plan), mean, decision, time.perf_counter() - started)
            _keep(folder / "checkpoint.safetensors", model, optimisers, step, key)
            losses, deciding = [], []
            if report:
                report(progress)
    model.eval()
    return progress


class _Loss(NamedTuple):
    total: torch.Tensor  # weighted, to be made small
    mean: torch.Tensor  # nats per token of the replies


def _loss(
    model: Any, encoded: Encoded, lessons: np.ndarray, settings: NanoSettings, device: torch.device
) -> tuple[_Loss, list[torch.Tensor]]:
    """Causal attention never looks ahead, so what pads a lesson on the right needs no mask."""
    lengths = np.diff(encoded.starts)[lessons]
    names = np.zeros((len(lessons), int(lengths.max())), np.int64)  # (lesson, token)
    rows, columns, deciding, rises = [], [], [], []
    count = 0
    for place, lesson in enumerate(lessons.tolist()):
        names[place, : lengths[place]] = encoded.tokens[encoded.starts[lesson] : encoded.starts[lesson + 1]]
        said = np.arange(encoded.replies[lesson], lengths[place])
        if encoded.decisions[lesson] >= 0:
            deciding.append(count + int(encoded.decisions[lesson] - encoded.replies[lesson]))
            rises.append(float(encoded.rises[lesson]))
        rows.append(np.full(len(said), place))
        columns.append(said)
        count += len(said)
    row, column = (
        torch.from_numpy(np.concatenate(rows)).to(device),
        torch.from_numpy(np.concatenate(columns)).to(device),
    )
    tokens = torch.from_numpy(names).to(device)
    hidden = model.model(input_ids=tokens, use_cache=False).last_hidden_state  # (lesson, token, width)
    logprobs = torch.log_softmax(
        model.lm_head(hidden[row, column - 1]).float(), dim=-1
    )  # (token of a reply, vocabulary)
    losses = -logprobs.gather(1, tokens[row, column][:, None])[:, 0]
    weights = torch.ones_like(losses)
    decided: list[torch.Tensor] = []
    if deciding:
        at = torch.tensor(deciding, device=device)
        chance = torch.tensor(rises, device=device, dtype=losses.dtype)
        both = logprobs[at][:, torch.from_numpy(encoded.sides).to(device)]  # (decision, side)
        soft = -(chance * both[:, 0] + (1.0 - chance) * both[:, 1])
        losses = losses.index_copy(0, at, soft)
        weights[at] = settings.decision_weight
        decided = list(soft.detach())
    return _Loss((losses * weights).sum() / weights.sum(), losses.detach().mean()), decided


def _optimisers(model: Any, settings: NanoSettings) -> _Optimisers:
    """Muon (Jordan 2024) for the matrices between layers, which learn in half the steps by it; AdamW for the rest."""
    inner = [one for name, one in model.named_parameters() if one.dim() == 2 and "embed" not in name]
    others = [one for name, one in model.named_parameters() if one.dim() != 2 or "embed" in name]
    return (
        torch.optim.Muon(inner, lr=settings.rate, weight_decay=settings.decay),
        torch.optim.AdamW(others, lr=settings.other_rate, betas=(0.9, 0.95), weight_decay=0.0),
    )


def _share_of_rate(step: int, steps: int, warm_up: int) -> float:
    """Linear up, then half a cosine down to a fiftieth."""
    if step < warm_up:
        return (step + 1) / warm_up
    gone = (step - warm_up) / max(1, steps - warm_up)
    return 0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * min(gone, 1.0)))


def _keep(path: Path, model: Any, optimisers: _Optimisers, step: int, key: str) -> None:
    tensors = {}
    for name, parameter in model.named_parameters():
        tensors[f"weight {name}"] = parameter.detach().cpu().clone()
        for optimiser in optimisers:
            for part, value in optimiser.state.get(parameter, {}).items():
                if part != "step":
                    tensors[f"{part} {name}"] = value.cpu().clone()
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"step": str(step), "key": key})
    partial.replace(path)


def _resume(path: Path, model: Any, optimisers: _Optimisers, key: str) -> int:
    if not path.is_file():
        return 0
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
        if about["key"] != key:
            raise ValueError(f"{path} is of other settings or lessons; name another folder, or delete the checkpoint")
        step = int(about["step"])
        parameters = dict(model.named_parameters())
        owner = {one: optimiser for optimiser in optimisers for one in optimiser.param_groups[0]["params"]}
        with torch.no_grad():
            for entry in file.keys():  # noqa: SIM118
                part, name = entry.split(" ")
                parameter = parameters[name]
                value = file.get_tensor(entry).to(parameter.device)
                if part == "weight":
                    parameter.copy_(value)
                else:
                    owner[parameter].state[parameter][part] = value
        for parameter, optimiser in owner.items():
            if isinstance(optimiser, torch.optim.AdamW):
                optimiser.state[parameter]["step"] = torch.tensor(float(step))
    return step


def weights_only(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights of a checkpoint, by their names."""
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            if name.startswith("weight "):
                yield name.removeprefix("weight "), file.get_tensor(name)
