"""`llmrl refine` against a server on a socket, and embeddings from one."""

import json
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from chat_server import ChatServer
from typer.testing import CliRunner

import llmrl_lib as ll
from llmrl_lib.cli import app
from llmrl_lib.experiments.refining_verdict import worth_using
from llmrl_lib.language.chat import ServerError, UnknownModelError

EMBEDDED = "data/embedded"
SHORT = ["--repetitions", "1", "--rounds", "2", "--exemplars", "2", "--unseen", "", "--held-out", "1", "--free"]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def call(server, out, *words):
    line = ["refine", "--dataset", EMBEDDED, "--tickers", "ORVN", "--model", "any", "--base-url", server.url]
    return CliRunner().invoke(app, [str(word) for word in (*line, "--out", out, *words)])


def test_each_role_asks_its_own_model_and_the_same_command_asks_nothing_again(tmp_path):
    roles = ["--writer", "pen", "--trainer", "coach", "--judge", "robe"]
    with ChatServer() as server:
        first = call(server, tmp_path, *SHORT, *roles)
        assert first.exit_code == 0, first.output
        calls = server.calls
        again = call(server, tmp_path, *SHORT, *roles)
        assert (again.exit_code, server.calls) == (0, calls)
        kinds = {(body["model"], body["response_format"]["json_schema"]["name"]) for body in server.requests}
    assert {("coach", "ratings"), ("pen", "candidate"), ("any", "strategy")} <= kinds
    assert {model for model, kind in kinds if kind == "criticism"} <= {"robe"}
    assert len({model for model, _ in kinds}) == len(kinds)
    printed = first.output.splitlines()
    [use] = [line for line in printed if "llmrl strategies" in line]
    why, given = use.split(": llmrl ", 1)
    assert why == ("Use it with" if worth_using(ll.read_refinement(tmp_path).verdict) else "To look at what it does")
    with ChatServer() as server:
        given = given.replace(given.split("--base-url ")[1], server.url)
        used = CliRunner().invoke(
            app, [*shlex.split(given), "--tickers", "ORVN", "--out", str(tmp_path / "used"), "--free"]
        )
        assert used.exit_code == 0, used.output
    assert "waited" in used.output
    assert list((tmp_path / "used").glob("p1-*"))
    assert ll.read_refinement(tmp_path).verdict is not None


def test_costs_are_shown_first_and_a_budget_is_kept(tmp_path):
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nmodel = "any"\nprompt = 1.0\ncompletion = 2.0\n')
    paid = [*SHORT[:-1], "--prices", prices]
    with ChatServer() as server:
        dry = call(server, tmp_path / "out", *paid, "--dry-run")
        assert (dry.exit_code, server.calls) == (0, 0)
        assert "What is asked at most" in dry.output
        assert not (tmp_path / "out" / "refinement.toml").exists()
        poor = call(server, tmp_path / "out", *paid, "--budget-usd", "0.05")
        assert poor.exit_code == 2
        assert "raise --budget-usd" in poor.stderr
        spent = (server.prompt_tokens + 2 * server.completion_tokens) / 1e6
        assert 0 < spent <= 0.05
        rich = call(server, tmp_path / "out", *paid, "--budget-usd", "100")
        assert rich.exit_code == 0, rich.output


def test_a_pause_names_the_file_and_the_next_call_goes_on(tmp_path):
    words = [*SHORT, "--rounds", "1", "--repetitions", "2", "--pause", "--no-control"]
    with ChatServer() as server:
        first = call(server, tmp_path, *words)
        assert first.exit_code == 0
        assert "after-1.toml" in first.output.replace("\n", "")
        assert not (tmp_path / "verdict.json").exists()
        (tmp_path / "edits" / "after-1.toml").write_text("broken = ")
        wrong = call(server, tmp_path, *words)
        assert wrong.exit_code == 2
        assert "not valid TOML" in wrong.stderr
        assert "nothing is lost" in wrong.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--annotations", "none.csv"], "the annotations cannot be read"),
        (["--held-out", "8"], "hold out fewer years"),
        (["--parent", "p3"], "p3 is no P1"),
        (["--baseline", "p9"], "no prompt 'p9'"),
        (["--unseen", "ORVN"], "is to stay unseen"),
        (["--unseen", "NONE"], "NONE"),
        (["--budget-usd", "1"], "no price is known for 'any'"),
    ],
)
def test_wrong_input_is_one_sentence(words, message, tmp_path):
    with ChatServer() as server:
        result = call(server, tmp_path, *SHORT[:-1], *words)
        assert (result.exit_code, server.calls) == (2, 0)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]


@pytest.mark.slow
def test_killed_and_continued_equals_unbroken(tmp_path):
    words = ["refine", "--dataset", EMBEDDED, "--tickers", "ORVN", "--model", "any", *SHORT]
    with ChatServer() as server:
        for name, kill in (("killed", True), ("killed", False), ("unbroken", False)):
            wanted = ["llmrl", *words, "--base-url", server.url, "--out", str(tmp_path / name)]
            code = f"import sys; sys.argv = {wanted!r}; from llmrl_lib.cli import app; app()"
            before = server.calls
            process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
            if kill:
                assert server.wait_for_calls(before + 40)
                process.send_signal(signal.SIGKILL)
            assert (process.wait(300) == 0) is not kill
    for name in ("verdict.json", "winner.toml", "fields.csv", "candidates/1.1.json", "candidates/s1.2.json"):
        killed, unbroken = (tmp_path / folder / name for folder in ("killed", "unbroken"))
        assert killed.exists() == unbroken.exists()
        if unbroken.exists():
            assert killed.read_bytes() == unbroken.read_bytes()


class _Embeddings(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = [
            {"object": "embedding", "index": place, "embedding": [float(len(text)), 1.0]}
            for place, text in enumerate(body["input"])
        ]
        status, answer = 200, {"object": "list", "data": rows[::-1], "model": body["model"], "usage": {}}
        if body["model"] == "few":
            answer["data"] = rows[1:]
        if body["model"] == "none":
            status, answer = 404, {"error": {"message": "The model `none` does not exist", "code": "model_not_found"}}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def embeddings() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Embeddings)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_embeddings_come_in_the_order_of_the_texts(embeddings):
    texts = ["a" * (1 + place % 7) for place in range(300)]
    found = ll.OpenAIEmbedding("small", embeddings)(texts)
    assert np.array_equal(found, [[len(text), 1.0] for text in texts])


def test_servers_without_usable_embeddings_are_named(embeddings):
    with pytest.raises(ServerError, match="sent 1 embeddings for 2 texts"):
        ll.OpenAIEmbedding("few", embeddings)(["a", "b"])
    with pytest.raises(UnknownModelError, match="does not know the model 'none'"):
        ll.OpenAIEmbedding("none", embeddings)(["a"])
    with pytest.raises(ValueError, match="has no name"):
        ll.OpenAIEmbedding("")
