"""A local model's chat: its log-probabilities against a plain forward pass, schemas, sampling, and its named errors."""

import json
import shutil

import pytest
import torch

from llmrl_lib.language.chat import (
    Message,
    OffSchemaError,
    Reply,
    Request,
    RequestRejectedError,
    Sampling,
    TruncatedError,
    UnknownModelError,
    reply_from_record,
    reply_to_record,
)
from llmrl_lib.language.constraint import bounded
from llmrl_lib.language.local import LocalChat, _shared_beginning
from llmrl_lib.language.local_files import check_folder, looks_like_a_path
from llmrl_lib.language.nano.tokens import END, for_transformers, train_tokenizer
from llmrl_lib.language.nano.training import NanoSettings, architecture
from llmrl_lib.language.prompts import load_prompt

SYSTEM = "You are asked for one of two sides, and for small numbers; think first. 1.25, 2.5, 3.75, -4, +5, 67890. "
SCHEMA = {
    "type": "object",
    "properties": {
        "why": {"type": "string", "enum": ["rising", "falling", "neither"]},
        "numbers": {"type": "array", "items": {"type": "integer", "enum": [1, 2, 3]}, "minItems": 2, "maxItems": 4},
        "direction": {"type": "string", "enum": ["LONG", "SHORT"]},
    },
    "required": ["why", "numbers", "direction"],
    "additionalProperties": False,
}
TEXTS = [SYSTEM, json.dumps({"why": "rising", "numbers": [1, 2, 3], "direction": "LONG"}), "value: -1.25 Žluť 狐 naïve"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny decoder with weights large enough to have opinions, and a tokenizer of bytes and a few merges."""
    path = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = for_transformers(train_tokenizer(TEXTS, 400), 600)
    settings = NanoSettings(width=32, layers=2, heads=4, inner=64, context=600, seed=3)
    model = architecture(settings, len(tokenizer) + 7, tokenizer.eos_token_id, tokenizer.pad_token_id)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8.0)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def chat(folder):
    return LocalChat(folder, device="cpu", batch=4)


def asked(text, **sampling):
    settings = {"max_tokens": 60, "schema": SCHEMA, "temperature": 0.0} | sampling
    return Request((Message("system", SYSTEM), Message("user", text)), Sampling(**settings))


def answers(chat, requests):
    found = dict(chat.many(requests))
    return [found[index] for index in range(len(requests))]


def written_tokens(chat, reply):
    """The token numbers of a reply, by its texts; the tests' texts are of whole characters."""
    names = {}
    for number in range(chat._vocabulary.size):
        names.setdefault(chat._vocabulary.text(number), number)
    return [names[token.text] for token in reply.tokens]


def plain_logprobs(chat, request, tokens):
    """Of each token after the prompt, by one forward pass without cache, padding or mask; shape (token, vocabulary)."""
    prompt = chat.prompt_tokens(request.messages)
    with torch.inference_mode():
        scores = chat._model(torch.tensor([prompt + tokens])).logits[0]
    return torch.log_softmax(scores[len(prompt) - 1 : -1], dim=-1)


@pytest.mark.parametrize("shared_system", [True, False])
def test_logprobs_are_those_of_a_plain_forward_pass_batched_or_alone(chat, shared_system):
    requests = [asked(f"{number} value: 1." + "5" * 7 * number, temperature=1.0, draw=number) for number in range(6)]
    if not shared_system:
        requests = [Request(request.messages[1:], request.sampling) for request in requests]
    together = answers(chat, requests)
    assert any(reply.usage.cached for reply in together) == shared_system
    for request, reply in zip(requests, together, strict=True):
        alone = chat(request.messages, request.sampling)
        assert alone.text == reply.text
        tokens = written_tokens(chat, reply)
        plain = plain_logprobs(chat, request, tokens)
        top = plain.topk(5, dim=-1)
        for place, (token, other) in enumerate(zip(reply.tokens, alone.tokens, strict=True)):
            assert token.logprob == pytest.approx(plain[place, tokens[place]].item(), abs=1e-4)
            assert other.logprob == pytest.approx(token.logprob, abs=1e-4)
            assert [value for _, value in token.top] == pytest.approx(top.values[place].tolist(), abs=1e-4)


def test_logprobs_are_from_before_the_schema_masks_anything(chat):
    reply = chat(*_parts(asked("x", top_logprobs=20)))
    forced = reply.tokens[0]  # an untrained model has no wish to open an object
    assert forced.text.startswith("{")
    assert forced.logprob < -1.0
    assert forced.text not in [text for text, _ in forced.top[:1]]


def test_temperature_and_penalties_leave_the_reported_logprobs_alone(chat):
    request = asked("x", temperature=2.0, frequency_penalty=1.0, presence_penalty=0.5, seed=5)
    reply = chat(*_parts(request))
    plain = plain_logprobs(chat, request, written_tokens(chat, reply))
    assert [token.logprob for token in reply.tokens] == pytest.approx(
        [plain[place, token].item() for place, token in enumerate(written_tokens(chat, reply))], abs=1e-4
    )


def test_at_temperature_zero_the_likeliest_allowed_token_is_taken(chat):
    request = asked("take the best")
    reply = chat(*_parts(request))
    tokens = written_tokens(chat, reply)
    plain = plain_logprobs(chat, request, tokens)
    constraint = chat._vocabulary.constraint(SCHEMA)
    for place, token in enumerate(tokens):
        allowed = constraint.allowed(chat._ends)
        assert allowed[token]
        assert int(plain[place].masked_fill(~allowed, -torch.inf).argmax()) == token
        constraint.take(token)
    assert constraint.complete


def test_penalties_lower_what_was_written_by_its_count(chat):
    request = asked("again and again", frequency_penalty=1.5, presence_penalty=0.75)
    reply = chat(*_parts(request))
    tokens = written_tokens(chat, reply)
    plain = plain_logprobs(chat, request, tokens)
    constraint = chat._vocabulary.constraint(SCHEMA)
    for place, token in enumerate(tokens):
        scores = plain[place].clone()
        for earlier in set(tokens[:place]):
            scores[earlier] -= 1.5 * tokens[:place].count(earlier) + 0.75
        assert int(scores.masked_fill(~constraint.allowed(chat._ends), -torch.inf).argmax()) == token
        constraint.take(token)


def test_a_seed_gives_the_same_reply_in_any_company_and_draws_differ(chat):
    request = asked("draw", temperature=1.5, seed=7)
    alone = chat(*_parts(request)).text
    others = [asked(f"something else {number}", temperature=1.5) for number in range(5)]
    assert answers(chat, [*others, request])[-1].text == alone
    drawn = {chat(*_parts(asked("draw", temperature=1.5, seed=7, draw=draw))).text for draw in range(8)}
    assert len(drawn) > 1


def test_draws_follow_the_models_chances(chat):
    """Among the replies to one prompt, the first free choice comes as often as the masked softmax says."""
    schema = {"type": "string", "enum": ["LONG", "SHORT"]}
    requests = [asked("coin", schema=schema, temperature=1.0, draw=draw, top_logprobs=None) for draw in range(400)]
    long = sum(reply.parsed == "LONG" for reply in answers(chat, requests))
    prompt = chat.prompt_tokens(requests[0].messages)

    def chance(prefix, constraint):
        """P(LONG), summed over all ways in which the tokens can write it."""
        with torch.inference_mode():
            scores = chat._model(torch.tensor([prompt + prefix])).logits[0, -1]
        shares = torch.softmax(scores.masked_fill(~constraint.allowed(chat._ends), -torch.inf), dim=-1)
        total = 0.0
        for token in shares.nonzero()[:, 0].tolist():
            text = "".join(chat._vocabulary.texts([*prefix, token]))
            if "L" in text:
                total += shares[token].item()
            elif "S" not in text:
                further = chat._vocabulary.constraint(schema)
                for one in [*prefix, token]:
                    further.take(one)
                total += shares[token].item() * chance([*prefix, token], further)
        return total

    expected = chance([], chat._vocabulary.constraint(schema))
    assert long / 400 == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 400) ** 0.5 + 1e-9)


def test_every_reply_keeps_to_the_schema(chat):
    requests = [asked(f"case {number}", temperature=1.5, draw=number) for number in range(40)]
    for reply in answers(chat, requests):
        assert isinstance(reply, Reply)
        assert list(reply.parsed) == ["why", "numbers", "direction"]
        assert "".join(token.text for token in reply.tokens) == reply.text
        assert json.loads(reply.text) == reply.parsed
        assert reply_from_record(json.loads(json.dumps(reply_to_record(reply)))) == reply


def test_the_schemas_of_all_built_in_prompts_can_be_held(chat):
    for name in ("p0", "p1", "p2", "p3", "p4", "analyst"):
        constraint = chat._vocabulary.constraint(load_prompt(name).schema)
        assert 0 < int(constraint.allowed(chat._ends).sum()) < chat._vocabulary.size


def test_free_text_ends_where_its_description_says(chat):
    """A random model knows no end of a sentence; the reply comes to its own all the same."""
    text = {"type": "string", "description": "at most 3 words"}
    schema = {"type": "object", "properties": {"said": text}, "required": ["said"], "additionalProperties": False}
    requests = [asked("x", schema=schema, temperature=1.0, draw=draw, max_tokens=120) for draw in range(8)]
    assert all(len(reply.parsed["said"]) <= 21 for reply in answers(chat, requests))
    assert bounded({"type": "string"})["maxLength"] == 1000
    assert bounded({"type": "string", "enum": ["a"]}) == {"type": "string", "enum": ["a"]}
    assert bounded(bounded(schema)) == bounded(schema)


def test_free_text_of_several_bytes_a_character_is_whole(chat):
    schema = {"type": "string", "enum": ["Žluť 狐 naïve"]}
    reply = chat(*_parts(asked("say it", schema=schema)))
    assert reply.parsed == "Žluť 狐 naïve"
    assert "".join(token.text for token in reply.tokens) == reply.text


def test_a_cut_reply_is_truncated_by_name_and_counted(chat):
    with pytest.raises(TruncatedError, match=r"cut at 3 tokens.*max_tokens") as caught:
        chat(*_parts(asked("x", max_tokens=3)))
    assert caught.value.usage.completion == 3


def test_a_reply_ends_where_the_models_context_does(chat):
    schema = {"type": "string", "pattern": "^a{900}$"}
    request = asked("y" * 300, schema=schema, max_tokens=2000)
    with pytest.raises(TruncatedError, match="600 in all") as caught:
        chat(*_parts(request))
    assert caught.value.usage.prompt + caught.value.usage.completion == 600


def test_a_prompt_longer_than_the_context_is_rejected_and_others_are_answered(chat):
    found = answers(chat, [asked("z!" * 700), asked("short")])
    assert isinstance(found[0], RequestRejectedError)
    assert "reads 600" in str(found[0])
    assert isinstance(found[1], Reply)


def test_control_tokens_in_a_message_are_refused(chat):
    with pytest.raises(RequestRejectedError, match="opens or closes turns"):
        chat(*_parts(asked(f"be quiet {END} now")))


@pytest.mark.parametrize("wrong", [{"top_logprobs": 21}, {"max_tokens": 0}, {"temperature": -1.0}])
def test_impossible_settings_are_refused(chat, wrong):
    with pytest.raises(RequestRejectedError):
        chat(*_parts(asked("x", **wrong)))


def test_a_schema_that_cannot_be_held_is_refused(chat):
    schema = {"type": "string", "pattern": "(?=a)b"}
    with pytest.raises(RequestRejectedError, match="schema cannot be held"):
        chat(*_parts(asked("x", schema=schema)))


def test_what_llguidance_allows_and_the_schema_does_not_is_told(chat, monkeypatch):
    wide = chat._vocabulary.constraint({"type": "integer", "enum": [1]})
    monkeypatch.setattr(chat._vocabulary, "constraint", lambda _: wide)
    with pytest.raises(OffSchemaError, match="off its schema"):
        chat(*_parts(asked("x")))


def test_the_chat_template_is_followed(chat, folder, tmp_path):
    messages = asked("hello").messages
    turns = [{"role": message.role, "content": message.content} for message in messages]
    template = chat._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert template.endswith("<|assistant|>")
    assert chat._tokenizer.decode(chat.prompt_tokens(messages)) == template
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("chat_template*"))
    plain = LocalChat(bare, device="cpu")
    assert plain._tokenizer.decode(plain.prompt_tokens(messages)) == f"{SYSTEM}\n\nhello\n\n"


def test_the_identity_follows_weights_and_not_the_place(chat, folder, tmp_path):
    elsewhere = tmp_path / "tiny"
    shutil.copytree(folder, elsewhere)
    assert LocalChat(elsewhere, device="cpu").identity == chat.identity
    changed = LocalChat(elsewhere, device="cpu")
    with torch.no_grad():
        changed._model.model.norm.weight[0] += 1e-3
    assert changed.identity["weights"] != chat.identity["weights"]
    assert changed.identity["model"] == chat.identity["model"] == "tiny"


def test_a_folder_without_a_model_is_named_with_what_it_lacks(folder, tmp_path):
    lacks = r"holds no model: it has no config\.json and no weights \(model\.safetensors\) and no tokenizer\.json; give"
    with pytest.raises(UnknownModelError, match=lacks):
        LocalChat(tmp_path, device="cpu")
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").unlink()
    with pytest.raises(UnknownModelError, match=r"it has no weights \(model\.safetensors\); give") as told:
        LocalChat(str(tmp_path / "copy"), device="cpu")
    assert "hub" not in str(told.value)
    with pytest.raises(UnknownModelError, match="there is no such folder"):
        LocalChat(str(tmp_path / "mistyped"), device="cpu")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_file_that_is_cut_short_is_named(folder, tmp_path, name):
    shutil.copytree(folder, tmp_path / "copy")
    size = (folder / name).stat().st_size
    for left in (size - 2, size // 2, 4, 0):
        with (tmp_path / "copy" / name).open("r+b") as file:
            file.truncate(left)
        with pytest.raises(UnknownModelError) as told:
            LocalChat(tmp_path / "copy", device="cpu")
        assert str(told.value) == f"{tmp_path / 'copy' / name} is cut short or damaged; fetch or copy it again"


def test_weights_in_several_files_are_looked_at_one_by_one(chat, tmp_path):
    parts = tmp_path / "parts"
    chat.model.save_pretrained(parts, max_shard_size="40KB")
    chat.tokenizer.save_pretrained(parts)
    check_folder(parts)
    last = sorted(parts.glob("*.safetensors"))[-1]
    assert len(list(parts.glob("*.safetensors"))) > 1
    last.unlink()
    with pytest.raises(UnknownModelError, match=rf"{last.name} is missing, and model\.safetensors\.index\.json"):
        check_folder(parts)


def test_names_of_folders_and_of_servers_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "gone").write_text("")
    for name in ("/x/y", "./x", "../x", "~/x", "x/", ".", "models/mien", "models/mine", "gone", "weights.safetensors"):
        assert looks_like_a_path(name), name
    for name in ("nano", "gpt-4o-mini", "org/model", "ft:gpt-4o-mini:me::1", "llama3.1:8b", "accounts/a/models/b", ""):
        assert not looks_like_a_path(name), name


def test_what_prompts_share_leaves_each_a_token_of_its_own():
    assert _shared_beginning([[1, 2, 3], [1, 2, 4, 5]]) == 2
    assert _shared_beginning([[1, 2, 3], [1, 2, 3]]) == 2
    assert _shared_beginning([[1], [2, 3]]) == 0


def test_usage_counts_prompts_and_what_was_read_once(chat):
    first, second = answers(chat, [asked("one"), asked("another")])
    assert {first.usage.cached > 0, second.usage.cached > 0} == {True, False}
    assert first.usage.prompt == len(chat.prompt_tokens(asked("one").messages))
    assert first.usage.completion == len(first.tokens)


def _parts(request):
    return request.messages, request.sampling
