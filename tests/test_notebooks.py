"""The notebooks as committed: their form, and what their checked cells print on a small run."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHECKED = "nbval-check-output"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Any:
    return nbformat.read(request.param, as_version=4)


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def test_it_is_a_valid_notebook_with_cell_ids(notebook: Any) -> None:
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_it_tells_its_purpose_first_and_then_its_parameters(notebook: Any) -> None:
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    assert tags(notebook.cells[1]) == ["parameters"]


def test_the_library_does_the_work(notebook: Any) -> None:
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(re.search(r"^\s*(def|class) ", source, re.MULTILINE) for source in code)
    assert max(len(source.splitlines()) for source in code) <= 20


def test_words_stand_before_and_after_every_figure(notebook: Any) -> None:
    drawn = [number for number, cell in enumerate(notebook.cells) if "ll.plots." in cell.source]
    assert drawn
    for number in drawn:
        assert notebook.cells[number - 1].cell_type == "markdown"
        assert notebook.cells[number + 1].cell_type == "markdown"


def test_only_checked_cells_carry_outputs(notebook: Any) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any(CHECKED in tags(cell) for cell in code)
    for cell in code:
        assert bool(cell.outputs) == (CHECKED in tags(cell))
        assert cell.execution_count is None or CHECKED in tags(cell)


def test_without_a_run_it_says_which_command_makes_one(notebook: Any, tmp_path: Path) -> None:
    nbformat.write(_about(notebook, "nowhere"), tmp_path / "notebook.ipynb")
    with pytest.raises(papermill.PapermillExecutionError, match="make it with: llmrl run --dataset data/embedded"):
        papermill.execute_notebook(
            tmp_path / "notebook.ipynb", None, kernel_name="python3", cwd=tmp_path, progress_bar=False
        )


def test_checked_cells_print_what_is_committed(smoke_run: Path, tmp_path: Path) -> None:
    for path in NOTEBOOKS:
        nbformat.write(_about(nbformat.read(path, as_version=4), str(smoke_run)), tmp_path / path.name)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider"]
    command += ["--nbval-sanitize-with", str(ROOT / "tests" / "nbval.cfg"), "-c", "/dev/null", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"\d+ passed", done.stdout)


def _about(notebook: Any, run_folder: str) -> Any:
    """The notebook, with its parameters cell pointing to another run."""
    (parameters,) = (cell for cell in notebook.cells if tags(cell) == ["parameters"])
    parameters.source += f"\nrun_folder = {run_folder!r}"
    return notebook
