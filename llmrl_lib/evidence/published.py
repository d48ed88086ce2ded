"""Published numbers that ours are shown beside, as they were printed, each table with its source and its known flaws.

Two works are meant by name: GUIDED, the paper in which a language model guides a trading agent, and TDQN, the benchmark
that it builds on. REFERENCE is the latter's public code, run by this project. Ratios are annual; drawdowns are fractions.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

GUIDED = '"Language Model Guided Reinforcement Learning in Quantitative Trading"'
TDQN = (
    'Theate & Ernst, "An application of deep reinforcement learning to algorithmic trading", '
    "Expert Systems with Applications 173, 114632 (2021)"
)
REFERENCE = "the public code of Theate & Ernst, run on the same bars with 100,000 money and 0.1 % costs"

RUNS = 25  # runs of 50 episodes behind each mean and standard deviation in GUIDED
PAPER_TICKERS = ("AAPL", "AMZN", "GOOGL", "META", "MSFT", "TSLA")

INSTRUMENTS = {  # ticker: name as printed; the name of GOOGL is blank in print, META was FB, EZU and EWJ stand for indices
    "DIA": "Dow Jones",
    "SPY": "S&P 500",
    "QQQ": "NASDAQ 100",
    "EZU": "FTSE 100",
    "EWJ": "Nikkei 225",
    "GOOGL": "Google",
    "AAPL": "Apple",
    "META": "Meta",
    "AMZN": "Amazon",
    "MSFT": "Microsoft",
    "TWTR": "Twitter",
    "NOK": "Nokia",
    "PHIA.AS": "Philips",
    "SIE.DE": "Siemens",
    "BIDU": "Baidu",
    "BABA": "Alibaba",
    "0700.HK": "Tencent",
    "6758.T": "Sony",
    "JPM": "JPMorgan Chase",
    "HSBC": "HSBC",
    "0939.HK": "CCB",
    "XOM": "ExxonMobil",
    "RDSA.AS": "Shell",
    "PTR": "PetroChina",
    "TSLA": "Tesla",
    "VOW3.DE": "Volkswagen",
    "7203.T": "Toyota",
    "KO": "Coca Cola",
    "ABI.BR": "AB InBev",
    "2503.T": "Kirin",
}


@dataclass(frozen=True)
class Table:
    """A printed table: a row of numbers for each label."""

    title: str
    source: str
    label: str  # what the rows are, e.g. "ticker"
    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]
    note: str = ""

    def frame(self) -> pd.DataFrame:
        """The rows as a frame, indexed by label."""
        return pd.DataFrame.from_dict(self.rows, orient="index", columns=list(self.columns)).rename_axis(self.label)


REPLICATION = Table(
    title="Replicated benchmark metrics (appendix E): test split 2018-2019, 25 runs",
    source=f"{GUIDED}, appendix E; tdqn_sharpe is that of {TDQN}",
    label="ticker",
    columns=("tdqn_sharpe", "sharpe_mean", "sharpe_sd", "p_value", "max_drawdown_mean", "max_drawdown_sd"),
    rows={
        "DIA": (0.684, 0.70, 0.30, 0.91, 0.25, 0.05),
        "SPY": (0.834, 0.83, 0.25, 1.00, 0.14, 0.04),
        "QQQ": (0.845, 0.85, 0.35, 1.00, 0.16, 0.05),
        "EZU": (0.103, 0.50, 0.23, 0.00, 0.31, 0.08),
        "EWJ": (0.019, 0.26, 0.29, 0.02, 0.29, 0.07),
        "GOOGL": (0.227, -0.54, 0.59, 0.00, 0.43, 0.13),
        "AAPL": (1.424, 1.19, 0.55, 0.22, 0.29, 0.09),
        "META": (0.151, 0.63, 0.61, 0.01, 0.45, 0.27),
        "AMZN": (0.419, 0.39, 0.45, 0.85, 0.30, 0.09),
        "MSFT": (0.987, 0.70, 1.00, 0.38, 0.28, 0.16),
        "NOK": (-0.094, 0.07, 0.24, 0.00, 0.57, 0.15),
        "PHIA.AS": (0.675, 1.40, 0.50, 0.00, 0.25, 0.03),
        "SIE.DE": (0.426, 0.39, 0.23, 0.43, 0.26, 0.12),
        "BIDU": (0.080, 0.20, 0.17, 0.00, 0.36, 0.09),
        "BABA": (0.021, 0.06, 0.02, 0.00, 0.09, 0.01),
        "0700.HK": (-0.198, -0.19, 0.33, 0.98, 0.10, 0.09),
        "6758.T": (0.424, 0.42, 0.36, 0.97, 0.16, 0.04),
        "JPM": (0.722, 0.72, 0.31, 0.98, 0.26, 0.06),
        "HSBC": (0.011, 0.38, 0.17, 0.00, 0.29, 0.05),
        "0939.HK": (0.202, 0.33, 0.25, 0.04, 0.24, 0.14),
        "XOM": (0.098, 0.10, 0.35, 0.91, 0.34, 0.08),
        "RDSA.AS": (0.425, 0.42, 0.37, 0.95, 0.51, 0.05),
        "PTR": (0.156, 0.22, 0.29, 0.29, 0.67, 0.00),
        "TSLA": (0.621, 0.48, 0.41, 0.29, 0.52, 0.09),
        "VOW3.DE": (0.216, 0.45, 0.18, 0.00, 0.48, 0.09),
        "7203.T": (0.304, 0.36, 0.27, 0.37, 0.45, 0.10),
        "KO": (1.068, 1.07, 0.53, 0.50, 0.25, 0.04),
        "ABI.BR": (0.187, 1.21, 0.30, 0.00, 0.18, 0.08),
        "2503.T": (0.852, 0.85, 0.42, 0.99, 0.39, 0.07),
    },
    note="p_value as printed: two-sided one-sample t-test of the mean against tdqn_sharpe. Twitter is not in the table.",
)

PROMPT_SHARPE = Table(
    title="Sharpe ratio of strategies by prompt (Table III)",
    source=f"{GUIDED}, Table III",
    label="ticker",
    columns=("P0", "P1", "P2", "P3", "P4", "benchmark"),
    rows={
        "AAPL": (1.13, 1.09, 1.07, 1.07, 2.09, 1.27),
        "AMZN": (0.51, 0.35, 0.38, 0.63, 0.84, 0.21),
        "GOOGL": (0.34, 0.26, 0.52, 0.52, 1.12, 0.19),
        "META": (0.60, -0.06, -0.28, 0.30, 0.77, 0.63),
        "MSFT": (0.36, 1.07, 1.11, 1.31, 0.50, 1.17),
        "TSLA": (0.34, 0.71, 0.75, 0.43, 0.79, 0.67),
        "Mean": (0.55, 0.57, 0.59, 0.71, 1.02, 0.69),
    },
    note="Language model alone, temperature 0, one seed, 2018-2019.",
)

PROMPT_PERPLEXITY = Table(
    title="Perplexity of strategies by prompt (Table IV)",
    source=f"{GUIDED}, Table IV",
    label="ticker",
    columns=("P0", "P1", "P2", "P3", "P4"),
    rows={
        "AAPL": (1.44, 1.85, 1.31, 1.55, 1.44),
        "AMZN": (1.51, 1.74, 1.35, 1.68, 1.31),
        "GOOGL": (1.56, 1.77, 1.49, 1.78, 1.33),
        "META": (1.47, 1.73, 1.31, 1.39, 1.38),
        "MSFT": (1.43, 1.83, 1.44, 1.49, 1.24),
        "TSLA": (1.46, 1.77, 1.50, 1.63, 1.39),
        "Mean": (1.48, 1.78, 1.40, 1.59, 1.35),
    },
)

PROMPT_ENTROPY = Table(
    title="Token entropy of strategies by prompt (Table V)",
    source=f"{GUIDED}, Table V",
    label="ticker",
    columns=("P0", "P1", "P2", "P3", "P4"),
    rows={
        "AAPL": (0.66, 0.70, 0.67, 0.66, 0.69),
        "AMZN": (0.69, 0.69, 0.69, 0.69, 0.67),
        "GOOGL": (0.67, 0.67, 0.67, 0.70, 0.66),
        "META": (0.68, 0.66, 0.70, 0.73, 0.67),
        "MSFT": (0.65, 0.66, 0.68, 0.72, 0.65),
        "TSLA": (0.67, 0.68, 0.70, 0.74, 0.65),
        "Mean": (0.67, 0.68, 0.69, 0.71, 0.67),
    },
)

EXPERT_REVIEW = Table(
    title="Expert Review Score of prompt P4, 1 to 3 (Table VI)",
    source=f"{GUIDED}, Table VI",
    label="dimension",
    columns=("score",),
    rows={"Rationale": (2.70,), "Fidelity": (2.65,), "Safety": (2.80,)},
    note="Ten reviewers, three instruments, one year.",
)

PROMPT_COST = Table(
    title="Tokens and cost by prompt (Table VIII)",
    source=f"{GUIDED}, Table VIII",
    label="prompt",
    columns=("mean_tokens", "mean_cost_usd", "total_cost_usd"),
    rows={
        "P0": (663, 0.00020, 1.19),
        "P1": (1760, 0.00043, 5.62),
        "P2": (2240, 0.00051, 6.48),
        "P3": (3300, 0.00067, 8.75),
        "P4": (8300, 0.00150, 21.60),
    },
    note="GPT-4o Mini. The printed column of total tokens is not in the text that these numbers were taken from.",
)

GUIDED_SHARPE = Table(
    title="Sharpe ratio of guided, unguided and language-model-only trading (Table IX)",
    source=f"{GUIDED}, Table IX",
    label="ticker",
    columns=("guided_mean", "guided_sd", "unguided_mean", "unguided_sd", "llm_only"),
    rows={
        "AAPL": (1.70, 0.43, 1.42, 0.05, 2.09),
        "AMZN": (1.21, 0.58, 0.42, 0.23, 0.84),
        "GOOGL": (1.16, 0.17, 0.23, 0.37, 1.12),
        "META": (0.46, 0.75, 0.15, 0.61, 0.77),
        "MSFT": (1.16, 0.28, 0.99, 0.30, 0.50),
        "TSLA": (0.92, 0.19, 0.62, 0.60, 0.87),
        "Mean": (1.10, float("nan"), 0.64, float("nan"), 1.03),
    },
    note="25 runs; the mean over tickers is printed without a standard deviation. Language model alone: no trading costs.",
)

GUIDED_DRAWDOWN = Table(
    title="Maximum drawdown of guided, unguided and language-model-only trading (Table X)",
    source=f"{GUIDED}, Table X",
    label="ticker",
    columns=("guided_mean", "guided_sd", "unguided_mean", "unguided_sd", "llm_only"),
    rows={
        "AAPL": (0.29, 0.20, 0.45, 0.01, 0.28),
        "AMZN": (0.26, 0.12, 0.19, 0.14, 0.34),
        "GOOGL": (0.28, 0.06, 0.25, 0.18, 0.35),
        "META": (0.35, 0.11, 0.45, 0.27, 0.30),
        "MSFT": (0.19, 0.08, 0.17, 0.09, 0.21),
        "TSLA": (0.46, 0.05, 0.65, 0.13, 0.59),
        "Mean": (0.31, float("nan"), 0.36, float("nan"), 0.35),
    },
    note="25 runs; the mean over tickers is printed without a standard deviation.",
)

REFERENCE_CLASSICAL = Table(
    title="Classical strategies of the reference code: test Sharpe ratios, and buy and hold's maximum drawdown",
    source=REFERENCE,
    label="ticker",
    columns=("buy_and_hold", "sell_and_hold", "trend_following", "mean_reversion", "buy_and_hold_max_drawdown"),
    rows={
        "DIA": (0.684325, -0.635838, -0.324864, -0.213838, 0.18125689),
        "SPY": (0.834023, -0.832573, -0.309032, -0.376401, 0.19336552),
        "QQQ": (0.844619, -0.805864, 0.264179, 0.060125, 0.22771362),
        "GOOGL": (0.56998, -0.370371, 0.125019, 0.555344, 0.23374585),
        "AAPL": (1.238666, -1.592953, 1.178207, -0.609284, 0.38508127),
        "META": (0.37104, -0.077812, 0.247962, -0.167863, 0.42930013),
        "AMZN": (0.558697, -0.18708, 0.161095, -1.19293, 0.33803996),
        "MSFT": (1.363946, -1.390389, -0.041239, -0.416076, 0.18223314),
        "TWTR": (0.189074, 0.31387, -0.271013, -0.421959, 0.43434524),
        "NOK": (-0.407666, 0.565049, 1.088484, 1.313803, 0.48170262),
        "SIE.DE": (0.398605, -0.265029, 0.524701, 0.525645, 0.26834391),
        "0700.HK": (-0.012781, 0.309106, 0.179294, -0.46641, 0.46007483),
        "6758.T": (0.793536, -0.654792, -0.351795, 0.415269, 0.32860636),
        "JPM": (0.712818, -0.743396, -1.325469, -0.004438, 0.21768841),
        "XOM": (0.055109, 0.132218, -0.38645, -0.673039, 0.23582824),
        "TSLA": (0.507673, -0.153986, -0.987192, 0.358359, 0.52827485),
        "KO": (1.030843, -0.870567, -0.235845, -0.393736, 0.11328576),
    },
    note="Drawdown by the benchmark's definition: the relative depth of the largest absolute drawdown.",
)

REFERENCE_WINDOWS = Table(
    title="Moving-average windows that the reference code chose on the training split",
    source=REFERENCE,
    label="ticker",
    columns=("trend_short", "trend_long", "reversion_short", "reversion_long"),
    rows={
        "DIA": (16, 28, 4, 16),
        "SPY": (22, 25, 4, 19),
        "QQQ": (18, 26, 7, 13),
        "GOOGL": (14, 25, 4, 27),
        "AAPL": (2, 21, 8, 13),
        "META": (19, 23, 1, 7),
        "AMZN": (23, 29, 3, 6),
        "MSFT": (14, 24, 5, 11),
        "TWTR": (19, 20, 13, 17),
        "NOK": (26, 28, 6, 21),
        "SIE.DE": (21, 22, 12, 15),
        "0700.HK": (18, 27, 1, 4),
        "6758.T": (21, 24, 2, 8),
        "JPM": (10, 14, 13, 23),
        "XOM": (8, 16, 12, 23),
        "TSLA": (14, 18, 4, 20),
        "KO": (6, 10, 11, 19),
    },
)

REFERENCE_AAPL_RUNS = Table(
    title="Six training runs of the reference code on Apple: test results of the final policy",
    source=REFERENCE,
    label="run",
    columns=("sharpe", "max_drawdown"),
    rows={
        "1": (1.3931, 0.2047),
        "2": (1.0232, 0.2782),
        "3": (1.4158, 0.2874),
        "4": (1.4707, 0.3066),
        "5": (0.9570, 0.3557),
        "6": (1.0989, 0.3427),
    },
    note="50 episodes each; mean 1.226, standard deviation 0.225, where buy and hold has 1.239.",
)

INCONSISTENCIES = (  # each is a fact about the printed numbers
    "Table IX's unguided means are the Sharpe ratios published by Theate & Ernst, rounded (AAPL 1.42, AMZN 0.42, GOOGL 0.23, "
    "META 0.15, MSFT 0.99, TSLA 0.62), while appendix E reports other means for the same agent over 25 runs (1.19, "
    "0.39, -0.54, 0.63, 0.70, 0.48).",
    "Their standard deviations differ too: AAPL 0.05 in Table IX against 0.55 in appendix E, MSFT 0.30 against 1.00; and "
    "so do unguided drawdowns: AAPL 0.45 (0.01) in Table X against 0.29 (0.09), GOOGL 0.25 against 0.43.",
    "Several p-values of appendix E do not follow from its means, standard deviations and 25 runs: AAPL prints 0.22 where "
    "they give 0.04, TSLA 0.29 (0.10), MSFT 0.38 (0.16), KO 0.50 (0.99).",
    "Appendix E says that all assets were replicated with exceptions, yet 12 of its 29 printed p-values are below 0.05.",
    "Table IX prints a language-model-only Sharpe ratio of 0.87 for TSLA, Table III 0.79 for the same prompt.",
    "The text counts four of six assets on which guidance won; Table IX's guided means are higher on all six.",
    "The text gives prompt P1 the highest entropy and P4 the lowest; Table V has the highest at P3 (0.71), and P4 ties with "
    "P0 (0.67).",
    "The text gives a single run of every prompt about 36 dollars; the totals of Table VIII add up to 43.64.",
    'The instruments "FTSE 100" and "Nikkei 225" are the exchange-traded funds EZU (eurozone) and EWJ (Japan).',
    "Theate & Ernst's own Sharpe ratios for DIA, SPY and QQQ equal buy and hold's to three digits (0.684, 0.834, 0.845), as "
    "those of an agent do that never leaves the long side.",
)
