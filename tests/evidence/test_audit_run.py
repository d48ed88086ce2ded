"""A run folder handed to the audit: arms, strategies, replies and trials are found where a run keeps them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomlkit
from audited import SETTINGS
from scripted import Scripted, thoughtful

import llmrl_lib as ll
from llmrl_lib.evidence.audit import AuditError, read_audit, record_trial, write_audit
from llmrl_lib.experiments import ExperimentError, open_run
from llmrl_lib.experiments.auditing import case_of, own_chat
from llmrl_lib.experiments.runs import start_run
from llmrl_lib.experiments.strategies import order, produce
from llmrl_lib.market.dataset import Dataset
from llmrl_lib.plots.style import style_of
from llmrl_lib.settings import Profile
from llmrl_lib.trading.accounting import simulate

TICKER, SEEDS = "ORVN", 3


def write_arm(folder: Path, dataset: Dataset, name: str, hit_rate: float, seeds: int = SEEDS) -> None:
    """A finished arm that is on the right side of the next close as often as this, as a run leaves it."""
    bars = dataset.test_bars(TICKER)
    right = (np.append(np.diff(bars["close"].to_numpy()), 0.0)[30:] >= 0).astype(np.int64)
    paths = []
    for seed in range(seeds):
        wrong = np.random.default_rng([seed, len(name)]).random(len(right)) >= hit_rate
        path = simulate(bars, np.where(wrong, 1 - right, right), cost_rate=SETTINGS.cost_rate)
        paths.append(path.rename_axis("date").reset_index().assign(seed=seed, split="test"))
    place = folder / TICKER / name
    place.mkdir(parents=True)
    pd.concat(paths).to_csv(place / "trajectories.csv.gz", index=False)
    about = {"ticker": TICKER, "arm": name, "dataset_hash": dataset.content_hash(TICKER), "seeds": list(range(seeds))}
    (place / "manifest.json").write_text(json.dumps(about))


@pytest.fixture(scope="module")
def folder(embedded: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose guided arm is right in 70 %, and whose placebos are not; p1 guided it."""
    place = tmp_path_factory.mktemp("runs") / "known"
    start_run(place, embedded, Profile("test", tuple(range(SEEDS)), SETTINGS), [TICKER])
    for name, rate in (("guided", 0.7), ("unguided", 0.5), ("placebo_random", 0.5), ("placebo_permuted", 0.5)):
        write_arm(place, embedded, name, rate)
    write_arm(place, embedded, "placebo_flipped", 0.3)
    write_arm(place, embedded, "buy_and_hold", 0.5, seeds=1)
    wanted = order(embedded, [TICKER], "p1", start="2017-06-01")
    produce(wanted, ll.Replay(place / "strategies", Scripted(thoughtful), purpose=wanted.label), place / "strategies")
    about = tomlkit.parse((place / "run.toml").read_text())
    (place / "run.toml").write_text(tomlkit.dumps({"guide": "p1", "chat": {"model": "scripted"}, **about}))
    record_trial(place, {"ticker": TICKER, "arm": "guided", "prompt": "p1"})
    return place


@pytest.fixture(scope="module")
def found(folder: Path) -> ll.Audit:
    return ll.audit(folder)


def test_all_of_a_run_is_audited_in_one_call(found: ll.Audit) -> None:
    page = found.table().set_index(["check", "about"])["mark"]
    honest = ("features", "requests", "strategies", "guidance", "observations")
    assert (page[[(f"look-ahead: {name}", "") for name in honest]] == "pass").all()
    pair = "guided > unguided"
    assert page[("accounting", "")] == page[("cost sweep", pair)] == page[("split date", pair)] == "pass"
    assert page[("placebos", "")] == page[("constant position", "guided")] == "pass"
    assert page[("one-day delay", pair)] == "fail"  # it knows one day ahead, and no more
    assert page[("knowledge cutoff", pair)] == page[("recall", "")] == "not available"
    marks = found.marks("guided_beats_unguided")
    assert marks.failed == ("delay",)
    assert "but it fails 1 of 15 audit checks (one-day delay)" in marks.said("Guided beats unguided.")


def test_the_folder_s_counts_reach_the_page(folder: Path, found: ll.Audit) -> None:
    assert case_of(open_run(folder), TICKER).trials == 2  # the arm that was started, and p1, whose account is shown
    assert found.details("trials")["trials"].tolist()[0] == 3  # more arms finished than were counted: those count


def test_a_chat_and_a_cutoff_reach_their_checks(folder: Path) -> None:
    def answer(request) -> dict:
        asked = request.sampling.schema["properties"]
        return dict.fromkeys(asked, "unknown") if "company" in asked else thoughtful(request)

    page = ll.audit(open_run(folder), TICKER, Scripted(answer), "2018-12-31", decisions=6, windows=12).table()
    marks = page.set_index(["check", "about"])["mark"]
    assert marks[("knowledge cutoff", "guided > unguided")] == "pass"
    assert marks[("counterfactual: prices rescaled", "")] == marks[("recall", "")] == "pass"
    assert marks[("counterfactual: history mirrored", "")] in ("pass", "fail")
    with pytest.raises(ExperimentError, match="cutoff is 'soon'; write a day like 2023-10-31, or never"):
        ll.audit(folder, cutoff="soon")


def test_nano_is_known_to_have_seen_nothing_real(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "run")
    text = (tmp_path / "run" / "run.toml").read_text()
    here = (folder / tomlkit.parse(text)["dataset"]).resolve().as_posix()
    (tmp_path / "run" / "run.toml").write_text(
        tomlkit.dumps({**tomlkit.parse(text), "chat": {"model": "nano"}, "dataset": here})
    )
    assert case_of(open_run(tmp_path / "run"), TICKER).cutoff == "never"
    assert case_of(open_run(folder), TICKER).cutoff is None


def test_only_nano_with_the_weights_of_the_run_is_asked_again_by_itself(folder: Path) -> None:
    run = open_run(folder)
    assert own_chat(run) is None  # scripted
    assert own_chat(replace(run, about={**run.about, "chat": {"model": "nano", "weights": "others"}})) is None
    mine = dict(ll.Nano().identity)
    assert own_chat(replace(run, about={**run.about, "chat": {**mine, "server": "x"}})) is None
    found = own_chat(replace(run, about={**run.about, "chat": mine}))
    assert dict(found.identity) == mine


def test_what_cannot_be_audited_is_said(folder: Path, tmp_path: Path, embedded: Dataset) -> None:
    with pytest.raises(ExperimentError, match="nothing finished for KSTV"):
        ll.audit(folder, "KSTV")
    empty = start_run(tmp_path / "empty", embedded, Profile("test", (0,), SETTINGS), [TICKER])
    with pytest.raises(ExperimentError, match="no finished arm"):
        ll.audit(empty)
    write_arm(tmp_path / "empty", embedded, "unguided", 0.5)
    path = tmp_path / "empty" / TICKER / "unguided" / "trajectories.csv.gz"
    pd.read_csv(path).iloc[5:].query("seed == 0").iloc[:-5].to_csv(path, index=False)
    with pytest.raises(AuditError, match="are not the last ones of the dataset's 474"):
        ll.audit(tmp_path / "empty")


def test_a_run_without_advice_has_its_audit_too(embedded: Dataset, tmp_path: Path) -> None:
    run = start_run(tmp_path / "plain", embedded, Profile("test", (0, 1), SETTINGS), [TICKER])
    write_arm(tmp_path / "plain", embedded, "unguided", 0.5)
    write_arm(tmp_path / "plain", embedded, "buy_and_hold", 0.5, seeds=1)
    page = ll.audit(run).table().set_index(["check", "about"])["mark"]
    assert page[("look-ahead: requests", "")] == page[("cost sweep", "guided > unguided")] == "not available"
    assert page[("look-ahead: features", "")] == page[("accounting", "")] == "pass"
    assert page[("cost sweep", "unguided > buy_and_hold")] in ("pass", "fail")


def test_an_audit_is_kept_whole(found: ll.Audit, tmp_path: Path) -> None:
    write_audit(found, tmp_path)
    kept = read_audit(tmp_path)
    pd.testing.assert_frame_equal(kept.table(), found.table())
    pd.testing.assert_frame_equal(kept.details(), found.details())
    assert str(kept.marks("guided_beats_unguided")) == str(found.marks("guided_beats_unguided"))
    for check in ("costs", "split", "placebos"):
        pd.testing.assert_frame_equal(kept.tables(check)[TICKER], found.tables(check)[TICKER], check_dtype=False)
    (tmp_path / "audit.json").write_text('{"run": "x"}')
    with pytest.raises(ValueError, match=r"audit.json is not an audit \(KeyError\('findings'\)\); delete it"):
        read_audit(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_audit(tmp_path / "nothing")


@pytest.mark.slow
def test_what_a_real_run_recorded_is_sound(smoke_run: Path) -> None:
    """Whatever its agents are worth: nothing knew the future, and the books balance."""
    page = ll.audit(smoke_run, "ORVN").table().set_index("check")["mark"]
    kept = [name for name in page.index if name.startswith("look-ahead")] + ["accounting"]
    assert (page[kept] == "pass").all(), page


def test_the_figure_shows_costs_in_the_arms_own_colours(found: ll.Audit) -> None:
    finding = next(one for one in found.findings if (one.check, one.about) == ("costs", "guided > unguided"))
    figure = ll.plots.cost_sweep(
        finding.table, 10, "Costs", break_even=finding.figures["break-even, bp"], difference="guided less unguided"
    )
    arms, difference = figure.axes
    lines = {line.get_label(): line for line in arms.lines}
    assert set(lines) >= {style_of(arm).label for arm in ("guided", "unguided", "buy_and_hold")}
    assert not any("placebo" in str(label) for label in lines)
    guided = lines[style_of("guided").label]
    assert guided.get_color() == style_of("guided").colour
    assert guided.get_ydata()[2] == pytest.approx(finding.table["guided"].loc[10])
    assert any("guided less unguided" in str(line.get_label()) for line in difference.lines)
    assert len(ll.plots.cost_sweep(finding.table.drop(columns="difference"), 10, "Costs").axes) == 1
