"""A verdict says what the tables say, with the audit's marks, and names what was not done."""

import math
from pathlib import Path

import pandas as pd
import pytest
from known_runs import run_of

import llmrl_lib as ll
from llmrl_lib.evidence.audit import Audit, Finding
from llmrl_lib.experiments import claims
from llmrl_lib.experiments.verdict import conclusion, verdict
from llmrl_lib.settings import TdqnSettings

GOOD = {"unguided": 0.0, "guided": 3e-3, "llm_only": 2e-3, "buy_and_hold": 0.0, "placebo_random": 0.0}
IDLE = {"unguided": 0.0, "guided": 0.0, "llm_only": 0.0, "buy_and_hold": 1e-3, "placebo_random": 0.0}


def audited(*failing: str) -> Audit:
    """An audit that passes the cost sweep, and fails these checks."""
    pair = "guided > unguided"
    passed = Finding("costs", "AAA", pair, "pass", "It lasts.")
    return Audit("x", (passed, *(Finding(check, "AAA", pair, "fail", "It does not.") for check in failing)))


def test_a_clear_gain_is_borne_out_and_says_what_it_fails(tmp_path: Path) -> None:
    run = run_of(tmp_path / "r", {"AAA": GOOD, "BBB": GOOD})
    found = verdict(run, audited("delay"))
    assert found.short.startswith("advice helped on 2 of 2 stocks; the audit faults that in 1 way")
    first = found.findings[0]
    mean = run.performance("test").groupby("arm")["sharpe_ratio"].mean()
    assert "advised agents do better than unadvised agents is borne out" in first
    assert f"{mean['guided']:.2f} against {mean['unguided']:.2f}" in first
    assert "beyond the chance of training on 2 (over the later half of training, which wanders less, on 2), " in first
    assert "), beyond the chance of the days on 2" in first
    assert "but it fails 1 of 15 audit checks (one-day delay)" in first
    knew = "came from what the advice knew"
    assert not any(knew in sentence for sentence in found.findings)  # one placebo of two is not enough
    both = {**GOOD, "placebo_permuted": 0.0}
    assert any(knew in sentence for sentence in verdict(run_of(tmp_path / "b", {"AAA": both, "BBB": both})).findings)
    assert "fails none of the 1 audit checks" in verdict(run, audited()).findings[0]
    assert verdict(run).findings[0].endswith("it was not audited.")
    assert "An audit of this run." in verdict(run).untried


def test_false_advice_is_beaten_only_beyond_both_chances(tmp_path: Path) -> None:
    """Over seeds alone, one true draw of luck looks like knowledge: false advice is drawn anew for each of them."""
    arms = {"AAA": {**GOOD, "placebo_permuted": 0.0}}
    known, unknown = (
        claims.placebos(run_of(tmp_path / "r", arms)),
        claims.placebos(run_of(tmp_path / "s", arms, paths=False)),
    )
    assert "beyond the chance of training on 1, of the days on 1 of 1 stock" in known
    assert "came from what the advice knew" in known
    assert "beyond the chance of training on 1, of the days on none of 1 stock" in unknown
    assert "it is not shown that agents use what the advice knows" in unknown


def test_what_is_worse_is_told_with_the_chances_that_it_is_beyond(tmp_path: Path) -> None:
    arms = {**IDLE, "guided": -2e-3}
    whole = run_of(tmp_path / "r", {"AAA": arms, "BBB": GOOD})
    sentences = verdict(whole).findings
    assert "; worse beyond both chances on 1 of 2 stocks; it was not audited" in sentences[0]
    assert "; worse beyond the chance of the days on 1 of 2 stocks" in sentences[2]  # the model alone, of AAA
    without = run_of(tmp_path / "s", {"AAA": arms, "BBB": GOOD}, paths=False)
    short = verdict(without).short
    assert "harmed" not in short
    assert "; worse beyond the chance of training alone on 1 of 2 stocks" in short
    assert "worse beyond" not in verdict(without).findings[0]


def test_no_gain_finds_no_support(tmp_path: Path) -> None:
    run = run_of(tmp_path / "r", {"AAA": IDLE})
    found = verdict(run, audited("delay"))
    assert found.short.startswith("it is not shown that advice helps")
    assert "finds no support" in found.findings[0]
    assert ", and it fails 1 of 15 audit checks (one-day delay)" in found.findings[0]
    assert any("having one more thing to look at may do as much" in sentence for sentence in found.findings)


def test_a_gain_on_some_stocks_and_harm_on_others_are_both_told(tmp_path: Path) -> None:
    run = run_of(tmp_path / "r", {"AAA": GOOD, "BBB": {**IDLE, "guided": -2e-3}})
    found = verdict(run)
    assert found.short.startswith("advice helped on 1 of 2 stocks; it harmed on 1 of 2 stocks")
    assert "is borne out on 1 of 2 stocks only" in found.findings[0]
    assert "beyond the chance of training on 1 (over the later half of training" in found.findings[0]


def test_a_run_without_advice_says_so_and_lists_what_is_missing(tmp_path: Path) -> None:
    arms = {"unguided": 0.0, "buy_and_hold": 0.0}
    found = verdict(run_of(tmp_path / "r", {"AAA": arms, "BBB": {**arms, "oracle_100": 4e-3}}, asked=["CCC"]))
    assert "no agents here heard any" in found.short
    untried = " ".join(found.untried)
    assert "Agents: TDQN, guided, LLM only." in found.untried
    assert "placebo random" in untried
    assert "On AAA: oracles." in found.untried
    assert "nothing finished: CCC" in untried
    assert "Oracles that are right in 40%, 50%" in untried
    assert "Any language model." in found.untried
    assert not any(sentence.startswith("The claim that advised") for sentence in found.findings)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([-1, 1, 1], 0.5), ([1, 1, 1], 0.4), ([1, 1, -1], None), ([1, -1, 1], 1.0)],
)
def test_the_threshold_is_where_every_better_oracle_helps_too(differences: list[int], expected: float | None) -> None:
    curve = pd.DataFrame({"hit_rate": [0.4, 0.5, 1.0], "difference": differences, "corrected": 0.01})
    curve["path_corrected"] = 0.01
    curve["later_difference"], curve["later_corrected"] = -curve["difference"], 0.01
    later = claims.threshold(curve.assign(difference=1), "later_corrected")
    assert later == claims.threshold(curve.assign(difference=-curve["difference"]), "corrected")
    assert claims.threshold(curve, "corrected") == expected
    assert claims.threshold(curve, "path_corrected") == expected
    assert claims.threshold(curve.assign(corrected=0.2), "corrected") is None


def test_oracles_are_called_hindsight(tmp_path: Path) -> None:
    arms = {"unguided": 0.0, "oracle_040": -1e-3, "oracle_070": 2e-3, "oracle_100": 4e-3}
    told = claims.oracles(run_of(tmp_path / "r", {"AAA": arms}))
    assert "hindsight: nobody can trade it" in told
    assert "on AAA, as they were at the end of training, when it was right in 70% or more; over the later half" in told
    assert claims.oracles(run_of(tmp_path / "s", {"AAA": GOOD})) == ""


def test_variants_are_told_one_by_one(tmp_path: Path) -> None:
    told = claims.variants(run_of(tmp_path / "r", {"AAA": {**GOOD, "guided_direction": 3e-3, "guided_window": 0.0}}))
    assert "direction +" in told
    assert "window +0.00 (beyond the chance of training on none of 1 stock)" in told


def test_the_paper_is_quoted_beside_the_same_stocks_alone(tmp_path: Path) -> None:
    same = run_of(tmp_path / "r", {"AAPL": {"unguided": 0.0, "guided": 1e-3}})
    mean = same.performance("test").groupby("arm")["sharpe_ratio"].mean()
    told = claims.published(same)
    assert f"{mean['guided']:.2f} with advice where the paper has 1.70 (on AAPL)" in told
    assert "nothing here speaks for or against it" in claims.published(run_of(tmp_path / "s", {"AAA": GOOD}))


def test_the_models_own_hits_are_counted(smoke_run: Path) -> None:
    run = ll.open_run(smoke_run)
    months = pd.concat([ll.advised(run, ticker).followed for ticker in run.tickers])
    own = months[(months["prompt"] == "p1") & (months["split"] == "test") & months["right"].notna()]
    told = claims.hits(run)
    assert f"{own['right'].mean():.0%} of {len(own)} months" in told
    assert f"{own['rose'].mean():.0%}" in told


def test_the_best_arm_carries_the_number_of_trials() -> None:
    figures = {"trials": 9.0}
    lucky = Audit("x", (Finding("trials", "AAA", "best arm", "fail", "Luck.", figures),))
    told = claims.best(lucky)
    assert "up to 9 configurations" in told
    assert "borne out on none of 1 stock, and it fails 1 of 7 audit checks (number of trials)" in told
    assert claims.best(None) == claims.best(Audit("x", ())) == ""


def test_a_short_run_is_called_too_short(tmp_path: Path) -> None:
    short = run_of(tmp_path / "r", {"AAA": IDLE}, settings=TdqnSettings(episodes=2))
    assert "far too short to judge any method" in verdict(short).short
    assert "nothing about any method" in conclusion(short)
    assert "too short" not in verdict(run_of(tmp_path / "s", {"AAA": IDLE})).short


def test_a_single_account_and_a_run_without_paths_make_no_claim_about_chance(tmp_path: Path) -> None:
    run = run_of(tmp_path / "r", {"AAA": GOOD}, paths=False)
    sentence = claims.weighed(run, "llm_only_beats_holding", "llm_only", "buy_and_hold", None)
    assert "that of the days not measured" in sentence
    assert "the chance of training" not in sentence
    assert not math.isnan(run.performance("test")["sharpe_ratio"].mean())


def test_a_single_seed_is_not_said_to_be_beyond_the_chance_of_training_on_none(tmp_path: Path) -> None:
    one = verdict(run_of(tmp_path / "r", {"AAA": IDLE}, seeds=1)).short
    assert "an unknown chance of training (a single seed)" in one
    assert "beyond the chance of training on none" in verdict(run_of(tmp_path / "s", {"AAA": IDLE})).short


def test_a_single_seed_bears_out_no_claim_about_trained_agents(tmp_path: Path) -> None:
    found = verdict(run_of(tmp_path / "r", {"AAA": GOOD}, seeds=1)).findings
    assert "is not borne out" in found[0]
    assert "with an unknown chance of training (a single seed), beyond the chance of the days on 1" in found[0]
    assert "the model alone does better than holding is borne out" in found[2]  # nothing was trained there


def test_it_reads_as_one_page_on_a_real_run(smoke_run: Path) -> None:
    run = ll.open_run(smoke_run)
    text = ll.verdict(run)._repr_markdown_()
    order = ["**In short:**", "**The question:**", "**What was done:**", "**How to read it:**", "**What came out.**"]
    places = [text.index(head) for head in [*order, "**How far it carries.**", "**What was not tried.**"]]
    assert places == sorted(places)
    assert "2 invented stocks (ORVN, KSTV)" in text
    assert "nan" not in text.replace("nano", "").lower()
    assert "_" not in text
