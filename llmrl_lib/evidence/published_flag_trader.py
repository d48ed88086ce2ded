"""What the FLAG-Trader paper (Xiong et al. 2025) reports: Sharpe ratios of its policy and of holding, and its settings."""

from __future__ import annotations

from typing import Any

import pandas as pd

SHARPE = {"MSFT": 1.373, "JNJ": 3.344, "UVV": 1.463, "HON": 2.429, "TSLA": 1.362, "BTC": 1.734}
HOLDING = {"MSFT": 1.039, "JNJ": 1.343, "UVV": 2.112, "HON": 2.347, "TSLA": 0.869, "BTC": 0.683}

# by the names of FlagTraderSettings; what is not here the paper, as we have it, does not say
SETTINGS: dict[str, Any] = {
    "backbone": "HuggingFaceTB/SmolLM2-135M-Instruct", "steps": 13_860, "rollout": 40, "episode_days": 65, "epochs": 1,
    "minibatch": 32, "accumulation": 8, "learning_rate": 5e-4, "anneal": True, "gamma": 0.95, "gae_lambda": 0.98,
    "clip": 0.2, "clip_value": True, "entropy": 0.05, "value": 0.5, "kl": 0.05, "gradient_clip": 0.5,
}  # fmt: skip


def published_table() -> pd.DataFrame:
    """A row per asset: the paper's policy, holding, and which of them was better."""
    table = pd.DataFrame({"FLAG-Trader": SHARPE, "buy and hold": HOLDING})
    better = table["FLAG-Trader"] > table["buy and hold"]
    return table.assign(better=better.map({True: "FLAG-Trader", False: "buy and hold"}))
