"""What a run prints while it works: lines where its output goes to a file, bars on a terminal."""

import io
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from llmrl_lib.experiments import progress
from llmrl_lib.experiments.progress import Display, Work


def report(folder: Path, episodes: int, sharpe: float) -> None:
    (folder / progress.FILE).write_text(json.dumps({"episodes": episodes, "test_sharpe": sharpe}))


def until(words: str, file: io.StringIO) -> None:
    """Waits for words to be printed."""
    deadline = time.monotonic() + 60
    while words not in file.getvalue():
        assert time.monotonic() < deadline, file.getvalue()
        time.sleep(0.01)


def work_in(folder: Path) -> list[Work]:
    for name in ("one", "two"):
        (folder / name).mkdir()
    arms = [Work(f"ORVN {name}", folder / name, 10) for name in ("one", "two")]
    return [*arms, Work("strategies p1", None, 0)]


def test_a_file_gets_a_line_for_what_begins_what_is_under_way_and_what_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1e9)
    file = io.StringIO()
    display, work = Display(Console(file=file, width=40)), work_in(tmp_path)
    report(tmp_path / "two", 4, 0.4)  # left by a run that was stopped: nobody works there yet
    with display.showing(work):
        assert file.getvalue() == "3 tasks to do: ORVN one, ORVN two, strategies p1\n"
        report(tmp_path / "one", 1, 0.25)
        until("\nORVN one: 1 of 10 episodes, test Sharpe 0.25\n", file)
        display.ended(2, True)
        until("\nstrategies p1: done\n", file)
        report(tmp_path / "one", 5, 0.5)
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
        told = "ORVN one: 5 of 10 episodes, test Sharpe 0.50; also under way or waiting: ORVN two"
        until(f"\nafter 0 min 1 of 3 tasks ended; {told}\n", file)
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1e9)
        display.ended(0, False, "the disk\n  is full")
    assert "\nORVN one: failed: the disk is full\n" in file.getvalue()
    assert file.getvalue().count("ORVN one: 1 of 10") == 1
    assert "ORVN two: 4 of 10" not in file.getvalue()


def test_a_line_a_minute_and_not_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LOOKS", 0.01)
    file, clock = io.StringIO(), [100.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    lines = progress._Lines(Console(file=file), work_in(tmp_path))
    for _ in range(60):
        clock[0] += 2.0
        lines.look()
    assert file.getvalue().splitlines()[1:] == [
        f"after {minutes} min 0 of 3 tasks ended; under way or waiting: ORVN one, ORVN two, strategies p1"
        for minutes in (1, 2)
    ]


def test_many_tasks_are_counted_and_not_all_named() -> None:
    file = io.StringIO()
    with Display(Console(file=file)).showing([Work(f"T{number}", None, 0) for number in range(40)]):
        pass
    assert file.getvalue() == "40 tasks to do: T0, T1, T2, T3, T4, T5 and 34 more\n"


def test_what_an_earlier_run_left_done_is_counted_apart() -> None:
    done, left = [Work(f"T{number}", None, 0, before=True) for number in range(2)], Work("T2", None, 0)
    told = []
    for work in ([*done, left], done):
        file = io.StringIO()
        with Display(Console(file=file)).showing(work):
            pass
        told.append(file.getvalue())
    assert told == ["3 tasks, 2 of them done before; to do: T2\n", "2 tasks, 2 of them done before\n"]


def test_a_terminal_gets_bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LOOKS", 0.01)
    file = io.StringIO()
    display = Display(Console(file=file, force_terminal=True, width=100))
    with display.showing(work_in(tmp_path)):
        report(tmp_path / "one", 5, 0.5)
        until("test Sharpe 0.50", file)
        display.ended(0, False)
        until("failed", file)
        shown = file.getvalue()
        report(tmp_path / "one", 6, 0.75)  # what a failed task left behind says nothing more
        time.sleep(0.1)
        assert "0.75" not in file.getvalue()[len(shown) :]
    assert "5/10" in file.getvalue()
    assert "to do" not in file.getvalue()


def test_no_console_shows_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    display = Display(None)
    with display.showing(work_in(tmp_path)):
        display.ended(0, True)
    assert capsys.readouterr() == ("", "")
