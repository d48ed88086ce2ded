"""Half-trained runs on disk: one safetensors file, replaced as a whole, that says what it belongs to."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as as_bytes
from torch import Tensor


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and says what to do."""


def save(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Writes tensors and a JSON record; a kill at any moment leaves the old file or the new one.

    Raises OSError, naming the file, where it cannot be written (a full disk); the old file is then kept.
    """
    content = as_bytes({name: value.contiguous() for name, value in tensors.items()}, {"record": json.dumps(record)})
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.writing")  # its own name: another process may write too
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        draft.unlink(missing_ok=True)


def load(path: Path, fingerprint: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What `save` wrote, or None where there is nothing. Raises CheckpointError where it belongs to another run."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads(file.metadata()["record"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path.name} is damaged ({error}); delete it to train this run anew") from error
    if record["fingerprint"] != fingerprint:
        raise CheckpointError(
            f"{path.name} was made with other settings, bars, guidance, device or version; choose another folder or "
            "delete it"
        )
    return tensors, record
