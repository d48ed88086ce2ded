"""Calibration: parts of the score that add up, truth recovered where it is known, and the share that chance explains."""

import math

import numpy as np
import pytest

from llmrl_lib.evidence.calibration import calibration, reliability_table, wilson


def forecasts(number: int, count: int, stretch: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and outcomes; the true log-odds are `stretch` times the stated ones."""
    generator = np.random.default_rng(number)
    odds = generator.normal(0.0, 1.0, count)
    return 1 / (1 + np.exp(-odds)), generator.random(count) < 1 / (1 + np.exp(-stretch * odds))


def test_the_score_of_four_forecasts_by_hand() -> None:
    found = calibration([0.2, 0.2, 0.8, 0.8], [0, 1, 1, 1], bins=2)
    assert found.brier == pytest.approx((0.04 + 0.64 + 0.04 + 0.04) / 4)
    assert found.frequency == 0.75
    assert found.uncertainty == pytest.approx(0.75 * 0.25)
    assert found.reliability == pytest.approx((0.3**2 + 0.2**2) / 2)  # bins observed 0.5 and 1
    assert found.resolution == pytest.approx(0.25**2)
    assert found.within == pytest.approx(0.0)
    assert found.skill == pytest.approx(1 - 0.19 / 0.1875)
    assert found.calibration_error == pytest.approx(0.25)


def test_the_parts_of_the_score_add_up() -> None:
    found = calibration(*forecasts(0, 500), bins=7)
    assert found.brier == pytest.approx(found.reliability - found.resolution + found.uncertainty + found.within)
    assert abs(found.within) < 0.01


def test_one_who_always_states_the_frequency_has_no_skill_and_no_error() -> None:
    found = calibration(np.full(100, 0.4), np.arange(100) < 40)
    assert found.skill == pytest.approx(0.0)
    assert found.calibration_error == pytest.approx(0.0)
    assert found.p_value == 1.0


def test_p_values_of_calibrated_forecasters_are_uniform_and_of_overconfident_ones_small() -> None:
    right = [calibration(*forecasts(number, 120), draws=199).p_value for number in range(200)]
    assert np.mean(np.array(right) <= 0.05) == pytest.approx(0.05, abs=0.04)
    assert np.mean(right) == pytest.approx(0.5, abs=0.07)
    wrong = [calibration(*forecasts(number, 400, stretch=0.2), draws=199).p_value for number in range(20)]
    assert np.mean(np.array(wrong) <= 0.05) > 0.9


def test_the_error_of_a_calibrated_forecaster_is_what_chance_is_said_to_show() -> None:
    found = [calibration(*forecasts(number, 60), draws=199) for number in range(200)]
    assert np.mean([one.calibration_error for one in found]) == pytest.approx(
        np.mean([one.chance_error for one in found]), rel=0.06
    )
    assert found[0].chance_error > 0.04  # sixty outcomes never look calibrated


def test_shares_of_a_calibrated_forecaster_lie_within_their_limits() -> None:
    inside = []
    for number in range(150):
        table = reliability_table(*forecasts(number, 200), bins=5, draws=400)
        inside += list((table["low"] <= table["observed"]) & (table["observed"] <= table["high"]))
        assert table["count"].sum() == 200
        assert table["count"].between(39, 41).all()
        assert table["forecast"].is_monotonic_increasing
    assert np.mean(inside) == pytest.approx(0.96, abs=0.03)


def test_equal_probabilities_share_a_bin_and_few_forecasts_have_few_bins() -> None:
    table = reliability_table([0.3] * 30 + [0.6] * 30, [0, 1] * 30)
    assert list(table["count"]) == [30, 30]
    assert list(table["forecast"]) == pytest.approx([0.3, 0.6])
    for share in (3, 12, 21):  # two values stay apart, however often each was stated
        table = reliability_table([0.01] * share + [0.99] * (24 - share), [0] * share + [1] * (24 - share), bins=2)
        assert list(table["count"]) == [share, 24 - share]
    assert len(reliability_table(*forecasts(0, 26))) == 2
    assert len(reliability_table(*forecasts(0, 5))) == 1
    assert len(reliability_table(*forecasts(0, 2000))) == 10


def test_wilsons_interval() -> None:
    low, high = wilson(5, 10)
    assert (low, high) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 10)[0] == pytest.approx(0.0, abs=1e-12)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_all_outcomes_alike_leave_no_skill_to_speak_of() -> None:
    assert math.isnan(calibration([0.6, 0.7], [1, 1]).skill)


@pytest.mark.parametrize(
    ("probabilities", "outcomes", "said"),
    [
        ([], [], "a probability for each outcome"),
        ([0.5], [1, 0], "a probability for each outcome"),
        ([0.5, 1.5], [1, 0], "forecast 1 is 1.5"),
        ([0.5, math.nan], [1, 0], "forecast 1 is nan"),
        ([0.5, 0.5], [1, math.nan], "outcome 1 is nan"),
    ],
)
def test_what_is_no_forecast_is_refused(probabilities: list[float], outcomes: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        calibration(probabilities, outcomes)
