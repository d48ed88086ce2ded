"""Paired tests against published examples, and Holm's correction by hand."""

import math

import numpy as np
import pytest

from llmrl_lib.evidence.paired import holm, paired_test

# "Student" (1908), additional hours of sleep by two drugs on the same ten patients
DRUG_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
DRUG_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
# Hollander & Wolfe (1973), depression scale of nine patients before and after: V = 40, exact p 0.0391 two-sided
BEFORE = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]


def test_students_sleep() -> None:
    """t = -4.0621 with 9 degrees of freedom, p 0.002833, interval of the difference -2.4599 to -0.7001."""
    found = paired_test(DRUG_1, DRUG_2)
    assert found.difference == pytest.approx(-1.58)
    assert found.t_p_value == pytest.approx(0.002833, abs=5e-7)
    assert (found.low, found.high) == (pytest.approx(-2.4599, abs=5e-5), pytest.approx(-0.7001, abs=5e-5))
    assert found.wins == pytest.approx(0.05)  # one tie
    assert found.effect == pytest.approx(-4.0621 / math.sqrt(10), abs=1e-4)


def test_hollanders_depression_scale() -> None:
    assert paired_test(BEFORE, AFTER).wilcoxon_p_value == pytest.approx(0.0391, abs=5e-5)


def test_pairs_on_equal_seeds_see_what_groups_do_not() -> None:
    generator = np.random.default_rng(0)
    seeds = generator.normal(0.0, 1.0, 10)
    assert paired_test(seeds + 0.2 + generator.normal(0, 0.1, 10), seeds).t_p_value < 0.01


def test_no_difference_is_rejected_at_the_nominal_rate() -> None:
    generator = np.random.default_rng(1)
    found = [paired_test(*generator.normal(size=(2, 10))) for _ in range(500)]
    assert np.mean([one.t_p_value < 0.05 for one in found]) == pytest.approx(0.05, abs=0.025)
    assert np.mean([one.wilcoxon_p_value < 0.05 for one in found]) == pytest.approx(0.05, abs=0.025)


def test_equal_arms_say_nothing() -> None:
    found = paired_test([1.0, 2.0], [1.0, 2.0])
    assert math.isnan(found.t_p_value)
    assert (found.wilcoxon_p_value, found.wins, found.low, found.high) == (1.0, 0.5, 0.0, 0.0)


def test_holm_by_hand() -> None:
    """0.01 x 4, 0.02 x 3, 0.03 x 2 raised to the one before, 0.9: steps stop at the first that is not rejected."""
    table = holm({"c": 0.03, "a": 0.01, "d": 0.9, "b": 0.02})
    assert table.index.tolist() == ["c", "a", "d", "b"]
    assert table["corrected"].tolist() == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert table["rejected"].tolist() == [False, True, False, False]


def test_a_comparison_that_says_nothing_still_counts() -> None:
    table = holm({"a": 0.03, "b": float("nan")})
    assert table.loc["a", "corrected"] == pytest.approx(0.06)
    assert not table["rejected"].any()
    assert np.isnan(table.loc["b", "corrected"])


@pytest.mark.parametrize("pair", [([1.0], [2.0]), ([1.0, 2.0], [1.0]), ([1.0, float("inf")], [1.0, 2.0])])
def test_what_is_no_pair_of_arms_is_named(pair) -> None:
    with pytest.raises(ValueError, match=r"same seeds|finite number"):
        paired_test(*pair)


def test_what_is_no_p_value_is_named() -> None:
    with pytest.raises(ValueError, match=r"'a' has p-value 1\.5"):
        holm({"a": 1.5})
    with pytest.raises(ValueError, match="no p-value was given"):
        holm({})
