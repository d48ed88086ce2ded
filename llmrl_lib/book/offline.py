"""A Sphinx extension: pages load what they need, once, and nothing that is not beside them.

Whatever its settings say, the builder adds to every page the launcher of live code cells, twice, with an address on the
network and an error in the browser's console; and every script it finds among the static files, so that MathJax is loaded
where there is no mathematics, and twice where there is. This takes both out again.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("html-page-context", _only_needed_scripts, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _only_needed_scripts(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    context["script_files"] = [script for script in context["script_files"] if _is_needed(script)]


def _is_needed(script: Any) -> bool:
    name, attributes = str(getattr(script, "filename", "")), getattr(script, "attributes", {})
    if "mathjax" in name:
        return "defer" in attributes  # how it is added to pages with mathematics
    return "thebe" not in name and "THEBE_JS_URL" not in (attributes.get("body") or "")
