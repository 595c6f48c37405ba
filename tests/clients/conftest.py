"""A served provider for client libraries, and somebody who logs in at it."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time

from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
import requests
import yaml

from dexcore.testing.browser import SyncBrowser
from dexcore.testing.npm import modules

HERE = Path(__file__).parent

CLIENT_ID = "app"
CLIENT_SECRET = "ZXhhbXBsZS1hcHAtc2VjcmV0"
REDIRECT_URI = "http://127.0.0.1:5555/callback"
EMAIL, PASSWORD = "jane@example.com", "password"
# bcrypt of PASSWORD
HASH = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"
GRANT_TYPES = [
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "password",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:token-exchange",
]
SCOPES = "openid email profile groups offline_access"
RESOURCE = "https://api.example.com/"


@attrs.frozen
class Provider:
    """A provider that is served by a process of its own."""

    issuer: str
    metadata: dict[str, object]
    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET
    redirect_uri: str = REDIRECT_URI
    email: str = EMAIL
    password: str = PASSWORD
    exchange_connector: str = "upstream"
    scopes: str = SCOPES
    resource: str = RESOURCE
    key: dict[str, object] | None = None  # a private JWK, instead of the secret
    initial_access_token: str = ""
    assertion: str = ""  # of somebody trusted, about a user
    registers: dict[str, object] = attrs.Factory(dict)  # what an app says it is

    def log_in(self, url: str) -> str:
        """Log Jane in at the authorization request, and return the redirect to the app.

        She answers what she is asked: her password, and whether she agrees.
        """
        with SyncBrowser(stop_at=self.redirect_uri) as browser:
            return browser.log_in(url, EMAIL, PASSWORD).url

    def connect(self, url: str) -> str:
        """Connect the device whose address with a code is *url*, as Jane.

        Returns what the last page says.
        """
        with SyncBrowser(stop_at=self.redirect_uri) as browser:
            code = browser.authorize(url)
            form = browser.submit(code, code.forms[0])
            jane = {"login": EMAIL, "password": PASSWORD}
            asked = browser.submit(form, form.forms[0], jane)
            return browser.submit(asked, asked.forms[0]).words


def config(port: int, folder: Path) -> dict[str, object]:
    return {
        "issuer": f"http://127.0.0.1:{port}/dex",
        "storage": {"type": "sqlite3", "config": {"file": str(folder / "dex.db")}},
        "web": {"http": f"127.0.0.1:{port}"},
        "enablePasswordDB": True,
        "oauth2": {"passwordConnector": "local", "grantTypes": GRANT_TYPES},
        # Not for logins, so that these go on without a choice.
        "connectors": [
            {
                "type": "mockCallback",
                "id": "upstream",
                "name": "Upstream",
                "grantTypes": [GRANT_TYPES[-1]],
            }
        ],
        "staticPasswords": [
            {
                "email": EMAIL,
                "hash": HASH,
                "username": "jane",
                "userID": "08a8684b-db88-4b73-90a9-3cd1661f5466",
                "groups": ["admins"],
            }
        ],
        "staticClients": [
            {
                "id": CLIENT_ID,
                "secret": CLIENT_SECRET,
                "name": "An app",
                "redirectURIs": [REDIRECT_URI, "/dex/device/callback"],
                "clientCredentialsClaims": {"groups": ["robots"]},
            }
        ],
    }


def metadata(issuer: str, server: subprocess.Popen[bytes], log: Path) -> object:
    """Return what the provider says about itself, once it does."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        try:
            answer = requests.get(
                f"{issuer}/.well-known/openid-configuration", timeout=5
            )
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return answer.json()
    raise AssertionError(f"The provider did not come up:\n{log.read_text()}")


@contextlib.contextmanager
def served(folder: Path, **more: object) -> Iterator[Provider]:
    """Serve a provider as an operator does: a file, a database, a port."""
    port = _free_port()
    file, log = folder / "config.yaml", folder / "log"
    plain = config(port, folder)
    if "web" in more:
        more["web"] = {**plain["web"], **more["web"]}
    file.write_text(yaml.safe_dump({**plain, **more}))
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "dexcore", "serve", str(file)],
            stdout=output,
            stderr=output,
            cwd=folder,
        )
    try:
        issuer = f"http://127.0.0.1:{port}/dex"
        yield Provider(issuer, metadata(issuer, server, log))
    finally:
        server.terminate()
        assert server.wait(30) == 0, log.read_text()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="session")
def free_port():
    """Return what finds a port nobody listens on."""
    return _free_port


@pytest.fixture(scope="session")
def provider(tmp_path_factory):
    """A provider as most are."""
    with served(tmp_path_factory.mktemp("provider")) as up:
        yield up


@pytest.fixture
def serve_provider(tmp_path_factory):
    """Return what serves a provider with more in its file, until the test ends."""
    with serving(tmp_path_factory) as serve:
        yield serve


@pytest.fixture(scope="module")
def serve_provider_to_all(tmp_path_factory):
    """Return what serves a provider until the module ends."""
    with serving(tmp_path_factory) as serve:
        yield serve


@contextlib.contextmanager
def serving(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Provider]]:
    with contextlib.ExitStack() as stack:

        def serve(**more: object) -> Provider:
            folder = tmp_path_factory.mktemp("provider")
            return stack.enter_context(served(folder, **more))

        yield serve


@pytest.fixture
def node_modules(requires_program):
    """Install what package.json names, once for all checkouts, outside of this one."""
    npm = requires_program("npm", install="apt-get install npm, or nodejs.org")
    return modules(HERE / "package.json", npm)


@pytest.fixture
def run_node(run_app, provider):
    """Return what runs one of our scripts as an app; we are its browser."""
    return lambda script, browse=provider.log_in: run_app(script, provider, browse)


@pytest.fixture
def run_app(requires_program, node_modules, tmp_path):
    """Return what runs a script as an app of a provider.

    The script prints where to send the browser, as often as it wants, and reads where
    the browser came back to; at last it prints what it learnt.  All lines are JSON.
    """
    node = requires_program("node", install="apt-get install nodejs, or nodejs.org")

    def run(
        script: str, provider: Provider, browse: Callable[[str], str]
    ) -> dict[str, object]:
        # Modules are looked for beside the script.
        (tmp_path / "node_modules").symlink_to(node_modules)
        shutil.copy(HERE / script, tmp_path)
        app = subprocess.Popen(
            [node, script, json.dumps(attrs.asdict(provider))],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with app:
            told: dict[str, object] = {}
            for line in app.stdout:
                told = json.loads(line)
                if "url" not in told:
                    break
                app.stdin.write(browse(str(told["url"])) + "\n")
                app.stdin.flush()
            _, errors = app.communicate(timeout=60)
        assert app.returncode == 0, errors
        return told

    return run
