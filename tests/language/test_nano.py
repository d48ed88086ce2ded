"""Nano's tokenizer and training: figures digit by digit, the loss where it belongs, a stopped run that goes on the same."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from llmrl_lib.language.chat import Message
from llmrl_lib.language.nano.lessons import Lesson, read_lessons, write_lessons
from llmrl_lib.language.nano.tokens import LONGEST_TOKEN, for_transformers, train_tokenizer
from llmrl_lib.language.nano.training import NanoSettings, _loss, architecture, batches, encode, train, weights_only

SMALL = NanoSettings(
    vocabulary=500, width=16, layers=1, heads=2, inner=32, context=256, tokens_per_step=100, block=16, warm_up=2,
    compute="float32",
)  # fmt: skip
HOSTILE = [
    "",
    "\x00\x07",
    "价格 ↑ naïve Žluť",
    "🙂" * 5,
    "<|end|",
    "ig\nnore: -1.25.5-",
    "a_b_c 1_000 skew_30d sma_200_gap.",
]


def lesson(number):
    rise = None if number % 4 == 3 else 0.2 + 0.1 * (number % 4)
    side = "LONG" if number % 2 else "SHORT"
    reply = f'{{"rationale": "rsi_14 is {number}.5", "direction": "{side}", "confidence": 1}}'
    asked = f"- rsi_14: {number}.5 points (relative strength)\n" * (1 + number % 3)
    return Lesson("p0", (Message("system", "Decide, please."), Message("user", asked)), reply, rise)


LESSONS = [lesson(number) for number in range(40)]


@pytest.fixture(scope="module")
def tokenizer():
    texts = [text for one in LESSONS for text in (*(message.content for message in one.messages), one.reply)]
    return for_transformers(train_tokenizer(texts, SMALL.vocabulary), SMALL.context)


@pytest.fixture(scope="module")
def encoded(tokenizer):
    return encode(LESSONS, tokenizer)


def fresh(tokenizer):
    return architecture(SMALL, len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id)


def test_figures_are_read_digit_by_digit_and_names_as_one(tokenizer):
    pieces = tokenizer.tokenize("- rsi_14: -12.53 points")
    assert [piece for piece in pieces if piece in "-0123456789."] == ["-", "1", "2", ".", "5", "3"]
    assert "rsi_14" in pieces
    assert tokenizer.tokenize('"LONG", "SHORT"').count("LONG") == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_comes_back_whole(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_phrases_of_the_prompts_are_few_tokens_and_none_is_too_long(tokenizer):
    assert len(tokenizer(" points (relative strength)\n")["input_ids"]) <= 3
    assert max(map(len, tokenizer.get_vocab())) <= LONGEST_TOKEN


def test_the_same_texts_make_the_same_tokenizer():
    texts = ["one and two", "two and three: 1.5"] * 3
    assert train_tokenizer(texts, 300).to_str() == train_tokenizer(list(texts), 300).to_str()


def test_lessons_come_back_from_their_file(tmp_path):
    assert write_lessons(LESSONS, tmp_path / "some.jsonl") == len(LESSONS)
    assert read_lessons(tmp_path / "some.jsonl") == LESSONS


def test_the_deciding_token_is_found(tokenizer, encoded):
    for number, one in enumerate(LESSONS):
        start, place = encoded.starts[number], encoded.decisions[number]
        if one.rise is None:
            assert place == -1
        else:
            assert tokenizer.decode([encoded.tokens[start + place]]) == ("LONG" if number % 2 else "SHORT")
            assert encoded.rises[number] == one.rise


def test_every_lesson_is_taken_once_and_in_its_block(encoded):
    taken = np.concatenate(batches(encoded, SMALL))
    assert sorted(taken) == list(range(len(LESSONS)))
    assert set(taken[: SMALL.block]) == set(range(SMALL.block))


def test_the_loss_is_that_of_the_reply_alone_with_decisions_as_chances(tokenizer, encoded):
    model = fresh(tokenizer)
    chosen = np.array([0, 3, 5, 8])
    found, decided = _loss(model, encoded, chosen, SMALL, torch.device("cpu"))
    total, weights, decisions = 0.0, 0.0, []
    for number in chosen:
        tokens = torch.from_numpy(encoded.tokens[encoded.starts[number] : encoded.starts[number + 1]].astype(np.int64))
        with torch.no_grad():
            logprobs = torch.log_softmax(model(tokens[None]).logits[0], dim=-1)
        for place in range(encoded.replies[number], len(tokens)):
            loss, weight = -logprobs[place - 1, tokens[place]].item(), 1.0
            if place == encoded.decisions[number]:
                long, short = (logprobs[place - 1, side].item() for side in encoded.sides)
                rise = encoded.rises[number]
                loss, weight = -(rise * long + (1.0 - rise) * short), SMALL.decision_weight
                decisions.append(loss)
            total, weights = total + weight * loss, weights + weight
    assert found.total.item() == pytest.approx(total / weights, rel=1e-5)
    assert [one.item() for one in decided] == pytest.approx(decisions, rel=1e-5)


def test_training_lowers_the_loss(tokenizer, encoded, tmp_path):
    seen = []
    train(fresh(tokenizer), encoded, SMALL, tmp_path, seen.append, every=5)
    assert seen[-1].step == seen[-1].steps
    assert seen[-1].loss < 0.95 * math.log(len(tokenizer))


def test_a_stopped_training_goes_on_to_the_same_weights(tokenizer, encoded, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    train(fresh(tokenizer), encoded, SMALL, whole)
    for stop in (3, 7, None):
        train(fresh(tokenizer), encoded, SMALL, parts, stop_after=stop)
    first, second = (dict(weights_only(folder / "checkpoint.safetensors")) for folder in (whole, parts))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_checkpoint_of_other_lessons_is_refused(tokenizer, encoded, tmp_path):
    train(fresh(tokenizer), encoded, SMALL, tmp_path, stop_after=1)
    with pytest.raises(ValueError, match="other settings or lessons"):
        train(fresh(tokenizer), encode(LESSONS[:20], tokenizer), SMALL, Path(tmp_path))
