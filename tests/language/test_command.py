"""`llmrl strategies` from end to end, against a server on a socket."""

import re
import signal
import subprocess
import sys
import time

import pytest
from chat_server import ChatServer
from typer.testing import CliRunner

import llmrl_lib as ll
from llmrl_lib.cli import app
from llmrl_lib.language.ledger import ledger

EMBEDDED = "data/embedded"


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def call(server, *words, dataset=EMBEDDED, tickers="ORVN"):
    line = ["strategies", "--dataset", dataset, "--tickers", tickers, "--model", "any", "--base-url", server.url]
    return CliRunner().invoke(app, [str(word) for word in (*line, *words)])


def test_strategies_are_made_once_and_repeated_for_nothing(tmp_path):
    with ChatServer() as server:
        first = call(server, "--prompt", "p4", "--out", tmp_path, tickers="ORVN,KSTV")
        assert first.exit_code == 0, first.output
        calls = server.calls
        assert calls == 2 * 2 * 26
        again = call(server, "--prompt", "p4", "--out", tmp_path, tickers="ORVN,KSTV")
        assert (again.exit_code, server.calls) == (0, calls)
    made = ll.read_strategies(tmp_path / "p4-1" / "ORVN.jsonl")
    assert len(made) == 26
    table = ll.strategy_frame(made)
    assert table[["perplexity", "entropy", "decision_entropy"]].notna().all().all()
    bars = ll.load_dataset(EMBEDDED).test_bars("ORVN")
    assert ll.guidance(made, bars.index).abs().max() <= 1.0
    assert len(ll.backtest(bars, made)) == len(bars) - 30


def test_strategies_made_otherwise_are_not_written_over(tmp_path):
    days = ["--start", "2018-06-01", "--end", "2018-08-01"]
    with ChatServer() as server:
        assert call(server, "--prompt", "p0", "--out", tmp_path, *days).exit_code == 0
        file = tmp_path / "p0-1" / "ORVN.jsonl"
        made, calls = file.read_bytes(), server.calls
        for words, what in (
            (("--draws", "2"), "made with draws = 1, and 2 is asked for now"),
            (("--model", "other"), "made with chat.model = 'any', and 'other' is asked for now"),
            (("--end", "2018-09-01"), "made with end = '2018-08-01'"),
        ):
            result = call(server, "--prompt", "p0", "--out", tmp_path, *days, *words)
            assert (result.exit_code, server.calls) == (2, calls)
            assert what in result.stderr
            assert call(server, "--prompt", "p0", "--out", tmp_path, *days, *words, "--dry-run").exit_code == 2
        assert file.read_bytes() == made
        assert call(server, "--prompt", "p0", "--out", tmp_path, *days, tickers="KSTV").exit_code == 0
    assert (tmp_path / "p0-1" / "KSTV.jsonl").is_file()


def test_a_first_attempt_that_fails_claims_no_folder(tmp_path):
    days = ["--start", "2018-06-01", "--end", "2018-08-01"]
    with ChatServer(models=["any"]) as server:
        wrong = call(server, "--prompt", "p0", "--out", tmp_path, *days, "--model", "misspelt")
        assert wrong.exit_code != 0
        assert call(server, "--prompt", "p0", "--out", tmp_path, *days).exit_code == 0


def test_a_dry_run_tells_calls_tokens_and_cost_and_asks_nothing(tmp_path):
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nmodel = "any"\nprompt = 1.0\ncompletion = 2.0\n')
    with ChatServer() as server:
        result = call(server, "--prompt", "p4", "--out", tmp_path / "out", "--dry-run", "--prices", prices)
        assert (result.exit_code, server.calls) == (0, 0)
    rows = re.findall(r"│ (\S+ 1) +│ (\d+) +│ (\d+) +│ (\d+) +│ ([\d,]+) +│ ([\d,]+) +│ ([\d.]+) ", result.output)
    assert [(row[0], row[1], row[2], row[3]) for row in rows] == [
        ("p4 1", "26", "0", "26"),
        ("analyst 1", "26", "0", "26"),
    ]
    for *_, prompt, completion, usd in rows:
        tokens = [int(number.replace(",", "")) for number in (prompt, completion)]
        assert float(usd) == pytest.approx((tokens[0] + 2 * tokens[1]) / 1e6, rel=1e-3)
    assert not list(tmp_path.glob("out/*-1"))


def test_a_missing_price_is_told_with_its_remedy(tmp_path):
    with ChatServer() as server:
        words = ["--prompt", "p0", "--out", tmp_path, "--dry-run"]
        assert "No price is known for 'any': give one with --prices" in call(server, *words).output
        assert "No price" not in call(server, *words, "--free").output


def test_the_length_of_replies_and_the_time_to_wait_reach_the_server(tmp_path):
    with ChatServer() as server:
        words = ["--prompt", "p0", "--out", tmp_path, "--start", "2018-06-01", "--end", "2018-06-02"]
        assert call(server, *words, "--max-tokens", "77", "--timeout", "33").exit_code == 0
        assert server.requests[0]["max_tokens"] == 77
        assert server.headers[0]["x-stainless-read-timeout"] == "33.0"


def test_a_second_interrupt_leaves_what_is_in_flight(tmp_path):
    """The first waits for replies, which never come here; the store stays whole."""
    with ChatServer() as server:
        server.hold_from(5)
        line = ["strategies", "--dataset", EMBEDDED, "--tickers", "ORVN", "--model", "any", "--base-url", server.url]
        wanted = ["llmrl", *line, "--prompt", "p1", "--out", str(tmp_path)]
        code = f"import sys; sys.argv = {wanted!r}; from llmrl_lib.cli import app; app()"
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr
        assert server.wait_for_calls(13)
        process.send_signal(signal.SIGINT)
        assert "Ctrl-C again leaves them" in process.stderr.readline()
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 130
        assert told.startswith("llmrl: left the requests in flight")
        assert "Traceback" not in told
    assert len((tmp_path / "replies.jsonl").read_bytes().splitlines()) == 5


def test_failures_are_one_sentence_and_the_same_command_goes_on(tmp_path):
    with ChatServer() as server:
        server.script("refusal")
        result = call(server, "--prompt", "p1", "--out", tmp_path)
        assert result.exit_code == 1
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1
        assert re.match(r"llmrl: 1 of 26 strategies failed: ORVN 20\d\d-\d\d-\d\d draw 0 \(RefusedError\)", lines[0])
        calls = server.calls
        assert call(server, "--prompt", "p1", "--out", tmp_path).exit_code == 0
        assert server.calls == calls + 1
    assert len(ll.read_strategies(tmp_path / "p1-1" / "ORVN.jsonl")) == 26


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prompt", "p9"], "no prompt 'p9'"),
        (["--start", "2035-01-01"], "no trading day from 2035-01-01 on and before 20"),
        (["--start", "spring"], "start is 'spring', which is no day; write it like"),
        (["--end", "2018-31-01"], "end is '2018-31-01'"),
        (["--budget-usd", "1"], "no price is known for 'any'"),
    ],
)
def test_wrong_input_is_one_sentence(words, message, tmp_path):
    with ChatServer() as server:
        result = call(server, "--out", tmp_path, *words)
        assert (result.exit_code, server.calls) == (2, 0)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_real_data(shared, tmp_path):
    with ChatServer() as server:
        dataset = shared / "market"
        result = call(server, "--prompt", "p4", "--out", tmp_path, dataset=dataset, tickers="AAPL")
        assert result.exit_code == 0, result.output
        assert server.calls == 52
    told = (tmp_path / "replies.jsonl").read_text()
    assert "20 trading days" in told
    assert not re.search(r"\b(AAPL|Apple|iPhones?)\b", told)


@pytest.mark.slow
def test_five_hundred_strategies_under_faults_are_neither_lost_nor_doubled(tmp_path):
    """Repeated until nothing is missing; the ledger has what the server charged for."""
    faults = {"500": 0.03, "429": 0.03, "cut": 0.02, "wrong_schema": 0.01, "refusal": 0.01}
    market, tickers, draws = ll.load_dataset(EMBEDDED), ["ORVN", "KSTV", "QLRY", "FLMK", "BLMR"], 4
    with ChatServer(faults) as server:
        chat = ll.OpenAIChat("any", server.url)
        for _ in range(10):
            try:
                made = ll.make_many_strategies(
                    market, tickers, "p1", ll.Replay(tmp_path, chat), market.split, market.end, draws
                )
                break
            except ll.StrategiesError:
                continue
        answered = server.answers
    assert len(made) == len({(one.ticker, one.date, one.draw) for one in made}) == 5 * 26 * draws
    counted = ledger(tmp_path)
    assert counted["replies"].sum() == len(made)
    assert counted["calls"].sum() == answered
    assert counted["prompt_tokens"].sum() == server.prompt_tokens


@pytest.mark.slow
def test_a_killed_run_is_continued_with_exactly_the_missing_calls(tmp_path):
    words = ["--prompt", "p1", "--draws", "8", "--free", "--out"]
    with ChatServer() as server:
        line = ["strategies", "--dataset", EMBEDDED, "--tickers", "ORVN", "--model", "any", "--base-url", server.url]
        wanted = ["llmrl", *line, *words, str(tmp_path / "killed")]
        code = f"import sys; sys.argv = {wanted!r}; from llmrl_lib.cli import app; app()"
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert server.wait_for_calls(90)
        process.kill()
        process.wait()
        while server.in_flight:  # what the killed process had asked for is still being answered
            time.sleep(0.01)
        stored = len((tmp_path / "killed" / "replies.jsonl").read_bytes().split(b"\n")) - 1
        before = server.calls
        assert 0 < stored < 208
        assert call(server, *words, tmp_path / "killed").exit_code == 0
        assert server.calls - before == 208 - stored
        assert call(server, *words, tmp_path / "unbroken").exit_code == 0
    killed, unbroken = (ll.read_strategies(tmp_path / name / "p1-1" / "ORVN.jsonl") for name in ("killed", "unbroken"))
    assert killed == unbroken
