"""Scores, agreement and bias: hand-computed examples, the krippendorff package, and reviewers whose traits are known."""

import krippendorff
import numpy as np
import pandas as pd
import pytest
from reviewed import study

from llmrl_lib.experiments.reviewing import SIMULATED
from llmrl_lib.strategy.review.agreement import agreement_table, alpha_of, with_oneself
from llmrl_lib.strategy.review.bias import ALL, agreement_effect, halo_table, hit_rates, reviewers_table
from llmrl_lib.strategy.review.collecting import answers_table
from llmrl_lib.strategy.review.resampling import mean_interval
from llmrl_lib.strategy.review.rubric import DIMENSIONS
from llmrl_lib.strategy.review.scores import (
    expert_review_score,
    matrix,
    scores_by_background,
    scores_by_kind,
    scores_table,
)
from llmrl_lib.strategy.review.simulated import Traits, expected_effect, quality_of, simulated_sheets
from llmrl_lib.strategy.review.study import ReviewError, Study

NAN = float("nan")


def answers(ratings: list[list[float]], **columns: object) -> pd.DataFrame:
    """A table of answers with these ratings (reviewers, cases) in every dimension."""
    rows = [
        {
            "reviewer": f"R{reviewer}", "case": f"c{case}", "kind": "model", "repeats": "", "simulated": False,
            "group": "retail", "years": 3, "place": case + 1, "own_side": "LONG", "side": "LONG", "agrees": True,
            "right_side": "LONG", "comment": "", "ticker": "AAA", "date": pd.Timestamp("2018-01-02"), "seconds": 40,
            **dict.fromkeys(DIMENSIONS, rating), **columns,
        }
        for reviewer, row in enumerate(ratings)
        for case, rating in enumerate(row)
        if not np.isnan(rating)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def drawn(made: Study, traits: list[Traits], seed: int = 0) -> pd.DataFrame:
    return answers_table(made, simulated_sheets(made, traits, quality_of(made, seed), seed))


@pytest.fixture(scope="module")
def large() -> Study:
    return study(36, 3, 3)


def test_the_score_is_the_mean_over_ratings() -> None:
    table = answers([[1, 2, 3], [3, 3, NAN]])
    found = expert_review_score(table, "rationale")
    assert found.value == pytest.approx(12 / 5)
    assert found.count == 5


def test_controls_and_second_showings_do_not_count() -> None:
    table = answers([[3, 3, 1, 1]])
    table.loc[2, "kind"] = "shuffled"
    table.loc[3, "repeats"] = "c0"
    assert expert_review_score(table, "safety").value == 3
    kinds = scores_by_kind(table)
    assert list(zip(kinds["kind"], kinds["score"], strict=True)) == [("model", 3.0)] * 3 + [("shuffled", 1.0)] * 3


def test_an_interval_by_hand() -> None:
    """Two reviewers who agree on two cases of 1 and 3: the mean is 1, 2 or 3 with chances 1/4, 1/2, 1/4, whoever is drawn."""
    values = np.array([[1.0, 3.0], [1.0, 3.0]])
    assert (mean_interval(values).low, mean_interval(values).high) == (1.0, 3.0)
    narrow = mean_interval(values, level=0.4)
    assert (narrow.low, narrow.high) == (2.0, 2.0)


def test_an_interval_of_both_ways_by_enumeration() -> None:
    """All 16 draws of two reviewers and two cases, each counted as often as it comes."""
    values = np.array([[1.0, 2.0], [2.0, 3.0]])
    every = [
        np.mean([values[row, column] for row in rows for column in columns])
        for rows in ((0, 0), (0, 1), (1, 0), (1, 1))
        for columns in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    found = mean_interval(values, draws=40_000, level=0.8)
    expected = np.quantile(every, [0.1, 0.9], method="inverted_cdf")
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_the_interval_is_about_as_wide_as_the_variance_of_both_ways() -> None:
    """Reviewers and cases with effects of known size: the variance of the mean is a/R + b/C + c/(R C)."""
    source = np.random.default_rng(3)
    reviewers, cases, covered = 12, 12, 0
    for trial in range(200):
        values = (
            0.5 * source.standard_normal((reviewers, 1))
            + 0.5 * source.standard_normal((1, cases))
            + 0.5 * source.standard_normal((reviewers, cases))
        )
        found = mean_interval(values, draws=400, seed=trial)
        covered += found.low <= 0 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_ratings_that_are_all_alike_have_an_interval_of_no_width_and_no_alpha() -> None:
    table = answers([[2, 2, 2], [2, 2, 2]])
    assert scores_table(table).loc["rationale", ["low", "high"]].tolist() == [2, 2]
    assert np.isnan(agreement_table(table).loc["rationale", "alpha"])


def test_one_rating_has_no_interval() -> None:
    found = expert_review_score(answers([[2]]), "rationale")
    assert found.value == 2
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_alpha_by_hand() -> None:
    """Two raters, four units (1,1), (3,3), (1,3), (3,3): nominal, with observed disagreement 2/8 and expected
    2 * 3 * 5 / (8 * 7), which gives 1 - (1/4) / (15/28) = 8/15; ordinal is the same where only two values occur.
    """
    ratings = np.array([[1.0, 3.0, 1.0, 3.0], [1.0, 3.0, 3.0, 3.0]])
    assert alpha_of(ratings, "nominal").value == pytest.approx(8 / 15)
    assert alpha_of(ratings, "ordinal").value == pytest.approx(8 / 15)


def test_alpha_of_krippendorffs_example() -> None:
    """Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), example C: ordinal 0.815, nominal 0.743."""
    ratings = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
            [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
        ]
    )
    assert alpha_of(ratings).value == pytest.approx(0.815, abs=5e-4)
    assert alpha_of(ratings, "nominal").value == pytest.approx(0.743, abs=5e-4)


@pytest.mark.parametrize("seed", range(8))
def test_alpha_is_that_of_the_package_on_ratings_with_gaps(seed: int) -> None:
    source = np.random.default_rng(seed)
    ratings = source.integers(1, 4, (6, 9)).astype(float)
    ratings[source.random((6, 9)) < 0.2] = NAN
    expected = krippendorff.alpha(reliability_data=ratings, level_of_measurement="ordinal")
    found = alpha_of(ratings)
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high


def test_alpha_is_one_where_all_agree_and_near_zero_where_ratings_are_drawn() -> None:
    agreed = np.tile([1.0, 2.0, 3.0, 2.0], (5, 1))
    assert alpha_of(agreed).value == pytest.approx(1.0)
    found = alpha_of(np.random.default_rng(1).integers(1, 4, (20, 60)).astype(float))
    assert abs(found.value) < 0.03


def test_agreement_with_oneself_by_hand() -> None:
    table = answers([[1, 3, 1], [2, 3, 3]])
    table.loc[table["case"] == "c2", "repeats"] = "c0"
    found = with_oneself(table).loc["fidelity"]
    assert (found["pairs"], found["alike"], found["change"]) == (2, 0.5, 0.5)
    assert found["by chance"] == 0  # each rated two cases in two ways


def test_agreement_by_chance_pairs_no_rating_with_itself() -> None:
    assert with_oneself(answers([[1, 3]])).loc["safety", "by chance"] == 0
    assert with_oneself(answers([[1, 1, 1, 3]])).loc["safety", "by chance"] == pytest.approx(3 / 6)
    assert with_oneself(answers([[1, 1, 3], [2, NAN, NAN]])).loc["safety", "by chance"] == pytest.approx(1 / 3)
    assert np.isnan(with_oneself(answers([[1]])).loc["safety", "by chance"])


def test_hit_rates_by_hand() -> None:
    table = answers([[1, 1, 1, 1], [1, 1, 1, 1]])
    table["right_side"] = ["LONG", "LONG", "SHORT", None] * 2
    table["own_side"] = ["LONG", "SHORT", "SHORT", "LONG", "SHORT", "SHORT", "SHORT", "LONG"]
    table["side"] = "LONG"
    found = hit_rates(table)
    assert found["rate"].to_dict() == pytest.approx({"reviewers": 3 / 6, "model": 4 / 6, "difference": -1 / 6})
    assert set(found["ratings"]) == {6}


def test_the_effect_of_agreeing_by_hand() -> None:
    """A case's worth and a reviewer's mildness cancel; what is left of agreeing is 1."""
    worth, mild = np.array([1.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0])
    agrees = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], float)
    table = answers((worth[None, :] + mild[:, None] + agrees).tolist())
    table["agrees"] = agrees.ravel().astype(bool)
    assert agreement_effect(table).loc["rationale", "effect"] == pytest.approx(1.0)


def test_the_interval_of_the_effect_is_that_of_dummies_clustered_by_reviewer() -> None:
    """The sandwich of the whole regression, as in Cameron and Miller (2015), on ratings with gaps."""
    source = np.random.default_rng(4)
    ratings = source.integers(1, 4, (6, 7)).astype(float)
    ratings[source.random((6, 7)) < 0.15] = NAN
    table = answers(ratings.tolist())
    table["agrees"] = source.random(len(table)) < 0.5
    constants = [pd.get_dummies(table["reviewer"]), pd.get_dummies(table["case"]).iloc[:, 1:]]
    design = np.column_stack([table["agrees"], *constants]).astype(float)
    inverse = np.linalg.inv(design.T @ design)
    rating = table["safety"].to_numpy()
    effects = inverse @ design.T @ rating
    scores = pd.DataFrame(design * (rating - design @ effects)[:, None]).groupby(table["reviewer"]).sum().to_numpy()
    small = 6 / 5 * (len(table) - 1) / (len(table) - design.shape[1])
    error = np.sqrt(small * (inverse @ scores.T @ scores @ inverse)[0, 0])
    found = agreement_effect(table).loc["safety"]
    half = 2.570582 * error  # Student's t, five degrees of freedom
    assert found[["effect", "low", "high"]].tolist() == pytest.approx(
        [effects[0], effects[0] - half, effects[0] + half]
    )


def test_intervals_of_the_effect_cover_the_truth_as_often_as_they_say_and_are_no_wider() -> None:
    """A packet of twelve cases and ten reviewers, drawn 160 times: 152 expected, standard deviation 2.8."""
    made, truth = study(), expected_effect(SIMULATED[0])
    found = pd.DataFrame([agreement_effect(drawn(made, list(SIMULATED), seed)).loc[ALL] for seed in range(160)])
    covered = ((found["low"] <= truth) & (truth <= found["high"])).sum()
    assert 142 <= covered <= 159
    assert abs(found["effect"].mean() - truth) < 0.02
    width = 2 * 2.262 * found["effect"].std()  # of the estimates as they are spread
    assert (found["high"] - found["low"]).mean() == pytest.approx(width, rel=0.2)


def test_where_everybody_always_agrees_there_is_no_effect_to_be_known() -> None:
    assert np.isnan(agreement_effect(answers([[1, 2], [3, 2]]))["effect"]).all()


def test_two_reviewers_give_an_effect_and_no_interval(large: Study) -> None:
    found = agreement_effect(drawn(large, [Traits(agreement=0.4), Traits(agreement=0.4, leniency=0.2)])).loc[ALL]
    assert not np.isnan(found["effect"])
    assert np.isnan(found["low"])
    assert np.isnan(found["high"])


@pytest.mark.parametrize("built_in", [0.0, 0.4])
def test_the_report_recovers_the_effect_of_agreeing(large: Study, built_in: float) -> None:
    traits = [Traits(agreement=built_in, noise=0.2, leniency=0.1 * (one % 2)) for one in range(24)]
    found = agreement_effect(drawn(large, traits)).loc[ALL]
    assert found["effect"] == pytest.approx(expected_effect(traits[0]), abs=0.06)
    assert found["low"] <= expected_effect(traits[0]) <= found["high"]
    assert (found["low"] > 0) == (built_in > 0)


def test_the_report_recovers_leniency(large: Study) -> None:
    found = reviewers_table(drawn(large, [Traits(leniency=0.4 * (one % 2)) for one in range(16)]))["leniency"]
    lenient, strict = found.iloc[1::2], found.iloc[::2]
    assert lenient.mean() - strict.mean() == pytest.approx(0.4 * 16 / 15, abs=0.08)  # beside the mean of the others
    assert lenient.min() > strict.max()


@pytest.mark.parametrize("halo", [0.0, 0.6])
def test_the_report_recovers_halo(large: Study, halo: float) -> None:
    found = halo_table(drawn(large, [Traits(halo=halo)] * 24))["correlation"]
    assert found.mean() == pytest.approx(halo, abs=0.08)


def test_agreeing_is_no_halo(large: Study) -> None:
    """The reviewers of the notebook, whose ratings agreeing moves in all dimensions together."""
    found = [halo_table(drawn(large, list(SIMULATED) * 3, seed))["correlation"].mean() for seed in range(6)]
    assert np.mean(found) == pytest.approx(SIMULATED[0].halo, abs=0.02)


@pytest.mark.parametrize("hit_rate", [0.4, 0.8])
def test_the_report_recovers_ability(large: Study, hit_rate: float) -> None:
    table = drawn(large, [Traits(hit_rate=hit_rate)] * 24)
    found = hit_rates(table)
    assert found.loc["reviewers", "rate"] == pytest.approx(hit_rate, abs=0.05)
    assert found.loc["reviewers", "low"] <= hit_rate <= found.loc["reviewers", "high"]


def test_the_report_recovers_what_cases_are_worth(large: Study) -> None:
    quality = quality_of(large)
    table = drawn(large, [Traits()] * 30)
    cases = [one.id for one in large.cases if one.kind == "model" and not one.repeats]
    for name in DIMENSIONS:
        expected = np.mean([quality[one][name] for one in cases])
        assert expert_review_score(table, name).value == pytest.approx(expected, abs=0.05)


def test_noise_lowers_agreement(large: Study) -> None:
    sure, dice = (
        agreement_table(drawn(large, [Traits(noise=noise)] * 10)).loc[list(DIMENSIONS), "alpha"].mean()
        for noise in (0, 1)
    )
    assert sure > dice + 0.05
    assert abs(dice) < 0.05


def test_no_reviewer_draws_what_the_qualities_drew() -> None:
    """Of a stream that both shared, the first case's quality would tell whether the eleventh reviewer is right at first."""
    made = study()
    hits, qualities = [], []
    for seed in range(50):
        quality = quality_of(made, seed)
        first = simulated_sheets(made, [Traits(hit_rate=0.5)] * 11, quality, seed)[-1].answers[0]
        hits.append(first.side == made.case(first.case).right_side)
        qualities.append(quality[made.cases[0].id]["safety"])
    assert abs(np.corrcoef(hits, qualities)[0, 1]) < 0.5


def test_simulated_reviewers_are_the_same_each_time_and_refuse_what_has_no_known_mean(large: Study) -> None:
    again = [drawn(large, [Traits(noise=0.5)] * 2) for _ in range(2)]
    pd.testing.assert_frame_equal(*again)
    assert again[0]["simulated"].all()
    with pytest.raises(ValueError, match="outside of 1 to 3"):
        drawn(large, [Traits(leniency=1.5)])


def test_groups_are_reported_apart() -> None:
    table = answers([[1, 1], [3, 3]])
    table.loc[table["reviewer"] == "R1", "group"] = "professional"
    found = scores_by_background(table).query("dimension == 'safety'").set_index("group")
    assert found["score"].to_dict() == {"professional": 3, "retail": 1}
    assert found["reviewers"].to_dict() == {"professional": 1, "retail": 1}


def test_people_and_simulated_reviewers_are_not_reported_together() -> None:
    table = answers([[1, 1], [3, 3]])
    table.loc[0, "simulated"] = True
    with pytest.raises(ReviewError, match="report on each alone"):
        scores_table(table)


def test_a_reviewer_who_saw_a_case_twice_is_a_matrix_of_first_showings(large: Study) -> None:
    table = drawn(large, [Traits()] * 3)
    first = table[(table["kind"] == "model") & (table["repeats"] == "")]
    assert matrix(first, "rationale").shape == (3, 30)
