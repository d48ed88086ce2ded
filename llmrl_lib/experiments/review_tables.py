"""Tables of an expert review for notebooks and reports: cells are text, and whose answers they are stands in the corner."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from llmrl_lib.evidence.published import EXPERT_REVIEW
from llmrl_lib.experiments.reviewing import SIMULATED, Review
from llmrl_lib.strategy.review import agreement, bias, scores
from llmrl_lib.strategy.review.comments import comments_by_case
from llmrl_lib.strategy.review.model_judge import beside_people
from llmrl_lib.strategy.review.rubric import BACKGROUNDS, DIMENSIONS, RUBRIC
from llmrl_lib.strategy.review.simulated import expected_effect
from llmrl_lib.strategy.review.study import HUMAN, MODEL, SHUFFLED, Study

NONE = "-"
NO_WIDTH = 1e-9  # below it an interval is a point, whatever rounding left of it
TITLES = {one.name: one.title for one in RUBRIC} | {"own prediction": "own prediction", bias.ALL: bias.ALL}
KINDS = {MODEL: "the model's", SHUFFLED: "control: another month's words", HUMAN: "control: written by a person"}


def rubric_table() -> pd.DataFrame:
    """The rubric of the paper's Table II."""
    rows = {one.title: dict(zip(("1", "2", "3"), one.words, strict=True)) for one in RUBRIC}
    return pd.DataFrame.from_dict(rows, orient="index")


def study_table(study: Study) -> pd.DataFrame:
    """What a study consists of: a row per fact."""
    by_kind = {kind: sum(one.kind == kind and not one.repeats for one in study.cases) for kind in KINDS}
    dates = [one.date for one in study.cases]
    facts = {
        "study": study.id,
        "strategies": f"prompt {study.prompt}, by {study.model}",
        "shares": ", ".join(study.tickers),
        "decided": f"{min(dates):%Y-%m-%d} to {max(dates):%Y-%m-%d}",
        "cases": str(len(study.cases)),
        **{f"of these {KINDS[kind]}": str(count) for kind, count in by_kind.items() if count},
        "of these shown a second time": str(sum(bool(one.repeats) for one in study.cases)),
    }
    return pd.DataFrame({"": facts})


def score_table(review: Review) -> pd.DataFrame:
    """Table VI: Expert Review Scores with intervals, beside the published ones."""
    found, rows = scores.scores_table(review.answers).to_dict("index"), {}
    for name in DIMENSIONS:
        one = found[name]
        rows[TITLES[name]] = {
            "ERS": number(one["score"]),
            "95% interval": span(one["low"], one["high"]),
            "ratings": f"{one['ratings']:.0f}",
            "published": number(EXPERT_REVIEW.rows[TITLES[name]][0]),
        }
    return _of(review, rows)


def background_table(review: Review) -> pd.DataFrame:
    """Scores by what reviewers are: a column per group, with how many they are."""
    found, rows = scores.scores_by_background(review.answers), {}
    for name in DIMENSIONS if len(found) else ():
        own = found[found["dimension"] == name].set_index("group")
        rows[TITLES[name]] = {
            f"{BACKGROUNDS[str(group)]} ({one['reviewers']})": _with_span(one["score"], one["low"], one["high"])
            for group, one in own.to_dict("index").items()
        }
    return _of(review, rows)


def controls_table(review: Review) -> pd.DataFrame:
    """Scores by what stood behind a case: the model's own rationale, or a control that was mixed in."""
    found, rows = scores.scores_by_kind(review.answers), {}
    for kind in found["kind"].unique() if len(found) else ():
        own = found[found["kind"] == kind].set_index("dimension")
        by_name = own.to_dict("index")
        rows[KINDS[kind]] = {
            TITLES[name]: _with_span(*(by_name[name][part] for part in ("score", "low", "high"))) for name in DIMENSIONS
        }
    return _of(review, rows)


def agreement_table(review: Review) -> pd.DataFrame:
    """Krippendorff's alpha between reviewers, and how often they rated alike what they saw twice."""
    between = agreement.agreement_table(review.answers).to_dict("index")
    within = agreement.with_oneself(review.answers).to_dict("index")
    rows = {}
    for name, one in between.items():
        self = within[name]
        rows[TITLES[str(name)]] = {
            "alpha": number(one["alpha"]),
            "95% interval": span(one["low"], one["high"]),
            "alike with oneself": share(self["alike"]),
            "by chance": share(self["by chance"]),
            "pairs": f"{self['pairs']:.0f}",
        }
    return _of(review, rows)


def hits_table(review: Review) -> pd.DataFrame:
    """How often reviewers were right before they saw the model's side, how often the model was, and the difference."""
    found, rows = bias.hit_rates(review.answers), {}
    for name, one in found.to_dict("index").items():
        shown = f"{one['rate']:+.0%}" if name == "difference" and not pd.isna(one["rate"]) else share(one["rate"])
        rows[str(name)] = {
            "right": shown,
            "95% interval": span(one["low"], one["high"], share),
            "known": f"{one['ratings']:.0f}",
        }
    if review.simulated:
        rows["reviewers"]["built in"] = share(_mean_trait("hit_rate"))
    return _of(review, rows).fillna("")


def effect_table(review: Review) -> pd.DataFrame:
    """How much higher a rating is where the model agreed with the first guess; of simulated reviewers what is built in."""
    found, rows = bias.agreement_effect(review.answers), {}
    for name, one in found.to_dict("index").items():
        rows[TITLES[str(name)]] = {"effect": signed(one["effect"]), "95% interval": span(one["low"], one["high"])}
        if review.simulated:
            rows[TITLES[str(name)]]["built in"] = signed(built_in_effect())
    return _of(review, rows)


def halo_table(review: Review) -> pd.DataFrame:
    """Correlations between dimensions once case, reviewer and agreeing are taken off; of simulated ones what is built in."""
    found, rows = bias.halo_table(review.answers), {}
    for name, one in found.to_dict("index").items():
        rows[str(name)] = {"correlation": number(one["correlation"])}
        if review.simulated:
            rows[str(name)]["built in"] = number(_mean_trait("halo"))
    return _of(review, rows)


def reviewers_table(review: Review) -> pd.DataFrame:
    """A row per reviewer."""
    found, rows = bias.reviewers_table(review.answers), {}
    for name, one in found.to_dict("index").items():
        rows[str(name)] = {
            "background": BACKGROUNDS[one["group"]],
            "years": str(one["years"]),
            "right": f"{one['hits']} of {one['known']}",
            "leniency": signed(one["leniency"]),
            "predicted as the model": share(one["agrees"]),
            "seconds a case": f"{one['seconds']:.0f}",
        }
    return _of(review, rows)


def judge_table(review: Review) -> pd.DataFrame:
    """What a model as judge gave, apart from all reviewers: mean scores by what stood behind the cases."""
    judged, rows = review.judged, {}
    for kind in KINDS:
        own = judged[judged["kind"] == kind]
        if len(own):
            means = {TITLES[name]: number(own[name].mean()) for name in DIMENSIONS}
            rows[KINDS[kind]] = {"judge": own["model"].iloc[0], "cases": str(len(own)), **means}
    return pd.DataFrame.from_dict(rows, orient="index")


def judge_beside_people_table(review: Review) -> pd.DataFrame:
    """A model as judge and people on the same cases; no rows where one of them is missing, or reviewers are simulated."""
    if review.simulated or not len(review.judged):
        return pd.DataFrame()
    rows = {}
    for name, one in beside_people(review.answers, review.judged).to_dict("index").items():
        rows[TITLES[str(name)]] = {
            "model": number(one["model"]),
            "people": number(one["people"]),
            "difference": signed(one["difference"]),
            "95% interval": span(one["low"], one["high"]),
            "tau": number(one["tau"]),
            "cases": f"{one['cases']:.0f}",
        }
    return _of(review, rows)


def comments_table(review: Review) -> pd.DataFrame:
    """Comments by case, best rated first: ticker, date, what stood behind it, rating, verdict, comments. Not escaped."""
    found = comments_by_case(review.answers)
    return found.assign(
        date=found["date"].map(lambda day: f"{day:%Y-%m-%d}"),
        kind=found["kind"].map(KINDS),
        rating=found["rating"].map(number),
        long=found["long"].map(share),
    )


def built_in_effect() -> float:
    """The mean expected effect of agreeing of the simulated reviewers."""
    return sum(map(expected_effect, SIMULATED)) / len(SIMULATED)


def number(value: float) -> str:
    """Two decimals; a dash where unknown."""
    return NONE if pd.isna(value) else f"{round(value, 2) + 0.0:.2f}"


def signed(value: float) -> str:
    """The same with its sign."""
    return NONE if pd.isna(value) else f"{value:+.2f}"


def share(value: float) -> str:
    """A fraction as a percentage; a dash where unknown."""
    return NONE if pd.isna(value) else f"{value:.0%}"


def span(low: float, high: float, told: Callable[[float], str] = number) -> str:
    """An interval, its ends `told` so; a dash where there is none, and in words one without width, of ratings all alike."""
    if pd.isna(low) or pd.isna(high):
        return NONE
    return "nothing varies" if high - low < NO_WIDTH else f"{told(low)} to {told(high)}"


def _with_span(value: float, low: float, high: float) -> str:
    return number(value) if span(low, high) == NONE else f"{number(value)} ({span(low, high)})"


def _mean_trait(name: str) -> float:
    return sum(getattr(one, name) for one in SIMULATED) / len(SIMULATED)


def _of(review: Review, rows: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(dict(rows), orient="index").rename_axis(columns=review.label)
