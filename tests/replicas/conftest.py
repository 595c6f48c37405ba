"""Several ``dexcore serve`` on one storage, as they are deployed.

``house`` is four or five of them, started at once on an empty storage of each sort.
``pair`` starts two more on a storage of their own, for tests that hurt them.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from types import SimpleNamespace
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import attrs
import pytest

from dexcore.jose import verify_with_jwks
from dexcore.testing import servers
from dexcore.testing.background import Background

HASH = "$2a$10$JJtEz2LbMaKFP/xmTbX9gu0GydgiDJFGfSkiZFg.GpuyKJSWB1.Ty"  # "password"
REDIRECT_URI = "http://127.0.0.1:1/callback"
USERS = tuple(f"user{number}@example.com" for number in range(12))
GONE = (aiohttp.ClientError, TimeoutError)
_STARTS = 60.0  # seconds, on a machine that has other things to do
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_numbers = itertools.count(1)


# — storages ---------------------------------------------------------------------------


@contextlib.contextmanager
def _installed(package):
    """Without its server a storage is not tested: a failure where all should be."""
    try:
        yield
    except FileNotFoundError as error:
        reason = f"Not run: {error} To install it: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def sqlite_place(tmp_path_factory):
    def new():
        file = tmp_path_factory.mktemp("sqlite") / "dex.db"
        return {"type": "sqlite3", "config": {"file": str(file)}}

    return new


@pytest.fixture(scope="session")
def postgres_server():
    with contextlib.ExitStack() as stack:
        with _installed("postgresql"):
            server = stack.enter_context(servers.postgres())
        yield server


@pytest.fixture(scope="session")
def postgres_place(postgres_server):
    import asyncpg

    server = postgres_server

    async def make(name):
        connection = await asyncpg.connect(
            host=server.host, port=server.port, user="postgres", ssl=False
        )
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    def new():
        name = f"replicas{next(_numbers)}"
        with Background() as background:
            background.call(make(name))
        where = {"host": server.host, "port": server.port, "database": name}
        options = {"user": "postgres", "ssl": {"mode": "disable"}}
        return {"type": "postgres", "config": where | options}

    return new


@pytest.fixture(scope="session")
def etcd_place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("etcd")
    port, peer = _free_ports(2)
    url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    command = [
        "etcd", "--name=one", f"--data-dir={folder / 'data'}", "--logger=zap",
        f"--listen-client-urls={url}", f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}", f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=one={peer_url}", "--unsafe-no-fsync",
        f"--log-outputs={folder / 'log'}",
    ]  # fmt: skip
    with _installed("etcd-server"):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"{url}/health", process, folder / "log")

        def new():
            config = {"endpoints": [url], "namespace": f"{next(_numbers)}/"}
            return {"type": "etcd", "config": config}

        yield new
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="session")
def kubernetes_place(tmp_path_factory):
    from dexcore_storage_kubernetes.double import ApiServer

    def new():
        file = tmp_path_factory.mktemp("kubernetes") / "config"
        context = {"cluster": "one", "user": "one", "namespace": f"n{next(_numbers)}"}
        document = {
            "current-context": "one",
            "clusters": [{"name": "one", "cluster": {"server": server.url}}],
            "users": [{"name": "one", "user": {}}],
            "contexts": [{"name": "one", "context": context}],
        }
        file.write_text(json.dumps(document))
        return {"type": "kubernetes", "config": {"kubeConfigFile": str(file)}}

    with Background() as background:
        server = ApiServer()
        background.call(server.__aenter__())
        try:
            yield new
        finally:
            background.call(server.__aexit__(None, None, None))


# — replicas ---------------------------------------------------------------------------


@attrs.frozen
class Answer:
    """A response, read."""

    status: int
    headers: object
    text: str

    @property
    def json(self):
        return json.loads(self.text)


class Replica:
    """A process, and what apps and users do with it and it alone."""

    def __init__(self, issuer, origin, process, log):
        self.issuer = issuer
        self.process = process
        self.log = log
        self._origin = origin
        self._home = issuer.removesuffix("/dex")

    async def send(self, http, method, path, **options):
        url = path if "://" in path else self._origin + path
        # Addresses are the issuer's; behind it any replica may answer.
        url = url.replace(self._home, self._origin, 1)
        async with http.request(
            method, url, allow_redirects=False, **options
        ) as answer:
            text = await answer.text()
            return Answer(answer.status, answer.headers, text)

    async def begin(self, http):
        """Begin a login; return the address of the form."""
        query = {
            "client_id": "app",
            "redirect_uri": REDIRECT_URI,
            "response_type": "code",
            "scope": "openid email offline_access",
            "state": "a state",
        }
        answer = await self.send(http, "GET", f"/dex/auth?{urlencode(query)}")
        assert answer.status == 302, answer.text
        return answer.headers["Location"]

    async def finish(self, http, form, user):
        """Fill in the form; return the code."""
        typed = {"login": user, "password": "password"}
        answer = await self.send(http, "POST", form, data=typed)
        assert answer.status == 303, (answer.status, answer.text)
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))["code"]

    async def code(self, user):
        jar = aiohttp.CookieJar(unsafe=True, quote_cookie=False)
        async with aiohttp.ClientSession(cookie_jar=jar) as http:
            return await self.finish(http, await self.begin(http), user)

    async def client(self, http, path, **form):
        auth = {"Authorization": aiohttp.encode_basic_auth("app", "secret")}
        return await self.send(http, "POST", f"/dex{path}", data=form, headers=auth)

    async def exchange(self, http, code):
        return await self.client(
            http,
            "/token",
            grant_type="authorization_code",
            code=code,
            redirect_uri=REDIRECT_URI,
        )

    async def refresh(self, http, token):
        return await self.client(
            http, "/token", grant_type="refresh_token", refresh_token=token
        )

    async def tokens(self, http, user):
        answer = await self.exchange(http, await self.code(user))
        assert answer.status == 200, answer.text
        return answer.json

    async def userinfo(self, http, token):
        headers = {"Authorization": f"Bearer {token}"}
        return await self.send(http, "GET", "/dex/userinfo", headers=headers)

    async def keys(self, http):
        return (await self.send(http, "GET", "/dex/keys")).json

    def kill(self):
        self.process.kill()
        self.process.wait(10)


def _configuration(storage, issuer, port, interval):
    return {
        "issuer": issuer,
        "web": {"http": f"127.0.0.1:{port}"},
        "storage": storage,
        "signer": {
            "type": "local",
            "config": {"algorithm": "ES256", "keysRotationPeriod": "6h"},
        },
        "expiry": {"refreshTokens": {"reuseInterval": interval}},
        "oauth2": {"skipApprovalScreen": True},
        "enablePasswordDB": True,
        "enableSignup": True,
        "staticPasswords": [
            {"email": user, "hash": HASH, "username": user[:6], "userID": user[:6]}
            for user in USERS
        ],
        "staticClients": [
            {
                "id": "app",
                "name": "App",
                "secret": "secret",
                "redirectURIs": [REDIRECT_URI],
            }
        ],
    }


@contextlib.contextmanager
def serving(folder, storage, intervals):
    """Start a replica for each of *intervals*, all at once; wait until all serve."""
    ports = _free_ports(len(intervals))
    issuer = f"http://127.0.0.1:{ports[0]}/dex"
    started = []
    try:
        for port, interval in zip(ports, intervals, strict=True):
            file = folder / f"{port}.json"
            file.write_text(json.dumps(_configuration(storage, issuer, port, interval)))
            log = folder / f"{port}.log"
            command = [sys.executable, "-m", "dexcore", "serve", str(file)]
            with log.open("w") as stderr:
                process = subprocess.Popen(command, stderr=stderr)
            started.append(Replica(issuer, f"http://127.0.0.1:{port}", process, log))
        for port, one in zip(ports, started, strict=True):
            _wait_for(f"http://127.0.0.1:{port}/dex/keys", one.process, one.log)
        yield started
    finally:
        for one in started:
            one.process.send_signal(signal.SIGTERM)
        for one in started:
            try:
                one.process.wait(15)
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait(5)


@pytest.fixture(scope="module", params=["sqlite", "postgres", "etcd", "kubernetes"])
def house(request, tmp_path_factory):
    """Replicas of which ``strict`` have no grace for refresh tokens."""
    storage = request.getfixturevalue(f"{request.param}_place")()
    folder = tmp_path_factory.mktemp("house")
    intervals = ["0s", "0s", "30s", "30s"]
    if request.param in ("postgres", "etcd"):
        intervals.append("30s")
    with serving(folder, storage, intervals) as all:
        yield SimpleNamespace(all=all, strict=all[:2], lenient=all[2:4])


@pytest.fixture
def pair(tmp_path):
    """``pair(storage)``: two replicas without grace."""
    with contextlib.ExitStack() as stack:
        yield lambda storage: stack.enter_context(
            serving(tmp_path, storage, ["0s", "0s"])
        )


@pytest.fixture
async def http():
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        timeout=timeout, connector=connector, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield session


@pytest.fixture
def example():
    """What tests need to know of the configuration."""

    def claims(keys, token):
        return verify_with_jwks(token, keys, ("ES256",))[0]

    return SimpleNamespace(users=USERS, claims=claims, kid=_kid, gone=GONE)


def _kid(token):
    """Return the id of the key that signed *token*."""
    text = token.partition(".")[0]
    header = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return json.loads(header)["kid"]


def _wait_for(url, process, log):
    until = time.monotonic() + _STARTS
    while True:
        try:
            with _direct.open(url, timeout=10):
                return
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)


def _free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
