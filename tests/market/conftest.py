"""Writes little dataset folders."""

from pathlib import Path

import pytest
from fetching_world import assembled, fetch_into, gateway, invented, source_server  # noqa: F401 (fixtures)
from small_datasets import DESCRIPTION, MakeFolder, plain_bars


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Writes a faultless dataset of AAA and BBB, then ``files`` (name -> text, bytes or list of lines) over it."""

    def make(files: dict[str, str | bytes | list[str]] | None = None) -> Path:
        folder = tmp_path / "dataset"
        faultless: dict[str, str | bytes | list[str]] = {
            "dataset.toml": DESCRIPTION,
            "bars/AAA.csv": plain_bars(),
            "bars/BBB.csv": plain_bars(),
        }
        for name, content in {**faultless, **(files or {})}.items():
            text = "\n".join([*content, ""]) if isinstance(content, list) else content
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder

    return make
