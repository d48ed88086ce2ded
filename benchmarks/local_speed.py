"""How fast a local model reads and writes: a randomly initialised one of SmolLM2-135M's shape.

    python benchmarks/local_speed.py [--device auto] [--tokens 48] [--batches 1,8] [--out benchmarks/local_speed.json]

The random model (30 layers, width 576, 9 heads, 3 of them for keys and values, inner width 1,536, 49,152 tokens, tied)
answers prompts of about 500 tokens with lists of numbers held to a schema, so that every reply has the same length
whatever the weights say; its tokenizer has bytes and a few merges. Tokens per second are of the replies, the reading of
the prompts included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch

from llmrl_lib.language.chat import ChatError, Message, Request, Sampling
from llmrl_lib.language.local import LocalChat
from llmrl_lib.language.nano.tokens import for_transformers, train_tokenizer
from llmrl_lib.language.prompts import load_prompt

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tokens", type=int, default=48, help="numbers in each reply")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "local_speed.json")
    given = parser.parse_args()
    sizes = [int(size) for size in given.batches.split(",")]
    load = [round(value, 2) for value in os.getloadavg()]
    with tempfile.TemporaryDirectory() as work:
        parameters = write_random_model(Path(work) / "smollm2-135m-shape")
        chat = LocalChat(Path(work) / "smollm2-135m-shape", device=given.device, batch=max(sizes))
        figures = [timed(chat, [numbers(place, given.tokens) for place in range(size)]) for size in sizes]
    report = {
        "command": f"python benchmarks/local_speed.py --tokens {given.tokens} --batches {given.batches}",
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
        "machine": {
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "system": platform.system(),
            "device": torch.cuda.get_device_name() if chat.device.type == "cuda" else "cpu",
            "load_before": load,
        },
        "versions": {name: version(name) for name in ("torch", "transformers", "tokenizers", "llguidance")},
        "smollm2_135m_shape": {"parameters": parameters, "figures": figures},
    }
    print(json.dumps(report, indent=1))
    given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def write_random_model(folder: Path) -> int:
    """Write the model and a tokenizer into `folder`; returns the number of its parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = for_transformers(train_tokenizer([load_prompt("p1").system], 600), 8192)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(one.numel() for one in model.parameters())


def numbers(place: int, count: int) -> Request:
    """A request whose reply is a list of `count` digits."""
    digits = {"type": "integer", "enum": list(range(10))}
    schema = {"type": "array", "items": digits, "minItems": count, "maxItems": count}
    messages = (Message("system", load_prompt("p1").system), Message("user", f"case {place}"))
    return Request(messages, Sampling(schema=schema, max_tokens=4 * count))


def timed(chat: LocalChat, requests: list[Request]) -> dict[str, float]:
    """One answered batch, after one request that warms up."""
    chat(requests[0].messages, requests[0].sampling)
    start = time.perf_counter()
    replies = [answer for _, answer in chat.many(requests)]
    seconds = time.perf_counter() - start
    failed = [answer for answer in replies if isinstance(answer, ChatError)]
    if failed:
        raise failed[0]
    usages = [answer.usage for answer in replies if not isinstance(answer, ChatError)]
    written = sum(usage.completion for usage in usages)
    return {
        "batch": len(requests),
        "prompt_tokens": usages[0].prompt,
        "reply_tokens": written // len(requests),
        "seconds": round(seconds, 2),
        "tokens_per_second": round(written / seconds, 1),
        "seconds_per_reply": round(seconds / len(requests), 2),
    }


if __name__ == "__main__":
    main()
