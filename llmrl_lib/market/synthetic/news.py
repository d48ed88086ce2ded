"""When headlines appear, and how their tone follows the company's channel.

A headline about the business is good with probability (p + k y) / 2 and bad with (p - k y) / 2, where p = 0.8, y is the
channel at the last close, held within 3, and k = 0.085 times the topic's impact: its mean tone is k y. Of all headlines
60% are of this kind; 22% are trifles; 18% have a tone that a coin decided, half of them about another company.
"""

import datetime

import numpy as np
from numpy.random import Generator

from llmrl_lib.market.synthetic.companies import RIVALS, Company
from llmrl_lib.market.synthetic.days import Days
from llmrl_lib.market.synthetic.draws import choose, uniform
from llmrl_lib.market.synthetic.grammar import CHATTER, TOPICS, TRIFLES, Topic, fill

TONED = 0.8  # p: share of headlines about the business that are good or bad
TONE_SLOPE = 0.085  # per unit of the channel and of impact
TONE_BOUND = 3.0  # of the channel
_RELEVANT, _TRIFLES = 0.60, 0.82  # cumulated shares of kinds
_WEEKDAY = (0.37, 0.74, 0.92)  # chances of at most 0, 1, 2 headlines; mean 0.97
_WEEKEND = (0.90,)
_DAYS_BEFORE = 40  # calendar days of headlines before the first bar

_FACTS = ("newswire", "company release", "trade press")
_NOTES = ("newswire", "trade press")
_TALK = ("newswire", "blog", "message board")


def news_columns(source: Generator, days: Days, company: Company, channel: np.ndarray) -> dict[str, list]:
    """Columns of news/TICKER.csv; ``channel`` has shape (days,)."""
    first = days.dates[days.start] - datetime.timedelta(days=_DAYS_BEFORE)
    last = days.dates[-1]
    columns: dict[str, list] = {"available_at": [], "headline": [], "source": []}
    for day in range((last - first).days + 1):
        date = first + datetime.timedelta(days=day)
        draws = uniform(source, 4, 10).tolist()
        y = min(TONE_BOUND, max(-TONE_BOUND, float(channel[days.at(date)])))
        for row in draws[1 : 1 + _count(draws[0][0], date.weekday() >= 5)]:
            headline, origin = _headline(row, company, y)
            columns["available_at"].append(date)
            columns["headline"].append(headline)
            columns["source"].append(origin)
    return columns


def _count(draw: float, weekend: bool) -> int:
    return sum(draw >= bound for bound in (_WEEKEND if weekend else _WEEKDAY))


def _headline(draws: list[float], company: Company, y: float) -> tuple[str, str]:
    kind, topic_draw, tone_draw, sentence, *slots, rival, origin = draws
    filling = (slots[0], slots[1], slots[2], slots[3])
    if kind < _RELEVANT:
        topic = TOPICS[int(topic_draw * len(TOPICS))]
        tone = _tone(tone_draw, TONE_SLOPE * topic.impact * y)
        return fill(_sentence(topic, tone, sentence), company, filling), choose(origin, _FACTS)
    if kind < _TRIFLES:
        return fill(_sentence(TRIFLES, 0, sentence), company, filling), choose(origin, _NOTES)
    tone = 1 if tone_draw < 0.5 else -1
    if topic_draw < 0.5:
        return fill(_sentence(CHATTER, tone, sentence), company, filling), choose(origin, _TALK)
    topic = TOPICS[int((2.0 * topic_draw - 1.0) * len(TOPICS))]
    about = fill(_sentence(topic, tone, sentence), company, filling, choose(rival, RIVALS))
    return about, choose(origin, _FACTS)


def _tone(draw: float, mean: float) -> int:
    return 1 if draw < (TONED + mean) / 2.0 else -1 if draw < TONED else 0


def _sentence(topic: Topic, tone: int, draw: float) -> str:
    return choose(draw, topic.sentences[tone])
