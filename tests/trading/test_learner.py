"""The fast training path against golden numbers, against the slow reference, and against itself."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from slow_reference import Draft, SlowAgent, fast_draws, train_slowly

from llmrl_lib.settings import Quirks, TdqnSettings
from llmrl_lib.trading import checkpoint
from llmrl_lib.trading.learner import Group
from llmrl_lib.trading.network import (
    CpuKernels,
    Network,
    StackedKernels,
    backward,
    initial_network,
    q_values,
    training_forward,
)
from llmrl_lib.trading.problem import Prepared, Problem, prepare

SMALL = TdqnSettings(hidden=32, episodes=4, epsilon_decay=150.0, target_period=50)
# Weights move by up to 0.04 within 400 steps; rounding grows along the way.
TOLERANCE = {torch.float64: (1e-8, 1e-7), torch.float32: (2e-3, 2e-2)}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def golden_problem(name: str, golden, **more) -> Problem:
    frames = [
        pd.read_csv(golden / name / f"bars_{split}.csv", parse_dates=["date"], index_col="date")
        for split in ("train", "test")
    ]
    return Problem(*frames, **more)


@pytest.fixture(scope="module")
def prepared(golden) -> Prepared:
    return prepare(golden_problem("jumpy", golden), SMALL)


def advance(group: Group, steps: int) -> None:
    """Takes exactly this many steps."""
    assert group.steps >= steps
    while group.step < steps:
        group.advance(limit=steps - group.step)


def assert_same_network(network: Network, weights: dict, atol: float, idle_bias_atol: float) -> None:
    """Equal up to float32 rounding.

    A bias in front of a batch normalisation has a gradient of zero; in float32 it is rounding noise, which Adam scales up
    to whole steps. The normalisation removes what such a bias adds, so it is given its own tolerance; so is the running
    mean, which follows it.
    """
    for name, value in network.tensors().items():
        idle = name.endswith("running_mean") or (
            name.startswith("fc") and name.endswith("bias") and f"bn{name[2]}.bias" in weights
        )
        np.testing.assert_allclose(
            value.numpy(), weights[name].numpy(), rtol=1e-3 if "running_var" in name else 0,
            atol=idle_bias_atol if idle else atol, err_msg=name,
        )  # fmt: skip


def test_eight_learning_steps_equal_the_reference(golden) -> None:
    """Widths, batches and weights of the reference; step 4 copies the policy to the target after its update."""
    case = json.loads((golden / "learning.json").read_text("utf-8"))
    settings = TdqnSettings(hidden=16, dropout=0.0, episodes=1)
    batches = [{name: np.array(values) for name, values in batch.items()} for batch in case["batches"]]
    table = np.concatenate([np.float32(batch[name]) for batch in batches for name in ("state", "next_state")])
    group = _group_over(table, settings)
    for store in (group.network.parameters, group.network.statistics):
        for name, value in store.items():
            value[0] = torch.tensor(case["initial_weights"][name])
    probe = torch.tensor(case["probe"])
    _copy_targets(group)
    for step in case["steps"][1:]:
        half = (step["step"] % 2) * 64
        batch = batches[step["step"] % 2]
        rows = torch.arange(half, half + 64)[None]
        error = group.gradient_step(
            torch.from_numpy(table)[rows],
            torch.tensor(batch["action"], dtype=torch.int64)[None],
            torch.tensor(batch["reward"], dtype=torch.float32)[None],
            rows[:, 32:],
            torch.tensor(1 - batch["done"])[None] > 0,
            torch.zeros(1, 0, dtype=torch.int64),
            32,
        )
        if step["step"] == 4:
            _copy_targets(group)
        loss = torch.nn.functional.smooth_l1_loss(error, torch.zeros_like(error))
        np.testing.assert_allclose(float(loss), step["loss"], rtol=1e-5)
        np.testing.assert_allclose(_q(group, probe), step["probe_q"], rtol=0, atol=3e-5)
    weights = {name: torch.tensor(value)[None] for name, value in case["final_weights"].items()}
    assert_same_network(group.network, weights, atol=3e-6, idle_bias_atol=8e-4)


def test_slow_reference_equals_the_reference(golden) -> None:
    """The transcription meets the golden learning steps more closely still; float64 shows what rounding is worth."""
    case = json.loads((golden / "learning.json").read_text("utf-8"))
    agent = SlowAgent(117, TdqnSettings(hidden=16, dropout=0.0))
    agent.load({name: torch.tensor(value) for name, value in case["initial_weights"].items()})
    for step in case["steps"][1:]:
        batch = case["batches"][step["step"] % 2]
        agent.iterations = step["iterations"]
        names = ("state", "action", "reward", "next_state", "done")
        arrays = [np.float32(batch[name]) if "state" in name else batch[name] for name in names]
        loss = agent.learn(list(zip(*arrays, strict=True)))
        with torch.no_grad():
            q, target_q = (net(torch.tensor(case["probe"])).numpy() for net in (agent.policy, agent.target))
        np.testing.assert_allclose(loss, step["loss"], rtol=1e-6)
        np.testing.assert_allclose(q, step["probe_q"], rtol=0, atol=2e-5)
        np.testing.assert_allclose(target_q, step["probe_target_q"], rtol=0, atol=2e-5)


def test_gradients_equal_automatic_differentiation() -> None:
    """In float64, where rounding hides nothing: both sets of primitives against autograd on an ordinary module."""
    settings = TdqnSettings(hidden=24, layers=3)
    torch.manual_seed(0)
    x, masks = torch.randn(2, 10, 7, dtype=torch.float64), torch.randint(0, 2, (3, 2, 10, 24)).double() * 1.25
    slope = torch.randn(2, 5, 2, dtype=torch.float64)
    for kernels in (CpuKernels(), StackedKernels()):
        network = initial_network([7, 7], 24, 3, [0, 1]).map(torch.Tensor.double)
        modules = [Draft(7, settings).double() for _ in range(2)]
        for run, module in enumerate(modules):
            state = {name: value[run].clone() for name, value in network.tensors().items()}
            module.load_state_dict({**module.state_dict(), **state})
        q, kept, head_inputs = training_forward(network, x, masks, 5, kernels)
        gradients = backward(network, kept, head_inputs, slope, kernels)
        for run, module in enumerate(modules):
            module.train()
            now = module(x[run, :5], masks[:, run, :5])
            then = module(x[run, 5:], masks[:, run, 5:])
            np.testing.assert_allclose(q[run].numpy(), torch.cat([now, then]).detach().numpy(), atol=1e-12)
            (now * slope[run]).sum().backward()
            for name, value in module.named_parameters():
                np.testing.assert_allclose(gradients[name][run], value.grad, atol=1e-12, err_msg=name)
            for name, value in network.statistics.items():
                np.testing.assert_allclose(value[run], module.state_dict()[name], atol=1e-12, err_msg=name)


def run_group(runs, seeds, steps, **more) -> Group:
    group = Group(runs, seeds, SMALL, **more)
    advance(group, steps)
    return group


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("stacked", [False, True])
def test_batched_equals_slow_reference(prepared, stacked, dtype) -> None:
    """Same draws, same numbers over 400 steps: actions and rewards exactly, weights to 1e-8 in float64."""
    seed, steps = 5, 400
    group = Group((prepared,) * 2, [3, seed], SMALL, stacked=stacked, dtype=dtype)
    slow = SlowAgent(117, SMALL, dtype)
    slow.load({name: value[1].clone() for name, value in group.network.parameters.items()})
    log = train_slowly(slow, prepared, seed, steps, fast_draws(prepared, seed, SMALL))
    advance(group, steps)
    actions = group._replay_action[1, :steps]
    assert actions.tolist() == log["action"]
    rewards = group._replay_reward[1, :steps]
    np.testing.assert_allclose(rewards.gather(1, actions[:, None])[:, 0], log["reward"], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(rewards.gather(1, 1 - actions[:, None])[:, 0], log["other_reward"], rtol=1e-6, atol=1e-9)
    weights = {name: value.detach()[None] for name, value in slow.policy.state_dict().items()}
    assert_same_network(group.network.run(1), weights, *TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("stacked", [False, True])
def test_eight_seeds_together_equal_the_same_alone(prepared, stacked, dtype) -> None:
    seeds, steps = list(range(8)), 300
    together = run_group((prepared,) * 8, seeds, steps, stacked=stacked, dtype=dtype)
    for place, seed in enumerate(seeds):
        alone = run_group((prepared,), [seed], steps, stacked=stacked, dtype=dtype)
        assert torch.equal(together._replay_state[place, :steps], alone._replay_state[0, :steps])
        assert torch.equal(together._replay_action[place, :steps], alone._replay_action[0, :steps])
        weights = alone.network.tensors()
        assert_same_network(together.network.run(place), weights, *TOLERANCE[dtype])


def test_a_group_mixes_problems(golden, prepared) -> None:
    """Runs on other price series, of other lengths, train side by side as they do alone."""
    short = golden_problem("crash", golden)
    other = prepare(Problem(short.train_bars.iloc[:-40], short.test_bars), SMALL)
    together = run_group((prepared, other), [1, 2], 200, dtype=torch.float64)
    alone = run_group((other,), [2], 200, dtype=torch.float64)
    assert torch.equal(together._replay_state[1, :200], alone._replay_state[0, :200])
    weights = alone.network.tensors()
    assert_same_network(together.network.run(1), weights, *TOLERANCE[torch.float64])


@pytest.mark.parametrize("stacked", [False, True])
def test_a_group_mixes_widths(golden, prepared, stacked) -> None:
    """An agent without guidance beside one with two numbers of it: zeros fill its table, and it trains as alone."""
    bars = golden_problem("jumpy", golden)
    dates = bars.train_bars.index.append(bars.test_bars.index)
    advice = pd.DataFrame({"a": np.sin(np.arange(len(dates))), "b": 0.5}, dates)
    wide = prepare(Problem(bars.train_bars, bars.test_bars, advice), SMALL)
    runs, seeds, more = (prepared, wide), [1, 2], {"stacked": stacked, "dtype": torch.float64}
    together = run_group(runs, seeds, 200, **more)
    for place in (0, 1):
        alone = run_group(runs[place : place + 1], seeds[place : place + 1], 200, **more)
        assert torch.equal(together._replay_action[place, :200], alone._replay_action[0, :200])
        mine, own = (group.network.run(at) for group, at in ((together, place), (alone, 0)))
        width = runs[place].features
        assert not mine.parameters["fc1.weight"][:, :, width:].any()
        mine.parameters["fc1.weight"] = mine.parameters["fc1.weight"][:, :, :width]
        assert_same_network(mine, own.tensors(), *TOLERANCE[torch.float64])


def test_a_narrow_runs_results_have_its_own_width(golden) -> None:
    bars = golden_problem("jumpy", golden)
    advice = pd.Series(0.0, bars.train_bars.index.append(bars.test_bars.index))
    settings = TdqnSettings(hidden=8, episodes=1)
    runs = (prepare(bars, settings), prepare(Problem(bars.train_bars, bars.test_bars, advice), settings))
    group = Group(runs, [0, 0], settings, stacked=True)
    while group.advance():
        pass
    assert [result.weights["fc1.weight"].shape for result in group.results()] == [(8, 117), (8, 118)]


@pytest.mark.parametrize("stacked", [False, True])
def test_shaping_pays_for_agreement_in_training_alone(golden, stacked) -> None:
    bars = golden_problem("jumpy", golden)
    dates = bars.train_bars.index.append(bars.test_bars.index)
    advice = pd.Series(np.where(np.arange(len(dates)) % 3 == 0, -0.6, 0.3), dates)
    settings = TdqnSettings(hidden=8, episodes=1, epsilon_end=1.0)  # random actions: the same in both
    plain, shaped = (
        Group((prepare(Problem(bars.train_bars, bars.test_bars, advice, shaping), settings),), [3], settings,
              stacked=stacked, dtype=torch.float64)
        for shaping in (0.0, 0.01)
    )  # fmt: skip
    for group in (plain, shaped):
        advance(group, 60)
    rows = torch.from_numpy(plain._walks[0].rows[:60])
    told = torch.tensor(advice.to_numpy())[rows]
    more = (shaped._replay_reward - plain._replay_reward)[0, :60]
    np.testing.assert_allclose(more[:, 1], 0.01 * told, atol=1e-12)
    np.testing.assert_allclose(more[:, 0], -0.01 * told, atol=1e-12)
    assert shaped.prepared[0].fingerprint() != plain.prepared[0].fingerprint()


def test_restored_equals_unbroken(prepared) -> None:
    unbroken = Group((prepared,) * 2, [0, 1], SMALL)
    while unbroken.advance():
        pass
    broken = Group((prepared,) * 2, [0, 1], SMALL)
    broken.advance(limit=130)
    tensors, record = broken.state()
    kept = {name: value.clone() for name, value in tensors.items()}
    record = json.loads(json.dumps(record))
    broken.advance()  # what happens after the save must not matter
    resumed = Group((prepared,) * 2, [0, 1], SMALL)
    resumed.restore(kept, record)
    while resumed.advance():
        pass
    for a, b in zip(resumed.results(), unbroken.results(), strict=True):
        assert a.episodes == b.episodes
        for name, value in a.weights.items():
            assert np.array_equal(value, b.weights[name]), name


def test_evaluations_that_wait_can_be_saved_beside_finished_runs(prepared, tmp_path, monkeypatch) -> None:
    """On a GPU figures are made for many evaluations at once; until then they travel in checkpoints."""
    monkeypatch.setattr(Group, "_log", lambda _self, _listen: None)
    group = Group((prepared,) * 2, [0, 1], SMALL)
    while not any(group._final):
        group.advance()
    assert group._pending
    tensors, record = group.state()
    checkpoint.save(tmp_path / "x.safetensors", tensors, {**record, "fingerprint": "f"})
    found = checkpoint.load(tmp_path / "x.safetensors", "f")
    assert found is not None
    resumed = Group((prepared,) * 2, [0, 1], SMALL)
    resumed.restore(*found)
    assert [run for run, _, _ in resumed._pending] == [run for run, _, _ in group._pending]
    assert torch.equal(resumed._pending[-1][1], group._pending[-1][1])


def test_a_step_updates_its_state_in_place(prepared) -> None:
    """A captured CUDA graph reads and writes fixed addresses: no step may put a new tensor where an old one was."""
    group = Group((prepared,) * 2, [0, 1], SMALL, stacked=True)
    advance(group, 40)
    before = {name: value.data_ptr() for name, value in group.state()[0].items()}
    copies = {name: value.clone() for name, value in group.state()[0].items()}
    advance(group, 80)
    after = group.state()[0]
    assert {name: after[name].data_ptr() for name in before} == before
    changed = {name for name, value in copies.items() if not torch.equal(after[name], value)}
    assert changed >= {"account.equity", "learned", "network.fc1.weight", "network.bn4.running_var", "second_moment.0"}


@pytest.mark.parametrize("quirk", ["learns_from_other_action", "selects_next_action_in_train_mode"])
def test_learning_quirks_change_learning(prepared, quirk) -> None:
    plain = Group((prepared,), [0], SMALL)
    changed = Group((prepared,), [0], TdqnSettings(**{**vars(SMALL), "quirks": Quirks(**{quirk: False})}))
    advance(plain, 100)
    advance(changed, 100)
    assert not torch.equal(plain.network.parameters["fc1.weight"], changed.network.parameters["fc1.weight"])
    assert all(value.isfinite().all() for value in changed.network.parameters.values())


def test_bfloat16_products_stay_close_to_float32(prepared) -> None:
    exact = Group((prepared,), [0], SMALL)
    narrow = Group((prepared,), [0], TdqnSettings(**{**vars(SMALL), "precision": "bfloat16"}))
    advance(exact, 60)
    advance(narrow, 60)
    a, b = exact.network.parameters["fc2.weight"], narrow.network.parameters["fc2.weight"]
    assert not torch.equal(a, b)
    assert (a - b).abs().max() < 60 * 2 * SMALL.learning_rate


def test_initial_weights_have_the_stated_spread() -> None:
    network = initial_network([117] * 2, 512, 4, [0, 1])
    bound = (6 / (512 + 512)) ** 0.5
    weights = network.parameters["fc2.weight"]
    assert weights.abs().max() <= bound
    assert abs(float(weights.std()) - bound / 3**0.5) < 1e-3
    assert not torch.equal(weights[0], weights[1])
    assert network.parameters["fc1.bias"].abs().max() <= 117**-0.5


def _group_over(table: np.ndarray, settings: TdqnSettings) -> Group:
    """A group whose states are the rows of `table`."""
    bars = pd.DataFrame(
        np.linspace(1.0, 2.0, 60)[:, None].repeat(5, 1),
        columns=["open", "high", "low", "close", "volume"],
        index=pd.date_range("2020-01-01", periods=60),
    )
    group = Group((prepare(Problem(bars, bars.shift(freq="100D")), settings),), [0], settings)
    group._table = torch.from_numpy(table)
    group._targets = torch.zeros(1, len(table), 2)
    return group


def _copy_targets(group: Group) -> None:
    group._targets[0] = torch.tensor(_q(group, group._table))


def _q(group: Group, x: torch.Tensor) -> np.ndarray:
    return q_values(group.network, x[None], group._exact)[0].numpy()
