"""What all tests share: the core's, and those of every distribution."""

from __future__ import annotations

import os
import shutil

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
def requires_program():
    """Return what stops a test whose program is not installed: with CI set it fails."""

    def require(name: str, *, install: str) -> str:
        found = shutil.which(name)
        if found:
            return found
        reason = f"Not run: {name} is missing. To install it: {install}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    return require
