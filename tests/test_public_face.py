"""The public names, how fast they are at hand, and the ladder of imports."""

import subprocess
import sys

import pytest

import llmrl_lib as ll


def test_importing_the_package_is_fast_and_loads_nothing_heavy() -> None:
    code = (
        "import time; start = time.process_time(); import llmrl_lib; print(time.process_time() - start);"
        "import sys; print(*[name for name in ('torch', 'pandas', 'numpy', 'matplotlib') if name in sys.modules])"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert min(float(run.stdout.split()[0]) for run in runs) < 0.3
    assert runs[0].stdout.split()[1:] == []


@pytest.mark.parametrize("name", ll.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(ll, name).__doc__


def test_what_the_package_lists_is_what_is_public() -> None:
    assert set(dir(ll)) == {*ll.__all__, "__version__"}


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no public name 'load_data'; it has .*load_dataset"):
        _ = ll.load_data


def test_imports_point_down_the_ladder() -> None:
    code = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(cache_dir=None))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "3 kept, 0 broken" in done.stdout
