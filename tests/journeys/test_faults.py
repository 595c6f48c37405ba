"""The database fails: 503 for what needs it, and everything else goes on."""

import json

import attrs
import pytest

from aiohttp.test_utils import make_mocked_request

from dexcore import hookimpl
from dexcore.connector import ConnectorType, PasswordConnector
from dexcore.errors import StorageUnavailable, UpstreamUnavailable
from dexcore.server.channels import Channels
from dexcore.storage import Collections, Storage, StorageType
from dexcore.storage.interface import Collection

CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: frail}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
%s
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Example App
  secret: a-secret-of-the-example-app
"""


@attrs.frozen
class Nothing:
    """No options."""


class FrailCollection(Collection):
    def __init__(self, inner, storage):
        self.inner, self.storage = inner, storage

    def __getattribute__(self, name):
        if name in ("create", "get", "list", "update", "take", "delete", "find"):
            object.__getattribute__(self, "storage").check()
            return getattr(object.__getattribute__(self, "inner"), name)
        return object.__getattribute__(self, name)

    async def create(self, record): ...
    async def get(self, *key): ...
    async def list(self, **page): ...
    async def update(self, *key, change): ...
    async def take(self, *key): ...
    async def delete(self, *key): ...


class Frail(Storage):
    """A storage that can be told to fail."""

    def __init__(self, inner):
        self.inner, self.down, self.calls = inner, False, 0
        for name in Collections.__annotations__:
            setattr(self, name, FrailCollection(getattr(inner, name), self))

    def check(self):
        self.calls += 1
        if self.down:
            raise StorageUnavailable("The database is on fire.")

    async def unit(self, work):
        self.check()
        return await self.inner.unit(work)

    async def sweep(self, now):
        self.check()
        return await self.inner.sweep(now)

    async def ping(self):
        self.check()

    async def close(self):
        await self.inner.close()


@pytest.fixture
async def frail(make_world):
    from dexcore_storage_memory import dex_storage_types

    class Plugin:
        @hookimpl
        def dex_storage_types(self):
            [memory] = dex_storage_types()

            async def open_it(config, context):
                opened.append(Frail(await memory.open(memory.config(), context)))
                return opened[-1]

            return [StorageType("frail", Nothing, open_it)]

    opened = []
    world = await make_world(CONFIG % "", Plugin())
    world.frail = opened[-1]
    return world


async def test_keys_and_discovery_need_no_database(frail):
    tokens = json.loads((await frail.exchange(await consented(frail))).text)
    frail.frail.down = True
    browser = frail.browser()
    before = frail.frail.calls
    assert (await browser.get("/dex/keys")).status == 200
    path = "/dex/.well-known/openid-configuration"
    assert (await browser.get(path)).status == 200
    assert (await frail.userinfo(tokens["access_token"])).status == 200
    form = await frail.form(browser)
    assert form.status == 200
    assert frail.frail.calls == before


async def consented(world):
    browser = world.browser()
    landed = await world.log_in(browser)
    page = await browser.get(landed.location)
    landed = await browser.post(page.forms[0]["action"], data={"approval": "approve"})
    return landed.params["code"]


async def test_what_needs_the_database_says_when_to_come_back(frail):
    code = await consented(frail)
    browser = frail.browser()
    form = await frail.form(browser)
    tokens = json.loads((await frail.exchange(await consented(frail))).text)
    frail.frail.down = True
    page = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert page.status == 503
    assert page.headers["Retry-After"]
    assert "on fire" not in page.text
    for answer in (
        await frail.exchange(code),
        await frail.refresh(tokens["refresh_token"]),
        await frail.post("/dex/token/revoke", token=tokens["refresh_token"]),
        await frail.post("/dex/token/introspect", token=tokens["refresh_token"]),
    ):
        assert answer.status == 503
        assert json.loads(answer.text)["error"] == "temporarily_unavailable"
        assert answer.headers["Retry-After"]
    frail.frail.down = False
    assert (await frail.refresh(tokens["refresh_token"])).status == 200
    assert (await frail.exchange(code)).status == 200
    again = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert again.status == 303


class Broken(PasswordConnector):
    async def login(self, scopes, username, password):
        if username == "bug":
            raise ValueError("a secret of the upstream")
        raise UpstreamUnavailable("ldap.internal does not answer")


class Troubles:
    """Connectors that cannot be opened, and that fail when called."""

    @hookimpl
    def dex_connector_types(self):
        async def broken(config, context):
            return Broken()

        async def never(config, context):
            raise OSError("no route to upstream")

        return [
            ConnectorType("broken", Nothing, broken),
            ConnectorType("never", Nothing, never),
        ]


@pytest.fixture
async def troubled(make_world):
    more = (
        "- {type: broken, id: broken, name: Broken}\n"
        "- {type: never, id: never, name: Never}\n"
        "- {type: bogus, id: bogus, name: Bogus}"
    )
    text = (CONFIG % more).replace("type: frail", "type: memory")
    return await make_world(text, Troubles())


async def test_a_broken_connector_is_shown_and_the_others_go_on(troubled):
    page = await troubled.ask(troubled.browser())
    assert page.status == 200
    assert page.text.count("emporarily unavailable") == 2
    landed = await troubled.log_in(connector_id="pw")
    assert landed.status == 303
    gone = await troubled.ask(troubled.browser(), path="/dex/auth/never")
    assert gone.status == 503
    assert "no route" not in gone.text


@pytest.mark.parametrize(("login", "status"), [("bug", 502), ("jane", 503)])
async def test_an_upstream_that_fails_is_a_page_with_an_id_and_no_secret(
    troubled, login, status
):
    page = await troubled.log_in(connector_id="broken", login=login)
    assert page.status == status
    assert "secret" not in page.text
    assert "internal" not in page.text
    assert "-4" in page.text  # the id of the log entry, a UUID


async def test_no_unexpected_exception_reaches_anybody(world):
    async def explode(request):
        raise RuntimeError("inner workings")

    channels = Channels(world.server.parts.pages)
    request = make_mocked_request("GET", "/dex/x")
    for wrapped in (channels.front(explode), channels.back(explode)):
        answer = await wrapped(request)
        assert answer.status == 500
        assert b"inner workings" not in answer.body
