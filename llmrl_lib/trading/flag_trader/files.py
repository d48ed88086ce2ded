"""Which checkpoint a name stands for: a hash of its files, without loading them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from llmrl_lib.language.chat import UnknownModelError
from llmrl_lib.language.nano import WEIGHTS

KINDS = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.model", "*.txt")  # weights, configuration, tokenizer


def files_hash(backbone: str) -> str:
    """SHA-256 over the names and contents of a folder's weights, configuration and tokenizer; "nano" comes along.

    For a name at the model hub it is the hub's commit, which fixes all of its files; that of the copy on this machine where
    the network is away. Raises UnknownModelError where there is neither such a folder nor such a name.
    """
    folder = WEIGHTS if backbone == "nano" else Path(backbone)
    if not folder.is_dir():
        return _commit(backbone)
    paths = sorted({path for kind in KINDS for path in folder.glob(kind) if path.is_file()})
    if not paths:
        raise UnknownModelError(f"{backbone!r} holds no model; give a folder with config.json, weights and tokenizer")
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return digest.hexdigest()


def _commit(name: str) -> str:
    """The hub's commit of a model, by its configuration."""
    from huggingface_hub import hf_hub_download

    try:
        return f"commit {Path(hf_hub_download(name, 'config.json')).parent.name}"
    except (OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise UnknownModelError(
            f"{name!r} is neither a folder nor a model that the hub gives ({first}); give a folder with config.json, weights "
            "and tokenizer, or a name of the model hub while the network is there"
        ) from error
