"""A chat with a causal language model in this process, through transformers: a folder, or a name of the model hub.

Requests of many are answered in batches with padding on the left; what all prompts of a batch begin with, usually the system
prompt, is read once. A schema is held by masking every token that cannot go on to a valid reply (llguidance).

Log-probabilities are the model's own at temperature 1: before the schema's mask, the penalties and the temperature act. The
mask would call a forced token certain whatever the model thinks of it, and a model that wants to say something else is
exactly what a measure of uncertainty is to see. A token that the model would not have written therefore shows a low
log-probability and may lie outside its own likeliest alternatives.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from llmrl_lib.language.chat import (
    ChatError,
    Message,
    OffSchemaError,
    Reply,
    Request,
    RequestRejectedError,
    Sampling,
    Token,
    TruncatedError,
    UnknownModelError,
    Usage,
)
from llmrl_lib.language.constraint import Constraint, Vocabulary
from llmrl_lib.language.local_files import check_folder, expanded, looks_like_a_path
from llmrl_lib.language.schema import SchemaDefect, check_schema, parse_reply

USUAL = Sampling()
MOST_ALTERNATIVES = 20
SHORTEST_PREFIX = 16  # tokens that all prompts of a batch must share before they are read once


@dataclass
class _Row:
    """One request on its way through a batch."""

    index: int  # of the request
    prompt: list[int]
    sampling: Sampling
    constraint: Constraint | None
    source: torch.Generator
    written: list[int] = field(default_factory=list)
    tokens: list[tuple[float, list[int], list[float]]] = field(default_factory=list)  # log-probability, alternatives
    ended: bool = False

    @property
    def cut(self) -> bool:
        return not self.ended and len(self.written) >= self.sampling.max_tokens


class LocalChat:
    """A causal language model from a folder or by its name at the model hub.

    `device` is "auto" (a GPU if there is one), "cpu", "cuda" or another of PyTorch's; `dtype` is "auto" (as stored, but
    float32 on a CPU) or one of PyTorch's names. `batch` limits the requests that are answered at once.
    Raises UnknownModelError for a path or name that holds no causal model with a fast tokenizer.
    """

    def __init__(self, path_or_name: str | Path, *, device: str = "auto", dtype: str = "auto", batch: int = 16) -> None:
        if batch < 1:
            raise ValueError(f"batch is {batch}; at least one request must be answered at once")
        self.model_name = Path(path_or_name).name
        self.batch = batch
        self.device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        self._model, self._tokenizer = _load(path_or_name, self.device, dtype)
        self._vocabulary = Vocabulary(self._tokenizer, self._model.config.get_text_config().vocab_size)
        self._ends = _end_tokens(self._model, self._tokenizer)
        self._longest = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        self._control = [text for text in self._tokenizer.all_special_tokens if text]

    def __repr__(self) -> str:
        return f"LocalChat({self.model_name!r}, device={self.device.type!r})"

    @property
    def model(self) -> Any:
        """The transformers model that answers, for who wants more of it than replies."""
        return self._model

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer, of transformers."""
        return self._tokenizer

    @cached_property
    def identity(self) -> Mapping[str, str]:
        """The model's name, a hash of its weights, tokenizer and chat template, and the number format it computes in."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        digest.update(self._tokenizer.backend_tokenizer.to_str().encode())
        digest.update(str(self._tokenizer.chat_template).encode())
        return {"model": self.model_name, "weights": digest.hexdigest(), "dtype": str(self._model.dtype)}

    def __call__(self, messages: Sequence[Message], sampling: Sampling = USUAL) -> Reply:
        """Answers one request. Raises a ChatError by the name of what went wrong."""
        for _, answer in self.many([Request(tuple(messages), sampling)]):
            if isinstance(answer, ChatError):
                raise answer
            return answer
        raise AssertionError("a request was not answered")

    def many(self, requests: Iterable[Request]) -> Iterator[tuple[int, Reply | ChatError]]:
        """Answers in batches of requests of about the same length; see Chat.many. Seconds of a reply are its batch's."""
        rows: list[_Row] = []
        for index, request in enumerate(requests):
            try:
                rows.append(self._row(index, request))
            except ChatError as error:
                yield index, error
        rows.sort(key=lambda row: len(row.prompt))
        for first in range(0, len(rows), self.batch):
            yield from self._answer(rows[first : first + self.batch])

    def prompt_tokens(self, messages: Sequence[Message]) -> list[int]:
        """The tokens that the model reads for these messages, up to where its reply begins.

        Raises RequestRejectedError where a message holds one of the model's control tokens, or the prompt is too long.
        """
        for message in messages:
            for text in self._control:
                if text in message.content:
                    raise RequestRejectedError(
                        f"a message holds {text!r}, which opens or closes turns for {self.model_name}; take it out"
                    )
        turns = [{"role": message.role, "content": message.content} for message in messages]
        if self._tokenizer.chat_template:
            text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            found = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        else:
            found = self._tokenizer("\n\n".join(turn["content"] for turn in turns) + "\n\n")["input_ids"]
        if self._longest is not None and len(found) >= self._longest:
            raise RequestRejectedError(
                f"the prompt has {len(found)} tokens and {self.model_name} reads {self._longest}; shorten the prompt"
            )
        return list(found)

    def _row(self, index: int, request: Request) -> _Row:
        sampling = request.sampling
        if sampling.top_logprobs is not None and not 0 <= sampling.top_logprobs <= MOST_ALTERNATIVES:
            raise RequestRejectedError(f"top_logprobs is {sampling.top_logprobs}; ask for 0 to {MOST_ALTERNATIVES}")
        if sampling.max_tokens < 1 or sampling.temperature < 0.0:
            raise RequestRejectedError(
                f"max_tokens {sampling.max_tokens} must be at least 1 and temperature {sampling.temperature} at least 0"
            )
        constraint = None
        if sampling.schema is not None:
            check_schema(sampling.schema)
            try:
                constraint = self._vocabulary.constraint(sampling.schema)
            except ValueError as error:
                raise RequestRejectedError(f"the schema cannot be held: {error}; use a simpler one") from None
        source = torch.Generator()
        if sampling.seed is None:
            source.seed()
        else:
            mixed = hashlib.sha256(f"{sampling.seed} {sampling.draw}".encode()).digest()
            source.manual_seed(int.from_bytes(mixed[:7], "big"))
        return _Row(index, self.prompt_tokens(request.messages), sampling, constraint, source)

    def _answer(self, rows: list[_Row]) -> Iterator[tuple[int, Reply | ChatError]]:
        started = time.perf_counter()
        shared = _generate(self._model, rows, self._ends, self._longest, self.device)
        seconds = time.perf_counter() - started
        for place, row in enumerate(rows):
            usage = Usage(len(row.prompt), len(row.written), cached=shared if place else 0)
            try:
                yield row.index, self._reply(row, usage, seconds)
            except ChatError as error:
                error.usage = usage
                yield row.index, error

    def _reply(self, row: _Row, usage: Usage, seconds: float) -> Reply:
        sampling = row.sampling
        if not row.ended:
            raise TruncatedError(
                f"the reply was cut at {len(row.written)} tokens; allow more (max_tokens; {self.model_name} reads "
                f"{self._longest} in all) or ask for a shorter reply"
            )
        written = row.written[:-1] if row.written[-1] in self._ends else row.written
        texts = self._vocabulary.texts(written)
        text = "".join(texts)
        parsed = None
        if sampling.schema is not None:
            try:
                parsed = parse_reply(text, sampling.schema)
            except SchemaDefect as defect:
                raise OffSchemaError(f"the reply is off its schema ({defect}); use a simpler schema") from None
        tokens = tuple(
            Token(
                piece,
                logprob,
                tuple((self._vocabulary.text(name), value) for name, value in zip(names, values, strict=True)),
            )
            for piece, (logprob, names, values) in zip(texts, row.tokens, strict=False)
        )
        return Reply(
            text=text,
            parsed=parsed,
            tokens=() if sampling.top_logprobs is None else tokens,
            usage=usage,
            model=self.model_name,
            seconds=seconds,
        )


@torch.inference_mode()
def _generate(model: Any, rows: list[_Row], ends: frozenset[int], longest: int | None, device: torch.device) -> int:
    """Writes all rows to their ends, and returns how many tokens of the prompts were read once for all of them."""
    scores, cache, mask, shared = _read_prompts(model, rows, device)  # (row, vocabulary)
    active = list(range(len(rows)))
    length = torch.tensor([len(row.prompt) for row in rows], device=device)
    while True:
        chosen = _choose(scores, [rows[place] for place in active], ends)
        going = [
            number
            for number, place in enumerate(active)
            if not (rows[place].ended or rows[place].cut or _is_full(rows[place], longest))
        ]
        if not going:
            return shared
        if len(going) < len(active):
            keep = torch.tensor(going, device=device)
            cache.batch_select_indices(keep)
            mask, length = mask[keep], length[keep]
            active, chosen = [active[number] for number in going], [chosen[number] for number in going]
        mask = torch.cat([mask, mask.new_ones(len(active), 1)], dim=1)
        out = model(
            input_ids=torch.tensor(chosen, device=device)[:, None],
            attention_mask=mask,
            position_ids=length[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        length = length + 1
        scores = out.logits[:, -1].float()


def _read_prompts(model: Any, rows: list[_Row], device: torch.device) -> tuple[torch.Tensor, Any, torch.Tensor, int]:
    """Scores after each prompt, keys and values of all tokens, which of these count, and how many were read once for all."""
    from llmrl_lib.language.local_cache import roomy_cache

    cache = roomy_cache(model.config)
    shared = _shared_beginning([row.prompt for row in rows]) if len(rows) > 1 else 0
    if shared >= SHORTEST_PREFIX:
        model(input_ids=torch.tensor([rows[0].prompt[:shared]], device=device), past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(len(rows))
    else:
        shared = 0
    rests = [row.prompt[shared:] for row in rows]
    width = max(map(len, rests))
    names = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.ones(len(rows), shared + width, dtype=torch.long)
    positions = torch.zeros(len(rows), width, dtype=torch.long)
    for place, rest in enumerate(rests):
        empty = width - len(rest)
        names[place, empty:] = torch.tensor(rest)
        mask[place, shared : shared + empty] = 0
        positions[place, empty:] = torch.arange(shared, shared + len(rest))
    mask = mask.to(device)
    out = model(
        input_ids=names.to(device),
        attention_mask=mask,
        position_ids=positions.to(device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return out.logits[:, -1].float(), cache, mask, shared


def _shared_beginning(prompts: Sequence[list[int]]) -> int:
    """How many tokens all prompts begin with, leaving each at least one of its own."""
    first, last = min(prompts), max(prompts)
    most = min(map(len, prompts)) - 1
    return next((place for place in range(most) if first[place] != last[place]), most)


def _choose(scores: torch.Tensor, rows: list[_Row], ends: frozenset[int]) -> list[int]:
    """One token for each row, noted with its log-probability and alternatives; ends rows that are complete."""
    logprobs = torch.log_softmax(scores, dim=-1)
    most = max((row.sampling.top_logprobs or 0) for row in rows)
    top = logprobs.topk(min(max(most, 1), scores.shape[-1]), dim=-1)
    alternatives, values = top.indices.tolist(), top.values.tolist()
    host = scores.cpu()
    chosen = [_drawn(host[place], row, ends) for place, row in enumerate(rows)]
    own = logprobs[torch.arange(len(rows)), torch.tensor(chosen)].tolist()
    for place, (row, token) in enumerate(zip(rows, chosen, strict=True)):
        asked = row.sampling.top_logprobs or 0
        row.written.append(token)
        row.tokens.append((own[place], alternatives[place][:asked], values[place][:asked]))
        if row.constraint is not None and token not in ends:
            row.constraint.take(token)
        row.ended = token in ends or (row.constraint is not None and row.constraint.complete)
    return chosen


def _drawn(scores: torch.Tensor, row: _Row, ends: frozenset[int]) -> int:
    """The likeliest token that the schema allows, or one drawn at the temperature, after penalties for what was written."""
    sampling = row.sampling
    if row.written and (sampling.frequency_penalty or sampling.presence_penalty):
        used, times = torch.tensor(row.written).unique(return_counts=True)
        scores = scores.clone()
        scores[used] -= sampling.frequency_penalty * times + sampling.presence_penalty
    if row.constraint is not None:
        scores = scores.masked_fill(~row.constraint.allowed(ends), -torch.inf)
    if sampling.temperature == 0.0:
        return int(scores.argmax())
    chances = torch.softmax(scores.double() / sampling.temperature, dim=-1)
    return int(torch.multinomial(chances, 1, generator=row.source))


def _is_full(row: _Row, longest: int | None) -> bool:
    return longest is not None and len(row.prompt) + len(row.written) >= longest


def _load(path_or_name: str | Path, device: torch.device, dtype: str) -> tuple[Any, Any]:
    place = expanded(path_or_name)
    if isinstance(path_or_name, Path) or looks_like_a_path(path_or_name):
        check_folder(place)
    name = str(place) if place.is_dir() else str(path_or_name)
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    form = "float32" if dtype == "auto" and device.type == "cpu" else dtype
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForCausalLM.from_pretrained(name, dtype=form)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        words = " ".join(str(error).split())[:300]
        remedy = "" if place.is_dir() else ", or a name of the model hub while the network is there"
        raise UnknownModelError(
            f"{name!r} is no causal model that transformers can load ({words}); give a folder with config.json, "
            f"weights and tokenizer{remedy}"
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UnknownModelError(f"the tokenizer of {name!r} has no tokenizer.json; convert it to a fast one")
    return model.to(device).eval(), tokenizer


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens with which the model ends a reply."""
    named = [getattr(model.generation_config, "eos_token_id", None), tokenizer.eos_token_id]
    found: set[int] = set()
    for one in named:
        found |= set(one) if isinstance(one, list | tuple) else set() if one is None else {one}
    if not found:
        raise UnknownModelError(
            "neither the model nor its tokenizer names an end token; set eos_token in its configuration"
        )
    return frozenset(found)
