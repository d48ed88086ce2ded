"""The page and the marks that claims carry."""

from __future__ import annotations

import pytest

from llmrl_lib.evidence.audit import CHECKS, CLAIMS, Audit, Finding
from llmrl_lib.evidence.audit.findings import combined, written

ABOUT = "guided > unguided"


def finding(check: str, mark: str, ticker: str = "AAA", about: str = "", **figures: float) -> Finding:
    return Finding(check, ticker, about, mark, f"{check} of {ticker} {mark}.", figures)  # type: ignore[arg-type]


def test_a_claim_that_fails_says_so_in_the_same_sentence() -> None:
    audit = Audit("run", (finding("features", "pass"), finding("costs", "fail", about=ABOUT)))
    marks = audit.marks("guided_beats_unguided")
    assert (marks.passed, marks.failed) == (("features",), ("costs",))
    assert not marks.holds
    said = marks.said("Guided is above unguided by 0.3.")
    assert said.startswith("Guided is above unguided by 0.3, but it fails 1 of 15 audit checks (cost sweep)")
    assert said.count(".") == 2  # that of 0.3, and one at the end
    assert "not checked: look-ahead: requests" in said


def test_a_claim_that_passes_and_one_that_nothing_could_test() -> None:
    sound = Audit("run", tuple(finding(name, "pass") for name in CLAIMS["decisions_follow_the_figures"].checks))
    marks = sound.marks("decisions_follow_the_figures")
    assert marks.holds
    assert marks.said("It reads") == "It reads, and fails none of the 5 audit checks that could be made."
    assert str(marks) == "passes 5 of 5 checks"
    empty = Audit("run", ()).marks("unguided_beats_holding")
    assert empty.said("It wins.") == "It wins, which no audit check could test."
    assert not empty.holds


def test_only_what_concerns_a_claim_counts() -> None:
    other = finding("costs", "fail", about="llm_only > buy_and_hold")
    own = finding("costs", "pass", about=ABOUT)
    arm = finding("constant", "fail", about="unguided")
    marks = Audit("run", (other, own, arm)).marks("guided_beats_unguided")
    assert (marks.passed, marks.failed) == (("costs",), ("constant",))
    assert Audit("run", (other, own, arm)).marks("guided_beats_holding").failed == ()


def test_tickers_that_fail_are_named() -> None:
    audit = Audit("run", (finding("features", "pass", "AAA"), finding("features", "fail", "BBB")))
    assert "fails look-ahead: features on BBB" in str(audit.marks("guided_beats_unguided"))
    assert audit.marks("guided_beats_unguided", "AAA").failed == ()
    whole = Audit("run", (finding("features", "fail", "AAA"), finding("features", "fail", "BBB")))
    assert "fails look-ahead: features;" in str(whole.marks("guided_beats_unguided"))


def test_the_page_has_a_row_per_question() -> None:
    audit = Audit(
        "run",
        (
            finding("costs", "fail", "AAA", ABOUT, end=3.0),
            finding("costs", "pass", "BBB", ABOUT, end=20.456),
            finding("recall", "not available", ""),
        ),
    )
    page = audit.table()
    assert page["mark"].tolist() == ["fail", "not available"]
    assert page["figures"].tolist() == ["end 3 to 20.46", ""]
    assert page["sentence"][0] == "Passes on 1 of 2 tickers; AAA: costs of AAA fail."
    assert page["done"][0] == CHECKS["costs"].done
    assert "not retrained" in page["done"][0]
    assert audit.details("costs")["end"].tolist() == [3.0, 20.456]
    shown = audit._repr_html_()
    assert shown.count("<tr>") == 4  # a head and a row for each of two checks
    assert "<b>fail</b>" in shown
    assert "not available" in shown
    assert "guided &gt; unguided" in shown
    assert shown.count(CHECKS["costs"].done) == 1


def test_a_check_that_could_not_be_made_is_no_pass() -> None:
    assert combined([]) == combined([finding("costs", "not available")]) == "not available"
    assert combined([finding("costs", "not available"), finding("costs", "pass")]) == "pass"
    assert combined([finding("costs", "fail"), finding("costs", "pass")]) == "fail"


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="there is no claim 'profit'; there are guided_beats_unguided"):
        Audit("run", ()).marks("profit")
    with pytest.raises(KeyError):
        Audit("run", ()).details("profit")


def test_every_claim_asks_for_checks_that_exist_and_every_check_names_a_source() -> None:
    assert {name for claim in CLAIMS.values() for name in claim.checks} <= set(CHECKS)
    assert all(check.source and check.done and check.title for check in CHECKS.values())


@pytest.mark.parametrize(("value", "text"), [(24.0, "24"), (0.123, "0.12"), (0.0123, "0.012"), (float("inf"), "inf")])
def test_figures_are_short(value: float, text: str) -> None:
    assert written(value) == text
