"""The example of ``examples/config-github.yaml``, as its first lines say."""

from __future__ import annotations

import subprocess
import sys

from pathlib import Path

import pytest
import yaml

from aiohttp.test_utils import unused_port

from dexcore.testing.browser import BrowserError
from dexcore.testing.journey import Journey

EXAMPLE = Path(__file__).parents[2] / "examples" / "config-github.yaml"


@pytest.fixture
def served(tmp_path):
    """Serve the double from the command line; return its port and its authority."""
    port, ca = unused_port(), tmp_path / "new" / "ca.pem"
    command = [sys.executable, "-m", "dexcore.testing.upstreams.github"]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--ca", str(ca)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert f"https://localhost:{port}" in process.stdout.readline()
        yield port, ca
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_jane_of_acme_gets_in_and_john_does_not(served):
    port, ca = served
    text = EXAMPLE.read_text("utf-8")
    for old, new in (
        ("localhost:5561", f"localhost:{port}"),
        ("var/github-ca.pem", str(ca)),
        ("http://127.0.0.1:5556/dex/callback", "$ISSUER/callback"),
    ):
        assert old in text
        text = text.replace(old, new)
    with Journey(*yaml.safe_load(text)["connectors"], ca=ca.read_text()) as journey:
        tokens = journey.log_in("jane", "password")
        assert tokens.claims["groups"] == ["acme:Core Team", "acme:Writers"]
        with pytest.raises(BrowserError, match="not a member"):
            journey.log_in("john", "password")
