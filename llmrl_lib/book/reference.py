"""The page of the public names: signatures and docstrings, as the code has them."""

from __future__ import annotations

import dataclasses
import inspect
from types import ModuleType
from typing import Any

import llmrl_lib

HEAD = """# Programming interface

What `import llmrl_lib as ll` hands out. Everything else is private and may change.
"""


def reference_page() -> str:
    """Markdown with a section per public name, in alphabetical order, modules last."""
    public = {name: getattr(llmrl_lib, name) for name in llmrl_lib.__all__}
    objects = [_section(f"ll.{name}", thing, 2) for name, thing in public.items() if not isinstance(thing, ModuleType)]
    modules = [_module(f"ll.{name}", thing) for name, thing in public.items() if isinstance(thing, ModuleType)]
    return "\n".join([HEAD, *objects, *modules])


def _section(name: str, thing: Any, level: int) -> str:
    """One function or class: its signature, its words, and for a class its public fields and methods."""
    parts = [f"{'#' * level} {name}\n\n```python\n{_signature(name, thing)}\n```\n\n{_words(thing)}\n"]
    if inspect.isclass(thing):
        if dataclasses.is_dataclass(thing):
            shown = [f"`{field.name}`: `{field.type}`" for field in dataclasses.fields(thing) if field.name[0] != "_"]
            parts.append("Fields: " + ", ".join(shown) + ".\n")
        for label, member in vars(thing).items():
            body = member.fget if isinstance(member, property) else getattr(member, "func", member)
            if label[0] != "_" and inspect.isfunction(body) and inspect.getdoc(body):
                called = "" if body is not member else _arguments(body)
                parts.append(f"**`.{label}{called}`**\n\n{_words(body)}\n")
    return "\n".join(parts)


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


def _signature(name: str, thing: Any) -> str:
    return f"{name}{_arguments(thing)}"


def _arguments(thing: Any) -> str:
    try:
        shown = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(...)"
    text = str(shown).replace("self, ", "").replace("(self)", "()")
    return text if len(text) < 80 else _folded(shown)


def _folded(signature: inspect.Signature) -> str:
    """A long signature, one argument a line."""
    lines = [f"    {parameter}," for parameter in signature.parameters.values() if parameter.name != "self"]
    returns = signature.return_annotation
    arrow = "" if returns is inspect.Signature.empty else f" -> {returns if isinstance(returns, str) else returns.__name__}"
    return "(\n" + "\n".join(lines) + f"\n){arrow}"


def _words(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").replace("``", "`")
