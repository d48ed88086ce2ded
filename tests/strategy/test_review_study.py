"""Studies and packets: what is chosen, in which order it is shown, and what a packet gives away before and after."""

import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from reviewed import SECRET, TICKERS, market, strategies, study

import llmrl_lib as ll
from llmrl_lib.market.features import FIELDS
from llmrl_lib.strategy.anonymise import names_of
from llmrl_lib.strategy.review.curtain import drawn, opened, predictions
from llmrl_lib.strategy.review.packet import packet
from llmrl_lib.strategy.review.showing import what_was_known
from llmrl_lib.strategy.review.study import (
    HUMAN,
    MODEL,
    SHUFFLED,
    ReviewError,
    ReviewPlan,
    make_study,
    order_of,
    study_from_record,
    study_to_record,
)


def test_a_study_holds_what_its_plan_says_and_no_decision_twice() -> None:
    made = study()
    shown = [one for one in made.cases if not one.repeats]
    assert Counter(one.kind for one in shown) == {MODEL: 9, SHUFFLED: 2}
    assert Counter(one.ticker for one in shown if one.kind == MODEL) == dict.fromkeys(TICKERS, 3)
    assert len({(one.ticker, one.date) for one in shown}) == 11
    assert len({one.id for one in made.cases}) == 12
    assert {one.date.year for one in made.cases} == {2018}
    (again,) = (one for one in made.cases if one.repeats)
    first = made.case(again.repeats)
    assert (again.shown, again.said, again.date, first.kind) == (first.shown, first.said, first.date, MODEL)


def test_by_default_the_first_test_year_is_reviewed() -> None:
    made = make_study(market(), {ticker: strategies(ticker) for ticker in TICKERS})
    assert {one.date.year for one in made.cases} == {market().split.year}


def test_the_same_choices_give_the_same_study_and_others_another() -> None:
    assert make_study(market(), {one: strategies(one) for one in TICKERS}, 2018).id == study().id
    assert study(seed=1).id != study().id
    assert replace(study(), sent=(packet(study(), "R01").sent,)).id == study().id


def test_a_study_is_read_back_without_loss() -> None:
    made = replace(study(), sent=(packet(study(), "R01").sent, packet(study(), "R02").sent))
    record = json.loads(json.dumps(study_to_record(made)))
    assert study_from_record(record) == made
    record["sent"][1]["order"][0] = "another"
    with pytest.raises(ValueError, match="R02 was sent has other cases"):
        study_from_record(record)


def test_a_shuffled_rationale_was_written_for_another_share_and_argues_for_the_side_shown() -> None:
    words = {one.said["rationale"]: one for ticker in TICKERS for one in _cases_of(ticker)}
    assert len(words) == 13 * len(TICKERS)
    for made in (study(20, 1, 6, seed=seed) for seed in range(3)):
        for case in (one for one in made.cases if one.kind == SHUFFLED):
            donor = words[case.said["rationale"]]
            assert donor.ticker != case.ticker
            assert donor.date.month != case.date.month
            assert donor.side == case.side == case.said["side"]
            assert case.donor == f"{donor.ticker} {donor.date:%Y-%m-%d}"


@pytest.mark.parametrize("seed", range(5))
def test_nobody_reads_the_same_words_of_two_decisions(seed: int) -> None:
    made = study(22, 1, 8, seed=seed)
    shown = [one for one in made.cases if not one.repeats]
    donors = [one.donor for one in shown if one.kind == SHUFFLED]
    assert len(set(donors)) == 8
    assert not set(donors) & {f"{one.ticker} {one.date:%Y-%m-%d}" for one in shown}
    assert len({one.said["rationale"] for one in shown}) == len(shown)


@pytest.mark.parametrize("seed", range(5))
def test_within_one_share_a_donor_is_of_an_earlier_month(seed: int) -> None:
    made = make_study(market(), {"ORVN": strategies("ORVN")}, 2018, ReviewPlan(8, 1, 2, seed))
    controls = [one for one in made.cases if one.kind == SHUFFLED]
    assert len(controls) == 2
    assert all(one.donor.startswith("ORVN ") and one.donor[5:12] < f"{one.date:%Y-%m}" for one in controls)


def test_one_share_without_earlier_words_of_the_same_side_has_no_controls() -> None:
    """Decisions that are left are the first LONG ones and then SHORT ones, each side's words only once."""
    own = [one for one in strategies("ORVN") if one.date.year == 2018]
    sides = [
        replace(one, direction=int(number < 2), rationale=f"words {number // 2}") for number, one in enumerate(own[:4])
    ]
    with pytest.raises(ReviewError, match="give only 0 of 1 shuffled"):
        make_study(market(), {"ORVN": sides}, 2018, ReviewPlan(3, 0, 1))


def _cases_of(ticker: str) -> list:
    every = make_study(market(), {ticker: strategies(ticker)}, 2018, ReviewPlan(13, 0, 0))
    return [one for one in every.cases if one.kind == MODEL]


def test_the_outcome_is_earned_from_the_close_after_the_decision() -> None:
    case = study().cases[0]
    closes = market().bars(case.ticker)["close"]
    row = closes.index.get_loc(case.date)
    assert case.outcome == pytest.approx(closes.iloc[row + 21] / closes.iloc[row + 1] - 1)
    assert case.right_side == ("LONG" if case.outcome >= 0 else "SHORT")


def test_reviewers_see_their_own_order_and_no_later_month_of_a_share_before_an_earlier_one() -> None:
    made = study(repeats=3, cases=14)
    orders = {order_of(made, f"R{number:02d}") for number in range(12)}
    assert len(orders) > 8
    for order in orders:
        assert sorted(order) == sorted(one.id for one in made.cases)
        for ticker in TICKERS:
            dates = [made.case(name).date for name in order if made.case(name).ticker == ticker]
            assert dates == sorted(dates)
        for one in made.cases:
            if one.repeats:
                assert order.index(one.id) > order.index(one.repeats)


def test_a_second_showing_comes_late() -> None:
    made = study()
    (again,) = (one for one in made.cases if one.repeats)
    apart = [
        order_of(made, f"R{one}").index(again.id) - order_of(made, f"R{one}").index(again.repeats) for one in "abc"
    ]
    assert min(apart) >= 4


def test_prices_are_rebased_and_end_with_the_decision() -> None:
    case = study().cases[0]
    closes = market().bars(case.ticker)["close"]
    row = closes.index.get_loc(case.date)
    expected = 100 * closes.iloc[row - 252 : row + 1] / closes.iloc[row]
    np.testing.assert_allclose(case.shown["prices"], expected, atol=0.051)
    assert case.shown["prices"][-1] == 100


def test_fundamentals_and_the_economy_are_shown_as_changes() -> None:
    for group in study().cases[0].shown["groups"]:
        if "as changes" in group["title"]:
            assert group["rows"]
            assert all(name.endswith(("_qoq", "_yoy")) for name, _, _ in group["rows"])


def test_what_the_model_read_is_shown_in_every_case_but_no_amount_that_tells_the_company() -> None:
    made = study()
    for case in made.cases:
        fields = {
            name for group in case.shown["groups"] for name in [row[0] for row in group["rows"]] + group["missing"]
        }
        assert {"rsi_14", "debt_to_equity"} <= fields
        assert not fields & {"volume", "enterprise_value", "ebitda_ttm"}


def test_nothing_after_the_decision_is_shown() -> None:
    """A market that ends with the decision gives the same first half."""
    case = next(one for one in study().cases if one.kind == MODEL and not one.repeats)
    cut = ll.truncated(market(), case.date, case.ticker)
    closes = market().bars(case.ticker)["close"].loc[: case.date]
    known = ll.features(cut, case.ticker, case.date)
    others = [row[0] for group in case.shown["groups"] if group["title"] == "Other figures" for row in group["rows"]]
    assert what_was_known(known, closes, others, names_of(market())) == case.shown


NAMES = (
    "ORVN", "KSTV", "QLRY", "FLMK", "BLMR", "HDRN", "Orvane", "Kestrova", "Quillory", "Flumark", "Bellmire", "Velkra",
    "Quellin",
)  # fmt: skip


def test_no_name_and_no_date_is_in_a_packet_even_behind_the_curtain() -> None:
    made = study()
    sent = packet(made, "R01")
    texts = [sent.html] + [opened(one["curtain"], one["id"], "LONG 2") for one in sent.data["cases"]]
    for text in texts:
        assert not [name for name in NAMES if name.lower() in text.lower()]
        assert not re.search(r"\b(?:19|20)\d\d-\d\d\b|\b2017\b|\b2018\b|\b2019\b", text)
    assert all(market().name not in text for text in texts)


def test_what_the_model_said_is_nowhere_in_the_page_as_text() -> None:
    made = study()
    sent = packet(made, "R01")
    assert SECRET not in sent.html
    assert "orders of" not in sent.html
    for one, name in zip(sent.data["cases"], sent.order, strict=True):
        for prediction in predictions():
            said = json.loads(opened(one["curtain"], name, prediction))
            assert SECRET in said["rationale"]
        with pytest.raises(KeyError):
            opened(one["curtain"], name, "HOLD 2")


def test_a_curtain_needs_a_prediction_and_its_own_case() -> None:
    text = "ünder the rug " * 9
    curtain = drawn(text, "a", "secret")
    assert {opened(curtain, "a", one) for one in predictions()} == {text}
    assert text not in repr(curtain)
    swapped = {**curtain, "keys": {**curtain["keys"], "LONG 1": curtain["keys"]["SHORT 3"]}}
    for case, one in (("b", curtain), ("a", swapped)):
        try:
            assert opened(one, case, "LONG 1") != text
        except UnicodeDecodeError:
            continue
    assert drawn(text, "a", "other")["cipher"] != curtain["cipher"]


def test_a_packet_is_one_file_that_loads_nothing_and_gives_no_kind_away() -> None:
    sent = packet(study(), "R01")
    outside = r"""(?:src|href)\s*=|https?://(?!www\.w3\.org/2000/svg)|@import|url\("""
    assert not re.findall(outside, sent.html)
    assert "default-src 'none'" in sent.html
    assert {key for one in sent.data["cases"] for key in one} == {"id", "prices", "groups", "news", "curtain"}
    assert packet(study(), "R01").html == sent.html
    assert packet(study(), "R02").digest != sent.digest


@pytest.mark.parametrize("label", ["", "R 1", "../R1", "<b>", "R" * 41, "é"])
def test_reviewers_are_labels(label: str) -> None:
    with pytest.raises(ReviewError, match="no label of a reviewer"):
        packet(study(), label)


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_the_first_page_says_minutes_by_the_number_of_cases() -> None:
    html = packet(study(4, 1, 0), "R01").html
    [line] = re.findall(r"const minutes = (.*?);", html)
    code = f"console.log([1, 4, 8, 12, 24].map(length => {line.replace('packet.cases.length', 'length')}).join())"
    said = subprocess.run(["node", "-e", code], capture_output=True, text=True, timeout=120, check=True).stdout.strip()
    assert said == "5,5,10,15,30"
    assert "about ${minutes} minutes" in html


def test_hostile_headlines_stay_text_in_the_page() -> None:
    made = study()
    case = made.cases[0]
    hostile = {**case.shown, "news": {"lines": [[1, "</script><script>alert(1)</script><!--"]], "of": 1}}
    sent = packet(replace(made, cases=(replace(case, shown=hostile), *made.cases[1:])), "R01")
    assert sent.html.count("</script>") == 2
    assert "<!--" not in sent.html


def test_rationales_by_people_are_mixed_in_blind() -> None:
    last = strategies("KSTV")[-3]
    human = [replace(last, rationale="written by a person", findings=(), factors=None, weights=(), evidence=())]
    made = make_study(market(), {one: strategies(one) for one in TICKERS}, 2018, ReviewPlan(12, 1, 1), human)
    kinds = Counter(one.kind for one in made.cases)
    assert kinds == {MODEL: 10, SHUFFLED: 1, HUMAN: 1}
    assert not any(one.said[part] for one in made.cases for part in ("findings", "factors", "weights", "evidence"))
    assert len({(one.ticker, one.date) for one in made.cases if not one.repeats}) == 11


def test_rationales_of_another_year_are_refused() -> None:
    human = [replace(strategies("KSTV")[2], rationale="written by a person")]
    with pytest.raises(ReviewError, match=r"is of KSTV on 2017-.*, and the study of 2018"):
        make_study(market(), {one: strategies(one) for one in TICKERS}, 2018, ReviewPlan(12, 1, 1), human)


@pytest.mark.parametrize(
    ("plan", "year", "message"),
    [
        (ReviewPlan(3, 1, 2), 2018, "leave 0 for the model"),
        (ReviewPlan(60, 1, 2), 2018, "give fewer --cases"),
        (ReviewPlan(12, 1, 2), 1999, "there are some of 2017 to 2018"),
        (ReviewPlan(41, 1, 3), 2018, "give only 0 of 3 shuffled"),
    ],
)
def test_plans_that_cannot_be_kept_are_refused(plan: ReviewPlan, year: int, message: str) -> None:
    with pytest.raises(ReviewError, match=message):
        make_study(market(), {ticker: strategies(ticker) for ticker in TICKERS}, year, plan)


def test_the_dates_of_a_study_are_days() -> None:
    assert all(isinstance(one.date, pd.Timestamp) for one in study().cases)


def test_figures_have_plain_labels_with_their_units() -> None:
    told = packet(study(), "R01").data["labels"]
    assert told["skew_30d_change_20d"] == ["change of skew over 20 days", "% points"]
    assert told["close"][1] == "% of the close"
    assert told["debt_to_equity"][1] == ""
    named = {name for case in study().cases for group in case.shown["groups"] for name, *_ in group["rows"]}
    named |= {name for case in study().cases for group in case.shown["groups"] for name in group["missing"]}
    assert named <= told.keys()
    assert not [name for name in told if FIELDS[name].unit in ("shares", "currency")]
