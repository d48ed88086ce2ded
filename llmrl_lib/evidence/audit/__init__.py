"""What a sceptic asks of a run, asked at once: one page of checks, and the marks that each claim has to carry.

`audit_cases` makes all checks on what was recorded; `experiments.auditing.audit` hands it a run folder. Each module asks one
kind of question, and says where it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmrl_lib.evidence.audit import constant, counterfactuals, execution, lookahead, placebos, recall, windows
from llmrl_lib.evidence.audit import trials as counted
from llmrl_lib.evidence.audit.cases import NEVER, AuditedArm, AuditError, Case, Cutoff, Stored
from llmrl_lib.evidence.audit.findings import CHECKS, CLAIMS, Audit, Finding, Marks
from llmrl_lib.evidence.audit.keeping import read_audit, write_audit
from llmrl_lib.evidence.audit.trials import count_trials, record_trial
from llmrl_lib.language.chat import Chat

__all__ = [
    "CHECKS",
    "CLAIMS",
    "NEVER",
    "Audit",
    "AuditError",
    "AuditedArm",
    "Case",
    "Cutoff",
    "Finding",
    "Marks",
    "Stored",
    "audit_cases",
    "count_trials",
    "read_audit",
    "record_trial",
    "write_audit",
]

OF_ONE_TICKER: tuple[Callable[[Case], list[Finding]], ...] = (
    lookahead.features,
    lookahead.requests,
    lookahead.strategies,
    lookahead.guidance,
    lookahead.observations,
    execution.accounting,
    execution.costs,
    execution.delay,
    constant.constant,
    placebos.placebos,
    windows.split_dates,
    windows.cutoff,
    counted.trials,
)


def audit_cases(
    cases: Sequence[Case],
    chat: Chat | None = None,
    run: str = "",
    decisions: int = counterfactuals.DECISIONS,
    asked: int = recall.WINDOWS,
) -> Audit:
    """All checks on every case, which share a dataset. Without a `chat` those that ask a model again are not available.

    `decisions` is how many decisions per ticker the chat repeats in each counterfactual world, `asked` how many windows it is
    asked to recognise. Raises AuditError for no case, and for arms that do not belong to the dataset; fatal ChatErrors.
    """
    if not cases:
        raise AuditError("there is nothing to audit; name a ticker with finished arms")
    found = [finding for case in cases for check in OF_ONE_TICKER for finding in check(case)]
    found += [finding for case in cases for finding in counterfactuals.counterfactuals(case, chat, decisions)]
    found += recall.recall(cases[0].dataset, chat, asked)
    return Audit(run, tuple(found))
