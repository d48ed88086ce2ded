"""Stored replies: nothing is asked twice, nothing is lost to a kill, and several processes share one store."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from chat_server import ChatServer

from llmrl_lib.language.chat import (
    ChatError,
    Message,
    MissingReplyError,
    OffSchemaError,
    RefusedError,
    Reply,
    Request,
    Sampling,
    ServerError,
    Token,
    Usage,
    request_key,
)
from llmrl_lib.language.ledger import ledger
from llmrl_lib.language.locks import ByteLocks
from llmrl_lib.language.openai import OpenAIChat
from llmrl_lib.language.replay import Replay
from llmrl_lib.language.store import FILE, Store, StoreError, TornLineWarning, open_store

SCHEMA = {
    "type": "object",
    "properties": {"rationale": {"type": "string"}, "direction": {"enum": ["LONG", "SHORT"]}},
    "required": ["rationale", "direction"],
    "additionalProperties": False,
}
USUAL = Sampling()
CHILD = """
import hashlib, sys
from llmrl_lib.language.chat import Message, Request, Sampling, Reply
from llmrl_lib.language.openai import OpenAIChat
from llmrl_lib.language.replay import Replay
sys.path.insert(0, {tests!r})
from test_replay import asked
folder, url, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
answers = dict(Replay(folder, OpenAIChat("any", url)).many(asked(last)[first:]))
assert all(isinstance(answer, Reply) for answer in answers.values()), answers
print(hashlib.sha256(repr([answers[index].text for index in sorted(answers)]).encode()).hexdigest())
"""


def asked(count: int, **settings) -> list[Request]:
    settings = {"schema": SCHEMA, "top_logprobs": 3, **settings}
    return [
        Request((Message("user", f"Month {number}: LONG or SHORT?"),), Sampling(**settings)) for number in range(count)
    ]


def child(folder: Path, server: ChatServer, first: int, last: int) -> subprocess.Popen:
    code = CHILD.format(tests=str(Path(__file__).parent))
    arguments = [sys.executable, "-c", code, str(folder), server.url, str(first), str(last)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


class Counting:
    """A chat in this process that notes what it is asked; it answers one at a time."""

    concurrency = 1

    def __init__(self, model: str = "counting") -> None:
        self.asked: list[str] = []
        self.identity = {"model": model, "server": "here"}

    def __call__(self, messages, sampling=USUAL) -> Reply:
        self.asked.append(messages[-1].content)
        text = f"Zürich {messages[-1].content} {sampling.draw}"
        return Reply(text, None, (Token(text, -0.5, ((text, -0.5),)),), Usage(7, 3), self.identity["model"])

    def many(self, requests: Iterable[Request]) -> Iterator[tuple[int, Reply | ChatError]]:
        for index, request in enumerate(requests):
            yield index, self(request.messages, request.sampling)


class Batching(Counting):
    """As a local model: it takes all requests at once, and the last is done first."""

    concurrency = None

    def many(self, requests):
        return iter(reversed(list(super().many(requests))))


def test_a_rerun_makes_no_call_and_gives_the_same_replies(tmp_path, chat_server):
    chat = OpenAIChat("any", chat_server.url)
    first = dict(Replay(tmp_path, chat).many(asked(12)))
    again = dict(Replay(tmp_path, chat).many(asked(12)))
    assert chat_server.calls == 12
    assert first == again
    assert Replay(tmp_path, chat)(asked(12)[3].messages, asked(12)[3].sampling) == first[3]
    assert dict(Replay(tmp_path).many(asked(12))) == first
    assert chat_server.calls == 12


def test_equal_requests_are_asked_once_and_draws_are_not_equal(tmp_path, chat_server):
    (one,) = asked(1)
    other = replace(one, sampling=replace(one.sampling, draw=1))
    answers = dict(Replay(tmp_path, OpenAIChat("any", chat_server.url)).many([one, other, one, one]))
    assert sorted(answers) == [0, 1, 2, 3]
    assert answers[0] == answers[2] == answers[3]
    assert chat_server.calls == 2


def test_two_threads_ask_once_for_one_key(tmp_path, chat_server):
    chat_server.hold_from(0)
    replay = Replay(tmp_path, OpenAIChat("any", chat_server.url))
    answers: list[Reply] = []
    threads = [threading.Thread(target=lambda: answers.append(replay(asked(1)[0].messages))) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert chat_server.wait_for_calls(1)
    chat_server.hold_from(None)
    for thread in threads:
        thread.join(60)
    assert len(answers) == 6
    assert chat_server.calls == 1


def test_another_model_server_or_sampling_is_another_request(tmp_path):
    one, other = Counting("one"), Counting("other")
    (request,) = asked(1)
    for chat in (one, other, one):
        Replay(tmp_path, chat)(request.messages, request.sampling)
    Replay(tmp_path, one)(request.messages, replace(request.sampling, temperature=0.7))
    assert (len(one.asked), len(other.asked)) == (2, 1)


@pytest.mark.slow
def test_five_hundred_requests_under_faults_are_neither_lost_nor_doubled_and_the_ledger_is_the_servers(tmp_path):
    # a time-out has its own test: one that a busy machine adds would be charged by the server and unknown here
    faults = {"429": 0.02, "500": 0.02, "cut": 0.02, "invalid_json": 0.01, "no_choices": 0.01, "wrong_schema": 0.02}
    with ChatServer(faults) as server, ChatServer() as faultless:
        replay = Replay(tmp_path / "a", OpenAIChat("any", server.url, concurrency=16, timeout=60))
        indices, answers = zip(*replay.labelled("p4").many(asked(500)), strict=True)
        calm = dict(
            Replay(tmp_path / "b", OpenAIChat("any", faultless.url, concurrency=16, timeout=60)).many(asked(500))
        )
    assert sorted(indices) == list(range(500))
    assert all(isinstance(answer, Reply) for answer in answers)
    faulty = sum(count for fault, count in server.served.items() if fault != "ok")
    assert 25 <= faulty <= 100  # the rates above were met
    assert {fault for fault in faults if server.served[fault]} == set(faults)
    unrepaired = [index for index, answer in zip(indices, answers, strict=True) if answer.usage.calls == 1]
    by_index = dict(zip(indices, answers, strict=True))
    assert all(by_index[index].parsed == calm[index].parsed for index in unrepaired)
    row = ledger(tmp_path / "a").loc[("p4", "any")]
    counted = (row["calls"], row["prompt_tokens"], row["completion_tokens"])
    assert counted == (server.answers, server.prompt_tokens, server.completion_tokens)
    assert row["calls"] + row["retries"] == server.calls
    assert (row["replies"], row["failures"]) == (500, 0)


@pytest.mark.slow
def test_a_run_killed_in_the_middle_asks_exactly_for_what_is_missing(tmp_path, chat_server):
    chat_server.hold_from(120)
    broken = child(tmp_path / "broken", chat_server, 0, 200)
    assert chat_server.wait_for_calls(128)  # 8 in flight, so whatever they followed has been stored
    os.kill(broken.pid, signal.SIGKILL)
    broken.communicate(timeout=60)
    stored = len(Store(tmp_path / "broken"))
    before = chat_server.calls
    chat_server.hold_from(None)
    resumed = ended(child(tmp_path / "broken", chat_server, 0, 200))
    assert stored == 120
    assert chat_server.calls - before == 80
    unbroken = ended(child(tmp_path / "unbroken", chat_server, 0, 200))
    assert resumed == unbroken
    one, other = (dict(Replay(tmp_path / name).many(asked(200))) for name in ("broken", "unbroken"))
    for index in range(200):
        assert replace(one[index], seconds=0.0) == replace(other[index], seconds=0.0)


@pytest.mark.slow
def test_two_processes_at_once_share_the_work(tmp_path, chat_server):
    chat_server.hold_from(10)
    both = [child(tmp_path, chat_server, 0, 120) for _ in range(2)]
    assert chat_server.wait_for_calls(16)  # both at work, or one with the other waiting
    chat_server.hold_from(None)
    assert len({ended(process) for process in both}) == 1
    assert chat_server.calls == 120
    assert len(Store(tmp_path)) == 120


@pytest.mark.slow
def test_many_writers_leave_every_line_whole(tmp_path, chat_server):
    children = [child(tmp_path, chat_server, first, first + 40) for first in (0, 40, 80)]
    for process in children:
        ended(process)
    assert (len(Store(tmp_path)), chat_server.calls) == (120, 120)


def test_a_torn_last_line_is_dropped_and_told_at_every_byte(tmp_path, monkeypatch):
    monkeypatch.setattr("llmrl_lib.language.store.os.fsync", lambda _: None)  # a thousand writes
    requests = asked(3)
    dict(Replay(tmp_path / "whole", Counting()).many(requests))
    whole = (tmp_path / "whole" / FILE).read_bytes()
    begin = whole[:-1].rindex(b"\n") + 1
    assert len(whole) - begin > 300
    for cut in range(begin, len(whole)):
        folder = tmp_path / "torn"
        folder.mkdir()
        (folder / FILE).write_bytes(whole[:cut])
        chat = Counting()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            answers = dict(Replay(folder, chat).many(requests))
        assert [answers[index].text for index in range(3)] == [
            f"Zürich {one.messages[0].content} 0" for one in requests
        ]
        assert chat.asked == [requests[2].messages[0].content]
        categories = [warning.category for warning in told if warning.category is not ResourceWarning]  # not ours
        assert categories == [TornLineWarning] * (cut > begin)
        assert len(Store(folder)) == 3
        shutil.rmtree(folder)


def test_a_torn_line_is_told_with_its_number_and_what_follows(tmp_path):
    Replay(tmp_path, Counting())(asked(1)[0].messages)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"check": "0123')
    with pytest.warns(
        TornLineWarning, match=r"replies.jsonl line 2: torn after 15 bytes by a kill, dropped; .* asked again"
    ):
        Replay(tmp_path, Counting())(asked(2)[1].messages)
    assert len(Store(tmp_path)) == 2


def test_a_damaged_line_is_named_with_its_remedy(tmp_path):
    dict(Replay(tmp_path / "whole", Counting()).many(asked(3)))
    lines = (tmp_path / "whole" / FILE).read_bytes().splitlines(keepends=True)
    for place in range(0, len(lines[1]) - 1, 5):
        damaged = bytearray(lines[1])
        damaged[place] ^= 1
        if damaged[place] == ord("\n"):
            continue
        folder = tmp_path / f"damaged{place}"
        folder.mkdir()
        (folder / FILE).write_bytes(lines[0] + bytes(damaged) + lines[2])
        with pytest.raises(
            StoreError, match=r"replies.jsonl line 2: .* delete this line, and its request will be asked again"
        ):
            Replay(folder, Counting())
    mended = tmp_path / "mended"
    mended.mkdir()
    (mended / FILE).write_bytes(lines[0] + lines[2])
    chat = Counting()
    dict(Replay(mended, chat).many(asked(3)))
    assert chat.asked == [asked(2)[1].messages[0].content]


def test_a_file_of_another_program_is_told(tmp_path):
    (tmp_path / FILE).write_text('{"some": "line"}\n')
    with pytest.raises(StoreError, match="line 1"):
        Replay(tmp_path, Counting())


def test_a_full_disk_leaves_the_store_whole(tmp_path, monkeypatch):
    replay = Replay(tmp_path, Counting())
    replay(asked(1)[0].messages)

    def full(file: int, line: bytes) -> None:
        os.write(file, line[:50])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("llmrl_lib.language.store._write", full)
        with pytest.raises(StoreError, match=r"No space left on device.*make room"):
            replay(asked(2)[1].messages)
    replay(asked(2)[1].messages)
    assert len(Store(tmp_path)) == 2


def test_a_folder_that_cannot_be_made_is_told_as_that(tmp_path):
    store = Store(tmp_path / "new" / "folder")
    (tmp_path / "new").write_text("")
    with pytest.raises(StoreError, match=r"could not be stored \(Not a directory\).*give another folder"):
        store.append({})


def test_what_is_stored_shows_what_was_asked_and_no_key(tmp_path, chat_server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-live-0123456789abcdef")
    Replay(tmp_path, OpenAIChat("any", chat_server.url), purpose="p0")(asked(1)[0].messages, asked(1)[0].sampling)
    (line,) = (tmp_path / FILE).read_text("utf-8").splitlines()
    entry = json.loads(line)["entry"]
    assert entry["request"]["messages"] == [{"role": "user", "content": "Month 0: LONG or SHORT?"}]
    assert entry["request"]["sampling"]["schema"] == SCHEMA
    assert entry["purpose"] == "p0"
    assert entry["key"] == request_key(entry["identity"], asked(1)[0])
    assert all(word not in line for word in ("sk-live", "Bearer", "uthorization"))


def test_failed_requests_are_paid_for_asked_again_and_remembered(tmp_path, chat_server):
    chat_server.script("refusal", "wrong_schema", "not_json")
    replay = Replay(tmp_path, OpenAIChat("any", chat_server.url, concurrency=1), purpose="p1")
    answers = dict(replay.many(asked(3)))
    assert [type(answers[index]) for index in range(3)] == [RefusedError, OffSchemaError, Reply]
    row = ledger(tmp_path).loc[("p1", "any")]
    assert (row["replies"], row["failures"], row["calls"]) == (1, 2, 4)
    assert row["prompt_tokens"] == chat_server.prompt_tokens
    with pytest.raises(MissingReplyError, match="it failed before, RefusedError"):
        Replay(tmp_path)(asked(1)[0].messages, asked(1)[0].sampling)
    assert all(isinstance(answer, Reply) for _, answer in replay.many(asked(3)))
    assert chat_server.calls == 6


def test_without_a_chat_a_missing_reply_says_which_and_what_to_do(tmp_path):
    Replay(tmp_path, Counting())(asked(1)[0].messages)
    replay = Replay(tmp_path, purpose="p3")
    words = r"for p3, draw 2, to counting: 'Month 1: LONG or SHORT\?'; run once with the model"
    with pytest.raises(MissingReplyError, match=words):
        replay(asked(2)[1].messages, Sampling(draw=2))
    answers = dict(replay.many([Request(asked(1)[0].messages), *asked(2)]))
    assert [type(answers[index]) for index in range(3)] == [Reply, MissingReplyError, MissingReplyError]
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, "replies.lock"]


def test_without_a_chat_an_empty_folder_and_one_of_two_models_are_told(tmp_path):
    with pytest.raises(MissingReplyError, match="holds no replies"):
        Replay(tmp_path / "empty")(asked(1)[0].messages)
    assert not (tmp_path / "empty").exists()
    for name in ("one", "two"):
        Replay(tmp_path, Counting(name))(asked(1)[0].messages)
    with pytest.raises(MissingReplyError, match="several models: say whose to replay with identity="):
        Replay(tmp_path)(asked(1)[0].messages)
    assert Replay(tmp_path, identity={"model": "two", "server": "here"})(asked(1)[0].messages).model == "two"


def test_a_chat_that_batches_is_given_all_at_once(tmp_path):
    chat = Batching()
    Replay(tmp_path, chat)(asked(2)[1].messages, asked(2)[1].sampling)
    answers = dict(Replay(tmp_path, chat).many(asked(5)))
    assert sorted(answers) == list(range(5))
    assert len(chat.asked) == 5
    assert answers == dict(Replay(tmp_path).many(asked(5)))


def test_replies_that_arrived_are_kept_when_the_caller_stops_early(tmp_path, chat_server):
    replay = Replay(tmp_path, OpenAIChat("any", chat_server.url, concurrency=4))
    answers = replay.many(asked(50))
    next(answers)
    answers.close()
    assert len(open_store(tmp_path)) == chat_server.calls < 50


def test_missing_names_what_would_be_asked_without_asking(tmp_path):
    chat = Counting()
    replay = Replay(tmp_path, chat)
    replay(asked(1)[0].messages, asked(1)[0].sampling)
    assert replay.missing([*asked(3), *asked(3)]) == asked(3)[1:]
    assert len(chat.asked) == 1


class Failing(Counting):
    """Nobody is there."""

    def __call__(self, *_):
        raise ServerError("nobody is there")


def test_what_failed_at_once_leaves_nothing_behind(tmp_path):
    (tmp_path / "mine").mkdir()
    for folder in (tmp_path / "new" / "folder", tmp_path / "mine"):
        replay = Replay(folder, Failing())
        assert all(isinstance(answer, ServerError) for _, answer in replay.many(asked(3)))
        assert not list(folder.glob("*"))
    assert [place.name for place in tmp_path.iterdir()] == ["mine"]  # which was there before
    assert len(dict(Replay(tmp_path / "new" / "folder", Counting()).many(asked(3)))) == 3
    dict(Replay(tmp_path / "new" / "folder", Failing()).many(asked(4)))
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [FILE, "replies.lock"]


def test_a_lock_file_that_another_process_uses_stays_and_a_removed_one_is_made_again(tmp_path):
    code = f"""
import fcntl, sys
from pathlib import Path
from llmrl_lib.language.locks import ByteLocks
locks = ByteLocks(Path({str(tmp_path / "new" / "lock")!r}))
for line in sys.stdin:
    if line == "lock\\n":
        print(locks.lock(7, fcntl.LOCK_EX), flush=True)
    else:
        locks.unlock(7)
        print(locks.leave(), flush=True)
"""
    own = ByteLocks(tmp_path / "new" / "lock")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:

        def tell(word):
            other.stdin.write(f"{word}\n")
            other.stdin.flush()
            return other.stdout.readline().strip()

        assert own.lock(3, fcntl.LOCK_EX)
        assert tell("lock") == "True"
        own.unlock(3)
        own.leave()  # the other holds a byte of it
        assert (tmp_path / "new" / "lock").exists()
        tell("leave")  # its unlink is what own has not seen
        assert not (tmp_path / "new" / "lock").exists()
        assert own.lock(7, fcntl.LOCK_EX)
        assert tell("lock") == "False"  # both on the file that is there
        own.unlock(7)
        other.stdin.close()
