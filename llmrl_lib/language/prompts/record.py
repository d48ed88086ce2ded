"""The prompt as a record, read from and written to a TOML file."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import tomlkit

from llmrl_lib.language.prompts.replies import NEWS, SCHEMAS, STRATEGIES, reply_schema
from llmrl_lib.language.prompts.template import PromptError, variables

STRATEGISTS = ("p0", "p1", "p2", "p3", "p4")
REFINERS = ("trainer", "writer", "judge")
BUILT_IN = (*STRATEGISTS, "analyst", *REFINERS, "reviewer")


@dataclass(frozen=True)
class Prompt:
    """A prompt: its templates, what they show, and the kind of reply."""

    name: str
    version: str
    parent: str  # name and version of the prompt that it was made from; empty for none
    reply: str  # kind of reply, one of SCHEMAS
    features: tuple[str, ...]  # names of the fields that it shows, in this order
    system: str  # template of the first message: role, task, rules
    user: str  # template of the second message: the data of the date
    instructions: tuple[str, ...] = ()  # one line each, in {{instructions}}
    memory: int = 0  # how many earlier strategies it shows, in {{memory}}
    meanings: Mapping[str, str] = field(default_factory=dict)  # of features, where they differ from the package's own

    @property
    def shows_news(self) -> bool:
        """Whether the analyst's factors are part of it."""
        return NEWS in self.variables

    @cached_property
    def variables(self) -> frozenset[str]:
        """The variables of both templates."""
        return frozenset(variables(self.system, self.name) | variables(self.user, self.name))

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of its reply. Evidence and weights may name a shown feature, and `news` where news is shown."""
        return reply_schema(self.reply, (*self.features, *([NEWS] if self.shows_news else [])))

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of all that it holds; strategies keep it, so that a change without a new version shows."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def meaning(self, feature: str) -> str:
        """What a feature means, in a few words. Raises PromptError for one that has no meaning anywhere."""
        found = self.meanings.get(feature) or package_meanings().get(feature)
        if not found:
            raise PromptError(
                f"prompt {self.name} shows {feature!r}, which has no meaning; correct the name, or add it to [meanings]"
            )
        return found


def load_prompt(prompt: str | Path | Prompt) -> Prompt:
    """A prompt by its built-in name (one of BUILT_IN) or from a .toml file; a Prompt is handed back as it is.

    Raises PromptError, naming the file and what is wrong, for a file that is no prompt, and for any other name.
    """
    if isinstance(prompt, Prompt):
        return prompt
    name = str(prompt)
    if name.lower() in BUILT_IN:
        return _prompt(_packaged(f"{name.lower()}.toml"), f"{name.lower()}.toml")
    path = Path(prompt)
    if path.suffix != ".toml" or not path.is_file():
        raise PromptError(f"no prompt {name!r}; there are {', '.join(BUILT_IN)}, or give an existing .toml file")
    try:
        return _prompt(path.read_text("utf-8"), name)
    except UnicodeDecodeError as error:
        raise PromptError(f"{name} is not UTF-8; save it with that encoding") from error


def save_prompt(prompt: Prompt, path: Path) -> None:
    """Write a prompt as a file that `load_prompt` reads back without loss. Raises OSError where it cannot be written."""
    document = tomlkit.document()
    for entry in fields(Prompt):
        value = getattr(prompt, entry.name)
        if entry.name in ("features", "instructions"):
            lines = tomlkit.array().multiline(True)
            lines.extend(value)
            document[entry.name] = lines
        elif entry.name == "meanings":
            if value:
                document[entry.name] = dict(value)
        elif entry.name in ("system", "user"):
            document[entry.name] = tomlkit.string(value, multiline=True)
        else:
            document[entry.name] = value
    text = tomlkit.dumps(document)
    if _prompt(text, str(path)) != prompt:
        raise PromptError(f"prompt {prompt.name} holds characters that {path} cannot keep; remove control characters")
    path.write_text(text, "utf-8")


@cache
def package_meanings() -> Mapping[str, str]:
    """What every field that a prompt may show means, by name."""
    return tomllib.loads(_packaged("meanings.toml"))


def _packaged(file: str) -> str:
    return resources.files("llmrl_lib.language.prompts").joinpath(file).read_text("utf-8")


_TEXTS = ("name", "version", "reply", "system", "user")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]*")  # what may be part of a folder's name


def _prompt(text: str, file: str) -> Prompt:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PromptError(f"{file} is not valid TOML ({error}); see https://toml.io") from error
    known = [entry.name for entry in fields(Prompt)]
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise PromptError(f"{file} has the unknown key {unknown[0]!r}; the keys are {', '.join(known)}")
    for key in _TEXTS:
        if not isinstance(table.get(key), str) or not table[key].strip():
            raise PromptError(f"{file} has no text {key!r}; write {key} = '...'")
    for key in ("name", "version"):
        if not _LABEL.fullmatch(table[key]):
            raise PromptError(f"{file}: {key} is {table[key]!r}; use letters, digits, dots, - and _, as in p4-short")
    if not isinstance(table.get("parent", ""), str):
        raise PromptError(f"{file}: parent is {table['parent']!r}; give name and version of a prompt, or leave it out")
    if table["reply"] not in SCHEMAS:
        raise PromptError(f"{file}: reply is {table['reply']!r}; it must be one of {', '.join(SCHEMAS)}")
    memory = table.get("memory", 0)
    if not isinstance(memory, int) or isinstance(memory, bool) or memory < 0:
        raise PromptError(f"{file}: memory is {memory!r}; give the number of earlier strategies to show, 0 for none")
    meanings = table.get("meanings", {})
    if not isinstance(meanings, dict) or not all(isinstance(meaning, str) for meaning in meanings.values()):
        raise PromptError(
            f"{file}: meanings is not a table of texts; write a section [meanings] with feature = 'words'"
        )
    prompt = Prompt(
        **{key: table[key] for key in _TEXTS},
        features=_texts(table.get("features", []), "features", file),
        instructions=_texts(table.get("instructions", []), "instructions", file),
        parent=table.get("parent", ""),
        memory=memory,
        meanings=meanings,
    )
    _check(prompt, file)
    return prompt


def _texts(value: Any, key: str, file: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise PromptError(f"{file}: {key} is not a list of texts; write {key} = ['...', '...']")
    for item in value:
        if value.count(item) > 1:
            raise PromptError(f"{file}: {key} names {item[:60]!r} twice; name it once")
    return tuple(value)


def _check(prompt: Prompt, file: str) -> None:
    """What can be seen without data: the templates use what the prompt has, and nothing that it lacks."""
    for feature in prompt.features:
        prompt.meaning(feature)
    for name, has in (("memory", prompt.memory > 0), ("instructions", bool(prompt.instructions))):
        if has and name not in prompt.variables:
            raise PromptError(f"{file} has {name}, but no template shows it; write {{{{{name}}}}} in system or user")
        if not has and name in prompt.variables:
            raise PromptError(f"{file} shows {{{{{name}}}}}, but has none; set {name}, or take the variable out")
    if prompt.reply in STRATEGIES and not prompt.features:
        raise PromptError(f"{file} shows no feature; name some in features")
