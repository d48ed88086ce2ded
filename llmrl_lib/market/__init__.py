"""What was known, and when: the dataset folder, its checks and the synthetic market."""

from llmrl_lib.market.check import DatasetCheck, check_dataset
from llmrl_lib.market.dataset import MINIMUM_ROWS, Dataset, load_dataset
from llmrl_lib.market.defects import DatasetError, Defect
from llmrl_lib.market.stylised import stylised_facts
from llmrl_lib.market.synthetic import simulate, synthesise

__all__ = [
    "MINIMUM_ROWS",
    "Dataset",
    "DatasetCheck",
    "DatasetError",
    "Defect",
    "check_dataset",
    "load_dataset",
    "simulate",
    "stylised_facts",
    "synthesise",
]
