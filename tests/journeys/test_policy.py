"""Every policy on every way to tokens.

The ways are those of the grants there are: a new grant fails here until it says how it
is walked, and what each policy means for it.
"""

import ast
import json

from datetime import timedelta
from pathlib import Path

import attrs
import pytest

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from dexcore import hookimpl
from dexcore.config.model import MFA, AuthenticatorEntry
from dexcore.connector import (
    ConnectorType,
    Identity,
    PasswordConnector,
    RefreshConnector,
    TokenIdentityConnector,
)
from dexcore.errors import NotInRequiredGroups
from dexcore.oauth2.ids import new_id
from dexcore.oauth2.subjects import encode_refresh
from dexcore.server import granting
from dexcore.server.authorize.front_channel import FrontChannel
from dexcore.server.channels import Channels
from dexcore.server.granting import Granting, Tokens
from dexcore.server.grants.grant import Grant
from dexcore.server.tokens.authorization import Authorization
from dexcore.server.tokens.devices import APPROVED, text_of
from dexcore.storage import (
    AuthCode,
    Claims,
    Client,
    DeviceToken,
    RefreshToken,
    RegisteredClient,
    UserIdentity,
)
from dexcore.testing.client_key import ClientKey

SERVER = Path(granting.__file__).parent
# A set: what attrs has made a class of stays in the list until it is collected.
GRANTS = sorted(
    {
        each.grant_type
        for each in (FrontChannel, *Grant.__subclasses__())
        if each.__module__.startswith("dexcore.")
    }
)
URN = "urn:ietf:params:oauth:grant-type:"
CODE, REFRESH, PASSWORD = "authorization_code", "refresh_token", "password"
IMPLICIT = "implicit"
CREDENTIALS, DEVICE, EXCHANGE = (
    "client_credentials",
    URN + "device_code",
    (URN + "token-exchange"),
)
ASSERTION = URN + "jwt-bearer"
IDP, IDP_KEY = "https://idp.example.com", ClientKey()
CALLBACK, DEVICE_CALLBACK = "http://127.0.0.1:5555/callback", "/dex/device/callback"
SECRET = "a-secret-of-the-app-itself"
SCOPE = "openid email offline_access"

CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2:
  skipApprovalScreen: true
  passwordConnector: people
  jwtBearer:
    trustedIssuers:
    - {issuer: '$IDP', connectorID: people, jwks: $JWKS, allowedGroups: [staff]}
  grantTypes: %s
  responseTypes: [code, id_token, token]
connectors:
- {type: people, id: people, name: People%s}
staticClients:
- {id: stranger, name: S, secret: a-secret-of-a-stranger, redirectURIs: ['http://a/b']}
sessions: {}
""".replace("$IDP", IDP).replace("$JWKS", json.dumps(IDP_KEY.jwks))


class People(PasswordConnector, RefreshConnector, TokenIdentityConnector):
    """One user, who is in the right groups or not."""

    groups = True

    def _who(self):
        if not self.groups:
            raise NotInRequiredGroups("You are not one of us.")
        return Identity("jane-id", username="jane", connector_data=b"x")

    async def login(self, scopes, username, password):
        return self._who()

    async def token_identity(self, token_type, token):
        return self._who()

    async def refresh(self, scopes, identity):
        return self._who()


@attrs.frozen
class Nothing:
    """No options."""


class Plugin:
    def __init__(self):
        self.people = People()

    @hookimpl
    def dex_connector_types(self):
        async def open_people(config, context):
            return self.people

        return [ConnectorType("people", Nothing, open_people)]


# — the ways ---------------------------------------------------------------------------


class House:
    """A provider with one client; what it allows is changed before somebody comes."""

    def __init__(self, world, plugin, client):
        self.world, self.people, self.client = world, plugin.people, client
        self.scope = SCOPE

    async def token(self, grant_type, **form):
        answer = await self.world.post(
            "/dex/token", auth=(self.client.id, SECRET), grant_type=grant_type, **form
        )
        return json.loads(answer.text)

    async def log_in(self, browser, form):
        """Return what the browser is answered; the page that asks is answered too."""
        landed = await browser.post(form, data={"login": "jane", "password": "x"})
        if "/approval" in landed.headers.get("Location", ""):
            yes = (await browser.follow(landed)).forms[0]
            landed = await browser.post(yes["action"], data=yes["fields"])
        return landed

    def login(self, redirect_uri):
        """Return a login that was good when it happened."""
        return AuthCode(
            "at-hand",
            self.client.id,
            redirect_uri,
            scopes=tuple(self.scope.split()),
            connector_id="people",
            connector_data=b"x",
            claims=Claims("jane-id", "jane"),
            expiry=self.world.clock().replace(year=9999),
        )


def told(answer):
    """Return what the browser, or the client by it, hears instead of a code."""
    if answer.status in (302, 303) and "error=" in answer.location:
        return {"error": answer.params["error"]}
    return {"error": f"page {answer.status}"}


async def from_the_login_page(house):
    browser = house.world.browser()
    form = await house.world.form(browser, client_id=house.client.id, scope=house.scope)
    if form.status != 200:
        return told(form)
    landed = await house.log_in(browser, form.url)
    if "code=" not in landed.headers.get("Location", ""):
        return told(landed)
    return await house.token(CODE, code=landed.params["code"], redirect_uri=CALLBACK)


async def by_the_browser(house, response_type="id_token token"):
    """The grant implicit: there is nothing to trade."""
    browser = house.world.browser()
    form = await house.world.form(
        browser,
        client_id=house.client.id,
        scope=house.scope,
        response_type=response_type,
    )
    landed = form
    if form.status == 200 and "/login" in form.url:
        landed = await house.log_in(browser, form.url)
    if "access_token=" not in landed.headers.get("Location", ""):
        return told(landed)
    return landed.params


async def by_the_browser_with_a_code(house):
    """The hybrid flow: tokens, and a code that is good for more."""
    found = await by_the_browser(house, "code id_token token")
    if "error" in found:
        return found
    traded = await house.token(CODE, code=found["code"], redirect_uri=CALLBACK)
    if traded.get("error") == "unsupported_grant_type":
        return {"error": "tokens, and no way to trade the code"}
    return traded


async def with_a_code_at_hand(house):
    await house.world.storage.auth_codes.create(house.login(CALLBACK))
    return await house.token(CODE, code="at-hand", redirect_uri=CALLBACK)


async def from_the_device_page(house):
    begun = await house.world.post(
        "/dex/device/code", auth=(house.client.id, SECRET), scope=house.scope
    )
    if begun.status != 200:
        return {"error": "page 404"} if begun.status == 404 else json.loads(begun.text)
    codes = json.loads(begun.text)
    browser = house.world.browser()
    page = (await browser.get("/dex/device")).forms[0]
    entered = page["fields"] | {"user_code": codes["user_code"]}
    form = await browser.follow(await browser.post(page["action"], data=entered))
    if form.status == 200 and "/login" in form.url:
        landed = await browser.follow(await house.log_in(browser, form.url))
        if landed.status != 200:
            return told(landed)
    elif form.status != 200:
        return told(form)
    return await house.token(DEVICE, device_code=codes["device_code"])


async def with_an_approved_device(house):
    login = house.login(DEVICE_CALLBACK)
    await house.world.storage.device_tokens.create(
        DeviceToken("d", APPROVED, text_of(login), login.expiry)
    )
    return await house.token(DEVICE, device_code="d")


async def with_a_refresh_token_at_hand(house):
    login, now = house.login(""), house.world.clock()
    await house.world.storage.refresh_tokens.create(
        RefreshToken(
            "r",
            login.client_id,
            token="secret",
            created_at=now,
            last_used=now,
            connector_id=login.connector_id,
            connector_data=login.connector_data,
            claims=login.claims,
            scopes=login.scopes,
        )
    )
    return await house.token(REFRESH, refresh_token=encode_refresh("r", "secret"))


async def with_a_password(house):
    return await house.token(PASSWORD, username="jane", password="x", scope=house.scope)


async def as_itself(house):
    scope = house.scope.replace(" offline_access", "")
    return await house.token(CREDENTIALS, scope=scope)


async def with_a_token(house):
    return await house.token(
        EXCHANGE,
        connector_id="people",
        subject_token="x",
        subject_token_type="urn:ietf:params:oauth:token-type:id_token",
        scope=house.scope,
    )


async def with_an_assertion(house):
    now = int(house.world.clock().timestamp())
    groups = ["staff"] if house.people.groups else ["visitors"]
    said = {"iss": IDP, "sub": "jane-id", "aud": house.world.issuer, "jti": "one"}
    said |= {
        "iat": now,
        "exp": now + 60,
        "client_id": house.client.id,
        "groups": groups,
    }
    assertion = IDP_KEY.sign(said, typ="oauth-id-jag+jwt")
    return await house.token(ASSERTION, assertion=assertion, scope=house.scope)


WAYS = {
    CODE: [from_the_login_page, with_a_code_at_hand],
    IMPLICIT: [by_the_browser, by_the_browser_with_a_code],
    REFRESH: [with_a_refresh_token_at_hand],
    DEVICE: [from_the_device_page, with_an_approved_device],
    PASSWORD: [with_a_password],
    CREDENTIALS: [as_itself],
    EXCHANGE: [with_a_token],
    ASSERTION: [with_an_assertion],
}


# — the policies -----------------------------------------------------------------------


@attrs.frozen
class Rule:
    """What is forbidden, how, and what each way then ends in.

    ``expected`` maps a way to an error, "tokens", or "no refresh" (tokens, but none to
    refresh them with).
    """

    expected: dict
    without: str = ""  # a grant that the file leaves out
    connector: str = ""  # what the file says about the connector
    client: dict = attrs.Factory(dict)  # what the client is like
    scope: str = SCOPE
    outsider: bool = False
    blocked: bool = False
    registered: dict = attrs.Factory(dict)  # what the client says it does


def every(**expected):
    return expected


RULES = {
    "all is well": Rule(
        every(
            from_the_login_page="tokens",
            by_the_browser="no refresh",
            by_the_browser_with_a_code="tokens",
            with_a_code_at_hand="tokens",
            with_a_refresh_token_at_hand="tokens",
            from_the_device_page="tokens",
            with_an_approved_device="tokens",
            with_a_password="tokens",
            as_itself="no refresh",
            with_a_token="no refresh",
            with_an_assertion="no refresh",
        )
    ),
    "the connector is not among the client's": Rule(
        every(
            from_the_login_page="page 400",
            by_the_browser="page 400",
            by_the_browser_with_a_code="page 400",
            with_a_code_at_hand="invalid_grant",
            with_a_refresh_token_at_hand="invalid_grant",
            from_the_device_page="page 400",
            with_an_approved_device="invalid_grant",
            with_a_password="invalid_grant",
            as_itself="no refresh",  # nobody logs in
            with_a_token="invalid_grant",
            with_an_assertion="invalid_grant",
        ),
        client={"allowed_connectors": ("another",)},
    ),
    "the connector serves nothing but refreshing": Rule(
        every(
            from_the_login_page="page 400",
            by_the_browser="page 400",
            by_the_browser_with_a_code="page 400",
            with_a_code_at_hand="invalid_grant",
            with_a_refresh_token_at_hand="tokens",
            from_the_device_page="page 400",
            with_an_approved_device="invalid_grant",
            with_a_password="invalid_request",
            as_itself="no refresh",
            with_a_token="invalid_request",
            with_an_assertion="invalid_request",
        ),
        connector=f", grantTypes: [{REFRESH}]",
    ),
    "the connector does not serve refreshing": Rule(
        every(
            from_the_login_page="no refresh",
            by_the_browser="no refresh",
            by_the_browser_with_a_code="no refresh",
            with_a_code_at_hand="no refresh",
            with_a_refresh_token_at_hand="invalid_grant",
            from_the_device_page="no refresh",
            with_an_approved_device="no refresh",
            with_a_password="no refresh",
            as_itself="no refresh",
            with_a_token="no refresh",
            with_an_assertion="no refresh",
        ),
        connector=f", grantTypes: [{CODE}, {IMPLICIT}, {PASSWORD}, '{DEVICE}', "
        f"'{ASSERTION}', "
        f"'{EXCHANGE}']",
    ),
    "refreshing is switched off": Rule(
        every(
            from_the_login_page="no refresh",
            by_the_browser="no refresh",
            by_the_browser_with_a_code="no refresh",
            with_a_code_at_hand="no refresh",
            with_a_refresh_token_at_hand="unsupported_grant_type",
            from_the_device_page="no refresh",
            with_an_approved_device="no refresh",
            with_a_password="no refresh",
            as_itself="no refresh",
            with_a_token="no refresh",
            with_an_assertion="no refresh",
        ),
        without=REFRESH,
    ),
    "the user is in none of the required groups": Rule(
        every(
            from_the_login_page="page 403",
            by_the_browser="page 403",
            by_the_browser_with_a_code="page 403",
            with_a_code_at_hand="tokens",  # the connector said yes a moment ago
            with_a_refresh_token_at_hand="invalid_grant",
            from_the_device_page="page 403",
            with_an_approved_device="tokens",
            with_a_password="invalid_grant",
            as_itself="no refresh",
            with_a_token="access_denied",
            with_an_assertion="invalid_grant",
        ),
        outsider=True,
    ),
    "the user is blocked": Rule(
        every(
            from_the_login_page="access_denied",
            by_the_browser="access_denied",
            by_the_browser_with_a_code="access_denied",
            with_a_code_at_hand="invalid_grant",
            with_a_refresh_token_at_hand="invalid_grant",
            from_the_device_page="access_denied",
            with_an_approved_device="invalid_grant",
            with_a_password="invalid_grant",
            as_itself="no refresh",
            with_a_token="invalid_grant",
            with_an_assertion="invalid_grant",
        ),
        blocked=True,
    ),
    "a second factor is required": Rule(
        every(
            from_the_login_page="access_denied",
            by_the_browser="access_denied",
            by_the_browser_with_a_code="access_denied",
            with_a_code_at_hand="tokens",  # no code is written without it
            with_a_refresh_token_at_hand="tokens",  # nor is the first of a family
            from_the_device_page="access_denied",
            with_an_approved_device="tokens",
            with_a_password="unauthorized_client",
            as_itself="no refresh",
            with_a_token="unauthorized_client",
            with_an_assertion="unauthorized_client",
        ),
        client={"mfa_chain": ("totp",)},
    ),
    "a scope is unknown": Rule(
        every(
            from_the_login_page="invalid_scope",
            by_the_browser="invalid_scope",
            by_the_browser_with_a_code="invalid_scope",
            with_a_code_at_hand="invalid_scope",
            with_a_refresh_token_at_hand="invalid_scope",
            from_the_device_page="invalid_scope",
            with_an_approved_device="invalid_scope",
            with_a_password="invalid_request",
            as_itself="invalid_scope",
            with_a_token="no refresh",  # it is ignored
            with_an_assertion="no refresh",  # it is ignored
        ),
        scope=f"{SCOPE} everything",
    ),
    "the audience does not trust the client": Rule(
        every(
            from_the_login_page="invalid_scope",
            by_the_browser="invalid_scope",
            by_the_browser_with_a_code="invalid_scope",
            with_a_code_at_hand="invalid_scope",
            with_a_refresh_token_at_hand="invalid_scope",
            from_the_device_page="invalid_scope",
            with_an_approved_device="invalid_scope",
            with_a_password="invalid_request",
            as_itself="invalid_scope",
            with_a_token="invalid_scope",
            with_an_assertion="invalid_scope",
        ),
        scope=f"{SCOPE} audience:server:client_id:stranger",
    ),
    "the client has registered for other grants": Rule(
        every(
            from_the_login_page="unauthorized_client",
            by_the_browser="unauthorized_client",
            by_the_browser_with_a_code="unauthorized_client",
            with_a_code_at_hand="unauthorized_client",
            with_a_refresh_token_at_hand="unauthorized_client",
            from_the_device_page="unauthorized_client",
            with_an_approved_device="unauthorized_client",
            with_a_password="unauthorized_client",
            as_itself="unauthorized_client",
            with_a_token="unauthorized_client",
            with_an_assertion="unauthorized_client",
        ),
        registered={"grant_types": ["another"]},
    ),
    "the client has not registered for refreshing": Rule(
        every(
            from_the_login_page="no refresh",
            by_the_browser="no refresh",
            by_the_browser_with_a_code="no refresh",
            with_a_code_at_hand="no refresh",
            with_a_refresh_token_at_hand="unauthorized_client",
            from_the_device_page="no refresh",
            with_an_approved_device="no refresh",
            with_a_password="no refresh",
            as_itself="no refresh",
            with_a_token="no refresh",
            with_an_assertion="no refresh",
        ),
        registered={"grant_types": [each for each in GRANTS if each != REFRESH]},
    ),
    "the client has not registered the scope": Rule(
        every(
            from_the_login_page="invalid_scope",
            by_the_browser="invalid_scope",
            by_the_browser_with_a_code="invalid_scope",
            with_a_code_at_hand="invalid_scope",
            with_a_refresh_token_at_hand="invalid_scope",
            from_the_device_page="invalid_scope",
            with_an_approved_device="invalid_scope",
            with_a_password="invalid_request",
            as_itself="invalid_scope",
            with_a_token="invalid_scope",
            with_an_assertion="invalid_scope",
        ),
        registered={"scope": "openid"},
    ),
    "the client has another secret": Rule(
        every(
            from_the_login_page="invalid_client",
            by_the_browser="no refresh",  # it shows none
            by_the_browser_with_a_code="invalid_client",
            with_a_code_at_hand="invalid_client",
            with_a_refresh_token_at_hand="invalid_client",
            from_the_device_page="invalid_client",
            with_an_approved_device="invalid_client",
            with_a_password="invalid_client",
            as_itself="invalid_client",
            with_a_token="invalid_client",
            with_an_assertion="invalid_client",
        ),
        client={"secret": "another-secret-than-it-sends"},
    ),
}


@pytest.fixture
def make_house(make_world):
    async def make(rule):
        grants = [f"'{each}'" for each in GRANTS if each != rule.without]
        plugin = Plugin()
        text = CONFIG % (f"[{', '.join(grants)}]", rule.connector)
        world = await make_world(text, plugin, environ={"DEX_SESSIONS_ENABLED": "true"})
        client = Client(
            "app",
            SECRET,
            (CALLBACK, DEVICE_CALLBACK),
            name="App",
        )
        client = attrs.evolve(client, **rule.client)
        if rule.registered:
            client = attrs.evolve(client, id=new_id(supplemented=True))
            record = RegisteredClient(
                client.id, rule.registered, expiry=world.clock() + timedelta(days=1)
            )
            await world.storage.registered_clients.create(record)
        await world.storage.clients.create(client)
        if rule.blocked:
            until = world.clock() + timedelta(days=1)
            user = UserIdentity("jane-id", "people", blocked_until=until)
            await world.storage.user_identities.create(user)
        plugin.people.groups = not rule.outsider
        house = House(world, plugin, client)
        house.scope = rule.scope
        return house

    return make


def test_nobody_but_the_policy_says_what_is_allowed():
    said = {
        file.name
        for file in SERVER.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "allowed"
    }
    assert said == {"policy.py"}


@pytest.mark.parametrize("grant_type", GRANTS)
def test_every_grant_says_how_it_is_walked(grant_type):
    assert WAYS.get(grant_type), "enter its ways to tokens in this file"


@pytest.mark.parametrize(
    ("rule", "way"),
    [
        pytest.param(rule, way, id=f"{name}, {way.__name__}")
        for name, rule in RULES.items()
        for grant_type in GRANTS
        for way in WAYS.get(grant_type, ())
    ],
)
async def test_every_policy_holds_on_every_way(make_house, rule, way):
    """T-REF-08, T-TX-01, T-XC-01."""
    house = await make_house(rule)
    answer = await way(house)
    if "access_token" in answer:
        outcome = "tokens" if "refresh_token" in answer else "no refresh"
    else:
        outcome = answer["error"]
    assert outcome == rule.expected[way.__name__]
    if outcome != "tokens" and way is not with_a_refresh_token_at_hand:
        assert await house.world.storage.refresh_tokens.list() == []


@pytest.mark.parametrize("grant_type", GRANTS)
async def test_a_grant_that_is_switched_off_gets_nobody_tokens(make_house, grant_type):
    for way in WAYS[grant_type]:
        house = await make_house(Rule({}, without=grant_type))
        answer = await way(house)
        assert answer["error"] in (
            "unsupported_grant_type",
            "unsupported_response_type",
            "page 404",
        )


@pytest.mark.parametrize("grant_type", GRANTS)
async def test_discovery_lists_what_is_on(make_house, grant_type):
    house = await make_house(Rule({}, without=grant_type))
    path = "/dex/.well-known/openid-configuration"
    document = json.loads((await house.world.browser().get(path)).text)
    assert document["grant_types_supported"] == [
        each for each in GRANTS if each != grant_type
    ]


# — which second factor counts ---------------------------------------------------------


TOTP = AuthenticatorEntry("totp", "TOTP")
FOR_LDAP = AuthenticatorEntry("totp", "TOTP", ("ldap",))
FOR_PEOPLE = AuthenticatorEntry("totp", "TOTP", ("ldap", "people"))


@pytest.mark.parametrize(
    ("factors", "chain", "needed"),
    [
        (MFA(), None, False),
        (MFA((TOTP,)), None, False),
        (MFA((TOTP,), ("totp",)), None, True),
        (MFA((TOTP,), ("totp",)), (), False),
        (MFA((TOTP,)), ("totp",), True),
        (MFA((FOR_LDAP,)), ("totp",), False),
        (MFA((FOR_PEOPLE,)), ("totp",), True),
        (MFA((FOR_LDAP,)), ("totp", "nobody configured this"), True),
    ],
    ids=[
        "none",
        "none asked for",
        "everybody's",
        "not this client's",
        "this client's",
        "of another connector",
        "of this connector",
        "unknown",
    ],
)
async def test_a_second_factor_counts_where_it_is_asked_for(
    make_house, factors, chain, needed
):
    house = await make_house(RULES["all is well"])
    parts = house.world.server.parts
    policy = Granting.of(parts, Tokens.of(parts)).policy
    policy = attrs.evolve(policy, second_factors=factors)
    client = attrs.evolve(house.client, mfa_chain=chain)
    assert policy.needs_second_factor(client, "people") is needed


# — a grant that forgets ---------------------------------------------------------------


@pytest.fixture
def forgetful(make_house):
    """Return what lets a grant that checks nothing at the token endpoint."""

    class Forgetful(Grant):
        grant_type = PASSWORD

        def __init__(self, house, policy):
            self.house, self.policy = house, policy

        async def authorize(self, form, client, address):
            return Authorization(
                client=client,
                claims=Claims("jane-id", "jane"),
                scopes=tuple(self.house.scope.split()),
                connector_id="people",
            )

    async def answer(rule):
        house = await make_house(rule)
        parts = house.world.server.parts
        tokens = Tokens.of(parts)
        ours = Granting.of(parts, tokens)
        forgetful = Forgetful(house, ours.policy)
        endpoint = attrs.evolve(ours.endpoint, grants={PASSWORD: forgetful})
        app = web.Application()
        app.router.add_post("/token", Channels(parts.pages).back(endpoint.exchange))
        async with TestClient(TestServer(app)) as client:
            proof = {"client_id": "app", "client_secret": SECRET}
            form = proof | {"grant_type": PASSWORD}
            return await (await client.post("/token", data=form)).json()

    return answer


@pytest.mark.parametrize(
    "name",
    [
        "the connector is not among the client's",
        "the connector serves nothing but refreshing",
        "the user is blocked",
        "a second factor is required",
        "a scope is unknown",
        "the audience does not trust the client",
    ],
)
async def test_what_a_grant_forgets_is_refused_at_the_end(forgetful, name):
    assert "error" in await forgetful(RULES[name])


async def test_a_grant_that_is_off_is_refused_at_the_end_too(forgetful):
    answer = await forgetful(Rule({}, without=PASSWORD))
    assert answer["error"] == "unauthorized_client"


async def test_a_grant_that_forgets_nothing_that_matters_gets_through(forgetful):
    assert "access_token" in await forgetful(RULES["all is well"])
