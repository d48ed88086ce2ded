"""Profiles and settings: what they hold, and every way in which one can be wrong."""

import math

import numpy as np
import pandas as pd
import pytest

import llmrl_lib as ll
from llmrl_lib.settings import (
    FlagTraderSettings,
    Profile,
    Quirks,
    SettingsError,
    TdqnSettings,
    load_profile,
    tdqn_settings,
    to_table,
)


def test_profiles_differ_from_the_defaults_in_size_only() -> None:
    paper = load_profile("paper")
    assert (paper.seeds, paper.tdqn) == (tuple(range(25)), TdqnSettings())
    assert load_profile("quick").tdqn == TdqnSettings(episodes=3)
    assert load_profile("smoke").tdqn == TdqnSettings(episodes=2, hidden=32)


def test_a_table_of_settings_reads_back() -> None:
    settings = TdqnSettings(gamma=0.9, quirks=Quirks(test_starts_cold=False))
    assert tdqn_settings(to_table(settings)) == settings


def test_a_profile_may_be_a_file(tmp_path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("seeds = 3\n[tdqn]\nepisodes = 4\ncost_rate = 0\n[tdqn.quirks]\nmargin_reward = false\n", "utf-8")
    profile = load_profile(str(file))
    assert (profile.name, profile.seeds) == ("mine", (0, 1, 2))
    assert profile.tdqn == TdqnSettings(episodes=4, cost_rate=0.0, quirks=Quirks(margin_reward=False))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = 0", "seeds is 0"),
        ("seeds = true", "seeds is True"),
        ("sedes = 1", "unknown key 'sedes'"),
        ("seeds = ", "not valid TOML"),
        ("tdqn = 3", "tdqn is 3; it must be a table"),
        ("[tdqn]\nquirks = true", "quirks is True; it must be a table"),
        ("[tdqn]\nepisode = 3", "unknown setting 'episode'"),
        ('[tdqn]\nhidden = "a"', "hidden is 'a'; it must be of type int"),
        ("[tdqn.quirks]\nmargin = false", "unknown setting 'margin'"),
        ("[tdqn]\nepisodes = 0", "episodes is 0; it must be at least 1"),
    ],
)
def test_a_wrong_profile_is_named(tmp_path, text, message) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=message) as caught:
        load_profile(str(file))
    assert "wrong.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("episodes", "2", "a whole number"),
        ("episodes", 2.5, "a whole number"),
        ("episodes", True, "a whole number"),
        ("gamma", "0.4", "a number"),
        ("gamma", None, "a number"),
        ("precision", 32, "a text"),
        ("quirks", {}, r"Quirks\(...\)"),
    ],
)
def test_a_value_of_another_type_is_named(name: str, value: object, what: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is .*; it must be {what}"):
        TdqnSettings(**{name: value})


def test_numbers_of_numpy_are_numbers_and_quirks_are_true_or_false() -> None:
    assert TdqnSettings(episodes=np.int64(3), gamma=1, learning_rate=np.float64(0.1)).episodes == 3
    with pytest.raises(SettingsError, match="test_starts_cold is 'no'; it must be True or False"):
        Quirks(test_starts_cold="no")


def test_an_unknown_profile_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="there is no profile 'huge'; choose one of ablations, paper, quick, smoke"):
        load_profile("huge")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epsilon_decay", 0.0),
        ("short_margin", 0.0),
        ("cash", -5.0),
        ("learning_rate", math.nan),
        ("gradient_clip", 0.0),
        ("reward_clip", -1.0),
        ("weight_decay", -1e-6),
        ("dropout", 1.0),
        ("gamma", 1.5),
        ("sticky", -0.1),
        ("cost_rate", 1.0),
        ("batch_size", 1),
        ("state_length", 1),
        ("replay_capacity", 31),
        ("precision", "float16"),
        ("low_pass", 0),
    ],
)
def test_a_setting_that_cannot_work_is_refused(name, value) -> None:
    with pytest.raises(SettingsError, match=f"{name}"):
        TdqnSettings(**{name: value})


def test_settings_of_another_learner_are_refused_before_anything_is_trained() -> None:
    for given in (FlagTraderSettings(), {"episodes": 2}):
        with pytest.raises(SettingsError, match=rf"type {type(given).__name__}; give TdqnSettings\(...\), or None"):
            ll.train_tdqn(pd.DataFrame(), pd.DataFrame(), settings=given)
        with pytest.raises(SettingsError, match=r"give TdqnSettings\(...\), or None"):
            ll.TradingEnv(pd.DataFrame(), settings=given)
    with pytest.raises(
        SettingsError, match=r"profile mine: flag_trader is of type TdqnSettings; give FlagTraderSettings"
    ):
        Profile("mine", (0,), TdqnSettings(), flag_trader=TdqnSettings())
