"""Tiny backbones with Nano's tokenizer, and bars, for tests of FLAG-Trader."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from llmrl_lib.language.nano import WEIGHTS
from llmrl_lib.settings import FlagTraderSettings

SMALL = FlagTraderSettings(
    steps=80, rollout=20, episode_days=15, minibatch=16, accumulation=4, evaluations=2, fields="return_week_1 rsi_14"
)


def checkpoint(folder: Path, kind: str = "llama") -> str:
    """A model of three small layers, saved; llama has two key heads for four, qwen2 biases too, gpt2 is built otherwise."""
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config
    from transformers import Qwen2ForCausalLM as Qwen2

    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS)
    words = len(tokenizer) + 8  # some families add tokens of their own on reading
    sizes = {"vocab_size": words, "bos_token_id": 1, "eos_token_id": 1, "max_position_embeddings": 1024}
    shape = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    place = folder / kind
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        if kind == "llama":
            model = LlamaForCausalLM(LlamaConfig(**sizes, **shape))
        elif kind == "qwen2":
            model = Qwen2(Qwen2Config(**sizes, **shape))
        else:
            model = GPT2LMHeadModel(
                GPT2Config(vocab_size=words, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=1)
            )
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(value, std=0.3)  # those of a fresh model are zero, which would hide their lack
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return str(place)


def bars(rows: int, seed: int = 0, start: str = "2020-01-01") -> pd.DataFrame:
    """Invented bars on weekdays."""
    source = np.random.default_rng(seed)
    close = 50.0 * np.exp(0.01 * source.standard_normal(rows).cumsum())
    frame = pd.DataFrame({"open": close, "high": 1.01 * close, "low": 0.99 * close, "close": close})
    frame["volume"] = 1000.0 + 100.0 * source.random(rows)
    return frame.set_index(pd.bdate_range(start, periods=rows, name="date"))


def both() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test bars."""
    every = bars(150)
    return every.iloc[:100], every.iloc[100:]
