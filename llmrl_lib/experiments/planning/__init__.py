"""What a run will take, before it starts: calls, tokens, dollars, hours and disk; nothing is asked and nothing trained."""

from llmrl_lib.experiments.planning.calibration import Calibration, calibrate
from llmrl_lib.experiments.planning.speeds import Figure, Speeds, load_speeds
from llmrl_lib.experiments.planning.study import Plan, Study, opened, plan_studies, plan_study, plans_of

__all__ = [
    "Calibration",
    "Figure",
    "Plan",
    "Speeds",
    "Study",
    "calibrate",
    "load_speeds",
    "opened",
    "plan_studies",
    "plan_study",
    "plans_of",
]
