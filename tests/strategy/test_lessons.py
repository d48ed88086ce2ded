"""Lessons: replies that keep to prompt and schema, a teacher without hindsight, examinations that can be failed."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scripted import Scripted

from llmrl_lib.language.chat import Message, OffSchemaError, Sampling
from llmrl_lib.language.nano.lessons import Lesson
from llmrl_lib.language.prompts import load_prompt, reply_schema
from llmrl_lib.language.schema import parse_reply
from llmrl_lib.market.synthetic import EMBEDDED_SEED, Story
from llmrl_lib.strategy.lessons import examination
from llmrl_lib.strategy.lessons.examination import calibration_error, examine_role, marks
from llmrl_lib.strategy.lessons.lesson import lessons_of
from llmrl_lib.strategy.lessons.replies import confidence, rationale, strategy_items, strategy_reply
from llmrl_lib.strategy.lessons.stories import news_balance, told
from llmrl_lib.strategy.lessons.teacher import VIEWS, Slope, Teacher, load_teacher, save_teacher, view_of
from llmrl_lib.strategy.lessons.variations import varied, with_gaps
from llmrl_lib.strategy.lessons.worlds import EXAMINATION, FIRST_ROW, TRAINING, market, shares
from llmrl_lib.strategy.records import Factor
from llmrl_lib.strategy.refinement.fields import candidate_fields
from llmrl_lib.strategy.rendering import render, values_shown

SLOPE = Slope(middle=4.0, points=-2.0, lowest=0.0, highest=8.0)
TEACHER = Teacher(
    {view: dict.fromkeys(names, SLOPE) for view, names in VIEWS.items()}, dict.fromkeys(VIEWS, (0.1, 0.03))
)


@pytest.fixture(scope="module")
def share():
    return next(shares(market(0), [FIRST_ROW + 20 * place for place in range(12)]))


@pytest.fixture(scope="module")
def lessons():
    return lessons_of(TEACHER, 1, untouched=0.5, roles=("strategist", "analyst"))


def test_training_and_examination_share_no_seed_with_anything_else():
    assert TRAINING + 100_000 < EXAMINATION < EMBEDDED_SEED
    assert TRAINING > 1_000_000  # tests and benchmarks stay below


def test_the_same_market_gives_the_same_lessons(lessons):
    assert lessons_of(TEACHER, 1, untouched=0.5, roles=("strategist", "analyst")) == lessons
    assert lessons_of(TEACHER, 2, untouched=0.5, roles=("strategist", "analyst")) != lessons


def test_every_role_is_taught_and_every_prompt_has_two_messages(lessons):
    assert {one.role for one in lessons} == {"p0", "p1", "p2", "p3", "p4", "analyst"}
    assert all([message.role for message in one.messages] == ["system", "user"] for one in lessons)


def test_replies_keep_to_the_schemas(lessons):
    for one in lessons:
        if one.role == "analyst":
            parse_reply(one.reply, load_prompt("analyst").schema)
        else:
            names = (*load_prompt("p0").features, *candidate_fields(), "news_count", "news")
            schema = reply_schema(load_prompt(one.role).reply, names)
            assert json.dumps(parse_reply(one.reply, schema)) == one.reply


def test_evidence_is_in_the_prompt_word_for_word(lessons):
    for one in lessons:
        if one.role == "analyst":
            continue
        shown = one.messages[1].content
        for item in json.loads(one.reply)["evidence"]:
            if item["feature"] != "news" and item["value"] != "not available":
                assert f"- {item['feature']}: {item['value']}" in shown


def test_chances_are_given_for_decisions_alone(lessons):
    for one in lessons:
        assert (one.rise is None) == (one.role == "analyst")
        assert one.rise is None or 0.0 < one.rise < 1.0


def test_directions_follow_their_chances_over_many_lessons(lessons):
    drawn = np.array([[one.rise, '"direction": "LONG"' in one.reply] for one in lessons if one.rise is not None])
    error = np.sqrt((drawn[:, 0] * (1 - drawn[:, 0])).sum())
    assert abs((drawn[:, 1] - drawn[:, 0]).sum()) < 4 * error


def test_points_are_of_the_value_shown_within_its_range():
    assert [SLOPE.of(value) for value in (4.0, 3.0, 4.2, -50.0, 50.0)] == [0, 2, 0, 8, -8]


def test_a_reply_adds_up_what_it_read(share):
    prompt, features = load_prompt("p1"), share.table.rows()[0]
    items = strategy_items(TEACHER, prompt, features)
    shown = values_shown(prompt, features)
    assert [item.feature for item in items] == [name for name in VIEWS["figures"] if name in shown]
    assert all(item.value == shown[item.feature] for item in items)
    assert all(item.points == SLOPE.of(float(item.value)) for item in items)
    reply = strategy_reply(TEACHER, prompt, items, [], rises=True)
    total = sum(item.points for item in items)
    assert f"makes {total:+d}." in reply["rationale"] or (not total and "makes 0." in reply["rationale"])
    assert {one["feature"] for one in reply["weights"]} <= {item.feature for item in items}


def test_what_came_later_changes_the_chance_and_nothing_that_is_read(share):
    features = share.table.rows()[3]
    changed = replace(share, expected=-share.expected, earned=-share.earned)
    prompt = load_prompt("p1")
    assert strategy_items(TEACHER, prompt, changed.table.rows()[3]) == strategy_items(TEACHER, prompt, features)


def test_groups_sum_their_own_figures(share):
    prompt, features = load_prompt("p4"), share.table.rows()[0]
    news = (Factor("company", "outlook raised", 1, 3), Factor("company", "costs rise", -1, 2))
    items = strategy_items(TEACHER, prompt, features, news)
    read = next(item for item in items if item.feature == "news")
    assert (read.value, read.parts, read.points) == ("outlook raised", "+3 -2", SLOPE.of(1.0))
    order = ["market", "technical", "fundamental", "macro", "options", "news"]
    assert [item.group for item in items] == sorted((item.group for item in items), key=order.index)
    reply = strategy_reply(TEACHER, prompt, items, [], rises=False)
    assert [group["group"] for group in reply["groups"]] == [
        "market", "technical", "fundamental", "macro", "options", "reflection", "news",
    ]  # fmt: skip
    assert reply["direction"] == "SHORT"
    parse_reply(json.dumps(reply), prompt.schema)


def test_the_rationale_names_what_decides_and_what_speaks_against():
    text = rationale([("skew_30d", 4), ("rsi_14", -1), ("pmi_qoq", 0)])
    assert text == (
        "Points for a rise: skew_30d +4 makes +4, rsi_14 -1 makes +3, pmi_qoq 0 makes +3. skew_30d decides; "
        "rsi_14 speaks against it."
    )


@pytest.mark.parametrize(("chance", "expected"), [(0.3, 1), (0.599, 1), (0.6, 2), (0.66, 2), (0.67, 3)])
def test_confidence_is_the_chance_of_being_right(chance, expected):
    assert confidence(chance) == expected


def test_stories_become_one_factor_a_topic_without_talk_about_others():
    month = [
        Story("relevant", "demand", 1, 2), Story("relevant", "demand", 1, 2), Story("relevant", "guidance", -1, 3),
        Story("relevant", "product", 1, 1), Story("relevant", "product", -1, 1), Story("misleading", "chatter", 1, 0),
        Story("elsewhere", "competition", 1, 3), Story("irrelevant", "trifles", 0, 0),
    ]  # fmt: skip
    found = told(month)
    assert [(one.sentiment, one.impact) for one in found] == [(-1, 3), (1, 2)]
    assert news_balance(found) == -1
    assert [one.sentiment for one in told([])] == [0, 0]


def test_varied_prompts_render_and_are_still_asked_for_the_same(share):
    features = share.table.rows()[0]
    for seed in range(60):
        source = np.random.default_rng(seed)
        name = ("p0", "p1", "p2", "p3", "p4")[seed % 5]
        prompt = varied(name, source, untouched=0.0, short=0.5)
        messages = render(
            prompt, with_gaps(features, source, 1.0), [] if prompt.memory else None, () if prompt.shows_news else None
        )
        assert all(isinstance(message, Message) and message.content for message in messages)
        assert prompt.reply == load_prompt(name).reply
        assert set(prompt.features) <= {*load_prompt(name).features, *candidate_fields()}


def test_views_follow_what_a_prompt_shows():
    assert [view_of(load_prompt(name)) for name in ("p0", "p1", "p4")] == ["prices", "figures", "news"]


def test_a_teacher_comes_back_from_its_file(tmp_path):
    save_teacher(TEACHER, tmp_path / "teacher.json")
    assert load_teacher(tmp_path / "teacher.json") == TEACHER
    assert TEACHER.chance("news", -20) < TEACHER.chance("news", 0) < TEACHER.chance("news", 20)


def test_the_calibration_error_is_zero_for_the_calibrated_and_known_for_others():
    came = np.tile([True, False, False, False], 100)
    assert calibration_error(np.full(400, 0.25), came) == pytest.approx(0.0, abs=1e-12)
    assert calibration_error(np.full(400, 0.45), came) == pytest.approx(0.2, abs=1e-12)


def test_an_examination_marks_a_knower_above_a_guesser():
    source = np.random.default_rng(5)
    best = source.normal(0.0, 0.03, 4000)
    earned = best + source.normal(0.01, 0.07, 4000)
    known = pd.DataFrame({"best": best, "earned": earned, "mean": 0.01, "confidence": 1})
    knower = marks(known.assign(log_odds=1.6 * (best + 0.01) / 0.07, direction=(best > -0.01).astype(int)))
    guesses = source.normal(size=4000)
    guesser = marks(known.assign(log_odds=guesses, direction=(guesses > 0).astype(int)))
    assert knower.p_value < 1e-6 < 0.001 < guesser.p_value
    assert knower.hit_rate <= knower.best_hit_rate
    assert knower.truth > 0.99 > 0.1 > abs(guesser.truth)
    assert knower.calibration_error < 0.05 < guesser.calibration_error
    assert knower.brier < knower.brier_of_base < guesser.brier
    certain = marks(
        known.assign(log_odds=5.0 + 1.6 * best / 0.07, direction=1)
    )  # knows, and says LONG whatever it knows
    assert certain.lean_p_value < 1e-6 < 0.001 < guesser.lean_p_value
    assert certain.lean_rate == pytest.approx(certain.best_hit_rate, abs=0.01)
    assert abs(certain.hit_rate - 0.5) < 0.03


def test_replies_of_a_role_are_held_against_the_teacher_s_value_by_value(monkeypatch):
    wanted = {"ratings": [{"field": "a", "rating": "low"}, {"field": "b", "rating": "high"}]}
    lessons = [
        Lesson("trainer", (Message("user", str(number)),), json.dumps(wanted), sampling=Sampling())
        for number in range(3)
    ]
    monkeypatch.setattr(examination, "lessons_of", lambda *_: lessons)
    other = {"ratings": [{"field": "a", "rating": "low"}, {"field": "c", "rating": "low"}]}
    replies = {"0": wanted, "1": other, "2": OffSchemaError("cut")}
    found = examine_role(Scripted(lambda request: replies[request.messages[0].content]), None, "trainer", 3)
    assert found["valid"].tolist() == [True, True, False]
    assert found["agreement"].tolist() == [1.0, 0.5, 0.0]
    assert found["error"][2] == "cut"
    monkeypatch.setattr(examination, "lessons_of", lambda *_: [Lesson("p0", (), "{}", 0.5)])
    with pytest.raises(ValueError, match="do not say how it is asked"):
        examine_role(Scripted(lambda _: {}), None, "p0", 1)
