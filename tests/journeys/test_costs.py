"""What an operation costs, where that can be counted exactly."""

import json
import tracemalloc

import pytest

from cryptography.hazmat.primitives.asymmetric import ec

from dexcore.jose import SigningKey

CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: sqlite3, config: {file: '%s'}}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2: {skipApprovalScreen: true}
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Example App
  secret: a-secret-of-the-example-app
"""


@pytest.fixture
async def sqlite(make_world, tmp_path):
    return await make_world(CONFIG % (tmp_path / "dex.db"))


class Count:
    """How many transactions and statements ran since."""

    def __init__(self, world):
        self.storage = world.storage.backing
        self.before = self.storage.statistics

    @property
    def since(self):
        now = self.storage.statistics
        return (
            now.transactions - self.before.transactions,
            now.statements - self.before.statements,
        )


async def test_a_login_is_one_transaction(sqlite):
    browser = sqlite.browser()
    form = await sqlite.form(browser)
    count = Count(sqlite)
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert landed.status == 303
    assert count.since == (1, 1)


async def test_an_exchange_is_one_transaction_and_two_signatures(sqlite, signatures):
    code = await sqlite.code()
    count, signed = Count(sqlite), len(signatures)
    answer = await sqlite.exchange(code)
    assert answer.status == 200
    assert "refresh_token" in json.loads(answer.text)
    assert count.since[0] == 1
    assert len(signatures) - signed == 2


async def test_a_refresh_is_one_transaction_and_two_signatures(sqlite, signatures):
    token = (await sqlite.tokens())["refresh_token"]
    count, signed = Count(sqlite), len(signatures)
    assert (await sqlite.refresh(token)).status == 200
    assert count.since[0] == 1
    assert len(signatures) - signed == 2


async def test_discovery_keys_userinfo_and_access_tokens_need_no_query(sqlite):
    token = (await sqlite.tokens())["access_token"]
    count = Count(sqlite)
    browser = sqlite.browser()
    await browser.get("/dex/.well-known/openid-configuration")
    await browser.get("/dex/keys")
    assert (await sqlite.userinfo(token)).status == 200
    assert (await sqlite.introspect(token))["active"]
    assert (await sqlite.form(browser)).status == 200
    assert count.since == (0, 0)


@pytest.fixture
def signatures(monkeypatch):
    """Every signature made while the test runs."""
    made = []
    sign = SigningKey.sign

    def counted(self, payload, typ=None):
        made.append(typ)
        return sign(self, payload, typ)

    monkeypatch.setattr(SigningKey, "sign", counted)
    return made


async def test_no_key_is_imported_on_a_request(sqlite, monkeypatch):
    token = (await sqlite.tokens())["access_token"]

    def never(*args, **kwargs):
        raise AssertionError("a key was imported on a request")

    monkeypatch.setattr(SigningKey, "load", never)
    monkeypatch.setattr(ec, "EllipticCurvePrivateNumbers", never)
    monkeypatch.setattr(ec, "EllipticCurvePublicNumbers", never)
    tokens = await sqlite.tokens()
    assert (await sqlite.refresh(tokens["refresh_token"])).status == 200
    assert (await sqlite.userinfo(token)).status == 200
    assert (await sqlite.browser().get("/dex/keys")).status == 200


async def test_anonymous_requests_write_nothing_and_do_not_add_up(sqlite):
    browser = sqlite.browser()

    async def knock(times):
        for n in range(times):
            answer = await sqlite.ask(browser, path="/dex/auth/pw", state=str(n))
            assert answer.status == 302
            browser.session.cookie_jar.clear()

    await knock(300)
    count = Count(sqlite)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        await knock(1000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert count.since == (0, 0)
    assert grown < 300_000  # bytes: 300 a request would already be a leak
