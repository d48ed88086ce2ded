"""Runs: every arm of every ticker trained once, kept in a folder, told by notebooks."""

from llmrl_lib.experiments.arms import Arm, load_arm, run_arm
from llmrl_lib.experiments.clusters import Cluster
from llmrl_lib.experiments.folders import ExperimentError
from llmrl_lib.experiments.runs import Run, open_run
from llmrl_lib.experiments.suite import Outcome, run_suite
from llmrl_lib.experiments.work import Failure

__all__ = [
    "Arm",
    "Cluster",
    "ExperimentError",
    "Failure",
    "Outcome",
    "Run",
    "load_arm",
    "open_run",
    "run_arm",
    "run_suite",
]
