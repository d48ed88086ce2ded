"""Costs, delay, constant positions, placebos, windows and trials, on trajectories whose truth is known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from audited import STEPS, TEST, Recorded, by_chance, case, foresight, market, noise

from llmrl_lib.evidence.audit import AuditError, count_trials, record_trial
from llmrl_lib.evidence.audit.constant import constant
from llmrl_lib.evidence.audit.execution import COSTS, accounting, break_even, break_even_table, cost_sweep, costs, delay
from llmrl_lib.evidence.audit.placebos import REQUIRED, placebos
from llmrl_lib.evidence.audit.trials import trials
from llmrl_lib.evidence.audit.windows import cutoff, split_dates, windows_of
from llmrl_lib.evidence.sharpe import luck_corrected
from llmrl_lib.market.dataset import Dataset

HOLD = np.ones(STEPS, np.int64)
MOVE = 0.0046  # of the price, up one day and back the next


@pytest.fixture
def swinging(tmp_path: Path) -> Dataset:
    """A price that goes up by MOVE and back, day after day."""
    return market(tmp_path / "swinging", np.where(np.arange(TEST) % 2 == 0, MOVE, 1 / (1 + MOVE) - 1))


@pytest.fixture
def noisy(tmp_path: Path) -> Dataset:
    return market(tmp_path / "noisy", noise(0))


def only(findings, about=None):
    [found] = [one for one in findings if about in (None, one.about)]
    return found


def test_who_changes_sides_daily_breaks_even_at_half_the_move(swinging: Dataset) -> None:
    """A change of side costs twice the rate of equity and earns the move: nothing is left at MOVE / 2 = 23 basis points."""
    found = only(costs(case(swinging, {"guided": foresight(swinging), "unguided": HOLD})), "guided > unguided")
    assert found.figures["break-even, bp"] == pytest.approx(1e4 * MOVE / 2, abs=0.3)
    assert found.mark == "pass"  # 10 were charged, and 20 are borne
    assert "not retrained" not in found.sentence
    assert "with the policy as it was trained" in found.sentence


def test_every_arm_has_its_break_even_against_holding(swinging: Dataset) -> None:
    table = break_even_table(case(swinging, {"guided": foresight(swinging), "mean_reversion": 1 - foresight(swinging)}))
    assert table.loc["guided", "break_even"] == pytest.approx(1e4 * MOVE / 2, abs=0.3)
    assert math.isnan(table.loc["mean_reversion", "break_even"])  # it loses without any costs
    assert (table["at_0"] > table["as_charged"]).all()


def test_an_advantage_that_ends_between_the_charged_cost_and_twice_it_fails(tmp_path: Path) -> None:
    data = market(tmp_path / "small", np.where(np.arange(TEST) % 2 == 0, 0.0030, 1 / 1.0030 - 1))
    found = only(costs(case(data, {"guided": foresight(data), "unguided": HOLD})), "guided > unguided")
    assert (found.mark, found.figures["break-even, bp"]) == ("fail", pytest.approx(15.0, abs=0.3))
    assert "short of the 20 asked for" in found.sentence


def test_costs_beyond_the_sweep_are_swept_too(noisy: Dataset) -> None:
    made = case(noisy, {"guided": by_chance(0)})
    dear = replace(made, settings=replace(made.settings, cost_rate=0.006))
    sweep = cost_sweep(dear)
    assert list(sweep.index)[-3:] == [50, 60, 120]
    assert sweep.loc[120, "guided"] < sweep.loc[60, "guided"] < sweep.loc[50, "guided"]


def test_the_sweep_at_the_charged_cost_is_what_was_recorded(noisy: Dataset) -> None:
    made = case(noisy, {"guided": np.stack([by_chance(seed) for seed in range(3)])})
    sweep = cost_sweep(made)
    assert list(sweep.index) == list(COSTS)
    assert sweep.loc[10, "guided"] == pytest.approx(made.sharpe("guided").mean(), abs=1e-12)
    assert (sweep["guided"].diff().dropna() < 0).all()  # it trades, so each basis point costs
    assert sweep["buy_and_hold"].diff().abs().max() < 0.01  # it trades once


@pytest.mark.parametrize(
    ("differences", "charged", "end"),
    [
        ([3.0, 2.0, 1.0, 0.0, -1.0], 10, 15.0),
        ([3.0, 2.5, 2.0, 1.5, 1.0], 10, math.inf),
        ([1.0, -1.0, -2.0, -3.0, -4.0], 10, 2.5),
        ([-1.0, -1.0, -2.0, -3.0, -4.0], 10, math.nan),
        ([-1.0, 0.5, 1.0, -1.0, 2.0], 10, 12.5),
        ([2.0, 1.0, -1.0, -2.0, -3.0], 6, 7.5),
    ],
)
def test_break_even_by_hand(differences, charged, end) -> None:
    found = break_even(pd.Series(differences, index=[0, 5, 10, 15, 20]), charged)
    assert found == pytest.approx(end, nan_ok=True)


def test_foresight_of_one_day_does_not_survive_a_delay_of_one_day(noisy: Dataset, swinging: Dataset) -> None:
    for data in (noisy, swinging):
        found = only(delay(case(data, {"guided": foresight(data), "unguided": HOLD})), "guided > unguided")
        assert found.mark == "fail"
        assert found.figures["at once"] > 2 > 0.5 > found.figures["a day late"]


def test_a_slow_advantage_survives_it(tmp_path: Path) -> None:
    drift = np.where(np.arange(TEST) < 150, 0.004, -0.004)
    data = market(tmp_path / "slow", drift + noise(1, scale=0.005))
    slow = (np.arange(30, TEST) < 150).astype(np.int64)
    found = only(delay(case(data, {"guided": slow, "unguided": HOLD})), "guided > unguided")
    assert found.mark == "pass"
    assert found.figures["a day late"] == pytest.approx(found.figures["at once"], rel=0.1)


def test_a_delay_moves_every_action_by_one_bar(noisy: Dataset) -> None:
    actions = by_chance(0)
    late = np.concatenate([[0], actions[:-1]])
    made = case(noisy, {"guided": actions})
    again = made.traded_again(0.0, delay=1)["guided"]
    assert again["action"].shape == (1, STEPS - 1)
    assert (again["position"][0] == np.where(late[1:] == 1, 1, -1)).all()


def test_recorded_equity_must_be_what_the_actions_earn(noisy: Dataset) -> None:
    made = case(noisy, {"guided": by_chance(0)})
    assert only(accounting(made)).mark == "pass"
    table = made.arms["guided"].trajectories.copy()
    table.loc[100:, "equity"] += 1.0
    forged = case(noisy, {})
    forged.arms["guided"] = Recorded("guided", table)
    found = only(accounting(forged))
    assert found.mark == "fail"
    assert "equity of guided is not" in found.sentence


def test_arms_of_other_days_are_refused(noisy: Dataset) -> None:
    made = case(noisy, {"guided": by_chance(0)})
    made.arms["guided"] = Recorded("guided", made.arms["guided"].trajectories.iloc[:-1])
    with pytest.raises(AuditError, match="AAA guided was traded on 269 test days that are not the last ones"):
        accounting(made)


def test_an_arm_that_began_later_is_flat_before(noisy: Dataset) -> None:
    made = case(noisy, {"guided": HOLD, "llm_only": HOLD})
    table = made.arms["llm_only"].trajectories
    late = table[table["date"] >= table["date"].iloc[100]]
    made.arms["llm_only"] = Recorded("llm_only", late)
    assert (made.returns("llm_only")[0, :100] == 0).all()
    assert made.returns("llm_only").shape == made.returns("guided").shape
    assert made.traded(0.001)["llm_only"].shape == (1,)


def test_collapsed_runs_are_counted(noisy: Dataset) -> None:
    nearly = HOLD.copy()
    nearly[:5] = 0  # 98 % long
    unsure = HOLD.copy()
    unsure[:20] = 0  # 93 % long
    made = case(noisy, {"guided": [HOLD, nearly, unsure, by_chance(0)], "unguided": [unsure, by_chance(0)]})
    guided, unguided = constant(made)
    assert guided.figures == {"runs": 4, "constant": 0.25, "nearly constant": 0.5}
    assert (guided.about, guided.mark, unguided.mark) == ("guided", "fail", "pass")
    assert only(constant(case(noisy, {}))).mark == "not available"


def seeds_of(data: Dataset, hit_rate: float, first: int = 0, seeds: int = 6) -> np.ndarray:
    return np.stack([foresight(data, hit_rate, first + seed) for seed in range(seeds)])


def test_advice_beats_placebos_and_a_placebo_does_not(noisy: Dataset) -> None:
    controls = {
        "placebo_random": seeds_of(noisy, 0.5, 100), "placebo_permuted": seeds_of(noisy, 0.5, 200),
        "placebo_flipped": seeds_of(noisy, 0.65), "placebo_shifted_1": seeds_of(noisy, 0.65),
    }  # fmt: skip
    found = only(placebos(case(noisy, {"guided": seeds_of(noisy, 0.65), **controls})))
    assert found.mark == "pass"
    assert found.table is not None
    same = ["placebo_shifted_1", "placebo_flipped"]  # agents that learned from what is late, or has the other sign
    assert not found.table.loc[same, "required"].any()
    assert (found.table.loc[same, "difference"] == 0).all()
    tested = found.table.drop(index=same)
    assert (tested["corrected"] >= tested["p_value"]).all()
    blind = only(placebos(case(noisy, {"guided": seeds_of(noisy, 0.5, 300), **controls})))
    assert blind.mark == "fail"
    assert "not shown to be above advice that is" in blind.sentence


def test_arms_that_collapsed_say_nothing_about_advice(noisy: Dataset) -> None:
    """Every seed always long against every seed always short: a difference without any chance in it."""
    always = np.ones((5, STEPS), np.int64)
    controls = dict.fromkeys(("placebo_random", "placebo_permuted", "placebo_flipped"), 1 - always)
    made = case(noisy, {"guided": always, **controls})
    other = case(noisy, {"guided": 1 - always, **dict.fromkeys(controls, always)})
    assert {only(placebos(made)).mark, only(placebos(other)).mark} == {"fail"}


def test_luck_of_the_one_true_draw_is_not_taken_for_knowledge(noisy: Dataset) -> None:
    """Advice of pure chance that happened to do well on these days beats false advice that is drawn anew for every seed."""
    seeds = 12
    draws = [seeds_of(noisy, 0.5, 5000 + number, 1) for number in range(40)]
    alone = [float(case(noisy, {"guided": draw}).sharpe("guided").mean()) for draw in draws]
    lucky = np.repeat(draws[int(np.argsort(alone)[35])], seeds, 0)
    controls = {name: seeds_of(noisy, 0.5, 100 * place, seeds) for place, name in enumerate(REQUIRED, 1)}
    found = only(placebos(case(noisy, {"guided": lucky, **controls})))
    assert found.table is not None
    assert (found.table["corrected"] < 0.05).all()
    assert (found.table["path_corrected"] > 0.05).all()
    assert found.mark == "fail"
    assert "beyond the chance of training alone" in found.sentence


def test_placebos_that_were_not_run_are_no_pass(noisy: Dataset) -> None:
    arms = {"guided": seeds_of(noisy, 0.65), "placebo_random": seeds_of(noisy, 0.5, 100)}
    found = only(placebos(case(noisy, arms)))
    assert found.mark == "not available"
    assert "Not run: permuted." in found.sentence
    assert only(placebos(case(noisy, {"guided": HOLD}))).mark == "not available"
    one = only(placebos(case(noisy, {"guided": HOLD, "placebo_random": by_chance(0)})))
    assert (one.mark, "two or more" in one.sentence) == ("not available", True)


@pytest.mark.slow
def test_blind_advice_passes_at_most_at_the_nominal_rate(tmp_path: Path) -> None:
    """Three rejections at once are rarer than one of twenty: 20 runs, guided as blind as its placebos."""
    passed = 0
    data = market(tmp_path / "one", noise(7))
    for draw in range(20):
        names = ("guided", "placebo_random", "placebo_permuted", "placebo_flipped")
        arms = {name: seeds_of(data, 0.5, 10_000 * draw + 1000 * place) for place, name in enumerate(names)}
        passed += only(placebos(case(data, arms))).mark == "pass"
    assert passed <= 2


def test_a_result_of_one_half_fails_and_a_steady_one_passes(noisy: Dataset) -> None:
    steady = foresight(noisy, 0.7)
    early = np.where(np.arange(STEPS) < STEPS // 2, foresight(noisy), 1 - foresight(noisy))
    for actions, mark in ((steady, "pass"), (early, "fail")):
        found = only(split_dates(case(noisy, {"guided": actions, "unguided": by_chance(5)})), "guided > unguided")
        assert found.mark == mark
    assert found.figures["largest"] > 0 > found.figures["smallest"]
    assert found.table is not None
    row = found.table.loc["the whole"]
    assert row["low"] < row["spread_difference"] < row["high"]


def test_windows_are_named_and_short_ones_left_out() -> None:
    days = pd.bdate_range("2018-01-01", periods=270)
    found = windows_of(days)
    assert list(found) == ["the whole", "3 months later", "6 months later", "the first half", "the second half"]
    assert days[found["6 months later"]][0] == pd.Timestamp("2018-07-02")
    assert (found["the first half"] ^ found["the second half"]).all()


def test_days_before_a_cutoff_prove_nothing(noisy: Dataset) -> None:
    days = noisy.test_bars("AAA").index
    late = np.where(np.arange(STEPS) < 150, foresight(noisy), 1 - foresight(noisy))
    arms = {"guided": late, "unguided": by_chance(0)}

    def mark(day: object) -> str:
        return only(cutoff(case(noisy, arms, cutoff=day))).mark

    assert mark(None) == "not available"
    assert mark("never") == "pass"
    assert mark(days[-10]) == "fail"  # all that counts lies before it
    assert mark(days[0]) == "pass"
    found = only(cutoff(case(noisy, arms, cutoff=days[30 + 149])))
    assert found.mark == "fail"
    assert found.figures["before"] > 0 > found.figures["after"]
    assert only(cutoff(case(noisy, {}, cutoff="never"))).mark == "not available"


def test_the_more_was_tried_the_less_the_best_says(noisy: Dataset) -> None:
    arms = {"guided": foresight(noisy, 0.75), "unguided": by_chance(0), "oracle_100": foresight(noisy)}
    few, many = case(noisy, arms, trials=3), case(noisy, arms, trials=10**9)
    best = only(trials(few), "best arm")
    assert (best.mark, best.figures["trials"]) == ("pass", 3)  # the oracle is no trial, and never the best
    assert "the best is guided" in best.sentence
    assert best.figures["probability above luck"] == pytest.approx(luck_corrected(few.returns("guided")[0], 3))
    assert only(trials(many), "best arm").mark == "fail"
    assert only(trials(case(noisy, arms)), "best arm").sentence.startswith("Of at least 3 configurations")
    excess = few.returns("guided")[0] - few.returns("unguided")[0]
    versus = only(trials(few), "guided > unguided")
    assert versus.figures["probability above luck"] == pytest.approx(luck_corrected(excess, 3))
    same = only(trials(case(noisy, {"guided": HOLD, "unguided": HOLD})), "guided > unguided")
    assert same.mark == "not available"


def test_configurations_are_counted_once_and_forever(tmp_path: Path) -> None:
    assert count_trials(tmp_path) is None
    assert record_trial(tmp_path, {"ticker": "AAA", "arm": "guided", "prompt": "p1"}) == 1
    assert record_trial(tmp_path, {"prompt": "p1", "arm": "guided", "ticker": "AAA"}) == 1  # resumed
    assert record_trial(tmp_path, {"ticker": "AAA", "arm": "guided", "prompt": "p2"}) == 2
    assert record_trial(tmp_path, {"ticker": "BBB", "arm": "unguided"}) == 3
    assert record_trial(tmp_path, {"ticker": "AAA", "arm": "placebo_random"}) == 4
    assert record_trial(tmp_path, {"prompt": "p3"}) == 5  # of all tickers
    assert (count_trials(tmp_path), count_trials(tmp_path, "AAA"), count_trials(tmp_path, "BBB")) == (4, 3, 2)


def test_a_torn_line_loses_itself_alone(tmp_path: Path) -> None:
    record_trial(tmp_path, {"arm": "guided"})
    with (tmp_path / "trials.jsonl").open("a") as file:
        file.write('{"key": "torn')
    record_trial(tmp_path, {"arm": "unguided"})
    assert count_trials(tmp_path) == 2


def _record(folder: str, first: int) -> None:
    for number in range(first, first + 20):
        record_trial(folder, {"arm": "guided", "number": number})


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    context = get_context("fork")
    workers = [context.Process(target=_record, args=(str(tmp_path), 20 * place)) for place in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert count_trials(tmp_path) == 60
    lines = [line for line in (tmp_path / "trials.jsonl").read_text().splitlines() if line]
    assert {json.loads(line)["configuration"]["number"] for line in lines} == set(range(60))
