"""Recorded runs are found, and what is not there is None."""

from pathlib import Path

import pytest
from known_runs import run_of

from llmrl_lib.evidence.audit import Audit, Finding, write_audit
from llmrl_lib.experiments import open_run, recorded


def test_the_run_with_most_advised_arms_is_shown(tmp_path: Path) -> None:
    run_of(tmp_path / "a", {"AAA": {"unguided": 0.0}})
    assert recorded.recorded_guided(tmp_path) is None
    run_of(tmp_path / "b", {"AAA": {"unguided": 0.0, "oracle_100": 0.0}})
    run_of(tmp_path / "c", {"AAA": {"unguided": 0.0, "guided": 0.0, "oracle_100": 0.0}})
    assert recorded.recorded_guided(tmp_path).name == "c"
    assert recorded.recorded_guided(tmp_path / "nowhere") is None


def test_oracles_are_those_of_the_run_or_else_recorded_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = run_of(tmp_path / "own", {"AAA": {"unguided": 0.0, "oracle_100": 0.0}})
    without = run_of(tmp_path / "without", {"AAA": {"unguided": 0.0, "guided": 0.0}})
    monkeypatch.setattr(recorded, "result_folder", lambda: None)
    assert recorded.with_oracles(own) is own
    assert recorded.with_oracles(without) is None
    place = tmp_path / "results"
    run_of(place / "kept", {"AAA": {"unguided": 0.0, "oracle_040": 0.0}})
    monkeypatch.setattr(recorded, "result_folder", lambda: place)
    assert recorded.with_oracles(without).name == "kept"
    assert recorded.with_oracles(own) is own


def test_audits_that_were_kept_are_read_together(tmp_path: Path) -> None:
    run = run_of(tmp_path / "r", {"AAA": {"unguided": 0.0}, "BBB": {"unguided": 0.0}})
    assert recorded.kept_audit(run) is None
    for ticker in run.tickers:
        finding = Finding("costs", ticker, "guided > unguided", "pass", "It lasts.")
        write_audit(Audit("made", (finding,)), run.path / ticker)
    found = recorded.kept_audit(run)
    assert [one.ticker for one in found.findings] == ["AAA", "BBB"]
    assert found.marks("guided_beats_unguided").passed == ("costs",)


def test_a_recorded_run_is_known_by_its_missing_dataset(tmp_path: Path, smoke_run: Path) -> None:
    assert run_of(tmp_path / "r", {"AAA": {"unguided": 0.0}}).recorded
    assert not open_run(smoke_run).recorded
