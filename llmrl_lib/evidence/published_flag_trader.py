"""What the FLAG-Trader paper (Xiong et al. 2025) reports: Sharpe ratios of its policy and of holding, by asset."""

from __future__ import annotations

import pandas as pd

SHARPE = {"MSFT": 1.373, "JNJ": 3.344, "UVV": 1.463, "HON": 2.429, "TSLA": 1.362, "BTC": 1.734}
HOLDING = {"MSFT": 1.039, "JNJ": 1.343, "UVV": 2.112, "HON": 2.347, "TSLA": 0.869, "BTC": 0.683}


def published_table() -> pd.DataFrame:
    """A row per asset: the paper's policy, holding, and which of them was better."""
    table = pd.DataFrame({"FLAG-Trader": SHARPE, "buy and hold": HOLDING})
    better = table["FLAG-Trader"] > table["buy and hold"]
    return table.assign(better=better.map({True: "FLAG-Trader", False: "buy and hold"}))
