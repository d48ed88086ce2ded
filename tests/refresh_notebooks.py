"""Stores in the notebooks what their checked cells print now: `python tests/refresh_notebooks.py RUN`.

RUN is a run of ORVN and KSTV of the embedded market with the smoke profile. Look at the difference before committing it.
"""

import sys
from pathlib import Path

import nbformat

CHECKED = "nbval-check-output"


def refresh(source: Path, executed: Path) -> None:
    """Copies the outputs of checked cells from the executed copy, and drops all others."""
    notebook = nbformat.read(source, as_version=4)
    outputs = {cell.id: cell.outputs for cell in nbformat.read(executed, as_version=4).cells if "outputs" in cell}
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        checked = CHECKED in cell.metadata.get("tags", [])
        cell.outputs, cell.execution_count = (outputs[cell.id] if checked else []), (1 if checked else None)
    nbformat.write(notebook, source)


if __name__ == "__main__":
    run = Path(sys.argv[1])
    for path in sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb")):
        refresh(path, next(run.glob(f"notebooks/ORVN/{path.name}"), run / "notebooks" / path.name))
