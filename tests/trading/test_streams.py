"""The random streams: distributions, independence of blocks, and resumption."""

import numpy as np
import pytest
import torch

from llmrl_lib.settings import Quirks, TdqnSettings
from llmrl_lib.trading.streams import GREEDY, REPEAT, ChoiceStream, DropoutStream, distinct, schedule


def test_every_subset_is_equally_likely() -> None:
    generator = np.random.default_rng(0)
    drawn = np.sort(distinct(generator.random((60_000, 2)), np.full(60_000, 4)), axis=1)
    pairs, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(pairs) == 6
    assert (np.abs(counts / 60_000 - 1 / 6) < 5 * np.sqrt(5 / 36 / 60_000)).all()


def test_draws_are_distinct_and_in_range() -> None:
    generator = np.random.default_rng(1)
    populations = generator.integers(32, 200, 500)
    drawn = distinct(generator.random((500, 32)), populations)
    assert all(len(set(row)) == 32 for row in drawn.tolist())
    assert (drawn.max(1) < populations).all()
    assert (distinct(generator.random((1, 32)), np.array([31])) == 0).all()


def test_an_episode_begins_where_the_reference_begins_it() -> None:
    """Uniform over all rows, clipped to the first tradable one: P(first row) = 31 / N."""
    settings = TdqnSettings(episodes=20_000)
    walk = schedule(0, 200, 30, settings)
    begins = walk.rows[walk.starts]
    assert len(begins) == 20_000 == len(walk.ends)
    assert begins.min() == 30
    assert begins.max() == 199
    assert abs((begins == 30).mean() - 31 / 200) < 0.012
    assert (walk.rows[walk.ends] == 199).all()
    fixed = schedule(0, 200, 30, TdqnSettings(episodes=2, quirks=Quirks(random_episode_start=False)))
    assert (fixed.rows[fixed.starts] == 30).all()


def test_exploration_decays_as_the_reference_says() -> None:
    settings = TdqnSettings()
    todo, _ = ChoiceStream(0, settings).block(0, np.zeros(60_000, bool))
    for first in (0, 10_000, 40_000):
        part = todo[first : first + 4_000]
        epsilon = 0.01 + 0.99 * np.exp(-(first + np.arange(4_000)) / 10_000)
        assert (part >= 0).mean() == pytest.approx(epsilon.mean(), abs=0.03)
        assert (part == REPEAT).mean() == pytest.approx(0.1 * (1 - epsilon).mean(), abs=0.02)
    assert (todo == GREEDY).any()
    assert abs(todo[todo >= 0].mean() - 0.5) < 0.03


def test_blocks_of_any_length_agree_and_resume() -> None:
    settings, starts = TdqnSettings(), np.zeros(90, bool)
    whole = ChoiceStream(4, settings).block(0, starts)
    stream = ChoiceStream(4, settings)
    first = stream.block(0, starts[:37])
    resumed = ChoiceStream(99, settings)
    resumed.restore(stream.state())
    second = resumed.block(37, starts[37:])
    for entire, a, b in zip(whole, first, second, strict=True):
        np.testing.assert_array_equal(entire, np.concatenate([a, b]))


def test_replay_keeps_to_its_capacity() -> None:
    settings = TdqnSettings(replay_capacity=100)
    _, replayed = ChoiceStream(0, settings).block(1_000, np.zeros(50, bool))
    stored = 2 * (1_001 + np.arange(50))
    assert (replayed.min(1) >= stored - 100).all()
    assert (replayed.max(1) < stored).all()


def test_an_episodes_first_step_repeats_short_or_acts_greedily() -> None:
    """A repeat on a first step means short, the reference's previous action; with the quirk off it becomes greedy."""
    starts = np.ones(60_000, bool)
    kept, _ = ChoiceStream(0, TdqnSettings()).block(50_000, starts)
    off = TdqnSettings(quirks=Quirks(first_previous_action_is_short=False))
    changed, _ = ChoiceStream(0, off).block(50_000, starts)
    assert (kept == REPEAT).sum() > 5_000
    assert (changed[kept == REPEAT] == GREEDY).all()
    assert (changed[kept != REPEAT] == kept[kept != REPEAT]).all()
    inside, _ = ChoiceStream(0, off).block(50_000, ~starts)
    assert (inside == kept).all()


def test_one_exploration_for_all_runs_where_the_quirk_says_so() -> None:
    starts = np.zeros(40, bool)
    same = TdqnSettings(quirks=Quirks(same_exploration_in_all_runs=True))
    own = TdqnSettings()
    assert (schedule(1, 200, 30, same).rows == schedule(2, 200, 30, same).rows).all()
    assert schedule(1, 200, 30, own).rows.tolist() != schedule(2, 200, 30, own).rows.tolist()
    assert (ChoiceStream(1, same).block(0, starts)[0] == ChoiceStream(2, same).block(0, starts)[0]).all()
    assert (ChoiceStream(1, own).block(0, starts)[0] != ChoiceStream(2, own).block(0, starts)[0]).any()


def test_dropout_masks_keep_the_stated_share_and_resume() -> None:
    stream = DropoutStream([0, 1], (4, 64, 128), 0.2, torch.device("cpu"))
    masks = stream.masks(stream.bits()[0])
    assert masks.shape == (4, 2, 64, 128)
    assert set(masks.unique().tolist()) == {0.0, 1.25}
    assert abs(float((masks > 0).float().mean()) - 0.8) < 0.005
    assert not torch.equal(masks[:, 0], masks[:, 1])
    state = stream.state()
    following = stream.bits()
    other = DropoutStream([7, 8], (4, 64, 128), 0.2, torch.device("cpu"))
    other.restore(state)
    assert torch.equal(other.bits(), following)


def test_a_masks_run_does_not_depend_on_its_neighbours() -> None:
    pair = DropoutStream([5, 6], (2, 4, 8), 0.5, torch.device("cpu"))
    alone = DropoutStream([6], (2, 4, 8), 0.5, torch.device("cpu"))
    assert torch.equal(pair.masks(pair.bits()[0])[:, 1], alone.masks(alone.bits()[0])[:, 0])
