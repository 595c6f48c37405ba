"""The server as it is deployed: own sockets, own limits, a database in a file.

``open_house`` serves in this process, ``spawn`` runs ``dexcore serve``.  ``App`` is
what an application and its user do; ``House.raw`` sends bytes that no library would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys

from asyncio.subprocess import PIPE
from datetime import timedelta
from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import attrs
import orjson
import pytest

from dexcore import hookimpl, plugins
from dexcore.config import loads
from dexcore.jose import verify_with_jwks
from dexcore.oauth2.times import utcnow
from dexcore.server.app import open_server
from dexcore.server.connections import Limits
from dexcore.server.listen import free_address
from dexcore.server.run import serving
from dexcore.storage import StorageType
from dexcore.testing.faults import faulty

HASH = "$2a$10$JJtEz2LbMaKFP/xmTbX9gu0GydgiDJFGfSkiZFg.GpuyKJSWB1.Ty"  # "password"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123"

CLIENTS = {
    "one": ("http://127.0.0.1:1/one", "the secret of client one"),
    "two": ("http://127.0.0.1:1/two", "the secret of client two"),
}
USERS = ("ann@example.com", "bob@example.com")


def configuration(database, **changes):
    """Two users, two clients, a signing key that is quickly made."""
    return {
        "storage": {"type": "sqlite3", "config": {"file": str(database)}},
        "signer": {
            "type": "local",
            "config": {"algorithm": "ES256", "keysRotationPeriod": "6h"},
        },
        "oauth2": {"skipApprovalScreen": True},
        "logger": {"format": "json"},
        "enablePasswordDB": True,
        "enableSignup": True,
        "staticPasswords": [
            {"email": user, "hash": HASH, "username": user[:3], "userID": user[:3]}
            for user in USERS
        ],
        "staticClients": [
            {"id": id, "name": id, "secret": secret, "redirectURIs": [uri]}
            for id, (uri, secret) in CLIENTS.items()
        ],
    } | changes


@attrs.frozen
class Answer:
    """A response, read."""

    status: int
    headers: object
    text: str
    url: str = ""

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def params(self):
        """What a redirect carries."""
        parts = urlsplit(self.headers["Location"])
        return dict(parse_qsl(parts.fragment or parts.query))

    @property
    def fields(self):
        """The fields of the forms on the page."""
        return Fields(self.text).found


class Fields(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "input" and attrs.get("name"):
            self.found[attrs["name"]] = attrs.get("value", "")


class App:
    """What applications and their users do with the issuer *base* at *origin*."""

    def __init__(self, base, origin):
        self.base = base  # the issuer
        self.origin = origin
        self._sessions = []
        self._plain = None

    def browser(self, *, forgetful=False):
        """A new browser: a pool and, unless it is *forgetful*, cookies."""
        jar = aiohttp.CookieJar(unsafe=True, quote_cookie=False)
        session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar() if forgetful else jar,
            timeout=aiohttp.ClientTimeout(total=30),
        )
        self._sessions.append(session)
        return session

    async def close(self):
        for session in self._sessions:
            await session.close()

    async def send(self, method, url, *, session=None, **kwargs):
        if session is None:
            if self._plain is None:
                self._plain = self.browser(forgetful=True)
            session = self._plain
        url = url if "://" in url else self.origin + url
        url = url.replace(self.base.removesuffix("/dex"), self.origin, 1)
        async with session.request(
            method, url, allow_redirects=False, **kwargs
        ) as response:
            text = (await response.read()).decode()
            return Answer(response.status, response.headers, text, url)

    async def get(self, path, **kwargs):
        return await self.send("GET", path, **kwargs)

    async def post(self, path, **kwargs):
        return await self.send("POST", path, **kwargs)

    # — logging in ---------------------------------------------------------------------

    def auth_url(self, client="one", path="/dex/auth", **changes):
        params = {
            "client_id": client,
            "redirect_uri": CLIENTS[client][0],
            "response_type": "code",
            "scope": "openid email profile offline_access",
            "state": "a state",
            "nonce": "a nonce",
        } | changes
        return f"{path}?" + urlencode(
            {name: value for name, value in params.items() if value is not None}
        )

    async def form(self, session, **changes):
        """Go as far as the password form; return its address."""
        answer = await self.get(self.auth_url(**changes), session=session)
        assert answer.status == 302, answer.text
        return answer.headers["Location"]

    async def log_in(self, user=USERS[0], password="password", session=None, **changes):
        """Log in; return what the browser is answered."""
        session = session or self.browser()
        form = await self.form(session, **changes)
        return await self.post(
            form, session=session, data={"login": user, "password": password}
        )

    async def code(self, user=USERS[0], **changes):
        landed = await self.log_in(user, **changes)
        assert landed.status == 303, landed.text
        return landed.params["code"]

    # — what clients do ----------------------------------------------------------------

    async def client(self, path, client="one", **form):
        id, secret = client, CLIENTS[client][1].replace(" ", "+")
        headers = {"Authorization": aiohttp.encode_basic_auth(id, secret)}
        return await self.post(f"/dex{path}", data=form, headers=headers)

    async def exchange(self, code, client="one", **form):
        form = {"redirect_uri": CLIENTS[client][0]} | form
        return await self.client(
            "/token", client, grant_type="authorization_code", code=code, **form
        )

    async def refresh(self, token, client="one", **form):
        return await self.client(
            "/token", client, grant_type="refresh_token", refresh_token=token, **form
        )

    async def revoke(self, token, client="one"):
        return await self.client("/token/revoke", client, token=token)

    async def introspect(self, token, client="one"):
        return (await self.client("/token/introspect", client, token=token)).json

    async def tokens(self, user=USERS[0], client="one"):
        answer = await self.exchange(await self.code(user, client=client), client)
        assert answer.status == 200, answer.text
        return answer.json

    async def userinfo(self, token):
        headers = {"Authorization": f"Bearer {token}"}
        return await self.get("/dex/userinfo", headers=headers)

    async def keys(self):
        return (await self.get("/dex/keys")).json

    async def sign_up(self, email, password="password"):
        sent = {"email": email, "username": email.split("@")[0], "password": password}
        return await self.post("/dex/signup", json=sent)


def claims(keys, token):
    """Return what *token* says, if one of *keys* signed it."""
    return verify_with_jwks(token, keys, ("RS256", "ES256"))[0]


class House(App):
    """A server in this process."""

    def __init__(self, base, origin, running):
        super().__init__(base, origin)
        self.running = running
        self.server = running.served
        self.storage = self.server.parts.storage

    async def raw(self, data, *, patience=10):
        """Send *data* as it is; return status, headers and body of the first answer."""
        host, port = self.origin.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                await writer.drain()
            async with asyncio.timeout(patience):
                return await read_answer(reader)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def read_answer(reader):
    """Return an HTTP answer, whole, or ``None`` if there is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except ConnectionError:
        return None
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise  # half an answer
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    # The version is that of the request, which llhttp takes from 0.9 to 2.0.
    assert re.fullmatch(r"HTTP/(0\.9|1\.[01]|2\.0) \d{3} [A-Za-z -]*", first), first
    headers = [tuple(line.split(": ", 1)) for line in lines if line]
    assert all(len(header) == 2 for header in headers), lines
    lower = {name.lower(): value for name, value in headers}
    length = int(lower.get("content-length", 0))
    body = b""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        if first[9:12] not in ("204", "304"):
            body = await reader.readexactly(length)
    return Answer(int(first[9:12]), lower, body.decode("utf-8", "replace"))


@pytest.fixture
async def open_house(tmp_path):
    """Serve; ``await open_house(database=…, reached=…, now=…, **configuration)``.

    *reached* is told of every point of the storage (see ``dexcore.testing.faults``).
    """
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            *extra, database=None, reached=None, now=utcnow, limits=None, **changes
        ):
            address = free_address("127.0.0.1:0", "web.http")
            settings = configuration(database or tmp_path / "dex.db", **changes)
            settings = {"issuer": f"http://{address}/dex"} | settings
            settings |= {"web": {"http": address}}
            if reached is not None:
                settings["storage"] = settings["storage"] | {"type": "faulty"}
                extra = (*extra, watched(reached))
            config = loads(orjson.dumps(settings).decode(), environ={})

            async def opening():
                return await open_server(
                    config, plugins.find(*extra), now=now, environ={}
                )

            running = await stack.enter_async_context(
                serving(config, opening, limits=limits or Limits())
            )
            house = House(settings["issuer"], f"http://{address}", running)
            stack.push_async_callback(house.close)
            return house

        yield start


@pytest.fixture
async def house(open_house):
    return await open_house()


def watched(reached):
    """A plugin that offers SQLite with *reached* told of every point."""
    from dexcore_storage_sql import dex_storage_types

    [sqlite] = dex_storage_types()

    class Plugin:
        @hookimpl
        def dex_storage_types(self):
            opener = faulty(sqlite.open, reached)
            return [StorageType("faulty", sqlite.config, opener)]

    return Plugin()


class Process(App):
    """``dexcore serve`` in a process of its own."""

    def __init__(self, base, process):
        super().__init__(base, base.removesuffix("/dex"))
        self.process = process
        self.said = []
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self):
        if self.process.stderr is not None:
            async for line in self.process.stderr:
                self.said.append(line.decode())

    async def ready(self):
        async with asyncio.timeout(30):
            while not any('"server":"http"' in line for line in self.said):
                assert self.process.returncode is None, self.said
                await asyncio.sleep(0.01)
        return self

    def signal(self, number):
        # Unlike the process's own method this never takes the exit code away from who
        # waits for it.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def end(self):
        self.signal(signal.SIGKILL)
        await self.process.wait()
        await self._listening
        await self.close()


@pytest.fixture
async def spawn(tmp_path):
    """Run ``dexcore serve``; ``await spawn(database, **configuration)``."""
    async with contextlib.AsyncExitStack() as stack:
        address = free_address("127.0.0.1:0", "web.http")

        async def start(database, *, stderr=PIPE, **changes):
            settings = configuration(database, **changes)
            settings |= {"issuer": f"http://{address}/dex", "web": {"http": address}}
            file = tmp_path / "config.json"
            file.write_bytes(orjson.dumps(settings))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "dexcore", "serve", str(file)),
                stderr=stderr,
                limit=2**20,
            )
            found = Process(settings["issuer"], process)
            stack.push_async_callback(found.end)
            return await found.ready() if stderr is PIPE else found

        yield start


@pytest.fixture
def example():
    """What tests need to know of the configuration."""
    return SimpleNamespace(
        clients=CLIENTS, users=USERS, verifier=VERIFIER, claims=claims
    )


class Points:
    """Where the storage is; what ``then`` does there.

    What the server does by itself every second or so does not count.
    """

    def __init__(self):
        self.beside = ("upcoming_keys.", "keys.", "revocations.list", "ping", "sweep")
        self.passed = []
        self.then = None

    def __call__(self, point):
        if self.then is not None and not point.startswith(self.beside):
            self.passed.append(point)
            self.then(point)


@pytest.fixture
def points():
    return Points()


class Clock:
    """Goes on by itself, and can be moved."""

    def __init__(self):
        self.offset = timedelta(0)

    def __call__(self):
        return utcnow() + self.offset

    def move(self, **by):
        self.offset += timedelta(**by)


@pytest.fixture
def clock():
    return Clock()
