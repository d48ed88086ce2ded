"""Executes notebooks for a run and keeps the executed copies that are still right.

A copy is right when it was made from the same notebook, parameters, arms, data and library; a digest of all these is kept
in the copy's metadata. Copies name the folders of this machine by what they are, not by where they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from llmrl_lib.experiments.folders import ExperimentError, write_text

Parameters = Mapping[str, str | int | float]


def execute_notebook(
    source: Path,
    output: Path,
    parameters: Parameters,
    inputs: Iterable[bytes] = (),
    places: Mapping[Path, str] | None = None,
) -> bool:
    """Executes `source` in the folder of `output` and writes the executed copy there; False if the old copy was kept.

    `inputs` is what the notebook's results depend on beside its text and parameters; the copy is kept while none of it
    changes. `places` are folders, and the names that stand for them in the copy. Raises ExperimentError for a parameter
    that the notebook does not have, and for a cell that fails: the copy with the traceback is then left beside `output` as
    `<name>.failed.ipynb`.
    """
    _check_parameters(source, parameters)
    digest = _digest(source, parameters, inputs)
    if _kept_digest(output) == digest:
        return False
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f"{output.stem}.{os.getpid()}.part.ipynb")
    failed = output.with_name(f"{output.stem}.failed.ipynb")
    try:
        _execute(source, part, parameters, failed)
        notebook = json.loads(part.read_text("utf-8"))
        write_text(output, json.dumps(_cleaned(notebook, digest, places or {}), indent=1, ensure_ascii=False) + "\n")
        failed.unlink(missing_ok=True)
    finally:
        part.unlink(missing_ok=True)
    return True


def is_kept(source: Path, output: Path, parameters: Parameters, inputs: Iterable[bytes] = ()) -> bool:
    """Whether `execute_notebook` would keep the copy that is there."""
    kept = _kept_digest(output)
    return kept is not None and kept == _digest(source, parameters, inputs)


def notebook_folder() -> Path:
    """Where the suite's notebooks are: in the checkout, or inside an installed package."""
    package = Path(str(resources.files("llmrl_lib")))
    for folder in (package.parent / "notebooks", package / "share" / "notebooks"):
        if any(folder.glob("*.ipynb")):
            return folder
    raise ExperimentError(
        f"the notebooks are neither in {package.parent} nor in {package}; install llmrl from a checkout"
    )


def library_digest() -> bytes:
    """A digest of the package's source: notebooks show what it computes and draws."""
    package = Path(str(resources.files("llmrl_lib")))
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.digest()


def with_names(value: Any, names: Mapping[str, str]) -> Any:
    """Texts in `value`, a notebook's output, with folders (path to name) by their names; pictures stay as they are.

    Only whole paths count, with what lies below them: neither `/srv/code` nor the tag `</code>` speaks of the folder `/code`.
    """
    if isinstance(value, str):
        longest_first = sorted((place for place in names if len(place) > 1), key=len, reverse=True)
        before = r"(^|[^\w.~<-]|\x1b\[[\d;]*m)"  # colours of a traceback end in a letter
        pattern = before + "(" + "|".join(map(re.escape, longest_first)) + r")(?!\.?[\w-])"
        return re.sub(pattern, lambda match: match[1] + names[match[2]], value) if longest_first else value
    if isinstance(value, list):
        return [with_names(one, names) for one in value]
    if isinstance(value, dict):
        return {key: one if key.startswith("image/") else with_names(one, names) for key, one in value.items()}
    return value


def _execute(source: Path, part: Path, parameters: Parameters, failed: Path) -> None:
    import papermill
    from traitlets.config import Config

    config = Config({"KernelManager": {"transport_encryption": "auto"}})  # a kernel warns where its channel is open
    for attempt in (1, 2):
        try:
            papermill.execute_notebook(
                str(source),
                str(part),
                dict(parameters),
                kernel_name="python3",
                cwd=str(part.parent),
                progress_bar=False,
                config=config,
                shutdown_kernel="immediate",  # nothing is left to save, and an interrupted kernel complains
            )
            return
        except papermill.PapermillExecutionError as error:
            part.replace(failed)
            what = " ".join(f"{error.ename}: {error.evalue}".split())
            raise ExperimentError(f"notebook {source.stem} failed: {what} (its traceback is in {failed})") from error
        except Exception as error:  # a port that another kernel took first has no error class of its own
            if attempt == 2 or "Address already in use" not in str(error):
                raise


def _check_parameters(source: Path, parameters: Parameters) -> None:
    import papermill

    known = papermill.inspect_notebook(str(source))
    unknown = [name for name in parameters if name not in known]
    if unknown:
        raise ExperimentError(
            f"notebook {source.name} has no parameter {unknown[0]!r}; it has {', '.join(known) or 'none'}"
        )


def _digest(source: Path, parameters: Parameters, inputs: Iterable[bytes]) -> str:
    digest = hashlib.sha256(library_digest())
    for part in (source.read_bytes(), json.dumps(dict(parameters), sort_keys=True).encode(), *inputs):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def _kept_digest(output: Path) -> str | None:
    try:
        return str(json.loads(output.read_text("utf-8"))["metadata"]["llmrl"]["inputs"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _cleaned(notebook: dict[str, Any], digest: str, places: Mapping[Path, str]) -> dict[str, Any]:
    """The notebook without the executor's bookkeeping and with this machine's folders named by what they are."""
    names = {str(Path.cwd()): ".", sys.prefix: "[environment]", sys.base_prefix: "[python]", str(Path.home()): "~"}
    names[str(Path(__file__).parent.parent)] = "[llmrl_lib]"
    for place, name in places.items():
        names |= {str(place.absolute()): name, str(place.resolve()): name}
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
        for output in cell.get("outputs", []):
            for name in ("text", "data"):
                if name in output:
                    output[name] = with_names(output[name], names)
    metadata = {
        name: notebook["metadata"][name] for name in ("kernelspec", "language_info") if name in notebook["metadata"]
    }
    return {**notebook, "metadata": {**metadata, "llmrl": {"inputs": digest}}}
