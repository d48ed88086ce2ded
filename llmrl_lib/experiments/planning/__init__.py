"""What a run will take, before it starts: calls, tokens, dollars, hours and disk; nothing is asked and nothing trained."""

from llmrl_lib.experiments.planning.calibration import Calibration, calibrate
from llmrl_lib.experiments.planning.opening import opened
from llmrl_lib.experiments.planning.plan import Phase, Plan, Stage
from llmrl_lib.experiments.planning.setting import Study
from llmrl_lib.experiments.planning.speeds import Figure, Speeds, load_speeds
from llmrl_lib.experiments.planning.study import plan_studies, plan_study, plans_of

__all__ = [
    "Calibration",
    "Figure",
    "Phase",
    "Plan",
    "Speeds",
    "Stage",
    "Study",
    "calibrate",
    "load_speeds",
    "opened",
    "plan_studies",
    "plan_study",
    "plans_of",
]
