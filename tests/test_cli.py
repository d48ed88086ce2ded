"""The command line: what goes wrong is one clear sentence and an exit code, never a traceback."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import llmrl_lib
from llmrl_lib.cli import app

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = ROOT / "data" / "embedded"


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def one_sentence(result: Result) -> str:
    """The one line on standard error, after seeing that it is one."""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.output
    assert lines[0].startswith("llmrl: ")
    return lines[0]


def test_check_prints_coverage_and_defects() -> None:
    result = call("data", "check", EMBEDDED)
    assert result.exit_code == 0
    assert re.search(r"bars\s*│ ORVN\s*│ 2012-01-03 │ 2019-12-31 │ 2015", result.output)
    assert re.search(r"news\s*│ HDRN\s*│ 2011-11-25", result.output)
    assert "absent" not in result.output
    assert "tolerated" in result.output
    assert "The dataset can be used." in result.output


def test_the_version_is_that_of_the_package() -> None:
    result = call("--version")
    assert (result.exit_code, result.output.strip()) == (0, f"llmrl {llmrl_lib.__version__}")


def test_check_of_a_broken_dataset_names_file_and_line(tmp_path: Path) -> None:
    data = _with_bars(tmp_path, lambda lines: [*lines[:9], lines[8], *lines[9:]])
    result = call("data", "check", data)
    assert result.exit_code == 2
    assert re.search(r"refused .*bars/ORVN\.csv", result.output)
    assert "line 10" in result.output
    assert "cannot be used" in result.output


def test_synthesise_writes_the_embedded_market(tmp_path: Path) -> None:
    assert call("data", "synthesise", "--out", tmp_path / "made").exit_code == 0
    for path in sorted(EMBEDDED.rglob("*.csv")):
        assert (tmp_path / "made" / path.relative_to(EMBEDDED)).read_bytes() == path.read_bytes(), path.name


def test_synthesise_takes_strength_carriers_and_dates(tmp_path: Path) -> None:
    options = ("--seed", 3, "--tickers", 2, "--strength", 1.5, "--carriers", "news, macro")
    dates = ("--first", "2015-01-02", "--last", "2016-06-30", "--split", "2016-01-04")
    result = call("data", "synthesise", "--out", tmp_path / "made", *options, *dates)
    assert result.exit_code == 0, result.output
    toml = (tmp_path / "made" / "dataset.toml").read_text()
    assert 'name = "synthetic-3-2-strength1.5-macro+news"' in toml
    assert "split = 2016-01-04" in toml
    again = re.search('made_with = "llmrl (.*)"', toml)
    assert again
    assert call(*again[1].split(), "--out", tmp_path / "again").exit_code == 0
    for path in sorted((tmp_path / "made").rglob("*.csv")):
        assert (tmp_path / "again" / path.relative_to(tmp_path / "made")).read_bytes() == path.read_bytes(), path.name
    assert call("data", "synthesise", "--out", tmp_path / "silent", "--carriers", "none", *dates).exit_code == 0
    assert "-nothing" in (tmp_path / "silent" / "dataset.toml").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--strength", "3"), "strength 3.0 lies outside 0 (no signal) to 2.0"),
        (("--carriers", "news,gossip"), "'gossip' is no list of categories; choose from prices, options, macro"),
        (("--tickers", "201"), "201 tickers; an invented market has 1 to 200"),
        (("--split", "2019-12-20"), "testing has 7 trading days, 31 are needed"),
        (("--last", "2011-12-20"), "both lie in 1950..2100, and first before last"),
    ],
)
def test_impossible_markets_are_one_sentence(options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    result = call("data", "synthesise", "--out", tmp_path / "made", *options)
    assert result.exit_code == 2
    assert said in one_sentence(result)
    assert not (tmp_path / "made").exists()


def test_synthesise_does_not_write_over_files(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    result = call("data", "synthesise", "--out", tmp_path)
    assert result.exit_code == 2
    assert "not empty" in one_sentence(result)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--dataset", "no/such/folder"), "no/such/folder: no such folder"),
        (("--dataset", EMBEDDED, "--tickers", "ORVN,MOON"), "has no ticker 'MOON'; it has ORVN"),
        (("--dataset", EMBEDDED, "--tickers", " ,"), "no ticker is asked for; name some of ORVN"),
        (
            ("--dataset", EMBEDDED, "--profile", "fast"),
            "there is no profile 'fast'; choose one of ablations, paper, quick, smoke",
        ),
        (("--dataset", ROOT / "tests"), "dataset.toml"),
    ],
)
def test_wrong_options_of_a_run_are_one_sentence(options: tuple[object, ...], said: str, tmp_path: Path) -> None:
    result = call("run", "--out", tmp_path / "run", *options)
    assert result.exit_code == 2
    assert said in one_sentence(result)
    assert not (tmp_path / "run").exists()


def test_a_wrong_setting_in_a_profile_is_named(tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text("[tdqn]\nepisode = 3\n")
    result = call("run", "--dataset", EMBEDDED, "--out", tmp_path / "run", "--profile", profile)
    assert result.exit_code == 2
    assert "unknown setting 'episode'" in one_sentence(result)


BROKEN_BARS: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "empty": (lambda _: [], "bars/ORVN.csv"),
    "header only": (lambda lines: lines[:1], "bars/ORVN.csv"),
    "one row": (lambda lines: lines[:2], "bars/ORVN.csv"),
    "29 rows": (lambda lines: lines[:30], "bars/ORVN.csv"),
    "NaN close": (lambda lines: _cell(lines, 7, 4, ""), "bars/ORVN.csv line 8"),
    "negative price": (lambda lines: _cell(lines, 7, 1, "-3.0"), "bars/ORVN.csv line 8"),
    "text in a number": (lambda lines: _cell(lines, 7, 4, "about 50"), "bars/ORVN.csv line 8"),
    "duplicated date": (lambda lines: [*lines[:8], lines[7], *lines[8:]], "bars/ORVN.csv line 9"),
    "unsorted dates": (lambda lines: [*lines[:7], lines[8], lines[7], *lines[9:]], "bars/ORVN.csv line 9"),
}


@pytest.mark.parametrize("kind", BROKEN_BARS)
def test_broken_bars_end_in_a_clear_sentence(kind: str, tmp_path: Path) -> None:
    change, said = BROKEN_BARS[kind]
    data = _with_bars(tmp_path, change)
    result = call("run", "--dataset", data, "--tickers", "ORVN", "--profile", "smoke", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    first, *_, last = result.stderr.strip().splitlines()
    assert first.startswith("llmrl: ORVN bars: ")
    assert said in result.stderr
    assert last == "llmrl: finished: no ticker; give the same command again to go on"


def test_several_defects_stand_one_to_a_line(tmp_path: Path) -> None:
    data = _with_bars(tmp_path, lambda lines: _cell(_cell(lines, 7, 4, ""), 9, 1, "-3.0"))
    result = call("run", "--dataset", data, "--tickers", "ORVN", "--profile", "smoke", "--out", tmp_path / "run")
    title, first, second, _ = result.stderr.strip().splitlines()
    assert title == "llmrl: ORVN bars: 2 defects:"
    assert first.startswith("  bars/ORVN.csv line 8: ")
    assert second.startswith("  bars/ORVN.csv line 10: ")


def test_a_missing_split_is_one_sentence(tmp_path: Path) -> None:
    data = shutil.copytree(EMBEDDED, tmp_path / "data")
    about = data / "dataset.toml"
    about.write_text("\n".join(line for line in about.read_text().splitlines() if not line.startswith("split")))
    result = call("run", "--dataset", data, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "split" in one_sentence(result)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = call("run", "--dataset", "no/such/folder", "--out", tmp_path / "run", "--debug")
    assert type(result.exception).__name__ == "DatasetError"


def test_a_book_of_nothing_says_how_to_make_a_run(tmp_path: Path) -> None:
    result = call("book", tmp_path / "run")
    assert result.exit_code == 2
    assert "make it with: llmrl run --dataset data/embedded" in one_sentence(result)


def test_the_finished_run_is_kept_when_asked_for_again(smoke_run: Path, tmp_path: Path) -> None:
    anew, out = ("run.toml", ".lock"), shutil.copytree(smoke_run, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name not in anew}
    result = call("run", "--dataset", EMBEDDED, "--tickers", "ORVN", "--profile", "smoke", "--out", out)
    assert result.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.fixture
def working(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A long run in tmp_path / "run", at work in four processes that have four more, in a session of its own."""
    profile = tmp_path / "unguided.toml"
    profile.write_text('seeds = 4\narms = ["unguided"]\n[tdqn]\nepisodes = 50\n')
    command = [sys.executable, "-c", "from llmrl_lib.cli import app; app()", "run", "--dataset", str(EMBEDDED)]
    command += ["--tickers", "ORVN", "--profile", str(profile), "--out", str(tmp_path / "run"), "--jobs", "4"]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "ORVN" / "unguided" / "progress.json").is_file() and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended too early"
        time.sleep(0.02)
    yield process
    for number in _session(process):
        os.kill(number, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_second_run_of_a_folder_is_refused_and_a_stopped_one_says_one_sentence(
    working: subprocess.Popen[str], tmp_path: Path
) -> None:
    result = call("run", "--dataset", EMBEDDED, "--tickers", "KSTV", "--profile", "quick", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert f"process {working.pid} on {socket.gethostname()} is at work in {tmp_path / 'run'}" in one_sentence(result)
    os.killpg(working.pid, signal.SIGINT)
    assert working.communicate(timeout=60)[1] == (
        "llmrl: stopped; what is finished is kept, give the same command again to go on\n"
    )
    assert working.returncode == 130
    assert _all_gone(working)


@pytest.mark.slow
def test_the_workers_of_a_killed_run_end_by_themselves(working: subprocess.Popen[str]) -> None:
    assert len(_session(working)) > 8
    working.kill()
    assert _all_gone(working)
    assert working.communicate()[1] == ""


def _all_gone(process: subprocess.Popen[str]) -> bool:
    """Whether all processes of its session end within half a minute."""
    deadline = time.monotonic() + 30
    while _session(process) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not _session(process)


def _session(process: subprocess.Popen[str]) -> list[int]:
    """The numbers of the living processes of its session."""
    listed = subprocess.run(["ps", "-o", "pid=,stat=", "-s", str(process.pid)], capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "Z" not in line.split()[1]]


def test_help_starts_fast_and_without_torch() -> None:
    code = "import sys; from llmrl_lib.cli import app; print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def _with_bars(folder: Path, change: Callable[[list[str]], list[str]]) -> Path:
    """A copy of the embedded market whose bars of ORVN are changed line by line."""
    data = shutil.copytree(EMBEDDED, folder / "data")
    bars = data / "bars" / "ORVN.csv"
    lines = change(bars.read_text().splitlines())
    bars.write_text("".join(f"{line}\n" for line in lines))
    return data


def _cell(lines: list[str], row: int, column: int, value: str) -> list[str]:
    cells = lines[row].split(",")
    cells[column] = value
    return [*lines[:row], ",".join(cells), *lines[row + 1 :]]
