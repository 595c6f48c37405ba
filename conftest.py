"""What all tests share: the core's, and those of every distribution."""

from __future__ import annotations

import os
import shutil

from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest


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
