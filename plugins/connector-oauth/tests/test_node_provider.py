"""Logging in at oidc-provider, which is certified, as at any OAuth 2.0 provider."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile

from pathlib import Path

import pytest

from dexcore.testing.journey import Journey

HERE = Path(__file__).parent / "upstream"


@pytest.fixture
def node_modules(requires_program):
    """Install what package.json names, once for all checkouts, outside of this one."""
    npm = requires_program("npm", install="apt-get install npm, or nodejs.org")
    wanted = (HERE / "package.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "dexcore-tests" / f"npm-{hashlib.sha256(wanted).hexdigest()[:16]}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent))
        (made / "package.json").write_bytes(wanted)
        quiet = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run([npm, "install", *quiet], cwd=made, check=True, timeout=110)
        try:
            made.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(made)
    return folder / "node_modules"


@pytest.fixture
def start_provider(requires_program, node_modules, tmp_path):
    """Return what starts a provider, and says how to tell it where browsers go."""
    node = requires_program("node", install="apt-get install nodejs, or nodejs.org")
    # Modules are looked for beside the script.
    (tmp_path / "node_modules").symlink_to(node_modules)
    shutil.copy(HERE / "provider.mjs", tmp_path)
    started = []

    def start(way):
        process = subprocess.Popen(
            [node, "provider.mjs", way],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        issuer = process.stdout.readline().strip()

        def redirect_to(uri):
            process.stdin.write(f"{uri}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"

        return issuer, redirect_to

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("way", ["client_secret_basic", "client_secret_post"])
def test_somebody_logs_in_at_it_whatever_proof_it_takes(start_provider, way):
    issuer, redirect_to = start_provider(way)
    config = {
        "clientID": "dexcore",
        "clientSecret": "a secret with spaces, + and %",
        "redirectURI": "$ISSUER/callback",
        "authorizationURL": f"{issuer}/auth",
        "tokenURL": f"{issuer}/token",
        "userInfoURL": f"{issuer}/me",
        "scopes": ["openid", "profile", "email"],
        "userIDKey": "sub",
        "claimMapping": {
            "userNameKey": "name",
            "preferredUsernameKey": "nickname",
            "groupsKey": "roles",
        },
    }
    with Journey({"type": "oauth", "config": config}) as journey:
        redirect_to(f"{journey.issuer}/callback")
        tokens = journey.log_in("jane", "any")
        again = journey.log_in("john", "any")

    assert tokens.claims["name"] == "jane of Node"
    assert tokens.claims["preferred_username"] == "jane"
    assert tokens.claims["email"] == "jane@example.com"
    assert tokens.claims["email_verified"] is False
    assert tokens.claims["groups"] == ["admins", "authors"]
    assert again.claims["sub"] != tokens.claims["sub"]
