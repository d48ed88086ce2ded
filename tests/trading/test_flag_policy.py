"""The cached policy against the whole model, for every split of its layers; low-rank additions; what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from flag_models import SMALL, both, checkpoint

from llmrl_lib.language.chat import UnknownModelError
from llmrl_lib.settings import FlagTraderSettings
from llmrl_lib.trading.flag_trader.activations import tokenised
from llmrl_lib.trading.flag_trader.backbone import Backbone, initial_heads
from llmrl_lib.trading.flag_trader.policy import check, heads, initial_weights, whole_weights
from llmrl_lib.trading.flag_trader.text import account_words, markets
from llmrl_lib.trading.flag_trader.training import checked, policy_on

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {kind: checkpoint(folder, kind) for kind in ("llama", "qwen2", "gpt2")} | {"nano": "nano"}


def texts_of(settings: FlagTraderSettings) -> list[str]:
    return [text for text in markets(*both(), settings)[0].texts if text][:12]


def outputs_and_gradients(policy, weights, texts, words):
    own = {name: value.clone().requires_grad_() for name, value in weights.items()}
    said = heads(own, policy.trunk(own, texts, words))
    loss = said.logits.square().mean() + said.values.sin().mean()
    return said, torch.autograd.grad(loss, list(own.values()))


@pytest.mark.parametrize(
    ("kind", "layers"), [("llama", 1), ("llama", 2), ("llama", 3), ("qwen2", 1), ("qwen2", 2), ("nano", 1)]
)
def test_cached_and_plain_give_the_same_numbers(models: dict[str, str], kind: str, layers: int) -> None:
    settings = replace(SMALL, backbone=models[kind], trainable_layers=layers)
    backbone, texts = Backbone(settings, CPU), texts_of(settings)
    source = torch.Generator().manual_seed(1)
    parts = [initial_heads(backbone.shape.width, seed, None) for seed in (0, 1)]
    weights, _ = initial_weights(backbone.top(), parts, settings, [0, 1])
    weights = {name: value + 0.05 * torch.randn(value.shape, generator=source) for name, value in weights.items()}
    chosen = torch.randint(0, len(texts), (2, 6), generator=source), torch.randint(0, 4, (2, 6), generator=source)
    fast, slow = (
        outputs_and_gradients(policy_on(backbone, texts, settings, cached), weights, *chosen)
        for cached in (True, False)
    )
    for a, b in zip([*fast[0], *fast[1]], [*slow[0], *slow[1]], strict=True):
        assert (a - b).abs().max().item() <= 1e-5 * max(1.0, b.abs().max().item())


def test_a_question_is_the_whole_text_in_three_parts(models: dict[str, str]) -> None:
    settings = replace(SMALL, backbone=models["llama"])
    backbone, texts = Backbone(settings, CPU), texts_of(settings)
    tokens = tokenised(backbone, texts, settings)
    words = account_words(settings)
    whole = backbone._chat.tokenizer.decode(tokens.whole(3, 2))
    assert texts[3] in whole
    assert words[2] in whole
    assert len(tokens.head) > 20
    assert len({tuple(row[0]) for row in tokens.tails}) == 1  # the account's words do not depend on the day


def test_low_rank_additions_begin_at_nothing_and_leave_the_matrices(models: dict[str, str]) -> None:
    settings = replace(SMALL, backbone=models["llama"], lora_rank=4)
    backbone, texts = Backbone(settings, CPU), texts_of(settings)
    learning, frozen = initial_weights(backbone.top(), [initial_heads(32, 0, None)], settings, [0])
    assert set(frozen) == set(backbone.top())
    assert {name.split(".lora_")[-1] for name in learning if ".lora_" in name} == {"a", "b"}
    whole = whole_weights(learning, frozen, settings)
    assert all(torch.equal(whole[name][0], value) for name, value in backbone.top().items())
    learning = {name: value + 0.1 for name, value in learning.items()}
    name = "layers.2.mlp.up_proj.weight"
    added = 16.0 / 4 * learning[f"{name}.lora_b"][0] @ learning[f"{name}.lora_a"][0]
    whole = whole_weights(learning, frozen, settings)
    assert torch.allclose(whole[name][0], backbone.top()[name] + added, atol=1e-6)
    here = torch.zeros(1, 1, dtype=torch.long)
    a, b = (policy_on(backbone, texts, settings, cached).trunk(whole, here, here) for cached in (True, False))
    assert torch.allclose(a, b, atol=1e-5)


def test_random_weights_have_the_shape_and_nothing_else(models: dict[str, str]) -> None:
    settings = replace(SMALL, backbone=models["llama"])
    known, drawn, again, other = (
        Backbone(one, CPU)
        for one in (
            settings, replace(settings, random_weights=True), replace(settings, random_weights=True),
            replace(settings, random_weights=True, weights_seed=1),
        )
    )  # fmt: skip
    assert known.shape == drawn.shape
    assert drawn.identity == again.identity
    assert len({known.identity, drawn.identity, other.identity}) == 3


def test_words_begin_with_what_the_model_would_say(models: dict[str, str]) -> None:
    settings = replace(SMALL, backbone=models["llama"], head="words")
    backbone, texts = Backbone(settings, CPU), texts_of(settings)
    own = initial_heads(32, 0, backbone.word_rows())
    weights, _ = initial_weights(backbone.top(), [own], settings, [0])
    here = torch.zeros(1, 1, dtype=torch.long)
    said = heads(weights, policy_on(backbone, texts, settings).trunk(weights, here, here)).logits[0, 0]
    ids = torch.tensor([tokenised(backbone, texts, settings).whole(0, 0)])
    scores = backbone.model(input_ids=ids).logits[0, -1]
    first = [
        backbone._chat.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in ("sell", "hold", "buy")
    ]
    assert torch.allclose(said, scores[first], atol=1e-4)


def test_other_models_are_refused_by_name(models: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="not built like Llama's; take a Llama"):
        Backbone(replace(SMALL, backbone=models["gpt2"]), CPU)
    with pytest.raises(UnknownModelError, match=r"trainable_layers is 4 and .* has 3 layers"):
        Backbone(replace(SMALL, backbone=models["llama"], trainable_layers=4), CPU)
    with pytest.raises(UnknownModelError, match="there is no such folder; give the folder of a model"):
        Backbone(replace(SMALL, backbone=str(tmp_path / "nothing")), CPU)


@pytest.mark.parametrize("kind", ["llama", "nano"])
def test_a_model_that_computes_otherwise_is_refused(models: dict[str, str], kind: str) -> None:
    settings = replace(SMALL, backbone=models[kind])
    backbone = Backbone(settings, CPU)
    if kind == "llama":  # weights drawn small attend to everything alike, wherever it stands
        for name, value in backbone.model.named_parameters():
            if "q_proj" in name or "k_proj" in name:
                value.mul_(30.0)
    policy, plain = checked(backbone, tokenised(backbone, texts_of(settings), settings))
    assert plain.shape[0] > 1  # texts of several lengths
    cosine, sine = policy._rotations
    for wrong in ((cosine, -sine), (torch.ones_like(cosine), torch.zeros_like(sine))):  # turned, missing
        policy._rotations = wrong
        with pytest.raises(UnknownModelError, match="its states differ by"):
            check(policy, plain, backbone)
    policy._rotations = (cosine, sine)
    check(policy, plain, backbone)


def test_no_two_low_rank_matrices_begin_alike(models: dict[str, str]) -> None:
    settings = replace(SMALL, backbone=models["llama"], lora_rank=4)
    backbone = Backbone(settings, CPU)
    learning, _ = initial_weights(backbone.top(), [initial_heads(32, 0, None)] * 2, settings, [0, 1])
    thin = [matrix for name, value in learning.items() if name.endswith(".lora_a") for matrix in value]
    assert len(thin) == 14
    beginnings = [tuple((matrix * matrix.shape[1] ** 0.5)[0, :8].tolist()) for matrix in thin]  # as they were drawn
    assert len(set(beginnings)) == len(thin)
