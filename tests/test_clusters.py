"""Runs on more machines than one: the same bytes as on this one, what a lost worker costs, and who is refused."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from dask_processes import DaskProcesses

from llmrl_lib.experiments import Cluster, ExperimentError, Outcome, clusters, run_suite, spreading, suite
from llmrl_lib.experiments.adviser import Adviser
from llmrl_lib.experiments.arm_tasks import ArmCall
from llmrl_lib.experiments.carrying import put_in_place
from llmrl_lib.experiments.clusters import Standard, defect_here
from llmrl_lib.experiments.joblib_backends import ClusterBackend
from llmrl_lib.experiments.work import Task, unfit
from llmrl_lib.language.prompts import load_prompt, save_prompt
from llmrl_lib.market.dataset import load_dataset
from llmrl_lib.settings import Profile, TdqnSettings

ROOT = Path(__file__).resolve().parent.parent
TINY = Profile("tiny", (0, 1), TdqnSettings(episodes=2, hidden=8), guide="p1")
ARMS = ("unguided", "placebo_permuted", "llm_only", "mean_reversion")
LONG = Profile("long", (0, 1), TdqnSettings(episodes=30, hidden=8))
CHANGES = ("seconds", "commit")  # in a manifest, from one run to the next


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded market with half a year of training and as much of testing."""
    folder = shutil.copytree(ROOT / "data" / "embedded", tmp_path_factory.mktemp("cluster") / "data")
    text = (folder / "dataset.toml").read_text()
    for name, day in (("train_start", "2018-01-02"), ("split", "2018-08-01"), ("end", "2019-01-02")):
        text = re.sub(rf"(?m)^{name} = .*$", f"{name} = {day}", text)
    (folder / "dataset.toml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def on_loky(data: Path) -> Path:
    """A run with advice by processes of this machine."""
    assert _run(data, data.parent / "loky", Cluster()).finished == ("ORVN",)
    return data.parent / "loky"


@pytest.fixture(scope="module")
def long_on_loky(data: Path) -> Path:
    outcome = run_suite(data, ["ORVN"], LONG, data.parent / "long", 1, ("unguided",), notebooks=False)
    assert outcome.finished == ("ORVN",)
    return data.parent / "long"


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    """A scheduler with two workers that live on."""
    pytest.importorskip("distributed", reason="Dask is not installed (pip install -e '.[dask]')")
    with DaskProcesses(tmp_path_factory.mktemp("dask")) as processes:
        processes.start_workers(2)
        _await_workers(processes, 2)
        yield processes


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[DaskProcesses]:
    """A scheduler whose workers a test starts and kills."""
    pytest.importorskip("distributed", reason="Dask is not installed (pip install -e '.[dask]')")
    with DaskProcesses(tmp_path / "dask", allowed_failures=1) as processes:
        yield processes


def _run(data: Path, out: Path, cluster: Cluster) -> Outcome:
    return run_suite(data, ["ORVN"], TINY, out, 1, ARMS, notebooks=False, cluster=cluster)


def _contents(run: Path) -> dict[str, object]:
    """Everything in a run folder but what changes from one run to the next: times, and the order of lines."""
    found: dict[str, object] = {}
    for place in sorted(one for one in run.rglob("*") if one.is_file()):
        name, content = place.relative_to(run).as_posix(), place.read_bytes()
        if place.name == "manifest.json":
            found[name] = {key: value for key, value in json.loads(content).items() if key not in CHANGES}
        elif name == "trials.jsonl":
            found[name] = sorted(json.loads(line)["key"] for line in content.split(b"\n") if line)
        elif place.name not in (".lock", "run.toml", "replies.jsonl", "replies.lock"):
            found[name] = content
    return found


def _assert_same(run: Path, other: Path) -> None:
    ours, theirs = _contents(run), _contents(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name] == theirs[name], name


def _until(said: object, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not said():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _await_workers(dask: DaskProcesses, number: int) -> None:
    from distributed import Client

    with Client(dask.address, set_as_default=False) as client:
        client.wait_for_workers(number, timeout=60)


def test_dask_workers_on_shared_storage_leave_the_bytes_of_one_machine(
    data: Path, on_loky: Path, dask: DaskProcesses, tmp_path: Path
) -> None:
    assert _run(data, tmp_path / "run", Cluster("dask", dask.address)).failures == ()
    _assert_same(tmp_path / "run", on_loky)
    seeds = [(arm, seed) for _, arm, seed, _ in dask.begun()]
    assert sorted(seeds) == [(arm, seed) for arm in ("placebo_permuted", "unguided") for seed in "01"]
    again = (tmp_path / "run" / "ORVN" / "unguided" / "manifest.json").stat().st_mtime_ns
    assert _run(data, tmp_path / "run", Cluster("dask", dask.address)).failures == ()
    assert len(dask.begun()) == len(seeds)
    assert (tmp_path / "run" / "ORVN" / "unguided" / "manifest.json").stat().st_mtime_ns == again


def test_workers_that_see_nothing_of_this_machine_send_the_same_bytes_back(
    data: Path, on_loky: Path, mortal: DaskProcesses
) -> None:
    mortal.start_workers(1, HIDDEN=str(data.parent))
    out = shutil.copytree(on_loky, data.parent / "sent")  # below what is hidden
    for arm in ARMS:
        shutil.rmtree(out / "ORVN" / arm)
    with pytest.raises(
        ExperimentError, match=r"the worker tcp://127\.0\.0\.1:\d+ cannot take part: it does not see .*sent"
    ):
        _run(data, out, Cluster("dask", mortal.address))
    assert not any((out / "ORVN").iterdir())
    assert _run(data, out, Cluster("dask", mortal.address, "return")).failures == ()
    _assert_same(out, on_loky)
    assert len(mortal.begun()) == 4
    assert str(mortal.folder).encode() not in b"".join(place.read_bytes() for place in out.glob("ORVN/*/*"))


def test_what_a_killed_worker_held_goes_on_at_its_checkpoint_and_nothing_else_is_trained_again(
    data: Path, long_on_loky: Path, mortal: DaskProcesses, tmp_path: Path
) -> None:
    workers, out, ended = mortal.start_workers(2), tmp_path / "run", []
    cluster = Cluster("dask", mortal.address)

    def work() -> None:
        ended.append(run_suite(data, ["ORVN"], LONG, out, 0, ("unguided",), notebooks=False, cluster=cluster))

    _await_workers(mortal, 2)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    seeds = [out / "ORVN" / "unguided" / "checkpoints" / f"seed-000{seed}.safetensors" for seed in (0, 1)]
    _until(lambda: all(place.is_file() for place in seeds), 60)
    workers[0].kill()
    thread.join(60)
    assert not thread.is_alive()
    assert ended[0].failures == ()
    _assert_same(out, long_on_loky)
    begun = mortal.begun()
    (held,) = [seed for process, _, seed, _ in begun if process == str(workers[0].pid)]
    assert [(seed, saved) for process, _, seed, saved in begun if process != str(workers[0].pid)][-1] == (held, "True")
    assert len(begun) == 3


def test_an_arm_that_no_worker_survives_is_named_and_the_others_are_made(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed (pip install -e '.[dask]')")
    with DaskProcesses(tmp_path / "dask", allowed_failures=0) as dask:
        dask.start_workers(2, POISON="oracle_060")
        _await_workers(dask, 2)
        profile, arms, cluster = (
            replace(TINY, seeds=(0,)),
            ("oracle_060", "buy_and_hold"),
            Cluster("dask", dask.address),
        )
        outcome = run_suite(data, ["ORVN"], profile, tmp_path / "run", 1, arms, notebooks=False, cluster=cluster)
    (failure,) = outcome.failures
    assert re.fullmatch(r"ORVN oracle_060: the worker tcp://\S+ died at it; perhaps for want of memory", str(failure))
    made = {place.parent.name for place in (tmp_path / "run").glob("ORVN/*/manifest.json")}
    assert made == {"buy_and_hold"}


def test_a_lost_scheduler_ends_the_run_with_what_is_unfinished(
    data: Path, mortal: DaskProcesses, tmp_path: Path
) -> None:
    mortal.start_workers(1)
    threading.Thread(target=lambda: (_until(mortal.begun), mortal.kill_scheduler()), daemon=True).start()
    profile, cluster = replace(LONG, tdqn=TdqnSettings(episodes=1000, hidden=8)), Cluster("dask", mortal.address)
    outcome = run_suite(data, ["ORVN"], profile, tmp_path / "run", 0, ("unguided",), notebooks=False, cluster=cluster)
    assert [failure.why for failure in outcome.failures] == [
        f"the scheduler at {mortal.address} has let go of it; give the same command again when it answers"
    ]


def _within_a_minute(data: Path, profile: Profile, folder: Path, arms: Sequence[str], cluster: Cluster) -> Outcome:
    """How a run of one process ends, which must not hang."""
    ended: list[Outcome] = []
    thread = threading.Thread(
        target=lambda: ended.append(
            run_suite(data, ["ORVN"], profile, folder, 1, arms, notebooks=False, cluster=cluster)
        ),
        daemon=True,
    )
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    return ended[0]


def test_a_scheduler_lost_before_the_next_task_is_sent_ends_the_run_too(
    data: Path, mortal: DaskProcesses, tmp_path: Path
) -> None:
    mortal.start_workers(1)
    threading.Thread(target=lambda: (_until(mortal.begun), mortal.kill_scheduler()), daemon=True).start()
    profile, cluster = replace(LONG, tdqn=TdqnSettings(episodes=1000, hidden=8)), Cluster("dask", mortal.address)
    outcome = _within_a_minute(data, profile, tmp_path / "run", ("unguided", "oracle_060"), cluster)
    said = f"the scheduler at {mortal.address} has let go of it; give the same command again when it answers"
    assert sorted((failure.what, failure.why) for failure in outcome.failures) == [
        ("oracle_060", said),
        ("unguided", said),
    ]


def test_a_scheduler_lost_while_arms_without_advice_train_fails_those_with_advice_as_well(
    data: Path, mortal: DaskProcesses, tmp_path: Path
) -> None:
    mortal.start_workers(1)
    threading.Thread(target=lambda: (_until(mortal.begun), mortal.kill_scheduler()), daemon=True).start()
    profile = replace(TINY, tdqn=TdqnSettings(episodes=1000, hidden=8))
    arms = ("unguided", "placebo_permuted", "llm_only")
    outcome = _within_a_minute(data, profile, tmp_path / "run", arms, Cluster("dask", mortal.address))
    assert sorted(failure.what for failure in outcome.failures) == sorted(arms)
    assert all("has let go of it; give the same command again" in failure.why for failure in outcome.failures)


AT_ONCE = """
import sys, time
from pathlib import Path
from llmrl_lib.experiments.arm_tasks import ArmCall
from llmrl_lib.experiments.spreading import _merged, work_off_here
from llmrl_lib.experiments.work import Task, attempt
from llmrl_lib.settings import Profile, TdqnSettings

place = Path(sys.argv[2])
profile = Profile("tiny", (0, 1), TdqnSettings(episodes=2, hidden=8))
call = ArmCall(Path(sys.argv[1]), "ORVN", "unguided", profile, place / "ORVN" / "unguided", 2)

def cluster():
    for part in call.parts():
        part()
    (place / "trained").touch()
    time.sleep(0.5)
    yield attempt(99, Task("ORVN", "unguided", call), call.finish)

def stay(place=place):
    while not (place / "trained").exists():
        time.sleep(0.05)
    time.sleep(1)

if __name__ == "__main__":
    here = [(number, Task("", "here", stay)) for number in range(6)]
    print(sorted(_merged([cluster(), work_off_here(here, 2)])))
"""


def test_an_arm_is_written_while_the_processes_of_this_machine_are_busy(data: Path, tmp_path: Path) -> None:
    (tmp_path / "at_once.py").write_text(AT_ONCE)
    said = subprocess.run(
        [sys.executable, str(tmp_path / "at_once.py"), str(data), str(tmp_path / "run")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    assert said.stdout.strip() == str([*((number, None) for number in range(6)), (99, None)]), said.stderr
    assert (tmp_path / "run" / "ORVN" / "unguided" / "manifest.json").is_file()


def test_an_interrupted_run_takes_its_work_back_and_the_same_command_goes_on(
    data: Path, long_on_loky: Path, dask: DaskProcesses, tmp_path: Path
) -> None:
    from distributed import Client

    profile, out = tmp_path / "long.toml", tmp_path / "run"
    profile.write_text("seeds = 2\n[tdqn]\nepisodes = 30\nhidden = 8\n")
    command = [
        sys.executable,
        "-c",
        "from llmrl_lib.cli import app; app()",
        "run",
        "--dataset",
        str(data),
        "--tickers",
        "ORVN",
    ]
    command += ["--profile", str(profile), "--out", str(out), "--backend", "dask", "--address", dask.address]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    checkpoints = out / "ORVN" / "unguided" / "checkpoints"
    _until(lambda: list(checkpoints.glob("seed-*.safetensors")))
    process.send_signal(signal.SIGINT)
    assert "give the same command again to go on" in process.communicate(timeout=30)[1]
    assert process.returncode == 130
    with Client(dask.address, set_as_default=False) as client:
        _until(lambda: not any(client.run(lambda dask_worker: len(dask_worker.active_threads)).values()), 5)
    assert not (out / "ORVN" / "unguided" / "manifest.json").exists()
    again = run_suite(
        data, ["ORVN"], replace(LONG, name="long"), out, 0, ("unguided",), notebooks=False,
        cluster=Cluster("dask", dask.address),
    )  # fmt: skip
    assert again.failures == ()
    for place in (long_on_loky / "ORVN" / "unguided").glob("*.*[!n]"):
        assert (out / "ORVN" / "unguided" / place.name).read_bytes() == place.read_bytes(), place.name


def test_a_guide_that_is_a_file_need_not_be_seen_by_workers(data: Path, on_loky: Path, tmp_path: Path) -> None:
    out, file = shutil.copytree(on_loky, tmp_path / "run"), tmp_path / "guide.toml"
    shutil.rmtree(out / "ORVN" / "placebo_permuted")
    save_prompt(load_prompt("p1"), file)
    profile = replace(TINY, guide=str(file))
    arm = ArmCall(data, "ORVN", "placebo_permuted", profile, out / "ORVN" / "placebo_permuted")
    seed = arm.parts()[0]
    (asked,) = suite._StrategyCall(data, ("ORVN",), str(file), str(file), out, Adviser()).parts()
    before = (on_loky / "strategies" / "replies.jsonl").read_bytes()
    file.unlink()
    asked()
    seed()
    seed.moved(data, out).needs()
    assert (arm.folder / "checkpoints" / "seed-0000.safetensors").is_file()
    assert (out / "strategies" / "replies.jsonl").read_bytes() == before


def test_a_copy_of_the_data_with_other_bars_is_told_before_a_seed_is_trained(data: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(data, tmp_path / "data")
    seed = ArmCall(copy, "ORVN", "unguided", TINY, tmp_path / "run" / "ORVN" / "unguided").parts()[0]
    bars = copy / "bars" / "ORVN.csv"
    bars.write_text("\n".join(bars.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(ExperimentError, match=r"the worker process \d+ on \S+ sees other data of ORVN in \S+data than"):
        seed()
    assert not (tmp_path / "run" / "ORVN" / "unguided" / "checkpoints").exists()


def test_a_model_whose_folder_a_worker_does_not_see_is_not_asked_of_a_server(data: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    adviser = Adviser(str(tmp_path / "model"))
    (call,) = suite._StrategyCall(data, ("ORVN",), "p1", "p1", tmp_path / "run", adviser).parts()
    (tmp_path / "model").rmdir()
    with pytest.raises(ExperimentError, match=r"process \d+ on \S+ does not see the folder of the model \S+model; put"):
        call()


@pytest.mark.parametrize(("model", "gpu", "here"), [("nano", True, False), ("", True, True), ("", False, False)])
def test_a_model_in_a_folder_is_asked_where_the_gpu_is(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, gpu: bool, here: bool
) -> None:
    monkeypatch.setattr(suite, "has_gpu", lambda: gpu)
    far = spreading.Far(ClusterBackend(), replace(Standard.of_this_machine(), marker=tmp_path / "marker"), 1)
    adviser = Adviser(model or str(tmp_path))
    (task,) = suite._strategy_tasks(load_dataset(data), ["ORVN"], TINY, tmp_path, adviser, far)
    assert task.here is here


class _Late(ClusterBackend):
    """Workers of this process, of which the first `bad` calls find one that cannot take part."""

    def __init__(self, bad: int) -> None:
        super().__init__()
        self.bad, self.made, self.pool = bad, 0, ThreadPoolExecutor(1)

    def workers(self) -> int:
        return 1

    def _start(self, call: Callable[..., object], ticket: object) -> object:
        return self.pool.submit(self._make, call, ticket)

    def _make(self, call: Callable[..., object], ticket: object) -> object:
        self.made += 1
        unfit.set("it has 4 threads" if self.made <= self.bad else "")
        return call(ticket, None)

    def _why(self, error: BaseException) -> str:
        return repr(error)


class _Said:
    """A task of one part that notes that it was made."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def parts(self) -> list["_Said"]:
        return [self]

    def __call__(self) -> None:
        self.place.touch(exist_ok=False)

    def finish(self) -> None:
        assert self.place.is_file()


@pytest.mark.parametrize(("bad", "made"), [(5, 8), (99, 12)])
def test_what_an_unfit_worker_is_handed_goes_to_others_and_it_is_named_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int, made: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(spreading, "SECONDS_KEPT", 0.0)
    (tmp_path / "marker").write_text("ours")
    backend = _Late(bad)
    far = spreading.Far(backend, Standard.of_this_machine().sharing(tmp_path / "marker", data), 0)
    tasks = [Task("ORVN", str(number), _Said(tmp_path / str(number))) for number in range(3)]
    with pytest.warns(UserWarning, match=r"process \d+ on \S+ cannot take part: it has 4 threads") as warned:
        ended = dict(far.work_off(tasks, 1))
    assert len(warned) == 1
    assert sorted(ended) == [0, 1, 2]
    assert backend.made == made
    whys = {failure and failure.why for failure in ended.values()}
    assert whys == ({None} if bad < 12 else {str(warned[0].message)})


def test_a_worker_of_many_threads_that_comes_late_takes_no_part(
    data: Path, long_on_loky: Path, mortal: DaskProcesses, tmp_path: Path
) -> None:
    mortal.start_workers(1)
    ended: list[Outcome] = []
    cluster, out = Cluster("dask", mortal.address), tmp_path / "run"
    thread = threading.Thread(
        target=lambda: ended.append(
            run_suite(data, ["ORVN"], LONG, out, 0, ("unguided",), notebooks=False, cluster=cluster)
        ),
        daemon=True,
    )
    with warnings.catch_warnings(record=True):
        thread.start()
        _until(mortal.begun)
        late = str(mortal.folder / "preloaded.py")
        mortal.start_workers(1, "--nthreads", "2", "--preload", late)
        thread.join(60)
    assert not thread.is_alive()
    assert ended[0].failures == ()
    _assert_same(out, long_on_loky)
    assert len({process for process, *_ in mortal.begun()}) == 1


@pytest.mark.parametrize("name", ["/etc/other", "../other", "checkpoints/../../other", ""])
def test_files_that_come_back_stay_in_the_arms_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExperimentError, match="leads out of its folder"):
        put_in_place(tmp_path / "run" / "arm", {"fine": b"", name: b""})
    assert not list(tmp_path.iterdir())


def test_ray_leaves_the_bytes_of_one_machine(
    data: Path, on_loky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (pip install -e '.[ray]')")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    out = shutil.copytree(on_loky, tmp_path / "run")
    for arm in ARMS:
        shutil.rmtree(out / "ORVN" / arm)
    assert _run(data, out, Cluster("ray", "local")).failures == ()
    _assert_same(out, on_loky)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("slurm",), "there is no backend 'slurm'; choose from loky, dask, ray"),
        (("dask", "tcp://127.0.0.1:1", "nfs"), "storage is 'nfs'; choose from shared, return"),
        (("loky", "tcp://127.0.0.1:1"), "loky works on this machine alone, and the address tcp://127.0.0.1:1 is given"),
        (("loky", "", "return"), "loky works on this machine alone, and --storage return is given"),
        (("dask",), "the backend dask needs the cluster's address, such as --address tcp://"),
        (("dask", "127.0.0.1:18786x"), "'127.0.0.1:18786x' is no address of a Dask cluster; give tcp://HOST:PORT"),
        (("dask", "127.0.0.1"), "is no address of a Dask cluster"),
        (("dask", "tcp://:8786"), "is no address of a Dask cluster"),
        (("dask", "tcp://127.0.0.1:87860"), "is no address of a Dask cluster"),
        (("dask", "post://127.0.0.1:1"), "is no address of a Dask cluster"),
        (("ray", "head"), "'head' is no address of a Ray cluster; give HOST:PORT, ray://HOST:PORT or auto"),
    ],
)
def test_a_cluster_that_cannot_be_is_one_sentence(
    given: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters.util, "find_spec", lambda name: name)
    with pytest.raises(ExperimentError, match=re.escape(said)):
        Cluster(*given)


@pytest.mark.parametrize(
    ("backend", "address"),
    [
        *(
            ("dask", address)
            for address in ("10.0.0.1:8786", "tls://head:8786", "tcp://[::1]:8786", "inproc://10.0.0.1/1/2")
        ),
        *(("ray", address) for address in ("10.0.0.1:6379", "ray://head:10001", "auto", "local")),
    ],
)
def test_addresses_of_clusters_are_taken(backend: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters.util, "find_spec", lambda name: name)
    assert Cluster(backend, address).address == address


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_missing_package_is_named(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters.util, "find_spec", lambda _: None)
    with pytest.raises(ExperimentError, match=rf'checkout, pip install -e "\.\[{backend}\]"'):
        Cluster(backend, "tcp://127.0.0.1:1")


@pytest.mark.parametrize(
    ("backend", "address", "said"),
    [
        ("dask", "tcp://127.0.0.1:1", "no Dask scheduler answers at tcp://127.0.0.1:1 within 1 s"),
        ("ray", "127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1 within 1 s"),
    ],
)
def test_an_address_that_does_not_answer_is_told_soon_and_leaves_no_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, address: str, said: str
) -> None:
    pytest.importorskip("distributed" if backend == "dask" else "ray")
    monkeypatch.setattr(clusters, "SECONDS_TO_ANSWER", 1.0)
    with pytest.raises(ExperimentError, match=re.escape(said)):
        _run(data, tmp_path / "run", Cluster(backend, address))
    assert not (tmp_path / "run").exists()


def test_a_scheduler_without_workers_and_workers_of_many_threads_are_refused(
    data: Path, mortal: DaskProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "SECONDS_FOR_WORKERS", 0.5)
    with pytest.raises(ExperimentError, match=r"has had no worker for 0 s; start some with: dask worker tcp://"):
        _run(data, tmp_path / "run", Cluster("dask", mortal.address))
    monkeypatch.setattr(clusters, "SECONDS_FOR_WORKERS", 30.0)
    mortal.start_workers(1, "--nthreads", "4")
    with pytest.raises(ExperimentError, match=r"has 4 threads, .* --nworkers 4 --nthreads 1"):
        _run(data, tmp_path / "run", Cluster("dask", mortal.address))


def test_workers_of_another_torch_are_refused_by_name(
    data: Path, dask: DaskProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Standard.of_this_machine()
    other = replace(here, versions=(("torch", "1.0"), *here.versions[1:]))
    monkeypatch.setattr(spreading.Standard, "of_this_machine", classmethod(lambda _: other))
    said = rf"the worker tcp://\S+ cannot take part: it has torch \S+, and 1\.0 is at work on {here.host}.*\(1 more of the 2"
    with pytest.raises(ExperimentError, match=said):
        _run(data, tmp_path / "run", Cluster("dask", dask.address))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"python": "3.9"}, "it has Python 3.1"),
        ({"package": "9.9"}, "it has llmrl "),
        ({"digest": "0"}, "is of other source than that on"),
        ({"token": "another"}, "is not what"),
        ({"data_digest": "another"}, "it does not see the dataset in"),
    ],
)
def test_what_sets_a_worker_apart_is_said(change: dict[str, str], said: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "marker").write_text("ours")
    standard = Standard.of_this_machine().sharing(tmp_path / "marker", data)
    assert defect_here(standard) == ""
    assert said in defect_here(replace(standard, **change))
    assert [place.name for place in tmp_path.iterdir()] == ["marker"]


def test_a_tickers_files_are_what_its_hash_is_of(data: Path, tmp_path: Path) -> None:
    dataset = load_dataset(data)
    for place in dataset.files("ORVN"):
        copy = tmp_path / place.relative_to(data)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(place, copy)
    from llmrl_lib.market.dataset import open_dataset

    assert open_dataset(tmp_path).content_hash("ORVN") == dataset.content_hash("ORVN")
    assert not (tmp_path / "bars" / "KSTV.csv").exists()
