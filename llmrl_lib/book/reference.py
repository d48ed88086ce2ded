"""The page of the public names: signatures and docstrings, as the code has them."""

from __future__ import annotations

import dataclasses
import inspect
import io
import tokenize
from importlib import import_module
from types import ModuleType
from typing import Any

import llmrl_lib

RECORDS = (
    "llmrl_lib.market.dataset:Dataset",
    "llmrl_lib.market.check:DatasetCheck",
    "llmrl_lib.market.features:Features",
    "llmrl_lib.market.features:Field",
    "llmrl_lib.market.features:Headline",
    "llmrl_lib.market.features:FeatureTable",
    "llmrl_lib.language.chat:Message",
    "llmrl_lib.language.chat:Sampling",
    "llmrl_lib.language.chat:Reply",
    "llmrl_lib.language.chat:Token",
    "llmrl_lib.language.chat:Usage",
    "llmrl_lib.trading.tdqn:Training",
    "llmrl_lib.language.prompts:Prompt",
    "llmrl_lib.strategy.memory:Recalled",
    "llmrl_lib.experiments:Run",
    "llmrl_lib.experiments:Arm",
    "llmrl_lib.experiments.advised:Advised",
    "llmrl_lib.settings:Profile",
)
HEAD = """# Programming interface

What `import llmrl_lib as ll` hands out. Everything else is private and may change.
"""


def reference_page() -> str:
    """Markdown with a section per public name, in alphabetical order, modules last."""
    public = {name: getattr(llmrl_lib, name) for name in llmrl_lib.__all__}
    objects = [_section(f"ll.{name}", thing, 2) for name, thing in public.items() if not isinstance(thing, ModuleType)]
    modules = [_module(f"ll.{name}", thing) for name, thing in public.items() if isinstance(thing, ModuleType)]
    records = [_section(name.split(":")[1], _found(name), 3) for name in RECORDS]
    return "\n".join([HEAD, *objects, *modules, "## Records that they return\n", *records])


def _section(name: str, thing: Any, level: int) -> str:
    """One function or class: its signature, its words, and for a class its public fields and methods."""
    head = f"{'#' * level} {name}\n"
    if dataclasses.is_dataclass(thing):
        parts = [f"{head}\n{_words(thing)}\n", _fields(thing)]
    else:
        parts = [f"{head}\n```python\n{name}{_arguments(thing)}\n```\n\n{_words(thing)}\n"]
    for label, member in vars(thing).items() if inspect.isclass(thing) else ():
        body = member.fget if isinstance(member, property) else getattr(member, "func", member)
        if label[0] != "_" and inspect.isfunction(body) and inspect.getdoc(body):
            called = " ".join(_arguments(body).split()) if body is member else ""
            parts.append(f"**`.{label}{called}`**\n\n{_words(body)}\n")
    return "\n".join(parts)


def _fields(record: Any) -> str:
    """The public fields of a record: type, default and the comment beside each."""
    comments = field_comments(record)
    lines = []
    for field in dataclasses.fields(record):
        if field.name[0] != "_":
            default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
            comment = f": {comments[field.name]}" if field.name in comments else ""
            lines.append(f"- `{field.name}: {_annotation(field.type)}{default}`{comment}")
    return "\n".join(lines) + "\n"


def _module(name: str, module: ModuleType) -> str:
    """A public module: its words and its public functions."""
    names = getattr(module, "__all__", None) or [
        label
        for label, thing in vars(module).items()
        if label[0] != "_" and inspect.isfunction(thing) and thing.__module__ == module.__name__
    ]
    functions = [getattr(module, label) for label in names if inspect.isfunction(getattr(module, label))]
    inner = [_section(f"{name}.{function.__name__}", function, 3) for function in functions]
    return "\n".join([f"## {name}\n\n{_words(module)}\n", *inner])


def _arguments(thing: Any) -> str:
    """The arguments and the result of a call, one argument a line where they are many."""
    try:
        shown = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(...)"
    arguments = [_argument(parameter) for parameter in shown.parameters.values() if parameter.name != "self"]
    returns = shown.return_annotation
    arrow = "" if returns in (inspect.Signature.empty, None, "None") else f" -> {_annotation(returns)}"
    line = f"({', '.join(arguments)}){arrow}"
    return line if len(line) < 70 else "(\n" + "".join(f"    {argument},\n" for argument in arguments) + f"){arrow}"


def _argument(parameter: inspect.Parameter) -> str:
    bare = parameter.replace(annotation=inspect.Parameter.empty, default=inspect.Parameter.empty)
    kind = "" if parameter.annotation is inspect.Parameter.empty else f": {_annotation(parameter.annotation)}"
    if parameter.default is inspect.Parameter.empty:
        return f"{bare}{kind}"
    value = repr(parameter.default)
    default = value if len(value) < 40 else f"{type(parameter.default).__name__}(...)"
    return f"{bare}{kind} = {default}" if kind else f"{bare}={default}"


def _annotation(annotation: Any) -> str:
    return annotation.strip("'") if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _found(name: str) -> Any:
    module, thing = name.split(":")
    return getattr(import_module(module), thing)


def field_comments(kind: type) -> dict[str, str]:
    """The comment at the end of each field's line, by field name."""
    found: dict[str, str] = {}
    name = ""
    for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(kind)).readline):
        if token.type == tokenize.NAME and token.line.strip().startswith(f"{token.string}:"):
            name = token.string
        elif token.type == tokenize.COMMENT and name and not token.line.strip().startswith("#"):
            found[name] = token.string.lstrip("# ")
    return found


def _words(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").replace("``", "`")
