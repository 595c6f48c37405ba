"""An app written in Go logs in with go-oidc and oauth2, and stays up for long."""

from __future__ import annotations

import contextlib
import json
import subprocess

from pathlib import Path

import pytest

from dexcore.testing import golang
from dexcore.testing.app import REDIRECT_URI, static_client
from dexcore.testing.browser import SyncBrowser
from dexcore.testing.lives import Lives

# bcrypt of "password"
HASH = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"
JANE = {"email": "jane@example.com", "hash": HASH, "username": "jane", "userID": "1"}


@pytest.fixture
def lives(tmp_path):
    with Lives(tmp_path) as lives:
        yield lives


@pytest.fixture
def begin(lives, tmp_path):
    """Return what starts a provider, whose new keys are for an algorithm."""

    def start(algorithm, **before):
        signer = {"algorithm": algorithm, "keysRotationPeriod": "6h"}
        settings = {
            "storage": {"type": "sqlite3", "config": {"file": str(tmp_path / "db")}},
            "signer": {"type": "local", "config": signer},
            "oauth2": {"skipApprovalScreen": True},
            "enablePasswordDB": True,
            "staticPasswords": [JANE],
            "staticClients": [static_client()],
        }
        return lives.begin(settings, **before)

    return start


class GoApp:
    """The app: it answers each line we write with one of its own."""

    def __init__(self, process):
        self._process = process

    def read(self):
        line = self._process.stdout.readline()
        assert line, self._process.stderr.read()
        return json.loads(line)

    def write(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def refresh(self):
        self.write("refresh")
        return self.read()


@pytest.fixture
def run_go(requires_program):
    """Return what runs the app."""
    requires_program("go", install="go.dev")
    program = golang.built(Path(__file__).parent / "go_oidc")
    with contextlib.ExitStack() as stack:

        def run(issuer):
            client = static_client()
            told = {
                "issuer": issuer,
                "client_id": client["id"],
                "client_secret": client["secret"],
                "redirect_uri": REDIRECT_URI,
                "scopes": "openid email profile offline_access",
            }
            process = subprocess.Popen(
                [str(program), json.dumps(told)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return GoApp(process)

        yield run


def log_in(app):
    """Be the app's browser; return what it learnt."""
    with SyncBrowser(stop_at=REDIRECT_URI) as browser:
        landing = browser.log_in(app.read()["url"], JANE["email"], "password")
    app.write(landing.url)
    return app.read()


@pytest.mark.timeout(600)  # the first one in a cache builds the app
def test_an_app_in_go_goes_on_while_keys_rotate(begin, run_go):
    life = begin("RS256")
    app = run_go(life.issuer)
    learnt = log_in(app)
    assert learnt["claims"]["email"] == learnt["email"] == JANE["email"]
    kids = [learnt["header"]["kid"]]
    for _ in range(3):
        life.rotate()
        kids.append(app.refresh()["header"]["kid"])
        assert app.refresh()["header"]["kid"] == kids[-1]
    assert len({*kids}) == 4
    assert app.refresh()["kept"] == 8


@pytest.mark.timeout(600)
def test_an_app_in_go_goes_on_while_the_algorithm_changes(begin, run_go):
    """It has read discovery once, when it started."""
    life = begin("RS256")
    app = run_go(life.issuer)
    assert log_in(app)["header"]["alg"] == "RS256"
    for algorithm in ("ES256", "EdDSA", "RS256"):
        life.stop()
        life = begin(algorithm, port=int(life.origin.rpartition(":")[2]))
        assert app.refresh()["header"]["alg"] != algorithm
        life.rotate()
        assert app.refresh()["header"]["alg"] == algorithm
