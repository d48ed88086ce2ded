"""The backbone as it comes: asked what to do and never trained, to tell what training adds.

Of the three words the model's own scores of their first tokens decide, illegal ones left out. It reads the same texts,
and its account goes the same way as that of the trained policy.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import torch

from llmrl_lib.settings import FlagTraderSettings, settings_or_default
from llmrl_lib.trading.flag_trader import ppo
from llmrl_lib.trading.flag_trader.backbone import Backbone
from llmrl_lib.trading.flag_trader.training import FlagProblem, FlagTraining, laid_out, one_thread, policy_on
from llmrl_lib.trading.flag_trader.walks import trajectory, walk
from llmrl_lib.trading.tdqn import device_of


def prompt_flag_trader(
    problem: FlagProblem, settings: FlagTraderSettings | None = None, device: str = "auto"
) -> FlagTraining:
    """What the untrained backbone does on both splits: one account, seed 0, no episodes and no weights.

    Raises what `train_flag_trader` raises, and UnknownModelError where two of the words begin with the same token.
    """
    settings, place, started = settings_or_default(settings, FlagTraderSettings), device_of(device), time.perf_counter()
    _, lanes, texts = laid_out({"": problem}, [0], settings)
    with one_thread(place):
        backbone = Backbone(settings, place)
        policy = policy_on(backbone, texts, settings)
        rows = backbone.word_rows().float()
        weights = {name: value.detach().float()[None] for name, value in backbone.top().items()}

        @torch.no_grad()
        def decide(index: np.ndarray, words: np.ndarray, legal: np.ndarray) -> np.ndarray:
            shown = [torch.from_numpy(np.ascontiguousarray(value)).to(place) for value in (index, words)]
            logits = policy.trunk(weights, *shown) @ rows.T
            allowed = torch.from_numpy(np.ascontiguousarray(legal)).to(place)
            return ppo.masked_log_softmax(logits, allowed).exp().double().cpu().numpy()

        walks = walk(decide, lanes, settings)[0]
    paths = [
        trajectory(0, split, market, path)
        for split, market, path in zip(("train", "test"), lanes[0][:2], walks, strict=True)
    ]
    seconds = time.perf_counter() - started
    table = pd.concat(paths, ignore_index=True)
    return FlagTraining((0,), settings, place.type, seconds, pd.DataFrame(), table, {}, backbone.identity)
