"""Prompts as files: what a file may hold, strict filling, schemas that keep the order of thought."""

from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from llmrl_lib.language.prompts import (
    BUILT_IN,
    SCHEMAS,
    STRATEGISTS,
    Prompt,
    PromptError,
    fill,
    load_prompt,
    package_meanings,
    save_prompt,
)


def test_a_variable_without_a_value_fails_by_name() -> None:
    with pytest.raises(PromptError, match=r"uses \{\{memory\}\}, which has no value; there are features"):
        fill("{{features}} {{memory}}", {"features": "x"})


def test_values_are_not_filled_again() -> None:
    assert fill("{{a}} {{ b }}", {"a": "{{b}}", "b": "\\1 {{a}}"}) == "{{b}} \\1 {{a}}"


def test_braces_without_a_name_are_refused() -> None:
    with pytest.raises(PromptError, match="is no name"):
        fill("{{a b}}", {})


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_prompts_survive_their_file_format(name: str, tmp_path: Path) -> None:
    prompt = load_prompt(name)
    save_prompt(prompt, tmp_path / "copy.toml")
    assert load_prompt(tmp_path / "copy.toml") == prompt
    assert load_prompt(name.upper()).digest == prompt.digest


def test_a_refined_prompt_is_a_file_like_the_others(tmp_path: Path) -> None:
    parent = load_prompt("p1")
    child = replace(
        parent,
        version="2",
        parent="p1 1",
        features=parent.features[::-2],
        instructions=("Say \"why\" \\ with 'quotes' and ```fences```", "zweite Anweisung"),
        meanings={"vix": "Angst"},
        user=parent.user + "'''\"\"\" and \\n no newline at the end",
    )
    save_prompt(child, tmp_path / "p1-2.toml")
    assert load_prompt(tmp_path / "p1-2.toml") == child
    assert child.digest != parent.digest
    assert child.meaning("vix") == "Angst"


def test_each_prompt_adds_to_its_parent() -> None:
    prompts = [load_prompt(name) for name in STRATEGISTS]
    assert [prompt.parent for prompt in prompts] == ["", "p0 1", "p1 1", "p2 1", "p3 1"]
    assert [prompt.memory > 0 for prompt in prompts] == [False, False, True, True, True]
    assert [prompt.shows_news for prompt in prompts] == [False, False, False, False, True]
    assert len(prompts[1].features) > 3 * len(prompts[0].features)


@pytest.mark.parametrize("name", BUILT_IN)
def test_schemas_are_strict_and_ask_for_evidence_before_reasons_before_the_decision(name: str) -> None:
    prompt = load_prompt(name)
    Draft202012Validator.check_schema(prompt.schema)
    objects = list(all_objects(prompt.schema))
    assert all(part["additionalProperties"] is False for part in objects)
    assert all(part["required"] == list(part["properties"]) for part in objects)
    if name in STRATEGISTS:
        order = [key for key in prompt.schema["properties"] if key != "groups"]
        assert order == ["evidence", "rationale", "weights", "direction", "confidence"]
        enum = prompt.schema["properties"]["weights"]["items"]["properties"]["feature"]["enum"]
        assert enum == [*prompt.features, *(["news"] if prompt.shows_news else [])]


def all_objects(schema: dict) -> list[dict]:
    """A schema's objects at all depths."""
    inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    found = [schema] if schema["type"] == "object" else []
    return found + [part for one in inner for part in all_objects(one)]


def test_groups_of_p3_and_p4() -> None:
    def names(prompt: str) -> list[str]:
        return load_prompt(prompt).schema["properties"]["groups"]["items"]["properties"]["group"]["enum"]

    assert len(names("p3")) == 6
    assert names("p4") == [*names("p3"), "news"]


GOOD = 'name = "x"\nversion = "1"\nreply = "strategy"\nfeatures = ["vix"]\nsystem = "s"\nuser = "{{features}}"\n'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("reply = ", "answer = "), "unknown key 'answer'"),
        (('reply = "strategy"\n', ""), "has no text 'reply'"),
        (('"strategy"', '"essay"'), f"must be one of {', '.join(SCHEMAS)}"),
        (('["vix"]', "[]"), "shows no feature"),
        (('["vix"]', '["vix", "vix"]'), "twice"),
        (('["vix"]', '["moon_phase"]'), "'moon_phase', which has no meaning"),
        (('system = "s"', 'system = ""'), "has no text 'system'"),
        (('system = "s"', 'system = "{{memory}}"'), r"shows \{\{memory\}\}, but has none"),
        (('version = "1"', 'version = "1"\nmemory = 2'), "has memory, but no template shows it"),
        (('version = "1"', 'version = "1"\nmemory = -1'), "memory is -1"),
        (('version = "1"', 'version = "1"\ninstructions = ["be good"]'), "has instructions, but no template"),
        (('version = "1"', "version = 1"), "has no text 'version'"),
        (('user = "', 'user = "{{'), "is no name|not valid TOML"),
        (("name", "[name"), "not valid TOML"),
        (('name = "x"', 'name = "../x"'), r"name is '\.\./x'; use letters"),
        (('version = "1"', 'version = "1 2"'), "version is '1 2'; use letters"),
    ],
)
def test_a_broken_file_is_refused_with_the_reason(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD.replace(*change, 1))
    assert file.read_text() != GOOD
    with pytest.raises(PromptError, match=message):
        load_prompt(file)


def test_the_good_file_is_good(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD)
    assert load_prompt(tmp_path / "mine.toml") == Prompt("x", "1", "", "strategy", ("vix",), "s", "{{features}}")


def test_an_unknown_prompt_is_answered_with_the_known_ones() -> None:
    with pytest.raises(PromptError, match="no prompt 'p9'; there are p0, p1, p2, p3, p4, analyst"):
        load_prompt("p9")


def test_meanings_are_short_and_never_empty() -> None:
    assert all(0 < len(words) < 100 for words in package_meanings().values())
