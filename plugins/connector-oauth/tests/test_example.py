"""The example of ``examples/config-oauth.yaml``, as its first lines say."""

from __future__ import annotations

import subprocess
import sys

from pathlib import Path

import pytest
import yaml

from aiohttp.test_utils import unused_port

from dexcore.testing.journey import Journey

EXAMPLE = Path(__file__).parents[3] / "examples" / "config-oauth.yaml"


@pytest.fixture
def served():
    """Serve the double from the command line; return its address."""
    port = unused_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "dexcore.testing.upstreams.oauth2", "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_jane_gets_in(served):
    text = EXAMPLE.read_text("utf-8")
    for old, new in (
        ("http://127.0.0.1:5560", served),
        ("http://127.0.0.1:5556/dex/callback", "$ISSUER/callback"),
    ):
        assert old in text
        text = text.replace(old, new)
    with Journey(*yaml.safe_load(text)["connectors"]) as journey:
        tokens = journey.log_in("jane", "password")

    assert tokens.claims["groups"] == ["admins", "authors"]
    assert tokens.claims["name"] == "Jane Example"
