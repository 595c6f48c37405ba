"""What all tests share: the core's, and those of every distribution."""

from __future__ import annotations

import gc
import os
import shutil

from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

#: Where one test takes many seconds: begun last, it would keep all others waiting.
SLOW = (
    "tests/replicas/test_partition.py",
    "tests/replicas/test_trouble.py",
    "tests/replicas/test_algorithms.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Let one worker more run than there are cores: some always wait for a clock."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # Whoever says how many knows why.
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Look for no garbage in thousands of tests that stay until the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Begin with what takes longest."""
    slow = {Path(__file__).parent / name for name in SLOW}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Let reports travel: tests log what is not Unicode, pytest-xdist sends UTF-8."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode())
        for name, text in report.sections
    ]
    return report


@pytest.fixture
def not_run():
    """Return what stops a test that cannot run here: with CI set it fails."""

    def stop(reason: object) -> NoReturn:
        if os.environ.get("CI"):
            pytest.fail(f"Not run: {reason}")
        pytest.skip(f"Not run: {reason}")

    return stop


@pytest.fixture
def requires_program(not_run):
    """Return what stops a test whose program is not installed."""

    def require(name: str, *, install: str) -> str:
        found = shutil.which(name)
        if found:
            return found
        not_run(f"{name} is missing. To install it: {install}")

    return require


@pytest.fixture
def example_app(requires_program):
    """Return what lets somebody use the example app in Chromium.

    See :func:`dexcore.testing.example_app.visiting`; the first arguments are there.
    """
    # Only tests with a browser need playwright installed.
    from dexcore.testing.example_app import visiting

    program = requires_program("chromium", install="apt-get install chromium")
    return partial(visiting, program, Path(__file__).parent / "examples/example_app")
