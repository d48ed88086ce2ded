"""Runs are whole or resumable: what stands in their folders, what is refused, what survives a failure."""

import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from known_runs import run_of
from rich.console import Console

from llmrl_lib.evidence.audit.recall import balanced_windows
from llmrl_lib.experiments import ExperimentError, Run, execution, load_arm, open_run, run_arm, run_suite, suite
from llmrl_lib.experiments.adviser import Adviser
from llmrl_lib.experiments.arms import CLASSICAL
from llmrl_lib.experiments.execution import execute_notebook, with_names
from llmrl_lib.experiments.folders import explain, first_difference, write_text, write_whole
from llmrl_lib.experiments.processes import alone_in
from llmrl_lib.experiments.progress import Display
from llmrl_lib.experiments.work import Task
from llmrl_lib.market.dataset import load_dataset
from llmrl_lib.settings import Profile, TdqnSettings, load_profile

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = ROOT / "data" / "embedded"
SMOKE = load_profile("smoke")
PLAIN = Profile("plain", SMOKE.seeds, SMOKE.tdqn)  # without a strategist


def test_a_finished_arm_holds_its_files_and_nothing_else(smoke_run: Path) -> None:
    common = {"settings.toml", "performance.csv", "trajectories.csv.gz", "manifest.json"}
    assert {path.name for path in (smoke_run / "ORVN" / "buy_and_hold").iterdir()} == common
    learned = {path.name for path in (smoke_run / "ORVN" / "unguided").iterdir()}
    assert learned == common | {"metrics.csv", "weights.safetensors"}


def test_the_manifest_is_written_last_and_says_how_the_arm_was_made(smoke_run: Path) -> None:
    folder = smoke_run / "KSTV" / "unguided"
    written = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert written["manifest.json"] == max(written.values())
    manifest = load_arm(folder).manifest
    assert manifest["dataset_hash"] == load_dataset(EMBEDDED).content_hash(manifest["ticker"])
    assert manifest["seeds"] == [0, 1]
    assert manifest["seconds"] > 0
    assert set(manifest["versions"]) >= {"python", "torch", "numpy", "pandas", "llmrl"}
    assert {"device", "commit", "profile"} <= set(manifest)


def test_the_tables_of_an_arm_fit_together(smoke_run: Path) -> None:
    arm = open_run(smoke_run).arms("ORVN")["unguided"]
    assert list(arm.episodes.groupby("seed")["episode"].max()) == [2, 2]
    last = arm.episodes[arm.episodes["episode"] == 2].set_index("seed")["test_sharpe"]
    final = arm.performance[arm.performance["split"] == "test"].set_index("seed")["sharpe_ratio"]
    pd.testing.assert_series_equal(last, final, check_names=False)
    assert all(weights.shape[0] == 2 for weights in arm.weights().values())


def test_a_finished_arm_is_read_and_not_trained_again(smoke_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrl_lib.trading.tdqn.train_tdqn", None)
    arm = run_arm(load_dataset(EMBEDDED), "ORVN", "unguided", SMOKE, smoke_run / "ORVN" / "unguided")
    assert arm.name == "unguided"


def test_a_folder_made_with_other_settings_is_refused_by_the_setting(smoke_run: Path) -> None:
    other = Profile("other", SMOKE.seeds, TdqnSettings(episodes=3, hidden=32))
    with pytest.raises(
        ExperimentError, match=r"tdqn\.episodes = 2, and 3 is asked for now; give another folder with --out"
    ):
        run_arm(load_dataset(EMBEDDED), "ORVN", "unguided", other, smoke_run / "ORVN" / "unguided")


def test_a_folder_made_with_other_seeds_is_refused(smoke_run: Path, tmp_path: Path) -> None:
    shutil.copy(smoke_run / "run.toml", tmp_path)
    with pytest.raises(ExperimentError, match="seeds"):
        run_suite(EMBEDDED, ["ORVN"], Profile("other", (0,), SMOKE.tdqn), tmp_path, jobs=1)


def _with_a_zero_close(data: Path, ticker: str) -> None:
    bars = data / "bars" / f"{ticker}.csv"
    lines = bars.read_text().splitlines(keepends=True)
    cells = lines[50].split(",")
    cells[4] = "0"
    bars.write_text("".join([*lines[:50], ",".join(cells), *lines[51:]]))


def test_a_folder_made_from_other_data_is_refused(smoke_run: Path, tmp_path: Path) -> None:
    data = shutil.copytree(EMBEDDED, tmp_path / "data")
    bars = data / "bars" / "ORVN.csv"
    bars.write_text(bars.read_text() + "\n")
    with pytest.raises(ExperimentError, match="dataset_hash"):
        run_arm(load_dataset(data), "ORVN", "unguided", SMOKE, smoke_run / "ORVN" / "unguided")


def test_another_tickers_files_do_not_concern_a_finished_arm(smoke_run: Path, tmp_path: Path) -> None:
    data = shutil.copytree(EMBEDDED, tmp_path / "data")
    _with_a_zero_close(data, "QLRY")
    arm = run_arm(load_dataset(data), "ORVN", "unguided", SMOKE, smoke_run / "ORVN" / "unguided")
    assert arm.manifest["dataset_hash"] == load_dataset(EMBEDDED).content_hash("ORVN")


def test_a_broken_ticker_spares_the_others_and_can_be_repaired(tmp_path: Path) -> None:
    """The healthy ticker is told to its last notebook; once the other is mended the same call goes on."""
    data, out = shutil.copytree(EMBEDDED, tmp_path / "data"), tmp_path / "run"
    sound = (data / "bars" / "QLRY.csv").read_text()
    _with_a_zero_close(data, "QLRY")
    tiny = Profile("tiny", (0,), TdqnSettings(episodes=1, hidden=8))
    outcome = run_suite(data, ["ORVN", "QLRY"], tiny, out, jobs=2, arms=("unguided", "buy_and_hold"))
    assert outcome.finished == ("ORVN",)
    assert [(failure.ticker, failure.what) for failure in outcome.failures] == [("QLRY", "bars")]
    assert "bars/QLRY.csv line 51" in outcome.failures[0].why
    assert (out / "notebooks" / "06_results.ipynb").is_file()
    made = (out / "ORVN" / "unguided" / "manifest.json").stat().st_mtime_ns
    (data / "bars" / "QLRY.csv").write_text(sound)
    again = run_suite(data, ["ORVN", "QLRY"], tiny, out, jobs=2, arms=("unguided", "buy_and_hold"))
    assert (again.finished, again.failures) == (("ORVN", "QLRY"), ())
    assert (out / "ORVN" / "unguided" / "manifest.json").stat().st_mtime_ns == made
    (data / "bars" / "QLRY.csv").write_text(sound.replace(",", ";"))  # after it was finished
    later = run_suite(data, ["KSTV"], tiny, out, jobs=2, arms=("unguided", "buy_and_hold"))
    assert later.finished == ("KSTV",)
    (over_all,) = later.failures  # which holds QLRY, too, whose files are no longer those of its results
    assert over_all.what == "notebook 06_results"
    assert "has changed for QLRY" in over_all.why


def test_an_unfinished_arm_is_made_again_with_the_same_numbers(smoke_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(smoke_run / "ORVN" / "mean_reversion", tmp_path / "arm")
    before = (folder / "trajectories.csv.gz").read_bytes()
    (folder / "manifest.json").unlink()
    (folder / "trajectories.csv.gz").write_bytes(b"half a file")
    run_arm(load_dataset(EMBEDDED), "ORVN", "mean_reversion", SMOKE, folder)
    assert (folder / "trajectories.csv.gz").read_bytes() == before
    assert (folder / "manifest.json").is_file()


def test_an_unknown_arm_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="no arm 'guded'; choose from unguided"):
        run_arm(load_dataset(EMBEDDED), "ORVN", "guded", SMOKE, tmp_path / "arm")


def test_a_killed_run_goes_on_and_ends_in_the_same_numbers(smoke_run: Path, tmp_path: Path) -> None:
    out, profile = tmp_path / "killed", tmp_path / "smoke.toml"
    profile.write_text("seeds = 2\n[tdqn]\nepisodes = 2\nhidden = 32\n")  # the same agent, and nothing before it
    code = "from llmrl_lib.trading import tasks; tasks.SECONDS_BETWEEN_CHECKPOINTS = 0; "
    code += "from llmrl_lib.cli import app; app()"
    command = [sys.executable, "-c", code, "run", "--dataset", str(EMBEDDED)]
    command += ["--tickers", "ORVN", "--profile", str(profile), "--out", str(out), "--jobs", "1"]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder, deadline = out / "ORVN" / "unguided", time.monotonic() + 120
    saved = folder / "checkpoints"
    while (
        not ((folder / "progress.json").is_file() and any(saved.glob("*.safetensors"))) and time.monotonic() < deadline
    ):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "manifest.json").exists()
    assert list(saved.glob("*.safetensors"))
    run_arm(load_dataset(EMBEDDED), "ORVN", "unguided", SMOKE, folder)
    for name in ("metrics.csv", "trajectories.csv.gz", "weights.safetensors"):
        assert (folder / name).read_bytes() == (smoke_run / "ORVN" / "unguided" / name).read_bytes(), name
    assert not saved.exists()


def test_checkpoints_that_a_kill_left_in_a_finished_arm_are_removed(smoke_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(smoke_run / "ORVN" / "buy_and_hold", tmp_path / "arm")
    (folder / "checkpoints").mkdir()
    run_arm(load_dataset(EMBEDDED), "ORVN", "buy_and_hold", SMOKE, folder)
    assert not (folder / "checkpoints").exists()


def test_the_processes_are_shared_by_the_arms_that_are_still_to_train(
    smoke_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(smoke_run, tmp_path / "run")
    (folder / "KSTV" / "unguided" / "manifest.json").unlink()
    given = []

    def work_off(tasks: list[suite.Task], *_: object) -> list[suite.Failure]:
        given.extend(task.call.workers for task in tasks if task.what == "unguided")
        return []

    monkeypatch.setattr(suite, "_work_off", work_off)
    run_suite(EMBEDDED, ["ORVN", "KSTV"], SMOKE, folder, jobs=8, notebooks=False)
    assert given == [8, 8]


def test_a_repeated_run_says_what_is_done_already(tmp_path: Path) -> None:
    said = []
    for arms in (("buy_and_hold",), ("buy_and_hold", "sell_and_hold"), ("buy_and_hold",)):
        file = io.StringIO()
        run_suite(EMBEDDED, ["ORVN"], PLAIN, tmp_path, 1, arms, Display(Console(file=file, width=200)), notebooks=False)
        said.append(file.getvalue().splitlines()[0])
    assert said == [
        "1 task to do: ORVN buy_and_hold",
        "2 tasks, 1 of them done before; to do: ORVN sell_and_hold",
        "1 task, 1 of them done before",
    ]


def test_strategies_and_a_gpus_arms_are_done_before_only_as_a_whole(tmp_path: Path) -> None:
    asked = suite._StrategyCall(EMBEDDED, ("ORVN", "KSTV"), "p1", "p1", tmp_path, Adviser())
    together = {("ORVN", arm): tmp_path / "ORVN" / arm for arm in ("unguided", "guided")}
    gpu = suite._GpuCall(EMBEDDED, together, SMOKE, tmp_path)
    done = []
    for ticker, arm in (("ORVN", "unguided"), ("KSTV", "guided")):
        (tmp_path / "strategies" / "p1-1").mkdir(parents=True, exist_ok=True)
        (tmp_path / "strategies" / "p1-1" / f"{ticker}.jsonl").touch()
        (tmp_path / "ORVN" / arm).mkdir(parents=True)
        (tmp_path / "ORVN" / arm / "manifest.json").write_text("{}")
        done.append([suite._done_before(Task("", "", call)) for call in (asked, gpu)])
    assert done == [[False, False], [True, True]]


def test_a_notebook_is_done_before_where_its_copy_would_be_kept(tmp_path: Path) -> None:
    source, output = tmp_path / "a.ipynb", tmp_path / "b.ipynb"
    source.write_text("{}")
    assert not execution.is_kept(source, output, {}, [b"x"])
    output.write_text(json.dumps({"metadata": {"llmrl": {"inputs": execution._digest(source, {}, [b"x"])}}}))
    assert execution.is_kept(source, output, {}, [b"x"])
    assert not execution.is_kept(source, output, {}, [b"y"])
    assert not execution.is_kept(source, output, {"ticker": "ORVN"}, [b"x"])


def test_a_run_folder_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    with alone_in(tmp_path), pytest.raises(ExperimentError, match=rf"process {os.getpid()} on \S+ is at work in"):
        run_suite(EMBEDDED, ["ORVN"], PLAIN, tmp_path, 1, arms=("buy_and_hold",), notebooks=False)
    assert not (tmp_path / "run.toml").exists()


def test_a_run_that_wrote_nothing_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with alone_in(folder):
        assert (folder / ".lock").is_file()
    assert not list(tmp_path.iterdir())
    with alone_in(folder):
        (folder / "run.toml").write_text("")
    assert sorted(place.name for place in folder.iterdir()) == [".lock", "run.toml"]
    (tmp_path / "mine").mkdir()
    with alone_in(tmp_path / "mine"):
        pass
    assert not list((tmp_path / "mine").iterdir())


def test_the_lock_of_a_killed_process_is_not_in_the_way(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from llmrl_lib.experiments.processes import alone_in\n"
    code += "with alone_in(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -signal.SIGKILL
    assert (tmp_path / ".lock").read_text().startswith("process ")
    outcome = run_suite(EMBEDDED, ["ORVN"], PLAIN, tmp_path, 1, arms=("buy_and_hold",), notebooks=False)
    assert outcome.finished == ("ORVN",)


def test_a_run_behind_a_link_finds_its_dataset(tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "far" / "away")
    run_suite(EMBEDDED, ["ORVN"], PLAIN, tmp_path / "runs" / "first", 1, arms=("buy_and_hold",), notebooks=False)
    assert open_run(tmp_path / "runs" / "first").dataset.tickers[0] == "ORVN"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: re.sub(r"(?m)^tickers.*$", "", text), "it lacks tickers"),
        (lambda text: re.sub(r"(?m)^tickers.*$", "tickers = 3", text), "it lacks a list of tickers"),
    ],
)
def test_a_damaged_run_is_one_sentence(
    smoke_run: Path, tmp_path: Path, change: Callable[[str], str], said: str
) -> None:
    (tmp_path / "run.toml").write_text(change((smoke_run / "run.toml").read_text()))
    sentence = rf"run\.toml is damaged \({said}\); delete {tmp_path} and run again"
    with pytest.raises(ExperimentError, match=sentence):
        open_run(tmp_path)
    with pytest.raises(ExperimentError, match=sentence):
        run_suite(EMBEDDED, ["ORVN"], SMOKE, tmp_path, jobs=1)


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"ticker": "ORVN"}', "{"])
def test_a_damaged_manifest_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ExperimentError, match=rf"manifest\.json is damaged \(.+\); delete {tmp_path} and run again"):
        load_arm(tmp_path)


def test_a_table_lost_from_a_finished_arm_is_named_with_the_remedy(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"AAA": {"unguided": 0.0}})
    (tmp_path / "run" / "AAA" / "unguided" / "performance.csv").unlink()
    with pytest.raises(
        ExperimentError, match=r"performance\.csv is gone from a finished arm; delete .+unguided and give"
    ):
        run.performance("test")


def test_what_asks_a_model_about_all_companies_leaves_broken_ones_out(tmp_path: Path) -> None:
    data = shutil.copytree(EMBEDDED, tmp_path / "data")
    _with_a_zero_close(data, "QLRY")
    dataset = load_dataset(data)
    sound = tuple(ticker for ticker in load_dataset(EMBEDDED).tickers if ticker != "QLRY")
    assert dataset.sound_tickers() == sound
    assert {window.ticker for window in balanced_windows(dataset, 12)} == set(sound)


def test_who_is_left_out_is_said_before_the_work(tmp_path: Path) -> None:
    data, said = shutil.copytree(EMBEDDED, tmp_path / "data"), io.StringIO()
    _with_a_zero_close(data, "QLRY")
    display = Display(Console(file=said))
    run_suite(data, ["QLRY", "ORVN"], PLAIN, tmp_path / "run", 1, ["buy_and_hold"], display, notebooks=False)
    first, *_ = said.getvalue().splitlines()
    assert first.startswith("left out: QLRY bars: ")
    assert "bars/QLRY.csv line 51" in first


def test_a_broken_ticker_spares_the_others(tmp_path: Path) -> None:
    data = shutil.copytree(EMBEDDED, tmp_path / "data")
    bars = data / "bars" / "KSTV.csv"
    lines = bars.read_text().splitlines()
    lines[5] = lines[5].replace(lines[5].split(",")[4], "abc", 1)
    bars.write_text("\n".join(lines) + "\n")
    outcome = run_suite(data, ["KSTV", "ORVN"], PLAIN, tmp_path / "run", jobs=1, arms=CLASSICAL, notebooks=False)
    assert outcome.finished == ("ORVN",)
    assert [failure.ticker for failure in outcome.failures] == ["KSTV"]
    assert "bars/KSTV.csv line 6" in str(outcome.failures[0])
    assert open_run(tmp_path / "run").tickers == ("ORVN",)


def test_a_full_disk_is_one_sentence_and_spares_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wholly = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "KSTV" not in str(path):
            return wholly(path, content)
        wholly(path, content[:12])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    out = tmp_path / "run"
    outcome = run_suite(EMBEDDED, ["ORVN", "KSTV"], SMOKE, out, 1, arms=("buy_and_hold",), notebooks=False)
    assert outcome.finished == ("ORVN",)
    (failure,) = outcome.failures
    where = out / "KSTV" / "buy_and_hold" / "trajectories.csv.gz"
    assert failure.why.startswith(f"the disk is full while writing {where}; free some space")
    assert sorted(path.name for path in where.parent.iterdir()) == ["settings.toml"]


def test_a_really_full_disk_ends_in_one_sentence(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        outcome = run_suite(EMBEDDED, ["ORVN", "KSTV"], PLAIN, tmp_path / "run", 1, arms=CLASSICAL, notebooks=False)
        assert any("the disk is full" in failure.why for failure in outcome.failures)
        assert (tmp_path / "run" / "ORVN" / "buy_and_hold" / "manifest.json").is_file()
        assert not list((tmp_path / "run").rglob("*.part"))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ExperimentError, match="is not empty and holds no run"):
        run_suite(EMBEDDED, ["ORVN"], SMOKE, tmp_path, jobs=1)


def test_a_run_that_is_not_there_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="llmrl run --dataset data/embedded --profile quick --out runs/nothing"):
        open_run(tmp_path / "nothing")
    with pytest.raises(ExperimentError, match="--tickers MOON"):
        Run(tmp_path, {"profile": "quick", "tickers": []}).arms("MOON")


def test_a_dataset_that_changed_after_the_run_is_noticed(smoke_run: Path, tmp_path: Path) -> None:
    data = shutil.copytree(EMBEDDED, tmp_path / "data")
    run = open_run(smoke_run)
    (data / "bars" / "ORVN.csv").write_bytes((data / "bars" / "KSTV.csv").read_bytes())
    moved = Run(smoke_run, {**run.about, "dataset": os.path.relpath(data, smoke_run)})
    with pytest.raises(ExperimentError, match="has changed for ORVN since"):
        _ = moved.dataset
    assert run.dataset.tickers[0] == "ORVN"


def test_executed_notebooks_tell_nothing_about_the_machine(smoke_run: Path) -> None:
    executed = sorted((smoke_run / "notebooks").rglob("*.ipynb"))
    assert len(executed) == 2 * len(suite.TICKER_NOTEBOOKS) + len(suite.RUN_NOTEBOOKS)
    for path in executed:
        text = path.read_text("utf-8")
        for place in (str(ROOT), str(smoke_run.parent), sys.prefix, str(Path.home()) + "/"):
            assert place not in text, f"{path.name} holds {place}"


def test_only_whole_paths_are_renamed() -> None:
    names = {"/code": ".", "/code/env": "[environment]", "/home/ann": "~", "/": "?"}
    for text, expected in {
        "<code>/code/a.py</code>": "<code>./a.py</code>",
        "/srv/code, /code-old, /code.old, /codes": "/srv/code, /code-old, /code.old, /codes",
        "see /code.": "see ..",
        "file:///code/x '/code/env/bin'": "file://./x '[environment]/bin'",
        "\x1b[32m/home/ann/x.py\x1b[0m": "\x1b[32m~/x.py\x1b[0m",
        "/code:/code": ".:.",
    }.items():
        assert with_names([text], names) == [expected]
    assert with_names({"image/png": "/code", "text/plain": "/code"}, names) == {"image/png": "/code", "text/plain": "."}


def test_executed_notebooks_name_run_and_dataset_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = shutil.copytree(EMBEDDED, tmp_path / "data"), tmp_path / "run"
    code = "import llmrl_lib as ll\nrun = ll.open_run(run_folder)\nprint(run.path.resolve() / 'x', run.dataset.path)"
    _notebook(tmp_path / "told.ipynb", "run_folder = ''\nticker = ''", code)
    monkeypatch.setattr(suite, "notebook_folder", lambda: tmp_path)
    monkeypatch.setattr(
        suite, "TICKER_NOTEBOOKS", ("told", suite.AGENTS)
    )  # there are no agents, and no such notebook here
    monkeypatch.setattr(suite, "RUN_NOTEBOOKS", ())
    assert not run_suite(data, ["ORVN"], SMOKE, out, 1, arms=("buy_and_hold",)).failures
    told = nbformat.read(out / "notebooks" / "ORVN" / "told.ipynb", 4)
    assert told.cells[-1].outputs[0].text == "[run]/x [dataset]\n"


def test_two_executions_of_a_notebook_do_not_share_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, parts = _notebook(tmp_path / "source.ipynb", "number = 1", "print(number)"), []

    def execute(source: Path, part: Path, *_: object) -> None:
        parts.append(part.name)
        shutil.copyfile(source, part)

    monkeypatch.setattr("llmrl_lib.experiments.execution._execute", execute)
    execute_notebook(source, tmp_path / "out.ipynb", {})
    assert parts == [f"out.{os.getpid()}.part.ipynb"]


def test_an_executed_notebook_is_kept_until_its_inputs_change(tmp_path: Path) -> None:
    source = _notebook(tmp_path / "source.ipynb", "number = 1", "print(number)")
    output = tmp_path / "out" / "source.ipynb"
    assert execute_notebook(source, output, {"number": 2}, [b"data"])
    assert [out.text for out in nbformat.read(output, 4).cells[-1].outputs] == ["2\n"]
    assert not execute_notebook(source, output, {"number": 2}, [b"data"])
    assert execute_notebook(source, output, {"number": 2}, [b"other data"])


def test_a_parameter_that_the_notebook_lacks_is_an_error(tmp_path: Path) -> None:
    source = _notebook(tmp_path / "source.ipynb", "number = 1", "print(number)")
    with pytest.raises(ExperimentError, match=r"source\.ipynb has no parameter 'nmber'; it has number"):
        execute_notebook(source, tmp_path / "out.ipynb", {"nmber": 2})


def test_a_failing_notebook_leaves_its_traceback_and_no_result(tmp_path: Path) -> None:
    source = _notebook(tmp_path / "source.ipynb", "number = 1", "1 / (number - 1)")
    with pytest.raises(ExperimentError, match="notebook source failed: ZeroDivisionError: division by zero"):
        execute_notebook(source, tmp_path / "out.ipynb", {})
    assert not (tmp_path / "out.ipynb").exists()
    assert "ZeroDivisionError" in (tmp_path / "out.failed.ipynb").read_text()


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")

    def fail(part: Path) -> None:
        part.write_text("ne")
        raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        write_whole(path, fail)
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_text() == "old"


def test_the_first_difference_is_found_in_nested_tables() -> None:
    made, asked = {"a": 1, "t": {"x": 1, "y": 2}}, {"a": 1, "t": {"x": 1, "y": 3}}
    assert first_difference(made, asked) == ("t.y", 2, 3)
    assert first_difference(made, {"a": 1}) == ("t", {"x": 1, "y": 2}, None)
    assert first_difference(made, made) is None


def test_a_full_disk_is_recognised_behind_other_errors() -> None:
    wrapped = RuntimeError("a worker failed")
    wrapped.__cause__ = OSError(errno.EDQUOT, "quota", "runs/x")
    assert explain(wrapped).startswith("the disk is full while writing runs/x;")
    assert explain(KeyError("close")) == "KeyError: 'close'"
    assert explain(ValueError("2 defects:\n  one   \n\n two")) == "2 defects:\n  one\n  two"


def _notebook(path: Path, parameters: str, code: str) -> Path:
    cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(code)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps(nbformat.v4.new_notebook(cells=cells, metadata=kernel)))
    return path
