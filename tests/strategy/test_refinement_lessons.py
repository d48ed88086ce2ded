"""Lessons for trainer, writer and judge: replies that follow from the prompt, pass the schemas, and hold nothing real."""

import json
import re
from collections import Counter

import numpy as np
import pytest

from llmrl_lib.language.chat import Reply
from llmrl_lib.language.prompts import load_prompt
from llmrl_lib.language.prompts.replies import candidate_schema, criticism_schema, reply_schema
from llmrl_lib.language.schema import parse_reply
from llmrl_lib.market.features import FIELDS
from llmrl_lib.strategy.lessons.lesson import USED, lessons_of
from llmrl_lib.strategy.lessons.refining_replies import candidate_reply, criticism_reply, ratings_reply
from llmrl_lib.strategy.lessons.teacher import VIEWS, Slope, Teacher
from llmrl_lib.strategy.lessons.variations import varied
from llmrl_lib.strategy.lessons.worlds import market as invented
from llmrl_lib.strategy.refinement.fields import Contrast
from llmrl_lib.strategy.refinement.judge import Tally, Trial
from llmrl_lib.strategy.refinement.knowledge import KnownField, KnownLine, Marks
from llmrl_lib.strategy.refinement.trainer import Exemplar, ratings_from_reply
from llmrl_lib.strategy.strategist import decisions

TEACHER = Teacher(
    {view: dict.fromkeys(names, Slope(4.0, -2.0, 0.0, 8.0)) for view, names in VIEWS.items()},
    dict.fromkeys(VIEWS, (0.1, 0.03)),
)
ROLES = ("trainer", "writer", "judge")


@pytest.fixture(scope="module")
def lessons():
    return lessons_of(TEACHER, 1, untouched=0.5, roles=ROLES)


def of(lessons, role):
    return [one for one in lessons if one.role == role]


def named(text):
    """The fields that lines of a message begin with."""
    return [name for name in re.findall(r"^- (\w+):", text, re.M) if name in FIELDS]


def test_the_package_asks_for_all_three(lessons):
    assert set(ROLES) < set(USED)
    assert set(Counter(one.role for one in lessons)) == set(ROLES)
    assert all(one.rise is None for one in lessons)


def test_they_are_a_fifth_of_all_lessons():
    every = Counter(one.role for one in lessons_of(TEACHER, 2))
    assert 0.15 < sum(every[role] for role in ROLES) / every.total() < 0.25


def test_the_same_market_gives_the_same_lessons(lessons):
    assert lessons_of(TEACHER, 1, untouched=0.5, roles=ROLES) == lessons


def test_replies_pass_their_schemas(lessons):
    for one in lessons:
        text = one.messages[1].content
        names, numbers = named(text), re.findall(r"^- (\d+): (given|not given|said)", text, re.M)
        if one.role == "trainer":
            schema = reply_schema("ratings", names)
        elif one.role == "writer":
            schema = candidate_schema(names, len(numbers))
        else:
            shown, others = (named(part) for part in text.split("# Fields that it does not show"))
            schema = criticism_schema(shown, others, [word == "given" for _, word in numbers])
        reply = parse_reply(one.reply, schema)
        assert json.dumps(reply) == one.reply
        assert [list(value) for value in reply.values() if isinstance(value, dict)] == [
            list(part["properties"]) for part in schema["properties"].values() if part["type"] == "object"
        ]


def test_a_trainer_copies_values_and_adds_contrasts(lessons):
    for one in of(lessons, "trainer"):
        text, reply = one.messages[1].content, json.loads(one.reply)
        fields = named(text)
        ratings_from_reply(Reply("", reply), fields)
        for name in fields:
            rating = reply["ratings"][name]
            assert f"- {name}: {rating['value']}" in text
            if rating["value"] == "not available":
                assert rating["rating"] == "low"
                continue
            now, longs, shorts = (
                int(figure)
                for figure in re.search(rf"- {name}: .*\(now (\S+), LONG (\S+), SHORT (\S+);", text).groups()
            )
            assert rating["reason"].endswith(f"makes {longs - shorts:+d}, now {now:+d}".replace("+0", "0"))


def test_rated_high_is_what_stood_behind_the_trade(market):
    features = decisions(market, "ORVN", "2015-01-01", "2015-01-10").features[0]
    stands = {"skew_30d": 12.0, "rsi_14": 12.0, "vix": 2.0, "beta": -9.0, "pmi_qoq": -9.0}
    known = dict(
        zip(stands, (Contrast(-4, 5), Contrast(1, -2), Contrast(-9, 9), Contrast(3, 0), Contrast(5, 5)), strict=True)
    )
    found = ratings_reply(Exemplar(features, 0, -0.1, stands), list(stands), known)
    told = {name: (one["reading"], one["rating"]) for name, one in found["ratings"].items()}
    assert told == {
        "skew_30d": ("bearish", "high"),
        "rsi_14": ("bullish", "low"),  # spoke for the other side
        "vix": ("neutral", "low"),  # too near its usual
        "beta": ("bearish", "medium"),
        "pmi_qoq": ("neutral", "low"),  # the same before both
    }
    assert found["rationale"] == "High skew_30d is bearish, low skew_30d is bullish."
    other = ratings_reply(Exemplar(features, 1, 0.1, stands), list(stands), known)
    assert other["rationale"] == "High rsi_14 is bullish, low rsi_14 is bearish."


def test_a_writer_takes_what_its_plan_says(lessons):
    for one in of(lessons, "writer"):
        reply, lines = json.loads(one.reply), one.messages[1].content.split("\n")
        limit = int(re.search(r"rated (\d+) or more", reply["plan"])[1])
        for line in lines:
            if match := re.match(r"- (\w+): (rated (\d+)|not rated)(.*)", line):
                name, known, number, marks = match.groups()
                enough = number is not None and int(number) >= limit and "in the worst" not in marks
                taken = "asked for" in marks or ("faulted" not in marks and ("in the best" in marks or enough))
                assert reply["features"][name] == {"known": known + marks, "choice": "take" if taken else "leave"}


def test_thresholds_are_drawn_so_that_drafts_differ():
    fields = [KnownField(name, rated) for name, rated in zip(list(FIELDS)[-20:], range(100, 0, -5), strict=True)]
    fields += [KnownField("vix", 0, Marks(worst=True, asked=True)), KnownField("beta", 100, Marks(faulted=True))]
    source = np.random.default_rng(1)
    drafts = [candidate_reply(fields, [KnownLine("a")], source)["features"] for _ in range(40)]
    taken = [{name for name, item in draft.items() if item["choice"] == "take"} for draft in drafts]
    assert len({len(names) for names in taken}) > 4
    assert all("vix" in names and "beta" not in names for names in taken)


def test_a_judge_drops_what_was_wrong_more_often(lessons):
    for one in of(lessons, "judge"):
        text, reply = one.messages[1].content, json.loads(one.reply)
        limit = int(re.search(r"rated (\d+) or more", reply["criticism"])[1])
        for name, finding in reply["findings"].items():
            assert f"- {name}: {finding['record']}\n" in text
            right, wrong = (int(number) for number in re.findall(r"\d+", finding["record"]) or (0, 0))
            assert finding["verdict"] == ("drop" if wrong > right else "keep")
        for name, item in reply["others"].items():
            assert f"- {name}: {item['known']}\n" in text
            rated = re.search(r"\d+", item["known"])
            assert item["verdict"] == ("add" if rated and int(rated[0]) >= limit else "leave")


def test_instructions_go_with_their_fields():
    lines = [KnownLine("High vix is bearish."), KnownLine("High vix_change_20d is bearish."), KnownLine("Low beta."),
             KnownLine("Think.")]  # fmt: skip
    trial = Trial(0.0, 0.5, 0.5, 0.1, (Tally("vix", 3, 1, 2),), (lines[0].text, lines[1].text), ())
    found = criticism_reply(trial, [KnownField("beta", 40)], lines, np.random.default_rng(0))
    assert list(found["instructions"].values()) == [
        {"about": "vix", "verdict": "drop"},
        {"about": "vix_change_20d", "verdict": "keep"},
        {"about": "beta", "verdict": "add"},
        {"about": "several", "verdict": "leave"},
    ]
    assert "vix was wrong 2 times and right 1" in found["criticism"]


def test_no_company_is_named(lessons):
    companies = invented(1).companies
    text = "\n".join(message.content for one in lessons for message in one.messages)
    for company in companies:
        for name in (company.ticker, company.name, *company.products, *company.executives):
            assert name not in text
    assert not re.search(r"\b(19|20)\d\d-\d\d", text)


def test_refined_prompts_are_among_the_varied_ones():
    own = set(load_prompt("p1").features)
    made = [varied("p1", np.random.default_rng(seed), untouched=0.0) for seed in range(60)]
    refined = [one for one in made if set(one.features) - own]
    assert 8 < len(refined) < 30
    assert all(any(line.startswith("High ") for line in one.instructions) for one in refined)
    assert not any(line.startswith("High ") for one in made if one not in refined for line in one.instructions)
