"""Which years refinement looks at, the months it learns from, and the rules it takes from them."""

from dataclasses import replace

import numpy as np
import pytest
from ruled import ruled

from llmrl_lib.language.chat import OffSchemaError
from llmrl_lib.language.prompts import load_prompt
from llmrl_lib.market.features import truncated
from llmrl_lib.market.hindsight import hindsight_labels
from llmrl_lib.strategy.refinement.asking import Tuning
from llmrl_lib.strategy.refinement.control import shuffled
from llmrl_lib.strategy.refinement.distinct import distinct
from llmrl_lib.strategy.refinement.errors import RefinementError
from llmrl_lib.strategy.refinement.exemplars import months_of, read_annotations
from llmrl_lib.strategy.refinement.extensions import extensions
from llmrl_lib.strategy.refinement.judge import Criticism, Finding, Tally, Trial
from llmrl_lib.strategy.refinement.knowledge import KnownField, KnownLine
from llmrl_lib.strategy.refinement.training import train
from llmrl_lib.strategy.refinement.windows import YEAR, divide, sample
from llmrl_lib.strategy.rendering import render
from llmrl_lib.strategy.strategist import decisions

FIELDS = ("skew_30d", "rsi_14", "pmi_qoq", "vix", "beta", "return_week_1", "spx_return_5d", "sma_50_gap", "iv_30d")


@pytest.fixture(scope="module")
def years(market):
    return divide(market, ["ORVN", "KSTV"], "QLRY", held_out=2)


@pytest.fixture(scope="module")
def months(market, years):
    return months_of(market, years, FIELDS, 6)


class TestWindows:
    def test_they_do_not_overlap_and_end_before_what_is_held_out(self, market, years):
        for ticker in ("ORVN", "KSTV"):
            days = market.bars(ticker).index
            windows = years.sampled[ticker]
            assert [one.first for one in windows] == [YEAR * place for place in range(len(windows))]
            assert all(len(one.of(market.bars(ticker))) == YEAR for one in windows)
            assert windows[-1].last < years.first_held_out == years.held_out[ticker].start
            assert years.held_out[ticker].rows == 2 * YEAR
            assert years.held_out[ticker].last < market.split
            assert days[windows[0].first] == windows[0].start
        assert set(years.sampled) == {"ORVN", "KSTV"}
        assert years.unseen.last < market.split
        assert not years.tests

    def test_the_test_years_need_a_flag_and_are_marked(self, market):
        looked = divide(market, ["ORVN"], "", 1, test_years=True)
        assert looked.tests
        assert looked.held_out["ORVN"].last > market.split

    def test_each_repetition_draws_a_window_of_each_ticker_and_none_twice_before_all_were_taken(self, years):
        count = len(years.sampled["ORVN"])
        drawn = [sample(years, number, 3)["ORVN"].start for number in range(1, 2 * count + 1)]
        assert len(set(drawn[:count])) == len(set(drawn[count:])) == count
        assert sample(years, 1, 3) == sample(years, 1, 3)
        assert any(sample(years, 1, seed) != sample(years, 1, 3) for seed in range(4, 9))

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ({"held_out": 6}, "ORVN has 6 whole years from 2012"),
            ({"held_out": -1}, "cannot be held out"),
            ({"unseen": "ORVN"}, "is to stay unseen"),
        ],
    )
    def test_what_cannot_be_divided_is_told(self, market, words, message):
        with pytest.raises(RefinementError, match=message):
            divide(market, ["ORVN"], **words)


class TestExemplars:
    def test_labels_are_clear_balanced_and_reach_no_held_out_day(self, market, years, months):
        assert [one.direction for one in months.exemplars].count(1) == 3
        for one in months.exemplars:
            bars = market.bars(one.features.ticker)
            row = int(bars.index.get_loc(one.features.date))
            assert bars.index[row + 20] < years.first_held_out
            assert one.earned == pytest.approx(bars["close"].iloc[row + 20] / bars["close"].iloc[row] - 1.0)
            assert (one.earned > 0) == bool(one.direction) == bool(hindsight_labels(bars, "low")["direction"].iloc[row])
            assert set(one.standings) == set(FIELDS)
        assert sum(months.counts) > 60

    def test_nothing_of_the_held_out_years_is_looked_at(self, market, years, months):
        day_before = market.bars("ORVN").index[market.bars("ORVN").index < years.first_held_out][-1]
        cut = months_of(truncated(market, day_before), years, FIELDS, 6)
        assert cut.contrasts == months.contrasts
        assert [one.features for one in cut.exemplars] == [one.features for one in months.exemplars]

    def test_annotated_months_come_first_with_their_note(self, market, years, tmp_path):
        file = tmp_path / "notes.csv"
        file.write_text("ticker,date,direction,note\nKSTV,2013-03-05,short,too dear\n", "utf-8-sig")
        found = months_of(market, years, FIELDS, 2, read_annotations(file))
        assert found.annotated == 1
        assert (found.exemplars[0].side, found.exemplars[0].note) == ("SHORT", "too dear")
        assert len(found.exemplars) == 3

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("ticker,date\n", "no column 'direction'"),
            ("ticker,date,direction\nORVN,2013-03-05,UP\n", "line 2: direction is 'UP'; write LONG or SHORT"),
            ("ticker,date,direction\nORVN,5.3.2013,LONG\n", "line 2: '5.3.2013' is no trading day"),
            ("ticker,date,direction\nORVN,2013-03-03,LONG\n", "line 2: 2013-03-03 is no trading day of ORVN"),
            ("ticker,date,direction\nORVN,2017-03-06,LONG\n", "no trading day of ORVN that may be looked at, 2012"),
            ("ticker,date,direction\nXXXX,2013-03-05,LONG\n", "XXXX is not refined on"),
        ],
    )
    def test_other_annotations_are_refused_with_their_line(self, market, years, tmp_path, text, message):
        file = tmp_path / "notes.csv"
        file.write_text(text)
        with pytest.raises(RefinementError, match=message):
            months_of(market, years, FIELDS, 2, read_annotations(file))
        with pytest.raises(RefinementError, match="cannot be read"):
            read_annotations(tmp_path / "none.csv")


class TestTraining:
    def test_every_field_is_rated_on_every_exemplar_and_the_top_quartile_survives(self, months):
        found = train(months, FIELDS, ruled(), Tuning(), lines=3)
        assert {one.months for one in found.scores} == {len(months.exemplars)}
        assert [one.rank for one in found.scores] == list(range(1, 10))
        rated = [one.rated for one in found.scores]
        assert rated == sorted(rated, reverse=True)
        assert len(found.survivors) == 3
        assert found.sheets == 2 * len(months.exemplars)
        assert found.troubles == ()
        assert 1 <= len(found.lines) <= 3
        assert all(any(name in line.text for name in found.survivors) for line in found.lines)

    def test_a_sheet_that_makes_no_sense_is_asked_again_as_another_draw(self, months):
        chat = ruled()
        right, seen = chat.answer, []

        def sometimes(request):
            seen.append(request.sampling.draw)
            return right(request) if request.sampling.draw else {"ratings": {}, "rationale": "so"}

        chat.answer = sometimes
        found = train(months, FIELDS[:4], chat, Tuning())
        assert found.scores[0].months == len(months.exemplars)
        assert len(found.troubles) == len(months.exemplars)
        assert all(told.startswith("IncompleteRatingsError: the trainer leaves out") for told in found.troubles)
        assert sorted(set(seen)) == [0, 1]

    def test_a_trainer_that_never_makes_sense_ends_it(self, months):
        chat = ruled()
        chat.answer = lambda _: OffSchemaError("nothing fits")
        with pytest.raises(RefinementError, match=r"6 of 6 sheets .* nothing fits; use another model for --trainer"):
            train(months, FIELDS[:4], chat, Tuning())


class TestDistinct:
    def test_what_says_the_same_is_one_rule_with_its_count(self):
        texts = ["High vix is bearish."] * 3 + [
            "High vix is  bearish",
            "Margins that grow are good.",
            "Follow the trend.",
        ]
        found = distinct(texts, 10)
        assert [line.said for line in found] == [4, 1, 1]
        assert found[0].text == "High vix is bearish."

    def test_opposite_rules_of_the_same_words_are_two(self):
        found = distinct(["High vix is bullish, low vix is bearish.", "High vix is bearish, low vix is bullish."])
        assert len(found) == 2

    def test_of_too_many_those_farthest_apart_are_taken(self):
        vectors = {"a": [1, 0, 0], "b": [0.8, 0.6, 0], "c": [0, 0, 1], "d": [-1, 0, 0]}
        found = distinct(["a", "a", "b", "c", "d"], 3, lambda texts: np.array([vectors[text] for text in texts]))
        assert {line.text for line in found} == {"a", "c", "d"}
        assert found[0].text == "a"

    def test_embeddings_that_cannot_be_used_are_refused(self):
        for wrong in (np.zeros((2, 3)), np.ones((1, 3)), np.array([[1.0], [np.nan]])):
            with pytest.raises(RefinementError, match="embeddings have the shape"):
                distinct(["a", "b"], 3, lambda _texts, found=wrong: found)

    def test_none_and_one(self):
        assert distinct([]) == ()
        assert distinct(["a", "a"]) == (KnownLine("a", 2),)


class TestRandomCritic:
    def test_as_much_is_dropped_and_added_but_not_what_the_judge_meant(self):
        tallies = tuple(Tally(name, 1, 1, 0) for name in FIELDS[:6])
        others = [KnownField(name, 50) for name in FIELDS[6:]]
        lines = [KnownLine(f"line {place}") for place in range(6)]
        trial = Trial(0.0, 0.0, 0.0, 0.0, tallies, ("line 0", "line 1", "line 2"), ())
        findings = tuple(Finding(name, "1 right", "drop" if name == "rsi_14" else "keep") for name in FIELDS[:6])
        said = Criticism("rsi_14 misled.", findings, ("sma_50_gap",), ("line 4",), ("line 1",), ("Mind beta.",))
        drawn = [shuffled(said, trial, others, lines, np.random.default_rng(seed)) for seed in range(60)]
        assert {len(one.drop_features) for one in drawn} == {1}
        assert {one.drop_features[0] for one in drawn} == set(FIELDS[:6])
        assert {one.add_features[0] for one in drawn} == set(FIELDS[6:])
        assert {one.drop_instructions[0] for one in drawn} == {"line 0", "line 1", "line 2"}
        assert {one.add_instructions[0] for one in drawn} == {"line 3", "line 4", "line 5"}
        assert all(one.text == f"{one.drop_features[0]} misled." for one in drawn)


def test_a_refined_p1_is_extended_to_p2_p3_and_p4(market):
    base = load_prompt("p1")
    winner = replace(base, version="r1.2", features=("vix", "skew_30d", "close"), instructions=("Mind vix.",))
    p2, p3, p4 = extensions(winner)
    assert [one.parent for one in (p2, p3, p4)] == ["p1 r1.2", "p2 r1.2", "p3 r1.2"]
    assert p2.instructions[0] == "Mind vix."
    assert len(p2.instructions) == 4
    assert not set(base.instructions) & set(p2.instructions)
    assert p4.features == ("vix", "skew_30d", "close", "news_count")
    features = decisions(market, "ORVN", "2015-01-01", "2015-01-10").features[0]
    text = "".join(message.content for message in render(p4, features, [], []))
    assert "- Mind vix." in text
    assert "skew_30d" in text
    with pytest.raises(RefinementError, match="is no P1"):
        extensions(p2)
