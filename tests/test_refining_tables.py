"""A refinement in tables and figures."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from ruled import ruled, usual_of

import llmrl_lib as ll
from llmrl_lib.experiments import refining_tables as tables

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def refined(tmp_path_factory):
    market = ll.load_dataset(ROOT / "data" / "embedded")
    settings = ll.Refinement(repetitions=2, rounds=2, exemplars=4, every=60, enough=-99.0)
    out = tmp_path_factory.mktemp("run") / "refinement"
    chat = ruled(usual_of(market, ["ORVN"]))
    return ll.refine(market, out, chat, settings=settings, tickers=["ORVN", "KSTV"], unseen="QLRY")


def test_a_refinement_is_found_in_a_run_or_beside_it(refined, tmp_path):
    folder = refined.path.parent
    assert tables.refinement_of(folder).path == refined.path
    assert tables.refinement_of(folder / "run").path == refined.path
    assert tables.refinement_of(tmp_path, refined.path).path == refined.path
    assert tables.refinement_of(tmp_path) is None
    with pytest.raises(ll.ExperimentError, match="holds no refinement; make one with llmrl refine"):
        ll.read_refinement(tmp_path)


def test_candidates_have_a_row_each(refined):
    table = tables.candidates_table(refined)
    record = refined.candidates
    assert table["candidate"].tolist() == record["name"].tolist()
    assert set(table["critic"]) == {"judge", "random"}
    assert table["tokens"].tolist() == (record["prompt_tokens"] + record["completion_tokens"]).tolist()
    assert (table["ended"] != "").sum() == 4  # of two repetitions with each critic


def test_critics_are_compared_over_their_repetitions(refined):
    table = tables.critics_table(refined)
    own = refined.candidates[~refined.candidates["control"].astype(bool)]
    edges = (own["sharpe"] - own["start"]).groupby(own["repetition"]).max()
    assert table.loc["judge", "best edge, mean"] == pytest.approx(edges.mean(), abs=0.005)
    assert table.loc["judge", "candidates"] == len(own)
    assert table.loc["random critic", "repetitions"] == 2


def test_the_judgement_as_table_and_words(refined):
    table = tables.judged_table(refined)
    assert {"held-out years", "unseen ticker"} == set(table.index.get_level_values("place"))
    assert ((table["low"] < table["Sharpe"]) & (table["Sharpe"] < table["high"])).all()
    text = tables.verdict_in_words(refined).data
    assert text.count("\n- ") >= 4
    assert "95% interval" in text or "decided alike" in text


def test_diffs_are_shown_as_text_and_never_as_markup(refined):
    record = refined.candidates.copy()
    record.at[0, "plan"] = "<script>alert(1)</script>"
    marked = ll.read_refinement(refined.path)
    marked.__dict__["candidates"] = record
    text = tables.diffs_in_full(marked).data
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "-field: " in text
    assert text.count("<details>") == (~record["control"].astype(bool)).sum()


def test_facts_and_fields(refined):
    facts = tables.facts_table(refined)["this refinement"]
    assert facts["refined on"] == "ORVN, KSTV"
    assert facts["writer"] == "ruled"
    assert facts["state"] == "finished"
    assert "WARNING" not in facts
    assert tables.fields_table(refined, 5)["field"].tolist() == refined.fields["field"].head(5).tolist()


def test_figures_show_every_candidate_and_field(refined):
    tree = ll.plots.candidate_tree(refined.candidates, "t")
    points = sum(len(line.get_xdata()) for line in tree.axes[0].lines if line.get_marker() == "o")
    assert points == len(refined.candidates)
    regret = ll.plots.regret_by_round(refined.candidates, "t")
    points = sum(len(line.get_xdata()) for line in regret.axes[0].lines if line.get_marker() == "o")
    assert points == len(refined.candidates)
    bars = ll.plots.field_ratings(refined.fields, "t", most=9).axes[0]
    assert len(bars.patches) == 9
    assert [one.get_text() for one in bars.get_yticklabels()][::-1] == refined.fields["field"].head(9).tolist()
    assert not plt.get_fignums()


def test_nothing_is_shown_of_nothing():
    assert tables.facts_table(None) is None
    assert tables.critics_table(None) is None
    assert tables.fields_table(None) is None
    assert tables.judged_table(None) is None
    assert tables.verdict_in_words(None) is None
    assert tables.diffs_in_full(None) is None
    assert not len(tables.candidates_table(None))
