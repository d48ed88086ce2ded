"""Where tests find golden numbers, the real market data that only maintainers have, a finished run and a chat server."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from chat_server import ChatServer

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

# the same examples in every run and no limit of time, so that neither chance nor a busy machine decides;
# `pytest --hypothesis-profile default` looks for new ones
hypothesis.settings.load_profile("ci")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The maintainers' folder with real market data and the reference's results on it."""
    if not SHARED.is_dir():
        pytest.skip("the maintainers' data folder ../shared is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of numbers that the reference produced on invented price series."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two embedded tickers with the smoke profile. Read it, do not write to it."""
    from llmrl_lib.experiments import run_suite
    from llmrl_lib.settings import load_profile

    def make(folder: Path) -> Path:
        outcome = run_suite(ROOT / "data" / "embedded", ["ORVN", "KSTV"], load_profile("smoke"), folder, jobs=2)
        assert not outcome.failures, outcome.failures[0].details
        return folder

    return made_once(tmp_path_factory, "smoke", make)


@pytest.fixture(scope="session")
def smoke_book(smoke_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the book of `smoke_run`, built with the builder's warnings as errors."""
    from llmrl_lib.book import build_book

    def make(folder: Path) -> Path:
        # of a copy: a book is built inside the folder of its run, which others copy meanwhile
        return build_book(shutil.copytree(smoke_run, folder), strict=True).parent

    return made_once(tmp_path_factory, "book", make)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Path]) -> Path:
    """What `make` made of a folder of that name, made by one of the processes that run the tests and read by all."""
    shared = factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else factory.getbasetemp()
    # as deep as the folder that a test gets, so that a copy there finds the dataset by the same relative path
    place = shared / "made" / name if shared == factory.getbasetemp() else shared / "made" / "once" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with (shared / f"{name}.lock").open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if not (found := file.read()):
            found = str(make(place))
            file.write(found)
        return Path(found)


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """A server of the chat protocol without faults, for `OpenAIChat(model, chat_server.url)`."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with ChatServer() as server:
        yield server
