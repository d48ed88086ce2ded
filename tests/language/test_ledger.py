"""What replies cost: prices, the ledger, plans, and a budget that is never exceeded."""

import math
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from chat_server import ChatServer
from hypothesis import given
from hypothesis import strategies as st

from llmrl_lib.language.budget import Budget
from llmrl_lib.language.chat import BudgetError, Message, Reply, Request, RequestRejectedError, Sampling, Usage
from llmrl_lib.language.counting import estimated_prompt, estimated_tokens, largest_usage, prompt_counter
from llmrl_lib.language.ledger import COLUMNS, ledger, plan
from llmrl_lib.language.openai import OpenAIChat
from llmrl_lib.language.prices import load_prices
from llmrl_lib.language.replay import Replay
from llmrl_lib.language.store import open_store
from llmrl_lib.settings import SettingsError

OPENAI = "https://api.openai.com/v1"
SCHEMA = {"type": "object", "properties": {"direction": {"enum": ["LONG", "SHORT"]}}, "required": ["direction"]}
OWN = '[[price]]\nmodel = "any"\nprompt = 10.0\ncached = 5.0\ncompletion = 100.0\n'


def asked(count: int, first: int = 0) -> list[Request]:
    sampling = Sampling(schema=SCHEMA, max_tokens=60, top_logprobs=2)
    return [Request((Message("user", f"Month {number}"),), sampling) for number in range(first, first + count)]


@pytest.fixture
def own(tmp_path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(OWN)
    return path


def cost(server: ChatServer) -> float:
    fresh = server.prompt_tokens - server.cached_tokens
    return (fresh * 10 + server.cached_tokens * 5 + server.completion_tokens * 100) / 1e6


def test_prices_are_found_by_model_snapshot_server_and_day(tmp_path):
    prices = load_prices()
    today = date(2026, 1, 1)
    assert prices.find("gpt-4o-mini", OPENAI, today).cost(Usage(1_000_000, 1_000_000, 0)) == pytest.approx(0.75)
    assert prices.find("gpt-4o-mini-2024-07-18", OPENAI, today) == prices.find("gpt-4o-mini", OPENAI, today)
    assert prices.find("gpt-4o-mini", "http://127.0.0.1:1/v1", today) is None
    assert prices.find("gpt-4o-minimal", OPENAI, today) is None
    assert prices.find("gpt-4o-mini", OPENAI, date(2020, 1, 1)) is None
    path = tmp_path / "own.toml"
    rows = [(2025, 1.0), (2027, 3.0), (2026, 2.0)]
    row = '[[price]]\nmodel = "gpt-4o"\nprompt = {}\ncompletion = 0\nfrom = {}-01-01\n'
    path.write_text("".join(row.format(price, year) for year, price in rows))
    own = load_prices(path)
    assert [own.find("gpt-4o", OPENAI, date(year, 6, 1)).prompt for year in (2025, 2026, 2027)] == [1.0, 2.0, 3.0]
    assert own.find("gpt-4.1", OPENAI, today) == prices.find("gpt-4.1", OPENAI, today)
    assert load_prices(path, free=["gpt-4o"]).find("gpt-4o", OPENAI, today).cost(Usage(9, 9)) == 0.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("price = 3", "must hold rows"),
        ("[[price]]\nprompt = 1\ncompletion = 1", "row 1: model is missing"),
        (
            '[[price]]\nmodel = "a"\nprompt = 1\ncompletion = 1\n[[price]]\nmodel = "b"\nprompt = -1\ncompletion = 1',
            "row 2: prompt",
        ),
        ('[[price]]\nmodel = "a"\nprompt = nan\ncompletion = 1', "USD per million tokens"),
        ('[[price]]\nmodel = "a"\nprompt = 1\ncompletion = 1\nfrom = "2026-01-01"', "without quotes"),
        ('[[price]]\nmodel = "a"\nprompt = 1\ncompletion = 1\nprize = 1', "unknown name 'prize'"),
        ("[[price", "not TOML"),
    ],
)
def test_a_file_of_prices_that_is_wrong_is_told(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=f"bad.toml.*{words}"):
        load_prices(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        load_prices(tmp_path / "none.toml")


def test_the_ledger_is_the_servers_count_by_label(tmp_path, own, chat_server):
    chat_server.script("cached", "ok", "wrong_schema", "ok", "refusal")
    replay = Replay(tmp_path, OpenAIChat("any", chat_server.url, concurrency=1))
    list(replay.labelled("p0").many(asked(1)))
    list(replay.labelled("p1").many(asked(4, first=1)))
    list(replay.labelled("p1").many(asked(1)))  # is there already, under p0
    table = ledger(tmp_path, load_prices(own))
    assert list(table.columns) == list(COLUMNS)
    assert table.index.tolist() == [("p0", "any"), ("p1", "any")]
    assert table["replies"].tolist() == [1, 3]
    assert table["failures"].tolist() == [0, 1]
    assert table["calls"].sum() == chat_server.answers == 6
    assert table["prompt_tokens"].sum() == chat_server.prompt_tokens
    assert table["cached_tokens"].sum() == chat_server.cached_tokens
    assert table["completion_tokens"].sum() == chat_server.completion_tokens
    assert table["total_usd"].sum() == pytest.approx(cost(chat_server), rel=1e-12)
    assert (table["seconds"] > 0).all()


def test_an_unknown_price_is_said_and_never_nothing(tmp_path, chat_server):
    Replay(tmp_path, OpenAIChat("any", chat_server.url))(asked(1)[0].messages)
    row = ledger(tmp_path).iloc[0]
    assert row["price"] == "unknown"
    assert math.isnan(row["total_usd"])
    assert math.isnan(row["mean_usd"])
    free = ledger(tmp_path, load_prices(free=["any"])).iloc[0]
    assert (free["price"], free["total_usd"]) == ("said to be free", 0.0)


def test_an_empty_ledger_has_its_columns(tmp_path):
    assert list(ledger(tmp_path).columns) == list(COLUMNS)
    assert len(ledger(tmp_path)) == 0


class _AtHand:
    """A chat in this process, whose tokens are words and which refuses a control word."""

    identity = {"model": "at-hand"}  # noqa: RUF012

    def prompt_tokens(self, messages):
        if any("<end>" in message.content for message in messages):
            raise RequestRejectedError("a control token")
        return [word for message in messages for word in message.content.split()]


def test_a_plan_counts_with_the_tokenizer_of_a_model_at_hand(tmp_path):
    found = plan(Replay(tmp_path, _AtHand()), asked(3), load_prices(free=["at-hand"]))
    assert (found.calls, found.prompt_tokens, found.usd) == (3, 6, 0.0)
    refused = Request((Message("user", "one two <end>"),))
    assert prompt_counter(_AtHand())(refused.messages) == estimated_prompt(refused.messages)


def test_a_plan_counts_what_is_missing_and_asks_nothing(tmp_path, own, chat_server):
    replay = Replay(tmp_path, OpenAIChat("any", chat_server.url), purpose="p0")
    list(replay.many(asked(2)))
    mean = chat_server.completion_tokens / 2
    planned = plan(replay, [*asked(5), *asked(5)], load_prices(own))
    assert (planned.requests, planned.stored, planned.calls) == (10, 7, 3)
    assert planned.prompt_tokens == sum(estimated_prompt(request.messages) for request in asked(5)[2:])
    assert planned.completion_tokens == round(3 * mean)
    assert planned.usd == pytest.approx((planned.prompt_tokens * 10 + planned.completion_tokens * 100) / 1e6)
    assert planned.most_usd > planned.usd
    assert plan(replay, asked(5)).usd is None
    assert chat_server.calls == 2


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("fault", [{}, {"wrong_schema": 0.3, "cut": 0.1}])
def test_a_budget_is_never_exceeded_and_what_was_paid_is_kept(tmp_path, own, concurrency, fault):
    prices = load_prices(own)
    with ChatServer(fault) as server:
        chat = OpenAIChat("any", server.url, concurrency=concurrency)
        most = Budget(1.0, prices).largest_cost(asked(1)[0], chat.identity)
        budget = Budget(3 * most, prices)
        got = []
        with pytest.raises(BudgetError, match=r"raise --budget-usd.*everything so far is kept"):
            got.extend(Replay(tmp_path, chat, budget=budget).many(asked(80)))
        assert 2 * most < cost(server) <= 3 * most
        assert ledger(tmp_path, prices)["total_usd"].sum() == pytest.approx(cost(server))
        assert budget.spent() == pytest.approx(cost(server))
        assert sum(isinstance(answer, Reply) for _, answer in got) == len(open_store(tmp_path)) >= 3
        before = server.calls
        with pytest.raises(BudgetError):  # what is spent counts in the next run too
            dict(Replay(tmp_path, chat, budget=Budget(3 * most, prices)).many(asked(80)))
        assert server.calls == before
        wider = Replay(tmp_path, chat, budget=Budget(1.0, prices))
        while any(not isinstance(answer, Reply) for _, answer in wider.many(asked(80))):
            assert server.calls < 1000
    assert ledger(tmp_path)["replies"].sum() == 80


def test_requests_wait_for_what_others_leave_over(tmp_path, own, chat_server):
    prices = load_prices(own)
    chat = OpenAIChat("any", chat_server.url, concurrency=8)
    most = Budget(1.0, prices).largest_cost(asked(1)[0], chat.identity)
    list(Replay(tmp_path / "one", chat).many(asked(1)))
    real = cost(chat_server)
    budget = Budget(most + 12 * real * 1.2, prices)  # room for one at its most, and for what thirteen do cost
    assert len(dict(Replay(tmp_path / "many", chat, budget=budget).many(asked(12)))) == 12


@pytest.mark.slow
def test_two_processes_under_one_budget_do_not_exceed_it(tmp_path, own, chat_server):
    prices = load_prices(own)
    most = Budget(1.0, prices).largest_cost(asked(1)[0], {"model": "any", "server": chat_server.url})
    list(Replay(tmp_path / "one", OpenAIChat("any", chat_server.url)).many(asked(1)))
    real = cost(chat_server)
    budget = most + 40 * real  # room for one at its most after what forty cost; each process wants sixty
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[5])\n"
        "from test_ledger import *\n"
        "budget = Budget(float(sys.argv[3]), load_prices(sys.argv[4]))\n"
        "replay = Replay(sys.argv[1], OpenAIChat('any', sys.argv[2]), budget=budget)\n"
        "try: list(replay.many(asked(60, first=int(sys.argv[6]))))\n"
        "except BudgetError: print('spent')\n"
    )
    fixed = [str(tmp_path / "run"), chat_server.url, str(budget), str(own), str(Path(__file__).parent)]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, *fixed, first], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for first in ("0", "60")
    ]
    for process in both:
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out) == (0, "spent\n"), err
    assert 30 * real < cost(chat_server) - real <= budget


def test_a_budget_needs_a_price_and_a_number(tmp_path, chat_server):
    chat = OpenAIChat("any", chat_server.url)
    with pytest.raises(BudgetError, match=r"no price is known for 'any'.*say that the model is free"):
        Replay(tmp_path, chat, budget=Budget(1.0))
    for number in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="must be a number of 0 or more"):
            Budget(number)
    free = Budget(0.0, load_prices(free=["any"]))
    assert Replay(tmp_path, chat, budget=free)(asked(1)[0].messages).text
    with pytest.raises(ValueError, match="one folder"):
        Replay(tmp_path / "other", chat, budget=free)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("123456", 2),
        ("a\n\nb", 3),
        ("日本", 3),
        ("1,234.5", 5),
    ],
)
def test_the_estimate_follows_its_rule(text, tokens):
    assert estimated_tokens(text) == tokens


@given(st.text())
def test_the_bound_is_above_the_estimate_and_never_below_the_bytes(text):
    request = Request((Message("user", text),))
    most = largest_usage(request)
    assert most.prompt >= len(text.encode("utf-8", "surrogatepass"))
    assert most.prompt >= estimated_prompt(request.messages)
    with_schema = largest_usage(Request(request.messages, Sampling(schema=SCHEMA)))
    assert with_schema.prompt > 2 * most.prompt
    assert with_schema.completion == 2 * most.completion
