"""What was known, and when: the dataset folder, its checks and the synthetic market."""

from llmrl_lib.market.check import DatasetCheck, check_dataset
from llmrl_lib.market.coverage import monthly_coverage
from llmrl_lib.market.dataset import MINIMUM_ROWS, Dataset, load_dataset
from llmrl_lib.market.defects import DatasetError, Defect
from llmrl_lib.market.stylised import beside_real_stocks, stylised_facts
from llmrl_lib.market.synthetic import ics_of, simulate, synthesise

__all__ = [
    "MINIMUM_ROWS",
    "Dataset",
    "DatasetCheck",
    "DatasetError",
    "Defect",
    "beside_real_stocks",
    "check_dataset",
    "ics_of",
    "load_dataset",
    "monthly_coverage",
    "simulate",
    "stylised_facts",
    "synthesise",
]
