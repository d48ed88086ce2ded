"""A server of the OpenAI chat protocol on a loopback socket, whose replies follow from the request and whose faults are set.

A reply satisfies the schema that was asked for, drawn by a hash of the request's body; its log-probabilities sum below one.
Faults come by script (the next requests in order) or at random rates, drawn by a hash of the body and of how often it has
been seen, so that a run does not depend on the order in which threads arrive. What was charged is counted as a server
would: every answer that was sent whole.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import log
from types import TracebackType
from typing import Any

STATUS_FAULTS = {  # name: status, body of the error, further headers
    "429": (429, {"message": "Rate limit reached", "code": "rate_limit_exceeded"}, {"Retry-After": "0.01"}),
    "429_for_long": (429, {"message": "Rate limit reached for today"}, {"Retry-After": "86400"}),
    "500": (500, {"message": "The server had an error"}, {"Retry-After-Ms": "5"}),
    "quota": (
        429,
        {"message": "You exceeded your current quota", "code": "insufficient_quota"},
        {"Retry-After-Ms": "5"},
    ),
    "prompt_filter": (
        400,
        {"message": "The response was filtered by our content policy", "code": "content_filter"},
        {},
    ),
    "too_long": (
        400,
        {"message": "This model's maximum context length is 8192 tokens", "code": "context_length_exceeded"},
        {},
    ),
    "no_logprobs_allowed": (403, {"message": "You are not allowed to request logprobs from this model"}, {}),
    "odd_setting": (400, {"message": "temperature does not support 0 with this model", "param": "temperature"}, {}),
}
UNCHARGED = (*STATUS_FAULTS, "timeout", "cut", "invalid_json", "no_choices")
CHARGED = (
    *("wrong_schema", "not_json", "fenced", "repeated_name", "refusal", "length", "content_filter"),
    *("no_logprobs", "null_logprobs", "few_logprobs", "half_logprobs", "unlikely", "no_usage", "cached"),
)
_SPLIT = re.compile(r"[A-Za-z]{1,5}|\d{1,3}|\s+|.", re.DOTALL)


class ChatServer:
    """Serves until its `with` block ends. Everything it counts may be read at any time."""

    def __init__(
        self,
        faults: Mapping[str, float] | None = None,
        *,
        models: Sequence[str] | None = None,
        key: str | None = None,
        structured: bool = True,
        most_alternatives: int = 20,
        length_name: str | None = None,
        content: Callable[[dict[str, Any]], str] | None = None,
    ) -> None:
        unknown = set(faults or {}) - {*UNCHARGED, *CHARGED}
        assert not unknown, f"unknown faults: {unknown}"
        self.faults, self.models, self.key, self.structured = dict(faults or {}), models, key, structured
        self.most_alternatives, self.length_name, self.content = most_alternatives, length_name, content
        self.requests: list[dict[str, Any]] = []  # bodies, as they came
        self.headers: list[dict[str, str]] = []  # theirs, names in lower case
        self.calls = 0  # requests that came
        self.answers = 0  # answers charged for
        self.prompt_tokens = self.completion_tokens = self.cached_tokens = 0  # of these
        self.served: Counter[str] = Counter()  # fault, or "ok": how often
        self.in_flight = self.most_in_flight = 0
        self._script: list[str] = []
        self._seen: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._hold_from: int | None = None
        self._closing = False

    def __enter__(self) -> ChatServer:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"chat": self}))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def script(self, *faults: str) -> None:
        """What the next requests meet, one each; "ok" is no fault."""
        assert not set(faults) - {"ok", *UNCHARGED, *CHARGED}, faults
        with self._changed:
            self._script.extend(faults)

    def hold_from(self, call: int | None) -> None:
        """Requests from number `call` on (counted from 0) are not answered until it is lifted with None."""
        with self._changed:
            self._hold_from = call
            self._changed.notify_all()

    def wait_for_calls(self, calls: int, seconds: float = 300.0) -> bool:
        """Whether that many requests came within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.calls >= calls, seconds)

    def arrived(self, body: dict[str, Any], headers: dict[str, str]) -> tuple[str, int]:
        """Notes a request, waits while it is held, and draws its fault."""
        with self._changed:
            number, self.calls = self.calls, self.calls + 1
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self.requests.append(body)
            self.headers.append(headers)
            fingerprint = _fingerprint(body)
            seen = self._seen[fingerprint]
            self._seen[fingerprint] += 1
            fault = self._script.pop(0) if self._script else self._drawn(fingerprint, seen)
            self.served[fault] += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closing or self._hold_from is None or number < self._hold_from)
            return fault, seen

    def wait_until_closed(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing)

    def charge(self, usage: Mapping[str, Any]) -> None:
        with self._changed:
            self.answers += 1
            self.prompt_tokens += usage["prompt_tokens"]
            self.completion_tokens += usage["completion_tokens"]
            self.cached_tokens += usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)

    def left(self) -> None:
        with self._changed:
            self.in_flight -= 1

    def _drawn(self, fingerprint: str, seen: int) -> str:
        place = random.Random(f"{fingerprint} {seen}").random()
        for fault, rate in self.faults.items():
            if place < rate:
                return fault
            place -= rate
        return "ok"


class _Handler(BaseHTTPRequestHandler):
    chat: ChatServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fault, _ = self.chat.arrived(body, {name.lower(): value for name, value in self.headers.items()})
        try:
            self._answer(body, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self.chat.left()

    def _answer(self, body: dict[str, Any], fault: str) -> None:
        chat = self.chat
        if chat.key is not None and self.headers["Authorization"] != f"Bearer {chat.key}":
            given = (self.headers["Authorization"] or "").removeprefix("Bearer ")
            self._send(401, {"error": {"message": f"Incorrect API key provided: {given}.", "code": "invalid_api_key"}})
        elif self.path != "/v1/chat/completions":
            self._send(404, {"error": {"message": "Invalid URL"}})
        elif chat.models is not None and body["model"] not in chat.models:
            message = f"The model `{body['model']}` does not exist"
            self._send(404, {"error": {"message": message, "code": "model_not_found"}})
        elif chat.length_name and chat.length_name not in body:
            other = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
            message = f"Unsupported parameter: '{other}' is not supported with this model."
            self._send(400, {"error": {"message": message, "param": other, "code": "unsupported_parameter"}})
        elif "response_format" in body and not chat.structured:
            self._send(400, {"error": {"message": "Unrecognized request argument: response_format"}})
        elif fault in STATUS_FAULTS:
            status, error, headers = STATUS_FAULTS[fault]
            self._send(status, {"error": error}, headers)
        elif fault == "timeout":
            self.close_connection = True
            chat.wait_until_closed()
        elif fault == "cut":
            self._send(200, completion(body, "ok", chat), cut=True)
        elif fault == "invalid_json":
            self._send(200, b'{"choices": [{"mess')
        elif fault == "no_choices":
            self._send(200, {"error": {"message": "upstream is busy"}})
        else:
            answer = completion(body, fault, chat)
            charged = answer["usage"]
            if fault == "no_usage":
                answer["usage"] = None
            chat.charge(charged)  # before it is sent, so that whoever has the answer finds it counted
            self._send(200, answer)

    def _send(
        self, status: int, answer: dict[str, Any] | bytes, headers: Mapping[str, str] | None = None, cut: bool = False
    ) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True


def completion(body: dict[str, Any], fault: str, chat: ChatServer) -> dict[str, Any]:
    """The answer to a request, with or without a fault."""
    draw = random.Random(_fingerprint(body))
    text = chat.content(body) if chat.content else _content(body, draw)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    reason = "stop"
    if fault == "wrong_schema":
        text = message["content"] = json.dumps({"unexpected": text[:20]})
    elif fault == "not_json":
        text = message["content"] = f"Surely! Here it is: {text}"
    elif fault == "fenced":
        text = message["content"] = f"<think>Let me see.</think>\n```json\n{text}\n```"
    elif fault == "repeated_name":
        text = message["content"] = text[:-1] + ", " + text[1:]
    elif fault == "refusal":
        message |= {"content": None, "refusal": "I'm sorry, I cannot assist with that."}
    elif fault == "length":
        text = message["content"] = text[: max(1, len(text) // 2)]
        reason = "length"
    elif fault == "content_filter":
        message["content"] = None
        reason = "content_filter"
    spelled = _spelled(text)
    prompt = sum(4 + len(_SPLIT.findall(turn["content"])) for turn in body["messages"])
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": len(spelled),
        "total_tokens": prompt + len(spelled),
    }
    if fault == "cached":
        usage["prompt_tokens_details"] = {"cached_tokens": prompt // 2}
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    if body.get("logprobs") and fault != "null_logprobs":
        kept = spelled[: len(spelled) // 2] if fault == "half_logprobs" else spelled
        asked = min(body.get("top_logprobs", 0), chat.most_alternatives, 2 if fault == "few_logprobs" else 20)
        entries = [_entry(raw, asked, draw, fault) for raw in kept]
        choice["logprobs"] = {"content": None if fault == "no_logprobs" else entries, "refusal": None}
    return {
        "id": f"chatcmpl-{_fingerprint(body)[:12]}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": f"{body['model']}-test",
        "choices": [choice],
        "usage": usage,
    }


def example(schema: Mapping[str, Any], draw: random.Random, root: Mapping[str, Any] | None = None) -> Any:
    """A value that satisfies a JSON schema of the kinds that structured output allows."""
    root = schema if root is None else root
    if reference := schema.get("$ref"):
        part: Any = root
        for name in str(reference).removeprefix("#/").split("/"):
            part = part[name]
        return example(part, draw, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draw.choice(schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return example(draw.choice(schema[several]), draw, root)
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = draw.choice(kind)
    if kind == "object":
        return {name: example(part, draw, root) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        least = schema.get("minItems", 1)
        count = draw.randint(least, min(schema.get("maxItems", least + 2), least + 2))
        return [example(schema.get("items", {"type": "string"}), draw, root) for _ in range(count)]
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 10))
        return draw.randint(int(low), int(high)) if kind == "integer" else round(draw.uniform(low, high), 3)
    if kind == "boolean":
        return draw.random() < 0.5
    if kind == "null":
        return None
    words = " ".join(draw.choice(("momentum", "volume", "trend", "zürich", "risk", "日本")) for _ in range(6))
    return (words + "." * schema.get("minLength", 0))[: schema.get("maxLength", 60)]


def _content(body: dict[str, Any], draw: random.Random) -> str:
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema") or _schema_in_prompt(body)
    return (
        json.dumps(example(schema, draw), ensure_ascii=False)
        if schema
        else f"A reply of {draw.randint(100, 999)} words."
    )


def _schema_in_prompt(body: dict[str, Any]) -> Any:
    """The last JSON object that a line of the first message begins with, as a chat without structured output writes it."""
    for line in reversed(body["messages"][0]["content"].splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    return None


def _spelled(text: str) -> list[bytes]:
    """The tokens of a text; characters beyond ASCII are split over two."""
    tokens = []
    for piece in _SPLIT.findall(text):
        raw = piece.encode()
        tokens += [raw] if piece.isascii() else [raw[:1], raw[1:]]
    return tokens


def _entry(raw: bytes, alternatives: int, draw: random.Random, fault: str) -> dict[str, Any]:
    share = draw.uniform(0.5, 0.9)
    names = [raw, *(f"alt{number}".encode() for number in range(1, max(1, alternatives)))]
    top = [_alternative(name, log(share * (1 - share) ** place)) for place, name in enumerate(names)][:alternatives]
    entry = _alternative(raw, log(share))
    if fault == "unlikely":
        entry["logprob"] = -9999.0
        if top:
            top[-1]["logprob"] = -3.4028234663852886e38
    return {**entry, "top_logprobs": top}


def _alternative(raw: bytes, logprob: float) -> dict[str, Any]:
    return {"token": raw.decode("utf-8", "replace"), "bytes": list(raw), "logprob": logprob}


def _fingerprint(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
