"""Builds the book of a run: the suite's pages, what the code says about itself, and the run's executed notebooks, as HTML.

The HTML needs no network: everything it loads lies beside it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from llmrl_lib.book.pages import contents, generated_pages
from llmrl_lib.experiments import ExperimentError, Run, open_run
from llmrl_lib.experiments.folders import write_text

MATHJAX = "tex-svg-full.js"  # one file: letters are drawn, no font is fetched
BUILD = "from jupyter_book.cli.main import main; main()"


def build_book(run_folder: str | Path, strict: bool = False) -> Path:
    """Builds `<run_folder>/book` and returns the path of its index.html; an older book is replaced once the new one stands.

    With `strict`, a warning of the builder is an error. Raises ExperimentError if the run has no executed notebooks or the
    builder fails.
    """
    run = open_run(run_folder)
    notebooks = sorted((run.path / "notebooks").glob("**/[0-9][0-9]_*.ipynb"))
    notebooks = [notebook for notebook in notebooks if "." not in notebook.stem]
    if not notebooks:
        raise ExperimentError(f"{run.path} holds no executed notebooks; give its llmrl run command again")
    with tempfile.TemporaryDirectory(dir=run.path, prefix=".book-") as work:
        source = Path(work) / "source"
        _write_source(run, notebooks, source)
        _build(source, Path(work), strict)
        book = run.path / "book"
        if book.exists():
            book.replace(Path(work) / "old")  # removing its many files takes long enough to be killed in between
        (Path(work) / "_build" / "html").replace(book)
    return book / "index.html"


def page_folder() -> Path:
    """Where the suite's own pages are: in the checkout, or inside an installed package."""
    package = Path(str(resources.files("llmrl_lib")))
    for folder in (package.parent / "book", package / "share" / "book"):
        if (folder / "_config.yml").is_file():
            return folder
    raise ExperimentError(f"the book's pages are neither in {package.parent} nor in {package}; install from a checkout")


def _write_source(run: Run, notebooks: list[Path], source: Path) -> None:
    """Everything that the builder reads, in one folder."""
    shutil.copytree(page_folder(), source)
    scripts = source / "_static" / "mathjax"
    scripts.mkdir(parents=True)
    shutil.copyfile(_mathjax(), scripts / MATHJAX)
    for notebook in notebooks:
        place = notebook.relative_to(run.path / "notebooks")
        write_text(source / place, _as_page(notebook, place.parent.name))
    for name, text in generated_pages(run).items():
        write_text(source / name, text)
    write_text(
        source / "_toc.yml", contents(run, [notebook.relative_to(run.path / "notebooks") for notebook in notebooks])
    )


def _as_page(notebook: Path, ticker: str) -> str:
    """The notebook's text with its ticker in the title and without the defaults of parameters that the run has set."""
    content: dict[str, Any] = json.loads(notebook.read_text("utf-8"))
    injected = [_assigned(line) for cell in _tagged(content, "injected-parameters") for line in cell["source"]]
    for cell in _tagged(content, "parameters"):
        cell["source"] = [line for line in cell["source"] if _assigned(line) not in injected]
        if not "".join(cell["source"]).strip():
            content["cells"].remove(cell)
    first = content["cells"][0]
    text = "".join(first["source"])
    if ticker and first["cell_type"] == "markdown" and text.startswith("# "):
        first["source"] = f"# {ticker}: {text[2:3].lower()}{text[3:]}"
    return json.dumps(content, ensure_ascii=False)


def _tagged(content: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    return [cell for cell in content["cells"] if tag in cell["metadata"].get("tags", [])]


def _assigned(line: str) -> str:
    """The name that a line of parameters sets; other lines are their own."""
    return line.split("=")[0].strip()


def _build(source: Path, work: Path, strict: bool) -> None:
    command = [sys.executable, "-c", BUILD, "build", str(source), "--path-output", str(work), "--all"]
    options = ["-W", "--keep-going"] if strict else []
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        told = [line for line in lines if "ERROR" in line or "WARNING" in line or "Error" in line] or lines
        raise ExperimentError("the book could not be built:\n" + "\n".join(told[-15:]))


def _mathjax() -> Path:
    """MathJax as one file, from the package that carries it."""
    files = metadata.files("sphinx-mathjax-offline") or []
    for file in files:
        if file.name == MATHJAX:
            return Path(str(file.locate()))
    raise ExperimentError(f"{MATHJAX} of the package sphinx-mathjax-offline is missing; reinstall that package")
