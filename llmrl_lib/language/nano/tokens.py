"""Nano's tokenizer: byte pairs over whole phrases, digits apart.

Merges may cross blanks and line ends, so that what stands in every prompt in the same words is a few tokens, while any other
words still are tokens of their own, down to single bytes. Digits, signs and points of numbers, names of fields, and the words
that a decision is made of stand alone: a figure is read digit by digit, and a name is the same token wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("system", "user", "assistant")
LONGEST_TOKEN = 64  # characters: whole headlines stay several tokens, which can be understood apart
_ALONE = (
    r"\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b"  # names of fields
    r"|\b(?:LONG|SHORT|bullish|bearish|neutral)\b"
    r"|(?<=\")(?:low|medium|high|take|leave|keep|drop|add)(?=\")"  # as values of a reply
    r"|[0-9](?![0-9]*(?:-day| days| trading days| to [0-9]+ back| back))"  # figures, but no spans of days
    r"|\n(?=\")"  # before a fenced line: each line keeps its own tokens
    r"|[-+](?=[0-9])|(?<=[0-9])\.(?=[0-9])"
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A tokenizer of at most `vocabulary` tokens; the same texts in the same order give the same one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_ALONE), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END, *(f"<|{role}|>" for role in ROLES)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=LONGEST_TOKEN,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def for_transformers(tokenizer: Tokenizer, context: int) -> Any:
    """The tokenizer as transformers takes it, with Nano's chat template."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[f"<|{role}|>" for role in ROLES],
        chat_template=CHAT_TEMPLATE,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
