"""What an operation costs, where that can be counted exactly."""

import json
import tracemalloc

import pytest

from cryptography.hazmat.primitives.asymmetric import ec

from dexcore.jose import SigningKey
from dexcore.testing.client_key import ClientKey
from dexcore.testing.dpop import ProofKey

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
# The other grants: a second connector, and a client that is a device.
GRANTS = (
    CONFIG.replace(
        "oauth2: {",
        "oauth2: {passwordConnector: pw, grantTypes: [authorization_code, password, "
        "refresh_token, client_credentials, 'urn:ietf:params:oauth:grant-type:"
        "device_code', 'urn:ietf:params:oauth:grant-type:token-exchange'], ",
    ).replace(
        "staticClients:",
        "- {type: mockCallback, id: up, name: Upstream}\nstaticClients:",
    )
    + """- id: box
  redirectURIs: [/dex/device/callback]
  name: The Box
  secret: a-secret-of-the-set-top-box
"""
)
BOX = ("box", "a-secret-of-the-set-top-box")


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

    @property
    def reads(self):
        """How often something was read outside of a transaction."""
        return self.storage.statistics.reads - self.before.reads


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


async def test_a_subject_of_another_kind_costs_no_transaction(make_world, tmp_path):
    text = f"{CONFIG % (tmp_path / 'dex.db')}  metadata: {{subject: hashed}}\n"
    world = await make_world(text)
    browser = world.browser()
    form = await world.form(browser)
    count = Count(world)
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert count.since == (1, 2)  # the code, and what supplements it
    count = Count(world)
    answer = await world.exchange(landed.params["code"])
    assert count.since[0] == 1
    count = Count(world)
    token = json.loads(answer.text)["refresh_token"]
    assert (await world.refresh(token)).status == 200
    assert count.since[0] == 1


@pytest.fixture
async def granting(make_world, tmp_path):
    return await make_world(GRANTS % (tmp_path / "dex.db"))


async def begun(world):
    """Return a device code; it is asked for once, as everybody asks."""
    answer = await world.post("/dex/device/code", auth=BOX, scope="openid")
    return json.loads(answer.text)


async def poll(world, device_code):
    return await world.post(
        "/dex/token",
        auth=BOX,
        grant_type="urn:ietf:params:oauth:grant-type:device_code",
        device_code=device_code,
    )


async def test_a_device_code_is_one_transaction(granting):
    count = Count(granting)
    await begun(granting)
    assert count.since == (1, 2)


async def test_a_poll_is_one_transaction(granting):
    device_code = (await begun(granting))["device_code"]
    for error in ("authorization_pending", "slow_down"):
        count = Count(granting)
        answer = await poll(granting, device_code)
        assert json.loads(answer.text) == {"error": error}
        assert count.since == (1, 2)


async def test_the_poll_that_gets_tokens_is_one_transaction_and_two_signatures(
    granting, signatures
):
    told = await begun(granting)
    browser = granting.browser()
    page = await browser.get("/dex/device")
    entered = page.forms[0]["fields"] | {"user_code": told["user_code"]}
    choice = await browser.follow(
        await browser.post("/dex/device/auth/verify_code", data=entered)
    )
    [there] = [link for link in choice.links if "/auth/pw?" in link]
    form = await browser.follow(await browser.get(there))
    asked = await browser.follow(
        await browser.post(form.url, data={"login": "jane", "password": "fox"})
    )
    yes = asked.forms[0]
    landed = await browser.post(yes["action"], data=yes["fields"])
    count = Count(granting)
    assert (await browser.follow(landed)).status == 200
    assert count.since[0] == 1  # the device is connected
    count, signed = Count(granting), len(signatures)
    assert (await poll(granting, told["device_code"])).status == 200
    assert count.since[0] == 1
    assert len(signatures) - signed == 2


async def test_a_client_that_logs_in_as_itself_needs_no_query(granting, signatures):
    for scope, number in (("", 1), ("openid", 2)):
        count, signed = Count(granting), len(signatures)
        answer = await granting.post(
            "/dex/token", grant_type="client_credentials", scope=scope
        )
        assert answer.status == 200, answer.text
        assert count.since == (0, 0)
        assert len(signatures) - signed == number


async def test_a_token_exchange_needs_no_query_and_one_signature(granting, signatures):
    count, signed = Count(granting), len(signatures)
    answer = await granting.post(
        "/dex/token",
        grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
        connector_id="up",
        subject_token="of upstream",
        subject_token_type="urn:ietf:params:oauth:token-type:id_token",
        scope="openid",
    )
    assert answer.status == 200, answer.text
    assert count.since == (0, 0)
    assert len(signatures) - signed == 1


@pytest.mark.parametrize(
    ("scope", "number"), [("openid", 0), ("openid offline_access", 1)]
)
async def test_a_password_is_one_transaction_if_it_may_be_refreshed(
    granting, scope, number
):
    count = Count(granting)
    answer = await granting.post(
        "/dex/token",
        grant_type="password",
        username="jane",
        password="fox",
        scope=scope,
    )
    assert answer.status == 200, answer.text
    assert count.since[0] == number


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


# — With sessions ----------------------------------------------------------------------


@pytest.fixture
async def sessions(make_world, tmp_path):
    return await make_world(CONFIG % (tmp_path / "dex.db") + "sessions: {}\n")


async def test_a_login_that_begins_a_session_is_two_transactions(sessions):
    """One remembers who it was, one gives out the code."""
    browser = sessions.browser()
    form = await sessions.form(browser)
    count = Count(sessions)
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert landed.params["code"]
    assert count.since[0] == 2


async def test_a_silent_login_is_one_read_and_one_write(sessions):
    browser = sessions.browser()
    await sessions.logged_in(browser)
    sessions.clock.advance(minutes=5)
    count = Count(sessions)
    assert (await sessions.silently(browser)).params["code"]
    # Read the session and its user; note its use (two statements) and store the code.
    assert (count.reads, *count.since) == (1, 1, 5)


async def test_a_refused_silent_login_is_one_read(sessions):
    browser = sessions.browser()
    await sessions.logged_in(browser)
    sessions.clock.advance(minutes=5)
    count = Count(sessions)
    refused = await sessions.silently(browser, max_age="60")
    assert refused.params["error"] == "login_required"
    assert (count.reads, *count.since) == (1, 0, 2)


async def test_whoever_has_no_session_costs_no_query(sessions):
    browser = sessions.browser()
    assert (await sessions.form(browser)).status == 200  # the list of connectors
    count = Count(sessions)
    assert (await sessions.form(browser)).status == 200
    assert (await sessions.silently(sessions.browser())).status == 303
    assert (await browser.get("/dex")).status == 200
    assert (await browser.get("/dex/logout")).status == 200
    assert count.since == (0, 0)


async def test_access_tokens_need_no_query_with_sessions_either(sessions):
    _, landed = await sessions.logged_in()
    token = (await sessions.tokens_of(landed))["access_token"]
    count = Count(sessions)
    assert (await sessions.userinfo(token)).status == 200
    assert (await sessions.introspect(token))["active"]
    assert count.since == (0, 0)


# — With more to tell ------------------------------------------------------------------


@pytest.fixture
async def telling(make_world, tmp_path):
    known = "config: {claims: {phone_number: '112'}, username"
    text = (CONFIG % (tmp_path / "dex.db")).replace("config: {username", known)
    return await make_world(text + "sessions: {}\n")


async def test_more_to_tell_is_no_more_transactions(telling):
    """What dex's records have no place for is a statement more in each of them."""
    browser = telling.browser()
    asked = {"scope": "openid phone offline_access"}
    form = await telling.form(browser, **asked)
    count = Count(telling)
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert count.since[0] == 2
    count = Count(telling)
    tokens = json.loads((await telling.exchange(landed.params["code"])).text)
    assert count.since[0] == 1
    count = Count(telling)
    assert (await telling.userinfo(tokens["access_token"])).status == 200
    assert count.since == (0, 0)
    telling.clock.advance(minutes=5)
    count = Count(telling)
    assert (await telling.refresh(tokens["refresh_token"])).status == 200
    assert count.since[0] == 1
    count = Count(telling)
    assert (await telling.silently(browser, **asked)).params["code"]
    # As a silent login that tells no more, but one read and one write.
    assert (count.reads, *count.since) == (1, 1, 8)


# — With a key, for an API, on somebody's word -----------------------------------------


IDP = ClientKey()
API, SECRET = "urn:api", "a-secret-of-the-example-app"


@pytest.fixture
async def proving(make_world, tmp_path):
    trusted = {"issuer": "urn:idp", "connectorID": "pw", "jwks": IDP.jwks}
    text = GRANTS.replace(
        "'urn:ietf:params:oauth:grant-type:token-exchange']",
        "'urn:ietf:params:oauth:grant-type:token-exchange', "
        "'urn:ietf:params:oauth:grant-type:jwt-bearer'], "
        f"jwtBearer: {{trustedIssuers: [{json.dumps(trusted)}]}}",
    )
    return await make_world(
        text % (tmp_path / "dex.db") + "resources: [{id: 'urn:api'}]"
    )


def prover(world, key=None):
    """Return what asks with a proof of its key."""
    key = key or ProofKey()

    async def ask(path, token="", **form):
        now = int(world.clock().timestamp())
        method = "POST" if form else "GET"
        url = f"http://127.0.0.1:5556{path}"
        headers = {"DPoP": key.proof(method, url, access_token=token, iat=now)}
        if token:
            headers["Authorization"] = f"DPoP {token}"
            return await world.browser().get(path, headers=headers)
        secret = {"client_id": "example-app", "client_secret": SECRET}
        return await world.browser().post(path, data=secret | form, headers=headers)

    return ask


async def test_a_proof_is_one_statement(proving, signatures):
    ask = prover(proving)
    count, signed = Count(proving), len(signatures)
    answer = await ask("/dex/token", grant_type="client_credentials")
    assert count.since == (1, 1)
    token = json.loads(answer.text)["access_token"]
    count = Count(proving)
    assert (await ask("/dex/userinfo", token)).status == 200
    assert count.since == (1, 1)
    assert len(signatures) - signed == 1


async def test_a_token_for_an_api_needs_no_query(proving, signatures):
    count, signed = Count(proving), len(signatures)
    answer = await proving.post(
        "/dex/token", grant_type="client_credentials", resource=API
    )
    token = json.loads(answer.text)["access_token"]
    assert (await proving.introspect(token))["active"]
    assert count.since == (0, 0)
    assert len(signatures) - signed == 1


async def test_a_login_for_an_api_is_as_many_transactions_as_any(proving):
    browser = proving.browser()
    choice = await proving.form(browser, resource=API)
    [there] = [link for link in choice.links if "/auth/pw?" in link]
    form = await browser.follow(await browser.get(there))
    count = Count(proving)
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert count.since[0] == 1
    count = Count(proving)
    answer = await proving.exchange(landed.params["code"])
    assert count.since[0] == 1
    count = Count(proving)
    token = json.loads(answer.text)["refresh_token"]
    assert (await proving.refresh(token)).status == 200
    assert count.since[0] == 1


async def test_an_assertion_is_one_statement_and_one_signature(proving, signatures):
    now = int(proving.clock().timestamp())
    said = {"iss": "urn:idp", "sub": "jane", "aud": proving.issuer, "jti": "one"}
    said |= {"iat": now, "exp": now + 60, "client_id": "example-app"}
    count, signed = Count(proving), len(signatures)
    answer = await proving.post(
        "/dex/token",
        grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer",
        assertion=IDP.sign(said, typ="oauth-id-jag+jwt"),
    )
    assert answer.status == 200, answer.text
    assert count.since == (1, 1)
    assert len(signatures) - signed == 1
