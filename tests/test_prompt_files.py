"""Prompts that a run is given as files."""

from dataclasses import replace

import pytest

import llmrl_lib as ll
from llmrl_lib.experiments.adviser import Adviser, name_of
from llmrl_lib.experiments.runs import start_run
from llmrl_lib.language.prompts import save_prompt
from llmrl_lib.settings import load_profile


@pytest.fixture
def refined(tmp_path):
    file = tmp_path / "winner.toml"
    save_prompt(replace(ll.load_prompt("p1"), version="r1.2"), file)
    return str(file)


def test_a_run_knows_a_prompt_by_the_name_in_its_file(refined, request, tmp_path):
    assert name_of(refined) == "p1"
    assert name_of("p3") == "p3"
    dataset = ll.load_dataset(request.config.rootpath / "data" / "embedded")
    profile = replace(load_profile("smoke"), guide=refined, prompts=("p0", refined))
    assert start_run(tmp_path / "run", dataset, profile, ["ORVN"], Adviser()).guide == "p1"


def test_two_prompts_of_one_name_are_refused(refined, request, tmp_path):
    dataset = ll.load_dataset(request.config.rootpath / "data" / "embedded")
    profile = replace(load_profile("smoke"), guide=refined, prompts=("p1",))
    with pytest.raises(ll.ExperimentError, match=r"winner\.toml and p1, which are both called p1"):
        start_run(tmp_path / "run", dataset, profile, ["ORVN"], Adviser())
