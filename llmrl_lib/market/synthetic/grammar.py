"""The grammar of invented headlines, and how to read a headline back.

A sentence belongs to a topic with an impact from 1 to 3 and has a tone: +1 good, -1 bad, 0 neither. Sentences of TOPICS tell
about the business and are the ones that carry the state; CHATTER has a tone and means nothing; TRIFLES have none. Slots:
``{c}`` company, ``{p}`` product, ``{e}`` executive, ``{r}`` region, ``{n}`` a number from 2 to 19.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from llmrl_lib.market.synthetic.companies import RIVALS, Company

Sentences = Mapping[int, tuple[str, ...]]  # by tone

REGIONS = ("the north", "the south", "Asia", "Europe", "Latin America", "the home market", "the Nordics", "Africa")


@dataclass(frozen=True)
class Topic:
    """What headlines can be about."""

    name: str
    impact: int
    sentences: Sentences


TOPICS = (
    Topic("demand", 2, {
        1: ("Orders for {c}'s {p} run ahead of plan in {r}", "{c} adds shifts as demand for {p} climbs",
            "Dealers in {r} report waiting lists for {c}'s {p}"),
        -1: ("Orders for {c}'s {p} fall short of plan in {r}", "{c} cuts shifts as demand for {p} fades",
             "Dealers in {r} discount {c}'s {p} to clear shelves"),
        0: ("Orders for {c}'s {p} in {r} match the plan", "{c} says demand for {p} is where it was"),
    }),
    Topic("guidance", 3, {
        1: ("{c} raises its outlook for the coming months", "{c} lifts full-year targets after strong bookings",
            "{e} of {c} sees growth speeding up"),
        -1: ("{c} trims its outlook for the coming months", "{c} lowers full-year targets after weak bookings",
             "{e} of {c} sees growth slowing down"),
        0: ("{c} leaves its outlook as it is", "{e} of {c} repeats full-year targets"),
    }),
    Topic("costs", 2, {
        1: ("{c} says input costs ease and margins widen", "Leaner plant in {r} saves {c} {n}% a unit",
            "{c} renews its supply deal on better terms"),
        -1: ("{c} says input costs bite and margins narrow", "Trouble at plant in {r} costs {c} {n}% a unit",
             "{c} renews its supply deal on worse terms"),
        0: ("{c} expects input costs to stay level",),
    }),
    Topic("customers", 2, {
        1: ("{c} wins a {n}-year contract in {r}", "Large customer in {r} doubles its business with {c}"),
        -1: ("{c} loses a {n}-year contract in {r}", "Large customer in {r} halves its business with {c}"),
        0: ("{c} and a customer in {r} extend a pilot by {n} months",),
    }),
    Topic("product", 1, {
        1: ("{c}'s new {p} passes trials early", "Testers praise {c}'s {p}", "{c} brings {p} to {r} ahead of schedule"),
        -1: ("{c}'s new {p} is delayed by trials", "Testers fault {c}'s {p}", "{c} recalls {p} in {r} over a defect"),
        0: ("{c} shows a prototype of {p}", "{c} updates {p} for {r}"),
    }),
    Topic("supply", 1, {
        1: ("Parts for {c}'s {p} arrive again after shortage", "{c} clears its backlog in {r}"),
        -1: ("Parts for {c}'s {p} run short", "{c} warns of late deliveries in {r}"),
        0: ("{c} moves a warehouse in {r}",),
    }),
    Topic("finance", 2, {
        1: ("{c} pays down debt early", "Lenders grant {c} cheaper credit"),
        -1: ("{c} draws on its credit line", "Lenders ask {c} for dearer credit"),
        0: ("{c} rolls over a loan",),
    }),
    Topic("competition", 3, {
        1: ("{c} takes {n} points of market share in {r}", "Competitor leaves {r} to {c}"),
        -1: ("{c} gives up {n} points of market share in {r}", "New competitor undercuts {c} in {r}"),
        0: ("{c} keeps its market share in {r}",),
    }),
)  # fmt: skip

CHATTER = Topic("chatter", 0, {
    1: ("Message boards buzz about a takeover of {c}", "Could {c} double? A newsletter says so",
        "Looking back: the year in which {c} beat every forecast", "Chart watchers see {c} breaking out",
        "Famous investor's neighbour is said to buy {c}"),
    -1: ("Message boards buzz about an exit of {e}", "Could {c} halve? A newsletter says so",
         "Looking back: the year in which {c} missed every forecast", "Chart watchers see {c} breaking down",
         "Anonymous letter makes old claims against {c}"),
})  # fmt: skip

TRIFLES = Topic("trifles", 0, {
    0: ("{c} sponsors a run for charity", "{e} of {c} to speak at an industry meeting", "{c} names a new meeting room",
        "{c} staff plant {n} trees in {r}", "{c} to hold its annual meeting online", "{n} things to know this week",
        "Canteen of {c} wins a prize", "Museum in {r} shows early {p} of {c}", "{e} of {c} joins a school board",
        "Markets pause before data", "{c} changes its logo", "Calendar: {c} among {n} firms to report"),
})  # fmt: skip


@dataclass(frozen=True)
class Story:
    """What a headline says about one company."""

    kind: str  # relevant, elsewhere (about another company), misleading or irrelevant
    topic: str
    tone: int  # -1, 0, 1
    impact: int  # 1..3 for topics of the business, else 0


def fill(sentence: str, company: Company, draws: tuple[float, float, float, float], rival: str = "") -> str:
    """A headline from a sentence; with ``rival``, the same news about another company."""
    product, executive, region, number = draws
    return sentence.format(
        c=rival or company.short_name,
        p=company.products[int(product * len(company.products))],
        e=company.executives[int(executive * len(company.executives))],
        r=REGIONS[int(region * len(REGIONS))],
        n=2 + int(number * 18),
    )


def read_headline(headline: str, company: Company) -> Story:
    """The story of a headline of this grammar, as a reader who knows the company's products and people understands it.

    Raises ValueError for a headline that the grammar cannot have written.
    """
    text = headline
    for words, slot in (
        (RIVALS, "{q}"), ((company.name, company.short_name), "{c}"), (company.products, "{p}"),
        (company.executives, "{e}"), (REGIONS, "{r}"),
    ):  # fmt: skip
        for word in words:
            text = text.replace(word, slot)
    text = re.sub(r"\b\d+", "{n}", text)
    story = _STORIES.get(text.replace("{q}", "{c}"))
    if story is None:
        raise ValueError(f"headline {headline!r} is not of the invented grammar")
    return Story("elsewhere", story.topic, story.tone, story.impact) if "{q}" in text else story


def _stories() -> dict[str, Story]:
    kinds = {"chatter": "misleading", "trifles": "irrelevant"}
    return {
        sentence: Story(kinds.get(topic.name, "relevant"), topic.name, tone, topic.impact)
        for topic in (*TOPICS, CHATTER, TRIFLES)
        for tone, sentences in topic.sentences.items()
        for sentence in sentences
    }


_STORIES = _stories()
