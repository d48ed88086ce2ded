"""What the folder of a local model must hold, looked at before anything is loaded, because loading can take minutes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from llmrl_lib.language.chat import UnknownModelError

CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"  # of weights in several files
ADAPTER = "adapter_config.json"  # weights to be added to another model's, whose own files are elsewhere
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "pytorch_model*.bin.index.json")
_TOKENIZERS = (TOKENIZER, "*.model", "vocab.*")  # transformers makes a fast tokenizer of some of the others
_BEGINNINGS = ("/", "./", "../", "~", os.sep)
_ENDINGS = ("/", os.sep, ".safetensors", ".gguf", ".bin", ".pt", ".pth")


def looks_like_a_path(name: str) -> bool:
    """Whether a model's name is one of a folder or file, there or not; `org/model` is one of a hub or a server, unless a
    folder `org` is here."""
    if name in (".", "..") or name.startswith(_BEGINNINGS) or name.endswith(_ENDINGS):
        return True
    place = Path(name)
    return bool(name) and (place.exists() or (len(place.parts) > 1 and place.parent.is_dir()))


def expanded(name: str | Path) -> Path:
    """A path as a shell would read it: `~` is the user's own folder."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # there is no such user
        return Path(name)


def missing_folder(name: str) -> UnknownModelError:
    """What is said of a name that looks like a path and is no folder."""
    what = "is a file" if Path(name).is_file() else "there is no such folder"
    return UnknownModelError(f"the model {name!r} looks like a folder, and {what}; give the folder of a model")


def check_folder(folder: Path) -> None:
    """Raises UnknownModelError for a folder that lacks what a model needs, or of which a file is damaged, by its name."""
    if not folder.is_dir():
        raise missing_folder(str(folder))
    if (folder / ADAPTER).is_file():
        return
    wanted = {CONFIG: (CONFIG,), f"weights ({WEIGHTS})": _WEIGHTS, TOKENIZER: _TOKENIZERS}
    missing = [what for what, names in wanted.items() if not any(any(folder.glob(name)) for name in names)]
    if missing:
        raise UnknownModelError(
            f"{str(folder)!r} holds no model: it has no {' and no '.join(missing)}; give a folder that holds them"
        )
    for name in (CONFIG, TOKENIZER, "tokenizer_config.json", INDEX):
        if (folder / name).is_file():
            _read(folder / name)
    for file in sorted({*folder.glob("*.safetensors"), *_parts(folder)}):
        _check_weights(file)


def _parts(folder: Path) -> Iterator[Path]:
    """The files that an index of weights names."""
    if (folder / INDEX).is_file():
        yield from (folder / name for name in set(_read(folder / INDEX).get("weight_map", {}).values()))


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise damaged(file)
    return found


def _check_weights(file: Path) -> None:
    """The header of a weight file says how long it is."""
    if not file.is_file():
        raise UnknownModelError(f"{file} is missing, and {INDEX} beside it names it; fetch or copy it again")
    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError):
        raise damaged(file) from None


def damaged(file: Path) -> UnknownModelError:
    return UnknownModelError(f"{file} is cut short or damaged; fetch or copy it again")
