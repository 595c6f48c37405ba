"""A provider that does as it is told, and a connector to it."""

import json
import logging
import shutil
import socket
import subprocess

from pathlib import Path

import pytest

from dexcore_connector_oidc import Config
from dexcore_connector_oidc.connector import open_oidc
from dexcore_storage_memory.storage import MemoryStorage
from multidict import CIMultiDict, MultiDict

from dexcore.config import structure
from dexcore.connector import Callback, ConnectorContext, Scopes
from dexcore.testing.browser import Browser
from dexcore.testing.npm import modules
from dexcore.testing.people import PASSWORD
from dexcore.testing.upstreams.openid import OpenIDProvider

HERE = Path(__file__).parent
CALLBACK = "http://127.0.0.1:5556/dex/callback"
EVERYTHING = Scopes(offline_access=True, groups=True)
STATE = "b6zmm5mguyebwvajyf2sdwwcw"


class Way:
    """The way of a browser: to the provider, and back to the connector."""

    def __init__(self, connector):
        self.connector = connector

    async def begin(self, scopes=EVERYTHING):
        return await self.connector.begin(scopes, CALLBACK, STATE)

    async def go(self, begun, name="jane"):
        """Sign in upstream; return what the browser brings back."""
        async with Browser() as browser:
            landing = await browser.log_in(begun.url, name, PASSWORD)
        return callback(landing.params, begun.connector_data)

    async def finish(self, brought, scopes=EVERYTHING):
        return await self.connector.finish(scopes, brought)

    async def log_in(self, name="jane", scopes=EVERYTHING):
        begun = await self.begin(scopes)
        return await self.finish(await self.go(begun, name), scopes)


def callback(query, connector_data=b"", form=()):
    return Callback(
        MultiDict(query), MultiDict(form), CIMultiDict(), CALLBACK, connector_data
    )


@pytest.fixture(name="callback")
def _callback():
    return callback


@pytest.fixture
def provider():
    """A provider with a user, Jane, and a client, dexcore."""
    with OpenIDProvider() as provider:
        provider.add_user("jane", groups=["admins", "authors"])
        provider.add_client()
        yield provider


@pytest.fixture
async def storage():
    """What all replicas share."""
    storage = MemoryStorage()
    yield storage
    await storage.close()


@pytest.fixture
async def open_connector(provider, storage):
    """Return what opens a connector with these options of the file."""
    opened = []

    async def open_it(id="upstream", seconds=10.0, **options):
        document = {
            "issuer": provider.issuer,
            "clientID": "dexcore",
            "clientSecret": "secret",
            **options,
        }
        config = structure(document, Config, where="config")
        log = logging.getLogger("dexcore.connector.oidc")
        context = ConnectorContext(id, storage, log, timeout=seconds)
        opened.append(await open_oidc(config, context))
        return opened[-1]

    yield open_it
    for connector in opened:
        await connector.close()


@pytest.fixture
def way_of(open_connector):
    """Return what opens a connector, and the way through it."""

    async def way_of(**options):
        return Way(await open_connector(**options))

    return way_of


@pytest.fixture
async def way(way_of):
    return await way_of(insecureEnableGroups=True)


class NodeProvider:
    """npm's oidc-provider, in a process of its own; ``users`` are by their id."""

    def __init__(self, node, folder, users):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        # Another site than ours, as real providers are: localhost, not 127.0.0.1.
        self.issuer = f"http://localhost:{port}"
        settings = {
            "issuer": self.issuer,
            "port": port,
            "users": users,
            "client": {
                "client_id": "dexcore",
                "client_secret": "a secret: of 100 %",
                # RFC 8252 section 7.3: whatever the port.
                "application_type": "native",
                "redirect_uris": ["http://127.0.0.1/dex/callback"],
                "post_logout_redirect_uris": ["http://127.0.0.1/bye"],
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
            },
        }
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [node, "provider.mjs", json.dumps(settings)],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._wait()

    def set_users(self, **users):
        """Replace who there is."""
        self.process.stdin.write(json.dumps({"users": users}) + "\n")
        self.process.stdin.flush()
        self._wait()

    def _wait(self):
        line = self.process.stdout.readline()
        while line and not line.startswith("{"):
            line = self.process.stdout.readline()
        assert line, self.log.read_text()

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0, self.log.read_text()
        self.process.stdout.close()


@pytest.fixture
def start_node_provider(requires_program, tmp_path):
    """Return what starts npm's oidc-provider, with these users."""
    node = requires_program("node", install="apt-get install nodejs, or nodejs.org")
    npm = requires_program("npm", install="apt-get install npm, or nodejs.org")
    # Modules are looked for beside the script.
    (tmp_path / "node_modules").symlink_to(modules(HERE / "node/package.json", npm))
    shutil.copy(HERE / "node/provider.mjs", tmp_path)
    started = []

    def start(**users):
        started.append(NodeProvider(node, tmp_path, users))
        return started[-1]

    yield start
    for provider in started:
        provider.close()
